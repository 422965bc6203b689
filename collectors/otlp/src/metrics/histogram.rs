//! Histograms: explicit bounds as `_bucket`, `_sum` and `_count`, exponential ones as native histograms.

use super::exponential::{Exponential, stale};
use super::float_text::openmetrics_float;
use super::number::ordinary;
use super::request::{Family, NO_RECORDED_VALUE, Temporality, Writing, time};
use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogramDataPoint, HistogramDataPoint, exemplar};
use std::sync::Arc;
use watchfire_model::{MetricKind, SeriesId, Timestamp, Value};

/// Checks what makes a histogram one.
fn check(point: &HistogramDataPoint) -> Result<(), &'static str> {
    let (bounds, counts) = (&point.explicit_bounds, &point.bucket_counts);
    if !bounds.iter().all(|b| !b.is_nan()) || !bounds.is_sorted_by(|a, b| a < b) {
        return Err("bucket bounds not sorted");
    }
    if counts.is_empty() {
        return if bounds.is_empty() { Ok(()) } else { Err("bucket counts do not match bounds") };
    }
    if counts.len() != bounds.len() + 1 {
        return Err("bucket counts do not match bounds");
    }
    let total = counts.iter().try_fold(0u64, |total, n| total.checked_add(*n));
    if total == Some(point.count) { Ok(()) } else { Err("bucket counts do not add up") }
}

impl Writing<'_> {
    pub(super) fn histogram(&mut self, family: &Family<'_>, point: &HistogramDataPoint) {
        let at = time(point.time_unix_nano);
        let is_stale = point.flags & NO_RECORDED_VALUE != 0;
        if point.explicit_bounds.len() > self.limits.max_buckets {
            return self.reject("too many buckets", 1);
        }
        if !is_stale && let Err(reason) = check(point) {
            return self.reject(reason, 1);
        }
        let labels = self.labels(family, &point.attributes);
        let [bucket, sum, count] = ["bucket", "sum", "count"].map(|suffix| format!("{}_{suffix}", family.name));
        let mut samples: Vec<(Option<SeriesId>, f64)> = Vec::with_capacity(point.explicit_bounds.len() + 3);
        samples.push((self.series(&labels, &count, None, family.kind), point.count as f64));
        if point.sum.is_some() || is_stale {
            samples.push((self.series(&labels, &sum, None, family.kind), ordinary(point.sum.unwrap_or_default())));
        }
        let first_bucket = samples.len();
        let mut below = 0;
        let finite = point.explicit_bounds.iter().filter(|b| **b < f64::INFINITY);
        for (bound, bucket_count) in finite.zip(point.bucket_counts.iter().chain(std::iter::repeat(&0))) {
            below += bucket_count;
            let le = openmetrics_float(*bound);
            samples.push((self.series(&labels, &bucket, Some(("le", &le)), family.kind), below as f64));
        }
        samples.push((self.series(&labels, &bucket, Some(("le", "+Inf")), family.kind), point.count as f64));
        let buckets: Vec<Option<SeriesId>> = samples[first_bucket..].iter().map(|(series, _)| *series).collect();
        if family.temporality == Temporality::Delta && !is_stale {
            self.restart_if_other(at, &samples, &buckets);
            for series in samples.iter().filter_map(|(series, _)| *series) {
                if let Err(reason) = self.memory.deltas.check(series, at, self.now) {
                    return self.reject(reason, 1);
                }
            }
            for (series, value) in &mut samples {
                if let Some(series) = *series {
                    *value = self.memory.deltas.add(series, at, self.now, *value);
                }
            }
        }
        let row = samples.into_iter().map(|(series, value)| (series, Value::Float(value))).collect();
        self.whole_row(at, row, first_bucket, is_stale);
        for exemplar in point.exemplars.iter().take(self.limits.max_attributes) {
            let value = match exemplar.value {
                Some(exemplar::Value::AsDouble(value)) => value,
                Some(exemplar::Value::AsInt(value)) => value as f64,
                None => continue,
            };
            let index = point.explicit_bounds.iter().filter(|b| **b < f64::INFINITY).take_while(|bound| **bound < value).count();
            if let Some(series) = buckets.get(index).copied().flatten() {
                self.exemplar(series, exemplar);
            }
        }
    }

    /// Totals under other bounds cannot be added to: the histogram starts again, as in the collector's deltatocumulative processor. Otherwise the new
    /// buckets would count less than those below them.
    fn restart_if_other(&mut self, at: Timestamp, samples: &[(Option<SeriesId>, f64)], buckets: &[Option<SeriesId>]) {
        let Some(stream) = samples[0].0 else { return };
        let before = self.memory.layouts.before(stream, at, self.now);
        if !before.is_empty() && !before.iter().copied().map(Some).eq(buckets.iter().copied()) {
            let series = samples.iter().filter_map(|(series, _)| *series);
            self.memory.deltas.forget(series.chain(before.iter().copied()));
        }
    }

    pub(super) fn exponential(&mut self, family: &Family<'_>, point: &ExponentialHistogramDataPoint) {
        let at = time(point.time_unix_nano);
        let is_stale = point.flags & NO_RECORDED_VALUE != 0;
        let histogram = if is_stale { None } else { Some(Exponential::from_point(point)) };
        let histogram = match histogram.transpose() {
            Ok(histogram) => histogram,
            Err(reason) => return self.reject(reason, 1),
        };
        let labels = self.labels(family, &point.attributes);
        let Some(series) = self.series(&labels, family.name, None, MetricKind::Histogram) else {
            return self.reject("series limit", 1);
        };
        let native = match histogram {
            None => stale(),
            Some(histogram) if family.temporality == Temporality::Cumulative => histogram.native(),
            Some(delta) => {
                if let Err(reason) = self.memory.deltas.check(series, at, self.now) {
                    return self.reject(reason, 1);
                }
                self.memory.deltas.add_exponential(series, at, self.now, delta).native()
            }
        };
        self.scalar(at, series, Value::Histogram(Arc::new(native)));
        for exemplar in point.exemplars.iter().take(self.limits.max_attributes) {
            self.exemplar(series, exemplar);
        }
    }
}
