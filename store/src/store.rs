//! The store as a whole.

use crate::StoreLimits;
use crate::checks::Checks;
use crate::logs::LogRing;
use crate::reads::errors::{Example, examples, refusals, top_errors};
use crate::reads::instances::instances;
use crate::reads::{explain, search, tree};
use crate::series::SeriesBook;
use crate::signals::SignalSettings;
use crate::signals::board::Board;
use crate::signals::edges::ObservedEdge;
use crate::signals::services::ServiceSeen;
use crate::spans::SpanEngine;
use crate::spans::held::{Held, SegmentSink};
use crate::topology::{LiveGraph, asked, unhealthy};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use watchfire_model::reading::{ExplainQuery, Explanation, Instance, LogQuery, Logs, Refusal, Trace, TraceQuery, Traces};
use watchfire_model::{
    Appended, CheckReport, Clock, Dependency, Exemplar, Labels, LogRecord, LogSink, Metadata, Meter, MetricKind, OriginId, OwnSeries,
    ProbeSink, Selector, SeriesId, SeriesSink, SeriesSource, SeriesView, SourceError, TimeRange, Timestamp, Topology, TraceId, Unhealthy,
    Value, ids_in,
};

/// Live telemetry: series, spans, logs, checks. Shared; every method may be called from any thread.
pub struct Store {
    limits: StoreLimits,
    meter: Meter,
    clock: Arc<dyn Clock>,
    series: Arc<SeriesBook>,
    held: Arc<Held>,
    logs: Arc<LogRing>,
    checks: Checks,
    board: Arc<ArcSwap<Board>>,
    graph: LiveGraph,
}

/// What the store holds, and what it had to refuse or let go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    pub memory_bytes: u64,
    pub memory_limit_bytes: u64,
    pub span_bytes: u64,
    pub series_bytes: u64,
    pub log_bytes: u64,
    /// Histograms, join table, buffers, and what others keep [beside](Store::is_beside).
    pub table_bytes: u64,
    pub spans_held: u64,
    pub spans_evicted: u64,
    /// Since the start.
    pub spans_received: u64,
    pub series: u64,
    pub series_refused: u64,
    pub samples_appended: u64,
    pub logs_held: u64,
    pub logs_received: u64,
    pub checks: u64,
}

impl Store {
    pub fn new(limits: StoreLimits, meter: Meter, clock: Arc<dyn Clock>) -> Arc<Store> {
        let series = Arc::new(SeriesBook::new(&limits, &meter));
        SpanEngine::describe(&*series);
        Arc::new(Store {
            held: Arc::new(Held::new(&limits, &meter)),
            logs: Arc::new(LogRing::new(&limits, &meter)),
            checks: Checks::new(&limits, series.clone(), &meter),
            board: Arc::default(),
            graph: LiveGraph::default(),
            series,
            limits,
            meter,
            clock,
        })
    }

    /// The receiver of spans, to be owned by one thread. One per store: a second one would replace the first one's spans for readers.
    pub fn span_engine(&self, settings: SignalSettings) -> SpanEngine {
        let (series, logs, held) = (self.series.clone(), self.logs.clone(), self.held.clone());
        SpanEngine::new(settings, self.clock.now(), series, logs, held, self.board.clone(), &self.meter)
    }

    /// Names who is offered sealed segments; replaces the one before.
    pub fn set_segment_sink(&self, sink: Arc<dyn SegmentSink>) {
        *self.held.sink.lock() = Some(sink);
    }

    pub fn limits(&self) -> &StoreLimits {
        &self.limits
    }

    /// Drops what is too old. The span engine does it for series while it runs; logs and a store without an engine need this call, every minute or so.
    pub fn maintain(&self, now: Timestamp) {
        self.series.maintain(now);
        self.series.sweep_empty();
        self.logs.drop_before(self.series.aging.ago(now, self.limits.retention));
    }

    /// Traces that meet the query, as of `at`.
    pub fn traces(&self, query: &TraceQuery, at: Option<Timestamp>) -> Traces {
        let pinned: std::collections::HashSet<u128> = self.held.pinned.lock().all().collect();
        search::traces(&self.held.read(), query, at, |id| pinned.contains(&id))
    }

