//! Every exporter's own text, scraped from a port of its own, becomes the queues and breakers that people see.

use crate::instance::{Watchfire, eventually};
use axum::Router;
use axum::routing::get;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/alerts/dialects/fixtures");
/// Parts what one scrape answers from what the next ones do.
const NEXT: &str = "# --- next scrape ---\n";

/// Serves a fixture: its first part, and its last one once `later` is set.
async fn exporter(text: String, later: Arc<AtomicBool>) -> String {
    let parts: Arc<Vec<String>> = Arc::new(text.split(NEXT).map(str::to_owned).collect());
    let page = move || {
        let part = parts[if later.load(Ordering::SeqCst) { parts.len() - 1 } else { 0 }].clone();
        async move { ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], part) }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/metrics", get(page))).await });
    address
}

/// A watchfire that scrapes every fixture, each as a job named after its file; and the addresses by job.
async fn everything(later: &Arc<AtomicBool>) -> (Watchfire, Vec<(String, String)>, tempfile::NamedTempFile) {
    let mut files: Vec<_> = std::fs::read_dir(FOLDER).expect("fixtures").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    let mut config = String::new();
    let mut addresses = Vec::new();
    for file in files {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let address = exporter(std::fs::read_to_string(&file).expect("readable"), later.clone()).await;
        config.push_str(&format!("[[scrape]]\nname = {name:?}\nurls = [\"http://{address}/metrics\"]\ninterval = \"1s\"\n"));
        addresses.push((name, address));
    }
    let file = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
    std::fs::write(file.path(), config).expect("written");
    let watchfire = Watchfire::start(&["--config", &file.path().display().to_string()]);
    (watchfire, addresses, file)
}

/// Depth, consumers, dead letters, age, and whether something goes in and out.
struct Wanted(&'static str, &'static str, f64, Option<f64>, Option<f64>, Option<f64>, bool, bool);

const QUEUES: &[Wanted] = &[
    Wanted("(all)", "rabbitmq", RABBIT_ALL, Some(1.0), None, None, true, false),
    Wanted("slow", "rabbitmq", 660.0, Some(0.0), None, None, true, false),
    Wanted("mail", "rabbitmq", 0.0, Some(1.0), Some(7.0), None, false, false),
    Wanted("mail.dlq", "rabbitmq", 7.0, Some(0.0), Some(7.0), None, false, false),
    Wanted("shop/mail.dlq", "rabbitmq", 7.0, Some(0.0), Some(7.0), None, false, false),
    Wanted("orders", "kafka", 12.0, Some(2.0), None, None, true, true),
    Wanted("shop-activity", "kafka", 147_500.0, Some(3.0), None, None, true, true),
    Wanted("logins", "kafka", 9.0, None, None, None, true, true),
    Wanted("checkouts", "kafka", 6.0, Some(2.0), None, None, true, true),
    Wanted("refunds", "kafka", 6.0, Some(2.0), None, None, true, true),
    Wanted("jobs", "redis", 40.0, None, Some(3.0), None, false, false),
    Wanted("jobs:dead", "redis", 3.0, None, Some(3.0), None, false, false),
    Wanted("events", "redis", 8.0, Some(2.0), None, None, false, false),
    Wanted("audit", "redis", 5.0, None, None, None, false, false),
    Wanted("emails", "celery", 25.0, Some(4.0), None, None, true, true),
    Wanted("video", "bullmq", 7.0, None, Some(1.0), None, false, true),
    Wanted("thumbs", "bullmq", 8.0, None, Some(2.0), None, false, true),
    Wanted("default", "sidekiq", 8.0, None, None, Some(1.5), false, false),
    Wanted("(retry)", "sidekiq", 2.0, None, Some(3.0), None, false, false),
    Wanted("low", "sidekiq", 4.0, None, None, Some(9.0), false, false),
    Wanted("ultra_low", "sidekiq", 2.0, None, None, Some(3.0), false, false),
    Wanted("EVENTS", "nats", 12.0, Some(1.0), None, None, true, true),
    Wanted("uploads", "sqs", 14.0, None, None, Some(33.0), false, false),
    Wanted("resize-dlq", "sqs", 3.0, None, Some(3.0), None, false, false),
    Wanted("audit-sub", "pubsub", 5.0, None, None, Some(60.0), false, false),
    Wanted("shopdb", "pgbouncer", 7.0, None, None, Some(1.5), false, false),
    Wanted("checkout HikariPool-1", "pool", 3.0, None, None, None, false, false),
    Wanted("checkout applicationTaskExecutor", "pool", 6.0, None, None, None, false, true),
    Wanted("receipts", "beanstalkd", 13.0, Some(3.0), Some(1.0), None, false, false),
    Wanted("exports", "metrics", 12.0, None, None, None, false, false),
    Wanted("imports", "metrics", 3.0, None, None, None, false, false),
];
const RABBIT_ALL: f64 = 667.0;

