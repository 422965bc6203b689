//! One writer: a column of timestamps shared by all its series.

use super::chunk::CHUNK;
use super::column::{Column, Put, Unpacked, is_gap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{Appended, Labels, NativeHistogram, SeriesId, SeriesView, TimeRange, Timestamp, Value};

/// Samples younger than this are not packed: five minutes are what most rules look at, and a scrape more.
const FRESH: Duration = Duration::from_secs(360);
/// Histograms take a hundred times as much as a number, and are asked for less: a minute of them, and what is between two sweeps.
const FRESH_HISTOGRAMS: Duration = Duration::from_secs(90);
/// So many samples before a column is written to, the place where it grows is asked for.
const AHEAD: usize = 8;
/// Packing all columns is spread over so many rows.
const SWEEP: usize = 4;

/// Rows are counted from the first ever written, so that trimming the front does not renumber the columns.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    first_row: u64,
    times: Vec<Timestamp>,
    columns: Vec<Option<Column>>,
    free: Vec<u32>,
    /// Columns are packed up to this row, and those with histograms up to this one, those before `swept` at least.
    sealed_until: u64,
    sealed_histograms_until: u64,
    swept: usize,
    /// Growth since the bytes were last counted exactly, in bytes.
    grown: isize,
    counted: usize,
}

/// Room for copies of columns that have holes; reused across the series of one visit.
#[derive(Default)]
pub(crate) struct Scratch {
    unpacked: Unpacked,
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
        self.grown += size_of::<Column>() as isize + 16;
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

    /// Removes a column that holds nothing; false where it holds something, or is of another series by now.
    pub fn remove(&mut self, column: u32, id: SeriesId) -> bool {
        let Some(place) = self.columns.get_mut(column as usize) else { return false };
        if !place.as_ref().is_some_and(|c| c.id == id && c.is_empty()) {
            return false;
        }
        *place = None;
        self.free.push(column);
        true
    }

