//! What a span costs from its bytes to columns, signals and join, with the walk and the store of the program, against decoding it with prost and
//! against copying the bytes: one run, one allocator (mimalloc).
//!
//! `cargo bench -p watchfire-bench --bench ingest`. First the legs take turns, request by request, so that what else the machine does meets them all alike:
//! processor time of the thread per span, and ratios. Then divan reports time per request of 512 spans and allocations per request, one leg after the other.

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use mimalloc::MiMalloc;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::sync::Arc;
use std::time::{Duration, Instant};
use watchfire_bench::batches::{SPANS, Variety, encoded};
use watchfire_model::{HandClock, Meter, ResourceView, SpanView, SpanVisitor, Timestamp};
use watchfire_otlp::Limits;
use watchfire_otlp::traces::{Parsed, Residuals};
use watchfire_store::{SignalSettings, SpanEngine, Store, StoreLimits};

#[global_allocator]
static ALLOCATOR: AllocProfiler<MiMalloc> = AllocProfiler::new(MiMalloc);

const START: i64 = 1_700_000_000_000;
/// Twice as many spans as the store remembers, so that hardly one is taken for a repetition and skipped.
const BATCHES: u64 = 1024;

/// Turns of each leg, and requests of each turn.
const TURNS: usize = 40;
const REQUESTS: usize = 32;

fn main() {
    println!("processor time per span, legs in turn; medians of {TURNS} turns, ratios with their quartiles");
    for variety in [Variety::Ordinary, Variety::High] {
        in_turn(variety);
    }
    divan::main();
}

/// Processor time of this thread.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Copies, decodes with prost, walks, and walks into a store, all in one loop.
fn in_turn(variety: Variety) {
    let data = data(variety);
    let mut engine = engine(&data);
    let (mut parsed, mut residuals, limits) = (Parsed::default(), Residuals::default(), Limits::default());
    let begun = Instant::now();
    let mut copy: Vec<u8> = Vec::with_capacity(1 << 20);
    let mut next = 0;
    let mut figures: [Vec<f64>; 4] = Default::default();
    for turn in 0..=TURNS {
        for (leg, figures) in figures.iter_mut().enumerate() {
            let mut spent = Duration::ZERO;
            for _ in 0..REQUESTS {
                next = (next + 1) % data.len();
                // As a receiver leaves them: just written.
                let bytes = black_box(data[next].clone());
                let before = cpu();
                match leg {
                    0 => {
                        copy.clear();
                        copy.extend_from_slice(&bytes);
                        black_box(&copy);
                    }
                    1 => drop(black_box(ExportTraceServiceRequest::decode(&bytes[..]).expect("encoded by prost"))),
                    _ => {
                        parsed.parse(&bytes, &limits, &mut residuals).expect("well formed");
                        let now = Timestamp(START + 2 * BATCHES as i64 + begun.elapsed().as_millis() as i64);
                        if leg == 2 { parsed.visit(&bytes, now, &mut Nobody) } else { parsed.visit(&bytes, now, &mut engine) }
                    }
                }
                spent += cpu() - before;
            }
            // The first turn warms up.
            if turn > 0 {
                figures.push(spent.as_nanos() as f64 / (REQUESTS * SPANS) as f64);
            }
        }
    }
    let sorted = |mut figures: Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        [figures[TURNS / 4], figures[TURNS / 2], figures[TURNS * 3 / 4]]
    };
    let prost = figures[1].clone();
    for (name, figures) in
        ["copying the bytes", "decoding with prost", "the walk", "the walk into signals, columns, join"].iter().zip(figures)
    {
        let ratios = sorted(prost.iter().zip(&figures).map(|(prost, leg)| prost / leg).collect());
        let [_, nanos, _] = sorted(figures);
        println!("{variety:?}: {name:37} {nanos:6.1} ns, {:.2}x less than prost [{:.2} .. {:.2}]", ratios[1], ratios[0], ratios[2]);
    }
}

fn data(variety: Variety) -> Vec<Vec<u8>> {
    encoded(BATCHES, variety, START as u64 * 1_000_000)
}

