//! Queues: depth, age, flow and drain time from the normalised series that dialects write.

use super::context::Context;
use super::deliveries::{Delivery, deliveries, stated_system};
use super::lens::Lens;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use watchfire_alerts::holds_dead_letters;
use watchfire_model::reading::{Queue, Queues, ReadError, own_name};
use watchfire_model::{HealthState, Labels};

/// Share of the messages of a queue that may come from nobody, as after a lost span, before producers are taken to send no spans. Messages that
/// waited longer than the other half of a delivery is waited for come from nobody too; as many are then sent to nobody.
const UNSENT: f64 = 0.1;

/// Stopped groups of one queue that are named.
const NAMED: usize = 3;
/// What comes out for the groups for whom something waits: one that keeps up says nothing of another that does not.
const SLOWEST: &str = "watchfire_queue_out_rate and on (queue, system, group) watchfire_queue_depth > 0";
/// A queue is empty when it is for all its groups; one of them that does not shrink never drains.
const DRAINING: &str = "watchfire_queue_drain_seconds \
     unless on (queue, system) (watchfire_queue_depth > 0 unless on (queue, system, group) watchfire_queue_drain_seconds)";

/// The `queues` reading.
///
/// # Errors
/// When the store cannot be queried.
pub fn queues(lens: &Lens<'_>, context: &Context<'_>) -> Result<Queues, ReadError> {
    let mut out: BTreeMap<(String, String), Queue> = BTreeMap::new();
    let key = |labels: &Labels| (labels.value("queue").to_owned(), labels.value("system").to_owned());
    // Several consumer groups can read one queue: what waits for each adds up, how fast and how old does not.
    for (fold, metric, set) in [
        ("sum", "watchfire_queue_depth", (|q, v| q.depth = Some(v)) as fn(&mut Queue, f64)),
        ("max", "watchfire_queue_oldest_seconds", |q, v| q.oldest_seconds = Some(v)),
        ("sum", "watchfire_queue_consumers", |q, v| q.consumers = Some(v)),
        ("max", "watchfire_queue_in_rate", |q, v| q.in_rate = Some(v)),
        ("max", "watchfire_queue_out_rate", |q, v| q.out_rate = Some(v)),
        ("min", SLOWEST, |q, v| q.out_rate = Some(v)),
        ("max", DRAINING, |q, v| q.drain_seconds = Some(v)),
        ("max", "watchfire_queue_dead_letters", |q, v| q.dead_letters = Some(v)),
    ] {
        for (labels, value) in lens.vector(&format!("{fold} by (queue, system) ({metric})"))? {
            let (queue, system) = key(&labels);
            let entry = out.entry((queue.clone(), system.clone())).or_insert_with(|| Queue { queue, system, ..Queue::default() });
            set(entry, value);
        }
    }
    for (labels, _) in lens.vector("group by (queue, system, dialect) (watchfire_queue_depth)")? {
        if let Some(entry) = out.get_mut(&key(&labels)) {
            entry.source = labels.get("dialect").map(str::to_owned);
        }
    }
    for (queue, system, threshold) in context.declared_queues() {
        let present = out.keys().any(|(name, _)| *name == queue);
        if !present {
            out.insert((queue.clone(), system.clone()), Queue { queue: queue.clone(), system, ..Queue::default() });
        }
        for ((name, _), entry) in &mut out {
            if *name == queue {
                entry.declared = true;
                entry.threshold = threshold;
            }
        }
    }
    let deliveries = deliveries(lens, context)?;
    let unconsumed = unconsumed(lens, context)?;
    take_flows(lens, span_flow(&deliveries, &unconsumed), &mut out)?;
    let flow = message_flow(lens, &deliveries, unconsumed)?;
    for (labels, column) in
        lens.columns("sum by (queue, system) (watchfire_queue_depth)", Duration::from_secs(15 * 60), Duration::from_secs(60))?
    {
        if let Some(entry) = out.get_mut(&key(&labels)) {
            entry.sparkline = column;
        }
    }
    let growing = growing_dead_letters(lens)?;
    let stopped = stopped_groups(lens)?;
    let mut queues: Vec<Queue> = out.into_values().collect();
    for queue in &mut queues {
        if let Some(parties) = flow.get(&queue.queue) {
            queue.producers = parties.producers.clone();
            queue.consumer_services = parties.consumers.clone();
        }
        for (producer, consumer) in context.queue_parties(&queue.queue) {
            for (name, list) in [(producer, &mut queue.producers), (consumer, &mut queue.consumer_services)] {
                if let Some(name) = name
                    && !list.contains(&name)
                {
                    list.push(name);
                }
            }
        }
        let key = (queue.queue.clone(), queue.system.clone());
        let stopped = stopped.get(&key).map_or(&[][..], |groups| groups);
        if queue.drain_seconds.is_none() && stopped.is_empty() {
            queue.drain_seconds = drain_seconds(queue);
        }
        queue.why = why(queue, growing.get(&key).copied(), stopped);
        queue.state = match queue.depth {
            None if queue.why.is_empty() => HealthState::Unknown,
            Some(_) if queue.why.is_empty() => HealthState::Healthy,
            _ => HealthState::Degraded,
        };
    }
    queues.sort_by(|a, b| b.state.cmp(&a.state).then_with(|| b.depth.unwrap_or(-1.0).total_cmp(&a.depth.unwrap_or(-1.0))));
    Ok(Queues { queues })
}

