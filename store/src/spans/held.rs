//! What is held of spans, and in which order it goes.
//!
//! 1. Ordinary spans, oldest segment first.
//! 2. What such a segment leaves behind (spans of traces with an error or a slow span), oldest first, within their own part of the memory.
//! 3. Pinned traces, oldest first, within half of that part.
//!
//! Spans make room: where series, logs and tables need what is theirs, spans have what is left of the memory.
//!
//! Every span that goes is counted under the reason it went.

use super::block::Spare;
use super::segment::{FAILED, SLOW, Segment};
use crate::StoreLimits;
use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use hashbrown::HashSet;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use watchfire_model::{Counter, Meter};

/// Receives segments when they are sealed: the seam to history on disk, which nothing takes yet. Called on the ingest thread; must not block.
pub trait SegmentSink: Send + Sync {
    fn sealed(&self, segment: &Arc<Segment>);
}

/// A set that forgets its oldest members.
#[derive(Debug)]
pub(crate) struct Recent {
    limit: usize,
    set: HashSet<u128, RandomState>,
    order: VecDeque<u128>,
}

impl Recent {
    fn new(limit: usize) -> Self {
        Recent { limit, set: HashSet::default(), order: VecDeque::new() }
    }

    pub fn add(&mut self, id: u128) {
        if self.set.insert(id) {
            self.order.push_back(id);
            if self.order.len() > self.limit
                && let Some(oldest) = self.order.pop_front()
            {
                self.set.remove(&oldest);
            }
        }
    }

    pub fn all(&self) -> impl Iterator<Item = u128> {
        self.order.iter().copied()
    }

    pub fn has(&self, id: u128) -> bool {
        self.set.contains(&id)
    }

    pub fn bytes(&self) -> usize {
        self.set.capacity() * (size_of::<u128>() + 1) + self.order.capacity() * size_of::<u128>()
    }
}

#[derive(Debug, Default)]
struct Rescued {
    /// Errors and slow traces, oldest first.
    notable: VecDeque<Arc<Segment>>,
    notable_bytes: usize,
    /// Pinned traces, oldest first.
    pinned: VecDeque<Arc<Segment>>,
    pinned_bytes: usize,
}

/// The spans a reader sees: oldest first, the still open segment as a copy at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub segments: Vec<Arc<Segment>>,
}

pub(crate) struct Held {
    limits: StoreLimits,
    /// Bytes of sealed segments and of the blocks of the open one.
    bytes: AtomicUsize,
    /// Bytes of series, logs and tables, which share the memory.
    elsewhere: AtomicUsize,
    /// Bytes that others keep beside the store, and that count as its own.
    pub beside: AtomicUsize,
    /// Spans in live segments, the open one included.
    pub live: AtomicU64,
    pub rescued_spans: AtomicU64,
    pub snapshot: ArcSwap<Snapshot>,
    pub spare: Spare,
    rescued: Mutex<Rescued>,
    pub notable: Mutex<Recent>,
    pub pinned: Mutex<Recent>,
    pub sink: Mutex<Option<Arc<dyn SegmentSink>>>,
    evicted_ordinary: Counter,
    evicted_notable: Counter,
    evicted_pinned: Counter,
    pub evicted_age: Counter,
}

impl Held {
    pub fn new(limits: &StoreLimits, meter: &Meter) -> Self {
        let evicted = |reason| meter.counter("watchfire_spans_evicted_total", &[("reason", reason)]);
        Held {
            limits: limits.clone(),
            bytes: AtomicUsize::new(0),
            elsewhere: AtomicUsize::new(0),
            beside: AtomicUsize::new(0),
            live: AtomicU64::new(0),
            rescued_spans: AtomicU64::new(0),
            snapshot: ArcSwap::default(),
            spare: Spare::default(),
            rescued: Mutex::default(),
            notable: Mutex::new(Recent::new(limits.notable_traces())),
            pinned: Mutex::new(Recent::new(limits.pinned)),
            sink: Mutex::new(None),
            evicted_ordinary: evicted("ordinary"),
            evicted_notable: evicted("error_or_slow"),
            evicted_pinned: evicted("pinned"),
            evicted_age: evicted("age"),
        }
    }

    pub fn evicted(&self) -> u64 {
        self.evicted_ordinary.get() + self.evicted_notable.get() + self.evicted_pinned.get() + self.evicted_age.get()
    }

    pub fn bytes(&self) -> usize {
        let rescued = self.rescued.lock();
        self.bytes.load(Ordering::Relaxed) + rescued.notable_bytes + rescued.pinned_bytes
    }

    /// Their part of the memory.
    pub fn span_bytes(&self) -> usize {
        self.limits.span_bytes()
    }

    pub fn retention(&self) -> std::time::Duration {
        self.limits.retention
    }

