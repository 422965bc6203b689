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
        let mut out = self.store.dependencies(service);
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
