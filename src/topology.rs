//! The dependency graph that alerts ask for causes: what spans show now, joined with what the preset declares.

use crate::local::Declared;
use crate::local::naming::{Nameable, meant};
use crate::local::reported::reported;
use std::collections::BTreeMap;
use std::sync::Arc;
use watchfire_model::{Dependency, HealthState, Relation, Topology, Unhealthy};
use watchfire_store::{Connection, ObservedEdge, Store};

/// Live edges of the store under the preset's names, plus declared edges that carry no spans of their own.
pub struct JoinedTopology {
    store: Arc<Store>,
    declared: Arc<Declared>,
}

impl JoinedTopology {
    pub fn new(store: Arc<Store>, declared: Arc<Declared>) -> Self {
        JoinedTopology { store, declared }
    }

    /// Calls and deliveries that were seen.
    fn edges(&self) -> Vec<ObservedEdge> {
        let mut edges = self.store.observed_edges();
        // Who takes messages needs the queue as much as who sends them.
        edges.extend(self.store.observed_deliveries().into_iter().flat_map(|delivery| {
            let users = if delivery.queue.is_some() { vec![delivery.client.clone(), delivery.server.clone()] } else { Vec::new() };
            let server = delivery.queue.clone().unwrap_or_default();
            users.into_iter().map(move |client| ObservedEdge {
                client,
                server: server.clone(),
                connection: Connection::VirtualNode,
                addresses: Vec::new(),
                ..delivery.clone()
            })
        }));
        edges
    }

    /// What a service depends on, with all that it may be called.
    fn nodes_of(&self, service: &str, edges: &[ObservedEdge]) -> Vec<Nameable> {
        let mut out: BTreeMap<String, Nameable> = BTreeMap::new();
        for edge in edges.iter().filter(|edge| *edge.client == *service) {
            let name = self.declared.canonical(&edge.server);
            let node = out.entry(name.to_owned()).or_insert_with(|| Nameable::new(name, &self.declared));
            // At the other end of messages and calls is a service, which is known by its name alone.
            if matches!(edge.connection, Connection::Database | Connection::VirtualNode) {
                node.learn(edge.protocol.node_kind(), &edge.system, &edge.server);
            }
            node.aliases.extend(edge.addresses.iter().map(|address| address.to_string()));
        }
        for (_, server, _) in self.declared.edges.iter().filter(|(client, _, _)| client == service) {
            out.entry(server.clone()).or_insert_with(|| Nameable::new(server, &self.declared));
        }
        out.into_values().collect()
    }
}

impl Topology for JoinedTopology {
    fn dependencies(&self, service: &str) -> Vec<Dependency> {
        // What spans know of a declared database they know under the names that they have for it.
        let mut out = self.store.dependencies_of(&|name| name == service || self.declared.canonical(name) == service);
        out.iter_mut().for_each(|dependency| service.clone_into(&mut dependency.client));
        for dependency in &mut out {
            let name = self.declared.canonical(&dependency.server).to_owned();
            dependency.server = name;
        }
        for (client, server, _) in self.declared.edges.iter().filter(|(c, _, _)| c == service) {
            if !out.iter().any(|d| d.server == *server) {
                out.push(Dependency { client: client.clone(), server: server.clone(), error_ratio: None, relation: Relation::Calls });
            }
        }
        out
    }

    fn consumers(&self, queue: &str) -> Vec<String> {
        let declared = self.declared.queues.iter().filter(|q| q.name == queue).flat_map(|q| q.consumers.iter().cloned());
        let mut names: Vec<String> = declared.chain(self.store.consumers(queue)).filter(|name| name != queue).collect();
        names.sort();
        names.dedup();
        names
    }

    fn unhealthy(&self) -> Vec<Unhealthy> {
        let mut out = self.store.unhealthy();
        let checks = self.store.checks_by_service();
        if checks.iter().flat_map(|(_, check)| &check.dependencies).any(|d| d.state == HealthState::Unhealthy) {
            let edges = self.edges();
            let checks = checks.iter().map(|(service, check)| (service.as_str(), check));
            for (name, reported) in reported(checks, |service| self.nodes_of(service, &edges)) {
                let said_by = reported.said_by();
                match out.iter_mut().find(|found| found.name == name) {
                    Some(found) => found.said_by = said_by,
                    None if said_by.is_empty() => {}
                    None => out.push(Unhealthy { name, reason: reported.words(), checked: false, said_by, doubted: reported.is_doubted() }),
                }
            }
        }
        out
    }

