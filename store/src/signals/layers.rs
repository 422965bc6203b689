//! Client spans around client spans: a library around the driver that it queries by, a client of an API around the HTTP that carries it. They are one call,
//! and are told so by being within each other, of one service, and about one thing.

use super::join::Join;
use super::peer::{NOBODY, Peers, Protocol};
use watchfire_model::same_address;

/// What is remembered of each kind. The inner span ends just before the outer one, so they come close to each other.
const PLACES: usize = 1024;

/// One call, as a span of the caller tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub tag: u64,
    /// Tag of the span around it.
    pub parent: Option<u64>,
    pub service: u32,
    pub peer: u32,
    pub protocol: Protocol,
    pub failed: bool,
    /// Who made the span, by its scope.
    pub scope: u16,
    /// From when to when, nanoseconds.
    pub time: (u64, u64),
    /// What is sent within it is a part of it.
    pub carried: bool,
}

/// The latest calls.
pub(crate) struct Layers {
    /// By their own tags.
    own: Box<[Outgoing]>,
    /// By the tags of their parents.
    within: Box<[Outgoing]>,
}

impl Default for Layers {
    fn default() -> Self {
        let none = Outgoing {
            tag: 0,
            parent: None,
            service: 0,
            peer: NOBODY,
            protocol: Protocol::Call,
            failed: false,
            scope: 0,
            time: (0, 0),
            carried: false,
        };
        let places = || vec![none; PLACES].into_boxed_slice();
        Layers { own: places(), within: places() }
    }
}

impl Layers {
    /// Whether a call is told by another span as well, and what it is to. What the other one said is corrected where it waits for an answer.
    #[inline]
    pub fn tell(&mut self, call: Outgoing, peers: &Peers, join: &mut Join) -> Told {
        // Hardly ever is one met: they are looked at where they are, and copied only then.
        let met = self.meets(&call).then(|| self.meet(&call));
        if let Some(parent) = call.parent {
            self.within[place(parent)] = call;
        }
        self.own[place(call.tag)] = call;
        match met {
            Some(met) => met.told(&call, peers, join),
            None => Told { elsewhere: false, peer: call.peer },
        }
    }

    #[inline]
    fn meets(&self, call: &Outgoing) -> bool {
        let parent = || call.parent.is_some_and(|tag| self.own[place(tag)].is(tag, call) || self.within[place(tag)].is_within(tag, call));
        self.within[place(call.tag)].is_within(call.tag, call) || parent()
    }

    #[cold]
    fn meet(&self, call: &Outgoing) -> Met {
        let of_parent = |tag: u64| Some(self.within[place(tag)]).filter(|seen| seen.is_within(tag, call));
        Met {
            within: of_parent(call.tag),
            around: call.parent.and_then(|tag| Some(self.own[place(tag)]).filter(|seen| seen.is(tag, call))),
            beside: call.parent.and_then(of_parent),
        }
    }

    /// Numbers of peers mean others from now on.
    pub fn forget(&mut self) {
        *self = Layers::default();
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&*self.own) + size_of_val(&*self.within)
    }
}

fn place(tag: u64) -> usize {
    tag as usize % PLACES
}

/// Calls that have come already.
struct Met {
    /// The newest within this one.
    within: Option<Outgoing>,
    around: Option<Outgoing>,
    /// The newest within the same one.
    beside: Option<Outgoing>,
}

impl Met {
    fn told(self, call: &Outgoing, peers: &Peers, join: &mut Join) -> Told {
        let mut told = Told { elsewhere: false, peer: call.peer };
        if let Some(inner) = self.within {
            match layered(call, &inner, peers) {
                Layered::Apart => {}
                Layered::Carries => join.told(inner.tag),
                Layered::Same => {
                    told.elsewhere = true;
                    if call.failed {
                        join.fail(inner.tag);
                    }
                    if call.is_nowhere(peers) {
                        join.is_to(inner.tag, call.peer);
                    }
                }
            }
        }
        if let Some(outer) = self.around {
            match layered(&outer, call, peers) {
                Layered::Apart => {}
                Layered::Carries => told.elsewhere = true,
                // Databases are counted as soon as they are told of.
                Layered::Same if call.is_store() => told.elsewhere = true,
                Layered::Same => {
                    join.told(outer.tag);
                    if outer.is_nowhere(peers) {
                        told.peer = outer.peer;
                    }
                }
            }
        }
        told.elsewhere |= self.beside.is_some_and(|other| other.is_beside(call));
        told
    }
}

/// What other spans say of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// Another span is counted for it.
    pub elsewhere: bool,
    pub peer: u32,
}

/// How two calls, one within the other, are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layered {
    /// They are two: a token is fetched within the call that it is for.
    Apart,
    /// The inner one carries the outer one, which says what it is: a query over HTTP.
    Carries,
    /// Both say the same, and the inner one says it of each attempt.
    Same,
}

/// What the inner call is to the outer one.
fn layered(outer: &Outgoing, inner: &Outgoing, peers: &Peers) -> Layered {
    match (outer.protocol, inner.protocol) {
        (around, _) if !is_transport(around) && is_transport(inner.protocol) && outer.carried => Layered::Carries,
        (around, within) if outer.is_store() && around == within => Layered::Same,
        (around, within) if is_transport(around) && is_transport(within) && outer.goes_where(inner, peers) => Layered::Same,
        _ => Layered::Apart,
    }
}

fn is_transport(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Call | Protocol::Http | Protocol::Grpc)
}

impl Outgoing {
    /// Whether it is the call of this tag, by the service that makes the other one.
    fn is(&self, tag: u64, other: &Outgoing) -> bool {
        self.tag == tag && self.service == other.service
    }

    /// Whether it is within the span of this tag, by the service that makes the other one.
    fn is_within(&self, tag: u64, other: &Outgoing) -> bool {
        self.parent == Some(tag) && self.service == other.service
    }

    fn is_store(&self) -> bool {
        matches!(self.protocol, Protocol::Database | Protocol::Cache)
    }

    /// Whether both are one query, of which a library and a driver tell, and the one is not said to be within the other.
    fn is_beside(&self, other: &Outgoing) -> bool {
        let spans = |outer: &Outgoing, inner: &Outgoing| outer.time.0 <= inner.time.0 && inner.time.1 <= outer.time.1;
        let same = self.is_store() && self.peer == other.peer && self.scope != other.scope;
        same && (spans(self, other) || spans(other, self))
    }

    /// Whether it names an interface and no address, as the client of an API does.
    fn is_nowhere(&self, peers: &Peers) -> bool {
        self.protocol == Protocol::Grpc && peers.get(self.peer).is_some_and(|peer| peer.address.is_empty())
    }

    fn goes_where(&self, inner: &Outgoing, peers: &Peers) -> bool {
        let [Some(outer), Some(carrier)] = [self, inner].map(|call| peers.get(call.peer)) else { return false };
        let told = !outer.address.is_empty() && !carrier.address.is_empty();
        self.peer == inner.peer || self.is_nowhere(peers) || (told && same_address(&outer.address, &carrier.address))
    }
}
