//! What a span costs from its bytes to columns, signals and join, against decoding it with prost, in one run and with one allocator (mimalloc).
//!
//! `cargo bench -p watchfire-store --bench ingest`. Divan reports time per request of 512 spans and allocations per request.

#[path = "../testing/batches.rs"]
mod batches;
#[path = "../testing/walk.rs"]
mod walk;

use batches::{SPANS, Variety, encoded};
use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use mimalloc::MiMalloc;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::sync::Arc;
use watchfire_model::{Meter, Timestamp};
use watchfire_store::{SignalSettings, SpanEngine, Store, StoreLimits};
use watchfire_testkit::SimClock;

#[global_allocator]
static ALLOCATOR: AllocProfiler<MiMalloc> = AllocProfiler::new(MiMalloc);

const START: i64 = 1_700_000_000_000;
/// More than the memory of spans seen lately holds, so that no batch is a repetition of one still remembered.
const BATCHES: u64 = 640;

fn main() {
    divan::main();
}

fn data(variety: Variety) -> Vec<Vec<u8>> {
    encoded(BATCHES, variety, START as u64 * 1_000_000)
}

/// An engine whose memory is full: what comes in now takes the place of what goes, as in any process that has run for a while. (Growing into fresh memory
/// would mostly measure how fast the kernel clears pages.)
fn engine(data: &[Vec<u8>], walk: &mut walk::Walk) -> SpanEngine {
    let limits = StoreLimits { memory_bytes: 48 << 20, ..StoreLimits::default() };
    let store = Store::new(limits, Meter::new(), Arc::new(SimClock::at(Timestamp(START))));
    let mut engine = store.span_engine(SignalSettings::default());
    for (i, request) in data.iter().cycle().take(2 * data.len()).enumerate() {
        walk.request(request, &mut engine, Timestamp(START + 10 * i as i64));
    }
    engine.settle();
    assert!(store.usage().spans_evicted > 0);
    engine
}

#[divan::bench(args = [Variety::Ordinary, Variety::High], sample_count = 200)]
fn prost_decode_and_drop(bencher: Bencher<'_, '_>, variety: Variety) {
    let data = data(variety);
    let mut next = 0;
    bencher.counter(ItemsCount::new(SPANS)).bench_local(|| {
        next = (next + 1) % data.len();
        black_box(ExportTraceServiceRequest::decode(&data[next][..]).expect("encoded by prost"));
    });
}

/// The ingest thread's share: everything but the compression of full blocks, which another thread does.
#[divan::bench(args = [Variety::Ordinary, Variety::High], sample_count = 1500)]
fn walk_columns_red_join(bencher: Bencher<'_, '_>, variety: Variety) {
    let data = data(variety);
    let mut walk = walk::Walk::default();
    let mut engine = engine(&data, &mut walk);
    let (mut next, mut now) = (0, START + 20 * data.len() as i64);
    bencher.counter(ItemsCount::new(SPANS)).bench_local(|| {
        next = (next + 1) % data.len();
        now += 10;
        walk.request(black_box(&data[next]), &mut engine, Timestamp(now));
    });
}

#[divan::bench(args = [Variety::Ordinary, Variety::High], sample_count = 200)]
fn walk_alone(bencher: Bencher<'_, '_>, variety: Variety) {
    struct Nobody;
    impl watchfire_model::SpanVisitor for Nobody {
        fn resource(&mut self, resource: &watchfire_model::ResourceView<'_>) {
            black_box(resource.raw.len());
        }
        fn scope(&mut self, name: &str, _: &str) {
            black_box(name);
        }
        fn span(&mut self, span: &watchfire_model::SpanView<'_>) {
            black_box(span.attribute_ranges.len());
        }
        fn end_of_request(&mut self, _: Timestamp) {}
        fn tick(&mut self, _: Timestamp) {}
    }
    let data = data(variety);
    let mut walk = walk::Walk::default();
    let mut next = 0;
    bencher.counter(ItemsCount::new(SPANS)).bench_local(|| {
        next = (next + 1) % data.len();
        walk.request(black_box(&data[next]), &mut Nobody, Timestamp(START));
    });
}
