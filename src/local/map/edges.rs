//! Who calls whom, through which queue, and behind which breaker.

use super::Scene;
use super::traffic::{AWAITED, MESSAGING, Traffic, traffic};
use crate::local::context::is_address;
use crate::local::deliveries::{deliveries, own_readers, stated_system};
use crate::local::naming::{Nameable, kind_of_label, meant};
use std::collections::{BTreeMap, BTreeSet};
use watchfire_model::reading::{Breaker, Edge, NodeKind, ReadError, beside_namesake};

pub(super) struct Edges<'a> {
    scene: Scene<'a>,
    /// By client and server.
    by_pair: BTreeMap<(String, String), Edge>,
    /// What nodes are, as far as the attributes of their callers and the calls themselves tell.
    kinds: BTreeMap<String, NodeKind>,
    own_readers: BTreeSet<String>,
}

impl<'a> Edges<'a> {
    /// All edges, seen and declared.
    ///
    /// # Errors
    /// When the store cannot be queried.
    pub fn collect(scene: Scene<'a>) -> Result<Self, ReadError> {
        let mut edges = Edges { scene, by_pair: BTreeMap::new(), kinds: node_kinds(scene)?, own_readers: own_readers(scene.lens)? };
        let queued = edges.add_deliveries()?;
        edges.add_calls(&queued)?;
        edges.add_declared();
        for breaker in scene.context.breakers {
            put_on_edge(breaker, &mut edges.by_pair, &edges.kinds);
        }
        Ok(edges)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Edge> {
        self.by_pair.values()
    }

    pub fn touch(&self, node: &str) -> bool {
        self.by_pair.keys().any(|(client, server)| client == node || server == node)
    }

    pub fn kind_of(&self, node: &str) -> Option<NodeKind> {
        self.kinds.get(node).copied()
    }

    pub fn into_edges(self) -> Vec<Edge> {
        self.by_pair.into_values().collect()
    }

    /// The node of a queue, which may have the name of a service.
    pub fn queue_node(&self, queue: &str, system: &str) -> String {
        if self.scene.services.iter().any(|s| s.name == queue) && !self.own_readers.contains(queue) {
            beside_namesake(queue, stated_system(system))
        } else {
            queue.to_owned()
        }
    }

    /// A queue is a place of its own: messages go in at one side and come out at the other. Gives the pairs that are joined by one.
    fn add_deliveries(&mut self) -> Result<BTreeSet<(String, String)>, ReadError> {
        let mut queued = BTreeSet::new();
        let mut published: BTreeMap<(String, String), Traffic> = BTreeMap::new();
        for mut delivery in deliveries(self.scene.lens, self.scene.context)? {
            delivery.queue = self.queue_node(&delivery.queue, &delivery.system);
            let traffic = Traffic {
                rate: delivery.rate,
                failed: delivery.failed,
                p95: delivery.p95,
                source: "spans",
                window: self.scene.lens.window,
                sampling_ratio: self.sampling_ratio(&delivery.client, &delivery.server),
            };
            self.kinds.insert(delivery.queue.clone(), NodeKind::Queue);
            self.add(&delivery.queue, &delivery.server, MESSAGING, &traffic);
            if delivery.client.is_empty() {
                continue;
            }
            // Every consumer gets the message, which is published once: the one that got most says how many there were.
            let put = published.entry((delivery.client.clone(), delivery.queue)).or_default();
            if traffic.rate >= put.rate {
                *put = Traffic { p95: None, failed: 0.0, ..traffic };
            }
            queued.insert((delivery.client, delivery.server));
        }
        for ((client, queue), traffic) in published {
            self.add(&client, &queue, MESSAGING, &traffic);
        }
        Ok(queued)
    }

    fn add_calls(&mut self, queued: &BTreeSet<(String, String)>) -> Result<(), ReadError> {
        for ((client, server, connection), mut traffic) in traffic(self.scene.lens)? {
            let server = self.scene.context.canonical(&server).to_owned();
            if connection == MESSAGING && queued.contains(&(client.clone(), server.clone())) {
                continue;
            }
            traffic.sampling_ratio = self.sampling_ratio(&client, &server);
            if let Some(kind) = node_kind(&server, &connection, self.scene) {
                self.kinds.entry(server.clone()).or_insert(kind);
            }
            self.add(&client, &server, &connection, &traffic);
        }
        Ok(())
    }

    fn add_declared(&mut self) {
        for (client, server, kind) in self.scene.context.declared_edges() {
            self.kinds.insert(server.clone(), kind);
            self.by_pair.entry((client.clone(), server.clone())).or_insert_with(|| Edge {
                kind: edge_kind("", Some(kind)),
                declared: true,
                client,
                server,
                ..Edge::default()
            });
        }
    }

    /// A pair weighs as much as its heavier half.
    fn sampling_ratio(&self, client: &str, server: &str) -> Option<f64> {
        let ratio_of = |name: &str| self.scene.services.iter().find(|s| s.name == name).and_then(|s| s.sampling_ratio);
        [ratio_of(client), ratio_of(server)].into_iter().flatten().reduce(f64::min)
    }

    /// Several observed edges can fold into one: two producers' messages leave a queue to the same consumer.
    fn add(&mut self, client: &str, server: &str, connection: &str, traffic: &Traffic) {
        let more = Edge {
            kind: edge_kind(connection, self.kind_of(server)),
            rate: (traffic.rate > 0.0).then_some(traffic.rate),
            error_ratio: (traffic.rate > 0.0).then(|| (traffic.failed / traffic.rate).clamp(0.0, 1.0)),
            p95_seconds: traffic.p95,
            observed: true,
            declared: self.scene.context.declares_edge(client, server),
            sample_count: Some(traffic.sample_count()),
            sampling_ratio: traffic.sampling_ratio,
            source: Some(traffic.source.to_owned()),
            client: client.to_owned(),
            server: server.to_owned(),
            ..Edge::default()
        };
        match self.by_pair.get_mut(&(client.to_owned(), server.to_owned())) {
            Some(known) => fold(known, &more),
            None => drop(self.by_pair.insert((client.to_owned(), server.to_owned()), more)),
        }
    }
}

fn put_on_edge(breaker: &Breaker, edges: &mut BTreeMap<(String, String), Edge>, kinds: &BTreeMap<String, NodeKind>) {
    let target = breaker.protects.as_deref().unwrap_or(&breaker.breaker);
    let mut key = (breaker.service.clone(), target.to_owned());
    if !edges.contains_key(&key) && is_address(&breaker.service) {
        // Scraped by its address, whose breaker it is is not said. Where one alone calls what it protects, it is that one's.
        let mut callers = edges.keys().filter(|(_, server)| server == target);
        let (Some((caller, _)), None) = (callers.next(), callers.next()) else { return };
        key.0 = caller.clone();
    }
    if !edges.contains_key(&key) {
        // Named in code, as `paymentService` is for calls to payment-service.
        let called = edges.keys().filter(|(client, _)| *client == key.0).map(|(_, server)| Nameable {
            name: server.clone(),
            kind: kinds.get(server).copied().unwrap_or_default(),
            system: String::new(),
            aliases: Vec::new(),
        });
        if let Some(node) = meant(target, &called.collect::<Vec<_>>()) {
            key.1.clone_from(&node.name);
        }
    }
    if let Some(edge) = edges.get_mut(&key) {
        edge.breaker = Some(breaker.state.clone());
        edge.breaker_inferred = breaker.inferred;
    }
}

fn fold(known: &mut Edge, more: &Edge) {
    let (before, after) = (known.rate.unwrap_or(0.0), more.rate.unwrap_or(0.0));
    let failed = known.error_ratio.unwrap_or(0.0) * before + more.error_ratio.unwrap_or(0.0) * after;
    known.rate = (before + after > 0.0).then_some(before + after);
    known.error_ratio = known.rate.map(|rate| failed / rate);
    known.p95_seconds = match (known.p95_seconds, more.p95_seconds) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    known.sampling_ratio = [known.sampling_ratio, more.sampling_ratio].into_iter().flatten().reduce(f64::min);
    known.sample_count = Some(known.sample_count.unwrap_or(0.0) + more.sample_count.unwrap_or(0.0));
}

/// Kinds of peers without spans of their own, as the attributes of their callers tell.
fn node_kinds(scene: Scene<'_>) -> Result<BTreeMap<String, NodeKind>, ReadError> {
    let mut out = BTreeMap::new();
    for (labels, _) in scene.lens.vector("watchfire_node_info")? {
        out.insert(scene.context.canonical(labels.value("node")).to_owned(), kind_of_label(labels.value("kind")));
    }
    Ok(out)
}

pub(super) const CACHES: [&str; 6] = ["redis", "memcached", "valkey", "keydb", "hazelcast", "cache"];

fn node_kind(server: &str, connection: &str, scene: Scene<'_>) -> Option<NodeKind> {
    if scene.services.iter().any(|s| s.name == server && !scene.context.is_dependency(s)) {
        return Some(NodeKind::Service);
    }
    let lower = server.to_ascii_lowercase();
    match connection {
        "database" if CACHES.iter().any(|c| lower.contains(c)) => Some(NodeKind::Cache),
        "database" => Some(NodeKind::Database),
        "messaging_system" => Some(NodeKind::Queue),
        AWAITED => Some(NodeKind::External),
        _ => None,
    }
}

fn edge_kind(connection: &str, server: Option<NodeKind>) -> String {
    match (connection, server) {
        ("messaging_system", _) => "messaging",
        // What the caller did says more than a name, which a database and a topic may share.
        ("database", Some(NodeKind::Cache)) => "cache",
        ("database", _) => "database",
        (_, Some(NodeKind::Queue)) => "messaging",
        (_, Some(NodeKind::Cache)) => "cache",
        (_, Some(NodeKind::Database)) => "database",
        (AWAITED, _) | (_, Some(NodeKind::External)) => "external",
        _ => "call",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breaker_scraped_by_address_is_that_of_the_only_one_who_calls_what_it_protects() {
        let edge = |client: &str, server: &str| {
            ((client.to_owned(), server.to_owned()), Edge { client: client.into(), server: server.into(), ..Edge::default() })
        };
        let mut edges = BTreeMap::from([edge("shop", "payment"), edge("shop", "stock"), edge("web", "stock")]);
        let open = |service: &str, breaker: &str| Breaker {
            service: service.into(),
            breaker: breaker.into(),
            state: "open".into(),
            ..Breaker::default()
        };
        for (service, breaker) in [("10.0.0.1:9102/actuator/prometheus", "payment"), ("10.0.0.1:9102", "stock"), ("web", "payment")] {
            put_on_edge(&open(service, breaker), &mut edges, &BTreeMap::new());
        }
        let on: Vec<_> = edges.values().filter(|e| e.breaker.is_some()).map(|e| (e.client.as_str(), e.server.as_str())).collect();
        assert_eq!(on, [("shop", "payment")]);
    }

    /// Libraries name a breaker as the code does, and spans name who is called.
    #[test]
    fn a_breaker_is_on_the_edge_to_whom_its_name_means() {
        let edge = |client: &str, server: &str| {
            ((client.to_owned(), server.to_owned()), Edge { client: client.into(), server: server.into(), ..Edge::default() })
        };
        let mut edges =
            BTreeMap::from([edge("shop", "payment-service"), edge("shop", "orders"), edge("shop", "stock"), edge("web", "mail")]);
        let kinds = BTreeMap::from([("orders".to_owned(), NodeKind::Database), ("stock".to_owned(), NodeKind::Database)]);
        for breaker in ["paymentService", "ordersDbBreaker", "database", "mail", "backendA"] {
            let open = Breaker { service: "shop".into(), breaker: breaker.into(), state: "open".into(), ..Breaker::default() };
            put_on_edge(&open, &mut edges, &kinds);
        }
        let on: Vec<_> = edges.values().filter(|e| e.breaker.is_some()).map(|e| e.server.as_str()).collect();
        assert_eq!(on, ["orders", "payment-service"], "which of two databases is not said, and nobody else's calls are meant");
    }

    #[test]
    fn a_database_that_is_called_like_a_topic_is_still_a_database() {
        assert_eq!(edge_kind("database", Some(NodeKind::Queue)), "database");
        assert_eq!(edge_kind("database", Some(NodeKind::Cache)), "cache");
        assert_eq!(edge_kind("virtual_node", Some(NodeKind::Queue)), "messaging");
        assert_eq!(edge_kind("virtual_node", Some(NodeKind::Database)), "database");
        assert_eq!(edge_kind("", None), "call");
    }
}
