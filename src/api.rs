//! The HTTP API: Prometheus's query API under `/api/v1`, the part of Alertmanager's that people use under `/api/v2`, watchfire's own reads under `/api/watchfire/v1/`, its metrics, and its health.
//!
//! Types to know: [`Api`] is everything a handler needs; [`router`] lists every path. The guarded accept loop around it (hosts, origins,
//! slow clients) belongs to the `serve` crate, and the shapes of the reads to `model::reading`.
//!
//! Invariants: no handler runs a query on the async threads; at most a few run at once; nothing here can change telemetry except remote
//! write, which is off unless asked for.

mod alertmanager;
mod cardinality;
mod compression;
pub mod envelope;
mod federation;
mod graph;
mod metrics;
mod multipart;
mod own;
pub mod params;
mod prometheus;
mod results;
mod rules;
mod status;
mod tree;
pub use rules::rfc3339;

use crate::board::Board;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use watchfire_model::reading::{CommandSink, ReadError, Source};
use watchfire_model::{Clock, Labels, Meter, Reading, Request as ReadingRequest, SeriesSource, Timestamp};
use watchfire_notifiers::DispatcherHandle;
use watchfire_otlp::RemoteWrite;
use watchfire_promql::Engine;

type Answer = Result<Response, envelope::ApiError>;

/// What the handlers share.
pub struct Api {
    pub source: Arc<dyn SeriesSource>,
    pub engine: Arc<Engine>,
    pub readings: Arc<dyn Source>,
    pub commands: Arc<dyn CommandSink>,
    pub board: Arc<Board>,
    pub clock: Arc<dyn Clock>,
    pub meter: Meter,
    /// Queries of people that may run at once; rules have their own thread.
    pub query_slots: Arc<Semaphore>,
    /// Readings computed at the same time: each takes a processor for milliseconds, and more at once would only take memory.
    pub read_slots: Arc<Semaphore>,
    pub query_timeout: Duration,
    /// Points per series of a range query.
    pub max_points: usize,
    /// `/api/v1/targets`, as the scraper sees its targets.
    pub targets: Box<dyn Fn() -> Json + Send + Sync>,
    /// The effective configuration as text, secrets left out.
    pub config_text: String,
    pub flags: Vec<(String, String)>,
    pub alertmanagers: Vec<String>,
    /// Receivers, routes and silences as they are in this moment.
    pub delivery: DispatcherHandle,
    /// Where links of alerts lead.
    pub external_url: String,
    /// What tells this instance from others, for those who take series over from it.
    pub external_labels: Labels,
    /// Present when it is asked for.
    pub remote_write: Option<RemoteWrite>,
    pub started: Timestamp,
    /// How long telemetry is kept, as text.
    pub retention: String,
    pub ready: AtomicBool,
    pub stopping: AtomicBool,
}

impl Api {
    /// Reads on a blocking thread, at most a few at a time. Whoever asked and left holds their place until the work they asked for is done.
    async fn reading(self: &Arc<Self>, request: ReadingRequest, at: Option<Timestamp>) -> Result<Reading, envelope::ApiError> {
        let slot =
            tokio::time::timeout(self.query_timeout, self.read_slots.clone().acquire_owned()).await.map_err(|_| ReadError::Timeout)?;
        let shared = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let reading = shared.readings.read(&request, at);
            drop(slot);
            reading
        });
        Ok(reading.await.map_err(|e| envelope::ApiError::internal(format!("reading failed: {e}")))??)
    }

    pub fn refused_query(&self, reason: &str) {
        self.meter.counter("watchfire_query_rejected_total", &[("reason", reason)]).add(1);
    }
}

