//! Queues out of PromQL expressions, each measure from the first expression that knows the queue.

use super::Look;
use super::dead_letters::origin;
use super::file::{Format, QueueSource};
use super::rows::QueueRow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use watchfire_model::Labels;
use watchfire_promql::Query;

/// Queue, group, and the server that has it, where the dialect asks for that.
type Key = (String, Option<String>, String);
type Measures = BTreeMap<Key, f64>;

/// The queues one entry of a dialect knows.
pub(super) fn read(source: &QueueSource, dialect: &str, look: &Look<'_>) -> Vec<QueueRow> {
    let mut depth = measures(source, &source.depth, look);
    if let Some(pattern) = &source.names {
        for (labels, value) in look.named(pattern, "") {
            if let Some(queue) = Format::first(&source.queue, &labels)
                && value >= 0.0
            {
                depth.entry((queue, None, String::new())).or_insert(value);
            }
        }
    }
    depth.retain(|(queue, ..), _| !queue.is_empty());
    if depth.is_empty() || source.only_without.as_ref().is_some_and(|q| !look.vector(q).is_empty()) {
        return Vec::new();
    }
    let oldest = measures(source, &source.oldest, look);
    let consumers = measures(source, &source.consumers, look);
    let in_rate = fill(source, source.in_rate.iter().map(|q| look.rate(q)));
    let out_rate = fill(source, source.out_rate.iter().map(|q| look.rate(q)));
    let dead_letters = measures(source, &source.dead_letters, look);
    let mut servers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (queue, _, server) in depth.keys().filter(|(_, _, server)| !server.is_empty()) {
        servers.entry(queue.clone()).or_default().insert(server.clone());
    }
    // Where one server has a queue of this name it keeps its name, and with it what rules and spans say of it.
    let several = |queue: &str| servers.get(queue).is_some_and(|servers| servers.len() > 1);
    let name = |(queue, _, server): &Key| {
        // What a queue gave up on stays beside it.
        let told_apart = several(queue) || origin(queue).is_some_and(|queue| several(&queue));
        if told_apart && !server.is_empty() { format!("{server}/{queue}") } else { queue.clone() }
    };
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
                queue: name(&key),
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
        // Who says nothing of servers does not know one more than those that have the queue.
        let known: BTreeSet<(String, Option<String>)> = found.keys().map(|(queue, group, _)| (queue.clone(), group.clone())).collect();
        let mut here: BTreeMap<Key, f64> = BTreeMap::new();
        for (labels, value) in answer {
            if let Some(key) = key(source, &labels)
                && !value.is_nan()
            {
                here.entry(key).or_insert(value);
            }
        }
        for ((queue, group, server), value) in here {
            if server.is_empty() && known.contains(&(queue.clone(), group.clone())) {
                continue;
            }
            found.entry((queue, group, server)).or_insert(value);
        }
    }
    found
}

/// A measure may know only the queue, or only the group: what it does not say is left empty.
fn key(source: &QueueSource, labels: &Labels) -> Option<Key> {
    let queue = Format::first(&source.queue, labels);
    let group = Format::first(&source.group, labels);
    let server = Format::first(&source.server, labels).unwrap_or_default();
    match (queue, group) {
        (Some(queue), group) => Some((queue, group, server)),
        (None, Some(group)) => Some((String::new(), Some(group), server)),
        (None, None) => None,
    }
}

fn find(measures: &Measures, (queue, group, server): &Key) -> Option<f64> {
    let on = |server: &str| {
        let exact = measures.get(&(queue.clone(), group.clone(), server.to_owned()));
        let by_queue = || measures.get(&(queue.clone(), None, server.to_owned()));
        let by_group = || group.as_ref().and_then(|g| measures.get(&(String::new(), Some(g.clone()), server.to_owned())));
        exact.or_else(by_queue).or_else(by_group).copied()
    };
    on(server).or_else(|| on(""))
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
