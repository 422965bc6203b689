//! Slack, through an incoming webhook. Slack knows no keys: after a crash within the moment of sending, a message may come twice.

use super::connection::Connection;
use super::{Channel, Delivery, Failure, Http, Outcome, Probe, Retry, fixed_destination, http, worded};
use crate::message::{Message, runbook, stable_key};
use crate::secret::SecretSource;
use crate::settings::{Settings, one_secret};
use crate::wording::{SlackWording, escaped};
use parking_lot::Mutex;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use watchfire_model::{NoticeState, Secret, Severity};

/// Slack takes one message a second per webhook, whichever receivers share it.
const PACE: Duration = Duration::from_secs(1);
/// Whoever would wait longer for its turn comes again then: an attempt has its time.
const LONGEST_TURN: Duration = Duration::from_secs(5);
/// Bytes of text: Slack cuts at 40,000 characters.
const TEXT: usize = 12_000;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SlackSettings {
    pub url: Option<Secret>,
    pub url_file: Option<PathBuf>,
    pub url_env: Option<String>,
    /// Where the webhook allows another channel than its own.
    pub channel: Option<String>,
    pub username: Option<String>,
    /// An `http_config`.
    #[serde(skip)]
    pub connection: Connection,
    /// The texts of an `alertmanager.yml`.
    #[serde(skip)]
    pub wording: Option<Arc<SlackWording>>,
}

pub struct Slack {
    url: SecretSource,
    channel: Option<String>,
    allowed: Vec<String>,
    username: String,
    wording: Option<Arc<SlackWording>>,
    http: Http,
}

impl Slack {
    /// # Errors
    /// When the address is missing or malformed, or the channel is a template without an allow-list.
    pub fn new(settings: &SlackSettings, all: &Settings, http: Http) -> Result<Self, String> {
        let url = one_secret("url", &settings.url, &settings.url_file, &settings.url_env)?.ok_or("slack needs url, url_file or url_env")?;
        if let SecretSource::Inline(text) = &url {
            http::url("url", text.expose())?;
        }
        fixed_destination("slack channel", settings.channel.as_deref().unwrap_or(""), all)?;
        Ok(Slack {
            url,
            channel: settings.channel.clone(),
            allowed: all.allow_label_destinations.clone(),
            username: settings.username.clone().unwrap_or_else(|| "watchfire".to_owned()),
            wording: settings.wording.clone(),
            http,
        })
    }

    async fn send(&self, message: &Arc<Message>) -> Result<(), Failure> {
        let url = self.url.reveal().and_then(|u| http::url("url", &u)).map_err(Failure::retry)?;
        let channel = self.channel.as_deref().map(|c| super::destination(c, message, &self.allowed)).transpose()?;
        let mut body = self.body(message).await;
        if let Some(channel) = channel {
            body["channel"] = Value::String(channel);
        }
        tokio::time::sleep_until(turn(&url)?).await;
        let result = self.http.post(&url, HeaderMap::new(), "application/json", body.to_string().into_bytes()).await;
        result.and_then(|answer| taken(&http::place(&url), &answer.text()))
    }

    async fn body(&self, message: &Arc<Message>) -> Value {
        let Some(wording) = self.wording.clone().filter(|_| message.note.is_none()) else { return self.own_body(message, None) };
        match worded(message, move |message| wording.request(message)).await {
            Ok(body) => body,
            Err(reason) => self.own_body(message, Some(&reason)),
        }
    }

