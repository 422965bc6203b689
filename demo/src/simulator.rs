//! The simulation in real time, on real sockets: one thread owns it, tasks carry its telemetry out and questions in.

use crate::endpoints::{Question, bind, serve};
use crate::export::{Exporter, Receivers, Sent};
use crate::simulation::Simulation;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use watchfire_config::platform::{Platform, Scenario};
use watchfire_model::Timestamp;

/// How far the simulation is advanced at a time while nobody asks.
const STEP: Duration = Duration::from_millis(50);
/// Simulated time that is gone through before it is seen whether somebody asks, or has had enough.
const SLICE: Duration = Duration::from_millis(250);
/// Who is this far behind, in real time, will not catch up: at this speed the simulation costs more than there is.
const LATE: Duration = Duration::from_secs(2);
/// The first batch leaves early, so that something is to be seen at once.
const FIRST_BATCH: Duration = Duration::from_millis(350);
const BATCH: Duration = Duration::from_secs(1);
const METRICS: Duration = Duration::from_secs(5);

/// How to run a simulation.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    pub seed: u64,
    /// Simulated seconds per second. Rates and waits between requests speed up; each request takes as long as it takes. What the machine cannot
    /// keep up with goes slower.
    pub speed: f64,
    pub scenario: Option<Scenario>,
    /// Overrides the platform's sampling ratios.
    pub sampling: Option<f64>,
    pub receivers: Receivers,
    /// Stops by itself after this long (real time).
    pub duration: Option<Duration>,
}

impl Default for DemoOptions {
    fn default() -> Self {
        DemoOptions { seed: 1, speed: 1.0, scenario: None, sampling: None, receivers: Receivers::default(), duration: None }
    }
}

/// A Prometheus target of a simulated service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapeTarget {
    pub service: String,
    pub url: String,
    /// Labels to put on its samples: `job`.
    pub labels: Vec<(String, String)>,
}

/// A health endpoint of a simulated service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeTarget {
    pub service: String,
    /// Name of the check: `health`, `health/ready` ...
    pub check: String,
    pub url: String,
    pub owner: String,
}

/// Starts simulations.
pub struct Simulator;

/// A simulation under way. Dropping it stops it.
pub struct Running {
    pub scrape_targets: Vec<ScrapeTarget>,
    pub probe_targets: Vec<ProbeTarget>,
    sent: Sent,
    stop: CancellationToken,
    ended: CancellationToken,
}

impl Running {
    /// Requests sent so far.
    pub fn sent(&self) -> &Sent {
        &self.sent
    }

