//! `rate`, `increase`, `delta`, `irate`, `idelta`, of floats and of histograms.
//! Follows Prometheus `promql/functions.go`.

use super::extended::{extended, extended_histogram};
use super::over_time::{Cell, OverTime, WindowContext};
use super::window::Split;
use crate::annotations::{Note, Operation};
use crate::histogram::arithmetic::{IncompatibleSchema, add, divide, multiply, subtract, to_schema};
use crate::histogram::buckets::{compact, uses_custom_buckets};
use crate::histogram::reset::is_reset;
use std::sync::Arc;
use watchfire_model::{CounterResetHint, NativeHistogram, Timestamp};

/// How a window's growth is told. The ends of the window are extrapolated to, or picked and interpolated where it is extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Of a counter, per second.
    Rate,
    /// Of a counter.
    Increase,
    /// Of a gauge.
    Delta,
}

impl Growth {
    /// What `function` asks for, if it is one of the three.
    pub fn of(function: OverTime) -> Option<Growth> {
        match function {
            OverTime::Rate => Some(Growth::Rate),
            OverTime::Increase => Some(Growth::Increase),
            OverTime::Delta => Some(Growth::Delta),
            _ => None,
        }
    }

    /// Whether a fall is a reset.
    #[inline]
    pub fn of_counter(self) -> bool {
        self != Growth::Delta
    }

    #[inline]
    pub fn per_second(self) -> bool {
        self == Growth::Rate
    }
}

/// True when a start timestamp says that a counter began anew between two samples. Zero means unknown.
pub fn is_start_reset(previous_start: i64, previous_at: i64, start: i64, at: i64) -> bool {
    if start == 0 || start >= at || start < previous_at {
        return false;
    }
    if start > previous_at {
        return true;
    }
    // A start at the sample before: a delta, unless that sample's own start is unknown or impossible.
    previous_start <= previous_at && previous_start != 0 && previous_start != previous_at
}

fn starts_overlap(previous_start: i64, previous_at: i64, start: i64) -> bool {
    start != 0 && start < previous_at && start != previous_start
}

/// `rate`, `increase` and `delta`.
pub fn rate(window: &Split<'_>, ctx: &WindowContext<'_>, growth: Growth) -> Option<Cell> {
    if window.is_mixed() {
        ctx.note(&Note::MixedFloatsHistograms(ctx.metric()));
        return None;
    }
    if ctx.anchored || ctx.smoothed {
        return if window.histograms.is_empty() { extended(window, ctx, growth) } else { extended_histogram(window, ctx, growth) };
    }
    if window.histograms.is_empty() {
        return extrapolated(window, ctx, growth).map(Cell::Float);
    }
    extrapolated_histogram(window, ctx, growth)
}

/// Times a rate is extrapolated over.
struct Extent {
    first: i64,
    last: i64,
    samples: usize,
}

impl Extent {
    /// Seconds from the ends of the window to the samples, as far as it is extrapolated over them.
    #[inline]
    fn to_ends(&self, (start, end): (i64, i64)) -> (f64, f64) {
        let average = if self.samples > 1 { self.sampled() / (self.samples - 1) as f64 } else { 0.0 };
        let threshold = average * 1.1;
        let bounded = |millis: i64| {
            let seconds = millis as f64 / 1000.0;
            if seconds >= threshold { average / 2.0 } else { seconds }
        };
        (bounded(self.first - start), bounded(end - self.last))
    }

    /// The factor from the sampled increase to that of the whole window.
    /// `zero_at` is how long before the first sample a counter would have been zero, where that is known.
    fn factor(&self, window: (i64, i64), zero_at: Option<f64>, started_at: Option<i64>) -> f64 {
        let mut sampled = self.sampled();
        let (mut to_start, to_end) = self.to_ends(window);
        if let Some(started) = started_at {
            to_start = 0.0;
            sampled = (self.last - started) as f64 / 1000.0;
        } else if let Some(zero) = zero_at.filter(|zero| *zero < to_start) {
            to_start = zero;
        }
        stretch(sampled, to_start, to_end)
    }

    fn sampled(&self) -> f64 {
        (self.last - self.first) as f64 / 1000.0
    }
}

#[inline]
fn stretch(sampled: f64, to_start: f64, to_end: f64) -> f64 {
    if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled }
}

