//! Log records, as they are kept and shown.

use crate::{SpanId, Timestamp, TraceId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// OTLP severity numbers folded into their six names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    #[default]
    Unspecified,
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl Severity {
    /// From OTLP `severity_number` (1-4 TRACE ... 21-24 FATAL).
    pub fn from_number(number: i32) -> Self {
        match number {
            1..=4 => Severity::Trace,
            5..=8 => Severity::Debug,
            9..=12 => Severity::Info,
            13..=16 => Severity::Warn,
            17..=20 => Severity::Error,
            21..=24 => Severity::Fatal,
            _ => Severity::Unspecified,
        }
    }

    /// The severity of a word, as people ask for it.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_uppercase().as_str() {
            "TRACE" => Severity::Trace,
            "DEBUG" => Severity::Debug,
            "INFO" => Severity::Info,
            "WARN" | "WARNING" => Severity::Warn,
            "ERROR" => Severity::Error,
            "FATAL" | "CRITICAL" => Severity::Fatal,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Severity::Unspecified => "-",
            Severity::Trace => "TRACE",
            Severity::Debug => "DEBUG",
            Severity::Info => "INFO",
            Severity::Warn => "WARN",
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        }
    }
}

/// One log line with its context.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    pub at: Timestamp,
    pub service: Arc<str>,
    pub severity: Severity,
    pub body: String,
    pub trace_id: Option<TraceId>,
    pub span_id: Option<SpanId>,
    pub event_name: Option<String>,
    /// Record attributes first, then those of the resource other than `service.name`; values as text.
    pub attributes: Vec<(String, String)>,
}

/// Where log records go: a bounded ring in the store.
pub trait LogSink: Send + Sync {
    fn logs(&self, records: Vec<LogRecord>);
}