/// Every path there is.
pub fn router(api: Arc<Api>) -> Router {
    let mut router = Router::new()
        .route("/", get(|| async { "watchfire: see /api/watchfire/v1/status, /api/v1/query, /metrics\n" }))
        .route("/metrics", get(metrics::metrics))
        .route("/graph", get(graph::graph))
        .route("/federate", get(federation::federate))
        .route("/-/healthy", get(|| async { "watchfire is Healthy.\n" }))
        .route("/-/ready", get(ready))
        .route("/-/reload", post(rules::reload).put(rules::reload))
        .route("/api/v1/query", get(prometheus::query).post(prometheus::query))
        .route("/api/v1/query_range", get(prometheus::query_range).post(prometheus::query_range))
        .route("/api/v1/query_exemplars", get(prometheus::exemplars).post(prometheus::exemplars))
        .route("/api/v1/series", get(prometheus::series).post(prometheus::series))
        .route("/api/v1/labels", get(prometheus::labels).post(prometheus::labels))
        .route("/api/v1/label/{name}/values", get(prometheus::label_values))
        .route("/api/v1/metadata", get(prometheus::metadata))
        .route("/api/v1/format_query", get(prometheus::format_query).post(prometheus::format_query))
        .route("/api/v1/parse_query", get(tree::parse_query).post(tree::parse_query))
        .route("/api/v1/rules", get(rules::rules))
        .route("/api/v1/alerts", get(rules::alerts))
        .route("/api/v1/alertmanagers", get(rules::alertmanagers))
        .route("/api/v1/targets", get(rules::targets))
        .route("/api/v1/targets/metadata", get(status::targets_metadata))
        .route("/api/v1/scrape_pools", get(rules::scrape_pools))
        .route("/api/v1/features", get(status::features))
        .route("/api/v1/notifications", get(status::notifications))
        .route("/api/v1/status/buildinfo", get(rules::buildinfo))
        .route("/api/v1/status/config", get(rules::config))
        .route("/api/v1/status/flags", get(rules::flags))
        .route("/api/v1/status/runtimeinfo", get(rules::runtimeinfo))
        .route("/api/v1/status/walreplay", get(status::walreplay))
        .route("/api/v1/status/tsdb", get(cardinality::cardinality))
        .route("/api/v2/status", get(alertmanager::status))
        .route("/api/v2/receivers", get(alertmanager::receivers))
        .route("/api/v2/alerts", get(alertmanager::alerts).post(alertmanager::no_alerts))
        .route("/api/v2/alerts/groups", get(alertmanager::groups))
        .route("/api/v2/silences", get(alertmanager::silences).post(alertmanager::silence))
        .route("/api/v2/silence/{id}", get(alertmanager::one_silence).delete(alertmanager::expire))
        .route("/api/watchfire/v1/silences", post(own::silence))
        .route("/api/watchfire/v1/acknowledgements", post(own::acknowledge))
        .route("/api/watchfire/v1/commands", post(own::command))
        .route("/api/watchfire/v1/{*path}", get(own::read));
    if let Some(receiver) = &api.remote_write {
        // The receiver bounds what it reads and what it decompresses.
        router = router.route("/api/v1/write", post(metrics::remote_write).with_state(receiver.clone()));
    }
    let router = router.fallback(unknown_path).method_not_allowed_fallback(wrong_method);
    let bounded = axum::middleware::from_fn_with_state(api.clone(), too_long);
    router.layer(bounded).layer(axum::middleware::from_fn(compression::compress)).with_state(api)
}

/// What the framework refuses for its length is refused in Prometheus's words, as everything else.
async fn too_long(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes() == b"application/json");
    if response.status() != StatusCode::PAYLOAD_TOO_LARGE || is_json {
        return response;
    }
    api.refused_query("bytes");
    let mut response = envelope::ApiError::bad_data("request body exceeds 2 MiB").into_response();
    // What is left of the body is not read, so this connection takes no further request.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn unknown_path(State(api): State<Arc<Api>>) -> Response {
    api.meter.counter("watchfire_http_rejected_total", &[("reason", "path")]).add(1);
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

async fn wrong_method(State(api): State<Arc<Api>>) -> Response {
    api.meter.counter("watchfire_http_rejected_total", &[("reason", "method")]).add(1);
    (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n").into_response()
}

async fn ready(State(api): State<Arc<Api>>) -> Response {
    let stopping = api.stopping.load(Ordering::Relaxed);
    let is_ready = api.ready.load(Ordering::Relaxed) && !stopping;
    let (status, text) =
        if is_ready { (StatusCode::OK, "watchfire is Ready.\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "watchfire is not ready.\n") };
    let mut response = (status, text).into_response();
    if !is_ready {
        let value = if stopping { "true" } else { "false" };
        response.headers_mut().insert("x-prometheus-stopping", HeaderValue::from_static(value));
    }
    response
}

/// Plain facts about this build, for clients that ask which server they talk to.
pub fn build() -> Json {
    json!({
        // The query language this API answers in; clients switch features by it.
        "version": "3.5.0",
        "application": format!("watchfire {}", env!("CARGO_PKG_VERSION")),
        // Without `features`: by that Grafana would take this for Mimir.
        "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": "",
    })
}
