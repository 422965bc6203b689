//! Health checks and scrape targets.

use crate::{HealthState, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    pub checks: Vec<Check>,
    /// Scrape targets.
    pub targets: Vec<Target>,
    /// Probes of services that nobody probes, as their spans suggest them.
    pub proposed: Vec<ProposedProbe>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProposedProbe {
    pub service: String,
    /// As `--probe` takes it: `http://cart.local:8081/healthz`.
    pub target: String,
    pub reason: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    pub service: String,
    pub check: String,
    pub url: String,
    pub state: HealthState,
    pub latency_seconds: Option<f64>,
    pub detail: String,
    pub since: Option<Timestamp>,
    pub dependencies: Vec<DependencyState>,
    pub p95_seconds: Option<f64>,
    pub certificate_expires: Option<Timestamp>,
    /// States over the last fifteen minutes, oldest first.
    pub history: Vec<HealthState>,
    pub last_checked: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DependencyState {
    pub name: String,
    pub state: HealthState,
    pub detail: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    pub job: String,
    pub instance: String,
    pub url: String,
    pub up: Option<bool>,
    pub last_error: String,
    pub last_scrape: Option<Timestamp>,
    pub duration_seconds: Option<f64>,
    pub samples: Option<u64>,
}
