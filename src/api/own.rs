//! watchfire's own reads and its three writes.

use super::envelope::{ApiError, body_response, json_response};
use super::params::Params;
use super::prometheus::check_points;
use super::{Answer, Api};
use crate::wire;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::reading::{Alert, AlertState, Command, ReadError, Silence};
use watchfire_model::{Request, Timestamp, parse_duration};

/// `GET /api/watchfire/v1/<path>?at=`
pub async fn read(State(api): State<Arc<Api>>, Path(_): Path<String>, uri: Uri, headers: HeaderMap) -> Answer {
    let params = Params::read(&uri, &headers, &Bytes::new())?;
    let at = params.time("at")?;
    // The raw path: names inside it are still percent-encoded.
    let path = uri.path().strip_prefix(wire::PREFIX).unwrap_or_default().trim_end_matches('/').to_owned();
    let request = wire::from_path(&path, &params).ok_or_else(|| ApiError::not_found("unknown path"))??;
    if let Request::QueryRange { start, end, step_ms, .. } = &request {
        check_points(&api, *start, *end, *step_ms)?;
    }
    let reading = api.reading(request, at).await?;
    // Writing out a trace of many spans takes longer than this thread may be held up.
    let (json, tag) = tokio::task::spawn_blocking(move || {
        wire::to_json(&reading).map(|json| {
            let tag = tag(&json);
            (json, tag)
        })
    })
    .await
    .map_err(|e| ApiError::internal(format!("writing failed: {e}")))?
    .map_err(|e| ApiError::internal(e.to_string()))?;
    // Who has this answer already is spared its way over a slow link, and reading it again.
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag);
    let mut response = if known { StatusCode::NOT_MODIFIED.into_response() } else { body_response(StatusCode::OK, json) };
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}

/// What tells an answer from another one to the same question. Weak, because it may go out compressed.
fn tag(json: &str) -> HeaderValue {
    let mut hasher = DefaultHasher::new();
    json.hash(&mut hasher);
    HeaderValue::try_from(format!("W/\"{:016x}\"", hasher.finish())).expect("hexadecimal digits and quotes")
}

