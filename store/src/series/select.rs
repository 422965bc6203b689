//! Reading: which series a selector means, and their samples.

use super::SeriesBook;
use super::index::Home;
use super::origin::Scratch;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::RwLockReadGuard;
use std::sync::Arc;
use watchfire_model::{Exemplar, Labels, Metadata, Selector, SeriesId, SeriesSource, SeriesView, SourceError, TimeRange};

/// Selectors whose id lists are remembered. Rules and dashboards use far fewer; past this the lists are dropped and built again, and so they are where
/// they take more than this part of the memory of series.
const LISTS: usize = 1024;
const LISTS_PART: usize = 16;

/// The series that a selector means, by home.
pub(super) type List = Arc<[(Home, SeriesId)]>;

/// Id lists of selectors, and for which state of the index they stand.
#[derive(Default)]
pub(super) struct Lists {
    by_selector: HashMap<Selector, (u64, List), RandomState>,
    bytes: usize,
}

/// Bytes of a list, and of the selector that it is found by, roughly.
fn list_bytes(list: &[(Home, SeriesId)]) -> usize {
    size_of_val(list) + 256
}

impl Lists {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn get(&self, selector: &Selector, stamp: u64) -> Option<List> {
        self.by_selector.get(selector).filter(|(of, _)| *of == stamp).map(|(_, list)| list.clone())
    }

    fn remember(&mut self, selector: &Selector, stamp: u64, list: &List, most: usize) {
        self.bytes += list_bytes(list);
        if let Some((_, old)) = self.by_selector.remove(selector) {
            self.bytes -= list_bytes(&old);
        }
        if self.by_selector.len() >= LISTS || self.bytes > most {
            self.by_selector.clear();
            self.bytes = list_bytes(list);
        }
        // One that is too long by itself is made each time.
        if self.bytes > most {
            self.bytes = 0;
            return;
        }
        self.by_selector.insert(selector.clone(), (stamp, list.clone()));
    }
}

impl SeriesBook {
    /// The series a selector means, by home. Remembered until a series of that metric (or any, where the selector names none) appears or goes.
    pub(super) fn list(&self, selector: &Selector) -> List {
        let index = self.index.read();
        let stamp = index.stamp(selector);
        if let Some(list) = self.lists.read().get(selector, stamp) {
            return list;
        }
        let mut list: Vec<(Home, SeriesId)> = index.matching(selector).into_iter().filter_map(|id| Some((index.home(id)?, id))).collect();
        list.sort_unstable();
        let list: List = list.into();
        self.lists.write().remember(selector, stamp, &list, self.limits.series_bytes() / LISTS_PART);
        list
    }
}

/// Samples shown to a visitor before a writer that waits has its turn. Rules look at fewer; what looks at more takes long enough to hold up a scrape.
const TURN: u64 = 1_000_000;
/// As many series whose labels are shown before a writer has its turn.
const TURN_OF_LABELS: usize = 4096;

impl SeriesSource for SeriesBook {
    fn select(&self, selector: &Selector, range: TimeRange, visit: &mut dyn FnMut(SeriesView<'_>)) -> Result<(), SourceError> {
        let list = self.list(selector);
        let mut scratch = Scratch::default();
        for group in list.chunk_by(|a, b| a.0.origin == b.0.origin) {
            let Some(cell) = self.origin_cell(group[0].0.origin) else { continue };
            let mut origin = cell.read();
            let (mut shown, mut rows) = (0, origin.rows(range));
            for (home, id) in group {
                origin.visit(home.column, *id, &rows, &mut scratch, visit);
                // At most as many samples; gaps and series that began later have fewer.
                shown += rows.end - rows.start;
                if shown >= TURN {
                    shown = 0;
                    RwLockReadGuard::bump(&mut origin);
                    rows = origin.rows(range);
                }
            }
        }
        Ok(())
    }

    fn select_labels(&self, selector: &Selector, range: TimeRange, visit: &mut dyn FnMut(&Labels)) -> Result<(), SourceError> {
        let list = self.list(selector);
        let mut scratch = Scratch::default();
        for group in list.chunk_by(|a, b| a.0.origin == b.0.origin) {
            let Some(cell) = self.origin_cell(group[0].0.origin) else { continue };
            let mut origin = cell.read();
            for turn in group.chunks(TURN_OF_LABELS) {
                let rows = origin.rows(range);
                turn.iter().filter_map(|(home, id)| origin.labels_within(home.column, *id, &rows, &mut scratch)).for_each(&mut *visit);
                RwLockReadGuard::bump(&mut origin);
            }
        }
        Ok(())
    }

    fn label_names(&self, selectors: &[Selector], range: TimeRange) -> Result<Vec<String>, SourceError> {
        Ok(if selectors.is_empty() { self.all_names(range) } else { self.names_of(selectors, range) })
    }

    fn label_values(&self, name: &str, selectors: &[Selector], range: TimeRange) -> Result<Vec<String>, SourceError> {
        Ok(if selectors.is_empty() { self.all_values(name, range) } else { self.values_of(name, selectors, range) })
    }

    fn label_sets(&self, selectors: &[Selector], range: TimeRange, limit: usize) -> Result<Vec<Labels>, SourceError> {
        Ok(self.sets_of(selectors, range, limit))
    }

    fn generation(&self) -> Option<u64> {
        Some(self.index.read().generation())
    }

    fn metadata(&self) -> Vec<(String, Metadata)> {
        self.metadata.read().iter().map(|(family, metadata)| (family.clone(), metadata.clone())).collect()
    }

    fn exemplars(&self, selector: &Selector, range: TimeRange) -> Vec<(Labels, Vec<Exemplar>)> {
        let mut ids: Vec<SeriesId> = self.list(selector).iter().map(|(_, id)| *id).collect();
        ids.sort_unstable();
        let found = self.exemplars.of(&ids, range);
        let index = self.index.read();
        found
            .chunk_by(|a, b| a.0 == b.0)
            .filter_map(|group| Some((index.labels(group[0].0)?.clone(), group.iter().map(|(_, e)| e.clone()).collect())))
            .collect()
    }
}