    /// One trace with all that is known of it. `text` is a trace id, a span id, a prefix of either (four digits at least), or a
    /// correlation id: the value of any span attribute, or text in a log line that belongs to a trace.
    pub fn trace(&self, text: &str) -> Option<Trace> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let segments = self.held.read();
        let read = |id| tree::trace(&segments, id, self.limits.spans_per_trace, self.limits.trace_text);
        let as_it_stands =
            || tree::resolve(&segments, text).or_else(|| self.logs.trace_of(text).map(|id| u128::from_be_bytes(id.0))).and_then(read);
        let within = || ids_in(text).iter().find_map(|id| tree::resolve(&segments, id).and_then(read));
        // What is not known as it stands may hold an id; a correlation id may look like one, but for one of several words.
        let mut trace = if text.contains(' ') { within().or_else(as_it_stands) } else { as_it_stands().or_else(within) }?;
        let of_trace = LogQuery { trace_id: Some(trace.trace_id.clone()), limit: Some(1000), ..LogQuery::default() };
        trace.logs = self.logs.read(&of_trace, None).logs;
        trace.pinned = TraceId::parse(&trace.trace_id).is_some_and(|id| self.held.pinned.lock().has(u128::from_be_bytes(id.0)));
        Some(trace)
    }

    /// Keeps a trace for as long as memory allows at all. Whether any span of it is held: of one that went, only what comes later will be kept.
    pub fn pin(&self, trace: TraceId) -> bool {
        let id = u128::from_be_bytes(trace.0);
        self.held.pinned.lock().add(id);
        self.held.read().iter().any(|segment| segment.columns.trace_ids.contains(&id))
    }

    /// What the selected spans have in common that the others of the same time have not.
    pub fn explain(&self, query: &ExplainQuery) -> Explanation {
        self.explain_as_of(query, None)
    }

    /// The same, as of `at`.
    pub fn explain_as_of(&self, query: &ExplainQuery, at: Option<Timestamp>) -> Explanation {
        explain::explain(&self.held.read(), query, at)
    }

    /// Log lines that meet the query, as of `at`, and the templates they share.
    pub fn logs(&self, query: &LogQuery, at: Option<Timestamp>) -> Logs {
        self.logs.read(query, at)
    }

    /// Messages of the failing spans of a service within the quarter of an hour before a moment, with their count, most frequent first.
    pub fn top_errors(&self, service: &str, until: Timestamp) -> Vec<(String, u64)> {
        top_errors(&self.held.read(), service, until)
    }

    /// How often a service refused which calls, among the newest that it answered in the quarter of an hour before a moment, most frequent first.
    pub fn refusals(&self, service: &str, until: Timestamp) -> Vec<Refusal> {
        refusals(&self.held.read(), service, until)
    }

    /// What each instance of a service did within `window` before a moment: those that fail, the others by name, and those that were heard of within a
    /// quarter of an hour and are silent now.
    pub fn instances(&self, service: &str, until: Timestamp, window: Duration) -> Vec<Instance> {
        instances(&self.held.read(), service, until, window)
    }

    /// Ids of traces that show the trouble of any of some services since a moment.
    pub fn example_traces(&self, services: &[String], which: Example, since: Timestamp, limit: usize) -> Vec<String> {
        examples(&self.held.read(), services, which, since, limit)
    }

    /// The newest report of every check.
    pub fn checks(&self) -> Vec<CheckReport> {
        self.checks.all()
    }

    /// The newest report of every check, each with the service that it asks.
    pub fn checks_by_service(&self) -> Vec<(String, CheckReport)> {
        let board = self.board.load();
        self.checks.all().into_iter().map(|check| (asked(&check, &board).unwrap_or(&check.service).to_owned(), check)).collect()
    }

    /// Every service that sent spans, as of the last publication.
    pub fn services_seen(&self) -> Vec<ServiceSeen> {
        self.board.load().services.clone()
    }

    /// Every edge of the last [`idle`](SignalSettings::idle) time, as of the last publication; its figures are series.
    pub fn observed_edges(&self) -> Vec<ObservedEdge> {
        self.board.load().edges.clone()
    }

    /// Every producer, consumer and queue between them of the last [`idle`](SignalSettings::idle) time, as of the last publication.
    pub fn observed_deliveries(&self) -> Vec<ObservedEdge> {
        self.board.load().deliveries.clone()
    }

    /// What the nodes of these names depend on, as [`Topology::dependencies`]: spans may have several names for what is one.
    pub fn dependencies_of(&self, is_client: &dyn Fn(&str) -> bool) -> Vec<Dependency> {
        self.graph.dependencies(is_client, &self.series, &self.board.load(), &self.checks, self.clock.now())
    }

    /// Whether more is held than the limit allows; cheap enough to be asked before every request.
    pub fn is_over_memory(&self) -> bool {
        let held = self.held.bytes() + self.series.bytes() + self.logs.bytes() + self.board.load().bytes + self.beside();
        held as u64 > self.limits.memory_bytes
    }

    /// Somebody keeps so many bytes beside the store, which count against its limit; replaces what was told before.
    pub fn is_beside(&self, bytes: usize) {
        self.held.beside.store(bytes, Ordering::Relaxed);
    }

    fn beside(&self) -> usize {
        self.held.beside.load(Ordering::Relaxed)
    }

    pub fn usage(&self) -> Usage {
        let board = self.board.load();
        let (span_bytes, series_bytes, log_bytes) = (self.held.bytes() as u64, self.series.bytes() as u64, self.logs.bytes() as u64);
        let table_bytes = (board.bytes + self.beside()) as u64;
        Usage {
            memory_bytes: span_bytes + series_bytes + log_bytes + table_bytes,
            memory_limit_bytes: self.limits.memory_bytes,
            span_bytes,
            series_bytes,
            log_bytes,
            table_bytes,
            spans_held: self.held.spans(),
            spans_evicted: self.held.evicted(),
            spans_received: board.services.iter().map(|s| s.spans).sum(),
            series: self.series.len() as u64,
            series_refused: self.series.refused(),
            samples_appended: self.series.samples(),
            logs_held: self.logs.len() as u64,
            logs_received: self.logs.received(),
            checks: self.checks.len() as u64,
        }
    }
}

