//! Rules, alerts, targets, and the status pages of the Prometheus API.

use super::envelope::{ApiError, success};
use super::params::Params;
use super::prometheus::parse_selector;
use super::results;
use super::{Answer, Api};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use watchfire_model::reading::{Alert, AlertState, Command};
use watchfire_model::{Selector, Timestamp, without_secrets};

/// `/api/v1/rules`
pub async fn rules(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap) -> Answer {
    let params = Params::read(&uri, &headers, &Bytes::new())?;
    let kind = match params.get("type") {
        None => None,
        Some("alert") => Some("alerting"),
        Some("record") => Some("recording"),
        Some(other) => {
            return Err(ApiError::bad_data(format!(
                "invalid parameter \"type\": not supported value {:?}",
                watchfire_model::harmless_limited(other, 100)
            )));
        }
    };
    let names: Vec<&str> = params.all("rule_name[]").collect();
    let groups: Vec<&str> = params.all("rule_group[]").collect();
    let files: Vec<&str> = params.all("file[]").collect();
    let exclude_alerts = params.flag("exclude_alerts")?;
    let matchers: Vec<Selector> =
        params.all("match[]").map(|m| parse_selector(&api.engine, m).map_err(ApiError::bad_data)).collect::<Result<_, _>>()?;
    let conclusion = api.board.read();
    let mut out = Vec::new();
    for group in conclusion.groups_json() {
        let keep = |list: &[&str], value: &Json| list.is_empty() || value.as_str().is_some_and(|v| list.contains(&v));
        if !keep(&groups, &group["name"]) || !keep(&files, &group["file"]) {
            continue;
        }
        let mut group = group.clone();
        if let Some(rules) = group["rules"].as_array_mut() {
            rules.retain(|rule| {
                keep(&names, &rule["name"])
                    && kind.is_none_or(|k| rule["type"] == k)
                    && (matchers.is_empty() || matchers.iter().any(|m| m.matches(&labels_of(rule))))
            });
            if rules.is_empty() {
                continue;
            }
            if exclude_alerts {
                for rule in rules.iter_mut().filter(|r| r["type"] == "alerting") {
                    rule["alerts"] = json!([]);
                }
            }
        }
        out.push(group);
    }
    let limit = params.number("group_limit")?;
    if limit == Some(0) {
        return Err(ApiError::bad_data("invalid parameter \"group_limit\": group_limit needs to be greater than 0"));
    }
    page(out, limit, params.get("group_next_token"))
}

/// As many groups as asked for, from the one that the token of the answer before names.
fn page(mut groups: Vec<Json>, limit: Option<usize>, token: Option<&str>) -> Answer {
    let Some(limit) = limit else {
        if token.is_some() {
            return Err(ApiError::bad_data(
                "invalid parameter \"group_next_token\": group_limit needs to be present in order to paginate over the groups",
            ));
        }
        return Ok(success(json!({"groups": groups})));
    };
    if let Some(token) = token {
        let at = groups.iter().position(|group| page_token(group) == token);
        groups.drain(
            ..at.ok_or_else(|| {
                ApiError::bad_data(format!(
                    "invalid parameter \"group_next_token\": {token:?} names no group; rules may have changed, start over"
                ))
            })?,
        );
    }
    let next = groups.get(limit).map(page_token);
    groups.truncate(limit);
    Ok(success(match next {
        Some(next) => json!({"groups": groups, "groupNextToken": next}),
        None => json!({"groups": groups}),
    }))
}

fn page_token(group: &Json) -> String {
    let text = |key: &str| group[key].as_str().unwrap_or_default().to_owned();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text("file") + ";" + &text("name"))
}

fn labels_of(rule: &Json) -> watchfire_model::Labels {
    serde_json::from_value(rule["labels"].clone()).unwrap_or_default()
}

/// `/api/v1/alerts`: pending and firing only.
pub async fn alerts(State(api): State<Arc<Api>>) -> Response {
    let conclusion = api.board.read();
    let alerts: Vec<Json> = conclusion.alerts.iter().filter(|a| a.state != AlertState::Resolved).map(alert).collect();
    success(json!({"alerts": alerts}))
}

fn alert(alert: &Alert) -> Json {
    let mut shown = json!({
        "labels": results::labels(&alert.labels),
        "annotations": results::labels(&alert.annotations),
        "state": alert.state,
        "activeAt": alert.active_at.map(rfc3339),
        "value": alert.value.map_or("NaN".to_owned(), exponent),
    });
    if let Some(since) = alert.kept_since {
        shown["keepFiringSince"] = json!(rfc3339(since));
    }
    shown
}

