//! Trace requests of 444 bytes and 8 attributes per span, from a fixed seed.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

fn text(key: &str, value: String) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::StringValue(value)) }), key_strindex: 0 }
}

fn int(key: &str, value: i64) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::IntValue(value)) }), key_strindex: 0 }
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// `batches` encoded requests of `spans` spans each.
pub fn encoded(batches: u64, spans: u64) -> Vec<bytes::Bytes> {
    (0..batches).map(|seed| request(seed + 1, spans).encode_to_vec().into()).collect()
}

fn request(seed: u64, spans: u64) -> ExportTraceServiceRequest {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut trace = 0u128;
    let mut parent = 0u64;
    let list = (0..spans).map(|i| {
        if i % 12 == 0 {
            trace = u128::from(random.next()) << 64 | u128::from(random.next() | 1);
            parent = 0;
        }
        let id = random.next() | 1;
        let start = 1_700_000_000_000_000_000 + random.next() % 1_000_000_000;
        let client = i % 2 == 1;
        let route = format!("/api/v1/accounts/{}/posts", i % 7);
        let span = Span {
            trace_id: trace.to_be_bytes().to_vec(),
            span_id: id.to_be_bytes().to_vec(),
            parent_span_id: if parent == 0 { vec![] } else { parent.to_be_bytes().to_vec() },
            name: format!("GET {route}"),
            kind: if client { 3 } else { 2 },
            start_time_unix_nano: start,
            end_time_unix_nano: start + random.next() % 200_000_000,
            attributes: vec![
                text("http.request.method", "GET".to_owned()),
                text("http.route", route),
                int("http.response.status_code", 200 + (random.next() % 50 / 49 * 300) as i64),
                text("server.address", format!("accounts-{}.internal.example", random.next() % 5)),
                int("server.port", 8443),
                text("user_agent.original", "python-requests/2.32.3".to_owned()),
                text("network.peer.address", format!("10.0.{}.{}", random.next() % 256, random.next() % 256)),
                text("url.scheme", "https".to_owned()),
            ],
            flags: 0x101,
            status: Some(Status { code: i32::from(random.next().is_multiple_of(50)) * 2, ..Status::default() }),
            ..Span::default()
        };
        parent = id;
        span
    });
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![
                    text("service.name", "account-service".to_owned()),
                    text("service.instance.id", "i-0123456789".to_owned()),
                ],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "opentelemetry.instrumentation.asgi".to_owned(),
                    ..InstrumentationScope::default()
                }),
                spans: list.collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}
