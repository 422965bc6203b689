//! The other end of a call, as the caller's attributes name it: databases, caches, queues and external services that send no spans themselves.

use super::OVERFLOW;
use super::own_place::OwnPlace;
use super::peer_attributes::PeerAttributes;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::hash::BuildHasher;
use std::sync::Arc;
use watchfire_model::reading::{NodeKind, at_place};
use watchfire_model::same_address;

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

/// Bytes of a name that are looked at.
pub(super) const LONGEST: usize = 256;

/// The beginning of a name that is too long; a character is kept whole or not at all.
pub(super) fn cut(name: &[u8]) -> &[u8] {
    let mut end = name.len().min(LONGEST);
    while end > 0 && name.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    &name[..end]
}

/// A peer without a name.
pub(crate) const NOBODY: u32 = u32::MAX;

/// More than one service was behind a peer.
const SEVERAL: u32 = NOBODY - 1;

#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub name: Arc<str>,
    pub protocol: Protocol,
    /// `postgresql`, `kafka` ...; empty where not stated.
    pub system: Arc<str>,
    /// The caller says that this is a service by this name.
    pub stated: bool,
    /// The service whose spans answered calls to it: [`NOBODY`] so far, or [`SEVERAL`].
    answers: Cell<u32>,
    /// Whose call that was.
    asked: Cell<u32>,
    /// Of an exchange: the queue that its messages were seen to come through: [`NOBODY`] so far, or [`SEVERAL`].
    feeds: Cell<u32>,
    /// Where it is, as callers name it: `host:port`; empty where they do not.
    pub address: Arc<str>,
    /// Callers were told where it is. What only their sockets know is another address with each restart.
    configured: bool,
    base: Box<[u8]>,
    /// Of a database or cache: its address. Others of one name are one peer wherever they are.
    place: Box<[u8]>,
    port: u32,
    /// Somebody spoke of it since the last look.
    used: Cell<bool>,
}

impl Peer {
    /// Who has no name, and takes part in nothing.
    fn nobody() -> Self {
        Peer {
            name: "".into(),
            protocol: Protocol::Call,
            system: "".into(),
            stated: true,
            answers: Cell::new(NOBODY),
            asked: Cell::new(NOBODY),
            feeds: Cell::new(NOBODY),
            address: "".into(),
            configured: false,
            base: Box::default(),
            place: Box::default(),
            port: 0,
            used: Cell::new(false),
        }
    }

    fn is_store(&self) -> bool {
        matches!(self.protocol, Protocol::Database | Protocol::Cache)
    }

    /// Whether this service took messages of the queue that this peer is: a service of a queue's name need not have to do with it.
    pub fn taken_by(&self, service: u32) -> bool {
        matches!(self.answers.get(), known if known == service || known == SEVERAL)
    }

    /// The service that a call went to whose other half never came, as when that service is down: the one that answered before at the same address.
    /// A loopback address is another place for each client.
    pub fn service(&self, client: u32) -> Option<u32> {
        let loopback = [&b"localhost"[..], b"127.", b"[::1]", b"::1"].iter().any(|local| self.base.starts_with(local));
        let address = matches!(self.protocol, Protocol::Call | Protocol::Http | Protocol::Grpc) && !self.stated;
        let address = address && (!loopback || self.asked.get() == client);
        Some(self.answers.get()).filter(|service| address && *service < SEVERAL)
    }
}

/// `host:port`, or the host alone where the port is zero. Into what is kept for it, because some spans in hundred are asked for their own.
fn write_address(out: &mut String, host: &[u8], port: u32) {
    out.clear();
    let text = String::from_utf8_lossy(host);
    // Some take the brackets of a URL along.
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).filter(|_| port != 0);
    let text = bare.unwrap_or(&text);
    let written = match (port, text.contains(':')) {
        (0, _) => write!(out, "{text}"),
        _ if text.is_empty() => Ok(()),
        (port, true) => write!(out, "[{text}]:{port}"),
        (port, false) => write!(out, "{text}:{port}"),
    };
    written.expect("a string takes whatever is written");
}

fn address(host: &[u8], port: u32) -> Arc<str> {
    let mut address = String::new();
    write_address(&mut address, host, port);
    address.into()
}

/// Peers by what was said about them; bounded, everything beyond is one peer named `__overflow__`.
pub(crate) struct Peers {
    limit: usize,
    table: HashTable<u32>,
    peers: Vec<Peer>,
    /// Places of peers that are forgotten.
    free: Vec<u32>,
    hasher: RandomState,
    overflowed: Option<u32>,
    /// A peer was found to be a service since this was last asked.
    learned: Cell<bool>,
    /// Where services answer, as they say themselves, and whether they did since the last look.
    own: HashMap<Arc<str>, (u32, bool)>,
    /// Room to write an address in.
    address: String,
    /// Names that are said of several databases or caches since this was last asked, and what the first of those is called by now.
    shared: HashMap<Arc<str>, Arc<str>>,
}