/// Go's `'e'` format with the fewest digits: `1e+00`, `2.5e-03`.
pub fn exponent(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(d) => ('-', d),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

pub fn rfc3339(t: Timestamp) -> String {
    DateTime::from_timestamp_millis(t.millis()).unwrap_or_default().to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// `/api/v1/targets`
pub async fn targets(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap) -> Answer {
    let params = Params::read(&uri, &headers, &Bytes::new())?;
    let mut data = (api.targets)();
    match params.get("state") {
        Some("active") => data["droppedTargets"] = json!([]),
        Some("dropped") => data["activeTargets"] = json!([]),
        _ => {}
    }
    if let (Some(pool), Some(list)) = (params.get("scrapePool"), data["activeTargets"].as_array_mut()) {
        list.retain(|t| t["scrapePool"] == pool);
    }
    Ok(success(data))
}

/// `/api/v1/scrape_pools`
pub async fn scrape_pools(State(api): State<Arc<Api>>) -> Response {
    let targets = (api.targets)();
    let lists = ["activeTargets", "droppedTargets"].into_iter().filter_map(|list| targets[list].as_array());
    let pools: std::collections::BTreeSet<&str> = lists.flatten().filter_map(|t| t["scrapePool"].as_str()).collect();
    success(json!({"scrapePools": pools}))
}

/// `/api/v1/alertmanagers`
pub async fn alertmanagers(State(api): State<Arc<Api>>) -> Response {
    let active: Vec<Json> = api
        .alertmanagers
        .iter()
        .map(|url| json!({"url": without_secrets(&format!("{}/api/v2/alerts", url.trim_end_matches('/')))}))
        .collect();
    success(json!({"activeAlertmanagers": active, "droppedAlertmanagers": []}))
}

/// `/api/v1/status/buildinfo`
pub async fn buildinfo() -> Response {
    success(super::build())
}

/// `/api/v1/status/config`
pub async fn config(State(api): State<Arc<Api>>) -> Response {
    success(json!({"yaml": api.config_text}))
}

/// `/api/v1/status/flags`
pub async fn flags(State(api): State<Arc<Api>>) -> Response {
    let flags: serde_json::Map<String, Json> = api.flags.iter().map(|(n, v)| (n.clone(), json!(v))).collect();
    success(Json::Object(flags))
}

/// `/api/v1/status/runtimeinfo`
pub async fn runtimeinfo(State(api): State<Arc<Api>>) -> Response {
    let conclusion = api.board.read();
    let of_reload = |name: &str| api.meter.gauge(name, &[]).get();
    success(json!({
        "startTime": rfc3339(api.started),
        "CWD": std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default(),
        "serverTime": rfc3339(api.clock.now()),
        "reloadConfigSuccess": of_reload("watchfire_config_last_reload_successful") == 1.0,
        "lastConfigTime": rfc3339(Timestamp::from_seconds(of_reload("watchfire_config_last_reload_success_timestamp_seconds"))),
        "corruptionCount": 0,
        "storageRetention": api.retention,
        "lastEvaluation": conclusion.last_evaluation.map(rfc3339),
    }))
}

/// `POST /-/reload`: a bad file keeps the old rules and says file, line and column.
pub async fn reload(State(api): State<Arc<Api>>) -> Response {
    let outcome = tokio::task::spawn_blocking(move || api.commands.execute(&Command::ReloadRules)).await;
    match outcome {
        Ok(Ok(done)) => (StatusCode::OK, format!("{done}\n")).into_response(),
        Ok(Err(e)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload: {e}\n")).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload: {e}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn groups_come_in_pages() {
        let groups: Vec<Json> = ["a", "b", "c"].iter().map(|name| json!({"name": name, "file": "f"})).collect();
        let read = async |answer: Answer| -> Json {
            let body = axum::body::to_bytes(answer.expect("accepted").into_body(), 1 << 20).await.expect("short");
            serde_json::from_slice(&body).expect("JSON")
        };
        let first = read(page(groups.clone(), Some(2), None)).await;
        assert_eq!(first["data"]["groups"].as_array().map(Vec::len), Some(2));
        let token = first["data"]["groupNextToken"].as_str().expect("more");
        let second = read(page(groups.clone(), Some(2), Some(token))).await;
        assert_eq!(second["data"], json!({"groups": [{"name": "c", "file": "f"}]}));
        assert!(page(groups.clone(), Some(2), Some("stale")).is_err());
        assert!(page(groups, None, Some(token)).is_err());
    }

    #[test]
    fn alert_values_are_written_as_go_does() {
        for (value, text) in
            [(1.0, "1e+00"), (0.0, "0e+00"), (0.0025, "2.5e-03"), (1234.5, "1.2345e+03"), (f64::INFINITY, "+Inf"), (-1e100, "-1e+100")]
        {
            assert_eq!(exponent(value), text);
        }
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(rfc3339(Timestamp(1_435_781_451_781)), "2015-07-01T20:10:51.781Z");
        assert_eq!(rfc3339(Timestamp(1_435_781_451_000)), "2015-07-01T20:10:51Z");
    }
}
