//! One leg at a time, without a measuring harness, for instruction counters:
//! `valgrind --tool=callgrind --toggle-collect='*measured*' target/release/deps/instructions-... engine 200` or `perf stat -e instructions:u`.
//! Arguments: leg (`engine`, `walk` for its first half alone, `prost`, `nothing`), requests of 512 spans, `high` for high entropy.

use mimalloc::MiMalloc;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;
use watchfire_bench::batches::{SPANS, Variety, encoded};
use watchfire_model::{HandClock, Meter, Timestamp};
use watchfire_otlp::Limits;
use watchfire_otlp::traces::{Parsed, Residuals};
use watchfire_store::{SignalSettings, SpanEngine, Store, StoreLimits};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const START: i64 = 1_700_000_000_000;

/// Requests that go before: what happens once per service, operation and series is no cost of a span.
const WARM: usize = 256;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let leg = arguments.first().map_or("engine", String::as_str);
    let requests: usize = arguments.get(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    let variety = if arguments.get(2).is_some_and(|v| v == "high") { Variety::High } else { Variety::Ordinary };
    let data = encoded((WARM + requests).min(1024) as u64, variety, START as u64 * 1_000_000);
    let store = Store::new(StoreLimits::default(), Meter::new(), Arc::new(HandClock::at(Timestamp(START))));
    let mut legs = Legs {
        engine: store.span_engine(SignalSettings::default()),
        parsed: Parsed::default(),
        residuals: Residuals::default(),
        limits: Limits::default(),
    };
    legs.run(leg, &data, 0..WARM);
    let begun = std::time::Instant::now();
    measured(&mut legs, leg, &data, WARM..WARM + requests);
    if requests > 0 {
        println!("{leg}: {} spans, {:.1} ns each", requests * SPANS, begun.elapsed().as_nanos() as f64 / (requests * SPANS) as f64);
    }
}

#[inline(never)]
fn measured(legs: &mut Legs, leg: &str, data: &[Vec<u8>], requests: Range<usize>) {
    legs.run(leg, data, requests);
}

struct Legs {
    engine: SpanEngine,
    parsed: Parsed,
    residuals: Residuals,
    limits: Limits,
}

impl Legs {
    fn run(&mut self, leg: &str, data: &[Vec<u8>], requests: Range<usize>) {
        for i in requests {
            let request = black_box(&data[i % data.len()][..]);
            match leg {
                "engine" => {
                    self.parsed.parse(request, &self.limits, &mut self.residuals).expect("well formed");
                    self.parsed.visit(request, Timestamp(START + 10 * i as i64), &mut self.engine);
                }
                "prost" => drop(black_box(ExportTraceServiceRequest::decode(request).expect("encoded by prost"))),
                "walk" => self.parsed.parse(request, &self.limits, &mut self.residuals).expect("well formed"),
                _ => {}
            }
        }
    }
}
