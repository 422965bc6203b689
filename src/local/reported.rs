//! What the health checks of services say of what those depend on, as far as it is clear which node they mean.

use super::context::Context;
use super::deliveries::deliveries;
use super::lens::Lens;
use super::naming::{Nameable, all_meant, kind_of_label};
use std::collections::{BTreeMap, BTreeSet};
use watchfire_model::reading::ReadError;
use watchfire_model::{CheckReport, HealthState};

/// Services that are named where more say the same.
const NAMED: usize = 2;

/// What is said of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reported {
    /// By service: the worst that its checks say, and the words of its health body.
    said: BTreeMap<String, (HealthState, String)>,
}

impl Reported {
    fn says(&self, fits: impl Fn(HealthState) -> bool) -> usize {
        self.said.values().filter(|(state, _)| fits(*state)).count()
    }

    /// Services that find it unhealthy.
    pub fn said_by(&self) -> Vec<String> {
        self.said.iter().filter(|(_, (state, _))| *state == HealthState::Unhealthy).map(|(service, _)| service.clone()).collect()
    }

    /// Most of those that speak of it find it healthy: then it is not the node, or not all of it.
    pub fn is_doubted(&self) -> bool {
        self.says(|state| state > HealthState::Unknown) < self.says(|state| state == HealthState::Healthy)
    }

    /// As bad as the worst that is said, and degraded at most where that is doubted.
    pub fn state(&self) -> HealthState {
        let worst = self.said.values().map(|(state, _)| *state).filter(|state| *state > HealthState::Unknown).max().unwrap_or_default();
        if self.is_doubted() { worst.min(HealthState::Degraded) } else { worst }
    }

    /// How it is, who says so, and the first words that are given for it.
    pub fn why(&self) -> String {
        let bad = self.said.values().any(|(state, _)| *state == HealthState::Unhealthy);
        let word = if bad { HealthState::Unhealthy } else { HealthState::Degraded };
        format!("{}, {}", word.word(), self.words())
    }

    /// Who says so, and the first words that are given for it.
    pub fn words(&self) -> String {
        let bad: Vec<_> = self.said.iter().filter(|(_, (state, _))| *state > HealthState::Unknown).collect();
        let names: Vec<&str> = bad.iter().map(|(service, _)| service.as_str()).collect();
        let detail = bad.iter().map(|(_, (_, detail))| detail.as_str()).find(|detail| !detail.is_empty());
        let detail = detail.map(|detail| format!(": \"{detail}\"")).unwrap_or_default();
        let well = self.says(|state| state == HealthState::Healthy);
        let doubt = if well > 0 { format!(", {well} of {} find it healthy", well + bad.len()) } else { String::new() };
        let speakers = match names.as_slice() {
            [one] => format!("says {one}'s health check"),
            [one, other] => format!("say the health checks of {one} and {other}"),
            many => format!(
                "say the health checks of {} and {} more",
                many[..NAMED.min(many.len())].join(", "),
                many.len().saturating_sub(NAMED)
            ),
        };
        format!("{speakers}{detail}{doubt}")
    }
}

/// By node: what the checks of the services that need it say of it. `nodes_of` gives what a service depends on; what it names and what fits none of them,
/// or several, is nobody.
pub fn reported<'c>(
    checks: impl IntoIterator<Item = (&'c str, &'c CheckReport)>,
    mut nodes_of: impl FnMut(&str) -> Vec<Nameable>,
) -> BTreeMap<String, Reported> {
    let mut of_service: BTreeMap<&str, Vec<&CheckReport>> = BTreeMap::new();
    for (service, check) in checks.into_iter().filter(|(_, check)| !check.dependencies.is_empty()) {
        of_service.entry(service).or_default().push(check);
    }
    let mut out: BTreeMap<String, Reported> = BTreeMap::new();
    for (service, checks) in of_service {
        let nodes = nodes_of(service);
        for dependency in checks.iter().flat_map(|check| &check.dependencies) {
            for node in all_meant(&dependency.name, &nodes).into_iter().filter(|node| node.name != service) {
                let said = &mut out.entry(node.name.clone()).or_default().said;
                let known = said.entry(service.to_owned()).or_insert_with(|| (dependency.state, dependency.detail.clone()));
                if dependency.state > known.0 {
                    *known = (dependency.state, dependency.detail.clone());
                }
            }
        }
    }
    out.retain(|_, reported| reported.state() > HealthState::Unknown);
    out
}

