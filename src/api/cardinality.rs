//! `/api/v1/status/tsdb`: which names and labels the series are spent on.

use super::envelope::{ApiError, success};
use super::params::Params;
use super::prometheus::blocking;
use super::{Answer, Api};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde_json::{Value as Json, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use watchfire_model::{Labels, METRIC_NAME, Selector, TimeRange, Timestamp};

/// What one pass over all series counts.
#[derive(Default)]
struct Counted {
    series: usize,
    times: Option<(Timestamp, Timestamp)>,
    by_name: HashMap<Arc<str>, usize>,
    by_pair: HashMap<(Arc<str>, Arc<str>), usize>,
}

impl Counted {
    fn add(&mut self, labels: &Labels, times: &[Timestamp]) {
        self.series += 1;
        if let (Some(first), Some(last)) = (times.first(), times.last()) {
            let (low, high) = self.times.unwrap_or((*first, *last));
            self.times = Some((low.min(*first), high.max(*last)));
        }
        for label in labels.iter() {
            if &*label.name == METRIC_NAME {
                *self.by_name.entry(label.value.clone()).or_default() += 1;
            }
            *self.by_pair.entry((label.name.clone(), label.value.clone())).or_default() += 1;
        }
    }

    /// The shape of Prometheus, without what only its storage has (chunks are `null`).
    fn report(&self, limit: usize) -> Json {
        let mut values: HashMap<&str, HashSet<&str>> = HashMap::new();
        let mut bytes: HashMap<&str, usize> = HashMap::new();
        for (name, value) in self.by_pair.keys() {
            if values.entry(name).or_default().insert(value) {
                *bytes.entry(name).or_default() += value.len();
            }
        }
        json!({
            "headStats": {
                "numSeries": self.series,
                "numLabelPairs": self.by_pair.len(),
                "chunkCount": null,
                "minTime": self.times.map(|t| t.0.millis()),
                "maxTime": self.times.map(|t| t.1.millis()),
            },
            "seriesCountByMetricName": most(self.by_name.iter().map(|(n, c)| (n.to_string(), *c)), limit),
            "labelValueCountByLabelName": most(values.iter().map(|(n, v)| ((*n).to_owned(), v.len())), limit),
            "memoryInBytesByLabelName": most(bytes.iter().map(|(n, b)| ((*n).to_owned(), *b)), limit),
            "seriesCountByLabelValuePair": most(self.by_pair.iter().map(|((n, v), c)| (format!("{n}={v}"), *c)), limit),
        })
    }
}

/// The largest, largest first.
fn most(counts: impl Iterator<Item = (String, usize)>, limit: usize) -> Vec<Json> {
    let mut counts: Vec<(String, usize)> = counts.collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.into_iter().take(limit).map(|(name, value)| json!({"name": name, "value": value})).collect()
}

/// `/api/v1/status/tsdb`
pub async fn cardinality(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap) -> Answer {
    let params = Params::read(&uri, &headers, &Bytes::new())?;
    let limit = match params.get("limit") {
        None => 10,
        Some(text) => text.parse().ok().filter(|l| *l > 0).ok_or_else(|| ApiError::bad_data("limit must be a positive number"))?,
    };
    blocking(&api, move |api| {
        let mut counted = Counted::default();
        let all = TimeRange::new(Timestamp::MIN, Timestamp::MAX);
        api.source
            .select(&Selector(Vec::new()), all, &mut |view| counted.add(view.labels, view.times))
            .map_err(|e| ApiError::execution(e.to_string()))?;
        Ok(success(counted.report(limit)))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_first() {
        let mut counted = Counted::default();
        for i in 0..3 {
            let id = i.to_string();
            counted.add(&Labels::from_pairs([(METRIC_NAME, "many"), ("id", id.as_str())]), &[Timestamp(i), Timestamp(10)]);
        }
        counted.add(&Labels::from_pairs([(METRIC_NAME, "one"), ("job", "x")]), &[Timestamp(5)]);
        let report = counted.report(1);
        assert_eq!(report["headStats"]["numSeries"], 4);
        assert_eq!((&report["headStats"]["minTime"], &report["headStats"]["maxTime"]), (&json!(0), &json!(10)));
        assert_eq!(report["seriesCountByMetricName"], json!([{"name": "many", "value": 3}]));
        assert_eq!(report["labelValueCountByLabelName"], json!([{"name": "id", "value": 3}]));
        assert_eq!(report["seriesCountByLabelValuePair"], json!([{"name": "__name__=many", "value": 3}]));
    }
}