    fn meant(&self, service: &str, name: &str) -> Option<String> {
        meant(name, &self.nodes_of(service, &self.edges())).map(|node| node.name.clone())
    }

    fn owner(&self, service: &str) -> Option<String> {
        self.declared.owner(service).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;
    use watchfire_model::reading::NodeKind;
    use watchfire_model::{CheckReport, DependencyReport, HandClock, Meter, ProbeSink, Timestamp};
    use watchfire_otlp::{Direct, Limits, Signal, json_to_protobuf};
    use watchfire_store::{SignalSettings, SpanEngine, StoreLimits};

    /// An empty store, what brings spans into it, and the time there.
    fn receiver() -> (Arc<Store>, Direct<SpanEngine>, Timestamp) {
        let (start, meter) = (Timestamp(1_772_334_000_000), Meter::new());
        let store = Store::new(StoreLimits::default(), meter.clone(), Arc::new(HandClock::at(start)));
        let engine = store.span_engine(SignalSettings::default());
        let receiver = Direct::new(Limits::default(), engine, store.clone(), store.clone(), &meter);
        (store, receiver, start)
    }

    fn text(key: &str, value: &str) -> serde_json::Value {
        json!({"key": key, "value": {"stringValue": value}})
    }

    /// Spans name a database by what is in it, the preset by what it is to the platform, and the probe by where it is.
    #[test]
    fn a_declared_database_finds_its_probe_by_the_address_that_spans_tell() {
        let (store, mut receiver, start) = receiver();
        let query = json!({"resourceSpans": [{
            "resource": {"attributes": [text("service.name", "shop")]},
            "scopeSpans": [{"spans": [{
                "traceId": format!("{:032x}", 1), "spanId": format!("{:016x}", 1), "name": "SELECT", "kind": 3,
                "startTimeUnixNano": (start.0 * 1_000_000).to_string(), "endTimeUnixNano": (start.0 * 1_000_000 + 5_000_000).to_string(),
                "attributes": [text("db.system.name", "postgresql"), text("db.namespace", "orders"), text("server.address", "db"),
                               {"key": "server.port", "value": {"intValue": "5432"}}],
            }]}],
        }]});
        let query = json_to_protobuf(query.to_string().as_bytes(), Signal::Traces, &Limits::default()).expect("valid").protobuf;
        assert!(receiver.traces(&query, start).expect("taken").rejected.is_empty());
        receiver.tick(start.saturating_add(Duration::from_secs(3)));
        store.probe(CheckReport {
            service: "db:5432".into(),
            check: "tcp".into(),
            url: "tcp://db:5432".into(),
            state: HealthState::Unhealthy,
            detail: "refused".into(),
            at: start,
            since: start,
            ..CheckReport::default()
        });
        let declared = Declared {
            nodes: vec![("Orders database".into(), NodeKind::Database)],
            aliases: vec![("orders".into(), "Orders database".into())],
            ..Declared::default()
        };
        let topology = JoinedTopology::new(store, Arc::new(declared));
        let of = |client: &str| {
            let found = topology.dependencies(client).into_iter().inspect(|d| assert_eq!(d.client, client));
            found.map(|d| (d.server, d.relation)).collect::<Vec<_>>()
        };
        assert_eq!(of("shop"), [("Orders database".to_owned(), Relation::Calls)]);
        assert_eq!(of("Orders database"), [("db:5432".to_owned(), Relation::Is)]);
    }

    /// A body names a database by its driver, spans by what is in it.
    #[test]
    fn what_a_body_says_of_a_database_is_said_of_the_node_that_spans_show() {
        let (store, mut receiver, start) = receiver();
        let query = |service: &str, id: u64, database: &str, host: &str| {
            json!({
                "resource": {"attributes": [text("service.name", service)]},
                "scopeSpans": [{"spans": [{
                    "traceId": format!("{id:032x}"), "spanId": format!("{id:016x}"), "name": "SELECT", "kind": 3,
                    "startTimeUnixNano": (start.0 * 1_000_000).to_string(), "endTimeUnixNano": (start.0 * 1_000_000 + 5_000_000).to_string(),
                    "attributes": [text("db.system.name", "postgresql"), text("db.namespace", database), text("server.address", host)],
                }]}],
            })
        };
        let spans =
            [("shop", 1, "orders", "db-1"), ("mail", 2, "orders", "db-1"), ("audit", 3, "orders", "db-1"), ("audit", 4, "trail", "db-2")];
        let sent = json!({"resourceSpans": spans.map(|(service, id, database, host)| query(service, id, database, host))});
        let sent = json_to_protobuf(sent.to_string().as_bytes(), Signal::Traces, &Limits::default()).expect("valid").protobuf;
        assert!(receiver.traces(&sent, start).expect("taken").rejected.is_empty());
        receiver.tick(start.saturating_add(Duration::from_secs(3)));
        for (service, name) in [("shop", "npgsql"), ("mail", "orders-database"), ("audit", "db")] {
            store.probe(CheckReport {
                service: service.into(),
                check: "health".into(),
                url: format!("http://{service}/health"),
                state: HealthState::Degraded,
                success: true,
                dependencies: vec![DependencyReport {
                    name: name.into(),
                    state: HealthState::Unhealthy,
                    detail: "timeout".into(),
                    latency: None,
                }],
                at: start,
                since: start,
                ..CheckReport::default()
            });
        }
        let topology = JoinedTopology::new(store, Arc::default());
        let said_by = vec!["mail".to_owned(), "shop".to_owned()];
        let reason = "say the health checks of mail and shop: \"timeout\"".to_owned();
        assert_eq!(topology.unhealthy(), [Unhealthy { name: "orders".into(), reason, said_by, ..Unhealthy::default() }]);
        assert_eq!(topology.meant("audit", "db"), None, "which of its two it means is not said");
        assert_eq!(topology.meant("audit", "trailDb").as_deref(), Some("trail"));
    }

    /// Each queue of a broker is a node, and a body speaks of the broker.
    #[test]
    fn what_bodies_say_of_a_broker_is_said_of_its_queues() {
        let (store, mut receiver, start) = receiver();
        let message = |service: &str, id: u64, parent: u64, kind: u8, queue: &str| {
            json!({
                "resource": {"attributes": [text("service.name", service)]},
                "scopeSpans": [{"spans": [{
                    "traceId": format!("{:032x}", id.max(parent) / 10), "spanId": format!("{id:016x}"),
                    "parentSpanId": if parent == 0 { String::new() } else { format!("{parent:016x}") }, "name": queue, "kind": kind,
                    "startTimeUnixNano": (start.0 * 1_000_000).to_string(), "endTimeUnixNano": (start.0 * 1_000_000 + 5_000_000).to_string(),
                    "attributes": [text("messaging.system", "rabbitmq"), text("messaging.destination.name", queue)],
                }]}],
            })
        };
        let spans = [
            message("shop", 11, 0, 4, "orders"),
            message("billing", 12, 11, 5, "orders"),
            message("shop", 21, 0, 4, "mails"),
            message("mailer", 22, 21, 5, "mails"),
        ];
        let sent = json!({"resourceSpans": spans});
        let sent = json_to_protobuf(sent.to_string().as_bytes(), Signal::Traces, &Limits::default()).expect("valid").protobuf;
        assert!(receiver.traces(&sent, start).expect("taken").rejected.is_empty());
        receiver.tick(start.saturating_add(Duration::from_secs(3)));
        for service in ["shop", "mailer"] {
            store.probe(CheckReport {
                service: service.into(),
                check: "health".into(),
                url: format!("http://{service}/health"),
                state: HealthState::Degraded,
                success: true,
                dependencies: vec![DependencyReport {
                    name: "rabbitmq".into(),
                    state: HealthState::Unhealthy,
                    detail: String::new(),
                    latency: None,
                }],
                at: start,
                since: start,
                ..CheckReport::default()
            });
        }
        let topology = JoinedTopology::new(store, Arc::default());
        let said: Vec<_> = topology.unhealthy().into_iter().map(|found| (found.name, found.said_by.join(" "))).collect();
        assert_eq!(said, [("mails".to_owned(), "mailer shop".to_owned()), ("orders".to_owned(), "shop".to_owned())]);
    }
}
