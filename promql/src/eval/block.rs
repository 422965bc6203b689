//! Intermediate results in columns: one row of steps per series.

use super::Lease;
use crate::functions::over_time::Cell;
use std::sync::Arc;
use watchfire_model::{Labels, METRIC_NAME, NativeHistogram, STALE_NAN, SeriesId, is_stale};

/// No float at this step. Never the result of arithmetic: stale markers do not get past selection.
pub const ABSENT: f64 = STALE_NAN;

/// A series of an intermediate result.
#[derive(Clone, Debug)]
pub struct Meta {
    pub labels: Labels,
    /// The name goes at the end of the query, unless a label function keeps it.
    pub drop_name: bool,
}

/// An instant vector at every step of the evaluation. Row `i` of `floats` (and of `histograms`) belongs to `series[i]`.
pub struct Block {
    pub steps: usize,
    pub series: Vec<Meta>,
    /// Where the rows came from, while they are rows of the source: empty, or one per series.
    pub ids: Vec<SeriesId>,
    /// `series.len() * steps` values, [`ABSENT`] where there is no float.
    pub floats: Vec<f64>,
    /// Empty, or as long as `floats`.
    pub histograms: Vec<Option<Arc<NativeHistogram>>>,
    pub lease: Lease,
}

impl Block {
    pub fn new(steps: usize, lease: Lease) -> Self {
        Block { steps, series: Vec::new(), ids: Vec::new(), floats: Vec::new(), histograms: Vec::new(), lease }
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    pub fn len(&self) -> usize {
        self.series.len()
    }

    pub fn row(&self, series: usize) -> &[f64] {
        &self.floats[series * self.steps..(series + 1) * self.steps]
    }

    pub fn histogram(&self, series: usize, step: usize) -> Option<&Arc<NativeHistogram>> {
        self.histograms.get(series * self.steps + step).and_then(Option::as_ref)
    }

    pub fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    /// The float at a step.
    pub fn float(&self, series: usize, step: usize) -> Option<f64> {
        let value = self.floats[series * self.steps + step];
        (!is_stale(value)).then_some(value)
    }

    pub fn cell(&self, series: usize, step: usize) -> Option<Cell> {
        match self.float(series, step) {
            Some(v) => Some(Cell::Float(v)),
            None => self.histogram(series, step).map(|h| Cell::Histogram(h.clone())),
        }
    }

    pub fn is_present(&self, series: usize, step: usize) -> bool {
        self.float(series, step).is_some() || self.histogram(series, step).is_some()
    }

    /// Adds an empty row.
    pub fn push(&mut self, meta: Meta) -> usize {
        self.series.push(meta);
        self.floats.resize(self.series.len() * self.steps, ABSENT);
        if self.has_histograms() {
            self.histograms.resize(self.floats.len(), None);
        }
        self.series.len() - 1
    }

    /// Takes back the last row.
    pub fn pop(&mut self) {
        self.series.pop();
        self.ids.truncate(self.series.len());
        self.floats.truncate(self.series.len() * self.steps);
        if self.has_histograms() {
            self.histograms.truncate(self.floats.len());
        }
    }

    pub fn set(&mut self, series: usize, step: usize, cell: Cell) {
        match cell {
            Cell::Float(v) => self.floats[series * self.steps + step] = v,
            Cell::Histogram(h) => {
                if self.histograms.is_empty() {
                    self.histograms.resize(self.floats.len(), None);
                }
                self.histograms[series * self.steps + step] = Some(h);
            }
        }
    }

    /// True when the row has a value at any step.
    pub fn row_present(&self, series: usize) -> bool {
        self.row(series).iter().any(|v| !is_stale(*v))
            || self.has_histograms() && self.histograms[series * self.steps..(series + 1) * self.steps].iter().any(Option::is_some)
    }

    /// Drops rows without any value.
    pub fn retain_present(&mut self) {
        let keep: Vec<bool> = (0..self.len()).map(|i| self.row_present(i)).collect();
        if keep.iter().all(|k| *k) {
            return;
        }
        let steps = self.steps;
        let mut index = 0;
        self.series.retain(|_| {
            index += 1;
            keep[index - 1]
        });
        let mut index = 0;
        self.ids.retain(|_| {
            index += 1;
            keep[index - 1]
        });
        let mut cell = 0;
        self.floats.retain(|_| {
            cell += 1;
            keep[(cell - 1) / steps]
        });
        let mut cell = 0;
        self.histograms.retain(|_| {
            cell += 1;
            keep[(cell - 1) / steps]
        });
    }

    /// Drops all histograms: most functions only know floats.
    pub fn floats_only(mut self) -> Self {
        if self.has_histograms() {
            self.histograms = Vec::new();
            self.retain_present();
        }
        self
    }

    pub fn drop_names(&mut self) {
        self.series.iter_mut().for_each(|m| m.drop_name = true);
    }

    /// One step, repeated.
    pub fn broadcast(self, steps: usize) -> Block {
        if self.steps == steps {
            return self;
        }
        let floats = self.floats.iter().flat_map(|v| std::iter::repeat_n(*v, steps)).collect();
        let histograms = self.histograms.iter().flat_map(|h| std::iter::repeat_n(h.clone(), steps)).collect();
        Block { steps, series: self.series, ids: self.ids, floats, histograms, lease: self.lease }
    }

    /// Number of values.
    pub fn samples(&self) -> usize {
        self.floats.iter().filter(|v| !is_stale(**v)).count() + self.histograms.iter().flatten().map(|h| histogram_size(h)).sum::<usize>()
    }
}

/// What is not a sample weighs as many samples as its memory would hold.
const BYTES_PER_SAMPLE: usize = 16;

pub fn histogram_size(h: &NativeHistogram) -> usize {
    (120 + 8
        * (h.positive_buckets.len() + h.negative_buckets.len() + h.custom_values.len() + h.positive_spans.len() + h.negative_spans.len()))
        / BYTES_PER_SAMPLE
}

pub fn text_size(bytes: usize) -> usize {
    bytes / BYTES_PER_SAMPLE
}

/// Whether a set has a name, and whether it has a type or unit.
fn reserved(labels: &Labels) -> (bool, bool) {
    let mut found = (false, false);
    for label in labels.reserved() {
        match &*label.name {
            METRIC_NAME => found.0 = true,
            "__type__" | "__unit__" => found.1 = true,
            _ => {}
        }
    }
    found
}

/// True when dropping names can make two series of a block equal: when they are not all of one name, or have types or units.
pub fn may_collide(series: &[Meta]) -> bool {
    let Some(first) = series.first().filter(|_| series.iter().any(|m| m.drop_name)) else { return false };
    let name = first.labels.metric_name();
    !series.iter().all(|m| m.drop_name && !reserved(&m.labels).1 && m.labels.metric_name() == name)
}

/// Labels without the name and what else describes the raw metric.
pub fn without_reserved(labels: &Labels) -> Labels {
    let (name, other) = reserved(labels);
    if !other {
        return if name { labels.without_name() } else { labels.clone() };
    }
    let mut builder = labels.to_builder();
    builder.remove(METRIC_NAME).remove("__type__").remove("__unit__");
    builder.build()
}
