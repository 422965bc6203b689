//! Functions of the samples in one window. Follows Prometheus `promql/functions.go`.

use super::rates;
use super::window::Split;
use crate::annotations::{Note, Notes, Operation};
use crate::ast::Span;
use crate::histogram::arithmetic::{Compensated, IncompatibleSchema, divide, equal, has_overflow};
use crate::histogram::quantile::quantile;
use crate::histogram::reset::is_reset;
use crate::number::kahan;
use std::sync::Arc;
use watchfire_model::{CounterResetHint, Labels, NativeHistogram, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OverTime {
    Avg,
    Changes,
    Count,
    Delta,
    Deriv,
    DoubleExponentialSmoothing,
    First,
    Idelta,
    Increase,
    Irate,
    Last,
    Mad,
    Max,
    Min,
    PredictLinear,
    Present,
    Quantile,
    Rate,
    Resets,
    Stddev,
    Stdvar,
    Sum,
    TsOfFirst,
    TsOfLast,
    TsOfMax,
    TsOfMin,
}

impl OverTime {
    /// `last_over_time` and `first_over_time` give back samples as they were, name included.
    pub fn keeps_name(self) -> bool {
        matches!(self, OverTime::First | OverTime::Last)
    }

    pub fn allows_smoothed(self) -> bool {
        matches!(self, OverTime::Rate | OverTime::Increase | OverTime::Delta)
    }

    pub fn allows_anchored(self) -> bool {
        self.allows_smoothed() || matches!(self, OverTime::Resets | OverTime::Changes)
    }

    /// Which functions look at start timestamps.
    pub fn uses_starts(self) -> bool {
        matches!(self, OverTime::Rate | OverTime::Irate | OverTime::Increase | OverTime::Resets)
    }
}

/// What a result is.
#[derive(Clone, Debug)]
pub enum Cell {
    Float(f64),
    Histogram(Arc<NativeHistogram>),
}

/// Everything about the window beside its samples.
pub struct WindowContext<'a> {
    /// Evaluation time.
    pub at: i64,
    /// The window's ends: `(start, end]`.
    pub start: i64,
    pub end: i64,
    pub range_seconds: f64,
    pub anchored: bool,
    pub smoothed: bool,
    /// Values of the scalar arguments, in order.
    pub scalars: [f64; 2],
    pub labels: &'a Labels,
    pub notes: &'a Notes,
    /// Place of the first argument.
    pub first_span: Span,
}

impl WindowContext<'_> {
    pub fn metric(&self) -> &str {
        self.labels.metric_name()
    }

    pub fn note(&self, note: &Note<'_>) {
        self.notes.add(note, self.first_span);
    }

    fn ignored(&self, window: &Split<'_>) {
        if !window.histograms.is_empty() {
            self.note(&Note::HistogramIgnoredInRange(self.metric()));
        }
    }
}

