//! The notifiers over real sockets, real files and real processes. Nothing sleeps for a guess: tests wait for what they assert, with a limit.

mod channels;
mod clocks;
mod connections;
mod continued;
mod crash;
mod damaged;
mod day;
mod delivery;
mod desktop;
mod giving_up;
mod hearing;
mod inhibition;
mod intervals;
mod journal;
mod journal_model;
mod journal_panics;
mod limits;
mod mail_servers;
mod read_only;
mod receiver;
mod rehearsal;
mod reload;
mod repeats;
mod retries;
mod routing;
mod sms;
mod smtp;
mod trust;
mod wording;

use std::sync::Arc;
use std::time::{Duration, Instant};
use watchfire_model::{Clock, ClockReading, Evidence, Labels, Meter, Notice, NoticeState, Severity, Timestamp};
use watchfire_notifiers::{Dispatcher, DispatcherHandle, Recovered, Settings};

/// The machine's clocks.
pub struct RealClock(Instant);

impl RealClock {
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(RealClock(Instant::now()))
    }
}

impl Clock for RealClock {
    fn read(&self) -> ClockReading {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let boot = self.0.elapsed();
        ClockReading { wall: Timestamp(i64::try_from(wall.as_millis()).unwrap_or(0)), boot, awake: boot, carried: Duration::ZERO }
    }
}

pub fn settings(toml: &str) -> Settings {
    toml::from_str(toml).unwrap_or_else(|e| panic!("{e}\n{toml}"))
}

/// Everything to one receiver, without waiting for more.
pub fn told_at_once(receiver: &receiver::Receiver) -> Settings {
    settings(&format!(
        "[[receivers]]\nname = \"ops\"\nchannels = [{{ type = \"webhook\", url = \"{}\" }}]\n[[routes]]\nto = [\"ops\"]\ngroup_wait = \"0s\"\ngroup_interval = \"0s\"",
        receiver.url
    ))
}

pub fn notice(name: &str, revision: u64, state: NoticeState) -> Notice {
    Notice {
        fingerprint: format!("fp-{name}"),
        revision,
        state,
        severity: Severity::Critical,
        labels: Labels::from_pairs([("alertname", name), ("severity", "critical"), ("service", "social-service")]),
        annotations: Labels::from_pairs([("summary", "calls fail")]),
        active_at: Timestamp(1_772_334_631_000),
        starts_at: Timestamp(1_772_334_661_000),
        ends_at: Timestamp(1_772_334_841_000),
        generator_url: "http://127.0.0.1:9499/graph?g0.expr=up".to_owned(),
        cause: None,
        evidence: Evidence { value: Some(0.08), expression: "errors > 0.05".to_owned(), ..Evidence::default() },
    }
}

/// A running dispatcher.
pub struct Running {
    pub handle: DispatcherHandle,
    pub meter: Meter,
    pub cancel: tokio_util::sync::CancellationToken,
    pub recovered: Recovered,
}

pub fn start(settings: Settings, directory: Option<&std::path::Path>) -> Running {
    start_at(settings, directory, RealClock::shared(), watchfire_notifiers::Faults::default())
}

pub fn start_at(
    settings: Settings,
    directory: Option<&std::path::Path>,
    clock: Arc<dyn Clock>,
    faults: watchfire_notifiers::Faults,
) -> Running {
    let meter = Meter::new();
    let cancel = tokio_util::sync::CancellationToken::new();
    let (handle, recovered) =
        Dispatcher::start_with_faults(settings, directory, meter.clone(), clock, cancel.clone(), faults).unwrap_or_else(|e| panic!("{e}"));
    Running { handle, meter, cancel, recovered }
}

impl Running {
    pub async fn commit(&self, notices: Vec<Notice>) -> bool {
        let handle = self.handle.clone();
        let tick = watchfire_notifiers::TickRecord { notices, ..Default::default() };
        tokio::task::spawn_blocking(move || handle.commit(tick)).await.expect("commit does not panic")
    }

    /// Ends delivery and releases the state directory.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.handle.drained().await;
    }
}

/// Looks every few milliseconds until it holds, for at most twenty seconds.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
