//! PagerDuty, Events API v2: one event per alert, whose `dedup_key` is the same from trigger over acknowledge to resolve.

use super::connection::Connection;
use super::{Channel, Delivery, Failure, Habits, Http, Outcome, Probe, http, worded};
use crate::message::{Message, MessageAlert, alert_text, rfc3339, runbook, stable_key};
use crate::secret::SecretSource;
use crate::settings::one_secret;
use crate::wording::PagerDutyWording;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use watchfire_model::{NoticeState, Secret, Severity};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PagerDutySettings {
    /// The integration key of an Events API v2 integration.
    pub routing_key: Option<Secret>,
    pub routing_key_file: Option<PathBuf>,
    pub routing_key_env: Option<String>,
    /// Another place to post to; PagerDuty's own when empty.
    pub url: String,
    /// An `http_config`.
    #[serde(skip)]
    pub connection: Connection,
    /// The texts of an `alertmanager.yml`.
    #[serde(skip)]
    pub wording: Option<Arc<PagerDutyWording>>,
}

pub struct PagerDuty {
    url: reqwest::Url,
    routing_key: SecretSource,
    wording: Option<Arc<PagerDutyWording>>,
    http: Http,
}

impl PagerDuty {
    /// # Errors
    /// When the key is missing or the address malformed.
    pub fn new(settings: &PagerDutySettings, http: Http) -> Result<Self, String> {
        let routing_key = one_secret("routing_key", &settings.routing_key, &settings.routing_key_file, &settings.routing_key_env)?
            .ok_or("pagerduty needs routing_key, routing_key_file or routing_key_env")?;
        let url = if settings.url.is_empty() { "https://events.pagerduty.com/v2/enqueue" } else { &settings.url };
        Ok(PagerDuty { url: http::url("pagerduty url", url)?, routing_key, wording: settings.wording.clone(), http })
    }

    async fn send(&self, message: &Arc<Message>) -> Outcome {
        let mut outcome = Outcome::default();
        let routing_key = match self.routing_key.reveal() {
            Ok(key) => key,
            Err(reason) => return Outcome::of(message, Err(Failure::retry(reason))),
        };
        for (index, alert) in message.alerts.iter().enumerate() {
            let fingerprint = alert.notice.fingerprint.clone();
            // What only completes the picture of a group has its own event already.
            if !alert.changed {
                outcome.delivered.push((fingerprint, None));
                continue;
            }
            let mut body = event(alert, message, &routing_key);
            if let Some(wording) = self.wording.clone() {
                let own = body.clone();
                let filled = worded(message, move |message| {
                    let mut event = own;
                    let alert = message.alerts.get(index).ok_or("no such alert")?;
                    wording.reword(&mut event, message, alert)?;
                    Ok(event)
                });
                match filled.await {
                    Ok(event) => body = event,
                    Err(reason) => body["payload"]["custom_details"]["template"] = Value::String(reason),
                }
            }
            match self.http.post(&self.url, HeaderMap::new(), "application/json", body.to_string().into_bytes()).await {
                Ok(_) => outcome.delivered.push((fingerprint, None)),
                Err(Failure::Refused(reason)) => outcome.refused.push((fingerprint, reason)),
                Err(Failure::Retry(retry)) => {
                    outcome.retry = Some(retry);
                    break;
                }
            }
        }
        outcome
    }
}

impl Channel for PagerDuty {
    fn habits(&self) -> Habits {
        Habits { immediate: true, keeps_open: true, acknowledgements: true, most: 32, call_per_alert: true, ..Habits::default() }
    }

    fn deliver(self: Arc<Self>, message: Arc<Message>) -> Delivery {
        Box::pin(async move { self.send(&message).await })
    }

    fn says(&self, message: &Message) -> Vec<String> {
        message.alerts.iter().filter(|a| a.changed).map(|alert| event(alert, message, "").to_string()).collect()
    }

    fn probe(self: Arc<Self>) -> Probe {
        Box::pin(async move {
            self.routing_key.reveal()?;
            Ok(format!("posts to {}", self.url.host_str().unwrap_or("?")))
        })
    }
}

fn event(alert: &MessageAlert, message: &Message, routing_key: &str) -> Value {
    let notice = &*alert.notice;
    let action = match notice.state {
        NoticeState::Resolved => "resolve",
        NoticeState::Firing if alert.acknowledged_by.is_some() => "acknowledge",
        NoticeState::Firing => "trigger",
    };
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": stable_key(&["watchfire alert", &notice.fingerprint]),
        "client": "watchfire",
        "client_url": message.external_url,
    });
    let text = alert_text(alert);
    let mut details: Map<String, Value> = text.facts.iter().map(|(name, fact)| ((*name).to_owned(), Value::String(fact.clone()))).collect();
    if !text.summary.is_empty() {
        details.insert("summary".to_owned(), Value::String(text.summary.clone()));
    }
    let source = ["service_name", "service", "instance", "job"].iter().map(|n| notice.labels.value(n)).find(|v| !v.is_empty());
    event["payload"] = json!({
        "summary": text.title,
        "source": watchfire_model::harmless_limited(source.unwrap_or("watchfire"), 200),
        "severity": match notice.severity {
            Severity::Critical => "critical",
            Severity::High | Severity::Security => "error",
            Severity::Warning => "warning",
            Severity::Normal | Severity::Low | Severity::Info => "info",
        },
        "timestamp": rfc3339(notice.starts_at),
        "custom_details": details,
    });
    if let Some(url) = runbook(notice) {
        event["links"] = json!([{"href": url, "text": "runbook"}]);
    }
    event
}
