//! The dependency map: what spans (or ready-made service graphs) show, joined with what the preset declares.

use super::context::Context;
use super::lens::Lens;
use super::state::of_error_ratio;
use std::collections::BTreeMap;
use std::time::Duration;
use watchfire_model::HealthState;
use watchfire_model::reading::{Breaker, Edge, Map, Node, NodeKind, Queue, ReadError, ServiceRow};

#[derive(Clone, Debug, Default)]
struct Traffic {
    rate: f64,
    failed: f64,
    p95: Option<f64>,
    connection: String,
    source: &'static str,
    /// What the rate was taken over.
    window: Duration,
    /// Share of the calls whose spans were kept, where that is not all of them.
    sampling_ratio: Option<f64>,
}

impl Traffic {
    /// Calls that were seen, as opposed to those they stand for.
    fn sample_count(&self) -> f64 {
        self.rate * self.window.as_secs_f64() * self.sampling_ratio.unwrap_or(1.0)
    }
}

/// The `map` reading.
///
/// # Errors
/// When the store cannot be queried.
pub fn map(lens: &Lens<'_>, context: &Context<'_>, services: &[ServiceRow], queues: &[Queue]) -> Result<Map, ReadError> {
    let mut edges: BTreeMap<(String, String), Edge> = BTreeMap::new();
    let mut kinds = node_kinds(lens, context)?;
    let mut published: BTreeMap<(String, String), Traffic> = BTreeMap::new();
    let ratio_of = |name: &str| services.iter().find(|s| s.name == name).and_then(|s| s.sampling_ratio);
    for ((client, server), mut traffic) in traffic(lens)? {
        let server = context.canonical(&server).to_owned();
        // A pair weighs as much as its heavier half.
        traffic.sampling_ratio = [ratio_of(&client), ratio_of(&server)].into_iter().flatten().reduce(f64::min);
        if let Some(destination) = context.destinations.get(&(client.clone(), server.clone())) {
            // A queue is a place of its own: messages go in at one side and come out at the other.
            let queue = context.canonical(&destination.queue).to_owned();
            kinds.insert(queue.clone(), NodeKind::Queue);
            add(&mut edges, edge(&queue, &server, &traffic, &kinds, context));
            // Every consumer gets the message, which is published once: the one that got most says how many there were.
            let put = published.entry((client, queue)).or_default();
            if traffic.rate >= put.rate {
                *put = Traffic { p95: None, failed: 0.0, ..traffic };
            }
            continue;
        }
        if let Some(kind) = node_kind(&server, &traffic.connection, services) {
            kinds.entry(server.clone()).or_insert(kind);
        }
        add(&mut edges, edge(&client, &server, &traffic, &kinds, context));
    }
    for ((client, queue), traffic) in published {
        add(&mut edges, edge(&client, &queue, &traffic, &kinds, context));
    }
    for (client, server, kind) in context.declared_edges() {
        kinds.insert(server.clone(), kind);
        edges.entry((client.clone(), server.clone())).or_insert_with(|| Edge {
            kind: edge_kind("", Some(kind)),
            declared: true,
            client,
            server,
            ..Edge::default()
        });
    }
    for breaker in context.breakers {
        put_on_edge(breaker, &mut edges);
    }

    let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
    for row in services {
        nodes.insert(row.name.clone(), service_node(row, context));
    }
    for (name, kind) in context.declared_nodes() {
        let node = nodes.entry(name.clone()).or_insert_with(|| Node { name, kind, ..Node::default() });
        node.declared = true;
        node.kind = kind;
    }
    for edge in edges.values() {
        for (name, is_server) in [(&edge.client, false), (&edge.server, true)] {
            let node = nodes.entry(name.clone()).or_insert_with(|| Node {
                name: name.clone(),
                kind: kinds.get(name).copied().unwrap_or(NodeKind::External),
                ..Node::default()
            });
            node.observed |= edge.observed;
            if is_server && node.kind != NodeKind::Service {
                absorb(node, edge);
            }
        }
    }
    for (name, figures) in super::collectors::collectors(lens)? {
        if let Some(node) = nodes.get_mut(&name) {
            node.queue_depth = figures.queue_size;
        }
    }
    for queue in queues {
        if let Some(node) = nodes.get_mut(&queue.queue) {
            node.kind = NodeKind::Queue;
            node.queue_depth = queue.depth;
            node.state = node.state.max(queue.state);
        }
    }
    Ok(Map { nodes: nodes.into_values().collect(), edges: edges.into_values().collect() })
}

