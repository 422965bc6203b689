//! Services, the page of one, and what changed.

use super::alerts::Alert;
use super::breakers::Breaker;
use super::health::Check;
use super::logs::LogLine;
use super::map::Edge;
use super::queues::Queue;
use crate::{HealthState, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The reason that a share of failing calls is, in words.
pub fn errors_reason(ratio: f64) -> String {
    format!("{:.1} % errors", ratio * 100.0)
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Services {
    pub services: Vec<ServiceRow>,
    /// Changes of the last fifteen minutes, newest first.
    pub changes: Vec<Change>,
}

/// RED of one service over the last minute (its server and consumer spans).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceRow {
    pub name: String,
    pub state: HealthState,
    /// Calls per second, corrected for sampling.
    pub rate: Option<f64>,
    /// 0 to 1.
    pub error_ratio: Option<f64>,
    pub p50_seconds: Option<f64>,
    pub p95_seconds: Option<f64>,
    pub p99_seconds: Option<f64>,
    pub owner: Option<String>,
    pub simulated: bool,
    /// What is wrong, most important first; empty when nothing is.
    pub why: Vec<String>,
    /// Rate over the last fifteen minutes, oldest first; `None` where nothing is known.
    pub sparkline: Vec<Option<f64>>,
    /// Spans actually seen behind the percentiles.
    pub sample_count: Option<f64>,
    /// Share of traces kept, where sampled: 0.1 means rates were multiplied by ten.
    pub sampling_ratio: Option<f64>,
    /// Where the figures come from: `spans`, `span metrics`, `metrics`, `probes`.
    pub source: Option<String>,
    pub version: Option<String>,
    /// Busiest resource, 0 to 1, with its name (cpu, memory, disk).
    pub saturation: Option<f64>,
    pub saturation_of: Option<String>,
    pub last_seen: Option<Timestamp>,
    pub declared: bool,
}

/// Everything about one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServicePage {
    pub service: ServiceRow,
    pub operations: Vec<OperationRow>,
    /// Those that were heard of lately: who fails, the others, and who has fallen silent.
    pub instances: Vec<Instance>,
    pub callers: Vec<Edge>,
    pub callees: Vec<Edge>,
    pub checks: Vec<Check>,
    pub breakers: Vec<Breaker>,
    pub queues: Vec<Queue>,
    pub alerts: Vec<Alert>,
    /// Error messages of failing spans of the last fifteen minutes with their count.
    pub top_errors: Vec<(String, u64)>,
    /// Calls that it refused, among its newest thousand of the last fifteen minutes.
    pub refusals: Vec<Refusal>,
    pub logs: Vec<LogLine>,
    pub resources: Vec<(String, f64)>,
    /// Its own figures, where the service is an OpenTelemetry collector.
    pub collector: Option<CollectorFigures>,
}

/// One of the processes that a service consists of, over the last minute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instance {
    /// What tells it from the others: `service.instance.id`, a pod, a container, a host. Empty where nothing does.
    pub name: String,
    /// The attribute that names it, by which its traces are found.
    pub attribute: String,
    /// Where it runs, where that is not its name.
    pub place: Option<String>,
    pub version: Option<String>,
    /// Calls per second, corrected for sampling; `None` where it has fallen silent, as for the figures that follow.
    pub rate: Option<f64>,
    pub error_ratio: Option<f64>,
    pub p95_seconds: Option<f64>,
    pub sample_count: Option<f64>,
    pub last_seen: Option<Timestamp>,
}

/// Calls that were refused for who makes them, or for how often: no failure of the service, and what an attack looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusal {
    pub operation: String,
    /// `HTTP 401`, `gRPC PERMISSION_DENIED`.
    pub answer: String,
    /// The attribute that says so, by which traces are found.
    pub attribute: String,
    pub value: String,
    pub count: u64,
}

/// What an OpenTelemetry collector says of itself: items since it started, over all signals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CollectorFigures {
    pub accepted: Option<f64>,
    pub refused: Option<f64>,
    pub dropped: Option<f64>,
    pub sent: Option<f64>,
    pub send_failed: Option<f64>,
    pub enqueue_failed: Option<f64>,
    /// Batches waiting in the queues of all exporters.
    pub queue_size: Option<f64>,
    pub queue_capacity: Option<f64>,
    /// How full the fullest of these queues is, of which each exporter has one for every signal; and whose that is.
    pub fullest_queue: Option<f64>,
    pub fullest_exporter: String,
    pub uptime_seconds: Option<f64>,
    /// Items by what became of them within the last five minutes: `refused`, `dropped`, ...
    pub recent_losses: BTreeMap<String, f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OperationRow {
    pub name: String,
    pub kind: String,
    pub rate: Option<f64>,
    pub error_ratio: Option<f64>,
    pub p50_seconds: Option<f64>,
    pub p95_seconds: Option<f64>,
    pub p99_seconds: Option<f64>,
    pub sample_count: Option<f64>,
}

/// Something that differs from before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    pub at: Timestamp,
    /// `version`, `breaker`, `alert`, `errors`, `edge`, `health`.
    pub kind: String,
    pub subject: String,
    pub from: String,
    pub to: String,
    /// It happened up to so long before `at`: the further back one looks, the coarser.
    pub within_seconds: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    pub changes: Vec<Change>,
}
