//! RED, edges and sampling, from encoded spans to series.

#[path = "../testing/build.rs"]
mod build;
#[path = "../testing/walk.rs"]
mod walk;

use build::*;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::time::Duration;
use watchfire_model::{Labels, Selector, SeriesSource, TimeRange, Timestamp, Topology, Value};
use watchfire_store::{SignalSettings, StoreLimits};

const REQUESTS: &str = "traces_service_graph_request_total";
const CALLS: &str = "traces_span_metrics_calls_total";
const SECONDS: Duration = Duration::from_secs(1);

fn edges(bench: &Bench) -> Vec<String> {
    let edge = |l: &Labels| format!("{} -> {} [{}]", l.value("client"), l.value("server"), l.value("connection_type"));
    bench.newest(REQUESTS).iter().map(|(l, v)| format!("{} {}", edge(l), v.as_float().unwrap_or(f64::NAN))).collect()
}

#[test]
fn red_series_have_the_names_and_labels_of_the_collector() {
    let mut bench = Bench::new();
    bench.send("shop", vec![span(1, 1, 0, "GET /cart", SERVER).takes(100), span(1, 2, 1, "db", INTERNAL).fails("boom")]);
    bench.pass(3 * SECONDS);
    let labels =
        [("service_name", "shop"), ("span_name", "GET /cart"), ("span_kind", "SPAN_KIND_SERVER"), ("status_code", "STATUS_CODE_UNSET")];
    assert_eq!(bench.value(CALLS, &labels), Some(1.0));
    assert_eq!(bench.value(CALLS, &[("span_kind", "SPAN_KIND_INTERNAL"), ("status_code", "STATUS_CODE_ERROR")]), Some(1.0));
    let le = |le| [labels[0], labels[1], labels[2], ("le", le)];
    assert_eq!(
        bench.value("traces_span_metrics_duration_seconds_bucket", &le("0.1")),
        Some(1.0),
        "a duration belongs to the bucket it bounds"
    );
    assert_eq!(bench.value("traces_span_metrics_duration_seconds_bucket", &le("0.05")), Some(0.0));
    assert_eq!(bench.value("traces_span_metrics_duration_seconds_bucket", &le("+Inf")), Some(1.0));
    assert_eq!(bench.value("traces_span_metrics_duration_seconds_count", &labels), Some(1.0));
    let sum = bench.value("traces_span_metrics_duration_seconds_sum", &labels).expect("a sum");
    assert!((sum - 0.1).abs() < 1e-12);
    let native = bench.newest("traces_span_metrics_duration_seconds");
    assert!(
        native
            .iter()
            .any(|(l, v)| l.value("span_name") == "GET /cart" && matches!(v, Value::Histogram(h) if h.count == 1.0 && h.schema == 5))
    );
}

#[test]
fn a_new_counter_starts_at_zero_one_interval_before_its_first_value() {
    let mut bench = Bench::new();
    bench.send("shop", (0..5).map(|i| span(i + 1, 1, 0, "op", SERVER)).collect());
    bench.pass(SECONDS);
    let mut samples = Vec::new();
    let range = TimeRange::new(Timestamp(0), Timestamp::MAX);
    bench.store.select(&Selector::metric(CALLS), range, &mut |view| samples.extend(view.values.to_vec())).expect("answer");
    assert_eq!(&samples[..2], &[0.0, 5.0], "published within a second, with the zero before it");
}

