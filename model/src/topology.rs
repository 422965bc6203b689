//! Who depends on whom, as spans show it now. Alerts ask it for causes.

/// How the one end of a dependency needs the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// It calls and waits for the answer.
    #[default]
    Calls,
    /// It hands messages over, and does not wait for what becomes of them: that the other fails makes none of its own calls fail.
    Sends,
    /// It is the other: a peer that calls name by what is in it, and a probe by its address.
    Is,
}

/// One edge of the live call graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Dependency {
    pub client: String,
    pub server: String,
    /// Share of calls on this edge that fail, where known.
    pub error_ratio: Option<f64>,
    pub relation: Relation,
}

/// The live dependency graph. Implemented over the store's edges plus what a preset declares.
pub trait Topology: Send + Sync {
    /// Direct dependencies of a service: what it calls, reads, publishes to.
    fn dependencies(&self, service: &str) -> Vec<Dependency>;
    /// Who works off a queue: why it does not drain, and nothing that whoever fills it waits for.
    fn consumers(&self, queue: &str) -> Vec<String> {
        let _ = queue;
        Vec::new()
    }
    /// Services whose own state is unhealthy by probe right now, with the reason.
    fn unhealthy(&self) -> Vec<(String, String)>;
    /// Who answers for a service, where that was written down.
    fn owner(&self, service: &str) -> Option<String> {
        let _ = service;
        None
    }
}
