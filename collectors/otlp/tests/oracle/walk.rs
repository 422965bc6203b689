//! The walk against prost: on every request that prost accepts, a visitor sees exactly what prost decodes.

use crate::generate::{MESSAGES, disordered, traces, tries};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZeroU64;
use watchfire_model::{AttributeValue, Receipt, ResourceView, SpanId, SpanKind, SpanStatus, SpanView, SpanVisitor, Timestamp, TraceId};
use watchfire_otlp::{
    Limits, Refusal,
    traces::{Parsed, Residuals},
    walk,
};

const RECEIVED: Timestamp = Timestamp(7);

/// What a visitor was told, owned.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Resource { attributes: Vec<(String, Scalar)>, raw: Resource },
    Scope(String, String),
    Span(Box<TelledSpan>),
    End(Timestamp),
}

#[derive(Clone, Debug, PartialEq)]
struct TelledSpan {
    trace_id: TraceId,
    span_id: SpanId,
    parent_id: SpanId,
    name: String,
    kind: SpanKind,
    status: SpanStatus,
    start: u64,
    end: u64,
    flags: u32,
    trace_state: String,
    attributes: Vec<KeyValue>,
    links: Vec<(TraceId, SpanId)>,
    body: Span,
}

#[derive(Clone, Debug, PartialEq)]
enum Scalar {
    Str(String),
    Int(i64),
    Double(u64),
    Bool(bool),
    Other,
}

#[derive(Default)]
struct Recorder(Vec<Told>);

impl SpanVisitor for Recorder {
    fn resource(&mut self, resource: &ResourceView<'_>) {
        let scalar = |value: &AttributeValue<'_>| match *value {
            AttributeValue::Str(s) => Scalar::Str(s.to_owned()),
            AttributeValue::Int(i) => Scalar::Int(i),
            AttributeValue::Double(d) => Scalar::Double(d.to_bits()),
            AttributeValue::Bool(b) => Scalar::Bool(b),
            AttributeValue::Other => Scalar::Other,
        };
        self.0.push(Told::Resource {
            attributes: resource.attributes.iter().map(|(k, v)| ((*k).to_owned(), scalar(v))).collect(),
            raw: Resource::decode(resource.raw).expect("what is shown is well formed"),
        });
    }

    fn scope(&mut self, name: &str, version: &str) {
        self.0.push(Told::Scope(name.to_owned(), version.to_owned()));
    }

    fn span(&mut self, span: &SpanView<'_>) {
        let head = Span::decode(&span.body[..span.head as usize]).expect("whole fields");
        assert_eq!(head, head_of(&head));
        check_number(span);
        self.0.push(Told::Span(Box::new(TelledSpan {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_id: span.parent_id,
            name: std::str::from_utf8(span.name).expect("names are UTF-8").to_owned(),
            kind: span.kind,
            status: span.status,
            start: span.start.0,
            end: span.end.0,
            flags: span.flags,
            trace_state: span.trace_state.to_owned(),
            // Of what lies between them only they are looked at.
            attributes: Span::decode(span.attribute_fields()).expect("whole fields").attributes,
            links: span.links.to_vec(),
            body: Span::decode(span.body).expect("what is shown is well formed"),
        })));
    }

    fn end_of_request(&mut self, received: Timestamp) {
        self.0.push(Told::End(received));
    }

    fn tick(&mut self, _now: Timestamp) {}
}

/// Only ids, name, kind and times.
fn head_of(span: &Span) -> Span {
    Span {
        trace_id: span.trace_id.clone(),
        span_id: span.span_id.clone(),
        parent_span_id: span.parent_span_id.clone(),
        name: span.name.clone(),
        kind: span.kind,
        start_time_unix_nano: span.start_time_unix_nano,
        end_time_unix_nano: span.end_time_unix_nano,
        ..Span::default()
    }
}

fn id<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok().filter(|id| *id != [0; N])
}

