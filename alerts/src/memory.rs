//! Series in plain memory, without limits or eviction: where rule tests write, and what a file of samples is read into.

use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use watchfire_model::{
    Appended, Exemplar, Labels, Metadata, MetricKind, NativeHistogram, ORDINARY_NAN, OriginId, Selector, SeriesId, SeriesSink,
    SeriesSource, SeriesView, SourceError, TimeRange, Timestamp, Value,
};

/// A source and a sink in one. Samples of a series come in ascending time.
#[derive(Debug, Default)]
pub struct MemorySeries {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    series: Vec<Column>,
    by_labels: HashMap<Labels, u32>,
    by_name: HashMap<String, Vec<u32>>,
    metadata: Vec<(String, Metadata)>,
    origins: Vec<String>,
}

#[derive(Debug)]
struct Column {
    labels: Labels,
    times: Vec<Timestamp>,
    values: Vec<f64>,
    /// As long as `times`, or empty while all samples are floats.
    histograms: Vec<Option<Arc<NativeHistogram>>>,
}

/// What became of a sample.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Put {
    Stored,
    /// It was there already.
    Same,
    /// Another one of the same time was there.
    Duplicate,
    OutOfOrder,
}

impl Column {
    fn put(&mut self, at: Timestamp, value: Value) -> Put {
        match self.times.last() {
            Some(last) if *last > at => return Put::OutOfOrder,
            Some(last) if *last == at => return if self.holds(&value) { Put::Same } else { Put::Duplicate },
            _ => {}
        }
        self.times.push(at);
        match value {
            Value::Float(v) => {
                self.values.push(v);
                if !self.histograms.is_empty() {
                    self.histograms.push(None);
                }
            }
            Value::Histogram(h) => {
                self.histograms.resize(self.values.len(), None);
                self.values.push(ORDINARY_NAN);
                self.histograms.push(Some(h));
            }
        }
        Put::Stored
    }

    /// Whether the newest sample is this one.
    fn holds(&self, value: &Value) -> bool {
        match (value, self.histograms.last().and_then(Option::as_ref)) {
            (Value::Float(v), None) => self.values.last().is_some_and(|last| last.to_bits() == v.to_bits()),
            (Value::Histogram(h), Some(last)) => h == last,
            _ => false,
        }
    }
}

impl Inner {
    fn series(&mut self, labels: &Labels) -> u32 {
        if let Some(id) = self.by_labels.get(labels) {
            return *id;
        }
        let id = self.series.len() as u32;
        self.series.push(Column { labels: labels.clone(), times: Vec::new(), values: Vec::new(), histograms: Vec::new() });
        self.by_labels.insert(labels.clone(), id);
        self.by_name.entry(labels.metric_name().to_owned()).or_default().push(id);
        id
    }

    fn matching<'a>(&'a self, selector: &'a Selector) -> impl Iterator<Item = (u32, &'a Column)> {
        let named = selector.metric_name().map(|name| self.by_name.get(name).map_or(&[][..], Vec::as_slice));
        let all = if named.is_none() { 0..self.series.len() as u32 } else { 0..0 };
        named
            .unwrap_or(&[])
            .iter()
            .copied()
            .chain(all)
            .map(|id| (id, &self.series[id as usize]))
            .filter(|(_, c)| selector.matches(&c.labels))
    }
}

impl MemorySeries {
    pub fn new() -> Self {
        MemorySeries::default()
    }

    /// Adds a sample; false if the series already has one at that time or later.
    pub fn push(&self, labels: &Labels, at: Timestamp, value: Value) -> bool {
        let mut inner = self.inner.write();
        let id = inner.series(labels);
        inner.series[id as usize].put(at, value) == Put::Stored
    }

    /// The first and the last time of any sample.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let inner = self.inner.read();
        let first = inner.series.iter().filter_map(|c| c.times.first()).min()?;
        let last = inner.series.iter().filter_map(|c| c.times.last()).max()?;
        Some((*first, *last))
    }

    pub fn series_count(&self) -> usize {
        self.inner.read().series.len()
    }
}

impl SeriesSink for MemorySeries {
    fn origin(&self, name: &str) -> OriginId {
        let mut inner = self.inner.write();
        let position = inner.origins.iter().position(|o| o == name).unwrap_or_else(|| {
            inner.origins.push(name.to_owned());
            inner.origins.len() - 1
        });
        OriginId(position as u32)
    }

    fn series(&self, _origin: OriginId, labels: &Labels, _kind: MetricKind) -> Option<SeriesId> {
        Some(SeriesId(self.inner.write().series(labels)))
    }

    fn append(&self, _origin: OriginId, at: Timestamp, _now: Timestamp, row: &[(SeriesId, Value)]) -> Appended {
        let mut inner = self.inner.write();
        let mut appended = Appended::default();
        for (id, value) in row {
            match inner.series.get_mut(id.0 as usize).map(|c| c.put(at, value.clone())) {
                Some(Put::Stored) => appended.stored += 1,
                Some(Put::Same) => {}
                Some(Put::Duplicate) => appended.duplicate += 1,
                Some(Put::OutOfOrder) => appended.out_of_order += 1,
                None => appended.series_limit += 1,
            }
        }
        appended
    }

    fn describe(&self, family: &str, metadata: Metadata) {
        let mut inner = self.inner.write();
        match inner.metadata.iter_mut().find(|(name, _)| name == family) {
            Some((_, have)) => *have = metadata,
            None => inner.metadata.push((family.to_owned(), metadata)),
        }
    }

    fn exemplar(&self, _series: SeriesId, _exemplar: Exemplar) {}
}

impl SeriesSource for MemorySeries {
    fn select(&self, selector: &Selector, range: TimeRange, visit: &mut dyn FnMut(SeriesView<'_>)) -> Result<(), SourceError> {
        let inner = self.inner.read();
        for (id, column) in inner.matching(selector) {
            let from = column.times.partition_point(|t| *t <= range.start);
            let to = column.times.partition_point(|t| *t <= range.end);
            if from < to {
                visit(SeriesView {
                    id: SeriesId(id),
                    labels: &column.labels,
                    times: &column.times[from..to],
                    values: &column.values[from..to],
                    histograms: column.histograms.get(from..to).unwrap_or(&[]),
                    rising: false,
                });
            }
        }
        Ok(())
    }

    fn metadata(&self) -> Vec<(String, Metadata)> {
        self.inner.read().metadata.clone()
    }
}
