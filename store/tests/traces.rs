//! Searching and opening traces, however broken; logs and checks.

#[path = "../testing/build.rs"]
mod build;
#[path = "../testing/walk.rs"]
mod walk;

use build::*;
use std::time::{Duration, Instant};
use watchfire_model::reading::{LogLine, LogQuery, TraceQuery};
use watchfire_model::{CheckReport, HealthState, LogRecord, LogSeverity, LogSink, ProbeSink, SpanId, Timestamp, Topology, TraceId};
use watchfire_store::{SignalSettings, StoreLimits};

const SECOND: Duration = Duration::from_secs(1);

fn hex(n: u128) -> String {
    format!("{n:032x}")
}

fn found(bench: &Bench, query: TraceQuery) -> Vec<u128> {
    bench.store.traces(&query, None).traces.iter().map(|t| u128::from_str_radix(&t.trace_id, 16).expect("hexadecimal")).collect()
}

#[test]
fn traces_are_found_by_every_condition() {
    let mut bench = Bench::new();
    for i in 1..=20u128 {
        let mut root =
            span(i, 1, 0, if i % 2 == 0 { "GET /a" } else { "GET /b" }, SERVER).takes(i as u64 * 10).with(text("tenant", &format!("t{i}")));
        root.start_time_unix_nano += i as u64 * 1_000_000_000;
        root.end_time_unix_nano += i as u64 * 1_000_000_000;
        let mut child = span(i, 2, 1, "query", CLIENT).with(int("rows", i as i64));
        child.start_time_unix_nano = root.start_time_unix_nano;
        child.end_time_unix_nano = root.start_time_unix_nano + 1_000_000;
        if i == 7 {
            child = child.fails("deadlock");
        }
        bench.send("front", vec![root]);
        bench.send("back", vec![child]);
    }
    bench.pass(SECOND);
    assert_eq!(found(&bench, TraceQuery::default()), (1..=20).rev().collect::<Vec<_>>(), "newest first");
    assert_eq!(found(&bench, TraceQuery { limit: Some(3), slowest_first: true, ..TraceQuery::default() }), [20, 19, 18]);
    assert_eq!(found(&bench, TraceQuery { error: Some(true), ..TraceQuery::default() }), [7]);
    assert_eq!(found(&bench, TraceQuery { error: Some(false), ..TraceQuery::default() }).len(), 19);
    for id in [3u128, 9] {
        assert!(bench.store.pin(TraceId(id.to_be_bytes())));
    }
    assert_eq!(found(&bench, TraceQuery { pinned: Some(true), limit: Some(5), ..TraceQuery::default() }), [9, 3]);
    assert_eq!(found(&bench, TraceQuery { pinned: Some(false), ..TraceQuery::default() }).len(), 18);
    assert_eq!(found(&bench, TraceQuery { operation: Some("GET /a".into()), limit: Some(2), ..TraceQuery::default() }), [20, 18]);
    assert_eq!(
        found(&bench, TraceQuery { service: Some("back".into()), operation: Some("GET /a".into()), ..TraceQuery::default() }),
        [0; 0]
    );
    assert_eq!(found(&bench, TraceQuery { min_duration_ms: Some(185.0), max_duration_ms: Some(195.0), ..TraceQuery::default() }), [19]);
    assert_eq!(found(&bench, TraceQuery { attributes: vec![("tenant".into(), "t5".into())], ..TraceQuery::default() }), [5]);
    assert_eq!(found(&bench, TraceQuery { attributes: vec![("rows".into(), "6".into())], ..TraceQuery::default() }), [6]);
    assert_eq!(
        found(&bench, TraceQuery { attributes: vec![("service.version".into(), "1.2.3".into())], ..TraceQuery::default() }).len(),
        20
    );
    assert_eq!(found(&bench, TraceQuery { start: Some(Timestamp(START + 18_500)), ..TraceQuery::default() }), [20, 19]);
    // All came at once, whatever their senders' clocks say; before that nobody saw any.
    let seen = |at| bench.store.traces(&TraceQuery::default(), Some(Timestamp(at))).traces.len();
    assert_eq!((seen(START - 1), seen(START + 1000)), (0, 20));
    let early = TraceQuery { end: Some(Timestamp(START + 2_500)), ..TraceQuery::default() };
    assert_eq!(found(&bench, early), [2, 1]);
    let row = &bench.store.traces(&TraceQuery { error: Some(true), ..TraceQuery::default() }, None).traces[0];
    assert_eq!((row.root.as_str(), row.spans, row.errors, row.root_missing), ("front GET /b", 2, 1, false));
    assert_eq!(row.services, ["back", "front"]);
    assert_eq!(row.duration_seconds, 0.07);
}

