//! A platform as data: who serves what, who calls whom, what is watched, who is told. Read by the watcher and by the simulator alike.

mod check;
mod load;
mod objective;
mod operation;
mod parts;
mod roster;
mod scenario;
mod targets;

pub use load::PlatformFiles;
pub use objective::{Comparison, Objective};
pub use operation::{Operation, Saga, SagaStep, Step};
pub use parts::{
    Attributes, Baseline, Breaker, Check, Defaults, HealthFormat, Protocol, Provider, Queue, QueueExporter, Requirement, Retry, Route,
    Service, ServiceKind, Signal, SignalKind, Store, StoreKind, Transport,
};
pub use roster::{load_platform, platform_names};
pub use scenario::{Effect, Scenario};
pub use targets::{Target, Targets};

use serde::{Deserialize, Serialize};
use watchfire_model::reading::NodeKind;

/// One platform: `platform.toml` plus the rule file, its tests and the scenarios that lie beside it.
///
/// Names of services, stores, providers and queues share one namespace: a [`Step`] says `to = "redis"` and means exactly one of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// Short name, as in `--platform clientnest`.
    pub name: String,
    /// Name as people write it.
    pub title: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub defaults: Defaults,
    #[serde(rename = "service")]
    pub services: Vec<Service>,
    #[serde(default, rename = "store")]
    pub stores: Vec<Store>,
    #[serde(default, rename = "provider")]
    pub providers: Vec<Provider>,
    #[serde(default, rename = "queue")]
    pub queues: Vec<Queue>,
    #[serde(default, rename = "breaker")]
    pub breakers: Vec<Breaker>,
    #[serde(default, rename = "operation")]
    pub operations: Vec<Operation>,
    #[serde(default, rename = "saga")]
    pub sagas: Vec<Saga>,
    /// Further series that services export, and that scenarios can move.
    #[serde(default, rename = "signal")]
    pub signals: Vec<Signal>,
    #[serde(default, rename = "objective")]
    pub objectives: Vec<Objective>,
    #[serde(default, rename = "route")]
    pub routes: Vec<Route>,
    #[serde(default, rename = "baseline")]
    pub baselines: Vec<Baseline>,
    #[serde(default, rename = "requirement")]
    pub requirements: Vec<Requirement>,
    /// `rules.yaml`: a Prometheus rule file.
    #[serde(skip)]
    pub rules: String,
    /// `rules.test.yaml`: the tests of those rules, for `promtool test rules`.
    #[serde(skip)]
    pub rule_tests: String,
    /// `scenarios/*.toml`, by file name.
    #[serde(skip)]
    pub scenarios: Vec<Scenario>,
}

/// An edge that the platform file declares.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeclaredEdge {
    pub client: String,
    pub server: String,
}

impl Platform {
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|s| s.name == name)
    }

    pub fn store(&self, name: &str) -> Option<&Store> {
        self.stores.iter().find(|s| s.name == name)
    }

    pub fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|p| p.name == name)
    }

    pub fn queue(&self, name: &str) -> Option<&Queue> {
        self.queues.iter().find(|q| q.name == name)
    }

    pub fn operation(&self, service: &str, name: &str) -> Option<&Operation> {
        self.operations.iter().find(|o| o.service == service && o.name == name)
    }

    pub fn scenario(&self, name: &str) -> Option<&Scenario> {
        self.scenarios.iter().find(|s| s.name == name)
    }

    /// What kind of thing a declared name is; `None` for names the file does not know.
    pub fn node_kind(&self, name: &str) -> Option<NodeKind> {
        if self.service(name).is_some() {
            return Some(NodeKind::Service);
        }
        if let Some(store) = self.store(name) {
            return Some(if store.kind == StoreKind::Cache { NodeKind::Cache } else { NodeKind::Database });
        }
        if self.queue(name).is_some() {
            return Some(NodeKind::Queue);
        }
        self.provider(name).map(|_| NodeKind::External)
    }

    /// Who owns a service: the first team that the file names for it.
    pub fn owner(&self, service: &str) -> Option<&str> {
        self.service(service).map(|s| s.owner.as_str()).filter(|o| !o.is_empty())
    }

    /// Sampling ratio of a service, 0 to 1.
    pub fn sampling(&self, service: &Service) -> f64 {
        service.sampling.unwrap_or(self.defaults.sampling)
    }

    /// Probes of a service: its own, or the platform's.
    pub fn probes<'a>(&'a self, service: &'a Service) -> &'a [Check] {
        if service.probes.is_empty() { &self.defaults.probes } else { &service.probes }
    }

    /// Every dependency that the file declares, sorted and without repeats: calls of operations, queues between producers and consumers,
    /// and steps of sagas.
    pub fn declared_edges(&self) -> Vec<DeclaredEdge> {
        let mut edges = std::collections::BTreeSet::new();
        let mut add = |client: &str, server: &str| {
            edges.insert(DeclaredEdge { client: client.to_owned(), server: server.to_owned() });
        };
        for operation in &self.operations {
            for step in operation.steps.iter().filter(|s| !s.to.is_empty()) {
                add(&operation.service, &step.to);
            }
        }
        for queue in &self.queues {
            add(&queue.name, &queue.consumer);
            for step in queue.steps.iter().filter(|s| !s.to.is_empty()) {
                add(&queue.consumer, &step.to);
            }
        }
        for saga in &self.sagas {
            for step in &saga.steps {
                add(&saga.service, &step.to);
            }
        }
        edges.into_iter().collect()
    }
}
