//! `rate`, `increase` and `delta` of anchored and smoothed windows: the ends are picked or interpolated, nothing is extrapolated.
//! Follows Prometheus `promql/functions.go`.

use super::over_time::{Cell, WindowContext};
use super::rates::{Growth, combined};
use super::window::Split;
use crate::annotations::{Note, Operation};
use crate::histogram::arithmetic::{IncompatibleSchema, add, divide, multiply, subtract};
use crate::histogram::buckets::{compact, uses_custom_buckets};
use crate::histogram::reset::is_reset;
use std::sync::Arc;
use watchfire_model::{CounterResetHint, NativeHistogram, Timestamp};

/// The value between two samples; a reset in between counts from zero.
pub fn interpolate(before: (i64, f64), after: (i64, f64), at: i64, counter: bool) -> f64 {
    let from = if counter && after.1 < before.1 { 0.0 } else { before.1 };
    from + (after.1 - from) * (at - before.0) as f64 / (after.0 - before.0) as f64
}

/// First and last sample that matter for an anchored or smoothed window, if it has any.
fn extended_bounds(times: &[Timestamp], ctx: &WindowContext<'_>) -> Option<(usize, usize)> {
    let mut last = times.len().checked_sub(1)?;
    let first = times[..last].partition_point(|t| t.0 <= ctx.start).saturating_sub(1);
    if ctx.smoothed {
        last = times[..last].partition_point(|t| t.0 < ctx.end);
    }
    if times[last].0 <= ctx.start || (ctx.smoothed && times[first].0 > ctx.end) {
        return None;
    }
    Some((first, last))
}

pub fn extended(window: &Split<'_>, ctx: &WindowContext<'_>, growth: Growth) -> Option<Cell> {
    let counter = growth.of_counter();
    let (times, values) = (window.float_times, window.floats);
    let (mut first, mut last) = extended_bounds(times, ctx)?;
    let (left, right) = float_bounds(times, values, (first, last), (ctx.start, ctx.end), ctx.smoothed, counter);
    let mut result = right - left;
    if counter {
        // What the boundaries already account for is left out.
        if times[first].0 <= ctx.start {
            first += 1;
        }
        let mut end = last + 1;
        if times[last].0 >= ctx.end {
            end = last;
        }
        last = end;
        let mut before = left;
        for v in values.get(first..last).unwrap_or(&[]) {
            if *v < before {
                result += before;
            }
            before = *v;
        }
        if right < before {
            result += before;
        }
    }
    if growth.per_second() {
        result /= ctx.range_seconds;
    }
    Some(Cell::Float(result))
}

/// Values at the two ends: picked, or interpolated when smoothed.
pub fn float_bounds(
    times: &[Timestamp],
    values: &[f64],
    (first, last): (usize, usize),
    (start, end): (i64, i64),
    smoothed: bool,
    counter: bool,
) -> (f64, f64) {
    let point = |i: usize| (times[i].0, values[i]);
    let left = if smoothed && times[first].0 < start && first + 1 < times.len() {
        interpolate(point(first), point(first + 1), start, counter)
    } else {
        values[first]
    };
    let right =
        if smoothed && last > 0 && times[last].0 > end { interpolate(point(last - 1), point(last), end, counter) } else { values[last] };
    (left, right)
}

/// The histogram between two others; a reset in between counts from zero.
pub fn interpolate_histograms(
    before: (i64, &NativeHistogram),
    after: (i64, &NativeHistogram),
    at: i64,
    counter: bool,
    reconciled: &mut dyn FnMut(Operation),
) -> Result<NativeHistogram, IncompatibleSchema> {
    if at == before.0 {
        return Ok(before.1.clone());
    }
    if at == after.0 {
        return Ok(after.1.clone());
    }
    let fraction = (at - before.0) as f64 / (after.0 - before.0) as f64;
    let mut result = after.1.clone();
    if counter && is_reset(after.1, before.1) {
        multiply(&mut result, fraction);
        return Ok(result);
    }
    if subtract(&mut result, before.1)?.reconciled {
        reconciled(Operation::Subtraction);
    }
    multiply(&mut result, fraction);
    if add(&mut result, before.1)?.reconciled {
        reconciled(Operation::Addition);
    }
    Ok(result)
}

