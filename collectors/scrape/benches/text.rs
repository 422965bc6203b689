//! P11: a steady scrape of a text page, from bytes to the row the store gets, beside the prometheus-parse crate on the same bytes.
//! `cargo bench -p watchfire-scrape`; the last lines give the ratio of the two legs measured turn by turn in one run.

use std::fmt::Write;
use std::time::{Duration, Instant};
use watchfire_model::{Appended, Exemplar, Labels, Metadata, MetricKind, OriginId, SeriesId, SeriesSink, Timestamp, Value};
use watchfire_scrape::exposition::Format;
use watchfire_scrape::{LabelRules, SeriesCache, Session, SessionRules};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Takes the row and forgets it: the store has its own benchmarks.
struct Nowhere(std::sync::atomic::AtomicU32);

impl SeriesSink for Nowhere {
    fn origin(&self, _: &str) -> OriginId {
        OriginId(0)
    }

    fn series(&self, _: OriginId, _: &Labels, _: MetricKind) -> Option<SeriesId> {
        Some(SeriesId(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed)))
    }

    fn append(&self, _: OriginId, _: Timestamp, _: Timestamp, row: &[(SeriesId, Value)]) -> Appended {
        Appended { stored: divan::black_box(row).len(), ..Appended::default() }
    }

    fn describe(&self, _: &str, _: Metadata) {}

    fn exemplar(&self, _: SeriesId, _: Exemplar) {}
}

/// 9,900 samples of about 114 bytes and 3.4 labels: counters, gauges and histograms of a service with many routes.
fn page(round: usize) -> String {
    let mut text = String::new();
    for metric in 0..90 {
        let kind = ["counter", "gauge", "histogram"][metric % 3];
        let name = format!("service_component_operation_{metric:02}");
        let _ = writeln!(text, "# HELP {name} What component {metric} did, by route and method.\n# TYPE {name} {kind}");
        for i in 0..110 {
            let value = (metric * 131 + i * 17 + round * 7) % 100_000;
            let _ = match kind {
                "histogram" => writeln!(
                    text,
                    "{name}_bucket{{route=\"/api/v1/resource/{:02}\",method=\"GET\",status=\"2xx\",le=\"{}\"}} {value}",
                    i / 11,
                    i % 11
                ),
                "counter" => {
                    writeln!(text, "{name}{{route=\"/api/v1/resource/{i:03}\",method=\"POST\",instance_zone=\"eu-west-1a\"}} {value}")
                }
                _ => writeln!(
                    text,
                    "{name}{{route=\"/api/v1/resource/{i:03}\",method=\"POST\",instance_zone=\"eu-west-1a\"}} {value}.{:03}",
                    i * 7 % 1000
                ),
            };
        }
    }
    text
}

fn rules() -> SessionRules {
    SessionRules {
        labels: LabelRules { target: Labels::from_pairs([("job", "bench"), ("instance", "a:1")]), ..LabelRules::default() },
        sample_limit: 50_000,
        honor_timestamps: true,
        track_timestamps_staleness: false,
        classic_too: false,
        custom_buckets: false,
        reserved: Vec::new(),
        origin: OriginId(0),
        own_times: "own times".to_owned(),
    }
}

/// A target in its steady state: pages alternate, so that values change and lines do not.
struct Steady {
    cache: SeriesCache,
    sink: Nowhere,
    rules: SessionRules,
}

impl Steady {
    fn new(first: &str) -> Self {
        let mut steady = Steady { cache: SeriesCache::new(), sink: Nowhere(0.into()), rules: rules() };
        steady.scrape(first);
        steady
    }

    fn scrape(&mut self, page: &str) -> usize {
        let mut session = Session::new(&mut self.cache, &self.sink, &self.rules);
        session.read(Format::Text, page.as_bytes()).expect("the page is good");
        session.commit(Timestamp(0), Timestamp(0), Duration::ZERO, &[]).stored
    }
}

fn peer(page: &str) -> usize {
    let lines = page.lines().map(|l| Ok(l.to_owned()));
    prometheus_parse::Scrape::parse(lines).expect("the page is good").samples.len()
}

fn samples(page: &str) -> usize {
    page.lines().filter(|l| !l.starts_with('#')).count()
}

#[divan::bench(sample_count = 30)]
fn steady_scrape(bencher: divan::Bencher<'_, '_>) {
    let pages = [page(0), page(1)];
    let mut steady = Steady::new(&pages[0]);
    let mut turn = 0;
    bencher.counter(divan::counter::ItemsCount::new(samples(&pages[0]))).bench_local(move || {
        turn += 1;
        steady.scrape(&pages[turn % 2])
    });
}

#[divan::bench(sample_count = 30)]
fn first_scrape(bencher: divan::Bencher<'_, '_>) {
    let page = page(0);
    bencher.counter(divan::counter::ItemsCount::new(samples(&page))).bench(|| Steady::new(&page).cache);
}

#[divan::bench(sample_count = 10)]
fn prometheus_parse_crate(bencher: divan::Bencher<'_, '_>) {
    let page = page(0);
    bencher.counter(divan::counter::ItemsCount::new(samples(&page))).bench(|| peer(&page));
}

fn main() {
    divan::main();
    ratio();
}

/// Both legs turn by turn; the median of the turns' ratios.
fn ratio() {
    let pages = [page(0), page(1)];
    let count = samples(&pages[0]) as f64;
    let mut steady = Steady::new(&pages[0]);
    assert_eq!(steady.scrape(&pages[1]), peer(&pages[1]).max(samples(&pages[1])), "both legs see every sample");
    let mut turns: Vec<(f64, f64, f64)> = (0..15)
        .map(|_| {
            let peer_time = time(1, || peer(&pages[0]));
            let own_time = time(20, || steady.scrape(&pages[0]) + steady.scrape(&pages[1])) / 2.0;
            (peer_time / own_time, peer_time / count * 1e9, own_time / count * 1e9)
        })
        .collect();
    turns.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ratio, peer_ns, own_ns) = turns[turns.len() / 2];
    println!(
        "P11 text parse: {ratio:.1}x [{:.1}..{:.1}] over prometheus-parse ({own_ns:.1} against {peer_ns:.0} ns per sample, {} samples of {} bytes)",
        turns[0].0,
        turns[turns.len() - 1].0,
        samples(&pages[0]),
        pages[0].len() / samples(&pages[0])
    );
}

fn time(turns: u32, mut work: impl FnMut() -> usize) -> f64 {
    let start = Instant::now();
    for _ in 0..turns {
        divan::black_box(work());
    }
    (start.elapsed() / turns).max(Duration::from_nanos(1)).as_secs_f64()
}
