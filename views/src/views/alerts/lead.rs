//! Where an alert leads on: to a trace that shows its trouble, or where none can, to the view of what its rule is about.

use super::Alert;
use crate::views::ViewId;

/// A view, what it is opened with, and the word on the key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lead {
    pub(super) view: ViewId,
    pub(super) subject: Option<String>,
    pub(super) word: &'static str,
}

/// From its evidence, its labels and the series that its rule reads.
pub(super) fn lead(alert: &Alert) -> Lead {
    let to = |view, subject: String, word| Lead { view, subject: Some(subject).filter(|s| !s.is_empty()), word };
    if let Some(id) = alert.evidence.as_ref().and_then(|e| e.trace_ids.first()) {
        return to(ViewId::Traces, format!("id:{id}"), "trace");
    }
    let label = |name| alert.labels.value(name);
    let service = ["service", "service_name", "job"].into_iter().map(label).find(|name| !name.is_empty()).unwrap_or("");
    let names: Vec<&str> = alert.expression.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))).collect();
    let reads = |prefix: &str| names.iter().any(|name| name.starts_with(prefix));
    if !label("queue").is_empty() || reads("watchfire_queue_") {
        let queue = if label("system").is_empty() { label("queue").to_owned() } else { format!("{} {}", label("queue"), label("system")) };
        return to(ViewId::Queues, queue, "queue");
    }
    if !label("breaker").is_empty() || reads("watchfire_breaker_") {
        let breaker = if label("breaker").is_empty() { String::new() } else { format!("{service} → {}", label("breaker")) };
        return to(ViewId::Breakers, breaker, "breaker");
    }
    if reads("watchfire_service_health") || reads("probe_") || names.contains(&"up") {
        let check = if label("check").is_empty() { String::new() } else { format!("{service} {}", label("check")) };
        return to(ViewId::Health, check, "health");
    }
    // The page of a service tells of its calls; what else a rule measures only its own series show.
    if !service.is_empty() && (reads("traces_") || reads("watchfire_")) {
        return to(ViewId::Service, service.to_owned(), "service");
    }
    to(ViewId::Explore, alert.expression.clone(), "explore")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_alert_without_traces_leads_to_the_view_that_shows_what_its_rule_measures() {
        for (expression, labels, view, subject) in [
            (
                "sum by (service_name) (rate(traces_span_metrics_calls_total[1m])) > 9",
                json!({"service_name": "web"}),
                ViewId::Service,
                "web",
            ),
            (
                "max by (job) (replication_lag_seconds) > 30",
                json!({"job": "cms"}),
                ViewId::Explore,
                "max by (job) (replication_lag_seconds) > 30",
            ),
            ("up == 0", json!({"job": "cms"}), ViewId::Health, ""),
            ("watchfire_queue_depth > 9", json!({"queue": "mail"}), ViewId::Queues, "mail"),
            ("watchfire_breaker_state == 2", json!({"service": "web", "breaker": "pay"}), ViewId::Breakers, "web → pay"),
        ] {
            let alert = json!({
                "name": "A", "state": "firing", "severity": "warning", "labels": labels, "annotations": {}, "expression": expression,
                "active_at": null, "cause": null, "notified": false,
            });
            let lead = lead(&serde_json::from_value(alert).expect("an alert"));
            assert_eq!((lead.view, lead.subject.as_deref().unwrap_or("")), (view, subject), "{expression}");
        }
    }
}
