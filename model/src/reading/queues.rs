//! Queues, whatever system they live in.

use crate::HealthState;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Queues {
    pub queues: Vec<Queue>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Queue {
    pub queue: String,
    pub system: String,
    pub depth: Option<f64>,
    pub oldest_seconds: Option<f64>,
    pub in_rate: Option<f64>,
    /// The exporter counts only what comes out: what goes in is that and what the depth gained.
    pub in_inferred: bool,
    pub out_rate: Option<f64>,
    /// Time until empty at the present rates; `None` when it does not drain.
    pub drain_seconds: Option<f64>,
    pub consumers: Option<f64>,
    pub dead_letters: Option<f64>,
    /// Depth over the last fifteen minutes.
    pub sparkline: Vec<Option<f64>>,
    pub producers: Vec<String>,
    pub consumer_services: Vec<String>,
    pub state: HealthState,
    /// Why the state is not healthy, in words.
    pub why: Vec<String>,
    pub declared: bool,
    /// The alert threshold on depth, where a preset states one.
    pub threshold: Option<f64>,
    pub source: Option<String>,
}
