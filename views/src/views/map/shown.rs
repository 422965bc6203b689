//! The part of the map on screen: collapsed by namespace or cut to a neighbourhood, with names in a stable order.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use watchfire_model::reading::{Edge, Map, Node, NodeKind};

#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    /// By name.
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge>,
    /// Edges as node indices.
    pub(super) pairs: Vec<(usize, usize)>,
    pub(super) out: Vec<Vec<usize>>,
    pub(super) into: Vec<Vec<usize>>,
}

/// What is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) collapse: bool,
    pub(super) focus: Option<(String, usize)>,
}

impl Shown {
    pub(super) fn of(map: &Map, cut: &Cut) -> Shown {
        let mut shown = Shown::cut(map, cut);
        // Where nobody declares anything, nothing is missing from what was declared.
        if !map.nodes.iter().any(|n| n.declared) && !map.edges.iter().any(|e| e.declared) {
            shown.edges.iter_mut().for_each(|e| e.declared = true);
        }
        shown
    }

    /// Everything, whatever is focused on: a failure does not stop at the edge of the screen.
    pub(super) fn whole(map: &Map, cut: &Cut) -> Option<Shown> {
        cut.focus.is_some().then(|| Shown::of(map, &Cut { focus: None, ..cut.clone() }))
    }

    fn cut(map: &Map, cut: &Cut) -> Shown {
        let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
        let mut name_of: HashMap<&str, String> = HashMap::new();
        for node in &map.nodes {
            // Where nobody names namespaces, those who own services divide them as well.
            let group = node.namespace.as_ref().or(node.owner.as_ref()).filter(|_| cut.collapse && node.kind == NodeKind::Service);
            let name = group.map_or_else(|| node.name.clone(), |group| format!("{group}/*"));
            nodes.entry(name.clone()).and_modify(|all| join(all, node)).or_insert_with(|| Node { name: name.clone(), ..node.clone() });
            name_of.insert(&node.name, name);
        }
        // An edge may name what no node was sent for.
        for edge in &map.edges {
            for end in [&edge.client, &edge.server] {
                if !name_of.contains_key(end.as_str()) {
                    name_of.insert(end, end.clone());
                    let kind = kind_of(edge, end);
                    nodes.entry(end.clone()).or_insert_with(|| Node {
                        name: end.clone(),
                        kind,
                        observed: edge.observed,
                        ..Node::default()
                    });
                }
            }
        }
        let mut edges: BTreeMap<(String, String, String), Edge> = BTreeMap::new();
        for edge in &map.edges {
            let (client, server) = (name_of[edge.client.as_str()].clone(), name_of[edge.server.as_str()].clone());
            if client == server && edge.client != edge.server {
                continue;
            }
            let key = (client.clone(), server.clone(), if cut.collapse { String::new() } else { edge.kind.clone() });
            edges.entry(key).and_modify(|all| join_edges(all, edge)).or_insert_with(|| Edge { client, server, ..edge.clone() });
        }
        if let Some((centre, hops)) = &cut.focus {
            // What was focused on may stand in a group by now.
            let centre = name_of.get(centre.as_str()).unwrap_or(centre);
            let near = neighbourhood(centre, *hops, &edges);
            nodes.retain(|name, _| near.contains(name));
            edges.retain(|(a, b, _), _| near.contains(a) && near.contains(b));
        }
        let nodes: Vec<Node> = nodes.into_values().collect();
        let edges: Vec<Edge> = edges.into_values().collect();
        let index: HashMap<&str, usize> = nodes.iter().enumerate().map(|(i, n)| (n.name.as_str(), i)).collect();
        let pairs: Vec<(usize, usize)> = edges.iter().map(|e| (index[e.client.as_str()], index[e.server.as_str()])).collect();
        let mut out = vec![Vec::new(); nodes.len()];
        let mut into = vec![Vec::new(); nodes.len()];
        for (e, (a, b)) in pairs.iter().enumerate() {
            out[*a].push(e);
            into[*b].push(e);
        }
        drop(index);
        Shown { nodes, edges, pairs, out, into }
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.nodes.binary_search_by(|n| n.name.as_str().cmp(name)).ok()
    }

