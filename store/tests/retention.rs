//! What of the spans is kept, for how long, in which form, and what history would be offered of it.

#[path = "../testing/build.rs"]
mod build;
#[path = "../testing/walk.rs"]
mod walk;

use build::*;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use watchfire_model::{ResourceView, SpanView, SpanVisitor, Timestamp, TraceId};
use watchfire_store::{Segment, SegmentSink, SignalSettings, SpanEngine, StoreLimits};

const SECOND: Duration = Duration::from_secs(1);

fn hex(n: u128) -> String {
    format!("{n:032x}")
}

#[test]
fn errors_and_pinned_traces_outlive_ordinary_ones_and_every_eviction_is_counted() {
    let limits = StoreLimits { memory_bytes: 8 << 20, ..StoreLimits::default() };
    let mut bench = Bench::with(limits.clone(), SignalSettings::default());
    let noise = |i: u128| {
        let word = format!("{:x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        span(i, 1, 0, "op", SERVER).with(text("noise", &word.repeat(4)))
    };
    let (failing, pinned) = (1_000_000_001, 1_000_000_002);
    bench.store.pin(TraceId(u128::to_be_bytes(pinned)));
    bench.send("svc", vec![noise(failing), span(failing, 2, 1, "bad", INTERNAL).fails("boom"), noise(pinned)]);
    let mut sent = 3;
    for batch in 0..200u128 {
        bench.send("svc", (0..500).map(|i| noise(batch * 500 + i + 1)).collect());
        sent += 500;
        bench.pass(Duration::from_millis(250));
    }
    bench.engine.settle();
    let usage = bench.store.usage();
    assert!(usage.span_bytes <= (limits.span_bytes() + (3 << 20)) as u64, "{usage:?}");
    assert_eq!(usage.spans_held + usage.spans_evicted, sent, "{usage:?}");
    assert!(usage.spans_evicted > 10_000);
    let counted: u64 = ["ordinary", "error_or_slow", "pinned", "age"]
        .iter()
        .map(|r| bench.meter.counter("watchfire_spans_evicted_total", &[("reason", r)]).get())
        .sum();
    assert_eq!(counted, usage.spans_evicted);
    assert_eq!(bench.store.trace(&hex(failing)).expect("an error is kept").spans.len(), 2);
    let kept = bench.store.trace(&hex(pinned)).expect("a pinned trace is kept");
    assert!(kept.pinned && kept.spans[0].attributes.contains_key("noise"));
    assert!(bench.store.trace(&hex(1)).is_none(), "an ordinary one of the same age is gone");
    assert!(bench.store.trace(&hex(99_999)).is_some());
}

#[test]
fn spans_older_than_the_retention_go() {
    let mut bench = Bench::with(StoreLimits { retention: 30 * SECOND, ..StoreLimits::default() }, SignalSettings::default());
    bench.send("svc", vec![span(1, 1, 0, "op", SERVER)]);
    bench.engine.seal();
    bench.pass(40 * SECOND);
    assert!(bench.store.trace(&hex(1)).is_none());
    assert_eq!(bench.store.usage().spans_held, 0);
    assert_eq!(bench.meter.counter("watchfire_spans_evicted_total", &[("reason", "age")]).get(), 1);
}

/// What history would be offered.
#[derive(Default)]
struct Offered(Mutex<Vec<Arc<Segment>>>);

impl SegmentSink for Offered {
    fn sealed(&self, segment: &Arc<Segment>) {
        self.0.lock().expect("not poisoned").push(segment.clone());
    }
}

#[test]
fn a_sink_is_offered_every_span_once_in_sealed_segments() {
    let mut bench = Bench::new();
    let offered = Arc::new(Offered::default());
    bench.store.set_segment_sink(offered.clone());
    // More than one segment holds.
    const SPANS: u128 = 10_000;
    for first in (1..=SPANS).step_by(500) {
        bench.send("cart", (first..first + 500).map(|i| span(i, 1, 0, "GET /cart", SERVER).with(text("http.route", "/cart"))).collect());
    }
    bench.engine.seal();
    let segments = offered.0.lock().expect("not poisoned");
    let ids: Vec<u128> = segments.iter().flat_map(|segment| segment.rows().map(|row| u128::from_be_bytes(row.trace_id().0))).collect();
    assert!(segments.len() > 1 && segments.iter().all(|segment| !segment.is_empty()));
    assert_eq!(ids, (1..=SPANS).collect::<Vec<_>>());
    let mut bodies = 0;
    for segment in segments.iter() {
        segment.bodies(0..segment.len(), |_, body| {
            bodies += u128::from(!body.is_empty());
            true
        });
    }
    assert_eq!(bodies, SPANS);
}

/// Shows every span without the number of its residual.
struct Unnumbered<'a>(&'a mut SpanEngine);