/// What prost's decoding of the same request says a visitor must be told.
fn expected(data: &TracesData) -> (Vec<Told>, u64) {
    let mut told = Vec::new();
    let mut rejected = 0;
    for resource_spans in &data.resource_spans {
        let resource = resource_spans.resource.clone().unwrap_or_default();
        let scalar = |kv: &KeyValue| match kv.value.as_ref().and_then(|v| v.value.as_ref()) {
            Some(Value::StringValue(s)) => Scalar::Str(s.clone()),
            Some(Value::IntValue(i)) => Scalar::Int(*i),
            Some(Value::DoubleValue(d)) => Scalar::Double(d.to_bits()),
            Some(Value::BoolValue(b)) => Scalar::Bool(*b),
            _ => Scalar::Other,
        };
        told.push(Told::Resource {
            attributes: resource.attributes.iter().map(|kv| (kv.key.clone(), scalar(kv))).collect(),
            raw: resource,
        });
        for scope_spans in &resource_spans.scope_spans {
            let scope = scope_spans.scope.clone().unwrap_or_default();
            told.push(Told::Scope(scope.name, scope.version));
            for span in &scope_spans.spans {
                let (Some(trace_id), Some(span_id)) = (id::<16>(&span.trace_id), id::<8>(&span.span_id)) else {
                    rejected += 1;
                    continue;
                };
                let links = span.links.iter().filter_map(|l| id::<16>(&l.trace_id).zip(id::<8>(&l.span_id)));
                told.push(Told::Span(Box::new(TelledSpan {
                    trace_id: TraceId(trace_id),
                    span_id: SpanId(span_id),
                    parent_id: SpanId(id::<8>(&span.parent_span_id).unwrap_or_default()),
                    name: span.name.clone(),
                    kind: SpanKind::from_wire(u64::try_from(span.kind).unwrap_or(u64::MAX)),
                    status: SpanStatus::from_wire(u64::try_from(span.status.as_ref().map_or(0, |s| s.code)).unwrap_or(u64::MAX)),
                    start: span.start_time_unix_nano,
                    end: span.end_time_unix_nano,
                    flags: span.flags,
                    trace_state: span.trace_state.clone(),
                    attributes: span.attributes.clone(),
                    links: links.map(|(t, s)| (TraceId(t), SpanId(s))).collect(),
                    body: span.clone(),
                })));
            }
        }
    }
    told.push(Told::End(RECEIVED));
    (told, rejected)
}

thread_local! {
    /// The residuals of all cases that came before in this thread, and what each number stands for.
    static RESIDUALS: RefCell<Residuals> = RefCell::default();
    static NUMBERED: RefCell<HashMap<NonZeroU64, Vec<u8>>> = RefCell::default();
}

fn told(bytes: &[u8]) -> (Result<Receipt, Refusal>, Vec<Told>) {
    let (mut parsed, mut recorder) = (Parsed::default(), Recorder::default());
    let read = RESIDUALS.with_borrow_mut(|residuals| parsed.parse(bytes, &Limits::default(), residuals));
    (read.map(|()| parsed.visit(bytes, RECEIVED, &mut recorder)).map(|()| parsed.receipt()), recorder.0)
}

/// The same number means the same bytes, which hold nothing but attributes, status and flags.
fn check_number(span: &SpanView<'_>) {
    let Some(number) = span.residual else { return };
    assert!(span.head > 0);
    let residual = &span.body[span.head as usize..];
    NUMBERED.with_borrow_mut(|known| assert_eq!(known.entry(number).or_insert_with(|| residual.to_vec()), residual));
    let decoded = Span::decode(residual).expect("whole fields");
    let rest = Span { attributes: decoded.attributes.clone(), status: decoded.status.clone(), flags: decoded.flags, ..Span::default() };
    assert_eq!(without_nan(&decoded), without_nan(&rest));
}

