//! From counters to series: one row of samples per interval, all under one timestamp.
//!
//! A counter that appears gets a zero one interval earlier, so that `rate` and `increase` are right from its first sample on: without it the first
//! increase of every new operation and edge would be lost.

use super::histogram::{CLASSIC_BOUNDS, Histogram};
use super::operations::CallExample;
use std::sync::Arc;
use watchfire_model::{
    Exemplar, Labels, METRIC_NAME, MetricKind, NativeHistogram, OriginId, OwnSeries, STALE_NAN, SeriesId, SeriesSink, SpanId, Timestamp,
    TraceId, Value,
};

/// The series of one counter, gauge or histogram, once they are registered.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// For a histogram: native, `_sum`, `_count`, then a `_bucket` per bound and `+Inf`.
    ids: Vec<SeriesId>,
    /// The count that `native` was made of.
    count: f64,
    native: Option<Arc<NativeHistogram>>,
    /// What is counted began under another name, and not with zero.
    goes_on: bool,
    /// Refused by the series limit; asked again after this time.
    again: Option<Timestamp>,
}

/// Series of a histogram that are not buckets.
const BEFORE_BUCKETS: usize = 3;

/// How long a refused series waits before it asks again, milliseconds.
const ASK_AGAIN: i64 = 30_000;

/// Collects the rows of one publication.
pub(crate) struct Row<'a> {
    sink: &'a dyn SeriesSink,
    origin: OriginId,
    at: Timestamp,
    /// Where the zero of a new counter goes.
    zero_at: Timestamp,
    row: &'a mut Vec<(SeriesId, Value)>,
    zeros: Vec<(SeriesId, Value)>,
    no_labels: Labels,
    /// Histograms that may still be published in the classic way too.
    pub classic_left: usize,
    /// Bucket series of histograms that began without them.
    pub buckets_left_out: u64,
}

impl<'a> Row<'a> {
    pub fn new(
        sink: &'a dyn SeriesSink,
        origin: OriginId,
        at: Timestamp,
        zero_at: Timestamp,
        row: &'a mut Vec<(SeriesId, Value)>,
        classic_left: usize,
    ) -> Self {
        row.clear();
        Row { sink, origin, at, zero_at, row, zeros: Vec::new(), no_labels: Labels::empty(), classic_left, buckets_left_out: 0 }
    }

    fn register(&mut self, published: &mut Published, series: impl Iterator<Item = (Labels, MetricKind)>) -> bool {
        if !published.ids.is_empty() {
            return true;
        }
        if published.again.is_some_and(|again| self.at < again) {
            return false;
        }
        for (labels, kind) in series {
            match self.sink.own_series(self.origin, &labels, kind, OwnSeries::Derived) {
                Some(id) => published.ids.push(id),
                None => {
                    published.ids.clear();
                    published.again = Some(Timestamp(self.at.0.saturating_add(ASK_AGAIN)));
                    return false;
                }
            }
        }
        published.again = None;
        true
    }

    pub fn counter(&mut self, published: &mut Published, value: f64, labels: impl FnOnce() -> Labels) {
        let new = published.ids.is_empty();
        if new {
            let labels = labels();
            if !self.register(published, std::iter::once((labels, MetricKind::Counter))) {
                return;
            }
            if !std::mem::take(&mut published.goes_on) {
                self.zeros.push((published.ids[0], Value::Float(0.0)));
            }
        }
        self.row.push((published.ids[0], Value::Float(value)));
    }

    pub fn gauge(&mut self, published: &mut Published, value: f64, labels: impl FnOnce() -> Labels) {
        if published.ids.is_empty() {
            let labels = labels();
            if !self.register(published, std::iter::once((labels, MetricKind::Gauge))) {
                return;
            }
        }
        self.row.push((published.ids[0], Value::Float(value)));
    }

