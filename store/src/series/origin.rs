//! One writer: a column of timestamps shared by all its series.

use super::column::{Column, Put, histogram_bytes, is_gap};
use std::sync::Arc;
use watchfire_model::{Appended, Labels, NativeHistogram, SeriesId, SeriesView, TimeRange, Timestamp, Value};

/// Rows are counted from the first ever written, so that trimming the front does not renumber the columns.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    first_row: u64,
    times: Vec<Timestamp>,
    columns: Vec<Option<Column>>,
    free: Vec<u32>,
    /// Growth since the bytes were last counted exactly, in bytes.
    grown: usize,
    counted: usize,
}

/// Room for copies of columns that have holes; reused across the series of one visit.
#[derive(Default)]
pub(crate) struct Scratch {
    times: Vec<Timestamp>,
    values: Vec<f64>,
    histograms: Vec<Option<Arc<NativeHistogram>>>,
}

enum Row {
    Held(u64),
    Next,
    Between(usize),
}

impl Origin {
    pub fn add(&mut self, id: SeriesId, labels: Labels) -> u32 {
        self.grown += size_of::<Column>() + 16;
        let column = Some(Column::new(id, labels));
        match self.free.pop() {
            Some(index) => {
                self.columns[index as usize] = column;
                index
            }
            None => {
                self.columns.push(column);
                (self.columns.len() - 1) as u32
            }
        }
    }

    pub fn remove(&mut self, column: u32) {
        if self.columns.get_mut(column as usize).is_some_and(|c| c.take().is_some()) {
            self.free.push(column);
        }
    }

    fn row(&self, at: Timestamp) -> Row {
        match self.times.last() {
            None => Row::Next,
            Some(last) if *last < at => Row::Next,
            Some(last) if *last == at => Row::Held(self.first_row + self.times.len() as u64 - 1),
            Some(_) => match self.times.binary_search(&at) {
                Ok(index) => Row::Held(self.first_row + index as u64),
                Err(index) => Row::Between(index),
            },
        }
    }

    /// Appends samples given as (column, value). Returns the bytes it grew by.
    pub fn append<'a>(
        &mut self,
        at: Timestamp,
        samples: impl Iterator<Item = (u32, SeriesId, &'a Value)> + Clone,
        out: &mut Appended,
    ) -> usize {
        let before = self.grown;
        let row = match self.row(at) {
            Row::Held(row) => row,
            Row::Next => {
                self.times.push(at);
                self.grown += 8;
                self.first_row + self.times.len() as u64 - 1
            }
            Row::Between(index) => {
                let row = self.first_row + index as u64;
                // A late row costs every column a hole; it is made only if it brings something new.
                let fresh = samples.clone().any(|(column, id, _)| {
                    self.columns.get(column as usize).and_then(Option::as_ref).is_some_and(|c| c.id == id && c.accepts(row))
                });
                if !fresh {
                    out.out_of_order += samples.count();
                    return 0;
                }
                self.times.insert(index, at);
                for column in self.columns.iter_mut().flatten() {
                    column.row_inserted(row);
                }
                self.grown += 8 + 8 * self.columns.len();
                row
            }
        };
        for (index, id, value) in samples {
            let Some(column) = self.columns.get_mut(index as usize).and_then(Option::as_mut).filter(|c| c.id == id) else {
                out.old += 1;
                continue;
            };
            let held = column.values.len();
            match column.put(row, value) {
                Put::Stored => {
                    out.stored += 1;
                    self.grown += 8 * (column.values.len() - held);
                    if let Value::Histogram(h) = value {
                        self.grown += 8 + if Arc::strong_count(h) > 2 { 0 } else { histogram_bytes(h) };
                    }
                }
                Put::Same => {}
                Put::Duplicate => out.duplicate += 1,
                Put::OutOfOrder => out.out_of_order += 1,
            }
        }
        self.grown - before
    }

