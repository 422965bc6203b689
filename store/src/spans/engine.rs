//! The owner of the span hot path. One thread calls it; it shares nothing but published snapshots.
//!
//! While a request is walked, each span is appended to columns and its body to the block (no allocation). When the request is over, three tight loops go over the
//! new rows: which were sent before, RED, and the join. In loops of their own the cache misses of neighbouring spans overlap.

use super::block::put_body;
use super::held::{Held, Snapshot};
use super::intern::{Interned, Resource, Scope};
use super::open::{Open, Row};
use super::sealer::Sealer;
use super::segment::{FAILED, MENDED, REPEATED, SLOW, Segment};
use crate::series::SeriesBook;
use crate::signals::SignalSettings;
use crate::signals::board::Board;
use crate::signals::edges::{Call, Connection, Drawing, Edges, Ends, OUTSIDE};
use crate::signals::join::{Half, Join, Pair};
use crate::signals::operations::{CallExample, Operations};
use crate::signals::peer::{NOBODY, PeerAttributes, Peers, Protocol};
use crate::signals::repeats::Repeats;
use crate::signals::sampling;
use crate::signals::services::{Identity, Services};
use crate::spans::wire;
use arc_swap::ArcSwap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use watchfire_model::{
    AttributeValue, Counter, Meter, OriginId, ResourceView, SeriesId, SeriesSink, SpanKind, SpanStatus, SpanView, SpanVisitor, Timestamp,
    Value,
};

/// Resources and scopes found by their bytes.
const RESOURCES: usize = 10_000;
const SCOPES: usize = 10_000;
/// Size of the join (4 MiB, 131,072 halves) and of the memory of spans seen lately (1 MiB, 262,144 spans).
const JOIN_BITS: u32 = 15;
const REPEAT_BITS: u32 = 14;
/// Rows after which a long request is worked off in between.
const BATCH: usize = 4096;
/// Rows whose buckets of the join are read ahead.
const AHEAD: usize = 256;
/// At most four snapshots a second, and new operations are published after half a second.
const SNAPSHOT_MILLIS: i64 = 250;
const FRESH_MILLIS: i64 = 500;
/// Span times further than this from their arrival are nonsense, nanoseconds (a year).
const REACH: u64 = 366 * 86_400 * 1_000_000_000;

/// What the later loops need of a row besides the columns.
#[derive(Clone, Copy)]
struct Pending {
    operation: u32,
    service: u32,
    peer: u32,
    weight: f32,
    protocol: Protocol,
    kind: SpanKind,
    links: (u32, u32),
}

pub(crate) struct Counters {
    repeated: Counter,
    mended: Counter,
    cut_items: Counter,
    cut_values: Counter,
    lost: Counter,
    expired_client: Counter,
    expired_server: Counter,
    received: Counter,
}

/// Receives spans from the walk and owns everything derived from them until it is published.
pub struct SpanEngine {
    pub(crate) settings: SignalSettings,
    pub(crate) series: Arc<SeriesBook>,
    held: Arc<Held>,
    pub(crate) board: Arc<ArcSwap<Board>>,
    sealer: Sealer,
    pub(crate) origin: OriginId,

    pub(crate) services: Services,
    pub(crate) operations: Operations,
    pub(crate) edges: Edges,
    pub(crate) peers: Peers,
    join: Join,
    repeats: Repeats,
    resources: Interned<Resource>,
    scopes: Interned<Scope>,

    open: Open,
    sealed: VecDeque<Arc<Segment>>,
    pending: Vec<Pending>,
    links: Vec<(u128, u64)>,
    tags: Vec<u64>,
    scope_key: Vec<u8>,
    notable: Vec<u128>,

    resource: Arc<Resource>,
    service: u32,
    scope: Arc<Scope>,
    /// Places of the current resource and scope in the open segment, and the segment they are of.
    places: (u32, u16, u16),
    simulated: bool,

