//! `histogram </ x` and `histogram >/ x`: the observations below or above a point. Follows Prometheus `FloatHistogram.TrimBuckets`.

use super::buckets::{
    Bucket, compact, negative, negative_bucket, positive, positive_bucket, set_negative, set_positive, uses_custom_buckets, zero_bucket,
};
use watchfire_model::NativeHistogram;

/// Keeps what is below `at` (`upper`) or above it; sums are estimated anew from the middles of the buckets.
pub fn trim(h: &NativeHistogram, at: f64, upper: bool) -> NativeHistogram {
    let custom = uses_custom_buckets(h);
    let mut out = h.clone();
    let (mut count, mut sum) = (0.0, 0.0);
    let mut changed = false;
    let mut populated = [false, false];
    for (side, is_positive) in [true, false].into_iter().enumerate() {
        let mut buckets = if is_positive { positive(h) } else { negative(h) };
        for (index, value) in &mut buckets {
            if *value == 0.0 {
                continue;
            }
            populated[side] = true;
            let b = if is_positive { positive_bucket(h, *index, *value) } else { negative_bucket(h, *index, *value) };
            let (whole, cut) = if upper { (b.upper <= at, b.lower < at) } else { (b.lower >= at, b.upper > at) };
            let (keep, middle) = if whole {
                (b.count, midpoint(b.lower, b.upper, is_positive, custom))
            } else if cut {
                part(&b, at, upper, is_positive, custom)
            } else {
                (0.0, 0.0)
            };
            count += keep;
            sum += middle * keep;
            if *value != keep {
                *value = keep;
                changed = true;
            }
        }
        if is_positive {
            set_positive(&mut out, &buckets);
        } else {
            set_negative(&mut out, &buckets);
        }
    }
    if h.zero_count > 0.0 {
        let (keep, middle) = zero_part(&zero_bucket(h), at, populated[1], populated[0], upper);
        changed |= h.zero_count != keep;
        out.zero_count = keep;
        sum += middle * keep;
        count += keep;
    }
    if !changed {
        return h.clone();
    }
    out.count = count;
    out.sum = sum;
    compact(&mut out);
    out
}

/// Kept count and middle of the bucket that holds the point.
fn part(b: &Bucket, at: f64, upper: bool, is_positive: bool, custom: bool) -> (f64, f64) {
    if b.lower == f64::NEG_INFINITY || b.upper == f64::INFINITY {
        return infinite_part(b, at, upper);
    }
    let below = split(b, at, is_positive, custom);
    if upper { (below, midpoint(b.lower, at, is_positive, custom)) } else { (b.count - below, midpoint(at, b.upper, is_positive, custom)) }
}

/// Nothing is known of the distribution inside a bucket without end: it is kept or dropped whole, unless zero bounds it.
fn infinite_part(b: &Bucket, at: f64, upper: bool) -> (f64, f64) {
    let finite = |v: f64| if v.is_infinite() { 0.0 } else { v };
    let bounded_by_zero = b.upper != f64::INFINITY;
    if b.lower == f64::NEG_INFINITY {
        if upper {
            return if at >= b.upper {
                (b.count, 0.0)
            } else if at > 0.0 && b.upper > 0.0 && bounded_by_zero {
                (b.count * at / b.upper, at / 2.0)
            } else if b.upper <= 0.0 {
                (b.count, at)
            } else {
                (0.0, finite(b.upper))
            };
        }
        return if at <= b.lower {
            (b.count, 0.0)
        } else if at >= 0.0 && b.upper > at && bounded_by_zero {
            (b.count * (1.0 - at / b.upper), (at + b.upper) / 2.0)
        } else {
            (0.0, finite(b.upper))
        };
    }
    if !upper && at >= b.lower { (b.count, at) } else { (0.0, finite(b.lower)) }
}

/// How much of a bucket is at or below the point.
fn split(b: &Bucket, at: f64, is_positive: bool, linear: bool) -> f64 {
    if at <= b.lower {
        return 0.0;
    }
    if at >= b.upper {
        return b.count;
    }
    let fraction = if linear {
        (at - b.lower) / (b.upper - b.lower)
    } else {
        let (lower, upper, v) = (b.lower.abs().log2(), b.upper.abs().log2(), at.abs().log2());
        if is_positive { (v - lower) / (upper - lower) } else { 1.0 - (v - upper) / (lower - upper) }
    };
    b.count * fraction
}

fn zero_part(zero: &Bucket, at: f64, has_negative: bool, has_positive: bool, upper: bool) -> (f64, f64) {
    let high = if has_negative && !has_positive { 0.0 } else { zero.upper };
    let low = if has_positive && !has_negative { 0.0 } else { zero.lower };
    let all = (zero.count, (low + high) / 2.0);
    if upper {
        if at <= low {
            (0.0, 0.0)
        } else if at >= high {
            all
        } else {
            (zero.count * ((at - low) / (high - low)), (low + at) / 2.0)
        }
    } else if at <= low {
        all
    } else if at >= high {
        (0.0, 0.0)
    } else {
        (zero.count * ((high - at) / (high - low)), (at + high) / 2.0)
    }
}

/// The value that stands for an interval: the arithmetic mean of custom buckets, the geometric one of exponential buckets.
fn midpoint(lower: f64, upper: f64, is_positive: bool, linear: bool) -> f64 {
    if lower.is_infinite() {
        return if upper.is_infinite() {
            0.0
        } else if upper > 0.0 {
            upper / 2.0
        } else {
            upper
        };
    }
    if upper.is_infinite() {
        return lower;
    }
    if linear {
        return (lower + upper) / 2.0;
    }
    let middle = (lower * upper).abs().sqrt();
    if is_positive { middle } else { -middle }
}
