//! Latency over time, and what slow or failing spans have in common.

use super::services::OperationRow;
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// Latency of one service (or one of its operations) over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LatencyQuery {
    /// `None`: the whole platform's entry points.
    pub service: Option<String>,
    pub operation: Option<String>,
    pub range_seconds: u64,
    /// Number of time columns.
    pub columns: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    pub start: Timestamp,
    pub end: Timestamp,
    /// End time of each column.
    pub columns: Vec<Timestamp>,
    /// Upper bounds in seconds of the heatmap rows, ascending.
    pub bounds: Vec<f64>,
    /// `cells[column][row]`: spans in that bucket; `None` where nothing is known.
    pub cells: Vec<Vec<Option<f64>>>,
    pub p50: Vec<Option<f64>>,
    pub p95: Vec<Option<f64>>,
    pub p99: Vec<Option<f64>>,
    pub operations: Vec<OperationRow>,
    pub services: Vec<String>,
    pub sampling_ratio: Option<f64>,
}

/// Compare the spans inside a region of the latency heatmap with all others of the same time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExplainQuery {
    pub service: Option<String>,
    pub operation: Option<String>,
    pub start: Timestamp,
    pub end: Timestamp,
    pub min_duration_ms: Option<f64>,
    pub max_duration_ms: Option<f64>,
    pub errors_only: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Explanation {
    pub selected: u64,
    pub others: u64,
    /// Over-represented first.
    pub findings: Vec<Finding>,
    pub example_traces: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Finding {
    pub attribute: String,
    pub sign: FindingSign,
    pub value: String,
    /// Share of the selected spans that have it, 0 to 1.
    pub share_selected: f64,
    pub share_others: f64,
    pub score: f64,
}

/// How an attribute stands to the value of a finding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FindingSign {
    #[default]
    #[serde(rename = "=")]
    Equal,
    #[serde(rename = ">=")]
    AtLeast,
    #[serde(rename = "<")]
    Below,
}

impl FindingSign {
    pub fn text(self) -> &'static str {
        match self {
            FindingSign::Equal => "=",
            FindingSign::AtLeast => ">=",
            FindingSign::Below => "<",
        }
    }
}
