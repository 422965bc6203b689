//! What durability costs: one transition, and a thousand alerts that flip in one tick. Beside each, the same bytes written and synced by hand.

use divan::Bencher;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use watchfire_model::{Evidence, Labels, Meter, Notice, NoticeState, Severity, Timestamp};
use watchfire_notifiers::Faults;
use watchfire_notifiers::journal::{AlertStates, Change, Destination, Journal};

fn main() {
    divan::main();
}

fn journal(directory: &Path) -> Journal {
    Journal::open(Some(directory), Timestamp(1_772_334_900_000), &Meter::new(), Faults::default(), Box::new(|| {}))
        .expect("a fresh directory")
        .0
}

fn tick(alerts: usize, revision: u64) -> (AlertStates, Vec<Change>) {
    let mut states = AlertStates::default();
    let mut changes = Vec::new();
    for n in 0..alerts {
        let name = format!("alert-{n}");
        let labels = Labels::from_pairs([("alertname", "HighErrorRate"), ("service", name.as_str()), ("severity", "critical")]);
        let notice = Notice {
            fingerprint: name.clone(),
            revision,
            state: if revision % 2 == 1 { NoticeState::Firing } else { NoticeState::Resolved },
            severity: Severity::Critical,
            labels: labels.clone(),
            annotations: Labels::from_pairs([("summary", "5 % of the calls fail"), ("runbook_url", "https://runbooks.example/errors")]),
            active_at: Timestamp(1_772_334_631_000),
            starts_at: Timestamp(1_772_334_661_000),
            ends_at: Timestamp(1_772_334_841_000),
            generator_url: String::new(),
            cause: None,
            evidence: Evidence::default(),
        };
        let destination = Destination {
            path: "ops/webhook".to_owned(),
            group_key: "{}:{}".to_owned(),
            group_labels: labels,
            route: 0,
            apart: String::new(),
            others: Vec::new(),
        };
        states.changed.push((name, vec![7; 200]));
        changes.push(Change::Notice { notice: Arc::new(notice), destinations: vec![destination], at: Timestamp(1_772_334_900_000) });
    }
    (states, changes)
}

#[divan::bench(args = [1, 1000], sample_count = 200)]
fn commit(bencher: Bencher, alerts: usize) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let journal = journal(directory.path());
    let mut revision = 0;
    bencher
        .with_inputs(|| {
            revision += 1;
            tick(alerts, revision)
        })
        .bench_local_values(|(states, changes)| assert!(journal.commit(states, changes)));
}

/// The floor: as many bytes, written and synced, nothing else.
#[divan::bench(args = [1_200, 1_200_000], sample_count = 200)]
fn write_and_sync(bencher: Bencher, bytes: usize) {
    let mut file = tempfile::tempfile().expect("a temporary file");
    let payload = vec![b'x'; bytes];
    bencher.bench_local(|| {
        file.write_all(&payload).expect("space");
        file.sync_data().expect("a working disk");
    });
}