    /// A histogram under its own name natively, and under `_bucket`, `_sum`, `_count` in the classic way. `labels` gives the set for a metric name. The
    /// buckets are two dozen series that say less than the native one: beyond a number of histograms they are left out, so that on a large platform
    /// every operation and edge is there.
    pub fn histogram(&mut self, published: &mut Published, name: &str, histogram: &Histogram, labels: impl Fn(&str) -> Labels) {
        if published.ids.is_empty() {
            let base = labels(name);
            let suffixed = |suffix: &str| labels(&format!("{name}{suffix}"));
            let classic = self.classic_left > 0;
            let buckets: Vec<Labels> = if classic {
                let bucket = suffixed("_bucket");
                let with = |le: &str| {
                    let mut builder = bucket.to_builder();
                    builder.set("le", le);
                    builder.build()
                };
                CLASSIC_BOUNDS.iter().map(|bound| with(&bound_text(*bound))).chain([with("+Inf")]).collect()
            } else {
                Vec::new()
            };
            let all = [base, suffixed("_sum"), suffixed("_count")].into_iter().chain(buckets).map(|l| (l, MetricKind::Histogram));
            if !self.register(published, all) {
                return;
            }
            if classic {
                self.classic_left -= 1;
            } else {
                self.buckets_left_out += CLASSIC_BOUNDS.len() as u64 + 1;
            }
            if !std::mem::take(&mut published.goes_on) {
                self.zeros.push((published.ids[0], Value::Histogram(Histogram::new().native())));
                self.zeros.extend(published.ids[1..].iter().map(|id| (*id, Value::Float(0.0))));
            }
        }
        let native = match &published.native {
            Some(native) if published.count == histogram.count() => native.clone(),
            _ => {
                published.count = histogram.count();
                published.native.insert(histogram.native()).clone()
            }
        };
        let ids = &published.ids;
        self.row.push((ids[0], Value::Histogram(native)));
        self.row.push((ids[1], Value::Float(histogram.sum_seconds())));
        self.row.push((ids[2], Value::Float(histogram.count())));
        self.row.extend(ids[BEFORE_BUCKETS..].iter().copied().zip(histogram.classic().map(Value::Float)));
    }

    /// Has the bucket of a call's duration point at its trace.
    pub fn example(&mut self, published: &Published, example: CallExample) {
        let seconds = example.nanos as f64 / 1e9;
        let bucket = CLASSIC_BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(CLASSIC_BOUNDS.len());
        let Some(id) = published.ids.get(BEFORE_BUCKETS + bucket).or(published.ids.first()) else { return };
        let exemplar = Exemplar {
            at: self.at,
            value: seconds,
            trace_id: Some(TraceId(example.trace.to_be_bytes())),
            span_id: Some(SpanId(example.span.to_be_bytes())),
            labels: self.no_labels.clone(),
        };
        self.sink.exemplar(*id, exemplar);
    }

    /// Ends the series.
    pub fn end(&mut self, published: &mut Published) {
        self.classic_left += usize::from(published.ids.len() > BEFORE_BUCKETS);
        self.row.extend(published.ids.drain(..).map(|id| (id, Value::Float(STALE_NAN))));
        published.native = None;
    }

    /// Ends the series under these labels; the next sample goes on under others.
    pub fn relabel(&mut self, published: &mut Published) {
        let begun = !published.ids.is_empty();
        self.end(published);
        published.goes_on = begun;
    }

    /// Appends what was collected; returns the number of samples.
    pub fn send(self, now: Timestamp) -> usize {
        if !self.zeros.is_empty() {
            self.sink.append(self.origin, self.zero_at, now, &self.zeros);
        }
        self.sink.append(self.origin, self.at, now, self.row).stored
    }
}

/// The text of an `le` label: shortest decimal that reads back the same, with a fraction, as OpenMetrics writes floats.
pub(crate) fn bound_text(bound: f64) -> String {
    format!("{bound:?}")
}

/// Labels with a metric name.
pub(crate) fn labelled(name: &str, pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied().chain([(METRIC_NAME, name)]))
}
