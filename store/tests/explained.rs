//! What failing and slow spans have in common, what they say, and which traces show it.

#[path = "../testing/build.rs"]
mod build;
#[path = "../testing/walk.rs"]
mod walk;

use build::*;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::Event;
use std::time::Duration;
use watchfire_model::Timestamp;
use watchfire_model::reading::ExplainQuery;
use watchfire_store::Example;

const SECOND: Duration = Duration::from_secs(1);

fn hex(n: u128) -> String {
    format!("{n:032x}")
}

#[test]
fn explain_names_what_the_slow_spans_have_in_common() {
    let mut bench = Bench::new();
    let mut spans = Vec::new();
    for i in 1..=4000u128 {
        let slow = i % 10 == 0;
        let host = if slow { "node-7" } else { ["node-1", "node-2", "node-3"][(i % 3) as usize] };
        let build = if i % 2 == 0 { "blue" } else { "green" };
        spans.push(
            span(i, 1, 0, "GET /search", SERVER)
                .takes(if slow { 900 } else { 20 })
                .with(text("host", host))
                .with(text("build", build))
                .with(text("request.id", &format!("{i:x}"))),
        );
    }
    for chunk in spans.chunks(500) {
        bench.send("search", chunk.to_vec());
    }
    bench.pass(SECOND);
    let query = ExplainQuery {
        service: Some("search".into()),
        start: Timestamp(START - 1000),
        end: Timestamp(START + 60_000),
        min_duration_ms: Some(500.0),
        ..ExplainQuery::default()
    };
    let explanation = bench.store.explain(&query);
    assert_eq!((explanation.selected, explanation.others), (400, 3600));
    let first = &explanation.findings[0];
    assert_eq!((&*first.attribute, &*first.value), ("host", "node-7"));
    assert_eq!((first.share_selected, first.share_others), (1.0, 0.0));
    assert!(explanation.findings.iter().all(|f| f.attribute != "request.id"), "identifiers explain nothing");
    assert_eq!(explanation.example_traces.len(), 5);
    assert_eq!(bench.store.explain(&ExplainQuery { service: Some("nobody".into()), ..query }).selected, 0);
}

#[test]
fn examples_of_what_is_slow_are_different_traces() {
    let mut bench = Bench::new();
    // The slow spans of two traces take turns: 900, 800, 700, 600 ms.
    bench.send("svc", vec![span(1, 1, 0, "a", SERVER).takes(900), span(2, 1, 0, "a", SERVER).takes(800)]);
    bench.send("svc", vec![span(1, 2, 1, "b", SERVER).takes(700), span(2, 2, 1, "b", SERVER).takes(600)]);
    bench.pass(SECOND);
    let query = ExplainQuery { start: Timestamp(START - 1000), min_duration_ms: Some(500.0), ..ExplainQuery::default() };
    assert_eq!(bench.store.explain(&query).example_traces, [hex(1), hex(2)]);
}

#[test]
fn an_injected_fault_of_one_attribute_is_ranked_first() {
    const RUNS: u64 = 200;
    let attributes = ["host", "zone", "build", "tenant", "endpoint", "device", "flag"];
    let mut first = 0;
    for seed in 0..RUNS {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut number = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        let values = attributes.map(|_| 2 + number(6));
        let faulty = number(attributes.len() as u64) as usize;
        let culprit = number(values[faulty]);
        let mut bench = Bench::new();
        let spans = (1..=600u128).map(|i| {
            let drawn: Vec<u64> = values.iter().map(|n| number(*n)).collect();
            // Nine in ten calls that meet the fault are slow, and two in a hundred of all others.
            let slow = number(100) < if drawn[faulty] == culprit { 90 } else { 2 };
            let span = span(i, 1, 0, "GET /search", SERVER).takes(if slow { 900 + number(300) } else { 20 + number(60) });
            attributes.iter().zip(&drawn).fold(span, |span, (name, value)| span.with(text(name, &format!("{name}-{value}"))))
        });
        bench.send("search", spans.collect());
        bench.pass(SECOND);
        let explanation = bench.store.explain(&ExplainQuery {
            service: Some("search".into()),
            start: Timestamp(START - 1000),
            end: Timestamp(START + 60_000),
            min_duration_ms: Some(500.0),
            ..ExplainQuery::default()
        });
        let wanted = (attributes[faulty], format!("{}-{culprit}", attributes[faulty]));
        first += u64::from(explanation.findings.first().is_some_and(|f| (f.attribute.as_str(), f.value.clone()) == wanted));
    }
    println!("ranked first in {first} of {RUNS} runs");
    assert!(first * 100 >= RUNS * 95, "ranked first in {first} of {RUNS} runs only");
}

