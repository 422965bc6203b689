//! Searching for traces, and one trace whole.

use super::logs::LogLine;
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Search for traces. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TraceQuery {
    pub service: Option<String>,
    pub operation: Option<String>,
    pub min_duration_ms: Option<f64>,
    pub max_duration_ms: Option<f64>,
    pub error: Option<bool>,
    /// Only traces that somebody pinned, or only others.
    pub pinned: Option<bool>,
    /// Attribute equals value, on any span of the trace.
    pub attributes: Vec<(String, String)>,
    /// Newest first when false, slowest first when true.
    pub slowest_first: bool,
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
    pub limit: Option<usize>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traces {
    pub traces: Vec<TraceRow>,
    /// Traces looked at before `limit` was reached.
    pub searched: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TraceRow {
    pub trace_id: String,
    /// `service operation` of the root, or of the earliest span if the root is missing.
    pub root: String,
    pub root_service: String,
    pub root_operation: String,
    pub duration_seconds: f64,
    pub spans: usize,
    pub errors: usize,
    /// Unix seconds.
    pub start: f64,
    pub services: Vec<String>,
    pub pinned: bool,
    /// The root was not received (yet).
    pub root_missing: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trace {
    pub trace_id: String,
    pub spans: Vec<Span>,
    /// Spans whose parent is missing, or that stood in a cycle; shown all the same.
    pub salvaged: usize,
    /// Spans beyond the number that is shown.
    pub omitted: usize,
    pub logs: Vec<LogLine>,
    pub pinned: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Span {
    pub span_id: String,
    /// Empty for a root.
    pub parent_id: String,
    pub service: String,
    pub name: String,
    pub kind: String,
    /// Unix seconds.
    pub start: f64,
    pub duration_seconds: f64,
    /// `unset`, `ok`, `error`.
    pub status: String,
    pub status_message: String,
    pub attributes: BTreeMap<String, attribute::Scalar>,
    /// Of the process that sent it: many spans share one.
    pub resource: Arc<BTreeMap<String, attribute::Scalar>>,
    pub events: Vec<SpanEvent>,
    /// (trace id, span id)
    pub links: Vec<(String, String)>,
    pub scope: String,
    /// The sender's clock disagrees with the parent's.
    pub skewed: bool,
    pub dropped_attributes: u32,
    pub warnings: Vec<String>,
    /// Another span of the trace has its id: shown, and not counted.
    pub repeated: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpanEvent {
    pub name: String,
    /// Unix seconds.
    pub at: f64,
    pub attributes: BTreeMap<String, attribute::Scalar>,
}

pub mod attribute {
    //! Attribute values as JSON shows them.

    use serde::{Deserialize, Serialize};
    use std::fmt;

    /// A scalar attribute value; arrays and maps are shown as their JSON text.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    pub enum Scalar {
        Bool(bool),
        Int(i64),
        Double(f64),
        Text(String),
    }

    impl fmt::Display for Scalar {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Scalar::Bool(b) => write!(f, "{b}"),
                Scalar::Int(i) => write!(f, "{i}"),
                Scalar::Double(d) => write!(f, "{d}"),
                Scalar::Text(t) => f.write_str(t),
            }
        }
    }
}