    /// Shows the samples of one column inside `range`, if there are any.
    pub fn visit(&self, index: u32, id: SeriesId, range: TimeRange, scratch: &mut Scratch, visit: &mut dyn FnMut(SeriesView<'_>)) {
        let Some(column) = self.columns.get(index as usize).and_then(Option::as_ref).filter(|c| c.id == id && !c.values.is_empty()) else {
            return;
        };
        let offset = (column.base - self.first_row) as usize;
        let times = &self.times[offset..offset + column.values.len()];
        let from = times.partition_point(|t| *t <= range.start);
        let to = times.partition_point(|t| *t <= range.end);
        if from >= to {
            return;
        }
        let (times, values) = (&times[from..to], &column.values[from..to]);
        let histograms = if column.histograms.is_empty() { &[][..] } else { &column.histograms[from..to] };
        if column.gaps == 0 || !values.iter().any(|v| is_gap(*v)) {
            visit(SeriesView { id, labels: &column.labels, times, values, histograms });
            return;
        }
        scratch.times.clear();
        scratch.values.clear();
        scratch.histograms.clear();
        for (i, value) in values.iter().enumerate().filter(|(_, v)| !is_gap(**v)) {
            scratch.times.push(times[i]);
            scratch.values.push(*value);
            if !histograms.is_empty() {
                scratch.histograms.push(histograms[i].clone());
            }
        }
        if !scratch.times.is_empty() {
            let Scratch { times, values, histograms } = scratch;
            visit(SeriesView { id, labels: &column.labels, times, values, histograms });
        }
    }

    pub fn oldest(&self) -> Option<Timestamp> {
        self.times.first().copied()
    }

    pub fn newest(&self) -> Option<Timestamp> {
        self.times.last().copied()
    }

    /// Drops rows older than `cutoff`; `lazily` only once they are an eighth of all. Columns left without a sample for longer are returned.
    pub fn trim(&mut self, cutoff: Timestamp, lazily: bool) -> Vec<SeriesId> {
        let count = self.times.partition_point(|t| *t < cutoff);
        if count == 0 || (lazily && count < self.times.len() / 8) {
            return Vec::new();
        }
        self.times.drain(..count);
        self.times.shrink_to(self.times.len() + self.times.len() / 4 + 8);
        self.first_row += count as u64;
        let mut dead = Vec::new();
        for column in self.columns.iter_mut().flatten().filter(|c| !c.values.is_empty()) {
            column.trim(self.first_row);
            if column.values.is_empty() {
                dead.push(column.id);
            }
        }
        self.recount();
        dead
    }

    /// Columns that hold nothing: registered and never written, or emptied.
    pub fn empty(&self) -> impl Iterator<Item = SeriesId> {
        self.columns.iter().flatten().filter(|c| c.values.is_empty()).map(|c| c.id)
    }

    /// Keeps one row per `step` among those older than `before`: what the caller writes often is kept fine only while it is fresh.
    pub fn coarsen(&mut self, before: Timestamp, step: i64) {
        let old = self.times.partition_point(|t| *t < before);
        let step_of = |t: Timestamp| t.0.div_euclid(step);
        // The last row of each step stays, and the last of all.
        let mut keep: Vec<bool> = self.times[..old].windows(2).map(|pair| step_of(pair[0]) != step_of(pair[1])).collect();
        keep.resize(old, true);
        let dropped = keep.iter().filter(|k| !**k).count();
        if dropped < 64 {
            return;
        }
        let first_row = self.first_row;
        for column in self.columns.iter_mut().flatten().filter(|c| !c.values.is_empty()) {
            column.thin(first_row, &keep);
        }
        let mut index = 0;
        self.times.retain(|_| {
            index += 1;
            index > keep.len() || keep[index - 1]
        });
        self.recount();
    }

    fn recount(&mut self) {
        self.counted = 8 * self.times.capacity() + self.columns.iter().flatten().map(Column::bytes).sum::<usize>();
        self.grown = 0;
    }

    pub fn bytes(&self) -> usize {
        self.counted + self.grown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Samples = Vec<(i64, f64)>;

    fn held(origin: &Origin, column: u32) -> Samples {
        let mut samples = Vec::new();
        let range = TimeRange::new(Timestamp::MIN, Timestamp::MAX);
        origin.visit(column, SeriesId(column), range, &mut Scratch::default(), &mut |view| {
            samples = view.times.iter().map(|t| t.0).zip(view.values.iter().copied()).collect();
        });
        samples
    }

    proptest! {
        #[test]
        fn coarsening_keeps_the_newest_sample_of_every_step_and_everything_that_is_fresh(
            presence in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 100..400),
            fresh in 0i64..400,
        ) {
            let mut origin = Origin::default();
            let columns: Vec<u32> = (0..3).map(|i| origin.add(SeriesId(i), Labels::empty())).collect();
            for (i, (a, b, c)) in presence.iter().enumerate() {
                let value = Value::Float(i as f64);
                let row: Vec<_> = columns.iter().zip([a, b, c]).filter(|(_, on)| **on).map(|(c, _)| (*c, SeriesId(*c), &value)).collect();
                origin.append(Timestamp(i as i64 * 2), row.into_iter(), &mut Appended::default());
            }
            let before: Vec<Samples> = columns.iter().map(|c| held(&origin, *c)).collect();
            let limit = fresh * 2;
            origin.coarsen(Timestamp(limit), 15);
            for (column, before) in columns.iter().zip(&before) {
                let after = held(&origin, *column);
                prop_assert!(after.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
                let late = |samples: &Samples| samples.iter().filter(|s| s.0 >= limit).copied().collect::<Vec<_>>();
                prop_assert_eq!(late(&after), late(before));
                // Every sample that is left was one before, and what it replaced lay in the same step.
                for (at, value) in &after {
                    let original = before.iter().find(|s| s.1 == *value).expect("values are unique");
                    prop_assert!(original.0 <= *at && original.0.div_euclid(15) == at.div_euclid(15));
                }
                // No step with samples became empty.
                let steps = |samples: &Samples| samples.iter().map(|s| s.0.div_euclid(15)).collect::<std::collections::BTreeSet<_>>();
                prop_assert_eq!(steps(&after), steps(before));
                // Appending goes on as before.
            }
            let value = Value::Float(1e9);
            let mut out = Appended::default();
            origin.append(Timestamp(10_000), columns.iter().map(|c| (*c, SeriesId(*c), &value)), &mut out);
            prop_assert_eq!(out.stored, 3);
        }
    }
}