#[test]
fn both_halves_of_a_call_make_one_edge_in_either_order() {
    for client_first in [true, false] {
        let mut bench = Bench::new();
        let client = vec![span(1, 1, 0, "call", CLIENT).takes(30)];
        let server = vec![span(1, 2, 1, "serve", SERVER).takes(20).fails("no")];
        if client_first {
            bench.send("web", client);
            bench.send("api", server);
        } else {
            bench.send("api", server);
            bench.send("web", client);
        }
        bench.pass(15 * SECONDS);
        assert_eq!(edges(&bench), ["web -> api [] 1"]);
        assert_eq!(bench.value("traces_service_graph_request_failed_total", &[("client", "web")]), Some(1.0));
        let server = bench.value("traces_service_graph_request_server_seconds_sum", &[("client", "web")]).expect("server seconds");
        let client = bench.value("traces_service_graph_request_client_seconds_sum", &[("client", "web")]).expect("client seconds");
        assert!((server - 0.02).abs() < 1e-9 && (client - 0.03).abs() < 1e-9);
    }
}

#[test]
fn a_name_that_is_cut_ends_with_a_whole_character() {
    let mut bench = Bench::new();
    let mut client = span(1, 1, 0, "call", CLIENT);
    client.attributes = vec![text("peer.service", &format!("a{}", "ü".repeat(200)))];
    bench.send("app", vec![client]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), [format!("app -> a{} [virtual_node] 1", "ü".repeat(127))]);
}

#[test]
fn silent_peers_become_nodes_under_the_name_their_caller_states() {
    let cases: Vec<(Vec<opentelemetry_proto::tonic::common::v1::KeyValue>, &str)> = vec![
        (
            vec![text("db.system.name", "postgresql"), text("db.namespace", "orders"), text("server.address", "pg-1")],
            "app -> orders [database] 1",
        ),
        (vec![text("db.system", "mysql"), text("db.name", "users")], "app -> users [database] 1"),
        (vec![text("db.system", "redis"), text("db.namespace", "0")], "app -> redis [database] 1"),
        (vec![text("peer.service", "ledger"), text("db.name", "x"), text("db.system", "mysql")], "app -> ledger [database] 1"),
        (vec![text("service.peer.name", "new"), text("peer.service", "old")], "app -> new [virtual_node] 1"),
        (vec![text("peer.service", "stripe"), text("server.address", "api.stripe.com")], "app -> stripe [virtual_node] 1"),
        (vec![text("server.address", "api.example.com"), int("server.port", 8443)], "app -> api.example.com:8443 [virtual_node] 1"),
        (vec![text("server.address", "api.example.com"), int("server.port", 443)], "app -> api.example.com [virtual_node] 1"),
        (vec![text("net.peer.name", "legacy"), int("net.peer.port", 9000)], "app -> legacy:9000 [virtual_node] 1"),
        (vec![text("net.peer.name", "[::1]"), int("net.peer.port", 9000)], "app -> [::1]:9000 [virtual_node] 1"),
        (vec![text("server.address", "::1"), int("server.port", 9000)], "app -> [::1]:9000 [virtual_node] 1"),
        (vec![text("network.peer.address", "10.0.0.1")], "app -> 10.0.0.1 [virtual_node] 1"),
        (vec![text("http.url", "https://u@maps.example.org:8080/x?y")], "app -> maps.example.org:8080 [virtual_node] 1"),
        (vec![text("url.full", "http://[::1]:9000/x"), text("http.method", "GET")], "app -> [::1]:9000 [virtual_node] 1"),
        (vec![text("server.address", "::1"), int("server.port", 9000)], "app -> [::1]:9000 [virtual_node] 1"),
        (vec![text("url.full", "https://maps.example.org:443/x")], "app -> maps.example.org [virtual_node] 1"),
        (vec![text("rpc.system", "grpc"), text("rpc.service", "pkg.Svc")], "app -> pkg.Svc [virtual_node] 1"),
        (vec![text("rpc.system.name", "grpc"), text("rpc.method", "pkg.New/Get")], "app -> pkg.New [virtual_node] 1"),
        (vec![text("http.host", "shop.example:8443"), text("http.target", "/x")], "app -> shop.example:8443 [virtual_node] 1"),
        (vec![text("http.host", "virtual.example"), text("net.sock.peer.addr", "10.0.0.1")], "app -> virtual.example [virtual_node] 1"),
        (vec![text("http.host", "virtual.example"), text("net.peer.name", "told.example")], "app -> told.example [virtual_node] 1"),
        (vec![text("faas.invoked_name", "resize"), text("faas.invoked_provider", "aws")], "app -> resize [virtual_node] 1"),
        (
            vec![
                text("rpc.system", "aws-api"),
                text("rpc.service", "Lambda"),
                text("server.address", "lambda.eu"),
                text("faas.invoked_name", "resize"),
            ],
            "app -> resize [virtual_node] 1",
        ),
    ];
    for (attributes, expected) in cases {
        let mut bench = Bench::new();
        let mut client = span(1, 1, 0, "call", CLIENT);
        client.attributes = attributes;
        bench.send("app", vec![client]);
        bench.pass(15 * SECONDS);
        assert_eq!(edges(&bench), [expected]);
    }
}

