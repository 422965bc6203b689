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
        queue.why = why(queue, growing.get(&(queue.queue.clone(), queue.system.clone())).copied());
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

fn why(queue: &Queue, new_dead_letters: Option<f64>) -> Vec<String> {
    let depth = queue.depth.unwrap_or(0.0);
    let mut why = Vec::new();
    if let Some(limit) = queue.threshold.filter(|limit| depth > *limit) {
        why.push(format!("more than {limit} wait"));
    }
    if queue.consumers == Some(0.0) && depth > 0.0 && !holds_dead_letters(&queue.queue) {
        why.push("nobody reads it".to_owned());
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
mod tests {
    use super::super::context::{Declared, DeclaredQueue};
    use super::super::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
    use super::*;
    use watchfire_model::reading::{Map, NodeKind, ServiceRow};
    use watchfire_model::{Timestamp, Value};
    use watchfire_promql::Engine;
    use watchfire_testkit::MemorySource;

    const BEGIN: i64 = 1_772_334_000_000;

    fn put(source: &mut MemorySource, metric: &str, queue: &str, from_minute: i64, values: &[f64]) {
        let labels = Labels::from_pairs([("__name__", metric), ("queue", queue), ("system", "celery")]);
        for (minute, value) in values.iter().enumerate() {
            source.push(&labels, Timestamp(BEGIN + (from_minute + minute as i64) * 60_000), Value::Float(*value));
        }
    }

    fn read(source: &MemorySource, minute: i64, declared: &Declared) -> Vec<Queue> {
        let (engine, cache) = (Engine::default(), QueryCache::default());
        let at = Timestamp(BEGIN + minute * 60_000);
        let lens = Lens { engine: &engine, source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
        let context = Context { declared, checks: &[], alerts: &[], breakers: &[], last_seen: &BTreeMap::new() };
        queues(&lens, &context).expect("readable").queues
    }

    /// The queues half an hour in, and the map that they and these services are on.
    fn drawn(source: &MemorySource, services: &[ServiceRow]) -> (Vec<Queue>, Map) {
        let (engine, cache) = (Engine::default(), QueryCache::default());
        let at = Timestamp(BEGIN + 30 * 60_000);
        let lens = Lens { engine: &engine, source, cache: &cache, at, window: RATE_WINDOW * 10, scrape_window: SCRAPE_WINDOW };
        let (declared, last_seen) = (Declared::default(), BTreeMap::new());
        let context = Context { declared: &declared, checks: &[], alerts: &[], breakers: &[], last_seen: &last_seen };
        let queues = queues(&lens, &context).expect("readable").queues;
        let map = super::super::map::map(&lens, &context, services, &queues).expect("readable");
        (queues, map)
    }

    #[test]
    fn a_queue_is_unwell_when_its_consumer_takes_nothing_though_how_many_wait_is_not_known() {
        let mut source = MemorySource::new();
        let mut counter = |name: &str, pairs: &[(&str, &str)], per_minute: f64| {
            let labels = Labels::from_pairs([("__name__", name)].into_iter().chain(pairs.iter().copied()));
            for minute in 0..=30 {
                source.push(&labels, Timestamp(BEGIN + minute * 60_000), Value::Float(minute as f64 * per_minute));
            }
        };
        counter(
            "watchfire_message_deliveries_total",
            &[("queue", "taken"), ("system", "nats"), ("client", "shop"), ("server", "mail")],
            0.0,
        );
        for queue in ["taken", "silent"] {
            let unconsumed = [("client", "shop"), ("server", queue), ("connection_type", "virtual_node")];
            counter("traces_service_graph_request_total", &unconsumed, 240.0);
            counter("watchfire_node_info", &[("node", queue), ("kind", "queue"), ("system", "nats")], 0.0);
        }
        put(&mut source, "watchfire_queue_depth", "piled", 25, &[100.0, 150.0, 200.0, 250.0, 300.0, 350.0]);
        put(&mut source, "watchfire_queue_in_rate", "piled", 25, &[1.0; 6]);
        put(&mut source, "watchfire_queue_out_rate", "piled", 25, &[0.0; 6]);
        let (queues, map) = drawn(&source, &[]);
        let of = |name: &str| queues.iter().find(|q| q.queue == name).expect("a row");
        let (taken, silent, piled) = (of("taken"), of("silent"), of("piled"));
        assert_eq!((piled.depth, &piled.why[..]), (Some(350.0), &taken.why[..]));
        assert_eq!(
            (taken.out_rate, taken.state, &taken.why[..]),
            (Some(0.0), HealthState::Degraded, &["nothing comes out of it".to_owned()][..])
        );
        assert_eq!(
            (silent.out_rate, silent.state, &silent.why[..]),
            (None, HealthState::Unknown, &[][..]),
            "who takes it may send no spans"
        );
        let node = map.nodes.iter().find(|n| n.name == "taken").expect("a node");
        assert_eq!(node.state, HealthState::Degraded);
    }

    #[test]
    fn what_comes_out_is_told_apart_from_what_goes_in() {
        let mut source = MemorySource::new();
        let mut counter = |name: &str, pairs: &[(&str, &str)], per_minute: f64| {
            let labels = Labels::from_pairs([("__name__", name)].into_iter().chain(pairs.iter().copied()));
            for minute in 0..=30 {
                source.push(&labels, Timestamp(BEGIN + minute * 60_000), Value::Float(minute as f64 * per_minute));
            }
        };
        let deliveries = "watchfire_message_deliveries_total";
        let queue = [("queue", "orders"), ("system", "kafka"), ("server", "billing")];
        counter(deliveries, &[&queue[..], &[("client", "shop")]].concat(), 60.0);
        // Of messages that waited for long, who sent them is not known.
        counter(deliveries, &queue, 120.0);
        let unconsumed = [("client", "shop"), ("server", "orders"), ("connection_type", "virtual_node")];
        counter("traces_service_graph_request_total", &unconsumed, 240.0);
        let node = Labels::from_pairs([("__name__", "watchfire_node_info"), ("node", "orders"), ("kind", "queue"), ("system", "kafka")]);
        source.push(&node, Timestamp(BEGIN + 30 * 60_000), Value::Float(1.0));
        let (queues, map) = drawn(&source, &[]);
        let row = &queues[0];
        let rates = [row.in_rate, row.out_rate].map(|rate| rate.map(|rate| (rate * 10.0).round() / 10.0));
        assert_eq!((row.queue.as_str(), rates), ("orders", [Some(5.0), Some(3.0)]));
        assert_eq!((&row.producers[..], &row.consumer_services[..]), (&["shop".to_owned()][..], &["billing".to_owned()][..]));
        let edges: Vec<_> = map.edges.iter().map(|e| (e.client.as_str(), e.server.as_str(), e.rate.map(f64::round))).collect();
        assert_eq!(edges, [("orders", "billing", Some(3.0)), ("shop", "orders", Some(5.0))]);
        assert!(map.nodes.iter().all(|node| !node.name.is_empty()));
    }

    #[test]
    fn what_goes_in_is_not_told_by_the_few_producers_that_send_spans() {
        let mut source = MemorySource::new();
        for (queue, nobody) in [("deep", 90.0), ("unmeasured", 90.0), ("told", 3.0)] {
            for (client, per_minute) in [("shop", 60.0), ("", nobody)] {
                let metric = [("__name__", "watchfire_message_deliveries_total"), ("server", "billing")];
                let labels = Labels::from_pairs([&metric[..], &[("queue", queue), ("system", "celery"), ("client", client)]].concat());
                for minute in 0..=30 {
                    source.push(&labels, Timestamp(BEGIN + minute * 60_000), Value::Float(minute as f64 * per_minute));
                }
            }
        }
        put(&mut source, "watchfire_queue_depth", "deep", 25, &[0.0, 60.0, 120.0, 180.0, 240.0, 300.0]);
        let (queues, _) = drawn(&source, &[]);
        let of = |name: &str| {
            let row = queues.iter().find(|q| q.queue == name).expect("a row");
            let [into, out] = [row.in_rate, row.out_rate].map(|rate| rate.map(|rate| (rate * 10.0).round() / 10.0));
            (into, row.in_inferred, out)
        };
        assert_eq!(of("deep"), (Some(3.5), true, Some(2.5)), "2.5 come out, and it grows by one a second");
        assert_eq!(of("unmeasured"), (None, false, Some(2.5)));
        assert_eq!(of("told"), (Some(1.0), false, Some(1.1)), "a lost span tells nothing of producers");
    }

    #[test]
    fn a_queue_called_like_a_service_that_does_not_read_it_is_drawn_beside_it() {
        let mut source = MemorySource::new();
        let mut series = |pairs: &[(&str, &str)], value: &dyn Fn(f64) -> f64| {
            for minute in 0..=30 {
                source.push(
                    &Labels::from_pairs(pairs.iter().copied()),
                    Timestamp(BEGIN + minute * 60_000),
                    Value::Float(value(minute as f64)),
                );
            }
        };
        let depth = [("__name__", "watchfire_queue_depth"), ("queue", "mail"), ("system", "rabbitmq")];
        series(&depth, &|_| 7.0);
        let requests = ("__name__", "traces_service_graph_request_total");
        series(&[requests, ("client", "shop"), ("server", "mail (rabbitmq)"), ("connection_type", "virtual_node")], &|m| m * 60.0);
        series(&[("__name__", "watchfire_node_info"), ("node", "mail (rabbitmq)"), ("kind", "queue"), ("system", "rabbitmq")], &|_| 1.0);
        // A third one reads it.
        let through = [("client", "shop"), ("queue", "mail"), ("system", "rabbitmq"), ("server", "postman")];
        series(&[&[("__name__", "watchfire_message_deliveries_total")], &through[..]].concat(), &|m| m * 120.0);
        let services = [ServiceRow { name: "mail".into(), ..ServiceRow::default() }];
        let (queues, map) = drawn(&source, &services);
        let found: Vec<_> = queues.iter().map(|q| (q.queue.as_str(), q.depth, q.in_rate.map(f64::round), &q.producers[..])).collect();
        assert_eq!(found, [("mail", Some(7.0), Some(3.0), &["shop".to_owned()][..])]);
        let edges: Vec<_> = map.edges.iter().map(|e| (e.client.as_str(), e.server.as_str(), e.kind.as_str())).collect();
        assert_eq!(edges, [("mail (rabbitmq)", "postman", "messaging"), ("shop", "mail (rabbitmq)", "messaging")]);
        let depths: Vec<_> = map.nodes.iter().map(|n| (n.name.as_str(), n.kind, n.queue_depth)).collect();
        assert!(depths.contains(&("mail", NodeKind::Service, None)), "{depths:?}");
        assert!(depths.contains(&("mail (rabbitmq)", NodeKind::Queue, Some(7.0))), "{depths:?}");
    }

    #[test]
    fn what_goes_in_is_told_from_what_comes_out_and_the_depth_where_only_these_are_counted() {
        let mut source = MemorySource::new();
        for (queue, depths, out) in [("grows", 0.0, 5.0), ("shrinks", 600.0, 5.0), ("counted", 0.0, 5.0)] {
            let slope = if queue == "shrinks" { -60.0 } else { 120.0 };
            let depths: Vec<f64> = (0..6).map(|minute| depths + slope * f64::from(minute)).collect();
            put(&mut source, "watchfire_queue_depth", queue, 0, &depths);
            put(&mut source, "watchfire_queue_out_rate", queue, 0, &[out; 6]);
        }
        put(&mut source, "watchfire_queue_in_rate", "counted", 0, &[9.0; 6]);
        let rows = read(&source, 5, &Declared::default());
        let of = |name: &str| rows.iter().find(|q| q.queue == name).map(|q| (q.in_rate.map(f64::round), q.in_inferred));
        assert_eq!(of("grows"), Some((Some(7.0), true)));
        assert_eq!(of("shrinks"), Some((Some(4.0), true)));
        assert_eq!(of("counted"), Some((Some(9.0), false)));
    }

    #[test]
    fn a_queue_says_why_it_is_not_fine() {
        let mut source = MemorySource::new();
        for (queue, depth) in [("fine", 3.0), ("full", 12.0), ("left", 2.0), ("left.dlq", 2.0), ("lossy", 0.0), ("old_pile", 0.0)] {
            put(&mut source, "watchfire_queue_depth", queue, 0, &[depth; 31]);
        }
        for queue in ["left", "left.dlq"] {
            put(&mut source, "watchfire_queue_consumers", queue, 0, &[0.0; 31]);
        }
        put(&mut source, "watchfire_queue_dead_letters", "lossy", 0, &[vec![1.0; 20], vec![5.0; 11]].concat());
        put(&mut source, "watchfire_queue_dead_letters", "old_pile", 0, &[74.0; 31]);
        let limit = DeclaredQueue { name: "full".into(), system: "celery".into(), depth_threshold: Some(10.0), ..DeclaredQueue::default() };
        let queues = read(&source, 30, &Declared { queues: vec![limit], ..Declared::default() });
        let found: BTreeMap<&str, (HealthState, String)> = queues.iter().map(|q| (q.queue.as_str(), (q.state, q.why.join(", ")))).collect();
        let fine = (HealthState::Healthy, String::new());
        let degraded = |why: &str| (HealthState::Degraded, why.to_owned());
        assert_eq!(found["fine"], fine);
        assert_eq!(found["old_pile"], fine, "what lies there for long is no news");
        assert_eq!(found["full"], degraded("more than 10 wait"));
        assert_eq!(found["left"], degraded("nobody reads it"));
        assert_eq!(found["left.dlq"], fine, "that is how it is meant");
        assert_eq!(found["lossy"], degraded("4 dead letters within 15m"));
    }
}
