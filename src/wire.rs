//! Readings over HTTP: which path asks which [`Request`], in both directions. The server and the attached terminal share this file,
//! so the API is `Source` serialised and nothing else.

use crate::api::params::{Params, parse_time};
use watchfire_model::reading::{BacktestQuery, ExplainQuery, LatencyQuery, LogQuery, ReadError, Reading, Request, TraceQuery};
use watchfire_model::{LogSeverity, Timestamp, parse_duration};

/// Where watchfire's own reads live.
pub const PREFIX: &str = "/api/watchfire/v1/";

type Pairs = Vec<(&'static str, String)>;

/// The path below [`PREFIX`] and the parameters that ask `request`.
pub fn to_path(request: &Request) -> (String, Pairs) {
    let mut q: Pairs = Vec::new();
    let mut put = |name: &'static str, value: Option<String>| {
        if let Some(value) = value {
            q.push((name, value));
        }
    };
    let path = match request {
        Request::Status => "status".to_owned(),
        Request::Services => "services".to_owned(),
        Request::Service { name } => format!("services/{}", escape(name)),
        Request::Map => "map".to_owned(),
        Request::Traces(t) => {
            put("service", t.service.clone());
            put("operation", t.operation.clone());
            put("min_duration", t.min_duration_ms.map(milliseconds));
            put("max_duration", t.max_duration_ms.map(milliseconds));
            put("error", t.error.map(|e| e.to_string()));
            put("pinned", t.pinned.map(|p| p.to_string()));
            put("slowest_first", t.slowest_first.then(|| "true".to_owned()));
            put("start", t.start.map(|t| t.to_string()));
            put("end", t.end.map(|t| t.to_string()));
            put("limit", t.limit.map(|l| l.to_string()));
            for (name, value) in &t.attributes {
                q.push(("attribute", format!("{name}={value}")));
            }
            "traces".to_owned()
        }
        Request::Trace { id } => format!("traces/{}", escape(id)),
        Request::Latency(l) => {
            put("service", l.service.clone());
            put("operation", l.operation.clone());
            put("range", Some(format!("{}s", l.range_seconds)));
            put("columns", Some(l.columns.to_string()));
            "latency".to_owned()
        }
        Request::Explain(e) => {
            put("service", e.service.clone());
            put("operation", e.operation.clone());
            put("start", Some(e.start.to_string()));
            put("end", Some(e.end.to_string()));
            put("min_duration", e.min_duration_ms.map(milliseconds));
            put("max_duration", e.max_duration_ms.map(milliseconds));
            put("errors_only", e.errors_only.then(|| "true".to_owned()));
            "explain".to_owned()
        }
        Request::Queues => "queues".to_owned(),
        Request::Breakers => "breakers".to_owned(),
        Request::Health => "health".to_owned(),
        Request::Slo => "slo".to_owned(),
        Request::Alerts => "alerts".to_owned(),
        Request::Logs(l) => {
            put("service", l.service.clone());
            put("severity", l.severity.clone());
            put("contains", l.contains.clone());
            put("word", l.word.clone());
            put("trace_id", l.trace_id.clone());
            put("start", l.start.map(|t| t.to_string()));
            put("end", l.end.map(|t| t.to_string()));
            put("limit", l.limit.map(|l| l.to_string()));
            put("context", l.context.map(|c| c.to_string()));
            "logs".to_owned()
        }
        Request::Query { expression } => {
            put("query", Some(expression.clone()));
            "query".to_owned()
        }
        Request::QueryRange { expression, start, end, step_ms } => {
            put("query", Some(expression.clone()));
            put("start", Some(start.to_string()));
            put("end", Some(end.to_string()));
            put("step", Some(format!("{step_ms}ms")));
            "query_range".to_owned()
        }
        Request::Changes { since } => {
            put("since", Some(since.to_string()));
            "changes".to_owned()
        }
        Request::Backtest(b) => {
            put("query", Some(b.expression.clone()));
            put("for", Some(b.for_seconds.to_string()));
            put("keep_firing_for", Some(b.keep_firing_for_seconds.to_string()));
            put("start", Some(b.start.to_string()));
            put("end", Some(b.end.to_string()));
            put("step", Some(format!("{}ms", b.step_ms)));
            "backtest".to_owned()
        }
        Request::Vocabulary => "vocabulary".to_owned(),
    };
    (path, q)
}

