//! The one-line answer: is it bad, how bad, since when.

use super::lens::Lens;
use crate::local::metrics_only::METRICS_ONLY;
use parking_lot::Mutex;
use std::time::Duration;
use watchfire_model::reading::{Alert, AlertState, ReadError, ServiceRow, Status};
use watchfire_model::{HealthState, Severity, Timestamp};
use watchfire_store::Usage;

/// Remembers when the overall state was entered.
#[derive(Default)]
pub struct Overall(Mutex<Option<(HealthState, Timestamp)>>);

impl Overall {
    pub fn since(&self, state: HealthState, now: Timestamp) -> Timestamp {
        let mut entered = self.0.lock();
        match *entered {
            Some((known, since)) if known == state => since,
            _ => {
                *entered = Some((state, now));
                now
            }
        }
    }
}

/// How far back the beginning of a past state is looked for.
const LOOK_BACK: Duration = Duration::from_secs(3 * 3600);
const STEP: Duration = Duration::from_secs(15);

/// Since when the state at the cursor had held, from the series of the overall state. Unknown where it began before what is held.
///
/// # Errors
/// When the store cannot be queried.
pub fn past_since(lens: &Lens<'_>, state: HealthState) -> Result<Option<Timestamp>, ReadError> {
    let Some(value) = state.series_value() else { return Ok(None) };
    let (start, _) = lens.grid(LOOK_BACK, STEP);
    let columns = lens.columns("max(watchfire_overall_state)", LOOK_BACK, STEP)?;
    let Some((_, column)) = columns.first() else { return Ok(None) };
    let other = column.iter().rposition(|v| v.is_some_and(|v| v != value));
    Ok(other.map(|index| start.saturating_add(STEP * (index as u32 + 1))).filter(|since| *since <= lens.at))
}

/// Overall state from services and alerts. Nothing known is `Unknown`; some unknown among known ones does not hide the rest, and most of them silent
/// is no health, whatever the others say.
pub fn status(services: &[ServiceRow], alerts: &[Alert], now: Timestamp) -> Status {
    let mut status = Status { now, services: services.len(), ..Status::default() };
    let mut overall = HealthState::Unknown;
    for row in services {
        match row.state {
            HealthState::Unknown => status.silent += usize::from(row.source.as_deref() != Some(METRICS_ONLY)),
            HealthState::Healthy => overall = if overall == HealthState::Unknown { HealthState::Healthy } else { overall },
            worse => overall = if overall == HealthState::Unknown { worse } else { overall.max(worse) },
        }
        status.simulated |= row.simulated;
    }
    for severity in Severity::ALL {
        status.firing.insert(severity.word().to_owned(), 0);
    }
    for alert in alerts {
        match alert.state {
            AlertState::Firing => {
                *status.firing.entry(alert.severity.word().to_owned()).or_default() += 1;
                if alert.cause.is_some() {
                    status.held += 1;
                }
                status.silenced += usize::from(alert.silenced);
                status.acknowledged += usize::from(alert.acknowledged_by.is_some());
                let level = match alert.severity {
                    Severity::Critical | Severity::High => HealthState::Unhealthy,
                    Severity::Warning | Severity::Security | Severity::Normal => HealthState::Degraded,
                    Severity::Low | Severity::Info => HealthState::Healthy,
                };
                if level > HealthState::Healthy {
                    overall = if overall == HealthState::Unknown { level } else { overall.max(level) };
                }
            }
            AlertState::Pending => status.pending += 1,
            AlertState::Resolved => {}
        }
    }
    let mostly_silent = 2 * status.silent > status.services;
    status.overall = if overall == HealthState::Healthy && mostly_silent { HealthState::Unknown } else { overall };
    status
}

/// Rates of what comes in and what is held.
/// `usage` is of now, so a past moment has none.
///
/// # Errors
/// When the store cannot be queried.
pub fn ingest(status: &mut Status, lens: &Lens<'_>, usage: Option<&Usage>) -> Result<(), ReadError> {
    let by_signal = lens.by("signal", "sum by (signal) (rate(watchfire_ingest_accepted_total[30s]))")?;
    let ingest = &mut status.ingest;
    ingest.spans_per_second = by_signal.get("traces").copied();
    ingest.logs_per_second = by_signal.get("logs").copied();
    ingest.samples_per_second = samples_from_outside(lens, &by_signal)?;
    if let Some(usage) = usage {
        ingest.spans_held = Some(usage.spans_held);
        ingest.spans_evicted = Some(usage.spans_evicted);
        ingest.series = Some(usage.series);
        ingest.logs_held = Some(usage.logs_held);
        ingest.memory_bytes = Some(usage.memory_bytes);
        ingest.memory_limit_bytes = usage.memory_limit_bytes;
    }
    Ok(())
}

/// Samples that others sent or exposed; what watchfire writes about itself is not ingest.
fn samples_from_outside(lens: &Lens<'_>, by_signal: &std::collections::BTreeMap<String, f64>) -> Result<Option<f64>, ReadError> {
    let scraped = lens.number("sum(rate(watchfire_scrape_samples_total[30s]))")?;
    let received: Vec<f64> = ["metrics", "remote_write"].iter().filter_map(|s| by_signal.get(*s).copied()).chain(scraped).collect();
    Ok((!received.is_empty()).then(|| received.iter().sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: HealthState) -> ServiceRow {
        ServiceRow { state, ..ServiceRow::default() }
    }

    #[test]
    fn nothing_known_is_unknown_and_the_worst_known_wins() {
        use HealthState::{Degraded, Healthy, Unhealthy, Unknown};
        for (states, expected) in [
            (vec![], Unknown),
            (vec![Unknown, Unknown], Unknown),
            (vec![Unknown, Healthy], Healthy),
            (vec![Unknown, Unknown, Healthy], Unknown),
            (vec![Unknown, Unknown, Degraded], Degraded),
            (vec![Healthy, Degraded], Degraded),
            (vec![Unhealthy, Degraded, Unknown], Unhealthy),
        ] {
            let rows: Vec<ServiceRow> = states.iter().copied().map(row).collect();
            let status = status(&rows, &[], Timestamp(0));
            assert_eq!(status.overall, expected, "{states:?}");
            assert_eq!(status.silent, states.iter().filter(|state| **state == Unknown).count());
        }
        // Who sends metrics is not silent, though nothing says how it is.
        let metrics = ServiceRow { source: Some(METRICS_ONLY.to_owned()), ..row(Unknown) };
        let status = status(&[metrics.clone(), metrics, row(Healthy)], &[], Timestamp(0));
        assert_eq!((status.overall, status.silent), (Healthy, 0));
    }

    #[test]
    fn the_moment_of_entering_a_state_is_remembered() {
        let overall = Overall::default();
        assert_eq!(overall.since(HealthState::Healthy, Timestamp(1)), Timestamp(1));
        assert_eq!(overall.since(HealthState::Healthy, Timestamp(5)), Timestamp(1));
        assert_eq!(overall.since(HealthState::Degraded, Timestamp(9)), Timestamp(9));
    }
}
