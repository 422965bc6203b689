//! The state of a simulated platform: what its services have counted, which breakers are open, what lies in the queues.

use crate::breaker::CircuitBreaker;
use crate::chance::Chance;
use crate::executor::Executor;
use crate::exposition::{Exposition, Histogram};
use crate::influence::{Influence, influence};
use crate::queue::QueueState;
use crate::signals::SignalState;
use crate::trace::{Finished, Names, Outbox, SpanId, Timeline, Trace, text};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;
use watchfire_config::platform::{Attributes, Platform, Scenario, Service, StoreKind};

/// Error logs of one service per simulated second; more are counted in one line, as a sane logger would.
const LOGS_PER_SECOND: u32 = 10;

/// What a name in the platform file stands for, with its place in the list of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Service(usize),
    Store(usize),
    Provider(usize),
    Queue(usize),
}

pub(crate) struct ServiceState {
    pub(crate) exposition: Exposition,
    pub(crate) outbox: Outbox,
    /// `http.server.request.duration` by (method, route, status), for OTLP.
    pub(crate) durations: BTreeMap<(String, String, u16), Histogram>,
    pub(crate) cpu_seconds: f64,
    pub(crate) resources_read: Duration,
    pub(crate) registered_at: Duration,
    log_second: u64,
    logs_in_second: u32,
}

/// Everything that changes while the simulation runs.
pub(crate) struct World {
    pub(crate) platform: Rc<Platform>,
    pub(crate) scenario: Option<Scenario>,
    pub(crate) chance: Chance,
    pub(crate) timeline: Timeline,
    pub(crate) sampling: Option<f64>,
    pub(crate) nodes: HashMap<String, Node>,
    pub(crate) services: Vec<ServiceState>,
    pub(crate) breakers: Vec<CircuitBreaker>,
    pub(crate) queues: Vec<QueueState>,
    pub(crate) signals: Vec<SignalState>,
    /// Stores in the order of the file: the service that shows their exporter's series.
    pub(crate) store_exporters: Vec<Option<usize>>,
    pub(crate) spans_made: u64,
}

/// A simulation that tasks can hold: the clock and the world. Borrow the world shortly, never across an await.
#[derive(Clone)]
pub(crate) struct Sim {
    pub(crate) executor: Executor,
    world: Rc<RefCell<World>>,
}

impl Sim {
    pub(crate) fn new(world: World) -> Self {
        Sim { executor: Executor::default(), world: Rc::new(RefCell::new(world)) }
    }

    pub(crate) fn world(&self) -> RefMut<'_, World> {
        self.world.borrow_mut()
    }

    pub(crate) fn platform(&self) -> Rc<Platform> {
        Rc::clone(&self.world().platform)
    }

    pub(crate) fn now(&self) -> Duration {
        self.executor.now()
    }

    pub(crate) async fn sleep(&self, duration: Duration) {
        self.executor.sleep(duration).await;
    }

    pub(crate) fn influence(&self, target: &str, operation: &str) -> Influence {
        self.world().influence(target, operation, self.now())
    }
}

impl World {
    pub(crate) fn new(platform: Rc<Platform>, seed: u64, scenario: Option<Scenario>, sampling: Option<f64>, timeline: Timeline) -> Self {
        let mut nodes = HashMap::new();
        nodes.extend(platform.services.iter().enumerate().map(|(i, s)| (s.name.clone(), Node::Service(i))));
        nodes.extend(platform.stores.iter().enumerate().map(|(i, s)| (s.name.clone(), Node::Store(i))));
        nodes.extend(platform.providers.iter().enumerate().map(|(i, p)| (p.name.clone(), Node::Provider(i))));
        nodes.extend(platform.queues.iter().enumerate().map(|(i, q)| (q.name.clone(), Node::Queue(i))));
        let services = platform
            .services
            .iter()
            .map(|_| ServiceState {
                exposition: Exposition::default(),
                outbox: Outbox::default(),
                durations: BTreeMap::new(),
                cpu_seconds: 0.0,
                resources_read: Duration::ZERO,
                registered_at: Duration::ZERO,
                log_second: 0,
                logs_in_second: 0,
            })
            .collect();
        let store_exporters = platform
            .stores
            .iter()
            .map(|store| {
                let callers = platform.declared_edges();
                let caller = callers.iter().find(|edge| edge.server == store.name)?;
                platform.services.iter().position(|s| s.name == caller.client)
            })
            .collect();
        let mut world = World {
            breakers: platform.breakers.iter().cloned().map(CircuitBreaker::new).collect(),
            queues: platform.queues.iter().map(|_| QueueState::default()).collect(),
            signals: platform.signals.iter().map(SignalState::new).collect(),
            store_exporters,
            platform,
            scenario,
            chance: Chance::new(seed),
            timeline,
            sampling,
            nodes,
            services,
            spans_made: 0,
        };
        world.begin_at_zero();
        world
    }