const BREAKERS: &[(&str, &str, &str)] = &[
    ("checkout", "payment", "open"),
    ("checkout", "stock", "half-open"),
    ("checkout", "eu/tax", "closed"),
    ("polly", "pay/CircuitBreaker", "half-open"),
    ("opossum", "stock", "open"),
    ("opossum_prefixed", "stock", "open"),
    ("microprofile", "com.acme.Prices.find", "open"),
    ("smallrye", "com.acme.Rates.get", "half-open"),
    ("hystrix", "RemoteUsers/getUser", "open"),
    ("hystrix", "RemoteUsers/listUsers", "closed"),
    ("hystrix_go", "get_stock", "open"),
    ("hystrix_go", "get_price", "closed"),
    ("envoy", "pay", "closed"),
    ("envoy", "mail", "closed"),
    ("envoy", "pay (outliers)", "half-open"),
    ("envoy", "mail (outliers)", "open"),
    ("istio", "outbound|80||reviews.default.svc.cluster.local", "closed"),
    ("istio", "outbound|80||reviews.default.svc.cluster.local (outliers)", "closed"),
    ("cart", "myresiliency/app_orders", "open"),
    ("kong", "orders/10.0.0.1:80", "open"),
    ("kong", "orders/gone.local:80", "open"),
    ("kong", "orders/10.0.0.2:80", "closed"),
    ("haproxy", "api", "closed"),
    ("haproxy", "drained", "open"),
    ("haproxy", "api/a1", "closed"),
    ("haproxy", "api/a2", "open"),
    ("haproxy", "shop/s2", "open"),
    ("caddy", "127.0.0.1:31000", "closed"),
    ("caddy", "127.0.0.1:39999", "open"),
    ("varnish", "default", "closed"),
    ("varnish", "dead", "open"),
    ("go-api", "db", "open"),
    ("pay", "bank", "half-open"),
    ("lagom", "users", "closed"),
    ("half", "geo", "half-open"),
    ("binary", "search", "open"),
    ("shop", "stock", "half-open"),
    ("edge", "auth", "open"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_dialect_reads_its_exporter() {
    let later = Arc::new(AtomicBool::new(false));
    let (watchfire, addresses, _config) = everything(&later).await;
    let targets = watchfire
        .until("/api/v1/targets", "all up", |json| {
            let up = json["data"]["activeTargets"].as_array().map_or(0, |l| l.iter().filter(|t| t["health"] == "up").count());
            up == addresses.len()
        })
        .await;
    for target in targets["data"]["activeTargets"].as_array().expect("a list") {
        assert_eq!(target["lastError"], "", "{target}");
        assert!(target["warnings"].is_null(), "{target}");
    }

    let state = |json: &Json, service: &str, breaker: &str| -> Json {
        let breakers = json["breakers"].as_array().expect("breakers");
        breakers.iter().find(|b| b["service"] == service && b["breaker"] == breaker).map_or(Json::Null, |b| b["state"].clone())
    };
    watchfire
        .until("/api/watchfire/v1/breakers", "a first look at times spent", |json| {
            state(json, "microprofile", "com.acme.Prices.find") == "unknown"
        })
        .await;
    let find = |json: &Json, queue: &str, system: &str| -> Json {
        let queues = json["queues"].as_array().expect("queues");
        queues.iter().find(|q| q["queue"] == queue && q["system"] == system).cloned().unwrap_or_default()
    };
    watchfire.until("/api/watchfire/v1/queues", "rates of nothing moving", |json| find(json, "emails", "celery")["in_rate"] == 0.0).await;
    later.store(true, Ordering::SeqCst);

    let collector =
        addresses.iter().find(|(name, _)| name == "otelcol").map(|(_, address)| format!("{address} otlp/tempo")).expect("there");
    let old = addresses.iter().find(|(name, _)| name == "otelcol_old").map(|(_, address)| format!("{address} otlp/old")).expect("there");
    // A fixture moves once, so each flow is seen for a while only, as long as its window holds the move.
    let mut flows: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    for Wanted(queue, system, .., into, out) in QUEUES {
        flows.extend(into.then_some((*queue, *system, "in_rate")));
        flows.extend(out.then_some((*queue, *system, "out_rate")));
    }
    flows.extend([(collector.as_str(), "otelcol", "out_rate"), (old.as_str(), "otelcol", "out_rate")]);
    let queues = eventually("every flow is seen", Duration::from_secs(60), async || {
        let queues = watchfire.json("/api/watchfire/v1/queues").await;
        flows.retain(|(queue, system, flow)| !find(&queues, queue, system)[flow].as_f64().is_some_and(|rate| rate > 0.0));
        if flows.is_empty() { Ok(queues) } else { Err(format!("not yet: {flows:?}")) }
    })
    .await;
    for Wanted(queue, system, depth, consumers, dead, oldest, ..) in QUEUES {
        let found = find(&queues, queue, system);
        assert_eq!(found["depth"], *depth, "{system} {queue}: {found:#}");
        assert_eq!(found["consumers"].as_f64(), *consumers, "{system} {queue}: {found:#}");
        assert_eq!(found["dead_letters"].as_f64(), *dead, "{system} {queue}: {found:#}");
        if oldest.is_some() {
            assert_eq!(found["oldest_seconds"].as_f64(), *oldest, "{system} {queue}: {found:#}");
        }
    }
    for queue in [&collector, &old] {
        let found = find(&queues, queue, "otelcol");
        assert_eq!((found["depth"].as_f64(), found["dead_letters"].as_f64()), (Some(12.0), Some(4.0)), "{found:#}");
    }
    let flower = find(&queues, "(prefetched)", "celery");
    assert!(flower.is_null(), "flower's guess gives way to real lengths: {flower:#}");

    let settled = |json: &Json| BREAKERS.iter().all(|(service, breaker, word)| state(json, service, breaker) == *word);
    let grown = |json: &Json| state(json, "microprofile", "com.acme.Prices.find") != "unknown";
    let breakers = watchfire.until("/api/watchfire/v1/breakers", "the state whose time grew", grown).await;
    if !settled(&breakers) {
        let wrong: Vec<_> =
            BREAKERS.iter().filter(|(s, b, w)| state(&breakers, s, b) != *w).map(|(s, b, w)| (s, b, w, state(&breakers, s, b))).collect();
        panic!("service, breaker, wanted, shown: {wrong:#?}");
    }
    let all = breakers["breakers"].as_array().expect("a list").len();
    assert_eq!(all, BREAKERS.len() + 3, "one server more of each HAProxy, and one whose numbers nobody explains: {breakers:#}");
    let breaker = |service: &str, name: &str| -> Json {
        let breakers = breakers["breakers"].as_array().expect("breakers");
        breakers.iter().find(|b| b["service"] == service && b["breaker"] == name).cloned().unwrap_or_default()
    };
    assert_eq!(breaker("envoy", "pay")["saturated"], true);
    assert_eq!(breaker("envoy", "mail")["saturated"], false);
    let mystery = breaker("mystery", "who");
    assert_eq!(mystery["state"], "unknown");
    assert!(mystery["evidence"][0].as_str().is_some_and(|e| e.starts_with("exported as 1, and nothing says")), "{mystery}");

    for (query, value) in [
        (r#"watchfire_queue_depth{queue="orders",system="kafka",group="billing",dialect="kafka"}"#, "12"),
        (r#"watchfire_breaker_state{service="checkout",breaker="payment",dialect="resilience4j"}"#, "2"),
        (r#"watchfire_breaker_state{service="pay",breaker="bank",dialect="homemade"}"#, "1"),
        (r#"count(watchfire_breaker_state{service="mystery"}) or vector(0)"#, "0"),
    ] {
        let encoded: String = query.bytes().map(|b| format!("%{b:02X}")).collect();
        let answer = watchfire.json(&format!("/api/v1/query?query={encoded}")).await;
        assert_eq!(answer["data"]["result"][0]["value"][1], value, "{query}: {answer}");
    }

    let (_, proposed, _) = crate::judge::run(&["config", "dialects", "--url", &watchfire.url("")]);
    assert!(proposed.contains("mystery_breaker_state"), "{proposed}");
    for known in ["app_queue_depth", "queue_messages", "circuit_status", "rabbitmq_queue_messages", "pay_circuit_breaker_state"] {
        assert!(!proposed.contains(&format!("# {known} looks like")), "{known} is read already: {proposed}");
    }
}