/// What extrapolating a window takes from its times alone. The series of one writer share them, and mostly this.
#[derive(Clone, Copy)]
pub struct Reach {
    /// First and last time, and how many there are.
    of: (i64, i64, usize),
    sampled: f64,
    to_start: f64,
    to_end: f64,
    /// Where no counter was zero inside of the window.
    factor: f64,
}

impl Reach {
    fn new(of: (i64, i64, usize), window: &Window<'_>, growth: Growth) -> Self {
        let extent = Extent { first: of.0, last: of.1, samples: of.2 };
        let (to_start, to_end) = extent.to_ends((window.start, window.end));
        let mut reach = Reach { of, sampled: extent.sampled(), to_start, to_end, factor: 0.0 };
        reach.factor = reach.factor_from(to_start, window, growth);
        reach
    }

    fn factor_from(&self, to_start: f64, window: &Window<'_>, growth: Growth) -> f64 {
        let factor = stretch(self.sampled, to_start, self.to_end);
        if growth.per_second() { factor / window.range_seconds } else { factor }
    }
}

/// The first sample's start timestamp, when it lies inside the window before the sample.
fn start_inside(starts: &[Timestamp], first: i64, ctx: &WindowContext<'_>) -> Option<i64> {
    starts.first().map(|t| t.0).filter(|start| *start != 0 && *start > ctx.start && *start < first)
}

/// Plain floats of one window, in the columns of their source.
pub struct Window<'a> {
    pub times: &'a [Timestamp],
    pub values: &'a [f64],
    /// The window's ends: `(start, end]`.
    pub start: i64,
    pub end: i64,
    pub range_seconds: f64,
    /// As [`SeriesView::rising`](watchfire_model::SeriesView).
    pub rising: bool,
}

/// `rate`, `increase` or `delta` of a window without start timestamps. The outer option is `None` when there are NaNs among the values,
/// which may be stale markers. `reach` is that of the window before, of which start, end, length and `growth` were the same.
#[inline]
#[allow(clippy::option_option)]
pub fn extrapolate(window: &Window<'_>, growth: Growth, reach: &mut Option<Reach>) -> Option<Option<f64>> {
    let values = window.values;
    if values.len() < 2 {
        return if values.first().is_some_and(|v| v.is_nan()) { None } else { Some(None) };
    }
    let whole = values[values.len() - 1] - values[0];
    if window.rising {
        return Some(Some(scale(window, whole, growth, reach)));
    }
    // One pass that compilers turn into vector instructions; resets are rare enough to be counted in a second one.
    let mut nan = values[0].is_nan();
    let mut down = false;
    for (before, now) in values.iter().zip(&values[1..]) {
        nan |= now.is_nan();
        down |= now < before;
    }
    if nan {
        return None;
    }
    let mut result = whole;
    if growth.of_counter() && down {
        result += reset_correction(values);
    }
    Some(Some(scale(window, result, growth, reach)))
}

/// From the sampled increase to that of the whole window.
#[inline]
fn scale(window: &Window<'_>, result: f64, growth: Growth, known: &mut Option<Reach>) -> f64 {
    let (times, first) = (window.times, window.values[0]);
    let of = (times[0].0, times[times.len() - 1].0, times.len());
    let reach = match known {
        Some(reach) if reach.of == of => reach,
        _ => known.insert(Reach::new(of, window, growth)),
    };
    // One that began with twice what it grew by was zero long before the window, which reaches at most 1.1 of the distance between two samples back.
    if growth.of_counter() && result > 0.0 && first >= 0.0 && first < 2.0 * result {
        // So long before its first sample the counter would have been zero.
        let zero = reach.sampled * (first / result);
        if zero < reach.to_start {
            return result * reach.factor_from(zero, window, growth);
        }
    }
    result * reach.factor
}

fn extrapolated(window: &Split<'_>, ctx: &WindowContext<'_>, growth: Growth) -> Option<f64> {
    let values = window.floats;
    let times = window.float_times;
    let (first_value, last_value) = (*values.first()?, *values.last()?);
    let mut result = last_value - first_value;
    let mut started = None;
    if growth.of_counter() {
        if window.float_starts.is_empty() {
            result += if window.rising { 0.0 } else { reset_correction(values) };
        } else {
            result += correction_with_starts(window, ctx);
            started = start_inside(window.float_starts, times[0].0, ctx);
        }
    }
    let Some(started) = started else {
        if values.len() < 2 {
            return None;
        }
        let window = Window { times, values, start: ctx.start, end: ctx.end, range_seconds: ctx.range_seconds, rising: window.rising };
        return Some(scale(&window, result, growth, &mut None));
    };
    let extent = Extent { first: times[0].0, last: times[times.len() - 1].0, samples: values.len() };
    let mut factor = extent.factor((ctx.start, ctx.end), None, Some(started));
    if growth.per_second() {
        factor /= ctx.range_seconds;
    }
    Some((result + first_value) * factor)
}

