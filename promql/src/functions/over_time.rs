//! Functions of the samples in one window. Follows Prometheus `promql/functions.go`.

use super::rates::{self, Growth};
use super::statistics::{median_absolute_deviation, regression, smooth, variance};
use super::sums::{Total, float_average, float_sum, histogram_total};
use super::window::Split;
use crate::annotations::{Note, Notes, Operation};
use crate::ast::Span;
use crate::histogram::arithmetic::{IncompatibleSchema, equal};
use crate::histogram::quantile::quantile;
use crate::histogram::reset::is_reset;
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
}

/// The value of `function` over a window that is not empty.
///
/// # Errors
/// When a parameter is out of its range.
pub fn evaluate(function: OverTime, window: &Split<'_>, ctx: &WindowContext<'_>) -> Result<Option<Cell>, String> {
    use OverTime as O;
    let float = |v: f64| Ok(Some(Cell::Float(v)));
    let seconds = |t: &Timestamp| Cell::Float(in_seconds(*t));
    match function {
        O::Rate => Ok(rates::rate(window, ctx, Growth::Rate)),
        O::Increase => Ok(rates::rate(window, ctx, Growth::Increase)),
        O::Delta => Ok(rates::rate(window, ctx, Growth::Delta)),
        O::Irate => Ok(rates::instant(window, ctx, Growth::Rate)),
        O::Idelta => Ok(rates::instant(window, ctx, Growth::Delta)),
        O::Count => float(window.len() as f64),
        O::Present => float(1.0),
        O::First => Ok(first(window)),
        O::Last => Ok(last(window)),
        O::TsOfFirst => Ok([window.float_times.first(), window.histogram_times.first()].into_iter().flatten().min().map(seconds)),
        O::TsOfLast => Ok([window.float_times.last(), window.histogram_times.last()].into_iter().flatten().max().map(seconds)),
        O::Sum => Ok(total(window, ctx, Total::Sum)),
        O::Avg => Ok(total(window, ctx, Total::Average)),
        O::Changes => Ok(changes(window, ctx)),
        O::Resets => Ok(resets(window, ctx)),
        _ if window.floats.is_empty() => Ok(None),
        _ => Ok(of_floats(function, window, ctx)?.map(Cell::Float)),
    }
}

/// The functions that leave histograms out, over a window that has floats.
fn of_floats(function: OverTime, window: &Split<'_>, ctx: &WindowContext<'_>) -> Result<Option<f64>, String> {
    use OverTime as O;
    let (times, floats) = (window.float_times, window.floats);
    let [parameter, other] = ctx.scalars;
    if function == O::Quantile && !(0.0..=1.0).contains(&parameter) {
        ctx.note(&Note::InvalidQuantile(parameter));
    }
    if function == O::DoubleExponentialSmoothing {
        check_factor("smoothing", "sf", parameter)?;
        check_factor("trend", "tf", other)?;
    }
    if !window.histograms.is_empty() {
        ctx.note(&Note::HistogramIgnoredInRange(ctx.metric()));
    }
    Ok(Some(match function {
        O::Max => floats[extreme(floats, |v, best| v > best)],
        O::Min => floats[extreme(floats, |v, best| v < best)],
        O::TsOfMax => in_seconds(times[extreme(floats, |v, best| v >= best)]),
        O::TsOfMin => in_seconds(times[extreme(floats, |v, best| v <= best)]),
        O::Stddev => variance(floats).sqrt(),
        O::Stdvar => variance(floats),
        O::Mad => median_absolute_deviation(floats),
        O::Quantile => quantile(parameter, &mut floats.to_vec()),
        _ if floats.len() < 2 => return Ok(None),
        O::Deriv => regression(times, floats, times[0].0).0,
        O::PredictLinear => {
            let (slope, intercept) = regression(times, floats, ctx.at);
            slope * parameter + intercept
        }
        O::DoubleExponentialSmoothing => smooth(floats, parameter, other),
        _ => unreachable!("computed of floats and histograms"),
    }))
}

fn check_factor(name: &str, symbol: &str, factor: f64) -> Result<(), String> {
    if factor <= 0.0 || factor >= 1.0 {
        return Err(format!("invalid {name} factor. Expected: 0 < {symbol} < 1, got: {factor:.6}"));
    }
    Ok(())
}

fn in_seconds(t: Timestamp) -> f64 {
    t.0 as f64 / 1000.0
}

/// Where the value is that beats all others. A NaN is beaten by whatever comes after it.
fn extreme(values: &[f64], beats: impl Fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (i, v) in values.iter().enumerate() {
        if beats(*v, values[best]) || values[best].is_nan() {
            best = i;
        }
    }
    best
}

fn first(window: &Split<'_>) -> Option<Cell> {
    match (window.float_times.first(), window.histogram_times.first()) {
        (Some(float), histogram) if histogram.is_none_or(|h| float < h) => window.floats.first().map(|v| Cell::Float(*v)),
        _ => window.histograms.first().map(|h| Cell::Histogram(h.clone())),
    }
}

fn last(window: &Split<'_>) -> Option<Cell> {
    match (window.float_times.last(), window.histogram_times.last()) {
        (Some(float), histogram) if histogram.is_none_or(|h| float > h) => window.floats.last().map(|v| Cell::Float(*v)),
        _ => window.histograms.last().map(|h| Cell::Histogram(h.clone())),
    }
}

fn total(window: &Split<'_>, ctx: &WindowContext<'_>, kind: Total) -> Option<Cell> {
    if window.is_mixed() {
        ctx.note(&Note::MixedFloatsHistograms(ctx.metric()));
        return None;
    }
    if window.histograms.is_empty() {
        let value = match kind {
            Total::Sum => float_sum(window.floats),
            Total::Average => float_average(window.floats),
        };
        return Some(Cell::Float(value));
    }
    let hints = |hint: CounterResetHint| window.histograms.iter().any(|h| h.counter_reset == hint);
    match histogram_total(window.histograms, kind) {
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
