//! Numbers as magnitudes: what sets spans apart may be that an attribute is large or small, whatever its value exactly.

use std::collections::BTreeMap;
use watchfire_model::reading::FindingSign;

/// Magnitudes told apart: eight in every power of two, so that whole numbers up to 16 are their own.
const MANTISSA: u32 = 3;

/// How many of the selected and of the other spans have a number of each magnitude.
#[derive(Default)]
pub(super) struct Magnitudes {
    counts: BTreeMap<u16, (u32, u32)>,
}

impl Magnitudes {
    /// Room for a magnitude that has not been met yet is `spare`; returns whether it was taken.
    pub(super) fn add(&mut self, number: f64, selected: bool, spare: bool) -> bool {
        let Some(bucket) = bucket(number) else { return false };
        let fresh = !self.counts.contains_key(&bucket);
        if fresh && !spare {
            return false;
        }
        let count = self.counts.entry(bucket).or_default();
        if selected {
            count.0 += 1
        } else {
            count.1 += 1
        }
        fresh
    }

    /// Every way to part the numbers in two: which part, from where, and how many of the selected and of the others are in it.
    pub(super) fn parts(&self) -> Vec<(FindingSign, f64, (u32, u32))> {
        let add = |(a, b): (u32, u32), (c, d): (u32, u32)| (a + c, b + d);
        let all = self.counts.values().copied().fold((0, 0), add);
        let mut below = (0, 0);
        let mut parts = Vec::new();
        for (bucket, count) in &self.counts {
            if below != (0, 0) {
                let border = lower_bound(*bucket);
                parts.push((FindingSign::AtLeast, border, (all.0 - below.0, all.1 - below.1)));
                parts.push((FindingSign::Below, border, below));
            }
            below = add(below, *count);
        }
        parts
    }
}

/// Ordered as the numbers are.
fn bucket(number: f64) -> Option<u16> {
    // The least of a magnitude is nearest to zero; the two zeros are one.
    let bits = (number + 0.0).to_bits();
    let magnitude = (bits << 1 >> (1 + 52 - MANTISSA)) as u16;
    number.is_finite().then_some(if number < 0.0 { SIGN - 1 - magnitude } else { SIGN + magnitude })
}

const SIGN: u16 = 1 << (11 + MANTISSA);

/// The smallest number of a magnitude; of negative ones the border that it ends at.
fn lower_bound(bucket: u16) -> f64 {
    let of = |magnitude: u16| f64::from_bits(u64::from(magnitude) << (52 - MANTISSA));
    if bucket >= SIGN { of(bucket - SIGN) } else { -of(SIGN - bucket) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitudes_keep_the_order_of_numbers() {
        let numbers = [-1e300, -17.0, -16.0, -1.0, -1e-9, 0.0, 1e-9, 0.5, 1.0, 15.0, 16.0, 18.0, 1e300];
        let buckets: Vec<u16> = numbers.iter().filter_map(|n| bucket(*n)).collect();
        assert!(buckets.len() == numbers.len() && buckets.is_sorted(), "{buckets:?}");
        for whole in 0..=16 {
            assert_eq!(lower_bound(bucket(f64::from(whole)).expect("finite")), f64::from(whole));
        }
        assert_eq!((bucket(f64::NAN), bucket(f64::INFINITY), bucket(-0.0)), (None, None, bucket(0.0)));
    }

    #[test]
    fn numbers_are_parted_at_every_border() {
        let mut magnitudes = Magnitudes::default();
        for (number, selected) in [(1.0, false), (1.0, false), (40.0, true), (41.0, false), (100.0, true)] {
            magnitudes.add(number, selected, true);
        }
        use FindingSign::{AtLeast, Below};
        let expected = [(AtLeast, 40.0, (2, 1)), (Below, 40.0, (0, 2)), (AtLeast, 96.0, (1, 0)), (Below, 96.0, (1, 3))];
        assert_eq!(magnitudes.parts(), expected);
        assert!(!magnitudes.add(7.0, true, false) && magnitudes.parts() == expected, "there is no room");
    }
}
