//! Quantiles and fractions of classic and native histograms, and quantiles of plain values. Follows Prometheus `promql/quantile.go`.

use super::buckets::{Bucket, ascending, uses_custom_buckets};
use watchfire_model::NativeHistogram;

/// One bucket of a classic histogram: its upper bound and its cumulative count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassicBucket {
    pub upper: f64,
    pub count: f64,
}

/// Relative difference under which counts are taken as equal.
const SMALL_DELTA: f64 = 1e-12;

/// Equal within a relative error; NaNs are equal.
pub fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < epsilon * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < epsilon
}

/// The quantile of a classic histogram, and whether counts had to be made monotonic.
pub fn classic_quantile(q: f64, buckets: &mut Vec<ClassicBucket>) -> (f64, bool) {
    if q.is_nan() {
        return (f64::NAN, false);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, false);
    }
    if q > 1.0 {
        return (f64::INFINITY, false);
    }
    if !prepare(buckets) {
        return (f64::NAN, false);
    }
    let forced = make_monotonic(buckets);
    let last = buckets.len() - 1;
    if last < 1 {
        return (f64::NAN, forced);
    }
    let observations = buckets[last].count;
    if observations == 0.0 {
        return (f64::NAN, forced);
    }
    let rank = q * observations;
    let at = buckets[..last].partition_point(|b| b.count < rank);
    let value = if at == last {
        buckets[last - 1].upper
    } else if at == 0 && buckets[0].upper <= 0.0 {
        buckets[0].upper
    } else {
        let (start, before) = if at > 0 { (buckets[at - 1].upper, buckets[at - 1].count) } else { (0.0, 0.0) };
        start + (buckets[at].upper - start) * ((rank - before) / (buckets[at].count - before))
    };
    (value, forced)
}

/// Sorts and merges equal bounds; false when there is no +Inf bucket.
fn prepare(buckets: &mut Vec<ClassicBucket>) -> bool {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    if buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
    true
}

fn make_monotonic(buckets: &mut [ClassicBucket]) -> bool {
    let mut forced = false;
    let mut previous = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let current = bucket.count;
        if current == previous {
            continue;
        }
        if almost_equal(previous, current, SMALL_DELTA) {
            bucket.count = previous;
        } else if current < previous {
            bucket.count = previous;
            forced = true;
        } else {
            previous = current;
        }
    }
    forced
}

/// The fraction of observations of a classic histogram between two values.
pub fn classic_fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if !prepare(buckets) {
        return f64::NAN;
    }
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let mut ranks = Ranks::default();
    let mut rank = 0.0;
    let mut start = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    for bucket in buckets.iter() {
        let within = |v: f64| {
            if start == f64::NEG_INFINITY { bucket.count } else { rank + (bucket.count - rank) * (v - start) / (bucket.upper - start) }
        };
        if ranks.step(lower, upper, rank, start, bucket.upper, within) {
            break;
        }
        rank = bucket.count;
        start = bucket.upper;
    }
    ranks.difference(count) / count
}

/// Cumulative counts at the two ends of a fraction.
#[derive(Default)]
struct Ranks {
    lower: Option<f64>,
    upper: Option<f64>,
}

impl Ranks {
    /// Looks at one bucket `start..end` that begins at `rank`; true when both ends are known.
    fn step(&mut self, lower: f64, upper: f64, rank: f64, start: f64, end: f64, within: impl Fn(f64) -> f64) -> bool {
        for (found, wanted) in [(&mut self.lower, lower), (&mut self.upper, upper)] {
            if found.is_none() && start >= wanted {
                *found = Some(rank);
            }
        }
        if self.lower.is_some() && self.upper.is_some() {
            return true;
        }
        for (found, wanted) in [(&mut self.lower, lower), (&mut self.upper, upper)] {
            if found.is_none() && start < wanted && end > wanted {
                *found = Some(within(wanted));
            }
        }
        self.lower.is_some() && self.upper.is_some()
    }

    fn difference(&self, count: f64) -> f64 {
        let end = |rank: Option<f64>| rank.filter(|r| *r <= count).unwrap_or(count);
        end(self.upper) - end(self.lower)
    }
}

/// What a native histogram's NaN observations did to a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NanEffect {
    None,
    /// The result is NaN because of them.
    Result,
    /// The result is skewed by them.
    Skew,
}

