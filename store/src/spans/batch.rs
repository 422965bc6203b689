//! The loops over the new rows of a request: which were sent before, RED, and the join. What they look up was read while the spans were walked, so the
//! caches have it.

use super::engine::SpanEngine;
use super::open::Row;
use super::segment::{FAILED, REPEATED, SLOW};
use crate::signals::edges::{Call, Connection, Drawing, Edges, Ends, OUTSIDE};
use crate::signals::enclosing::Taker;
use crate::signals::fetched::Taken;
use crate::signals::join::{Half, HalfKind, Pair, quarters};
use crate::signals::layers::{Outgoing, Told};
use crate::signals::operations::CallExample;
use crate::signals::peer::{NOBODY, Peers, Protocol};
use crate::signals::services::Services;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use watchfire_model::reading::beside_namesake;
use watchfire_model::{SpanKind, SpanStatus, Timestamp};

/// What the later loops need of a row besides the columns.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    pub(super) operation: u32,
    pub(super) service: u32,
    pub(super) peer: u32,
    pub(super) weight: f32,
    pub(super) protocol: Protocol,
    pub(super) kind: SpanKind,
    /// Messages that one span is about, where it says that there are several.
    pub(super) batch: Option<u32>,
    /// The peer is the queue itself, and not what it is fed by.
    pub(super) names_queue: bool,
    /// It only asks a broker for messages.
    pub(super) fetches: bool,
    /// It is a consumer's that says that it received messages, and not that it works on them.
    pub(super) receives: bool,
    /// It is a consumer's that counts for nothing, as others work on what it received.
    pub(super) hands_on: bool,
    /// It is a server's, and the call that it makes as well.
    pub(super) fronts: bool,
    pub(super) links: (u32, u32),
    /// Hashes under which the span is remembered and joined.
    pub(super) seen_as: u64,
    pub(super) joins_as: u64,
}

impl SpanEngine {
    /// The loops over the rows of a request (or of [`BATCH`] rows of a long one).
    pub(super) fn work_off(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        self.changed = true;
        let first = self.open.rows.len() - self.pending.len();
        let rows = &mut self.open.rows[first..];
        let mut repeated = 0;
        for (row, pending) in rows.iter_mut().zip(&self.pending) {
            if self.repeats.seen(pending.seen_as) {
                row.flags |= REPEATED;
                repeated += 1;
            }
        }
        self.counters.repeated.add(repeated);
        for (row, pending) in rows.iter_mut().zip(&self.pending) {
            if row.flags & REPEATED != 0 {
                continue;
            }
            let call = CallExample { trace: row.trace, span: row.span, nanos: row.duration };
            if self.operations.observe(pending.operation, status(row.flags), call, f64::from(pending.weight), self.now) {
                row.flags |= SLOW;
            }
            if row.flags & (SLOW | FAILED) != 0 && self.notable.last() != Some(&row.trace) {
                self.notable.push(row.trace);
            }
        }
        self.join_rows(first);
        self.pending.clear();
        self.links.clear();
        if !self.notable.is_empty() {
            let mut notable = self.held.notable.lock();
            self.notable.drain(..).for_each(|id| notable.add(id));
        }
        self.held.live.fetch_add((self.open.rows.len() - first) as u64, Ordering::Relaxed);
        self.counters.received.add((self.open.rows.len() - first) as u64);
        self.open.received(self.now);
        if let Some(block) = self.open.close_block(false, &self.held.spare) {
            self.held.grew(block.bytes());
            self.sealer.pack(block);
        }
        if self.open.is_full() {
            self.seal_segment();
            self.evict();
        }
    }