    /// The node with those that call it and those it calls; edges among these are left out.
    pub(super) fn star(&self, node: usize) -> Shown {
        let edges: Vec<Edge> = self.into[node]
            .iter()
            .chain(self.out[node].iter().filter(|e| self.pairs[**e].1 != node))
            .map(|e| self.edges[*e].clone())
            .collect();
        let near: BTreeSet<usize> =
            self.into[node].iter().chain(&self.out[node]).flat_map(|e| [self.pairs[*e].0, self.pairs[*e].1]).chain([node]).collect();
        let nodes = near.into_iter().map(|n| self.nodes[n].clone()).collect();
        Shown::cut(&Map { nodes, edges }, &Cut::default())
    }

    /// Who suffers when this node fails, the nearest first: all that call it and wait for the answer, directly or not. A queue whose consumer
    /// fails fills up, and whoever hands messages over to it goes on.
    pub(super) fn blast(&self, node: usize) -> Vec<&str> {
        let mut reached = BTreeSet::from([node]);
        let mut order = vec![node];
        let mut next = 0;
        while let Some(n) = order.get(next).copied() {
            next += 1;
            let is_queue = |n: usize| self.nodes[n].kind == NodeKind::Queue;
            for edge in &self.into[n] {
                let caller = self.pairs[*edge].0;
                let waits = self.edges[*edge].kind != "messaging" || is_queue(caller) || (is_queue(n) && n == node);
                if waits && reached.insert(caller) {
                    order.push(caller);
                }
            }
        }
        order[1..].iter().map(|n| self.nodes[*n].name.as_str()).collect()
    }
}

/// What an end of an edge is, when no node says so.
fn kind_of(edge: &Edge, end: &str) -> NodeKind {
    match (edge.kind.as_str(), end == edge.server) {
        ("database", true) => NodeKind::Database,
        ("cache", true) => NodeKind::Cache,
        ("external", true) => NodeKind::External,
        _ => NodeKind::Service,
    }
}

fn join(all: &mut Node, node: &Node) {
    all.state = all.state.max(node.state);
    all.declared |= node.declared;
    all.observed |= node.observed;
    all.error_ratio = weighted(all.rate, all.error_ratio, node.rate, node.error_ratio);
    all.rate = add(all.rate, node.rate);
    all.p95_seconds = larger(all.p95_seconds, node.p95_seconds);
    all.why.extend(node.why.iter().map(|w| format!("{}: {w}", node.name)));
}

fn join_edges(all: &mut Edge, edge: &Edge) {
    all.error_ratio = weighted(all.rate, all.error_ratio, edge.rate, edge.error_ratio);
    all.rate = add(all.rate, edge.rate);
    all.p95_seconds = larger(all.p95_seconds, edge.p95_seconds);
    all.observed |= edge.observed;
    all.declared |= edge.declared;
    let rank = |b: &Option<String>| {
        b.as_deref().map_or(0, |s| ["closed", "unknown", "half-open", "open"].iter().position(|k| *k == s).map_or(1, |p| p + 1))
    };
    if rank(&edge.breaker) > rank(&all.breaker) {
        all.breaker.clone_from(&edge.breaker);
        all.breaker_inferred = edge.breaker_inferred;
    }
}

