//! Questions about a million spans: the list of traces, one trace, what slow spans have in common.
//!
//! `cargo bench -p watchfire-bench --bench readings`.

use divan::{Bencher, black_box};
use mimalloc::MiMalloc;
use prost::Message;
use std::sync::{Arc, OnceLock};
use watchfire_bench::batches::{SPANS, Variety, request};
use watchfire_model::reading::{ExplainQuery, TraceQuery};
use watchfire_model::{HandClock, Meter, Selector, SeriesSource, TimeRange, Timestamp};
use watchfire_otlp::{Limits, walk};
use watchfire_store::{SignalSettings, Store, StoreLimits};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const START: i64 = 1_700_000_000_000;
const REQUESTS: u64 = 2000;
/// A trace as large as one that is shown whole, and its spans.
const LARGE: u128 = 0x5eed_0000_0000_0000_0000_0000_0000_0001;
const LARGE_SPANS: usize = 97 * SPANS;

fn main() {
    divan::main();
}

/// A million spans over 50 seconds.
fn store() -> &'static Store {
    static STORE: OnceLock<Arc<Store>> = OnceLock::new();
    STORE.get_or_init(|| {
        let store = Store::new(StoreLimits::default(), Meter::new(), Arc::new(HandClock::at(Timestamp(START))));
        let mut engine = store.span_engine(SignalSettings::default());
        let limits = Limits::default();
        for i in 0..REQUESTS {
            let at = START + 25 * i as i64;
            let bytes = request(i + 1, SPANS, Variety::Ordinary, at as u64 * 1_000_000).encode_to_vec();
            walk(&bytes, &limits, Timestamp(at), &mut engine).expect("well formed");
        }
        for i in 0..LARGE_SPANS / SPANS {
            let mut one = request(REQUESTS + 1 + i as u64, SPANS, Variety::Ordinary, START as u64 * 1_000_000);
            let spans = one.resource_spans.iter_mut().flat_map(|r| &mut r.scope_spans).flat_map(|s| &mut s.spans);
            spans.for_each(|s| s.trace_id = LARGE.to_be_bytes().to_vec());
            walk(&one.encode_to_vec(), &limits, Timestamp(START), &mut engine).expect("well formed");
        }
        engine.seal();
        assert!(store.usage().spans_held >= REQUESTS * SPANS as u64);
        store
    })
}

#[divan::bench]
fn newest_traces(bencher: Bencher<'_, '_>) {
    let store = store();
    bencher.bench(|| black_box(store.traces(&TraceQuery::default(), None)));
}

#[divan::bench(sample_count = 10)]
fn slowest_traces_of_all(bencher: Bencher<'_, '_>) {
    let store = store();
    let query = TraceQuery { slowest_first: true, ..TraceQuery::default() };
    bencher.bench(|| black_box(store.traces(&query, None)));
}

#[divan::bench]
fn one_trace(bencher: Bencher<'_, '_>) {
    let store = store();
    let oldest =
        store.traces(&TraceQuery { slowest_first: true, limit: Some(1), ..TraceQuery::default() }, None).traces[0].trace_id.clone();
    bencher.bench(|| black_box(store.trace(&oldest)));
}

#[divan::bench(sample_count = 10)]
fn one_trace_of_fifty_thousand_spans(bencher: Bencher<'_, '_>) {
    let store = store();
    let trace = store.trace(&format!("{LARGE:032x}")).expect("it is held");
    assert_eq!((trace.spans.len(), trace.omitted), (LARGE_SPANS, 0));
    bencher.bench(|| black_box(store.trace(&format!("{LARGE:032x}"))));
}

#[divan::bench(sample_count = 10)]
fn explain_slow_spans_of_everything(bencher: Bencher<'_, '_>) {
    let store = store();
    let query = ExplainQuery { start: Timestamp(0), min_duration_ms: Some(120.0), ..ExplainQuery::default() };
    assert!(store.explain(&query).selected > 10_000);
    bencher.bench(|| black_box(store.explain(&query)));
}

#[divan::bench]
fn errors_of_a_service(bencher: Bencher<'_, '_>) {
    let store = store();
    bencher.bench(|| black_box(store.top_errors("service-3", Timestamp(START + 60_000))));
}

#[divan::bench]
fn select_all_span_metrics(bencher: Bencher<'_, '_>) {
    let store = store();
    let selector = Selector::metric("traces_span_metrics_duration_seconds_bucket");
    bencher.bench(|| {
        let mut sum = 0.0;
        let range = TimeRange::new(Timestamp(START), Timestamp(START + 60_000));
        store.select(&selector, range, &mut |view| sum += view.values.iter().sum::<f64>()).expect("the live store always answers");
        black_box(sum)
    });
}
