//! The own decoder of attributes against prost, and bodies through the whole store.

#[path = "../testing/build.rs"]
mod build;
#[path = "../testing/walk.rs"]
mod walk;

use build::*;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use proptest::prelude::*;
use prost::Message;
use std::time::Duration;
use watchfire_model::AttributeValue;
use watchfire_model::reading::attribute::Scalar;
use watchfire_store::wire::{Fields, attribute, key_value};

fn scalar_value() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        ".{0,40}".prop_map(|s| Some(Value::StringValue(s))),
        any::<bool>().prop_map(|b| Some(Value::BoolValue(b))),
        any::<i64>().prop_map(|i| Some(Value::IntValue(i))),
        any::<f64>().prop_map(|d| Some(Value::DoubleValue(d))),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|b| Some(Value::BytesValue(b))),
        Just(Some(Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(Value::IntValue(1)) }] }))),
        Just(Some(Value::KvlistValue(KeyValueList { values: vec![text("k", "v")] }))),
    ]
}

fn key_values() -> impl Strategy<Value = KeyValue> {
    (".{0,30}", scalar_value()).prop_map(|(key, value)| KeyValue { key, value: Some(AnyValue { value }), ..KeyValue::default() })
}

fn same(ours: AttributeValue<'_>, theirs: &Option<Value>) -> bool {
    match (ours, theirs) {
        (AttributeValue::Str(a), Some(Value::StringValue(b))) => a == b,
        (AttributeValue::Bool(a), Some(Value::BoolValue(b))) => a == *b,
        (AttributeValue::Int(a), Some(Value::IntValue(b))) => a == *b,
        (AttributeValue::Double(a), Some(Value::DoubleValue(b))) => a.to_bits() == b.to_bits(),
        (AttributeValue::Other, None | Some(Value::BytesValue(_) | Value::ArrayValue(_) | Value::KvlistValue(_))) => true,
        _ => false,
    }
}

fn shown(value: &Option<Value>) -> Scalar {
    match value {
        Some(Value::StringValue(s)) => Scalar::Text(s.clone()),
        Some(Value::BoolValue(b)) => Scalar::Bool(*b),
        Some(Value::IntValue(i)) => Scalar::Int(*i),
        Some(Value::DoubleValue(d)) => Scalar::Double(*d),
        Some(Value::BytesValue(b)) => Scalar::Text(format!("0x{}", b.iter().map(|b| format!("{b:02x}")).collect::<String>())),
        Some(Value::ArrayValue(_)) => Scalar::Text("[1]".into()),
        Some(Value::KvlistValue(_)) => Scalar::Text("{\"k\":\"v\"}".into()),
        _ => Scalar::Text(String::new()),
    }
}

proptest! {
    #[test]
    fn attributes_decode_as_prost_decodes_them(pair in key_values()) {
        let bytes = pair.encode_to_vec();
        let (key, value) = attribute(&bytes).expect("prost only writes UTF-8 keys");
        prop_assert_eq!(key, &pair.key);
        prop_assert!(same(value, &pair.value.expect("set above").value));
    }

    #[test]
    fn what_prost_accepts_is_read_alike_and_nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Fields::new(&bytes).count();
        let _ = key_value(&bytes);
        if let (Ok(theirs), Some((key, ours))) = (KeyValue::decode(&bytes[..]), attribute(&bytes))
            // Repeated message fields are merged by prost; here the last one counts. Only where there is one do both agree.
            && Fields::new(&bytes).filter(|(n, _)| *n == 2).count() <= 1
        {
            prop_assert_eq!(key, theirs.key);
            if let Some(AnyValue { value: Some(value) }) = theirs.value
                && matches!(value, Value::StringValue(_) | Value::BoolValue(_) | Value::IntValue(_) | Value::DoubleValue(_))
            {
                prop_assert!(same(ours, &Some(value)));
            }
        }
    }

    #[test]
    fn a_span_comes_back_from_the_store_as_it_was_sent(
        name in "[a-z/{} ]{0,200}",
        attributes in prop::collection::vec(key_values(), 0..12),
        events in prop::collection::vec(("[a-z]{0,9}", any::<u32>(), prop::collection::vec(key_values(), 0..3)), 0..4),
        links in prop::collection::vec((1u128.., 1u64..), 0..4),
        status in (0i32..3, ".{0,20}"),
        trace_state in "[a-z]{0,20}",
        kind in 0i32..6,
        parent in any::<bool>(),
        dropped in any::<u32>(),
        nanos in 0u64..1 << 40,
    ) {
        let start = START as u64 * 1_000_000 + 123_456_789;
        let sent = Span {
            trace_id: trace_id(77),
            span_id: span_id(5),
            parent_span_id: if parent { span_id(4) } else { vec![] },
            trace_state: trace_state.clone(),
            flags: 0x100,
            name: name.clone(),
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: start + nanos,
            attributes: attributes.clone(),
            dropped_attributes_count: dropped,
            events: events.iter().map(|(name, at, attributes)| Event { time_unix_nano: u64::from(*at), name: name.clone(), attributes: attributes.clone(), ..Event::default() }).collect(),
            links: links.iter().map(|(t, s)| Link { trace_id: trace_id(*t), span_id: span_id(*s), ..Link::default() }).collect(),
            status: Some(Status { code: status.0, message: status.1.clone() }),
            ..Span::default()
        };
        let mut bench = Bench::new();
        bench.send("svc", vec![sent]);
        bench.engine.seal();
        let trace = bench.store.trace(&format!("{:032x}", 77)).expect("it was sent");
        prop_assert_eq!(trace.spans.len(), 1);
        let span = &trace.spans[0];
        prop_assert_eq!(&span.name, &name);
        prop_assert_eq!(&span.status_message, &status.1);
        prop_assert_eq!(&span.status, ["unset", "ok", "error"][status.0 as usize]);
        prop_assert_eq!(&span.kind, ["unspecified", "internal", "server", "client", "producer", "consumer"][kind as usize]);
        prop_assert_eq!(span.dropped_attributes, dropped);
        prop_assert_eq!(span.duration_seconds, nanos as f64 / 1e9);
        prop_assert_eq!(&span.parent_id, if parent { "0000000000000004" } else { "" });
        prop_assert_eq!(&span.scope, "test-scope 0.1");
        prop_assert_eq!(span.resource.get("service.version"), Some(&Scalar::Text("1.2.3".into())));
        let expected: std::collections::BTreeMap<String, Scalar> = attributes.iter().map(|kv| (kv.key.clone(), shown(&kv.value.as_ref().expect("set above").value))).collect();
        prop_assert_eq!(format!("{:?}", &span.attributes), format!("{:?}", &expected));
        prop_assert_eq!(span.events.iter().map(|e| e.name.clone()).collect::<Vec<_>>(), events.iter().map(|e| e.0.clone()).collect::<Vec<_>>());
        prop_assert_eq!(span.links.len(), links.len());
    }
}

