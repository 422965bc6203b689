//! Health checks and scrape targets. Live, the newest reports; in the past, the series they left.

use super::lens::Lens;
use std::collections::BTreeMap;
use std::time::Duration;
use watchfire_model::reading::{Check, DependencyState, Health, ReadError, Target};
use watchfire_model::{CheckReport, HealthState};

const HISTORY: Duration = Duration::from_secs(15 * 60);
const STEP: Duration = Duration::from_secs(60);

/// The `health` reading. `reports` and `targets` are those of now; `None` for a moment in the past.
///
/// # Errors
/// When the store cannot be queried.
pub fn health(lens: &Lens<'_>, reports: Option<&[CheckReport]>, targets: Option<Vec<Target>>) -> Result<Health, ReadError> {
    let mut histories: BTreeMap<(String, String), Vec<HealthState>> = BTreeMap::new();
    for (labels, column) in lens.columns("min by (service, check) (watchfire_service_health)", HISTORY, STEP)? {
        let states = column.into_iter().map(state_of).collect();
        histories.insert((labels.value("service").to_owned(), labels.value("check").to_owned()), states);
    }
    let mut p95 = BTreeMap::new();
    for (labels, value) in lens.vector("quantile_over_time(0.95, probe_duration_seconds[15m])")? {
        p95.insert((labels.value("service").to_owned(), labels.value("check").to_owned()), value);
    }
    let mut checks = match reports {
        Some(reports) => reports.iter().map(live).collect(),
        None => past(lens)?,
    };
    for check in &mut checks {
        let key = (check.service.clone(), check.check.clone());
        check.history = histories.get(&key).cloned().unwrap_or_default();
        check.p95_seconds = p95.get(&key).copied();
    }
    checks.sort_by(|a, b| (&a.service, &a.check).cmp(&(&b.service, &b.check)));
    let targets = match targets {
        Some(targets) => targets,
        None => past_targets(lens)?,
    };
    Ok(Health { checks, targets, ..Health::default() })
}

fn live(report: &CheckReport) -> Check {
    Check {
        service: report.service.clone(),
        check: report.check.clone(),
        url: watchfire_model::without_secrets(&report.url).into_owned(),
        state: report.state,
        latency_seconds: report.latency.map(|d| d.as_secs_f64()),
        detail: report.detail.clone(),
        since: Some(report.since),
        dependencies: report
            .dependencies
            .iter()
            .map(|d| DependencyState { name: d.name.clone(), state: d.state, detail: d.detail.clone() })
            .collect(),
        certificate_expires: report.certificate_expires,
        last_checked: Some(report.at),
        ..Check::default()
    }
}

/// What the series still know about a moment in the past: states and latencies, not the words of the bodies.
fn past(lens: &Lens<'_>) -> Result<Vec<Check>, ReadError> {
    let mut latencies = BTreeMap::new();
    for (labels, value) in lens.vector("probe_duration_seconds")? {
        latencies.insert((labels.value("service").to_owned(), labels.value("check").to_owned()), value);
    }
    let mut dependencies: BTreeMap<(String, String), Vec<DependencyState>> = BTreeMap::new();
    for (labels, value) in lens.vector("watchfire_dependency_health")? {
        dependencies.entry((labels.value("service").to_owned(), labels.value("check").to_owned())).or_default().push(DependencyState {
            name: labels.value("dependency").to_owned(),
            state: state_of(Some(value)),
            detail: String::new(),
        });
    }
    Ok(lens
        .vector("min by (service, check) (watchfire_service_health)")?
        .into_iter()
        .map(|(labels, value)| {
            let key = (labels.value("service").to_owned(), labels.value("check").to_owned());
            Check {
                state: state_of(Some(value)),
                latency_seconds: latencies.get(&key).copied(),
                dependencies: dependencies.remove(&key).unwrap_or_default(),
                last_checked: Some(lens.at),
                service: key.0,
                check: key.1,
                ..Check::default()
            }
        })
        .collect())
}

fn past_targets(lens: &Lens<'_>) -> Result<Vec<Target>, ReadError> {
    Ok(lens
        .vector("up")?
        .into_iter()
        .map(|(labels, value)| Target {
            job: labels.value("job").to_owned(),
            instance: labels.value("instance").to_owned(),
            up: Some(value == 1.0),
            last_scrape: Some(lens.at),
            ..Target::default()
        })
        .collect())
}

fn state_of(value: Option<f64>) -> HealthState {
    match value {
        Some(v) if v >= 1.0 => HealthState::Healthy,
        Some(v) if v > 0.0 => HealthState::Degraded,
        Some(_) => HealthState::Unhealthy,
        None => HealthState::Unknown,
    }
}
