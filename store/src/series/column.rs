//! One series inside its origin: values aligned to the origin's rows, the older ones packed.

mod thin;

use super::chunk::{CHUNK, Chunk};
use crate::read_ahead::read_ahead;
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

/// Values of consecutive rows, and their histograms: none at all, or one place per value.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    pub values: Vec<f64>,
    pub histograms: Vec<Option<Arc<NativeHistogram>>>,
}

impl Unpacked {
    pub fn clear(&mut self) {
        self.values.clear();
        self.histograms.clear();
    }

    fn extend(&mut self, values: &[f64], histograms: &[Option<Arc<NativeHistogram>>]) {
        let from = self.values.len();
        self.values.extend_from_slice(values);
        if !histograms.is_empty() {
            self.histograms.resize(from, None);
            self.histograms.extend_from_slice(histograms);
        } else if !self.histograms.is_empty() {
            self.histograms.resize(self.values.len(), None);
        }
    }
}

/// Invariants: the first and the last value are samples, never gaps; the newest value is never packed.
#[derive(Debug)]
pub(crate) struct Column {
    pub id: SeriesId,
    pub labels: Labels,
    /// Absolute row of the first value.
    pub base: u64,
    /// The oldest values.
    sealed: Vec<Chunk>,
    sealed_rows: u32,
    gaps: u32,
    /// Absolute row from which on no value is NaN, a histogram or less than the one before.
    rising_from: u64,
    /// The values after those.
    open: Vec<f64>,
    /// Empty, or as long as `open`.
    histograms: Vec<Option<Arc<NativeHistogram>>>,
}