#[test]
fn attributes_are_kept_wherever_they_stand_in_the_message() {
    // Fields in reverse order are legal protobuf.
    let span = span(9, 1, 0, "op", SERVER).with(text("a", "1")).with(text("b", "2"));
    let bytes = span.encode_to_vec();
    let mut fields: Vec<&[u8]> = Vec::new();
    let mut walk = Fields::new(&bytes);
    let mut at = 0;
    while walk.next().is_some() {
        let next = bytes.len() - walk.rest().len();
        fields.push(&bytes[at..next]);
        at = next;
    }
    fields.reverse();
    let reversed = fields.concat();
    assert_eq!(Span::decode(&reversed[..]).expect("legal").name, "op");
    let mut scope_spans = Vec::new();
    watchfire_store::wire::put_bytes(&mut scope_spans, 2, &reversed);
    let mut resource_spans = Vec::new();
    watchfire_store::wire::put_bytes(&mut resource_spans, 2, &scope_spans);
    let mut request = Vec::new();
    watchfire_store::wire::put_bytes(&mut request, 1, &resource_spans);
    let mut bench = Bench::new();
    walk::Walk::default().request(&request, &mut bench.engine, bench.now);
    bench.pass(Duration::from_secs(1));
    let trace = bench.store.trace(&format!("{:032x}", 9)).expect("it was sent");
    assert_eq!(trace.spans[0].attributes.len(), 2);
    assert_eq!((&*trace.spans[0].name, trace.spans[0].duration_seconds), ("op", 0.01));
}

#[test]
fn text_that_is_not_utf8_and_nesting_without_end_cost_only_themselves() {
    let mut deep = AnyValue { value: Some(Value::StringValue("bottom".into())) };
    for _ in 0..90 {
        deep = AnyValue { value: Some(Value::ArrayValue(ArrayValue { values: vec![deep] })) };
    }
    let deep = KeyValue { key: "deep".into(), value: Some(deep), ..KeyValue::default() };
    let span = span(1, 1, 0, "op", CLIENT).with(text("peer.service", "@@")).with(deep).with(text("fine", "yes"));
    let mut bytes = opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest {
        resource_spans: vec![resource_spans("svc", vec![span])],
    }
    .encode_to_vec();
    let at = bytes.windows(2).position(|w| w == b"@@").expect("it is in there");
    bytes[at..at + 2].copy_from_slice(&[0xff, 0xfe]);
    let mut bench = Bench::new();
    walk::Walk::default().request(&bytes, &mut bench.engine, bench.now);
    bench.pass(Duration::from_secs(12));
    let trace = bench.store.trace(&format!("{:032x}", 1)).expect("it was sent");
    assert_eq!(trace.spans[0].attributes["peer.service"], Scalar::Text("\u{fffd}\u{fffd}".into()));
    assert!(trace.spans[0].attributes["deep"].to_string().contains("<too deep>"));
    assert_eq!(trace.spans[0].attributes["fine"], Scalar::Text("yes".into()));
    assert!(trace.spans[0].warnings.iter().any(|w| w.contains("UTF-8")));
    assert_eq!(bench.store.observed_edges()[0].server.as_ref(), "\u{fffd}\u{fffd}");
}
