//! Dead-letter queues by name: where a system has no figure of its own for what a queue gave up on, it is the depth of the queue beside it.

use super::rows::QueueRow;
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// `orders.dlq`, `orders_dead`, `orders-dead-letter`, `orders.DLT`, `orders/$DeadLetterQueue`, `dlq:orders`, `OrdersDLQ`.
static MARKER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)(^|[._:/-])\$?(dl[qxt]|dead([._-]?letters?([._-]?queue)?)?)([._:/-]|$)|(?-i:DLQ)$").expect("a constant expression")
});

/// The name of the queue whose dead letters `name` holds; empty where it holds those of nobody in particular.
pub(super) fn origin(name: &str) -> Option<String> {
    let marker = MARKER.find(name)?;
    let (before, after) = (&name[..marker.start()], &name[marker.end()..]);
    Some(match (before, after) {
        ("", rest) | (rest, "") => rest.to_owned(),
        (before, after) => format!("{before}{}{after}", &name[marker.start()..=marker.start()]),
    })
}

/// Whether a queue's name says that it keeps what others gave up on. That nobody reads such a queue is how it is meant.
pub fn holds_dead_letters(queue: &str) -> bool {
    origin(queue).is_some()
}

/// Gives dead-letter queues, and the queues they belong to, the count that no exporter stated.
pub(super) fn attribute<K: Ord + Clone>(queues: &mut BTreeMap<K, QueueRow>) {
    let mut buried: BTreeMap<(String, String), f64> = BTreeMap::new();
    for row in queues.values_mut() {
        if let (Some(origin), Some(depth)) = (origin(&row.queue), row.depth) {
            row.dead_letters.get_or_insert(depth);
            *buried.entry((row.system.clone(), origin)).or_default() += depth;
        }
    }
    for row in queues.values_mut().filter(|r| r.dead_letters.is_none()) {
        row.dead_letters = buried.get(&(row.system.clone(), row.queue.clone())).copied();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_dead_letter_queues_lead_to_their_origin() {
        for (name, expected) in [
            ("orders.dlq", Some("orders")),
            ("orders_dead", Some("orders")),
            ("orders-dead-letter", Some("orders")),
            ("orders.dead_letter_queue", Some("orders")),
            ("orders.DLT", Some("orders")),
            ("orders/$DeadLetterQueue", Some("orders")),
            ("dlq:orders", Some("orders")),
            ("OrdersDLQ", Some("Orders")),
            ("orders.dlq.eu", Some("orders.eu")),
            ("dead-letters", Some("")),
            ("orders", None),
            ("deadline_checks", None),
            ("undead", None),
        ] {
            assert_eq!(origin(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_queue_has_the_dead_letters_of_the_queue_beside_it_unless_it_knows_its_own() {
        let row = |queue: &str, system: &str, depth: f64, dead_letters: Option<f64>| {
            let row = QueueRow { queue: queue.into(), system: system.into(), depth: Some(depth), dead_letters, ..QueueRow::default() };
            ((system.to_owned(), queue.to_owned()), row)
        };
        let mut queues = BTreeMap::from([
            row("orders", "celery", 5.0, None),
            row("orders_dead", "celery", 3.0, None),
            row("orders", "redis", 5.0, None),
            row("mail", "celery", 1.0, Some(7.0)),
            row("mail.dlq", "celery", 2.0, None),
        ]);
        attribute(&mut queues);
        let dead: Vec<_> = queues.values().map(|r| (r.system.as_str(), r.queue.as_str(), r.dead_letters)).collect();
        assert_eq!(
            dead,
            [
                ("celery", "mail", Some(7.0)),
                ("celery", "mail.dlq", Some(2.0)),
                ("celery", "orders", Some(3.0)),
                ("celery", "orders_dead", Some(3.0)),
                ("redis", "orders", None),
            ]
        );
    }
}
