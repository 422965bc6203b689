//! What is refused: status, text and counter of every case, over both transports where both have it.

use crate::fixture::*;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, any_value::Value as Any};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use prost::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tonic::Code;
use tonic::codec::CompressionEncoding;
use watchfire_otlp::Settings;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

/// The delay of the `RetryInfo` in a status, in seconds.
fn retry_seconds(details: &[u8]) -> Option<u8> {
    let status = RpcStatus::decode(details).expect("a google.rpc.Status");
    let info = status.details.iter().find(|d| d.type_url == "type.googleapis.com/google.rpc.RetryInfo")?;
    // RetryInfo { retry_delay: Duration { seconds } }
    assert_eq!(info.value[..3], [0x0a, 2, 0x08]);
    Some(info.value[3])
}

#[tokio::test]
async fn what_cannot_be_decoded_is_400_in_the_type_of_the_request_and_stores_nothing() {
    let fixture = Fixture::start();
    let mut truncated = traces(vec![span("good one before the cut"), span("b")]).encode_to_vec();
    truncated.truncate(truncated.len() - 3);
    let wrong_type = vec![0x08, 1];
    for body in [truncated.clone(), wrong_type] {
        let answer = fixture.post_protobuf("/v1/traces", body).await;
        assert_eq!((answer.status, answer.header("content-type")), (400, "application/x-protobuf"));
        assert!(answer.message().starts_with("cannot decode trace request: "), "{}", answer.message());
    }
    for (path, adjective, body) in [
        ("/v1/traces", "trace", "{"),
        ("/v1/traces", "trace", ""),
        ("/v1/traces", "trace", "[]"),
        ("/v1/traces", "trace", r#"{"resourceSpans":{}}"#),
        ("/v1/traces", "trace", r#"{"resourceSpans":[{"scopeSpans":[{"spans":{}}]}]}"#),
        ("/v1/logs", "logs", "null,"),
        ("/v1/metrics", "metrics", r#"{"resourceMetrics":[1]}"#),
    ] {
        let answer = fixture.post_json(path, body).await;
        assert_eq!((answer.status, answer.header("content-type")), (400, "application/json"), "{body}");
        assert!(answer.message().starts_with(&format!("cannot decode {adjective} request: ")), "{}", answer.message());
        assert!(answer.message().len() <= 512);
    }
    let status = fixture.call(TRACE_EXPORT, truncated).await.expect_err("refused");
    assert_eq!((status.code(), status.details().len()), (Code::InvalidArgument, 0));
    assert!(status.message().starts_with("cannot decode trace request: "), "{}", status.message());
    assert_eq!(
        (fixture.rejected("traces", "decode"), fixture.rejected("logs", "decode"), fixture.rejected("metrics", "decode")),
        (8, 1, 1)
    );
    assert_eq!(fixture.stop().await.len(), 0);
}

#[tokio::test]
async fn media_types_and_encodings_that_are_not_ours_are_415() {
    let fixture = Fixture::start();
    for (content_type, quoted) in
        [("text/plain", "text/plain"), ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded"), ("", "")]
    {
        let headers: &[(&str, &str)] = if content_type.is_empty() { &[] } else { &[("content-type", content_type)] };
        let answer = fixture.post("/v1/traces", headers, "x").await;
        let expected = format!("unsupported media type \"{quoted}\"; use application/x-protobuf or application/json");
        assert_eq!((answer.status, answer.message()), (415, expected));
    }
    assert_eq!(fixture.rejected("traces", "media_type"), 3);
    let answer = fixture.post("/v1/logs", &[PROTOBUF, ("content-encoding", "br")], "x").await;
    assert_eq!((answer.status, answer.message()), (415, "unsupported encoding \"br\"; use identity, gzip or zstd".to_owned()));
    let answer = fixture.post("/v1/logs", &[PROTOBUF, ("content-encoding", &"x".repeat(300))], "x").await;
    assert!(answer.message().len() < 200, "{}", answer.message());
    let answer = fixture.post("/v1/logs", &[PROTOBUF, ("content-encoding", "gzip"), ("content-encoding", "gzip")], "x").await;
    assert_eq!((answer.status, answer.message()), (415, "unsupported encoding \"gzip, gzip\"; use identity, gzip or zstd".to_owned()));
    assert_eq!(fixture.rejected("logs", "encoding"), 3);

    // gRPC says the same in its own way, and which encodings there are.
    let refused = fixture.grpc_with_encoding("snappy").await;
    assert_eq!(refused.code(), Code::Unimplemented);
    assert_eq!(refused.message(), "unsupported encoding \"snappy\"; use identity, gzip or zstd");
    assert!(refused.metadata().get("grpc-accept-encoding").is_some_and(|v| v == "identity,gzip,zstd"));
    assert_eq!(fixture.rejected("traces", "encoding"), 1);
    fixture.stop().await;
}

#[tokio::test]
async fn a_grpc_call_is_a_post_with_one_message_in_protobuf() {
    let fixture = Fixture::start();
    let frame = |name: &str| {
        let message = traces(vec![span(name)]).encode_to_vec();
        [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat()
    };
    let grpc = [("content-type", "application/grpc")];
    let twice = fixture.post(TRACE_EXPORT, &grpc, [frame("a"), frame("b")].concat()).await;
    assert_eq!(twice.header("grpc-status"), "3");
    assert!(twice.header("grpc-message").ends_with("one%20message,%20this%20one%20has%20more"), "{}", twice.header("grpc-message"));
    assert_eq!(fixture.rejected("traces", "decode"), 1);
    let got = fixture.send(reqwest::Method::GET, TRACE_EXPORT, &grpc, frame("c")).await;
    assert_eq!((got.header("grpc-status"), got.header("grpc-message")), ("12", "use%20POST"));
    assert_eq!(fixture.count("watchfire_http_rejected_total", &[("reason", "method")]), 1);
    // Their answers would not be understood.
    for other in ["application/grpc-web", "application/grpc-web+proto", "application/grpc+json", "application/grpcx"] {
        let answer = fixture.post(TRACE_EXPORT, &[("content-type", other)], frame("d")).await;
        let expected = format!("unsupported media type \"{other}\"; use application/grpc");
        assert_eq!((answer.status, answer.message()), (415, expected));
    }
    for good in ["application/grpc+proto", "application/grpc; charset=utf-8"] {
        let answer = fixture.post(TRACE_EXPORT, &[("content-type", good)], frame(good)).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/grpc"), "{good}");
    }
    assert_eq!(fixture.stop().await.len(), 2, "only whole calls are stored");
}

#[tokio::test]
async fn what_is_too_long_on_either_side_of_decompression_is_final() {
    let fixture = Fixture::limited(|l| l.max_bytes = 1 << 20);
    let text = "request exceeds 1 MiB (otlp.max_bytes); limits.otlp.message raises it";
    let long = vec![0u8; (1 << 20) + 1];
    let gzipped = {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0u8; 64 << 20]).expect("in memory");
        encoder.finish().expect("in memory")
    };
    let zstded = zstd::encode_all(&vec![0u8; 64 << 20][..], 3).expect("in memory");
    for (encoding, body) in [("identity", long.clone()), ("gzip", gzipped), ("zstd", zstded)] {
        let answer = fixture.post("/v1/traces", &[PROTOBUF, ("content-encoding", encoding)], body).await;
        assert_eq!((answer.status, answer.message().as_str(), answer.header("retry-after")), (413, text, ""), "{encoding}");
    }
    let answer = fixture.post("/v1/traces", &[JSON], vec![b' '; (1 << 20) + 1]).await;
    assert_eq!((answer.status, answer.message().as_str()), (413, text));
    let plain = fixture.call(TRACE_EXPORT, long.clone()).await.expect_err("refused");
    let compressed = fixture.call_compressed(CompressionEncoding::Gzip, TRACE_EXPORT, long).await.expect_err("refused");
    for status in [plain, compressed] {
        assert_eq!((status.code(), status.message(), status.details().len()), (Code::ResourceExhausted, text, 0));
    }
    assert_eq!(fixture.rejected("traces", "bytes"), 6);
    // The port serves on.
    assert_eq!(fixture.post_protobuf("/v1/traces", traces(vec![span("after")]).encode_to_vec()).await.status, 200);
    assert_eq!(fixture.stop().await.len(), 1);
}

/// A message whose repeated field `path` holds `count` empty elements.
fn bomb(path: &[u8], count: usize) -> Vec<u8> {
    let mut body = [path[path.len() - 1] << 3 | 2, 0].repeat(count);
    for field in path[..path.len() - 1].iter().rev() {
        let mut outer = vec![field << 3 | 2];
        prost::encoding::encode_varint(body.len() as u64, &mut outer);
        outer.append(&mut body);
        body = outer;
    }
    body
}

#[tokio::test]
async fn structure_bombs_are_refused_before_anything_is_built() {
    let fixture = Fixture::start();
    let text = "request exceeds 250000 items (otlp.max_items); limits.otlp.items_per_request raises it";
    let n = 2_000_000;
    for (path, fields) in [
        ("/v1/traces", &[1u8][..]),
        ("/v1/traces", &[1, 2]),
        ("/v1/traces", &[1, 2, 2]),
        ("/v1/traces", &[1, 2, 2, 9]),
        ("/v1/traces", &[1, 2, 2, 11]),
        ("/v1/traces", &[1, 2, 2, 13]),
        ("/v1/traces", &[1, 1, 1]),
        ("/v1/traces", &[1, 2, 2, 9, 2, 5, 1]),
        ("/v1/metrics", &[1, 2, 2]),
        ("/v1/metrics", &[1, 2, 2, 5, 1]),
        ("/v1/metrics", &[1, 2, 2, 5, 1, 7]),
        ("/v1/logs", &[1, 2, 2]),
        ("/v1/logs", &[1, 2, 2, 6]),
        ("/v1/logs", &[1, 2, 2, 5, 5, 1]),
    ] {
        let answer = fixture.post_protobuf(path, bomb(fields, n)).await;
        assert_eq!((answer.status, answer.message().as_str()), (413, text), "{path} {fields:?}");
    }
    let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}{{}}]}}]}}]}}"#, "{},".repeat(1_000_000));
    let answer = fixture.post_json("/v1/traces", &json).await;
    assert_eq!((answer.status, answer.message().as_str()), (413, text));
    let status = fixture.call(TRACE_EXPORT, bomb(&[1, 2, 2], n)).await.expect_err("refused");
    assert_eq!((status.code(), status.message(), status.details().len()), (Code::ResourceExhausted, text, 0));
    assert_eq!((fixture.rejected("traces", "items"), fixture.rejected("metrics", "items"), fixture.rejected("logs", "items")), (10, 3, 3));
    fixture.stop().await;
}