    pub(super) fn join_rows(&mut self, first: usize) {
        let ticks = quarters(self.now);
        let lost = self.join.lost;
        for (row, pending) in self.open.rows[first..].iter().zip(&self.pending) {
            let flags = row.flags;
            if flags & REPEATED != 0 {
                continue;
            }
            let (trace, parent) = (row.trace, row.parent);
            let mut told = Told { elsewhere: false, peer: pending.peer };
            let calls = matches!(pending.kind, SpanKind::Client | SpanKind::Producer);
            if calls || pending.fetches {
                let call = Outgoing {
                    // Who calls is joined under its own id.
                    tag: if calls { pending.joins_as } else { key(trace, row.span) },
                    parent: (parent != 0).then(|| key(trace, parent)),
                    service: pending.service,
                    peer: pending.peer,
                    protocol: pending.protocol,
                    failed: flags & FAILED != 0,
                    scope: row.scope,
                    time: (row.start, row.start.saturating_add(row.duration)),
                    carried: pending.peer != NOBODY || pending.fetches,
                };
                told = self.layers.tell(call, &self.peers, &mut self.join);
            }
            if calls && self.operations.any_fronts && self.nesting.calls(pending.joins_as, pending.service) {
                self.operations.shares_spans(pending.service);
            }
            let (from, to) = pending.links;
            let links = &self.links[from as usize..to as usize];
            if pending.hands_on {
                // What works on the message is within this span, which alone is within its sender's.
                let came_from = match links {
                    [] if parent != 0 => Some(pending.joins_as),
                    [(trace, span)] => Some(key(*trace, *span)),
                    _ => None,
                };
                if let Some(tag) = came_from {
                    let own = key(trace, row.span);
                    self.fetched.came(own, tag, pending.service);
                    let edges = (&mut self.edges, &mut self.deliveries);
                    let mut sides = Sides::new(&self.services, &self.peers, edges, &self.nothing, self.now);
                    for half in self.join.take_consumers(own, pending.service) {
                        self.join.offer(Half { tag, ..half }, ticks, |pair| sides.pair(&pair));
                    }
                }
            }
            if matches!(pending.kind, SpanKind::Internal | SpanKind::Unspecified) {
                continue;
            }
            let tag = pending.joins_as;
            let message = matches!(pending.kind, SpanKind::Producer | SpanKind::Consumer);
            let callee = matches!(pending.kind, SpanKind::Server | SpanKind::Consumer);
            let service = pending.service;
            let half = |tag| Half {
                nanos: row.duration,
                weight: pending.weight,
                service,
                peer: told.peer,
                ..Half::new(
                    tag,
                    HalfKind {
                        callee,
                        failed: flags & FAILED != 0,
                        message,
                        names_queue: pending.names_queue,
                        protocol: pending.protocol as u32,
                    },
                )
            };
            // What a batch is linked to are its messages, one by one.
            let all = |half: Half| if message { half.stands_for(pending.batch) } else { half };
            let mut sides = Sides::new(&self.services, &self.peers, (&mut self.edges, &mut self.deliveries), &self.nothing, self.now);
            if callee {
                let mut met_parent = false;
                // Whether the other span of the message has been counted for it.
                let mut taken = |tag, linked| {
                    if !message {
                        return false;
                    }
                    let taker = Taken { tag, service, operation: pending.operation, receives: pending.receives, linked };
                    let Some(both) = self.fetched.takes(taker) else { return false };
                    self.operations.fetches(both.receiving);
                    both.of_sender
                };
                for (link_trace, link_span) in links {
                    met_parent |= (*link_trace, *link_span) == (trace, parent);
                    let tag = key(*link_trace, *link_span);
                    if !taken(tag, true) {
                        self.join.offer(half(tag), ticks, |pair| sides.pair(&pair));
                    }
                }
                let mut told = pending.kind == SpanKind::Consumer && parent != 0 && !met_parent && taken(tag, false);
                let parent_tag = (parent != 0).then_some(tag);
                let taker = Taker {
                    tag: key(trace, row.span),
                    parent: parent_tag,
                    operation: pending.operation,
                    receives: pending.receives,
                    knows_sender: parent != 0 || from != to,
                };
                if let Some(nested) = self.nesting.meet(taker) {
                    self.operations.nested(nested);
                    // The one around was counted, as nothing was known yet.
                    told |= nested.counted && !pending.receives;
                    if nested.counted && pending.receives {
                        self.join.take_consumers(taker.tag, service).for_each(drop);
                    }
                }
                if self.operations.any_fronts
                    && let Some(caller) = self.nesting.caller(taker.tag)
                {
                    self.operations.shares_spans(caller);
                }
                if pending.fronts {
                    let call = HalfKind { failed: flags & FAILED != 0, ..HalfKind::default() };
                    let call = Half { nanos: row.duration, weight: pending.weight, service, peer: NOBODY, ..Half::new(taker.tag, call) };
                    self.join.offer(call.optional(), ticks, |pair| sides.pair(&pair));
                }
                if told {
                    // Nothing is left to count.
                } else if parent != 0 && !met_parent {
                    // Linked messages are counted by their links, met or not.
                    let half = if from != to {
                        Half { peer: NOBODY, ..half(tag) }.linked()
                    } else if pending.kind == SpanKind::Consumer {
                        all(half(self.fetched.origin(tag, service).unwrap_or(tag)))
                    } else {
                        half(tag)
                    };
                    self.join.offer(half, ticks, |pair| sides.pair(&pair));
                } else if parent == 0 && from == to && pending.kind == SpanKind::Consumer {
                    sides.delivery_of_nobody(&all(half(0)));
                } else if parent == 0 && self.settings.user_node && pending.kind == SpanKind::Server {
                    sides.user_edge(&self.user, &half(0));
                }
            } else if matches!(pending.protocol, Protocol::Database | Protocol::Cache) && pending.peer != NOBODY {
                // A database never answers with a span: the edge is complete as it is.
                if !told.elsewhere {
                    sides.peer_edge(&half(0), Connection::Database);
                }
            } else if pending.links.0 != pending.links.1 {
                if flags & FAILED != 0 {
                    for (trace, span) in &self.links[pending.links.0 as usize..pending.links.1 as usize] {
                        self.join.fail(key(*trace, *span));
                    }
                }
            } else if pending.kind == SpanKind::Producer && pending.peer != NOBODY {
                let half = all(half(tag));
                if parent != 0 {
                    let around = key(trace, parent);
                    self.join.enclose(around, &half);
                    self.enclosing.remember(around, &half);
                }
                let half = if self.enclosing.encloses(&half) { half.optional() } else { half };
                self.join.offer(half, ticks, |pair| sides.pair(&pair));
            } else {
                let half = if told.elsewhere { half(tag).optional() } else { half(tag) };
                self.join.offer(half, ticks, |pair| sides.pair(&pair));
            }
        }
        self.counters.lost.add(self.join.lost - lost);
    }

