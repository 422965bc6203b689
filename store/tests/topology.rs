//! The live dependency graph that alerts ask for causes, from encoded spans and probes.

#[path = "../testing/build.rs"]
mod build;
#[path = "../testing/walk.rs"]
mod walk;

use build::*;
use std::time::Duration;
use watchfire_model::{CheckReport, HealthState, ProbeSink, Relation, Timestamp, Topology};

const SECONDS: Duration = Duration::from_secs(1);

#[test]
fn the_live_graph_knows_dependencies_and_their_failures() {
    let mut bench = Bench::new();
    for i in 1..=10u128 {
        let server = span(i, 2, 1, "serve", SERVER);
        bench.send("web", vec![span(i, 1, 0, "call", CLIENT)]);
        bench.send("api", vec![if i <= 3 { server.fails("no") } else { server }]);
    }
    bench.send("api", vec![span(50, 1, 0, "SELECT", CLIENT).with(text("db.system", "mysql")).with(text("db.name", "users"))]);
    bench.pass(5 * SECONDS);
    let of = |service| bench.store.dependencies(service).into_iter().map(|d| (d.server, d.error_ratio)).collect::<Vec<_>>();
    assert_eq!(of("web"), [("api".to_owned(), Some(0.3))]);
    assert_eq!(of("api"), [("users".to_owned(), Some(0.0))]);
    assert_eq!(of("users"), []);
}

#[test]
fn a_message_is_handed_over_and_what_a_probe_asks_is_the_database_at_that_address() {
    let mut bench = Bench::new();
    bench.send("web", vec![span(1, 1, 0, "send", PRODUCER).with(text("messaging.destination.name", "mails"))]);
    bench.send("mailer", vec![span(1, 2, 1, "process", CONSUMER)]);
    let query = |id: u64, host: &str, port: i64| {
        let named = span(id.into(), id, 0, "GET", CLIENT).with(text("db.system", "redis")).with(int("db.redis.database_index", 0));
        named.with(text("net.peer.name", host)).with(int("net.peer.port", port))
    };
    bench.send("mailer", vec![query(3, "cache-1", 6379), query(4, "cache-2", 6379), query(5, "cache-1", 6379)]);
    let check = |service: &str, url: &str| CheckReport {
        service: service.into(),
        check: "tcp".into(),
        url: url.into(),
        state: HealthState::Healthy,
        success: true,
        latency: None,
        detail: String::new(),
        dependencies: Vec::new(),
        at: Timestamp(START),
        since: Timestamp(START),
        certificate_expires: None,
    };
    bench.store.probe(check("cache-2:6379", "tcp://cache-2:6379"));
    bench.store.probe(check("other:6379", "tcp://other:6379"));
    bench.pass(5 * SECONDS);
    let addresses = bench.newest("watchfire_node_address");
    let addresses: Vec<_> = addresses.iter().map(|(l, _)| (l.value("node"), l.value("address"))).collect();
    assert_eq!(addresses, [("redis", "cache-1:6379"), ("redis", "cache-2:6379")]);
    let calls = bench.value("traces_service_graph_request_total", &[("client", "mailer"), ("server", "redis")]);
    assert_eq!(calls, Some(3.0), "one node at two addresses is one edge");
    let of = |service| bench.store.dependencies(service).into_iter().map(|d| (d.server, d.relation)).collect::<Vec<_>>();
    assert_eq!(of("web"), [("mailer".to_owned(), Relation::Sends)]);
    assert_eq!(of("mailer"), [("redis".to_owned(), Relation::Calls)]);
    assert_eq!(of("redis"), [("cache-2:6379".to_owned(), Relation::Is)]);
}
