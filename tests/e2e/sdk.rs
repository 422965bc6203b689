//! What OpenTelemetry's own SDKs send, recorded.
//!
//! `fixtures/sdk-traces.bin` and `fixtures/sdk-logs.bin` hold the requests, each behind its length, that a small shop sent while twelve orders were
//! placed: `web` (Node.js: Express, fetch, ioredis, by auto-instrumentations-node), `orders` (Python 1.45: Flask, requests, psycopg2, redis, pika, a
//! Celery task), `payments` (FastAPI), `invoicer` (pika) and `mailer` (a Celery worker), with real PostgreSQL, Redis and RabbitMQ. Settings were the
//! default ones, but for attribute values cut at 160 characters; the machine's name and paths are others. Order 7 fails in the database, order 10 at
//! `payments`, and the letter for order 5 is not sent.

use crate::instance::Watchfire;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde_json::Value as Json;
use std::time::{SystemTime, UNIX_EPOCH};

const TRACES: &[u8] = include_bytes!("fixtures/sdk-traces.bin");
const LOGS: &[u8] = include_bytes!("fixtures/sdk-logs.bin");

fn requests<M: Message + Default>(mut bytes: &[u8]) -> Vec<M> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        out.push(M::decode_length_delimited(&mut bytes).expect("a request behind its length"));
    }
    out
}

/// The recorded spans, as if the last of them had ended now.
fn traces() -> Vec<ExportTraceServiceRequest> {
    let mut requests = requests::<ExportTraceServiceRequest>(TRACES);
    let mut spans: Vec<_> =
        requests.iter_mut().flat_map(|r| &mut r.resource_spans).flat_map(|r| &mut r.scope_spans).flat_map(|s| &mut s.spans).collect();
    let last = spans.iter().map(|span| span.end_time_unix_nano).max().expect("spans");
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos()).expect("before 2554");
    for span in &mut spans {
        for time in [&mut span.start_time_unix_nano, &mut span.end_time_unix_nano] {
            *time = now - (last - *time);
        }
    }
    requests
}

async fn post(watchfire: &Watchfire, signal: &str, request: &impl Message) {
    let url = format!("http://{}/v1/{signal}", watchfire.otlp_http);
    let post = watchfire.client().post(url).header("content-type", "application/x-protobuf").body(request.encode_to_vec());
    let answer = post.send().await.expect("answered");
    assert_eq!((answer.status().as_u16(), answer.bytes().await.expect("a body").len()), (200, 0), "nothing of it is refused");
}

/// How often one called another, and how many of the calls failed.
fn calls(answer: &Json, client: &str, server: &str) -> Option<f64> {
    let of = |series: &&Json| series["metric"]["client"] == client && series["metric"]["server"] == server;
    answer["data"]["result"].as_array()?.iter().find(of)?["value"][1].as_str()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_of_python_and_node_services_is_drawn_with_its_failures() {
    let watchfire = Watchfire::start(&[]);
    for request in traces() {
        post(&watchfire, "traces", &request).await;
    }
    for request in requests::<ExportLogsServiceRequest>(LOGS) {
        post(&watchfire, "logs", &request).await;
    }
    let expected = [
        ("web", "orders", 12.0, 2.0),
        ("orders", "payments", 11.0, 1.0),
        ("orders", "shop", 25.0, 1.0),
        ("orders", "invoicer", 10.0, 0.0),
        ("orders", "mailer", 10.0, 1.0),
    ];
    let of = |what: &str| format!("/api/v1/query?query=sum by (client, server) (traces_service_graph_request_{what})");
    let total = watchfire
        .until(&of("total"), "every call is counted", |answer| {
            expected.iter().all(|(client, server, count, _)| calls(answer, client, server) == Some(*count))
        })
        .await;
    let failed = watchfire.json(&of("failed_total")).await;
    for (client, server, _, count) in expected {
        assert_eq!(calls(&failed, client, server).unwrap_or(0.0), count, "{client} to {server}: {failed:#}");
    }
    for client in ["web", "orders", "mailer"] {
        assert!(calls(&total, client, "redis").is_some_and(|count| count > 0.0), "{client} uses redis: {total:#}");
    }
    let edges = total["data"]["result"].as_array().map(Vec::len);
    assert_eq!(edges, Some(expected.len() + 3), "and there is nothing else: {total:#}");

    let served = |service: &str, status: &str| {
        format!(
            r#"/api/v1/query?query=sum(traces_span_metrics_calls_total{{service_name="{service}",span_kind=~"SPAN_KIND_(SERVER|CONSUMER)",status_code="STATUS_CODE_{status}"}})"#
        )
    };
    for (service, status, count) in [("web", "ERROR", "2"), ("orders", "ERROR", "2"), ("payments", "ERROR", "1"), ("mailer", "ERROR", "1")]
    {
        let answer = watchfire.json(&served(service, status)).await;
        assert_eq!(answer["data"]["result"][0]["value"][1], count, "{service}: {answer:#}");
    }
    let map = watchfire.json("/api/watchfire/v1/map").await;
    let kind = |name: &str| map["nodes"].as_array().and_then(|l| l.iter().find(|n| n["name"] == name)).map(|n| n["kind"].clone());
    for (name, expected) in
        [("web", "service"), ("payments", "service"), ("shop", "database"), ("redis", "cache"), ("invoices", "queue"), ("celery", "queue")]
    {
        assert_eq!(kind(name), Some(expected.into()), "{name}: {map:#}");
    }

    // The queues are in between.
    for (client, server) in [("orders", "invoices"), ("invoices", "invoicer"), ("orders", "celery"), ("celery", "mailer")] {
        let edge = |e: &Json| e["client"] == client && e["server"] == server && e["kind"] == "messaging";
        assert!(map["edges"].as_array().is_some_and(|l| l.iter().any(edge)), "{client} to {server}: {map:#}");
    }

    // From what a service wrote about the failing order to the span that failed.
    let logs = watchfire.json("/api/watchfire/v1/logs?service=orders").await;
    let about = |line: &&Json| line["body"] == "Exception on /orders/10 [POST]" && line["severity"] == "ERROR";
    let id = logs["logs"].as_array().and_then(|l| l.iter().find(about)).and_then(|line| line["trace_id"].as_str());
    let trace = watchfire.json(&format!("/api/watchfire/v1/traces/{}", id.unwrap_or_else(|| panic!("a line of a trace: {logs:#}")))).await;
    let refused = |span: &Json| span["service"] == "payments" && span["status"] == "error" && span["kind"] == "server";
    assert!(trace["spans"].as_array().is_some_and(|l| l.iter().any(refused)), "{trace:#}");
}
