//! Circuit breakers, exported or deduced.

use crate::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Breakers {
    pub breakers: Vec<Breaker>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Breaker {
    pub service: String,
    pub breaker: String,
    /// `closed`, `half-open`, `open`, `unknown`.
    pub state: String,
    pub inferred: bool,
    pub since: Option<Timestamp>,
    /// Transitions within the last hour.
    pub transitions: u64,
    /// (time, state) of the last hour, oldest first.
    pub history: Vec<(Timestamp, String)>,
    /// Failure share on the protected edge.
    pub failure_ratio: Option<f64>,
    /// Calls that it is computed from, and the share of calls whose spans were kept, where that is not all of them.
    pub sample_count: Option<f64>,
    pub sampling_ratio: Option<f64>,
    /// The service or peer this breaker protects calls to.
    pub protects: Option<String>,
    /// Why it is believed to be in this state, where inferred; what else is known about it otherwise.
    pub evidence: Vec<String>,
    /// A limit on concurrency is reached: calls are shed though the breaker is closed.
    pub saturated: bool,
    /// It cut calls off within the last five minutes.
    pub rejecting: bool,
    pub source: Option<String>,
    pub declared: bool,
}
