//! Results against expectations.

use super::command::{Eval, Message, When};
use super::series::Sample;
use crate::eval::label_text;
use crate::histogram::buckets::{compact, negative, positive, uses_custom_buckets};
use crate::histogram::quantile::almost_equal;
use crate::histogram::text::script_text;
use crate::number::format_general;
use crate::value::{Evaluation, QueryValue};
use watchfire_model::{NativeHistogram, Timestamp, Value};

/// Relative difference that counts as equal.
const EPSILON: f64 = 1e-6;

impl Eval {
    pub fn expects_failure(&self) -> bool {
        self.expected.fail.is_some()
    }

    pub fn is_ordered(&self) -> bool {
        self.expected.ordered
    }

    /// Strings and range vectors have no range form.
    pub fn only_instant(&self) -> bool {
        self.expected.range_vector.is_some() || self.expected.text.is_some()
    }

    pub fn check_failure(&self, error: &str) -> Result<(), String> {
        match &self.expected.fail {
            Some(message) if !message.accepts(error) => Err(format!("expected error {message:?}, got {error:?}")),
            _ => Ok(()),
        }
    }

    pub fn check_annotations(&self, result: &Evaluation) -> Result<(), String> {
        let expected = &self.expected;
        check_kind("warning", &expected.warn, expected.no_warn, &result.warnings)?;
        check_kind("info", &expected.info, expected.no_info, &result.infos)
    }

    pub fn compare(&self, value: &QueryValue) -> Result<(), String> {
        match value {
            QueryValue::Scalar { value, .. } => {
                let Some(wanted) = self.expected.scalar else {
                    return Err(format!("expected a vector or matrix, got scalar {}", format_general(*value)));
                };
                if almost_equal(wanted, *value, EPSILON) {
                    return Ok(());
                }
                Err(format!("expected scalar {}, got {}", format_general(wanted), format_general(*value)))
            }
            QueryValue::String { value, .. } => match &self.expected.text {
                Some(wanted) if wanted == value => Ok(()),
                wanted => Err(format!("expected {wanted:?}, got string {value:?}")),
            },
            QueryValue::Vector(samples) => self.compare_vector(samples),
            QueryValue::Matrix(series) => self.compare_matrix(series),
        }
    }

    fn compare_vector(&self, samples: &[crate::value::VectorSample]) -> Result<(), String> {
        if self.expected.scalar.is_some() {
            return Err(format!("expected a scalar, got a vector of {}", samples.len()));
        }
        let mut seen = vec![false; self.expected.series.len()];
        for (position, sample) in samples.iter().enumerate() {
            let labels = label_text(&sample.labels);
            let Some(index) = self.expected.series.iter().rposition(|(wanted, _)| *wanted == sample.labels) else {
                return Err(format!("unexpected {labels} in the result, with {}", value_text(&sample.value)));
            };
            if self.is_ordered() && index != position {
                return Err(format!("expected {labels} at position {}, it was at {}", index + 1, position + 1));
            }
            seen[index] = true;
            let wanted = self.expected.series[index].1.first().and_then(Option::as_ref);
            if !wanted.is_some_and(|wanted| same(wanted, &sample.value)) {
                return Err(format!(
                    "expected {} for {labels}, got {}",
                    wanted.map_or("nothing".to_owned(), sample_text),
                    value_text(&sample.value)
                ));
            }
        }
        self.all_seen(&seen)
    }