fn add(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

fn larger(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}

fn weighted(rate_a: Option<f64>, a: Option<f64>, rate_b: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (rate_a, a, rate_b, b) {
        (Some(ra), Some(a), Some(rb), Some(b)) if ra + rb > 0.0 => Some((ra * a + rb * b) / (ra + rb)),
        _ => a.or(b),
    }
}

fn neighbourhood(centre: &str, hops: usize, edges: &BTreeMap<(String, String, String), Edge>) -> HashSet<String> {
    let mut next: HashMap<&str, Vec<&str>> = HashMap::new();
    for (a, b, _) in edges.keys() {
        next.entry(a).or_default().push(b);
        next.entry(b).or_default().push(a);
    }
    let mut near: HashSet<String> = HashSet::from([centre.to_owned()]);
    let mut ring = vec![centre.to_owned()];
    for _ in 0..hops {
        ring = ring
            .iter()
            .filter_map(|n| next.get(n.as_str()))
            .flatten()
            .filter(|n| near.insert((**n).to_owned()))
            .map(|n| (*n).to_owned())
            .collect();
    }
    near
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::HealthState;

    fn map() -> Map {
        let node = |name: &str, namespace: &str, state| Node {
            name: name.into(),
            namespace: Some(namespace.into()),
            state,
            rate: Some(10.0),
            ..Node::default()
        };
        let edge = |a: &str, b: &str| Edge { client: a.into(), server: b.into(), rate: Some(5.0), observed: true, ..Edge::default() };
        Map {
            nodes: vec![node("a", "x", HealthState::Healthy), node("b", "x", HealthState::Unhealthy), node("c", "y", HealthState::Healthy)],
            edges: vec![edge("a", "b"), edge("b", "c"), edge("a", "c"), edge("c", "db")],
        }
    }

    #[test]
    fn namespaces_fold_into_one_node_with_the_worst_state() {
        let shown = Shown::of(&map(), &Cut { collapse: true, focus: None });
        assert_eq!(shown.nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["db", "x/*", "y/*"]);
        assert_eq!(shown.nodes[1].state, HealthState::Unhealthy);
        assert_eq!(shown.edges.iter().find(|e| e.client == "x/*").and_then(|e| e.rate), Some(10.0));
    }

    #[test]
    fn focus_keeps_what_is_within_the_hops() {
        let shown = Shown::of(&map(), &Cut { collapse: false, focus: Some(("db".into(), 1)) });
        assert_eq!(shown.nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["c", "db"]);
    }

    #[test]
    fn focus_follows_its_node_into_a_group_and_owners_stand_in_for_namespaces() {
        let mut map = map();
        for node in &mut map.nodes {
            node.owner = node.namespace.take();
        }
        let shown = Shown::of(&map, &Cut { collapse: true, focus: Some(("a".into(), 1)) });
        assert_eq!(shown.nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["x/*", "y/*"]);
    }

    #[test]
    fn only_beside_what_is_declared_is_anything_undeclared() {
        let undeclared = |map: &Map| Shown::of(map, &Cut::default()).edges.iter().filter(|e| !e.declared).count();
        let mut map = map();
        assert_eq!(undeclared(&map), 0, "nobody declares anything");
        map.nodes[0].declared = true;
        assert_eq!(undeclared(&map), 4);
        let of = Shown::of(&map, &Cut::default());
        assert!(of.star(of.find("db").expect("db")).edges.iter().all(|e| !e.declared));
    }

    #[test]
    fn the_blast_radius_is_everyone_upstream() {
        let mut map = map();
        let shown = Shown::of(&map, &Cut::default());
        let mut names = shown.blast(shown.find("db").expect("db"));
        names.sort_unstable();
        assert_eq!(names, ["a", "b", "c"]);
        // A queue whose consumer is gone fills up; who writes to it does not notice. Who writes to a broken queue does.
        let edge =
            |client: &str, server: &str| Edge { client: client.into(), server: server.into(), kind: "messaging".into(), ..Edge::default() };
        map.nodes.push(Node { name: "jobs".into(), kind: NodeKind::Queue, ..Node::default() });
        map.nodes.push(Node { name: "worker".into(), kind: NodeKind::Service, ..Node::default() });
        map.edges.extend([edge("c", "jobs"), edge("jobs", "worker")]);
        let shown = Shown::of(&map, &Cut::default());
        assert_eq!(shown.blast(shown.find("worker").expect("worker")), ["jobs"]);
        assert!(shown.blast(shown.find("jobs").expect("jobs")).contains(&"c"));
    }
}