/// Fills in what spans show of the flow where no exporter counts it.
fn take_flows(
    lens: &Lens<'_>,
    flows: Vec<(String, String, Flow)>,
    queues: &mut BTreeMap<(String, String), Queue>,
) -> Result<(), ReadError> {
    let mut published = Vec::new();
    for (queue, system, flow) in flows {
        let named = queues.iter().find(|((name, _), _)| *name == queue).map(|(key, _)| key.clone());
        let key = named.unwrap_or_else(|| (queue.clone(), system.clone()));
        let row = queues.entry(key.clone()).or_insert_with(|| Queue { queue, system, ..Queue::default() });
        // What spans show may be a part, and would not fit what an exporter counts on the other side.
        if row.out_rate.is_none() {
            row.out_rate = flow.consumed;
            row.in_rate = row.in_rate.or(flow.published);
        }
        published.push((key, flow.published));
    }
    infer_in_rates(lens, queues)?;
    for (key, published) in published {
        if let Some(row) = queues.get_mut(&key) {
            row.in_rate = row.in_rate.or(published);
        }
    }
    Ok(())
}

/// What goes in, where only what comes out is counted: that, and what the queue gained.
fn infer_in_rates(lens: &Lens<'_>, queues: &mut BTreeMap<(String, String), Queue>) -> Result<(), ReadError> {
    let gained = format!("sum by (queue, system) (deriv(watchfire_queue_depth[{}]))", lens.scrape_window_text());
    for (labels, gained) in lens.vector(&gained)? {
        let Some(queue) = queues.get_mut(&(labels.value("queue").to_owned(), labels.value("system").to_owned())) else { continue };
        if let (None, Some(out)) = (queue.in_rate, queue.out_rate) {
            queue.in_rate = Some((out + gained).max(0.0));
            queue.in_inferred = true;
        }
    }
    Ok(())
}

/// Time until empty at the present rates; a queue that does not shrink never drains.
fn drain_seconds(queue: &Queue) -> Option<f64> {
    let (depth, inflow, outflow) = (queue.depth?, queue.in_rate?, queue.out_rate?);
    if depth <= 0.0 {
        return Some(0.0);
    }
    (outflow > inflow).then(|| depth / (outflow - inflow))
}

