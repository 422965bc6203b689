//! The histograms of a stretch of a column that is no longer written, packed without loss: each as what it changed against the one before it. What a
//! service counts in two seconds moves a few buckets; the others, and where the buckets are, take nothing.

use super::chunk::{CHUNK, little_endian, put_varint, take_varint, unzigzag, zigzag};
use std::sync::Arc;
use watchfire_model::{BucketSpan, CounterResetHint, NativeHistogram};

/// The histogram is the one before it.
const SAME: u8 = 0;
/// It is another one. What follows the head: the sum, the layout where that is new, and the counts that changed.
const OTHER: u8 = 1;
/// It says where its buckets are; its counts are told against zeros.
const LAYOUT: u8 = 2;
/// Counts are told as whole differences, and not by all their bits.
const WHOLE: u8 = 4;
/// Where the hint of a counter reset stands in the head.
const RESET: u8 = 4;

const RESETS: [CounterResetHint; 4] =
    [CounterResetHint::Unknown, CounterResetHint::Reset, CounterResetHint::NotReset, CounterResetHint::Gauge];
/// Whole numbers up to this are doubles without loss, and so are their differences.
const LARGEST: f64 = 4_503_599_627_370_496.0;

/// At most [`CHUNK`] rows, some of them with a histogram.
#[derive(Clone, Debug)]
pub(super) struct PackedHistograms {
    /// One bit per row, the lowest for the first.
    present: u32,
    bytes: Box<[u8]>,
}

impl PackedHistograms {
    /// Nothing, where there is no histogram.
    pub fn of(histograms: &[Option<Arc<NativeHistogram>>]) -> Option<Self> {
        debug_assert!(histograms.len() <= CHUNK);
        let (mut present, mut bytes) = (0, Vec::new());
        let mut before: Option<&Arc<NativeHistogram>> = None;
        for (row, histogram) in histograms.iter().enumerate() {
            let Some(histogram) = histogram else { continue };
            present |= 1 << row;
            if before.is_some_and(|before| Arc::ptr_eq(before, histogram)) {
                bytes.push(SAME);
            } else {
                put(&mut bytes, before.map(|before| &**before), histogram);
            }
            before = Some(histogram);
        }
        (present != 0).then(|| PackedHistograms { present, bytes: bytes.into_boxed_slice() })
    }

    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }

    /// Appends what each of `rows` rows holds.
    pub fn unpack(&self, rows: usize, out: &mut Vec<Option<Arc<NativeHistogram>>>) {
        let mut rest = &*self.bytes;
        let mut before: Option<Arc<NativeHistogram>> = None;
        for row in 0..rows {
            if self.present >> row & 1 == 0 {
                out.push(None);
                continue;
            }
            let head = rest.split_off_first().copied().unwrap_or(SAME);
            if head & OTHER != 0 {
                before = Some(Arc::new(take(head, &mut rest, before.as_deref())));
            }
            out.push(before.clone());
        }
    }
}

/// All counts of a histogram in one order.
fn counts(histogram: &NativeHistogram) -> impl Iterator<Item = f64> {
    let ends = [histogram.zero_count, histogram.count];
    ends.into_iter().chain(histogram.positive_buckets.iter().copied()).chain(histogram.negative_buckets.iter().copied())
}

/// The count at a place of that order.
fn count_mut(histogram: &mut NativeHistogram, place: usize) -> Option<&mut f64> {
    let positive = histogram.positive_buckets.len();
    match place {
        0 => Some(&mut histogram.zero_count),
        1 => Some(&mut histogram.count),
        _ if place - 2 < positive => histogram.positive_buckets.get_mut(place - 2),
        _ => histogram.negative_buckets.get_mut(place - 2 - positive),
    }
}

fn is_laid_out_as(a: &NativeHistogram, b: &NativeHistogram) -> bool {
    let bounds = |h: &NativeHistogram| h.custom_values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && a.positive_buckets.len() == b.positive_buckets.len()
        && a.negative_buckets.len() == b.negative_buckets.len()
        && bounds(a) == bounds(b)
}

fn whole(value: f64) -> Option<i64> {
    let whole = value as i64;
    (value.abs() <= LARGEST && (whole as f64).to_bits() == value.to_bits()).then_some(whole)
}

