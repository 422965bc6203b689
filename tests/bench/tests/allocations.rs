//! What the hot path takes from the allocator, and what it keeps per span.
//! The only `unsafe` of the tests: an allocator that counts cannot be written without it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use watchfire_bench::batches::{SPANS, Variety, encoded};
use watchfire_model::{HandClock, Meter, SpanVisitor, Timestamp};
use watchfire_otlp::Limits;
use watchfire_otlp::traces::{Parsed, Residuals};
use watchfire_store::{SignalSettings, Store, StoreLimits};

struct Counting;

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = TAKEN.try_with(|taken| taken.set(taken.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = TAKEN.try_with(|taken| taken.set(taken.get() + 1));
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const START: i64 = 1_700_000_000_000;

#[test]
fn at_most_one_allocation_in_twenty_spans() {
    let data = encoded(500, Variety::Ordinary, START as u64 * 1_000_000);
    let store = Store::new(StoreLimits::default(), Meter::new(), Arc::new(HandClock::at(Timestamp(START))));
    let mut engine = store.span_engine(SignalSettings::default());
    let (mut parsed, mut residuals, limits) = (Parsed::default(), Residuals::default(), Limits::default());
    // A request of 512 spans every 25 ms: 20,000 spans a second, with the ticks that belong to it.
    let mut now = START;
    let mut run = |requests: &[Vec<u8>], engine: &mut watchfire_store::SpanEngine| {
        for request in requests {
            now += 25;
            parsed.parse(request, &limits, &mut residuals).expect("well formed");
            parsed.visit(request, Timestamp(now), engine);
            if now % 250 == 0 {
                engine.tick(Timestamp(now));
            }
        }
    };
    run(&data[..250], &mut engine);
    let before = TAKEN.get();
    run(&data[250..], &mut engine);
    let each = (TAKEN.get() - before) as f64 / (250 * SPANS) as f64;
    assert!(each <= 0.05, "{each} allocations per span");
}

#[test]
fn retained_bytes_per_span_stay_within_the_budget() {
    for (variety, most) in [(Variety::Ordinary, 150.0), (Variety::High, 220.0)] {
        let data = encoded(100, variety, START as u64 * 1_000_000);
        let store = Store::new(StoreLimits::default(), Meter::new(), Arc::new(HandClock::at(Timestamp(START))));
        let mut engine = store.span_engine(SignalSettings::default());
        for request in &data {
            watchfire_otlp::walk(request, &Limits::default(), Timestamp(START), &mut engine).expect("well formed");
        }
        engine.seal();
        let usage = store.usage();
        assert_eq!(usage.spans_held, (100 * SPANS) as u64);
        let each = usage.span_bytes as f64 / usage.spans_held as f64;
        let wire = data.iter().map(Vec::len).sum::<usize>() / (100 * SPANS);
        println!("{variety:?}: {each:.1} bytes per span held, {wire} on the wire");
        assert!(each <= most && each > 55.0, "{variety:?}: {each} bytes per span");
    }
}
