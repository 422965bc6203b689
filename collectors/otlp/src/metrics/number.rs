//! Gauges, sums and summaries: points whose samples are plain numbers.

use super::float_text::openmetrics_float;
use super::request::{Family, NO_RECORDED_VALUE, Temporality, Writing, time};
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, SummaryDataPoint, number_data_point};
use watchfire_model::{MetricKind, ORDINARY_NAN, STALE_NAN, Value};

/// A number from outside: whatever kind of NaN it is, it does not end a series.
pub(super) fn ordinary(value: f64) -> f64 {
    if value.is_nan() { ORDINARY_NAN } else { value }
}

impl Writing<'_> {
    pub(super) fn number(&mut self, family: &Family<'_>, point: &NumberDataPoint) {
        let at = time(point.time_unix_nano);
        let value = match point.value {
            _ if point.flags & NO_RECORDED_VALUE != 0 => STALE_NAN,
            Some(number_data_point::Value::AsDouble(value)) => ordinary(value),
            Some(number_data_point::Value::AsInt(value)) => value as f64,
            None => return self.reject("no value", 1),
        };
        let delta = family.temporality == Temporality::Delta && point.flags & NO_RECORDED_VALUE == 0;
        if delta && family.kind == MetricKind::Counter && (value < 0.0 || value.is_nan()) {
            return self.reject("negative delta", 1);
        }
        let labels = self.labels(family, &point.attributes);
        let Some(series) = self.series(&labels, family.name, None, family.kind) else {
            return self.reject("series limit", 1);
        };
        let mut value = value;
        if delta {
            if let Err(reason) = self.memory.deltas.check(series, at, self.now) {
                return self.reject(reason, 1);
            }
            value = self.memory.deltas.add(series, at, self.now, value);
        }
        self.scalar(at, series, Value::Float(value));
        for exemplar in point.exemplars.iter().take(self.limits.max_attributes) {
            self.exemplar(series, exemplar);
        }
    }

    pub(super) fn summary(&mut self, family: &Family<'_>, point: &SummaryDataPoint) {
        if point.quantile_values.len() > self.limits.max_buckets {
            return self.reject("too many quantiles", 1);
        }
        let at = time(point.time_unix_nano);
        let stale = point.flags & NO_RECORDED_VALUE != 0;
        let value = |value: f64| Value::Float(ordinary(value));
        let labels = self.labels(family, &point.attributes);
        let (sum, count) = (format!("{}_sum", family.name), format!("{}_count", family.name));
        let mut row = vec![
            (self.series(&labels, &sum, None, family.kind), value(point.sum)),
            (self.series(&labels, &count, None, family.kind), value(point.count as f64)),
        ];
        let mut quantiles: Vec<f64> = Vec::new();
        for quantile in &point.quantile_values {
            if !(0.0..=1.0).contains(&quantile.quantile) {
                return self.reject("quantile out of range", 1);
            }
            // Of two values for one quantile the first stands: both would be one series.
            if quantiles.contains(&quantile.quantile) {
                continue;
            }
            quantiles.push(quantile.quantile);
            let text = openmetrics_float(quantile.quantile);
            row.push((self.series(&labels, family.name, Some(("quantile", &text)), family.kind), value(quantile.value)));
        }
        self.whole_row(at, row, 2, stale);
    }
}
