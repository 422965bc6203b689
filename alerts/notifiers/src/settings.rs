//! Who is told what, where and when, as configuration. Every type refuses keys it does not know.
//!
//! ```toml
//! default_to = ["desktop"]                     # what no route matches
//!
//! [[receivers]]
//! name = "dev-slack"
//! channels = [{ type = "slack", url_file = "/run/secrets/slack" }]
//!
//! [[people]]
//! name = "oncall"
//! timezone = "Europe/Berlin"
//! quiet_hours = [{ from = "22:00", to = "07:00" }]   # critical alerts still come through
//! daily_summary = "08:00"
//! channels = [{ channel = { type = "pagerduty", routing_key_env = "PAGERDUTY_KEY" } }]
//!
//! [[routes]]
//! severity = ["critical", "high"]
//! to = ["oncall", "dev-slack"]
//!
//! [[routes]]
//! severity = ["low"]
//! to = ["dev-slack"]
//! batch = "1h"                                 # one message an hour
//! ```

use crate::secret::SecretSource;
use crate::{channels, routing};
use serde::{Deserialize, Deserializer};
use std::path::PathBuf;
use std::time::Duration;
use watchfire_model::{Secret, Severity, parse_duration};

/// The `[notify]` section. The default tells the desktop about everything, and the terminal where there is no desktop.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where this instance's API is reached, for links in messages.
    pub external_url: String,
    /// Receivers, people or teams that hear what no route matches. `desktop` and `terminal` exist without being declared.
    pub default_to: Vec<String>,
    pub receivers: Vec<ReceiverSettings>,
    pub people: Vec<PersonSettings>,
    pub teams: Vec<TeamSettings>,
    pub routes: Vec<RouteSettings>,
    /// An `alertmanager.yml`: its route tree and receivers decide instead of `routes`.
    pub alertmanager_config: Option<PathBuf>,
    /// Base URLs of Alertmanagers that get every notice, whatever the routes say.
    pub alertmanagers: Vec<String>,
    /// Values that a destination template such as `{{ .CommonLabels.channel }}` may take; without it, labels never address anybody.
    pub allow_label_destinations: Vec<String>,
    /// PEM file with authorities to trust beside the public ones and the machine's own.
    pub ca_file: Option<PathBuf>,
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            external_url: String::new(),
            default_to: vec!["desktop".to_owned()],
            receivers: Vec::new(),
            people: Vec::new(),
            teams: Vec::new(),
            routes: Vec::new(),
            alertmanager_config: None,
            alertmanagers: Vec::new(),
            allow_label_destinations: Vec::new(),
            ca_file: None,
            limits: Limits::default(),
        }
    }
}

/// Times and sizes.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How long one attempt to deliver may take.
    #[serde(deserialize_with = "duration")]
    pub attempt_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub backoff_min: Duration,
    #[serde(deserialize_with = "duration")]
    pub backoff_max: Duration,
    /// After this long without success a message goes to the dead letters, and another receiver is told.
    #[serde(deserialize_with = "duration")]
    pub give_up_after: Duration,
    /// Between two sends of a firing alert to an Alertmanager, which forgets it otherwise.
    #[serde(deserialize_with = "duration")]
    pub resend_delay: Duration,
    /// Time to send what is left at shutdown.
    #[serde(deserialize_with = "duration")]
    pub drain: Duration,
    /// Unsent entries over all receivers.
    pub outbox_entries: usize,
    /// What their texts may take, in bytes; beyond either limit the oldest unsent entries become dead letters.
    pub outbox_bytes: u64,
    /// Silences, those that are over and still listed among them.
    pub silences: usize,
    /// Desktop popups per minute; the rest is one summary.
    pub popups_per_minute: u32,
    /// How long the delivery log of a resolved alert is kept.
    #[serde(deserialize_with = "duration")]
    pub keep_resolved: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            attempt_timeout: Duration::from_secs(10),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(300),
            give_up_after: Duration::from_secs(24 * 3600),
            resend_delay: Duration::from_secs(60),
            drain: Duration::from_secs(10),
            outbox_entries: 10_000,
            outbox_bytes: 64 << 20,
            silences: 10_000,
            popups_per_minute: 5,
            keep_resolved: Duration::from_secs(5 * 24 * 3600),
        }
    }
}

/// A named place where messages go: one or more channels that succeed and fail independently of each other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiverSettings {
    pub name: String,
    #[serde(default)]
    pub channels: Vec<ChannelSettings>,
}

/// One way to reach somebody.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ChannelSettings {
    Desktop(channels::desktop::DesktopSettings),
    Terminal(channels::terminal::TerminalSettings),
    Slack(channels::slack::SlackSettings),
    Pagerduty(channels::pagerduty::PagerDutySettings),
    Email(channels::email::EmailSettings),
    Sms(channels::sms::SmsSettings),
    Webhook(channels::webhook::WebhookSettings),
    Alertmanager(channels::alertmanager::AlertmanagerSettings),
}

