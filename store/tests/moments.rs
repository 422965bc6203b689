//! What was seen of spans at a moment is what is shown of it later; the instances of a service, and traces that are gone.

#[path = "../testing/build.rs"]
mod build;
#[path = "../testing/walk.rs"]
mod walk;

use build::*;
use std::time::Duration;
use watchfire_model::reading::{ExplainQuery, TraceQuery};
use watchfire_model::{Timestamp, TraceId};
use watchfire_store::{SignalSettings, StoreLimits};

const SECOND: Duration = Duration::from_secs(1);

/// At each moment: what a reader was told then of traces, errors, refusals, instances and what is over-represented.
fn seen(bench: &Bench, now: Timestamp, at: Option<Timestamp>) -> String {
    let traces = bench.store.traces(&TraceQuery::default(), at);
    let slowest = bench.store.traces(&TraceQuery { slowest_first: true, ..TraceQuery::default() }, at);
    let all = ExplainQuery { start: Timestamp(0), end: now, errors_only: true, ..ExplainQuery::default() };
    format!(
        "{traces:?}\n{slowest:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        bench.store.top_errors("svc", now),
        bench.store.refusals("svc", now),
        bench.store.instances("svc", now, 60 * SECOND),
        bench.store.explain_as_of(&all, at),
    )
}

/// Spans come after they ended, in parts, into segments that are sealed meanwhile; what is looked at later is what was there.
#[test]
fn a_moment_is_shown_with_the_spans_that_had_come() {
    let mut bench = Bench::new();
    let mut told = Vec::new();
    for round in 0..12u128 {
        // The root comes a round after its child; all of them ended before the first was sent.
        bench.send("svc", vec![span(round + 2, 2, 1, "child", CLIENT).with(int("round", round as i64)).fails("boom")]);
        let refused = span(round + 1, 1, 0, "root", SERVER).takes(20 + round as u64).with(int("http.response.status_code", 401));
        bench.send("svc", vec![refused]);
        if round % 5 == 3 {
            bench.engine.seal();
        }
        bench.pass(SECOND);
        told.push((bench.now, seen(&bench, bench.now, None)));
        bench.pass(SECOND);
    }
    let first = told.first().map(|(_, text)| text.clone()).unwrap_or_default();
    assert!(told.iter().skip(1).all(|(_, text)| *text != first), "every round adds something");
    for (at, text) in &told {
        assert_eq!(seen(&bench, *at, Some(*at)), *text, "at {at}");
    }
    assert_eq!(bench.store.traces(&TraceQuery::default(), Some(Timestamp(START - 1))).traces, []);
}

/// What eviction spares keeps the moment at which it was seen.
#[test]
fn what_outlives_its_segment_was_not_seen_earlier() {
    let limits = StoreLimits { memory_bytes: 8 << 20, ..StoreLimits::default() };
    let mut bench = Bench::with(limits, SignalSettings::default());
    bench.pass(10 * SECOND);
    let before = bench.now;
    bench.pass(SECOND);
    bench.send("svc", vec![span(1_000_000, 1, 0, "bad", SERVER).fails("boom")]);
    bench.pass(SECOND);
    let after = bench.now;
    for batch in 0..200u128 {
        bench.send(
            "svc",
            (0..500)
                .map(|i| span(batch * 500 + i + 1, 1, 0, "op", SERVER).with(text("noise", &format!("{:x}", i * 7919 + batch))))
                .collect(),
        );
        bench.pass(Duration::from_millis(250));
    }
    bench.engine.settle();
    assert!(bench.store.usage().spans_evicted > 10_000);
    let failing = TraceQuery { error: Some(true), ..TraceQuery::default() };
    assert_eq!(bench.store.traces(&failing, Some(before)).traces, []);
    assert_eq!(bench.store.traces(&failing, Some(after)).traces.len(), 1);
}

/// Of several that share a name one fails alone, and one has fallen silent.
#[test]
fn instances_have_figures_of_their_own() {
    let mut bench = Bench::new();
    let of = |instance: &str, version: &str, spans| {
        let mut from = resource_spans("cart", spans);
        let attributes = vec![
            text("service.name", "cart"),
            text("service.version", version),
            text("service.instance.id", instance),
            text("host.name", "node-1"),
        ];
        if let Some(resource) = &mut from.resource {
            resource.attributes = attributes;
        }
        from
    };
    let call = |bench: &Bench, id: u128, millis| {
        let mut call = span(id, 1, 0, "GET /cart", SERVER);
        call.start_time_unix_nano = bench.now.millis() as u64 * 1_000_000;
        call.end_time_unix_nano = call.start_time_unix_nano;
        call.takes(millis)
    };
    // One more is heard of once, two minutes before the others are looked at.
    let gone = call(&bench, 9000, 10);
    bench.request(vec![of("c", "1.0", vec![gone])]);
    bench.pass(120 * SECOND);
    for id in 0..60u128 {
        let (fine, slow) = (call(&bench, 2 * id + 1, 10), call(&bench, 2 * id + 2, 200));
        let slow = if id % 2 == 0 { slow.fails("boom") } else { slow };
        // A span that was sent twice is one call.
        bench.request(vec![of("a", "1.0", vec![fine.clone(), fine]), of("b", "1.1", vec![slow])]);
        // What it calls is not what it is called for.
        bench.request(vec![of("b", "1.1", vec![span(2 * id + 2, 7, 1, "SELECT", CLIENT)])]);
        bench.pass(SECOND);
    }
    bench.pass(SECOND);
    let found = bench.store.instances("cart", bench.now, 61 * SECOND);
    let figures: Vec<_> = found
        .iter()
        .map(|i| (i.name.as_str(), i.version.as_deref(), i.place.as_deref(), i.rate.map(f64::round), i.error_ratio, i.p95_seconds))
        .collect();
    assert_eq!(
        figures,
        [
            ("b", Some("1.1"), Some("node-1"), Some(1.0), Some(0.5), Some(0.200)),
            ("a", Some("1.0"), Some("node-1"), Some(1.0), Some(0.0), Some(0.010)),
            ("c", Some("1.0"), Some("node-1"), None, None, None),
        ]
    );
    assert_eq!(found[2].last_seen, Some(Timestamp(START + 10)));
    assert_eq!(bench.store.instances("other", bench.now, 60 * SECOND), []);
}

#[test]
fn a_trace_that_is_gone_cannot_be_pinned() {
    let mut bench = Bench::new();
    bench.send("svc", vec![span(1, 1, 0, "op", SERVER)]);
    bench.pass(SECOND);
    assert!(bench.store.pin(TraceId(1u128.to_be_bytes())));
    assert!(!bench.store.pin(TraceId(2u128.to_be_bytes())));
}

/// A span that was sent twice is one; another one under its id is shown, and counted nowhere.
#[test]
fn a_trace_counts_the_same_spans_in_the_list_and_on_its_page() {
    let mut bench = Bench::new();
    let other = span(1, 2, 1, "other", CLIENT).takes(3);
    bench.send("svc", vec![span(1, 1, 0, "op", SERVER), span(1, 2, 1, "call", CLIENT), span(1, 2, 1, "call", CLIENT), other]);
    bench.pass(SECOND);
    let listed = bench.store.traces(&TraceQuery::default(), None).traces[0].spans;
    let trace = bench.store.trace(&format!("{:032x}", 1)).expect("it was sent");
    let (repeated, counted): (Vec<_>, Vec<_>) = trace.spans.iter().partition(|s| s.repeated);
    assert_eq!((listed, counted.len()), (2, 2));
    assert_eq!(repeated.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["other"]);
}
