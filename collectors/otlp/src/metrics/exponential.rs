//! Exponential histograms: from OTLP buckets to Prometheus native histograms, and merged where deltas are accumulated.
//! (OpenTelemetry metrics data model, "ExponentialHistogram"; Prometheus `storage/remote/otlptranslator/prometheusremotewrite/histograms.go`.)

use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogramDataPoint, exponential_histogram_data_point::Buckets};
use watchfire_model::{BucketSpan, CounterResetHint, NativeHistogram, STALE_NAN};

/// The scales that native histograms have.
const SCALES: std::ops::RangeInclusive<i32> = -4..=8;
/// The zero bucket of senders that give no width.
const ZERO_THRESHOLD: f64 = 1e-128;
/// Buckets of one sign; more are merged by halving the resolution.
const MAX_BUCKETS: usize = 1024;
/// Empty buckets up to so many in a row are written out; longer gaps start a new span.
const MAX_GAP: i64 = 2;

/// A histogram at a scale of -4 to 8: bucket `i` holds `(base^i, base^(i+1)]`, as in OTLP.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exponential {
    scale: i32,
    zero_count: f64,
    zero_threshold: f64,
    count: f64,
    sum: f64,
    positive: Run,
    negative: Run,
}

/// Consecutive buckets from `first` on.
#[derive(Clone, Debug, Default, PartialEq)]
struct Run {
    first: i64,
    counts: Vec<f64>,
}

impl Exponential {
    /// Checks a point and brings it to a scale that a native histogram can have.
    ///
    /// # Errors
    /// With the reason why the point is refused.
    pub(super) fn from_point(point: &ExponentialHistogramDataPoint) -> Result<Self, &'static str> {
        if point.scale < *SCALES.start() {
            return Err("exponential scale below -4");
        }
        let sum = point.sum.unwrap_or(0.0);
        let counts = |b: &Option<Buckets>| b.iter().flat_map(|b| &b.bucket_counts).try_fold(0u64, |total, n| total.checked_add(*n));
        let total = counts(&point.positive).zip(counts(&point.negative)).and_then(|(p, n)| p.checked_add(n)?.checked_add(point.zero_count));
        // Observations that are not a number are in the count and in no bucket; their sum says so.
        let adds_up = total.is_some_and(|total| total == point.count || total < point.count && sum.is_nan());
        if !adds_up {
            return Err("bucket counts do not add up");
        }
        if point.zero_threshold.is_nan() || point.zero_threshold < 0.0 {
            return Err("invalid zero threshold");
        }
        let mut histogram = Exponential {
            scale: point.scale,
            zero_count: point.zero_count as f64,
            zero_threshold: if point.zero_threshold == 0.0 { ZERO_THRESHOLD } else { point.zero_threshold },
            count: point.count as f64,
            sum,
            positive: Run::from_buckets(point.positive.as_ref()),
            negative: Run::from_buckets(point.negative.as_ref()),
        };
        histogram.scale_to(histogram.scale.min(*SCALES.end()));
        histogram.bound()?;
        Ok(histogram)
    }

    /// Merges neighbours until the scale is `scale`, which must not be above the present one.
    fn scale_to(&mut self, scale: i32) {
        let halvings = self.scale.saturating_sub(scale);
        self.positive.halve(halvings);
        self.negative.halve(halvings);
        self.scale = scale;
    }

    /// Keeps the buckets few and their numbers within what a native histogram can say.
    fn bound(&mut self) -> Result<(), &'static str> {
        while self.positive.counts.len().max(self.negative.counts.len()) > MAX_BUCKETS {
            if self.scale == *SCALES.start() {
                return Err("too many buckets");
            }
            self.scale_to(self.scale - 1);
        }
        // No number lies outside these buckets: exponents of doubles go from -1074 to 1023.
        let edge = if self.scale >= 0 { 1080 << self.scale } else { (1080 >> -self.scale) + 1 };
        let fits = |run: &Run| run.counts.is_empty() || run.first >= -edge && run.first + run.counts.len() as i64 <= edge;
        if fits(&self.positive) && fits(&self.negative) { Ok(()) } else { Err("bucket index out of range") }
    }

    /// Widens the zero bucket, which takes in what lies within it. Where it would cut through a bucket it takes that in as well, as in Prometheus.
    fn widen_zero(&mut self, mut threshold: f64) {
        let width = 2f64.powi(-self.scale);
        let bound = |index: i64| (index as f64 * width).exp2();
        while self.zero_threshold < threshold {
            self.zero_threshold = threshold;
            for run in [&mut self.positive, &mut self.negative] {
                let within = (0..run.counts.len()).take_while(|place| bound(run.first + *place as i64) < threshold).count();
                let taken: f64 = run.counts.drain(..within).sum();
                run.first += within as i64;
                if taken > 0.0 {
                    self.zero_count += taken;
                    threshold = threshold.max(bound(run.first));
                }
            }
        }
    }

    /// Adds another histogram, at the coarser of the two scales and the wider of the two zero buckets.
    pub(super) fn merge(&mut self, mut other: Exponential) {
        while self.zero_threshold != other.zero_threshold {
            let wider = self.zero_threshold.max(other.zero_threshold);
            self.widen_zero(wider);
            other.widen_zero(wider);
        }
        let scale = self.scale.min(other.scale);
        self.scale_to(scale);
        other.scale_to(scale);
        self.zero_count += other.zero_count;
        self.count += other.count;
        self.sum += other.sum;
        // Two runs far apart would have to be joined by everything in between: coarsen first.
        while self.scale > *SCALES.start()
            && (self.positive.joined(&other.positive) > MAX_BUCKETS || self.negative.joined(&other.negative) > MAX_BUCKETS)
        {
            self.scale_to(self.scale - 1);
            other.scale_to(other.scale - 1);
        }
        self.positive.add(&other.positive);
        self.negative.add(&other.negative);
    }

    /// As a native histogram; its bucket `i` is OTLP's `i - 1`.
    pub(super) fn native(&self) -> NativeHistogram {
        let (positive_spans, positive_buckets) = self.positive.spans();
        let (negative_spans, negative_buckets) = self.negative.spans();
        NativeHistogram {
            counter_reset: CounterResetHint::Unknown,
            schema: self.scale,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans,
            positive_buckets,
            negative_spans,
            negative_buckets,
            custom_values: Vec::new(),
        }
    }
}

