//! What reading a trace request costs: the walk with a visitor that stores nothing, against prost and against copying the bytes,
//! with one allocator (mimalloc) in one run. `cargo bench -p watchfire-otlp --bench walk`: time and allocations per request of 512 spans.

mod batches;

use bytes::Bytes;
use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use mimalloc::MiMalloc;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use watchfire_model::{ResourceView, SpanView, SpanVisitor, Timestamp};
use watchfire_otlp::{Limits, traces::Parsed};

#[global_allocator]
static ALLOCATOR: AllocProfiler<MiMalloc> = AllocProfiler::new(MiMalloc);

const SPANS: u64 = 512;
const BATCHES: u64 = 64;

fn main() {
    divan::main();
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
        black_box((span.name, span.start, span.end, span.kind, span.status, span.body, span.attribute_ranges));
    }
    fn end_of_request(&mut self, _received: Timestamp) {}
    fn tick(&mut self, _now: Timestamp) {}
}

fn rotate<T>(bencher: Bencher<'_, '_>, mut work: impl FnMut(&Bytes) -> T) {
    let data = batches::encoded(BATCHES, SPANS);
    let mut next = 0;
    bencher.counter(ItemsCount::new(SPANS)).bench_local(|| {
        next = (next + 1) % data.len();
        work(black_box(&data[next]))
    });
}

#[divan::bench(sample_count = 300)]
fn copy_the_bytes(bencher: Bencher<'_, '_>) {
    let mut copy = Vec::with_capacity(1 << 20);
    rotate(bencher, |bytes| {
        copy.clear();
        copy.extend_from_slice(bytes);
        black_box(copy.len())
    });
}

#[divan::bench(sample_count = 300)]
fn parse_and_visit(bencher: Bencher<'_, '_>) {
    let (mut parsed, limits) = (Parsed::default(), Limits::default());
    rotate(bencher, |bytes| {
        parsed.parse(bytes, &limits).expect("well formed");
        parsed.visit(bytes, Timestamp(0), &mut Nobody);
    });
}

#[divan::bench(sample_count = 300)]
fn parse_alone(bencher: Bencher<'_, '_>) {
    let (mut parsed, limits) = (Parsed::default(), Limits::default());
    rotate(bencher, |bytes| parsed.parse(bytes, &limits).expect("well formed"));
}

#[divan::bench(sample_count = 300)]
fn prost_decode_and_drop(bencher: Bencher<'_, '_>) {
    rotate(bencher, |bytes| drop(black_box(ExportTraceServiceRequest::decode(&bytes[..]).expect("well formed"))));
}
