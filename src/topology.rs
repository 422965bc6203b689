//! The dependency graph that alerts ask for causes: what spans show now, joined with what the preset declares.

use crate::local::Declared;
use std::sync::Arc;
use watchfire_model::{Dependency, Relation, Topology};
use watchfire_store::Store;

/// Live edges of the store under the preset's names, plus declared edges that carry no spans of their own.
pub struct JoinedTopology {
    store: Arc<Store>,
    declared: Arc<Declared>,
}

impl JoinedTopology {
    pub fn new(store: Arc<Store>, declared: Arc<Declared>) -> Self {
        JoinedTopology { store, declared }
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

    fn unhealthy(&self) -> Vec<(String, String)> {
        self.store.unhealthy()
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
    use watchfire_model::{CheckReport, HandClock, HealthState, Meter, ProbeSink, Timestamp};
    use watchfire_otlp::{Direct, Limits, Signal, json_to_protobuf};
    use watchfire_store::{SignalSettings, StoreLimits};

    /// Spans name a database by what is in it, the preset by what it is to the platform, and the probe by where it is.
    #[test]
    fn a_declared_database_finds_its_probe_by_the_address_that_spans_tell() {
        let (start, meter) = (Timestamp(1_772_334_000_000), Meter::new());
        let store = Store::new(StoreLimits::default(), meter.clone(), Arc::new(HandClock::at(start)));
        let engine = store.span_engine(SignalSettings::default());
        let mut receiver = Direct::new(Limits::default(), engine, store.clone(), store.clone(), &meter);
        let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
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
            success: false,
            latency: None,
            detail: "refused".into(),
            dependencies: Vec::new(),
            at: start,
            since: start,
            certificate_expires: None,
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
}
