//! What the tests over sockets share: servers on loopback, a clock, a recording sink.

pub mod recorder;

use axum::Router;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};
use watchfire_model::Meter;
use watchfire_scrape::{Job, Scraper, ScraperHandle};
use watchfire_testkit::SleepyClock;

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
    start(sink, jobs, SleepyClock::default())
}

pub fn scraper_at(clock: SleepyClock, jobs: Vec<Job>) -> Rig {
    start(recorder::Recorder::new(), jobs, clock)
}

fn start(sink: recorder::Recorder, jobs: Vec<Job>, clock: SleepyClock) -> Rig {
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
