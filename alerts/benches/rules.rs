//! Backtests and evaluation rounds. `cargo bench -p watchfire-alerts`.

use std::sync::Arc;
use std::time::Duration;
use watchfire_alerts::{Evaluator, EvaluatorSettings, MemorySeries, Period, RuleFile, RuleGroup, backtest};
use watchfire_model::{Clock, Dependency, HandClock, Labels, Meter, Relation, Timestamp, Topology, Value};
use watchfire_promql::Engine;

fn main() {
    divan::main();
}

const WEEK: i64 = 7 * 86_400_000;
const STEP: i64 = 15_000;

fn groups(rules: &str) -> Vec<RuleGroup> {
    RuleFile::parse("bench.yml", &format!("groups:\n- name: g\n  interval: 15s\n  rules:\n{rules}")).expect("parses").groups
}

fn week(series: usize) -> MemorySeries {
    let store = MemorySeries::new();
    for s in 0..series {
        let service = format!("s{s}");
        let labels = Labels::from_pairs([("__name__", "error_ratio"), ("service", &service)]);
        for i in 0..=(WEEK / STEP) {
            // Above the threshold for ten minutes of every three hours, each series at its own time.
            let phase = (i + s as i64 * 13) % 720;
            store.push(&labels, Timestamp(i * STEP), Value::Float(if phase < 40 { 0.2 } else { 0.01 }));
        }
    }
    store
}

/// Seven days at 15 s over 50 series: 2 million evaluated samples.
#[divan::bench(sample_count = 5)]
fn backtest_a_week_over_50_series(bencher: divan::Bencher) {
    let store = week(50);
    let groups = groups("  - {alert: A, expr: error_ratio > 0.05, for: 5m, labels: {severity: critical}}\n");
    let engine = Engine::default();
    let period = Period { start: Timestamp(0), end: Timestamp(WEEK), step: Some(Duration::from_millis(STEP as u64)) };
    bencher.bench(|| {
        let found = backtest(&engine, &groups, &store, period);
        assert_eq!(found[0].backtest.evaluations, 40_321);
        found
    });
}

struct Line;

impl Topology for Line {
    fn dependencies(&self, service: &str) -> Vec<Dependency> {
        let next = service.strip_prefix('s').and_then(|n| n.parse::<u32>().ok()).filter(|n| *n < 999).map(|n| format!("s{}", n + 1));
        next.map(|server| Dependency { client: service.to_owned(), server, error_ratio: None, relation: Relation::Calls })
            .into_iter()
            .collect()
    }

    fn unhealthy(&self) -> Vec<watchfire_model::Unhealthy> {
        Vec::new()
    }
}

/// One round in which every alert of a rule begins to fire, over services that call each other in groups of ten.
#[divan::bench(args = [100, 1000], sample_count = 5)]
fn alerts_firing_at_once(bencher: divan::Bencher, alerts: usize) {
    bencher
        .with_inputs(|| {
            let clock = HandClock::at(Timestamp(1_700_000_000_000));
            let store = Arc::new(MemorySeries::new());
            let groups = groups("  - {alert: A, expr: error_ratio > 0.05, labels: {severity: critical}, annotations: {summary: \"{{ $labels.service }} {{ $value | humanizePercentage }}\"}}\n");
            let shared = Arc::new(clock.clone());
            let evaluator =
                Evaluator::new(EvaluatorSettings::default(), groups, store.clone(), store.clone(), Arc::new(Line), shared, Meter::new());
            clock.advance(evaluator.next_due().expect("a group").since(clock.now()));
            for s in 0..alerts {
                let service = format!("s{s}");
                let labels = Labels::from_pairs([("__name__", "error_ratio"), ("service", &service)]);
                store.push(&labels, clock.now(), Value::Float(0.5));
            }
            evaluator
        })
        .bench_values(|mut evaluator| {
            let outcome = evaluator.tick();
            assert_eq!(outcome.notices.len(), alerts);
            evaluator
        });
}
