//! The live dependency graph, read from the edge series: those derived here and those that a collector or a mesh derived before.

use crate::checks::Checks;
use crate::series::SeriesBook;
use crate::signals::board::Board;
use crate::signals::edges::Connection;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{
    CheckReport, Dependency, HealthState, Relation, Selector, SeriesSource, TimeRange, Timestamp, Unhealthy, of_only_servers, service_at,
};

/// What counts as now: edges with calls in this time, and their failures in it.
const RECENT: Duration = Duration::from_secs(300);
/// How long the graph is not drawn again, milliseconds. Cause analysis asks for many services at once.
const STANDS: i64 = 1000;

/// By client: by server and how it is needed, (calls, failures) within [`RECENT`].
type Graph = BTreeMap<String, BTreeMap<(String, Relation), (f64, f64)>>;

#[derive(Default)]
pub(crate) struct LiveGraph {
    drawn: Mutex<Option<(Timestamp, Arc<Graph>)>>,
}

impl LiveGraph {
    /// What the nodes of these names depend on.
    pub fn dependencies(
        &self,
        is_client: &dyn Fn(&str) -> bool,
        series: &SeriesBook,
        board: &Board,
        checks: &Checks,
        now: Timestamp,
    ) -> Vec<Dependency> {
        let graph = self.graph(series, board, checks, now);
        let of_clients =
            graph.iter().filter(|(client, _)| is_client(client)).flat_map(|(client, servers)| servers.iter().map(move |s| (client, s)));
        of_clients
            .map(|(client, ((server, relation), (calls, failures)))| Dependency {
                client: client.clone(),
                server: server.clone(),
                relation: *relation,
                error_ratio: (*calls > 0.0).then(|| (failures / calls).clamp(0.0, 1.0)),
            })
            .collect()
    }

    fn graph(&self, series: &SeriesBook, board: &Board, checks: &Checks, now: Timestamp) -> Arc<Graph> {
        let mut drawn = self.drawn.lock();
        if let Some((at, graph)) = &*drawn
            && (0..STANDS).contains(&now.0.saturating_sub(at.0))
        {
            return graph.clone();
        }
        let graph = Arc::new(draw(series, board, &checks.all(), now));
        *drawn = Some((now, graph.clone()));
        graph
    }
}

fn draw(series: &SeriesBook, board: &Board, checks: &[CheckReport], now: Timestamp) -> Graph {
    let mut graph = Graph::new();
    let recent = series.aging.ago(now, RECENT);
    let range = TimeRange::new(recent, now);
    for (metric, failures) in [("traces_service_graph_request_total", false), ("traces_service_graph_request_failed_total", true)] {
        let _ = series.select(&Selector::metric(metric), range, &mut |view| {
            let (client, server) = (view.labels.value("client"), view.labels.value("server"));
            let increase = increase(view.values);
            if client.is_empty() || server.is_empty() || (increase <= 0.0 && !failures) {
                return;
            }
            // The collector splits the total by a label `failed` and counts failures again under their own name.
            let to = (server.to_owned(), relation(view.labels.value("connection_type")));
            let edge = graph.entry(client.to_owned()).or_default().entry(to).or_default();
            if failures { edge.1 += increase } else { edge.0 += increase }
        });
    }
    // Edges seen since the last publication have no increase yet.
    for edge in board.edges.iter().filter(|e| e.last_seen >= recent) {
        let to = (edge.server.to_string(), relation(edge.connection.label()));
        graph.entry(edge.client.to_string()).or_default().entry(to).or_default();
        for check in checks.iter().filter(|c| *c.service != *edge.server && edge.addresses.iter().any(|address| c.is_of(address))) {
            graph.entry(edge.server.to_string()).or_default().entry((check.service.clone(), Relation::Is)).or_default();
        }
    }
    let nodes = board.edges.iter().filter(|e| e.last_seen >= recent).map(|e| (&*e.server, &*e.system));
    let is_placed = |check: &CheckReport| board.edges.iter().flat_map(|e| &e.addresses).any(|address| check.is_of(address));
    for (check, node) in of_only_servers(checks, nodes, is_placed).into_iter().filter(|(check, node)| check.service != *node) {
        graph.entry(node.to_owned()).or_default().entry((check.service.clone(), Relation::Is)).or_default();
    }
    for check in checks {
        if let Some(service) = asked(check, board) {
            graph.entry(service.to_owned()).or_default().entry((check.service.clone(), Relation::Is)).or_default();
        }
    }
    // Failures alone (no calls in this time) make no edge.
    graph.values_mut().for_each(|servers| {
        let seen = |client_server: &(f64, f64)| client_server.0 > 0.0 || client_server.1 == 0.0;
        servers.retain(|_, counts| seen(counts));
    });
    graph
}

fn relation(connection: &str) -> Relation {
    if connection == Connection::MessagingSystem.label() { Relation::Sends } else { Relation::Calls }
}

/// By how much a counter grew, resets included.
fn increase(values: &[f64]) -> f64 {
    let real = values.iter().copied().filter(|v| v.is_finite());
    let mut last = None;
    let mut total = 0.0;
    for value in real {
        if let Some(last) = last {
            total += if value >= last { value - last } else { value };
        }
        last = Some(value);
    }
    total
}

/// Services whose newest check says unhealthy.
pub(crate) fn unhealthy(checks: &Checks, board: &Board) -> Vec<Unhealthy> {
    let all = checks.all().into_iter().filter(|c| c.state == HealthState::Unhealthy);
    let service = |c: &CheckReport| asked(c, board).unwrap_or(&c.service).to_owned();
    all.map(|c| Unhealthy::checked(&service(&c), format!("says its check {}: {}", c.check, c.detail))).collect()
}

/// The service that a check asks, where the check has another name, which is nobody's: the only node that is known under that address.
pub(crate) fn asked<'a>(check: &CheckReport, board: &'a Board) -> Option<&'a str> {
    let is_service = |name: &str| board.services.iter().any(|seen| *seen.name == *name);
    let places = board.places.iter().map(|place| (&*place.service, &*place.address));
    let silent = board.edges.iter().flat_map(|edge| edge.addresses.iter().map(|address| (&*edge.server, &**address)));
    if is_service(&check.service) { None } else { service_at(places.chain(silent), |address| check.is_of(address), is_service) }
}