/// The value of `function` over a window that is not empty.
///
/// # Errors
/// When a parameter is out of its range.
pub fn evaluate(function: OverTime, window: &Split<'_>, ctx: &WindowContext<'_>) -> Result<Option<Cell>, String> {
    use OverTime as O;
    let float = |v: f64| Ok(Some(Cell::Float(v)));
    let floats = window.floats;
    match function {
        O::Rate => Ok(rates::rate(window, ctx, true, true)),
        O::Increase => Ok(rates::rate(window, ctx, true, false)),
        O::Delta => Ok(rates::rate(window, ctx, false, false)),
        O::Irate => Ok(rates::instant(window, ctx, true)),
        O::Idelta => Ok(rates::instant(window, ctx, false)),
        O::Count => float(window.len() as f64),
        O::Present => float(1.0),
        O::First => Ok(pick(window, true)),
        O::Last => Ok(pick(window, false)),
        O::TsOfFirst => {
            let first = [window.float_times.first(), window.histogram_times.first()].into_iter().flatten().min();
            Ok(first.map(|t| Cell::Float(t.0 as f64 / 1000.0)))
        }
        O::TsOfLast => {
            let last = [window.float_times.last(), window.histogram_times.last()].into_iter().flatten().max();
            Ok(last.map(|t| Cell::Float(t.0 as f64 / 1000.0)))
        }
        O::Sum | O::Avg => Ok(sum_or_average(window, ctx, function == O::Avg)),
        O::Changes => Ok(changes(window, ctx)),
        O::Resets => Ok(resets(window, ctx)),
        _ if floats.is_empty() => Ok(None),
        O::Max | O::Min | O::TsOfMax | O::TsOfMin => {
            ctx.ignored(window);
            let (at, value) = extreme(floats, matches!(function, O::Max | O::TsOfMax), matches!(function, O::TsOfMax | O::TsOfMin));
            float(if matches!(function, O::TsOfMax | O::TsOfMin) { window.float_times[at].0 as f64 / 1000.0 } else { value })
        }
        O::Stddev => {
            ctx.ignored(window);
            float(variance(floats).sqrt())
        }
        O::Stdvar => {
            ctx.ignored(window);
            float(variance(floats))
        }
        O::Mad => {
            ctx.ignored(window);
            float(median_absolute_deviation(floats))
        }
        O::Quantile => {
            let q = ctx.scalars[0];
            if !(0.0..=1.0).contains(&q) {
                ctx.note(&Note::InvalidQuantile(q));
            }
            if !window.histograms.is_empty() {
                ctx.note(&Note::HistogramIgnoredInRange(ctx.metric()));
            }
            float(quantile(q, &mut floats.to_vec()))
        }
        O::Deriv | O::PredictLinear => {
            ctx.ignored(window);
            if floats.len() < 2 {
                return Ok(None);
            }
            if function == O::Deriv {
                return float(regression(window.float_times, floats, window.float_times[0].0).0);
            }
            let (slope, intercept) = regression(window.float_times, floats, ctx.at);
            float(slope * ctx.scalars[0] + intercept)
        }
        O::DoubleExponentialSmoothing => {
            let [smoothing, trend] = ctx.scalars;
            for (name, factor) in [("smoothing", smoothing), ("trend", trend)] {
                if factor <= 0.0 || factor >= 1.0 {
                    let symbol = if name == "smoothing" { "sf" } else { "tf" };
                    return Err(format!("invalid {name} factor. Expected: 0 < {symbol} < 1, got: {factor:.6}"));
                }
            }
            ctx.ignored(window);
            Ok(smooth(floats, smoothing, trend).map(Cell::Float))
        }
    }
}

fn pick(window: &Split<'_>, first: bool) -> Option<Cell> {
    let at = |times: &[Timestamp]| if first { times.first().copied() } else { times.last().copied() };
    let (f, h) = (at(window.float_times), at(window.histogram_times));
    let float = match (f, h) {
        (Some(f), Some(h)) => {
            if first {
                f < h
            } else {
                f > h
            }
        }
        (Some(_), None) => true,
        _ => false,
    };
    if float {
        let value = if first { window.floats.first() } else { window.floats.last() };
        value.map(|v| Cell::Float(*v))
    } else {
        let value = if first { window.histograms.first() } else { window.histograms.last() };
        value.map(|h| Cell::Histogram(h.clone()))
    }
}

fn sum_or_average(window: &Split<'_>, ctx: &WindowContext<'_>, average: bool) -> Option<Cell> {
    if window.is_mixed() {
        ctx.note(&Note::MixedFloatsHistograms(ctx.metric()));
        return None;
    }
    if window.histograms.is_empty() {
        let value = if average { float_average(window.floats) } else { float_sum(window.floats) };
        return Some(Cell::Float(value));
    }
    let hints = |hint: CounterResetHint| window.histograms.iter().any(|h| h.counter_reset == hint);
    match histogram_total(window.histograms, average) {
        Ok((total, reconciled)) => {
            if hints(CounterResetHint::Reset) && hints(CounterResetHint::NotReset) {
                ctx.note(&Note::CounterResetCollision(Operation::Aggregation));
            }
            if reconciled {
                ctx.note(&Note::MismatchedCustomBuckets(Operation::Aggregation));
            }
            Some(Cell::Histogram(Arc::new(total)))
        }
        Err(IncompatibleSchema) => {
            ctx.note(&Note::MixedExponentialCustom(ctx.metric()));
            None
        }
    }
}

pub fn float_sum(values: &[f64]) -> f64 {
    // Two sums side by side wait for each other half as long as one. What leaves the range of floats is left to the plain order.
    let mut pairs = values.chunks_exact(2);
    let (mut even, mut odd) = ((0.0, 0.0), (0.0, 0.0));
    for pair in pairs.by_ref() {
        even = two_sum(pair[0], even);
        odd = two_sum(pair[1], odd);
    }
    if let [last] = pairs.remainder() {
        even = two_sum(*last, even);
    }
    let (sum, c) = two_sum(odd.0, even);
    let total = sum + (c + odd.1);
    if total.is_finite() { total } else { sum_in_order(values) }
}

/// A sum and what rounding lost of it, without a branch.
#[inline]
fn two_sum(v: f64, (sum, lost): (f64, f64)) -> (f64, f64) {
    let total = sum + v;
    let of_v = total - sum;
    (total, lost + ((sum - (total - of_v)) + (v - of_v)))
}

