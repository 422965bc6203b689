//! Alertmanager, API v2: firing alerts again every minute (`resend_delay`) with an end in the future, resolved ones for 15 minutes, as Prometheus does
//! (`rules/manager.go`, `notifier/`). The 15 minutes survive a restart, because what was sent when is in the journal.
//! A cause that comes to speak for a louder alert has that severity as its label, which makes it another alert there; the quieter one ends by itself.

use super::connection::Authorization;
use super::webhook::posted;
use super::{Channel, Delivery, Failure, Habits, Http, Outcome, Probe, http};
use crate::message::{Message, MessageAlert};
use crate::settings::one_secret;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{NoticeState, Secret};

/// How long Prometheus repeats a resolve.
const RESOLVED: Duration = Duration::from_secs(15 * 60);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertmanagerSettings {
    /// Base URL; `/api/v2/alerts` is added unless it is there.
    pub url: String,
    pub bearer_token: Option<Secret>,
    pub bearer_token_file: Option<PathBuf>,
    pub bearer_token_env: Option<String>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    pub password_env: Option<String>,
}

pub struct Alertmanager {
    url: reqwest::Url,
    authorization: Authorization,
    resend_delay: Duration,
    http: Http,
}

impl Alertmanager {
    /// # Errors
    /// When the address is not an http URL.
    pub fn new(settings: &AlertmanagerSettings, resend_delay: Duration, http: Http) -> Result<Self, String> {
        let base = settings.url.trim_end_matches('/');
        let whole = if base.ends_with("/api/v2/alerts") { base.to_owned() } else { format!("{base}/api/v2/alerts") };
        let url = http::url("alertmanager url", &whole)?;
        let bearer = one_secret("bearer_token", &settings.bearer_token, &settings.bearer_token_file, &settings.bearer_token_env)?;
        let password = one_secret("password", &settings.password, &settings.password_file, &settings.password_env)?;
        let authorization = Authorization::new(bearer, settings.username.clone(), password)?;
        Ok(Alertmanager { url, authorization, resend_delay, http })
    }

    fn alerts(&self, message: &Message) -> Vec<Value> {
        let alert = |alert: &MessageAlert| {
            let notice = &*alert.notice;
            // Alertmanager compares an end with its own clock, and refuses what ends before it starts.
            let ends_at = match notice.state {
                NoticeState::Resolved => notice.ends_at.saturating_sub(message.carried),
                NoticeState::Firing => message.at.saturating_add(notice.ends_at.since(alert.queued_at).max(4 * self.resend_delay)),
            };
            posted(&notice.labels, &notice.annotations, notice.starts_at.min(ends_at), ends_at, &notice.generator_url)
        };
        message.alerts.iter().map(alert).collect()
    }

    async fn send(&self, message: &Message) -> Result<(), Failure> {
        let alerts = self.alerts(message);
        if alerts.is_empty() {
            return Ok(());
        }
        let mut headers = HeaderMap::new();
        self.authorization.add(&mut headers)?;
        self.http.post(&self.url, headers, "application/json", Value::Array(alerts).to_string().into_bytes()).await.map(|_| ())
    }
}

impl Channel for Alertmanager {
    fn habits(&self) -> Habits {
        Habits { immediate: true, keeps_open: true, most: 256, resend: Some((self.resend_delay, RESOLVED)), ..Habits::default() }
    }

    fn deliver(self: Arc<Self>, message: Arc<Message>) -> Delivery {
        Box::pin(async move { Outcome::of(&message, self.send(&message).await) })
    }

    fn says(&self, message: &Message) -> Vec<String> {
        vec![Value::Array(self.alerts(message)).to_string()]
    }

    fn probe(self: Arc<Self>) -> Probe {
        Box::pin(async move { Ok(format!("posts to {}", self.url.host_str().unwrap_or("?"))) })
    }
}