    /// Counters that a real exporter shows from its start, so that the first event is an increase.
    fn begin_at_zero(&mut self) {
        let platform = Rc::clone(&self.platform);
        for edge in platform.declared_edges() {
            let (Some(Node::Service(client)), Some(server)) = (self.nodes.get(&edge.client), self.nodes.get(&edge.server)) else {
                continue;
            };
            if matches!(server, Node::Queue(_)) {
                continue;
            }
            let exposition = &mut self.services[*client].exposition;
            for outcome in ["success", "error", "timeout", "rejected"] {
                let labels = [("service", edge.client.as_str()), ("target", edge.server.as_str()), ("outcome", outcome)];
                exposition.count("client_requests_total", "Calls to other parts by outcome.", &labels, 0.0);
            }
            let labels = [("service", edge.client.as_str()), ("target", edge.server.as_str())];
            exposition.count("client_retries_total", "Calls tried again.", &labels, 0.0);
            exposition.count("client_retries_exhausted_total", "Calls given up after the last try.", &labels, 0.0);
        }
        for breaker in &platform.breakers {
            let Some(Node::Service(service)) = self.nodes.get(&breaker.service) else { continue };
            for to in ["closed", "half-open", "open"] {
                let labels = [("service", breaker.service.as_str()), ("breaker", breaker.name.as_str()), ("to", to)];
                self.services[*service].exposition.count(
                    "circuit_breaker_transitions_total",
                    "Changes of state by the state entered.",
                    &labels,
                    0.0,
                );
            }
        }
        for saga in &platform.sagas {
            let Some(Node::Service(service)) = self.nodes.get(&saga.service) else { continue };
            for outcome in ["completed", "compensated", "failed"] {
                let labels = [("service", saga.service.as_str()), ("saga", saga.name.as_str()), ("outcome", outcome)];
                self.services[*service].exposition.count("saga_total", "Sagas by outcome.", &labels, 0.0);
            }
            for step in &saga.steps {
                let labels = [("service", saga.service.as_str()), ("saga", saga.name.as_str()), ("step", step.name.as_str())];
                self.services[*service].exposition.count("saga_step_timeouts_total", "Saga steps beyond their timeout.", &labels, 0.0);
            }
        }
    }

    pub(crate) fn influence(&self, target: &str, operation: &str, now: Duration) -> Influence {
        match &self.scenario {
            Some(scenario) => influence(scenario, target, matches!(self.nodes.get(target), Some(Node::Service(_))), operation, now),
            None => Influence::default(),
        }
    }

    pub(crate) fn service_index(&self, name: &str) -> Option<usize> {
        match self.nodes.get(name) {
            Some(Node::Service(index)) => Some(*index),
            _ => None,
        }
    }

    pub(crate) fn names(&self, service: &Service) -> Names {
        Names(service.attributes.unwrap_or(self.platform.defaults.attributes))
    }

    pub(crate) fn sampling(&self, service: &Service) -> f64 {
        self.sampling.unwrap_or_else(|| self.platform.sampling(service))
    }

    pub(crate) fn begin_trace(&mut self, service: usize, now: Duration) -> Rc<Trace> {
        let ratio = self.sampling(&self.platform.services[service]);
        Trace::begin(&mut self.chance, ratio, now)
    }