/// A silence as people and as Alertmanager's clients write it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SilenceBody {
    #[serde(default)]
    id: Option<String>,
    matchers: Vec<MatcherBody>,
    #[serde(default, alias = "starts_at")]
    starts_at: Option<TimeBody>,
    #[serde(default, alias = "ends_at")]
    ends_at: Option<TimeBody>,
    /// Instead of an end: `2h`.
    #[serde(default)]
    duration: Option<String>,
    #[serde(default, alias = "created_by")]
    created_by: Option<String>,
    #[serde(default)]
    comment: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MatcherBody {
    /// `alertname="X"`
    Text(String),
    /// (name, operator, value)
    Triple(String, String, String),
    #[serde(rename_all = "camelCase")]
    Object {
        name: String,
        value: String,
        #[serde(default)]
        is_regex: bool,
        #[serde(default = "yes")]
        is_equal: bool,
    },
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TimeBody {
    Millis(i64),
    Text(String),
}

impl TimeBody {
    fn at(&self) -> Result<Timestamp, ApiError> {
        match self {
            TimeBody::Millis(ms) => Ok(Timestamp(*ms)),
            TimeBody::Text(text) => super::params::parse_time(text).ok_or_else(|| {
                ApiError::bad_data(format!("{:?} is not a time; use RFC 3339", watchfire_model::harmless_limited(text, 100)))
            }),
        }
    }
}

/// Unless the silence says how long.
const DEFAULT_SILENCE: Duration = Duration::from_secs(3600);

/// `POST /api/watchfire/v1/silences`
pub async fn silence(State(api): State<Arc<Api>>, body: Bytes) -> Answer {
    let json: serde_json::Value = serde_json::from_slice(&body).map_err(|e| ApiError::bad_data(format!("not JSON: {e}")))?;
    // An attached terminal sends the command itself.
    if let Ok(command) = serde_json::from_value::<Command>(json.clone()) {
        return execute(api, command).await;
    }
    let wanted = silence_of(json, api.clock.now())?;
    execute(api, Command::Silence(wanted)).await
}

/// A silence as it is written, complete.
pub(super) fn silence_of(json: serde_json::Value, now: Timestamp) -> Result<Silence, ApiError> {
    let wanted: SilenceBody = serde_json::from_value(json).map_err(|e| ApiError::bad_data(format!("not a silence: {e}")))?;
    let starts_at = wanted.starts_at.as_ref().map(TimeBody::at).transpose()?.unwrap_or(now);
    let ends_at = match (&wanted.ends_at, &wanted.duration) {
        (Some(end), _) => end.at()?,
        (None, Some(text)) => starts_at.saturating_add(parse_duration(text).map_err(|e| ApiError::bad_data(e.to_string()))?),
        (None, None) => starts_at.saturating_add(DEFAULT_SILENCE),
    };
    if ends_at <= now {
        return Err(ApiError::bad_data("silence ends in the past"));
    }
    let matchers = wanted.matchers.into_iter().map(matcher).collect::<Result<Vec<_>, _>>()?;
    if matchers.is_empty() {
        return Err(ApiError::bad_data("a silence needs at least one matcher"));
    }
    Ok(Silence {
        id: wanted.id.unwrap_or_default(),
        matchers,
        starts_at,
        ends_at,
        created_by: wanted.created_by.unwrap_or_else(|| "api".to_owned()),
        comment: wanted.comment.unwrap_or_default(),
    })
}

fn matcher(body: MatcherBody) -> Result<(String, String, String), ApiError> {
    match body {
        MatcherBody::Triple(name, op, value) => Ok((name, op, value)),
        MatcherBody::Object { name, value, is_regex, is_equal } => {
            let op = match (is_equal, is_regex) {
                (true, false) => "=",
                (false, false) => "!=",
                (true, true) => "=~",
                (false, true) => "!~",
            };
            Ok((name, op.to_owned(), value))
        }
        MatcherBody::Text(text) => ["=~", "!~", "!=", "="]
            .iter()
            .find_map(|op| text.split_once(op).map(|(n, v)| (n.trim().to_owned(), (*op).to_owned(), v.trim().trim_matches('"').to_owned())))
            .ok_or_else(|| {
                ApiError::bad_data(format!("{:?} is not a matcher; write name=\"value\"", watchfire_model::harmless_limited(&text, 100)))
            }),
    }
}

#[derive(Deserialize)]
struct AcknowledgeBody {
    #[serde(default)]
    fingerprint: Option<String>,
    /// Instead of a fingerprint: every active alert of that name.
    #[serde(default)]
    alert: Option<String>,
    #[serde(default)]
    by: Option<String>,
    #[serde(default)]
    until: Option<TimeBody>,
    #[serde(default)]
    duration: Option<String>,
}

/// `POST /api/watchfire/v1/acknowledgements`
pub async fn acknowledge(State(api): State<Arc<Api>>, body: Bytes) -> Answer {
    let json: serde_json::Value = serde_json::from_slice(&body).map_err(|e| ApiError::bad_data(format!("not JSON: {e}")))?;
    if let Ok(command) = serde_json::from_value::<Command>(json.clone()) {
        return execute(api, command).await;
    }
    let wanted: AcknowledgeBody = serde_json::from_value(json).map_err(|e| ApiError::bad_data(format!("not an acknowledgement: {e}")))?;
    let until = match (&wanted.until, &wanted.duration) {
        (Some(until), _) => Some(until.at()?),
        (None, Some(text)) => Some(api.clock.now().saturating_add(parse_duration(text).map_err(|e| ApiError::bad_data(e.to_string()))?)),
        (None, None) => None,
    };
    let by = wanted.by.unwrap_or_else(|| "api".to_owned());
    let fingerprints = match (wanted.fingerprint, wanted.alert) {
        (Some(fingerprint), _) => vec![fingerprint],
        (None, Some(name)) => active(&api.board.read().alerts, &name),
        (None, None) => return Err(ApiError::bad_data("name an alert by fingerprint or by alert")),
    };
    if fingerprints.is_empty() {
        return Err(ApiError::not_found("no such alert is active"));
    }
    let mut last = None;
    for fingerprint in fingerprints {
        last = Some(execute(api.clone(), Command::Acknowledge { fingerprint, by: by.clone(), until }).await?);
    }
    last.ok_or_else(|| ApiError::not_found("no such alert is active"))
}

/// Fingerprints of the alerts of that name which have not ended.
fn active(alerts: &[Alert], name: &str) -> Vec<String> {
    let active = alerts.iter().filter(|a| a.name == name && a.state != AlertState::Resolved);
    active.map(|a| a.fingerprint.clone()).collect()
}

/// `POST /api/watchfire/v1/commands`
pub async fn command(State(api): State<Arc<Api>>, body: Bytes) -> Answer {
    let command = serde_json::from_slice::<Command>(&body).map_err(|e| ApiError::bad_data(format!("not a command: {e}")))?;
    execute(api, command).await
}

/// Commands return once they are durable, so they run on a blocking thread.
async fn execute(api: Arc<Api>, command: Command) -> Answer {
    let done = tokio::task::spawn_blocking(move || api.commands.execute(&command))
        .await
        .map_err(|e| ReadError::Failed(format!("command failed: {e}")))??;
    let id = done.rsplit(' ').next().unwrap_or_default().to_owned();
    Ok(json_response(StatusCode::OK, &json!({"status": "success", "message": done, "silenceID": id})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_acknowledges_by_name_means_what_has_not_ended() {
        let alert = |fingerprint: &str, state: &str| -> Alert {
            serde_json::from_value(json!({
                "name": "A", "state": state, "severity": "warning", "labels": {}, "annotations": {}, "active_at": null, "cause": null,
                "notified": false, "fingerprint": fingerprint,
            }))
            .expect("an alert")
        };
        let alerts = [alert("1", "firing"), alert("2", "resolved"), alert("3", "pending")];
        assert_eq!(active(&alerts, "A"), ["1", "3"]);
        assert!(active(&alerts, "B").is_empty());
    }
}
