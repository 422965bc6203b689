//! Cost of one observation, against DDSketch at 1 %: one hot histogram, and 2,000 of them in turn.
//!
//! `cargo bench -p watchfire-bench --bench histogram`.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use sketches_ddsketch::{Config, DDSketch};
use watchfire_bench::batches::Random;
use watchfire_store::Histogram;

fn main() {
    divan::main();
}

const VALUES: usize = 4096;

/// Log-normal-like latencies around 20 ms, in nanoseconds.
fn latencies() -> Vec<u64> {
    let mut random = Random::new(7);
    let mut unit = || (random.number() >> 11) as f64 / (1u64 << 53) as f64;
    (0..VALUES)
        .map(|_| {
            let normal = (0..12).map(|_| unit()).sum::<f64>() - 6.0;
            (2e7 * normal.exp()) as u64
        })
        .collect()
}

#[divan::bench]
fn ours_hot(bencher: Bencher<'_, '_>) {
    let values = latencies();
    let mut histogram = Histogram::new();
    bencher.counter(ItemsCount::new(VALUES)).bench_local(|| {
        for value in &values {
            histogram.observe(black_box(*value), 1.0);
        }
    });
}

#[divan::bench]
fn ddsketch_hot(bencher: Bencher<'_, '_>) {
    let values = latencies();
    let mut sketch = DDSketch::new(Config::defaults());
    bencher.counter(ItemsCount::new(VALUES)).bench_local(|| {
        for value in &values {
            sketch.add(black_box(*value) as f64 / 1e9);
        }
    });
}

#[divan::bench]
fn ours_2000_series(bencher: Bencher<'_, '_>) {
    let values = latencies();
    let mut histograms = vec![Histogram::new(); 2000];
    let mut random = Random::new(3);
    let order: Vec<usize> = (0..VALUES).map(|_| (random.number() % 2000) as usize).collect();
    bencher.counter(ItemsCount::new(VALUES)).bench_local(|| {
        for (value, series) in values.iter().zip(&order) {
            histograms[*series].observe(black_box(*value), 1.0);
        }
    });
}

#[divan::bench]
fn ddsketch_2000_series(bencher: Bencher<'_, '_>) {
    let values = latencies();
    let mut sketches: Vec<DDSketch> = (0..2000).map(|_| DDSketch::new(Config::defaults())).collect();
    let mut random = Random::new(3);
    let order: Vec<usize> = (0..VALUES).map(|_| (random.number() % 2000) as usize).collect();
    bencher.counter(ItemsCount::new(VALUES)).bench_local(|| {
        for (value, series) in values.iter().zip(&order) {
            sketches[*series].add(black_box(*value) as f64 / 1e9);
        }
    });
}
