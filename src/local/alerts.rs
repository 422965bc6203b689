//! Alerts: those of now from the evaluator itself, past ones as they were shown then, or else from the `ALERTS` series.

use super::LocalSource;
use super::lens::Lens;
use std::collections::HashMap;
use watchfire_model::reading::{Alert, AlertState, Alerts, ReadError};
use watchfire_model::{Labels, Severity, Timestamp};

/// Alerts whose evidence is looked up for one reading; nobody reads that of a hundredth.
const MAX_EVIDENCE: usize = 30;

impl LocalSource {
    /// Alerts at the cursor: live ones with everything the evaluator and the dispatcher know, past ones as they were shown then, or from
    /// their series.
    pub(super) fn alerts_at(&self, at: Option<Timestamp>) -> Result<Vec<Alert>, ReadError> {
        let Some(at) = at else {
            let mut alerts = self.board.read().alerts.clone();
            for alert in &mut alerts {
                self.facts.delivery(alert);
            }
            self.chronicle.alerts.keep(self.clock.now(), &alerts);
            return Ok(alerts);
        };
        match self.chronicle.alerts.at(at) {
            Some((_, alerts)) => Ok(alerts),
            None => of_series(&self.lens(at)),
        }
    }

    /// The alerts with their courses and evidence, and the silences and rules round them.
    pub(super) fn alerts(&self, at: Option<Timestamp>) -> Result<Alerts, ReadError> {
        let mut alerts = self.alerts_at(at)?;
        self.courses.fill(&self.engine, &*self.store, &*self.clock, self.moment(at), &mut alerts);
        Ok(self.with_evidence(alerts, at))
    }

    /// Keeps of the alerts of now what no series holds. Their courses are looked up when somebody asks: they cost more than all rules.
    pub(super) fn keep_alerts(&self) -> Result<(), ReadError> {
        self.with_evidence(self.alerts_at(None)?, None);
        Ok(())
    }

    fn with_evidence(&self, mut alerts: Vec<Alert>, at: Option<Timestamp>) -> Alerts {
        let conclusion = self.board.read();
        if at.is_none() {
            let now = self.clock.now();
            // What is held back for a cause comes after what speaks.
            let mut firing: Vec<&mut Alert> = alerts.iter_mut().filter(|a| a.state == AlertState::Firing).collect();
            firing.sort_by_key(|a| a.cause.is_some());
            firing.into_iter().take(MAX_EVIDENCE).for_each(|alert| self.facts.evidence(alert, now));
            let found = alerts.iter().filter_map(|a| Some((a.fingerprint.clone(), a.evidence.clone()?))).collect::<Vec<_>>();
            self.chronicle.evidence.keep(now, &found);
        }
        if let Some((_, found)) = at.and_then(|at| self.chronicle.evidence.at(at)) {
            for (fingerprint, evidence) in found {
                if let Some(alert) = alerts.iter_mut().find(|a| a.fingerprint == fingerprint) {
                    alert.evidence = Some(evidence);
                }
            }
        }
        if let Some(around) = at.and_then(|at| self.chronicle.rules.at(at)).and_then(|(_, kept)| kept.into_iter().next()) {
            return Alerts { alerts, ..around };
        }
        let around = Alerts {
            alerts: Vec::new(),
            silences: self.facts.silences(),
            broken_rules: conclusion.broken_rules.clone(),
            rules: conclusion.rules,
            // Rules evaluated since say nothing of then.
            last_evaluation: conclusion.last_evaluation.filter(|last| at.is_none_or(|at| *last <= at)),
        };
        if at.is_none() {
            self.chronicle.rules.keep(self.clock.now(), std::slice::from_ref(&around));
        }
        Alerts { alerts, ..around }
    }
}

/// Alerts that were pending or firing at the cursor.
///
/// # Errors
/// When the store cannot be queried.
pub fn of_series(lens: &Lens<'_>) -> Result<Vec<Alert>, ReadError> {
    let since: HashMap<Labels, f64> =
        lens.vector("ALERTS_FOR_STATE")?.into_iter().map(|(labels, since)| (labels.without_name(), since)).collect();
    let mut out = Vec::new();
    for (labels, _) in lens.vector("ALERTS")? {
        let state = if labels.value("alertstate") == "firing" { AlertState::Firing } else { AlertState::Pending };
        let mut builder = labels.without_name().to_builder();
        builder.remove("alertstate");
        let labels = builder.build();
        let active_at = since.get(&labels).map(|since| Timestamp::from_seconds(*since));
        out.push(Alert {
            name: labels.value("alertname").to_owned(),
            state,
            severity: Severity::from_label(labels.value("severity")),
            annotations: Labels::empty(),
            active_at,
            fired_at: None,
            kept_since: None,
            resolved_at: None,
            cause: None,
            notified: false,
            notified_by: Vec::new(),
            unheard: false,
            silenced: false,
            acknowledged_by: None,
            value: None,
            unconfirmed: false,
            threshold: None,
            expression: String::new(),
            for_seconds: 0.0,
            keep_firing_for_seconds: 0.0,
            group: String::new(),
            fingerprint: String::new(),
            evidence: None,
            history: Vec::new(),
            labels,
        });
    }
    out.sort_by(|a, b| (a.state, b.severity).cmp(&(b.state, a.severity)).then_with(|| a.name.cmp(&b.name)));
    Ok(out)
}