    /// Halves that waited in vain become edges to peers that send no spans, if their attributes named one.
    pub(super) fn expire(&mut self) {
        let mut sides = Sides::new(&self.services, &self.peers, (&mut self.edges, &mut self.deliveries), &self.nothing, self.now);
        let counters = &self.counters;
        self.join.sweep(quarters(self.now), |half| {
            if half.matched() {
                return;
            }
            if half.is_callee() {
                counters.expired_server.add(1);
                if half.message() {
                    sides.delivery_of_nobody(&half);
                }
            } else {
                counters.expired_client.add(1);
                sides.peer_edge(&half, Connection::VirtualNode);
            }
        });
    }
}

/// The status a span is counted under.
#[inline]
fn status(flags: u8) -> usize {
    if flags & FAILED != 0 { SpanStatus::Error as usize } else { (flags & 3).min(2) as usize }
}

/// What an edge needs to know of both sides.
struct Sides<'a> {
    services: &'a Services,
    peers: &'a Peers,
    edges: &'a mut Edges,
    deliveries: &'a mut Edges,
    nothing: &'a Arc<str>,
    now: Timestamp,
}

impl<'a> Sides<'a> {
    /// `edges` and deliveries.
    fn new(
        services: &'a Services,
        peers: &'a Peers,
        (edges, deliveries): (&'a mut Edges, &'a mut Edges),
        nothing: &'a Arc<str>,
        now: Timestamp,
    ) -> Self {
        Sides { services, peers, edges, deliveries, nothing, now }
    }

    #[inline]
    fn pair(&mut self, pair: &Pair) {
        let Pair { caller, callee } = pair;
        let message = caller.message() || callee.message();
        let connection = if message { Connection::MessagingSystem } else { Connection::Direct };
        let call = Call {
            failed: caller.failed() || callee.failed(),
            weight: f64::from(if caller.is_batch() { callee.weight } else { caller.weight.max(callee.weight) }),
            server_nanos: Some(callee.nanos),
            client_nanos: Some(caller.nanos),
        };
        let ends = Ends { client: caller.service, server: callee.service, peer: false, connection, queue: NOBODY };
        let peer = self.peers.get(caller.peer);
        let draw = |queue: Option<&Arc<str>>| Drawing {
            client: self.services.get(caller.service).seen.name.clone(),
            server: self.services.get(callee.service).seen.name.clone(),
            protocol: if message { Protocol::Messaging } else { Protocol::from_bits(caller.protocol()) },
            queue: queue.cloned(),
            system: peer.map_or(self.nothing, |p| &p.system).clone(),
            address: self.nothing.clone(),
            own_name: false,
        };
        self.edges.count(ends, &call, self.now, || draw(None));
        if let Some(peer) = peer {
            self.peers.answered(peer, caller.service, callee.service);
        }
        let queue = if callee.names_queue() { self.peers.feeds(caller.peer, callee.peer) } else { caller.peer };
        if message && let Some(named) = self.peers.get(queue) {
            self.peers.answered(named, caller.service, callee.service);
            // How long it took to publish is no part of the delivery.
            let call = Call { client_nanos: None, ..call };
            self.deliveries.count(Ends { queue, ..ends }, &call, self.now, || draw(Some(&named.name)));
        }
    }

