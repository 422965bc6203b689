//! Addition, subtraction, scaling and equality. Follows Prometheus `model/histogram/float_histogram.go`.

use super::buckets::{
    Indexed, custom_bound, exponential_bound, indexed, negative, negative_bucket, positive, positive_bucket, reduce, set_negative,
    set_positive, uses_custom_buckets,
};
use crate::number::kahan;
use watchfire_model::{CounterResetHint, NativeHistogram};

/// Exponential and custom buckets cannot be combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncompatibleSchema;

/// What happened on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// A counter reset met an explicit "not a reset".
    pub reset_collision: bool,
    /// Custom bounds differed and only the common ones were kept.
    pub reconciled: bool,
}

/// `h += other`.
pub fn add(h: &mut NativeHistogram, other: &NativeHistogram) -> Result<Remarks, IncompatibleSchema> {
    combine(h, None, other, 1.0)
}

/// `h -= other`.
pub fn subtract(h: &mut NativeHistogram, other: &NativeHistogram) -> Result<Remarks, IncompatibleSchema> {
    combine(h, None, other, -1.0)
}

/// A sum of histograms that loses no precision: every number has its own compensation.
#[derive(Clone, Debug)]
pub struct Compensated {
    pub sum: NativeHistogram,
    pub compensation: NativeHistogram,
}

impl Compensated {
    pub fn new(first: NativeHistogram) -> Self {
        let mut compensation = first.clone();
        for value in compensation.positive_buckets.iter_mut().chain(&mut compensation.negative_buckets) {
            *value = 0.0;
        }
        (compensation.count, compensation.sum, compensation.zero_count) = (0.0, 0.0, 0.0);
        Compensated { sum: first, compensation }
    }

    pub fn add(&mut self, other: &NativeHistogram) -> Result<Remarks, IncompatibleSchema> {
        combine(&mut self.sum, Some(&mut self.compensation), other, 1.0)
    }

    pub fn scale(&mut self, factor: f64) {
        multiply(&mut self.sum, factor);
        multiply(&mut self.compensation, factor);
    }

    pub fn divide(&mut self, by: f64) {
        divide(&mut self.sum, by);
        divide(&mut self.compensation, by);
    }

    pub fn finish(self) -> NativeHistogram {
        let Compensated { mut sum, compensation } = self;
        let plus = |value: &mut f64, c: f64| {
            if !value.is_infinite() {
                *value += c;
            }
        };
        plus(&mut sum.count, compensation.count);
        plus(&mut sum.sum, compensation.sum);
        plus(&mut sum.zero_count, compensation.zero_count);
        for (value, c) in sum.positive_buckets.iter_mut().zip(&compensation.positive_buckets) {
            plus(value, *c);
        }
        for (value, c) in sum.negative_buckets.iter_mut().zip(&compensation.negative_buckets) {
            plus(value, *c);
        }
        sum
    }
}

fn combine(
    h: &mut NativeHistogram,
    mut compensation: Option<&mut NativeHistogram>,
    other: &NativeHistogram,
    sign: f64,
) -> Result<Remarks, IncompatibleSchema> {
    if uses_custom_buckets(h) != uses_custom_buckets(other) {
        return Err(IncompatibleSchema);
    }
    let mut remarks = Remarks { reset_collision: adjust_hint(h, other), reconciled: false };
    let other_zero = if uses_custom_buckets(h) { other.zero_count } else { reconcile_zero(h, compensation.as_deref_mut(), other) };
    match compensation.as_deref_mut() {
        Some(c) => {
            (h.count, c.count) = kahan(sign * other.count, h.count, c.count);
            (h.sum, c.sum) = kahan(sign * other.sum, h.sum, c.sum);
            (h.zero_count, c.zero_count) = kahan(sign * other_zero, h.zero_count, c.zero_count);
        }
        None => {
            h.count += sign * other.count;
            h.sum += sign * other.sum;
            h.zero_count += sign * other_zero;
        }
    }
    if uses_custom_buckets(h) {
        let mut theirs = positive(other);
        if h.custom_values != other.custom_values {
            remarks.reconciled = true;
            let common = common_bounds(&h.custom_values, &other.custom_values);
            theirs = roll_up(&theirs, &other.custom_values, &common);
            let mine = roll_up(&positive(h), &h.custom_values, &common);
            set_positive(h, &mine);
            if let Some(c) = compensation.as_deref_mut() {
                let rolled = roll_up(&positive(c), &h.custom_values, &common);
                set_positive(c, &rolled);
                c.custom_values.clone_from(&common);
            }
            h.custom_values = common;
        }
        merge(h, compensation, &theirs, sign, true);
        return Ok(remarks);
    }
    let schema = h.schema.min(other.schema);
    if h.schema > schema {
        to_schema(h, schema);
        if let Some(c) = compensation.as_deref_mut() {
            to_schema(c, schema);
        }
    }
    let outside = |buckets: Indexed| -> Indexed {
        buckets.into_iter().filter(|(index, _)| exponential_bound(*index, schema) > h.zero_threshold || h.zero_threshold == 0.0).collect()
    };
    let ours = outside(reduce(&positive(other), other.schema, schema));
    let theirs = outside(reduce(&negative(other), other.schema, schema));
    merge(h, compensation.as_deref_mut(), &ours, sign, true);
    merge(h, compensation, &theirs, sign, false);
    Ok(remarks)
}

