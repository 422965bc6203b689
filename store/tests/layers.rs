//! Client spans around client spans are one call, and what only asks for messages is no work, from encoded spans.

#[path = "../testing/build.rs"]
mod build;
#[path = "../testing/walk.rs"]
mod walk;

use build::*;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::time::Duration;

/// Calls of `web` by server, once everything that waits has waited long enough.
fn calls(bench: &mut Bench) -> Vec<(String, f64)> {
    bench.pass(Duration::from_secs(15));
    let calls = bench.newest("traces_service_graph_request_total");
    let of_web = calls.into_iter().filter(|(l, _)| l.value("client") == "web");
    of_web.map(|(l, v)| (l.value("server").to_owned(), v.as_float().unwrap_or_default())).collect()
}

fn attributed(span: Span, attributes: &[(&str, &str)]) -> Span {
    attributes.iter().fold(span, |span, (key, value)| match value.parse() {
        Ok(number) => span.with(int(key, number)),
        Err(_) => span.with(text(key, value)),
    })
}

type Attributes<'a> = &'a [(&'a str, &'a str)];

/// What it is, the outer span, the inner one, and the calls that both are.
type Case<'a> = (&'a str, Attributes<'a>, Attributes<'a>, &'a [(&'a str, f64)]);

const HTTP_TO_API: Attributes<'_> = &[("http.request.method", "POST"), ("server.address", "api.example.com"), ("server.port", "443")];
const HTTP_TO_SEARCH: Attributes<'_> = &[("http.request.method", "POST"), ("server.address", "es"), ("server.port", "9200")];
const SEARCH: Attributes<'_> = &[("db.system.name", "elasticsearch"), ("server.address", "es"), ("server.port", "9200")];
const QUERY: Attributes<'_> = &[("db.system.name", "postgresql"), ("db.namespace", "orders"), ("server.address", "db")];

#[test]
fn one_call_that_two_spans_tell_of_is_counted_once() {
    let cases: [Case<'_>; 9] = [
        (
            "a client of an API over HTTP",
            &[("server.address", "api.example.com"), ("server.port", "443")],
            HTTP_TO_API,
            &[("api.example.com", 20.0)],
        ),
        ("a query over HTTP", SEARCH, HTTP_TO_SEARCH, &[("elasticsearch", 20.0)]),
        ("an API without an address", &[("rpc.system", "aws-api"), ("rpc.service", "S3")], HTTP_TO_API, &[("S3", 20.0)]),
        ("a library over a driver", &[("db.system", "postgresql"), ("db.name", "orders")], QUERY, &[("orders", 20.0)]),
        (
            "a token for another call",
            HTTP_TO_API,
            &[("http.request.method", "POST"), ("server.address", "login")],
            &[("api.example.com", 20.0), ("login", 20.0)],
        ),
        (
            "what is looked up behind a cache",
            &[("db.system.name", "redis"), ("server.address", "cache")],
            QUERY,
            &[("orders", 20.0), ("redis", 20.0)],
        ),
        ("a fetch of messages", &[("messaging.system", "aws_sqs"), ("messaging.operation.type", "receive")], HTTP_TO_API, &[]),
        (
            "a fetch that says so by its method",
            &[
                ("messaging.system", "aws.sqs"),
                ("messaging.destination", "jobs"),
                ("rpc.system", "aws-api"),
                ("rpc.method", "ReceiveMessage"),
            ],
            HTTP_TO_API,
            &[],
        ),
        ("calls of an unnamed step", &[], HTTP_TO_API, &[("api.example.com", 20.0)]),
    ];
    for (what, outer, inner, expected) in cases {
        for inner_first in [true, false] {
            let mut bench = Bench::new();
            let pair = |id: u64| {
                let outer = attributed(span(id.into(), 1, 9, "outer", CLIENT), outer);
                let inner = attributed(span(id.into(), 2, 1, "inner", CLIENT), inner);
                if inner_first { [inner, outer] } else { [outer, inner] }
            };
            // In one request, and in two.
            bench.send("web", (1..=10).flat_map(pair).collect());
            (11..=20).flat_map(pair).for_each(|span| bench.send("web", vec![span]));
            let expected: Vec<_> = expected.iter().map(|(server, calls)| ((*server).to_owned(), *calls)).collect();
            assert_eq!(calls(&mut bench), expected, "{what}, inner first: {inner_first}");
        }
    }
}

