//! Signals: what is derived from spans while they pass. RED per operation, edges between services, and their publication as series.

pub(crate) mod board;
pub(crate) mod destination;
pub(crate) mod edges;
pub(crate) mod enclosing;
pub(crate) mod failure;
pub(crate) mod fetched;
pub mod histogram;
pub(crate) mod join;
pub(crate) mod layers;
pub(crate) mod operations;
pub(crate) mod own_place;
pub(crate) mod peer;
pub(crate) mod peer_attributes;
pub(crate) mod publish;
pub(crate) mod repeats;
pub(crate) mod residuals;
pub mod sampling;
pub(crate) mod services;
pub(crate) mod stated;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The name that everything beyond a bound is counted under.
pub const OVERFLOW: &str = "__overflow__";

/// How signals are derived.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalSettings {
    /// How often the derived series get a sample. Default 2 s.
    pub interval: Duration,
    /// Share of traces kept, by service, for senders whose spans carry no sampling threshold: 0.1 makes one span count for ten.
    pub sampling_ratios: BTreeMap<String, f64>,
    /// Services whose server spans count as failed from HTTP status 400 on, although the conventions leave 4xx to the client.
    pub http_4xx_is_error: BTreeSet<String>,
    /// As [`http_4xx_is_error`](Self::http_4xx_is_error), for every service.
    pub http_4xx_is_error_everywhere: bool,
    /// Draws a node `user` in front of servers that are called from outside. Default off: a root span proves no user.
    pub user_node: bool,
    /// Services told apart. Default 2,000.
    pub services: usize,
    /// Operations (service, span name, kind) told apart. Default 2,000, and 300 for each service.
    pub operations: usize,
    pub operations_per_service: usize,
    /// Edges told apart. Default 5,000.
    pub edges: usize,
    /// Histograms of operations and edges that are published as classic buckets beside the native form. Default 2,000, which are 50,000 series.
    pub classic_histograms: usize,
    /// Peers without spans of their own told apart. Default 2,000.
    pub peers: usize,
    /// Silence after which an operation or edge is no longer published. Default 15 min, as the collector's service graph.
    pub idle: Duration,
    /// Samples older than this are thinned to one per `coarse_step`. Default 15 min and 15 s.
    pub coarse_after: Duration,
    pub coarse_step: Duration,
}

impl Default for SignalSettings {
    fn default() -> Self {
        SignalSettings {
            interval: Duration::from_secs(2),
            sampling_ratios: BTreeMap::new(),
            http_4xx_is_error: BTreeSet::new(),
            http_4xx_is_error_everywhere: false,
            user_node: false,
            services: 2000,
            operations: 2000,
            operations_per_service: 300,
            edges: 5000,
            classic_histograms: 2000,
            peers: 2000,
            idle: Duration::from_secs(900),
            coarse_after: Duration::from_secs(900),
            coarse_step: Duration::from_secs(15),
        }
    }
}
