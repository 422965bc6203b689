//! Query results as Prometheus writes them: times as seconds, floats as strings, native histograms with their bucket rules.
//!
//! Fields come in Prometheus's order: clients that read while they receive (Grafana does) need `resultType` before `result`.

use serde::ser::{Serialize, SerializeTuple, Serializer};
use serde_json::{Value as Json, json};
use watchfire_model::{Labels, NativeHistogram, SeriesData, Timestamp, Value};
use watchfire_promql::{Evaluation, QueryValue, api_buckets, format_float};

/// The `data` of a query's answer.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryData<'a> {
    result_type: &'static str,
    result: QueryResult<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Json>,
}

#[derive(serde::Serialize)]
#[serde(untagged)]
enum QueryResult<'a> {
    Scalar(ScalarPoint),
    Text((Seconds, &'a str)),
    Series(Vec<Item<'a>>),
}

/// One series, with a value or with many.
#[derive(serde::Serialize)]
struct Item<'a> {
    metric: &'a Labels,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Point>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<Point>,
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<HistogramPoint<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    histograms: Vec<HistogramPoint<'a>>,
}

impl<'a> QueryData<'a> {
    /// At most `limit` series of the value, and whether that left some out. `None` and 0 are no limit.
    pub fn new(value: &'a QueryValue, limit: Option<usize>, stats: Option<Json>) -> (Self, bool) {
        let keep = limit.filter(|l| *l > 0).unwrap_or(usize::MAX);
        let (result, all) = match value {
            QueryValue::Scalar { at, value } => (QueryResult::Scalar(ScalarPoint(*at, *value)), 1),
            QueryValue::String { at, value } => (QueryResult::Text((Seconds(*at), value)), 1),
            QueryValue::Vector(samples) => {
                let items = samples.iter().take(keep).map(|s| match &s.value {
                    Value::Float(v) => Item { value: Some(Point(s.at, *v)), ..Item::of(&s.labels) },
                    Value::Histogram(h) => Item { histogram: Some(HistogramPoint(s.at, h)), ..Item::of(&s.labels) },
                });
                (QueryResult::Series(items.collect()), samples.len())
            }
            QueryValue::Matrix(series) => (QueryResult::Series(series.iter().take(keep).map(matrix_item).collect()), series.len()),
        };
        (QueryData { result_type: value.type_name(), result, stats }, all > keep)
    }
}

impl<'a> Item<'a> {
    fn of(metric: &'a Labels) -> Self {
        Item { metric, value: None, values: Vec::new(), histogram: None, histograms: Vec::new() }
    }
}

fn matrix_item(data: &SeriesData) -> Item<'_> {
    let mut item = Item::of(&data.labels);
    for (t, v) in data.times.iter().zip(&data.values) {
        match v {
            Value::Float(f) => item.values.push(Point(*t, *f)),
            Value::Histogram(h) => item.histograms.push(HistogramPoint(*t, h)),
        }
    }
    item
}

struct Seconds(Timestamp);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ms = self.0.millis();
        if ms % 1000 == 0 { serializer.serialize_i64(ms / 1000) } else { serializer.serialize_f64(ms as f64 / 1000.0) }
    }
}

struct Point(Timestamp, f64);

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pair = serializer.serialize_tuple(2)?;
        pair.serialize_element(&Seconds(self.0))?;
        pair.serialize_element(&format_float(self.1))?;
        pair.end()
    }
}

struct HistogramPoint<'a>(Timestamp, &'a NativeHistogram);

/// A number that is no series: Prometheus writes all its digits, however large or small it is.
struct ScalarPoint(Timestamp, f64);

impl Serialize for ScalarPoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pair = serializer.serialize_tuple(2)?;
        pair.serialize_element(&Seconds(self.0))?;
        pair.serialize_element(&if self.1.is_finite() { self.1.to_string() } else { format_float(self.1) })?;
        pair.end()
    }
}

/// `{count, sum, buckets: [[rule, lower, upper, count]]}`; empty buckets are left out.
#[derive(serde::Serialize)]
struct HistogramText {
    count: String,
    sum: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    buckets: Vec<(u8, String, String, String)>,
}

