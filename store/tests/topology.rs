//! The live dependency graph that alerts ask for causes, from encoded spans and probes.

#[path = "../testing/build.rs"]
mod build;
#[path = "../testing/walk.rs"]
mod walk;

use build::*;
use std::time::Duration;
use watchfire_model::{CheckReport, HealthState, Matcher, ProbeSink, Relation, Selector, SeriesSource, TimeRange, Timestamp, Topology};

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
    bench.send("mailer", vec![query(3, "localhost", 6379), query(4, "127.0.0.1", 6379), query(5, "localhost", 6379)]);
    let check = |service: &str, url: &str| CheckReport {
        service: service.into(),
        check: "tcp".into(),
        url: url.into(),
        state: HealthState::Healthy,
        success: true,
        at: Timestamp(START),
        since: Timestamp(START),
        ..CheckReport::default()
    };
    bench.store.probe(check("local:6379", "tcp://[::1]:6379"));
    bench.store.probe(check("other:6379", "tcp://other:6379"));
    bench.pass(5 * SECONDS);
    let addresses = bench.newest("watchfire_node_address");
    let addresses: Vec<_> = addresses.iter().map(|(l, _)| (l.value("node"), l.value("address"))).collect();
    assert_eq!(addresses, [("redis", "127.0.0.1:6379"), ("redis", "localhost:6379")]);
    let calls = bench.value("traces_service_graph_request_total", &[("client", "mailer"), ("server", "redis")]);
    assert_eq!(calls, Some(3.0), "one server under two spellings of its address is one node");
    let of = |service| bench.store.dependencies(service).into_iter().map(|d| (d.server, d.relation)).collect::<Vec<_>>();
    assert_eq!(of("web"), [("mailer".to_owned(), Relation::Sends)]);
    assert_eq!(of("mailer"), [("redis".to_owned(), Relation::Calls)]);
    assert_eq!(of("redis"), [("local:6379".to_owned(), Relation::Is)]);
}

#[test]
fn sockets_alone_tell_no_servers_apart() {
    let mut bench = Bench::new();
    let query = |id: u64, host: &str, socket: &str| {
        let span = span(id.into(), id, 0, "GET", CLIENT).with(text("db.system.name", "redis")).with(text("network.peer.address", socket));
        if host.is_empty() { span } else { span.with(text("server.address", host)) }
    };
    let servers = |bench: &Bench, client: &str| {
        let calls = bench.newest("traces_service_graph_request_total");
        let of_client = calls.into_iter().filter(|(l, v)| l.value("client") == client && v.as_float().is_some_and(|v| !v.is_nan()));
        of_client.map(|(l, _)| l.value("server").to_owned()).collect::<Vec<_>>()
    };
    // One server whose pod was replaced.
    bench.send("old", vec![query(1, "", "10.0.0.7"), query(2, "", "10.0.0.8")]);
    bench.send("web", vec![query(3, "cache-1", "10.0.0.8"), query(4, "cache-1", "10.0.0.9")]);
    bench.pass(5 * SECONDS);
    assert_eq!((servers(&bench, "old"), servers(&bench, "web")), (vec!["redis".to_owned()], vec!["redis".to_owned()]));
    bench.send("web", vec![query(5, "cache-2", "10.0.1.1")]);
    bench.pass(5 * SECONDS);
    assert_eq!(servers(&bench, "web"), ["redis@cache-1", "redis@cache-2"]);
    assert_eq!(servers(&bench, "old"), ["redis"], "which of them it calls it does not say");
}

#[test]
fn servers_of_one_name_are_told_apart_once_a_second_is_called() {
    let mut bench = Bench::new();
    let query = |id: u64, name: &str, host: &str| {
        let span = span(id.into(), id, 0, "GET", CLIENT).with(text("db.system", name)).with(text("net.peer.name", host));
        if name == "redis" { span } else { span.with(text("db.name", "app")) }
    };
    bench.send("web", vec![query(1, "redis", "cache-1"), query(2, "postgresql", "db-1")]);
    bench.pass(5 * SECONDS);
    let nodes = |bench: &Bench| {
        let calls = bench.newest("traces_service_graph_request_total");
        let calls = calls.into_iter().filter_map(|(l, v)| Some((l.value("server").to_owned(), v.as_float()?)));
        calls.filter(|(_, calls)| !calls.is_nan()).collect::<Vec<_>>()
    };
    let node = |name: &str, calls: f64| (name.to_owned(), calls);
    assert_eq!(nodes(&bench), [node("app", 1.0), node("redis", 1.0)]);
    bench.send("web", vec![query(3, "redis", "cache-2"), query(4, "redis", "cache-1").fails("timeout"), query(5, "redis", "cache-3")]);
    // Nothing says that this is another one.
    bench.send("web", vec![span(6, 6, 0, "SELECT", CLIENT).with(text("db.system", "postgresql")).with(text("db.name", "app"))]);
    bench.pass(Duration::from_millis(250));
    let told_apart = [node("app", 1.0), node("redis@cache-1", 2.0), node("redis@cache-2", 1.0), node("redis@cache-3", 1.0)];
    assert_eq!(nodes(&bench), told_apart, "no call is lost");
    bench.send("web", vec![query(7, "redis", "cache-1"), span(8, 8, 0, "GET", CLIENT).with(text("db.system", "redis"))]);
    bench.pass(5 * SECONDS);
    let nowhere =
        [node("app", 2.0), node("redis", 1.0), node("redis@cache-1", 3.0), node("redis@cache-2", 1.0), node("redis@cache-3", 1.0)];
    assert_eq!(nodes(&bench), nowhere, "of one call nobody says where it went");
    let begun = |server: &str| {
        let labels = Selector(vec![Matcher::equal("__name__", "traces_service_graph_request_total"), Matcher::equal("server", server)]);
        let mut first = None;
        let all = TimeRange::new(Timestamp(0), Timestamp::MAX);
        bench.store.select(&labels, all, &mut |view| first = view.values.first().copied()).expect("readable");
        first
    };
    assert_eq!(["redis@cache-1", "redis@cache-2"].map(begun), [Some(2.0), Some(0.0)], "what began before is no burst of calls");
    let addresses = bench.newest("watchfire_node_address");
    let known = addresses.iter().filter(|(_, v)| v.as_float() == Some(1.0));
    let addresses: Vec<_> = known.map(|(l, _)| (l.value("node"), l.value("address"))).collect();
    let own = ["redis@cache-1", "redis@cache-2", "redis@cache-3"].map(|node| (node, &node[6..]));
    assert_eq!(addresses, [&own[..], &[("app", "db-1")]].concat());
}