/// The end of a histogram series.
pub(super) fn stale() -> NativeHistogram {
    NativeHistogram { sum: STALE_NAN, ..NativeHistogram::default() }
}

impl Run {
    fn from_buckets(buckets: Option<&Buckets>) -> Self {
        let Some(buckets) = buckets else { return Run::default() };
        let counts = &buckets.bucket_counts;
        // Empty ends say nothing, and may be many.
        let from = counts.iter().position(|n| *n > 0).unwrap_or(counts.len());
        let to = counts.iter().rposition(|n| *n > 0).map_or(from, |last| last + 1);
        let counts: Vec<f64> = counts[from..to].iter().map(|n| *n as f64).collect();
        if counts.is_empty() { Run::default() } else { Run { first: i64::from(buckets.offset) + from as i64, counts } }
    }

    /// Halves the resolution so many times: buckets `2i` and `2i + 1` become `i`.
    fn halve(&mut self, times: i32) {
        if times <= 0 || self.counts.is_empty() {
            return;
        }
        let shift = times.min(62);
        let first = self.first >> shift;
        let last = (self.first + self.counts.len() as i64 - 1) >> shift;
        let mut merged = vec![0.0; (last - first + 1) as usize];
        for (index, count) in self.counts.iter().enumerate() {
            merged[(((self.first + index as i64) >> shift) - first) as usize] += count;
        }
        *self = Run { first, counts: merged };
    }

    /// Length of the run that holds both.
    fn joined(&self, other: &Run) -> usize {
        if self.counts.is_empty() || other.counts.is_empty() {
            return self.counts.len().max(other.counts.len());
        }
        let end = |r: &Run| r.first + r.counts.len() as i64;
        (end(self).max(end(other)) - self.first.min(other.first)) as usize
    }

    fn add(&mut self, other: &Run) {
        if other.counts.is_empty() {
            return;
        }
        if self.counts.is_empty() {
            *self = other.clone();
            return;
        }
        let length = self.joined(other);
        let first = self.first.min(other.first);
        let mut counts = vec![0.0; length];
        for run in [&*self, other] {
            for (index, count) in run.counts.iter().enumerate() {
                counts[(run.first - first) as usize + index] += count;
            }
        }
        *self = Run { first, counts };
    }

