//! Spans to indexed buckets and back, bucket bounds, and buckets in order of value.

use std::f64::consts::SQRT_2;
use std::sync::LazyLock;
use watchfire_model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, NativeHistogram};

/// Buckets by absolute index, ascending.
pub type Indexed = Vec<(i32, f64)>;

/// One bucket with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub lower_inclusive: bool,
    pub upper_inclusive: bool,
    pub count: f64,
}

pub fn uses_custom_buckets(h: &NativeHistogram) -> bool {
    h.schema == CUSTOM_BUCKETS_SCHEMA
}

/// Spans and counts to (index, count).
pub fn indexed(spans: &[BucketSpan], counts: &[f64]) -> Indexed {
    let mut out = Vec::with_capacity(counts.len());
    let mut index = 0i32;
    let mut counts = counts.iter();
    for span in spans {
        index = index.saturating_add(span.offset);
        for _ in 0..span.length {
            let Some(count) = counts.next() else { return out };
            out.push((index, *count));
            index = index.saturating_add(1);
        }
    }
    out
}

/// (index, count) to spans and counts, one span per run.
pub fn spanned(buckets: &[(i32, f64)]) -> (Vec<BucketSpan>, Vec<f64>) {
    let mut spans: Vec<BucketSpan> = Vec::new();
    let mut next = 0i32;
    for (i, (index, _)) in buckets.iter().enumerate() {
        match spans.last_mut() {
            Some(span) if i > 0 && *index == next => span.length += 1,
            _ => spans.push(BucketSpan { offset: if i == 0 { *index } else { index.saturating_sub(next) }, length: 1 }),
        }
        next = index.saturating_add(1);
    }
    (spans, buckets.iter().map(|(_, count)| *count).collect())
}

pub fn positive(h: &NativeHistogram) -> Indexed {
    indexed(&h.positive_spans, &h.positive_buckets)
}

pub fn negative(h: &NativeHistogram) -> Indexed {
    indexed(&h.negative_spans, &h.negative_buckets)
}

pub fn set_positive(h: &mut NativeHistogram, buckets: &[(i32, f64)]) {
    (h.positive_spans, h.positive_buckets) = spanned(buckets);
}

pub fn set_negative(h: &mut NativeHistogram, buckets: &[(i32, f64)]) {
    (h.negative_spans, h.negative_buckets) = spanned(buckets);
}

/// Removes empty buckets.
pub fn compact(h: &mut NativeHistogram) {
    if h.positive_buckets.contains(&0.0) || h.positive_spans.len() > 1 {
        let mut buckets = positive(h);
        buckets.retain(|(_, count)| *count != 0.0);
        set_positive(h, &buckets);
    }
    if h.negative_buckets.contains(&0.0) || h.negative_spans.len() > 1 {
        let mut buckets = negative(h);
        buckets.retain(|(_, count)| *count != 0.0);
        set_negative(h, &buckets);
    }
    if h.positive_buckets.is_empty() {
        h.positive_spans.clear();
    }
    if h.negative_buckets.is_empty() {
        h.negative_spans.clear();
    }
}

/// Buckets of a coarser exponential schema; each step down merges pairs.
pub fn reduce(buckets: &[(i32, f64)], from: i32, to: i32) -> Indexed {
    if from <= to {
        return buckets.to_vec();
    }
    let shift = from.saturating_sub(to).min(31) as u32;
    let mut out: Indexed = Vec::with_capacity(buckets.len());
    for (index, count) in buckets {
        let index = (index.saturating_sub(1) >> shift) + 1;
        match out.last_mut() {
            Some((last, sum)) if *last == index => *sum += count,
            _ => out.push((index, *count)),
        }
    }
    out
}

/// Schemas with a meaning; others come from broken senders.
const MIN_SCHEMA: i32 = -9;
const MAX_SCHEMA: i32 = 20;

/// Upper bound of the positive bucket `index`: `2^(index * 2^-schema)`, exact at powers of two.
pub fn exponential_bound(index: i32, schema: i32) -> f64 {
    let schema = schema.clamp(MIN_SCHEMA, MAX_SCHEMA);
    if schema < 0 {
        let exponent = i64::from(index) << -schema;
        return if exponent == 1024 { f64::MAX } else { ldexp(1.0, exponent) };
    }
    let fraction = index & ((1 << schema) - 1);
    let exponent = i64::from(index >> schema);
    if fraction == 0 && exponent == 1024 {
        return f64::MAX;
    }
    if fraction == 0 {
        return ldexp(1.0, exponent);
    }
    ldexp(root(fraction, schema), exponent)
}

/// The finest schema that Prometheus keeps.
const FINEST: i32 = 8;

/// `2^(n/256)` by `n`, to the digit as Prometheus and its clients have it in a table: each is the one before without the last bit of `n`, times a root of
/// two, and the half is one over the square root.
static ROOTS: LazyLock<[f64; 1 << FINEST]> = LazyLock::new(|| {
    let mut of_bit = [2.0 * (1.0 / SQRT_2); FINEST as usize];
    let mut root = SQRT_2;
    for finer in &mut of_bit[1..] {
        root = root.sqrt();
        *finer = root;
    }
    let mut roots = [1.0; 1 << FINEST];
    for n in 1..roots.len() {
        let bit = n.trailing_zeros() as usize;
        roots[n] = roots[n & (n - 1)] * of_bit[FINEST as usize - 1 - bit];
    }
    roots
});

