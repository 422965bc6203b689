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
    if !service.is_empty() {
        return to(ViewId::Service, service.to_owned(), "service");
    }
    to(ViewId::Explore, alert.expression.clone(), "explore")
}