#[tokio::test]
async fn what_may_be_tried_again_says_when() {
    let over = Arc::new(AtomicBool::new(true));
    let asked = over.clone();
    let fixture = Fixture::with(Settings { over_memory: Arc::new(move || asked.load(Ordering::Relaxed)), ..Settings::default() });
    let body = traces(vec![span("a")]).encode_to_vec();
    let answer = fixture.post_protobuf("/v1/traces", body.clone()).await;
    assert_eq!((answer.status, answer.header("retry-after"), answer.message().as_str()), (503, "5", "memory limit reached; retry"));
    let status = fixture.call(TRACE_EXPORT, body.clone()).await.expect_err("refused");
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "memory limit reached; retry"));
    assert_eq!(retry_seconds(status.details()), Some(5));
    assert_eq!(fixture.count("watchfire_ingest_refused_total", &[("reason", "memory")]), 2);
    over.store(false, Ordering::Relaxed);
    assert_eq!(fixture.post_protobuf("/v1/traces", body).await.status, 200);
    assert_eq!(fixture.stop().await.len(), 1);

    let fixture = Fixture::limited(|l| l.max_in_flight = 64 << 10);
    let large = traces(vec![Span { name: "x".repeat(100_000), ..span("") }]).encode_to_vec();
    let answer = fixture.post_protobuf("/v1/traces", large.clone()).await;
    assert_eq!((answer.status, answer.header("retry-after"), answer.message().as_str()), (429, "1", "too much data in flight; retry"));
    let status = fixture.call(TRACE_EXPORT, large).await.expect_err("refused");
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "too much data in flight; retry"));
    assert_eq!(retry_seconds(status.details()), Some(1));
    assert_eq!(fixture.count("watchfire_ingest_refused_total", &[("reason", "inflight")]), 2);
    // What was refused gave its bytes back.
    for _ in 0..20 {
        assert_eq!(fixture.post_protobuf("/v1/traces", traces(vec![span("small")]).encode_to_vec()).await.status, 200);
    }
    assert_eq!(fixture.stop().await.len(), 20);
}