pub fn extended_histogram(window: &Split<'_>, ctx: &WindowContext<'_>, growth: Growth) -> Option<Cell> {
    let counter = growth.of_counter();
    let (times, histograms) = (window.histogram_times, window.histograms);
    let (first, last) = extended_bounds(times, ctx)?;
    let gauge = |h: &NativeHistogram| h.counter_reset == CounterResetHint::Gauge;
    let custom = uses_custom_buckets(&histograms[first]);
    for h in &histograms[first..=last.max(first)] {
        if uses_custom_buckets(h) != custom {
            ctx.note(&Note::MixedExponentialCustom(ctx.metric()));
            return None;
        }
        if counter && gauge(h) {
            ctx.note(&Note::NotCounter(ctx.metric()));
        }
    }
    let point = |i: usize| (times[i].0, &*histograms[i]);
    let between = |a: usize, at: i64| {
        let outcome = interpolate_histograms(point(a), point(a + 1), at, counter, &mut |op| ctx.note(&Note::MismatchedCustomBuckets(op)));
        if outcome.is_err() {
            ctx.note(&Note::MixedExponentialCustom(ctx.metric()));
        }
        outcome.ok()
    };
    let left = if ctx.smoothed && times[first].0 < ctx.start && first + 1 < times.len() {
        between(first, ctx.start)?
    } else {
        (*histograms[first]).clone()
    };
    let right = if ctx.smoothed && last > 0 && times[last].0 > ctx.end { between(last - 1, ctx.end)? } else { (*histograms[last]).clone() };
    if !(counter || gauge(&left) && gauge(&right)) {
        ctx.note(&Note::NotGauge(ctx.metric()));
    }
    let mut result = right.clone();
    if !combined(subtract(&mut result, &left), ctx, Operation::Subtraction) {
        return None;
    }
    if counter
        && let Some(correction) = extended_correction(window, ctx, (first, last), &left, &right)?
        && !combined(add(&mut result, &correction), ctx, Operation::Addition)
    {
        return None;
    }
    if growth.per_second() {
        divide(&mut result, ctx.range_seconds);
    }
    result.counter_reset = CounterResetHint::Gauge;
    compact(&mut result);
    Some(Cell::Histogram(Arc::new(result)))
}

/// What was reached before each reset between the boundaries. The outer option is `None` when histograms do not combine.
#[allow(clippy::option_option)]
fn extended_correction(
    window: &Split<'_>,
    ctx: &WindowContext<'_>,
    (first, last): (usize, usize),
    left: &NativeHistogram,
    right: &NativeHistogram,
) -> Option<Option<NativeHistogram>> {
    let (times, histograms) = (window.histogram_times, window.histograms);
    let mut from = first + 1;
    let mut before = left;
    if ctx.smoothed && times[first].0 < ctx.start && from < histograms.len() && is_reset(&histograms[from], &histograms[first]) {
        // The left end was interpolated across this reset: it is in the value already.
        before = &histograms[from];
        from += 1;
    }
    // `right` stands for the last sample, with its hint; between the two nothing may be counted twice.
    if from > last {
        return Some(None);
    }
    let mut correction: Option<NativeHistogram> = None;
    let mut count = |h: &NativeHistogram| match &mut correction {
        Some(sum) => combined(add(sum, h), ctx, Operation::Addition),
        None => {
            correction = Some(h.clone());
            true
        }
    };
    for h in &histograms[from..last] {
        if is_reset(h, before) && !count(before) {
            return None;
        }
        before = h;
    }
    if is_reset(right, before) && !count(before) {
        return None;
    }
    Some(correction)
}
