//! What an alert is called, whom it is about, and who has it.

use crate::filter::{Field, Fields};
use crate::number;
use std::borrow::Cow;
use watchfire_model::reading::{Alert, AlertState};

impl Fields for Alert {
    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "alert" | "name" => Field::text(&self.name),
            "severity" => Field::text(self.severity.word()),
            "state" => Field::text(state_word(self)),
            "service" => Field::text(subject(self)),
            "group" => Field::text(&self.group),
            "value" => Field::Number(self.value),
            "silenced" => Field::Flag(self.silenced),
            "acknowledged" => Field::Flag(self.acknowledged_by.is_some()),
            "notified" => Field::Flag(self.notified),
            "firing" | "error" => Field::Flag(self.state == AlertState::Firing),
            "pending" => Field::Flag(self.state == AlertState::Pending),
            label => Field::text(self.labels.get(label.strip_prefix("label.")?).unwrap_or("")),
        })
    }

    fn words(&self) -> Vec<Cow<'_, str>> {
        let mut words: Vec<Cow<'_, str>> = vec![Cow::Borrowed(&self.name), Cow::Borrowed(self.severity.word())];
        words.extend(self.labels.iter().map(|l| Cow::Borrowed(&*l.value)));
        words
    }
}

/// What an alert is about: its service, or the nearest to one among its labels.
pub(in crate::views) fn subject(alert: &Alert) -> &str {
    const LABELS: [&str; 8] = ["service", "service_name", "queue", "breaker", "server", "job", "instance", "client"];
    LABELS.iter().map(|l| alert.labels.value(l)).find(|v| !v.is_empty()).unwrap_or("")
}

pub(in crate::views) fn state_word(alert: &Alert) -> &'static str {
    match alert.state {
        AlertState::Firing => "firing",
        AlertState::Pending => "pending",
        AlertState::Resolved => "resolved",
    }
}

/// Who has it, or why nobody has. `beneath` where its cause stands above it.
pub(super) fn notified(alert: &Alert, beneath: bool) -> String {
    if let Some(cause) = alert.cause.as_ref().filter(|_| alert.state == AlertState::Firing && !alert.notified) {
        return if beneath { "held: cause above".to_owned() } else { format!("held: ← {}", cause.service) };
    }
    if alert.silenced {
        return "silenced".to_owned();
    }
    match (alert.notified_by.as_slice(), alert.notified) {
        ([], true) => "yes".to_owned(),
        ([], false) if alert.state == AlertState::Firing && alert.unheard => "nobody: no route".to_owned(),
        ([], false) if alert.state == AlertState::Firing => "not yet".to_owned(),
        ([], false) => number::UNKNOWN.to_owned(),
        (paths, _) => paths.join(", "),
    }
}

/// Whether a text is the name of an alert, with values of its labels where others share the name.
pub(super) fn names(alert: &Alert, text: &str) -> bool {
    let mut words = text.split(' ');
    words.next() == Some(&alert.name) && words.all(|w| alert.labels.iter().any(|l| &*l.value == w))
}

pub(super) fn identity(alert: &Alert) -> String {
    if alert.fingerprint.is_empty() {
        let labels: Vec<String> = alert.labels.iter().map(|l| format!("{}={}", l.name, l.value)).collect();
        return format!("{} {}", alert.name, labels.join(","));
    }
    alert.fingerprint.clone()
}
