//! What is taken in.

use crate::fixture::*;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient};
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data, number_data_point::Value as Number,
};
use prost::Message;
use std::io::Write;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use watchfire_model::{LogSeverity, Timestamp, Value};

fn gauge(value: f64) -> ExportMetricsServiceRequest {
    let point = NumberDataPoint {
        time_unix_nano: NOW_NANOS,
        value: Some(Number::AsDouble(value)),
        attributes: vec![attribute("queue.name", text("mail"))],
        ..NumberDataPoint::default()
    };
    let metric =
        Metric { name: "queue.depth".to_owned(), data: Some(Data::Gauge(Gauge { data_points: vec![point] })), ..Metric::default() };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource("checkout")),
            scope_metrics: vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }],
    }
}

fn log(body: &str) -> ExportLogsServiceRequest {
    let record = LogRecord {
        observed_time_unix_nano: NOW_NANOS,
        severity_number: 17,
        body: Some(AnyValue { value: Some(text(body)) }),
        trace_id: vec![7; 16],
        span_id: vec![9; 8],
        attributes: vec![attribute("attempt", Any::IntValue(3))],
        ..LogRecord::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource("checkout")),
            scope_logs: vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        }],
    }
}

#[tokio::test]
async fn generated_clients_deliver_all_three_signals_over_grpc_in_every_compression() {
    let fixture = Fixture::start();
    let request = ExportTraceServiceRequest { resource_spans: traces(vec![span("GET /a")]).resource_spans };
    for encoding in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let mut client = TraceServiceClient::new(fixture.channel.clone());
        if let Some(encoding) = encoding {
            client = client.send_compressed(encoding);
        }
        let answer = client.export(request.clone()).await.expect("taken in").into_inner();
        assert_eq!(answer.partial_success, None);
    }
    let seen = fixture.spans(3).await;
    assert!(seen.iter().all(|s| s.service == "checkout" && s.name == "GET /a"), "{seen:?}");

    let answer = MetricsServiceClient::new(fixture.channel.clone()).export(gauge(5.0)).await.expect("taken in").into_inner();
    assert_eq!(answer.partial_success, None);
    let samples = fixture.store.samples.lock().expect("not poisoned").clone();
    let (labels, at, value) = &samples[0];
    assert_eq!(labels.to_string(), r#"queue_depth{job="checkout", queue_name="mail", service_name="checkout"}"#);
    assert_eq!((*at, value), (NOW, &Value::Float(5.0)));

    let answer = LogsServiceClient::new(fixture.channel.clone()).export(log("card declined")).await.expect("taken in").into_inner();
    assert_eq!(answer.partial_success, None);
    let logs = fixture.store.logs.lock().expect("not poisoned").clone();
    assert_eq!((logs[0].body.as_str(), logs[0].severity, &*logs[0].service), ("card declined", LogSeverity::Error, "checkout"));
    assert_eq!((logs[0].at, logs[0].trace_id.is_some()), (Timestamp(NOW.0), true));
    for signal in ["traces", "metrics", "logs"] {
        let expected = if signal == "traces" { 3 } else { 1 };
        assert_eq!(fixture.count("watchfire_ingest_accepted_total", &[("signal", signal)]), expected, "{signal}");
    }
    fixture.stop().await;
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

#[tokio::test]
async fn http_takes_protobuf_in_every_compression_and_answers_in_protobuf() {
    let fixture = Fixture::start();
    let body = traces(vec![span("GET /a")]).encode_to_vec();
    for (encoding, bytes) in [
        ("identity", body.clone()),
        ("gzip", gzip(&body)),
        ("zstd", zstd::encode_all(&body[..], 3).expect("in memory")),
        ("deflate", zlib(&body)),
    ] {
        let headers = [("content-type", "application/x-protobuf"), ("content-encoding", encoding)];
        let answer = fixture.post("/v1/traces", &headers, bytes).await;
        assert_eq!((answer.status, answer.header("content-type"), answer.body.len()), (200, "application/x-protobuf", 0), "{encoding}");
    }
    assert_eq!(fixture.stop().await.len(), 4);
}

/// A gzip stream may have several members (RFC 1952, 2.2): parallel compressors write one for each piece.
#[tokio::test]
async fn every_member_of_a_gzip_stream_is_read_on_both_transports() {
    let fixture = Fixture::start();
    let [first, second] = ["a", "b"].map(|name| gzip(&traces(vec![span(name)]).encode_to_vec()));
    let both = [&first[..], &gzip(&[]), &second].concat();
    let framed = |message: &[u8]| [&[1][..], &(message.len() as u32).to_be_bytes(), message].concat();
    let http = [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
    let grpc = [("content-type", "application/grpc"), ("grpc-encoding", "gzip")];
    assert_eq!(fixture.post("/v1/traces", &http, both.clone()).await.status, 200);
    let answer = fixture.post(TRACE_EXPORT, &grpc, framed(&both)).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &[0, 0, 0, 0, 0][..]), "{}", answer.header("grpc-message"));
    // What follows the last member and is none is damage: nothing of such a request is stored.
    let damaged = [&first[..], b"no member"].concat();
    let told = "cannot decode trace request: cannot decompress";
    let answer = fixture.post("/v1/traces", &http, damaged.clone()).await;
    assert!(answer.status == 400 && answer.message().starts_with(told), "{}", answer.message());
    let answer = fixture.post(TRACE_EXPORT, &grpc, framed(&damaged)).await;
    assert_eq!(answer.header("grpc-status"), "3");
    assert!(answer.header("grpc-message").replace("%20", " ").starts_with(told), "{}", answer.header("grpc-message"));
    // A health check may be compressed as well.
    let answer = fixture.post("/grpc.health.v1.Health/Check", &grpc, framed(&gzip(&[]))).await;
    assert_eq!(&answer.body[..], [0, 0, 0, 0, 2, 8, 1], "{}", answer.header("grpc-message"));
    let names: Vec<String> = fixture.stop().await.into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["a", "b", "a", "b"]);
}