fn merge(h: &mut NativeHistogram, compensation: Option<&mut NativeHistogram>, theirs: &[(i32, f64)], sign: f64, is_positive: bool) {
    if theirs.is_empty() {
        return;
    }
    let spans = if is_positive { &h.positive_spans } else { &h.negative_spans };
    let other_spans_match = {
        let counts = if is_positive { &h.positive_buckets } else { &h.negative_buckets };
        counts.len() == theirs.len() && indexed(spans, counts).iter().zip(theirs).all(|(a, b)| a.0 == b.0)
    };
    if other_spans_match {
        let counts = if is_positive { &mut h.positive_buckets } else { &mut h.negative_buckets };
        match compensation {
            Some(c) => {
                let c = if is_positive { &mut c.positive_buckets } else { &mut c.negative_buckets };
                for ((value, c), (_, theirs)) in counts.iter_mut().zip(c).zip(theirs) {
                    (*value, *c) = kahan(sign * theirs, *value, *c);
                }
            }
            None => {
                for (value, (_, theirs)) in counts.iter_mut().zip(theirs) {
                    *value += sign * theirs;
                }
            }
        }
        return;
    }
    let mine = if is_positive { positive(h) } else { negative(h) };
    let own_compensation = compensation.as_ref().map(|c| if is_positive { positive(c) } else { negative(c) });
    let mut sums: Indexed = Vec::with_capacity(mine.len() + theirs.len());
    let mut corrections: Indexed = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < mine.len() || j < theirs.len() {
        let index = match (mine.get(i), theirs.get(j)) {
            (Some(a), Some(b)) => a.0.min(b.0),
            (Some(a), None) => a.0,
            (None, Some(b)) => b.0,
            (None, None) => break,
        };
        let mut value = 0.0;
        let mut c = 0.0;
        if mine.get(i).is_some_and(|a| a.0 == index) {
            value = mine[i].1;
            c = own_compensation.as_ref().and_then(|c| c.get(i)).map_or(0.0, |c| c.1);
            i += 1;
        }
        if theirs.get(j).is_some_and(|b| b.0 == index) {
            if own_compensation.is_some() {
                (value, c) = kahan(sign * theirs[j].1, value, c);
            } else {
                value += sign * theirs[j].1;
            }
            j += 1;
        }
        sums.push((index, value));
        corrections.push((index, c));
    }
    if is_positive {
        set_positive(h, &sums);
    } else {
        set_negative(h, &sums);
    }
    if let Some(c) = compensation {
        if is_positive {
            set_positive(c, &corrections);
        } else {
            set_negative(c, &corrections);
        }
    }
}

/// The hint of a combination; true when a reset met a "not a reset".
fn adjust_hint(h: &mut NativeHistogram, other: &NativeHistogram) -> bool {
    use CounterResetHint::{Gauge, Unknown};
    match (h.counter_reset, other.counter_reset) {
        (a, b) if a == b => {}
        (Gauge | Unknown, b) if b != Gauge || h.counter_reset == Gauge => {}
        (_, Gauge) => h.counter_reset = Gauge,
        (_, Unknown) => h.counter_reset = Unknown,
        _ => {
            h.counter_reset = Unknown;
            return true;
        }
    }
    false
}

/// Brings both to one zero threshold; returns the zero count of `other` at that threshold.
fn reconcile_zero(h: &mut NativeHistogram, mut compensation: Option<&mut NativeHistogram>, other: &NativeHistogram) -> f64 {
    let (mut count, mut threshold) = (other.zero_count, other.zero_threshold);
    // Each round raises a threshold past a populated bucket, so that rounds are few; a NaN would never be equal.
    for _ in 0..1024 {
        if threshold == h.zero_threshold || threshold.is_nan() || h.zero_threshold.is_nan() {
            break;
        }
        if h.zero_threshold > threshold {
            (count, threshold) = zero_count_at(other, h.zero_threshold);
        }
        if threshold > h.zero_threshold {
            let (own, at) = zero_count_at(h, threshold);
            if let Some(c) = compensation.as_deref_mut() {
                let inside = |index: i32| exponential_bound(index, c.schema) <= at;
                let moved: f64 = positive(c).iter().chain(&negative(c)).filter(|(index, _)| inside(*index)).map(|(_, v)| v).sum();
                c.zero_count += moved;
                c.zero_threshold = at;
                drop_inside_zero(c);
            }
            h.zero_count = own;
            h.zero_threshold = at;
            drop_inside_zero(h);
        }
    }
    count
}