impl Column {
    pub fn new(id: SeriesId, labels: Labels) -> Self {
        Column {
            id,
            labels,
            base: 0,
            sealed: Vec::new(),
            sealed_rows: 0,
            gaps: 0,
            rising_from: 0,
            open: Vec::new(),
            histograms: Vec::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Rows from the first sample to the last.
    pub fn len(&self) -> usize {
        self.sealed_rows as usize + self.open.len()
    }

    /// Asks for the newest value, which the next one is compared with and written behind.
    #[inline]
    pub fn read_ahead(&self) {
        self.open.last().into_iter().for_each(read_ahead);
    }

    /// Whether the values from this row on, counted from `base`, are known to be those of a counter without a reset.
    pub fn is_rising(&self, from: usize) -> bool {
        self.base + from as u64 >= self.rising_from
    }

    pub fn has_gaps(&self) -> bool {
        self.gaps > 0
    }

    /// One past the last row that holds a sample.
    pub fn end(&self) -> u64 {
        self.base + self.len() as u64
    }

    /// Whether a sample at absolute row `row` would be new.
    pub fn accepts(&self, row: u64) -> bool {
        self.is_empty() || row >= self.end()
    }

    /// Values and histograms of the rows `from..to`, counted from `base`; what is packed is unpacked into `room`. There may be no histograms.
    pub fn rows<'a>(&'a self, from: usize, to: usize, room: &'a mut Unpacked) -> (&'a [f64], &'a [Option<Arc<NativeHistogram>>]) {
        let sealed = self.sealed_rows as usize;
        if from >= sealed {
            let open = from - sealed..to - sealed;
            return (&self.open[open.clone()], self.histograms.get(open).unwrap_or(&[]));
        }
        room.clear();
        let (mut row, mut skipped) = (0, 0);
        for chunk in &self.sealed {
            let end = row + chunk.len();
            if end <= from {
                skipped = end;
            } else if row < to {
                chunk.unpack(room);
            }
            row = end;
        }
        if to > sealed {
            let open = ..to - sealed;
            room.extend(&self.open[open], self.histograms.get(open).unwrap_or(&[]));
        }
        let rows = from - skipped..to - skipped;
        (&room.values[rows.clone()], room.histograms.get(rows).unwrap_or(&[]))
    }

    /// Whether any of the rows `from..to`, counted from `base`, holds a sample. The newest are looked at first, and mostly one look is enough.
    pub fn holds(&self, from: usize, to: usize, room: &mut Unpacked) -> bool {
        if !self.has_gaps() {
            return from < to;
        }
        let sealed = self.sealed_rows as usize;
        let open = from.max(sealed) - sealed..to.max(sealed) - sealed;
        if self.open[open].iter().any(|v| !is_gap(*v)) {
            return true;
        }
        let mut end = sealed;
        for chunk in self.sealed.iter().rev() {
            let start = end - chunk.len();
            if end <= from {
                break;
            }
            if start < to {
                room.clear();
                chunk.unpack(room);
                if room.values[from.max(start) - start..to.min(end) - start].iter().any(|v| !is_gap(*v)) {
                    return true;
                }
            }
            end = start;
        }
        false
    }

    pub fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    /// Packs full chunks of rows before `until`. Returns the bytes that saves.
    pub fn seal(&mut self, until: u64) -> usize {
        let mut saved = 0;
        while self.open.len() > CHUNK && self.base + u64::from(self.sealed_rows) + CHUNK as u64 <= until {
            let histograms = self.histograms.get(..CHUNK).unwrap_or(&[]);
            let chunk = Chunk::of(&self.open[..CHUNK], histograms);
            // What the next row shares stays.
            let freed = self.histograms.get(..=CHUNK).map_or(0, |h| distinct_bytes(h) - distinct_bytes(&h[CHUNK..]));
            saved += (size_of::<f64>() * (CHUNK + histograms.len()) + freed).saturating_sub(chunk.bytes());
            self.open.drain(..CHUNK);
            if !self.histograms.is_empty() {
                self.histograms.drain(..CHUNK);
            }
            self.sealed_rows += CHUNK as u32;
            self.sealed.push(chunk);
        }
        saved
    }

    /// Packs all full chunks but the newest values, and gives up the room they had.
    pub fn pack(&mut self) {
        self.seal(u64::MAX);
        self.shrink();
    }

    fn shrink(&mut self) {
        self.open.shrink_to(self.open.len() + self.open.len() / 4 + 8);
        self.histograms.shrink_to(self.histograms.len() + self.histograms.len() / 4);
    }

    fn unseal(&mut self) {
        let mut open = Unpacked { values: Vec::with_capacity(self.len()), histograms: Vec::new() };
        self.sealed.drain(..).for_each(|chunk| chunk.unpack(&mut open));
        open.extend(&self.open, &self.histograms);
        (self.open, self.histograms) = (open.values, open.histograms);
        self.sealed_rows = 0;
    }

    /// Bytes that the newest sample and the gaps before it take, `rows` together.
    pub fn grown_by(&self, rows: usize) -> usize {
        let Some(Some(newest)) = self.histograms.last() else {
            return size_of::<f64>() * rows * if self.has_histograms() { 2 } else { 1 };
        };
        let before = self.histograms.iter().rev().skip(1).flatten().next();
        let shared = before.is_some_and(|before| Arc::ptr_eq(before, newest));
        2 * size_of::<f64>() * rows + if shared { 0 } else { histogram_bytes(newest) }
    }

    pub fn put(&mut self, row: u64, value: &Value) -> Put {
        if !self.accepts(row) {
            return self.compare(row, value);
        }
        if self.is_empty() {
            self.base = row;
        }
        match (value, self.open.last()) {
            (Value::Float(v), _) if v.is_nan() => self.rising_from = row + 1,
            (Value::Float(v), Some(before)) if *v >= *before => {}
            (Value::Float(_), _) => self.rising_from = row,
            (Value::Histogram(_), _) => self.rising_from = row + 1,
        }
        let missing = (row - self.end()) as usize;
        grow(&mut self.open, missing + 1);
        self.open.extend(std::iter::repeat_n(GAP, missing));
        self.gaps += missing as u32;
        match value {
            Value::Float(v) => {
                self.open.push(sample_bits(*v));
                if !self.histograms.is_empty() {
                    self.histograms.resize(self.open.len(), None);
                }
            }
            Value::Histogram(h) if value.is_stale() => {
                self.open.push(h.sum);
                if !self.histograms.is_empty() {
                    self.histograms.resize(self.open.len(), None);
                }
            }
            Value::Histogram(h) => {
                self.open.push(ORDINARY_NAN);
                grow(&mut self.histograms, missing + 1);
                self.histograms.resize(self.open.len() - 1, None);
                self.histograms.push(Some(h.clone()));
            }
        }
        Put::Stored
    }

    fn compare(&self, row: u64, value: &Value) -> Put {
        let Some(index) = row.checked_sub(self.base).map(|i| i as usize) else { return Put::OutOfOrder };
        let mut room = Unpacked::default();
        let (values, histograms) = self.rows(index, index + 1, &mut room);
        let held = values[0];
        if is_gap(held) {
            return Put::OutOfOrder;
        }
        let same = match (value, histograms.first().and_then(Option::as_ref)) {
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
        if self.is_empty() {
            return;
        }
        self.rising_from += u64::from(self.rising_from >= row);
        if self.base >= row {
            self.base += 1;
        } else if row < self.end() {
            if row < self.base + u64::from(self.sealed_rows) {
                self.unseal();
            }
            let index = (row - self.base) as usize - self.sealed_rows as usize;
            self.open.insert(index, GAP);
            if !self.histograms.is_empty() {
                self.histograms.insert(index, None);
            }
            self.gaps += 1;
        }
    }

    /// Rows before `row` are gone.
    pub fn trim(&mut self, row: u64) {
        let mut count = (row.saturating_sub(self.base) as usize).min(self.len());
        if count == 0 {
            return;
        }
        let (mut whole, mut rows) = (0, 0);
        while let Some(chunk) = self.sealed.get(whole).filter(|c| rows + c.len() <= count) {
            rows += chunk.len();
            whole += 1;
        }
        self.gaps -= self.sealed.drain(..whole).map(|c| c.gaps() as u32).sum::<u32>();
        self.sealed_rows -= rows as u32;
        self.base += rows as u64;
        count -= rows;
        // What is left of a chunk is packed again; gaps at its beginning go, and it with them if nothing else is in it.
        let mut unpacked = Unpacked::default();
        while let Some(chunk) = self.sealed.first() {
            unpacked.clear();
            chunk.unpack(&mut unpacked);
            let Unpacked { values, histograms } = &unpacked;
            let gone = count + values[count..].iter().take_while(|v| is_gap(**v)).count();
            if gone == 0 {
                return;
            }
            self.gaps -= values[..gone].iter().filter(|v| is_gap(**v)).count() as u32;
            self.base += gone as u64;
            self.sealed_rows -= gone as u32;
            if gone < values.len() {
                self.sealed[0] = Chunk::of(&values[gone..], histograms.get(gone..).unwrap_or(&[]));
                return;
            }
            self.sealed.remove(0);
            count = 0;
        }
        while count < self.open.len() && is_gap(self.open[count]) {
            count += 1;
        }
        self.gaps -= self.open[..count].iter().filter(|v| is_gap(**v)).count() as u32;
        self.open.drain(..count);
        if !self.histograms.is_empty() {
            self.histograms.drain(..count);
            if self.histograms.iter().all(Option::is_none) {
                self.histograms = Vec::new();
            }
        }
        self.base += count as u64;
        if self.open.capacity() > 2 * self.open.len() + 64 {
            self.shrink();
        }
    }

    /// Bytes held, histograms shared between rows counted once.
    pub fn bytes(&self) -> usize {
        let mut bytes = size_of::<Self>() + 8 * self.open.capacity() + 8 * self.histograms.capacity();
        bytes += size_of::<Chunk>() * (self.sealed.capacity() - self.sealed.len()) + self.sealed.iter().map(Chunk::bytes).sum::<usize>();
        bytes + distinct_bytes(&self.histograms)
    }
}

/// Bytes of histograms, those that neighbours share counted once.
fn distinct_bytes(histograms: &[Option<Arc<NativeHistogram>>]) -> usize {
    let mut before: Option<&Arc<NativeHistogram>> = None;
    let fresh = histograms.iter().flatten().filter(|histogram| {
        let shared = before.is_some_and(|before| Arc::ptr_eq(before, histogram));
        before = Some(histogram);
        !shared
    });
    fresh.map(|histogram| histogram_bytes(histogram)).sum()
}

fn histogram_bytes(h: &NativeHistogram) -> usize {
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
