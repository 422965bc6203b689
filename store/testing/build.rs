//! Spans for tests, built with the generated OTLP types and encoded by prost.
#![allow(dead_code)]

use super::walk::Walk;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Link};
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{HandClock, Labels, Meter, Selector, SeriesSource, TimeRange, Timestamp, Value};
use watchfire_store::{SignalSettings, SpanEngine, Store, StoreLimits};

/// When tests begin: 2023-11-14T22:13:20Z.
pub const START: i64 = 1_700_000_000_000;

pub fn value(v: impl Into<any_value::Value>) -> Option<AnyValue> {
    Some(AnyValue { value: Some(v.into()) })
}

pub fn text(key: &str, v: &str) -> KeyValue {
    KeyValue { key: key.into(), value: value(any_value::Value::StringValue(v.into())), ..KeyValue::default() }
}

pub fn int(key: &str, v: i64) -> KeyValue {
    KeyValue { key: key.into(), value: value(any_value::Value::IntValue(v)), ..KeyValue::default() }
}

pub fn boolean(key: &str, v: bool) -> KeyValue {
    KeyValue { key: key.into(), value: value(any_value::Value::BoolValue(v)), ..KeyValue::default() }
}

pub const INTERNAL: i32 = 1;
pub const SERVER: i32 = 2;
pub const CLIENT: i32 = 3;
pub const PRODUCER: i32 = 4;
pub const CONSUMER: i32 = 5;

pub fn trace_id(n: u128) -> Vec<u8> {
    n.to_be_bytes().to_vec()
}

pub fn span_id(n: u64) -> Vec<u8> {
    n.to_be_bytes().to_vec()
}

/// A span of trace `trace` that starts at [`START`] and takes 10 ms.
pub fn span(trace: u128, id: u64, parent: u64, name: &str, kind: i32) -> Span {
    let start = START as u64 * 1_000_000;
    Span {
        trace_id: trace_id(trace),
        span_id: span_id(id),
        parent_span_id: if parent == 0 { vec![] } else { span_id(parent) },
        name: name.into(),
        kind,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 10_000_000,
        ..Span::default()
    }
}

pub trait Refine {
    fn takes(self, millis: u64) -> Self;
    fn fails(self, message: &str) -> Self;
    fn with(self, attribute: KeyValue) -> Self;
    fn links(self, trace: u128, id: u64) -> Self;
}

impl Refine for Span {
    fn takes(mut self, millis: u64) -> Self {
        self.end_time_unix_nano = self.start_time_unix_nano + millis * 1_000_000;
        self
    }

    fn fails(mut self, message: &str) -> Self {
        self.status = Some(Status { message: message.into(), code: 2 });
        self
    }

    fn with(mut self, attribute: KeyValue) -> Self {
        self.attributes.push(attribute);
        self
    }

    fn links(mut self, trace: u128, id: u64) -> Self {
        self.links.push(Link { trace_id: trace_id(trace), span_id: span_id(id), ..Link::default() });
        self
    }
}

pub fn resource_spans(service: &str, spans: Vec<Span>) -> ResourceSpans {
    ResourceSpans {
        resource: Some(Resource {
            attributes: vec![text("service.name", service), text("service.version", "1.2.3")],
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope { name: "test-scope".into(), version: "0.1".into(), ..InstrumentationScope::default() }),
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}

/// A store with an engine under a clock that the test moves.
pub struct Bench {
    pub store: Arc<Store>,
    pub engine: SpanEngine,
    pub clock: HandClock,
    pub meter: Meter,
    walk: Walk,
    pub now: Timestamp,
}

impl Bench {
    pub fn new() -> Self {
        Bench::with(StoreLimits::default(), SignalSettings::default())
    }

    pub fn with(limits: StoreLimits, settings: SignalSettings) -> Self {
        let now = Timestamp(START);
        let clock = HandClock::at(now);
        let meter = Meter::new();
        let store = Store::new(limits, meter.clone(), Arc::new(clock.clone()));
        let engine = store.span_engine(settings);
        Bench { store, engine, clock, meter, walk: Walk::default(), now }
    }

    pub fn send(&mut self, service: &str, spans: Vec<Span>) {
        self.request(vec![resource_spans(service, spans)]);
    }

    pub fn request(&mut self, resource_spans: Vec<ResourceSpans>) {
        let bytes = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        self.walk.request(&bytes, &mut self.engine, self.now);
    }

    /// Lets time pass with the owner thread's ticks.
    pub fn pass(&mut self, time: Duration) {
        use watchfire_model::SpanVisitor;
        for _ in 0..time.as_millis() / 250 {
            self.now = self.now.saturating_add(Duration::from_millis(250));
            self.clock.advance(Duration::from_millis(250));
            self.engine.tick(self.now);
        }
    }

    /// Somebody sets the wall clock.
    pub fn set_clock(&mut self, to: Timestamp) {
        self.now = to;
        self.clock.step_wall(to);
    }

    /// The newest sample of every series of a metric.
    pub fn newest(&self, metric: &str) -> Vec<(Labels, Value)> {
        let mut all = Vec::new();
        let range = TimeRange::new(Timestamp(0), Timestamp::MAX);
        self.store
            .select(&Selector::metric(metric), range, &mut |view| {
                let data = view.to_owned_data();
                all.extend(data.values.last().cloned().map(|v| (data.labels, v)));
            })
            .expect("the live store always answers");
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// The newest value of the one series of a metric with these labels.
    pub fn value(&self, metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.newest(metric).into_iter().find(|(l, _)| labels.iter().all(|(n, v)| l.value(n) == *v)).and_then(|(_, v)| v.as_float())
    }
}
