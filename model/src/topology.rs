//! Who depends on whom, as spans show it now. Alerts ask it for causes.

/// One edge of the live call graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Dependency {
    pub client: String,
    pub server: String,
    /// Share of calls on this edge that fail, where known.
    pub error_ratio: Option<f64>,
}

/// The live dependency graph. Implemented over the store's edges plus what a preset declares.
pub trait Topology: Send + Sync {
    /// Direct dependencies of a service: what it calls, reads, publishes to.
    fn dependencies(&self, service: &str) -> Vec<Dependency>;
    /// Services whose own state is unhealthy by probe right now, with the reason.
    fn unhealthy(&self) -> Vec<(String, String)>;
    /// Who answers for a service, where that was written down.
    fn owner(&self, service: &str) -> Option<String> {
        let _ = service;
        None
    }
}