/// The service that owns a database often gives it its name: a call to the one is no call to the other.
#[test]
fn a_database_called_like_a_service_is_not_that_service() {
    let query = |id: u64| span(id.into(), id, 0, "SELECT shop", CLIENT).with(text("db.system", "postgresql")).with(text("db.name", "shop"));
    let mut bench = Bench::new();
    bench.send("shop", vec![span(1, 1, 0, "GET /", SERVER)]);
    bench.send("orders", vec![query(2)]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["orders -> shop (postgresql) [database] 1"]);

    let mut bench = Bench::new();
    bench.send("orders", vec![query(2)]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["orders -> shop [database] 1"], "nobody else is called so yet");
    bench.send("shop", vec![span(1, 1, 0, "GET /", SERVER)]);
    bench.pass(15 * SECONDS);
    bench.send("orders", vec![query(3)]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["orders -> shop [database] NaN", "orders -> shop (postgresql) [database] 1"], "the old series has ended");

    let mut bench = Bench::new();
    bench.send("shop", vec![span(1, 1, 0, "GET /", SERVER)]);
    bench.send("orders", vec![query(2).with(text("peer.service", "shop"))]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["orders -> shop [database] 1"], "unless the caller says so");
}

/// SQLAlchemy and node-postgres have a span for taking a connection, beside that of the query it is taken for.
#[test]
fn connecting_to_a_database_is_part_of_the_query_unless_it_fails() {
    let at = |id: u64, name: &str| {
        span(id.into(), id, 0, name, CLIENT).with(text("db.system.name", "postgresql")).with(text("db.namespace", "shop"))
    };
    let mut bench = Bench::new();
    bench.send("orders", vec![at(1, "connect"), at(2, "pg-pool.connect"), at(3, "SELECT shop"), at(4, "pg-pool.connect").fails("refused")]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["orders -> shop [database] 2"]);
    assert_eq!(bench.value("traces_service_graph_request_failed_total", &[("server", "shop")]), Some(1.0));
}

/// A service that is down answers with no span. What its callers saw is its trouble, and not that of an address beside it.
#[test]
fn calls_that_a_service_no_longer_answers_are_calls_to_the_service_that_did_at_that_address() {
    let at = |port: i64, s: Span| s.with(text("server.address", "10.0.0.7")).with(int("server.port", port));
    let call = |id: u64| at(8080, span(id.into(), id, 0, "GET", CLIENT).with(text("http.request.method", "GET")));
    let mut bench = Bench::new();
    // Before the first answer nothing says who is there.
    bench.send("web", vec![call(1)]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["web -> 10.0.0.7:8080 [virtual_node] 1"]);
    bench.send("web", vec![call(2)]);
    bench.send("stock", vec![span(2, 21, 2, "GET /", SERVER)]);
    bench.pass(15 * SECONDS);
    bench.send("web", vec![call(3).fails("refused")]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["web -> 10.0.0.7:8080 [virtual_node] NaN", "web -> stock [] 2"]);
    assert_eq!(bench.value("traces_service_graph_request_failed_total", &[("server", "stock")]), Some(1.0));
    // Two services behind one address: which of them is down is not known.
    bench.send("web", vec![call(4), call(5).fails("refused")]);
    bench.send("mail", vec![span(4, 41, 4, "GET /", SERVER)]);
    bench.pass(15 * SECONDS);
    assert!(edges(&bench).contains(&"web -> 10.0.0.7:8080 [virtual_node] 1".to_owned()), "{:?}", edges(&bench));
}