proptest! {
    #![proptest_config(tries())]

    #[test]
    fn a_visitor_is_told_what_prost_decodes(data in traces()) {
        let bytes = data.encode_to_vec();
        let (receipt, seen) = told(&bytes);
        let receipt = receipt.expect("prost wrote it");
        // A second time most of it is known.
        prop_assert_eq!(&told(&bytes).1, &seen);
        let (wanted, rejected) = expected(&data);
        prop_assert_eq!(receipt.rejected_total(), rejected);
        prop_assert_eq!(receipt.warnings, vec![]);
        prop_assert_eq!(receipt.accepted, wanted.iter().filter(|t| matches!(t, Told::Span(_))).count() as u64);
        prop_assert_eq!(seen, wanted);
    }

    #[test]
    fn order_of_fields_and_unknown_fields_change_nothing(data in traces(), mut seed in 1..u64::MAX) {
        let bytes = disordered(&data.encode_to_vec(), &MESSAGES, 0, &mut seed);
        let decoded = TracesData::decode(&bytes[..]).expect("still the same message");
        prop_assert_eq!(&decoded, &data);
        let (receipt, seen) = told(&bytes);
        prop_assert!(receipt.is_ok());
        prop_assert_eq!(seen, expected(&data).0);
    }

    #[test]
    fn what_comes_twice_is_merged_as_prost_merges_it(a in traces(), b in traces()) {
        // Two resources, scopes, statuses and names in one message: concatenation is merging, on every level.
        let join = |a: &dyn Fn() -> Vec<u8>, b: &dyn Fn() -> Vec<u8>| [a(), b()].concat();
        let mut bytes = Vec::new();
        for pair in a.resource_spans.iter().zip(&b.resource_spans) {
            let both = join(&|| pair.0.encode_to_vec(), &|| pair.1.encode_to_vec());
            prost::encoding::bytes::encode(1, &both, &mut bytes);
        }
        let decoded = TracesData::decode(&bytes[..]).expect("well formed");
        let (receipt, seen) = told(&bytes);
        prop_assert!(receipt.is_ok());
        prop_assert_eq!(seen, expected(&decoded).0);
    }

    #[test]
    fn damaged_requests_are_refused_when_prost_refuses_them_and_then_nothing_is_shown(
        data in traces(),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        truncate in any::<bool>(),
    ) {
        let mut bytes = data.encode_to_vec();
        if bytes.is_empty() {
            return Ok(());
        }
        for (at, with) in flips {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        if truncate {
            bytes.truncate(cut.index(bytes.len()));
        }
        // What is known of it from before it was damaged says nothing of what it is now.
        told(&data.encode_to_vec()).0.expect("prost wrote it");
        let (receipt, seen) = told(&bytes);
        match (TracesData::decode(&bytes[..]), &receipt) {
            (Ok(decoded), Ok(receipt)) if receipt.warnings.is_empty() => prop_assert_eq!(without_nan(&seen), without_nan(&expected(&decoded).0)),
            // Prost gives up on invalid UTF-8; the walk repairs it and says so. Repaired bodies are decodable: the recorder has tried.
            (Err(_), Ok(receipt)) => prop_assert!(!receipt.warnings.is_empty() || receipt.rejected_total() > 0, "{:?}", receipt),
            (Ok(_), Ok(_)) => {}
            (Ok(_), Err(refusal)) => prop_assert!(false, "prost takes what is refused: {:?}", refusal),
            (Err(_), Err(_)) => prop_assert_eq!(seen, vec![]),
        }
    }

    #[test]
    fn any_bytes_whatever_do_no_harm(bytes in vec(any::<u8>(), 0..200)) {
        let (receipt, seen) = told(&bytes);
        prop_assert_eq!(receipt.is_err(), seen.is_empty());
    }

    #[test]
    fn buffers_that_are_used_again_remember_nothing(first in traces(), second in traces()) {
        let (mut parsed, mut residuals) = (Parsed::default(), Residuals::default());
        let limits = Limits::default();
        parsed.parse(&first.encode_to_vec(), &limits, &mut residuals).expect("well formed");
        let bytes = second.encode_to_vec();
        parsed.parse(&bytes, &limits, &mut residuals).expect("well formed");
        let mut recorder = Recorder::default();
        parsed.visit(&bytes, RECEIVED, &mut recorder);
        prop_assert_eq!(recorder.0, expected(&second).0);
    }
}

/// Flipped bits can make a double a NaN, which equals nothing: compare by text instead.
fn without_nan(told: &impl std::fmt::Debug) -> String {
    format!("{told:?}")
}

#[derive(Default)]
struct Heads(Vec<u32>);

impl SpanVisitor for Heads {
    fn resource(&mut self, _resource: &ResourceView<'_>) {}
    fn scope(&mut self, _name: &str, _version: &str) {}
    fn span(&mut self, span: &SpanView<'_>) {
        self.0.push(span.head);
    }
    fn end_of_request(&mut self, _received: Timestamp) {}
    fn tick(&mut self, _now: Timestamp) {}
}

#[test]
fn the_head_is_all_that_is_told_beside_the_body_when_it_comes_first() {
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        parent_span_id: vec![3; 8],
        name: "GET /cart".to_owned(),
        kind: 2,
        start_time_unix_nano: 5,
        end_time_unix_nano: 6,
        attributes: vec![KeyValue { key: "a".to_owned(), ..KeyValue::default() }],
        flags: 1,
        ..Span::default()
    };
    let root = Span { parent_span_id: Vec::new(), attributes: Vec::new(), ..span.clone() };
    // The state of a trace comes in between, and is told by the body alone.
    let with_state = Span { trace_state: "ot=th:8".to_owned(), ..span.clone() };
    let heads = [head_of(&span).encoded_len() as u32, head_of(&root).encoded_len() as u32, 0];
    let scope_spans = vec![ScopeSpans { spans: vec![span, root, with_state], ..ScopeSpans::default() }];
    let data = TracesData { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] };
    let mut seen = Heads::default();
    walk(&data.encode_to_vec(), &Limits::default(), RECEIVED, &mut seen).expect("well formed");
    assert_eq!(seen.0, heads);
}

