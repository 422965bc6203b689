//! The ways to reach people, one file each. A channel turns a [`Message`] into calls of one protocol and says what became of every alert in it;
//! when to send, whether to try again and what is durable is decided outside.
//!
//! To add one: a file with its settings and an implementation of [`Channel`], a variant of `ChannelSettings`, and a line in [`build`].

pub mod alertmanager;
pub mod connection;
pub mod desktop;
pub mod email;
mod http;
pub mod pagerduty;
mod recipients;
pub mod slack;
pub mod sms;
mod smtp;
pub mod terminal;
mod token;
mod trust;
pub mod webhook;

use crate::message::Message;
use crate::settings::{ChannelSettings, Settings};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use http::Http;
pub use token::OAuth2Settings;

/// What became of a message. Alerts that are in no list were not delivered and are tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Fingerprints that the other side confirmed, with the name it gave them, if any.
    pub delivered: Vec<(String, Option<u64>)>,
    /// Fingerprints the other side will never take (of a note its key), and why.
    pub refused: Vec<(String, String)>,
    /// Why the rest failed.
    pub retry: Option<Retry>,
}

/// A failure that may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    pub reason: String,
    /// As the other side asked.
    pub after: Option<Duration>,
}

impl Outcome {
    /// Every alert of the message arrived.
    pub fn all(message: &Message) -> Self {
        Outcome { delivered: message.alerts.iter().map(|a| (a.notice.fingerprint.clone(), None)).collect(), ..Outcome::default() }
    }

    /// One answer for the whole message.
    pub fn of(message: &Message, result: Result<(), Failure>) -> Self {
        match result {
            Ok(()) => Outcome::all(message),
            Err(Failure::Refused(reason)) => {
                let alerts = message.alerts.iter().map(|a| &a.notice.fingerprint);
                let refused = alerts.chain(message.note.iter().map(|_| &message.key)).map(|f| (f.clone(), reason.clone())).collect();
                Outcome { refused, ..Outcome::default() }
            }
            Err(Failure::Retry(retry)) => Outcome { retry: Some(retry), ..Outcome::default() },
        }
    }
}

/// Why one call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Trying again cannot help.
    Refused(String),
    Retry(Retry),
}

impl Failure {
    pub fn retry(reason: impl Into<String>) -> Self {
        Failure::Retry(Retry { reason: reason.into(), after: None })
    }

    pub fn reason(&self) -> &str {
        match self {
            Failure::Refused(reason) | Failure::Retry(Retry { reason, .. }) => reason,
        }
    }
}

/// How a channel wants to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// Everything that is due goes out at once, ungrouped and without waiting: the other side groups, or a person sits in front of it.
    pub immediate: bool,
    /// The other side shows an alert as open until it is told of the end: it has to hear of that even where nobody is to be told any more.
    pub keeps_open: bool,
    /// Wants to hear of acknowledgements.
    pub acknowledgements: bool,
    /// Expects firing alerts again at this pace, and resolved ones for so long.
    pub resend: Option<(Duration, Duration)>,
    /// Alerts in one message at most; the others follow in the next.
    pub most: usize,
    /// Groups of a path that are due together beyond this number become one message: a storm must not take hours to tell.
    pub groups: usize,
    /// One call per alert instead of one per message.
    pub call_per_alert: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Habits { immediate: false, keeps_open: false, acknowledgements: false, resend: None, most: 1000, groups: 8, call_per_alert: false }
    }
}

pub type Delivery = Pin<Box<dyn Future<Output = Outcome> + Send>>;
pub type Probe = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

/// One way to reach somebody.
pub trait Channel: Send + Sync + 'static {
    fn habits(&self) -> Habits {
        Habits::default()
    }

    /// Delivers the message; the caller bounds the time.
    fn deliver(self: Arc<Self>, message: Arc<Message>) -> Delivery;

    /// What [`deliver`](Self::deliver) puts on the wire, call by call, in watchfire's own words.
    fn says(&self, message: &Message) -> Vec<String>;

    /// Whether delivery could work right now, without sending anything: in words, what was found or what is missing.
    fn probe(self: Arc<Self>) -> Probe;
}