    pub(crate) fn span_id(&mut self) -> SpanId {
        self.chance.bytes()
    }

    /// Puts a finished span into its service's outbox, if its trace is kept.
    pub(crate) fn finish(&mut self, service: usize, span: Finished<'_>) {
        if !span.trace.sampled {
            return;
        }
        let due = self.timeline.offset(span.trace.anchor, span.end);
        let names = self.names(&self.platform.services[service]);
        let proto = span.proto(self.timeline, names);
        self.spans_made += 1;
        self.services[service].outbox.span(due, proto);
    }

    /// A log record with the trace it belongs to. Beyond ten a second per service nothing is written.
    pub(crate) fn log(
        &mut self,
        service: usize,
        severity: i32,
        body: String,
        trace: Option<(&Trace, SpanId)>,
        attributes: Vec<KeyValue>,
        now: Duration,
    ) {
        let state = &mut self.services[service];
        if state.log_second != now.as_secs() {
            (state.log_second, state.logs_in_second) = (now.as_secs(), 0);
        }
        state.logs_in_second += 1;
        if state.logs_in_second > LOGS_PER_SECOND {
            return;
        }
        let anchor = trace.map_or(now, |(trace, _)| trace.anchor);
        let at = self.timeline.nanos(anchor, now);
        let name = match severity {
            9..=12 => "INFO",
            13..=16 => "WARN",
            _ => "ERROR",
        };
        let record = LogRecord {
            time_unix_nano: at,
            observed_time_unix_nano: at,
            severity_number: severity,
            severity_text: name.to_owned(),
            body: Some(AnyValue { value: Some(any_value::Value::StringValue(body)) }),
            attributes,
            flags: u32::from(trace.is_some_and(|(t, _)| t.sampled)),
            trace_id: trace.map(|(t, _)| t.id.to_vec()).unwrap_or_default(),
            span_id: trace.map(|(_, span)| span.to_vec()).unwrap_or_default(),
            ..LogRecord::default()
        };
        state.outbox.log(self.timeline.offset(anchor, now), record);
    }

    /// The breaker in `service` around calls to `target`.
    pub(crate) fn breaker(&self, service: usize, target: &str) -> Option<usize> {
        let name = &self.platform.services[service].name;
        self.breakers.iter().position(|b| b.parameters().service == *name && b.parameters().protects == target)
    }

    /// Writes the transitions that a breaker has made since `before` to the counter, the log and the trace's events.
    pub(crate) fn breaker_moved(&mut self, breaker: usize, before: usize, trace: Option<(&Trace, SpanId)>, now: Duration) {
        let parameters = self.breakers[breaker].parameters().clone();
        let Some(service) = self.service_index(&parameters.service) else { return };
        let entered: Vec<_> = self.breakers[breaker].transitions()[before..].iter().map(|(_, state)| *state).collect();
        for state in entered {
            let labels = [("service", parameters.service.as_str()), ("breaker", parameters.name.as_str()), ("to", state.word())];
            self.services[service].exposition.count(
                "circuit_breaker_transitions_total",
                "Changes of state by the state entered.",
                &labels,
                1.0,
            );
            let attributes = vec![text("circuit_breaker.name", parameters.name.clone()), text("circuit_breaker.state", state.word())];
            self.log(service, 13, format!("circuit breaker {} is {}", parameters.name, state.word()), trace, attributes, now);
        }
    }

    /// Whether a store answers, in its own health and in the calls to it.
    pub(crate) fn store_is_healthy(&self, store: usize, now: Duration) -> bool {
        let influence = self.influence(&self.platform.stores[store].name, "", now);
        !(influence.down || influence.errors >= 0.5 || influence.health == "unhealthy")
    }

