//! PromQL of arbitrary text: refused, or a query whose layout is the same query, whose value stands still, and which ends within its limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use watchfire_model::{BucketSpan, Labels, METRIC_NAME, NativeHistogram, STALE_NAN, Timestamp, Value};
use watchfire_promql::{Control, Engine, EngineOptions, Interrupt, Query};
use watchfire_testkit::MemorySource;

const STEP: i64 = 15_000;

/// Short names, so that they are soon found: counters `a`, gauges `g` with holes, histograms `h`, and `m` that is both.
static SOURCE: LazyLock<MemorySource> = LazyLock::new(|| {
    let mut source = MemorySource::new();
    for (index, (name, job)) in [("a", "x"), ("a", "y"), ("g", "x"), ("g", "y"), ("h", "x"), ("m", "x")].into_iter().enumerate() {
        let labels = Labels::from_pairs([(METRIC_NAME, name), ("job", job), ("le", "1")]);
        for i in (0..30).filter(|i| (i * 7 + index) % 11 != 0) {
            let count = ((i * (index + 1)) % 20) as f64;
            let histogram = || NativeHistogram {
                count: 2.0 * count,
                sum: count,
                positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
                positive_buckets: vec![count, count],
                ..NativeHistogram::default()
            };
            let value = match name {
                "g" if i % 9 == 4 => Value::Float(STALE_NAN),
                "h" => Value::Histogram(Arc::new(histogram())),
                "m" if i % 2 == 0 => Value::Histogram(Arc::new(histogram())),
                _ => Value::Float(count),
            };
            source.push(&labels, Timestamp(i as i64 * STEP), value);
        }
    }
    source
});

fuzz_target!(|text: &str| {
    let Ok(query) = Query::parse(text) else { return };
    let laid_out = query.pretty();
    // A layout may be longer than an expression is allowed to be.
    if laid_out.len() < 16 << 10 {
        let again = Query::parse(&laid_out).unwrap_or_else(|error| panic!("{text:?} laid out as {laid_out:?}: {error:?}"));
        // An infinite number is laid out as `+Inf`, as Prometheus does, and read again as a sign and a number.
        if !laid_out.contains("Inf") {
            assert_eq!(again.pretty(), laid_out, "{text:?}");
        }
    }
    let engine = Engine::new(EngineOptions { max_samples: 50_000, ..EngineOptions::default() });
    let begun = Instant::now();
    let interrupt = || (begun.elapsed() > Duration::from_secs(1)).then_some(Interrupt::Timeout);
    let control = Control { interrupt: Some(&interrupt), ..Control::default() };
    let at = Timestamp(25 * STEP);
    let first = engine.instant_with(&query, &*SOURCE, at, control);
    let second = engine.instant_with(&query, &*SOURCE, at, control);
    if begun.elapsed() < Duration::from_secs(1) {
        // As text, because a NaN equals nothing.
        assert_eq!(format!("{first:?}"), format!("{second:?}"), "{text:?}");
    }
    let _ = engine.range_with(&query, &*SOURCE, (Timestamp(0), at, Duration::from_millis(STEP as u64)), control);
    // Interrupts are asked for often enough.
    assert!(begun.elapsed() < Duration::from_secs(5), "{text:?}");
});