/// An engine whose memory is full: what comes in now takes the place of what goes, as in any process that has run for a while. (Growing into fresh memory
/// would mostly measure how fast the kernel clears pages.)
fn engine(data: &[Vec<u8>]) -> SpanEngine {
    let limits = StoreLimits { memory_bytes: 48 << 20, ..StoreLimits::default() };
    let store = Store::new(limits, Meter::new(), Arc::new(HandClock::at(Timestamp(START))));
    let mut engine = store.span_engine(SignalSettings::default());
    let (mut parsed, mut residuals, limits) = (Parsed::default(), Residuals::default(), Limits::default());
    for (i, request) in data.iter().cycle().take(2 * data.len()).enumerate() {
        parsed.parse(request, &limits, &mut residuals).expect("well formed");
        parsed.visit(request, Timestamp(START + i as i64), &mut engine);
    }
    engine.settle();
    assert!(store.usage().spans_evicted > 0);
    engine
}

/// Calls `work` with one request after the other.
fn rotate<T>(bencher: Bencher<'_, '_>, data: &[Vec<u8>], mut work: impl FnMut(&[u8]) -> T) {
    let mut next = 0;
    bencher.counter(ItemsCount::new(SPANS)).bench_local(|| {
        next = (next + 1) % data.len();
        work(black_box(&data[next]))
    });
}

#[divan::bench(args = [Variety::Ordinary, Variety::High], sample_count = 500)]
fn copy_the_bytes(bencher: Bencher<'_, '_>, variety: Variety) {
    let mut copy = Vec::with_capacity(1 << 20);
    rotate(bencher, &data(variety), |bytes| {
        copy.clear();
        copy.extend_from_slice(bytes);
        black_box(copy.len())
    });
}

#[divan::bench(args = [Variety::Ordinary, Variety::High], sample_count = 500)]
fn prost_decode_and_drop(bencher: Bencher<'_, '_>, variety: Variety) {
    rotate(bencher, &data(variety), |bytes| drop(black_box(ExportTraceServiceRequest::decode(bytes).expect("encoded by prost"))));
}

/// Looks at what it is shown, so that nothing of the walk can be left out.
struct Nobody;

impl SpanVisitor for Nobody {
    fn resource(&mut self, resource: &ResourceView<'_>) {
        black_box(resource.raw);
    }
    fn scope(&mut self, name: &str, _version: &str) {
        black_box(name);
    }
    fn span(&mut self, span: &SpanView<'_>) {
        black_box((span.name, span.start, span.end, span.kind, span.status, span.body, span.attributes));
    }
    fn end_of_request(&mut self, _received: Timestamp) {}
    fn tick(&mut self, _now: Timestamp) {}
}

#[divan::bench(args = [Variety::Ordinary, Variety::High], sample_count = 500)]
fn walk_alone(bencher: Bencher<'_, '_>, variety: Variety) {
    let (mut parsed, mut residuals, limits) = (Parsed::default(), Residuals::default(), Limits::default());
    rotate(bencher, &data(variety), |bytes| {
        parsed.parse(bytes, &limits, &mut residuals).expect("well formed");
        parsed.visit(bytes, Timestamp(START), &mut Nobody);
    });
}

/// Both threads' share of a request but for the compression of full blocks, which a third one does. Time passes for the store as it does for us, with its
/// snapshots and publications.
#[divan::bench(args = [Variety::Ordinary, Variety::High], sample_count = 1500)]
fn walk_columns_red_residual_join(bencher: Bencher<'_, '_>, variety: Variety) {
    let data = data(variety);
    let mut engine = engine(&data);
    let (mut parsed, mut residuals, limits) = (Parsed::default(), Residuals::default(), Limits::default());
    let begun = Instant::now();
    rotate(bencher, &data, |bytes| {
        let now = START + 2 * BATCHES as i64 + begun.elapsed().as_millis() as i64;
        parsed.parse(bytes, &limits, &mut residuals).expect("well formed");
        parsed.visit(bytes, Timestamp(now), &mut engine);
    });
}
