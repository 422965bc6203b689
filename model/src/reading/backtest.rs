//! What a rule would have done over the past.

use crate::{Labels, Timestamp};
use serde::{Deserialize, Serialize};

/// A rule to try on the past.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BacktestQuery {
    pub expression: String,
    pub for_seconds: f64,
    pub keep_firing_for_seconds: f64,
    pub start: Timestamp,
    pub end: Timestamp,
    pub step_ms: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Backtest {
    pub episodes: Vec<Episode>,
    /// Notifications a person would have had (firing episodes).
    pub pages: usize,
    pub evaluations: usize,
    /// Evaluations that fail: they change nothing.
    pub failed: usize,
    pub warnings: Vec<String>,
    /// What decides, where the expression compares a value with a number.
    pub comparison: Option<ComparedWith>,
}

/// `value sign number`, as the outermost comparison of an expression says it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ComparedWith {
    /// The side that is measured, in PromQL.
    pub value: String,
    /// As if the number stood on the right.
    pub sign: String,
    pub number: f64,
    /// Where the number stands in the expression, in bytes: first, and behind the last.
    pub from: usize,
    pub to: usize,
}

/// One alert from pending to resolved, as a backtest saw it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Episode {
    pub labels: Labels,
    pub pending_at: Timestamp,
    pub fired_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub peak_value: Option<f64>,
}