impl SpanVisitor for Unnumbered<'_> {
    fn resource(&mut self, resource: &ResourceView<'_>) {
        self.0.resource(resource);
    }
    fn scope(&mut self, name: &str, version: &str) {
        self.0.scope(name, version);
    }
    fn span(&mut self, span: &SpanView<'_>) {
        self.0.span(&SpanView { residual: None, ..*span });
    }
    fn end_of_request(&mut self, received: Timestamp) {
        self.0.end_of_request(received);
    }
    fn tick(&mut self, now: Timestamp) {
        self.0.tick(now);
    }
}

#[test]
fn what_is_known_of_a_residual_changes_nothing_that_is_kept_or_counted() {
    let (mut numbered, mut unnumbered) = (Bench::new(), Bench::new());
    let mut kept = Vec::new();
    for (bench, known) in [(&mut numbered, true), (&mut unnumbered, false)] {
        let offered = Arc::new(Offered::default());
        bench.store.set_segment_sink(offered.clone());
        let mut walk = walk::Walk::default();
        for request in 0..60u64 {
            let spans = (0..200u64).map(|i| {
                let n = request * 200 + i;
                let kind = [SERVER, CLIENT, PRODUCER, CONSUMER, INTERNAL][(n % 5) as usize];
                let mut span = span(u128::from(n / 4 + 1), n + 1, n, "work", kind);
                // Few residuals, which repeat within a block and from one to the next, and now and then one of its own.
                let own = if n.is_multiple_of(17) { n } else { n % 7 };
                span = span
                    .with(text("server.address", &format!("pay-{}.example", n % 3)))
                    .with(text("session.id", &format!("{own:040}")))
                    .with(int("http.response.status_code", if n % 11 == 0 { 503 } else { 200 }));
                span.trace_state = if n % 13 == 0 { "ot=th:8".into() } else { String::new() };
                span
            });
            let data = TracesData { resource_spans: vec![resource_spans("cart", spans.collect())] }.encode_to_vec();
            let now = Timestamp(START + request as i64 * 100);
            if known { walk.request(&data, &mut bench.engine, now) } else { walk.request(&data, &mut Unnumbered(&mut bench.engine), now) }
        }
        bench.engine.seal();
        bench.pass(SECOND);
        let segments = offered.0.lock().expect("not poisoned");
        let mut rows = Vec::new();
        for segment in segments.iter() {
            let from = rows.len();
            segment.bodies(0..segment.len(), |row, body| {
                let row = segment.row(row);
                rows.push((row.trace_id(), row.span_id(), row.kind(), row.failed(), body.to_vec()));
                true
            });
            // Who reads but a few of them reads the same.
            segment.bodies((0..segment.len()).step_by(7), |row, body| {
                assert_eq!(body, rows[from + row].4);
                true
            });
        }
        let bytes: usize = segments.iter().map(|segment| segment.bytes()).sum();
        let counted = ["traces_span_metrics_calls_total", "traces_service_graph_request_total"].map(|metric| {
            let mut all: Vec<String> = bench.newest(metric).iter().map(|series| format!("{series:?}")).collect();
            all.sort();
            all
        });
        kept.push((rows, counted, bytes));
    }
    assert_eq!(kept[0].0.len(), kept[1].0.len());
    for (numbered, unnumbered) in kept[0].0.iter().zip(&kept[1].0) {
        assert_eq!(numbered, unnumbered);
    }
    assert_eq!(kept[0].1, kept[1].1);
    assert!(kept[0].1.iter().all(|series| !series.is_empty()));
    assert!(kept[0].2 < kept[1].2, "less is held: {} against {} bytes", kept[0].2, kept[1].2);
}
