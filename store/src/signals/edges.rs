//! Who calls whom: requests, failures and latency on each side. Deliveries are kept the same way, one for each queue that messages of a pair pass through.

use super::OVERFLOW;
use super::histogram::Histogram;
use super::peer::Protocol;
use super::publish::Published;
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;
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
    /// Of a delivery: the queue that the message passed through, as the producer names it.
    pub queue: Option<Arc<str>>,
    /// `postgresql`, `kafka` ...; empty where not stated.
    pub system: Arc<str>,
    /// Where a server without spans of its own is, as clients say: `host:port`. A few at most.
    pub addresses: Vec<Arc<str>>,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
}

pub(crate) struct EdgeState {
    pub edge: ObservedEdge,
    /// The server is a database or a queue under its own name, which a service may turn out to bear as well.
    pub own_name: bool,
    /// Its next call is drawn anew, under another name.
    left: bool,
    pub requests: f64,
    pub failed: f64,
    pub server: Histogram,
    pub client: Histogram,
    /// Requests, failed, server seconds, client seconds.
    pub series: [Published; 4],
    /// What the node is, and each address that it has.
    pub node: Vec<Published>,
}

impl EdgeState {
    pub fn published(&mut self) -> impl Iterator<Item = &mut Published> {
        self.series.iter_mut().chain(&mut self.node)
    }

    fn is_at(&mut self, address: &Arc<str>) {
        let known = &mut self.edge.addresses;
        if !address.is_empty() && known.len() < ADDRESSES && !known.contains(address) {
            known.push(address.clone());
        }
    }
}

/// Addresses of one server that are told apart: a primary, its replicas and other names for them.
const ADDRESSES: usize = 8;

/// Names as they are published: client, server, connection, queue.
type Names = (Arc<str>, Arc<str>, Connection, Option<Arc<str>>);

/// How the hot path names both ends: numbers of services, peers or the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    pub client: u32,
    pub server: u32,
    /// The server is a peer, not a service.
    pub peer: bool,
    pub connection: Connection,
    /// Of a delivery: the peer that is the queue, else [`NOBODY`](super::peer::NOBODY).
    pub queue: u32,
}

/// The number of the node in front of everything, where it is drawn.
pub(crate) const OUTSIDE: u32 = u32::MAX;

pub(crate) struct Edges {
    limit: usize,
    by_ends: HashMap<Ends, u32, RandomState>,
    /// Different peers may have one name: they are one edge.
    by_names: HashMap<Names, u32, RandomState>,
    states: Vec<Option<EdgeState>>,
    free: Vec<u32>,
    pub fresh: bool,
}

/// What is counted of one call.
pub(crate) struct Call {
    pub failed: bool,
    pub weight: f64,
    pub server_nanos: Option<u64>,
    pub client_nanos: Option<u64>,
}

/// What is known of an edge when it is drawn.
pub(crate) struct Drawing {
    pub client: Arc<str>,
    pub server: Arc<str>,
    pub protocol: Protocol,
    pub queue: Option<Arc<str>>,
    pub system: Arc<str>,
    pub address: Arc<str>,
    pub own_name: bool,
}

impl Edges {
    pub fn new(limit: usize) -> Self {
        Edges { limit, by_ends: HashMap::default(), by_names: HashMap::default(), states: Vec::new(), free: Vec::new(), fresh: false }
    }

