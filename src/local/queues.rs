//! Queues: depth, age, flow and drain time from the normalised series that dialects write.

use super::context::Context;
use super::deliveries::{Delivery, deliveries};
use super::lens::Lens;
use std::collections::BTreeMap;
use std::time::Duration;
use watchfire_model::reading::{Queue, Queues, ReadError};
use watchfire_model::{HealthState, Labels};

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
        ("max", "watchfire_queue_drain_seconds", |q, v| q.drain_seconds = Some(v)),
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
    for (queue, system, flow) in span_flow(lens, context, &deliveries)? {
        if let Some(known) = out.values_mut().find(|q| q.queue == queue) {
            known.in_rate = known.in_rate.or(Some(flow.published));
            known.out_rate = known.out_rate.or(Some(flow.consumed));
        } else {
            let row = Queue { in_rate: Some(flow.published), out_rate: Some(flow.consumed), ..Queue::default() };
            out.insert((queue.clone(), system.clone()), Queue { queue, system, ..row });
        }
    }
    let flow = message_flow(lens, &deliveries)?;
    for (labels, column) in
        lens.columns("sum by (queue, system) (watchfire_queue_depth)", Duration::from_secs(15 * 60), Duration::from_secs(60))?
    {
        if let Some(entry) = out.get_mut(&key(&labels)) {
            entry.sparkline = column;
        }
    }
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
        if queue.drain_seconds.is_none() {
            queue.drain_seconds = drain_seconds(queue);
        }
        queue.state = state(queue);
    }
    queues.sort_by(|a, b| b.state.cmp(&a.state).then_with(|| b.depth.unwrap_or(-1.0).total_cmp(&a.depth.unwrap_or(-1.0))));
    Ok(Queues { queues })
}

/// Time until empty at the present rates; a queue that does not shrink never drains.
fn drain_seconds(queue: &Queue) -> Option<f64> {
    let (depth, inflow, outflow) = (queue.depth?, queue.in_rate?, queue.out_rate?);
    if depth <= 0.0 {
        return Some(0.0);
    }
    (outflow > inflow).then(|| depth / (outflow - inflow))
}

fn state(queue: &Queue) -> HealthState {
    let Some(depth) = queue.depth else { return HealthState::Unknown };
    let beyond = queue.threshold.is_some_and(|t| depth > t);
    let abandoned = queue.consumers == Some(0.0) && depth > 0.0;
    if beyond || abandoned { HealthState::Degraded } else { HealthState::Healthy }
}

#[derive(Default)]
struct Parties {
    producers: Vec<String>,
    consumers: Vec<String>,
}

/// Messages per second through a queue, as spans show them.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    published: f64,
    consumed: f64,
}

/// Queues that spans name, with what goes in and comes out. How much waits inside no span tells.
fn span_flow(lens: &Lens<'_>, context: &Context<'_>, deliveries: &[Delivery]) -> Result<Vec<(String, String, Flow)>, ReadError> {
    let mut nodes: BTreeMap<String, String> = BTreeMap::new();
    for (labels, _) in lens.vector(r#"watchfire_node_info{kind="queue"}"#)? {
        nodes.insert(labels.value("node").to_owned(), labels.value("system").to_owned());
    }
    let mut consumed: BTreeMap<(String, String), BTreeMap<&str, f64>> = BTreeMap::new();
    for delivery in deliveries {
        let queue = (delivery.queue.clone(), delivery.system.clone());
        *consumed.entry(queue).or_default().entry(&delivery.server).or_default() += delivery.rate;
    }
    let mut flows: BTreeMap<(String, String), Flow> = BTreeMap::new();
    for (queue, by_consumer) in consumed {
        // Each consumer gets every message; they do not add up.
        let rate = by_consumer.values().copied().fold(0.0, f64::max);
        flows.insert(queue, Flow { published: rate, consumed: rate });
    }
    let unconsumed = r#"traces_service_graph_request_total{job="",connection_type="virtual_node"}"#;
    for (labels, rate) in lens.vector(&format!("sum by (server) (rate({unconsumed}[{}]))", lens.window_text()))? {
        let server = labels.value("server");
        // Published, and no consumer was seen.
        if let Some(system) = nodes.get(server) {
            flows.entry((context.canonical(server).to_owned(), system.clone())).or_default().published += rate;
        }
    }
    Ok(flows.into_iter().map(|((queue, system), flow)| (queue, system, flow)).collect())
}

/// Who publishes to and consumes from each queue.
fn message_flow(lens: &Lens<'_>, deliveries: &[Delivery]) -> Result<BTreeMap<String, Parties>, ReadError> {
    let mut out: BTreeMap<String, Parties> = BTreeMap::new();
    for delivery in deliveries {
        let parties = out.entry(delivery.queue.clone()).or_default();
        for (name, list) in [(&delivery.client, &mut parties.producers), (&delivery.server, &mut parties.consumers)] {
            if !list.contains(name) {
                list.push(name.clone());
            }
        }
    }
    for (labels, _) in
        lens.vector(r#"sum by (client, server) (rate(traces_service_graph_request_total{connection_type="messaging_system"}[5m])) > 0"#)?
    {
        let (client, server) = (labels.value("client"), labels.value("server"));
        out.entry(server.to_owned()).or_default().producers.push(client.to_owned());
        out.entry(client.to_owned()).or_default().consumers.push(server.to_owned());
    }
    Ok(out)
}
