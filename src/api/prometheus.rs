//! The query half of Prometheus's HTTP API: query, query_range, series, labels, label values, metadata, exemplars, format_query.

use super::envelope::{ApiError, success, success_with};
use super::params::Params;
use super::results;
use super::{Answer, Api};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use watchfire_model::{Selector, TimeRange, Timestamp};
use watchfire_promql::{Control, Engine, EvalError, Evaluation, Expr, Interrupt, Query};

/// Runs a query on a blocking thread, at most a few at a time, so that people never starve rules or ingest.
pub async fn blocking<T: Send + 'static>(
    api: &Arc<Api>,
    work: impl FnOnce(&Api) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let permit = tokio::time::timeout(api.query_timeout, api.query_slots.clone().acquire_owned())
        .await
        .map_err(|_| ApiError::timeout())?
        .map_err(|_| ApiError::unavailable("shutting down"))?;
    let shared = api.clone();
    tokio::task::spawn_blocking(move || {
        let answer = work(&shared);
        drop(permit);
        answer
    })
    .await
    .map_err(|e| ApiError::internal(format!("query failed: {e}")))?
}

pub fn evaluation_error(api: &Api, error: EvalError) -> ApiError {
    match error {
        EvalError::TooManySamples { limit } => {
            api.refused_query("samples");
            ApiError::execution(format!("query needs more than {limit} samples"))
        }
        EvalError::BadRequest(why) => ApiError::bad_data(format!("invalid parameter \"query\": {why}")),
        EvalError::Timeout => {
            api.refused_query("timeout");
            ApiError::timeout()
        }
        other => ApiError::execution(other.to_string()),
    }
}

pub fn parse(api: &Api, text: &str) -> Result<Query, ApiError> {
    api.engine.parse(text).map_err(|e| {
        api.refused_query("parse");
        ApiError::bad_data(format!("invalid parameter \"query\": {e}"))
    })
}

/// When the query must be done: the limit, or sooner where the caller says so.
fn deadline(api: &Api, params: &Params) -> Result<Instant, ApiError> {
    let asked = params.duration("timeout")?.unwrap_or(api.query_timeout);
    Ok(Instant::now() + asked.min(api.query_timeout))
}

/// A series selector and nothing else.
pub fn parse_selector(engine: &Engine, text: &str) -> Result<Selector, String> {
    let query = engine.parse(text).map_err(|e| e.to_string())?;
    match (query.expr(), query.selectors().pop()) {
        (Expr::Vector(v), Some(selector)) if v.modifiers.offset.is_none() && v.modifiers.at.is_none() && !v.smoothed => Ok(selector),
        (Expr::Vector(_), _) => Err("expected a series selector, got one with a modifier".to_owned()),
        _ => Err(format!("expected a series selector, got {}", query.value_type().documented())),
    }
}

/// `/api/v1/query`
pub async fn query(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let came = Instant::now();
    let params = Params::read(&uri, &headers, &body)?;
    blocking(&api, move |api| {
        let at = params.time("time")?.unwrap_or_else(|| api.clock.now());
        let limit = params.number("limit")?;
        let began = Instant::now();
        let query = parse(api, params.query())?;
        let watch = Some(Watch { came, began, parsed: Instant::now() });
        let deadline = deadline(api, &params)?;
        let interrupt = || (Instant::now() >= deadline).then_some(Interrupt::Timeout);
        let control = Control { interrupt: Some(&interrupt), lookback: params.duration("lookback_delta")? };
        let outcome = api.engine.instant_with(&query, api.source.as_ref(), at, control).map_err(|e| evaluation_error(api, e))?;
        Ok(answer(outcome, limit, watch.filter(|_| params.get("stats").is_some())))
    })
    .await
}

/// When a query came, began and was understood; for those who ask for statistics.
struct Watch {
    came: Instant,
    began: Instant,
    parsed: Instant,
}

fn answer(mut outcome: Evaluation, limit: Option<usize>, watch: Option<Watch>) -> Response {
    let stats = watch.map(|w| results::stats(w.parsed - w.began, w.began - w.came, w.parsed.elapsed(), &outcome));
    let (data, cut) = results::QueryData::new(&outcome.value, limit, stats);
    if cut {
        outcome.warnings.push(TRUNCATED.to_owned());
    }
    success_with(&data, &outcome.warnings, &outcome.infos)
}

const TRUNCATED: &str = "results truncated due to limit";

