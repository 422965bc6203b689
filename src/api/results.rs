//! Query results as Prometheus writes them: times as seconds, floats as strings, native histograms with their bucket rules.

use serde_json::{Value as Json, json};
use watchfire_model::{Labels, NativeHistogram, SeriesData, Timestamp, Value};
use watchfire_promql::{QueryValue, api_buckets, format_float};

/// `{"resultType": ..., "result": ...}`
pub fn query_data(value: &QueryValue, limit: Option<usize>) -> Json {
    let keep = limit.filter(|l| *l > 0).unwrap_or(usize::MAX);
    match value {
        QueryValue::Scalar { at, value } => json!({"resultType": "scalar", "result": point(*at, *value)}),
        QueryValue::String { at, value } => json!({"resultType": "string", "result": [seconds(*at), value]}),
        QueryValue::Vector(samples) => {
            let result: Vec<Json> = samples
                .iter()
                .take(keep)
                .map(|s| match &s.value {
                    Value::Float(v) => json!({"metric": labels(&s.labels), "value": point(s.at, *v)}),
                    Value::Histogram(h) => json!({"metric": labels(&s.labels), "histogram": [seconds(s.at), histogram(h)]}),
                })
                .collect();
            json!({"resultType": "vector", "result": result})
        }
        QueryValue::Matrix(series) => {
            json!({"resultType": "matrix", "result": series.iter().take(keep).map(matrix_item).collect::<Vec<_>>()})
        }
    }
}

fn matrix_item(data: &SeriesData) -> Json {
    let mut values = Vec::new();
    let mut histograms = Vec::new();
    for (t, v) in data.times.iter().zip(&data.values) {
        match v {
            Value::Float(f) => values.push(point(*t, *f)),
            Value::Histogram(h) => histograms.push(json!([seconds(*t), histogram(h)])),
        }
    }
    let mut item = json!({"metric": labels(&data.labels)});
    if !values.is_empty() {
        item["values"] = Json::Array(values);
    }
    if !histograms.is_empty() {
        item["histograms"] = Json::Array(histograms);
    }
    item
}

/// Seconds as a number with at most three decimals, without a fraction where there is none.
pub fn seconds(t: Timestamp) -> Json {
    let ms = t.millis();
    if ms % 1000 == 0 { json!(ms / 1000) } else { json!(ms as f64 / 1000.0) }
}

fn point(t: Timestamp, v: f64) -> Json {
    json!([seconds(t), format_float(v)])
}

pub fn labels(labels: &Labels) -> Json {
    serde_json::to_value(labels).unwrap_or_default()
}

/// `{count, sum, buckets: [[rule, lower, upper, count]]}`; empty buckets are left out.
pub fn histogram(h: &NativeHistogram) -> Json {
    let buckets: Vec<Json> =
        api_buckets(h).into_iter().map(|b| json!([b.rule, format_float(b.lower), format_float(b.upper), format_float(b.count)])).collect();
    let mut out = json!({"count": format_float(h.count), "sum": format_float(h.sum)});
    if !buckets.is_empty() {
        out["buckets"] = Json::Array(buckets);
    }
    out
}
