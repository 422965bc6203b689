//! Rows of steady scrapes into the store: what a sample costs once it is read. Prints nanoseconds per sample.

use mimalloc::MiMalloc;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use watchfire_model::{HandClock, Labels, METRIC_NAME, Meter, MetricKind, OriginId, SeriesId, SeriesSink, Timestamp, Value};
use watchfire_store::{Store, StoreLimits};

#[global_allocator]
static GLOBAL: MiMalloc = MiMalloc;

const TARGETS: usize = 5;
const SERIES: usize = 10_000;
/// More than the caches hold.
const OTHERS: usize = 128 << 20;
/// One row of each target in every second.
const ROWS: i64 = 120;
const START: i64 = 1_700_000_000_000;

fn main() {
    let store = Store::new(StoreLimits::default(), Meter::new(), Arc::new(HandClock::at(Timestamp(START))));
    let targets: Vec<(OriginId, Vec<SeriesId>)> = (0..TARGETS)
        .map(|target| {
            let origin = store.origin(&format!("target-{target}"));
            let series = |i: usize| {
                let (metric, pod, instance) = (format!("metric_{}", i % 50), format!("pod-{}", i / 50), format!("target-{target}"));
                let labels =
                    Labels::from_pairs([(METRIC_NAME, &metric), ("pod", &pod), ("instance", &instance)].map(|(n, v)| (n, v.as_str())));
                store.series(origin, &labels, MetricKind::Counter).expect("there is room")
            };
            (origin, (0..SERIES).map(series).collect())
        })
        .collect();
    let mut others = vec![0_u64; OTHERS / size_of::<u64>()];
    let mut spent = Vec::new();
    for row in 0..ROWS {
        let at = Timestamp(START + row * 1000);
        let mut took = Duration::ZERO;
        for (origin, series) in &targets {
            let samples: Vec<_> = series.iter().enumerate().map(|(i, id)| (*id, Value::Float((row * (1 + i as i64 % 7)) as f64))).collect();
            // Between two scrapes others have the caches.
            others.iter_mut().step_by(8).for_each(|line| *line = line.wrapping_add(1));
            let start = Instant::now();
            let done = black_box(store.append(*origin, at, at, black_box(&samples)));
            took += start.elapsed();
            assert_eq!(done.stored, SERIES);
        }
        spent.push(took.as_nanos() as f64 / (TARGETS * SERIES) as f64);
    }
    spent.sort_by(f64::total_cmp);
    let at = |share: f64| spent[(spent.len() as f64 * share) as usize];
    println!(
        "one sample of a row of {SERIES} into the store, {TARGETS} targets: median {:.1} ns, p10 {:.1}, p90 {:.1}",
        at(0.5),
        at(0.1),
        at(0.9)
    );
}
