//! One leg at a time, without a measuring harness, for instruction counters:
//! `valgrind --tool=callgrind --toggle-collect='*measured*' target/release/deps/instructions-... engine 200` or `perf stat -e instructions:u`.
//! Arguments: leg (`engine`, `walk`, `prost`, `nothing`), requests of 512 spans, `high` for high entropy.

use mimalloc::MiMalloc;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::hint::black_box;
use std::sync::Arc;
use watchfire_bench::batches::{SPANS, Variety, encoded};
use watchfire_model::{Meter, Timestamp};
use watchfire_otlp::Limits;
use watchfire_otlp::traces::Parsed;
use watchfire_store::{SignalSettings, Store, StoreLimits};
use watchfire_testkit::SimClock;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const START: i64 = 1_700_000_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let leg = arguments.first().map_or("engine", String::as_str);
    let requests: usize = arguments.get(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    let variety = if arguments.get(2).is_some_and(|v| v == "high") { Variety::High } else { Variety::Ordinary };
    let data = encoded(requests.min(1024) as u64, variety, START as u64 * 1_000_000);
    let begun = std::time::Instant::now();
    measured(leg, requests, &data);
    if requests > 0 {
        println!("{leg}: {} spans, {:.1} ns each", requests * SPANS, begun.elapsed().as_nanos() as f64 / (requests * SPANS) as f64);
    }
}

#[inline(never)]
fn measured(leg: &str, requests: usize, data: &[Vec<u8>]) {
    match leg {
        "engine" => {
            let store = Store::new(StoreLimits::default(), Meter::new(), Arc::new(SimClock::at(Timestamp(START))));
            let mut engine = store.span_engine(SignalSettings::default());
            let (mut parsed, limits) = (Parsed::default(), Limits::default());
            for i in 0..requests {
                let request = black_box(&data[i % data.len()]);
                parsed.parse(request, &limits).expect("well formed");
                parsed.visit(request, Timestamp(START + 10 * i as i64), &mut engine);
            }
        }
        "prost" => {
            for i in 0..requests {
                black_box(ExportTraceServiceRequest::decode(&data[i % data.len()][..]).expect("encoded by prost"));
            }
        }
        _ => {}
    }
}