    /// Wall clock of the newest arrival or tick.
    now: Timestamp,
    snapshot_at: Timestamp,
    /// There is something readers have not been shown.
    changed: bool,
    pub(crate) published_at: Option<Timestamp>,
    pub(crate) swept_at: Timestamp,
    pub(crate) row: Vec<(SeriesId, Value)>,
    counters: Counters,
    user: Arc<str>,
    nothing: Arc<str>,
}

impl SpanEngine {
    pub(crate) fn new(
        settings: SignalSettings,
        now: Timestamp,
        series: Arc<SeriesBook>,
        held: Arc<Held>,
        board: Arc<ArcSwap<Board>>,
        meter: &Meter,
    ) -> Self {
        let truncated = |reason| meter.counter("watchfire_truncated_total", &[("reason", reason)]);
        let unmatched = |reason| meter.counter("watchfire_join_expired_total", &[("reason", reason)]);
        let resource = Arc::new(Resource { raw: Box::default(), service: "unknown_service".into(), version: "".into() });
        let mut services = Services::new(settings.services);
        let service = services.find(&Identity { name: "unknown_service", ..Identity::default() }, &settings);
        SpanEngine {
            origin: series.origin("watchfire/spans"),
            services,
            operations: Operations::new(),
            edges: Edges::new(settings.edges),
            peers: Peers::new(settings.peers),
            join: Join::new(JOIN_BITS),
            repeats: Repeats::new(REPEAT_BITS),
            resources: Interned::new(RESOURCES),
            scopes: Interned::new(SCOPES),
            open: Open::new(),
            sealed: VecDeque::new(),
            pending: Vec::with_capacity(BATCH),
            links: Vec::new(),
            tags: Vec::new(),
            scope_key: Vec::new(),
            notable: Vec::new(),
            resource,
            service,
            scope: Arc::new(Scope::default()),
            places: (0, 0, 0),
            simulated: false,
            now,
            snapshot_at: Timestamp::MIN,
            changed: false,
            published_at: None,
            swept_at: Timestamp::MIN,
            row: Vec::new(),
            counters: Counters {
                repeated: meter.counter("watchfire_spans_repeated_total", &[]),
                mended: meter.counter("watchfire_span_times_mended_total", &[]),
                cut_items: truncated("items"),
                cut_values: truncated("value"),
                lost: meter.counter("watchfire_join_lost_total", &[("reason", "table_full")]),
                expired_client: unmatched("server_missing"),
                expired_server: unmatched("client_missing"),
                received: meter.counter("watchfire_spans_total", &[]),
            },
            user: "user".into(),
            nothing: "".into(),
            sealer: Sealer::start(held.clone()),
            settings,
            series,
            held,
            board,
        }
    }

    /// Waits until compression and eviction have caught up, and shows everything to readers. For tests, measurements and shutdown.
    pub fn settle(&mut self) {
        self.work_off();
        self.evict();
        self.sealer.settle();
        self.show();
    }

    /// Closes and compresses the open segment, whatever its size.
    pub fn seal(&mut self) {
        self.work_off();
        self.seal_segment();
        self.settle();
    }

    fn place_resource(&mut self) {
        if self.places.0 != self.open.epoch {
            self.places = (self.open.epoch, self.open.add_resource(&self.resource), self.open.add_scope(&self.scope));
        }
    }

    fn mend(&mut self, span: &SpanView<'_>) -> (u64, u64, u8) {
        let (start, end) = (span.start.0, span.end.0);
        let arrival = u64::try_from(self.now.0).unwrap_or(0).saturating_mul(1_000_000);
        let near = |t: u64| arrival == 0 || t.abs_diff(arrival) < REACH;
        if end >= start && near(start) && near(end) {
            return (start, end - start, 0);
        }
        self.counters.mended.add(1);
        let start = if near(start) { start } else { arrival };
        (start, 0, MENDED)
    }

