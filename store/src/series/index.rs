//! From labels to series and back: postings per label value, so that a selection looks at candidates and never at everything.

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;
use watchfire_model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher, Selector, SeriesId};

type Map<K, V> = HashMap<K, V, RandomState>;

/// Where a series lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Home {
    pub origin: u32,
    pub column: u32,
}

#[derive(Debug, Default)]
struct Postings {
    /// Ascending.
    ids: Vec<SeriesId>,
    /// Changes with `ids`.
    generation: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    by_labels: Map<Labels, SeriesId>,
    labels: Map<SeriesId, (Labels, Home)>,
    postings: Map<Arc<str>, Map<Arc<str>, Postings>>,
    texts: HashSet<Arc<str>, RandomState>,
    generation: u64,
    /// Label text and bookkeeping, bytes.
    bytes: usize,
}

/// Bookkeeping of one series besides its text: two map entries and the posting of each label, roughly.
const ENTRY_BYTES: usize = 160;
const LABEL_BYTES: usize = 40;

impl Index {
    pub fn len(&self) -> usize {
        self.by_labels.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The number that changes when the answer to `selector` may have changed.
    pub fn stamp(&self, selector: &Selector) -> u64 {
        match selector.metric_name() {
            Some(name) => self.posting(METRIC_NAME, name).map_or(0, |p| p.generation),
            None => self.generation,
        }
    }

    pub fn find(&self, labels: &Labels) -> Option<SeriesId> {
        self.by_labels.get(labels).copied()
    }

    pub fn home(&self, id: SeriesId) -> Option<Home> {
        self.labels.get(&id).map(|(_, home)| *home)
    }

    pub fn labels(&self, id: SeriesId) -> Option<&Labels> {
        self.labels.get(&id).map(|(labels, _)| labels)
    }

    fn posting(&self, name: &str, value: &str) -> Option<&Postings> {
        self.postings.get(name)?.get(value)
    }

    fn text(&mut self, text: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        self.bytes += text.len() + 32;
        self.texts.insert(text.clone());
        text.clone()
    }

    /// Shares the text of `labels` with what is already known.
    pub fn intern(&mut self, labels: &Labels) -> Labels {
        let mut builder = LabelsBuilder::new();
        for label in labels.iter() {
            let (name, value) = (self.text(&label.name), self.text(&label.value));
            builder.set_shared(name, value);
        }
        builder.build()
    }

    /// `labels` come from [`intern`](Self::intern).
    pub fn insert(&mut self, id: SeriesId, labels: Labels, home: Home) {
        self.generation += 1;
        for label in labels.iter() {
            let values = self.postings.entry(label.name.clone()).or_default();
            let posting = values.entry(label.value.clone()).or_default();
            posting.generation = self.generation;
            match posting.ids.last() {
                Some(last) if *last > id => {
                    let at = posting.ids.partition_point(|known| *known < id);
                    posting.ids.insert(at, id);
                }
                _ => posting.ids.push(id),
            }
        }
        self.bytes += ENTRY_BYTES + LABEL_BYTES * labels.len();
        self.by_labels.insert(labels.clone(), id);
        self.labels.insert(id, (labels, home));
    }

    /// Forgets series; text nobody uses any more goes with them.
    pub fn remove(&mut self, ids: &[SeriesId]) {
        self.generation += 1;
        let gone: HashSet<SeriesId, RandomState> = ids.iter().copied().collect();
        let mut touched: HashSet<(Arc<str>, Arc<str>), RandomState> = HashSet::default();
        for id in ids {
            let Some((labels, _)) = self.labels.remove(id) else { continue };
            self.by_labels.remove(&labels);
            self.bytes = self.bytes.saturating_sub(ENTRY_BYTES + LABEL_BYTES * labels.len());
            for label in labels.iter() {
                touched.insert((label.name.clone(), label.value.clone()));
            }
        }
        for (name, value) in touched {
            let Some(values) = self.postings.get_mut(&name) else { continue };
            if let Some(posting) = values.get_mut(&value) {
                posting.ids.retain(|id| !gone.contains(id));
                posting.generation = self.generation;
                if posting.ids.is_empty() {
                    values.remove(&value);
                }
            }
            if values.is_empty() {
                self.postings.remove(&name);
            }
        }
        let mut freed = 0;
        self.texts.retain(|text| {
            let used = Arc::strong_count(text) > 1;
            freed += if used { 0 } else { text.len() + 32 };
            used
        });
        self.bytes = self.bytes.saturating_sub(freed);
    }

    /// All names of labels, each with a few of its series.
    pub fn names(&self, few: usize) -> impl Iterator<Item = (&Arc<str>, Vec<SeriesId>)> {
        self.postings.iter().map(move |(name, values)| (name, values.values().take(few).filter_map(|p| p.ids.last().copied()).collect()))
    }

    /// All values of a label, with their series.
    pub fn values(&self, name: &str) -> impl Iterator<Item = (&Arc<str>, &[SeriesId])> {
        self.postings.get(name).into_iter().flatten().map(|(value, posting)| (value, &*posting.ids))
    }

    /// The series that have this label with this value, ascending.
    pub fn having(&self, name: &str, value: &str) -> &[SeriesId] {
        self.posting(name, value).map_or(&[], |posting| &posting.ids)
    }

    /// Ids of all matching series.
    pub fn matching(&self, selector: &Selector) -> Vec<SeriesId> {
        // An equality with a value names its candidates outright; the shortest such list is the one to filter.
        let exact = selector.0.iter().filter(|m| m.op == MatchOp::Equal && !m.value.is_empty());
        let mut best: Option<&[SeriesId]> = None;
        for matcher in exact {
            let Some(posting) = self.posting(&matcher.name, &matcher.value) else { return Vec::new() };
            if best.is_none_or(|b| posting.ids.len() < b.len()) {
                best = Some(&posting.ids);
            }
        }
        let rest: Vec<&Matcher> = selector.0.iter().filter(|m| m.op != MatchOp::Equal || m.value.is_empty()).collect();
        let exact: Vec<&Matcher> = selector.0.iter().filter(|m| m.op == MatchOp::Equal && !m.value.is_empty()).collect();
        let mut verdicts: Vec<Map<*const u8, bool>> = vec![Map::default(); rest.len()];
        // Text is interned: one verdict per distinct value, found by its address.
        let mut passes = |labels: &Labels| {
            exact.iter().all(|m| m.matches(labels))
                && rest.iter().zip(&mut verdicts).all(|(matcher, seen)| {
                    let value = labels.value(&matcher.name);
                    *seen.entry(value.as_ptr()).or_insert_with(|| matcher.matches_value(value))
                })
        };
        if let Some(candidates) = best {
            let all = candidates.iter().copied();
            return all.filter(|id| self.labels.get(id).is_some_and(|(labels, _)| passes(labels))).collect();
        }
        // No equality: the values of one label that a matcher accepts, provided it does not accept absence.
        let mut ids: Vec<SeriesId> = match rest.iter().find(|m| !m.matches_value("")) {
            Some(matcher) => {
                let values = self.postings.get(&*matcher.name).into_iter().flatten();
                values.filter(|(value, _)| matcher.matches_value(value)).flat_map(|(_, posting)| posting.ids.iter().copied()).collect()
            }
            None => self.labels.keys().copied().collect(),
        };
        ids.sort_unstable();
        ids.retain(|id| self.labels.get(id).is_some_and(|(labels, _)| passes(labels)));
        ids
    }
}