#[test]
fn errors_are_summed_up_by_what_they_say_and_examples_are_at_hand() {
    let mut bench = Bench::new();
    let exception = |message: &str| Event {
        name: "exception".into(),
        attributes: vec![text("exception.type", "IoError"), text("exception.message", message)],
        ..Event::default()
    };
    let mut spans: Vec<_> = (1..=5u128).map(|i| span(i, 1, 0, "op", SERVER).fails("timed out")).collect();
    spans[2] = span(3, 1, 0, "op", SERVER).fails("timed out").takes(900);
    let mut thrown = span(6, 1, 0, "op", SERVER).fails("");
    thrown.events.push(exception("refused"));
    spans.push(thrown);
    spans.push(span(7, 1, 0, "op", SERVER).fails("").with(int("http.response.status_code", 503)));
    spans.push(span(8, 1, 0, "op", SERVER).takes(5000));
    bench.send("svc", spans);
    bench.pass(SECOND);
    let errors = bench.store.top_errors("svc", bench.now);
    assert_eq!(errors, [("timed out".to_owned(), 5), ("HTTP 503".to_owned(), 1), ("IoError: refused".to_owned(), 1)]);
    let of = |which, since, limit| bench.store.example_traces(&["svc".to_owned(), "other".to_owned()], which, since, limit);
    assert_eq!(of(Example::Slow, Timestamp::MIN, 1), [hex(8)]);
    // What took longest to fail comes first.
    assert_eq!(of(Example::Error, Timestamp::MIN, 1), [hex(3)]);
    assert_eq!(of(Example::Error, Timestamp::MIN, 50).len(), 7);
    assert_eq!(of(Example::Error, Timestamp::MAX, 50), [] as [String; 0]);
}

#[test]
fn refused_calls_are_counted_by_what_was_answered_and_lead_to_their_traces() {
    let mut bench = Bench::new();
    let login = |i: u128, status: i64| span(i, 1, 0, "POST /login", SERVER).with(int("http.response.status_code", status));
    let mut spans: Vec<_> = (1..=3u128).map(|i| login(i, 401)).collect();
    spans.push(login(4, 200));
    spans.push(login(5, 404));
    spans.push(span(6, 1, 0, "Check", SERVER).with(int("rpc.grpc.status_code", 7)));
    // What the service counts as failed is among its errors, and its own calls are somebody else's answers.
    spans.push(login(7, 401).fails("refused"));
    spans.push(span(8, 1, 0, "GET /keys", CLIENT).with(text("http.response.status_code", "403")));
    bench.send("gateway", spans);
    bench.pass(SECOND);
    let counted: Vec<_> = bench.store.refusals("gateway", bench.now).into_iter().map(|r| (r.count, r.answer, r.operation)).collect();
    assert_eq!(
        counted,
        [(3, "HTTP 401".to_owned(), "POST /login".to_owned()), (1, "gRPC PERMISSION_DENIED".to_owned(), "Check".to_owned())]
    );
    assert_eq!(bench.store.refusals("gateway", Timestamp(START - 1000)), []);
    assert_eq!(bench.store.refusals("other", bench.now), []);
    let of = |since| bench.store.example_traces(&["gateway".to_owned()], Example::Refused, since, 50);
    let mut found = of(Timestamp::MIN);
    found.sort();
    assert_eq!(found, [1, 2, 3, 6, 7, 8].map(hex));
    assert_eq!(of(Timestamp::MAX), [] as [String; 0]);
}

#[test]
fn a_large_number_explains_whatever_it_is_exactly_and_failures_are_not_explained_by_their_outcome() {
    let mut bench = Bench::new();
    let spans = (0..2000u128).map(|i| {
        // Carts of more than 40 of 50 items are slow and fail, and every such call of two thirds says so in its status.
        let items = (i * 7 % 50) as i64 + 1;
        let bad = items > 40;
        let code = if bad && i % 3 > 0 { 500 } else { 200 };
        let span = span(i + 1, 1, 0, "POST /cart", SERVER).takes(if bad { 900 } else { 20 });
        let span = if bad { span.fails("too large") } else { span };
        let worth =
            KeyValue { key: "cart.value".into(), value: value(any_value::Value::DoubleValue(items as f64 * 1.5)), ..KeyValue::default() };
        span.with(int("cart.items", items)).with(int("http.response.status_code", code)).with(worth)
    });
    for chunk in spans.collect::<Vec<_>>().chunks(500) {
        bench.send("cart", chunk.to_vec());
    }
    bench.pass(SECOND);
    let base = ExplainQuery { start: Timestamp(START - 1000), end: Timestamp(START + 60_000), ..ExplainQuery::default() };
    let told = |query: ExplainQuery| {
        let findings = bench.store.explain(&query).findings;
        findings.iter().map(|f| format!("{} {} {}", f.attribute, f.sign.text(), f.value)).collect::<Vec<_>>()
    };
    let slow = told(ExplainQuery { min_duration_ms: Some(500.0), ..base.clone() });
    assert_eq!(slow[..2], ["cart.items >= 40", "cart.value >= 60"], "{slow:?}");
    let failing = told(ExplainQuery { errors_only: true, ..base });
    assert_eq!(failing, ["cart.items >= 40", "cart.value >= 60", "http.response.status_code = 500"]);
}
