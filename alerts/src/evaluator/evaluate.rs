//! One rule at one time: its expression, its labels and annotations, its states, its series.

use super::group::{GroupRuntime, RuleRuntime};
use super::settings::EvaluatorSettings;
use crate::cause;
use crate::comparison::Comparison;
use crate::rule::{Alerting, RuleKind};
use crate::state::{Absence, ActiveAlert, Instance, Life, Moment, RuleState, Transition, step};
use std::collections::HashSet;
use std::time::Duration;
use watchfire_model::reading::AlertState;
use watchfire_model::{Appended, Clock, Labels, LabelsBuilder, METRIC_NAME, SeriesSink, SeriesSource, Timestamp, Value, caught};
use watchfire_promql::{Control, Engine, Interrupt, Query, QueryValue};
use watchfire_template::rule::{self, TemplateContext};

/// The annotation that names who answers for what an alert is about.
const OWNER: &str = "owner";

/// Elements of an instant vector.
pub(crate) type Vector = Vec<(Labels, Value)>;

/// What a rule could not write, in Prometheus's words.
pub(crate) fn unwritten(appended: &Appended) -> Option<String> {
    let (count, what) = match appended {
        Appended { duplicate: 0, out_of_order: 0, .. } => return None,
        Appended { duplicate: 0, out_of_order, .. } => (out_of_order, "out of order sample"),
        Appended { duplicate, .. } => (duplicate, "duplicate sample for timestamp"),
    };
    Some(format!("{what}: {count} series of this rule are written by another rule as well"))
}

/// What the evaluation of any rule needs.
pub(crate) struct Bench<'a> {
    pub settings: &'a EvaluatorSettings,
    pub engine: &'a Engine,
    pub source: &'a dyn SeriesSource,
    pub sink: &'a dyn SeriesSink,
    pub clock: &'a dyn Clock,
    /// The wall clock, against which the store refuses future samples.
    pub wall: Timestamp,
    /// Alerts that other groups and rules leave room for.
    pub room: usize,
    /// Who answers for a service, for rules that do not say it themselves.
    pub owner: &'a dyn Fn(&str) -> Option<String>,
}

pub(crate) struct RuleOutcome {
    pub transitions: Vec<Transition>,
    /// Series or alerts.
    pub results: usize,
    pub appended: Appended,
    pub warnings: Vec<String>,
    /// New alerts that were not taken up, because there are too many.
    pub refused: usize,
}