fn edge(client: &str, server: &str, traffic: &Traffic, kinds: &BTreeMap<String, NodeKind>, context: &Context<'_>) -> Edge {
    Edge {
        kind: edge_kind(&traffic.connection, kinds.get(server).copied()),
        rate: (traffic.rate > 0.0).then_some(traffic.rate),
        error_ratio: (traffic.rate > 0.0).then(|| (traffic.failed / traffic.rate).clamp(0.0, 1.0)),
        p95_seconds: traffic.p95,
        observed: true,
        declared: context.declares_edge(client, server),
        sample_count: Some(traffic.sample_count()),
        sampling_ratio: traffic.sampling_ratio,
        source: Some(traffic.source.to_owned()),
        client: client.to_owned(),
        server: server.to_owned(),
        ..Edge::default()
    }
}

/// Several observed edges can fold into one: two producers' messages leave a queue to the same consumer.
fn add(edges: &mut BTreeMap<(String, String), Edge>, edge: Edge) {
    let key = (edge.client.clone(), edge.server.clone());
    match edges.get_mut(&key) {
        None => {
            edges.insert(key, edge);
        }
        Some(known) => {
            let (before, more) = (known.rate.unwrap_or(0.0), edge.rate.unwrap_or(0.0));
            let failed = known.error_ratio.unwrap_or(0.0) * before + edge.error_ratio.unwrap_or(0.0) * more;
            known.rate = (before + more > 0.0).then_some(before + more);
            known.error_ratio = known.rate.map(|rate| failed / rate);
            known.p95_seconds = match (known.p95_seconds, edge.p95_seconds) {
                (Some(a), Some(b)) => Some(a.max(b)),
                (a, b) => a.or(b),
            };
            known.sampling_ratio = [known.sampling_ratio, edge.sampling_ratio].into_iter().flatten().reduce(f64::min);
            known.sample_count = Some(known.sample_count.unwrap_or(0.0) + edge.sample_count.unwrap_or(0.0));
        }
    }
}

/// Kinds of peers without spans of their own, as the attributes of their callers tell.
fn node_kinds(lens: &Lens<'_>, context: &Context<'_>) -> Result<BTreeMap<String, NodeKind>, ReadError> {
    let mut out = BTreeMap::new();
    for (labels, _) in lens.vector("watchfire_node_info")? {
        let kind = match labels.value("kind") {
            "database" => NodeKind::Database,
            "cache" => NodeKind::Cache,
            "queue" => NodeKind::Queue,
            _ => NodeKind::External,
        };
        out.insert(context.canonical(labels.value("node")).to_owned(), kind);
    }
    Ok(out)
}

/// A peer without telemetry of its own is judged by how calls to it end.
fn absorb(node: &mut Node, edge: &Edge) {
    let Some(rate) = edge.rate else { return };
    let failing = |n: &Node| n.error_ratio.unwrap_or(0.0) * n.rate.unwrap_or(0.0);
    let total = node.rate.unwrap_or(0.0) + rate;
    let failed = failing(node) + edge.error_ratio.unwrap_or(0.0) * rate;
    node.rate = Some(total);
    node.error_ratio = (total > 0.0).then(|| failed / total);
    node.p95_seconds = match (node.p95_seconds, edge.p95_seconds) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    if total > 0.0 {
        let ratio = failed / total;
        node.state = of_error_ratio(ratio);
        node.why = if node.state > HealthState::Healthy { vec![format!("{:.0} % of calls to it fail", ratio * 100.0)] } else { Vec::new() };
    }
}

fn service_node(row: &ServiceRow, context: &Context<'_>) -> Node {
    Node {
        name: row.name.clone(),
        kind: NodeKind::Service,
        state: row.state,
        declared: row.declared,
        observed: row.last_seen.is_some() || row.rate.is_some(),
        namespace: context.namespace(&row.name),
        owner: row.owner.clone(),
        rate: row.rate,
        error_ratio: row.error_ratio,
        p95_seconds: row.p95_seconds,
        why: row.why.clone(),
        queue_depth: None,
    }
}