#[test]
fn the_layer_that_a_service_answers_is_the_call() {
    for inner_first in [true, false] {
        let mut bench = Bench::new();
        for id in 1..=10u64 {
            let place = &[("server.address", "pay"), ("server.port", "80")];
            let outer = attributed(span(id.into(), 1, 9, "pay.Charge", CLIENT), place).with(text("rpc.service", "pay.v1.Pay"));
            let inner = attributed(span(id.into(), 2, 1, "POST", CLIENT), place).with(text("http.request.method", "POST"));
            let outer = if id == 1 { outer.fails("cannot be read") } else { outer };
            bench.send("web", if inner_first { vec![inner, outer] } else { vec![outer, inner] });
            bench.send("pay", vec![span(id.into(), 3, 2, "POST /", SERVER)]);
        }
        assert_eq!(calls(&mut bench), [("pay".to_owned(), 10.0)], "inner first: {inner_first}");
    }
}

#[test]
fn a_failure_of_the_outer_layer_is_one_of_the_call_and_each_attempt_counts() {
    let mut bench = Bench::new();
    let outer = attributed(span(1, 1, 9, "chat", CLIENT), HTTP_TO_API).fails("no answer that can be read");
    let attempt = |id: u64| attributed(span(1, id, 1, "POST", CLIENT), HTTP_TO_API);
    bench.send("web", vec![attempt(2).fails("503"), attempt(3), outer]);
    assert_eq!(calls(&mut bench), [("api.example.com".to_owned(), 2.0)]);
    assert_eq!(bench.value("traces_service_graph_request_failed_total", &[("client", "web")]), Some(2.0));
}

#[test]
fn queries_within_what_one_query_of_a_library_became_all_count() {
    let mut bench = Bench::new();
    let queries = (2..=4).map(|id| attributed(span(1, id, 1, "SELECT", CLIENT), QUERY));
    let outer = attributed(span(1, 1, 9, "findAll", CLIENT), &[("db.system", "postgresql"), ("db.name", "orders")]);
    bench.send("web", queries.chain([outer]).collect());
    assert_eq!(calls(&mut bench), [("orders".to_owned(), 3.0)]);
}

#[test]
fn who_asks_a_queue_in_vain_has_done_no_work() {
    let mut bench = Bench::new();
    let receive = |id: u64, system: &str| {
        let asked = [("messaging.system", system), ("messaging.destination.name", "jobs"), ("messaging.operation.type", "receive")];
        attributed(span(id.into(), id, 0, "jobs receive", CONSUMER), &asked)
    };
    let count = |span: Span, messages: i64| span.with(int("messaging.batch.message_count", messages));
    bench.send("worker", vec![receive(1, "aws_sqs"), count(receive(2, "aws_sqs"), 0), count(receive(3, "kafka"), 0)]);
    bench.send("worker", vec![count(receive(4, "aws_sqs"), 2), receive(5, "aws_sqs").links(77, 1), receive(6, "rabbitmq")]);
    bench.pass(Duration::from_secs(5));
    let calls = |kind: &str| bench.value("traces_span_metrics_calls_total", &[("service_name", "worker"), ("span_kind", kind)]);
    assert_eq!((calls("SPAN_KIND_CONSUMER"), calls("SPAN_KIND_CLIENT")), (Some(3.0), Some(3.0)));
}

#[test]
fn a_query_that_two_instrumentations_tell_of_side_by_side_is_one() {
    let mut bench = Bench::new();
    let of_scope = |scope: &str, spans: Vec<Span>| {
        let mut sent = resource_spans("web", spans);
        sent.scope_spans[0].scope.as_mut().expect("a scope").name = scope.into();
        sent
    };
    let query = |trace: u128, id: u64| attributed(span(trace, id, 9, "SELECT", CLIENT), QUERY);
    for trace in 1..=10 {
        let inner = of_scope("psycopg2", vec![query(trace, 2).takes(5)]);
        let outer = of_scope("sqlalchemy", vec![query(trace, 1).takes(7)]);
        bench.request(if trace % 2 == 0 { vec![inner, outer] } else { vec![outer, inner] });
    }
    // Two at once by one driver, and one after the other by two, are two.
    bench.request(vec![of_scope("psycopg2", vec![query(11, 2).takes(5), query(11, 3).takes(7)])]);
    let mut later = query(12, 3);
    later.start_time_unix_nano += 20_000_000;
    later.end_time_unix_nano += 20_000_000;
    bench.request(vec![of_scope("psycopg2", vec![query(12, 2)]), of_scope("sqlalchemy", vec![later])]);
    assert_eq!(calls(&mut bench), [("orders".to_owned(), 14.0)]);
}

