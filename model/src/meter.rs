//! watchfire's own counters and gauges. Whatever is refused, dropped or cut counts here under a `reason`.

use crate::Labels;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A monotonic count. Clones share the value.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that goes up and down. Clones share the value.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

#[derive(Debug)]
enum Cell {
    Counter(Counter),
    Gauge(Gauge),
}

/// The registry of own metrics; clones share it. Names are given in full (`watchfire_...`), counters end in `_total`.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<RwLock<BTreeMap<Labels, Cell>>>);

impl Meter {
    pub fn new() -> Self {
        Meter::default()
    }

    /// The counter of that name and labels, created at zero. Hot paths keep the handle.
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> Counter {
        let key = key(name, labels);
        if let Some(Cell::Counter(counter)) = self.0.read().get(&key) {
            return counter.clone();
        }
        match self.0.write().entry(key).or_insert_with(|| Cell::Counter(Counter::default())) {
            Cell::Counter(counter) => counter.clone(),
            Cell::Gauge(_) => Counter::default(),
        }
    }

    /// The gauge of that name and labels.
    pub fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> Gauge {
        let key = key(name, labels);
        if let Some(Cell::Gauge(gauge)) = self.0.read().get(&key) {
            return gauge.clone();
        }
        match self.0.write().entry(key).or_insert_with(|| Cell::Gauge(Gauge::default())) {
            Cell::Gauge(gauge) => gauge.clone(),
            Cell::Counter(_) => Gauge::default(),
        }
    }

    /// Every own metric as (labels with name, value, is a counter), sorted by labels.
    pub fn readings(&self) -> Vec<(Labels, f64, bool)> {
        self.0
            .read()
            .iter()
            .map(|(labels, cell)| match cell {
                Cell::Counter(c) => (labels.clone(), c.get() as f64, true),
                Cell::Gauge(g) => (labels.clone(), g.get(), false),
            })
            .collect()
    }
}

fn key(name: &str, labels: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(labels.iter().copied().chain([(crate::METRIC_NAME, name)]))
}
