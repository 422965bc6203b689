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

/// A service or node that health checks find unhealthy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unhealthy {
    pub name: String,
    /// Who says so, and why, in words.
    pub reason: String,
    /// By a check of its own, so that an alert on it is to be expected.
    pub checked: bool,
    /// Services that depend on it and say so in their health bodies.
    pub said_by: Vec<String>,
    /// More of those that depend on it find it healthy: it explains nothing but what happens to those who say so.
    pub doubted: bool,
}

impl Unhealthy {
    /// By a check of its own.
    pub fn checked(name: &str, reason: String) -> Self {
        Unhealthy { name: name.to_owned(), reason, checked: true, ..Unhealthy::default() }
    }
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
    /// What is unhealthy right now.
    fn unhealthy(&self) -> Vec<Unhealthy>;
    /// The dependency of a service that its authors call by this name, where that is clear.
    fn meant(&self, service: &str, name: &str) -> Option<String> {
        let _ = (service, name);
        None
    }
    /// Who answers for a service, where that was written down.
    fn owner(&self, service: &str) -> Option<String> {
        let _ = service;
        None
    }
}