    pub fn iter(&self) -> impl Iterator<Item = &EdgeState> {
        self.states.iter().flatten()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut EdgeState> {
        self.states.iter_mut().flatten()
    }

    /// Counts one call; `draw` is asked only if the edge is new.
    #[inline]
    pub fn count(&mut self, ends: Ends, call: &Call, at: Timestamp, draw: impl FnOnce() -> Drawing) {
        let id = match self.by_ends.get(&ends) {
            Some(id) => *id,
            None => self.add(ends, draw(), at),
        };
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

    #[cold]
    fn add(&mut self, ends: Ends, drawing: Drawing, at: Timestamp) -> u32 {
        let Drawing { client, server, protocol, queue, system, address, own_name } = drawing;
        let names = (client, server, ends.connection, queue);
        if let Some(id) = self.by_names.get(&names) {
            self.by_ends.insert(ends, *id);
            if let Some(state) = self.states[*id as usize].as_mut() {
                state.is_at(&address);
                state.left = false;
            }
            return *id;
        }
        let full = self.by_names.len() >= self.limit;
        let overflow = || Arc::from(OVERFLOW);
        let names = if full { (overflow(), overflow(), ends.connection, names.3.map(|_| overflow())) } else { names };
        if let Some(id) = self.by_names.get(&names) {
            // Not remembered by its ends: what is folded must not grow the table.
            return *id;
        }
        self.fresh = true;
        let mut state = EdgeState {
            edge: ObservedEdge {
                client: names.0.clone(),
                server: names.1.clone(),
                connection: ends.connection,
                protocol,
                queue: names.3.clone(),
                system,
                addresses: Vec::new(),
                first_seen: at,
                last_seen: at,
            },
            own_name,
            left: false,
            requests: 0.0,
            failed: 0.0,
            server: Histogram::new(),
            client: Histogram::new(),
            series: Default::default(),
            node: Vec::new(),
        };
        if !full {
            state.is_at(&address);
        }
        let state = Some(state);
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
        self.by_names.insert(names, id);
        if !full {
            self.by_ends.insert(ends, id);
        }
        id
    }

    /// Has the next calls of these edges drawn anew, as names mean something else by now. What was counted so far is still published.
    pub fn leave(&mut self, renamed: impl Fn(&EdgeState) -> bool) {
        let mut left = HashSet::<u32, RandomState>::default();
        for (id, state) in (0..).zip(&mut self.states) {
            if let Some(state) = state.as_mut().filter(|s| renamed(s)) {
                state.left = true;
                left.insert(id);
            }
        }
        self.part(&left);
    }

    /// No calls are counted for these edges by their ends any more.
    fn part(&mut self, ids: &HashSet<u32, RandomState>) {
        if !ids.is_empty() {
            self.by_ends.retain(|_, held| !ids.contains(held));
        }
    }

    /// Peers that edges are drawn to, and that messages pass through.
    pub fn peers(&self) -> impl Iterator<Item = u32> {
        self.by_ends.keys().flat_map(|ends| [ends.peer.then_some(ends.server), Some(ends.queue)]).flatten()
    }

    /// Has edges go on under another name of their server, where `name` gives one and any of their ends belongs there. Those that do not are drawn anew
    /// with their next call.
    pub fn rename(
        &mut self,
        name: impl Fn(&ObservedEdge) -> Option<Arc<str>>,
        belongs: impl Fn(&Ends, &str) -> bool,
        mut renamed: impl FnMut(&mut EdgeState),
    ) {
        for id in 0..self.states.len() {
            let Some(state) = self.states[id].as_mut().filter(|state| state.own_name) else { continue };
            let Some(server) = name(&state.edge) else { continue };
            if !self.by_ends.iter().any(|(ends, held)| *held as usize == id && belongs(ends, &server)) {
                continue;
            }
            let edge = &state.edge;
            let before = (edge.client.clone(), edge.server.clone(), edge.connection, edge.queue.clone());
            let now = (before.0.clone(), server.clone(), before.2, before.3.clone());
            if self.by_names.contains_key(&now) {
                state.left = true;
                self.by_ends.retain(|_, held| *held as usize != id);
                continue;
            }
            self.by_names.remove(&before);
            self.by_names.insert(now, id as u32);
            self.by_ends.retain(|ends, held| *held as usize != id || belongs(ends, &server));
            renamed(state);
            state.edge.server = server;
        }
    }

    /// Removes edges that were [left](Self::leave) and not drawn again under the same name.
    pub fn sweep_left(&mut self, end: impl FnMut(&mut EdgeState)) {
        self.sweep(|state| state.left, end);
    }

    /// Removes edges that are over.
    pub fn sweep(&mut self, over: impl Fn(&EdgeState) -> bool, mut end: impl FnMut(&mut EdgeState)) {
        let mut gone = HashSet::<u32, RandomState>::default();
        for (id, place) in (0..).zip(&mut self.states) {
            let Some(state) = place.as_mut().filter(|s| over(s)) else { continue };
            end(state);
            *place = None;
            self.free.push(id);
            gone.insert(id);
        }
        if !gone.is_empty() {
            self.by_names.retain(|_, held| !gone.contains(held));
            self.part(&gone);
        }
    }
}
