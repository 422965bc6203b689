//! Alerts at a moment in the past, from the `ALERTS` series. Those of now come from the evaluator itself.

use super::lens::Lens;
use watchfire_model::reading::{Alert, AlertState, ReadError};
use watchfire_model::{Labels, Severity, Timestamp};

/// Alerts that were pending or firing at the cursor.
///
/// # Errors
/// When the store cannot be queried.
pub fn past(lens: &Lens<'_>) -> Result<Vec<Alert>, ReadError> {
    let since = lens.vector("ALERTS_FOR_STATE")?;
    let mut out = Vec::new();
    for (labels, _) in lens.vector("ALERTS")? {
        let state = if labels.value("alertstate") == "firing" { AlertState::Firing } else { AlertState::Pending };
        let mut builder = labels.without_name().to_builder();
        builder.remove("alertstate");
        let labels = builder.build();
        let active_at = since.iter().find(|(l, _)| l.without_name() == labels).map(|(_, v)| Timestamp::from_seconds(*v));
        out.push(Alert {
            name: labels.value("alertname").to_owned(),
            state,
            severity: Severity::from_label(labels.value("severity")),
            annotations: Labels::empty(),
            active_at,
            fired_at: None,
            resolved_at: None,
            cause: None,
            notified: false,
            notified_by: Vec::new(),
            silenced: false,
            acknowledged_by: None,
            value: None,
            threshold: None,
            expression: String::new(),
            for_seconds: 0.0,
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
