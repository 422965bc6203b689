//! Random trace requests, and the same request written in another way.

use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData, span};
use proptest::collection::vec;
use proptest::prelude::*;

/// How many requests each property is tried with: 512, or as many as `PROPTEST_CASES` says.
pub fn tries() -> ProptestConfig {
    let said = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: said.unwrap_or(512), ..ProptestConfig::default() }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<String>().prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        any::<f64>().prop_filter("NaN is unequal to itself", |d| !d.is_nan()).prop_map(Value::DoubleValue),
        vec(any::<u8>(), 0..20).prop_map(Value::BytesValue),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let any_value = inner.prop_map(|v| AnyValue { value: Some(v) }).boxed();
        prop_oneof![
            vec(any_value.clone(), 0..4).prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            vec((any::<String>(), any_value), 0..4).prop_map(|pairs| Value::KvlistValue(KeyValueList {
                values: pairs.into_iter().map(|(key, value)| KeyValue { key, value: Some(value), key_strindex: 0 }).collect(),
            })),
        ]
    })
}

fn attribute() -> impl Strategy<Value = KeyValue> {
    let key = prop_oneof![Just("service.name".to_owned()), "[a-z.]{1,30}", any::<String>()];
    let value = proptest::option::of(value().prop_map(|v| AnyValue { value: Some(v) }));
    (key, value).prop_map(|(key, value)| KeyValue { key, value, key_strindex: 0 })
}

fn bytes_of(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => vec(any::<u8>(), length), 1 => vec(any::<u8>(), 0..20), 1 => Just(vec![0; length])]
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (bytes_of(16), bytes_of(8), bytes_of(8));
    let texts = (any::<String>(), "[a-zA-Z /{}]{0,40}", any::<String>());
    let numbers = (any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>(), -2..9i32);
    let event = (any::<u64>(), any::<String>(), vec(attribute(), 0..3)).prop_map(|(time_unix_nano, name, attributes)| span::Event {
        time_unix_nano,
        name,
        attributes,
        dropped_attributes_count: 3,
    });
    let link =
        (bytes_of(16), bytes_of(8), any::<String>(), vec(attribute(), 0..2)).prop_map(|(trace_id, span_id, trace_state, attributes)| {
            span::Link { trace_id, span_id, trace_state, attributes, ..span::Link::default() }
        });
    let status = proptest::option::of((any::<String>(), -1..5i32).prop_map(|(message, code)| Status { message, code }));
    (ids, texts, numbers, vec(attribute(), 0..8), vec(event, 0..3), vec(link, 0..3), status).prop_map(
        |(
            (trace_id, span_id, parent_span_id),
            (name, ascii, trace_state),
            (start, end, flags, dropped, kind),
            attributes,
            events,
            links,
            status,
        )| Span {
            trace_id,
            span_id,
            parent_span_id,
            name: if ascii.is_empty() { name } else { ascii },
            trace_state,
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            flags,
            dropped_attributes_count: dropped,
            attributes,
            events,
            links,
            status,
            ..Span::default()
        },
    )
}

pub fn traces() -> impl Strategy<Value = TracesData> {
    let resource = proptest::option::of(vec(attribute(), 0..6).prop_map(|attributes| Resource { attributes, ..Resource::default() }));
    let scope = proptest::option::of(
        (any::<String>(), any::<String>(), vec(attribute(), 0..2)).prop_map(|(name, version, attributes)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count: 1,
        }),
    );
    let scope_spans =
        (scope, vec(span(), 0..4), any::<String>()).prop_map(|(scope, spans, schema_url)| ScopeSpans { scope, spans, schema_url });
    let resource_spans = (resource, vec(scope_spans, 0..3), any::<String>())
        .prop_map(|(resource, scope_spans, schema_url)| ResourceSpans { resource, scope_spans, schema_url });
    vec(resource_spans, 0..3).prop_map(|resource_spans| TracesData { resource_spans })
}

/// Splits an encoded message into its fields: (number, wire type, bytes with tag).
fn fields(bytes: &[u8]) -> Vec<(u32, u8, Vec<u8>)> {
    let mut rest = bytes;
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let before = rest;
        let (tag, wire_type) = prost::encoding::decode_key(&mut rest).expect("well formed");
        prost::encoding::skip_field(wire_type, tag, &mut rest, prost::encoding::DecodeContext::default()).expect("well formed");
        fields.push((tag, wire_type as u8, before[..before.len() - rest.len()].to_vec()));
    }
    fields
}

/// Xorshift: the seed is proptest's, so that a failure can be repeated.
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// Re-encodes a message with its fields in another order, unknown fields between them, and messages below it treated alike.
/// Protobuf gives that the same meaning as long as fields of one number keep their order.
pub fn disordered(bytes: &[u8], nested: &[(u32, usize)], level: usize, seed: &mut u64) -> Vec<u8> {
    let mut fields = fields(bytes);
    // A stable sort by a random key per field number moves whole numbers around and keeps each one's order.
    let keys: Vec<u64> = (0..20).map(|_| random(seed)).collect();
    fields.sort_by_key(|(number, ..)| keys[*number as usize % 20]);
    let mut out = Vec::new();
    for (number, wire_type, field) in fields {
        match random(seed) % 6 {
            0 => prost::encoding::uint64::encode(900, &7, &mut out),
            1 => prost::encoding::string::encode(901, &"unknown".to_owned(), &mut out),
            2 => prost::encoding::fixed64::encode(902, &1, &mut out),
            // A group with a field inside.
            3 => out.extend_from_slice(&[0xbb, 0x38, 0x08, 1, 0xbc, 0x38]),
            _ => {}
        }
        if wire_type == 2 && nested.contains(&(number, level)) {
            let mut inner = &field[..];
            prost::encoding::decode_key(&mut inner).expect("well formed");
            prost::encoding::decode_varint(&mut inner).expect("well formed");
            let inner = disordered(inner, nested, level + 1, seed);
            prost::encoding::bytes::encode(number, &inner, &mut out);
        } else {
            out.extend_from_slice(&field);
        }
        // An earlier value of a scalar that comes again is overruled by the later one; here the same value twice.
        if wire_type != 2 && random(seed).is_multiple_of(5) {
            out.extend_from_slice(&field);
        }
    }
    out
}

/// Which fields of which level are messages: ResourceSpans; resource and ScopeSpans; scope and spans; status.
pub const MESSAGES: [(u32, usize); 6] = [(1, 0), (1, 1), (2, 1), (1, 2), (2, 2), (15, 3)];