    /// Whether a server span has an HTTP status of 400 or more.
    fn http_failed(span: &SpanView<'_>) -> bool {
        span.attribute_ranges.iter().any(|(start, end)| {
            let Some(message) = span.body.get(*start as usize..*end as usize) else { return false };
            let (key, value) = wire::key_value(message);
            matches!(key, b"http.response.status_code" | b"http.status_code")
                && match wire::scalar(value) {
                    AttributeValue::Int(code) => code >= 400,
                    AttributeValue::Str(code) => code.parse::<u16>().is_ok_and(|code| code >= 400),
                    _ => false,
                }
        })
    }

    /// The loops over the rows of a request (or of [`BATCH`] rows of a long one).
    fn work_off(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        self.changed = true;
        let first = self.open.rows.len() - self.pending.len();
        let rows = &mut self.open.rows[first..];
        let mut repeated = 0;
        self.tags.clear();
        // The kind belongs to it: in Zipkin's model both sides of a call share one span id.
        self.tags.extend(rows.iter().zip(&self.pending).map(|(row, pending)| mix(row.trace, row.span, 1 + pending.kind as u64)));
        for (rows, hashes) in rows.chunks_mut(AHEAD).zip(self.tags.chunks(AHEAD)) {
            self.repeats.touch(hashes);
            for (row, hash) in rows.iter_mut().zip(hashes) {
                if self.repeats.seen(*hash) {
                    row.flags |= REPEATED;
                    repeated += 1;
                }
            }
        }
        self.counters.repeated.add(repeated);
        for (row, pending) in rows.iter_mut().zip(&self.pending) {
            if row.flags & REPEATED != 0 {
                continue;
            }
            let status = if row.flags & FAILED != 0 { SpanStatus::Error as usize } else { (row.flags & 3).min(2) as usize };
            let call = CallExample { trace: row.trace, span: row.span, nanos: row.duration };
            if self.operations.observe(pending.operation, status, call, f64::from(pending.weight), self.now) {
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

    fn join_rows(&mut self, first: usize) {
        let ticks = (self.now.0 / 250) as u16;
        let lost = self.join.lost;
        self.tags.clear();
        let of_kind = |row: &Row, kind| match kind {
            SpanKind::Server | SpanKind::Consumer => key(row.trace, row.parent),
            _ => key(row.trace, row.span),
        };
        self.tags.extend(self.open.rows[first..].iter().zip(&self.pending).map(|(row, pending)| of_kind(row, pending.kind)));
        for (i, (row, pending)) in self.open.rows[first..].iter().zip(&self.pending).enumerate() {
            if i % AHEAD == 0 {
                self.join.touch(&self.tags[i..self.tags.len().min(i + AHEAD)]);
            }
            let flags = row.flags;
            if flags & REPEATED != 0 || matches!(pending.kind, SpanKind::Internal | SpanKind::Unspecified) {
                continue;
            }
            let tag = self.tags[i];
            let (trace, parent) = (row.trace, row.parent);
            let message = matches!(pending.kind, SpanKind::Producer | SpanKind::Consumer);
            let callee = matches!(pending.kind, SpanKind::Server | SpanKind::Consumer);
            let service = pending.service;
            let half = |tag| Half {
                nanos: row.duration,
                weight: pending.weight,
                service,
                peer: pending.peer,
                ..Half::new(tag, callee, flags & FAILED != 0, message, pending.protocol as u32)
            };
            let mut sides =
                Sides { services: &self.services, peers: &self.peers, edges: &mut self.edges, nothing: &self.nothing, now: self.now };
            if callee {
                let (from, to) = pending.links;
                let mut met_parent = false;
                for (link_trace, link_span) in &self.links[from as usize..to as usize] {
                    met_parent |= (*link_trace, *link_span) == (trace, parent);
                    self.join.offer(half(key(*link_trace, *link_span)), ticks, |pair| sides.pair(&pair));
                }
                if parent != 0 && !met_parent {
                    self.join.offer(half(tag), ticks, |pair| sides.pair(&pair));
                } else if parent == 0 && self.settings.user_node && pending.kind == SpanKind::Server {
                    sides.user_edge(&self.user, &half(0));
                }
            } else if matches!(pending.protocol, Protocol::Database | Protocol::Cache) && pending.peer != NOBODY {
                // A database never answers with a span: the edge is complete as it is.
                sides.peer_edge(&half(0), Connection::Database);
            } else {
                self.join.offer(half(tag), ticks, |pair| sides.pair(&pair));
            }
        }
        self.counters.lost.add(self.join.lost - lost);
    }

    /// Halves that waited in vain become edges to peers that send no spans, if their attributes named one.
    fn expire(&mut self) {
        let mut sides =
            Sides { services: &self.services, peers: &self.peers, edges: &mut self.edges, nothing: &self.nothing, now: self.now };
        let counters = &self.counters;
        self.join.sweep((self.now.0 / 250) as u16, |half| {
            if half.matched() {
                return;
            }
            if half.is_callee() {
                counters.expired_server.add(1);
            } else {
                counters.expired_client.add(1);
                sides.peer_edge(&half, Connection::VirtualNode);
            }
        });
    }

    fn seal_segment(&mut self) {
        if self.open.rows.is_empty() {
            return;
        }
        if let Some(block) = self.open.close_block(true, &self.held.spare) {
            self.held.grew(block.bytes());
            self.sealer.pack(block);
        }
        let segment = Arc::new(self.open.seal(self.now));
        let columns = segment.bytes() - segment.blocks.iter().map(|b| b.bytes()).sum::<usize>();
        self.held.grew(columns);
        if let Some(sink) = &*self.held.sink.lock() {
            sink.sealed(&segment);
        }
        self.sealed.push_back(segment);
    }

    fn evict(&mut self) {
        let mut changed = false;
        while self.held.over_budget()
            && let Some(oldest) = self.sealed.pop_front()
        {
            changed = true;
            self.held.live.fetch_sub(oldest.len() as u64, Ordering::Relaxed);
            self.held.saved(oldest.bytes());
            self.sealer.evict(oldest);
        }
        let retention = self.held.retention();
        while self.sealed.front().is_some_and(|s| self.now.since(s.received.1) > retention)
            && let Some(oldest) = self.sealed.pop_front()
        {
            changed = true;
            self.held.live.fetch_sub(oldest.len() as u64, Ordering::Relaxed);
            self.held.saved(oldest.bytes());
            self.held.evicted_age.add(oldest.len() as u64);
        }
        if changed {
            // Readers' list goes first, or the memory would stay for as long as the next snapshot takes.
            self.show();
        }
    }

    /// Gives readers the present state.
    fn show(&mut self) {
        let mut segments = Vec::with_capacity(self.sealed.len() + 1);
        segments.extend(self.sealed.iter().cloned());
        if !self.open.rows.is_empty() {
            segments.push(Arc::new(self.open.copy(self.now)));
        }
        self.changed = false;
        self.held.snapshot.store(Arc::new(Snapshot { segments }));
        self.snapshot_at = self.now;
    }

    fn show_if_due(&mut self) {
        let due = self.now.0.saturating_sub(self.snapshot_at.0) >= SNAPSHOT_MILLIS || self.now < self.snapshot_at;
        if due && self.changed {
            self.show();
        }
    }

    fn publish_if_due(&mut self) {
        let since = self.published_at.map_or(i64::MAX, |at| self.now.0.saturating_sub(at.0));
        let interval = self.settings.interval.as_millis() as i64;
        let fresh = self.operations.fresh || self.edges.fresh;
        if since >= interval || since < 0 || (fresh && since >= FRESH_MILLIS.min(interval)) {
            self.publish(self.now);
        }
    }

    /// Bytes of the tables beside the spans themselves.
    pub fn table_bytes(&self) -> usize {
        self.join.bytes() + self.repeats.bytes() + self.open.bodies.capacity()
    }
}

/// What an edge needs to know of both sides.
struct Sides<'a> {
    services: &'a Services,
    peers: &'a Peers,
    edges: &'a mut Edges,
    nothing: &'a Arc<str>,
    now: Timestamp,
}

impl Sides<'_> {
    #[inline]
    fn pair(&mut self, pair: &Pair) {
        let Pair { caller, callee } = pair;
        let message = caller.message() || callee.message();
        let connection = if message { Connection::MessagingSystem } else { Connection::Direct };
        let call = Call {
            failed: caller.failed() || callee.failed(),
            weight: f64::from(caller.weight.max(callee.weight)),
            server_nanos: Some(callee.nanos),
            client_nanos: Some(caller.nanos),
        };
        let ends = Ends { client: caller.service, server: callee.service, peer: false, connection };
        self.edges.count(ends, &call, self.now, || {
            let peer = self.peers.get(caller.peer);
            Drawing {
                client: self.services.get(caller.service).seen.name.clone(),
                server: self.services.get(callee.service).seen.name.clone(),
                protocol: if message { Protocol::Messaging } else { Protocol::from_bits(caller.protocol()) },
                destination: peer.filter(|_| message).map(|p| p.name.clone()),
                system: peer.map_or(self.nothing, |p| &p.system).clone(),
            }
        });
    }

    /// The peer is silent, so the client's duration stands for both sides.
    #[inline]
    fn peer_edge(&mut self, half: &Half, connection: Connection) {
        let Some(peer) = self.peers.get(half.peer) else { return };
        // A named peer that does send spans is that service: its half was lost or late, it is no other node.
        let known = if connection == Connection::VirtualNode { self.services.named(&peer.name) } else { None };
        let ends = match known {
            Some(service) => Ends { client: half.service, server: service, peer: false, connection: Connection::Direct },
            None => Ends { client: half.service, server: half.peer, peer: true, connection },
        };
        let call =
            Call { failed: half.failed(), weight: f64::from(half.weight), server_nanos: Some(half.nanos), client_nanos: Some(half.nanos) };
        self.edges.count(ends, &call, self.now, || Drawing {
            client: self.services.get(half.service).seen.name.clone(),
            server: peer.name.clone(),
            protocol: peer.protocol,
            destination: None,
            system: peer.system.clone(),
        });
    }

    fn user_edge(&mut self, user: &Arc<str>, half: &Half) {
        let call = Call { failed: half.failed(), weight: f64::from(half.weight), server_nanos: Some(half.nanos), client_nanos: None };
        let ends = Ends { client: OUTSIDE, server: half.service, peer: false, connection: Connection::VirtualNode };
        self.edges.count(ends, &call, self.now, || Drawing {
            client: user.clone(),
            server: self.services.get(half.service).seen.name.clone(),
            protocol: Protocol::Call,
            destination: None,
            system: self.nothing.clone(),
        });
    }
}

impl SpanVisitor for SpanEngine {
    fn resource(&mut self, resource: &ResourceView<'_>) {
        let identity = Identity::read(resource);
        self.service = self.services.find(&identity, &self.settings);
        let seen = &mut self.services.get_mut(self.service).seen;
        if *seen.version != *identity.version && !identity.version.is_empty() {
            seen.version = identity.version.into();
        }
        if *seen.namespace != *identity.namespace && !identity.namespace.is_empty() {
            seen.namespace = identity.namespace.into();
        }
        seen.simulated = identity.simulated;
        let service = seen.name.clone();
        self.simulated = identity.simulated;
        self.resource =
            self.resources.get(resource.raw, || Resource { raw: resource.raw.into(), service, version: identity.version.into() });
        self.places.0 = 0;
    }

