//! What the tests over sockets share: servers on loopback, a clock, a recording sink.

pub mod recorder;

use axum::Router;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_util::sync::{CancellationToken, DropGuard};
use watchfire_model::{Clock, ClockReading, Meter, Timestamp};
use watchfire_scrape::{Job, Scraper, ScraperHandle};

/// The time of a machine that can be said to have slept.
#[derive(Clone)]
pub struct MachineClock {
    started: Instant,
    slept: Arc<AtomicU64>,
}

impl MachineClock {
    pub fn new() -> Self {
        MachineClock { started: Instant::now(), slept: Arc::default() }
    }

    pub fn suspend(&self, d: Duration) {
        self.slept.fetch_add(d.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for MachineClock {
    fn read(&self) -> ClockReading {
        let slept = Duration::from_millis(self.slept.load(Ordering::SeqCst));
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + slept;
        let awake = self.started.elapsed();
        ClockReading { wall: Timestamp::from_millis(wall.as_millis() as i64), boot: awake + slept, awake, carried: Duration::ZERO }
    }
}

/// A server that stops with the test.
pub struct Server {
    pub address: SocketAddr,
    _stop: DropGuard,
}

pub async fn serve(router: Router) -> Server {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(async move { stopped.cancelled().await }).await });
    Server { address, _stop: stop.drop_guard() }
}

/// A scraper that stops with the test.
pub struct Rig {
    pub handle: ScraperHandle,
    pub sink: recorder::Recorder,
    pub meter: Meter,
    _stop: DropGuard,
}

pub fn scraper(jobs: Vec<Job>) -> Rig {
    scraper_into(recorder::Recorder::new(), jobs)
}

pub fn scraper_into(sink: recorder::Recorder, jobs: Vec<Job>) -> Rig {
    start(sink, jobs, MachineClock::new())
}

pub fn scraper_at(clock: MachineClock, jobs: Vec<Job>) -> Rig {
    start(recorder::Recorder::new(), jobs, clock)
}

fn start(sink: recorder::Recorder, jobs: Vec<Job>, clock: MachineClock) -> Rig {
    let (meter, stop) = (Meter::new(), CancellationToken::new());
    let handle = Scraper::start(jobs, Arc::new(sink.clone()), meter.clone(), Arc::new(clock), stop.clone());
    Rig { handle, sink, meter, _stop: stop.drop_guard() }
}

/// A job that scrapes often.
pub fn job(address: SocketAddr, path: &str) -> Job {
    let mut job = Job::from_url(&format!("http://{address}{path}#t")).unwrap();
    job.scrape_interval = Duration::from_millis(200);
    job
}
