//! One series inside its origin: values aligned to the origin's rows.

use std::sync::Arc;
use watchfire_model::{Labels, NativeHistogram, ORDINARY_NAN, SeriesId, Value};

/// Fills rows in which the series has no sample. A NaN with a payload nobody sends: real samples with these bits are stored as an ordinary NaN,
/// so a hole can never be mistaken for a sample, nor for the staleness marker.
pub(crate) const GAP: f64 = f64::from_bits(0x7ff0_0000_0a9d_0a9d);

pub(crate) fn is_gap(value: f64) -> bool {
    value.to_bits() == GAP.to_bits()
}

/// What became of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Stored,
    /// Same time, same value: nothing to do, nothing to report.
    Same,
    Duplicate,
    OutOfOrder,
}

/// Invariant: the first and the last value are samples, never gaps.
#[derive(Debug)]
pub(crate) struct Column {
    pub id: SeriesId,
    pub labels: Labels,
    /// Absolute row of `values[0]`.
    pub base: u64,
    pub values: Vec<f64>,
    /// Empty, or as long as `values`.
    pub histograms: Vec<Option<Arc<NativeHistogram>>>,
    pub gaps: usize,
}

impl Column {
    pub fn new(id: SeriesId, labels: Labels) -> Self {
        Column { id, labels, base: 0, values: Vec::new(), histograms: Vec::new(), gaps: 0 }
    }

    /// One past the last row that holds a sample.
    pub fn end(&self) -> u64 {
        self.base + self.values.len() as u64
    }

    /// Whether a sample at absolute row `row` would be new.
    pub fn accepts(&self, row: u64) -> bool {
        self.values.is_empty() || row >= self.end()
    }

    pub fn put(&mut self, row: u64, value: &Value) -> Put {
        if !self.accepts(row) {
            return self.compare(row, value);
        }
        if self.values.is_empty() {
            self.base = row;
        }
        let missing = (row - self.end()) as usize;
        grow(&mut self.values, missing + 1);
        self.values.extend(std::iter::repeat_n(GAP, missing));
        self.gaps += missing;
        match value {
            Value::Float(v) => {
                self.values.push(sample_bits(*v));
                if !self.histograms.is_empty() {
                    self.histograms.resize(self.values.len(), None);
                }
            }
            Value::Histogram(h) if value.is_stale() => {
                self.values.push(h.sum);
                if !self.histograms.is_empty() {
                    self.histograms.resize(self.values.len(), None);
                }
            }
            Value::Histogram(h) => {
                self.values.push(ORDINARY_NAN);
                grow(&mut self.histograms, missing + 1);
                self.histograms.resize(self.values.len() - 1, None);
                self.histograms.push(Some(h.clone()));
            }
        }
        Put::Stored
    }

    fn compare(&self, row: u64, value: &Value) -> Put {
        let Some(index) = row.checked_sub(self.base).map(|i| i as usize) else { return Put::OutOfOrder };
        let held = self.values[index];
        if is_gap(held) {
            return Put::OutOfOrder;
        }
        let same = match (value, self.histograms.get(index).and_then(Option::as_ref)) {
            (Value::Float(v), None) => sample_bits(*v).to_bits() == held.to_bits(),
            (Value::Histogram(h), Some(stored)) => h == stored,
            _ => false,
        };
        match (same, row + 1 == self.end()) {
            (true, _) => Put::Same,
            (false, true) => Put::Duplicate,
            (false, false) => Put::OutOfOrder,
        }
    }

    /// A row was inserted at absolute position `row` of the origin.
    pub fn row_inserted(&mut self, row: u64) {
        if self.values.is_empty() {
            return;
        }
        if self.base >= row {
            self.base += 1;
        } else if row < self.end() {
            let index = (row - self.base) as usize;
            self.values.insert(index, GAP);
            if !self.histograms.is_empty() {
                self.histograms.insert(index, None);
            }
            self.gaps += 1;
        }
    }

