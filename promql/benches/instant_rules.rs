//! Instant rules over a source that keeps columns: simple aggregations, ratios and quantiles, and what needs the general path.
//! Prints the cost per series and window first, then divan's statistics.

use std::hint::black_box;
use std::time::{Duration, Instant};
use watchfire_model::{Labels, METRIC_NAME, Selector, SeriesId, SeriesSource, SeriesView, SourceError, TimeRange, Timestamp};
use watchfire_promql::{Engine, Query};

const SERIES: usize = 50_000;
const SAMPLES: usize = 20;
const AT: Timestamp = Timestamp(1_700_000_060_000);

/// Series by metric, all with the same timestamps, as one scrape origin gives them.
struct Columns {
    times: Vec<Timestamp>,
    metrics: Vec<(&'static str, Vec<(SeriesId, Labels)>)>,
    values: Vec<[f64; SAMPLES]>,
}

impl Columns {
    fn new() -> Self {
        let times = (0..SAMPLES as i64).map(|i| Timestamp(AT.0 - (SAMPLES as i64 - 1 - i) * 3000)).collect();
        let mut source = Columns { times, metrics: Vec::new(), values: Vec::new() };
        let bounds = ["0.005", "0.01", "0.05", "0.1", "0.5", "1", "2.5", "5", "10", "+Inf"];
        for metric in ["requests_total", "errors_total", "queue_depth"] {
            source.add(metric, SERIES, |i, labels| labels.push(("instance", format!("i{i}"))));
        }
        source.add("latency_seconds_bucket", SERIES, |i, labels| {
            labels.push(("le", bounds[i % bounds.len()].to_owned()));
            labels.push(("instance", format!("i{}", i / bounds.len())));
        });
        source
    }

    fn add(&mut self, metric: &'static str, count: usize, label: impl Fn(usize, &mut Vec<(&'static str, String)>)) {
        let mut series = Vec::with_capacity(count);
        for i in 0..count {
            let mut pairs = vec![(METRIC_NAME, metric.to_owned()), ("service", format!("s{}", i / 10 % 50))];
            label(i, &mut pairs);
            let id = SeriesId(self.values.len() as u32);
            series.push((id, Labels::from_pairs(pairs)));
            let mut values = [0.0; SAMPLES];
            for (step, value) in values.iter_mut().enumerate() {
                *value = (step * (1 + i % 7)) as f64;
            }
            self.values.push(values);
        }
        self.metrics.push((metric, series));
    }
}

impl SeriesSource for Columns {
    fn select(&self, selector: &Selector, range: TimeRange, visit: &mut dyn FnMut(SeriesView<'_>)) -> Result<(), SourceError> {
        let Some((_, series)) = self.metrics.iter().find(|(name, _)| Some(*name) == selector.metric_name()) else { return Ok(()) };
        let from = self.times.partition_point(|t| *t <= range.start);
        let to = self.times.partition_point(|t| *t <= range.end);
        for (id, labels) in series {
            let values = &self.values[id.0 as usize][from..to];
            visit(SeriesView { id: *id, labels, times: &self.times[from..to], values, histograms: &[], rising: false });
        }
        Ok(())
    }

    fn generation(&self) -> Option<u64> {
        Some(1)
    }
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

fn run(engine: &Engine, query: &Query, source: &Columns) {
    black_box(engine.instant(black_box(query), source, AT)).unwrap_or_else(|e| panic!("{query}: {e}"));
}

#[divan::bench(args = 0..RULES.len(), sample_count = 20)]
fn rule(bencher: divan::Bencher<'_, '_>, index: usize) {
    let (_, expr, windows) = RULES[index];
    let (engine, source) = (Engine::default(), Columns::new());
    let query = Query::parse(expr).unwrap_or_else(|e| panic!("{expr}: {e}"));
    bencher.counter(divan::counter::ItemsCount::new(windows)).bench_local(|| run(&engine, &query, &source));
}

fn main() {
    let (engine, source) = (Engine::default(), Columns::new());
    println!("ns per series and window of {SAMPLES} samples, {SERIES} series, best of 20");
    for (class, expr, windows) in RULES {
        let query = Query::parse(expr).unwrap_or_else(|e| panic!("{expr}: {e}"));
        let once = || {
            let start = Instant::now();
            run(&engine, &query, &source);
            start.elapsed()
        };
        once();
        let best = (0..20).map(|_| once()).min().unwrap_or(Duration::ZERO);
        println!("{:7.1}  {class:8} {expr}", best.as_nanos() as f64 / windows as f64);
    }
    divan::main();
}