#[tokio::test]
async fn bad_items_cost_only_themselves() {
    let fixture = Fixture::start();
    let spans = vec![
        span("good"),
        Span { trace_id: vec![0; 16], ..span("zero trace") },
        Span { trace_id: vec![], ..span("no trace") },
        Span { trace_id: vec![1; 15], ..span("short trace") },
        Span { span_id: vec![0; 8], ..span("zero span") },
        Span { span_id: vec![1; 16], ..span("long span") },
        Span { parent_span_id: vec![1; 3], ..span("good with a bad parent") },
    ];
    let body = traces(spans).encode_to_vec();
    let text = "rejected 5 of 7 spans: 2 zero trace id, 1 trace id not 16 bytes, 1 zero span id, 1 span id not 8 bytes";
    let answer = fixture.post_protobuf("/v1/traces", body.clone()).await;
    let partial = ExportTraceServiceResponse::decode(answer.body).expect("a response").partial_success.expect("partial");
    assert_eq!((answer.status, partial.rejected_spans, partial.error_message.as_str()), (200, 5, text));
    let answer = fixture.call(TRACE_EXPORT, body).await.expect("OK");
    let partial = ExportTraceServiceResponse::decode(answer).expect("a response").partial_success.expect("partial");
    assert_eq!((partial.rejected_spans, partial.error_message.as_str()), (5, text));
    let json = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"zz","spanId":"eee19b7ec3c1b174"}]}]}]}"#;
    let answer = fixture.post_json("/v1/traces", json).await;
    let expected = r#"{"partialSuccess":{"errorMessage":"rejected 1 of 1 spans: 1 trace id not 16 bytes","rejectedSpans":"1"}}"#;
    assert_eq!((answer.status, std::str::from_utf8(&answer.body)), (200, Ok(expected)));
    assert_eq!((fixture.rejected("traces", "zero_trace_id"), fixture.rejected("traces", "span_id_not_8_bytes")), (4, 2));
    let json = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",
        "name":"timeless","startTimeUnixNano":-1},{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b175","name":"timed",
        "attributes":[{"key":"n","value":{"intValue":"many"}}]}]}]}]}"#;
    let answer = fixture.post_json("/v1/traces", json).await;
    let expected = r#"{"partialSuccess":{"errorMessage":"rejected 1 of 2 spans: 1 wrong type or range; repaired: 1 wrong type or range","rejectedSpans":"1"}}"#;
    assert_eq!((answer.status, std::str::from_utf8(&answer.body)), (200, Ok(expected)));
    assert_eq!(fixture.rejected("traces", "wrong_type_or_range"), 1);
    let names: Vec<String> = fixture.stop().await.into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["good", "good with a bad parent", "good", "good with a bad parent", "timed"]);
}