    /// Rows before `row` are gone.
    pub fn trim(&mut self, row: u64) {
        let mut count = (row.saturating_sub(self.base) as usize).min(self.values.len());
        if count == 0 {
            return;
        }
        while count < self.values.len() && is_gap(self.values[count]) {
            count += 1;
        }
        if self.gaps > 0 {
            self.gaps -= self.values[..count].iter().filter(|v| is_gap(**v)).count();
        }
        self.values.drain(..count);
        if !self.histograms.is_empty() {
            self.histograms.drain(..count);
            if self.histograms.iter().all(Option::is_none) {
                self.histograms = Vec::new();
            }
        }
        self.base += count as u64;
        if self.values.capacity() > 2 * self.values.len() + 64 {
            self.values.shrink_to(self.values.len() + self.values.len() / 4 + 8);
            self.histograms.shrink_to(self.histograms.len() + self.histograms.len() / 4);
        }
    }

    /// Bytes held, histograms shared between rows counted once.
    pub fn bytes(&self) -> usize {
        let mut bytes = size_of::<Self>() + 8 * self.values.capacity() + 8 * self.histograms.capacity();
        let mut last: *const NativeHistogram = std::ptr::null();
        for histogram in self.histograms.iter().flatten() {
            if Arc::as_ptr(histogram) != last {
                last = Arc::as_ptr(histogram);
                bytes += histogram_bytes(histogram);
            }
        }
        bytes
    }
}

pub(crate) fn histogram_bytes(h: &NativeHistogram) -> usize {
    size_of::<NativeHistogram>()
        + 16
        + 8 * (h.positive_buckets.capacity() + h.negative_buckets.capacity() + h.custom_values.capacity())
        + 8 * (h.positive_spans.capacity() + h.negative_spans.capacity())
}

/// Grows by a quarter rather than by doubling: columns are many and long-lived, slack is memory that holds nothing.
fn grow<T>(column: &mut Vec<T>, more: usize) {
    if column.capacity() - column.len() < more {
        column.reserve_exact(more.max(column.len() / 4).max(32));
    }
}

fn sample_bits(value: f64) -> f64 {
    if is_gap(value) { ORDINARY_NAN } else { value }
}

impl Column {
    /// Removes the rows that `keep` (indexed from absolute row `first`) says no to, except this column's last sample and stale markers' neighbours:
    /// a sample is only dropped when the row that replaces it holds one too.
    pub fn thin(&mut self, first: u64, keep: &[bool]) {
        let start = (self.base - first) as usize;
        let kept_before = keep.iter().take(start).filter(|k| **k).count() as u64;
        let mut values = Vec::with_capacity(self.values.len());
        let mut histograms = Vec::new();
        let mut carried: Option<(f64, Option<Arc<NativeHistogram>>)> = None;
        let mut base = first + kept_before;
        for (i, value) in self.values.iter().enumerate() {
            let stays = keep.get(start + i).copied().unwrap_or(true);
            let histogram = self.histograms.get(i).cloned().flatten();
            let present = !is_gap(*value);
            if !stays {
                if present {
                    carried = Some((*value, histogram));
                }
                continue;
            }
            // The newest sample of the merged rows stands for all of them.
            let (value, histogram) = match (present, carried.take()) {
                (false, Some(earlier)) => earlier,
                _ => (*value, histogram),
            };
            if values.is_empty() && is_gap(value) {
                base += 1;
                continue;
            }
            values.push(value);
            if !self.histograms.is_empty() {
                histograms.push(histogram);
            }
        }
        if let Some((value, histogram)) = carried {
            // The row after the last kept one stands for the merged rows.
            values.push(value);
            if !self.histograms.is_empty() {
                histograms.push(histogram);
            }
        }
        while values.last().is_some_and(|v| is_gap(*v)) {
            values.pop();
            histograms.pop();
        }
        self.gaps = values.iter().filter(|v| is_gap(**v)).count();
        values.shrink_to(values.len() + values.len() / 4 + 8);
        self.values = values;
        self.histograms = histograms;
        self.base = base;
    }
}
