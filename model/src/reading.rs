//! Everything that can be asked of watchfire, and the answers. Views, the HTTP API (`/api/watchfire/v1/`) and attached
//! terminals use these same types: the API is this file serialised. Units are in the field names; `None` is "not known".

use crate::notice::{Cause, Evidence, Severity};
use crate::{HealthState, Labels, SeriesData, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

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
    Trace(Box<Trace>),
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
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::BadRequest(why) | ReadError::NotFound(why) | ReadError::TooHeavy(why) => f.write_str(why),
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

/// `status`: the one-line answer to "is it bad".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    pub overall: HealthState,
    /// Since when `overall` is what it is.
    pub overall_since: Option<Timestamp>,
    pub services: usize,
    /// Firing alerts by severity word. Alerts explained by a cause count as well; `held` says how many do not notify.
    pub firing: BTreeMap<String, usize>,
    pub pending: usize,
    pub held: usize,
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

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ingest {
    pub spans_per_second: Option<f64>,
    pub samples_per_second: Option<f64>,
    pub logs_per_second: Option<f64>,
    pub spans_held: u64,
    pub spans_evicted: u64,
    pub series: u64,
    pub logs_held: u64,
    pub memory_bytes: u64,
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

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Services {
    pub services: Vec<ServiceRow>,
    /// Changes of the last fifteen minutes, newest first.
    pub changes: Vec<Change>,
}

/// RED of one service over the last minute (its server and consumer spans).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceRow {
    pub name: String,
    pub state: HealthState,
    /// Calls per second, corrected for sampling.
    pub rate: Option<f64>,
    /// 0 to 1.
    pub error_ratio: Option<f64>,
    pub p50_seconds: Option<f64>,
    pub p95_seconds: Option<f64>,
    pub p99_seconds: Option<f64>,
    pub owner: Option<String>,
    pub simulated: bool,
    /// What is wrong, most important first; empty when nothing is.
    pub why: Vec<String>,
    /// Rate over the last fifteen minutes, oldest first; `None` where nothing is known.
    pub sparkline: Vec<Option<f64>>,
    /// Spans actually seen behind the percentiles.
    pub sample_count: Option<f64>,
    /// Share of traces kept, where sampled: 0.1 means rates were multiplied by ten.
    pub sampling_ratio: Option<f64>,
    /// Where the figures come from: `spans`, `span metrics`, `metrics`, `probes`.
    pub source: Option<String>,
    pub version: Option<String>,
    /// Busiest resource, 0 to 1, with its name (cpu, memory, disk).
    pub saturation: Option<f64>,
    pub saturation_of: Option<String>,
    pub last_seen: Option<Timestamp>,
    pub declared: bool,
}

/// Something that differs from before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    pub at: Timestamp,
    /// `version`, `breaker`, `alert`, `errors`, `edge`, `health`.
    pub kind: String,
    pub subject: String,
    pub from: String,
    pub to: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    pub changes: Vec<Change>,
}