fn put(out: &mut Vec<u8>, before: Option<&NativeHistogram>, histogram: &NativeHistogram) {
    let before = before.filter(|before| is_laid_out_as(before, histogram));
    let old = || before.into_iter().flat_map(counts).chain(std::iter::repeat(0.0));
    let changed = || counts(histogram).zip(old()).enumerate().filter(|(_, (new, old))| new.to_bits() != old.to_bits());
    let all_whole = changed().all(|(_, (new, old))| whole(new).is_some() && whole(old).is_some());
    let reset = RESETS.iter().position(|hint| *hint == histogram.counter_reset).unwrap_or_default() as u8;
    let layout = if before.is_none() { LAYOUT } else { 0 };
    out.push(OTHER | layout | if all_whole { WHOLE } else { 0 } | reset << RESET);
    out.extend_from_slice(&histogram.sum.to_bits().to_le_bytes());
    if before.is_none() {
        put_layout(out, histogram);
    }
    put_varint(out, changed().count() as u64);
    let mut next = 0;
    for (place, (new, old)) in changed() {
        put_varint(out, (place - next) as u64);
        next = place + 1;
        match (whole(new), whole(old)) {
            (Some(new), Some(old)) if all_whole => put_varint(out, zigzag(new - old)),
            _ => out.extend_from_slice(&new.to_bits().to_le_bytes()),
        }
    }
}

fn put_layout(out: &mut Vec<u8>, histogram: &NativeHistogram) {
    put_varint(out, zigzag(i64::from(histogram.schema)));
    out.extend_from_slice(&histogram.zero_threshold.to_bits().to_le_bytes());
    for (spans, buckets) in
        [(&histogram.positive_spans, histogram.positive_buckets.len()), (&histogram.negative_spans, histogram.negative_buckets.len())]
    {
        put_varint(out, spans.len() as u64);
        for span in spans {
            put_varint(out, zigzag(i64::from(span.offset)));
            put_varint(out, u64::from(span.length));
        }
        put_varint(out, buckets as u64);
    }
    put_varint(out, histogram.custom_values.len() as u64);
    histogram.custom_values.iter().for_each(|bound| out.extend_from_slice(&bound.to_bits().to_le_bytes()));
}

fn take(head: u8, rest: &mut &[u8], before: Option<&NativeHistogram>) -> NativeHistogram {
    let sum = take_double(rest);
    let mut histogram = match before {
        Some(before) if head & LAYOUT == 0 => before.clone(),
        _ => take_layout(rest),
    };
    histogram.sum = sum;
    histogram.counter_reset = RESETS[usize::from(head >> RESET) % RESETS.len()];
    let mut place = 0;
    for _ in 0..take_varint(rest) {
        place += take_varint(rest) as usize;
        let difference = if head & WHOLE != 0 { Ok(unzigzag(take_varint(rest))) } else { Err(take_double(rest)) };
        if let Some(count) = count_mut(&mut histogram, place) {
            *count = match difference {
                Ok(difference) => (*count as i64 + difference) as f64,
                Err(value) => value,
            };
        }
        place += 1;
    }
    histogram
}

fn take_layout(rest: &mut &[u8]) -> NativeHistogram {
    let schema = unzigzag(take_varint(rest)) as i32;
    let zero_threshold = take_double(rest);
    let mut side = || {
        let spans = (0..take_varint(rest))
            .map(|_| BucketSpan { offset: unzigzag(take_varint(rest)) as i32, length: take_varint(rest) as u32 })
            .collect();
        (spans, vec![0.0; take_varint(rest) as usize])
    };
    let ((positive_spans, positive_buckets), (negative_spans, negative_buckets)) = (side(), side());
    let custom_values = (0..take_varint(rest)).map(|_| take_double(rest)).collect();
    NativeHistogram {
        schema,
        zero_threshold,
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        custom_values,
        ..NativeHistogram::default()
    }
}

