//! The other end of a call, as the caller's attributes name it: databases, caches, queues and external services that send no spans themselves.

use super::OVERFLOW;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::Arc;
use watchfire_model::reading::NodeKind;
use watchfire_model::{AttributeValue, SpanView};

/// What kind of conversation a call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Protocol {
    #[default]
    Call,
    Http,
    Grpc,
    Database,
    Cache,
    Messaging,
}

impl Protocol {
    /// The word of `Edge::kind`.
    pub fn word(self) -> &'static str {
        match self {
            Protocol::Call => "call",
            Protocol::Http => "http",
            Protocol::Grpc => "grpc",
            Protocol::Database => "database",
            Protocol::Cache => "cache",
            Protocol::Messaging => "messaging",
        }
    }

    /// What a peer is that is only known from such calls.
    pub fn node_kind(self) -> NodeKind {
        match self {
            Protocol::Call | Protocol::Http | Protocol::Grpc => NodeKind::External,
            Protocol::Database => NodeKind::Database,
            Protocol::Cache => NodeKind::Cache,
            Protocol::Messaging => NodeKind::Queue,
        }
    }

    pub(crate) fn from_bits(bits: u32) -> Self {
        match bits {
            1 => Protocol::Http,
            2 => Protocol::Grpc,
            3 => Protocol::Database,
            4 => Protocol::Cache,
            5 => Protocol::Messaging,
            _ => Protocol::Call,
        }
    }
}

/// A peer without a name.
pub(crate) const NOBODY: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub name: Arc<str>,
    pub protocol: Protocol,
    /// `postgresql`, `kafka` ...; empty where not stated.
    pub system: Arc<str>,
    base: Box<str>,
    port: u32,
}

/// What the attributes of one CLIENT or PRODUCER span say about its peer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PeerAttributes<'a> {
    service: &'a str,
    old_service: &'a str,
    db_namespace: &'a str,
    db_system: &'a str,
    destination: &'a str,
    messaging_system: &'a str,
    address: &'a str,
    old_address: &'a str,
    socket_address: &'a str,
    url: &'a str,
    rpc_service: &'a str,
    rpc_system: &'a str,
    port: u32,
    http: bool,
}

impl<'a> PeerAttributes<'a> {
    /// Reads the few attributes that matter, under their stable and their older names (OpenTelemetry semantic conventions 1.44 and before 1.21).
    pub fn read(span: &SpanView<'a>) -> Self {
        let mut found = PeerAttributes::default();
        for (start, end) in span.attribute_ranges {
            let Some(message) = span.body.get(*start as usize..*end as usize) else { continue };
            // A key is the first field and shorter than 128 bytes in all that matters here.
            let Some((b"\x0a", rest)) = message.split_at_checked(1) else { continue };
            let Some((length, rest)) = rest.split_first() else { continue };
            let Some((key, rest)) = rest.split_at_checked(*length as usize) else { continue };
            if !matches!(key.first(), Some(b's' | b'p' | b'd' | b'm' | b'n' | b'h' | b'u' | b'r')) {
                continue;
            }
            found.take(key, rest);
        }
        found
    }

    #[inline]
    fn take(&mut self, key: &[u8], value: &'a [u8]) {
        let slot = match key {
            b"service.peer.name" => &mut self.service,
            b"peer.service" => &mut self.old_service,
            b"db.namespace" => &mut self.db_namespace,
            b"db.name" if self.db_namespace.is_empty() => &mut self.db_namespace,
            b"db.system.name" => &mut self.db_system,
            b"db.system" if self.db_system.is_empty() => &mut self.db_system,
            b"messaging.destination.name" => &mut self.destination,
            b"messaging.destination" if self.destination.is_empty() => &mut self.destination,
            b"messaging.system" => &mut self.messaging_system,
            b"server.address" => &mut self.address,
            b"net.peer.name" => &mut self.old_address,
            b"network.peer.address" => &mut self.socket_address,
            b"net.peer.ip" | b"net.sock.peer.addr" if self.socket_address.is_empty() => &mut self.socket_address,
            b"url.full" | b"http.url" => &mut self.url,
            b"rpc.service" => &mut self.rpc_service,
            b"rpc.system.name" | b"rpc.system" => &mut self.rpc_system,
            b"http.request.method" | b"http.method" => {
                self.http = true;
                return;
            }
            b"server.port" | b"net.peer.port" => {
                if let AttributeValue::Int(port) = crate::spans::wire::scalar(any_value(value)) {
                    self.port = u32::try_from(port).ok().filter(|p| *p < 65_536).unwrap_or(0);
                }
                return;
            }
            _ => return,
        };
        if let AttributeValue::Str(text) = crate::spans::wire::scalar(any_value(value)) {
            *slot = text;
        }
    }

