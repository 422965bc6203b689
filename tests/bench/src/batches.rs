//! Trace requests as busy services send them, from a fixed seed: the same bytes for every leg of a measurement.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

/// xorshift64*: small, seeded, the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.number() % n
    }
}

fn text(key: &str, v: String) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(Value::StringValue(v)) }), ..KeyValue::default() }
}

fn int(key: &str, v: i64) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(Value::IntValue(v)) }), ..KeyValue::default() }
}

/// How much the attribute values of a batch vary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variety {
    /// Routes, hosts and status codes of a small platform.
    Ordinary,
    /// Every span with identifiers of its own.
    High,
}

/// Spans of an ordinary request.
pub const SPANS: usize = 512;

/// One request: traces of 12 spans over 8 services, client and server alternating, 8 attributes each.
pub fn request(seed: u64, spans: usize, variety: Variety, start: u64) -> ExportTraceServiceRequest {
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seed.wrapping_mul(0xa076_1d64_78bd_642f));
    random.number();
    let mut by_service: Vec<Vec<Span>> = vec![Vec::new(); 8];
    let mut trace = (random.number(), random.number());
    let mut parent = 0u64;
    for i in 0..spans {
        if i % 12 == 0 {
            trace = (random.number(), random.number());
            parent = 0;
        }
        let id = random.number() | 1;
        let hop = i % 12 / 2;
        let client = i % 2 == 1;
        let service = hop % 8;
        let route = ["/cart", "/orders/{id}", "/users/{id}/profile", "/search", "/checkout"][random.below(5) as usize];
        let duration = 50_000 + (random.below(1000) * random.below(1000)) * 200;
        let at = start + i as u64 * 1_000_000;
        let mut attributes = vec![
            text("http.request.method", ["GET", "POST", "PUT"][random.below(3) as usize].into()),
            int("http.response.status_code", if random.below(50) == 0 { 500 } else { 200 }),
            text("url.scheme", "http".into()),
            text("server.address", format!("service-{}", (service + 1) % 8)),
            int("server.port", 8080),
            text("network.protocol.version", "1.1".into()),
        ];
        match variety {
            Variety::Ordinary => {
                attributes.push(text("http.route", route.into()));
                attributes.push(text(
                    "user_agent.original",
                    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36".into(),
                ));
            }
            Variety::High => {
                attributes.push(text("url.path", format!("/orders/{:016x}", random.number())));
                attributes.push(text("session.id", format!("{:016x}{:016x}{:016x}", random.number(), random.number(), random.number())));
            }
        }
        let failed = random.below(40) == 0;
        by_service[service].push(Span {
            trace_id: [trace.0.to_be_bytes(), trace.1.to_be_bytes()].concat(),
            span_id: id.to_be_bytes().to_vec(),
            parent_span_id: if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() },
            name: format!("{} {route}", if client { "HTTP" } else { "GET" }),
            kind: if client { 3 } else { 2 },
            start_time_unix_nano: at,
            end_time_unix_nano: at + duration,
            attributes,
            status: failed.then(|| Status { code: 2, message: "upstream failed".into() }),
            flags: 0x301,
            ..Span::default()
        });
        parent = id;
    }
    let resource_spans = by_service.into_iter().enumerate().filter(|(_, spans)| !spans.is_empty()).map(|(service, spans)| ResourceSpans {
        resource: Some(Resource {
            attributes: vec![
                text("service.name", format!("service-{service}")),
                text("service.version", "2.4.1".into()),
                text("service.instance.id", format!("service-{service}-6d4b9cf5d7-x2x7k")),
                text("telemetry.sdk.language", "java".into()),
            ],
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "io.opentelemetry.http".into(),
                version: "2.1.0".into(),
                ..InstrumentationScope::default()
            }),
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

/// Encoded requests of [`SPANS`] spans, all different.
pub fn encoded(count: u64, variety: Variety, start: u64) -> Vec<Vec<u8>> {
    (0..count).map(|seed| request(seed + 1, SPANS, variety, start).encode_to_vec()).collect()
}
