//! What an alert transition says to people.

use crate::{Labels, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How loud an alert is. Ordered from quietest to loudest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Low,
    Normal,
    Warning,
    Security,
    High,
    Critical,
}

impl Severity {
    pub const ALL: [Severity; 7] =
        [Severity::Critical, Severity::High, Severity::Security, Severity::Warning, Severity::Normal, Severity::Low, Severity::Info];

    /// From the `severity` label; names of other tools (`page`, `error`, `warn`) are understood; anything else is a warning.
    pub fn from_label(label: &str) -> Self {
        let named = |severity: &&Severity| severity.labels().iter().any(|word| label.eq_ignore_ascii_case(word));
        Severity::ALL.iter().find(named).copied().unwrap_or(Severity::Warning)
    }

    /// Every value of the `severity` label that means this, in small letters. A warning is everything else as well.
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Severity::Critical => &["critical", "page", "emergency", "fatal"],
            Severity::High => &["high", "error", "major"],
            Severity::Security => &["security"],
            Severity::Warning => &["warning", "warn"],
            Severity::Normal => &["normal", "medium"],
            Severity::Low => &["low", "minor"],
            Severity::Info => &["info", "information", "none"],
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::High => "high",
            Severity::Security => "security",
            Severity::Warning => "warning",
            Severity::Normal => "normal",
            Severity::Low => "low",
            Severity::Info => "info",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What happened to the alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeState {
    Firing,
    Resolved,
}

/// Why an alert is a consequence and not a cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Name of the alert that explains this one; empty when an unhealthy probe does.
    pub alert: String,
    /// The service at fault.
    pub service: String,
    /// In words: `social-service, 2 calls away, fires since 03:10:31`.
    pub reason: String,
}

/// What the page shows besides the text of the rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub value: Option<f64>,
    pub expression: String,
    /// Example traces, worst first.
    pub trace_ids: Vec<String>,
    pub top_operation: Option<String>,
    /// Breakers, queues and probes of the affected edges, in words.
    pub surroundings: Vec<String>,
    /// Services whose alerts this one explains.
    pub dependents: Vec<String>,
    /// The command that opens this view.
    pub command: String,
}

/// One transition of one alert, addressed to nobody yet: routing decides who hears it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Identity of the alert: a hash of its labels, as hexadecimal text.
    pub fingerprint: String,
    /// Counts the transitions of this alert; orders notices of one alert.
    pub revision: u64,
    pub state: NoticeState,
    pub severity: Severity,
    /// All labels, `alertname` included.
    pub labels: Labels,
    pub annotations: Labels,
    pub active_at: Timestamp,
    pub starts_at: Timestamp,
    /// When it resolved, or until when a receiver may believe it still fires.
    pub ends_at: Timestamp,
    pub generator_url: String,
    pub cause: Option<Cause>,
    pub evidence: Evidence,
}

impl Notice {
    pub fn name(&self) -> &str {
        self.labels.value("alertname")
    }
}
