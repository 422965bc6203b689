//! One loop per check, each on its own slot of the interval.

use crate::attempt::{Finding, Probe};
use crate::names::{Name, Names};
use crate::settings::{CheckSettings, address};
use crate::tracker::{Standing, Tracker};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watchfire_fetch::Resolver;
use watchfire_model::{CheckReport, Clock, Meter, ProbeSink, Timestamp};

/// Every check is tried once within this time of its start.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// A certificate that ends within this time is mentioned.
const CERTIFICATE_NOTICE: Duration = Duration::from_secs(14 * 86_400);

/// Starts the prober.
pub struct Prober;

/// The running prober, seen from outside. Clones are the same prober.
#[derive(Clone)]
pub struct ProberHandle {
    checks: Arc<watch::Sender<Vec<CheckSettings>>>,
    problems: Arc<Mutex<Vec<String>>>,
}

impl Prober {
    /// Starts probing in the background of the current tokio runtime, until `stop` is cancelled, `parallel` attempts at a time at most.
    /// A check that cannot run is listed in [`ProberHandle::problems`]; it does not keep the others from running.
    pub fn start(
        checks: Vec<CheckSettings>,
        parallel: usize,
        sink: Arc<dyn ProbeSink>,
        meter: Meter,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> ProberHandle {
        let (sender, receiver) = watch::channel(checks);
        let problems = Arc::new(Mutex::new(Vec::new()));
        let pool = Pool {
            around: Arc::new(Surroundings {
                sink,
                meter,
                clock,
                slots: Semaphore::new(parallel.clamp(1, Semaphore::MAX_PERMITS)),
                names: Names::default(),
            }),
            resolver: Resolver::new(),
            running: BTreeMap::new(),
            problems: problems.clone(),
        };
        tokio::spawn(pool.run(receiver, stop));
        ProberHandle { checks: Arc::new(sender), problems }
    }
}

impl ProberHandle {
    /// Replaces all checks. Those that did not change go on undisturbed; those that are gone are forgotten in the sink.
    pub fn set_checks(&self, checks: Vec<CheckSettings>) {
        self.checks.send_replace(checks);
    }

    /// Checks that cannot run, in words.
    pub fn problems(&self) -> Vec<String> {
        self.problems.lock().clone()
    }
}

struct Surroundings {
    sink: Arc<dyn ProbeSink>,
    meter: Meter,
    clock: Arc<dyn Clock>,
    slots: Semaphore,
    names: Names,
}

struct Running {
    settings: CheckSettings,
    stop: CancellationToken,
    /// Gives the name the check was last reported under.
    task: JoinHandle<Option<Name>>,
}

struct Pool {
    around: Arc<Surroundings>,
    resolver: Arc<Resolver>,
    /// By service and check name as configured.
    running: BTreeMap<Name, Running>,
    problems: Arc<Mutex<Vec<String>>>,
}

impl Pool {
    async fn run(mut self, mut checks: watch::Receiver<Vec<CheckSettings>>, stop: CancellationToken) {
        loop {
            let wanted = checks.borrow_and_update().clone();
            self.sync(wanted).await;
            tokio::select! {
                () = stop.cancelled() => break,
                changed = checks.changed() => {
                    if changed.is_err() {
                        // Every handle is gone; the checks stay as they are.
                        stop.cancelled().await;
                        break;
                    }
                }
            }
        }
        for running in self.running.values() {
            running.stop.cancel();
        }
    }