#[test]
fn a_trace_is_opened_by_any_id_that_a_person_may_hold() {
    let mut bench = Bench::new();
    let id = 0xabcd_0000_0000_0000_0000_0000_0000_0001;
    bench.send("svc", vec![span(id, 0x1234_5678_0000_0000, 0, "op", SERVER).with(text("correlation_id", "req-42"))]);
    LogSink::logs(
        &*bench.store,
        vec![LogRecord {
            at: Timestamp(START),
            service: "svc".into(),
            severity: LogSeverity::Info,
            body: "order ord-77 placed".into(),
            trace_id: Some(TraceId(id.to_be_bytes())),
            span_id: Some(SpanId(0x1234_5678_0000_0000u64.to_be_bytes())),
            event_name: None,
            attributes: vec![],
        }],
    );
    bench.pass(SECOND);
    for text in [&*hex(id), "abcd", "ABCD00", "12345678", "1234567800000000", "req-42", "ord-77"] {
        let trace = bench.store.trace(text).unwrap_or_else(|| panic!("{text} names a trace"));
        assert_eq!(trace.trace_id, hex(id), "{text}");
        assert_eq!(trace.logs.len(), 1);
    }
    let hex = hex(id);
    let uuid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-").to_uppercase();
    for text in
        [uuid, format!("00-{hex}-1234567800000000-01"), format!("https://jaeger.example/trace/{hex}?x=1"), format!("trace_id={hex}")]
    {
        assert_eq!(bench.store.trace(&text).map(|t| t.trace_id), Some(hex.clone()), "{text}");
    }
    for text in ["", "  ", "ffff", "req-43"] {
        assert!(bench.store.trace(text).is_none(), "{text}");
    }
}

#[test]
fn a_trace_is_opened_by_the_half_of_its_id_and_by_a_correlation_id_that_looks_like_one() {
    let mut bench = Bench::new();
    let (short, long, other) = (0xa3ce_929d_0e0e_4799, 0x4bf9_2f35_77b3_4da6_0bce_929d_0e0e_4736, 7 << 100);
    let correlation = "5f2b9c0d4e6a48b1a7c3d9e0f1a2b3c4";
    bench.send("svc", vec![span(short, 0x1111, 0, "op", SERVER), span(long, 0x2222, 0, "op", SERVER)]);
    bench.send("svc", vec![span(other, 0x3333, 0, "op", SERVER).with(text("x-request-id", correlation))]);
    bench.pass(SECOND);
    for (text, id) in [
        ("a3ce929d0e0e4799", short),
        ("0xA3CE929D0E0E4799", short),
        // Some write ids of 64 bits in decimal, and of longer ones only the lower half; zeros in front are often left out.
        ("11803532876627986329", short),
        ("0bce929d0e0e4736", long),
        ("bce929d0e0e4736", long),
        ("850778582862939958", long),
        ("4bf92f3577b34da6", long),
        (correlation, other),
        ("4bf92f3577b34da60bce929d0e0e4736 0000000000002222", long),
    ] {
        assert_eq!(bench.store.trace(text).map(|t| t.trace_id), Some(hex(id)), "{text}");
    }
    assert!(bench.store.trace("00000000000000000000000000000001").is_none());
}