/// The request that a path and its parameters ask; `None` for an unknown path.
///
/// # Errors
/// When a parameter does not parse.
pub fn from_path(path: &str, params: &Params) -> Option<Result<Request, ReadError>> {
    let text = |name: &str| params.get(name).map(str::to_owned);
    let request = match path.split_once('/') {
        Some(("services", name)) => Ok(Request::Service { name: unescape(name) }),
        Some(("traces", id)) => Ok(Request::Trace { id: unescape(id) }),
        Some(_) => return None,
        None => match path {
            "status" => Ok(Request::Status),
            "services" => Ok(Request::Services),
            "map" => Ok(Request::Map),
            "queues" => Ok(Request::Queues),
            "breakers" => Ok(Request::Breakers),
            "health" => Ok(Request::Health),
            "slo" => Ok(Request::Slo),
            "alerts" => Ok(Request::Alerts),
            "vocabulary" => Ok(Request::Vocabulary),
            "traces" => traces(params),
            "latency" => latency(params),
            "explain" => explain(params),
            "logs" => logs(params),
            "query" => text("query").ok_or_else(|| missing("query")).map(|expression| Request::Query { expression }),
            "query_range" => query_range(params),
            "changes" => required_time(params, "since").map(|since| Request::Changes { since }),
            "backtest" => backtest(params),
            _ => return None,
        },
    };
    Some(request)
}

fn traces(params: &Params) -> Result<Request, ReadError> {
    let attributes = params
        .all("attribute")
        .map(|pair| {
            pair.split_once('=')
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .ok_or_else(|| ReadError::BadRequest(format!("attribute {pair:?} is not name=value")))
        })
        .collect::<Result<_, _>>()?;
    Ok(Request::Traces(TraceQuery {
        service: params.get("service").map(str::to_owned),
        operation: params.get("operation").map(str::to_owned),
        min_duration_ms: duration_ms(params, "min_duration")?,
        max_duration_ms: duration_ms(params, "max_duration")?,
        error: boolean(params, "error")?,
        pinned: boolean(params, "pinned")?,
        slowest_first: boolean(params, "slowest_first")?.unwrap_or(false),
        attributes,
        start: time(params, "start")?,
        end: time(params, "end")?,
        limit: number(params, "limit")?,
    }))
}

fn latency(params: &Params) -> Result<Request, ReadError> {
    Ok(Request::Latency(LatencyQuery {
        service: params.get("service").map(str::to_owned),
        operation: params.get("operation").map(str::to_owned),
        range_seconds: duration_ms(params, "range")?.map_or(900, |ms| (ms / 1000.0) as u64),
        columns: number(params, "columns")?.unwrap_or(60),
    }))
}

fn explain(params: &Params) -> Result<Request, ReadError> {
    Ok(Request::Explain(ExplainQuery {
        service: params.get("service").map(str::to_owned),
        operation: params.get("operation").map(str::to_owned),
        start: required_time(params, "start")?,
        end: required_time(params, "end")?,
        min_duration_ms: duration_ms(params, "min_duration")?,
        max_duration_ms: duration_ms(params, "max_duration")?,
        errors_only: boolean(params, "errors_only")?.unwrap_or(false),
    }))
}

fn logs(params: &Params) -> Result<Request, ReadError> {
    let text = |name: &str| params.get(name).map(str::to_owned);
    Ok(Request::Logs(LogQuery {
        service: text("service"),
        severity: severity(params, "severity")?,
        contains: text("contains"),
        word: text("word"),
        trace_id: text("trace_id"),
        limit: number(params, "limit")?,
        context: number(params, "context")?,
        start: time(params, "start")?,
        end: time(params, "end")?,
    }))
}

fn query_range(params: &Params) -> Result<Request, ReadError> {
    Ok(Request::QueryRange {
        expression: params.get("query").ok_or_else(|| missing("query"))?.to_owned(),
        start: required_time(params, "start")?,
        end: required_time(params, "end")?,
        step_ms: duration_ms(params, "step")?.ok_or_else(|| missing("step"))?.max(1.0) as i64,
    })
}

fn backtest(params: &Params) -> Result<Request, ReadError> {
    let seconds = |name: &str| duration_ms(params, name).map(|ms| ms.unwrap_or(0.0) / 1000.0);
    Ok(Request::Backtest(BacktestQuery {
        expression: params.get("query").ok_or_else(|| missing("query"))?.to_owned(),
        for_seconds: seconds("for")?,
        keep_firing_for_seconds: seconds("keep_firing_for")?,
        start: required_time(params, "start")?,
        end: required_time(params, "end")?,
        step_ms: duration_ms(params, "step")?.map_or(15_000, |ms| ms.max(1.0) as i64),
    }))
}

fn missing(name: &str) -> ReadError {
    ReadError::BadRequest(format!("parameter {name:?} is missing"))
}