    fn scope(&mut self, name: &str, version: &str) {
        self.scope_key.clear();
        self.scope_key.extend_from_slice(name.as_bytes());
        self.scope_key.push(0);
        self.scope_key.extend_from_slice(version.as_bytes());
        let key = &self.scope_key;
        self.scope = self.scopes.get(key, || Scope::new(name, version, key));
        self.places.0 = 0;
    }

    fn span(&mut self, span: &SpanView<'_>) {
        if self.open.bodies.len() >= super::block::BLOCK_BYTES || self.pending.len() >= BATCH || self.open.is_full() {
            self.work_off();
        }
        self.place_resource();
        let operation = self.operations.find(self.service, span.name, span.kind, &mut self.services, &self.settings);
        let service = self.services.get_mut(self.service);
        let stated = if span.trace_state.is_empty() { None } else { sampling::weight(span.trace_state) };
        let weight = stated.unwrap_or(service.weight);
        service.seen.spans += 1;
        service.seen.weighted += weight;
        let (start, duration, mended) = self.mend(span);
        let service = self.services.get(self.service);
        let mut failed = span.status == SpanStatus::Error;
        if service.http_4xx_is_error && span.kind == SpanKind::Server && !failed {
            failed = Self::http_failed(span);
        }
        let (mut peer, mut protocol) = (NOBODY, Protocol::Call);
        if matches!(span.kind, SpanKind::Client | SpanKind::Producer) {
            let attributes = PeerAttributes::read(span);
            protocol = attributes.protocol(span.kind == SpanKind::Producer);
            peer = self.peers.find(&attributes, protocol);
        }
        let state = self.operations.get_mut(operation);
        if state.local.0 != self.open.epoch {
            state.local = (self.open.epoch, self.open.add_operation(&state.identity));
        }
        let named = !state.identity.overflow && span.name.len() == state.identity.name.len();
        self.open.rows.push(Row {
            trace: u128::from_be_bytes(span.trace_id.0),
            span: u64::from_be_bytes(span.span_id.0),
            parent: u64::from_be_bytes(span.parent_id.0),
            start,
            duration,
            operation: state.local.1,
            resource: self.places.1,
            scope: self.places.2,
            flags: span.status as u8 | mended | if failed { FAILED } else { 0 },
        });
        let first_attribute = span.attribute_ranges.first().map(|(start, _)| attribute_start(span.body, *start as usize));
        let cut = put_body(&mut self.open.bodies, span.body, first_attribute, span.attribute_ranges.len(), named);
        if cut.items + cut.values > 0 {
            self.counters.cut_items.add(cut.items);
            self.counters.cut_values.add(cut.values);
        }
        let from = self.links.len() as u32;
        if span.kind == SpanKind::Consumer {
            self.links.extend(span.links.iter().map(|(t, s)| (u128::from_be_bytes(t.0), u64::from_be_bytes(s.0))));
        }
        let links = (from, self.links.len() as u32);
        self.pending.push(Pending { operation, service: self.service, peer, weight: weight as f32, protocol, kind: span.kind, links });
    }