fn put_on_edge(breaker: &Breaker, edges: &mut BTreeMap<(String, String), Edge>) {
    let target = breaker.protects.as_deref().unwrap_or(&breaker.breaker);
    if let Some(edge) = edges.get_mut(&(breaker.service.clone(), target.to_owned())) {
        edge.breaker = Some(breaker.state.clone());
        edge.breaker_inferred = breaker.inferred;
    }
}

/// Edges of own spans; where there are none for a pair, those of a collector or Tempo.
fn traffic(lens: &Lens<'_>) -> Result<BTreeMap<(String, String), Traffic>, ReadError> {
    let mut out: BTreeMap<(String, String), Traffic> = BTreeMap::new();
    let (live, scraped) = (lens.window_text(), lens.scrape_window_text());
    let sources = [("job=\"\"", live, lens.window, "spans"), ("job!=\"\"", scraped, lens.scrape_window, "service graph")];
    // Two jobs that derive the same graph from the same spans say it twice; the fuller one is believed.
    for (own, window, over, source) in sources {
        let mut fresh: BTreeMap<(String, String), Traffic> = BTreeMap::new();
        let key = |labels: &watchfire_model::Labels| (labels.value("client").to_owned(), labels.value("server").to_owned());
        for (labels, rate) in
            lens.vector(&format!("max by (client, server, connection_type) (sum by (job, client, server, connection_type) (rate(traces_service_graph_request_total{{{own}}}[{window}])))"))?
        {
            let entry = fresh.entry(key(&labels)).or_default();
            entry.rate += rate;
            entry.source = source;
            entry.window = over;
            if entry.connection.is_empty() {
                entry.connection = labels.value("connection_type").to_owned();
            }
        }
        // An own edge that nobody uses any more is still known, for as long as its series live; counters of others may never end.
        fresh.retain(|pair, traffic| (traffic.rate > 0.0 || source == "spans") && !out.contains_key(pair));
        for (labels, rate) in lens.vector(&format!(
            "max by (client, server) (sum by (job, client, server) (rate(traces_service_graph_request_failed_total{{{own}}}[{window}])))"
        ))? {
            if let Some(entry) = fresh.get_mut(&key(&labels)) {
                entry.failed = rate;
            }
        }
        // The client's view includes the network and exists for peers without telemetry; the server's is the fallback. Of a message the client
        // only sees that it was put into the queue, so what the consumer did with it comes first.
        for side in ["client", "server"] {
            let metric = format!("traces_service_graph_request_{side}_seconds");
            let histogram = if source == "spans" {
                format!("sum by (client, server) (rate({metric}{{{own}}}[{window}]))")
            } else {
                format!("max by (client, server, le) (sum by (job, client, server, le) (rate({metric}_bucket{{{own}}}[{window}])))")
            };
            for (labels, value) in lens.vector(&format!("histogram_quantile(0.95, {histogram})"))? {
                if let Some(entry) = fresh.get_mut(&key(&labels))
                    && (entry.p95.is_none() || entry.connection == "messaging_system")
                {
                    entry.p95 = Some(value);
                }
            }
        }
        out.extend(fresh);
    }
    Ok(out)
}

const CACHES: [&str; 6] = ["redis", "memcached", "valkey", "keydb", "hazelcast", "cache"];

fn node_kind(server: &str, connection: &str, services: &[ServiceRow]) -> Option<NodeKind> {
    if services.iter().any(|s| s.name == server) {
        return Some(NodeKind::Service);
    }
    let lower = server.to_ascii_lowercase();
    match connection {
        "database" if CACHES.iter().any(|c| lower.contains(c)) => Some(NodeKind::Cache),
        "database" => Some(NodeKind::Database),
        "messaging_system" => Some(NodeKind::Queue),
        "virtual_node" => Some(NodeKind::External),
        _ => None,
    }
}

fn edge_kind(connection: &str, server: Option<NodeKind>) -> String {
    match (connection, server) {
        ("messaging_system", _) | (_, Some(NodeKind::Queue)) => "messaging",
        (_, Some(NodeKind::Cache)) => "cache",
        ("database", _) | (_, Some(NodeKind::Database)) => "database",
        ("virtual_node", _) | (_, Some(NodeKind::External)) => "external",
        _ => "call",
    }
    .to_owned()
}
