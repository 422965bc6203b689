//! What the delivery contract costs, from commit to disk and to receivers: one transition, a thousand alerts that flip at once, and what a
//! receiver that never answers adds for the others. Beside the first two, as many bytes written and synced by hand.
//!
//! `cargo run --release -p watchfire-notifiers --example delivery -- [DIRECTORY]`: the state is kept below DIRECTORY, whose disk is measured.

use axum::Router;
use axum::extract::State;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;
use watchfire_model::{Clock, Evidence, HandClock, Labels, Meter, Notice, NoticeState, Severity, Timestamp};
use watchfire_notifiers::{Dispatcher, DispatcherHandle, Settings, TickRecord};

const START: Timestamp = Timestamp(1_772_334_900_000);
const TRANSITIONS: u64 = 2_000;
const STORMS: u64 = 50;
const STORM: usize = 1_000;
const ROUNDS: u64 = 200;
const RECEIVERS: usize = 5;

fn notice(alert: usize, revision: u64) -> Notice {
    let service = format!("service-{alert}");
    Notice {
        fingerprint: format!("alert-{alert}"),
        revision,
        state: if revision % 2 == 1 { NoticeState::Firing } else { NoticeState::Resolved },
        severity: Severity::Critical,
        labels: Labels::from_pairs([("alertname", "HighErrorRate"), ("service", service.as_str()), ("severity", "critical")]),
        annotations: Labels::from_pairs([("summary", "5 % of the calls fail"), ("runbook_url", "https://runbooks.example/errors")]),
        active_at: START,
        starts_at: START,
        ends_at: START,
        generator_url: String::new(),
        cause: None,
        evidence: Evidence::default(),
    }
}

/// A state of the size that the evaluator writes, and its notice.
fn tick(alerts: usize, revision: u64) -> TickRecord {
    TickRecord {
        states_changed: (0..alerts).map(|n| (format!("alert-{n}"), vec![7; 200])).collect(),
        notices: (0..alerts).map(|n| notice(n, revision)).collect(),
        ..TickRecord::default()
    }
}

fn settings(urls: &[String], wait: &str) -> Settings {
    let mut text = String::new();
    let names: Vec<String> = (0..urls.len()).map(|n| format!("\"r{n}\"")).collect();
    for (n, url) in urls.iter().enumerate() {
        text.push_str(&format!("[[receivers]]\nname = \"r{n}\"\nchannels = [{{ type = \"webhook\", url = \"{url}\" }}]\n"));
    }
    text.push_str(&format!("[[routes]]\nto = [{}]\ngroup_wait = \"{wait}\"\ngroup_interval = \"{wait}\"\n", names.join(", ")));
    toml::from_str(&text).expect("settings")
}

fn start(settings: Settings, directory: &Path, cancel: &CancellationToken) -> DispatcherHandle {
    let clock: Arc<dyn Clock> = Arc::new(HandClock::at(START));
    Dispatcher::start(settings, Some(directory), Meter::new(), clock, cancel.clone()).expect("a fresh directory").0
}

/// Times of `count` commits of `alerts` alerts each, while nobody is sent anything.
fn commits(directory: &Path, count: u64, alerts: usize) -> Vec<Duration> {
    let cancel = CancellationToken::new();
    let handle = start(settings(&["http://127.0.0.1:1/".to_owned()], "1h"), directory, &cancel);
    let ticks: Vec<TickRecord> = (1..=count).map(|revision| tick(alerts, revision)).collect();
    let mut times = Vec::new();
    for tick in ticks {
        let begun = Instant::now();
        assert!(handle.commit(tick), "durable");
        times.push(begun.elapsed());
    }
    cancel.cancel();
    times
}

/// The floor: bytes written and synced, nothing else.
fn by_hand(directory: &Path, count: u64, bytes: usize) -> Vec<Duration> {
    let mut file = tempfile::tempfile_in(directory).expect("a file");
    let payload = vec![b'x'; bytes];
    (0..count)
        .map(|_| {
            let begun = Instant::now();
            file.write_all(&payload).expect("space");
            file.sync_data().expect("a working disk");
            begun.elapsed()
        })
        .collect()
}

/// A receiver that tells of each message, or takes it and never answers.
async fn receiver(told: UnboundedSender<()>, hangs: bool) -> String {
    let take = move |State(told): State<UnboundedSender<()>>| async move {
        if hangs {
            std::future::pending::<()>().await;
        }
        let _ = told.send(());
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take).with_state(told)).await });
    url
}

/// Times from commit until all receivers that answer have the message; one of five is what `hangs` says.
async fn rounds(directory: &Path, hangs: bool) -> Vec<Duration> {
    let (told, mut heard): (UnboundedSender<()>, UnboundedReceiver<()>) = unbounded_channel();
    let mut urls = Vec::new();
    for n in 0..RECEIVERS {
        urls.push(receiver(told.clone(), hangs && n == 0).await);
    }
    let answering = RECEIVERS - usize::from(hangs);
    let cancel = CancellationToken::new();
    let handle = start(settings(&urls, "0s"), directory, &cancel);
    let mut times = Vec::new();
    for revision in 1..=ROUNDS {
        let (handle, tick) = (handle.clone(), tick(1, revision));
        let begun = Instant::now();
        tokio::task::spawn_blocking(move || assert!(handle.commit(tick), "durable")).await.expect("committed");
        for _ in 0..answering {
            heard.recv().await.expect("told");
        }
        times.push(begun.elapsed());
    }
    cancel.cancel();
    times
}

fn line(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let at = |q: f64| times[((times.len() - 1) as f64 * q).round() as usize];
    println!("{what:<58} p50 {:>9.2?}  p99 {:>9.2?}  worst {:>9.2?}  of {}", at(0.5), at(0.99), at(1.0), times.len());
    at(0.99)
}

#[tokio::main]
async fn main() {
    // Errors mean that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let below = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let directory = tempfile::tempdir_in(below).expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let (one, storm) = tokio::task::block_in_place(|| (commits(&at("one"), TRANSITIONS, 1), commits(&at("storm"), STORMS, STORM)));
    line("one transition, durable", one);
    line("  as many bytes by hand", by_hand(directory.path(), TRANSITIONS, 1_200));
    line("1,000 alerts that flip at once, durable", storm);
    line("  as many bytes by hand", by_hand(directory.path(), STORMS, 1_200_000));
    let all = line("commit to the last of five receivers", rounds(&at("answering"), false).await);
    let others = line("  to the last of four, beside one that never answers", rounds(&at("hanging"), true).await);
    match others.checked_sub(all) {
        Some(more) => println!("a receiver that never answers adds {more:.2?} to the others (p99)"),
        None => println!("a receiver that never answers adds nothing to the others (p99)"),
    }
}
