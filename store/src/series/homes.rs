//! Where each live series is. Ids are never used twice, because writers hold on to them; what is kept here goes with the series.

use super::index::Home;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::cell::Cell;
use watchfire_model::SeriesId;

/// Ids of a page. Series that begin together mostly go together, so that few pages are kept for one of them.
const PAGE: usize = 32;

#[derive(Debug, Default)]
struct Page {
    homes: [Option<Home>; PAGE],
    live: usize,
}

/// By series id; a dead series has no home.
#[derive(Debug, Default)]
pub(super) struct Homes {
    pages: HashMap<u32, Box<Page>, RandomState>,
}

/// Looks up one id after the other. Those of a row mostly follow each other, and are found in the page of the one before.
pub(super) struct Lookup<'a> {
    homes: &'a Homes,
    last: Cell<Option<(u32, &'a Page)>>,
}

fn place(id: SeriesId) -> (u32, usize) {
    (id.0 / PAGE as u32, id.0 as usize % PAGE)
}

impl Homes {
    pub fn get(&self, id: SeriesId) -> Option<Home> {
        let (page, slot) = place(id);
        self.pages.get(&page)?.homes[slot]
    }

    pub fn lookup(&self) -> Lookup<'_> {
        Lookup { homes: self, last: Cell::new(None) }
    }

    pub fn put(&mut self, id: SeriesId, home: Home) {
        let (page, slot) = place(id);
        let page = self.pages.entry(page).or_default();
        page.live += usize::from(page.homes[slot].replace(home).is_none());
    }

    pub fn remove(&mut self, id: SeriesId) {
        let (number, slot) = place(id);
        let Some(page) = self.pages.get_mut(&number) else { return };
        page.live -= usize::from(page.homes[slot].take().is_some());
        if page.live == 0 {
            self.pages.remove(&number);
            self.pages.shrink_to(2 * self.pages.len());
        }
    }

    pub fn bytes(&self) -> usize {
        self.pages.len() * size_of::<Page>() + self.pages.capacity() * (size_of::<(u32, Box<Page>)>() + 1)
    }
}

impl Lookup<'_> {
    #[inline]
    pub fn get(&self, id: SeriesId) -> Option<Home> {
        let (number, slot) = place(id);
        match self.last.get() {
            Some((last, page)) if last == number => page.homes[slot],
            _ => {
                let page = self.homes.pages.get(&number)?;
                self.last.set(Some((number, page)));
                page.homes[slot]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_goes_with_the_series_however_many_there_were() {
        let mut homes = Homes::default();
        let home = |id: u32| Home { origin: id / 7, column: id };
        // One in a thousand stays.
        for id in 0..1_000_000 {
            homes.put(SeriesId(id), home(id));
            if let Some(old) = id.checked_sub(500).filter(|old| old % 1000 != 0) {
                homes.remove(SeriesId(old));
            }
        }
        let lookup = homes.lookup();
        for id in [0, 1, 31, 32, 1000, 500_000, 999_000, 999_400, 999_499, 999_500, 999_999, 1_000_000, u32::MAX] {
            let lives = (id % 1000 == 0 || id >= 999_500) && id < 1_000_000;
            assert_eq!(lookup.get(SeriesId(id)), lives.then(|| home(id)), "{id}");
            assert_eq!(homes.get(SeriesId(id)), lookup.get(SeriesId(id)), "{id}");
        }
        assert!(homes.bytes() < 1_500 * size_of::<Page>(), "{}", homes.bytes());
        (0..1_000_000).for_each(|id| homes.remove(SeriesId(id)));
        assert_eq!(homes.pages.len(), 0);
        assert!(homes.bytes() < 10_000, "{}", homes.bytes());
    }
}