/// What a counter had reached before each reset.
#[inline]
pub fn reset_correction(values: &[f64]) -> f64 {
    let mut correction = 0.0;
    for pair in values.windows(2) {
        if pair[1] < pair[0] {
            correction += pair[0];
        }
    }
    correction
}

fn correction_with_starts(window: &Split<'_>, ctx: &WindowContext<'_>) -> f64 {
    let mut correction = 0.0;
    let mut noted = false;
    for i in 1..window.floats.len() {
        let (before, now) = (window.floats[i - 1], window.floats[i]);
        let (before_at, at) = (window.float_times[i - 1].0, window.float_times[i].0);
        let (before_start, start) = (window.float_starts[i - 1].0, window.float_starts[i].0);
        if !noted && starts_overlap(before_start, before_at, start) {
            noted = true;
            ctx.note(&Note::StartTimeOverlap(ctx.metric()));
        }
        if now < before || is_start_reset(before_start, before_at, start, at) {
            correction += before;
        }
    }
    correction
}

fn extrapolated_histogram(window: &Split<'_>, ctx: &WindowContext<'_>, growth: Growth) -> Option<Cell> {
    let (times, histograms) = (window.histogram_times, window.histograms);
    let extent = Extent { first: times[0].0, last: times[times.len() - 1].0, samples: times.len() };
    let mut result = None;
    if histograms.len() > 1 {
        result = Some(histogram_increase(window, ctx, growth.of_counter())?);
    }
    let started = if growth.of_counter() { start_inside(window.histogram_starts, extent.first, ctx) } else { None };
    if started.is_some() {
        match &mut result {
            Some(result) => {
                if !combined(add(result, &histograms[0]), ctx, Operation::Addition) {
                    return None;
                }
            }
            None => result = Some((*histograms[0]).clone()),
        }
    }
    let mut result = result?;
    let zero_at = (growth.of_counter() && result.count > 0.0 && histograms[0].count >= 0.0)
        .then(|| extent.sampled() * (histograms[0].count / result.count));
    let mut factor = extent.factor((ctx.start, ctx.end), zero_at.filter(|_| started.is_none()), started);
    if growth.per_second() {
        factor /= ctx.range_seconds;
    }
    multiply(&mut result, factor);
    Some(Cell::Histogram(Arc::new(result)))
}

/// Notes what a combination remarked; false when it could not be made.
pub fn combined(
    outcome: Result<crate::histogram::arithmetic::Remarks, IncompatibleSchema>,
    ctx: &WindowContext<'_>,
    op: Operation,
) -> bool {
    match outcome {
        Ok(remarks) => {
            if remarks.reconciled {
                ctx.note(&Note::MismatchedCustomBuckets(op));
            }
            true
        }
        Err(IncompatibleSchema) => {
            ctx.note(&Note::MixedExponentialCustom(ctx.metric()));
            false
        }
    }
}