    fn end_of_request(&mut self, received: Timestamp) {
        self.now = received;
        self.work_off();
        self.show_if_due();
        self.publish_if_due();
    }

    fn tick(&mut self, now: Timestamp) {
        self.now = now;
        self.work_off();
        self.expire();
        self.evict();
        self.show_if_due();
        self.publish_if_due();
    }
}

impl Drop for SpanEngine {
    fn drop(&mut self) {
        self.work_off();
        self.show();
    }
}

/// Where the field that holds an attribute begins, given where the attribute's own bytes begin: its tag is one byte, its length one to five.
fn attribute_start(body: &[u8], content: usize) -> usize {
    (2..=6).filter_map(|back| content.checked_sub(back)).find(|at| body.get(*at) == Some(&0x4a)).unwrap_or(0)
}

#[inline]
fn mix(trace: u128, span: u64, extra: u64) -> u64 {
    let fold = |a: u64, b: u64| {
        let wide = u128::from(a) * u128::from(b);
        (wide >> 64) as u64 ^ wide as u64
    };
    let (high, low) = ((trace >> 64) as u64, trace as u64);
    fold(fold(high ^ 0x243f_6a88_85a3_08d3, low ^ 0x1319_8a2e_0370_7344) ^ extra, span ^ 0xa409_3822_299f_31d0)
}

#[inline]
fn key(trace: u128, span: u64) -> u64 {
    mix(trace, span, 0)
}