    /// Attributes of a span that calls `target`, besides those of the protocol.
    pub(crate) fn database(&self, service: usize, store: usize, op: &str) -> (String, Vec<KeyValue>) {
        let store = &self.platform.stores[store];
        let names = self.names(&self.platform.services[service]);
        let namespace = if store.namespace.is_empty() { &store.name } else { &store.namespace };
        let (verb, collection) = op.split_once(' ').unwrap_or((op, ""));
        let mut list = vec![
            text(names.pick("db.system.name", "db.system"), store.system.clone()),
            text(names.pick("db.namespace", "db.name"), namespace.clone()),
            text(names.pick("db.operation.name", "db.operation"), verb),
            names.peer_service(&store.name),
        ];
        list.extend(names.peer(&store.name, default_port(&store.system)));
        if !collection.is_empty() {
            list.push(text(names.pick("db.collection.name", "db.sql.table"), collection));
        }
        let statement = match (verb, store.kind) {
            ("SELECT", _) => format!("SELECT * FROM {collection} WHERE id = ?"),
            ("INSERT", _) => format!("INSERT INTO {collection} VALUES (?)"),
            ("UPDATE", _) => format!("UPDATE {collection} SET value = ? WHERE id = ?"),
            ("DELETE", _) => format!("DELETE FROM {collection} WHERE id = ?"),
            (_, StoreKind::Cache) => format!("{verb} ?"),
            _ => String::new(),
        };
        if !statement.is_empty() {
            list.push(text(names.pick("db.query.text", "db.statement"), statement));
        }
        (op.to_owned(), list)
    }

    /// Span name and attributes of an HTTP, gRPC, GraphQL or WebSocket call of `op`.
    pub(crate) fn call_attributes(
        &self,
        names: Names,
        op: &str,
        protocol: watchfire_config::platform::Protocol,
        kind: SpanKind,
        status: Option<u16>,
    ) -> (String, Vec<KeyValue>) {
        use watchfire_config::platform::Protocol;
        match protocol {
            Protocol::Grpc => {
                let code = grpc_code(status);
                let (service, method) = op.split_once('/').unwrap_or((op, ""));
                let list = match names.0 {
                    Attributes::New => vec![text("rpc.system.name", "grpc"), text("rpc.method", op), text("rpc.status_code", code.1)],
                    Attributes::Old => vec![
                        text("rpc.system", "grpc"),
                        text("rpc.service", service),
                        text("rpc.method", method),
                        crate::trace::int("rpc.grpc.status_code", code.0),
                    ],
                };
                (op.to_owned(), list)
            }
            Protocol::Graphql => {
                let (kind, name) = op.split_once(' ').unwrap_or(("query", op));
                let mut list = names.http("POST", status);
                list.push(text("http.route", "/graphql"));
                list.push(text("graphql.operation.type", kind));
                list.push(text("graphql.operation.name", name));
                (op.to_owned(), list)
            }
            Protocol::Websocket => (
                op.to_owned(),
                vec![text(names.pick("network.protocol.name", "net.protocol.name"), "websocket"), text("websocket.event", op)],
            ),
            Protocol::Http => {
                let (method, route) = op.split_once(' ').unwrap_or(("GET", op));
                let mut list = names.http(method, status);
                match kind {
                    SpanKind::Server => {
                        list.push(text("http.route", route));
                        list.push(text(names.pick("url.path", "http.target"), route.replace("{id}", "4711")));
                    }
                    _ => list.push(text("url.template", route)),
                }
                (op.to_owned(), list)
            }
        }
    }
}

/// The gRPC status that stands for an HTTP one: (number, name).
fn grpc_code(status: Option<u16>) -> (i64, &'static str) {
    match status {
        None => (14, "UNAVAILABLE"),
        Some(200..=399) => (0, "OK"),
        Some(400) => (3, "INVALID_ARGUMENT"),
        Some(401) => (16, "UNAUTHENTICATED"),
        Some(403) => (7, "PERMISSION_DENIED"),
        Some(404) => (5, "NOT_FOUND"),
        Some(429) => (8, "RESOURCE_EXHAUSTED"),
        Some(503) => (14, "UNAVAILABLE"),
        Some(504) => (4, "DEADLINE_EXCEEDED"),
        Some(_) => (13, "INTERNAL"),
    }
}

fn default_port(system: &str) -> i64 {
    match system {
        "postgresql" => 5432,
        "redis" => 6379,
        "mongodb" => 27017,
        "elasticsearch" => 9200,
        "mysql" => 3306,
        _ => 443,
    }
}