    /// `problem` says why this is not the text the receiver asked for.
    fn own_body(&self, message: &Message, problem: Option<&str>) -> Value {
        let color = match (message.state(), message.severity()) {
            _ if message.note.is_some() => "#6b7280",
            (NoticeState::Resolved, _) => "#2e9e5b",
            (_, Severity::Critical) => "#d32f2f",
            (_, Severity::High | Severity::Security) => "#e8590c",
            (_, Severity::Warning) => "#f2a600",
            _ => "#3b82c4",
        };
        let mut text = String::new();
        let texts = message.texts();
        let mut left_out = message.left_out;
        for (index, part) in texts.iter().enumerate() {
            let mut shown = if texts.len() > 1 { format!("{}\n", escaped(&part.title)) } else { String::new() };
            shown.push_str(&escaped(&part.body()));
            if let Some(url) = message.alerts.get(index).and_then(|a| runbook(&a.notice)) {
                shown = shown.replace(&format!("runbook: {}", escaped(url)), &format!("<{}|runbook>", escaped(url)));
            }
            if text.len() + shown.len() > TEXT && index > 0 {
                left_out += texts.len() - index;
                break;
            }
            if index > 0 {
                text.push('\n');
            }
            text.push_str(&shown);
        }
        if left_out > 0 {
            text.push_str(&format!("\n... and {left_out} more alerts"));
        }
        if let Some(problem) = problem {
            text.push_str(&format!("\n{}", escaped(problem)));
        }
        let title = escaped(&message.title());
        json!({
            "username": self.username, "text": title, "mrkdwn": false, "link_names": false, "unfurl_links": false, "unfurl_media": false,
            // No field is read as markup; links come only from angle brackets, and those are ours.
            "attachments": [{"color": color, "fallback": title, "text": text, "mrkdwn_in": []}],
        })
    }
}

/// When this webhook is free; it is taken from then on.
fn turn(url: &reqwest::Url) -> Result<Instant, Failure> {
    /// By the hash of an address, which is a secret: when it is free again.
    static FREE: Mutex<BTreeMap<String, Instant>> = Mutex::new(BTreeMap::new());
    let (mut free, now) = (FREE.lock(), Instant::now());
    free.retain(|_, at| *at > now);
    let at = free.entry(stable_key(&[url.as_str()])).or_insert(now);
    let wait = at.saturating_duration_since(now);
    if wait > LONGEST_TURN {
        let reason = format!("{} takes one message a second, and others go first", http::place(url));
        return Err(Failure::Retry(Retry { reason, after: Some(wait) }));
    }
    let mine = *at;
    *at = mine + PACE;
    Ok(mine)
}

/// Slack says in the body of a 200 what it has not taken: webhooks by a word such as `invalid_payload`, the web API by `{"ok": false, "error": ...}`.
/// Other servers that take Slack's messages say something else, or nothing, when they have taken it.
fn taken(host: &str, answer: &str) -> Result<(), Failure> {
    /// What may pass.
    const PASSING: [&str; 6] = ["ratelimited", "rate_limited", "rollup_error", "service_unavailable", "internal_error", "fatal_error"];
    let json: Option<Value> = serde_json::from_str(answer).ok();
    let word = match &json {
        Some(told) if told["ok"] == json!(false) => told["error"].as_str().unwrap_or("not ok"),
        Some(_) => return Ok(()),
        None => answer.trim(),
    };
    let is_word = word.split('_').all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase()));
    if json.is_none() && !(is_word && word.contains('_')) {
        return Ok(());
    }
    let reason = format!("{host} answered 200 and {}", watchfire_model::harmless_limited(word, 100));
    if PASSING.contains(&word) { Err(Failure::retry(reason)) } else { Err(Failure::Refused(reason)) }
}

impl Channel for Slack {
    fn deliver(self: Arc<Self>, message: Arc<Message>) -> Delivery {
        Box::pin(async move { Outcome::of(&message, self.send(&message).await) })
    }

    fn says(&self, message: &Message) -> Vec<String> {
        vec![self.own_body(message, None).to_string()]
    }

    fn probe(self: Arc<Self>) -> Probe {
        Box::pin(async move {
            let url = self.url.reveal().and_then(|u| http::url("url", &u))?;
            Ok(format!("posts to {}", url.host_str().unwrap_or("?")))
        })
    }
}
