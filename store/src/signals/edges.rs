//! Who calls whom: requests, failures and latency on each side.

use super::OVERFLOW;
use super::histogram::Histogram;
use super::peer::Protocol;
use super::publish::Published;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::Timestamp;

/// `connection_type` of the service graph series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Connection {
    /// Both sides sent spans.
    Direct,
    MessagingSystem,
    Database,
    /// The server sends no spans; its name is the client's word.
    VirtualNode,
}

impl Connection {
    pub fn label(self) -> &'static str {
        match self {
            Connection::Direct => "",
            Connection::MessagingSystem => "messaging_system",
            Connection::Database => "database",
            Connection::VirtualNode => "virtual_node",
        }
    }
}

/// One edge of the graph as it was observed, without its figures (they are series).
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedEdge {
    pub client: Arc<str>,
    pub server: Arc<str>,
    pub connection: Connection,
    pub protocol: Protocol,
    /// The destination messages go through, where the client names one.
    pub destination: Option<Arc<str>>,
    /// `postgresql`, `kafka` ...; empty where not stated.
    pub system: Arc<str>,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
}

pub(crate) struct EdgeState {
    pub edge: ObservedEdge,
    pub requests: f64,
    pub failed: f64,
    pub server: Histogram,
    pub client: Histogram,
    /// Requests, failed, server seconds, client seconds, node.
    pub series: [Published; 5],
}

/// Key: client and server name by address of their shared text, and the connection.
type Key = (Arc<str>, Arc<str>, Connection);

pub(crate) struct Edges {
    limit: usize,
    by_key: HashMap<Key, u32, FixedState>,
    states: Vec<Option<EdgeState>>,
    free: Vec<u32>,
    pub fresh: bool,
}

/// One call to count.
pub(crate) struct Call<'a> {
    pub client: &'a Arc<str>,
    pub server: &'a Arc<str>,
    pub connection: Connection,
    pub protocol: Protocol,
    pub destination: Option<&'a Arc<str>>,
    pub system: &'a Arc<str>,
    pub failed: bool,
    pub weight: f64,
    pub server_nanos: Option<u64>,
    pub client_nanos: Option<u64>,
}

impl Edges {
    pub fn new(limit: usize) -> Self {
        Edges { limit, by_key: HashMap::default(), states: Vec::new(), free: Vec::new(), fresh: false }
    }

    pub fn iter(&self) -> impl Iterator<Item = &EdgeState> {
        self.states.iter().flatten()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut EdgeState> {
        self.states.iter_mut().flatten()
    }

    pub fn count(&mut self, call: &Call<'_>, at: Timestamp) {
        let id = self.find(call, at);
        let Some(state) = self.states[id as usize].as_mut() else { return };
        state.edge.last_seen = at;
        state.requests += call.weight;
        if call.failed {
            state.failed += call.weight;
        }
        if let Some(nanos) = call.server_nanos {
            state.server.observe(nanos, call.weight);
        }
        if let Some(nanos) = call.client_nanos {
            state.client.observe(nanos, call.weight);
        }
    }

    fn find(&mut self, call: &Call<'_>, at: Timestamp) -> u32 {
        let key = (call.client.clone(), call.server.clone(), call.connection);
        if let Some(id) = self.by_key.get(&key) {
            return *id;
        }
        let key = if self.by_key.len() < self.limit { key } else { (OVERFLOW.into(), OVERFLOW.into(), call.connection) };
        if let Some(id) = self.by_key.get(&key) {
            return *id;
        }
        self.fresh = true;
        let state = Some(EdgeState {
            edge: ObservedEdge {
                client: key.0.clone(),
                server: key.1.clone(),
                connection: call.connection,
                protocol: call.protocol,
                destination: call.destination.cloned(),
                system: call.system.clone(),
                first_seen: at,
                last_seen: at,
            },
            requests: 0.0,
            failed: 0.0,
            server: Histogram::new(),
            client: Histogram::new(),
            series: Default::default(),
        });
        let id = match self.free.pop() {
            Some(id) => {
                self.states[id as usize] = state;
                id
            }
            None => {
                self.states.push(state);
                (self.states.len() - 1) as u32
            }
        };
        self.by_key.insert(key, id);
        id
    }

    /// Removes edges that were silent for `idle`.
    pub fn sweep(&mut self, now: Timestamp, idle: Duration, mut end: impl FnMut(&mut EdgeState)) {
        for id in 0..self.states.len() {
            let Some(state) = self.states[id].as_mut().filter(|s| now.since(s.edge.last_seen) > idle) else { continue };
            end(state);
            let key = (state.edge.client.clone(), state.edge.server.clone(), state.edge.connection);
            self.by_key.remove(&key);
            self.states[id] = None;
            self.free.push(id as u32);
        }
    }
}
