//! OTLP/JSON against the serde form of opentelemetry-proto: what it writes must come out as prost would have encoded it.

use crate::generate::{traces, tries};
use opentelemetry_proto::tonic::trace::v1::TracesData;
use proptest::prelude::*;
use prost::Message;
use watchfire_otlp::{Limits, Refusal, Signal, json_to_protobuf};

proptest! {
    #![proptest_config(tries())]

    #[test]
    fn json_becomes_the_message_it_was_written_from(data in traces()) {
        let json = serde_json::to_vec(&data).expect("serialisable");
        let protobuf = json_to_protobuf(&json, Signal::Traces, &Limits::default()).expect("valid OTLP/JSON").protobuf;
        let decoded = TracesData::decode(&protobuf[..]).expect("well formed");
        prop_assert_eq!(without_empty(decoded), without_empty(data));
    }

    #[test]
    fn any_text_whatever_does_no_harm(json in any::<String>()) {
        let _ = json_to_protobuf(json.as_bytes(), Signal::Traces, &Limits::default());
    }

    #[test]
    fn damaged_json_is_refused_or_still_a_message(
        data in traces(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut json = serde_json::to_vec(&data).expect("serialisable");
        for (at, with) in flips {
            let at = at.index(json.len());
            json[at] = with;
        }
        match json_to_protobuf(&json, Signal::Traces, &Limits::default()) {
            Ok(read) => prop_assert!(TracesData::decode(&read.protobuf[..]).is_ok()),
            Err(refusal) => prop_assert!(matches!(refusal, Refusal::Decode(Signal::Traces, _)), "{:?}", refusal),
        }
    }
}

/// `null` stands for an absent message, and an empty one means the same.
fn without_empty(mut data: TracesData) -> TracesData {
    for resource_spans in &mut data.resource_spans {
        resource_spans.resource.get_or_insert_default();
        for scope_spans in &mut resource_spans.scope_spans {
            scope_spans.scope.get_or_insert_default();
            for span in &mut scope_spans.spans {
                span.status.get_or_insert_default();
                let in_events = span.events.iter_mut().flat_map(|e| &mut e.attributes);
                let in_links = span.links.iter_mut().flat_map(|l| &mut l.attributes);
                for kv in span.attributes.iter_mut().chain(in_events).chain(in_links) {
                    kv.value.get_or_insert_default();
                }
            }
            scope_spans.scope.iter_mut().flat_map(|s| &mut s.attributes).for_each(|kv| {
                kv.value.get_or_insert_default();
            });
        }
        resource_spans.resource.iter_mut().flat_map(|r| &mut r.attributes).for_each(|kv| {
            kv.value.get_or_insert_default();
        });
    }
    data
}

#[test]
fn numbers_are_taken_in_every_form_that_proto3_json_allows() {
    let decode = |span: &str| {
        let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#);
        let read = json_to_protobuf(json.as_bytes(), Signal::Traces, &Limits::default()).expect("OTLP/JSON");
        let mut data = TracesData::decode(&read.protobuf[..]).expect("well formed");
        data.resource_spans.remove(0).scope_spans.remove(0).spans.pop()
    };
    for start in ["1700000000000000000", "\"1700000000000000000\"", "1.7e18"] {
        assert_eq!(decode(&format!(r#"{{"startTimeUnixNano":{start}}}"#)).map(|s| s.start_time_unix_nano), Some(1_700_000_000_000_000_000));
    }
    for bad in ["-1", "1.5", "\"x\"", "true", "[1]", "{}", "18446744073709551616"] {
        assert!(decode(&format!(r#"{{"startTimeUnixNano":{bad}}}"#)).is_none(), "{bad}");
    }
    // Enums are integers; keys are in lowerCamelCase, others are not known.
    assert!(decode(r#"{"kind":"SPAN_KIND_CLIENT"}"#).is_none());
    assert_eq!(decode(r#"{"trace_id":"00","start_time_unix_nano":5}"#).map(|s| s.encoded_len()), Some(0));
}
