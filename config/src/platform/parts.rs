//! The parts a platform is made of.

use crate::duration_text;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What holds wherever a part does not say otherwise.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Defaults {
    /// Share of traces kept by the services themselves, 0 to 1.
    pub sampling: f64,
    pub attributes: Attributes,
    /// OTLP transport.
    pub otlp: Transport,
    /// Path of the Prometheus exposition; empty where there is none.
    pub metrics_path: String,
    pub probes: Vec<Check>,
    pub health_format: HealthFormat,
    pub retry: Retry,
    /// How long a caller waits for an answer.
    #[serde(with = "duration_text")]
    pub timeout: Duration,
    /// Whether a 4xx answer makes a server span an error span.
    pub http_4xx_is_error: bool,
    #[serde(with = "duration_text")]
    pub scrape_interval: Duration,
    #[serde(with = "duration_text")]
    pub probe_interval: Duration,
    /// How long a service may stay silent in the registry; zero where there is no registry.
    #[serde(with = "duration_text")]
    pub registry_ttl: Duration,
}

impl Default for Defaults {
    fn default() -> Self {
        Defaults {
            sampling: 1.0,
            attributes: Attributes::New,
            otlp: Transport::Grpc,
            metrics_path: "/metrics".to_owned(),
            probes: vec![Check { name: "health".to_owned(), path: "/health".to_owned() }],
            health_format: HealthFormat::Dependencies,
            retry: Retry::default(),
            timeout: Duration::from_secs(30),
            http_4xx_is_error: false,
            scrape_interval: Duration::from_secs(5),
            probe_interval: Duration::from_secs(5),
            registry_ttl: Duration::ZERO,
        }
    }
}

/// Which generation of OpenTelemetry attribute names a service writes (`http.request.method` or `http.method`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attributes {
    #[default]
    New,
    Old,
}

/// How a service exports OTLP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    #[default]
    Grpc,
    HttpProtobuf,
    HttpJson,
}

/// Shape of the health body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthFormat {
    /// `{service, status, timestamp, dependencies: {name: word}, uptime}`.
    #[default]
    Dependencies,
    /// `{overall, checks: {name: {status}}, timestamp, version}`.
    Checks,
    /// Spring Boot Actuator.
    Actuator,
    /// `application/health+json`.
    HealthJson,
    /// NestJS Terminus.
    Terminus,
    /// The one word `ok`.
    Plain,
}

/// One health endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Name in `probe_success{check=...}`.
    pub name: String,
    pub path: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceKind {
    Gateway,
    #[default]
    Service,
    Worker,
    Websocket,
}

/// A process that the platform's teams run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    pub name: String,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub kind: ServiceKind,
    /// The documented port; 0 where the document names none.
    #[serde(default)]
    pub port: u16,
    #[serde(default)]
    pub owner: String,
    /// Further teams that share the ownership.
    #[serde(default)]
    pub with: Vec<String>,
    #[serde(default)]
    pub responsibilities: String,
    /// `service.version`.
    #[serde(default)]
    pub version: String,
    /// Language and framework, as the telemetry SDK reports them: `python`, `nodejs`, `go`, `java`.
    #[serde(default)]
    pub language: String,
    #[serde(default)]
    pub attributes: Option<Attributes>,
    #[serde(default)]
    pub otlp: Option<Transport>,
    #[serde(default)]
    pub sampling: Option<f64>,
    #[serde(default)]
    pub http_4xx_is_error: Option<bool>,
    #[serde(default)]
    pub health_format: Option<HealthFormat>,
    #[serde(default)]
    pub probes: Vec<Check>,
    #[serde(default)]
    pub metrics_path: Option<String>,
    /// Ordinary use, 0 to 1.
    #[serde(default = "quarter")]
    pub cpu: f64,
    #[serde(default = "half")]
    pub memory: f64,
    #[serde(default = "half")]
    pub disk: f64,
    /// Stores and providers that its health body names; empty: those it calls.
    #[serde(default)]
    pub health_dependencies: Vec<String>,
    /// The document leaves this open; the file fills it in.
    #[serde(default)]
    pub assumed: bool,
}

fn quarter() -> f64 {
    0.25
}

fn half() -> f64 {
    0.45
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    #[default]
    Database,
    Cache,
    Search,
    Storage,
}

/// A database, cache, search engine or object store.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    pub name: String,
    #[serde(default)]
    pub kind: StoreKind,
    /// `db.system.name`: `postgresql`, `redis`, `elasticsearch` ...
    pub system: String,
    /// `db.namespace`; empty: the name.
    #[serde(default)]
    pub namespace: String,
    /// Name under which health bodies list it; empty: the name.
    #[serde(default)]
    pub health_name: String,
    #[serde(with = "duration_text")]
    pub p50: Duration,
    #[serde(with = "duration_text")]
    pub p95: Duration,
    #[serde(default)]
    pub errors: f64,
    /// Share of reads that a cache answers.
    #[serde(default)]
    pub hit_ratio: Option<f64>,
    /// Connections in the pool of each client; zero where there is no pool.
    #[serde(default)]
    pub pool: u32,
    /// Ordinary delay of the replica; absent where there is none.
    #[serde(default, with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub replication_lag: Option<Duration>,
    #[serde(default)]
    pub assumed: bool,
}

/// A party outside the platform that its services call.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    pub name: String,
    /// `server.address`.
    pub host: String,
    #[serde(with = "duration_text")]
    pub p50: Duration,
    #[serde(with = "duration_text")]
    pub p95: Duration,
    #[serde(default)]
    pub errors: f64,
    /// Requests allowed per `window`; zero where unknown.
    #[serde(default)]
    pub rate_limit: u32,
    #[serde(default, with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    #[serde(default, with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    #[serde(default)]
    pub assumed: bool,
}

