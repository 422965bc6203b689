//! Names, values and sets of labels. That the index has one is no answer yet: a series counts where it has a sample in the asked time. One such series
//! is enough for each text, so samples are looked at until it is found; who lists the values of a label looks at as many series as it has values, and
//! not at all that have it.

use super::SeriesBook;
use super::index::Home;
use super::origin::{Origin, Scratch};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use parking_lot::RwLockReadGuard;
use std::collections::BTreeSet;
use std::sync::Arc;
use watchfire_model::{Labels, Selector, SeriesId, TimeRange};

/// Series that are looked at before whoever waits to write has its turn.
const TURN: usize = 4096;
/// Series of a name that are looked at before all of them are.
const FEW: usize = 8;

/// Texts of which each is in the answer once one of its series has a sample.
#[derive(Default)]
struct Wanted {
    texts: Vec<Arc<str>>,
    found: Vec<bool>,
    /// Series that have the text with this number.
    series: Vec<(SeriesId, u32)>,
}

impl Wanted {
    fn add(&mut self, text: &Arc<str>, series: impl IntoIterator<Item = SeriesId>) {
        let number = self.texts.len() as u32;
        self.texts.push(text.clone());
        self.found.push(false);
        self.series.extend(series.into_iter().map(|id| (id, number)));
    }

    fn missing(&self) -> Vec<(u32, Arc<str>)> {
        (0..).zip(&self.texts).zip(&self.found).filter(|(_, found)| !**found).map(|((number, text), _)| (number, text.clone())).collect()
    }

    fn sorted(self) -> Vec<String> {
        let found: BTreeSet<&str> = self.texts.iter().zip(&self.found).filter(|(_, found)| **found).map(|(text, _)| &**text).collect();
        found.into_iter().map(str::to_owned).collect()
    }
}

/// Texts that the answer has, by address: they are interned. Held, so that an address stays what it was.
#[derive(Default)]
struct Seen(HashMap<*const u8, Arc<str>, RandomState>);

impl Seen {
    fn has(&self, text: &Arc<str>) -> bool {
        self.0.contains_key(&text.as_ptr())
    }

    fn add(&mut self, text: &Arc<str>) {
        self.0.entry(text.as_ptr()).or_insert_with(|| text.clone());
    }

    fn sorted(self) -> Vec<String> {
        let texts: BTreeSet<&str> = self.0.values().map(|text| &**text).collect();
        texts.into_iter().map(str::to_owned).collect()
    }
}

impl SeriesBook {
    /// All names of labels in `range`.
    pub(super) fn all_names(&self, range: TimeRange) -> Vec<String> {
        let mut wanted = Wanted::default();
        self.index.read().names(FEW).for_each(|(name, few)| wanted.add(name, few));
        self.settle(&mut wanted, range);
        for (number, name) in wanted.missing() {
            let values: Vec<Arc<str>> = self.index.read().values(&name).map(|(value, _)| value.clone()).collect();
            self.settle_rest(&mut wanted, values.iter().map(|value| (number, &*name, &**value)), range);
        }
        wanted.sorted()
    }

    /// All values of a label in `range`.
    pub(super) fn all_values(&self, name: &str, range: TimeRange) -> Vec<String> {
        let mut wanted = Wanted::default();
        for (value, ids) in self.index.read().values(name) {
            // What began last is mostly still there; what began first was there earlier.
            let first = ids.first().filter(|_| ids.len() > 1);
            wanted.add(value, ids.last().into_iter().chain(first).copied());
        }
        self.settle(&mut wanted, range);
        let missing = wanted.missing();
        self.settle_rest(&mut wanted, missing.iter().map(|(number, value)| (*number, name, &**value)), range);
        wanted.sorted()
    }