impl ChannelSettings {
    /// The word that stands for this kind in configuration, paths and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            ChannelSettings::Desktop(_) => "desktop",
            ChannelSettings::Terminal(_) => "terminal",
            ChannelSettings::Slack(_) => "slack",
            ChannelSettings::Pagerduty(_) => "pagerduty",
            ChannelSettings::Email(_) => "email",
            ChannelSettings::Sms(_) => "sms",
            ChannelSettings::Webhook(_) => "webhook",
            ChannelSettings::Alertmanager(_) => "alertmanager",
        }
    }

    /// Whether it is told in groups. Others are told of each alert at once, and a second telling would be no news to them.
    pub fn groups(&self) -> bool {
        use ChannelSettings::{Email, Slack, Sms, Webhook};
        matches!(self, Slack(_) | Email(_) | Sms(_) | Webhook(_))
    }
}

/// A person: own channels, own preferences, own night.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonSettings {
    pub name: String,
    #[serde(default)]
    pub channels: Vec<PersonChannel>,
    /// IANA name such as `Europe/Berlin`; quiet hours and the summary follow it.
    #[serde(default = "utc")]
    pub timezone: String,
    #[serde(default)]
    pub quiet_hours: Vec<routing::QuietHours>,
    /// Alerts at least this loud ignore the quiet hours.
    #[serde(default = "critical", deserialize_with = "severity")]
    pub quiet_except: Severity,
    /// `HH:MM` in the person's time zone: one message about the last day, through the channels that have `summary = true`, or all of them.
    #[serde(default)]
    pub daily_summary: Option<String>,
}

/// A channel with a person's preference for it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonChannel {
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Only alerts at least this loud use this channel.
    #[serde(default = "info", deserialize_with = "severity")]
    pub at_least: Severity,
    /// Carries the daily summary.
    #[serde(default)]
    pub summary: bool,
    pub channel: ChannelSettings,
}

/// People and receivers that are told together.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamSettings {
    pub name: String,
    #[serde(default)]
    pub members: Vec<String>,
    #[serde(default)]
    pub receivers: Vec<String>,
}

/// One line of routing; the first that matches decides unless it says `continue = true`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteSettings {
    /// Severities this route is for; empty means all.
    #[serde(deserialize_with = "severities")]
    pub severity: Vec<Severity>,
    /// Conditions in Alertmanager's notation, all of which must hold: `service=~"social.*"`.
    pub matchers: Vec<String>,
    /// Receivers, people and teams by name.
    pub to: Vec<String>,
    pub r#continue: bool,
    pub group_by: Option<Vec<String>>,
    #[serde(deserialize_with = "optional_duration")]
    pub group_wait: Option<Duration>,
    #[serde(deserialize_with = "optional_duration")]
    pub group_interval: Option<Duration>,
    #[serde(deserialize_with = "optional_duration")]
    pub repeat_interval: Option<Duration>,
    /// Collects alerts this long into one message: for what wants a trend, not a page.
    #[serde(deserialize_with = "optional_duration")]
    pub batch: Option<Duration>,
}

/// Credentials and addresses may be written in place, or named by file or environment variable; exactly one.
pub(crate) fn one_secret(
    what: &str,
    inline: &Option<Secret>,
    file: &Option<PathBuf>,
    env: &Option<String>,
) -> Result<Option<SecretSource>, String> {
    let mut forms: Vec<SecretSource> = inline.iter().cloned().map(SecretSource::Inline).collect();
    forms.extend(file.iter().map(|path| SecretSource::File(path.clone())));
    forms.extend(env.iter().map(|name| SecretSource::Environment(name.clone())));
    if forms.len() > 1 {
        return Err(format!("give only one of {what}, {what}_file and {what}_env"));
    }
    Ok(forms.pop())
}

fn yes() -> bool {
    true
}

fn utc() -> String {
    "UTC".to_owned()
}

fn critical() -> Severity {
    Severity::Critical
}

fn info() -> Severity {
    Severity::Info
}

fn severity_word(word: &str) -> Option<Severity> {
    Severity::ALL.into_iter().find(|s| s.word().eq_ignore_ascii_case(word))
}

fn severity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Severity, D::Error> {
    let word = String::deserialize(deserializer)?;
    severity_word(&word).ok_or_else(|| serde::de::Error::custom(unknown_severity(&word)))
}

fn severities<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Severity>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|word| severity_word(word).ok_or_else(|| serde::de::Error::custom(unknown_severity(word))))
        .collect()
}

fn unknown_severity(word: &str) -> String {
    let known: Vec<&str> = Severity::ALL.iter().map(|s| s.word()).collect();
    format!("unknown severity {word:?}; known are {}", known.join(", "))
}

/// A Prometheus duration, `1h30m`.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

pub(crate) fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Option::<String>::deserialize(deserializer)?.map(|text| parse_duration(&text)).transpose().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_this_page_is_a_valid_configuration() {
        let page = include_str!("settings.rs");
        let example = page.split("//! ```toml\n").nth(1).and_then(|rest| rest.split("//! ```").next()).expect("an example");
        let toml: String = example.lines().map(|l| format!("{}\n", l.trim_start_matches("//!"))).collect();
        let settings: Settings = toml::from_str(&toml).expect("valid");
        assert!(routing::Routing::new(&settings).is_ok());
    }
}
