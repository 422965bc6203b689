//! Alerts by state, and the silences over them.

use crate::notice::{Cause, Evidence, Severity};
use crate::{Labels, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alerts {
    pub alerts: Vec<Alert>,
    pub silences: Vec<Silence>,
    /// Rules that cannot be evaluated: (group, rule, error). Never silently green.
    pub broken_rules: Vec<(String, String, String)>,
    pub rules: usize,
    pub last_evaluation: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    Firing,
    #[default]
    Pending,
    Resolved,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub name: String,
    pub state: AlertState,
    pub severity: Severity,
    pub labels: Labels,
    pub annotations: Labels,
    pub active_at: Option<Timestamp>,
    #[serde(default)]
    pub fired_at: Option<Timestamp>,
    /// Its condition is gone, and `keep_firing_for` keeps it.
    #[serde(default)]
    pub kept_since: Option<Timestamp>,
    #[serde(default)]
    pub resolved_at: Option<Timestamp>,
    pub cause: Option<Cause>,
    /// At least one receiver has it.
    pub notified: bool,
    #[serde(default)]
    pub notified_by: Vec<String>,
    /// No route leads to anybody who could hear of it.
    #[serde(default)]
    pub unheard: bool,
    #[serde(default)]
    pub silenced: bool,
    #[serde(default)]
    pub acknowledged_by: Option<String>,
    #[serde(default)]
    pub value: Option<f64>,
    /// Taken over from before a restart: nothing that came in since confirms or ends it.
    #[serde(default)]
    pub unconfirmed: bool,
    #[serde(default)]
    pub threshold: Option<f64>,
    #[serde(default)]
    pub expression: String,
    #[serde(default)]
    pub for_seconds: f64,
    #[serde(default)]
    pub keep_firing_for_seconds: f64,
    #[serde(default)]
    pub group: String,
    #[serde(default)]
    pub fingerprint: String,
    #[serde(default)]
    pub evidence: Option<Evidence>,
    /// The value of the rule's left-hand side over the last hour.
    #[serde(default)]
    pub history: Vec<(Timestamp, Option<f64>)>,
}

impl Alert {
    /// Since when it is in the state that it is in; unknown where nobody has kept that.
    pub fn state_since(&self) -> Option<Timestamp> {
        match self.state {
            AlertState::Firing => self.fired_at,
            AlertState::Pending => self.active_at,
            AlertState::Resolved => self.resolved_at,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Silence {
    pub id: String,
    pub matchers: Vec<(String, String, String)>,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    pub created_by: String,
    pub comment: String,
}