/// `/api/v1/query_range`
pub async fn query_range(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let came = Instant::now();
    let params = Params::read(&uri, &headers, &body)?;
    blocking(&api, move |api| {
        let (start, end) = (params.range_end("start")?, params.range_end("end")?);
        if end < start {
            return Err(ApiError::bad_data("invalid parameter \"end\": end timestamp must not be before start time"));
        }
        if params.float("step").is_some_and(|s| s <= 0.0) {
            return Err(ApiError::bad_data(ZERO_STEP));
        }
        let Some(step) = params.duration("step")? else {
            return Err(ApiError::bad_data("invalid parameter \"step\": cannot parse \"\" to a valid duration"));
        };
        if step < Duration::from_millis(1) {
            return Err(ApiError::bad_data(ZERO_STEP));
        }
        check_points(api, start, end, step.as_millis() as i64)?;
        let limit = params.number("limit")?;
        let began = Instant::now();
        let query = parse(api, params.query())?;
        let watch = Some(Watch { came, began, parsed: Instant::now() });
        let deadline = deadline(api, &params)?;
        let interrupt = || (Instant::now() >= deadline).then_some(Interrupt::Timeout);
        let control = Control { interrupt: Some(&interrupt), lookback: params.duration("lookback_delta")? };
        let outcome =
            api.engine.range_with(&query, api.source.as_ref(), (start, end, step), control).map_err(|e| evaluation_error(api, e))?;
        Ok(answer(outcome, limit, watch.filter(|_| params.get("stats").is_some())))
    })
    .await
}

/// Refuses more points than anybody can draw. `step` is in milliseconds, at least one.
///
/// # Errors
/// When each series of the answer could have more than `limits.query.points`.
pub fn check_points(api: &Api, start: Timestamp, end: Timestamp, step: i64) -> Result<(), ApiError> {
    if end.millis().saturating_sub(start.millis()) / step.max(1) <= api.max_points as i64 {
        return Ok(());
    }
    api.refused_query("points");
    Err(ApiError::bad_data(format!(
        "exceeded maximum resolution of {} points per timeseries. Try decreasing the query resolution (?step=XX)",
        thousands(api.max_points)
    )))
}

/// `11,000`
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let first = (digits.len() - 1) % 3 + 1;
    let rest = digits.as_bytes()[first..].chunks(3).map(|chunk| String::from_utf8_lossy(chunk));
    std::iter::once(digits[..first].into()).chain(rest).collect::<Vec<_>>().join(",")
}

const ZERO_STEP: &str =
    "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer";

pub fn selectors(api: &Api, params: &Params) -> Result<Vec<Selector>, ApiError> {
    params
        .all("match[]")
        .map(|text| parse_selector(&api.engine, text).map_err(|e| ApiError::bad_data(format!("invalid parameter \"match[]\": {e}"))))
        .collect()
}

fn range(params: &Params) -> Result<TimeRange, ApiError> {
    let start = params.time("start")?.unwrap_or(Timestamp::MIN);
    let end = params.time("end")?.unwrap_or(Timestamp::MAX);
    // The store's ranges are left-open, the API's closed. One that ends before it starts holds nothing.
    Ok(TimeRange::new(Timestamp(start.millis().saturating_sub(1)).min(end), end))
}

/// `/api/v1/series`
pub async fn series(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let params = Params::read(&uri, &headers, &body)?;
    blocking(&api, move |api| {
        let selectors = selectors(api, &params)?;
        if selectors.is_empty() {
            return Err(ApiError::bad_data("no match[] parameter provided"));
        }
        let range = range(&params)?;
        let limit = params.number("limit")?.filter(|l| *l > 0).unwrap_or(usize::MAX);
        // One more than are asked for tells whether some are left out.
        let found = api.source.label_sets(&selectors, range, limit.saturating_add(1)).map_err(|e| ApiError::execution(e.to_string()))?;
        Ok(limited(found, limit))
    })
    .await
}

/// `/api/v1/labels`
pub async fn labels(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let params = Params::read(&uri, &headers, &body)?;
    blocking(&api, move |api| {
        let names = api.source.label_names(&selectors(api, &params)?, range(&params)?).map_err(|e| ApiError::execution(e.to_string()))?;
        let limit = params.number("limit")?.filter(|l| *l > 0).unwrap_or(usize::MAX);
        Ok(limited(names, limit))
    })
    .await
}

/// `/api/v1/label/<name>/values`
pub async fn label_values(State(api): State<Arc<Api>>, Path(name): Path<String>, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let params = Params::read(&uri, &headers, &body)?;
    let name = unescape_label(&name)
        .ok_or_else(|| ApiError::bad_data(format!("invalid label name: {:?}", watchfire_model::harmless_limited(&name, 100))))?;
    blocking(&api, move |api| {
        let values =
            api.source.label_values(&name, &selectors(api, &params)?, range(&params)?).map_err(|e| ApiError::execution(e.to_string()))?;
        let limit = params.number("limit")?.filter(|l| *l > 0).unwrap_or(usize::MAX);
        Ok(limited(values, limit))
    })
    .await
}