    fn spans(&self) -> (Vec<BucketSpan>, Vec<f64>) {
        let (mut spans, mut counts): (Vec<BucketSpan>, Vec<f64>) = (Vec::new(), Vec::new());
        // Index after the last bucket written.
        let mut end: Option<i64> = None;
        for (index, count) in self.counts.iter().enumerate().filter(|(_, n)| **n != 0.0) {
            let at = self.first + index as i64 + 1;
            let gap = end.map_or(i64::MAX, |end| at - end);
            match spans.last_mut() {
                Some(span) if gap <= MAX_GAP => {
                    counts.resize(counts.len() + gap as usize, 0.0);
                    span.length += gap as u32 + 1;
                }
                // The first offset is the index itself, later ones count from the end of the span before.
                _ => spans.push(BucketSpan { offset: end.map_or(at, |end| at - end) as i32, length: 1 }),
            }
            counts.push(*count);
            end = Some(at + 1);
        }
        (spans, counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(scale: i32, offset: i32, counts: &[u64]) -> ExponentialHistogramDataPoint {
        ExponentialHistogramDataPoint {
            scale,
            count: counts.iter().sum(),
            sum: Some(1.0),
            positive: Some(Buckets { offset, bucket_counts: counts.to_vec() }),
            ..Default::default()
        }
    }

    #[test]
    fn buckets_move_by_one_and_long_gaps_start_a_span() {
        let native = Exponential::from_point(&point(1, 3, &[1, 0, 0, 2, 0, 0, 0, 5])).expect("valid").native();
        assert_eq!(native.schema, 1);
        assert_eq!(native.positive_spans, [BucketSpan { offset: 4, length: 4 }, BucketSpan { offset: 3, length: 1 }]);
        assert_eq!(native.positive_buckets, [1.0, 0.0, 0.0, 2.0, 5.0]);
        assert_eq!((native.count, native.zero_threshold), (8.0, 1e-128));
    }

    #[test]
    fn finer_scales_are_merged_down_and_coarser_ones_refused() {
        // At scale 9, buckets -1, 0, 1, 2 become -1, 0, 0, 1 at scale 8.
        let native = Exponential::from_point(&point(9, -1, &[1, 2, 4, 8])).expect("valid").native();
        assert_eq!((native.schema, native.positive_buckets), (8, vec![1.0, 6.0, 8.0]));
        assert_eq!(native.positive_spans, [BucketSpan { offset: 0, length: 3 }]);
        assert_eq!(Exponential::from_point(&point(-5, 0, &[1])), Err("exponential scale below -4"));
        assert_eq!(Exponential::from_point(&point(i32::MIN, 0, &[1])), Err("exponential scale below -4"));
        let finest = Exponential::from_point(&point(i32::MAX, i32::MAX, &[1, 1])).expect("valid").native();
        assert_eq!(finest.positive_spans.len(), 1);
        assert_eq!(Exponential::from_point(&point(8, i32::MAX, &[1])), Err("bucket index out of range"));
    }

    #[test]
    fn counts_must_add_up() {
        let mut wrong = point(0, 0, &[1, 2]);
        wrong.count = 4;
        assert_eq!(Exponential::from_point(&wrong), Err("bucket counts do not add up"));
        wrong.sum = Some(f64::NAN);
        assert!(Exponential::from_point(&wrong).is_ok(), "observations that are no number are in no bucket");
        let mut overflow = point(0, 0, &[u64::MAX]);
        overflow.zero_count = 1;
        assert_eq!(Exponential::from_point(&overflow), Err("bucket counts do not add up"));
    }

    #[test]
    fn deltas_of_different_scales_merge_at_the_coarser_one() {
        let mut total = Exponential::from_point(&point(2, 0, &[1, 1, 1, 1])).expect("valid");
        total.merge(Exponential::from_point(&point(1, 0, &[10, 10])).expect("valid"));
        let native = total.native();
        assert_eq!((native.schema, native.count, native.positive_buckets), (1, 24.0, vec![12.0, 12.0]));
        // Two far-away buckets do not make a million in between.
        let mut far = Exponential::from_point(&point(8, -200_000, &[1])).expect("valid");
        far.merge(Exponential::from_point(&point(8, 200_000, &[1])).expect("valid"));
        assert!(far.positive.counts.len() <= MAX_BUCKETS && far.count == 2.0);
    }

    #[test]
    fn a_wider_zero_bucket_takes_in_what_lies_within_it() {
        // Buckets (0.5, 1], (1, 2], (2, 4] with 1, 2, 3 observations, on both sides of zero.
        let mut total = Exponential::from_point(&ExponentialHistogramDataPoint {
            count: 13,
            zero_count: 1,
            negative: Some(Buckets { offset: -1, bucket_counts: vec![1, 2, 3] }),
            ..point(0, -1, &[1, 2, 3])
        })
        .expect("valid");
        // Its zero bucket ends within (1, 2].
        let wider = ExponentialHistogramDataPoint { count: 9, zero_count: 4, zero_threshold: 1.5, ..point(0, 1, &[5]) };
        total.merge(Exponential::from_point(&wider).expect("valid"));
        let native = total.native();
        assert_eq!((native.zero_threshold, native.zero_count, native.count), (2.0, 1.0 + 3.0 + 3.0 + 4.0, 22.0));
        assert_eq!((native.positive_buckets, native.negative_buckets), (vec![8.0], vec![3.0]));
        // The other way round it is the same.
        let narrow = ExponentialHistogramDataPoint { count: 6, ..point(0, -1, &[1, 2, 3]) };
        let mut total = Exponential::from_point(&wider).expect("valid");
        total.merge(Exponential::from_point(&narrow).expect("valid"));
        let native = total.native();
        assert_eq!((native.zero_threshold, native.zero_count, native.positive_buckets), (2.0, 7.0, vec![8.0]));
    }
}
