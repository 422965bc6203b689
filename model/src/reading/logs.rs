//! Log lines and their patterns.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogQuery {
    pub service: Option<String>,
    /// Lowest severity to show.
    pub severity: Option<String>,
    /// Part of the body, in upper or lower case.
    pub contains: Option<String>,
    /// Part of the body, of the service or of the severity, in upper or lower case.
    pub word: Option<String>,
    pub trace_id: Option<String>,
    pub limit: Option<usize>,
    /// So many lines on either side of each that is found, whatever they say and however loud they are.
    pub context: Option<usize>,
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logs {
    /// Oldest first.
    pub logs: Vec<LogLine>,
    /// Templates with their count, most frequent first.
    pub patterns: Vec<(String, u64)>,
    /// So many lines were looked at for them, the newest that match.
    pub patterns_of: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogLine {
    /// Unix seconds.
    pub time: f64,
    pub service: String,
    pub severity: String,
    pub body: String,
    pub trace_id: Option<String>,
    pub span_id: Option<String>,
    pub attributes: BTreeMap<String, String>,
}
