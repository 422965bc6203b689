//! What the alerts view shows: every pending, firing and recently resolved alert, with its value, its threshold and the hour behind it.

use super::evaluate::concerns;
use super::report::{GroupReport, alert_report, group_report};
use super::{AlertReport, Evaluator, RuleHealth, Standing};
use crate::comparison::Comparison;
use crate::identity::fingerprint;
use crate::rule::Rule;
use crate::state::ActiveAlert;
use std::time::Duration;
use watchfire_model::reading::{Alert, AlertState};
use watchfire_model::{Evidence, Labels, Timestamp};
use watchfire_promql::QueryValue;

const HISTORY: Duration = Duration::from_secs(3600);
const HISTORY_STEP: Duration = Duration::from_secs(60);
/// Series of one rule whose past is looked up, and alerts of one rule that show it.
const HISTORY_SERIES: usize = 200;
/// The past is looked up anew at most this often.
const HISTORY_PACE: Duration = Duration::from_secs(15);

type Points = Vec<(Timestamp, Option<f64>)>;

/// The last hour of a rule's left-hand side, as of one evaluation.
pub(super) struct History {
    at: Timestamp,
    series: Vec<(Labels, Points)>,
}

impl Evaluator {
    /// Pending, firing, and resolved within the last fifteen minutes: firing first, louder first, then by name and labels.
    pub fn board(&self) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for (g, group) in self.groups.iter().enumerate() {
            for (r, rule) in group.rules.iter().enumerate().filter(|(_, r)| !r.state.is_empty()) {
                let comparison = Comparison::of(&rule.rule.query);
                self.with_history((g, r), &rule.rule, comparison.as_ref(), rule.last_evaluation, |history| {
                    for (n, alert) in rule.state.values().enumerate() {
                        let history = if n < HISTORY_SERIES { history } else { &[] };
                        alerts.push(self.shown(&group.name, &group.file, &rule.rule, alert, comparison.as_ref(), history));
                    }
                });
            }
        }
        alerts.sort_by(|a, b| {
            (a.state, std::cmp::Reverse(a.severity), &a.name, &a.labels).cmp(&(b.state, std::cmp::Reverse(b.severity), &b.name, &b.labels))
        });
        alerts
    }

    /// All groups and rules with health, timing and alerts: `data.groups` of `/api/v1/rules`.
    pub fn groups(&self) -> Vec<GroupReport> {
        self.groups.iter().map(group_report).collect()
    }

    /// Pending and firing alerts: `data.alerts` of `/api/v1/alerts`.
    pub fn alerts(&self) -> Vec<AlertReport> {
        let rules = self.groups.iter().flat_map(|g| &g.rules);
        rules.flat_map(|r| r.state.values()).filter(|a| a.life.state != AlertState::Resolved).map(alert_report).collect()
    }

    /// Rules that cannot be evaluated: (group, rule, error).
    pub fn broken_rules(&self) -> Vec<(String, String, String)> {
        let broken = |g: &super::GroupRuntime| {
            g.rules
                .iter()
                .filter(|r| r.health == RuleHealth::Err)
                .map(|r| (g.name.clone(), r.rule.name.clone(), r.last_error.clone().unwrap_or_default()))
                .collect::<Vec<_>>()
        };
        self.groups.iter().flat_map(broken).collect()
    }

    pub fn rule_count(&self) -> usize {
        self.groups.iter().map(|g| g.rules.len()).sum()
    }

    pub fn last_evaluation(&self) -> Option<Timestamp> {
        self.last_evaluation
    }

    fn shown(
        &self,
        group: &str,
        file: &str,
        rule: &Rule,
        alert: &ActiveAlert,
        comparison: Option<&Comparison>,
        history: &[(Labels, Points)],
    ) -> Alert {
        let key = super::record_key(file, group, &alert.labels);
        let (cause, dependents) = self.explained.get(&key).cloned().unwrap_or_default();
        let firing = alert.life.state == AlertState::Firing;
        Alert {
            name: alert.labels.value("alertname").to_owned(),
            state: alert.life.state,
            severity: super::notice::severity(&alert.labels),
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            active_at: Some(alert.life.active.at),
            fired_at: alert.life.fired.map(|m| m.at),
            resolved_at: alert.life.resolved.map(|m| m.at),
            cause: alert.paging.cause.clone().or(cause.filter(|_| firing && alert.paging.standing != Standing::Notified)),
            notified: alert.paging.standing == Standing::Notified,
            notified_by: Vec::new(),
            silenced: false,
            acknowledged_by: None,
            value: Some(alert.value).filter(|v| v.is_finite()),
            threshold: comparison.map(|c| c.threshold),
            expression: rule.expression.clone(),
            for_seconds: rule.alerting().map_or(0.0, |a| a.hold.as_secs_f64()),
            group: group.to_owned(),
            fingerprint: fingerprint(&alert.labels),
            evidence: Some(Evidence {
                value: Some(alert.value).filter(|v| v.is_finite()),
                expression: rule.expression.clone(),
                dependents,
                ..Evidence::default()
            }),
            history: history
                .iter()
                .find(|(metric, _)| concerns(metric, &alert.labels))
                .map(|(_, points)| points.clone())
                .unwrap_or_default(),
        }
    }

    /// Runs `show` with the past of a rule, asked for now and then.
    fn with_history(
        &self,
        key: (usize, usize),
        rule: &Rule,
        comparison: Option<&Comparison>,
        evaluated: Option<Timestamp>,
        show: impl FnOnce(&[(Labels, Points)]),
    ) {
        let Some(at) = evaluated else { return show(&[]) };
        let mut histories = self.histories.lock();
        if histories.get(&key).is_none_or(|h| at.since(h.at) >= HISTORY_PACE || at < h.at) {
            let query = comparison.map_or(&rule.query, |c| &c.left);
            let start = at.saturating_sub(HISTORY);
            let series = match self.engine.range(query, &*self.source, start, at, HISTORY_STEP).map(|e| e.value) {
                Ok(QueryValue::Matrix(series)) => series,
                _ => Vec::new(),
            };
            let points = |s: watchfire_model::SeriesData| {
                let values = s.values.iter().map(|v| v.as_float().filter(|f| f.is_finite()));
                (s.labels.without_name(), s.times.iter().copied().zip(values).collect())
            };
            histories.insert(key, History { at, series: series.into_iter().take(HISTORY_SERIES).map(points).collect() });
        }
        if let Some(history) = histories.get(&key) {
            show(&history.series);
        }
    }
}