#[tokio::test]
async fn http_takes_json_as_the_specification_shows_it() {
    let fixture = Fixture::start();
    let json = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174",
        "parentSpanId":"EEE19B7EC3C1B173","name":"I'm a server span","startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1544712661000000000,
        "kind":2,"unknownField":{"deep":[1,2,{"x":null}]},"attributes":[{"key":"my.span.attr","value":{"stringValue":"some value"}}],
        "status":{"code":2},"droppedEventsCount":null}]}],"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"my.service"}}]}}]}"#;
    let answer = fixture.post("/v1/traces", &[("content-type", "application/json; charset=utf-8")], json).await;
    assert_eq!((answer.status, answer.header("content-type"), &answer.body[..]), (200, "application/json", &b"{}"[..]));
    let marked = fixture.post_json("/v1/traces", "\u{feff}{}").await;
    assert_eq!(marked.status, 200, "a byte order mark is no part of the text");
    let seen = fixture.spans(1).await;
    assert_eq!((seen[0].service.as_str(), seen[0].name.as_str(), seen[0].attributes), ("my.service", "I'm a server span", 1));
    let span = opentelemetry_proto::tonic::trace::v1::Span::decode(&seen[0].body[..]).expect("a span");
    assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (1_544_712_660_000_000_000, 1_544_712_661_000_000_000));
    assert_eq!((span.parent_span_id[0], span.status.expect("given").code), (0xee, 2));

    let json = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"g","gauge":{"dataPoints":[
        {"timeUnixNano":"1700000000000000000","asDouble":"NaN"},{"timeUnixNano":"1700000001000000000","asInt":"-3"},
        {"timeUnixNano":"1700000002000000000","asDouble":1}]}}]}]}]}"#;
    assert_eq!(fixture.post_json("/v1/metrics", json).await.status, 200);
    assert_eq!(fixture.store.samples.lock().expect("not poisoned").len(), 3);

    let json = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1700000000000000000","severityText":"WARNING",
        "body":{"kvlistValue":{"values":[{"key":"a","value":{"arrayValue":{"values":[{"intValue":"1"},{"boolValue":true}]}}}]}}}]}]}]}"#;
    assert_eq!(fixture.post_json("/v1/logs", json).await.status, 200);
    let logs = fixture.store.logs.lock().expect("not poisoned").clone();
    assert_eq!((logs[0].body.as_str(), logs[0].severity, &*logs[0].service), (r#"{"a":[1,true]}"#, LogSeverity::Warn, "unknown_service"));
    let json = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"unknown_service:node"}},
        {"key":"k8s.statefulset.name","value":{"stringValue":"db"}}]},"scopeLogs":[{"logRecords":[{"body":{"stringValue":"up"}}]}]}]}"#;
    assert_eq!(fixture.post_json("/v1/logs", json).await.status, 200);
    let logs = fixture.store.logs.lock().expect("not poisoned").clone();
    assert_eq!((&*logs[1].service, logs[1].attributes.len()), ("db", 1), "what the resource says of itself is in the name");
    fixture.stop().await;
}

