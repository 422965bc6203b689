//! Queues out of PromQL expressions, each measure from the first expression that knows the queue.

use super::Look;
use super::file::{Format, QueueSource};
use super::rows::QueueRow;
use std::collections::BTreeMap;
use std::sync::Arc;
use watchfire_model::Labels;
use watchfire_promql::Query;

type Key = (String, Option<String>);
type Measures = BTreeMap<Key, f64>;

/// The queues one entry of a dialect knows.
pub(super) fn read(source: &QueueSource, dialect: &str, look: &Look<'_>) -> Vec<QueueRow> {
    let mut depth = measures(source, &source.depth, look);
    if let Some(pattern) = &source.names {
        for (labels, value) in look.named(pattern, "") {
            if let Some(queue) = Format::first(&source.queue, &labels)
                && value >= 0.0
            {
                depth.entry((queue, None)).or_insert(value);
            }
        }
    }
    depth.retain(|(queue, _), _| !queue.is_empty());
    if depth.is_empty() || source.only_without.as_ref().is_some_and(|q| !look.vector(q).is_empty()) {
        return Vec::new();
    }
    let oldest = measures(source, &source.oldest, look);
    let consumers = measures(source, &source.consumers, look);
    let in_rate = fill(source, source.in_rate.iter().map(|q| look.rate(q)));
    let out_rate = fill(source, source.out_rate.iter().map(|q| look.rate(q)));
    let dead_letters = measures(source, &source.dead_letters, look);
    depth
        .into_iter()
        .map(|(key, depth)| {
            let of = |measures: &Measures| find(measures, &key);
            let mut row = QueueRow {
                depth: Some(depth),
                oldest_seconds: of(&oldest).filter(|v| *v >= 0.0),
                consumers: of(&consumers),
                in_rate: of(&in_rate).filter(|v| *v >= 0.0),
                out_rate: of(&out_rate).filter(|v| *v >= 0.0),
                dead_letters: of(&dead_letters),
                drain_seconds: None,
                queue: key.0.clone(),
                group: key.1.clone(),
                system: source.system.clone(),
                source: dialect.to_owned(),
            };
            row.drain_seconds = drain(&row, look);
            row
        })
        .collect()
}

fn measures(source: &QueueSource, queries: &[Arc<Query>], look: &Look<'_>) -> Measures {
    fill(source, queries.iter().map(|q| look.vector(q)))
}

/// Values by queue and group. Later expressions fill in only what earlier ones do not know, so nothing is counted twice.
fn fill(source: &QueueSource, answers: impl Iterator<Item = Vec<(Labels, f64)>>) -> Measures {
    let mut found = Measures::new();
    for answer in answers {
        let mut here: BTreeMap<Key, f64> = BTreeMap::new();
        for (labels, value) in answer {
            if let Some(key) = key(source, &labels)
                && !value.is_nan()
            {
                here.entry(key).or_insert(value);
            }
        }
        for (key, value) in here {
            found.entry(key).or_insert(value);
        }
    }
    found
}

/// A measure may know only the queue, or only the group: what it does not say is left empty.
fn key(source: &QueueSource, labels: &Labels) -> Option<Key> {
    let queue = Format::first(&source.queue, labels);
    let group = Format::first(&source.group, labels);
    match (queue, group) {
        (Some(queue), group) => Some((queue, group)),
        (None, Some(group)) => Some((String::new(), Some(group))),
        (None, None) => None,
    }
}

fn find(measures: &Measures, (queue, group): &Key) -> Option<f64> {
    let exact = measures.get(&(queue.clone(), group.clone()));
    let by_queue = || measures.get(&(queue.clone(), None));
    let by_group = || group.as_ref().and_then(|g| measures.get(&(String::new(), Some(g.clone()))));
    exact.or_else(by_queue).or_else(by_group).copied()
}

/// Depth over the rate at which it shrinks: out minus in where both are known, otherwise as it did over the last five minutes.
fn drain(row: &QueueRow, look: &Look<'_>) -> Option<f64> {
    let depth = row.depth?;
    if depth == 0.0 {
        return Some(0.0);
    }
    let shrinks = match (row.in_rate, row.out_rate) {
        (Some(into), Some(out)) => out - into,
        _ => {
            let slopes = look.depth_slopes();
            let group = row.group.as_deref().unwrap_or("");
            let own = |l: &Labels| l.value("queue") == row.queue && l.value("system") == row.system && l.value("group") == group;
            -slopes.iter().find(|(labels, _)| own(labels)).map(|(_, slope)| *slope)?
        }
    };
    (shrinks > 1e-9).then(|| depth / shrinks)
}
