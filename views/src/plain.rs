//! `--plain`: what changes, one line each, for screen readers, pipes and logs. No cursor moves, nothing repeated.

use crate::canvas::safe;
use crate::number;
use crate::zone::Zone;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use watchfire_model::reading::{Alert, AlertState, Alerts, Breaker, Breakers, Services, Status};
use watchfire_model::{HealthState, Reading, Timestamp};

const LINE: usize = 400;
/// What began longer ago is said with its time.
const FRESH: Duration = Duration::from_secs(30);

/// Remembers what was said, and says only what is new.
#[derive(Debug, Default)]
pub struct Log {
    overall: Option<HealthState>,
    services: BTreeMap<String, HealthState>,
    breakers: BTreeMap<String, String>,
    alerts: BTreeMap<String, AlertState>,
    banners: Vec<String>,
    zone: Zone,
}

impl Log {
    /// A log whose lines begin with the time in this zone.
    pub fn in_zone(zone: Zone) -> Self {
        Log { zone, ..Log::default() }
    }

    /// Lines for what this reading changes, oldest matter first. Each begins with the time and ends without a line end.
    pub fn lines(&mut self, reading: &Reading, now: Timestamp) -> Vec<String> {
        let news = match reading {
            Reading::Status(status) => self.status(status),
            Reading::Services(services) => self.services(services),
            Reading::Breakers(breakers) => self.breakers(breakers),
            Reading::Alerts(alerts) => self.alerts(alerts, now),
            _ => Vec::new(),
        };
        let zone = self.zone;
        news.into_iter().map(|text| format!("{} {}  {}", zone.clock(now), zone.name(now), safe(&text, LINE))).collect()
    }

    fn status(&mut self, status: &Status) -> Vec<String> {
        let mut news = Vec::new();
        if self.overall.replace(status.overall) != Some(status.overall) {
            let firing = status.firing_count();
            let simulated = if status.simulated { ", simulated" } else { "" };
            let silent = if status.silent > 0 { format!(" ({} silent)", status.silent) } else { String::new() };
            news.push(format!(
                "overall {}{simulated}, {} services{silent}, {firing} alerts firing",
                status.overall.word(),
                status.services
            ));
        }
        news.extend(status.banners.iter().filter(|b| !self.banners.contains(b)).map(|b| format!("notice: {b}")));
        self.banners.clone_from(&status.banners);
        news
    }

    fn services(&mut self, services: &Services) -> Vec<String> {
        let mut news = Vec::new();
        for row in &services.services {
            let before = self.services.insert(row.name.clone(), row.state);
            if before == Some(row.state) || (before.is_none() && row.state == HealthState::Healthy) {
                continue;
            }
            let why = if row.why.is_empty() { String::new() } else { format!(": {}", row.why.join("; ")) };
            // A dash for what is not known is no word that anybody hears.
            let figures = [
                row.rate.map(|_| format!(", {} calls", number::rate(row.rate))),
                row.error_ratio
                    .filter(|_| !why.contains("% errors"))
                    .map(|_| format!(", {} errors", number::percent_sign(row.error_ratio))),
                row.p95_seconds.map(|_| format!(", p95 {}", number::latency_known(row.p95_seconds))),
            ];
            news.push(format!("service {} {}{why}{}", row.name, row.state.word(), figures.into_iter().flatten().collect::<String>()));
        }
        self.services.retain(|name, _| services.services.iter().any(|row| row.name == *name));
        news
    }

    fn breakers(&mut self, breakers: &Breakers) -> Vec<String> {
        let mut news = Vec::new();
        for breaker in &breakers.breakers {
            let key = breaker_key(breaker);
            let before = self.breakers.insert(key.clone(), breaker.state.clone());
            if before.as_ref() == Some(&breaker.state) || (before.is_none() && breaker.state == "closed") {
                continue;
            }
            let inferred = if breaker.inferred { ", inferred from spans" } else { "" };
            news.push(format!("breaker {key} {}{inferred}", breaker.state));
        }
        let known: BTreeSet<String> = breakers.breakers.iter().map(breaker_key).collect();
        self.breakers.retain(|key, _| known.contains(key));
        news
    }

