//! What is on the map, and how it does: services by their own rows, everything else by the calls to it, by probes, and by what others say of it.

use super::Scene;
use super::edges::{CACHES, Edges};
use crate::local::context::Context;
use crate::local::reported;
use crate::local::state::{failing_calls, of_error_ratio};
use std::collections::BTreeMap;
use watchfire_model::reading::{Edge, Node, NodeKind, Queue, ReadError, ServiceRow};
use watchfire_model::{CheckReport, HealthState, of_only_servers};

/// Checks by the node they ask.
type Checks<'a> = BTreeMap<String, Vec<&'a CheckReport>>;

pub(super) struct Nodes<'a> {
    scene: Scene<'a>,
    by_name: BTreeMap<String, Node>,
}

impl<'a> Nodes<'a> {
    /// All nodes, in the order of their names.
    ///
    /// # Errors
    /// When the store cannot be queried.
    pub fn collect(scene: Scene<'a>, edges: &Edges<'_>, queues: &[Queue]) -> Result<Vec<Node>, ReadError> {
        let checks = checks_by_node(scene)?;
        let mut nodes = Nodes { scene, by_name: BTreeMap::new() };
        nodes.add_services(edges, &checks);
        nodes.add_declared();
        nodes.add_ends(edges);
        nodes.judge_by_checks(checks);
        nodes.judge_by_reports()?;
        nodes.add_depths(edges, queues)?;
        Ok(nodes.by_name.into_values().collect())
    }

    /// A row that stands only for a probe at another node's address is no node of its own.
    fn add_services(&mut self, edges: &Edges<'_>, checks: &Checks<'_>) {
        let folded = |row: &ServiceRow| {
            let known = row.declared || row.last_seen.is_some() || row.rate.is_some();
            !known && !edges.touch(&row.name) && checks.values().flatten().any(|c| c.service == row.name)
        };
        let context = self.scene.context;
        for row in self.scene.services.iter().filter(|row| !folded(row) && !context.is_dependency(row)) {
            self.by_name.insert(row.name.clone(), service_node(row, context));
        }
    }

    fn add_declared(&mut self) {
        for (name, kind) in self.scene.context.declared_nodes() {
            let node = self.node(&name, kind);
            node.declared = true;
            node.kind = kind;
        }
    }

    fn add_ends(&mut self, edges: &Edges<'_>) {
        for edge in edges.iter() {
            for (name, is_server) in [(&edge.client, false), (&edge.server, true)] {
                let node = self.node(name, edges.kind_of(name).unwrap_or(NodeKind::External));
                node.observed |= edge.observed;
                if is_server && node.kind != NodeKind::Service {
                    absorb(node, edge);
                }
            }
        }
    }

    /// The node of this name; one that is new is of this kind.
    fn node(&mut self, name: &str, kind: NodeKind) -> &mut Node {
        self.by_name.entry(name.to_owned()).or_insert_with(|| Node { name: name.to_owned(), kind, ..Node::default() })
    }

    fn judge_by_checks(&mut self, mut checks: Checks<'a>) {
        for check in self.scene.context.checks.iter().filter(|c| !c.asks_service()) {
            let of_service = self.by_name.get(&check.service).is_some_and(|node| node.kind == NodeKind::Service);
            if of_service || checks.values().flatten().any(|placed| std::ptr::eq(*placed, check)) {
                continue;
            }
            self.node(&check.service, kind_by_scheme(check.scheme()));
            checks.entry(check.service.clone()).or_default().push(check);
        }
        for (name, checks) in checks {
            let Some(node) = self.by_name.get_mut(&name) else { continue };
            for check in checks {
                match check.state {
                    HealthState::Unhealthy | HealthState::Degraded => node.why.insert(0, format!("{}: {}", check.check, check.detail)),
                    HealthState::Healthy if node.state == HealthState::Unknown => node.state = HealthState::Healthy,
                    HealthState::Healthy | HealthState::Unknown => continue,
                }
                node.state = node.state.max(check.state);
            }
        }
    }

    /// What callers say of it in their own health; what is among the services says it there.
    fn judge_by_reports(&mut self) -> Result<(), ReadError> {
        for (name, reported) in reported::look(self.scene.lens, self.scene.context)? {
            if let Some(node) = self.by_name.get_mut(&name).filter(|node| node.kind != NodeKind::Service) {
                node.state = node.state.max(reported.state());
                node.why.insert(0, reported.why());
            }
        }
        Ok(())
    }

    fn add_depths(&mut self, edges: &Edges<'_>, queues: &[Queue]) -> Result<(), ReadError> {
        for (name, figures) in crate::local::collectors::collectors(self.scene.lens)? {
            if let Some(node) = self.by_name.get_mut(&name) {
                node.queue_depth = figures.queue_size;
            }
        }
        for queue in queues {
            if let Some(node) = self.by_name.get_mut(&edges.queue_node(&queue.queue, &queue.system)) {
                node.kind = NodeKind::Queue;
                node.queue_depth = queue.depth;
                node.state = node.state.max(queue.state);
                node.why.extend(queue.why.iter().cloned());
            }
        }
        Ok(())
    }
}

/// The checks that ask at the addresses of nodes without telemetry of their own: a database is named by what is in it, and its probe by where it is.
fn checks_by_node<'a>(Scene { lens, context, .. }: Scene<'a>) -> Result<Checks<'a>, ReadError> {
    let mut out = Checks::new();
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

fn kind_by_scheme(scheme: &str) -> NodeKind {
    match scheme {
        "postgresql" | "pgbouncer" | "mysql" | "proxysql" | "mongodb" | "mssql" | "oracle" | "elasticsearch" => NodeKind::Database,
        scheme if CACHES.contains(&scheme) => NodeKind::Cache,
        _ => NodeKind::External,
    }
}
