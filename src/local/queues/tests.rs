use super::*;
use crate::local::context::{Declared, DeclaredQueue};
use crate::local::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
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
    counter("watchfire_message_deliveries_total", &[("queue", "taken"), ("system", "nats"), ("client", "shop"), ("server", "mail")], 0.0);
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
    assert_eq!((silent.out_rate, silent.state, &silent.why[..]), (None, HealthState::Unknown, &[][..]), "who takes it may send no spans");
    let node = map.nodes.iter().find(|n| n.name == "taken").expect("a node");
    assert_eq!(node.state, HealthState::Degraded);
}

/// Two groups read one topic: one keeps up, the other has stopped.
#[test]
fn one_consumer_group_that_stopped_does_not_hide_behind_another() {
    let mut source = MemorySource::new();
    let mut group = |queue: &str, group: &str, metric: &str, value: f64| {
        let labels = Labels::from_pairs([("__name__", metric), ("queue", queue), ("system", "kafka"), ("group", group)]);
        for minute in 25..=30 {
            source.push(&labels, Timestamp(BEGIN + minute * 60_000), Value::Float(value));
        }
    };
    for (queue, name, depth, out, consumers) in [
        ("orders", "billing", 0.0, 10.0, 2.0),
        ("orders", "audit", 700.0, 0.0, 1.0),
        ("mails", "sender", 0.0, 10.0, 2.0),
        ("mails", "archive", 40.0, 0.0, 0.0),
        ("clicks", "one", 3.0, 10.0, 2.0),
        ("clicks", "two", 5.0, 9.0, 2.0),
    ] {
        for (metric, value) in [("depth", depth), ("in_rate", 10.0), ("out_rate", out), ("consumers", consumers)] {
            group(queue, name, &format!("watchfire_queue_{metric}"), value);
        }
        if depth == 0.0 {
            group(queue, name, "watchfire_queue_drain_seconds", 0.0);
        }
    }
    let queues = read(&source, 30, &Declared::default());
    let of = |name: &str| queues.iter().find(|q| q.queue == name).expect("a row");
    let (orders, mails, clicks) = (of("orders"), of("mails"), of("clicks"));
    assert_eq!((&orders.why[..], orders.state), (&["nothing comes out of it for audit".to_owned()][..], HealthState::Degraded));
    assert_eq!((orders.depth, orders.out_rate, orders.drain_seconds), (Some(700.0), Some(0.0), None), "{orders:?}");
    assert_eq!(mails.why, ["nobody reads it for archive"]);
    assert_eq!((clicks.out_rate, clicks.state), (Some(9.0), HealthState::Healthy), "the slower of those for whom something waits");
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
            source.push(&Labels::from_pairs(pairs.iter().copied()), Timestamp(BEGIN + minute * 60_000), Value::Float(value(minute as f64)));
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