/// Replaces every occurrence of a text by bytes of the same length.
fn patched(body: Vec<u8>, text: &str, with: &[u8]) -> Vec<u8> {
    assert_eq!(text.len(), with.len());
    let mut body = body;
    let found: Vec<usize> = body.windows(text.len()).enumerate().filter(|(_, w)| *w == text.as_bytes()).map(|(i, _)| i).collect();
    assert!(!found.is_empty());
    for at in found {
        body[at..at + with.len()].copy_from_slice(with);
    }
    body
}

#[tokio::test]
async fn invalid_utf8_becomes_replacement_characters_with_a_warning() {
    let fixture = Fixture::start();
    let mut one = span("BROKEN name");
    one.attributes = vec![attribute("key", text("BROKEN value")), attribute("BROKEN key", Any::IntValue(1))];
    let body = patched(traces(vec![one, span("whole")]).encode_to_vec(), "BROKEN", b"\xff\xfeBad\xff");
    let answer = fixture.post_protobuf("/v1/traces", body).await;
    let partial = ExportTraceServiceResponse::decode(answer.body).expect("a response").partial_success.expect("a warning");
    assert_eq!((answer.status, partial.rejected_spans, partial.error_message.as_str()), (200, 0, "repaired: 3 invalid UTF-8"));
    let seen = fixture.spans(2).await;
    assert_eq!((seen[0].name.as_str(), seen[1].name.as_str()), ("\u{fffd}\u{fffd}Bad\u{fffd} name", "whole"));
    let repaired = Span::decode(&seen[0].body[..]).expect("prost takes it now");
    assert_eq!(repaired.attributes[0].value, Some(AnyValue { value: Some(text("\u{fffd}\u{fffd}Bad\u{fffd} value")) }));
    assert_eq!(fixture.count("watchfire_ingest_repaired_total", &[("reason", "invalid_utf_8"), ("signal", "traces")]), 3);
    // JSON too.
    let mut json = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"a"#.to_vec();
    json.extend_from_slice(b"\xff\"}]}]}]}");
    assert_eq!(fixture.post("/v1/traces", &[JSON], json).await.status, 200);
    assert_eq!(fixture.spans(3).await[2].name, "a\u{fffd}");
    fixture.stop().await;
}