/// How many dead letters came within a quarter of an hour: lost work that nothing else shows. An old pile is no news.
fn growing_dead_letters(lens: &Lens<'_>) -> Result<BTreeMap<(String, String), f64>, ReadError> {
    let more = "max by (queue, system) (watchfire_queue_dead_letters - min_over_time(watchfire_queue_dead_letters[15m])) > 0";
    Ok(lens.vector(more)?.into_iter().map(|(l, more)| ((l.value("queue").to_owned(), l.value("system").to_owned()), more)).collect())
}

/// Consumer groups for which something waits and that take nothing, in words.
fn stopped_groups(lens: &Lens<'_>) -> Result<BTreeMap<(String, String), Vec<String>>, ReadError> {
    let waits = r#"watchfire_queue_depth{group!=""} > 0 and on (queue, system, group)"#;
    let mut out: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for (query, what) in [
        (format!("{waits} (watchfire_queue_consumers == 0)"), "nobody reads it"),
        (
            format!(
                "{waits} (watchfire_queue_out_rate == 0) and on (queue, system, group) (watchfire_queue_in_rate > 0) \
                 unless on (queue, system, group) (watchfire_queue_consumers == 0)"
            ),
            "nothing comes out of it",
        ),
    ] {
        for (labels, _) in lens.vector(&format!("group by (queue, system, group) ({query})"))? {
            let (queue, system) = (labels.value("queue").to_owned(), labels.value("system").to_owned());
            out.entry((queue, system)).or_default().push(format!("{what} for {}", labels.value("group")));
        }
    }
    for groups in out.values_mut().filter(|groups| groups.len() > NAMED) {
        let more = groups.len() - NAMED;
        groups.truncate(NAMED);
        groups.push(format!("and {more} more groups like these"));
    }
    Ok(out)
}

fn why(queue: &Queue, new_dead_letters: Option<f64>, stopped: &[String]) -> Vec<String> {
    let depth = queue.depth.unwrap_or(0.0);
    let mut why = Vec::new();
    if let Some(limit) = queue.threshold.filter(|limit| depth > *limit) {
        why.push(format!("more than {limit} wait"));
    }
    if queue.consumers == Some(0.0) && depth > 0.0 && !holds_dead_letters(&queue.queue) {
        why.push("nobody reads it".to_owned());
    }
    if why.is_empty() && !holds_dead_letters(&queue.queue) {
        why.extend_from_slice(stopped);
    }
    // How many wait need not be known for this.
    let stuck = queue.depth != Some(0.0) && queue.out_rate == Some(0.0) && queue.in_rate.is_some_and(|rate| rate > 0.0);
    if stuck && why.is_empty() && !holds_dead_letters(&queue.queue) {
        why.push("nothing comes out of it".to_owned());
    }
    if let Some(more) = new_dead_letters {
        let plural = if more == 1.0 { "" } else { "s" };
        why.push(format!("{more:.0} dead letter{plural} within 15m"));
    }
    why
}

#[derive(Default)]
struct Parties {
    producers: Vec<String>,
    consumers: Vec<String>,
}

/// Messages per second through a queue, as spans show them.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    /// Unknown where messages come out that nobody was seen to send: their producers send no spans.
    published: Option<f64>,
    /// Unknown where no consumer was ever seen: it may send no spans.
    consumed: Option<f64>,
}

