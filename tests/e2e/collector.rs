//! Pointed at a collector: its own figures, and the span metrics that it or Tempo derived already.

use crate::instance::{Watchfire, eventually};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value as Json, json};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;

/// The collector's health check has a port of its own on the collector's host, so the test's collector has a host of its own.
const HOST: &str = "127.9.13.3";

const OWN_FIGURES: &str = include_str!("../../alerts/dialects/fixtures/otelcol.prom");

async fn serve(address: &str, router: Router) -> String {
    let listener = TcpListener::bind(address).await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_a_node_with_its_queue_and_its_losses() {
    let refused = Arc::new(AtomicU64::new(2));
    let count = refused.clone();
    let text = OWN_FIGURES.split("# --- next scrape ---\n").next().expect("a part");
    let page = move || {
        let text: String = text
            .lines()
            .map(|l| match l.rsplit_once(' ') {
                Some((series, _)) if series.starts_with("otelcol_receiver_refused_spans_total{") => {
                    format!("{series} {}\n", count.load(Ordering::SeqCst))
                }
                _ => format!("{l}\n"),
            })
            .collect();
        async move { ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], text) }
    };
    let metrics = serve(&format!("{HOST}:0"), Router::new().route("/metrics", get(page))).await;
    let body = r#"{"status":"Server available","upSince":"2026-01-01T00:00:00Z","uptime":"1m"}"#;
    serve(&format!("{HOST}:13133"), Router::new().route("/", get(move || async move { (StatusCode::OK, body) }))).await;

    let watchfire = Watchfire::start(&["--collector", &format!("http://{metrics}")]);
    let name = format!("otelcol {metrics}");
    let row =
        |json: &Json| json["services"].as_array().and_then(|l| l.iter().find(|s| s["name"] == name.as_str()).cloned()).unwrap_or_default();
    let services = watchfire.until("/api/watchfire/v1/services", "the collector is well", |json| row(json)["state"] == "healthy").await;
    assert_eq!(row(&services)["why"], json!([]), "{services:#}");

    let page_path = format!("/api/watchfire/v1/services/{}", name.replace(' ', "%20"));
    let page = watchfire
        .until(&page_path, "its figures", |json| json["collector"]["queue_size"] == 12.0 && json["checks"][0]["state"] == "healthy")
        .await;
    let figures = &page["collector"];
    for (figure, value) in [
        ("queue_capacity", 2000.0),
        ("accepted", 1017.0),
        ("sent", 1500.0),
        ("refused", 2.0),
        ("dropped", 6.0),
        ("send_failed", 5.0),
        ("enqueue_failed", 4.0),
        ("uptime_seconds", 120.0),
    ] {
        assert_eq!(figures[figure], value, "{figure}: {figures}");
    }
    assert_eq!(page["checks"][0]["check"], "health_check", "{page:#}");

    let map = watchfire.json("/api/watchfire/v1/map").await;
    let node = map["nodes"].as_array().and_then(|l| l.iter().find(|n| n["name"] == name.as_str())).expect("a node");
    assert_eq!(node["queue_depth"], 12.0, "{node}");
    let queue = format!("{metrics} otlp/tempo");
    watchfire
        .until("/api/watchfire/v1/queues", "its exporter's queue", |json| {
            json["queues"].as_array().is_some_and(|l| l.iter().any(|q| q["queue"] == queue.as_str() && q["dead_letters"] == 4.0))
        })
        .await;

    refused.store(500, Ordering::SeqCst);
    let services = watchfire.until("/api/watchfire/v1/services", "it refuses spans", |json| row(json)["state"] == "degraded").await;
    let why = row(&services)["why"][0].as_str().unwrap_or_default().to_owned();
    assert!(why.ends_with("items refused in 5 m"), "{why}");
}

/// Span metrics as the collector's connector and as Tempo write them, `n` seconds after the start at these calls per second.
fn ready_made(n: u64) -> String {
    let mut text = String::new();
    let mut connector = |service: &str, rate: u64| {
        let labels =
            format!("service_name=\"{service}\",span_name=\"GET /\",span_kind=\"SPAN_KIND_SERVER\",status_code=\"STATUS_CODE_UNSET\"");
        let calls = n * rate;
        let _ = writeln!(text, "traces_span_metrics_calls_total{{{labels}}} {calls}");
        for (le, share) in [("100", 0), ("200", 100), ("+Inf", 100)] {
            let _ = writeln!(text, "traces_span_metrics_duration_milliseconds_bucket{{{labels},le=\"{le}\"}} {}", calls * share / 100);
        }
        let _ = writeln!(text, "traces_span_metrics_duration_milliseconds_sum{{{labels}}} {}", calls * 150);
        let _ = writeln!(text, "traces_span_metrics_duration_milliseconds_count{{{labels}}} {calls}");
    };
    connector("shop", 1000);
    connector("pay", 20);
    let tempo = "service=\"stock\",span_name=\"Reserve\",span_kind=\"SPAN_KIND_SERVER\"";
    for (status, calls) in [("STATUS_CODE_UNSET", n * 9), ("STATUS_CODE_ERROR", n)] {
        let labels = format!("{tempo},status_code=\"{status}\"");
        let _ = writeln!(text, "traces_spanmetrics_calls_total{{{labels}}} {calls}");
        for (le, share) in [("0.256", 0), ("0.512", 1), ("+Inf", 1)] {
            let _ = writeln!(text, "traces_spanmetrics_latency_bucket{{{labels},le=\"{le}\"}} {}", calls * share);
        }
    }
    let edge = "client=\"pay\",server=\"stock\",connection_type=\"\"";
    for (failed, calls) in [("false", n * 9), ("true", n)] {
        let _ = writeln!(text, "traces_service_graph_request_total{{{edge},failed=\"{failed}\"}} {calls}");
    }
    let _ = writeln!(text, "traces_service_graph_request_failed_total{{{edge},failed=\"true\"}} {n}");
    for (le, share) in [("0.2", 0), ("0.4", 1), ("+Inf", 1)] {
        let _ = writeln!(text, "traces_service_graph_request_client_seconds_bucket{{{edge},le=\"{le}\"}} {}", n * 10 * share);
    }
    text
}

