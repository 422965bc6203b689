//! Latency histograms with an integer index: 32 exponential buckets per octave, the layout of a native histogram of schema 5 in seconds.
//!
//! The bucket of a duration is found with one multiplication, one table look-up and one comparison; no logarithm. Because the buckets *are* those of schema 5
//! (Prometheus native histograms), publishing copies counts and loses nothing. Every bucket is 2.2 % wide, so a value read back at its middle is at
//! most 1.1 % off. The classic buckets are exact too though their bounds (2 ms, 100 ms ...) are no powers of 2^(1/32): a bucket with such a bound inside is
//! counted in two parts.

use std::sync::Arc;
use watchfire_model::{BucketSpan, CounterResetHint, NativeHistogram};

/// Classic upper bounds in seconds: the default list of the collector's span metrics and service graph connectors, and between and beyond them the
/// bounds that thresholds are commonly set at (1, 25, 250, 300, 500 ms; 3, 30, 60 s). `+Inf` follows.
pub const CLASSIC_BOUNDS: [f64; 24] = [
    0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.8, 1.0, 1.4, 2.0, 3.0, 5.0, 10.0, 15.0, 30.0,
    60.0,
];

const CLASSIC: usize = CLASSIC_BOUNDS.len() + 1;
/// The bounds in nanoseconds, and an end that nothing exceeds.
const CLASSIC_NANOS: [u64; CLASSIC] = {
    let mut nanos = [u64::MAX; CLASSIC];
    let mut i = 0;
    while i < CLASSIC_BOUNDS.len() {
        nanos[i] = (CLASSIC_BOUNDS[i] * 1e9 + 0.5) as u64;
        i += 1;
    }
    nanos
};

/// Buckets per octave.
const PER_OCTAVE: usize = 32;
/// Schema of the published native histogram.
const SCHEMA: i32 = 5;
/// Durations beyond 18 years count as 18 years.
const LONGEST: u64 = 1 << 59;
/// 2^64 / 10^9, rounded down: nanoseconds times this, shifted right by 30, are units of 2^-34 s.
const UNITS_PER_NANO: u64 = 18_446_744_073;
/// The power of two that one unit is, in seconds.
const UNIT_EXPONENT: i32 = -34;

/// `2^(k/32)` scaled to 2^63, rounded down, for k in 0..32, and an end that nothing exceeds.
#[rustfmt::skip]
const BOUNDS: [u64; PER_OCTAVE + 1] = [
    0x8000_0000_0000_0000, 0x82cd_8698_ac2b_a1d7, 0x85aa_c367_cc48_7b14, 0x8898_0e80_92da_8527,
    0x8b95_c1e3_ea8b_d6e6, 0x8ea4_398b_45cd_53c0, 0x91c3_d373_ab11_c336, 0x94f4_efa8_fef7_0961,
    0x9837_f051_8db8_a96f, 0x9b8d_39b9_d54e_5538, 0x9ef5_3260_91a1_11ad, 0xa270_4303_0c49_6818,
    0xa5fe_d6a9_b151_38ea, 0xa9a1_5ab4_ea7c_0ef8, 0xad58_3eea_42a1_4ac6, 0xb123_f581_d2ac_258f,
    0xb504_f333_f9de_6484, 0xb8fb_af47_62fb_9ee9, 0xbd08_a39f_580c_36be, 0xc12c_4cca_6670_9456,
    0xc567_2a11_5506_dadd, 0xc9b9_bd86_6e2f_27a2, 0xce24_8c15_1f84_80e3, 0xd2a8_1d91_f12a_e45a,
    0xd744_fcca_d69d_6af4, 0xdbfb_b797_daf2_3755, 0xe0cc_deec_2a94_e111, 0xe5b9_06e7_7c83_48a8,
    0xeac0_c6e7_dd24_392e, 0xefe4_b99b_dcda_f5cb, 0xf525_7d15_2486_cc2c, 0xfa83_b2db_722a_033a,
    u64::MAX,
];

/// For each of 128 equal parts of an octave: the number of bounds below its start. A part is narrower than a bucket, so one comparison finishes the job.
static BELOW: [u8; 128] = {
    let mut below = [0; 128];
    let mut part = 0;
    while part < below.len() {
        let start = (1 << 63) + ((part as u64) << 56);
        while BOUNDS[below[part] as usize] < start {
            below[part] += 1;
        }
        part += 1;
    }
    below
};

