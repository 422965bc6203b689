//! Small facts that clients of Prometheus ask for: what this server can do, and what its targets say about their metrics.

use super::envelope::{ApiError, success};
use super::params::Params;
use super::prometheus::{blocking, parse_selector};
use super::{Answer, Api};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use watchfire_model::{Labels, METRIC_NAME, Matcher, Selector, TimeRange, Timestamp};

/// Endings of a family's own series.
const ENDINGS: [&str; 6] = ["", "_bucket", "_count", "_sum", "_total", "_info"];

/// `/api/v1/status/walreplay`: telemetry lives in memory, so nothing is ever replayed.
pub async fn walreplay() -> Response {
    success(json!({"min": 0, "max": 0, "current": 0, "state": "done"}))
}

/// `/api/v1/features`
pub async fn features(State(api): State<Arc<Api>>) -> Response {
    success(json!({
        "api": {
            "exclude_alerts": true, "label_values_match": true, "lifecycle": true, "query_stats": true, "query_warnings": true,
            "remote_write_receiver": api.remote_write.is_some(), "time_range_labels": true, "time_range_series": true, "admin": false,
        },
        "promql": {
            "at_modifier": true, "duration_expr": true, "experimental_functions": true, "extended_range_selectors": true,
            "negative_offset": true, "per_step_stats": false, "subqueries": true, "utf8_names": true,
        },
        "rules": {"keep_firing_for": true, "query_offset": true, "concurrent_rule_eval": false},
        "scrape": {"native_histograms": true, "start_timestamp_zero_ingestion": true, "extra_scrape_metrics": false},
    }))
}

/// `/api/v1/notifications`: what an administrator should know now.
pub async fn notifications(State(api): State<Arc<Api>>) -> Response {
    let stopping = api.stopping.load(Ordering::Relaxed);
    let since = super::rfc3339(api.clock.now());
    let told: Vec<Json> =
        stopping.then(|| json!({"text": "watchfire is shutting down", "date": since, "active": true})).into_iter().collect();
    success(json!(told))
}

/// `/api/v1/targets/metadata`
pub async fn targets_metadata(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap) -> Answer {
    let params = Params::read(&uri, &headers, &Bytes::new())?;
    blocking(&api, move |api| {
        let wanted = match params.get("match_target").filter(|t| !t.is_empty()) {
            Some(text) => {
                parse_selector(&api.engine, text).map_err(|e| ApiError::bad_data(format!("invalid parameter \"match_target\": {e}")))?
            }
            None => Selector(Vec::new()),
        };
        let only = params.get("metric").filter(|m| !m.is_empty());
        let limit = params.number("limit")?.filter(|l| *l > 0).unwrap_or(usize::MAX);
        let metadata = api.source.metadata();
        let mut found = Vec::new();
        for target in (api.targets)()["activeTargets"].as_array().into_iter().flatten() {
            let pairs = target["labels"].as_object().into_iter().flatten();
            let labels = Labels::from_pairs(pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())));
            if !wanted.matches(&labels) {
                continue;
            }
            let of_target = labels.iter().map(|l| Matcher::equal(&l.name, &l.value)).collect();
            let everywhen = TimeRange::new(Timestamp::MIN, Timestamp::MAX);
            let names = api.source.label_values(METRIC_NAME, &[Selector(of_target)], everywhen);
            let names: HashSet<String> = names.map_err(|e| ApiError::execution(e.to_string()))?.into_iter().collect();
            for (family, about) in &metadata {
                if only.is_some_and(|only| only != family) || !ENDINGS.iter().any(|ending| names.contains(&format!("{family}{ending}"))) {
                    continue;
                }
                let mut item = serde_json::to_value(about).unwrap_or_default();
                item["target"] = target["labels"].clone();
                if only.is_none() {
                    item["metric"] = json!(family);
                }
                found.push(item);
                if found.len() >= limit {
                    return Ok(success(Json::Array(found)));
                }
            }
        }
        Ok(success(Json::Array(found)))
    })
    .await
}
