//! `histogram </ x` and `histogram >/ x`: the observations below or above a point. Follows Prometheus `FloatHistogram.TrimBuckets`.

use super::buckets::{
    Bucket, compact, negative, negative_bucket, positive, positive_bucket, set_negative, set_positive, uses_custom_buckets, zero_bucket,
};
use watchfire_model::NativeHistogram;

/// The side of the point whose observations are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Below,
    Above,
}

/// The sign of a bucket's observations.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Positive,
    Negative,
}

/// How observations are taken to lie inside a bucket: evenly in a custom one, evenly on the logarithmic scale in an exponential one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    Linear,
    Logarithmic,
}

/// Keeps what is below `at` or above it; sums are estimated anew from the middles of the buckets.
pub fn trim(h: &NativeHistogram, at: f64, kept: Keep) -> NativeHistogram {
    let scale = if uses_custom_buckets(h) { Scale::Linear } else { Scale::Logarithmic };
    let mut out = h.clone();
    let (mut count, mut sum) = (0.0, 0.0);
    let mut changed = false;
    let (mut has_positive, mut has_negative) = (false, false);
    for sign in [Sign::Positive, Sign::Negative] {
        let (mut buckets, populated) = match sign {
            Sign::Positive => (positive(h), &mut has_positive),
            Sign::Negative => (negative(h), &mut has_negative),
        };
        for (index, value) in &mut buckets {
            if *value == 0.0 {
                continue;
            }
            *populated = true;
            let b = match sign {
                Sign::Positive => positive_bucket(h, *index, *value),
                Sign::Negative => negative_bucket(h, *index, *value),
            };
            let (whole, cut) = match kept {
                Keep::Below => (b.upper <= at, b.lower < at),
                Keep::Above => (b.lower >= at, b.upper > at),
            };
            let (keep, middle) = if whole {
                (b.count, midpoint(b.lower, b.upper, sign, scale))
            } else if cut {
                part(&b, at, kept, sign, scale)
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
        match sign {
            Sign::Positive => set_positive(&mut out, &buckets),
            Sign::Negative => set_negative(&mut out, &buckets),
        }
    }
    if h.zero_count > 0.0 {
        // Observations of one sign only make of the zero bucket one that begins or ends at zero.
        let mut zero = zero_bucket(h);
        match (has_negative, has_positive) {
            (true, false) => zero.upper = 0.0,
            (false, true) => zero.lower = 0.0,
            _ => {}
        }
        let (keep, middle) = zero_part(&zero, at, kept);
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
fn part(b: &Bucket, at: f64, kept: Keep, sign: Sign, scale: Scale) -> (f64, f64) {
    if b.lower == f64::NEG_INFINITY || b.upper == f64::INFINITY {
        return infinite_part(b, at, kept);
    }
    let below = split(b, at, sign, scale);
    match kept {
        Keep::Below => (below, midpoint(b.lower, at, sign, scale)),
        Keep::Above => (b.count - below, midpoint(at, b.upper, sign, scale)),
    }
}

/// Nothing is known of the distribution inside a bucket without end: it is kept or dropped whole, unless zero bounds it.
fn infinite_part(b: &Bucket, at: f64, kept: Keep) -> (f64, f64) {
    let finite = |v: f64| if v.is_infinite() { 0.0 } else { v };
    let bounded_by_zero = b.upper != f64::INFINITY;
    if b.lower == f64::NEG_INFINITY {
        if kept == Keep::Below {
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
    if kept == Keep::Above && at >= b.lower { (b.count, at) } else { (0.0, finite(b.lower)) }
}

/// How much of a bucket is at or below the point.
fn split(b: &Bucket, at: f64, sign: Sign, scale: Scale) -> f64 {
    if at <= b.lower {
        return 0.0;
    }
    if at >= b.upper {
        return b.count;
    }
    if scale == Scale::Linear {
        return b.count * ((at - b.lower) / (b.upper - b.lower));
    }
    let (lower, upper, v) = (b.lower.abs().log2(), b.upper.abs().log2(), at.abs().log2());
    b.count
        * match sign {
            Sign::Positive => (v - lower) / (upper - lower),
            Sign::Negative => 1.0 - (v - upper) / (lower - upper),
        }
}

/// As [`part`], of the zero bucket, inside which observations lie evenly.
fn zero_part(zero: &Bucket, at: f64, kept: Keep) -> (f64, f64) {
    let (low, high) = (zero.lower, zero.upper);
    let all = (zero.count, (low + high) / 2.0);
    let none = (0.0, 0.0);
    match kept {
        Keep::Below if at <= low => none,
        Keep::Below if at >= high => all,
        Keep::Below => (zero.count * ((at - low) / (high - low)), (low + at) / 2.0),
        Keep::Above if at <= low => all,
        Keep::Above if at >= high => none,
        Keep::Above => (zero.count * ((high - at) / (high - low)), (at + high) / 2.0),
    }
}

/// The value that stands for an interval: the arithmetic mean of custom buckets, the geometric one of exponential buckets.
fn midpoint(lower: f64, upper: f64, sign: Sign, scale: Scale) -> f64 {
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
    if scale == Scale::Linear {
        return (lower + upper) / 2.0;
    }
    let middle = (lower * upper).abs().sqrt();
    if sign == Sign::Positive { middle } else { -middle }
}