impl Bench<'_> {
    /// The vector of an instant query; a scalar becomes one element without labels.
    pub fn vector(&self, query: &Query, at: Timestamp) -> Result<(Vector, Vec<String>), String> {
        let limit = self.engine.options().timeout;
        let started = self.clock.read().awake;
        let interrupt = || (self.clock.read().awake.saturating_sub(started) > limit).then_some(Interrupt::Timeout);
        let control = Control { interrupt: Some(&interrupt), ..Control::default() };
        let evaluation = self.engine.instant_with(query, self.source, at, control).map_err(|e| e.to_string())?;
        let vector = match evaluation.value {
            QueryValue::Vector(samples) => samples.into_iter().map(|s| (s.labels, s.value)).collect(),
            QueryValue::Scalar { value, .. } => vec![(Labels::empty(), Value::Float(value))],
            QueryValue::String { .. } | QueryValue::Matrix(_) => return Err("rule result is not a vector or scalar".to_owned()),
        };
        Ok((vector, evaluation.warnings))
    }

    pub fn evaluate(&self, group: &GroupRuntime, rule: &mut RuleRuntime, now: Moment) -> Result<RuleOutcome, String> {
        let at = now.at.saturating_sub(group.query_offset);
        let (vector, warnings) = self.vector(&rule.rule.query, at)?;
        match rule.rule.kind.clone() {
            RuleKind::Recording => {
                let rows = recorded(&rule.rule.name, &rule.rule.labels, group.limit, vector)?;
                let results = rows.len();
                let appended = rule.written.write(self.sink, at, self.wall, rows);
                Ok(RuleOutcome { transitions: Vec::new(), results, appended, warnings, refused: 0 })
            }
            RuleKind::Alerting(alerting) => {
                let mut instances = self.instances(&rule.rule.name, &rule.rule.labels, &alerting, vector, at);
                let refused = refuse(&mut instances, &rule.state, self.settings.alerts_per_rule.min(self.room));
                let mut absence = |alert: &ActiveAlert| self.absence(&rule.rule.query, &alerting, alert, now, at);
                let transitions = step(&alerting, group.limit, &mut rule.state, instances, now, &mut absence).map_err(|e| e.to_string())?;
                let active = || rule.state.values().filter(|a| a.life.state != AlertState::Resolved);
                let rows = active().flat_map(|a| alert_series(&rule.rule.name, &a.labels, &a.life)).collect();
                let results = active().count();
                let appended = rule.written.write(self.sink, at, self.wall, rows);
                Ok(RuleOutcome { transitions, results, appended, warnings, refused })
            }
        }
    }

    /// Applies the rule's label and annotation templates to each element of the result.
    fn instances(
        &self,
        name: &str,
        labels: &[(String, String)],
        alerting: &Alerting,
        vector: Vec<(Labels, Value)>,
        at: Timestamp,
    ) -> Vec<Instance> {
        vector
            .into_iter()
            .map(|(metric, value)| {
                let expand = |text: &str| self.expand(name, text, &metric, value.clone(), at);
                let labels = alert_labels(name, labels, &metric, &expand);
                let mut annotations = LabelsBuilder::new();
                for (annotation, text) in &alerting.annotations {
                    annotations.set(annotation, &expand(text));
                }
                if annotations.get(OWNER).is_none()
                    && let Some(owner) = cause::subject(&labels).and_then(self.owner)
                {
                    annotations.set(OWNER, &owner);
                }
                Instance { labels, annotations: annotations.build_texts(), value: value.as_float().unwrap_or(f64::NAN) }
            })
            .collect()
    }

    pub fn expand(&self, rule: &str, text: &str, labels: &Labels, value: Value, at: Timestamp) -> String {
        if !text.contains("{{") {
            return text.to_owned();
        }
        let started = self.clock.read().awake;
        let expired = || self.clock.read().awake.saturating_sub(started) > self.settings.template_timeout;
        let query = |expression: &str| {
            let query = Query::parse(expression).map_err(|e| e.to_string())?;
            self.vector(&query, at).map(|(vector, _)| vector)
        };
        let context = TemplateContext {
            name: &format!("__alert_{rule}"),
            labels,
            value,
            external_labels: &self.settings.external_labels,
            external_url: &self.settings.external_url,
            at,
            query: &query,
            limits: self.settings.template_limits,
            expired: &expired,
        };
        // A text that cannot be made costs the text and never the alert.
        caught(|| rule::expand(text, &context)).unwrap_or_else(|error| format!("<error expanding template: {error}>"))
    }

    /// Whether an alert without a result may end.
    fn absence(&self, query: &Query, alerting: &Alerting, alert: &ActiveAlert, now: Moment, at: Timestamp) -> Absence {
        let waits = alert.restored.is_some_and(|since| now.since(since) < self.settings.restore_hold);
        if waits && !self.has_data(query, alert, at) {
            return Absence::Unknown;
        }
        let Some(condition) = alerting.recover().filter(|_| alert.life.state == AlertState::Firing) else { return Absence::Known };
        let condition = self.expand("recover", condition, &quoted(&alert.labels), Value::Float(alert.value), at);
        let Ok(condition) = Query::parse(&condition) else { return Absence::Known };
        // Elements about other services say nothing about this alert.
        let own = |query: &Query| self.vector(query, at).map(|(v, _)| v.iter().any(|(labels, _)| concerns(labels, &alert.labels)));
        match own(&condition) {
            Ok(true) => Absence::Known,
            // Nothing to compare any more: the series of the condition are gone, and it could never hold.
            Ok(false) if Comparison::of(&condition).is_some_and(|c| own(&c.left) == Ok(false)) => Absence::Known,
            _ => Absence::NotRecovered,
        }
    }

    /// Whether what the rule measures has a value again for this alert.
    fn has_data(&self, query: &Query, alert: &ActiveAlert, at: Timestamp) -> bool {
        let Some(comparison) = Comparison::of(query) else { return false };
        self.vector(&comparison.left, at).is_ok_and(|(vector, _)| vector.iter().any(|(labels, _)| concerns(labels, &alert.labels)))
    }
}