#[test]
fn limits_on_elements_are_exact() {
    let spans = |n: usize| TracesData {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans { spans: vec![Span::default(); n], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    };
    let limits = Limits { max_items: 100, ..Limits::default() };
    // A resource and a scope are elements too.
    assert!(walk(&spans(98).encode_to_vec(), &limits, RECEIVED, &mut Recorder::default()).is_ok());
    assert_eq!(walk(&spans(99).encode_to_vec(), &limits, RECEIVED, &mut Recorder::default()), Err(Refusal::Items(100)));
    let long = Limits { max_bytes: 10, ..Limits::default() };
    assert_eq!(walk(&spans(98).encode_to_vec(), &long, RECEIVED, &mut Recorder::default()), Err(Refusal::Bytes(10)));
}

#[test]
fn a_resource_in_two_parts_must_be_whole_in_each() {
    // The first part announces a longer text than it has; the second would complete it, if the two were just put together.
    let scope = [0x0a, 4, 0x0a, 4, b'a', b'b', 0x0a, 4, b'c', b'd', 0x0a, 0];
    let mut request = vec![0x0a, scope.len() as u8 + 2, 0x12, scope.len() as u8];
    request.extend_from_slice(&scope);
    assert!(TracesData::decode(&request[..]).is_err());
    let (receipt, seen) = told(&request);
    assert!(receipt.is_err() && seen.is_empty(), "{receipt:?}");
}

#[test]
fn what_was_read_before_is_known_again_whatever_comes_before_it() {
    let span = |id: u8, name: &str, code: i64| Span {
        trace_id: vec![id; 16],
        span_id: vec![id; 8],
        name: name.to_owned(),
        kind: 2,
        start_time_unix_nano: u64::from(id),
        end_time_unix_nano: u64::from(id) + 1,
        attributes: vec![KeyValue {
            key: "http.response.status_code".to_owned(),
            value: Some(AnyValue { value: Some(Value::IntValue(code)) }),
            ..KeyValue::default()
        }],
        flags: 0x301,
        ..Span::default()
    };
    #[derive(Default)]
    struct Numbers(Vec<Option<NonZeroU64>>);
    impl SpanVisitor for Numbers {
        fn resource(&mut self, _resource: &ResourceView<'_>) {}
        fn scope(&mut self, _name: &str, _version: &str) {}
        fn span(&mut self, span: &SpanView<'_>) {
            check_number(span);
            self.0.push(span.residual);
        }
        fn end_of_request(&mut self, _received: Timestamp) {}
        fn tick(&mut self, _now: Timestamp) {}
    }
    let (mut parsed, mut residuals, mut numbers) = (Parsed::default(), Residuals::default(), Numbers::default());
    for spans in [
        vec![span(1, "GET /cart", 200), span(2, "GET /cart", 200), span(3, "GET /cart", 500)],
        vec![
            span(4, "POST /orders", 200),
            span(5, "GET /cart", 500),
            Span { trace_state: "ot=th:8".to_owned(), ..span(6, "GET /cart", 200) },
        ],
    ] {
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let data = TracesData { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }.encode_to_vec();
        parsed.parse(&data, &Limits::default(), &mut residuals).expect("well formed");
        parsed.visit(&data, RECEIVED, &mut numbers);
    }
    let [ok, again, failed, elsewhere, failed_again, with_state] = numbers.0[..] else { panic!("{:?}", numbers.0) };
    assert!(ok.is_some() && failed.is_some() && ok != failed);
    assert_eq!((again, elsewhere, failed_again, with_state), (ok, ok, failed, None));
}
