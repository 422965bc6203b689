//! The state of a service and the reasons for it, from what probes, breakers, alerts and its own calls say.

use super::context::Context;
use super::lens::RATE_WINDOW;
use super::metrics_only::METRICS_ONLY;
use std::collections::BTreeMap;
use std::time::Duration;
use watchfire_model::reading::{Alert, AlertState, ServiceRow, errors_reason};
use watchfire_model::{HealthState, Severity, Timestamp};

const ERRORS_WORTH_A_WORD: f64 = 0.01;
/// Fewer failed calls than this, in a minute, may be anything.
pub const FAILURES_THAT_COUNT: f64 = 3.0;

/// What a share of failed calls says of who answers them, where no alert rule says it better: an eye cannot wait for a rule's `for`.
pub fn of_error_ratio(ratio: f64) -> HealthState {
    match ratio {
        r if r > 0.5 => HealthState::Unhealthy,
        r if r > 0.05 => HealthState::Degraded,
        _ => HealthState::Healthy,
    }
}

/// In words, what callers say of who does not answer them.
pub fn failing_calls(ratio: f64) -> String {
    format!("{:.0} % of calls to it fail", ratio * 100.0)
}

/// Alerts that are not resolved, by the service that they are about.
pub fn alerts_by_service<'a>(context: &Context<'a>) -> BTreeMap<&'a str, Vec<&'a Alert>> {
    let mut about: BTreeMap<&str, Vec<&Alert>> = BTreeMap::new();
    for alert in context.alerts.iter().filter(|a| a.state != AlertState::Resolved) {
        if let Some(service) = context.alert_service(alert) {
            about.entry(service).or_default().push(alert);
        }
    }
    about
}

/// State and reasons: probes first, then the alerts about it, then what the figures themselves say. `troubles` are known already.
pub fn judge(row: &mut ServiceRow, now: Timestamp, context: &Context<'_>, alerts: &[&Alert], troubles: Vec<(HealthState, String)>) {
    let mut state = HealthState::Unknown;
    let mut why = troubles;

    for check in context.checks.iter().filter(|c| c.service == row.name) {
        if check.state == HealthState::Unhealthy {
            say(&mut why, HealthState::Unhealthy, format!("{}: {}", check.check, check.detail));
        } else if check.state == HealthState::Degraded {
            let bad: Vec<&str> = check.dependencies.iter().filter(|d| d.state > HealthState::Unknown).map(|d| d.name.as_str()).collect();
            let text = if bad.is_empty() { check.detail.clone() } else { format!("{} down", bad.join(", ")) };
            say(&mut why, HealthState::Degraded, text);
        } else if check.state == HealthState::Healthy {
            state = state.min(HealthState::Healthy);
        }
    }
    for breaker in context.breakers.iter().filter(|b| b.service == row.name && b.state != "closed" && b.state != "unknown") {
        let age = breaker.since.map(|s| format!(" {}", short_duration(now.since(s)))).unwrap_or_default();
        let doubt = if breaker.inferred { "?" } else { "" };
        say(&mut why, HealthState::Degraded, format!("breaker {} {}{doubt}{age}", breaker.breaker, breaker.state));
    }
    for alert in alerts {
        let level = match alert.severity {
            Severity::Critical | Severity::High => HealthState::Unhealthy,
            Severity::Warning | Severity::Security | Severity::Normal => HealthState::Degraded,
            Severity::Low | Severity::Info => HealthState::Healthy,
        };
        match &alert.cause {
            // Beyond its threshold now; whether it lasts is what the rule waits for, not the reader.
            _ if alert.state == AlertState::Pending && level > HealthState::Healthy => {
                let age = alert.active_at.map(|t| format!(" {}", short_duration(now.since(t)))).unwrap_or_default();
                say(&mut why, HealthState::Degraded, format!("{} pending{age}", alert.name));
            }
            _ if alert.state == AlertState::Pending => {}
            // A victim is not well, but it is not the one to open first.
            // Another alert of the same service says it already.
            Some(cause) if cause.service == row.name => say(&mut why, HealthState::Degraded.min(level), alert.name.clone()),
            Some(cause) => say(&mut why, HealthState::Degraded.min(level), format!("← {}", cause.service)),
            // One that is for information only makes nobody ill, and is named all the same.
            None => say(&mut why, level, alert.name.clone()),
        }
    }
    if let Some(ratio) = row.error_ratio.filter(|r| *r >= ERRORS_WORTH_A_WORD) {
        let level =
            if ratio * row.sample_count.unwrap_or(0.0) >= FAILURES_THAT_COUNT { of_error_ratio(ratio) } else { HealthState::Healthy };
        // An alert or a probe usually says the same in better words.
        if why.iter().all(|(said, _)| *said < level) {
            say(&mut why, level, errors_reason(ratio));
        }
    }
    let silent_for = row.last_seen.map(|t| now.since(t));
    // Without figures, and with nothing heard for as long as figures look back, nobody knows how it is.
    if row.rate.is_some() || silent_for.is_some_and(|d| d <= RATE_WINDOW) {
        state = HealthState::Healthy;
    }
    if let Some(worst) = why.iter().map(|(level, _)| *level).max().filter(|w| *w > HealthState::Healthy) {
        state = worst;
    }
    if state == HealthState::Unknown {
        why.push((
            HealthState::Unknown,
            match silent_for {
                Some(d) => format!("no telemetry for {}", short_duration(d)),
                None if row.source.as_deref() == Some(METRICS_ONLY) => "sends metrics, and no spans".to_owned(),
                None => "no telemetry yet".to_owned(),
            },
        ));
    }
    why.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    row.state = state;
    row.why = Vec::new();
    for (_, text) in why {
        if !row.why.contains(&text) {
            row.why.push(text);
        }
    }
}