/// A call that is refused has no socket to tell of. It went to the same place as those before.
#[test]
fn a_call_without_a_socket_goes_where_those_with_one_went() {
    let call = |id: u64| {
        let named = span(id.into(), id, 0, "GET", CLIENT).with(text("http.request.method", "GET")).with(int("server.port", 8080));
        named.with(text("server.address", "127.0.0.1")).with(text("url.full", "http://127.0.0.1:8080/orders"))
    };
    let mut bench = Bench::new();
    bench.send("web", vec![call(1).with(text("network.peer.address", "127.0.0.1")).with(int("network.peer.port", 8080))]);
    bench.send("orders", vec![span(1, 11, 1, "GET /orders", SERVER)]);
    bench.pass(15 * SECONDS);
    bench.send("web", vec![call(2).fails("refused")]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["web -> orders [] 2"]);
}

#[test]
fn nothing_is_drawn_for_peers_without_a_name_or_for_callers_that_are_not_known() {
    let mut bench = Bench::new();
    bench.send("app", vec![span(1, 1, 0, "call", CLIENT), span(2, 2, 0, "root", SERVER), span(3, 3, 99, "orphan", SERVER)]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), [""; 0]);
    assert_eq!(bench.meter.counter("watchfire_join_expired_total", &[("reason", "server_missing")]).get(), 1);
    let mut bench = Bench::with(StoreLimits::default(), SignalSettings { user_node: true, ..SignalSettings::default() });
    bench.send("app", vec![span(2, 2, 0, "root", SERVER)]);
    bench.pass(2 * SECONDS);
    assert_eq!(edges(&bench), ["user -> app [virtual_node] 1"]);
}

#[test]
fn counts_are_weighted_by_the_sampling_threshold_or_the_configured_ratio() {
    let settings = SignalSettings { sampling_ratios: [("tenth".to_owned(), 0.1)].into(), ..SignalSettings::default() };
    let mut bench = Bench::with(StoreLimits::default(), settings);
    let mut quarter = span(1, 1, 0, "op", SERVER);
    quarter.trace_state = "ot=th:c".into();
    bench.send("stated", vec![quarter]);
    bench.send("tenth", vec![span(2, 2, 0, "op", SERVER)]);
    bench.send("whole", vec![span(3, 3, 0, "op", SERVER)]);
    bench.pass(2 * SECONDS);
    for (service, calls, ratio) in [("stated", 4.0, 0.25), ("tenth", 10.0, 0.1), ("whole", 1.0, 1.0)] {
        assert_eq!(bench.value(CALLS, &[("service_name", service)]), Some(calls));
        assert_eq!(bench.value("watchfire_sampling_ratio", &[("service_name", service)]), Some(ratio));
        assert_eq!(bench.value("watchfire_spans_received_total", &[("service_name", service)]), Some(1.0));
    }
}

#[test]
fn spans_that_are_sent_again_do_not_count_again() {
    let mut bench = Bench::new();
    let spans = vec![span(1, 1, 0, "call", CLIENT), span(1, 2, 1, "serve", SERVER)];
    bench.send("app", spans.clone());
    bench.send("app", spans);
    bench.pass(15 * SECONDS);
    assert_eq!(bench.value(CALLS, &[("span_name", "call")]), Some(1.0));
    assert_eq!(edges(&bench), ["app -> app [] 1"]);
    assert_eq!(bench.meter.counter("watchfire_spans_repeated_total", &[]).get(), 2);
}

