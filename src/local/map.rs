//! The dependency map: what spans (or ready-made service graphs) show, joined with what the preset declares.

use super::context::{Context, is_address};
use super::deliveries::{deliveries, own_readers, stated_system};
use super::lens::Lens;
use super::naming::{Nameable, kind_of_label, meant};
use super::state::{failing_calls, of_error_ratio};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use watchfire_model::reading::{Breaker, Edge, Map, Node, NodeKind, Queue, ReadError, ServiceRow, beside_namesake};
use watchfire_model::{CheckReport, HealthState, Labels, of_only_servers};

/// `connection_type` of what goes through a queue.
const MESSAGING: &str = "messaging_system";

/// `connection_type` of calls whose other half never came, which are counted once it was waited for long enough.
const AWAITED: &str = "virtual_node";

#[derive(Clone, Debug, Default)]
struct Traffic {
    rate: f64,
    failed: f64,
    p95: Option<f64>,
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
    let ratio_of = |name: &str| services.iter().find(|s| s.name == name).and_then(|s| s.sampling_ratio);
    // A pair weighs as much as its heavier half.
    let sampling = |client: &str, server: &str| [ratio_of(client), ratio_of(server)].into_iter().flatten().reduce(f64::min);
    let mut queued: BTreeSet<(String, String)> = BTreeSet::new();
    let mut published: BTreeMap<(String, String), Traffic> = BTreeMap::new();
    let own_readers = own_readers(lens)?;
    let queue_node = |queue: &str, system: &str| {
        if services.iter().any(|s| s.name == queue) && !own_readers.contains(queue) {
            beside_namesake(queue, stated_system(system))
        } else {
            queue.to_owned()
        }
    };
    for mut delivery in deliveries(lens, context)? {
        delivery.queue = queue_node(&delivery.queue, &delivery.system);
        // A queue is a place of its own: messages go in at one side and come out at the other.
        let traffic = Traffic {
            rate: delivery.rate,
            failed: delivery.failed,
            p95: delivery.p95,
            source: "spans",
            window: lens.window,
            sampling_ratio: sampling(&delivery.client, &delivery.server),
        };
        kinds.insert(delivery.queue.clone(), NodeKind::Queue);
        add(&mut edges, edge(&delivery.queue, &delivery.server, MESSAGING, &traffic, &kinds, context));
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
        add(&mut edges, edge(&client, &queue, MESSAGING, &traffic, &kinds, context));
    }
    for ((client, server, connection), mut traffic) in traffic(lens)? {
        let server = context.canonical(&server).to_owned();
        if connection == MESSAGING && queued.contains(&(client.clone(), server.clone())) {
            continue;
        }
        traffic.sampling_ratio = sampling(&client, &server);
        if let Some(kind) = node_kind(&server, &connection, services, context) {
            kinds.entry(server.clone()).or_insert(kind);
        }
        add(&mut edges, edge(&client, &server, &connection, &traffic, &kinds, context));
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
        put_on_edge(breaker, &mut edges, &kinds);
    }

