//! Messages between services, by the queue that they pass through as their producer names it.

use super::context::Context;
use super::lens::Lens;
use std::collections::{BTreeMap, BTreeSet};
use watchfire_model::Labels;
use watchfire_model::reading::ReadError;

/// What stands for the system of a queue where none is stated.
const MESSAGING: &str = "messaging";

/// What passes from one producer through one queue to one consumer.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// Empty where the producer is not known.
    pub client: String,
    /// The queue under its declared name.
    pub queue: String,
    /// `kafka`, `rabbitmq` ...; empty where not stated.
    pub system: String,
    pub server: String,
    /// Messages per second, and those of them that failed.
    pub rate: f64,
    pub failed: f64,
    /// 95th percentile of the processing, seconds.
    pub p95: Option<f64>,
}

/// The system of a queue as the name of its node has it.
pub fn stated_system(system: &str) -> &str {
    if system.is_empty() { MESSAGING } else { system }
}

/// Services that read a queue of their own name, and are one node with it.
///
/// # Errors
/// When the store cannot be queried.
pub fn own_readers(lens: &Lens<'_>) -> Result<BTreeSet<String>, ReadError> {
    let pairs = lens.vector("group by (queue, server) (watchfire_message_deliveries_total)")?;
    let own = pairs.into_iter().filter(|(labels, _)| labels.value("queue") == labels.value("server"));
    Ok(own.map(|(labels, _)| labels.value("server").to_owned()).collect())
}

/// Every delivery that is known at the moment of the lens, those at rest included.
///
/// # Errors
/// When the store cannot be queried.
pub fn deliveries(lens: &Lens<'_>, context: &Context<'_>) -> Result<Vec<Delivery>, ReadError> {
    let window = lens.window_text();
    let mut out: BTreeMap<Labels, Delivery> = BTreeMap::new();
    let by = "sum by (client, server, queue, system)";
    for (labels, rate) in lens.vector(&format!("{by} (rate(watchfire_message_deliveries_total[{window}]))"))? {
        let text = |name: &str| labels.value(name).to_owned();
        // A consumer that is called like its queue is one node with it.
        if labels.value("server") == labels.value("queue") {
            continue;
        }
        let delivery = Delivery {
            client: text("client"),
            server: context.canonical(labels.value("server")).to_owned(),
            queue: context.canonical(labels.value("queue")).to_owned(),
            system: text("system"),
            rate,
            ..Delivery::default()
        };
        out.insert(labels, delivery);
    }
    for (labels, failed) in lens.vector(&format!("{by} (rate(watchfire_message_deliveries_failed_total[{window}]))"))? {
        if let Some(delivery) = out.get_mut(&labels) {
            delivery.failed = failed;
        }
    }
    for (labels, p95) in lens.vector(&format!("histogram_quantile(0.95, {by} (rate(watchfire_message_delivery_seconds[{window}])))"))? {
        if let Some(delivery) = out.get_mut(&labels) {
            delivery.p95 = Some(p95);
        }
    }
    Ok(out.into_values().collect())
}
