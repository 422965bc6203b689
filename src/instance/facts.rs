//! Facts about this run that no series holds: addresses, delivery, targets, warnings.

use super::evidence::StoreEvidence;
use super::guide::Guide;
use super::reload::Reloader;
use crate::local::RunFacts;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use watchfire_health::ProberHandle;
use watchfire_model::reading::{Alert, Listening, Silence, Status, Target};
use watchfire_model::{Clock, Meter, Timestamp};
use watchfire_notifiers::DispatcherHandle;
use watchfire_scrape::ScraperHandle;
use watchfire_store::Store;

/// Asked with every status.
pub struct LiveFacts {
    pub listening: Listening,
    pub dispatcher: DispatcherHandle,
    pub scraper: ScraperHandle,
    pub prober: ProberHandle,
    pub store: Arc<Store>,
    pub clock: Arc<dyn Clock>,
    pub started: Timestamp,
    pub evidence: Arc<StoreEvidence>,
    pub meter: Meter,
    /// From the configuration.
    pub warnings: Vec<String>,
    pub reloader: Arc<Reloader>,
    /// It simulates what it watches, and says so before the first of that has come.
    pub demo: bool,
    /// Of a demo with a scenario.
    pub guide: Option<Guide>,
    /// A demo keeps no state on purpose, which is not worth a line on every screen.
    pub forgetful: bool,
}

/// Everything that was refused, dropped or cut since the start, by signal and reason. What never happened is left out.
fn refusals(meter: &Meter) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    for (labels, value, _) in meter.readings() {
        let name = labels.metric_name();
        let counted = ["rejected_total", "refused_total", "truncated_total", "evicted_total", "lost_total", "dropped_total"];
        if value <= 0.0 || !counted.iter().any(|suffix| name.ends_with(suffix)) {
            continue;
        }
        let what = name.trim_start_matches("watchfire_").trim_end_matches("_total");
        let details: Vec<&str> = labels.iter().filter(|l| &*l.name != watchfire_model::METRIC_NAME).map(|l| &*l.value).collect();
        out.insert(format!("{what} {}", details.join(" ")).trim_end().to_owned(), value as u64);
    }
    out
}

/// The targets as Prometheus lists them, those that relabelling dropped included.
pub fn target_lists(scraper: &ScraperHandle) -> Json {
    let dropped = scraper.dropped();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for target in &dropped {
        *counts.entry(&target.scrape_pool).or_default() += 1;
    }
    json!({ "activeTargets": scraper.details(), "droppedTargets": dropped, "droppedTargetCounts": counts })
}

impl RunFacts for LiveFacts {
    fn complete(&self, status: &mut Status) {
        status.uptime_seconds = self.clock.now().since(self.started).as_secs_f64();
        status.simulated |= self.demo;
        status.listening = self.listening.clone();
        status.notification_paths = self.dispatcher.paths();
        status.banners.extend(self.guide.as_ref().and_then(|guide| guide.line(self.clock.now())));
        status.banners.extend(self.warnings.iter().cloned());
        status.banners.extend(self.reloader.trouble());
        status.banners.extend(self.reloader.evaluator().clock_line(self.clock.now()));
        if !self.forgetful {
            status.banners.extend(self.dispatcher.banners());
        }
        status.banners.extend(self.scraper.problems());
        status.banners.extend(self.prober.problems());
        let usage = self.store.usage();
        if usage.series_refused > 0 {
            status.banners.push(format!(
                "series limit reached: {} new series refused. Services, queues and rules that need them may be missing; known series keep updating (limits.store.series)",
                usage.series_refused
            ));
        }
        for target in self.scraper.targets() {
            match target.up {
                Some(true) => status.ingest.targets_up += 1,
                Some(false) => status.ingest.targets_down += 1,
                None => {}
            }
        }
        status.ingest.checks = usage.checks;
        status.ingest.refused = refusals(&self.meter);
    }

    fn evidence(&self, alert: &mut Alert, now: Timestamp) {
        self.evidence.complete(alert, now);
    }

    fn targets(&self) -> Vec<Target> {
        self.scraper.targets()
    }

    fn silences(&self) -> Vec<Silence> {
        let now = self.clock.now();
        self.dispatcher.silences().into_iter().filter(|s| s.ends_at > now).collect()
    }

    fn delivery(&self, alert: &mut Alert) {
        alert.notified_by = self.dispatcher.delivery(&alert.fingerprint);
        alert.notified = !alert.notified_by.is_empty();
        alert.unheard = self.dispatcher.is_unheard(&alert.fingerprint);
        alert.silenced = self.dispatcher.is_silenced(&alert.labels).is_some();
        alert.acknowledged_by = self.dispatcher.acknowledged(&alert.fingerprint).map(|a| a.by);
    }
}