/// The API writes them as JSON, and an attached terminal reads that back.
#[test]
fn attributes_that_json_cannot_write_are_shown_by_their_names() {
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValue, any_value::Value as Any};
    let mut bench = Bench::new();
    let attribute = |key: &str, v: Any| KeyValue { key: key.into(), value: value(v), ..KeyValue::default() };
    let list = [f64::NAN, 1.5].map(|v| value(Any::DoubleValue(v)).expect("some"));
    let attributes = vec![
        attribute("nan", Any::DoubleValue(f64::NAN)),
        attribute("most", Any::DoubleValue(f64::INFINITY)),
        attribute("least", Any::DoubleValue(f64::NEG_INFINITY)),
        attribute("bytes", Any::BytesValue(vec![0, 255])),
        attribute("list", Any::ArrayValue(ArrayValue { values: list.to_vec() })),
    ];
    let mut odd = span(1, 1, 0, "op", SERVER);
    odd.attributes = attributes;
    bench.send("svc", vec![odd]);
    bench.pass(SECOND);
    let shown = bench.store.trace(&hex(1)).expect("a trace");
    let text = |key: &str| shown.spans[0].attributes[key].to_string();
    assert_eq!(["nan", "most", "least", "bytes", "list"].map(text), ["NaN", "Infinity", "-Infinity", "0x00ff", r#"["NaN",1.5]"#]);
    let json = serde_json::to_string(&shown.spans).expect("writable");
    let read: Vec<watchfire_model::reading::Span> = serde_json::from_str(&json).expect("readable");
    assert_eq!(read, shown.spans);
}

#[test]
fn broken_shapes_are_listed_whole_and_counted() {
    let shapes = [
        ("fine", vec![(1, 0), (2, 1), (3, 2)], 0),
        ("own parent", vec![(1, 1)], 1),
        ("cycle of two", vec![(1, 2), (2, 1)], 1),
        ("cycle with a tail", vec![(1, 3), (2, 1), (3, 2), (4, 3)], 1),
        ("missing parent", vec![(2, 99), (3, 2)], 1),
        ("two roots", vec![(1, 0), (2, 0)], 0),
    ];
    for (n, (name, spans, salvaged)) in shapes.iter().enumerate() {
        let mut bench = Bench::new();
        bench.send("svc", spans.iter().map(|(id, parent)| span(n as u128 + 1, *id, *parent, "op", INTERNAL)).collect());
        bench.pass(SECOND);
        let trace = bench.store.trace(&hex(n as u128 + 1)).expect("it was sent");
        assert_eq!((trace.spans.len(), trace.salvaged), (spans.len(), *salvaged), "{name}");
    }
}

#[test]
fn one_id_for_different_spans_lists_them_all_and_a_repetition_only_once() {
    let mut bench = Bench::new();
    bench.send("svc", vec![span(1, 1, 0, "first", SERVER), span(1, 1, 0, "second", SERVER).takes(20)]);
    bench.send("svc", vec![span(1, 1, 0, "first", SERVER)]);
    bench.pass(SECOND);
    let trace = bench.store.trace(&hex(1)).expect("it was sent");
    assert_eq!(trace.spans.iter().map(|s| &*s.name).collect::<Vec<_>>(), ["first", "second"]);
    assert!(trace.spans[1].warnings[0].contains("same id"));
}

#[test]
fn a_chain_of_a_hundred_thousand_opens_cut_to_what_is_shown() {
    let mut bench = Bench::new();
    for chunk in (1..=100_000u64).collect::<Vec<_>>().chunks(10_000) {
        bench.send("svc", chunk.iter().map(|i| span(1, *i, i - 1, "op", INTERNAL)).collect());
    }
    bench.pass(SECOND);
    let begun = Instant::now();
    let trace = bench.store.trace(&hex(1)).expect("it was sent");
    let took = begun.elapsed();
    assert_eq!((trace.spans.len(), trace.omitted), (50_000, 50_000));
    assert_eq!(trace.spans[49_999].span_id, format!("{:016x}", 50_000), "in the order of the chain");
    assert!(took < 30 * SECOND, "{took:?}");
}

#[test]
fn what_the_spans_of_a_trace_say_is_bounded_and_what_is_left_out_is_told() {
    let limits = StoreLimits { trace_text: 64 << 10, ..StoreLimits::default() };
    let mut bench = Bench::with(limits, SignalSettings::default());
    let says = "x".repeat(1000);
    let one = |i: u64| span(1, i, i / 2, "op", INTERNAL).with(text("body", &says)).fails("boom");
    bench.send("svc", (1..=100).map(one).collect());
    bench.pass(SECOND);
    let trace = bench.store.trace(&hex(1)).expect("it was sent");
    assert_eq!((trace.spans.len(), trace.omitted), (100, 0), "all are listed");
    let (whole, short): (Vec<_>, Vec<_>) = trace.spans.iter().partition(|s| !s.attributes.is_empty());
    assert!((55..=65).contains(&whole.len()), "{} have their attributes", whole.len());
    assert!(whole.iter().all(|s| s.warnings.is_empty()));
    assert!(short.iter().all(|s| s.status_message == "boom" && s.warnings[0].contains("limits.store.trace_text")), "{:?}", short[0]);
    assert!(trace.spans.iter().all(|s| std::sync::Arc::ptr_eq(&s.resource, &trace.spans[0].resource)), "one process, told once");
}

#[test]
fn of_a_trace_that_is_cut_the_failing_span_is_shown_with_what_leads_to_it() {
    let limits = StoreLimits { spans_per_trace: 10_000, ..StoreLimits::default() };
    let mut bench = Bench::with(limits, SignalSettings::default());
    bench.send("svc", vec![span(1, 1, 0, "root", SERVER)]);
    for chunk in (2..=30_000u64).collect::<Vec<_>>().chunks(10_000) {
        // Twenty levels of branches, and leaves on the first of them.
        let parent = |i: u64| if i.is_multiple_of(1000) { if i == 1000 { 1 } else { i - 1000 } } else { 1 };
        let one = |i: &u64| {
            if *i == 29_000 { span(1, *i, parent(*i), "op", INTERNAL).fails("boom") } else { span(1, *i, parent(*i), "op", INTERNAL) }
        };
        bench.send("svc", chunk.iter().map(one).collect());
    }
    bench.pass(SECOND);
    let trace = bench.store.trace(&hex(1)).expect("it was sent");
    assert_eq!((trace.spans.len(), trace.omitted, trace.salvaged), (10_000, 20_000, 0));
    let shown = |i: u64| trace.spans.iter().find(|s| s.span_id == format!("{i:016x}"));
    assert_eq!(shown(29_000).map(|s| &*s.status), Some("error"));
    assert!((1..29).all(|level| shown(level * 1000).is_some()), "all above it");
}

#[test]
fn nonsensical_times_become_duration_zero_with_a_warning() {
    let now = START as u64 * 1_000_000;
    for (start, end) in [(now, now - 1), (0, u64::MAX), (u64::MAX, u64::MAX), (u64::MAX, 0), (0, 0), (now, u64::MAX)] {
        let mut bench = Bench::new();
        bench.pass(SECOND);
        let mut odd = span(1, 1, 0, "op", SERVER);
        (odd.start_time_unix_nano, odd.end_time_unix_nano) = (start, end);
        bench.send("svc", vec![odd]);
        bench.pass(3 * SECOND);
        let trace = bench.store.trace(&hex(1)).expect("it was sent");
        assert_eq!(trace.spans[0].duration_seconds, 0.0);
        assert!(trace.spans[0].skewed && !trace.spans[0].warnings.is_empty());
        assert_eq!(bench.value("traces_span_metrics_calls_total", &[]), Some(1.0));
        assert_eq!(found(&bench, TraceQuery::default()), [1]);
    }
}

#[test]
fn a_child_on_another_clock_is_marked() {
    let mut bench = Bench::new();
    let mut child = span(1, 2, 1, "child", SERVER);
    child.start_time_unix_nano -= 40_000_000;
    child.end_time_unix_nano -= 40_000_000;
    bench.send("svc", vec![span(1, 1, 0, "parent", CLIENT), child]);
    bench.pass(SECOND);
    let trace = bench.store.trace(&hex(1)).expect("it was sent");
    let marked: Vec<_> = trace.spans.iter().filter(|s| s.skewed).map(|s| &*s.name).collect();
    assert_eq!(marked, ["child"]);
}

#[test]
fn logs_are_filtered_bounded_and_summed_up() {
    let limits = StoreLimits { logs: 2000, ..StoreLimits::default() };
    let bench = Bench::with(limits, SignalSettings::default());
    let record = |i: i64, severity| LogRecord {
        at: Timestamp(START + i),
        service: if i % 2 == 0 { "a".into() } else { "b".into() },
        severity,
        body: format!("request {i} took {} ms", i * 3),
        trace_id: (i % 100 == 0).then_some(TraceId([9; 16])),
        span_id: None,
        event_name: None,
        attributes: vec![("k".into(), "v".into())],
    };
    for i in 0..5000 {
        LogSink::logs(&*bench.store, vec![record(i, if i % 1000 == 0 { LogSeverity::Error } else { LogSeverity::Info })]);
    }
    let usage = bench.store.usage();
    assert!(usage.logs_held <= 2000 + 512 && usage.logs_received == 5000, "{usage:?}");
    let read = |query: LogQuery| bench.store.logs(&query, None);
    let newest = read(LogQuery { limit: Some(2), ..LogQuery::default() });
    assert_eq!(newest.logs.iter().map(|l| l.time).collect::<Vec<_>>(), [(START + 4998) as f64 / 1e3, (START + 4999) as f64 / 1e3]);
    assert_eq!(newest.patterns[0].0, "request <*> took <*> ms");
    assert!(newest.patterns[0].1 >= 1400 && newest.patterns_of >= newest.patterns[0].1);
    assert!(read(LogQuery { service: Some("a".into()), ..LogQuery::default() }).logs.iter().all(|l| l.service == "a"));
    assert!(read(LogQuery { severity: Some("error".into()), ..LogQuery::default() }).logs.iter().all(|l| l.severity == "ERROR"));
    assert_eq!(read(LogQuery { contains: Some("REQUEST 4711 ".into()), ..LogQuery::default() }).logs.len(), 1);
    // Round each that is found stand its neighbours, however far back it is and whatever they say.
    let round = |contains: &str, context: usize| -> Vec<i64> {
        let query =
            LogQuery { contains: Some(contains.into()), severity: Some("error".into()), context: Some(context), ..LogQuery::default() };
        read(LogQuery { limit: Some(6), ..query }).logs.iter().map(|l| (l.time * 1e3).round() as i64 - START).collect()
    };
    assert_eq!(round("request 4000 ", 2), [3998, 3999, 4000, 4001, 4002]);
    assert_eq!(round("request 4000 ", 0), [4000]);
    assert_eq!(round("request", 1), [3999, 4000, 4001], "those before have gone");
    assert_eq!(round("no such line", 3), [] as [i64; 0]);
    // A word may stand in the body, name the service or be the severity.
    for (word, service, severity) in [("request 4711 ", "", ""), ("A", "a", ""), ("errOR", "", "ERROR")] {
        let found = read(LogQuery { word: Some(word.into()), limit: Some(5), ..LogQuery::default() }).logs;
        assert!(!found.is_empty(), "{word}");
        let fits = |l: &LogLine| l.body.to_lowercase().contains(&word.to_lowercase()) || l.service == service || l.severity == severity;
        assert!(found.iter().all(fits), "{word}: {found:?}");
    }
    assert!(!read(LogQuery { trace_id: Some("09".repeat(16)), ..LogQuery::default() }).logs.is_empty());
    assert_eq!(read(LogQuery { trace_id: Some("nonsense".into()), ..LogQuery::default() }).logs.len(), 0);
    let at_once = |text: &str| LogRecord { at: Timestamp(START), body: text.into(), service: "c".into(), ..record(1, LogSeverity::Info) };
    LogSink::logs(&*bench.store, vec![at_once("first"), at_once("second")]);
    LogSink::logs(&*bench.store, vec![at_once("third")]);
    let in_order = read(LogQuery { service: Some("c".into()), ..LogQuery::default() });
    assert_eq!(in_order.logs.iter().map(|l| l.body.as_str()).collect::<Vec<_>>(), ["first", "second", "third"]);
}

fn check(state: HealthState, dependency: Option<HealthState>, at: i64) -> CheckReport {
    let dependencies = dependency.into_iter().map(|state| watchfire_model::DependencyReport {
        name: "db".into(),
        state,
        detail: String::new(),
        latency: None,
    });
    CheckReport {
        service: "api".into(),
        check: "health".into(),
        url: "http://127.0.0.1/health".into(),
        state,
        success: state == HealthState::Healthy,
        latency: Some(Duration::from_millis(7)),
        detail: "503".into(),
        dependencies: dependencies.collect(),
        at: Timestamp(START + at),
        since: Timestamp(START),
        ..CheckReport::default()
    }
}

#[test]
fn checks_become_series_and_what_is_not_known_has_no_value() {
    let bench = Bench::new();
    bench.store.probe(check(HealthState::Healthy, Some(HealthState::Degraded), 0));
    assert_eq!(bench.value("probe_success", &[("service", "api"), ("check", "health")]), Some(1.0));
    assert_eq!(bench.value("probe_duration_seconds", &[]), Some(0.007));
    assert_eq!(bench.value("watchfire_service_health", &[]), Some(1.0));
    assert_eq!(bench.value("watchfire_dependency_health", &[("dependency", "db")]), Some(0.5));
    assert!(bench.store.unhealthy().is_empty());
    bench.store.probe(check(HealthState::Unknown, None, 1000));
    assert!(watchfire_model::is_stale(bench.value("watchfire_service_health", &[]).expect("an end")));
    assert!(watchfire_model::is_stale(bench.value("watchfire_dependency_health", &[]).expect("an end")));
    bench.store.probe(check(HealthState::Unhealthy, None, 2000));
    assert_eq!(bench.value("watchfire_service_health", &[]), Some(0.0));
    assert_eq!(bench.store.unhealthy()[0].name, "api");
    bench.store.forget("api", "health");
    assert!(bench.store.checks().is_empty());
    assert!(watchfire_model::is_stale(bench.value("probe_success", &[]).expect("an end")));
}