/// The zero count when the zero bucket reached up to `threshold`, and the threshold it can really have: no populated bucket is cut.
pub fn zero_count_at(h: &NativeHistogram, mut threshold: f64) -> (f64, f64) {
    if threshold == h.zero_threshold {
        return (h.zero_count, threshold);
    }
    'restart: loop {
        let mut count = h.zero_count;
        for (index, bucket_count) in positive(h) {
            let bucket = positive_bucket(h, index, bucket_count);
            if bucket.lower >= threshold {
                break;
            }
            count += bucket_count;
            if bucket.upper > threshold {
                if bucket_count != 0.0 {
                    threshold = bucket.upper;
                }
                break;
            }
        }
        for (index, bucket_count) in negative(h) {
            let bucket = negative_bucket(h, index, bucket_count);
            if bucket.upper <= -threshold {
                break;
            }
            count += bucket_count;
            if bucket.lower < -threshold {
                if bucket_count != 0.0 {
                    threshold = -bucket.lower;
                    continue 'restart;
                }
                break;
            }
        }
        return (count, threshold);
    }
}

fn drop_inside_zero(h: &mut NativeHistogram) {
    let (schema, threshold) = (h.schema, h.zero_threshold);
    let outside =
        |buckets: Indexed| -> Indexed { buckets.into_iter().filter(|(index, _)| exponential_bound(*index, schema) > threshold).collect() };
    let (p, n) = (outside(positive(h)), outside(negative(h)));
    set_positive(h, &p);
    set_negative(h, &n);
}

/// Lowers the resolution of an exponential histogram.
pub fn to_schema(h: &mut NativeHistogram, schema: i32) {
    if uses_custom_buckets(h) || h.schema <= schema {
        return;
    }
    let (p, n) = (reduce(&positive(h), h.schema, schema), reduce(&negative(h), h.schema, schema));
    set_positive(h, &p);
    set_negative(h, &n);
    h.schema = schema;
}

/// Bounds both lists have; all are ascending.
pub fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let is_in_both = |bound: &f64| b.get(b.partition_point(|other| other < bound)) == Some(bound);
    a.iter().copied().filter(is_in_both).collect()
}

/// Custom buckets under fewer bounds.
pub fn roll_up(buckets: &[(i32, f64)], from: &[f64], to: &[f64]) -> Indexed {
    let mut out: Indexed = Vec::new();
    for (index, count) in buckets {
        let upper = custom_bound(*index, from);
        let target = to.partition_point(|bound| *bound < upper) as i32;
        match out.last_mut() {
            Some((last, sum)) if *last == target => *sum += count,
            _ => out.push((target, *count)),
        }
    }
    out
}

fn for_each_number(h: &mut NativeHistogram, f: impl Fn(&mut f64)) {
    f(&mut h.count);
    f(&mut h.sum);
    f(&mut h.zero_count);
    h.positive_buckets.iter_mut().for_each(&f);
    h.negative_buckets.iter_mut().for_each(&f);
}

pub fn multiply(h: &mut NativeHistogram, factor: f64) {
    for_each_number(h, |v| *v *= factor);
    if factor < 0.0 {
        h.counter_reset = CounterResetHint::Gauge;
    }
}

/// Division by zero leaves no buckets, only the infinite totals.
pub fn divide(h: &mut NativeHistogram, by: f64) {
    for_each_number(h, |v| *v /= by);
    if by == 0.0 {
        for list in [&mut h.positive_buckets, &mut h.negative_buckets] {
            list.clear();
        }
        h.positive_spans.clear();
        h.negative_spans.clear();
    }
    if by < 0.0 {
        h.counter_reset = CounterResetHint::Gauge;
    }
}

pub fn has_overflow(h: &NativeHistogram) -> bool {
    [h.count, h.sum, h.zero_count].iter().chain(&h.positive_buckets).chain(&h.negative_buckets).any(|v| v.is_infinite())
}

/// Same layout and same counts, bit for bit; the counter reset hint does not count.
pub fn equal(a: &NativeHistogram, b: &NativeHistogram) -> bool {
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
    let same_buckets = |a: &Indexed, b: &Indexed| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && same(a.1, b.1));
    a.schema == b.schema
        && same(a.count, b.count)
        && same(a.sum, b.sum)
        && (!uses_custom_buckets(a) || a.custom_values == b.custom_values)
        && a.zero_threshold == b.zero_threshold
        && same(a.zero_count, b.zero_count)
        && same_buckets(&positive(a), &positive(b))
        && same_buckets(&negative(a), &negative(b))
}