/// Everything about one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServicePage {
    pub service: ServiceRow,
    pub operations: Vec<OperationRow>,
    pub callers: Vec<Edge>,
    pub callees: Vec<Edge>,
    pub checks: Vec<Check>,
    pub breakers: Vec<Breaker>,
    pub queues: Vec<Queue>,
    pub alerts: Vec<Alert>,
    /// Error messages of recent failing spans with their count.
    pub top_errors: Vec<(String, u64)>,
    pub logs: Vec<LogLine>,
    pub resources: Vec<(String, f64)>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OperationRow {
    pub name: String,
    pub kind: String,
    pub rate: Option<f64>,
    pub error_ratio: Option<f64>,
    pub p50_seconds: Option<f64>,
    pub p95_seconds: Option<f64>,
    pub p99_seconds: Option<f64>,
    pub sample_count: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Map {
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    #[default]
    Service,
    Database,
    Queue,
    External,
    Cache,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    pub name: String,
    pub kind: NodeKind,
    pub state: HealthState,
    pub declared: bool,
    pub observed: bool,
    pub namespace: Option<String>,
    pub owner: Option<String>,
    pub rate: Option<f64>,
    pub error_ratio: Option<f64>,
    pub p95_seconds: Option<f64>,
    pub why: Vec<String>,
    /// Depth, for queue nodes.
    pub queue_depth: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Edge {
    pub client: String,
    pub server: String,
    /// `http`, `grpc`, `database`, `messaging`, `cache`, `external`, `call`.
    pub kind: String,
    pub rate: Option<f64>,
    pub error_ratio: Option<f64>,
    pub p95_seconds: Option<f64>,
    /// State of the breaker on this edge: `closed`, `half-open`, `open`, `unknown`; `None` where there is none.
    pub breaker: Option<String>,
    pub breaker_inferred: bool,
    pub declared: bool,
    pub observed: bool,
    pub sample_count: Option<f64>,
    /// `spans` or the dialect of ready-made series.
    pub source: Option<String>,
}

/// Search for traces. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TraceQuery {
    pub service: Option<String>,
    pub operation: Option<String>,
    pub min_duration_ms: Option<f64>,
    pub max_duration_ms: Option<f64>,
    pub error: Option<bool>,
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
    pub resource: BTreeMap<String, attribute::Scalar>,
    pub events: Vec<SpanEvent>,
    /// (trace id, span id)
    pub links: Vec<(String, String)>,
    pub scope: String,
    /// The sender's clock disagrees with the parent's.
    pub skewed: bool,
    pub dropped_attributes: u32,
    pub warnings: Vec<String>,
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
    pub value: String,
    /// Share of the selected spans that have it, 0 to 1.
    pub share_selected: f64,
    pub share_others: f64,
    pub score: f64,
}

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
    pub declared: bool,
    /// The alert threshold on depth, where a preset states one.
    pub threshold: Option<f64>,
    pub source: Option<String>,
}

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
    /// The service or peer this breaker protects calls to.
    pub protects: Option<String>,
    /// Why it is believed to be in this state, where inferred.
    pub evidence: Vec<String>,
    pub source: Option<String>,
    pub declared: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    pub checks: Vec<Check>,
    /// Scrape targets.
    pub targets: Vec<Target>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    pub service: String,
    pub check: String,
    pub url: String,
    pub state: HealthState,
    pub latency_seconds: Option<f64>,
    pub detail: String,
    pub since: Option<Timestamp>,
    pub dependencies: Vec<DependencyState>,
    pub p95_seconds: Option<f64>,
    pub certificate_expires: Option<Timestamp>,
    /// States over the last fifteen minutes, oldest first.
    pub history: Vec<HealthState>,
    pub last_checked: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DependencyState {
    pub name: String,
    pub state: HealthState,
    pub detail: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    pub job: String,
    pub instance: String,
    pub url: String,
    pub up: Option<bool>,
    pub last_error: String,
    pub last_scrape: Option<Timestamp>,
    pub duration_seconds: Option<f64>,
    pub samples: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Slo {
    pub objectives: Vec<Objective>,
}

/// One row of an SLO board.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Objective {
    pub id: String,
    pub name: String,
    /// As the document states it: `< 100 ms (p95)`.
    pub target: String,
    /// The measured value in the unit of the target, as text; `None` while unknown.
    pub current: Option<String>,
    pub current_value: Option<f64>,
    pub target_value: Option<f64>,
    pub met: Option<bool>,
    pub impact: String,
    /// Error budget burned relative to even use: 1 uses the budget up exactly at the end of the window.
    pub burn_rate: Option<f64>,
    /// Burn rates over 1 h, 6 h, 1 d, 3 d (as far as data reaches).
    pub burn_rates: Vec<(String, Option<f64>)>,
    /// Share of the error budget left, 0 to 1.
    pub budget_left: Option<f64>,
    /// The heading of the document's table.
    pub group: String,
    pub sparkline: Vec<Option<f64>>,
    pub expression: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alerts {
    pub alerts: Vec<Alert>,
    pub silences: Vec<Silence>,
    /// Rules that cannot be evaluated: (group, rule, error). Never silently green.
    pub broken_rules: Vec<(String, String, String)>,
    pub rules: usize,
    pub last_evaluation: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    Firing,
    #[default]
    Pending,
    Resolved,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub name: String,
    pub state: AlertState,
    pub severity: Severity,
    pub labels: Labels,
    pub annotations: Labels,
    pub active_at: Option<Timestamp>,
    #[serde(default)]
    pub fired_at: Option<Timestamp>,
    #[serde(default)]
    pub resolved_at: Option<Timestamp>,
    pub cause: Option<Cause>,
    /// At least one receiver has it.
    pub notified: bool,
    #[serde(default)]
    pub notified_by: Vec<String>,
    #[serde(default)]
    pub silenced: bool,
    #[serde(default)]
    pub acknowledged_by: Option<String>,
    #[serde(default)]
    pub value: Option<f64>,
    #[serde(default)]
    pub threshold: Option<f64>,
    #[serde(default)]
    pub expression: String,
    #[serde(default)]
    pub for_seconds: f64,
    #[serde(default)]
    pub group: String,
    #[serde(default)]
    pub fingerprint: String,
    #[serde(default)]
    pub evidence: Option<Evidence>,
    /// The value of the rule's left-hand side over the last hour.
    #[serde(default)]
    pub history: Vec<(Timestamp, Option<f64>)>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Silence {
    pub id: String,
    pub matchers: Vec<(String, String, String)>,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    pub created_by: String,
    pub comment: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogQuery {
    pub service: Option<String>,
    /// Lowest severity to show.
    pub severity: Option<String>,
    pub contains: Option<String>,
    pub trace_id: Option<String>,
    pub limit: Option<usize>,
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

/// Result of a PromQL query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueryResult {
    /// `vector`, `scalar`, `string` or `matrix`.
    pub kind: String,
    pub series: Vec<QuerySeries>,
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuerySeries {
    pub labels: Labels,
    /// Floats; NaN and infinities are `None` in JSON, see the Prometheus API for exact values.
    pub points: Vec<(Timestamp, Option<f64>)>,
    /// Native histograms as text.
    pub histograms: Vec<(Timestamp, String)>,
}

impl From<&SeriesData> for QuerySeries {
    fn from(data: &SeriesData) -> Self {
        QuerySeries {
            labels: data.labels.clone(),
            points: data.times.iter().zip(&data.values).map(|(t, v)| (*t, v.as_float().filter(|f| f.is_finite()))).collect(),
            histograms: Vec::new(),
        }
    }
}

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
    pub warnings: Vec<String>,
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

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vocabulary {
    pub metrics: Vec<String>,
    pub labels: Vec<String>,
    pub services: Vec<String>,
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
