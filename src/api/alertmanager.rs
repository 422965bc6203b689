//! Alertmanager's API, version 2, as far as people and their tools use it: `amtool silence`, `amtool alert query`, dashboards. Alerts are taken
//! from nobody: watchfire evaluates rules itself.

use super::Api;
use super::envelope::{ApiError, json_response};
use super::own::silence_of;
use super::params::Params;
use super::rules::rfc3339;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hyper::ext::ReasonPhrase;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Once};
use std::time::Duration;
use watchfire_model::reading::{Alert, AlertState, Command, Silence};
use watchfire_model::{Labels, MatchOp, Matcher, Reading, Request, Timestamp};
use watchfire_notifiers::journal::ActiveSilence;
use watchfire_notifiers::routing::parse_matchers;

/// A firing alert holds so long unless it is renewed, as Prometheus tells an Alertmanager.
const HOLDS: Duration = Duration::from_secs(240);

/// A refusal in Alertmanager's words.
pub enum Refused {
    /// The sentence alone.
    Sentence(ApiError),
    /// A parameter that is not what it has to be: a number for the kind of mistake, and the sentence.
    Parameter(u32, String),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Refused::Sentence(error) => json_response(error.status(), &error.message),
            Refused::Parameter(code, message) => {
                json_response(StatusCode::UNPROCESSABLE_ENTITY, &json!({"code": code, "message": message}))
            }
        }
    }
}

impl<E: Into<ApiError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Refused::Sentence(error.into())
    }
}

type Told = Result<Response, Refused>;

fn ok(body: &Json) -> Told {
    Ok(json_response(StatusCode::OK, body))
}

/// `GET /api/v2/status`: `amtool config` reads the routes from here, so they are told in Alertmanager's words, whoever declared them.
pub async fn status(State(api): State<Arc<Api>>) -> Told {
    ok(&json!({
        "cluster": {"status": "disabled", "peers": []},
        "config": {"original": api.delivery.alertmanager_yml()},
        "uptime": rfc3339(api.started),
        "versionInfo": {
            "version": env!("CARGO_PKG_VERSION"), "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": "watchfire",
        },
    }))
}

/// `GET /api/v2/receivers`
pub async fn receivers(State(api): State<Arc<Api>>) -> Told {
    let names: Vec<Json> = api.delivery.receivers().iter().map(|name| json!({"name": name})).collect();
    ok(&Json::Array(names))
}

/// `POST /api/v2/alerts`
pub async fn no_alerts() -> Response {
    static SAID: Once = Once::new();
    let sentence = "watchfire takes no alerts from outside: it evaluates rules itself, and sends what they find; give it the rule files (--rules) instead";
    SAID.call_once(|| tracing::warn!("alerts were sent to /api/v2/alerts: {sentence}"));
    let mut refusal = json_response(StatusCode::BAD_REQUEST, &sentence);
    // Prometheus logs the status line and not what follows it.
    let reason = ReasonPhrase::from_static(b"watchfire takes no alerts, it evaluates rules itself; take it out of alerting.alertmanagers");
    refusal.extensions_mut().insert(reason);
    refusal
}

async fn known_alerts(api: &Arc<Api>) -> Result<Vec<Alert>, Refused> {
    match api.reading(Request::Alerts, None).await? {
        // Routes and silences see alerts as they are sent.
        Reading::Alerts(alerts) => {
            let sent = |alert: Alert| Alert { labels: watchfire_alerts::outward(&alert.labels, &api.external_labels), ..alert };
            Ok(alerts.alerts.into_iter().map(sent).collect())
        }
        _ => Err(Refused::Sentence(ApiError::internal("not what was asked for"))),
    }
}

