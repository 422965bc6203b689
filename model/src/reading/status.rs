//! The one-line answer to "is it bad", and what stands behind it.

use crate::{HealthState, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `status`: the one-line answer to "is it bad".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    pub overall: HealthState,
    /// Since when `overall` is what it is.
    pub overall_since: Option<Timestamp>,
    pub services: usize,
    /// Services of which nothing is known now: neither spans nor metrics nor an answer to a check.
    pub silent: usize,
    /// Firing alerts by severity word. Alerts explained by a cause count as well; `held` says how many do not notify.
    pub firing: BTreeMap<String, usize>,
    pub pending: usize,
    pub held: usize,
    /// Firing alerts that a silence covers, and those that somebody acknowledged; `firing` counts them as well.
    pub silenced: usize,
    pub acknowledged: usize,
    pub ingest: Ingest,
    pub uptime_seconds: f64,
    /// The point in time this status describes.
    pub now: Timestamp,
    /// Everything or something on screen comes from the simulator.
    pub simulated: bool,
    pub platform: Option<String>,
    pub listening: Listening,
    /// Which notification paths work, and why others do not: (path, works, why).
    pub notification_paths: Vec<(String, bool, String)>,
    /// Things the user must know: limits hit, state not durable, series refused, evicted telemetry.
    pub banners: Vec<String>,
    /// `None`: this process. Otherwise the URL, and since when it is not reachable.
    pub source: Option<String>,
    pub disconnected_since: Option<Timestamp>,
}

impl Status {
    /// How many alerts fire, of whatever severity. What another process states may be any number: it ends at the largest.
    pub fn firing_count(&self) -> usize {
        self.firing.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ingest {
    pub spans_per_second: Option<f64>,
    pub samples_per_second: Option<f64>,
    pub logs_per_second: Option<f64>,
    /// What memory holds; not known of a moment that nobody looked at.
    pub spans_held: Option<u64>,
    pub spans_evicted: Option<u64>,
    pub series: Option<u64>,
    pub logs_held: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub memory_limit_bytes: u64,
    /// Refused or dropped items since start, by reason.
    pub refused: BTreeMap<String, u64>,
    pub targets_up: u64,
    pub targets_down: u64,
    pub checks: u64,
}

/// The addresses telemetry can be sent to; absent ones do not listen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listening {
    pub otlp_grpc: Option<String>,
    pub otlp_http: Option<String>,
    pub api: Option<String>,
}
