//! A bounded ring of samples that point at traces.

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use watchfire_model::{Exemplar, SeriesId, TimeRange, Timestamp, TraceId};

/// What tells exemplars apart. The same one comes with every scrape until the target has a newer one.
type Identity = (SeriesId, Timestamp, Option<TraceId>);

fn identity((series, exemplar): &(SeriesId, Exemplar)) -> Identity {
    (*series, exemplar.at, exemplar.trace_id)
}

#[derive(Default)]
struct Ring {
    held: VecDeque<(SeriesId, Exemplar)>,
    known: HashSet<Identity, RandomState>,
}

pub(crate) struct Exemplars {
    limit: usize,
    ring: Mutex<Ring>,
    bytes: AtomicUsize,
}

fn size(exemplar: &Exemplar) -> usize {
    size_of::<(SeriesId, Exemplar)>() + size_of::<Identity>() + exemplar.labels.text_bytes() + 48 * exemplar.labels.len()
}

impl Exemplars {
    pub fn new(limit: usize) -> Self {
        Exemplars { limit, ring: Mutex::default(), bytes: AtomicUsize::new(0) }
    }

    pub fn push(&self, series: SeriesId, exemplar: Exemplar) {
        let Ring { held, known } = &mut *self.ring.lock();
        let new = (series, exemplar);
        if !known.insert(identity(&new)) {
            return;
        }
        let mut bytes = self.bytes.load(Ordering::Relaxed) + size(&new.1);
        held.push_back(new);
        while held.len() > self.limit
            && let Some(gone) = held.pop_front()
        {
            known.remove(&identity(&gone));
            bytes = bytes.saturating_sub(size(&gone.1));
        }
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Those of `ids` (ascending) within `range`, oldest first.
    pub fn of(&self, ids: &[SeriesId], range: TimeRange) -> Vec<(SeriesId, Exemplar)> {
        let ring = self.ring.lock();
        let mut found: Vec<_> = ring.held.iter().filter(|(id, e)| range.contains(e.at) && ids.binary_search(id).is_ok()).cloned().collect();
        found.sort_by_key(|(id, e)| (*id, e.at));
        found
    }
}
