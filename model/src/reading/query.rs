//! Results of PromQL, and the words it can use.

use crate::{Labels, SeriesData, Timestamp, Value};
use serde::{Deserialize, Serialize};

/// Result of a PromQL query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueryResult {
    /// `vector`, `scalar`, `string` or `matrix`.
    pub kind: String,
    pub series: Vec<QuerySeries>,
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
    /// Single measurements behind the values, newest first.
    pub exemplars: Vec<QueryExemplar>,
}

/// One measurement that an exporter kept together with its trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueryExemplar {
    /// Of the series it was measured for.
    pub labels: Labels,
    pub at: Timestamp,
    pub value: f64,
    pub trace_id: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuerySeries {
    pub labels: Labels,
    /// Finite numbers; `None` where the value is none, see the Prometheus API for exact values.
    pub points: Vec<(Timestamp, Option<f64>)>,
    /// The last value where it is no finite number: `NaN`, `+Inf`, `-Inf`, or of a native histogram `count 12 sum 3.4`.
    pub last: Option<String>,
}

impl From<&SeriesData> for QuerySeries {
    fn from(data: &SeriesData) -> Self {
        QuerySeries {
            labels: data.labels.clone(),
            points: data.times.iter().zip(&data.values).map(|(t, v)| (*t, v.as_float().filter(|f| f.is_finite()))).collect(),
            last: data.values.last().and_then(no_number),
        }
    }
}

/// What stands in the place of a number.
fn no_number(value: &Value) -> Option<String> {
    match value {
        Value::Float(v) if v.is_finite() => None,
        Value::Float(v) if v.is_nan() => Some("NaN".to_owned()),
        Value::Float(v) => Some(if *v > 0.0 { "+Inf" } else { "-Inf" }.to_owned()),
        Value::Histogram(h) => {
            let short = |v: f64| (v * 1e4).round() / 1e4;
            Some(format!("count {} sum {}", short(h.count), short(h.sum)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NativeHistogram;
    use std::sync::Arc;

    #[test]
    fn a_value_that_is_no_finite_number_is_said_as_promql_says_it() {
        let histogram = NativeHistogram { count: 12.0, sum: 3.400_04, ..NativeHistogram::default() };
        for (value, last) in [
            (Value::Float(1.0), None),
            (Value::Float(f64::NAN), Some("NaN")),
            (Value::Float(f64::INFINITY), Some("+Inf")),
            (Value::Float(f64::NEG_INFINITY), Some("-Inf")),
            (Value::Histogram(Arc::new(histogram)), Some("count 12 sum 3.4")),
        ] {
            let data =
                SeriesData { labels: Labels::empty(), times: vec![Timestamp(0), Timestamp(1)], values: vec![Value::Float(2.0), value] };
            let series = QuerySeries::from(&data);
            assert_eq!((series.points[0].1, series.last.as_deref()), (Some(2.0), last));
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vocabulary {
    pub metrics: Vec<String>,
    pub labels: Vec<String>,
    pub services: Vec<String>,
}
