//! A stretch of a column that is no longer written, packed without loss: counters and whole or decimal gauges take one to two bytes a value, a value
//! that does not change none, and what cannot be packed eight.
//!
//! Values that are whole numbers of some power of ten (see ALP, Afroozeh et al. 2023, for why a division gives the very same double back) are held as
//! differences to the smallest, or as differences of neighbours, in as many bits as the largest takes. All others are held as the bytes in which they differ
//! from the value before (after Gorilla, Pelkonen et al. 2015, in whole bytes). Whatever is shortest is taken.

use super::column::{GAP, Unpacked, is_gap};
use super::packed_histograms::PackedHistograms;
use std::sync::Arc;
use watchfire_model::NativeHistogram;

/// Values of a full chunk.
pub(crate) const CHUNK: usize = 32;

/// How the values follow the form byte. Decimal forms carry their power of ten in the four upper bits.
const SAME: u8 = 0;
const WHOLE: u8 = 1;
const STEPS: u8 = 2;
const BYTES: u8 = 3;
const PLAIN: u8 = 4;
/// Set in the form byte when a bitmap of gaps comes next.
const GAPS: u8 = 8;

/// Powers of ten that are tried.
const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Whole numbers below this are doubles without loss, and so are their differences.
const LARGEST: f64 = 2_251_799_813_685_248.0;

#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    length: u8,
    gaps: u8,
    bytes: Box<[u8]>,
    histograms: Option<Box<PackedHistograms>>,
}

impl Chunk {
    /// Packs at most [`CHUNK`] values, gaps among them, and their histograms: none at all, or one place per value.
    pub fn of(values: &[f64], histograms: &[Option<Arc<NativeHistogram>>]) -> Self {
        debug_assert!(!values.is_empty() && values.len() <= CHUNK);
        let mut present = [0.0; CHUNK];
        let (mut count, mut gap_bits) = (0, 0_u64);
        for (i, value) in values.iter().enumerate() {
            if is_gap(*value) {
                gap_bits |= 1 << i;
            } else {
                present[count] = *value;
                count += 1;
            }
        }
        let present = &present[..count];
        let mut bytes = Vec::with_capacity(8 * count + 16);
        bytes.push(0);
        if gap_bits != 0 {
            bytes.extend_from_slice(&gap_bits.to_le_bytes());
        }
        let form = pack(present, &mut bytes) | if gap_bits != 0 { GAPS } else { 0 };
        bytes[0] = form;
        Chunk {
            length: values.len() as u8,
            gaps: gap_bits.count_ones() as u8,
            bytes: bytes.into_boxed_slice(),
            histograms: PackedHistograms::of(histograms).map(Box::new),
        }
    }

    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    pub fn gaps(&self) -> usize {
        usize::from(self.gaps)
    }

    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.len() + self.histograms.as_deref().map_or(0, PackedHistograms::bytes)
    }

    /// Appends values and histograms to `out`.
    pub fn unpack(&self, out: &mut Unpacked) {
        let from = out.values.len();
        self.unpack_values(&mut out.values);
        if let Some(histograms) = &self.histograms {
            out.histograms.resize(from, None);
            histograms.unpack(self.len(), &mut out.histograms);
        } else if !out.histograms.is_empty() {
            out.histograms.resize(out.values.len(), None);
        }
    }

    fn unpack_values(&self, out: &mut Vec<f64>) {
        let Some((form, mut rest)) = self.bytes.split_first() else { return };
        if form & GAPS == 0 {
            return unpack(*form, rest, self.len(), out);
        }
        let gap_bits = rest.split_off(..8).map_or(0, little_endian);
        let from = out.len();
        unpack(*form, rest, self.len() - self.gaps(), out);
        // From the end, each value moves to its place; those before the first gap stand there already.
        let mut read = out.len();
        out.resize(from + self.len(), GAP);
        for place in (0..self.len()).rev() {
            if gap_bits >> place & 1 == 1 {
                out[from + place] = GAP;
            } else {
                read -= 1;
                out[from + place] = out[read];
            }
        }
    }
}