    fn alerts(&mut self, alerts: &Alerts, now: Timestamp) -> Vec<String> {
        let mut news = Vec::new();
        for alert in &alerts.alerts {
            let before = self.alerts.insert(alert_key(alert), alert.state);
            // What was over before anybody listened is no news.
            if before == Some(alert.state) || (before.is_none() && alert.state == AlertState::Resolved) {
                continue;
            }
            // Who begins to listen hears since when it fires.
            let since = alert.state_since().filter(|since| before.is_none() && now.since(*since) >= FRESH);
            let since = since.map_or_else(String::new, |since| format!(" since {}", self.zone.clock(since)));
            news.push(alert_line(alert, &since));
        }
        let known: BTreeSet<String> = alerts.alerts.iter().map(alert_key).collect();
        self.alerts.retain(|key, _| known.contains(key));
        news
    }
}

fn breaker_key(breaker: &Breaker) -> String {
    format!("{} {}", breaker.service, breaker.breaker)
}

fn alert_key(alert: &Alert) -> String {
    if alert.fingerprint.is_empty() { format!("{} {:?}", alert.name, alert.labels) } else { alert.fingerprint.clone() }
}

fn alert_line(alert: &Alert, since: &str) -> String {
    let state = match alert.state {
        AlertState::Firing => "firing",
        AlertState::Pending => "pending",
        AlertState::Resolved => "resolved",
    };
    let service = ["service", "service_name", "queue", "job"].iter().map(|l| alert.labels.value(l)).find(|v| !v.is_empty());
    let on = service.map_or_else(String::new, |s| format!(" on {s}"));
    if alert.state == AlertState::Resolved {
        // What its rule said while it fired is no longer so.
        let lasted = alert.fired_at.zip(alert.resolved_at).map(|(fired, resolved)| number::span(resolved.since(fired)));
        let after = lasted.map_or_else(String::new, |lasted| format!(" after {lasted}"));
        return format!("alert {} {state}{after}, {}{on}", alert.name, alert.severity);
    }
    let cause = alert.cause.as_ref().map_or_else(String::new, |c| match (c.alert.as_str(), c.service.as_str()) {
        ("", service) => format!(", caused by {service}"),
        (alert, "") => format!(", caused by {alert}"),
        (alert, service) => format!(", caused by {alert} on {service}"),
    });
    let summary = alert.annotations.value("summary");
    let summary = if summary.is_empty() { String::new() } else { format!(": {summary}") };
    format!("alert {} {state}{since}, {}{on}{cause}{summary}", alert.name, alert.severity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::reading::ServiceRow;

    #[test]
    fn only_changes_are_said() {
        let mut log = Log::default();
        let now = Timestamp::from_millis(11_564_000);
        let reading = |state| {
            let row = ServiceRow { name: "social\x1b[2J".into(), state, why: vec!["breaker open".into()], ..ServiceRow::default() };
            Reading::Services(Services { services: vec![row], changes: vec![] })
        };
        assert!(log.lines(&reading(HealthState::Healthy), now).is_empty());
        let lines = log.lines(&reading(HealthState::Unhealthy), now);
        assert_eq!(lines, ["03:12:44 UTC  service social␛[2J unhealthy: breaker open"]);
        assert!(log.lines(&reading(HealthState::Unhealthy), now).is_empty());
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let mut log = Log::default();
        let now = Timestamp::from_millis(0);
        for pod in 0..100 {
            let breaker = Breaker { service: format!("pod-{pod}"), state: "open".into(), ..Breaker::default() };
            assert_eq!(log.lines(&Reading::Breakers(Breakers { breakers: vec![breaker] }), now).len(), 1);
            let alert = serde_json::from_value(serde_json::json!({
                "name": "Down", "state": "firing", "severity": "warning", "labels": {"pod": pod.to_string()}, "annotations": {},
                "active_at": null, "cause": null, "notified": false,
            }));
            let alert = alert.expect("an alert");
            assert_eq!(log.lines(&Reading::Alerts(Alerts { alerts: vec![alert], ..Alerts::default() }), now).len(), 1);
        }
        assert_eq!((log.breakers.len(), log.alerts.len()), (1, 1));
    }
}
