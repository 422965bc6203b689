//! A prober, a server on loopback and a sink that keeps every report; what is started stops with the test.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use watchfire_health::{CheckSettings, Prober, ProberHandle};
use watchfire_model::{CheckReport, Meter, ProbeSink};
use watchfire_testkit::SleepyClock;

/// Keeps every report and can be waited on.
#[derive(Clone)]
pub struct Recorder {
    pub reports: Arc<Mutex<Vec<CheckReport>>>,
    pub forgotten: Arc<Mutex<Vec<(String, String)>>>,
    pub changed: Arc<watch::Sender<usize>>,
}

impl ProbeSink for Recorder {
    fn probe(&self, report: CheckReport) {
        self.reports.lock().push(report);
        self.changed.send_modify(|n| *n += 1);
    }

    fn forget(&self, service: &str, check: &str) {
        self.forgotten.lock().push((service.to_owned(), check.to_owned()));
        self.changed.send_modify(|n| *n += 1);
    }
}

pub struct Rig {
    pub handle: ProberHandle,
    pub sink: Recorder,
    pub meter: Meter,
    _stop: DropGuard,
}

impl Rig {
    pub fn start(checks: Vec<CheckSettings>) -> Rig {
        Rig::start_at(SleepyClock::default(), checks)
    }

    pub fn start_at(clock: SleepyClock, checks: Vec<CheckSettings>) -> Rig {
        let sink = Recorder { reports: Arc::default(), forgotten: Arc::default(), changed: Arc::new(watch::channel(0).0) };
        let (meter, stop) = (Meter::new(), CancellationToken::new());
        let handle = Prober::start(checks, 64, Arc::new(sink.clone()), meter.clone(), Arc::new(clock), stop.clone());
        Rig { handle, sink, meter, _stop: stop.drop_guard() }
    }

    /// Waits for a report that fits; fails the test after 30 seconds.
    pub async fn until(&self, what: &str, fits: impl Fn(&CheckReport) -> bool) -> CheckReport {
        let mut changes = self.sink.changed.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                if let Some(found) = self.sink.reports.lock().iter().find(|r| fits(r)) {
                    return found.clone();
                }
                changes.changed().await.unwrap();
            }
        });
        match waited.await {
            Ok(found) => found,
            Err(_) => panic!("still waiting for {what}; seen {:?}", self.sink.reports.lock().last()),
        }
    }
}

pub struct Server {
    pub address: SocketAddr,
    _stop: DropGuard,
}

pub async fn serve(router: Router) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(async move { stopped.cancelled().await }).await });
    Server { address, _stop: stop.drop_guard() }
}

pub fn check(url: &str) -> CheckSettings {
    let made = CheckSettings::from_url(url).unwrap();
    CheckSettings { interval: Duration::from_millis(200), timeout: Duration::from_millis(200), ..made }
}

pub fn answering(status: u16, body: &'static str) -> Router {
    Router::new().route(
        "/health",
        get(move || async move { (StatusCode::from_u16(status).unwrap(), [(header::CONTENT_TYPE, "application/json")], body) }),
    )
}