impl Peers {
    pub fn new(limit: usize) -> Self {
        Peers {
            limit,
            table: HashTable::new(),
            peers: Vec::new(),
            free: Vec::new(),
            hasher: RandomState::default(),
            overflowed: None,
            learned: Cell::new(false),
            own: HashMap::new(),
            address: String::new(),
            shared: HashMap::new(),
        }
    }

    pub fn get(&self, id: u32) -> Option<&Peer> {
        self.peers.get(id as usize)
    }

    /// A call to this peer was answered by the spans of a service.
    #[inline]
    pub fn answered(&self, peer: &Peer, client: u32, service: u32) {
        peer.asked.set(client);
        let known = peer.answers.get();
        if known != service && known != SEVERAL {
            peer.answers.set(if known == NOBODY { service } else { SEVERAL });
            self.learned.set(true);
        }
    }

    /// A service was called at this place, by its own word.
    #[cold]
    pub fn answers_at(&mut self, place: &OwnPlace<'_>, service: u32) {
        if place.host.is_empty() || place.port == 0 {
            return;
        }
        write_address(&mut self.address, place.host, place.port);
        let full = self.own.len() >= self.limit;
        match self.own.get_mut(&*self.address) {
            Some((known, used)) if *known == service || *known == SEVERAL => {
                *used = true;
                return;
            }
            Some(known) => *known = (SEVERAL, true),
            None if full => return,
            None => drop(self.own.insert(self.address.as_str().into(), (service, true))),
        }
        self.learned.set(true);
    }

    /// What was published to this peer came through that queue; returns the queue.
    pub fn feeds(&self, peer: u32, queue: u32) -> u32 {
        if let Some(peer) = self.get(peer).filter(|known| known.feeds.get() != queue) {
            peer.feeds.set(if peer.feeds.get() == NOBODY { queue } else { SEVERAL });
        }
        queue
    }

    /// The queue that stands for a peer: of an exchange the one that it feeds, where that is one.
    pub fn fed(&self, peer: u32) -> u32 {
        self.get(peer).map(|known| known.feeds.get()).filter(|queue| *queue < SEVERAL).unwrap_or(peer)
    }

    /// Names of peers that are services by other names, if any was found since the last call.
    pub fn learned(&self) -> Option<HashSet<Arc<str>>> {
        let addresses = || self.peers.iter().filter(|p| p.service(p.asked.get()).is_some()).map(|p| p.name.clone()).collect();
        self.learned.replace(false).then(addresses)
    }

    /// Where services answer, as they say themselves and as those who call them were told: address and service. An address behind which several answer
    /// is nobody's own.
    pub fn places(&self) -> HashMap<Arc<str>, u32> {
        let mut places: HashMap<&Arc<str>, u32> = self.own.iter().map(|(address, (service, _))| (address, *service)).collect();
        let called = |p: &&Peer| p.configured && matches!(p.protocol, Protocol::Call | Protocol::Http | Protocol::Grpc);
        for peer in self.peers.iter().filter(called).filter(|p| !p.address.is_empty()) {
            let service = peer.answers.get();
            if service != NOBODY {
                places
                    .entry(&peer.address)
                    .and_modify(|known| *known = if *known == service { service } else { SEVERAL })
                    .or_insert(service);
            }
        }
        places.into_iter().filter(|(_, service)| *service != SEVERAL).map(|(address, service)| (address.clone(), service)).collect()
    }

    /// Names that turned out to be shared by several databases or caches, if any did since the last call, and what the first of each is called now.
    pub fn shared(&mut self) -> Option<HashMap<Arc<str>, Arc<str>>> {
        (!self.shared.is_empty()).then(|| std::mem::take(&mut self.shared))
    }

    /// Databases and caches of one name at different addresses are told apart by them. One whose callers do not say where it is keeps the name.
    fn tell_apart(&mut self, newest: usize) {
        let of_name = |peer: &Peer, name: &[u8]| peer.is_store() && !peer.stated && peer.configured && *peer.base == *name;
        let base = self.peers[newest].base.clone();
        if !of_name(&self.peers[newest], &base) {
            return;
        }
        let own = &self.peers[newest].address;
        let known = |peer: &&Peer| of_name(peer, &base) && same_address(&peer.address, own);
        let others = |peer: &&Peer| of_name(peer, &base) && !same_address(&peer.address, own);
        // One server under two spellings of its address is called as it was first.
        let address = self.peers.iter().find(known).map_or_else(|| own.clone(), |first| first.address.clone());
        let Some(other) = self.peers.iter().find(others) else { return };
        let plain: Arc<str> = Arc::from(&*String::from_utf8_lossy(&base));
        if other.name == plain {
            let first: Arc<str> = at_place(&plain, &other.address).into();
            for peer in self.peers.iter_mut().filter(|peer| of_name(peer, &base)) {
                peer.name = first.clone();
            }
            self.shared.insert(plain.clone(), first);
        }
        self.peers[newest].name = at_place(&plain, &address).into();
    }