fn nested(depth: usize) -> Any {
    let mut value = Any::IntValue(1);
    for _ in 0..depth {
        value = Any::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(value) }] });
    }
    value
}

/// An attribute whose value is nested so deep that prost's own encoder would overflow the stack.
fn deep_attribute(depth: usize) -> Vec<u8> {
    let mut value = vec![0x18, 1];
    for _ in 0..depth {
        for tag in [0x0a, 0x2a] {
            let mut outer = vec![tag];
            prost::encoding::encode_varint(value.len() as u64, &mut outer);
            outer.append(&mut value);
            value = outer;
        }
    }
    let mut kv = vec![0x0a, 4, b'd', b'e', b'e', b'p', 0x12];
    prost::encoding::encode_varint(value.len() as u64, &mut kv);
    kv.append(&mut value);
    kv
}

#[tokio::test]
async fn values_nested_too_deep_cost_only_their_attribute() {
    let fixture = Fixture::start();
    for (depth, warned) in [(64, false), (65, true), (100, true), (10_000, true)] {
        let kv = deep_attribute(depth);
        let mut body = Span { attributes: vec![attribute("kept", text("yes"))], ..span("deep") }.encode_to_vec();
        body.push(0x4a);
        prost::encoding::encode_varint(kv.len() as u64, &mut body);
        body.extend_from_slice(&kv);
        for tag in [0x12, 0x12, 0x0a] {
            let mut outer = vec![tag];
            prost::encoding::encode_varint(body.len() as u64, &mut outer);
            outer.append(&mut body);
            body = outer;
        }
        let answer = fixture.post_protobuf("/v1/traces", body).await;
        let response = ExportTraceServiceResponse::decode(answer.body).expect("a response");
        let message = response.partial_success.map(|p| p.error_message);
        assert_eq!((answer.status, message.as_deref()), (200, warned.then_some("repaired: 1 value nested too deep")), "{depth}");
        let json = format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"deep",
                "attributes":[{{"key":"deep","value":{}{{"intValue":1}}{}}},{{"key":"kept","value":{{"stringValue":"yes"}}}}]}}]}}]}}]}}"#,
            r#"{"arrayValue":{"values":["#.repeat(depth),
            "]}}".repeat(depth)
        );
        assert_eq!(fixture.post_json("/v1/traces", &json).await.status, 200, "{depth}");
    }
    let seen = fixture.stop().await;
    assert_eq!(seen.len(), 8);
    assert!(seen.iter().all(|s| s.attributes == 2));
    for deep in &seen[2..] {
        let has_mark = deep.body.windows(10).any(|w| w == b"<too deep>");
        assert!(has_mark, "{} bytes", deep.body.len());
    }
    // Prost reads what was nested not quite as deep as it can.
    let shallow = Span { attributes: vec![attribute("a", nested(30))], ..span("shallow") };
    assert_eq!(Span::decode(&shallow.encode_to_vec()[..]).expect("valid"), shallow);
}

