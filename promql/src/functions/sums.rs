//! Sums and means that keep what rounding loses, of floats and of histograms, over a window or over a group.

use crate::histogram::arithmetic::{Compensated, IncompatibleSchema, divide, has_overflow};
use crate::number::kahan;
use std::sync::Arc;
use watchfire_model::NativeHistogram;

/// The sum, compensated.
pub fn float_sum(values: &[f64]) -> f64 {
    // Two sums side by side wait for each other half as long as one. What leaves the range of floats is left to the plain order.
    let mut pairs = values.chunks_exact(2);
    let (mut even, mut odd) = ((0.0, 0.0), (0.0, 0.0));
    for pair in pairs.by_ref() {
        even = two_sum(pair[0], even);
        odd = two_sum(pair[1], odd);
    }
    if let [last] = pairs.remainder() {
        even = two_sum(*last, even);
    }
    let (sum, c) = two_sum(odd.0, even);
    let total = sum + (c + odd.1);
    if total.is_finite() { total } else { sum_in_order(values) }
}

/// A sum and what rounding lost of it, without a branch.
#[inline]
fn two_sum(v: f64, (sum, lost): (f64, f64)) -> (f64, f64) {
    let total = sum + v;
    let of_v = total - sum;
    (total, lost + ((sum - (total - of_v)) + (v - of_v)))
}

fn sum_in_order(values: &[f64]) -> f64 {
    let (sum, c) = values.iter().fold((0.0, 0.0), |(sum, c), v| kahan(*v, sum, c));
    if sum.is_infinite() { sum } else { sum + c }
}

/// The mean; there is at least one value.
pub fn float_average(values: &[f64]) -> f64 {
    let mut average = RunningAverage::new(values[0]);
    values[1..].iter().for_each(|v| average.add(*v));
    average.finish()
}

/// The mean as sum over count while the sum fits, incrementally from then on.
pub struct RunningAverage {
    value: f64,
    compensation: f64,
    count: f64,
    incremental: bool,
}

impl RunningAverage {
    pub fn new(first: f64) -> Self {
        RunningAverage { value: first, compensation: 0.0, count: 1.0, incremental: false }
    }

    pub fn add(&mut self, v: f64) {
        self.count += 1.0;
        if !self.incremental {
            let (sum, c) = kahan(v, self.value, self.compensation);
            if !sum.is_infinite() {
                (self.value, self.compensation) = (sum, c);
                return;
            }
            self.incremental = true;
            self.value /= self.count - 1.0;
            self.compensation /= self.count - 1.0;
        }
        let q = (self.count - 1.0) / self.count;
        (self.value, self.compensation) = kahan(v / self.count, q * self.value, q * self.compensation);
    }

    pub fn finish(&self) -> f64 {
        if self.incremental { self.value + self.compensation } else { self.value / self.count + self.compensation / self.count }
    }
}

/// Sum or mean, and whether custom buckets had to be reconciled for it.
pub fn histogram_total(histograms: &[Arc<NativeHistogram>], kind: Total) -> Result<(NativeHistogram, bool), IncompatibleSchema> {
    let mut total = HistogramTotal::new(&histograms[0], kind);
    for h in &histograms[1..] {
        total.add(h)?;
    }
    let reconciled = total.reconciled;
    Ok((total.finish(), reconciled))
}

/// What many histograms are made into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    Sum,
    Average,
}

/// Sum or mean of histograms, by the same rule as [`RunningAverage`].
pub struct HistogramTotal {
    kind: Total,
    total: Compensated,
    count: f64,
    incremental: bool,
    pub reconciled: bool,
}

impl HistogramTotal {
    pub fn new(first: &NativeHistogram, kind: Total) -> Self {
        HistogramTotal { kind, total: Compensated::new(first.clone()), count: 1.0, incremental: false, reconciled: false }
    }

    pub fn add(&mut self, h: &NativeHistogram) -> Result<(), IncompatibleSchema> {
        self.count += 1.0;
        if self.kind == Total::Sum {
            self.reconciled |= self.total.add(h)?.reconciled;
            return Ok(());
        }
        if !self.incremental {
            let mut next = self.total.clone();
            let remarks = next.add(h)?;
            self.reconciled |= remarks.reconciled;
            if !has_overflow(&next.sum) {
                self.total = next;
                return Ok(());
            }
            self.incremental = true;
            self.total.divide(self.count - 1.0);
        }
        self.total.scale((self.count - 1.0) / self.count);
        let mut part = h.clone();
        divide(&mut part, self.count);
        self.reconciled |= self.total.add(&part)?.reconciled;
        Ok(())
    }

    pub fn finish(mut self) -> NativeHistogram {
        if self.kind == Total::Average && !self.incremental {
            self.total.divide(self.count);
        }
        self.total.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_keep_what_rounding_loses_and_what_overflows_in_between() {
        let sum = |values: &[f64]| float_sum(values);
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(sum(&[1e308, -1e308, 1e308, -1e308, 3.0]), 3.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert!(sum(&[1.0, f64::NAN]).is_nan());
        assert_eq!(sum(&[0.1; 10]), 1.0);
        let uneven: Vec<f64> = (0..101).map(f64::from).collect();
        assert_eq!(sum(&uneven), 5050.0);
    }
}