    async fn sync(&mut self, checks: Vec<CheckSettings>) {
        let mut problems = Vec::new();
        let mut wanted: BTreeMap<Name, Probe> = BTreeMap::new();
        for settings in checks {
            let made = match Probe::new(settings, self.resolver.clone()) {
                Ok(probe) => probe,
                Err(problem) => {
                    tracing::warn!(problem = %watchfire_model::harmless_limited(&problem, 300), "check refused");
                    problems.push(problem);
                    continue;
                }
            };
            let at = address(&made.url);
            let service = if made.settings.service.is_empty() { at.clone() } else { made.settings.service.clone() };
            let check = made.settings.check_name(&made.url);
            let twin = wanted.contains_key(&(service.clone(), check.clone()));
            // Two instances of one service are told apart by their address.
            let check = if twin { format!("{check} {at}") } else { check };
            if wanted.insert((service, check.clone()), made).is_some() {
                problems.push(format!("check {check:?} is configured twice; the last one runs"));
            }
        }
        *self.problems.lock() = problems;
        self.around.meter.gauge("watchfire_probe_checks", &[]).set(wanted.len() as f64);

        for key in self.running.keys().cloned().collect::<Vec<_>>() {
            let new = wanted.get(&key).map(|probe| &probe.settings);
            if new == Some(&self.running[&key].settings) {
                wanted.remove(&key);
                continue;
            }
            if let Some(running) = self.running.remove(&key) {
                running.stop.cancel();
                let reported = running.task.await.ok().flatten();
                if let Some((service, check)) = reported.filter(|name| new.is_none() || *name != key) {
                    self.around.sink.forget(&service, &check);
                }
                self.around.names.release(&key, &running.settings.url);
            }
        }
        for (key, probe) in wanted {
            let stop = CancellationToken::new();
            let settings = probe.settings.clone();
            let name = self.around.names.claim(key.clone(), &settings.url, &address(&probe.url));
            let check = Check { name, probe, around: self.around.clone(), reported: None };
            let task = tokio::spawn(check.run(stop.clone()));
            self.running.insert(key, Running { settings, stop, task });
        }
    }
}

struct Check {
    /// What the next report goes under.
    name: Name,
    probe: Probe,
    around: Arc<Surroundings>,
    /// What the last report went under.
    reported: Option<Name>,
}

impl Check {
    async fn run(mut self, stop: CancellationToken) -> Option<Name> {
        let interval = self.probe.settings.interval;
        let spread = spread(&self.name.0, &self.name.1, self.probe.url.as_str());
        let started = self.around.clock.read();
        let mut tracker = Tracker::new(started.wall);
        let mut wait = FIRST_LOOK.min(interval).mul_f64(spread);
        let mut due = started.boot + interval.mul_f64(spread).max(wait + interval / 2);
        loop {
            let turn = async {
                tokio::time::sleep(wait).await;
                self.attempt(&mut tracker).await;
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.around.names.release(&self.name, &self.probe.settings.url);
                    return self.reported;
                }
                () = turn => {}
            }
            let now = self.around.clock.read().boot;
            if now > due {
                // Slots that passed during a suspend or a long attempt are not made up for.
                let passed = u32::try_from((now - due).as_nanos() / interval.as_nanos()).unwrap_or(u32::MAX).saturating_add(1);
                due += interval.saturating_mul(passed);
            }
            wait = due.saturating_sub(now);
            due += interval;
        }
    }

    async fn attempt(&mut self, tracker: &mut Tracker) {
        let Ok(_slot) = self.around.slots.acquire().await else { return };
        let asked = self.around.clock.read();
        let mut began = tokio::time::Instant::now();
        let mut finding = self.probe.attempt().await;
        if finding.outcome.failed && self.around.clock.read().interrupted_since(&asked, began.elapsed(), self.probe.limit()) {
            began = tokio::time::Instant::now();
            finding = self.probe.attempt().await;
        }
        let latency = finding.took.unwrap_or_else(|| began.elapsed());
        let at = self.around.clock.now();
        self.around.meter.counter("watchfire_probes_total", &[]).add(1);
        if finding.outcome.failed {
            self.around.meter.counter("watchfire_probe_failures_total", &[("reason", finding.outcome.reason)]).add(1);
        }
        let at_address = address(&self.probe.url);
        if let Some(service) = finding.service.as_ref().filter(|_| self.probe.settings.service.is_empty() && self.name.0 == at_address) {
            let url = &self.probe.settings.url;
            self.around.names.release(&self.name, url);
            self.name = self.around.names.claim((service.clone(), self.name.1.clone()), url, &at_address);
        }
        let settings = &self.probe.settings;
        let standing = tracker.observe(&finding.outcome, finding.uptime_seconds, settings.failures_before_down, at);
        let name = self.name.clone();
        if let Some((service, check)) = self.reported.replace(name.clone()).filter(|old| *old != name) {
            self.around.sink.forget(&service, &check);
        }
        self.around.sink.probe(report(name, self.probe.url.as_str(), finding, standing, latency, at));
    }
}

/// One attempt as it is told to the sink.
pub(crate) fn report(
    (service, check): Name,
    url: &str,
    finding: Finding,
    standing: Standing,
    latency: Duration,
    at: Timestamp,
) -> CheckReport {
    let answered = !matches!(finding.outcome.reason, "timeout" | "connect" | "resolve" | "tls" | "exchange");
    CheckReport {
        service,
        check,
        url: url.to_owned(),
        state: standing.state,
        success: !finding.outcome.failed,
        latency: answered.then_some(latency),
        detail: with_certificate(standing.detail, finding.certificate_expires, at),
        dependencies: finding.dependencies,
        at,
        since: standing.since,
        certificate_expires: finding.certificate_expires,
    }
}

fn with_certificate(detail: String, expires: Option<Timestamp>, at: Timestamp) -> String {
    match expires {
        Some(expires) if expires <= at => format!("{detail}; the certificate has expired"),
        Some(expires) if expires.since(at) < CERTIFICATE_NOTICE => {
            format!("{detail}; the certificate expires in {} d", expires.since(at).as_secs() / 86_400)
        }
        _ => detail,
    }
}

/// A place between 0 and 1, the same at every start (FNV-1a, then a finaliser so that neighbours part).
fn spread(service: &str, check: &str, url: &str) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in [service, check, url].iter().flat_map(|text| text.bytes().chain([0xff])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    ((hash ^ (hash >> 33)) >> 11) as f64 / (1u64 << 53) as f64
}
