//! Telemetry over both OTLP doors becomes services, edges, traces, series and logs.

use crate::instance::Watchfire;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Link;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use serde_json::Value as Json;
use std::time::{SystemTime, UNIX_EPOCH};

fn now_nanos() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos()).expect("before 2554")
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    }
}

fn of_service(name: &str, spans: Vec<Span>) -> ResourceSpans {
    ResourceSpans {
        resource: Some(Resource { attributes: vec![attribute("service.name", name)], ..Resource::default() }),
        scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

/// Traces of two services: `shop` serves, calls `stock`, which reads a database; every tenth call fails.
fn traces(count: u8) -> ExportTraceServiceRequest {
    let end = now_nanos();
    let (mut shop, mut stock) = (Vec::new(), Vec::new());
    for i in 0..count {
        let trace_id = vec![i + 1; 16];
        let span = |id: u8, parent: u8, name: &str, kind: i32, ms: u64| Span {
            trace_id: trace_id.clone(),
            span_id: vec![id, i, 1, 1, 1, 1, 1, 1],
            parent_span_id: if parent == 0 { Vec::new() } else { vec![parent, i, 1, 1, 1, 1, 1, 1] },
            name: name.to_owned(),
            kind,
            start_time_unix_nano: end - ms * 1_000_000,
            end_time_unix_nano: end,
            ..Span::default()
        };
        shop.push(span(1, 0, "GET /cart", 2, 80));
        shop.push(span(2, 1, "GET", 3, 70));
        let mut served = span(3, 2, "GET /stock", 2, 60);
        if i % 10 == 0 {
            served.status = Some(Status { code: 2, message: "out of stock".to_owned() });
        }
        stock.push(served);
        let mut read = span(4, 3, "SELECT stock", 3, 20);
        read.attributes = vec![attribute("db.system.name", "postgresql"), attribute("db.namespace", "stock_db")];
        stock.push(read);
    }
    ExportTraceServiceRequest { resource_spans: vec![of_service("shop", shop), of_service("stock", stock)] }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_over_grpc_draw_the_map_and_the_figures() {
    let watchfire = Watchfire::start(&[]);
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", watchfire.otlp_grpc))
        .expect("an address")
        .connect()
        .await
        .expect("the receiver listens");
    let mut client = TraceServiceClient::new(channel);
    let reply = client.export(traces(40)).await.expect("accepted").into_inner();
    assert_eq!(reply.partial_success, None);

    let services = watchfire
        .until("/api/watchfire/v1/services", "both services with a rate", |json| {
            json["services"].as_array().is_some_and(|list| list.iter().filter(|s| s["rate"].is_number()).count() == 2)
        })
        .await;
    let stock = services["services"].as_array().and_then(|l| l.iter().find(|s| s["name"] == "stock")).expect("stock is there");
    assert!((stock["error_ratio"].as_f64().expect("known") - 0.1).abs() < 0.02, "{stock}");
    assert!((stock["p95_seconds"].as_f64().expect("known") - 0.06).abs() < 0.002, "{stock}");

    let map = watchfire
        .until("/api/watchfire/v1/map", "a service edge and a database edge", |json| {
            let edge = |client: &str, server: &str| {
                json["edges"].as_array().is_some_and(|l| l.iter().any(|e| e["client"] == client && e["server"] == server))
            };
            edge("shop", "stock") && edge("stock", "stock_db")
        })
        .await;
    let kind = |name: &str| map["nodes"].as_array().and_then(|l| l.iter().find(|n| n["name"] == name)).map(|n| n["kind"].clone());
    assert_eq!(kind("stock_db"), Some("database".into()));
    assert_eq!(kind("stock"), Some("service".into()));

    let found = watchfire.json("/api/watchfire/v1/traces?service=stock&error=true").await;
    assert_eq!(found["traces"].as_array().map(Vec::len), Some(4), "{found}");
    let id = found["traces"][0]["trace_id"].as_str().expect("an id");
    let trace = watchfire.json(&format!("/api/watchfire/v1/traces/{id}")).await;
    assert_eq!(trace["spans"].as_array().map(Vec::len), Some(4), "{trace}");

    // An attached terminal asks every second, and is not sent what it has.
    let url = format!("http://{}/api/watchfire/v1/traces/{id}", watchfire.api);
    let first = watchfire.client().get(&url).send().await.expect("answered");
    let tag = first.headers().get("etag").expect("a tag").clone();
    let ask = |tag: &str| watchfire.client().get(&url).header("if-none-match", tag).send();
    let again = ask(tag.to_str().expect("text")).await.expect("answered");
    assert_eq!((again.status().as_u16(), again.bytes().await.expect("a body").len()), (304, 0));
    assert_eq!(ask("W/\"0\"").await.expect("answered").status(), 200);
}

/// Nothing listens there: the probe finds out before the failing calls are many.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_on_the_map_is_as_unwell_as_the_probe_at_its_address() {
    let address = "127.9.14.1:9";
    let watchfire = Watchfire::start(&["--probe", &format!("tcp://{address}")]);
    let mut request = traces(5);
    for span in &mut request.resource_spans[1].scope_spans[0].spans {
        let port = AnyValue { value: Some(any_value::Value::IntValue(9)) };
        span.attributes.push(attribute("server.address", "127.9.14.1"));
        span.attributes.push(KeyValue { key: "server.port".to_owned(), value: Some(port), ..KeyValue::default() });
    }
    let post =
        watchfire.client().post(format!("http://{}/v1/traces", watchfire.otlp_http)).header("content-type", "application/x-protobuf");
    assert_eq!(post.body(request.encode_to_vec()).send().await.expect("sent").status(), 200);
    let node = |map: &Json, name: &str| map["nodes"].as_array().and_then(|l| l.iter().find(|n| n["name"] == name).cloned());
    let map = watchfire
        .until("/api/watchfire/v1/map", "the database is down", |map| node(map, "stock_db").is_some_and(|n| n["state"] == "unhealthy"))
        .await;
    assert!(
        node(&map, "stock_db").is_some_and(|n| n["why"][0].as_str().is_some_and(|why| why.starts_with("tcp: cannot connect"))),
        "{map}"
    );
    assert_eq!(node(&map, address), None, "its address is no node beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_service_could_be_probed_is_proposed_from_its_spans() {
    let watchfire = Watchfire::start(&["--probe", "shop=tcp://127.0.0.1:9"]);
    let mut request = traces(5);
    let stock = &mut request.resource_spans[1].scope_spans[0].spans;
    let place = [attribute("server.address", "stock.local"), attribute("server.port", "8081")];
    for span in stock.iter_mut() {
        span.attributes.extend(place.clone());
    }
    let mut check = stock[0].clone();
    (check.trace_id, check.parent_span_id, check.name) = (vec![99; 16], Vec::new(), "GET /healthz".to_owned());
    check.attributes.push(attribute("http.route", "/healthz"));
    stock.push(check);
    let body = request.encode_to_vec();
    let post =
        watchfire.client().post(format!("http://{}/v1/traces", watchfire.otlp_http)).header("content-type", "application/x-protobuf");
    assert_eq!(post.body(body).send().await.expect("sent").status(), 200);
    let health = watchfire
        .until("/api/watchfire/v1/health", "a proposal by its health route", |json| {
            json["proposed"].as_array().is_some_and(|l| l.iter().any(|p| p["target"] == "http://stock.local:8081/healthz"))
        })
        .await;
    // The other one has a probe already.
    assert_eq!(health["proposed"].as_array().map(Vec::len), Some(1), "{health}");
    assert_eq!(health["proposed"][0]["service"], "stock", "{health}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_span_never_costs_its_batch() {
    let watchfire = Watchfire::start(&[]);
    let mut request = traces(3);
    request.resource_spans[0].scope_spans[0].spans[0].trace_id = vec![0; 16];
    let response = watchfire
        .client()
        .post(format!("http://{}/v1/traces", watchfire.otlp_http))
        .header("content-type", "application/x-protobuf")
        .body(request.encode_to_vec())
        .send()
        .await
        .expect("answered");
    assert_eq!(response.status(), 200);
    let body = response.bytes().await.expect("a body");
    let reply = opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse::decode(body).expect("a response");
    let partial = reply.partial_success.expect("one was rejected");
    assert_eq!(partial.rejected_spans, 1);
    assert_eq!(partial.error_message, "rejected 1 of 12 spans: 1 zero trace id");
    watchfire
        .until("/api/watchfire/v1/traces?limit=10", "the other traces", |json| json["traces"].as_array().is_some_and(|l| l.len() == 3))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_over_json_are_kept_with_their_trace() {
    let watchfire = Watchfire::start(&[]);
    let body = serde_json::json!({"resourceLogs": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeLogs": [{"logRecords": [{
            "timeUnixNano": now_nanos().to_string(), "severityNumber": 17, "severityText": "ERROR",
            "body": {"stringValue": "payment failed"}, "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
        }]}],
    }]});
    let response = watchfire.client().post(format!("http://{}/v1/logs", watchfire.otlp_http)).json(&body).send().await.expect("answered");
    assert_eq!(response.status(), 200);
    let logs = watchfire.until("/api/watchfire/v1/logs", "one record", |json| json["logs"].as_array().is_some_and(|l| l.len() == 1)).await;
    assert_eq!(logs["logs"][0]["body"], "payment failed");
    assert_eq!(logs["logs"][0]["severity"], "ERROR");
    assert_eq!(logs["logs"][0]["trace_id"], "0102030405060708090a0b0c0d0e0f10");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sampled_services_rates_are_corrected_and_counts_are_what_was_seen() {
    let watchfire = Watchfire::start(&[]);
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", watchfire.otlp_grpc))
        .expect("an address")
        .connect()
        .await
        .expect("the receiver listens");
    let mut request = traces(100);
    for span in request.resource_spans.iter_mut().flat_map(|r| &mut r.scope_spans).flat_map(|s| &mut s.spans) {
        // One trace in ten was kept.
        span.trace_state = "ot=th:e6666666666666".to_owned();
    }
    TraceServiceClient::new(channel).export(request).await.expect("accepted");
    let calls =
        "/api/v1/query?query=sum(traces_span_metrics_calls_total%7Bservice_name%3D%22shop%22,span_kind%3D%22SPAN_KIND_SERVER%22%7D)";
    let number = |json: &serde_json::Value| json["data"]["result"][0]["value"][1].as_str().and_then(|text| text.parse::<f64>().ok());
    // A counter begins at zero, and may be asked for in that moment.
    let answer = watchfire.until(calls, "a count", |json| number(json).is_some_and(|count| count > 0.0)).await;
    let stood_for = number(&answer).expect("counted");
    assert!((stood_for - 1000.0).abs() < 1e-6, "{stood_for}");

    // Seen spans are a tenth of those they stand for, in every figure that says how many.
    let honest = |row: &serde_json::Value| {
        let (rate, seen) = (row["rate"].as_f64().unwrap_or(0.0), row["sample_count"].as_f64().unwrap_or(0.0));
        // A rate over the first seconds is extrapolated to twice of what was seen at most; uncorrected it would be ten times.
        rate > 0.0 && seen > 0.0 && seen < 300.0
    };
    let map = watchfire
        .until("/api/watchfire/v1/map", "the edge", |json| {
            json["edges"].as_array().is_some_and(|list| list.iter().any(|e| e["client"] == "shop" && e["server"] == "stock"))
        })
        .await;
    let edges = map["edges"].as_array().expect("a list");
    assert!(edges.iter().all(honest), "{edges:#?}");
    let services = watchfire.json("/api/watchfire/v1/services").await;
    for row in services["services"].as_array().expect("a list") {
        assert!(honest(row) && (row["sampling_ratio"].as_f64().expect("sampled") - 0.1).abs() < 1e-6, "{row:#}");
    }
    let shop = watchfire.json("/api/watchfire/v1/services/shop").await;
    let operations = shop["operations"].as_array().expect("a list");
    assert!(!operations.is_empty() && operations.iter().all(honest), "{operations:#?}");
}

