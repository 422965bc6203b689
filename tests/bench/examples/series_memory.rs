//! What an hour of a series takes in memory: 50,000 series as services export them, a sample every 15 s, resident memory of this process.
//!
//! `cargo run --release -p watchfire-bench --example series_memory`. A quarter of a minute. Linux only: resident memory is read from `/proc`. Time is simulated,
//! everything else is the store of the program, under its allocator.

use mimalloc::MiMalloc;
use std::sync::Arc;
use watchfire_model::{HandClock, Labels, METRIC_NAME, Meter, MetricKind, OriginId, SeriesId, SeriesSink, Timestamp, Value};
use watchfire_store::{Store, StoreLimits};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const START: i64 = 1_700_000_000_000;
const TARGETS: usize = 50;
const SERIES: usize = 1_000;
/// An hour.
const SAMPLES: i64 = 240;

/// How the values of a series move.
#[derive(Clone, Copy)]
enum Motion {
    /// Calls: a counter of whole numbers.
    Calls,
    /// A counter of measured seconds.
    Seconds,
    /// A queue's depth.
    Depth,
    /// Memory, in pages.
    Memory,
    /// A share, measured.
    Share,
    Constant,
}

/// What is measured, each in a process of its own: memory that another one gave back would hide in it.
const KINDS: [(&str, &[Motion]); 3] = {
    use Motion::{Calls, Constant, Depth, Memory, Seconds, Share};
    [
        // Most series of exporters are counters, buckets of histograms above all.
        ("mixed", &[Calls, Calls, Calls, Calls, Calls, Calls, Calls, Seconds, Depth, Memory, Share, Constant]),
        ("counters", &[Calls]),
        ("fractions", &[Share]),
    ]
};

fn main() -> std::io::Result<()> {
    let Some(kind) = std::env::args().nth(1) else {
        for (kind, _) in KINDS {
            std::process::Command::new(std::env::current_exe()?).arg(kind).status()?;
        }
        return Ok(());
    };
    let Some((_, motions)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        return Err(std::io::Error::other(format!("no such kind of series: {kind}; there are mixed, counters, fractions")));
    };
    let limits = StoreLimits { memory_bytes: 4 << 30, ..StoreLimits::default() };
    let store = Store::new(limits, Meter::new(), Arc::new(HandClock::at(Timestamp(START))));
    let before = resident()?;
    let targets = register(&store);
    let registered = resident()?.saturating_sub(before);
    fill(&store, &targets, motions);
    let taken = resident()?.saturating_sub(before);
    let series = (TARGETS * SERIES) as f64;
    println!(
        "{kind}: {:.2} kB resident for an hour of a series at 15 s, {:.2} kB of them without samples; {:.2} kB by the store's own account",
        taken as f64 / series / 1e3,
        registered as f64 / series / 1e3,
        store.usage().series_bytes as f64 / series / 1e3,
    );
    Ok(())
}

fn register(store: &Store) -> Vec<(OriginId, Vec<SeriesId>)> {
    (0..TARGETS)
        .map(|target| {
            let origin = store.origin(&format!("target-{target}"));
            let ids: Vec<SeriesId> = (0..SERIES)
                .map(|n| {
                    let labels = Labels::from_pairs([
                        (METRIC_NAME, format!("metric_{}_total", n % 40)),
                        ("job", "services".to_owned()),
                        ("instance", format!("10.0.0.{target}:9090")),
                        ("service", format!("service-{}", target % 20)),
                        ("pod", format!("service-{}-{target}", target % 20)),
                        ("le", format!("{}", n / 40)),
                    ]);
                    store.series(origin, &labels, MetricKind::Counter).expect("there is room")
                })
                .collect();
            (origin, ids)
        })
        .collect()
}

fn fill(store: &Store, targets: &[(OriginId, Vec<SeriesId>)], motions: &[Motion]) {
    let mut values = vec![0.0; TARGETS * SERIES];
    let mut seed = 1_u64;
    let mut row = Vec::new();
    for sample in 0..SAMPLES {
        let now = Timestamp(START + sample * 15_000);
        for (target, (origin, ids)) in targets.iter().enumerate() {
            row.clear();
            for (n, id) in ids.iter().enumerate() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let chance = (seed >> 40) as f64 / (1 << 24) as f64;
                let value = &mut values[target * SERIES + n];
                *value = match motions[n % motions.len()] {
                    Motion::Calls => *value + (chance * 300.0).floor(),
                    Motion::Seconds => *value + chance,
                    Motion::Depth => (chance * 1000.0).floor(),
                    Motion::Memory => 500e6 + (chance * 20_000.0).floor() * 4096.0,
                    Motion::Share => chance.sqrt(),
                    Motion::Constant => 42.0,
                };
                row.push((*id, Value::Float(*value)));
            }
            store.append(*origin, now, now, &row);
        }
    }
}

/// Bytes of this process that are in memory.
fn resident() -> std::io::Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kibibytes: usize = line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_default();
    Ok(kibibytes * 1024)
}