#[test]
fn names_beyond_the_bound_fold_into_one() {
    let mut bench = Bench::with(StoreLimits::default(), SignalSettings { operations_per_service: 10, ..SignalSettings::default() });
    bench.send("app", (0..100).map(|i| span(1, i + 1, 0, &format!("GET /user/{i}"), SERVER)).collect());
    bench.pass(2 * SECONDS);
    assert_eq!(bench.newest(CALLS).len(), 11);
    assert_eq!(bench.value(CALLS, &[("span_name", "__overflow__")]), Some(90.0));
    let trace = bench.store.trace(&"0".repeat(31).add("1")).expect("the trace");
    assert_eq!(trace.spans.iter().filter(|s| s.name == "GET /user/99").count(), 1, "the true name is kept with the span");
}

#[test]
fn beyond_a_number_of_histograms_only_the_native_form_is_published() {
    const BUCKETS: &str = "traces_span_metrics_duration_seconds_bucket";
    let mut bench = Bench::with(StoreLimits::default(), SignalSettings { classic_histograms: 3, ..SignalSettings::default() });
    bench.send("app", (0..10).map(|i| span(1, i + 1, 0, &format!("op {i}"), SERVER)).collect());
    bench.pass(2 * SECONDS);
    let natives = |bench: &Bench| bench.newest("traces_span_metrics_duration_seconds").len();
    assert_eq!((natives(&bench), bench.newest(BUCKETS).len()), (10, 3 * 25));
    assert_eq!(bench.newest("traces_span_metrics_duration_seconds_count").len(), 10);
    assert_eq!(bench.meter.counter("watchfire_series_refused_total", &[("reason", "classic_buckets")]).get(), 7 * 25);
    // Those that end leave their place to others.
    bench.pass(1000 * SECONDS);
    bench.send("app", (0..2).map(|i| span(2, i + 1, 0, &format!("new {i}"), SERVER)).collect());
    bench.pass(2 * SECONDS);
    assert!(bench.newest(BUCKETS).iter().filter(|(l, _)| l.value("span_name").starts_with("new")).count() == 2 * 25);
}

use std::ops::Add;

#[test]
fn a_service_is_described_with_version_and_simulation() {
    let mut bench = Bench::new();
    let mut from = resource_spans("demo", vec![span(1, 1, 0, "op", SERVER)]);
    from.resource.as_mut().expect("resource").attributes.push(boolean("watchfire.simulated", true));
    bench.request(vec![from]);
    bench.pass(2 * SECONDS);
    let labels = [("service_name", "demo"), ("version", "1.2.3"), ("simulated", "true")];
    assert_eq!(bench.value("watchfire_service_info", &labels), Some(1.0));
    let seen = &bench.store.services_seen()[0];
    assert!(seen.simulated && &*seen.version == "1.2.3" && seen.spans == 1);
}

#[test]
fn latency_histograms_point_at_traces() {
    let mut bench = Bench::new();
    bench.send("shop", vec![span(0xabc, 7, 0, "op", SERVER).takes(150)]);
    bench.pass(2 * SECONDS);
    let range = TimeRange::new(Timestamp(0), Timestamp::MAX);
    let found = bench.store.exemplars(&Selector::metric("traces_span_metrics_duration_seconds_bucket"), range);
    assert_eq!(found.len(), 1);
    let (labels, exemplars) = &found[0];
    assert_eq!(labels.value("le"), "0.2");
    assert_eq!((exemplars[0].value, exemplars[0].trace_id.map(|id| id.to_string())), (0.15, Some(format!("{:032x}", 0xabc))));
}

