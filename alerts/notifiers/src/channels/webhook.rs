//! Any HTTP endpoint that takes Alertmanager's webhook JSON, version 4.

use super::connection::{Authorization, Connection};
use super::{Channel, Delivery, Failure, Habits, Http, Outcome, Probe, http};
use crate::message::{Message, common, rfc3339};
use crate::secret::SecretSource;
use crate::settings::one_secret;
use reqwest::header::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use watchfire_model::{Labels, NoticeState, Secret, Timestamp};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    pub url: Option<Secret>,
    pub url_file: Option<PathBuf>,
    pub url_env: Option<String>,
    pub bearer_token: Option<Secret>,
    pub bearer_token_file: Option<PathBuf>,
    pub bearer_token_env: Option<String>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    pub password_env: Option<String>,
    pub headers: BTreeMap<String, String>,
    /// Alerts per message; 0 means no limit. The rest is counted in `truncatedAlerts`.
    pub max_alerts: usize,
    /// An `http_config`.
    #[serde(skip)]
    pub connection: Connection,
}

pub struct Webhook {
    url: SecretSource,
    authorization: Authorization,
    headers: HeaderMap,
    max_alerts: usize,
    http: Http,
}

impl Webhook {
    /// # Errors
    /// When the address or a header is missing or malformed.
    pub fn new(settings: &WebhookSettings, http: Http) -> Result<Self, String> {
        let url =
            one_secret("url", &settings.url, &settings.url_file, &settings.url_env)?.ok_or("a webhook needs url, url_file or url_env")?;
        if let SecretSource::Inline(text) = &url {
            http::url("url", text.expose())?;
        }
        let bearer = one_secret("bearer_token", &settings.bearer_token, &settings.bearer_token_file, &settings.bearer_token_env)?;
        let password = one_secret("password", &settings.password, &settings.password_file, &settings.password_env)?;
        let headers = settings.headers.iter().map(|(name, value)| http::header(name, value)).collect::<Result<_, _>>()?;
        let authorization = Authorization::new(bearer, settings.username.clone(), password)?;
        Ok(Webhook { url, authorization, headers, max_alerts: settings.max_alerts, http })
    }

    async fn send(&self, message: &Message) -> Result<(), Failure> {
        let url = self.url.reveal().and_then(|u| http::url("url", &u)).map_err(Failure::retry)?;
        let mut headers = self.headers.clone();
        self.authorization.add(&mut headers)?;
        headers.insert("idempotency-key", HeaderValue::from_str(&message.key).map_err(|e| Failure::Refused(e.to_string()))?);
        self.http.post(&url, headers, "application/json", body(message, self.max_alerts).to_string().into_bytes()).await.map(|_| ())
    }
}

impl Channel for Webhook {
    /// A program follows each group by its key, and reads more of them than a person does.
    fn habits(&self) -> Habits {
        Habits { groups: 64, ..Habits::default() }
    }

    fn deliver(self: Arc<Self>, message: Arc<Message>) -> Delivery {
        Box::pin(async move { Outcome::of(&message, self.send(&message).await) })
    }

    fn says(&self, message: &Message) -> Vec<String> {
        vec![body(message, self.max_alerts).to_string()]
    }

    fn probe(self: Arc<Self>) -> Probe {
        Box::pin(async move {
            let url = self.url.reveal().and_then(|u| http::url("url", &u))?;
            self.authorization.add(&mut HeaderMap::new()).map_err(|f| f.reason().to_owned())?;
            Ok(format!("posts to {}", url.host_str().unwrap_or("?")))
        })
    }
}

/// The JSON that Alertmanager 0.27 sends to webhooks, plus `idempotencyKey`, and per alert `acknowledgedBy` and `evidence`.
pub fn body(message: &Message, max_alerts: usize) -> Value {
    if let Some(note) = &message.note {
        return json!({
            "version": "4", "groupKey": message.group_key, "status": "resolved", "receiver": message.receiver, "alerts": [],
            "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {"summary": note.title, "description": note.body()},
            "truncatedAlerts": 0, "externalURL": message.external_url, "idempotencyKey": message.key,
        });
    }
    let limit = if max_alerts == 0 { usize::MAX } else { max_alerts };
    let alerts: Vec<Value> = message
        .alerts
        .iter()
        .take(limit)
        .map(|alert| {
            let notice = &*alert.notice;
            let resolved = notice.state == NoticeState::Resolved;
            json!({
                "status": if resolved { "resolved" } else { "firing" },
                "labels": pairs(&notice.labels),
                "annotations": pairs(&notice.annotations),
                "startsAt": rfc3339(notice.starts_at),
                // The zero time of Go: what receivers of firing alerts expect here.
                "endsAt": if resolved { rfc3339(notice.ends_at) } else { "0001-01-01T00:00:00Z".to_owned() },
                "generatorURL": notice.generator_url,
                "fingerprint": notice.fingerprint,
                "acknowledgedBy": alert.acknowledged_by,
                "evidence": notice.evidence,
            })
        })
        .collect();
    json!({
        "version": "4",
        "groupKey": message.group_key,
        "truncatedAlerts": message.alerts.len() - alerts.len() + message.left_out,
        "status": if message.state() == NoticeState::Firing { "firing" } else { "resolved" },
        "receiver": message.receiver,
        "groupLabels": pairs(&message.group_labels),
        "commonLabels": pairs(&common(message.alerts.iter().map(|a| &a.notice.labels))),
        "commonAnnotations": pairs(&common(message.alerts.iter().map(|a| &a.notice.annotations))),
        "externalURL": message.external_url,
        "alerts": alerts,
        "idempotencyKey": message.key,
    })
}

fn pairs(labels: &Labels) -> BTreeMap<&str, &str> {
    labels.iter().map(|l| (&*l.name, &*l.value)).collect()
}

/// Alertmanager API v2 and the webhook share this form of an alert.
pub(super) fn posted(labels: &Labels, annotations: &Labels, starts_at: Timestamp, ends_at: Timestamp, generator_url: &str) -> Value {
    json!({
        "labels": pairs(labels), "annotations": pairs(annotations), "startsAt": rfc3339(starts_at), "endsAt": rfc3339(ends_at),
        "generatorURL": generator_url,
    })
}