    pub fn grew(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn saved(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A live segment goes.
    pub fn lets_go(&self, segment: &Segment) {
        self.live.fetch_sub(segment.len() as u64, Ordering::Relaxed);
        self.saved(segment.column_bytes() + segment.blocks.iter().map(|block| block.let_go()).sum::<usize>());
    }

    pub fn spans(&self) -> u64 {
        self.live.load(Ordering::Relaxed) + self.rescued_spans.load(Ordering::Relaxed)
    }

    /// Series, logs and tables take this many bytes now.
    pub fn is_elsewhere(&self, bytes: usize) {
        self.elsewhere.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of the ids that eviction spares.
    pub fn recent_bytes(&self) -> usize {
        self.notable.lock().bytes() + self.pinned.lock().bytes()
    }

    fn budget(&self) -> usize {
        self.limits.span_bytes_beside(self.elsewhere.load(Ordering::Relaxed) + self.beside.load(Ordering::Relaxed))
    }

    pub fn over_budget(&self) -> bool {
        self.bytes() > self.budget()
    }

    /// Everything readable, oldest first; rescued spans are the oldest.
    pub fn read(&self) -> Vec<Arc<Segment>> {
        let snapshot = self.snapshot.load_full();
        let rescued = self.rescued.lock();
        let mut all = Vec::with_capacity(rescued.pinned.len() + rescued.notable.len() + snapshot.segments.len());
        all.extend(rescued.pinned.iter().cloned());
        all.extend(rescued.notable.iter().cloned());
        drop(rescued);
        all.extend(snapshot.segments.iter().cloned());
        all
    }

    /// A segment leaves the live ones: what is notable or pinned in it stays, the rest is gone.
    pub fn rescue(&self, segment: &Segment) {
        let (mut notable_rows, mut pinned_rows) = (Vec::new(), Vec::new());
        {
            let (notable, pinned) = (self.notable.lock(), self.pinned.lock());
            for row in segment.rows() {
                if pinned.has(row.trace()) {
                    pinned_rows.push(row.row);
                } else if row.has(FAILED | SLOW) || notable.has(row.trace()) {
                    notable_rows.push(row.row);
                }
            }
        }
        self.evicted_ordinary.add((segment.len() - notable_rows.len() - pinned_rows.len()) as u64);
        let (notable, pinned) = (segment.salvage(&notable_rows, &self.spare), segment.salvage(&pinned_rows, &self.spare));
        let mut rescued = self.rescued.lock();
        for segment in [notable].into_iter().flatten() {
            self.rescued_spans.fetch_add(segment.len() as u64, Ordering::Relaxed);
            rescued.notable_bytes += segment.bytes();
            rescued.notable.push_back(Arc::new(segment));
        }
        for segment in [pinned].into_iter().flatten() {
            self.rescued_spans.fetch_add(segment.len() as u64, Ordering::Relaxed);
            rescued.pinned_bytes += segment.bytes();
            rescued.pinned.push_back(Arc::new(segment));
        }
        drop(rescued);
        self.let_go();
    }

    /// What was left behind keeps within its part, which gets smaller where everything else gets more.
    pub fn let_go(&self) {
        let budget = self.limits.kept_bytes(self.budget());
        let mut rescued = self.rescued.lock();
        while rescued.notable_bytes + rescued.pinned_bytes > budget
            && let Some(oldest) = rescued.notable.pop_front()
        {
            rescued.notable_bytes -= oldest.bytes();
            let pinned = self.pinned.lock();
            let rows: Vec<usize> = oldest.rows().filter(|r| pinned.has(r.trace())).map(|r| r.row).collect();
            drop(pinned);
            self.rescued_spans.fetch_sub((oldest.len() - rows.len()) as u64, Ordering::Relaxed);
            self.evicted_notable.add((oldest.len() - rows.len()) as u64);
            if let Some(kept) = oldest.salvage(&rows, &self.spare) {
                rescued.pinned_bytes += kept.bytes();
                rescued.pinned.push_back(Arc::new(kept));
            }
        }
        while rescued.pinned_bytes > budget / 2
            && let Some(oldest) = rescued.pinned.pop_front()
        {
            rescued.pinned_bytes -= oldest.bytes();
            self.rescued_spans.fetch_sub(oldest.len() as u64, Ordering::Relaxed);
            self.evicted_pinned.add(oldest.len() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::block::Block;
    use super::*;

    #[test]
    fn a_segment_that_goes_before_it_is_packed_takes_no_more_along_than_was_counted_for_it() {
        let held = Held::new(&StoreLimits::default(), &Meter::new());
        let block = Arc::new(Block::new(0, vec![7; 100_000]));
        let segment = Segment::of_block(block.clone());
        held.grew(1_000);
        held.grew(block.bytes() + segment.column_bytes());
        held.live.fetch_add(segment.len() as u64, Ordering::Relaxed);
        held.lets_go(&segment);
        held.saved(block.pack(&held.spare));
        assert_eq!(held.bytes(), 1_000);
    }
}