    /// Gives up all room if there is no column left; whether that was so.
    pub fn vacate(&mut self) -> bool {
        let vacant = self.columns.iter().all(Option::is_none);
        if vacant {
            *self = Origin { first_row: self.first_row + self.times.len() as u64, ..Origin::default() };
        }
        vacant
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

    /// Appends samples given as (column, value). Returns the bytes it grew by; packing what is old may make it smaller.
    pub fn append<'a>(
        &mut self,
        at: Timestamp,
        samples: impl Iterator<Item = (u32, SeriesId, &'a Value)> + Clone,
        out: &mut Appended,
    ) -> isize {
        let before = self.grown;
        let row = match self.row(at) {
            Row::Held(row) => row,
            Row::Next => {
                self.times.push(at);
                self.grown += 8;
                self.seal(at);
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
                self.grown += 8 + 8 * self.columns.len() as isize;
                row
            }
        };
        let mut ahead = samples.clone().skip(AHEAD);
        for (index, id, value) in samples {
            if let Some((index, ..)) = ahead.next() {
                self.columns.get(index as usize).into_iter().flatten().for_each(Column::read_ahead);
            }
            let Some(column) = self.columns.get_mut(index as usize).and_then(Option::as_mut).filter(|c| c.id == id) else {
                out.old += 1;
                continue;
            };
            let held = column.len();
            match column.put(row, value) {
                Put::Stored => {
                    out.stored += 1;
                    self.grown += column.grown_by(column.len() - held) as isize;
                }
                Put::Same => {}
                Put::Duplicate => out.duplicate += 1,
                Put::OutOfOrder => out.out_of_order += 1,
            }
        }
        self.grown - before
    }

    /// Packs what has become old, some columns at a time.
    fn seal(&mut self, now: Timestamp) {
        let columns = self.columns.len();
        if self.swept >= columns {
            let before = |age| self.first_row + self.times.partition_point(|t| *t < now.saturating_sub(age)) as u64;
            let (floats, histograms) = (before(FRESH), before(FRESH_HISTOGRAMS));
            // Most columns began with the first row, so that a chunk of them is full at every multiple.
            let full = |rows: u64| rows / CHUNK as u64;
            if full(floats) <= full(self.sealed_until) && full(histograms) <= full(self.sealed_histograms_until) {
                return;
            }
            (self.sealed_until, self.sealed_histograms_until, self.swept) = (floats, histograms, 0);
        }
        let until = (self.swept + columns / SWEEP + 1).min(columns);
        for column in self.columns[self.swept..until].iter_mut().flatten() {
            let until = if column.has_histograms() { self.sealed_histograms_until } else { self.sealed_until };
            self.grown -= column.seal(until) as isize;
        }
        self.swept = until;
    }

    /// Packs everything but the newest rows.
    pub fn pack(&mut self) {
        self.columns.iter_mut().flatten().for_each(Column::pack);
        self.recount();
    }

    /// The rows whose times are inside `range`. The same for all columns, until something is written or trimmed.
    pub fn rows(&self, range: TimeRange) -> Range<u64> {
        let row = |until| self.first_row + self.times.partition_point(|t| *t <= until) as u64;
        row(range.start)..row(range.end)
    }

    /// A column, and its rows among `rows`, absolute; `None` where there are none.
    fn within(&self, index: u32, id: SeriesId, rows: &Range<u64>) -> Option<(&Column, Range<u64>)> {
        let column = self.columns.get(index as usize)?.as_ref().filter(|c| c.id == id && !c.is_empty())?;
        let rows = rows.start.max(column.base)..rows.end.min(column.end());
        (rows.start < rows.end).then_some((column, rows))
    }

    /// The labels of one column, whenever it has samples.
    pub fn labels(&self, index: u32, id: SeriesId) -> Option<&Labels> {
        self.columns.get(index as usize)?.as_ref().filter(|c| c.id == id).map(|c| &c.labels)
    }

    /// The labels of one column, if it has a sample among `rows`.
    pub fn labels_within(&self, index: u32, id: SeriesId, rows: &Range<u64>, scratch: &mut Scratch) -> Option<&Labels> {
        let (column, rows) = self.within(index, id, rows)?;
        let (from, to) = ((rows.start - column.base) as usize, (rows.end - column.base) as usize);
        column.holds(from, to, &mut scratch.unpacked).then_some(&column.labels)
    }

    /// Shows the samples of one column among `rows`, if there are any.
    #[inline]
    pub fn visit(&self, index: u32, id: SeriesId, rows: &Range<u64>, scratch: &mut Scratch, visit: &mut dyn FnMut(SeriesView<'_>)) {
        let Some((column, rows)) = self.within(index, id, rows) else { return };
        let times = &self.times[(rows.start - self.first_row) as usize..(rows.end - self.first_row) as usize];
        let (from, to) = ((rows.start - column.base) as usize, (rows.end - column.base) as usize);
        let rising = column.is_rising(from);
        let (values, histograms) = column.rows(from, to, &mut scratch.unpacked);
        if !column.has_gaps() || !values.iter().any(|v| is_gap(*v)) {
            visit(SeriesView { id, labels: &column.labels, times, values, histograms, rising });
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
            let Scratch { times, values, histograms, .. } = scratch;
            visit(SeriesView { id, labels: &column.labels, times, values, histograms, rising });
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
        for column in self.columns.iter_mut().flatten().filter(|c| !c.is_empty()) {
            column.trim(self.first_row);
            if column.is_empty() {
                dead.push(column.id);
            }
        }
        self.recount();
        dead
    }

    /// Columns that hold nothing: registered and never written, or emptied.
    pub fn empty(&self) -> impl Iterator<Item = SeriesId> {
        self.columns.iter().flatten().filter(|c| c.is_empty()).map(|c| c.id)
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
        for column in self.columns.iter_mut().flatten().filter(|c| !c.is_empty()) {
            column.thin(first_row, &keep);
        }
        let mut index = 0;
        self.times.retain(|_| {
            index += 1;
            index > keep.len() || keep[index - 1]
        });
        // Rows after these are counted from a place that much earlier.
        for until in [&mut self.sealed_until, &mut self.sealed_histograms_until] {
            *until = until.saturating_sub(dropped as u64);
        }
        self.recount();
    }

    fn recount(&mut self) {
        let places = size_of::<Option<Column>>() * (self.columns.capacity() - self.columns.len() + self.free.len());
        self.counted = 8 * self.times.capacity() + places + self.columns.iter().flatten().map(Column::bytes).sum::<usize>();
        self.grown = 0;
    }

    pub fn bytes(&self) -> usize {
        self.counted.saturating_add_signed(self.grown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use watchfire_model::STALE_NAN;

    type Samples = Vec<(i64, f64)>;

    fn held(origin: &Origin, column: u32) -> Samples {
        let mut samples = Vec::new();
        let range = TimeRange::new(Timestamp::MIN, Timestamp::MAX);
        origin.visit(column, SeriesId(column), &origin.rows(range), &mut Scratch::default(), &mut |view| {
            assert!(!view.rising || view.values.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", view.values);
            samples = view.times.iter().map(|t| t.0).zip(view.values.iter().copied()).collect();
        });
        samples
    }

    fn read(origin: &Origin, column: u32, range: TimeRange) -> Vec<(i64, u64)> {
        let mut samples = Vec::new();
        origin.visit(column, SeriesId(column), &origin.rows(range), &mut Scratch::default(), &mut |view| {
            assert!(!view.rising || view.values.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", view.values);
            samples = view.times.iter().map(|t| t.0).zip(view.values.iter().map(|v| v.to_bits())).collect();
        });
        samples
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Milliseconds since the newest row, and what each column gets.
        Row(i64, [Option<i64>; 3]),
        /// Share of the time held that goes, in percent.
        Trim(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let values = prop::array::uniform3(prop::option::weighted(0.8, 0_i64..1_000));
        prop_oneof![
            200 => (1_i64..30_000, values.clone()).prop_map(|(since, values)| Step::Row(since, values)),
            2 => (-200_000_i64..=0, values).prop_map(|(since, values)| Step::Row(since, values)),
            1 => (0_i64..60).prop_map(Step::Trim),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Against lists of samples: late rows, holes and the end of what is kept among what is packed by then.
        #[test]
        fn what_is_packed_reads_as_it_was_written(steps in prop::collection::vec(step(), 100..500), cut in 0.0..1.0) {
            let mut origin = Origin::default();
            let columns: Vec<u32> = (0..3).map(|i| origin.add(SeriesId(i), Labels::empty())).collect();
            let mut model: Vec<Vec<(i64, u64)>> = vec![Vec::new(); 3];
            let mut newest = 0;
            for step in steps {
                match step {
                    Step::Row(since, values) => {
                        let at = newest + since;
                        newest = newest.max(at);
                        let mut values = values.map(|v| v.map(|v| Value::Float(v as f64 / 8.0)));
                        // The first is a counter that begins anew now and then.
                        if values[0].as_ref().is_some_and(|v| v.as_float() > Some(5.0)) {
                            values[0] = Some(Value::Float(at as f64 / 1000.0));
                        }
                        let row: Vec<_> = columns.iter().zip(&values).filter_map(|(c, v)| Some((*c, SeriesId(*c), v.as_ref()?))).collect();
                        for (column, _, value) in &row {
                            let samples = &mut model[*column as usize];
                            if samples.last().is_none_or(|(last, _)| *last < at) {
                                samples.push((at, value.as_float().expect("a float").to_bits()));
                            }
                        }
                        origin.append(Timestamp(at), row.into_iter(), &mut Appended::default());
                    }
                    Step::Trim(percent) => {
                        let Some(oldest) = origin.oldest() else { continue };
                        let cutoff = oldest.0 + (newest - oldest.0) * percent / 100;
                        origin.trim(Timestamp(cutoff), false);
                        model.iter_mut().for_each(|samples| samples.retain(|(at, _)| *at >= cutoff));
                    }
                }
            }
            let middle = (newest as f64 * cut) as i64;
            for column in columns {
                let samples = &model[column as usize];
                let all = TimeRange::new(Timestamp::MIN, Timestamp::MAX);
                prop_assert_eq!(&read(&origin, column, all), samples);
                for range in [(i64::MIN, middle), (middle, i64::MAX), (middle - 300_000, middle), (middle, middle + 2_000_000), (middle, middle + 20_000)] {
                    let expected: Vec<_> = samples.iter().filter(|(at, _)| *at > range.0 && *at <= range.1).copied().collect();
                    let range = TimeRange::new(Timestamp(range.0), Timestamp(range.1));
                    let held = origin.labels_within(column, SeriesId(column), &origin.rows(range), &mut Scratch::default()).is_some();
                    prop_assert_eq!(held, !expected.is_empty());
                    prop_assert_eq!(read(&origin, column, range), expected);
                }
            }
            let before = origin.bytes();
            origin.recount();
            // Between exact counts lengths are counted; vectors have room for up to twice of what they hold.
            let exact = origin.bytes();
            prop_assert!(before < exact + 4_000 && exact < 2 * before + 4_000, "{} bytes are {}", before, exact);
        }

        /// The same for histograms: stale markers, numbers and holes among them.
        #[test]
        fn histograms_that_are_packed_read_as_they_were_written(steps in prop::collection::vec((step(), 0_u8..20), 100..400), cut in 0.0..1.0) {
            let mut origin = Origin::default();
            let column = origin.add(SeriesId(0), Labels::empty());
            let mut model: Vec<(i64, Value)> = Vec::new();
            let mut newest = 0;
            let mut histogram = NativeHistogram { positive_buckets: vec![0.0; 8], ..NativeHistogram::default() };
            for (step, kind) in steps {
                match step {
                    Step::Row(since, [value, ..]) => {
                        let at = newest + since;
                        newest = newest.max(at);
                        let Some(value) = value else { continue };
                        let value = match kind {
                            0 => Value::Float(value as f64),
                            1 => Value::Float(STALE_NAN),
                            _ => {
                                histogram.positive_buckets[value as usize % 8] += value as f64;
                                histogram.count += value as f64;
                                Value::Histogram(Arc::new(histogram.clone()))
                            }
                        };
                        origin.append(Timestamp(at), std::iter::once((column, SeriesId(0), &value)), &mut Appended::default());
                        if model.last().is_none_or(|(last, _)| *last < at) {
                            model.push((at, value));
                        }
                    }
                    Step::Trim(percent) => {
                        let Some(oldest) = origin.oldest() else { continue };
                        let cutoff = oldest.0 + (newest - oldest.0) * percent / 100;
                        origin.trim(Timestamp(cutoff), false);
                        model.retain(|(at, _)| *at >= cutoff);
                    }
                }
            }
            let middle = (newest as f64 * cut) as i64;
            for range in [(i64::MIN, i64::MAX), (i64::MIN, middle), (middle, i64::MAX), (middle - 300_000, middle), (middle, middle + 2_000_000), (middle, middle + 20_000)] {
                let mut samples = Vec::new();
                let wanted = TimeRange::new(Timestamp(range.0), Timestamp(range.1));
                origin.visit(column, SeriesId(0), &origin.rows(wanted), &mut Scratch::default(), &mut |view| {
                    let owned = view.to_owned_data();
                    samples = owned.times.iter().map(|t| t.0).zip(owned.values).collect();
                });
                let expected: Vec<_> = model.iter().filter(|(at, _)| *at > range.0 && *at <= range.1).collect();
                prop_assert_eq!(samples.len(), expected.len());
                for ((at, value), (expected_at, expected)) in samples.iter().zip(expected) {
                    prop_assert_eq!(at, expected_at);
                    prop_assert!(value == expected || value.is_stale() && expected.is_stale(), "{:?} is {:?}", expected, value);
                }
            }
            let before = origin.bytes();
            origin.recount();
            let exact = origin.bytes();
            prop_assert!(before < exact + 8_000 && exact < 2 * before + 8_000, "{} bytes are {}", before, exact);
        }

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
                origin.append(Timestamp(i as i64 * 20_000), row.into_iter(), &mut Appended::default());
            }
            let before: Vec<Samples> = columns.iter().map(|c| held(&origin, *c)).collect();
            let limit = fresh * 20_000;
            origin.coarsen(Timestamp(limit), 150_000);
            for (column, before) in columns.iter().zip(&before) {
                let after = held(&origin, *column);
                prop_assert!(after.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
                let late = |samples: &Samples| samples.iter().filter(|s| s.0 >= limit).copied().collect::<Vec<_>>();
                prop_assert_eq!(late(&after), late(before));
                // Every sample that is left was one before, and what it replaced lay in the same step.
                for (at, value) in &after {
                    let original = before.iter().find(|s| s.1 == *value).expect("values are unique");
                    prop_assert!(original.0 <= *at && original.0.div_euclid(150_000) == at.div_euclid(150_000));
                }
                // No step with samples became empty.
                let steps = |samples: &Samples| samples.iter().map(|s| s.0.div_euclid(150_000)).collect::<std::collections::BTreeSet<_>>();
                prop_assert_eq!(steps(&after), steps(before));
                // Appending goes on as before.
            }
            let value = Value::Float(1e9);
            let mut out = Appended::default();
            origin.append(Timestamp(10_000_000), columns.iter().map(|c| (*c, SeriesId(*c), &value)), &mut out);
            prop_assert_eq!(out.stored, 3);
        }
    }
}
