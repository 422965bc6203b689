//! What the alerts view shows: every pending, firing and recently resolved alert, with its value and its threshold. The hour behind it is looked up for who
//! looks: [`Courses`](crate::Courses).

use super::report::{GroupReport, alert_report, group_report};
use super::{AlertReport, Evaluator, Standing};
use crate::comparison::Comparison;
use crate::identity::fingerprint;
use crate::rule::Rule;
use crate::state::ActiveAlert;
use std::sync::Arc;
use watchfire_model::reading::{Alert, AlertState};
use watchfire_model::{Evidence, Timestamp};

impl Evaluator {
    /// Pending, firing, and resolved within the last fifteen minutes: firing first, louder first, then by name and labels.
    pub fn board(&self) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for group in &self.groups {
            for rule in group.rules.iter().filter(|r| !r.state.is_empty()) {
                let comparison = Comparison::of(&rule.rule.query);
                alerts.extend(rule.state.values().map(|a| self.shown(&group.name, &group.file, &rule.rule, a, comparison.as_ref())));
            }
        }
        alerts.sort_by(|a, b| {
            (a.state, std::cmp::Reverse(a.severity), &a.name, &a.labels).cmp(&(b.state, std::cmp::Reverse(b.severity), &b.name, &b.labels))
        });
        alerts
    }

    /// All groups and rules with health, timing and alerts: `data.groups` of `/api/v1/rules`.
    pub fn groups(&self) -> Vec<Arc<GroupReport>> {
        self.groups.iter().map(|group| group.told.get_or_init(|| Arc::new(group_report(group))).clone()).collect()
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
                .filter(|r| r.trouble().is_some())
                .map(|r| (g.name.clone(), r.rule.name.clone(), r.trouble().cloned().unwrap_or_default()))
                .collect::<Vec<_>>()
        };
        self.groups.iter().flat_map(broken).collect()
    }

    /// Tells the meter how many rules of the groups of that name cannot be evaluated; none where such a group is no more.
    pub(super) fn count_broken(&self, group: &str) {
        let rules = self.groups.iter().filter(|g| g.name == group).flat_map(|g| &g.rules);
        let broken = rules.filter(|r| r.trouble().is_some()).count();
        self.meter.gauge("watchfire_broken_rules", &[("rule_group", group)]).set(broken as f64);
    }

    pub fn rule_count(&self) -> usize {
        self.groups.iter().map(|g| g.rules.len()).sum()
    }

    pub fn last_evaluation(&self) -> Option<Timestamp> {
        self.last_evaluation
    }

    fn shown(&self, group: &str, file: &str, rule: &Rule, alert: &ActiveAlert, comparison: Option<&Comparison>) -> Alert {
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
            kept_since: alert.life.keep_firing_since.filter(|_| firing).map(|m| m.at),
            resolved_at: alert.life.resolved.map(|m| m.at),
            cause: alert.paging.cause.clone().or(cause.filter(|_| firing && alert.paging.standing != Standing::Notified)),
            notified: alert.paging.standing == Standing::Notified,
            notified_by: Vec::new(),
            unheard: false,
            silenced: false,
            acknowledged_by: None,
            value: Some(alert.value).filter(|v| v.is_finite()),
            unconfirmed: alert.restored.is_some() && alert.life.state != AlertState::Resolved,
            threshold: comparison.map(|c| c.threshold),
            expression: rule.expression.clone(),
            for_seconds: rule.alerting().map_or(0.0, |a| a.hold.as_secs_f64()),
            keep_firing_for_seconds: rule.alerting().map_or(0.0, |a| a.keep_firing_for.as_secs_f64()),
            group: group.to_owned(),
            fingerprint: fingerprint(&alert.labels),
            evidence: Some(Evidence {
                value: Some(alert.value).filter(|v| v.is_finite()),
                expression: rule.expression.clone(),
                dependents,
                ..Evidence::default()
            }),
            history: Vec::new(),
        }
    }
}