/// A clock that is ahead would have its records on top of all others until they come true.
#[tokio::test]
async fn logs_of_a_clock_that_is_ahead_are_kept_at_what_else_is_known_of_their_time() {
    let fixture = Fixture::start();
    let (minute, year) = (60_000_000_000, 31_536_000_000_000_000);
    let mut records = Vec::new();
    for (time, observed) in [(minute, 0), (year, 0), (year, 7 * minute), (year, year), (0, 0), (0, 2 * minute)] {
        let [time, observed] = [time, observed].map(|later: u64| if later == 0 { 0 } else { NOW_NANOS + later });
        records.push(format!(r#"{{"timeUnixNano":"{time}","observedTimeUnixNano":"{observed}"}}"#));
    }
    for severity in ["W", "E", "WARN", "word"] {
        records.push(format!(r#"{{"severityText":"{severity}"}}"#));
    }
    let json = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{}]}}]}}]}}"#, records.join(","));
    let answer = fixture.post_json("/v1/logs", &json).await;
    let warned = r#"{"partialSuccess":{"errorMessage":"repaired: 3 time in the future","rejectedLogRecords":"0"}}"#;
    assert_eq!((answer.status, std::str::from_utf8(&answer.body)), (200, Ok(warned)));
    assert_eq!(fixture.count("watchfire_ingest_repaired_total", &[("reason", "time_in_the_future"), ("signal", "logs")]), 3);
    let logs = fixture.store.logs.lock().expect("not poisoned").clone();
    let minutes: Vec<i64> = logs[..6].iter().map(|record| (record.at.0 - NOW.0) / 60_000).collect();
    assert_eq!(minutes, [1, 0, 7, 0, 0, 2]);
    let severities: Vec<LogSeverity> = logs[6..].iter().map(|record| record.severity).collect();
    assert_eq!(severities, [LogSeverity::Warn, LogSeverity::Error, LogSeverity::Warn, LogSeverity::Unspecified]);
    fixture.stop().await;
}