/// The lowest and the highest bucket that a duration can fall into.
const LOWEST: i32 = UNIT_EXPONENT * PER_OCTAVE as i32;
const HIGHEST: i32 = (64 + UNIT_EXPONENT) * PER_OCTAVE as i32;

const BUCKETS: usize = (HIGHEST - LOWEST + 1) as usize;

/// By bucket, from the lowest: how many classic bounds lie in buckets before it. At most one lies in the bucket itself, so one comparison finishes the job.
static CLASSIC_BELOW: [u8; BUCKETS] = {
    let mut below = [0; BUCKETS];
    let mut bound = 0;
    while bound < CLASSIC_BOUNDS.len() {
        let mut later = bucket_of_bound(bound) + 1;
        while later < below.len() {
            assert!(below[later] as usize == bound, "two bounds in one bucket");
            below[later] += 1;
            later += 1;
        }
        bound += 1;
    }
    below
};

/// Counters beside each other: one per bucket, and two for a bucket with a classic bound inside, up to the bound and beyond it.
const PLACES: usize = BUCKETS + CLASSIC_BOUNDS.len();

/// The bucket that each place belongs to.
static BUCKET_OF: [i16; PLACES] = {
    let mut buckets = [0; PLACES];
    let (mut place, mut bound) = (0, 0);
    while place < PLACES {
        buckets[place] = (LOWEST + (place - bound) as i32) as i16;
        if bound < CLASSIC_BOUNDS.len() && place == last_place(bound) {
            bound += 1;
        }
        place += 1;
    }
    buckets
};

/// The bucket that holds a classic bound, counted from the lowest.
const fn bucket_of_bound(bound: usize) -> usize {
    match bucket(CLASSIC_NANOS[bound]) {
        Some(index) => (index - LOWEST) as usize,
        None => panic!("bounds are longer than nothing"),
    }
}

/// The place of the longest durations that do not exceed a classic bound.
const fn last_place(bound: usize) -> usize {
    bucket_of_bound(bound) + bound
}

/// Where a duration is counted; `None` for zero.
#[inline]
fn place(nanos: u64) -> Option<usize> {
    let offset = (bucket(nanos)? - LOWEST) as usize;
    let below = CLASSIC_BELOW[offset] as usize;
    Some(offset + below + usize::from(nanos > CLASSIC_NANOS[below]))
}

/// Index of the bucket `(2^((i-1)/32), 2^(i/32)]` seconds that holds a duration; `None` for zero.
#[inline]
const fn bucket(nanos: u64) -> Option<i32> {
    let nanos = if nanos < LONGEST { nanos } else { LONGEST };
    let units = ((nanos as u128 * UNITS_PER_NANO as u128) >> 30) as u64;
    if units == 0 {
        return None;
    }
    let zeros = units.leading_zeros();
    let mantissa = units << zeros;
    let below = BELOW[(mantissa >> 56) as usize & 0x7f] as usize;
    let within = below + (mantissa > BOUNDS[below]) as usize;
    let exponent = 63 - zeros as i32 + UNIT_EXPONENT;
    Some(exponent * PER_OCTAVE as i32 + within as i32)
}

/// Counts of durations, weighted by sampling.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    count: f64,
    /// Seconds.
    sum: f64,
    zeros: f64,
    /// Place of `counts[0]`; a multiple of 32.
    base: usize,
    counts: Vec<f64>,
}

impl Histogram {
    pub fn new() -> Self {
        Histogram::default()
    }

    /// Counts one duration `weight` times.
    #[inline]
    pub fn observe(&mut self, nanos: u64, weight: f64) {
        self.count += weight;
        self.sum += nanos as f64 * 1e-9 * weight;
        match place(nanos) {
            Some(place) => self.add(place, weight),
            None => self.zeros += weight,
        }
    }

    #[inline]
    fn add(&mut self, place: usize, weight: f64) {
        match self.counts.get_mut(place.wrapping_sub(self.base)) {
            Some(count) => *count += weight,
            None => self.grow(place, weight),
        }
    }

    #[cold]
    fn grow(&mut self, place: usize, weight: f64) {
        let base = place / PER_OCTAVE * PER_OCTAVE;
        if self.counts.is_empty() {
            self.base = base;
        } else if base < self.base {
            let more = self.base - base;
            self.counts.splice(0..0, std::iter::repeat_n(0.0, more));
            self.base = base;
        }
        let length = (place - self.base) / PER_OCTAVE * PER_OCTAVE + PER_OCTAVE;
        if self.counts.len() < length {
            self.counts.reserve_exact(length - self.counts.len());
            self.counts.resize(length, 0.0);
        }
        self.counts[place - self.base] += weight;
    }