#[test]
fn what_a_probe_asks_is_the_service_that_answers_there() {
    let mut bench = Bench::new();
    let check = |service: &str, url: &str| CheckReport {
        service: service.into(),
        check: "health".into(),
        url: url.into(),
        state: HealthState::Unhealthy,
        detail: "refused".into(),
        at: Timestamp(START),
        since: Timestamp(START),
        ..CheckReport::default()
    };
    let get = |id: u64, host: &str, port: i64| {
        let named = span(id.into(), id, 0, "GET", CLIENT).with(text("http.request.method", "GET"));
        named.with(text("server.address", host)).with(int("server.port", port))
    };
    let answer = |id: u64| vec![span(id.into(), id + 100, id, "GET /", SERVER)];
    let by_url = span(3, 3, 0, "GET", CLIENT).with(text("http.method", "GET")).with(text("http.url", "http://mail.local/send"));
    bench.send("web", vec![get(1, "10.0.0.5", 8003), get(2, "gateway", 80), by_url, get(4, "gateway", 80)]);
    for (id, service) in [(1, "orders"), (2, "orders"), (3, "mail"), (4, "stock")] {
        bench.send(service, answer(id));
    }
    bench.store.probe(check("10.0.0.5:8003", "http://10.0.0.5:8003/health"));
    bench.store.probe(check("mail.local", "http://mail.local/health"));
    bench.store.probe(check("gateway", "http://gateway/health"));
    bench.store.probe(check("stock", "http://10.0.0.5:8003/stock"));
    bench.pass(5 * SECONDS);
    let is = |service: &str| {
        let all = bench.store.dependencies(service).into_iter();
        all.filter(|d| d.relation == Relation::Is).map(|d| d.server).collect::<Vec<_>>()
    };
    assert_eq!((is("orders"), is("mail")), (vec!["10.0.0.5:8003".to_owned()], vec!["mail.local".to_owned()]));
    assert_eq!(is("stock"), [""; 0], "behind one address are several, and a check of a service is that service's");
    let services: Vec<_> = bench.store.unhealthy().into_iter().map(|found| found.name).collect();
    assert_eq!(services, ["orders", "gateway", "mail", "stock"]);
    let addresses = bench.newest("watchfire_node_address");
    let addresses: Vec<_> = addresses.iter().map(|(l, _)| (l.value("node"), l.value("address"))).collect();
    assert_eq!(addresses, [("orders", "10.0.0.5:8003"), ("mail", "mail.local:80")]);
    // Somebody else answers there by now.
    bench.send("web", vec![get(9, "10.0.0.5", 8003)]);
    bench.send("billing", answer(9));
    bench.pass(5 * SECONDS);
    assert_eq!(bench.value("watchfire_node_address", &[("node", "orders")]).map(f64::is_nan), Some(true));
    assert_eq!(bench.store.unhealthy()[0].name, "10.0.0.5:8003");
}

/// The first service behind a browser has no caller who sends spans. Its own spans say where it is called.
#[test]
fn what_a_probe_asks_is_the_service_that_says_it_is_called_there() {
    let says = |id: u64, attributes: &[(&str, &str)]| {
        let server = span(id.into(), id, 0, "GET /", SERVER).with(text("net.peer.name", "10.9.9.9")).with(int("net.peer.port", 50_000));
        attributes.iter().fold(server, |server, (key, value)| match value.parse() {
            Ok(number) => server.with(int(key, number)),
            Err(_) => server.with(text(key, value)),
        })
    };
    let mut bench = Bench::new();
    bench.send("stable", vec![says(1, &[("server.address", "stable.local"), ("server.port", "8001"), ("url.scheme", "http")])]);
    bench.send("plain", vec![says(2, &[("server.address", "shop.local"), ("url.scheme", "https")])]);
    bench.send("older", vec![says(3, &[("net.host.name", "older.local"), ("net.host.port", "8003")])]);
    bench.send("header", vec![says(4, &[("http.host", "header.local:8004"), ("net.host.port", "9999")])]);
    bench.send("url", vec![says(5, &[("http.url", "http://url.local:8005/x")])]);
    bench.send("vague", vec![says(6, &[("server.address", "vague.local")])]);
    for (id, service) in [(7, "a"), (8, "b")] {
        bench.send(service, vec![says(id, &[("http.host", "balancer.local:80")])]);
    }
    bench.pass(5 * SECONDS);
    let addresses = bench.newest("watchfire_node_address");
    let addresses: Vec<_> = addresses.iter().map(|(l, _)| (l.value("node"), l.value("address"))).collect();
    let expected = [
        ("header", "header.local:8004"),
        ("older", "older.local:8003"),
        ("plain", "shop.local:443"),
        ("stable", "stable.local:8001"),
        ("url", "url.local:8005"),
    ];
    assert_eq!(addresses, expected, "an address that several say is nobody's");
}