    pub fn protocol(&self, producer: bool) -> Protocol {
        if !self.db_system.is_empty() || !self.db_namespace.is_empty() {
            if is_cache(self.db_system) { Protocol::Cache } else { Protocol::Database }
        } else if producer || !self.messaging_system.is_empty() || !self.destination.is_empty() {
            Protocol::Messaging
        } else if !self.rpc_system.is_empty() || !self.rpc_service.is_empty() {
            Protocol::Grpc
        } else if self.http || !self.url.is_empty() {
            Protocol::Http
        } else {
            Protocol::Call
        }
    }

    /// The peer's name by precedence, with a port where the name is an address: stated service, database, destination, address, RPC service.
    fn name(&self, protocol: Protocol) -> (&'a str, u32) {
        let first = |names: [&'a str; 2]| names.into_iter().find(|n| !n.is_empty());
        if let Some(service) = first([self.service, self.old_service]) {
            return (service, 0);
        }
        if matches!(protocol, Protocol::Database | Protocol::Cache) {
            // A bare number is a database index of a cache, not a name.
            let numbered = self.db_namespace.bytes().all(|b| b.is_ascii_digit());
            return (if numbered && !self.db_system.is_empty() { self.db_system } else { self.db_namespace }, 0);
        }
        if !self.destination.is_empty() {
            return (self.destination, 0);
        }
        let address = [self.address, self.old_address, host(self.url), self.socket_address].into_iter().find(|n| !n.is_empty());
        match address {
            Some(address) => (address, if matches!(self.port, 80 | 443) { 0 } else { self.port }),
            None => (self.rpc_service, 0),
        }
    }

    fn system(&self) -> &'a str {
        [self.db_system, self.messaging_system, self.rpc_system].into_iter().find(|n| !n.is_empty()).unwrap_or("")
    }
}

fn any_value(rest: &[u8]) -> &[u8] {
    match crate::spans::wire::Fields::new(rest).next() {
        Some((2, crate::spans::wire::Wire::Bytes(value))) => value,
        _ => &[],
    }
}

fn host(url: &str) -> &str {
    let Some((_, rest)) = url.split_once("://") else { return "" };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    authority.rsplit('@').next().unwrap_or("")
}

fn is_cache(system: &str) -> bool {
    matches!(
        system,
        "redis" | "memcached" | "valkey" | "keydb" | "dragonfly" | "hazelcast" | "aws.elasticache" | "infinispan" | "coherence"
    )
}

/// Peers by what was said about them; bounded, everything beyond is one peer named `__overflow__`.
pub(crate) struct Peers {
    limit: usize,
    table: HashTable<u32>,
    peers: Vec<Peer>,
    hasher: FixedState,
    overflowed: Option<u32>,
}

impl Peers {
    pub fn new(limit: usize) -> Self {
        Peers { limit, table: HashTable::new(), peers: Vec::new(), hasher: FixedState::default(), overflowed: None }
    }

    pub fn get(&self, id: u32) -> Option<&Peer> {
        self.peers.get(id as usize)
    }

    /// The peer these attributes name, or [`NOBODY`].
    pub fn find(&mut self, attributes: &PeerAttributes<'_>, protocol: Protocol) -> u32 {
        let (base, port) = attributes.name(protocol);
        if base.is_empty() {
            return NOBODY;
        }
        let base = crate::spans::intern::bounded(base);
        let hash = self.hasher.hash_one((base, port, protocol));
        let same = |id: &u32| {
            let peer = &self.peers[*id as usize];
            peer.protocol == protocol && peer.port == port && &*peer.base == base
        };
        if let Some(id) = self.table.find(hash, same) {
            return *id;
        }
        if self.peers.len() >= self.limit {
            return *self.overflowed.get_or_insert_with(|| {
                let overflow = Peer { name: OVERFLOW.into(), protocol: Protocol::Call, system: "".into(), base: OVERFLOW.into(), port: 0 };
                self.peers.push(overflow);
                (self.peers.len() - 1) as u32
            });
        }
        let name = if port == 0 { Arc::from(base) } else { Arc::from(format!("{base}:{port}")) };
        let system = Arc::from(crate::spans::intern::bounded(attributes.system()));
        self.peers.push(Peer { name, protocol, system, base: base.into(), port });
        let id = (self.peers.len() - 1) as u32;
        let (peers, hasher) = (&self.peers, &self.hasher);
        self.table.insert_unique(hash, id, |id| {
            let peer = &peers[*id as usize];
            hasher.hash_one((&*peer.base, peer.port, peer.protocol))
        });
        id
    }
}