/// Appends the packed values, and returns how.
fn pack(values: &[f64], out: &mut Vec<u8>) -> u8 {
    let Some(first) = values.first() else { return SAME };
    if values.iter().all(|v| v.to_bits() == first.to_bits()) {
        out.extend_from_slice(&first.to_bits().to_le_bytes());
        return SAME;
    }
    let from = out.len();
    let mut whole = [0; CHUNK];
    let whole = &mut whole[..values.len()];
    if let Some(power) = decimal(values, whole) {
        let mut steps = [0; CHUNK];
        let steps = &mut steps[..whole.len() - 1];
        for (step, pair) in steps.iter_mut().zip(whole.windows(2)) {
            *step = pair[1] - pair[0];
        }
        let form = if width(steps) * steps.len() < width(whole) * whole.len() {
            put_varint(out, zigzag(whole[0]));
            put_packed(out, steps);
            STEPS
        } else {
            put_packed(out, whole);
            WHOLE
        };
        return form | power << 4;
    }
    let mut before = 0;
    for value in values {
        let differs = value.to_bits() ^ before;
        before = value.to_bits();
        let skipped = differs.trailing_zeros() as u8 / 8;
        let significant = if differs == 0 { 0 } else { 8 - skipped - differs.leading_zeros() as u8 / 8 };
        out.push(if differs == 0 { 0 } else { skipped << 4 | significant });
        out.extend_from_slice(&(differs.unbounded_shr(8 * u32::from(skipped))).to_le_bytes()[..usize::from(significant)]);
    }
    if out.len() - from >= 8 * values.len() {
        out.truncate(from);
        values.iter().for_each(|v| out.extend_from_slice(&v.to_bits().to_le_bytes()));
        return PLAIN;
    }
    BYTES
}

fn unpack(form: u8, mut rest: &[u8], count: usize, out: &mut Vec<f64>) {
    let power = POWERS[usize::from(form >> 4) % POWERS.len()];
    match form & 7 {
        SAME => out.extend(std::iter::repeat_n(f64::from_bits(little_endian(rest)), count)),
        WHOLE => out.extend(Packed::read(rest).take(count).map(|whole| whole as f64 / power)),
        STEPS => {
            let mut whole = unzigzag(take_varint(&mut rest));
            out.push(whole as f64 / power);
            out.extend(Packed::read(rest).take(count - 1).map(|step| {
                whole += step;
                whole as f64 / power
            }));
        }
        BYTES => {
            let mut before = 0;
            for _ in 0..count {
                let control = rest.split_off_first().copied().unwrap_or_default();
                let significant = rest.split_off(..usize::from(control & 15)).unwrap_or_default();
                before ^= little_endian(significant).unbounded_shl(8 * u32::from(control >> 4));
                out.push(f64::from_bits(before));
            }
        }
        _ => out.extend(rest.chunks_exact(8).map(|bytes| f64::from_bits(little_endian(bytes)))),
    }
}

/// Writes the values as whole numbers of the largest unit that suits them all: the power of ten it takes, if there is one.
fn decimal(values: &[f64], whole: &mut [i64]) -> Option<u8> {
    let exact = |value: f64, power: f64| {
        let scaled = (value * power).round();
        let fits = scaled.abs() < LARGEST && (scaled as i64 as f64 / power).to_bits() == value.to_bits();
        fits.then_some(scaled as i64)
    };
    let mut power = 0;
    let mut done = 0;
    while done < values.len() {
        match exact(values[done], POWERS[power]) {
            Some(found) => {
                whole[done] = found;
                done += 1;
            }
            // All of them in the smaller unit.
            None => {
                power += 1;
                done = 0;
                if power == POWERS.len() {
                    return None;
                }
            }
        }
    }
    Some(power as u8)
}

/// Bits that the differences to the smallest take.
fn width(numbers: &[i64]) -> usize {
    let (Some(low), Some(high)) = (numbers.iter().min(), numbers.iter().max()) else { return 0 };
    (64 - low.abs_diff(*high).leading_zeros()) as usize
}

/// The smallest, the width of the differences to it, and these, bit by bit.
fn put_packed(out: &mut Vec<u8>, numbers: &[i64]) {
    let low = numbers.iter().min().copied().unwrap_or_default();
    let width = width(numbers);
    put_varint(out, zigzag(low));
    out.push(width as u8);
    let (mut held, mut bits) = (0_u128, 0);
    for number in numbers {
        held |= u128::from(low.abs_diff(*number)) << bits;
        bits += width;
        while bits >= 8 {
            out.push(held as u8);
            held >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        out.push(held as u8);
    }
}

/// Reads what [`put_packed`] wrote, for as long as it is asked.
struct Packed<'a> {
    rest: &'a [u8],
    low: i64,
    width: u32,
    held: u128,
    bits: u32,
}

