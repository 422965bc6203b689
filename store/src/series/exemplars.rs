//! A bounded ring of samples that point at traces.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use watchfire_model::{Exemplar, SeriesId, TimeRange};

pub(crate) struct Exemplars {
    limit: usize,
    ring: Mutex<VecDeque<(SeriesId, Exemplar)>>,
    bytes: AtomicUsize,
}

fn size(exemplar: &Exemplar) -> usize {
    size_of::<(SeriesId, Exemplar)>() + exemplar.labels.text_bytes() + 48 * exemplar.labels.len()
}

impl Exemplars {
    pub fn new(limit: usize) -> Self {
        Exemplars { limit, ring: Mutex::default(), bytes: AtomicUsize::new(0) }
    }

    pub fn push(&self, series: SeriesId, exemplar: Exemplar) {
        let mut ring = self.ring.lock();
        // The same exemplar comes with every scrape until the target has a newer one.
        if ring.iter().rev().take(64).any(|(id, held)| *id == series && held.at == exemplar.at && held.trace_id == exemplar.trace_id) {
            return;
        }
        let mut bytes = self.bytes.load(Ordering::Relaxed) + size(&exemplar);
        ring.push_back((series, exemplar));
        while ring.len() > self.limit
            && let Some((_, gone)) = ring.pop_front()
        {
            bytes = bytes.saturating_sub(size(&gone));
        }
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Those of `ids` (ascending) within `range`, oldest first.
    pub fn of(&self, ids: &[SeriesId], range: TimeRange) -> Vec<(SeriesId, Exemplar)> {
        let ring = self.ring.lock();
        let mut found: Vec<_> = ring.iter().filter(|(id, e)| range.contains(e.at) && ids.binary_search(id).is_ok()).cloned().collect();
        found.sort_by_key(|(id, e)| (*id, e.at));
        found
    }
}
