//! The dependency map.

use crate::HealthState;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Map {
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    #[default]
    Service,
    Database,
    Queue,
    External,
    Cache,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    pub name: String,
    pub kind: NodeKind,
    pub state: HealthState,
    pub declared: bool,
    pub observed: bool,
    pub namespace: Option<String>,
    pub owner: Option<String>,
    pub rate: Option<f64>,
    pub error_ratio: Option<f64>,
    pub p95_seconds: Option<f64>,
    pub why: Vec<String>,
    /// Depth, for queue nodes; batches waiting, for collectors.
    pub queue_depth: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Edge {
    pub client: String,
    pub server: String,
    /// `http`, `grpc`, `database`, `messaging`, `cache`, `external`, `call`.
    pub kind: String,
    pub rate: Option<f64>,
    pub error_ratio: Option<f64>,
    pub p95_seconds: Option<f64>,
    /// State of the breaker on this edge: `closed`, `half-open`, `open`, `unknown`; `None` where there is none.
    pub breaker: Option<String>,
    pub breaker_inferred: bool,
    pub declared: bool,
    pub observed: bool,
    pub sample_count: Option<f64>,
    /// Share of the calls whose spans were kept; `None` where that is all of them.
    pub sampling_ratio: Option<f64>,
    /// `spans` or the dialect of ready-made series.
    pub source: Option<String>,
}

/// The name of the node of a database or a queue that is called like a service and is not that service: `mail (rabbitmq)`.
pub fn beside_namesake(name: &str, system: &str) -> String {
    format!("{name} ({system})")
}

/// The database or queue behind the name of its node, whether it stands beside a namesake or not.
pub fn own_name<'a>(node: &'a str, system: &str) -> &'a str {
    node.strip_suffix(')').and_then(|rest| rest.strip_suffix(system)).and_then(|rest| rest.strip_suffix(" (")).unwrap_or(node)
}

/// The name of the node of a database or cache where several have its name: `redis@cache-1:6379`.
pub fn at_place(name: &str, address: &str) -> String {
    format!("{name}@{address}")
}

/// The name that a node shares with others, or its whole name.
pub fn without_place(node: &str) -> &str {
    node.rsplit_once('@').map_or(node, |(name, _)| name)
}