impl<'a> Packed<'a> {
    fn read(mut rest: &'a [u8]) -> Self {
        let low = unzigzag(take_varint(&mut rest));
        let width = rest.split_off_first().copied().unwrap_or_default();
        Packed { rest, low, width: u32::from(width), held: 0, bits: 0 }
    }
}

impl Iterator for Packed<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        if self.bits < self.width {
            let (next, taken) = match self.rest.split_first_chunk::<8>() {
                Some((bytes, rest)) => {
                    self.rest = rest;
                    (u64::from_le_bytes(*bytes), 64)
                }
                None => (little_endian(std::mem::take(&mut self.rest)), 64),
            };
            self.held |= u128::from(next) << self.bits;
            self.bits += taken;
        }
        let mask = (1_u128 << self.width) - 1;
        let difference = (self.held & mask) as u64;
        self.held >>= self.width;
        self.bits -= self.width;
        Some(self.low.wrapping_add_unsigned(difference))
    }
}

/// At most eight bytes as a number.
pub(super) fn little_endian(bytes: &[u8]) -> u64 {
    let mut whole = [0; 8];
    let length = bytes.len().min(8);
    whole[..length].copy_from_slice(&bytes[..length]);
    u64::from_le_bytes(whole)
}

pub(super) fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn take_varint(rest: &mut &[u8]) -> u64 {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = rest.split_off_first().copied().unwrap_or_default();
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn back(values: &[f64]) -> (Vec<u64>, usize) {
        let chunk = Chunk::of(values, &[]);
        let mut out = Unpacked { values: vec![7.0], ..Unpacked::default() };
        chunk.unpack(&mut out);
        assert_eq!(chunk.gaps(), values.iter().filter(|v| is_gap(**v)).count());
        (out.values[1..].iter().map(|v| v.to_bits()).collect(), chunk.bytes.len())
    }

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|v| v.to_bits()).collect()
    }

    #[test]
    fn what_services_export_takes_few_bytes() {
        let of = |value: &dyn Fn(u32) -> f64| (0..CHUNK as u32).map(value).collect::<Vec<_>>();
        let noise = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 24);
        for (what, values, at_most) in [
            ("a constant", of(&|_| 0.1), 9),
            ("an even counter", of(&|i| 1e9 + f64::from(i) * 300.0), 10),
            ("an uneven counter", of(&|i| 1e9 + f64::from(i) * 300.0 + noise(i)), 48),
            ("a gauge in hundredths", of(&|i| noise(i) / 100.0), 40),
            ("a state", of(&|i| f64::from(i / 20 % 2)), 12),
            ("bytes of memory", of(&|i| 512e6 + 4096.0 * noise(i)), 92),
            ("measured seconds", of(&|i| (noise(i) + 0.1).sqrt()), 1 + 8 * CHUNK),
        ] {
            let (unpacked, length) = back(&values);
            assert_eq!(unpacked, bits(&values), "{what}");
            assert!(length <= at_most, "{what} takes {length} bytes");
        }
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits).prop_map(|v| if is_gap(v) { f64::NAN } else { v }),
            (-100_000_000_i64..100_000_000, 0..12).prop_map(|(n, power)| n as f64 / 10_f64.powi(power)),
            (-3_i64..3).prop_map(|n| n as f64),
            Just(GAP),
            Just(f64::INFINITY),
            Just(f64::NAN),
            Just(f64::from_bits(0x7ff0_0000_0000_0002)),
            Just(-0.0),
            Just(LARGEST),
            Just(-LARGEST + 1.0),
            Just(f64::MIN_POSITIVE / 4.0),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn every_bit_comes_back(values in prop::collection::vec(value(), 1..=CHUNK)) {
            let (unpacked, length) = back(&values);
            prop_assert_eq!(unpacked, bits(&values));
            prop_assert!(length <= 9 + 8 * values.len());
        }

        #[test]
        fn numbers_of_one_kind_come_back(
            start in -2_000_000_000_000_i64..2_000_000_000_000,
            steps in prop::collection::vec(-1_000_000_i64..100_000_000, 1..CHUNK),
            power in 0..10,
        ) {
            let mut whole = start;
            let mut values = vec![whole as f64 / 10_f64.powi(power)];
            for step in steps {
                whole += step;
                values.push(whole as f64 / 10_f64.powi(power));
            }
            let (unpacked, _) = back(&values);
            prop_assert_eq!(unpacked, bits(&values));
        }
    }
}
