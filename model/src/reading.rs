//! Everything that can be asked of watchfire, and the answers. Views, the HTTP API (`/api/watchfire/v1/`) and attached
//! terminals use these same types: the API is this folder serialised, one file a reading. Units are in the field names; `None` is
//! "not known".

mod alerts;
mod backtest;
mod breakers;
mod health;
mod latency;
mod logs;
mod map;
mod query;
mod queues;
mod services;
mod slo;
mod status;
mod traces;

pub use alerts::{Alert, AlertState, Alerts, Silence};
pub use backtest::{Backtest, BacktestQuery, ComparedWith, Episode};
pub use breakers::{Breaker, Breakers};
pub use health::{Check, DependencyState, Health, ProposedProbe, Target};
pub use latency::{ExplainQuery, Explanation, Finding, FindingSign, Latency, LatencyQuery};
pub use logs::{LogLine, LogQuery, Logs};
pub use map::{Edge, Map, Node, NodeKind, at_place, beside_namesake, own_name, without_place};
pub use query::{QueryExemplar, QueryResult, QuerySeries, Vocabulary};
pub use queues::{Queue, Queues};
pub use services::{Change, Changes, CollectorFigures, Instance, OperationRow, Refusal, ServicePage, ServiceRow, Services, errors_reason};
pub use slo::{BurnLimit, Objective, Slo};
pub use status::{Ingest, Listening, Status};
pub use traces::{Span, SpanEvent, Trace, TraceQuery, TraceRow, Traces, attribute};

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// One question. Answered by a [`Source`] at a point in time.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Status,
    Services,
    /// The page of one service.
    Service {
        name: String,
    },
    Map,
    Traces(TraceQuery),
    Trace {
        id: String,
    },
    Latency(LatencyQuery),
    /// What the selected slow or failing spans have in common.
    Explain(ExplainQuery),
    Queues,
    Breakers,
    Health,
    Slo,
    Alerts,
    Logs(LogQuery),
    /// Instant PromQL.
    Query {
        expression: String,
    },
    QueryRange {
        expression: String,
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
    },
    /// What differs between `since` and now (or the cursor).
    Changes {
        since: Timestamp,
    },
    /// What a rule would have done over past data.
    Backtest(BacktestQuery),
    /// Known metric names and label names, for completion.
    Vocabulary,
}

/// The answer to the [`Request`] of the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    Status(Status),
    Services(Services),
    Service(Box<ServicePage>),
    Map(Map),
    Traces(Traces),
    /// Shared: it may be large, and is held where it was read, where it is shown, and between.
    Trace(Arc<Trace>),
    Latency(Box<Latency>),
    Explain(Explanation),
    Queues(Queues),
    Breakers(Breakers),
    Health(Health),
    Slo(Slo),
    Alerts(Alerts),
    Logs(Logs),
    Query(QueryResult),
    QueryRange(QueryResult),
    Changes(Changes),
    Backtest(Backtest),
    Vocabulary(Vocabulary),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadError {
    /// The question itself is wrong (unparsable expression, unknown trace).
    BadRequest(String),
    NotFound(String),
    /// It would cost too much.
    TooHeavy(String),
    Timeout,
    /// The other side is gone.
    Disconnected(String),
    /// The question is right, and whoever answers it is in trouble.
    Failed(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::BadRequest(why) | ReadError::NotFound(why) | ReadError::TooHeavy(why) | ReadError::Failed(why) => f.write_str(why),
            ReadError::Timeout => f.write_str("timed out"),
            ReadError::Disconnected(why) => write!(f, "disconnected: {why}"),
        }
    }
}

impl std::error::Error for ReadError {}

/// The one trait views and the API read through: this process, a headless watchfire over HTTP, or a Prometheus-compatible engine.
pub trait Source: Send + Sync {
    /// Answers as of `at`; `None` is now.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn read(&self, request: &Request, at: Option<Timestamp>) -> Result<Reading, ReadError>;
}

/// What a person does to alerts. The only writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    Silence(Silence),
    ExpireSilence { id: String },
    Acknowledge { fingerprint: String, by: String, until: Option<Timestamp> },
    PinTrace { id: String },
    ReloadRules,
}

/// Accepts [`Command`]s; the local process and `attach` implement it.
pub trait CommandSink: Send + Sync {
    /// Returns what was done, in words, once it is durable.
    ///
    /// # Errors
    /// When the command is refused or the other side is gone.
    fn execute(&self, command: &Command) -> Result<String, ReadError>;
}