    pub fn count(&self) -> f64 {
        self.count
    }

    pub fn sum_seconds(&self) -> f64 {
        self.sum
    }

    /// Back to nothing counted, with the room kept.
    pub fn clear(&mut self) {
        let mut counts = std::mem::take(&mut self.counts);
        counts.clear();
        *self = Histogram { counts, ..Histogram::default() };
    }

    /// Adds another histogram; exact, in any order.
    pub fn merge(&mut self, other: &Histogram) {
        self.count += other.count;
        self.sum += other.sum;
        self.zeros += other.zeros;
        if self.counts.is_empty() {
            self.base = other.base;
            self.counts.clone_from(&other.counts);
            return;
        }
        for (i, count) in other.counts.iter().enumerate().filter(|(_, c)| **c != 0.0) {
            self.add(other.base + i, *count);
        }
    }

    /// The buckets that counted something, in order, with their counts.
    fn filled(&self) -> impl Iterator<Item = (i32, f64)> {
        let mut places = self.counts.iter().zip(&BUCKET_OF[self.base..]).filter(|(count, _)| **count > 0.0).peekable();
        std::iter::from_fn(move || {
            let (count, bucket) = places.next()?;
            // The other half of a bucket that a classic bound divides.
            let beyond = places.next_if(|(_, other)| *other == bucket).map_or(0.0, |(count, _)| *count);
            Some((i32::from(*bucket), count + beyond))
        })
    }

