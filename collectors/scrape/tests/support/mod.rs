//! What the tests over sockets share: servers on loopback, a clock, a recording sink.

pub mod recorder;

use axum::Router;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_util::sync::{CancellationToken, DropGuard};
use watchfire_model::{Clock, ClockReading, Meter, Timestamp};
use watchfire_scrape::{Job, Scraper, ScraperHandle};

/// The machine's time.
pub struct MachineClock(Instant);

impl Clock for MachineClock {
    fn read(&self) -> ClockReading {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let awake = self.0.elapsed();
        ClockReading { wall: Timestamp::from_millis(wall.as_millis() as i64), boot: awake, awake, carried: Duration::ZERO }
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
    let (meter, stop) = (Meter::new(), CancellationToken::new());
    let clock = Arc::new(MachineClock(Instant::now()));
    let handle = Scraper::start(jobs, Arc::new(sink.clone()), meter.clone(), clock, stop.clone());
    Rig { handle, sink, meter, _stop: stop.drop_guard() }
}

/// A job that scrapes often.
pub fn job(address: SocketAddr, path: &str) -> Job {
    let mut job = Job::from_url(&format!("http://{address}{path}#t")).unwrap();
    job.scrape_interval = Duration::from_millis(200);
    job
}