/// Queues that spans name, with what goes in and comes out. How much waits inside no span tells.
fn span_flow(deliveries: &[Delivery], unconsumed: &[Unconsumed]) -> Vec<(String, String, Flow)> {
    /// Messages per second whose producer is known, and all.
    type Taken = (f64, f64);
    let mut by_consumer: BTreeMap<(String, String), BTreeMap<&str, Taken>> = BTreeMap::new();
    for delivery in deliveries {
        let queue = (delivery.queue.clone(), delivery.system.clone());
        let (sent, taken) = by_consumer.entry(queue).or_default().entry(&delivery.server).or_default();
        *taken += delivery.rate;
        // When the others went in is not known; now is not when.
        if !delivery.client.is_empty() {
            *sent += delivery.rate;
        }
    }
    let mut waiting: BTreeMap<(String, String), f64> = BTreeMap::new();
    for one in unconsumed {
        *waiting.entry((one.queue.clone(), one.system.clone())).or_default() += one.rate;
        by_consumer.entry((one.queue.clone(), one.system.clone())).or_default();
    }
    let flow = |((queue, system), by_consumer): ((String, String), BTreeMap<&str, Taken>)| {
        let waits = waiting.get(&(queue.clone(), system.clone())).copied().unwrap_or(0.0);
        // Each consumer gets every message; they do not add up.
        let (sent, consumed) = (by_consumer.values().map(|t| t.0).fold(0.0, f64::max), by_consumer.values().map(|t| t.1).reduce(f64::max));
        let published = sent + waits;
        let unsent = consumed.unwrap_or(0.0) - sent;
        let told = unsent <= waits + UNSENT * consumed.unwrap_or(0.0);
        (queue, system, Flow { published: told.then_some(published), consumed })
    };
    by_consumer.into_iter().map(flow).collect()
}

/// What somebody publishes to a queue of which no consumer was seen.
struct Unconsumed {
    producer: String,
    queue: String,
    system: String,
    /// Messages per second.
    rate: f64,
}

fn unconsumed(lens: &Lens<'_>, context: &Context<'_>) -> Result<Vec<Unconsumed>, ReadError> {
    let mut nodes: BTreeMap<String, String> = BTreeMap::new();
    for (labels, _) in lens.vector(r#"watchfire_node_info{kind="queue"}"#)? {
        nodes.insert(labels.value("node").to_owned(), labels.value("system").to_owned());
    }
    let published = r#"traces_service_graph_request_total{job="",connection_type="virtual_node"}"#;
    let rates = lens.vector(&format!("sum by (client, server) (rate({published}[{}]))", lens.window_text()))?;
    let to_queues = rates.into_iter().filter_map(|(labels, rate)| {
        let server = labels.value("server");
        let system = nodes.get(server)?;
        let queue = context.canonical(own_name(server, stated_system(system))).to_owned();
        Some(Unconsumed { producer: labels.value("client").to_owned(), queue, system: system.clone(), rate })
    });
    Ok(to_queues.collect())
}

/// Who publishes to and consumes from each queue.
fn message_flow(lens: &Lens<'_>, deliveries: &[Delivery], unconsumed: Vec<Unconsumed>) -> Result<BTreeMap<String, Parties>, ReadError> {
    let mut out: BTreeMap<String, Parties> = BTreeMap::new();
    let paired: BTreeSet<(&str, &str)> = deliveries.iter().map(|d| (&*d.client, &*d.server)).collect();
    for delivery in deliveries {
        let parties = out.entry(delivery.queue.clone()).or_default();
        for (name, list) in [(&delivery.client, &mut parties.producers), (&delivery.server, &mut parties.consumers)] {
            if !name.is_empty() && !list.contains(name) {
                list.push(name.clone());
            }
        }
    }
    for Unconsumed { producer, queue, rate, .. } in unconsumed {
        let producers = &mut out.entry(queue).or_default().producers;
        if rate > 0.0 && !producers.contains(&producer) {
            producers.push(producer);
        }
    }
    for (labels, _) in
        lens.vector(r#"sum by (client, server) (rate(traces_service_graph_request_total{connection_type="messaging_system"}[5m])) > 0"#)?
    {
        let (client, server) = (labels.value("client"), labels.value("server"));
        // Both ends of a delivery are services. A queue may be called like one of them.
        if paired.contains(&(client, server)) {
            continue;
        }
        out.entry(server.to_owned()).or_default().producers.push(client.to_owned());
        out.entry(client.to_owned()).or_default().consumers.push(server.to_owned());
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
