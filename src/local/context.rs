//! What a reading needs besides the series: what is declared, what the probes said last, which alerts are active.

use std::collections::BTreeMap;
use watchfire_model::reading::{Alert, Breaker, NodeKind, ServiceRow, without_place};
use watchfire_model::{CheckReport, Timestamp};

/// What a preset or a configuration says there is. Empty without one: then everything is discovered.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    pub platform: Option<String>,
    pub services: Vec<DeclaredService>,
    /// Owners of services that no preset declares.
    pub owners: Vec<(String, String)>,
    /// Everything that is not a service of its own telemetry.
    pub nodes: Vec<(String, NodeKind)>,
    /// (client, server, kind of the server)
    pub edges: Vec<(String, String, NodeKind)>,
    pub queues: Vec<DeclaredQueue>,
    /// (service, breaker, protected peer)
    pub breakers: Vec<(String, String, String)>,
    /// Names under which spans know a declared node (database namespaces, hosts of providers), and its declared name.
    pub aliases: Vec<(String, String)>,
    /// What declared nodes are: node, and `postgresql`, `redis` ...
    pub systems: Vec<(String, String)>,
}

impl Declared {
    /// Names the owner of a service; one that no preset declares is not expected because of it.
    pub fn own(&mut self, service: &str, owner: &str) {
        match self.services.iter_mut().find(|s| s.name == service) {
            Some(known) => known.owner = Some(owner.to_owned()),
            None => self.owners.push((service.to_owned(), owner.to_owned())),
        }
    }

    /// The declared name of a peer that spans know by its host or database, wherever that is.
    pub fn canonical<'b>(&'b self, name: &'b str) -> &'b str {
        let alias = |name: &str| self.aliases.iter().find(|(alias, _)| alias == name).map(|(_, canonical)| canonical.as_str());
        let node = |name: &str| self.nodes.iter().find(|(node, _)| node == name).map(|(node, _)| node.as_str());
        let shared =
            || Some(without_place(name)).filter(|shared| *shared != name).and_then(|shared| alias(shared).or_else(|| node(shared)));
        alias(name).or_else(shared).unwrap_or(name)
    }

    /// Who answers for a service: the same on every screen and in every notice.
    pub fn owner(&self, service: &str) -> Option<&str> {
        let of_service = self.services.iter().find(|s| s.name == service).and_then(|s| s.owner.as_deref());
        let named = || self.owners.iter().rev().find(|(name, _)| name == service).map(|(_, owner)| owner.as_str());
        of_service.or_else(named).filter(|owner| !owner.is_empty())
    }
}

/// `host:port`, which is the job of a target given without a name, with a path where several pages of it are scraped.
pub fn is_address(service: &str) -> bool {
    let address = service.split('/').next().unwrap_or(service);
    !address.starts_with(':') && watchfire_model::is_address(address)
}

#[derive(Clone, Debug, Default)]
pub struct DeclaredService {
    pub name: String,
    pub owner: Option<String>,
    pub namespace: Option<String>,
}

impl Declared {
    pub fn has_service(&self, name: &str) -> bool {
        self.services.iter().any(|service| service.name == name)
    }
}

#[derive(Clone, Debug, Default)]
pub struct DeclaredQueue {
    pub name: String,
    pub system: String,
    pub depth_threshold: Option<f64>,
    pub producers: Vec<String>,
    pub consumers: Vec<String>,
}

/// Borrowed for the length of one reading.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub declared: &'a Declared,
    pub checks: &'a [CheckReport],
    pub alerts: &'a [Alert],
    pub breakers: &'a [Breaker],
    /// When each service last sent a span.
    pub last_seen: &'a BTreeMap<String, Timestamp>,
}

/// Labels that name the service an alert is about, most specific first.
const SERVICE_LABELS: [&str; 6] = ["service", "service_name", "server", "client", "app", "job"];

impl<'a> Context<'a> {
    pub fn declared_services(&self) -> impl Iterator<Item = &'a str> {
        self.declared.services.iter().map(|s| s.name.as_str())
    }

    fn service(&self, name: &str) -> Option<&'a DeclaredService> {
        self.declared.services.iter().find(|s| s.name == name)
    }

    pub fn is_declared(&self, name: &str) -> bool {
        self.service(name).is_some()
    }

    /// Whether a row is of something that nothing is known of but what checks say, none of which asks a service.
    pub fn is_dependency(&self, row: &ServiceRow) -> bool {
        let known = row.declared || row.last_seen.is_some() || row.rate.is_some() || row.source.is_some();
        let mut checks = self.checks.iter().filter(|c| c.service == row.name).peekable();
        !known && checks.peek().is_some() && checks.all(|c| !c.asks_service())
    }

    pub fn namespace(&self, name: &str) -> Option<String> {
        self.service(name).and_then(|s| s.namespace.clone())
    }

    /// The service an alert is about, by its labels; a queue's alert belongs to the service that consumes it.
    pub fn alert_service<'b>(&self, alert: &'b Alert) -> Option<&'b str>
    where
        'a: 'b,
    {
        if let Some(name) = SERVICE_LABELS.iter().find_map(|label| alert.labels.get(label)) {
            // Rules know a probe by the name that it was given, which may be an address.
            let asked = is_address(name).then(|| self.checks.iter().find(|check| check.is_of(name))).flatten();
            return Some(asked.map_or(name, |check| check.service.as_str()));
        }
        let queue = alert.labels.get("queue")?;
        self.declared.queues.iter().find(|q| q.name == queue)?.consumers.first().map(String::as_str)
    }

    /// As [`Declared::canonical`].
    pub fn canonical<'b>(&'b self, name: &'b str) -> &'b str {
        self.declared.canonical(name)
    }

    pub fn declares_edge(&self, client: &str, server: &str) -> bool {
        self.declared.edges.iter().any(|(c, s, _)| c == client && s == server)
    }

    pub fn declared_edges(&self) -> impl Iterator<Item = (String, String, NodeKind)> {
        self.declared.edges.iter().cloned()
    }

    pub fn declared_nodes(&self) -> impl Iterator<Item = (String, NodeKind)> {
        self.declared.nodes.iter().cloned()
    }

    /// (name, system, depth threshold)
    pub fn declared_queues(&self) -> impl Iterator<Item = (String, String, Option<f64>)> {
        self.declared.queues.iter().map(|q| (q.name.clone(), q.system.clone(), q.depth_threshold))
    }

    /// Declared producers and consumers of a queue, as pairs of optional names.
    pub fn queue_parties(&self, queue: &str) -> Vec<(Option<String>, Option<String>)> {
        let Some(declared) = self.declared.queues.iter().find(|q| q.name == queue) else { return Vec::new() };
        let producers = declared.producers.iter().map(|p| (Some(p.clone()), None));
        producers.chain(declared.consumers.iter().map(|c| (None, Some(c.clone())))).collect()
    }
}