    /// Ends when the simulation has stopped by itself or by [`stop`](Self::stop).
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Stops traffic and endpoints, and waits until the simulation's thread is done.
    pub async fn stop(self) {
        self.stop.cancel();
        self.ended.cancelled().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Simulator {
    /// Binds an endpoint per service (its documented port where free) and starts the traffic. Needs a tokio runtime.
    ///
    /// # Errors
    /// When no port can be bound, or no thread started.
    pub async fn start(platform: &Platform, options: DemoOptions) -> Result<Running, String> {
        let stop = CancellationToken::new();
        let ended = CancellationToken::new();
        let (questions, asked) = mpsc::channel();
        let mut scrape_targets = Vec::new();
        let mut probe_targets = Vec::new();
        for (index, service) in platform.services.iter().enumerate() {
            let (listener, address) = bind(service.port).await.map_err(|e| format!("no port for {}: {e}", service.name))?;
            let metrics_path = service.metrics_path.clone().unwrap_or_else(|| platform.defaults.metrics_path.clone());
            if !metrics_path.is_empty() {
                scrape_targets.push(ScrapeTarget {
                    service: service.name.clone(),
                    url: format!("http://{address}{metrics_path}"),
                    labels: vec![("job".to_owned(), service.name.clone())],
                });
            }
            probe_targets.extend(platform.probes(service).iter().map(|check| ProbeTarget {
                service: service.name.clone(),
                check: check.name.clone(),
                url: format!("http://{address}{}", check.path),
                owner: service.owner.clone(),
            }));
            tokio::spawn(serve(listener, index, metrics_path, questions.clone(), stop.clone()));
        }
        let exporter = Exporter::start(options.receivers)?;
        let sent = exporter.sent.clone();
        let epoch = Timestamp::from_millis(chrono::Utc::now().timestamp_millis());
        let thread = Thread { platform: platform.clone(), options, epoch, exporter, stop: stop.clone() };
        let finished = ended.clone();
        let spawned = std::thread::Builder::new().name("simulation".to_owned()).spawn(move || {
            thread.run(asked);
            finished.cancel();
        });
        spawned.map_err(|e| format!("no thread for the simulation: {e}"))?;
        Ok(Running { scrape_targets, probe_targets, sent, stop, ended })
    }
}

struct Thread {
    platform: Platform,
    options: DemoOptions,
    epoch: Timestamp,
    exporter: Exporter,
    stop: CancellationToken,
}

impl Thread {
    fn run(self, questions: mpsc::Receiver<Question>) {
        let DemoOptions { seed, speed, ref scenario, sampling, duration, .. } = self.options;
        let mut simulation = Simulation::new(&self.platform, seed, scenario.as_ref(), sampling, self.epoch, speed);
        let started = Instant::now();
        let mut pace = Pace { started, speed, lost: Duration::ZERO };
        let services = self.platform.services.len();
        // Services export in turn, not all in one moment.
        let stagger = |period: Duration, service: usize| period.mul_f64(service as f64 / services as f64);
        let mut next_batch: Vec<Duration> = vec![FIRST_BATCH; services];
        let mut next_metrics: Vec<Duration> = (0..services).map(|s| FIRST_BATCH + stagger(METRICS, s)).collect();
        while !self.stop.is_cancelled() {
            let wall = started.elapsed();
            if duration.is_some_and(|limit| wall >= limit) {
                break;
            }
            let behind = pace.keep(&mut simulation);
            for service in 0..services {
                if simulation.is_down(service) {
                    continue;
                }
                if wall >= next_batch[service] {
                    let first = next_batch[service] == FIRST_BATCH;
                    next_batch[service] = wall + if first { BATCH + stagger(BATCH, service) } else { BATCH };
                    simulation.take_exports(service).into_iter().for_each(|export| self.exporter.send(export));
                }
                if wall >= next_metrics[service] {
                    next_metrics[service] = wall + METRICS;
                    self.exporter.send(simulation.metrics_export(service));
                }
            }
            let mut wait = if behind { Duration::ZERO } else { STEP };
            loop {
                match questions.recv_timeout(wait) {
                    Ok(question) => {
                        pace.keep(&mut simulation);
                        answer(&mut simulation, question);
                        wait = Duration::ZERO;
                    }
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        }
        self.stop.cancel();
    }
}

/// Moves a simulation along with the real time.
struct Pace {
    started: Instant,
    speed: f64,
    /// Real time that the simulation was too slow for.
    lost: Duration,
}

impl Pace {
    /// Catches up with the present, for one step's time at most: who asks meanwhile has an answer soon. Whether it is still behind.
    fn keep(&mut self, simulation: &mut Simulation) -> bool {
        let begun = Instant::now();
        let target = begun.duration_since(self.started).saturating_sub(self.lost);
        let target = Duration::try_from_secs_f64(target.as_secs_f64() * self.speed).unwrap_or(Duration::MAX);
        while simulation.now() < target && begun.elapsed() < STEP {
            simulation.run_until(target.min(simulation.now() + SLICE));
        }
        let behind = target.saturating_sub(simulation.now()).div_f64(self.speed);
        if behind > LATE {
            simulation.postpone(behind);
            self.lost += behind;
        }
        !behind.is_zero()
    }
}

fn answer(simulation: &mut Simulation, question: Question) {
    // Who no longer waits for the answer does not need it.
    match question {
        Question::IsDown { service, answer } => drop(answer.send(simulation.is_down(service))),
        Question::Metrics { service, answer } => drop(answer.send(simulation.metrics_text(service))),
        Question::Health { service, path, answer } => drop(answer.send(simulation.health(service, &path))),
    }
}