#[tokio::test]
async fn too_many_and_too_long_attributes_are_cut_and_counted() {
    let fixture = Fixture::start();
    let mut many = span("many");
    many.attributes = (0..10_000).map(|i| attribute(&format!("key{i}"), Any::IntValue(i))).collect();
    many.dropped_attributes_count = 7;
    many.events = (0..300).map(|_| Event { name: "e".to_owned(), ..Event::default() }).collect();
    many.links = (0..200).map(|i| Link { trace_id: vec![1 + i as u8; 16], span_id: vec![2; 8], ..Link::default() }).collect();
    let mut long = span("long");
    long.attributes = vec![attribute("value", text(&"v".repeat(8 << 20))), attribute(&"k".repeat(1 << 20), Any::BoolValue(true))];
    let answer = fixture.post_protobuf("/v1/traces", traces(vec![many, long]).encode_to_vec()).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0), "cutting is no warning to the sender");
    let seen = fixture.spans(2).await;
    let many = Span::decode(&seen[0].body[..]).expect("a span");
    assert_eq!((seen[0].attributes, many.attributes.len(), many.attributes[127].key.as_str()), (128, 128, "key127"));
    assert_eq!(many.dropped_attributes_count, 7 + 9_872);
    assert_eq!((many.events.len(), many.dropped_events_count), (128, 172));
    assert_eq!((many.links.len(), many.dropped_links_count), (128, 72));
    let long = Span::decode(&seen[1].body[..]).expect("a span");
    assert_eq!(long.attributes[0].value, Some(AnyValue { value: Some(text(&format!("{}...(8 MiB)", "v".repeat(4096)))) }));
    assert_eq!(long.attributes[1].key, format!("{}...(1 MiB)", "k".repeat(256)));
    let truncated = |what| fixture.count("watchfire_truncated_total", &[("what", what)]);
    assert_eq!((truncated("text"), truncated("attributes")), (2, 9_872));
    assert_eq!((truncated("events"), truncated("links")), (172, 72));
    fixture.stop().await;
}