fn span(n: u64) -> Json {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeSpans": [{"spans": [{
            "traceId": format!("{:032x}", n + 1), "spanId": format!("{:016x}", n + 1), "name": "GET /", "kind": 2,
            "startTimeUnixNano": (now - 5_000_000).to_string(), "endTimeUnixNano": now.to_string(),
        }]}],
    }]})
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_made_span_metrics_fill_gaps_and_are_never_counted_twice() {
    let started = std::time::Instant::now();
    let page = move || async move {
        let n = started.elapsed().as_secs() + 1;
        ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], ready_made(n))
    };
    let address = serve("127.0.0.1:0", Router::new().route("/metrics", get(page))).await;
    // The same graph from a second place: from Tempo as well as from the collector.
    let config = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
    let job = |name: &str| format!("[[scrape]]\nname = \"{name}\"\nurls = [\"http://{address}/metrics\"]\ninterval = \"1s\"\n");
    std::fs::write(config.path(), job("collector") + &job("tempo")).expect("written");
    let watchfire = Watchfire::start(&["--config", &config.path().display().to_string()]);

    let row = |json: &Json, name: &str| {
        json["services"].as_array().and_then(|l| l.iter().find(|s| s["name"] == name).cloned()).unwrap_or_default()
    };
    let mut sent = 0;
    let services = eventually("all are seen", Duration::from_secs(60), async || {
        let url = format!("http://{}/v1/traces", watchfire.otlp_http);
        let answer = watchfire.client().post(url).json(&span(sent)).send().await.expect("answered");
        assert_eq!(answer.status(), 200);
        sent += 1;
        let services = watchfire.json("/api/watchfire/v1/services").await;
        let known = |name: &str| row(&services, name)["rate"].as_f64().is_some_and(|r| r > 0.0);
        if ["shop", "pay", "stock"].into_iter().all(known) && row(&services, "shop")["source"] == "spans" {
            return Ok(services);
        }
        Err(format!("{services:#}"))
    })
    .await;
    let rate = |name: &str| row(&services, name)["rate"].as_f64().unwrap_or_default();
    assert!(rate("shop") < 500.0, "own spans say some a second, the collector a thousand: {}", rate("shop"));
    assert_eq!(row(&services, "pay")["source"], "span metrics");
    assert!(rate("pay") < 35.0, "20 a second, and not twice that: {}", rate("pay"));
    let p95 = row(&services, "pay")["p95_seconds"].as_f64().expect("a percentile");
    assert!((0.1..=0.2).contains(&p95), "milliseconds became seconds: {p95}");
    assert!(rate("stock") < 18.0, "10 a second, and not twice that: {}", rate("stock"));
    let errors = row(&services, "stock")["error_ratio"].as_f64().expect("a share");
    assert!((errors - 0.1).abs() < 0.02, "{errors}");

    let edge = |json: &Json| {
        let edges = json["edges"].as_array().cloned().unwrap_or_default();
        edges.into_iter().find(|e| e["client"] == "pay" && e["server"] == "stock").unwrap_or_default()
    };
    let map = watchfire.until("/api/watchfire/v1/map", "an edge", |json| edge(json)["rate"].as_f64().is_some_and(|r| r > 0.0)).await;
    let edge = edge(&map);
    assert_eq!((&edge["source"], &edge["observed"]), (&json!("service graph"), &json!(true)), "{edge}");
    assert!(edge["rate"].as_f64().is_some_and(|r| r < 18.0), "10 a second, and not twice that: {edge}");
    assert!(edge["error_ratio"].as_f64().is_some_and(|r| (r - 0.1).abs() < 0.02), "{edge}");
    assert!(edge["p95_seconds"].as_f64().is_some_and(|p| (0.2..=0.4).contains(&p)), "{edge}");

    let page = watchfire.json("/api/watchfire/v1/services/stock").await;
    assert_eq!(page["operations"][0]["name"], "Reserve", "{page:#}");
}
