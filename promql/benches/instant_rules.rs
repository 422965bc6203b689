//! Instant rules over the store: simple aggregations, ratios and quantiles, and what needs the general path.
//! Prints the cost per series and window first, then divan's statistics.

use std::hint::black_box;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use watchfire_model::{HandClock, Labels, METRIC_NAME, Meter, MetricKind, SeriesSink, Timestamp, Value};
use watchfire_promql::{Engine, Query};
use watchfire_store::{Store, StoreLimits};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERIES: usize = 50_000;
const SAMPLES: usize = 20;
const AT: Timestamp = Timestamp(1_700_000_060_000);

/// What counters had counted before the window.
const BEFORE: usize = 10_000;
/// Writers whose series these are, as targets of one job.
const TARGETS: usize = 5;

/// The store, with what a job's targets have told it.
fn store() -> Arc<Store> {
    let store = Store::new(StoreLimits { series: 4 * SERIES, ..StoreLimits::default() }, Meter::new(), Arc::new(HandClock::at(AT)));
    let bounds = ["0.005", "0.01", "0.05", "0.1", "0.5", "1", "2.5", "5", "10", "+Inf"];
    for target in 0..TARGETS {
        let origin = store.origin(&format!("target-{target}"));
        let mut row = Vec::new();
        for i in (target..SERIES).step_by(TARGETS) {
            let (service, pod) = (format!("s{}", i / 10 % 50), format!("i{i}"));
            let mut add = |metric: &str, kind, more: (&str, &str)| {
                let labels = Labels::from_pairs([(METRIC_NAME, metric), ("service", service.as_str()), more]);
                row.push(store.series(origin, &labels, kind).expect("there is room"));
            };
            add("requests_total", MetricKind::Counter, ("instance", &pod));
            add("errors_total", MetricKind::Counter, ("instance", &pod));
            add("queue_depth", MetricKind::Gauge, ("instance", &pod));
            let instance = format!("i{}", i / bounds.len());
            let labels = [
                (METRIC_NAME, "latency_seconds_bucket"),
                ("service", service.as_str()),
                ("le", bounds[i % bounds.len()]),
                ("instance", instance.as_str()),
            ];
            row.push(store.series(origin, &Labels::from_pairs(labels), MetricKind::Histogram).expect("there is room"));
        }
        for step in 0..SAMPLES {
            let at = Timestamp(AT.0 - (SAMPLES - 1 - step) as i64 * 3000);
            let samples: Vec<_> = row.iter().enumerate().map(|(i, id)| (*id, Value::Float((BEFORE + step * (1 + i % 7)) as f64))).collect();
            assert_eq!(store.append(origin, at, at, &samples).stored, samples.len());
        }
    }
    store
}

/// Class, expression, and how many series windows it reads.
const RULES: [(&str, &str, usize); 11] = [
    ("simple", "sum by (service) (rate(requests_total[1m]))", SERIES),
    ("simple", "sum(increase(requests_total[1m]))", SERIES),
    ("simple", "max by (service) (queue_depth)", SERIES),
    ("simple", "count(queue_depth)", SERIES),
    ("simple", "sum by (service) (sum_over_time(queue_depth[1m]))", SERIES),
    ("ratio", "sum by (service) (rate(errors_total[1m])) / sum by (service) (rate(requests_total[1m])) > 0.01", 2 * SERIES),
    ("quantile", "histogram_quantile(0.99, sum by (service, le) (rate(latency_seconds_bucket[1m])))", SERIES),
    ("general", "rate(requests_total[1m])", SERIES),
    ("general", "queue_depth > 100", SERIES),
    ("general", "topk(5, rate(requests_total[1m]))", SERIES),
    ("general", "errors_total / requests_total", 2 * SERIES),
];

static SOURCE: LazyLock<Arc<Store>> = LazyLock::new(store);

fn run(engine: &Engine, query: &Query) {
    black_box(engine.instant(black_box(query), &**SOURCE, AT)).unwrap_or_else(|e| panic!("{query}: {e}"));
}

#[divan::bench(args = 0..RULES.len(), sample_count = 20)]
fn rule(bencher: divan::Bencher<'_, '_>, index: usize) {
    let (_, expr, windows) = RULES[index];
    let engine = Engine::default();
    let query = Query::parse(expr).unwrap_or_else(|e| panic!("{expr}: {e}"));
    bencher.counter(divan::counter::ItemsCount::new(windows)).bench_local(|| run(&engine, &query));
}

fn main() {
    let engine = Engine::default();
    println!("ns per series and window of {SAMPLES} samples, {SERIES} series, best of 20");
    for (class, expr, windows) in RULES {
        let query = Query::parse(expr).unwrap_or_else(|e| panic!("{expr}: {e}"));
        let once = || {
            let start = Instant::now();
            run(&engine, &query);
            start.elapsed()
        };
        once();
        let best = (0..20).map(|_| once()).min().unwrap_or(Duration::ZERO);
        println!("{:7.1}  {class:8} {expr}", best.as_nanos() as f64 / windows as f64);
    }
    divan::main();
}