    /// Looks for a sample among all series of these labels, given with the number of the text that they stand for.
    fn settle_rest<'a>(&self, wanted: &mut Wanted, labels: impl Iterator<Item = (u32, &'a str, &'a str)>, range: TimeRange) {
        for (number, name, value) in labels {
            if wanted.found[number as usize] {
                continue;
            }
            wanted.series.extend(self.index.read().having(name, value).iter().map(|id| (*id, number)));
            if wanted.series.len() >= TURN {
                self.settle(wanted, range);
            }
        }
        self.settle(wanted, range);
    }

    /// Marks the texts of which one of the series has a sample, and is done with those series.
    fn settle(&self, wanted: &mut Wanted, range: TimeRange) {
        let mut places: Vec<(Home, SeriesId, u32)> = Vec::with_capacity(wanted.series.len());
        for turn in wanted.series.chunks(TURN) {
            let homes = self.homes.read();
            let homes = homes.lookup();
            places.extend(turn.iter().filter_map(|(id, number)| Some((homes.get(*id)?, *id, *number))));
        }
        wanted.series.clear();
        places.sort_unstable();
        let mut scratch = Scratch::default();
        self.in_turns(
            &places,
            |place| place.0.origin,
            |origin, (home, id, number)| {
                let found = &mut wanted.found[*number as usize];
                *found = *found || origin.labels_within(home.column, *id, &origin.rows(range), &mut scratch).is_some();
                true
            },
        );
    }

    /// Names of labels on the series that any of the selectors means in `range`.
    pub(super) fn names_of(&self, selectors: &[Selector], range: TimeRange) -> Vec<String> {
        let mut seen = Seen::default();
        self.each_of(selectors, |origin, home, id, scratch| {
            let unknown = origin.labels(home.column, id).is_some_and(|labels| labels.iter().any(|label| !seen.has(&label.name)));
            if unknown && let Some(labels) = origin.labels_within(home.column, id, &origin.rows(range), scratch) {
                labels.iter().for_each(|label| seen.add(&label.name));
            }
            true
        });
        seen.sorted()
    }

    /// Values of a label on the series that any of the selectors means in `range`.
    pub(super) fn values_of(&self, name: &str, selectors: &[Selector], range: TimeRange) -> Vec<String> {
        let mut seen = Seen::default();
        self.each_of(selectors, |origin, home, id, scratch| {
            let value = origin.labels(home.column, id).and_then(|labels| labels.iter().find(|label| &*label.name == name));
            if let Some(label) = value.filter(|label| !seen.has(&label.value))
                && origin.labels_within(home.column, id, &origin.rows(range), scratch).is_some()
            {
                seen.add(&label.value);
            }
            true
        });
        seen.sorted()
    }

    /// Labels of the series that any of the selectors means in `range`, at most `limit` of them.
    pub(super) fn sets_of(&self, selectors: &[Selector], range: TimeRange, limit: usize) -> Vec<Labels> {
        let (mut found, mut seen) = (Vec::new(), HashSet::<SeriesId, RandomState>::default());
        self.each_of(selectors, |origin, home, id, scratch| {
            let fresh = selectors.len() < 2 || !seen.contains(&id);
            if fresh && let Some(labels) = origin.labels_within(home.column, id, &origin.rows(range), scratch) {
                found.push(labels.clone());
                if selectors.len() > 1 {
                    seen.insert(id);
                }
            }
            found.len() < limit
        });
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Shows every series that any of the selectors means, until `look` has seen enough.
    fn each_of(&self, selectors: &[Selector], mut look: impl FnMut(&Origin, Home, SeriesId, &mut Scratch) -> bool) {
        let (mut scratch, mut more) = (Scratch::default(), true);
        for selector in selectors {
            let list = self.list(selector);
            self.in_turns(
                &list,
                |(home, _)| home.origin,
                |origin, (home, id)| {
                    more = more && look(origin, *home, *id, &mut scratch);
                    more
                },
            );
        }
    }

    /// Shows what is sorted by origin, one origin at a time, which its writer has between turns; until `look` has seen enough.
    fn in_turns<T>(&self, places: &[T], origin_of: impl Fn(&T) -> u32, mut look: impl FnMut(&Origin, &T) -> bool) {
        for group in places.chunk_by(|a, b| origin_of(a) == origin_of(b)) {
            let Some(cell) = self.origin_cell(origin_of(&group[0])) else { continue };
            let mut origin = cell.read();
            for turn in group.chunks(TURN) {
                if !turn.iter().all(|place| look(&origin, place)) {
                    return;
                }
                RwLockReadGuard::bump(&mut origin);
            }
        }
    }
}