    fn compare_matrix(&self, series: &[watchfire_model::SeriesData]) -> Result<(), String> {
        if self.expected.scalar.is_some() {
            return Err("expected a scalar, got a matrix".to_owned());
        }
        let (start, end, step) = match (self.expected.range_vector, self.when) {
            (Some(range), _) => range,
            (None, When::Range { start, end, step }) => (start, end, step),
            (None, When::Instant(at)) => (at, at, std::time::Duration::from_millis(1)),
        };
        if series.windows(2).any(|w| w[0].labels > w[1].labels) {
            return Err("matrix results must be sorted by labels".to_owned());
        }
        let mut seen = vec![false; self.expected.series.len()];
        for data in series {
            let labels = label_text(&data.labels);
            let got = || data.times.iter().zip(&data.values).map(|(t, v)| format!("{} @{t}", value_text(v))).collect::<Vec<_>>().join(" ");
            let Some(index) = self.expected.series.iter().rposition(|(wanted, _)| *wanted == data.labels) else {
                return Err(format!("unexpected {labels} in the result, with {}", got()));
            };
            seen[index] = true;
            let mut wanted: Vec<(Timestamp, &Sample)> = Vec::new();
            for (i, sample) in self.expected.series[index].1.iter().enumerate() {
                let at = start.saturating_add(step * i as u32);
                if at > end {
                    return Err(format!(
                        "expected {} points for {labels}, but the query cannot give that many",
                        self.expected.series[index].1.len()
                    ));
                }
                wanted.extend(sample.as_ref().map(|sample| (at, sample)));
            }
            let matches = wanted.len() == data.times.len()
                && wanted.iter().zip(data.times.iter().zip(&data.values)).all(|((at, wanted), (t, v))| at == t && same(wanted, v));
            if !matches {
                let wanted = wanted.iter().map(|(t, v)| format!("{} @{t}", sample_text(v))).collect::<Vec<_>>().join(" ");
                return Err(format!("for {labels}\n    expected {wanted}\n    got      {}", got()));
            }
        }
        self.all_seen(&seen)
    }

    fn all_seen(&self, seen: &[bool]) -> Result<(), String> {
        for (index, (labels, _)) in self.expected.series.iter().enumerate() {
            // A series described twice is expected once, as described last.
            let repeated = self.expected.series[index + 1..].iter().any(|(other, _)| other == labels);
            if !seen[index] && !repeated {
                return Err(format!("expected {} was not found", label_text(labels)));
            }
        }
        Ok(())
    }
}

fn check_kind(kind: &str, wanted: &[Message], none: bool, got: &[String]) -> Result<(), String> {
    if none && !got.is_empty() {
        return Err(format!("unexpected {kind} annotations: {got:?}"));
    }
    for message in wanted {
        if !got.iter().any(|text| message.accepts(text)) {
            return Err(format!("expected {kind} annotation {message:?}, got {got:?}"));
        }
    }
    if !wanted.is_empty()
        && let Some(text) = got.iter().find(|text| !wanted.iter().any(|message| message.accepts(text)))
    {
        return Err(format!("unexpected {kind} annotation {text:?}"));
    }
    Ok(())
}

fn same(wanted: &Sample, got: &Value) -> bool {
    match (wanted, got) {
        (Sample::Float(a), Value::Float(b)) => almost_equal(*a, *b, EPSILON),
        (Sample::Histogram { histogram: a, hint_given }, Value::Histogram(b)) => {
            // What is known of counter resets matters only where the script says so.
            same_histogram(a, b) && (!hint_given || a.counter_reset == b.counter_reset)
        }
        _ => false,
    }
}

fn same_histogram(a: &NativeHistogram, b: &NativeHistogram) -> bool {
    let (mut a, mut b) = (a.clone(), b.clone());
    compact(&mut a);
    compact(&mut b);
    let close = |a: f64, b: f64| almost_equal(a, b, EPSILON);
    let same_buckets =
        |a: Vec<(i32, f64)>, b: Vec<(i32, f64)>| a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && close(a.1, b.1));
    a.schema == b.schema
        && close(a.count, b.count)
        && close(a.sum, b.sum)
        && (!uses_custom_buckets(&a) || a.custom_values == b.custom_values)
        && a.zero_threshold == b.zero_threshold
        && close(a.zero_count, b.zero_count)
        && same_buckets(positive(&a), positive(&b))
        && same_buckets(negative(&a), negative(&b))
}

fn sample_text(sample: &Sample) -> String {
    match sample {
        Sample::Float(v) => format_general(*v),
        Sample::Histogram { histogram, .. } => script_text(histogram),
    }
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Float(v) => format_general(*v),
        Value::Histogram(h) => script_text(h),
    }
}