/// Makes the channel that the settings describe.
///
/// # Errors
/// When a setting is missing, contradictory or would let alert labels choose where messages go.
pub fn build(channel: &ChannelSettings, settings: &Settings, terminal: &terminal::Terminal) -> Result<Arc<dyn Channel>, String> {
    let over = |connection: &connection::Connection| Http::new(settings.limits.attempt_timeout, trust::trusted(settings)?, connection);
    let http = || over(&connection::Connection::default());
    Ok(match channel {
        ChannelSettings::Desktop(s) => Arc::new(desktop::Desktop::new(s, settings.limits.popups_per_minute, terminal.clone())),
        ChannelSettings::Terminal(s) => Arc::new(terminal::TerminalChannel::new(s, terminal.clone())),
        ChannelSettings::Slack(s) => Arc::new(slack::Slack::new(s, settings, over(&s.connection)?)?),
        ChannelSettings::Pagerduty(s) => Arc::new(pagerduty::PagerDuty::new(s, over(&s.connection)?)?),
        ChannelSettings::Email(s) => Arc::new(email::Email::new(s, settings)?),
        ChannelSettings::Sms(s) => Arc::new(sms::Sms::new(s, settings, http()?)?),
        ChannelSettings::Webhook(s) => Arc::new(webhook::Webhook::new(s, over(&s.connection)?)?),
        ChannelSettings::Alertmanager(s) => Arc::new(alertmanager::Alertmanager::new(s, settings.limits.resend_delay, http()?)?),
    })
}

/// Words a message away from the threads that send: a template may take its whole second.
pub(crate) async fn worded<T: Send + 'static>(
    message: &Arc<Message>,
    fill: impl FnOnce(&Message) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let message = message.clone();
    let done = tokio::task::spawn_blocking(move || fill(&message)).await;
    let outcome = done.unwrap_or_else(|_| Err("the template of this receiver failed: it ended in a panic".to_owned()));
    if let Err(reason) = &outcome {
        tracing::warn!("{reason}; its message has watchfire's own text");
    }
    outcome
}

/// A destination is configuration. A template in it would let whoever writes labels choose who is told.
pub(crate) fn fixed_destination(what: &str, value: &str, settings: &Settings) -> Result<(), String> {
    if value.contains("{{") && settings.allow_label_destinations.is_empty() {
        return Err(format!(
            "{what} is a template, and alert labels must not choose destinations; list the values it may take in allow_label_destinations"
        ));
    }
    Ok(())
}

/// Fills `{{ .CommonLabels.name }}` and `{{ .GroupLabels.name }}` into a destination; what comes out must be on the allow-list.
pub(crate) fn destination(template: &str, message: &Message, allowed: &[String]) -> Result<String, Failure> {
    if !template.contains("{{") {
        return Ok(template.to_owned());
    }
    let common = crate::message::common(message.alerts.iter().map(|a| &a.notice.labels));
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, tail)) = rest.split_once("{{") {
        let (inside, after) =
            tail.split_once("}}").ok_or_else(|| Failure::Refused(format!("destination {template:?} is not a whole template")))?;
        let path = inside.trim().trim_matches('-').trim();
        let value = match path.strip_prefix(".CommonLabels.").or_else(|| path.strip_prefix(".GroupLabels.")) {
            Some(name) => common.value(name),
            None => return Err(Failure::Refused(format!("destination {template:?} may use .CommonLabels and .GroupLabels only"))),
        };
        out.push_str(before);
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    if allowed.contains(&out) {
        return Ok(out);
    }
    let shown = watchfire_model::harmless_limited(&out, 100).into_owned();
    Err(Failure::Refused(format!("destination {shown:?} is not in allow_label_destinations")))
}
