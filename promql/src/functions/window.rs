//! The samples of one series in one window, floats and histograms apart.

use std::sync::Arc;
use watchfire_model::{NativeHistogram, SeriesView, Timestamp, is_stale};

/// A whole selected series without stale markers, floats and histograms apart. Borrows where nothing had to be removed.
#[derive(Default)]
pub struct Split<'a> {
    pub float_times: &'a [Timestamp],
    pub floats: &'a [f64],
    pub float_starts: &'a [Timestamp],
    pub histogram_times: &'a [Timestamp],
    pub histograms: &'a [Arc<NativeHistogram>],
    pub histogram_starts: &'a [Timestamp],
    /// As [`SeriesView::rising`].
    pub rising: bool,
}

/// Room for the series that cannot be borrowed; reused from series to series.
#[derive(Default)]
pub struct Scratch {
    float_times: Vec<Timestamp>,
    floats: Vec<f64>,
    float_starts: Vec<Timestamp>,
    histogram_times: Vec<Timestamp>,
    histograms: Vec<Arc<NativeHistogram>>,
    histogram_starts: Vec<Timestamp>,
}

/// Splits a view. `starts` are start timestamps, one per sample, or empty.
pub fn split<'a>(view: &SeriesView<'a>, starts: &'a [Timestamp], scratch: &'a mut Scratch) -> Split<'a> {
    if view.rising || view.histograms.is_empty() && !view.values.iter().any(|v| is_stale(*v)) {
        return Split { float_times: view.times, floats: view.values, float_starts: starts, rising: view.rising, ..Split::default() };
    }
    scratch.clear();
    for (i, at) in view.times.iter().enumerate() {
        let histogram = view.histograms.get(i).and_then(Option::as_ref);
        scratch.push(*at, view.values[i], histogram, starts.get(i));
    }
    scratch.split()
}

impl Scratch {
    pub fn clear(&mut self) {
        self.float_times.clear();
        self.floats.clear();
        self.float_starts.clear();
        self.histogram_times.clear();
        self.histograms.clear();
        self.histogram_starts.clear();
    }

    /// Adds a sample; stale markers are dropped.
    pub fn push(&mut self, at: Timestamp, value: f64, histogram: Option<&Arc<NativeHistogram>>, start: Option<&Timestamp>) {
        match histogram {
            Some(histogram) if !is_stale(histogram.sum) => {
                self.histogram_times.push(at);
                self.histograms.push(histogram.clone());
                self.histogram_starts.extend(start);
            }
            None if !is_stale(value) => {
                self.float_times.push(at);
                self.floats.push(value);
                self.float_starts.extend(start);
            }
            _ => {}
        }
    }

    pub fn split(&self) -> Split<'_> {
        Split {
            float_times: &self.float_times,
            floats: &self.floats,
            float_starts: &self.float_starts,
            histogram_times: &self.histogram_times,
            histograms: &self.histograms,
            histogram_starts: &self.histogram_starts,
            rising: false,
        }
    }
}

impl<'a> Split<'a> {
    /// The part in `(after, until]`. Cursors only move forward, so a sweep over ascending windows is linear.
    pub fn window(&self, cursor: &mut Cursor, after: i64, until: i64) -> Split<'a> {
        advance(self.float_times, &mut cursor.float_from, after);
        advance(self.float_times, &mut cursor.float_to, until);
        advance(self.histogram_times, &mut cursor.histogram_from, after);
        advance(self.histogram_times, &mut cursor.histogram_to, until);
        let f = cursor.float_from..cursor.float_to.max(cursor.float_from);
        let h = cursor.histogram_from..cursor.histogram_to.max(cursor.histogram_from);
        Split {
            float_times: &self.float_times[f.clone()],
            floats: &self.floats[f.clone()],
            float_starts: self.float_starts.get(f).unwrap_or(&[]),
            histogram_times: &self.histogram_times[h.clone()],
            histograms: &self.histograms[h.clone()],
            histogram_starts: self.histogram_starts.get(h).unwrap_or(&[]),
            rising: self.rising,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }

    pub fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    pub fn is_mixed(&self) -> bool {
        !self.floats.is_empty() && !self.histograms.is_empty()
    }
}

#[derive(Default)]
pub struct Cursor {
    float_from: usize,
    float_to: usize,
    histogram_from: usize,
    histogram_to: usize,
}

/// Moves `index` to the first time later than `bound`: by doubling from where it stands.
fn advance(times: &[Timestamp], index: &mut usize, bound: i64) {
    let mut step = 1;
    while *index < times.len() && times[*index].0 <= bound {
        let probe = *index + step;
        if probe < times.len() && times[probe].0 <= bound {
            *index = probe;
            step *= 2;
        } else if step > 1 {
            step = 1;
        } else {
            *index += 1;
        }
    }
}