impl Serialize for HistogramPoint<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let buckets = api_buckets(self.1).into_iter();
        let text = HistogramText {
            count: format_float(self.1.count),
            sum: format_float(self.1.sum),
            buckets: buckets.map(|b| (b.rule, format_float(b.lower), format_float(b.upper), format_float(b.count))).collect(),
        };
        let mut pair = serializer.serialize_tuple(2)?;
        pair.serialize_element(&Seconds(self.0))?;
        pair.serialize_element(&text)?;
        pair.end()
    }
}

/// Seconds as a number with at most three decimals, without a fraction where there is none.
pub fn seconds(t: Timestamp) -> Json {
    serde_json::to_value(Seconds(t)).unwrap_or_default()
}

pub fn labels(labels: &Labels) -> Json {
    serde_json::to_value(labels).unwrap_or_default()
}

/// What `stats` asks for: how long each part took and how many samples were held.
pub fn stats(parse: std::time::Duration, queued: std::time::Duration, evaluation: std::time::Duration, outcome: &Evaluation) -> Json {
    json!({
        "timings": {
            "evalTotalTime": evaluation.as_secs_f64(),
            "resultSortTime": 0.0,
            "queryPreparationTime": parse.as_secs_f64(),
            "innerEvalTime": evaluation.as_secs_f64(),
            "execQueueTime": queued.as_secs_f64(),
            "execTotalTime": (queued + evaluation).as_secs_f64(),
        },
        "samples": {"totalQueryableSamples": outcome.read_samples, "peakSamples": outcome.peak_samples},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_promql::VectorSample;

    fn text(value: &QueryValue, limit: Option<usize>) -> (String, bool) {
        let (data, cut) = QueryData::new(value, limit, None);
        (serde_json::to_string(&data).expect("serialises"), cut)
    }

    #[test]
    fn the_type_of_a_result_comes_before_the_result() {
        let sample =
            |name: &str, v: f64| VectorSample { labels: Labels::from_pairs([("a", name)]), at: Timestamp(1500), value: Value::Float(v) };
        let vector = QueryValue::Vector(vec![sample("x", f64::INFINITY), sample("y", 0.1)]);
        assert_eq!(
            text(&vector, Some(1)),
            (r#"{"resultType":"vector","result":[{"metric":{"a":"x"},"value":[1.5,"+Inf"]}]}"#.to_owned(), true)
        );
        assert!(!text(&vector, Some(2)).1 && !text(&vector, Some(0)).1 && !text(&vector, None).1);
        let scalar = QueryValue::Scalar { at: Timestamp(2000), value: f64::NAN };
        assert_eq!(text(&scalar, Some(1)), (r#"{"resultType":"scalar","result":[2,"NaN"]}"#.to_owned(), false));
        for (value, digits) in [(1e-7, "0.0000001"), (1e22, "10000000000000000000000"), (-0.0, "-0"), (f64::NEG_INFINITY, "-Inf")] {
            let scalar = QueryValue::Scalar { at: Timestamp(2000), value };
            assert_eq!(text(&scalar, None).0, format!(r#"{{"resultType":"scalar","result":[2,"{digits}"]}}"#));
        }
        let words = QueryValue::String { at: Timestamp(2000), value: "a\"b".to_owned() };
        assert_eq!(text(&words, None).0, r#"{"resultType":"string","result":[2,"a\"b"]}"#);
    }

    #[test]
    fn floats_and_histograms_of_one_series_stay_apart() {
        let h = NativeHistogram { count: 2.0, sum: 3.0, zero_count: 2.0, zero_threshold: 0.5, ..NativeHistogram::default() };
        let data = SeriesData {
            labels: Labels::empty(),
            times: vec![Timestamp(0), Timestamp(1000)],
            values: vec![Value::Float(1.0), Value::Histogram(h.into())],
        };
        assert_eq!(
            text(&QueryValue::Matrix(vec![data]), None).0,
            r#"{"resultType":"matrix","result":[{"metric":{},"values":[[0,"1"]],"histograms":[[1,{"count":"2","sum":"3","buckets":[[3,"-0.5","0.5","2"]]}]]}]}"#
        );
    }
}