/// Takes new alerts out of a result until no more than `limit` are active, and says how many. Known alerts always stay.
fn refuse(instances: &mut Vec<Instance>, state: &RuleState, limit: usize) -> usize {
    let is_active = |labels: &Labels| state.get(labels).is_some_and(|a| a.life.state != AlertState::Resolved);
    if instances.len() <= limit {
        return 0;
    }
    let before = instances.len();
    // In the order of labels, so that every evaluation refuses the same ones.
    instances.sort_by(|a, b| a.labels.cmp(&b.labels));
    let known = instances.iter().filter(|i| is_active(&i.labels)).count();
    let mut room = limit.saturating_sub(known);
    instances.retain(|i| {
        is_active(&i.labels) || {
            let fits = room > 0;
            room = room.saturating_sub(1);
            fits
        }
    });
    before - instances.len()
}

/// Whether an element of a rule's result belongs to an alert: no label says otherwise.
pub(crate) fn concerns(metric: &Labels, alert: &Labels) -> bool {
    metric.iter().all(|l| &*l.name == METRIC_NAME || alert.get(&l.name).is_none_or(|value| value == &*l.value))
}

/// The labels of an alert: those of the result without the metric name, the rule's over them, `alertname` last.
pub(crate) fn alert_labels(name: &str, labels: &[(String, String)], metric: &Labels, expand: &dyn Fn(&str) -> String) -> Labels {
    let mut builder = metric.to_builder();
    builder.remove(METRIC_NAME);
    for (label, text) in labels {
        builder.set(label, &expand(text));
    }
    builder.set("alertname", name);
    builder.build()
}

/// The rows of a recording rule.
pub(crate) fn recorded(
    name: &str,
    labels: &[(String, String)],
    limit: usize,
    vector: Vec<(Labels, Value)>,
) -> Result<Vec<(Labels, Value)>, String> {
    let mut seen = HashSet::with_capacity(vector.len());
    let mut rows = Vec::with_capacity(vector.len());
    for (metric, value) in vector {
        let mut builder = metric.to_builder();
        builder.set(METRIC_NAME, name);
        for (label, value) in labels {
            builder.set(label, value);
        }
        let labels = builder.build();
        if !seen.insert(labels.clone()) {
            return Err("vector contains metrics with the same labelset after applying rule labels".to_owned());
        }
        rows.push((labels, value));
    }
    if limit > 0 && rows.len() > limit {
        return Err(format!("exceeded limit of {limit} with {} series", rows.len()));
    }
    Ok(rows)
}

/// The names of what alerts give for other rules to see.
pub(crate) const ALERT_SERIES: [&str; 2] = ["ALERTS", "ALERTS_FOR_STATE"];

/// What an alert that is pending or firing gives.
pub(crate) fn alert_series(rule: &str, alert: &Labels, life: &Life) -> [(Labels, Value); 2] {
    let [alerts, for_state] = ALERT_SERIES;
    let state = if life.state == AlertState::Firing { "firing" } else { "pending" };
    let mut builder = alert.to_builder();
    builder.set("alertname", rule).set(METRIC_NAME, for_state);
    let since = builder.clone().build();
    builder.set(METRIC_NAME, alerts).set("alertstate", state);
    [(builder.build(), Value::Float(1.0)), (since, Value::Float(life.active.at.millis().div_euclid(1000) as f64))]
}

/// Label values made safe to stand inside quotes of a PromQL condition.
fn quoted(labels: &Labels) -> Labels {
    Labels::from_pairs(labels.iter().map(|l| (l.name.to_string(), l.value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))))
}

/// How long something took, by the clock that does not run while the machine sleeps.
pub(super) fn took(clock: &dyn Clock, started: Duration) -> Duration {
    clock.read().awake.saturating_sub(started)
}
