//! From an alert to what is said about it.

use super::record::AlertRecord;
use super::settings::EvaluatorSettings;
use crate::identity::fingerprint;
use crate::rule::Rule;
use crate::state::{ActiveAlert, Moment};
use std::time::Duration;
use watchfire_model::reading::AlertState;
use watchfire_model::{Cause, Evidence, Labels, Notice, NoticeState, Severity, Timestamp};
use watchfire_template::query_escape;

/// What an [`EvidenceSource`] is asked about.
#[derive(Clone, Debug)]
pub struct EvidenceRequest<'a> {
    pub labels: &'a Labels,
    /// The service the alert is about, where a label names it.
    pub service: Option<&'a str>,
    pub expression: &'a str,
    pub active_at: Timestamp,
    pub now: Timestamp,
    /// Only what costs nothing: so much fires at once that looking things up would delay all of it.
    pub brief: bool,
}

/// Finds what a page should show besides the rule's own text: example traces, the top failing operation, breakers and queues nearby,
/// the command that opens the view. The evaluator fills in value, expression and dependents.
pub trait EvidenceSource: Send + Sync {
    fn evidence(&self, request: &EvidenceRequest<'_>) -> Evidence;
}

/// The severity an alert's labels state.
pub(super) fn severity(labels: &Labels) -> Severity {
    Severity::from_label(labels.value("severity"))
}

pub(super) fn generator_url(settings: &EvaluatorSettings, rule: &Rule) -> String {
    graph_url(&settings.external_url, &rule.expression)
}

/// Where an expression is shown: what Prometheus calls the generator of an alert.
pub fn graph_url(external_url: &str, expression: &str) -> String {
    format!("{}/graph?g0.expr={}&g0.tab=1", external_url.trim_end_matches('/'), query_escape(expression))
}

/// An alert's labels as others see them: with the external ones.
pub fn outward(alert: &Labels, external: &Labels) -> Labels {
    let mut labels = alert.to_builder();
    for external in external.iter() {
        if labels.get(&external.name).is_none() {
            labels.set(&external.name, &external.value);
        }
    }
    labels.build()
}

/// The end of an alert that is not looked at any more.
pub(super) fn farewell(record: AlertRecord, settings: &EvaluatorSettings, now: Moment) -> Notice {
    let mut alert = record.resume(now, Duration::ZERO, settings.outage_grace);
    let fired = alert.life.state == AlertState::Firing;
    alert.life.state = AlertState::Resolved;
    alert.life.resolved = Some(now);
    alert.paging.revision = (alert.paging.revision + 1).max(u64::try_from(now.at.millis()).unwrap_or(0));
    let mut notice = said(&alert, "", String::new(), settings, now, now.at, None);
    if fired {
        notice.evidence.surroundings.push("nobody saw it end: its rule is gone, or gives more alerts than its limit".to_owned());
    }
    notice
}

/// Everything but evidence.
pub(super) fn notice(
    alert: &ActiveAlert,
    rule: &Rule,
    settings: &EvaluatorSettings,
    now: Moment,
    valid_until: Timestamp,
    cause: Option<Cause>,
) -> Notice {
    said(alert, &rule.expression, generator_url(settings, rule), settings, now, valid_until, cause)
}

fn said(
    alert: &ActiveAlert,
    expression: &str,
    generator_url: String,
    settings: &EvaluatorSettings,
    now: Moment,
    valid_until: Timestamp,
    cause: Option<Cause>,
) -> Notice {
    let resolved = alert.life.state == AlertState::Resolved;
    Notice {
        fingerprint: fingerprint(&alert.labels),
        revision: alert.paging.revision,
        state: if resolved { NoticeState::Resolved } else { NoticeState::Firing },
        severity: alert.paging.severity.unwrap_or_else(|| severity(&alert.labels)),
        labels: outward(&alert.labels, &settings.external_labels),
        annotations: alert.annotations.clone(),
        active_at: alert.life.active.at,
        starts_at: alert.life.fired.unwrap_or(alert.life.active).at,
        ends_at: if resolved { alert.life.resolved.unwrap_or(now).at } else { valid_until },
        generator_url,
        cause,
        evidence: Evidence { value: Some(alert.value).filter(|v| v.is_finite()), expression: expression.to_owned(), ..Evidence::default() },
    }
}