/// Messages that two services consume, each in a trace of its own with a link to the publishing span.
fn messages(count: u8) -> ExportTraceServiceRequest {
    let end = now_nanos();
    let (mut shop, mut mailer, mut audit) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..count {
        let span = |trace: u8, name: &str, kind: i32, ms: u64| Span {
            trace_id: [vec![trace; 15], vec![i + 1]].concat(),
            span_id: vec![trace, i, 2, 2, 2, 2, 2, 2],
            name: name.to_owned(),
            kind,
            start_time_unix_nano: end - ms * 1_000_000,
            end_time_unix_nano: end,
            attributes: vec![attribute("messaging.system", "kafka"), attribute("messaging.destination.name", "orders")],
            ..Span::default()
        };
        let publish = span(101, "send orders", 4, 2);
        let link = Link { trace_id: publish.trace_id.clone(), span_id: publish.span_id.clone(), ..Link::default() };
        mailer.push(Span { links: vec![link.clone()], ..span(102, "process orders", 5, 40) });
        audit.push(Span { links: vec![link], ..span(103, "process orders", 5, 10) });
        shop.push(publish);
        // Through a second queue between the same two services, and not well; and beside both a plain call.
        let refunds = vec![attribute("messaging.system", "kafka"), attribute("messaging.destination.name", "refunds")];
        let publish = Span { attributes: refunds, ..span(104, "send refunds", 4, 2) };
        let refused = Some(Status { code: 2, message: "refused".to_owned() });
        let parent_span_id = publish.span_id.clone();
        mailer.push(Span {
            span_id: vec![105, i, 2, 2, 2, 2, 2, 2],
            parent_span_id,
            status: refused,
            ..span(104, "process refunds", 5, 80)
        });
        shop.push(publish);
        let call = Span { attributes: Vec::new(), ..span(106, "GET", 3, 5) };
        let parent_span_id = call.span_id.clone();
        mailer.push(Span { span_id: vec![107, i, 2, 2, 2, 2, 2, 2], parent_span_id, attributes: Vec::new(), ..span(106, "GET /", 2, 4) });
        shop.push(call);
    }
    ExportTraceServiceRequest { resource_spans: vec![of_service("shop", shop), of_service("mailer", mailer), of_service("audit", audit)] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_only_spans_name_is_listed_with_its_flow_and_an_unknown_depth() {
    let watchfire = Watchfire::start(&[]);
    let url = format!("http://{}/v1/traces", watchfire.otlp_http);
    let request = watchfire.client().post(url).header("content-type", "application/x-protobuf").body(messages(60).encode_to_vec());
    assert_eq!(request.send().await.expect("answered").status(), 200);
    let map = watchfire
        .until("/api/watchfire/v1/map", "both consumers", |json| {
            json["edges"].as_array().is_some_and(|list| list.iter().filter(|e| e["client"] == "orders").count() == 2)
        })
        .await;
    let edge = |client: &str, server: &str| {
        let edges = map["edges"].as_array().expect("a list");
        edges
            .iter()
            .find(|e| e["client"] == client && e["server"] == server)
            .unwrap_or_else(|| panic!("{client} {server} in {edges:#?}"))
            .clone()
    };
    let (refund, refunded, called) = (edge("shop", "refunds"), edge("refunds", "mailer"), edge("shop", "mailer"));
    assert_eq!((&refund["rate"], &refunded["error_ratio"]), (&refunded["rate"], &1.0.into()), "{refunded:#}");
    assert_eq!((&called["kind"], &called["error_ratio"]), (&"call".into(), &0.0.into()), "{called:#}");
    let (published, mailed, audited) = (edge("shop", "orders"), edge("orders", "mailer"), edge("orders", "audit"));
    // A message is published once, however many get it.
    assert_eq!((&published["rate"], &mailed["rate"]), (&audited["rate"], &audited["rate"]));
    assert_eq!(mailed["error_ratio"], 0.0, "{mailed:#}");
    // What a consumer does with it is the consumer's time, not that of putting it into the queue.
    assert!((mailed["p95_seconds"].as_f64().expect("known") - 0.040).abs() < 0.001, "{mailed:#}");
    assert!((audited["p95_seconds"].as_f64().expect("known") - 0.010).abs() < 0.001, "{audited:#}");
    let queues = watchfire.json("/api/watchfire/v1/queues").await;
    let queue = queues["queues"].as_array().and_then(|l| l.iter().find(|q| q["queue"] == "orders")).expect("listed").clone();
    assert_eq!((&queue["system"], &queue["depth"], &queue["state"]), (&"kafka".into(), &serde_json::Value::Null, &"unknown".into()));
    assert!(queue["in_rate"].as_f64().expect("known") > 0.0 && queue["out_rate"].as_f64().expect("known") > 0.0, "{queue:#}");
    assert_eq!((&queue["producers"], queue["consumer_services"].as_array().map(Vec::len)), (&serde_json::json!(["shop"]), Some(2)));
}

#[tokio::test]
async fn each_string_made_harmless_is_counted_once_by_what_it_is() {
    let watchfire = Watchfire::start(&[]);
    let mut request = traces(1);
    let span = &mut request.resource_spans[0].scope_spans[0].spans[0];
    span.name = "GET /\u{1b}[31mcart".to_owned();
    span.attributes = vec![attribute("clean", "clean"), attribute("bell\u{7}", "a\u{202e}b"), attribute("other", "\u{9b}31m")];
    let sent = watchfire
        .client()
        .post(format!("http://{}/v1/traces", watchfire.otlp_http))
        .header("content-type", "application/x-protobuf")
        .body(request.encode_to_vec())
        .send()
        .await
        .expect("the receiver answers");
    assert!(sent.status().is_success());
    let id = "01".repeat(16);
    let is_there = |json: &serde_json::Value| json["spans"].as_array().is_some_and(|spans| spans.len() == 4);
    for _ in 0..3 {
        watchfire.until("/api/watchfire/v1/traces", "listed", |json| json["traces"].as_array().is_some_and(|t| t.len() == 1)).await;
        watchfire.until(&format!("/api/watchfire/v1/traces/{id}"), "the trace", is_there).await;
    }
    let counted = async |field: &str| watchfire.metric(&format!("watchfire_sanitized_total{{field=\"{field}\"}}")).await;
    assert_eq!(counted("span_name").await, 1.0);
    assert_eq!(counted("attribute").await, 3.0, "a key and two values");
    assert_eq!(counted("service").await, 0.0, "what is clean is not counted");
    assert_eq!(watchfire.stop("TERM"), Some(0));
}