#[test]
fn idle_operations_and_edges_end_with_a_stale_marker() {
    let mut bench = Bench::with(StoreLimits::default(), SignalSettings { idle: Duration::from_secs(20), ..SignalSettings::default() });
    bench.send("web", vec![span(1, 1, 0, "call", CLIENT)]);
    bench.send("api", vec![span(1, 2, 1, "serve", SERVER)]);
    bench.pass(90 * SECONDS);
    for metric in [CALLS, REQUESTS, "traces_span_metrics_duration_seconds"] {
        assert!(bench.newest(metric).iter().all(|(_, v)| v.is_stale()), "{metric}");
    }
    bench.send("web", vec![span(2, 1, 0, "call", CLIENT)]);
    bench.pass(2 * SECONDS);
    assert_eq!(bench.value(CALLS, &[("span_name", "call")]), Some(1.0), "and begin again");
}

#[test]
fn who_was_called_once_does_not_take_the_name_of_who_is_called_later() {
    let settings = SignalSettings { peers: 8, idle: Duration::from_secs(20), ..SignalSettings::default() };
    let mut bench = Bench::with(StoreLimits::default(), settings);
    let mut trace = 0;
    let mut call = |bench: &mut Bench, attributes: Vec<KeyValue>| {
        trace += 1;
        let call = attributes.into_iter().fold(span(trace, 1, 0, "call", CLIENT), |span, attribute| span.with(attribute));
        bench.send("shop", vec![call]);
        bench.pass(Duration::from_millis(500));
    };
    let web = |host: String| vec![text("http.request.method", "POST"), text("server.address", &host)];
    let database = |name: &str| vec![text("db.system.name", "postgresql"), text("db.namespace", name)];
    for hook in 0..40 {
        call(&mut bench, web(format!("hook-{hook}.example")));
        call(&mut bench, database("orders"));
    }
    bench.pass(Duration::from_secs(12));
    assert!(edges(&bench).iter().any(|edge| edge.contains("__overflow__")), "{:?}", edges(&bench));
    // Of the first eight nobody speaks any more.
    for _ in 0..100 {
        call(&mut bench, database("orders"));
    }
    call(&mut bench, database("stock"));
    bench.pass(Duration::from_secs(12));
    let drawn: Vec<String> = edges(&bench).into_iter().filter(|edge| !edge.ends_with("NaN")).collect();
    assert!(drawn.iter().any(|edge| edge.contains("stock")) && drawn.iter().any(|edge| edge.contains("orders")), "{drawn:?}");
    assert!(!drawn.iter().any(|edge| edge.contains("__overflow__")), "{drawn:?}");
}

#[test]
fn a_clock_set_forward_by_years_ends_and_forgets_nothing() {
    let mut bench = Bench::new();
    bench.send("web", vec![span(1, 1, 0, "call", CLIENT)]);
    bench.send("api", vec![span(1, 2, 1, "serve", SERVER)]);
    bench.engine.seal();
    bench.pass(30 * SECONDS);
    let dependencies = bench.store.dependencies("web");
    assert_eq!(dependencies.len(), 1);
    bench.set_clock(bench.now.saturating_add(10 * 365 * 24 * 3600 * SECONDS));
    bench.store.maintain(bench.now);
    bench.pass(30 * SECONDS);
    assert_eq!(bench.value(CALLS, &[("span_name", "serve")]), Some(1.0));
    assert_eq!(bench.store.dependencies("web"), dependencies);
    assert_eq!(bench.store.usage().spans_held, 2);
    bench.pass(1200 * SECONDS);
    assert!(bench.newest(CALLS).iter().all(|(_, v)| v.is_stale()), "from there on it ages as ever");
}