    /// The duration in seconds that a share `q` (0 to 1) of the observations does not exceed; `None` without observations.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count <= 0.0 {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * self.count;
        let mut seen = self.zeros;
        if seen >= rank && self.zeros > 0.0 {
            return Some(0.0);
        }
        let mut last = 0.0;
        for (index, count) in self.filled() {
            seen += count;
            // The middle of the bucket on the logarithmic scale: at most 1.1 % from any value in it.
            last = ((f64::from(index) - 0.5) / PER_OCTAVE as f64).exp2();
            if seen >= rank {
                break;
            }
        }
        Some(last)
    }

    /// Cumulative counts for [`CLASSIC_BOUNDS`] and `+Inf`.
    pub fn classic(&self) -> impl Iterator<Item = f64> {
        let (mut total, mut done) = (self.zeros, 0);
        let ends = (0..CLASSIC_BOUNDS.len()).map(|bound| (last_place(bound) + 1).saturating_sub(self.base)).chain([usize::MAX]);
        ends.map(move |end| {
            let end = end.min(self.counts.len());
            total += self.counts[done..end].iter().sum::<f64>();
            done = end;
            total
        })
    }

    /// The native histogram (schema 5) with these counts.
    pub fn native(&self) -> Arc<NativeHistogram> {
        let mut after = i32::MIN;
        let (runs, filled) = self.filled().fold((0, 0), |(runs, filled), (index, _)| {
            let new = index != after;
            after = index + 1;
            (runs + usize::from(new), filled + 1)
        });
        let mut spans: Vec<BucketSpan> = Vec::with_capacity(runs);
        let mut buckets = Vec::with_capacity(filled);
        let mut next = 0;
        for (index, count) in self.filled() {
            match spans.last_mut() {
                Some(span) if index == next => span.length += 1,
                Some(_) => spans.push(BucketSpan { offset: index - next, length: 1 }),
                None => spans.push(BucketSpan { offset: index, length: 1 }),
            }
            next = index + 1;
            buckets.push(count);
        }
        Arc::new(NativeHistogram {
            counter_reset: CounterResetHint::Unknown,
            schema: SCHEMA,
            zero_threshold: 0.0,
            zero_count: self.zeros,
            count: self.count,
            sum: self.sum,
            positive_spans: spans,
            positive_buckets: buckets,
            ..NativeHistogram::default()
        })
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + 8 * self.counts.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_belong_to_the_bucket_below_them() {
        for exponent in -20..10 {
            let seconds = 2f64.powi(exponent);
            let nanos = (seconds * 1e9) as u64;
            if nanos as f64 == seconds * 1e9 {
                assert_eq!(bucket(nanos), Some(exponent * 32), "{seconds}");
                // The scaling is exact to ten digits: a bound itself never slips up, a value a billionth above it may not be told apart.
                assert_eq!(bucket(nanos + nanos / 1_000_000_000 + 1), Some(exponent * 32 + 1), "{seconds}");
            }
        }
        assert_eq!(bucket(0), None);
        assert!(bucket(u64::MAX).is_some());
    }

    #[test]
    fn the_table_of_bounds_is_that_of_schema_5() {
        for (k, bound) in BOUNDS[..PER_OCTAVE].iter().enumerate() {
            let exact = (k as f64 / 32.0).exp2();
            assert!((*bound as f64 / (1u64 << 63) as f64 / exact - 1.0).abs() < 1e-15, "{k}");
        }
    }

    #[test]
    fn classic_bounds_include_their_own_value() {
        for (i, bound) in CLASSIC_NANOS[..CLASSIC_BOUNDS.len()].iter().enumerate() {
            let mut h = Histogram::new();
            h.observe(*bound, 1.0);
            h.observe(*bound + 1, 1.0);
            assert_eq!(h.classic().nth(i), Some(1.0), "{bound}");
            assert_eq!(h.classic().nth(i + 1), Some(2.0), "{bound}");
        }
    }

    proptest! {
        #[test]
        fn classic_counts_are_those_of_comparing_with_every_bound(bits in 0u32..64, random in any::<u64>(), beside in 0usize..24, by in 0u64..40) {
            // Durations of every size, and some close to a bound.
            for nanos in [random >> bits, CLASSIC_NANOS[beside] - 20 + by] {
                let mut h = Histogram::new();
                h.observe(nanos, 1.0);
                let expected = CLASSIC_BOUNDS.iter().map(|bound| f64::from(u8::from(nanos as f64 <= bound * 1e9))).chain([1.0]);
                prop_assert!(h.classic().eq(expected), "{nanos}");
            }
        }

        #[test]
        fn every_duration_lies_inside_its_bucket(nanos in 1u64..1 << 58) {
            let index = bucket(nanos).unwrap();
            let seconds = nanos as f64 / 1e9;
            let upper = (f64::from(index) / 32.0).exp2();
            let lower = (f64::from(index - 1) / 32.0).exp2();
            // Tiny durations have few bits in units of 2^-34 s; from a microsecond on the bounds hold to seven digits.
            let slack = if nanos < 1000 { 0.05 } else { 1e-7 * 1000.0f64.max(1e6 / nanos as f64) };
            prop_assert!(seconds <= upper * (1.0 + slack) && seconds > lower * (1.0 - slack), "{lower} < {seconds} <= {upper}");
        }

        #[test]
        fn quantiles_are_within_a_hundredth_and_a_half_of_an_exact_sort(mut values in prop::collection::vec(20_000u64..60_000_000_000, 1..400), q in 0.01f64..1.0) {
            let mut h = Histogram::new();
            values.iter().for_each(|v| h.observe(*v, 1.0));
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1] as f64 / 1e9;
            let read = h.quantile(q).unwrap();
            prop_assert!((read / exact - 1.0).abs() <= 0.016, "{read} for {exact}");
        }

        #[test]
        fn merging_equals_observing_everything(a in prop::collection::vec(0u64..u64::MAX, 0..100), b in prop::collection::vec(0u64..u64::MAX, 0..100)) {
            let (mut left, mut right, mut both) = (Histogram::new(), Histogram::new(), Histogram::new());
            a.iter().for_each(|v| { left.observe(*v, 1.0); both.observe(*v, 1.0) });
            b.iter().for_each(|v| { right.observe(*v, 1.0); both.observe(*v, 1.0) });
            left.merge(&right);
            let (mut merged, mut direct) = ((*left.native()).clone(), (*both.native()).clone());
            merged.sum = 0.0;
            direct.sum = 0.0;
            prop_assert_eq!(merged, direct);
            prop_assert!(left.classic().eq(both.classic()));
        }

        #[test]
        fn native_buckets_add_up_to_the_count(values in prop::collection::vec(0u64..u64::MAX, 0..200)) {
            let mut h = Histogram::new();
            values.iter().for_each(|v| h.observe(*v, 2.0));
            let native = h.native();
            prop_assert_eq!(native.zero_count + native.positive_buckets.iter().sum::<f64>(), native.count);
            prop_assert_eq!(native.positive_spans.iter().map(|s| s.length as usize).sum::<usize>(), native.positive_buckets.len());
        }
    }
}