/// `2^(fraction / 2^schema)` for a fraction below one.
fn root(fraction: i32, schema: i32) -> f64 {
    match usize::try_from(fraction << (FINEST - schema).max(0)) {
        Ok(n) if schema <= FINEST => ROOTS[n],
        _ => (f64::from(fraction) / f64::from(1 << schema)).exp2(),
    }
}

fn ldexp(value: f64, exponent: i64) -> f64 {
    let exponent = exponent.clamp(-1200, 1200) as i32;
    // In two steps, so that neither over- nor underflows on the way.
    let half = exponent / 2;
    value * 2f64.powi(half) * 2f64.powi(exponent - half)
}

/// Upper bound of a custom bucket; the one past the last is +Inf, the one before the first -Inf.
pub fn custom_bound(index: i32, bounds: &[f64]) -> f64 {
    if index < 0 {
        return f64::NEG_INFINITY;
    }
    bounds.get(index as usize).copied().unwrap_or(f64::INFINITY)
}

pub fn upper_bound(h: &NativeHistogram, index: i32) -> f64 {
    if uses_custom_buckets(h) { custom_bound(index, &h.custom_values) } else { exponential_bound(index, h.schema) }
}

/// A positive bucket of `h`.
pub fn positive_bucket(h: &NativeHistogram, index: i32, count: f64) -> Bucket {
    let (lower, upper) = (upper_bound(h, index.saturating_sub(1)), upper_bound(h, index));
    // As in a classic histogram, the first custom bucket includes its lower bound.
    let lower_inclusive = uses_custom_buckets(h) && index == 0;
    Bucket { lower, upper, lower_inclusive, upper_inclusive: true, count }
}

pub fn negative_bucket(h: &NativeHistogram, index: i32, count: f64) -> Bucket {
    let (lower, upper) = (-upper_bound(h, index), -upper_bound(h, index.saturating_sub(1)));
    Bucket { lower, upper, lower_inclusive: true, upper_inclusive: false, count }
}

pub fn zero_bucket(h: &NativeHistogram) -> Bucket {
    Bucket { lower: -h.zero_threshold, upper: h.zero_threshold, lower_inclusive: true, upper_inclusive: true, count: h.zero_count }
}

/// All buckets from the lowest values to the highest. The zero bucket is there when it holds something; bounds inside it are cut to it.
pub fn ascending(h: &NativeHistogram) -> Vec<Bucket> {
    let mut out = Vec::with_capacity(h.negative_buckets.len() + h.positive_buckets.len() + 1);
    for (index, count) in negative(h).into_iter().rev() {
        let mut bucket = negative_bucket(h, index, count);
        if !uses_custom_buckets(h) {
            if bucket.upper > -h.zero_threshold && bucket.lower < -h.zero_threshold {
                bucket.upper = -h.zero_threshold;
            }
            if bucket.lower >= -h.zero_threshold && h.zero_threshold > 0.0 {
                continue;
            }
        }
        out.push(bucket);
    }
    if h.zero_count != 0.0 {
        out.push(zero_bucket(h));
    }
    for (index, count) in positive(h) {
        let mut bucket = positive_bucket(h, index, count);
        if !uses_custom_buckets(h) {
            if bucket.lower < h.zero_threshold && bucket.upper > h.zero_threshold {
                bucket.lower = h.zero_threshold;
            }
            if bucket.upper <= h.zero_threshold && h.zero_threshold > 0.0 {
                continue;
            }
        }
        out.push(bucket);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_powers_of_the_base() {
        assert_eq!(exponential_bound(0, 0), 1.0);
        assert_eq!(exponential_bound(3, 0), 8.0);
        assert_eq!(exponential_bound(-2, 0), 0.25);
        assert_eq!(exponential_bound(2, 1), 2.0);
        // As `client_golang` lists them.
        let halves = [
            0.5221368912137069,
            0.5452538663326288,
            0.5693943173783458,
            0.5946035575013605,
            0.620928906036742,
            0.6484197773255048,
            0.6771277734684463,
            0.7071067811865475,
            0.7384130729697496,
            0.7711054127039704,
            0.805245165974627,
            0.8408964152537144,
        ];
        for (index, half) in (1..).zip(halves) {
            assert_eq!(exponential_bound(index, 4), half * 2.0, "{index}");
            assert_eq!(exponential_bound(index * 16 - 256, 8), half, "{index}");
        }
        assert_eq!(exponential_bound(3, 20), (3.0 / f64::from(1 << 20)).exp2());
        assert_eq!(exponential_bound(1, -1), 4.0);
        assert_eq!(exponential_bound(1024, 0), f64::MAX);
    }

    #[test]
    fn spans_and_indices_are_two_forms_of_the_same() {
        let buckets = vec![(-2, 1.0), (-1, 2.0), (3, 4.0)];
        let (spans, counts) = spanned(&buckets);
        assert_eq!(spans, vec![BucketSpan { offset: -2, length: 2 }, BucketSpan { offset: 3, length: 1 }]);
        assert_eq!(indexed(&spans, &counts), buckets);
    }

    #[test]
    fn a_coarser_schema_merges_pairs() {
        assert_eq!(reduce(&[(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0)], 1, 0), vec![(0, 1.0), (1, 6.0), (2, 8.0)]);
    }
}