#[tokio::test]
async fn attributes_events_and_links_have_a_limit_each() {
    let fixture = Fixture::limited(|l| (l.max_attributes, l.max_events, l.max_links) = (300, 2, 1));
    let mut many = span("many");
    many.attributes = (0..301).map(|i| attribute(&format!("key{i}"), Any::IntValue(i))).collect();
    many.events = (0..3).map(|_| Event { name: "e".to_owned(), ..Event::default() }).collect();
    many.links = (0..4).map(|i| Link { trace_id: vec![1 + i; 16], span_id: vec![2; 8], ..Link::default() }).collect();
    assert_eq!(fixture.post_protobuf("/v1/traces", traces(vec![many]).encode_to_vec()).await.status, 200);
    let seen = fixture.stop().await;
    let kept = Span::decode(&seen[0].body[..]).expect("a span");
    assert_eq!((kept.attributes.len(), kept.events.len(), kept.links.len()), (300, 2, 1));
    assert_eq!((kept.dropped_attributes_count, kept.dropped_events_count, kept.dropped_links_count), (1, 1, 3));
}

#[tokio::test]
async fn methods_and_paths_that_are_not_ours_are_405_and_404() {
    let fixture = Fixture::start();
    for method in [reqwest::Method::GET, reqwest::Method::PUT, reqwest::Method::OPTIONS] {
        let answer = fixture.send(method, "/v1/traces", &[JSON], "").await;
        assert_eq!((answer.status, answer.header("allow"), answer.message().as_str()), (405, "POST", "use POST"));
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
    }
    for path in ["/", "/v1development/profiles", "/v1/traces/", "/v1/traces/..%2f..%2fetc/passwd", "/V1/TRACES"] {
        let answer = fixture.post(path, &[PROTOBUF], "").await;
        assert_eq!((answer.status, answer.message().as_str()), (404, "unknown path"), "{path}");
    }
    let profiles = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";
    let status = fixture.call(profiles, Vec::new()).await.expect_err("unknown");
    assert_eq!((status.code(), status.message()), (Code::Unimplemented, "unknown path"));
    let rejected = |reason| fixture.count("watchfire_http_rejected_total", &[("reason", reason)]);
    assert_eq!((rejected("method"), rejected("path")), (3, 6));
    fixture.stop().await;
}

#[tokio::test]
async fn malformed_bodies_among_good_ones_cost_no_good_span() {
    let fixture = Fixture::start();
    let good = traces(vec![span("good")]).encode_to_vec();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (mut sent_good, mut sent_bad) = (0, 0);
    for index in 0..10_000 {
        // Cut off, of the wrong wire type, or a length that lies: each is malformed for certain.
        let mut bad = good.clone();
        match index % 3 {
            0 => bad.truncate(1 + random() as usize % (good.len() - 1)),
            1 => bad[0] = 0x09,
            _ => bad[1] = bad[1].wrapping_add(1 + (random() % 60) as u8),
        }
        let answer = if index % 2 == 0 {
            fixture.post_protobuf("/v1/traces", bad).await.status
        } else {
            match fixture.call(TRACE_EXPORT, bad).await {
                Err(status) if status.code() == Code::InvalidArgument => 400,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(answer, 400);
        sent_bad += 1;
        if index % 10 == 0 {
            assert_eq!(fixture.post_protobuf("/v1/traces", good.clone()).await.status, 200);
            sent_good += 1;
        }
    }
    assert_eq!(fixture.rejected("traces", "decode"), sent_bad);
    assert_eq!(fixture.stop().await.len(), sent_good);
}

#[tokio::test]
async fn times_from_another_world_are_taken_as_they_are() {
    let fixture = Fixture::start();
    let odd = |start, end| Span { start_time_unix_nano: start, end_time_unix_nano: end, ..span("odd") };
    let body = traces(vec![odd(5, 1), odd(0, 0), odd(u64::MAX, u64::MAX), odd(1, u64::MAX)]).encode_to_vec();
    assert_eq!(fixture.post_protobuf("/v1/traces", body).await.status, 200);
    assert_eq!(fixture.stop().await.len(), 4);
}