/// Names that are not plain travel as `U__` with `_hex_` escapes (UTF-8 in Prometheus 3).
fn unescape_label(name: &str) -> Option<String> {
    let Some(escaped) = name.strip_prefix("U__") else { return (!name.is_empty()).then(|| name.to_owned()) };
    let mut out = String::new();
    let mut rest = escaped;
    while let Some(start) = rest.find('_') {
        out.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let end = rest.find('_')?;
        out.push(char::from_u32(u32::from_str_radix(&rest[..end], 16).ok()?)?);
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    (!out.is_empty()).then_some(out)
}

fn limited<T: Serialize>(mut items: Vec<T>, limit: usize) -> Response {
    let warnings = if items.len() > limit { vec![TRUNCATED.to_owned()] } else { Vec::new() };
    items.truncate(limit);
    success_with(&items, &warnings, &[])
}

/// `/api/v1/metadata`
pub async fn metadata(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let params = Params::read(&uri, &headers, &body)?;
    let limit = params.number("limit")?.filter(|l| *l > 0).unwrap_or(usize::MAX);
    let each = params.number("limit_per_metric")?.filter(|l| *l > 0).unwrap_or(usize::MAX);
    let only = params.get("metric");
    let mut out: Map<String, Json> = Map::new();
    for (name, metadata) in api.source.metadata() {
        if only.is_some_and(|m| m != name) {
            continue;
        }
        if out.len() >= limit && !out.contains_key(&name) {
            break;
        }
        let item = serde_json::to_value(&metadata).unwrap_or_default();
        if let Json::Array(list) = out.entry(name).or_insert_with(|| json!([]))
            && list.len() < each
            && !list.contains(&item)
        {
            list.push(item);
        }
    }
    Ok(success(Json::Object(out)))
}

/// `/api/v1/query_exemplars`
pub async fn exemplars(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let params = Params::read(&uri, &headers, &body)?;
    blocking(&api, move |api| {
        if let (Some(start), Some(end)) = (params.time("start")?, params.time("end")?)
            && end < start
        {
            return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
        }
        let query = parse(api, params.query())?;
        let range = range(&params)?;
        let mut out = Vec::new();
        for selector in query.selectors() {
            for (labels, exemplars) in api.source.exemplars(&selector, range) {
                let exemplars: Vec<Json> = exemplars
                    .iter()
                    .map(|e| {
                        let mut text = e.labels.to_builder();
                        if let Some(id) = e.trace_id {
                            text.set("trace_id", &id.to_string());
                        }
                        if let Some(id) = e.span_id {
                            text.set("span_id", &id.to_string());
                        }
                        json!({
                            "labels": results::labels(&text.build()),
                            "value": watchfire_promql::format_float(e.value),
                            "timestamp": results::seconds(e.at),
                        })
                    })
                    .collect();
                out.push(json!({"seriesLabels": results::labels(&labels), "exemplars": exemplars}));
            }
        }
        Ok(success(Json::Array(out)))
    })
    .await
}

/// `/api/v1/format_query`
pub async fn format_query(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let params = Params::read(&uri, &headers, &body)?;
    let query = parse(&api, params.query())?;
    Ok(success(json!(query.pretty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_groups_of_three() {
        for (n, text) in [(0, "0"), (999, "999"), (11_000, "11,000"), (1_000_000, "1,000,000")] {
            assert_eq!(thousands(n), text);
        }
    }

    #[test]
    fn a_list_of_series_is_asked_for_with_a_plain_selector() {
        assert_eq!(parse_selector(&Engine::default(), "up{job=\"a\"}").map(|s| s.0.len()), Ok(2));
        for bad in ["up offset 5m", "up @ 5", "up @ start()", "up smoothed", "up[5m]", "sum(up)", "1", "{}", ""] {
            assert!(parse_selector(&Engine::default(), bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn escaped_label_names_come_back() {
        assert_eq!(unescape_label("job").as_deref(), Some("job"));
        assert_eq!(unescape_label("U__service_2e_name").as_deref(), Some("service.name"));
        assert_eq!(unescape_label("U__a__b").as_deref(), Some("a_b"));
        assert_eq!(unescape_label("U__a_zz_"), None);
        assert_eq!(unescape_label(""), None);
    }
}
