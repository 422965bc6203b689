//! Results of health probes.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Four states, never three: what is not known is not healthy. Ordered from best to worst news; `Unknown` sits between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    Healthy,
    #[default]
    Unknown,
    Degraded,
    Unhealthy,
}

impl HealthState {
    /// The value of `watchfire_service_health`; unknown has none.
    pub fn series_value(self) -> Option<f64> {
        match self {
            HealthState::Healthy => Some(1.0),
            HealthState::Degraded => Some(0.5),
            HealthState::Unhealthy => Some(0.0),
            HealthState::Unknown => None,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            HealthState::Healthy => "healthy",
            HealthState::Unknown => "unknown",
            HealthState::Degraded => "degraded",
            HealthState::Unhealthy => "unhealthy",
        }
    }
}

/// A dependency as a health body names it; nested names are joined with `/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DependencyReport {
    pub name: String,
    pub state: HealthState,
    pub detail: String,
    pub latency: Option<Duration>,
}

/// One check of one service at one time, after failure counting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    pub service: String,
    /// Short name of the check: `health`, `health/ready`, `tcp`, `grpc` ...
    pub check: String,
    pub url: String,
    /// What watchfire concludes, after two failures in a row.
    pub state: HealthState,
    /// Whether this one attempt succeeded.
    pub success: bool,
    pub latency: Option<Duration>,
    /// Why the state is what it is, in words, from our side; text of the other side is quoted and bounded.
    pub detail: String,
    pub dependencies: Vec<DependencyReport>,
    pub at: Timestamp,
    /// When `state` was entered.
    pub since: Timestamp,
    /// Expiry of the peer's certificate, where there is one.
    pub certificate_expires: Option<Timestamp>,
}

/// Where probe results go: the store keeps the newest per check and writes the probe series.
pub trait ProbeSink: Send + Sync {
    fn probe(&self, report: CheckReport);
    /// The check is no longer configured.
    fn forget(&self, service: &str, check: &str);
}