fn sum_in_order(values: &[f64]) -> f64 {
    let (sum, c) = values.iter().fold((0.0, 0.0), |(sum, c), v| kahan(*v, sum, c));
    if sum.is_infinite() { sum } else { sum + c }
}

fn float_average(values: &[f64]) -> f64 {
    let mut average = RunningAverage::new(values[0]);
    values[1..].iter().for_each(|v| average.add(*v));
    average.finish()
}

/// The mean as sum over count while the sum fits, incrementally from then on.
pub struct RunningAverage {
    value: f64,
    compensation: f64,
    count: f64,
    incremental: bool,
}

impl RunningAverage {
    pub fn new(first: f64) -> Self {
        RunningAverage { value: first, compensation: 0.0, count: 1.0, incremental: false }
    }

    pub fn add(&mut self, v: f64) {
        self.count += 1.0;
        if !self.incremental {
            let (sum, c) = kahan(v, self.value, self.compensation);
            if !sum.is_infinite() {
                (self.value, self.compensation) = (sum, c);
                return;
            }
            self.incremental = true;
            self.value /= self.count - 1.0;
            self.compensation /= self.count - 1.0;
        }
        let q = (self.count - 1.0) / self.count;
        (self.value, self.compensation) = kahan(v / self.count, q * self.value, q * self.compensation);
    }

    pub fn finish(&self) -> f64 {
        if self.incremental { self.value + self.compensation } else { self.value / self.count + self.compensation / self.count }
    }
}

fn histogram_total(histograms: &[Arc<NativeHistogram>], average: bool) -> Result<(NativeHistogram, bool), IncompatibleSchema> {
    let mut total = HistogramTotal::new(&histograms[0]);
    for h in &histograms[1..] {
        total.add(h, average)?;
    }
    let reconciled = total.reconciled;
    Ok((total.finish(average), reconciled))
}

/// Sum or mean of histograms, by the same rule as [`RunningAverage`].
pub struct HistogramTotal {
    total: Compensated,
    count: f64,
    incremental: bool,
    pub reconciled: bool,
}

impl HistogramTotal {
    pub fn new(first: &NativeHistogram) -> Self {
        HistogramTotal { total: Compensated::new(first.clone()), count: 1.0, incremental: false, reconciled: false }
    }

    pub fn add(&mut self, h: &NativeHistogram, average: bool) -> Result<(), IncompatibleSchema> {
        self.count += 1.0;
        if !average {
            self.reconciled |= self.total.add(h)?.reconciled;
            return Ok(());
        }
        if !self.incremental {
            let mut next = self.total.clone();
            let remarks = next.add(h)?;
            self.reconciled |= remarks.reconciled;
            if !has_overflow(&next.sum) {
                self.total = next;
                return Ok(());
            }
            self.incremental = true;
            self.total.divide(self.count - 1.0);
        }
        self.total.scale((self.count - 1.0) / self.count);
        let mut part = h.clone();
        divide(&mut part, self.count);
        self.reconciled |= self.total.add(&part)?.reconciled;
        Ok(())
    }

    pub fn finish(mut self, average: bool) -> NativeHistogram {
        if average && !self.incremental {
            self.total.divide(self.count);
        }
        self.total.finish()
    }
}

fn extreme(values: &[f64], largest: bool, latest: bool) -> (usize, f64) {
    let mut best = (0, values[0]);
    for (i, v) in values.iter().enumerate() {
        let better = if largest { *v > best.1 } else { *v < best.1 };
        if better || best.1.is_nan() || (latest && *v == best.1) {
            best = (i, *v);
        }
    }
    best
}

pub fn variance(values: &[f64]) -> f64 {
    let (mut count, mut mean, mut c_mean, mut aux, mut c_aux) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for v in values {
        count += 1.0;
        let delta = v - (mean + c_mean);
        (mean, c_mean) = kahan(delta / count, mean, c_mean);
        (aux, c_aux) = kahan(delta * (v - (mean + c_mean)), aux, c_aux);
    }
    (aux + c_aux) / count
}

fn median_absolute_deviation(values: &[f64]) -> f64 {
    if values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let mut values = values.to_vec();
    let median = quantile(0.5, &mut values);
    values.iter_mut().for_each(|v| *v = (*v - median).abs());
    quantile(0.5, &mut values)
}

