//! Groups, rules and alerts as `/api/v1/rules` and `/api/v1/alerts` of the Prometheus API show them: serialising these gives its JSON.

use super::group::{EvaluationNote, GroupRuntime, RuleHealth, RuleRuntime};
use crate::rule::RuleKind;
use crate::state::ActiveAlert;
use chrono::{DateTime, SecondsFormat};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::time::Duration;
use watchfire_model::reading::AlertState;
use watchfire_model::{Labels, Timestamp};

/// One group.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupReport {
    pub name: String,
    pub file: String,
    pub rules: Vec<RuleReport>,
    #[serde(serialize_with = "seconds")]
    pub interval: Duration,
    pub limit: usize,
    #[serde(serialize_with = "seconds")]
    pub evaluation_time: Duration,
    #[serde(serialize_with = "time")]
    pub last_evaluation: Option<Timestamp>,
    /// Evaluations that were due and did not happen.
    #[serde(skip)]
    pub missed: u64,
}

/// One rule. Fields that only alerting rules have are absent in the JSON of recording rules.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
    pub name: String,
    /// In its normal form.
    pub query: String,
    #[serde(serialize_with = "optional_seconds", skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    #[serde(serialize_with = "optional_seconds", skip_serializing_if = "Option::is_none")]
    pub keep_firing_for: Option<Duration>,
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alerts: Option<Vec<AlertReport>>,
    pub health: RuleHealth,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    #[serde(serialize_with = "seconds")]
    pub evaluation_time: Duration,
    #[serde(serialize_with = "time")]
    pub last_evaluation: Option<Timestamp>,
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The last evaluations, oldest first.
    #[serde(skip)]
    pub notes: Vec<EvaluationNote>,
    /// Remarks of the query engine about the last evaluation.
    #[serde(skip)]
    pub warnings: Vec<String>,
    /// New alerts that the last evaluation did not take up, because there are too many.
    #[serde(skip)]
    pub refused: usize,
}

/// One pending or firing alert.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertReport {
    pub labels: Labels,
    pub annotations: Labels,
    pub state: &'static str,
    #[serde(serialize_with = "time")]
    pub active_at: Option<Timestamp>,
    #[serde(serialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub keep_firing_since: Option<Timestamp>,
    /// In Go's exponent form, such as `1e+00`.
    pub value: String,
}

pub(super) fn group_report(group: &GroupRuntime) -> GroupReport {
    GroupReport {
        name: group.name.clone(),
        file: group.file.clone(),
        rules: group.rules.iter().map(rule_report).collect(),
        interval: group.interval,
        limit: group.limit,
        evaluation_time: group.took,
        last_evaluation: group.rules.iter().filter_map(|r| r.last_evaluation).max(),
        missed: group.missed,
    }
}

fn rule_report(runtime: &RuleRuntime) -> RuleReport {
    let rule = &runtime.rule;
    let map = |pairs: &[(String, String)]| pairs.iter().cloned().collect::<BTreeMap<_, _>>();
    let mut report = RuleReport {
        state: None,
        name: rule.name.clone(),
        query: rule.query.to_string(),
        duration: None,
        keep_firing_for: None,
        labels: map(&rule.labels),
        annotations: None,
        alerts: None,
        health: if runtime.trouble().is_some() { RuleHealth::Err } else { runtime.health },
        last_error: runtime.trouble().cloned(),
        evaluation_time: runtime.took,
        last_evaluation: runtime.last_evaluation,
        kind: "recording",
        notes: runtime.notes.iter().cloned().collect(),
        warnings: runtime.warnings.clone(),
        refused: runtime.refused,
    };
    if let RuleKind::Alerting(alerting) = &rule.kind {
        let active = || runtime.state.values().filter(|a| a.life.state != AlertState::Resolved);
        report.kind = "alerting";
        report.state = Some(if runtime.last_evaluation.is_none() && runtime.state.is_empty() {
            "unknown"
        } else if active().any(|a| a.life.state == AlertState::Firing) {
            "firing"
        } else if active().next().is_some() {
            "pending"
        } else {
            "inactive"
        });
        report.duration = Some(alerting.hold);
        report.keep_firing_for = Some(alerting.keep_firing_for);
        report.annotations = Some(map(&alerting.annotations));
        report.alerts = Some(active().map(alert_report).collect());
    }
    report
}

pub(super) fn alert_report(alert: &ActiveAlert) -> AlertReport {
    AlertReport {
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        state: if alert.life.state == AlertState::Firing { "firing" } else { "pending" },
        active_at: Some(alert.life.active.at),
        keep_firing_since: alert.life.keep_firing_since.map(|m| m.at),
        value: exponent_form(alert.value),
    }
}

/// Go's `strconv.FormatFloat(v, 'e', -1, 64)`.
fn exponent_form(v: f64) -> String {
    if v.is_nan() {
        return "NaN".to_owned();
    }
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{v:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let exponent: i32 = exponent.parse().unwrap_or(0);
            format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        }
        None => text,
    }
}

fn seconds<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64(d.as_secs_f64())
}

fn optional_seconds<S: Serializer>(d: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64(d.unwrap_or_default().as_secs_f64())
}

fn time<S: Serializer>(at: &Option<Timestamp>, s: S) -> Result<S::Ok, S::Error> {
    match at.and_then(|t| DateTime::from_timestamp_millis(t.millis())) {
        Some(at) => s.serialize_str(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        None => s.serialize_str("0001-01-01T00:00:00Z"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_look_as_go_writes_them() {
        for (value, text) in
            [(1.0, "1e+00"), (0.05, "5e-02"), (1234.5, "1.2345e+03"), (0.0, "0e+00"), (f64::NAN, "NaN"), (f64::INFINITY, "+Inf")]
        {
            assert_eq!(exponent_form(value), text);
        }
    }
}