    /// The peer these attributes name, or [`NOBODY`].
    #[inline]
    pub fn find(&mut self, attributes: &PeerAttributes<'_>, protocol: Protocol) -> u32 {
        let (base, port) = attributes.name(protocol);
        if base.is_empty() {
            return NOBODY;
        }
        let base = cut(base);
        let (place, port) = if matches!(protocol, Protocol::Database | Protocol::Cache) { attributes.place() } else { (&[][..], port) };
        match self.known(base, place, port, protocol) {
            Ok(id) => id,
            // Databases of one name at ever more addresses must not take the room of other peers.
            Err(_) if !place.is_empty() && self.len() >= self.limit / 2 => {
                self.known(base, &[], 0, protocol).unwrap_or_else(|hash| self.add(hash, base, &[], 0, attributes, protocol))
            }
            Err(hash) => self.add(hash, base, place, port, attributes, protocol),
        }
    }

    /// The peer, or the hash it will be found by.
    #[inline]
    fn known(&self, base: &[u8], place: &[u8], port: u32, protocol: Protocol) -> Result<u32, u64> {
        let hash = self.hasher.hash_one((base, place, port << 3 | protocol as u32));
        let same = |id: &u32| {
            let peer = &self.peers[*id as usize];
            peer.protocol == protocol && peer.port == port && *peer.base == *base && *peer.place == *place
        };
        let id = self.table.find(hash, same).copied().ok_or(hash)?;
        self.peers[id as usize].used.set(true);
        Ok(id)
    }

    fn len(&self) -> usize {
        self.peers.len() - self.free.len()
    }

    /// Forgets whom nobody spoke of since the last look, if at least half of the room is taken: what was called once would take it for ever, and who is
    /// called first after that would have no name. `held` are numbers that somebody still has.
    pub fn forget_unused(&mut self, held: &HashSet<u32>) {
        let over_half = |taken: usize| taken > self.limit / 2;
        if over_half(self.len()) {
            let fed: HashSet<u32> = self.peers.iter().map(|peer| peer.feeds.get()).collect();
            for id in 0..self.peers.len() as u32 {
                let kept = self.peers[id as usize].used.get() || held.contains(&id) || fed.contains(&id) || self.overflowed == Some(id);
                if kept || self.peers[id as usize].base.is_empty() {
                    continue;
                }
                let hash = self.hash_of(&self.peers[id as usize]);
                if let Ok(entry) = self.table.find_entry(hash, |known| *known == id) {
                    entry.remove();
                }
                self.peers[id as usize] = Peer::nobody();
                self.free.push(id);
                self.learned.set(true);
            }
        }
        if over_half(self.own.len()) {
            self.own.retain(|_, (_, used)| *used);
            self.learned.set(true);
        }
        self.peers.iter().for_each(|peer| peer.used.set(false));
        self.own.values_mut().for_each(|(_, used)| *used = false);
    }

    fn hash_of(&self, peer: &Peer) -> u64 {
        self.hasher.hash_one((&*peer.base, &*peer.place, peer.port << 3 | peer.protocol as u32))
    }

    #[cold]
    fn add(&mut self, hash: u64, base: &[u8], place: &[u8], port: u32, attributes: &PeerAttributes<'_>, protocol: Protocol) -> u32 {
        if self.len() >= self.limit {
            return *self.overflowed.get_or_insert_with(|| {
                self.peers.push(Peer {
                    name: OVERFLOW.into(),
                    base: OVERFLOW.as_bytes().into(),
                    answers: Cell::new(SEVERAL),
                    ..Peer::nobody()
                });
                (self.peers.len() - 1) as u32
            });
        }
        let of_store = matches!(protocol, Protocol::Database | Protocol::Cache);
        let (name, place_told) = (address(base, if of_store { 0 } else { port }), attributes.place());
        let of_url = place_told.0.is_empty() && protocol == Protocol::Http;
        let (host, place_port) = if of_url { attributes.place_of_url() } else { place_told };
        let address = address(host, place_port);
        let system = attributes.system();
        let system = Arc::from(&*String::from_utf8_lossy(cut(system)));
        let stated = attributes.states_service();
        let peer = Peer {
            name,
            protocol,
            system,
            stated,
            answers: Cell::new(NOBODY),
            asked: Cell::new(NOBODY),
            feeds: Cell::new(NOBODY),
            address,
            configured: attributes.states_address() || of_url,
            base: base.into(),
            place: place.into(),
            port,
            used: Cell::new(true),
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.peers[id as usize] = peer;
                id
            }
            None => {
                self.peers.push(peer);
                (self.peers.len() - 1) as u32
            }
        };
        self.tell_apart(id as usize);
        let (peers, hasher) = (&self.peers, &self.hasher);
        self.table.insert_unique(hash, id, |id| {
            let peer = &peers[*id as usize];
            hasher.hash_one((&*peer.base, &*peer.place, peer.port << 3 | peer.protocol as u32))
        });
        id
    }
}