fn wrong(name: &str, text: &str, wanted: &str) -> ReadError {
    let shown = watchfire_model::harmless_limited(text, 100);
    ReadError::BadRequest(format!("parameter {name:?}: {shown:?} is not {wanted}"))
}

fn time(params: &Params, name: &str) -> Result<Option<Timestamp>, ReadError> {
    params.get(name).map(|t| parse_time(t).ok_or_else(|| wrong(name, t, "Unix seconds or RFC 3339"))).transpose()
}

fn required_time(params: &Params, name: &str) -> Result<Timestamp, ReadError> {
    time(params, name)?.ok_or_else(|| missing(name))
}

/// `250ms`, `1.5s`, `2m`; a bare number is seconds.
fn duration_ms(params: &Params, name: &str) -> Result<Option<f64>, ReadError> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let parsed = if let Ok(seconds) = text.parse::<f64>() {
        Some(seconds * 1000.0)
    } else if let Some(ms) = text.strip_suffix("ms").and_then(|n| n.parse::<f64>().ok()) {
        Some(ms)
    } else if let Some(s) = text.strip_suffix('s').and_then(|n| n.parse::<f64>().ok()) {
        Some(s * 1000.0)
    } else {
        parse_duration(text).ok().map(|d| d.as_secs_f64() * 1000.0)
    };
    parsed.filter(|ms| ms.is_finite() && *ms >= 0.0).map(Some).ok_or_else(|| wrong(name, text, "a duration"))
}

fn boolean(params: &Params, name: &str) -> Result<Option<bool>, ReadError> {
    match params.get(name) {
        None => Ok(None),
        Some("true" | "1" | "yes") => Ok(Some(true)),
        Some("false" | "0" | "no") => Ok(Some(false)),
        Some(text) => Err(wrong(name, text, "true or false")),
    }
}

/// A mistyped severity must not show everything.
fn severity(params: &Params, name: &str) -> Result<Option<String>, ReadError> {
    match params.get(name) {
        Some(text) if LogSeverity::parse(text).is_none() => Err(wrong(name, text, "trace, debug, info, warn, error or fatal")),
        word => Ok(word.map(str::to_owned)),
    }
}

fn number(params: &Params, name: &str) -> Result<Option<usize>, ReadError> {
    params.get(name).map(|t| t.parse().map_err(|_| wrong(name, t, "a whole number"))).transpose()
}

fn milliseconds(ms: f64) -> String {
    format!("{ms}ms")
}

fn escape(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

fn unescape(text: &str) -> String {
    // A path segment may hold a literal plus; only percent escapes count here.
    form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes()).next().map(|(_, v)| v.into_owned()).unwrap_or_default()
}

/// The JSON of a reading: what is inside, without a tag, because the path already says what it is.
///
/// # Errors
/// Never in practice; serialising plain data can only fail on non-string keys.
pub fn to_json(reading: &Reading) -> Result<String, serde_json::Error> {
    match reading {
        Reading::Status(r) => serde_json::to_string(r),
        Reading::Services(r) => serde_json::to_string(r),
        Reading::Service(r) => serde_json::to_string(r),
        Reading::Map(r) => serde_json::to_string(r),
        Reading::Traces(r) => serde_json::to_string(r),
        Reading::Trace(r) => serde_json::to_string(r),
        Reading::Latency(r) => serde_json::to_string(r),
        Reading::Explain(r) => serde_json::to_string(r),
        Reading::Queues(r) => serde_json::to_string(r),
        Reading::Breakers(r) => serde_json::to_string(r),
        Reading::Health(r) => serde_json::to_string(r),
        Reading::Slo(r) => serde_json::to_string(r),
        Reading::Alerts(r) => serde_json::to_string(r),
        Reading::Logs(r) => serde_json::to_string(r),
        Reading::Query(r) | Reading::QueryRange(r) => serde_json::to_string(r),
        Reading::Changes(r) => serde_json::to_string(r),
        Reading::Backtest(r) => serde_json::to_string(r),
        Reading::Vocabulary(r) => serde_json::to_string(r),
    }
}