impl SeriesSink for Store {
    fn origin(&self, name: &str) -> OriginId {
        self.series.origin(name)
    }

    fn series(&self, origin: OriginId, labels: &Labels, kind: MetricKind) -> Option<SeriesId> {
        match marked_as_foreign(labels) {
            Some(marked) => self.series.series(origin, &marked, kind),
            None => self.series.series(origin, labels, kind),
        }
    }

    fn own_series(&self, origin: OriginId, labels: &Labels, kind: MetricKind, own: OwnSeries) -> Option<SeriesId> {
        self.series.own_series(origin, labels, kind, own)
    }

    fn append(&self, origin: OriginId, at: Timestamp, now: Timestamp, row: &[(SeriesId, Value)]) -> Appended {
        self.series.append(origin, at, now, row)
    }

    fn describe(&self, family: &str, metadata: Metadata) {
        self.series.describe(family, metadata);
    }

    fn exemplar(&self, series: SeriesId, exemplar: Exemplar) {
        self.series.exemplar(series, exemplar);
    }
}

/// The store's own derived series have no `job`. Somebody else's of the same names (a collector's service graph sent over OTLP, Tempo's
/// written remotely) may come without one too; the label keeps the two from being one series.
fn marked_as_foreign(labels: &Labels) -> Option<Labels> {
    let derived = ["traces_span_metrics_", "traces_service_graph_"].iter().any(|prefix| labels.metric_name().starts_with(prefix));
    if !derived || labels.get("job").is_some() {
        return None;
    }
    let mut marked = labels.to_builder();
    marked.set("job", "external");
    Some(marked.build())
}

impl SeriesSource for Store {
    fn select(&self, selector: &Selector, range: TimeRange, visit: &mut dyn FnMut(SeriesView<'_>)) -> Result<(), SourceError> {
        self.series.select(selector, range, visit)
    }

    fn select_labels(&self, selector: &Selector, range: TimeRange, visit: &mut dyn FnMut(&Labels)) -> Result<(), SourceError> {
        self.series.select_labels(selector, range, visit)
    }

    fn label_names(&self, selectors: &[Selector], range: TimeRange) -> Result<Vec<String>, SourceError> {
        self.series.label_names(selectors, range)
    }

    fn label_values(&self, name: &str, selectors: &[Selector], range: TimeRange) -> Result<Vec<String>, SourceError> {
        self.series.label_values(name, selectors, range)
    }

    fn label_sets(&self, selectors: &[Selector], range: TimeRange, limit: usize) -> Result<Vec<Labels>, SourceError> {
        self.series.label_sets(selectors, range, limit)
    }

    fn generation(&self) -> Option<u64> {
        self.series.generation()
    }

    fn metadata(&self) -> Vec<(String, Metadata)> {
        self.series.metadata()
    }

    fn exemplars(&self, selector: &Selector, range: TimeRange) -> Vec<(Labels, Vec<Exemplar>)> {
        self.series.exemplars(selector, range)
    }
}

impl LogSink for Store {
    fn logs(&self, records: Vec<LogRecord>) {
        self.logs.push(records);
    }
}

impl ProbeSink for Store {
    fn probe(&self, report: CheckReport) {
        self.checks.report(report, self.clock.now());
    }

    fn forget(&self, service: &str, check: &str) {
        self.checks.forget(service, check, self.clock.now());
    }
}

impl Topology for Store {
    fn dependencies(&self, service: &str) -> Vec<Dependency> {
        self.dependencies_of(&|name| name == service)
    }

    fn consumers(&self, queue: &str) -> Vec<String> {
        self.observed_deliveries().into_iter().filter(|d| d.queue.as_deref() == Some(queue)).map(|d| d.server.to_string()).collect()
    }

    fn unhealthy(&self) -> Vec<Unhealthy> {
        unhealthy(&self.checks, &self.board.load())
    }
}
