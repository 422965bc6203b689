//! From what simulated services send and show to the store, through the decoders of the collectors.

use std::sync::Arc;
use std::time::Duration;
use watchfire_config::platform::{Platform, Transport};
use watchfire_demo::{Export, Simulation};
use watchfire_health::{CheckSettings, Direct as Check};
use watchfire_model::{Labels, METRIC_NAME, Meter, MetricKind, ProbeSink, SeriesId, SeriesSink, Timestamp};
use watchfire_otlp::{Direct as Receiver, Limits, Signal, json_to_protobuf};
use watchfire_scrape::exposition::Format;
use watchfire_scrape::{LabelRules, SeriesCache, Session, SessionRules};
use watchfire_store::{SpanEngine, Store};

/// Seconds between two scrapes, two probes and two OTLP metric exports of one service, as in a demo.
const EVERY: u64 = 5;

/// Everything between a simulation and a store.
pub struct Wire {
    simulation: Simulation,
    receiver: Receiver<SpanEngine>,
    store: Arc<Store>,
    targets: Vec<Target>,
    checks: Vec<(usize, String, Check)>,
}

/// The `/metrics` of one service.
struct Target {
    cache: SeriesCache,
    rules: SessionRules,
    up: Option<SeriesId>,
}

impl Wire {
    /// # Errors
    /// When a health endpoint of the platform is no URL.
    pub fn new(platform: &Platform, simulation: Simulation, store: Arc<Store>, spans: SpanEngine, meter: &Meter) -> anyhow::Result<Wire> {
        let receiver = Receiver::new(Limits::default(), spans, store.clone(), store.clone(), meter);
        let mut targets = Vec::new();
        let mut checks = Vec::new();
        for (index, service) in platform.services.iter().enumerate() {
            let address = format!("127.0.0.1:{}", if service.port == 0 { 20_000 + index as u16 } else { service.port });
            targets.push(Target::new(&service.name, &address, &store));
            for probe in platform.probes(service) {
                let mut settings = CheckSettings::from_url(&format!("http://{address}{}", probe.path))?;
                settings.service.clone_from(&service.name);
                settings.check.clone_from(&probe.name);
                checks.push((index, probe.path.clone(), Check::new(settings, Timestamp::default())?));
            }
        }
        Ok(Wire { simulation, receiver, store, targets, checks })
    }

    pub fn simulation(&self) -> &Simulation {
        &self.simulation
    }

    /// Lets the platform live until `until` and takes in what it sent; scrapes and probes those whose turn it is.
    ///
    /// # Errors
    /// When a request is refused: what simulated services send is valid.
    pub fn advance(&mut self, until: Duration, now: Timestamp) -> anyhow::Result<()> {
        self.simulation.run_until(until);
        let second = until.as_secs();
        for service in 0..self.targets.len() {
            if !self.simulation.is_down(service) {
                for export in self.simulation.take_exports(service) {
                    self.receive(&export, now)?;
                }
                if (second + service as u64).is_multiple_of(EVERY) {
                    let export = self.simulation.metrics_export(service);
                    self.receive(&export, now)?;
                }
            }
            if (second + service as u64).is_multiple_of(EVERY) {
                let body = self.simulation.metrics_text(service);
                self.targets[service].scrape(body.as_deref(), &self.store, now)?;
            }
        }
        self.receiver.tick(now);
        for (position, (service, path, check)) in self.checks.iter_mut().enumerate() {
            if (second + position as u64).is_multiple_of(EVERY) {
                let report = match self.simulation.health(*service, path) {
                    Some(answer) => check.answered(answer.status, answer.content_type, &answer.body, Duration::from_millis(2), now),
                    None => check.refused(now),
                };
                self.store.probe(report);
            }
        }
        Ok(())
    }

    fn receive(&mut self, export: &Export, now: Timestamp) -> anyhow::Result<()> {
        let signal = match export.payload.signal() {
            "traces" => Signal::Traces,
            "metrics" => Signal::Metrics,
            _ => Signal::Logs,
        };
        let mut body = export.body()?;
        if export.transport == Transport::HttpJson {
            body = json_to_protobuf(&body, signal, &Limits::default()).map_err(|e| anyhow::anyhow!("{}: {e:?}", export.service))?.protobuf;
        }
        let taken = match signal {
            Signal::Traces => self.receiver.traces(&body, now),
            Signal::Metrics => self.receiver.metrics(&body, now),
            Signal::Logs => self.receiver.logs(&body, now),
        };
        let receipt = taken.map_err(|e| anyhow::anyhow!("{}: {e:?}", export.service))?;
        anyhow::ensure!(receipt.rejected.is_empty(), "{}: {:?}", export.service, receipt.rejected);
        Ok(())
    }
}

impl Target {
    fn new(service: &str, address: &str, store: &Store) -> Self {
        let target = Labels::from_pairs([("instance", address), ("job", service)]);
        let origin = store.origin(&format!("rehearsal {service}"));
        let mut up = target.to_builder();
        up.set(METRIC_NAME, "up");
        let up = store.series(origin, &up.build(), MetricKind::Gauge);
        let rules = SessionRules {
            labels: LabelRules { target, ..LabelRules::default() },
            sample_limit: 0,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            classic_too: false,
            custom_buckets: false,
            reserved: up.into_iter().collect(),
            origin,
            own_times: format!("rehearsal {service} (own times)"),
        };
        Target { cache: SeriesCache::new(), rules, up }
    }

    fn scrape(&mut self, body: Option<&str>, store: &Store, now: Timestamp) -> anyhow::Result<()> {
        let mut session = Session::new(&mut self.cache, store, &self.rules);
        let report = |up: f64| self.up.map(|id| (id, up)).into_iter().collect::<Vec<_>>();
        match body {
            Some(text) => {
                session.read(Format::Text, text.as_bytes()).map_err(|e| anyhow::anyhow!("{e}"))?;
                session.commit(now, now, Duration::ZERO, &report(1.0));
            }
            None => drop(session.fail(now, now, &report(0.0))),
        }
        Ok(())
    }
}