/// The reading inside an answer to `request`.
///
/// # Errors
/// When the JSON is not of that shape: another version, or not watchfire at all.
pub fn from_json(request: &Request, json: &[u8]) -> Result<Reading, serde_json::Error> {
    Ok(match request {
        Request::Status => Reading::Status(serde_json::from_slice(json)?),
        Request::Services => Reading::Services(serde_json::from_slice(json)?),
        Request::Service { .. } => Reading::Service(serde_json::from_slice(json)?),
        Request::Map => Reading::Map(serde_json::from_slice(json)?),
        Request::Traces(_) => Reading::Traces(serde_json::from_slice(json)?),
        Request::Trace { .. } => Reading::Trace(serde_json::from_slice(json)?),
        Request::Latency(_) => Reading::Latency(serde_json::from_slice(json)?),
        Request::Explain(_) => Reading::Explain(serde_json::from_slice(json)?),
        Request::Queues => Reading::Queues(serde_json::from_slice(json)?),
        Request::Breakers => Reading::Breakers(serde_json::from_slice(json)?),
        Request::Health => Reading::Health(serde_json::from_slice(json)?),
        Request::Slo => Reading::Slo(serde_json::from_slice(json)?),
        Request::Alerts => Reading::Alerts(serde_json::from_slice(json)?),
        Request::Logs(_) => Reading::Logs(serde_json::from_slice(json)?),
        Request::Query { .. } => Reading::Query(serde_json::from_slice(json)?),
        Request::QueryRange { .. } => Reading::QueryRange(serde_json::from_slice(json)?),
        Request::Changes { .. } => Reading::Changes(serde_json::from_slice(json)?),
        Request::Backtest(_) => Reading::Backtest(serde_json::from_slice(json)?),
        Request::Vocabulary => Reading::Vocabulary(serde_json::from_slice(json)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use axum::http::{HeaderMap, Uri};

    fn every_request() -> Vec<Request> {
        let t = Timestamp(1_700_000_000_500);
        vec![
            Request::Status,
            Request::Services,
            Request::Service { name: "a/b c+d%ü".to_owned() },
            Request::Map,
            Request::Traces(TraceQuery {
                service: Some("a&b=c".to_owned()),
                min_duration_ms: Some(250.5),
                error: Some(true),
                attributes: vec![("k".to_owned(), "v=w".to_owned())],
                slowest_first: true,
                start: Some(t),
                limit: Some(7),
                ..TraceQuery::default()
            }),
            Request::Trace { id: "00f0".to_owned() },
            Request::Latency(LatencyQuery { service: None, operation: Some("GET /".to_owned()), range_seconds: 900, columns: 60 }),
            Request::Explain(ExplainQuery { start: t, end: t, errors_only: true, ..ExplainQuery::default() }),
            Request::Queues,
            Request::Breakers,
            Request::Health,
            Request::Slo,
            Request::Alerts,
            Request::Logs(LogQuery {
                contains: Some("a b".to_owned()),
                word: Some("c".to_owned()),
                context: Some(2),
                ..LogQuery::default()
            }),
            Request::Query { expression: "sum(up) > 1".to_owned() },
            Request::QueryRange { expression: "up".to_owned(), start: t, end: t, step_ms: 250 },
            Request::Changes { since: t },
            Request::Backtest(BacktestQuery {
                expression: "up == 0".to_owned(),
                for_seconds: 90.0,
                start: t,
                end: t,
                step_ms: 15_000,
                ..BacktestQuery::default()
            }),
            Request::Vocabulary,
        ]
    }

    #[test]
    fn every_request_survives_the_way_there() {
        for request in every_request() {
            let (path, pairs) = to_path(&request);
            let query: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            let uri: Uri = format!("{PREFIX}{path}?{query}").parse().expect("a valid URI");
            let params = Params::read(&uri, &HeaderMap::new(), &Bytes::new()).expect("few parameters");
            let back = from_path(uri.path().strip_prefix(PREFIX).expect("prefix"), &params);
            assert_eq!(back, Some(Ok(request)));
        }
    }

    #[test]
    fn parameters_that_do_not_parse_are_refused_by_name() {
        for (asked, words) in [
            ("logs?severity=eror", "\"severity\": \"eror\" is not trace, debug, info, warn, error or fatal"),
            ("logs?limit=-1", "\"limit\": \"-1\" is not a whole number"),
            ("traces?min_duration=soon", "\"min_duration\": \"soon\" is not a duration"),
            ("traces?error=maybe", "\"error\": \"maybe\" is not true or false"),
            ("traces?start=yesterday", "\"start\": \"yesterday\" is not Unix seconds or RFC 3339"),
        ] {
            let uri: Uri = format!("{PREFIX}{asked}").parse().expect("a valid URI");
            let params = Params::read(&uri, &HeaderMap::new(), &Bytes::new()).expect("few parameters");
            let refused = from_path(uri.path().strip_prefix(PREFIX).expect("prefix"), &params).expect("a known path");
            assert!(refused.as_ref().is_err_and(|e| e.to_string().contains(words)), "{asked}: {refused:?}");
        }
        assert_eq!(LogSeverity::parse("Warning"), Some(LogSeverity::Warn));
    }
}
