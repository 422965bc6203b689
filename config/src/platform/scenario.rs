//! Scenarios: what goes wrong, when, and what a person should look for.

use crate::duration_text;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One fault story. Times count from the start of the scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The file's name without `.toml`; filled in when it is read.
    #[serde(default)]
    pub name: String,
    pub title: String,
    /// Ids of the thresholds that it trips, and no others.
    pub trips: Vec<String>,
    /// Objectives that it moves from met to missed and back.
    #[serde(default)]
    pub misses: Vec<String>,
    /// What to look for, and in which view.
    pub look_for: String,
    /// When everything is as before again; alerts have resolved some time after it.
    #[serde(with = "duration_text")]
    pub lasts: Duration,
    #[serde(rename = "effect")]
    pub effects: Vec<Effect>,
}

/// One change to one part of the platform between `at` and `until`. Exactly one group of fields applies to each kind of target:
/// services, stores and providers take `down`, `errors`, `latency_factor`, `latency_add`; operations and the whole platform `rate_factor`;
/// queues `consumers_stopped`, `service_factor`, `arrivals`; signals `set`, `factor`, `add`; services also `cpu`, `memory`, `disk`,
/// `unregistered`, `status`, `health`; a cache's `set` is its hit ratio, a database's `set` the delay of its replica in seconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    #[serde(default, with = "duration_text")]
    pub at: Duration,
    /// Absent: until the scenario ends.
    #[serde(default, with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub until: Option<Duration>,
    /// Name of a service, store, provider or queue; `signal:NAME`; `*` for every service.
    pub target: String,
    /// Only this operation of the service.
    #[serde(default)]
    pub operation: String,
    /// Refuses connections and disappears from probes and scrapes.
    #[serde(default)]
    pub down: bool,
    /// Share of calls that fail, on top of the ordinary share.
    #[serde(default)]
    pub errors: f64,
    /// Status of those failures; 500 if absent.
    #[serde(default)]
    pub status: Option<u16>,
    #[serde(default)]
    pub latency_factor: Option<f64>,
    #[serde(default, with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub latency_add: Option<Duration>,
    /// Factor on arrivals from outside.
    #[serde(default)]
    pub rate_factor: Option<f64>,
    #[serde(default)]
    pub consumers_stopped: bool,
    /// Factor on the speed of the consumers.
    #[serde(default)]
    pub service_factor: Option<f64>,
    /// Further messages per second into a queue.
    #[serde(default)]
    pub arrivals: f64,
    /// Value the resource climbs to, 0 to 1.
    #[serde(default)]
    pub cpu: Option<f64>,
    #[serde(default)]
    pub memory: Option<f64>,
    #[serde(default)]
    pub disk: Option<f64>,
    /// The service stops renewing its registration.
    #[serde(default)]
    pub unregistered: bool,
    /// Word that the health body gives: `degraded`, `unhealthy`.
    #[serde(default)]
    pub health: String,
    #[serde(default)]
    pub set: Option<f64>,
    #[serde(default)]
    pub factor: Option<f64>,
    #[serde(default)]
    pub add: Option<f64>,
    /// Time over which the effect grows to its full size, and goes back after `until`.
    #[serde(default, with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub ramp: Option<Duration>,
}