/// Whose exporter shows a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueExporter {
    /// celery-exporter: `celery_queue_length`.
    #[default]
    Celery,
    /// kafka_exporter: `kafka_consumergroup_lag`.
    Kafka,
    /// redis_exporter: `redis_stream_length`, `redis_stream_group_lag`.
    RedisStreams,
    /// RabbitMQ detailed metrics.
    Rabbitmq,
    /// BullMQ's own text export.
    Bullmq,
}

/// A queue, topic or stream with the group that reads it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    pub name: String,
    /// `messaging.system`.
    pub system: String,
    pub exporter: QueueExporter,
    /// The service whose `/metrics` carries the queue's series.
    pub exported_by: String,
    /// The service that works the messages off.
    pub consumer: String,
    /// Consumer group; empty: the consumer's name.
    #[serde(default)]
    pub group: String,
    /// Kinds of message.
    #[serde(default)]
    pub jobs: Vec<String>,
    /// Workers; each handles one message at a time.
    pub workers: u32,
    /// Handling time of one message, calls in `steps` not included.
    #[serde(with = "duration_text")]
    pub p50: Duration,
    #[serde(with = "duration_text")]
    pub p95: Duration,
    /// Share of attempts that fail by themselves.
    #[serde(default)]
    pub errors: f64,
    /// What handling a message calls.
    #[serde(default)]
    pub steps: Vec<super::Step>,
    /// Messages beyond which someone should look; absent where the document names none.
    #[serde(default)]
    pub threshold: Option<u64>,
    /// Where messages go after the last try; empty: they are dropped.
    #[serde(default)]
    pub dead_letter: String,
    /// Messages per second that arrive besides those of operations (schedulers, other regions).
    #[serde(default)]
    pub arrivals: f64,
    /// Handling belongs to the trace of the sender; otherwise it is a trace of its own, linked to the sender's.
    #[serde(default)]
    pub same_trace: bool,
    #[serde(default)]
    pub assumed: bool,
}

/// A circuit breaker in `service` around its calls to `protects`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    pub service: String,
    pub name: String,
    pub protects: String,
    /// Failures in a row that open it; a success in between starts the count anew.
    #[serde(default)]
    pub failures: Option<u32>,
    /// Share of failures that opens it, over `window`, with at least `minimum` calls.
    #[serde(default)]
    pub failure_share: Option<f64>,
    #[serde(default = "ten_seconds", with = "duration_text")]
    pub window: Duration,
    #[serde(default = "ten")]
    pub minimum: u32,
    /// From open to half-open.
    #[serde(with = "duration_text")]
    pub reset: Duration,
    /// A call that takes longer is a failure.
    #[serde(default, with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// What the caller answers itself while the breaker is open; empty: the error goes up.
    #[serde(default)]
    pub fallback: String,
    #[serde(default)]
    pub assumed: bool,
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

fn ten() -> u32 {
    10
}

/// Retries of a failed call.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Tries in all; 1 means no retry.
    pub attempts: u32,
    #[serde(with = "duration_text")]
    pub base: Duration,
    pub factor: f64,
    #[serde(with = "duration_text")]
    pub cap: Duration,
    /// Random share added to each delay.
    pub jitter: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Retry { attempts: 1, base: Duration::from_secs(1), factor: 2.0, cap: Duration::from_secs(30), jitter: 0.0 }
    }
}

/// How an operation is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[default]
    Http,
    Grpc,
    Graphql,
    Websocket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignalKind {
    Gauge,
    /// Grows by `value` per second.
    Counter,
    /// `rate` observations per second around `p50` and `p95`, in seconds.
    Histogram,
    /// Unix seconds of the last sign of life; renewed every `value` seconds.
    Timestamp,
}

/// One series that a service exports beside the usual ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// Name for scenarios; several series may share it, and move together then.
    pub name: String,
    /// The service whose `/metrics` carries it.
    pub service: String,
    /// Metric name; counters with `_total`, histograms without `_bucket`.
    pub series: String,
    #[serde(default)]
    pub help: String,
    pub kind: SignalKind,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Ordinary value (gauge), growth per second (counter), seconds between renewals (timestamp).
    #[serde(default)]
    pub value: f64,
    /// Random part of `value`, 0 to 1.
    #[serde(default)]
    pub noise: f64,
    /// Observations per second of a histogram.
    #[serde(default)]
    pub rate: f64,
    #[serde(default)]
    pub p50: f64,
    #[serde(default)]
    pub p95: f64,
    /// Upper bounds of a histogram's buckets; empty: those of `http.server.request.duration`.
    #[serde(default)]
    pub buckets: Vec<f64>,
    #[serde(default)]
    pub assumed: bool,
}

/// Which severities go to whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub severities: Vec<String>,
    /// Names of receivers: `desktop`, `slack`, `email`, `pagerduty` ...
    pub receivers: Vec<String>,
    #[serde(default)]
    pub teams: Vec<String>,
    /// How it is handled, in the document's words.
    #[serde(default)]
    pub handling: String,
    /// Collected and sent together after this time, beside the route that tells of an alert at once if there is one; absent: at once.
    #[serde(default, with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub digest: Option<Duration>,
    /// Label conditions besides the severity: `threshold_id = "CN-07"`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub assumed: bool,
}

/// A figure that a rule compares with, and where it comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    pub threshold: String,
    pub explanation: String,
}

/// What the document asks for beyond alerts and objectives, and where it is seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// `PN-09`.
    pub id: String,
    pub title: String,
    /// Names the views as scenarios do: `Map: ...`.
    pub look_for: String,
}