/// Least squares: slope per second, and the value at `intercept_at`.
fn regression(times: &[Timestamp], values: &[f64], intercept_at: i64) -> (f64, f64) {
    let first = values[0];
    if values.iter().all(|v| *v == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let n = values.len() as f64;
    let [mut x_sum, mut y_sum, mut xy_sum, mut x2_sum] = [(0.0, 0.0); 4];
    for (t, y) in times.iter().zip(values) {
        let x = (t.0 - intercept_at) as f64 / 1000.0;
        x_sum = kahan(x, x_sum.0, x_sum.1);
        y_sum = kahan(*y, y_sum.0, y_sum.1);
        xy_sum = kahan(x * y, xy_sum.0, xy_sum.1);
        x2_sum = kahan(x * x, x2_sum.0, x2_sum.1);
    }
    let total = |s: (f64, f64)| s.0 + s.1;
    let (x, y, xy, x2) = (total(x_sum), total(y_sum), total(xy_sum), total(x2_sum));
    let slope = (xy - x * y / n) / (x2 - x * x / n);
    (slope, y / n - slope * x / n)
}

fn smooth(values: &[f64], smoothing: f64, trend_factor: f64) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mut before = 0.0;
    let mut level = values[0];
    let mut trend = values[1] - values[0];
    for (i, v) in values.iter().enumerate().skip(1) {
        if i > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * v + (1.0 - smoothing) * (level + trend);
        before = level;
        level = next;
    }
    Some(level)
}

/// One sample of a window whose floats and histograms are walked together.
#[derive(Clone, Copy)]
struct Mixed<'a> {
    at: Timestamp,
    start: i64,
    float: f64,
    histogram: Option<&'a NativeHistogram>,
}

/// All samples in order of time. For an anchored window it begins with the last sample at or before the start.
fn in_order<'a>(window: &Split<'a>, ctx: &WindowContext<'_>) -> Vec<Mixed<'a>> {
    let mut out = Vec::with_capacity(window.len());
    let (mut f, mut h) = (0, 0);
    let start_of = |starts: &[Timestamp], i: usize| starts.get(i).map_or(0, |t| t.0);
    while f < window.floats.len() || h < window.histograms.len() {
        if h >= window.histograms.len() || (f < window.floats.len() && window.float_times[f] < window.histogram_times[h]) {
            out.push(Mixed {
                at: window.float_times[f],
                start: start_of(window.float_starts, f),
                float: window.floats[f],
                histogram: None,
            });
            f += 1;
        } else {
            out.push(Mixed {
                at: window.histogram_times[h],
                start: start_of(window.histogram_starts, h),
                float: 0.0,
                histogram: Some(&window.histograms[h]),
            });
            h += 1;
        }
    }
    if ctx.anchored {
        let after = out.partition_point(|s| s.at.0 <= ctx.start);
        if after == out.len() {
            return Vec::new();
        }
        out.drain(..after.saturating_sub(1));
    }
    out
}

fn resets(window: &Split<'_>, ctx: &WindowContext<'_>) -> Option<Cell> {
    if window.histograms.is_empty() && window.float_starts.is_empty() && !ctx.anchored {
        return Some(Cell::Float(window.floats.windows(2).filter(|w| w[1] < w[0]).count() as f64));
    }
    let samples = in_order(window, ctx);
    if samples.is_empty() {
        return None;
    }
    let count = samples.windows(2).filter(|pair| {
        let (before, now) = (&pair[0], &pair[1]);
        let by_start = || rates::is_start_reset(before.start, before.at.0, now.start, now.at.0);
        match (before.histogram, now.histogram) {
            (None, None) => now.float < before.float || by_start(),
            (Some(b), Some(n)) => by_start() || is_reset(n, b),
            _ => true,
        }
    });
    Some(Cell::Float(count.count() as f64))
}

fn changes(window: &Split<'_>, ctx: &WindowContext<'_>) -> Option<Cell> {
    let samples = in_order(window, ctx);
    if samples.is_empty() {
        return None;
    }
    let count = samples.windows(2).filter(|pair| {
        let (before, now) = (&pair[0], &pair[1]);
        match (before.histogram, now.histogram) {
            (None, None) => now.float != before.float && !(now.float.is_nan() && before.float.is_nan()),
            (Some(b), Some(n)) => !equal(n, b),
            _ => true,
        }
    });
    Some(Cell::Float(count.count() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_keep_what_rounding_loses_and_what_overflows_in_between() {
        let sum = |values: &[f64]| float_sum(values);
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(sum(&[1e308, -1e308, 1e308, -1e308, 3.0]), 3.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert!(sum(&[1.0, f64::NAN]).is_nan());
        assert_eq!(sum(&[0.1; 10]), 1.0);
        let uneven: Vec<f64> = (0..101).map(f64::from).collect();
        assert_eq!(sum(&uneven), 5050.0);
    }
}