fn take_double(rest: &mut &[u8]) -> f64 {
    f64::from_bits(little_endian(rest.split_off(..8).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => (0_i64..1_000_000).prop_map(|n| n as f64),
            2 => (0_i64..1_000).prop_map(|n| n as f64 / 3.0),
            1 => any::<u64>().prop_map(f64::from_bits),
            1 => Just(-0.0),
            1 => Just(LARGEST),
        ]
    }

    fn histogram() -> impl Strategy<Value = NativeHistogram> {
        let side = || (prop::collection::vec((any::<i32>(), any::<u32>()), 0..3), prop::collection::vec(number(), 0..6));
        (
            prop::sample::select(RESETS.to_vec()),
            -4..9_i32,
            number(),
            number(),
            number(),
            number(),
            side(),
            side(),
            prop::collection::vec(number(), 0..3),
        )
            .prop_map(|(counter_reset, schema, zero_threshold, zero_count, count, sum, positive, negative, custom_values)| {
                let spans = |spans: Vec<(i32, u32)>| spans.into_iter().map(|(offset, length)| BucketSpan { offset, length }).collect();
                NativeHistogram {
                    counter_reset,
                    schema,
                    zero_threshold,
                    zero_count,
                    count,
                    sum,
                    positive_spans: spans(positive.0),
                    positive_buckets: positive.1,
                    negative_spans: spans(negative.0),
                    negative_buckets: negative.1,
                    custom_values,
                }
            })
    }

    /// What a row holds, told by the row before it.
    #[derive(Clone, Debug)]
    enum Next {
        Nothing,
        Same,
        /// Some counts, by their places, become these.
        Changed(Vec<(usize, f64)>, f64),
        Other(Box<NativeHistogram>),
    }

    fn next() -> impl Strategy<Value = Next> {
        prop_oneof![
            1 => Just(Next::Nothing),
            1 => Just(Next::Same),
            4 => (prop::collection::vec((0_usize..14, number()), 0..4), number()).prop_map(|(counts, sum)| Next::Changed(counts, sum)),
            1 => histogram().prop_map(|h| Next::Other(Box::new(h))),
        ]
    }

    /// Every bit of a histogram; two that are not numbers are the same if their bits are.
    fn bits(histogram: &Option<Arc<NativeHistogram>>) -> Option<String> {
        let histogram = histogram.as_deref()?;
        let all = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let NativeHistogram { counter_reset, schema, positive_spans, negative_spans, .. } = histogram;
        let numbers = all(&[histogram.zero_threshold, histogram.zero_count, histogram.count, histogram.sum]);
        let lists = [&histogram.positive_buckets, &histogram.negative_buckets, &histogram.custom_values].map(|list| all(list));
        Some(format!("{counter_reset:?} {schema} {positive_spans:?} {negative_spans:?} {numbers:?} {lists:?}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn every_bit_comes_back(steps in prop::collection::vec(next(), 1..=CHUNK)) {
            let mut rows: Vec<Option<Arc<NativeHistogram>>> = Vec::new();
            let mut newest = Arc::new(NativeHistogram::default());
            for step in steps {
                match step {
                    Next::Nothing => {
                        rows.push(None);
                        continue;
                    }
                    Next::Same => {}
                    Next::Changed(counts, sum) => {
                        let mut histogram = (*newest).clone();
                        histogram.sum = sum;
                        for (place, value) in counts {
                            if let Some(count) = count_mut(&mut histogram, place) {
                                *count = value;
                            }
                        }
                        newest = Arc::new(histogram);
                    }
                    Next::Other(histogram) => newest = Arc::new(*histogram),
                }
                rows.push(Some(newest.clone()));
            }
            let packed = PackedHistograms::of(&rows);
            prop_assert_eq!(packed.is_some(), rows.iter().any(Option::is_some));
            let mut back = Vec::new();
            match packed {
                Some(packed) => packed.unpack(rows.len(), &mut back),
                None => back.resize(rows.len(), None),
            }
            prop_assert_eq!(back.iter().map(bits).collect::<Vec<_>>(), rows.iter().map(bits).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_a_service_counts_takes_a_few_bytes_and_what_rows_share_is_shared_again() {
        let mut buckets = vec![100.0; 80];
        let rows: Vec<_> = (0..CHUNK)
            .map(|row| {
                for step in 0..5 {
                    buckets[(row * 7 + step * 11) % 80] += (row % 9) as f64;
                }
                let positive_spans = vec![BucketSpan { offset: -40, length: 80 }];
                let sum = buckets.iter().sum::<f64>() / 7.0;
                Some(Arc::new(NativeHistogram {
                    schema: 5,
                    sum,
                    positive_spans,
                    positive_buckets: buckets.clone(),
                    ..NativeHistogram::default()
                }))
            })
            .collect();
        let packed = PackedHistograms::of(&rows).expect("histograms");
        assert!(packed.bytes() < CHUNK * 32, "{} bytes for {CHUNK} histograms", packed.bytes());
        let one = rows[0].clone();
        let mut back = Vec::new();
        PackedHistograms::of(&[one.clone(), None, one]).expect("histograms").unpack(3, &mut back);
        assert!(matches!(&back[..], [Some(a), None, Some(b)] if Arc::ptr_eq(a, b)));
    }
}