#[test]
fn requests_that_waited_in_the_queue_refuse_no_sample() {
    let mut bench = Bench::new();
    let mut refused = 0;
    for round in 0..20u64 {
        let arrived = bench.now;
        bench.pass(Duration::from_secs(2));
        // The owner thread has ticked since this one came.
        let ticked = std::mem::replace(&mut bench.now, arrived.saturating_add(Duration::from_millis(1900)));
        bench.send("svc", vec![span(u128::from(round) + 1, round + 1, 0, "op", SERVER)]);
        bench.now = ticked;
        refused = bench.meter.counter("watchfire_samples_refused_total", &[("reason", "out_of_order")]).get();
    }
    assert_eq!(refused, 0);
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.value("traces_span_metrics_calls_total", &[("service_name", "svc")]), Some(20.0));
    // A clock that was set back by an hour is followed all the same.
    bench.now = bench.now.saturating_sub(Duration::from_secs(3600));
    bench.send("later", vec![span(1000, 1000, 0, "op", SERVER)]);
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.value("traces_span_metrics_calls_total", &[("service_name", "later")]), Some(1.0));
}

#[test]
fn spans_without_a_service_name_are_of_what_their_resource_is() {
    let mut bench = Bench::new();
    let sends = |attributes: &[(&str, &str)], id: u64| {
        let mut sent = resource_spans("", vec![span(id.into(), id, 0, "op", SERVER)]);
        sent.resource.as_mut().expect("a resource").attributes = attributes.iter().map(|(key, v)| text(key, v)).collect();
        sent
    };
    bench.request(vec![
        sends(&[("k8s.pod.name", "web-5d4f8c7b9d-x7k2p"), ("host.name", "n1")], 1),
        sends(&[("service.name", "unknown_service:node"), ("k8s.daemonset.name", "agent")], 2),
        sends(&[("service.name", "unknown_service:java")], 3),
        sends(&[("process.executable.name", "cron")], 4),
        sends(&[], 5),
    ]);
    bench.pass(3 * SECONDS);
    let calls = bench.newest(CALLS);
    let names: Vec<&str> = calls.iter().map(|(labels, _)| labels.value("service_name")).collect();
    assert_eq!(names, ["agent", "unknown_service", "unknown_service:cron", "unknown_service:java", "web"]);
}

#[test]
fn what_a_service_begins_by_itself_is_told_from_its_parts() {
    let mut bench = Bench::new();
    let query = |trace: u128, id: u64, parent: u64| span(trace, id, parent, "SELECT", CLIENT).with(text("db.system", "mysql"));
    bench.send("cron", vec![span(1, 1, 0, "job", INTERNAL), query(1, 2, 1), query(1, 3, 1), query(2, 4, 0)]);
    bench.send("web", vec![span(3, 1, 0, "GET /", SERVER)]);
    bench.pass(3 * SECONDS);
    let begun = bench.newest("watchfire_root_operation_info");
    let begun: Vec<_> = begun.iter().map(|(l, _)| (l.value("service_name"), l.value("span_name"))).collect();
    assert_eq!(begun, [("cron", "job")]);
}

/// Strawberry has a server span for the GraphQL operation within that of the HTTP request.
#[test]
fn a_server_within_a_server_of_the_same_service_is_a_layer_of_it() {
    for outer_first in [true, false] {
        let mut bench = Bench::new();
        for trace in 1..=5 {
            let mut spans = [span(trace, 1, 9, "POST /graphql", SERVER), span(trace, 2, 1, "GraphQL Query", SERVER)];
            if !outer_first {
                spans.reverse();
            }
            for span in spans {
                bench.send("shop", vec![span]);
            }
            // Another service that the first one calls without saying so.
            bench.send("stock", vec![span(trace, 3, 2, "GET /stock", SERVER)]);
        }
        bench.pass(3 * SECONDS);
        let calls = |name: &str, kind: &str| bench.value(CALLS, &[("span_name", name), ("span_kind", kind)]);
        // The first is counted before it is known.
        let counted = ["SPAN_KIND_SERVER", "SPAN_KIND_INTERNAL"].map(|kind| calls("GraphQL Query", kind));
        assert_eq!(counted, [Some(1.0), Some(4.0)], "{outer_first}");
        assert_eq!((calls("POST /graphql", "SPAN_KIND_SERVER"), calls("GET /stock", "SPAN_KIND_SERVER")), (Some(5.0), Some(5.0)));
    }
}