#[test]
fn a_query_that_is_called_internal_is_a_call_all_the_same() {
    let mut bench = Bench::new();
    for trace in 1..=10 {
        let search = attributed(span(trace, 1, 9, "search", INTERNAL), SEARCH);
        let carrier = span(trace, 2, 1, "POST", CLIENT).with(text("http.method", "POST")).with(text("http.url", "http://es:9200/products"));
        bench.send("web", vec![carrier, search, span(trace, 3, 9, "render", INTERNAL).with(text("db.system", "none of it"))]);
    }
    assert_eq!(calls(&mut bench), [("elasticsearch".to_owned(), 10.0)]);
    let internal = [("service_name", "web"), ("span_name", "search"), ("span_kind", "SPAN_KIND_INTERNAL")];
    assert_eq!(bench.value("traces_span_metrics_calls_total", &internal), Some(10.0), "what it is called stays");
}

/// nginx and other proxies open one span for a request, and none for the call that they make: the service behind them names it as its parent.
#[test]
fn a_server_directly_within_the_server_of_another_service_was_called_by_it() {
    for order in [["web", "api"], ["api", "web"]] {
        let mut bench = Bench::new();
        for id in 0..20_u64 {
            for service in order {
                match service {
                    // What it asks beside is no reason to think otherwise.
                    "web" => bench.send(
                        "web",
                        vec![span(id.into(), 400 + id, 100 + id, "limit", CLIENT), span(id.into(), 100 + id, 0, "/api", SERVER)],
                    ),
                    // What a layer of the service itself does is no call.
                    _ => bench.send(
                        "api",
                        vec![span(id.into(), 200 + id, 100 + id, "GET /api", SERVER), span(id.into(), 300 + id, 200 + id, "query", SERVER)],
                    ),
                };
            }
        }
        let calls = calls(&mut bench);
        assert_eq!(calls.iter().map(|(server, _)| server.as_str()).collect::<Vec<_>>(), ["api"], "{order:?}");
        assert!(calls[0].1 >= 17.0, "all but the first: {calls:?}");
        let edges = bench.newest("traces_service_graph_request_total");
        assert!(edges.iter().all(|(labels, _)| labels.value("client") == "web"), "{edges:?}");
    }
}

/// In Zipkin's model both sides of a call share one span id, so that the server's parent is the span around the call.
#[test]
fn a_call_whose_sides_share_one_span_is_counted_once() {
    for order in [["client", "web", "api"], ["api", "web", "client"], ["api", "client", "web"]] {
        let mut bench = Bench::new();
        for id in 0..40_u64 {
            for part in order {
                match part {
                    "web" => bench.send("web", vec![span(id.into(), 100 + id, 0, "/", SERVER)]),
                    "client" => {
                        bench.send("web", vec![span(id.into(), 200 + id, 100 + id, "get", CLIENT).with(text("peer.service", "api"))])
                    }
                    _ => bench.send("api", vec![span(id.into(), 200 + id, 100 + id, "get", SERVER)]),
                };
            }
        }
        let calls = calls(&mut bench);
        assert!(matches!(&calls[..], [(server, calls)] if server == "api" && (40.0..=43.0).contains(calls)), "{order:?}: {calls:?}");
    }
}

/// Who wraps the client of a language model names its provider and no address.
#[test]
fn a_language_model_is_named_by_its_provider_where_nothing_says_where_it_is() {
    let mut bench = Bench::new();
    let chat = |id: u64| {
        attributed(span(id.into(), id, 0, "chat", CLIENT), &[("gen_ai.operation.name", "chat"), ("gen_ai.provider.name", "anthropic")])
    };
    bench.send("web", vec![chat(1), chat(2).with(text("server.address", "llm.example.com"))]);
    assert_eq!(calls(&mut bench), [("anthropic".to_owned(), 1.0), ("llm.example.com".to_owned(), 1.0)]);
}