    /// The peer is silent, so the client's duration stands for both sides.
    #[inline]
    fn peer_edge(&mut self, half: &Half, connection: Connection) {
        let half = &Half { peer: self.peers.fed(half.peer), ..*half };
        let Some(peer) = self.peers.get(half.peer) else { return };
        // A named peer that does send spans is that service: its half was lost or late, it is no other node. Unless it is a queue that the service
        // was never seen to read.
        let namesake = self.services.named(&peer.name);
        let queue = peer.protocol == Protocol::Messaging && !peer.stated;
        let known = match connection {
            Connection::VirtualNode if queue => namesake.filter(|service| peer.taken_by(*service)),
            Connection::VirtualNode => namesake.or(peer.service(half.service)),
            _ => None,
        };
        let direct = if queue { Connection::MessagingSystem } else { Connection::Direct };
        let ends = match known {
            Some(service) => Ends { client: half.service, server: service, peer: false, connection: direct, queue: NOBODY },
            None => Ends { client: half.service, server: half.peer, peer: true, connection, queue: NOBODY },
        };
        let call =
            Call { failed: half.failed(), weight: f64::from(half.weight), server_nanos: Some(half.nanos), client_nanos: Some(half.nanos) };
        // A database is often called like the service that owns it, and is not that service: neither its figures nor its troubles are.
        let own = (connection == Connection::Database || queue) && !peer.stated;
        self.edges.count(ends, &call, self.now, || Drawing {
            client: self.services.get(half.service).seen.name.clone(),
            server: match known {
                Some(service) => self.services.get(service).seen.name.clone(),
                None if own && namesake.is_some() => {
                    let system = if peer.system.is_empty() { peer.protocol.word() } else { &peer.system };
                    beside_namesake(&peer.name, system).into()
                }
                None => peer.name.clone(),
            },
            protocol: peer.protocol,
            queue: None,
            system: peer.system.clone(),
            address: if known.is_some() { self.nothing.clone() } else { peer.address.clone() },
            own_name: own,
        });
    }

    /// A message whose producer sends no spans, or sent it longer ago than the other half is waited for, as when the queue is long.
    fn delivery_of_nobody(&mut self, half: &Half) {
        let Some(queue) = self.peers.get(half.peer) else { return };
        let call = Call { failed: half.failed(), weight: f64::from(half.weight), server_nanos: Some(half.nanos), client_nanos: None };
        let connection = Connection::MessagingSystem;
        let ends = Ends { client: OUTSIDE, server: half.service, peer: false, connection, queue: half.peer };
        self.deliveries.count(ends, &call, self.now, || Drawing {
            client: self.nothing.clone(),
            server: self.services.get(half.service).seen.name.clone(),
            protocol: Protocol::Messaging,
            queue: Some(queue.name.clone()),
            system: queue.system.clone(),
            address: self.nothing.clone(),
            own_name: false,
        });
    }

    fn user_edge(&mut self, user: &Arc<str>, half: &Half) {
        let call = Call { failed: half.failed(), weight: f64::from(half.weight), server_nanos: Some(half.nanos), client_nanos: None };
        let ends = Ends { client: OUTSIDE, server: half.service, peer: false, connection: Connection::VirtualNode, queue: NOBODY };
        self.edges.count(ends, &call, self.now, || Drawing {
            client: user.clone(),
            server: self.services.get(half.service).seen.name.clone(),
            protocol: Protocol::Call,
            queue: None,
            system: self.nothing.clone(),
            address: self.nothing.clone(),
            own_name: false,
        });
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide >> 64) as u64 ^ wide as u64
}

/// The hash of a trace, of which those of its spans are made.
#[inline]
fn trace_hash(trace: u128) -> u64 {
    fold((trace >> 64) as u64 ^ 0x243f_6a88_85a3_08d3, trace as u64 ^ 0x1319_8a2e_0370_7344)
}

#[inline]
fn span_hash(trace: u64, span: u64, extra: u64) -> u64 {
    fold(trace ^ extra, span ^ 0xa409_3822_299f_31d0)
}

#[inline]
fn key(trace: u128, span: u64) -> u64 {
    span_hash(trace_hash(trace), span, 0)
}

/// What a span is remembered by, and what it meets the other side of its call under. The kind belongs to the first: in Zipkin's model both sides of a call
/// share one span id.
#[inline]
pub(super) fn hashes(row: &Row, kind: SpanKind) -> (u64, u64) {
    let trace = trace_hash(row.trace);
    let call = if matches!(kind, SpanKind::Server | SpanKind::Consumer) { row.parent } else { row.span };
    (span_hash(trace, row.span, 1 + kind as u64), span_hash(trace, call, 0))
}