    let mut probed = probed(lens, context)?;
    let folded = |row: &ServiceRow| {
        let known = row.declared || row.last_seen.is_some() || row.rate.is_some();
        !known
            && edges.keys().all(|(client, server)| ![client, server].contains(&&row.name))
            && probed.values().flatten().any(|c| c.service == row.name)
    };
    let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
    for row in services.iter().filter(|row| !folded(row) && !context.is_dependency(row)) {
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
    let placed =
        |check: &CheckReport, probed: &BTreeMap<String, Vec<&CheckReport>>| probed.values().flatten().any(|c| std::ptr::eq(*c, check));
    for check in context.checks.iter().filter(|c| !c.asks_service()) {
        let node = nodes.get(&check.service);
        if node.is_some_and(|node| node.kind == NodeKind::Service) || placed(check, &probed) {
            continue;
        }
        let name = check.service.clone();
        nodes.entry(name.clone()).or_insert_with(|| Node { name: name.clone(), kind: kind_by_scheme(check.scheme()), ..Node::default() });
        probed.entry(name).or_default().push(check);
    }
    for (name, checks) in probed {
        let Some(node) = nodes.get_mut(&name) else { continue };
        for check in checks {
            match check.state {
                HealthState::Unhealthy | HealthState::Degraded => node.why.insert(0, format!("{}: {}", check.check, check.detail)),
                HealthState::Healthy if node.state == HealthState::Unknown => node.state = HealthState::Healthy,
                HealthState::Healthy | HealthState::Unknown => continue,
            }
            node.state = node.state.max(check.state);
        }
    }
    for (name, reported) in super::reported::look(lens, context)? {
        // What is among the services says it there.
        if let Some(node) = nodes.get_mut(&name).filter(|node| node.kind != NodeKind::Service) {
            node.state = node.state.max(reported.state());
            node.why.insert(0, reported.why());
        }
    }
    for (name, figures) in super::collectors::collectors(lens)? {
        if let Some(node) = nodes.get_mut(&name) {
            node.queue_depth = figures.queue_size;
        }
    }
    for queue in queues {
        if let Some(node) = nodes.get_mut(&queue_node(&queue.queue, &queue.system)) {
            node.kind = NodeKind::Queue;
            node.queue_depth = queue.depth;
            node.state = node.state.max(queue.state);
            node.why.extend(queue.why.iter().cloned());
        }
    }
    Ok(Map { nodes: nodes.into_values().collect(), edges: edges.into_values().collect() })
}

fn edge(
    client: &str,
    server: &str,
    connection: &str,
    traffic: &Traffic,
    kinds: &BTreeMap<String, NodeKind>,
    context: &Context<'_>,
) -> Edge {
    Edge {
        kind: edge_kind(connection, kinds.get(server).copied()),
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
        out.insert(context.canonical(labels.value("node")).to_owned(), kind_of_label(labels.value("kind")));
    }
    Ok(out)
}

/// The checks that ask at the addresses of nodes without telemetry of their own: a database is named by what is in it, and its probe by where it is.
fn probed<'a>(lens: &Lens<'_>, context: &Context<'a>) -> Result<BTreeMap<String, Vec<&'a CheckReport>>, ReadError> {
    let mut out: BTreeMap<String, Vec<&CheckReport>> = BTreeMap::new();
    let addresses = lens.vector("group by (node, address) (watchfire_node_address)")?;
    for (labels, _) in &addresses {
        let node = context.canonical(labels.value("node"));
        for check in context.checks.iter().filter(|c| c.service != node && c.is_of(labels.value("address"))) {
            let checks = out.entry(node.to_owned()).or_default();
            if !checks.iter().any(|known| std::ptr::eq(*known, check)) {
                checks.push(check);
            }
        }
    }
    let systems = lens.vector("group by (node, system) (watchfire_node_info)")?;
    let nodes = systems.iter().map(|(labels, _)| (context.canonical(labels.value("node")), labels.value("system")));
    let is_placed = |check: &CheckReport| addresses.iter().any(|(labels, _)| check.is_of(labels.value("address")));
    for (check, node) in of_only_servers(context.checks, nodes, is_placed).into_iter().filter(|(check, node)| check.service != *node) {
        out.entry(node.to_owned()).or_default().push(check);
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
        node.why = if node.state > HealthState::Healthy { vec![failing_calls(ratio)] } else { Vec::new() };
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

/// Client, server and `connection_type`.
type Connected = (String, String, String);

/// Edges of own spans; where there are none for a pair, those of a collector or Tempo.
fn traffic(lens: &Lens<'_>) -> Result<BTreeMap<Connected, Traffic>, ReadError> {
    let mut out: BTreeMap<Connected, Traffic> = BTreeMap::new();
    let (live, scraped) = (lens.window_text(), lens.scrape_window_text());
    let sources = [("job=\"\"", live, lens.window, "spans"), ("job!=\"\"", scraped, lens.scrape_window, "service graph")];
    let by = "client, server, connection_type";
    // Two jobs that derive the same graph from the same spans say it twice; the fuller one is believed.
    for (own, window, over, source) in sources {
        let mut fresh: BTreeMap<Connected, Traffic> = BTreeMap::new();
        let key = |labels: &Labels| {
            let [client, server, connection] = ["client", "server", "connection_type"].map(|name| labels.value(name).to_owned());
            (client, server, connection)
        };
        let late = if source == "spans" { lens.window_of_awaited() } else { over };
        let total = |metric: &str| {
            let rates = match late == over {
                true => format!("rate({metric}{{{own}}}[{window}])"),
                false => {
                    let [there, awaited] = ["!=", "="].map(|is| format!("{metric}{{{own},connection_type{is}\"{AWAITED}\"}}"));
                    format!("rate({there}[{window}]) or rate({awaited}[{}s])", late.as_secs())
                }
            };
            format!("max by ({by}) (sum by (job, {by}) ({rates}))")
        };
        for (labels, rate) in lens.vector(&total("traces_service_graph_request_total"))? {
            let key = key(&labels);
            let window = if key.2 == AWAITED { late } else { over };
            fresh.insert(key, Traffic { rate, source, window, ..Traffic::default() });
        }
        // An own edge that nobody uses any more is still known, for as long as its series live; counters of others may never end.
        let known: BTreeSet<(&str, &str)> = out.keys().map(|(client, server, _)| (client.as_str(), server.as_str())).collect();
        fresh.retain(|(client, server, _), traffic| {
            (traffic.rate > 0.0 || source == "spans") && !known.contains(&(client.as_str(), server.as_str()))
        });
        for (labels, rate) in lens.vector(&total("traces_service_graph_request_failed_total"))? {
            if let Some(entry) = fresh.get_mut(&key(&labels)) {
                entry.failed = rate;
            }
        }
        // The client's view includes the network and exists for peers without telemetry; the server's is the fallback. Of a message the client
        // only sees that it was put into the queue, so what the consumer did with it comes first.
        for side in ["client", "server"] {
            let metric = format!("traces_service_graph_request_{side}_seconds");
            let histogram = if source == "spans" {
                format!("sum by ({by}) (rate({metric}{{{own}}}[{window}]))")
            } else {
                format!("max by ({by}, le) (sum by (job, {by}, le) (rate({metric}_bucket{{{own}}}[{window}])))")
            };
            for (labels, value) in lens.vector(&format!("histogram_quantile(0.95, {histogram})"))? {
                let key = key(&labels);
                if let Some(entry) = fresh.get_mut(&key)
                    && (entry.p95.is_none() || key.2 == MESSAGING)
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

fn kind_by_scheme(scheme: &str) -> NodeKind {
    match scheme {
        "postgresql" | "pgbouncer" | "mysql" | "proxysql" | "mongodb" | "mssql" | "oracle" | "elasticsearch" => NodeKind::Database,
        scheme if CACHES.contains(&scheme) => NodeKind::Cache,
        _ => NodeKind::External,
    }
}

fn node_kind(server: &str, connection: &str, services: &[ServiceRow], context: &Context<'_>) -> Option<NodeKind> {
    if services.iter().any(|s| s.name == server && !context.is_dependency(s)) {
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
mod tests;
