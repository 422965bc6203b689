//! The newest result of each health check, and the series made of it.

use crate::StoreLimits;
use crate::series::SeriesBook;
use crate::signals::publish::labelled;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use watchfire_model::{CheckReport, Counter, Meter, MetricKind, OwnSeries, STALE_NAN, SeriesSink, Timestamp, Value};

type Key = (String, String);

pub(crate) struct Checks {
    limit: usize,
    newest: RwLock<BTreeMap<Key, CheckReport>>,
    series: Arc<SeriesBook>,
    refused: Counter,
}

impl Checks {
    pub fn new(limits: &StoreLimits, series: Arc<SeriesBook>, meter: &Meter) -> Self {
        let refused = meter.counter("watchfire_checks_refused_total", &[("reason", "checks")]);
        Checks { limit: limits.checks, newest: RwLock::default(), series, refused }
    }

    pub fn all(&self) -> Vec<CheckReport> {
        self.newest.read().values().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.newest.read().len()
    }

    pub fn report(&self, report: CheckReport, now: Timestamp) {
        let key = (report.service.clone(), report.check.clone());
        let before = {
            let mut newest = self.newest.write();
            if newest.len() >= self.limit && !newest.contains_key(&key) {
                self.refused.add(1);
                return;
            }
            newest.insert(key, report.clone())
        };
        let pairs = [("service", &*report.service), ("check", &*report.check)];
        // A state that is not known has no value: the series ends, so that nothing evaluates it as healthy.
        let mut rows = vec![
            (labelled("probe_success", &pairs), Some(if report.success { 1.0 } else { 0.0 })),
            (labelled("probe_duration_seconds", &pairs), report.latency.map(|l| l.as_secs_f64())),
            (labelled("watchfire_service_health", &pairs), report.state.series_value()),
        ];
        let dependency = |name: &str| {
            labelled("watchfire_dependency_health", &[("service", &*report.service), ("check", &*report.check), ("dependency", name)])
        };
        for state in &report.dependencies {
            rows.push((dependency(&state.name), state.state.series_value()));
        }
        for gone in before.iter().flat_map(|b| &b.dependencies).filter(|d| !report.dependencies.iter().any(|n| n.name == d.name)) {
            rows.push((dependency(&gone.name), None));
        }
        self.write(&report, rows, now, before.is_some());
    }

    fn write(&self, report: &CheckReport, rows: Vec<(watchfire_model::Labels, Option<f64>)>, now: Timestamp, known: bool) {
        let origin = self.series.origin(&format!("watchfire/probe/{}/{}", report.service, report.check));
        let mut row: Vec<(_, Value)> = Vec::with_capacity(rows.len());
        for (labels, value) in rows {
            // What never had a value needs no end.
            if value.is_none() && !known {
                continue;
            }
            // What a body names can be anything, each time anew.
            let own = if labels.get("dependency").is_some() { OwnSeries::Derived } else { OwnSeries::Vital };
            if let Some(id) = self.series.own_series(origin, &labels, MetricKind::Gauge, own)
                && !row.iter().any(|(held, _)| *held == id)
            {
                row.push((id, Value::Float(value.unwrap_or(STALE_NAN))));
            }
        }
        self.series.append(origin, report.at, now, &row);
    }

    pub fn forget(&self, service: &str, check: &str, now: Timestamp) {
        let Some(report) = self.newest.write().remove(&(service.to_owned(), check.to_owned())) else { return };
        let pairs = [("service", service), ("check", check)];
        let mut rows: Vec<_> = ["probe_success", "probe_duration_seconds", "watchfire_service_health"]
            .iter()
            .map(|name| (labelled(name, &pairs), None))
            .collect();
        for d in &report.dependencies {
            rows.push((labelled("watchfire_dependency_health", &[("service", service), ("check", check), ("dependency", &d.name)]), None));
        }
        let ended = CheckReport { at: now.max(Timestamp(report.at.0.saturating_add(1))), ..report };
        self.write(&ended, rows, now, true);
    }
}