/// Conditions of `filter=`.
fn filters(params: &Params) -> Result<Vec<Matcher>, ApiError> {
    let all = params.all("filter").map(|text| parse_matchers(text).map_err(ApiError::bad_data));
    Ok(all.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// As Alertmanager matches: a condition of nothing holds where the label is missing, its opposite where it is there.
fn passes(filters: &[Matcher], value: impl Fn(&str) -> Option<String>) -> bool {
    filters.iter().all(|filter| {
        let found = value(&filter.name);
        let negative = matches!(filter.op, MatchOp::NotEqual | MatchOp::NotRegex);
        (filter.value.is_empty() && found.is_some() == negative) || filter.matches_value(&found.unwrap_or_default())
    })
}

/// `GET /api/v2/silences`: active ones first, those that end soonest at the top.
pub async fn silences(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap) -> Told {
    let filters = filters(&Params::read(&uri, &headers, &Bytes::new())?)?;
    let now = api.clock.now();
    // As in Alertmanager, one is found by conditions that stand in it.
    let holds = |silence: &Silence, f: &Matcher| {
        silence.matchers.iter().any(|(n, op, v)| *n == *f.name && *op == f.op.to_string() && *v == *f.value)
    };
    let mut all = api.delivery.silences();
    all.retain(|silence| filters.iter().all(|filter| holds(silence, filter)));
    all.sort_by_key(|s| match state(s, now) {
        "active" => (0, s.ends_at.millis()),
        "pending" => (1, s.starts_at.millis()),
        _ => (2, -s.ends_at.millis()),
    });
    ok(&all.iter().map(|silence| shown(silence, now)).collect())
}

/// `GET /api/v2/silence/<id>`
pub async fn one_silence(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Told {
    let now = api.clock.now();
    ok(&shown(&by_id(&api, &named(&id)?)?, now))
}

/// The id of a silence in an address: Alertmanager's are UUIDs, with or without their hyphens, and so are ours.
fn named(id: &str) -> Result<String, Refused> {
    let digits = id.replace('-', "");
    if digits.len() == 32 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(id.to_ascii_lowercase());
    }
    Err(Refused::Parameter(601, format!("silenceID in path must be of type uuid: {:?}", params_shown(id))))
}

fn by_id(api: &Api, id: &str) -> Result<Silence, Refused> {
    let found = api.delivery.silences().into_iter().find(|silence| silence.id == id);
    found.ok_or_else(|| ApiError::not_found("silence not found").into())
}

/// `POST /api/v2/silences`: a new one, or another form of one that is named.
pub async fn silence(State(api): State<Arc<Api>>, body: Bytes) -> Told {
    let json: Json = serde_json::from_slice(&body).map_err(|e| ApiError::bad_data(format!("not JSON: {e}")))?;
    let mut silence = silence_of(json, api.clock.now())?;
    if !silence.id.is_empty() {
        let before = by_id(&api, &silence.id)?;
        // One that is over, or was about something else, stays in the list as it was.
        if before.ends_at <= api.clock.now() || before.matchers != silence.matchers {
            if before.ends_at > api.clock.now() {
                execute(&api, Command::ExpireSilence { id: before.id }).await?;
            }
            silence.id.clear();
        }
    }
    // Whatever keeps a silence from being made is 400 in Alertmanager, and `amtool` shows the reason of no other status.
    let done = execute(&api, Command::Silence(silence)).await.map_err(|refused| match refused {
        Refused::Sentence(error) => Refused::Sentence(ApiError::bad_data(error.message)),
        other => other,
    })?;
    // The id stands last.
    ok(&json!({"silenceID": done.rsplit(' ').next().unwrap_or_default()}))
}

/// `DELETE /api/v2/silence/<id>`
pub async fn expire(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Told {
    let id = named(&id)?;
    let silence = by_id(&api, &id)?;
    if silence.ends_at > api.clock.now() {
        execute(&api, Command::ExpireSilence { id }).await?;
    }
    Ok(StatusCode::OK.into_response())
}

/// Commands return once they are durable, so they run on a blocking thread.
async fn execute(api: &Arc<Api>, command: Command) -> Result<String, Refused> {
    let api = api.clone();
    let done = tokio::task::spawn_blocking(move || api.commands.execute(&command)).await;
    Ok(done.map_err(|e| ApiError::internal(format!("command failed: {e}")))??)
}

fn state(silence: &Silence, now: Timestamp) -> &'static str {
    match () {
        () if silence.ends_at <= now => "expired",
        () if silence.starts_at > now => "pending",
        () => "active",
    }
}

fn shown(silence: &Silence, now: Timestamp) -> Json {
    let matchers = silence
        .matchers
        .iter()
        .map(|(name, op, value)| json!({"name": name, "value": value, "isRegex": op.ends_with('~'), "isEqual": op.starts_with('=')}));
    json!({
        "id": silence.id,
        "status": {"state": state(silence, now)},
        "matchers": matchers.collect::<Vec<_>>(),
        "startsAt": rfc3339(silence.starts_at), "endsAt": rfc3339(silence.ends_at), "updatedAt": rfc3339(silence.starts_at.min(now)),
        "createdBy": silence.created_by, "comment": silence.comment,
    })
}

/// `GET /api/v2/alerts`
pub async fn alerts(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap) -> Told {
    let found = wanted(&api, &Params::read(&uri, &headers, &Bytes::new())?).await?;
    ok(&found.into_iter().map(|(_, json)| json).collect())
}

/// `GET /api/v2/alerts/groups`: as the routes group them.
pub async fn groups(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap) -> Told {
    let found = wanted(&api, &Params::read(&uri, &headers, &Bytes::new())?).await?;
    let mut groups: BTreeMap<(Labels, String), Vec<Json>> = BTreeMap::new();
    for (alert, json) in found {
        let heard: BTreeSet<(String, Labels)> = api.delivery.explain(&alert.labels).groups.into_iter().collect();
        for (receiver, labels) in heard {
            groups.entry((labels, receiver)).or_default().push(json.clone());
        }
    }
    let group = |((labels, receiver), alerts): ((Labels, String), Vec<Json>)| json!({"receiver": {"name": receiver}, "labels": table(&labels), "alerts": alerts});
    ok(&groups.into_iter().map(group).collect())
}

/// Firing alerts that the parameters ask for, by fingerprint.
async fn wanted(api: &Arc<Api>, params: &Params) -> Result<Vec<(Alert, Json)>, Refused> {
    let filters = filters(params)?;
    let flag = |name: &str| match params.get(name) {
        None | Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(ApiError::bad_data(format!("{name} in query must be of type boolean: {:?}", params_shown(other)))),
    };
    let (active, silenced, inhibited, _) = (flag("active")?, flag("silenced")?, flag("inhibited")?, flag("unprocessed")?);
    let receiver = params.get("receiver").map(|text| Matcher::new("receiver", MatchOp::Regex, text)).transpose();
    let receiver = receiver.map_err(|e| ApiError::bad_data(format!("failed to parse receiver param: {e}")))?;
    let now = api.clock.now();
    let alerts = known_alerts(api).await?;
    let silences: Vec<ActiveSilence> = api.delivery.silences().into_iter().filter_map(|silence| ActiveSilence::new(silence).ok()).collect();
    let firing: Vec<Alert> = alerts.into_iter().filter(|a| a.state == AlertState::Firing).collect();
    // What is a cause has none itself; of several that bear the name of one, the first.
    let mut causes: Vec<&Alert> = firing.iter().filter(|a| a.cause.is_none()).collect();
    causes.sort_by_key(|a| a.active_at);
    let mut fingerprints: BTreeMap<(String, String), String> = BTreeMap::new();
    for a in causes {
        let subject = watchfire_alerts::cause::subject(&a.labels).unwrap_or_default().to_owned();
        fingerprints.entry((a.name.clone(), subject)).or_insert_with(|| a.fingerprint.clone());
    }
    let inhibited_by = api.delivery.inhibited_by(firing.iter().map(|a| a.fingerprint.as_str()));
    let mut found = Vec::new();
    for (alert, mut inhibited_by) in firing.into_iter().zip(inhibited_by) {
        let receivers = api.delivery.explain(&alert.labels).receivers;
        let silenced_by: BTreeSet<&str> = silences.iter().filter(|s| s.covers(&alert.labels, now)).map(|s| s.silence.id.as_str()).collect();
        let is_inhibited = alert.cause.is_some() || !inhibited_by.is_empty();
        // Explained by a cause: only the cause speaks.
        inhibited_by.extend(alert.cause.iter().filter_map(|c| fingerprints.get(&(c.alert.clone(), c.service.clone())).cloned()));
        let suppressed = !silenced_by.is_empty() || is_inhibited;
        let asked = passes(&filters, |name| alert.labels.get(name).map(str::to_owned))
            && receiver.as_ref().is_none_or(|m| receivers.iter().any(|r| m.matches_value(r)))
            && (active || suppressed)
            && (silenced || silenced_by.is_empty())
            && (inhibited || !is_inhibited);
        if !asked {
            continue;
        }
        let json = json!({
            "fingerprint": alert.fingerprint,
            "labels": table(&alert.labels),
            "annotations": table(&alert.annotations),
            "startsAt": rfc3339(alert.fired_at.or(alert.active_at).unwrap_or(now)),
            "endsAt": rfc3339(now.saturating_add(HOLDS)),
            "updatedAt": rfc3339(now),
            "generatorURL": watchfire_alerts::graph_url(&api.external_url, &alert.expression),
            "receivers": receivers.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(),
            "status": {
                "state": if suppressed { "suppressed" } else { "active" },
                "silencedBy": silenced_by, "inhibitedBy": inhibited_by, "mutedBy": [],
            },
        });
        found.push((alert, json));
    }
    found.sort_by(|(a, _), (b, _)| a.fingerprint.cmp(&b.fingerprint));
    Ok(found)
}

fn params_shown(text: &str) -> String {
    watchfire_model::harmless_limited(text, 100).into_owned()
}

fn table(labels: &Labels) -> BTreeMap<&str, &str> {
    labels.iter().map(|l| (&*l.name, &*l.value)).collect()
}