/// The quantile of a native histogram.
pub fn native_quantile(q: f64, h: &NativeHistogram) -> (f64, NanEffect) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, NanEffect::None);
    }
    if q > 1.0 {
        return (f64::INFINITY, NanEffect::None);
    }
    if h.count == 0.0 || q.is_nan() {
        return (f64::NAN, NanEffect::None);
    }
    let custom = uses_custom_buckets(h);
    let mut buckets = ascending(h);
    // NaN observations are in the count but in no bucket: then only counting from below is right.
    let forward = h.sum.is_nan() || q < 0.5;
    if !forward {
        buckets.reverse();
    }
    let mut rank = if forward { q } else { 1.0 - q } * h.count;
    let mut count = 0.0;
    // A histogram without any bucket has NaN observations only.
    let mut bucket =
        buckets.first().copied().unwrap_or(Bucket { lower: 0.0, upper: 0.0, lower_inclusive: false, upper_inclusive: false, count: 0.0 });
    let mut rest = buckets.iter();
    for b in rest.by_ref() {
        bucket = *b;
        if b.count == 0.0 {
            continue;
        }
        count += b.count;
        if count >= rank {
            break;
        }
    }
    if !custom && bucket.lower < 0.0 && bucket.upper > 0.0 {
        if h.negative_buckets.is_empty() && !h.positive_buckets.is_empty() {
            bucket.lower = 0.0;
        } else if h.positive_buckets.is_empty() && !h.negative_buckets.is_empty() {
            bucket.upper = 0.0;
        }
    } else if custom {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, NanEffect::None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, NanEffect::None);
        }
    }
    count = count.min(h.count);
    if count < rank {
        if h.sum.is_nan() {
            return (f64::NAN, NanEffect::Result);
        }
        return (bucket.upper, NanEffect::None);
    }
    rank = if forward { rank - (count - bucket.count) } else { count - rank };
    let mut effect = NanEffect::None;
    if h.sum.is_nan() && count + rest.map(|b| b.count).sum::<f64>() < h.count {
        effect = NanEffect::Skew;
    }
    let fraction = rank / bucket.count;
    if custom || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return (bucket.lower + (bucket.upper - bucket.lower) * fraction, effect);
    }
    // Exponential buckets are even on a logarithmic scale.
    let (log_lower, log_upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    let value = if bucket.lower > 0.0 {
        (log_lower + (log_upper - log_lower) * fraction).exp2()
    } else {
        -(log_upper + (log_lower - log_upper) * (1.0 - fraction)).exp2()
    };
    (value, effect)
}

/// The fraction of observations of a native histogram between two values; true when NaN observations are left out of it.
pub fn native_fraction(lower: f64, upper: f64, h: &NativeHistogram) -> (f64, bool) {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, false);
    }
    if lower >= upper {
        return (0.0, false);
    }
    let custom = uses_custom_buckets(h);
    let mut ranks = Ranks::default();
    let mut rank = 0.0;
    let all = ascending(h);
    for bucket in &all {
        let mut b = *bucket;
        let zero = b.lower <= 0.0 && b.upper >= 0.0;
        if zero {
            if h.negative_buckets.is_empty() && !h.positive_buckets.is_empty() {
                b.lower = 0.0;
            } else if h.positive_buckets.is_empty() && !h.negative_buckets.is_empty() {
                b.upper = 0.0;
            }
        }
        let within = |v: f64| {
            if custom || zero {
                return if b.lower == f64::NEG_INFINITY { b.count } else { rank + b.count * (v - b.lower) / (b.upper - b.lower) };
            }
            let (log_lower, log_upper, log_v) = (b.lower.abs().log2(), b.upper.abs().log2(), v.abs().log2());
            let fraction =
                if v > 0.0 { (log_v - log_lower) / (log_upper - log_lower) } else { 1.0 - (log_v - log_upper) / (log_lower - log_upper) };
            rank + b.count * fraction
        };
        if ranks.step(lower, upper, rank, b.lower, b.upper, within) {
            break;
        }
        rank += b.count;
    }
    let mut count = h.count;
    let mut without_nan = false;
    if h.sum.is_nan() {
        count = all.iter().map(|b| b.count).sum();
        without_nan = count < h.count;
    }
    (ranks.difference(count) / h.count, without_nan)
}

/// The quantile of values, NaN being the smallest; interpolated between neighbours.
pub fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let rank = q * (values.len() - 1) as f64;
    let low = rank.floor().max(0.0) as usize;
    let high = (low + 1).min(values.len() - 1);
    let order = |a: &f64, b: &f64| b.is_nan().cmp(&a.is_nan()).then_with(|| a.total_cmp(b));
    let (_, low_value, above) = values.select_nth_unstable_by(low, order);
    let low_value = *low_value;
    let high_value = if high == low { low_value } else { above.iter().copied().min_by(order).unwrap_or(low_value) };
    let weight = rank - rank.floor();
    low_value * (1.0 - weight) + high_value * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_values_interpolate_and_put_nan_first() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(0.75, &mut [4.0, 0.0, 1.0]), 2.5);
        assert!(quantile(0.2, &mut [0.0, 1.0, f64::NAN]).is_nan());
        assert_eq!(quantile(2.0, &mut [1.0]), f64::INFINITY);
    }

    #[test]
    fn a_histogram_of_nan_observations_says_so() {
        let h = NativeHistogram { count: 3.0, sum: f64::NAN, ..NativeHistogram::default() };
        for q in [0.4, 0.8, 1.0] {
            let (value, effect) = native_quantile(q, &h);
            assert!(value.is_nan(), "{q}");
            assert_eq!(effect, NanEffect::Result, "{q}");
        }
    }

    #[test]
    fn a_classic_histogram_needs_its_last_bucket() {
        let bucket = |upper, count| ClassicBucket { upper, count };
        assert!(classic_quantile(0.5, &mut vec![bucket(1.0, 1.0), bucket(2.0, 2.0)]).0.is_nan());
        let (value, forced) = classic_quantile(0.5, &mut vec![bucket(1.0, 2.0), bucket(2.0, 1.0), bucket(f64::INFINITY, 4.0)]);
        assert_eq!((value, forced), (1.0, true));
    }
}