#[tokio::test]
async fn empty_envelopes_are_a_success_and_store_nothing() {
    let fixture = Fixture::start();
    for path in ["/v1/traces", "/v1/metrics", "/v1/logs"] {
        assert_eq!(fixture.post_protobuf(path, Vec::new()).await.status, 200);
        assert_eq!(fixture.post_json(path, "{}").await.status, 200);
    }
    assert_eq!(fixture.post_json("/v1/traces", r#"{"resourceSpans":[{"scopeSpans":[{}]},{}]}"#).await.status, 200);
    for path in [TRACE_EXPORT, METRICS_EXPORT, LOGS_EXPORT] {
        assert_eq!(fixture.call(path, Vec::new()).await.expect("taken in").len(), 0);
    }
    assert_eq!(fixture.stop().await.len(), 0);
}

/// A message behind its gRPC prefix.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).expect("short").to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

#[tokio::test]
async fn a_message_is_the_same_however_its_frames_are_cut() {
    let fixture = Fixture::limited(|limits| limits.max_bytes = 400 << 10);
    let mut expected = 0;
    // Smaller and larger than what is taken as it lies, and than a frame of HTTP/2.
    for count in [1, 55, 65, 600] {
        let message = traces(vec![span(&"n".repeat(500)); count]).encode_to_vec();
        let whole = framed(&message);
        for cuts in [vec![], vec![3], vec![5], vec![whole.len() - 1], vec![5, whole.len() / 2]] {
            let (mut frames, mut from) = (Vec::new(), 0);
            for cut in cuts.iter().copied().chain([whole.len()]) {
                frames.push(Bytes::copy_from_slice(&whole[from..cut]));
                from = cut;
            }
            assert_eq!(fixture.call_in_frames(TRACE_EXPORT, frames).await, Code::Ok, "{count} spans, cut at {cuts:?}");
            expected += count;
            let seen = fixture.spans(expected).await;
            assert!(seen.iter().all(|s| s.service == "checkout" && s.name.len() == 500), "{count} spans, cut at {cuts:?}");
        }
        // Something behind the one message of a unary call, in the same frame or in another.
        let extra = Bytes::from([whole.clone(), vec![0, 0]].concat());
        let split = vec![Bytes::from(whole.clone()), Bytes::from_static(&[0, 0])];
        for frames in [vec![extra], split] {
            assert_eq!(fixture.call_in_frames(TRACE_EXPORT, frames).await, Code::InvalidArgument, "{count} spans");
        }
    }
    let long = framed(&traces(vec![span(&"n".repeat(500)); 900]).encode_to_vec());
    assert_eq!(fixture.call_in_frames(TRACE_EXPORT, vec![long.into()]).await, Code::ResourceExhausted);
    assert_eq!(fixture.rejected("traces", "bytes"), 1);
    assert_eq!(fixture.stop().await.len(), expected);
}

#[tokio::test]
async fn a_resource_after_its_spans_is_still_their_resource() {
    let fixture = Fixture::start();
    // ResourceSpans with field 2 before field 1.
    let spans = ScopeSpansOnly { scope_spans: traces(vec![span("late")]).resource_spans.remove(0).scope_spans }.encode_to_vec();
    let resource = ResourceOnly { resource: Some(resource("after")) }.encode_to_vec();
    let mut body = vec![0x0a];
    prost::encoding::encode_varint((spans.len() + resource.len()) as u64, &mut body);
    body.extend_from_slice(&spans);
    body.extend_from_slice(&resource);
    assert_eq!(fixture.post_protobuf("/v1/traces", body).await.status, 200);
    assert_eq!(fixture.spans(1).await[0].service, "after");
    fixture.stop().await;
}

#[derive(Clone, PartialEq, prost::Message)]
struct ScopeSpansOnly {
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<opentelemetry_proto::tonic::trace::v1::ScopeSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResourceOnly {
    #[prost(message, optional, tag = "1")]
    resource: Option<opentelemetry_proto::tonic::resource::v1::Resource>,
}

#[tokio::test]
async fn both_ports_understand_both_protocols() {
    let fixture = Fixture::start();
    let grpc = fixture.running.as_ref().and_then(|r| r.grpc).expect("bound");
    let body = traces(vec![span("over http on the grpc port")]).encode_to_vec();
    let answer = fixture.post_protobuf(&format!("http://{grpc}/v1/traces"), body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(fixture.stop().await.len(), 1);
}

#[tokio::test]
async fn the_health_service_says_serving() {
    let fixture = Fixture::start();
    let answer = fixture.call("/grpc.health.v1.Health/Check", Vec::new()).await.expect("known");
    assert_eq!(&answer[..], [0x08, 0x01]);
    let unknown = fixture.call("/grpc.health.v1.Health/Check", vec![0x0a, 1, b'x']).await.expect_err("unknown");
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    fixture.stop().await;
}

#[tokio::test]
async fn what_was_taken_in_is_shown_before_the_receiver_ends() {
    let fixture = Fixture::start();
    for index in 0..50 {
        let body = traces((0..20).map(|i| span(&format!("{index}-{i}"))).collect()).encode_to_vec();
        assert_eq!(fixture.post_protobuf("/v1/traces", body).await.status, 200);
    }
    assert_eq!(fixture.stop().await.len(), 1000);
}