/// The same from series: at any moment of which the checks are known.
///
/// # Errors
/// When the store cannot be queried.
pub fn look(lens: &Lens<'_>, context: &Context<'_>) -> Result<BTreeMap<String, Reported>, ReadError> {
    let bad = |check: &&CheckReport| check.dependencies.iter().any(|d| d.state > HealthState::Unknown);
    if !context.checks.iter().any(|check| bad(&check)) {
        return Ok(BTreeMap::new());
    }
    let mut edges: BTreeSet<(String, String)> = BTreeSet::new();
    for (labels, _) in lens.vector("group by (client, server) (traces_service_graph_request_total)")? {
        edges.insert((labels.value("client").to_owned(), context.canonical(labels.value("server")).to_owned()));
    }
    // Who takes messages needs the queue as much as who sends them.
    for delivery in deliveries(lens, context)? {
        edges.insert((delivery.client, delivery.queue.clone()));
        edges.insert((delivery.server, delivery.queue));
    }
    let mut nodes: BTreeMap<String, Nameable> = BTreeMap::new();
    let mut node = |name: &str| nodes.entry(name.to_owned()).or_insert_with(|| Nameable::new(name, context.declared)).clone();
    edges.iter().for_each(|(_, server)| drop(node(server)));
    context.declared_edges().for_each(|(client, server, _)| {
        node(&server);
        edges.insert((client, server));
    });
    for (labels, _) in lens.vector("group by (node, kind, system) (watchfire_node_info)")? {
        if let Some(node) = nodes.get_mut(context.canonical(labels.value("node"))) {
            node.learn(kind_of_label(labels.value("kind")), labels.value("system"), labels.value("node"));
        }
    }
    for (labels, _) in lens.vector("group by (node, address) (watchfire_node_address)")? {
        if let Some(node) = nodes.get_mut(context.canonical(labels.value("node"))) {
            node.aliases.push(labels.value("address").to_owned());
        }
    }
    let of =
        |service: &str| edges.iter().filter(|(client, _)| client == service).filter_map(|(_, server)| nodes.get(server).cloned()).collect();
    Ok(reported(context.checks.iter().map(|check| (check.service.as_str(), check)), of))
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::DependencyReport;
    use watchfire_model::reading::NodeKind;

    fn check(service: &str, said: &[(&str, HealthState, &str)]) -> CheckReport {
        let dependency = |(name, state, detail): &(&str, HealthState, &str)| DependencyReport {
            name: (*name).into(),
            state: *state,
            detail: (*detail).into(),
            latency: None,
        };
        CheckReport {
            service: service.into(),
            check: "health".into(),
            url: format!("http://{service}/health"),
            state: HealthState::Degraded,
            success: true,
            dependencies: said.iter().map(dependency).collect(),
            ..CheckReport::default()
        }
    }

    fn node(name: &str, kind: NodeKind, system: &str) -> Nameable {
        Nameable { name: name.into(), kind, system: system.into(), aliases: Vec::new() }
    }

    #[test]
    fn what_services_say_of_one_node_by_different_names_is_said_of_that_node() {
        use HealthState::{Degraded, Healthy, Unhealthy};
        let checks = [
            check("shop", &[("npgsql", Unhealthy, "timeout"), ("redis", Healthy, "")]),
            check("mail", &[("orders-db", Unhealthy, ""), ("smtp", Unhealthy, "refused")]),
            check("stock", &[("db", Degraded, ""), ("cache", Unhealthy, "")]),
            check("audit", &[("db", Unhealthy, "its own, which no span shows")]),
        ];
        let nodes = |service: &str| match service {
            "audit" => Vec::new(),
            _ => vec![node("orders", NodeKind::Database, "postgresql"), node("redis", NodeKind::Cache, "redis")],
        };
        let found = reported(checks.iter().map(|check| (check.service.as_str(), check)), nodes);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["orders", "redis"]);
        let orders = &found["orders"];
        assert_eq!((orders.state(), orders.said_by()), (Unhealthy, vec!["mail".to_owned(), "shop".to_owned()]));
        assert_eq!(orders.why(), "unhealthy, say the health checks of mail, shop and 1 more: \"timeout\"");
        let redis = &found["redis"];
        assert_eq!((redis.state(), redis.is_doubted()), (Unhealthy, false), "one against one");
        assert_eq!(redis.why(), "unhealthy, says stock's health check, 1 of 2 find it healthy");
    }

    #[test]
    fn most_that_find_it_healthy_leave_it_degraded() {
        use HealthState::{Degraded, Healthy, Unhealthy};
        let checks = [check("a", &[("db", Unhealthy, "")]), check("b", &[("db", Healthy, "")]), check("c", &[("db", Healthy, "")])];
        let found =
            reported(checks.iter().map(|check| (check.service.as_str(), check)), |_| vec![node("orders", NodeKind::Database, "mysql")]);
        assert_eq!((found["orders"].state(), found["orders"].is_doubted()), (Degraded, true));
    }
}