/// Last minus first, corrected for resets.
fn histogram_increase(window: &Split<'_>, ctx: &WindowContext<'_>, counter: bool) -> Option<NativeHistogram> {
    let histograms = window.histograms;
    let gauge = |h: &NativeHistogram| h.counter_reset == CounterResetHint::Gauge;
    let (first, last) = (&*histograms[0], &*histograms[histograms.len() - 1]);
    let start_reset = |i: usize| {
        window.histogram_starts.len() > i
            && is_start_reset(
                window.histogram_starts[i - 1].0,
                window.histogram_times[i - 1].0,
                window.histogram_starts[i].0,
                window.histogram_times[i].0,
            )
    };
    let empty;
    let mut before = first;
    // After a reset the first sample does not matter, not even by its layout.
    if counter && (start_reset(1) || is_reset(&histograms[1], first)) {
        let second = &histograms[1];
        empty = NativeHistogram { schema: second.schema, custom_values: second.custom_values.clone(), ..NativeHistogram::default() };
        before = &empty;
    }
    let custom = uses_custom_buckets(before);
    let mixed = || {
        ctx.note(&Note::MixedExponentialCustom(ctx.metric()));
    };
    if uses_custom_buckets(last) != custom {
        mixed();
        return None;
    }
    let mut schema = last.schema.min(before.schema);
    let mut not_counter = counter && (gauge(first) || gauge(last));
    if counter {
        for h in &histograms[1..histograms.len() - 1] {
            not_counter |= gauge(h);
            schema = schema.min(h.schema);
            if uses_custom_buckets(h) != custom {
                mixed();
                return None;
            }
        }
    }
    if not_counter {
        ctx.note(&Note::NotCounter(ctx.metric()));
    }
    let mut result = last.clone();
    to_schema(&mut result, schema);
    if !combined(subtract(&mut result, before), ctx, Operation::Subtraction) {
        return None;
    }
    if counter {
        let mut noted = false;
        for (i, now) in histograms.iter().enumerate().skip(1) {
            if !noted
                && window.histogram_starts.len() > i
                && starts_overlap(window.histogram_starts[i - 1].0, window.histogram_times[i - 1].0, window.histogram_starts[i].0)
            {
                noted = true;
                ctx.note(&Note::StartTimeOverlap(ctx.metric()));
            }
            if (start_reset(i) || is_reset(now, before)) && !combined(add(&mut result, before), ctx, Operation::Addition) {
                return None;
            }
            before = now;
        }
    } else if !gauge(first) || !gauge(last) {
        ctx.note(&Note::NotGauge(ctx.metric()));
    }
    result.counter_reset = CounterResetHint::Gauge;
    compact(&mut result);
    Some(result)
}

/// `irate` and `idelta`: rate and delta of the last two samples, whatever they are.
pub fn instant(window: &Split<'_>, ctx: &WindowContext<'_>, growth: Growth) -> Option<Cell> {
    #[derive(Clone, Copy)]
    struct Last<'a> {
        at: i64,
        start: i64,
        float: f64,
        histogram: Option<&'a NativeHistogram>,
    }
    let counter = growth.of_counter();
    let mut last: Vec<Last<'_>> = Vec::with_capacity(4);
    let starts = |list: &[Timestamp], i: usize| list.get(i).map_or(0, |t| t.0);
    for i in window.floats.len().saturating_sub(2)..window.floats.len() {
        last.push(Last { at: window.float_times[i].0, start: starts(window.float_starts, i), float: window.floats[i], histogram: None });
    }
    for i in window.histograms.len().saturating_sub(2)..window.histograms.len() {
        last.push(Last {
            at: window.histogram_times[i].0,
            start: starts(window.histogram_starts, i),
            float: 0.0,
            histogram: Some(&window.histograms[i]),
        });
    }
    last.sort_by_key(|s| s.at);
    let [.., before, now] = last.as_slice() else { return None };
    let seconds = (now.at - before.at) as f64 / 1000.0;
    if seconds == 0.0 {
        return None;
    }
    let start_reset = is_start_reset(before.start, before.at, now.start, now.at);
    match (before.histogram, now.histogram) {
        (None, None) => {
            let reset = counter && (now.float < before.float || start_reset);
            let change = if reset { now.float } else { now.float - before.float };
            Some(Cell::Float(if growth.per_second() { change / seconds } else { change }))
        }
        (Some(b), Some(n)) => {
            let gauges = [b, n].map(|h| h.counter_reset == CounterResetHint::Gauge);
            if counter && (gauges[0] || gauges[1]) {
                ctx.note(&Note::NotCounter(ctx.metric()));
            }
            if !(counter || gauges[0] && gauges[1]) {
                ctx.note(&Note::NotGauge(ctx.metric()));
            }
            let mut result = n.clone();
            if !(counter && (start_reset || is_reset(n, b))) && !combined(subtract(&mut result, b), ctx, Operation::Subtraction) {
                return None;
            }
            result.counter_reset = CounterResetHint::Gauge;
            compact(&mut result);
            if growth.per_second() {
                divide(&mut result, seconds);
            }
            Some(Cell::Histogram(Arc::new(result)))
        }
        _ => {
            ctx.note(&Note::MixedFloatsHistograms(ctx.metric()));
            None
        }
    }
}