fn say(why: &mut Vec<(HealthState, String)>, level: HealthState, text: String) {
    why.push((level, text));
}

/// `3m12s`, `2h`, `45s`: two units at most.
pub fn short_duration(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..600 => format!("{}m{:02}s", s / 60, s % 60),
        600..3600 => format!("{}m", s / 60),
        3600..86_400 => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::context::Declared;
    use serde_json::json;
    use watchfire_model::{CheckReport, Labels};

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    /// A service that sent spans just now.
    fn row(error_ratio: f64, sample_count: f64) -> ServiceRow {
        ServiceRow {
            name: "cart".into(),
            last_seen: Some(NOW),
            rate: Some(sample_count / 60.0),
            error_ratio: Some(error_ratio),
            sample_count: Some(sample_count),
            ..ServiceRow::default()
        }
    }

    fn alert(state: AlertState, severity: Severity) -> Alert {
        serde_json::from_value(json!({
            "name": "CartErrors", "state": state, "severity": severity, "labels": Labels::from_pairs([("service", "cart")]),
            "annotations": {}, "active_at": Timestamp(NOW.0 - 40_000), "cause": null, "notified": false,
        }))
        .expect("an alert")
    }

    fn judged(mut row: ServiceRow, alerts: &[Alert], checks: &[CheckReport]) -> (HealthState, Vec<String>) {
        let (declared, last_seen) = (Declared::default(), BTreeMap::new());
        let context = Context { declared: &declared, checks, alerts, breakers: &[], last_seen: &last_seen };
        let about = alerts_by_service(&context);
        judge(&mut row, NOW, &context, about.get("cart").map_or(&[], Vec::as_slice), Vec::new());
        (row.state, row.why)
    }

    #[test]
    fn what_no_figure_speaks_of_is_not_healthy_for_longer_than_figures_look_back() {
        let quiet = |seconds: i64, rate| {
            let row = ServiceRow { rate, error_ratio: None, last_seen: Some(Timestamp(NOW.0 - seconds * 1_000)), ..row(0.0, 0.0) };
            judged(row, &[], &[])
        };
        // Just begun: a rate takes two samples.
        assert_eq!(quiet(5, None), (HealthState::Healthy, vec![]));
        assert_eq!(quiet(70, None), (HealthState::Unknown, vec!["no telemetry for 1m10s".to_owned()]));
        assert_eq!(quiet(62, Some(0.1)), (HealthState::Healthy, vec![]), "what came last is still counted");
    }

    #[test]
    fn a_service_is_never_its_own_cause() {
        let mut louder = alert(AlertState::Firing, Severity::Critical);
        louder.name = "CartDown".into();
        let mut explained = alert(AlertState::Firing, Severity::Warning);
        explained.cause = Some(watchfire_model::Cause { alert: "CartDown".into(), service: "cart".into(), reason: String::new() });
        let (state, why) = judged(row(0.0, 600.0), &[louder, explained.clone()], &[]);
        assert_eq!((state, why), (HealthState::Unhealthy, vec!["CartDown".to_owned(), "CartErrors".to_owned()]));
        explained.cause = explained.cause.map(|c| watchfire_model::Cause { service: "stock".into(), ..c });
        assert_eq!(judged(row(0.0, 600.0), &[explained], &[]).1, ["← stock"]);
    }

    #[test]
    fn failing_calls_show_before_any_alert_does() {
        use HealthState::{Degraded, Healthy, Unhealthy};
        for (ratio, samples, state, why) in [
            (0.0, 600.0, Healthy, vec![]),
            (0.012, 600.0, Healthy, vec!["1.2 % errors"]),
            (0.28, 600.0, Degraded, vec!["28.0 % errors"]),
            (0.6, 600.0, Unhealthy, vec!["60.0 % errors"]),
            // Two failed calls are no finding.
            (0.5, 4.0, Healthy, vec!["50.0 % errors"]),
            (0.5, 6.0, Degraded, vec!["50.0 % errors"]),
        ] {
            assert_eq!(
                judged(row(ratio, samples), &[], &[]),
                (state, why.iter().map(|w| (*w).to_owned()).collect()),
                "{ratio} of {samples}"
            );
        }
    }

    #[test]
    fn a_pending_alert_degrades_and_a_firing_one_speaks_for_the_errors() {
        use HealthState::{Degraded, Healthy, Unhealthy};
        let pending = |severity| judged(row(0.0, 600.0), &[alert(AlertState::Pending, severity)], &[]);
        assert_eq!(pending(Severity::Critical), (Degraded, vec!["CartErrors pending 40s".to_owned()]));
        assert_eq!(pending(Severity::Info), (Healthy, vec![]));
        let firing = judged(row(0.6, 600.0), &[alert(AlertState::Firing, Severity::Critical)], &[]);
        assert_eq!(firing, (Unhealthy, vec!["CartErrors".to_owned()]));
        let informing = judged(row(0.0, 600.0), &[alert(AlertState::Firing, Severity::Info)], &[]);
        assert_eq!(informing, (Healthy, vec!["CartErrors".to_owned()]));
        // Worse than the alert says: both are named, the worse first.
        let worse = judged(row(0.6, 600.0), &[alert(AlertState::Firing, Severity::Warning)], &[]);
        assert_eq!(worse, (Unhealthy, vec!["60.0 % errors".to_owned(), "CartErrors".to_owned()]));
        let resolved = judged(row(0.0, 600.0), &[alert(AlertState::Resolved, Severity::Critical)], &[]);
        assert_eq!(resolved, (Healthy, vec![]));
    }
}
