//! The owner of the span hot path. One thread calls it; it shares nothing but published snapshots.
//!
//! While a request is walked, each span is appended to a row and its body to the block (no allocation). When the request is over, the new rows are
//! worked off together (`batch.rs`), and now and then sealed, shown and evicted (`keeping.rs`) or published (`publication.rs`).

use super::batch::{Pending, hashes};
use super::held::Held;
use super::intern::{Interned, Resource, Scope};
use super::open::{Open, Row};
use super::publication::PublishedPlace;
use super::sealer::Sealer;
use super::segment::{FAILED, MENDED, Segment};
use crate::logs::LogRing;
use crate::series::SeriesBook;
use crate::signals::SignalSettings;
use crate::signals::board::Board;
use crate::signals::edges::Edges;
use crate::signals::enclosing::{Enclosing, Nesting};
use crate::signals::failure;
use crate::signals::fetched::Fetched;
use crate::signals::join::Join;
use crate::signals::layers::Layers;
use crate::signals::operations::Operations;
use crate::signals::own_place::OwnPlace;
use crate::signals::peer::{NOBODY, Peers, Protocol};
use crate::signals::peer_attributes::PeerAttributes;
use crate::signals::repeats::Repeats;
use crate::signals::residuals::Residuals;
use crate::signals::sampling;
use crate::signals::services::{Identity, Services};
use crate::signals::stated::Stated;
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{
    Counter, Meter, OriginId, ResourceView, SeriesId, SpanKind, SpanStatus, SpanView, SpanVisitor, Timestamp, UNKNOWN_SERVICE, Value,
};

/// Resources and scopes found by their bytes.
const RESOURCES: usize = 10_000;
const SCOPES: usize = 10_000;
/// Part of the memory for spans that each of the two may take.
const INTERNED_PART: usize = 32;
/// Size of the join (4.5 MiB, 131,072 halves) and of the memory of spans seen lately (1 MiB, 262,144 spans).
const JOIN_BITS: u32 = 15;
const REPEAT_BITS: u32 = 14;
/// Rows after which a long request is worked off in between.
const BATCH: usize = 4096;
/// A clock that runs back by more than this was set; by less, a request waited.
const SET_BACK: Duration = Duration::from_secs(60);
/// Span times further than this from their arrival are nonsense, nanoseconds (a year).
const REACH: u64 = 366 * 86_400 * 1_000_000_000;

pub(super) struct Counters {
    pub(super) repeated: Counter,
    pub(super) mended: Counter,
    pub(super) lost: Counter,
    pub(super) expired_client: Counter,
    pub(super) expired_server: Counter,
    pub(super) received: Counter,
    pub(super) buckets_left_out: Counter,
}

/// Receives spans from the walk and owns everything derived from them until it is published.
pub struct SpanEngine {
    pub(super) settings: SignalSettings,
    pub(super) series: Arc<SeriesBook>,
    pub(super) logs: Arc<LogRing>,
    pub(super) held: Arc<Held>,
    pub(super) board: Arc<ArcSwap<Board>>,
    pub(super) sealer: Sealer,
    pub(super) origin: OriginId,

    pub(super) services: Services,
    pub(super) operations: Operations,
    pub(super) edges: Edges,
    /// Messages by producer, consumer and queue, beside the edges between producers and consumers.
    pub(super) deliveries: Edges,
    /// Where services answer, as was published last.
    pub(super) addresses: BTreeMap<Arc<str>, PublishedPlace>,
    /// How many services there were at the last publication.
    pub(super) services_published: usize,
    pub(super) peers: Peers,
    pub(super) residuals: Residuals,
    pub(super) join: Join,
    pub(super) enclosing: Enclosing,
    pub(super) layers: Layers,
    pub(super) nesting: Nesting,
    pub(super) fetched: Fetched,
    pub(super) repeats: Repeats,
    pub(super) resources: Interned<Resource>,
    pub(super) scopes: Interned<Scope>,

    pub(super) open: Open,
    pub(super) sealed: VecDeque<Arc<Segment>>,
    pub(super) pending: Vec<Pending>,
    pub(super) links: Vec<(u128, u64)>,
    pub(super) scope_key: Vec<u8>,
    pub(super) notable: Vec<u128>,

    pub(super) resource: Arc<Resource>,
    /// Bytes of it, and of the scope, that no segment counts yet.
    pub(super) uncounted: usize,
    pub(super) service: u32,
    pub(super) scope: Arc<Scope>,
    pub(super) no_scope: Arc<Scope>,
    /// Places of the current resource and scope in the open segment, and the segment they are of.
    pub(super) places: (u32, u16, u16),

    /// Wall clock of the newest arrival or tick.
    pub(super) now: Timestamp,
    pub(super) snapshot_at: Timestamp,
    /// There is something readers have not been shown.
    pub(super) changed: bool,
    pub(super) published_at: Option<Timestamp>,
    /// Histograms that may still be published in the classic way too.
    pub(super) classic_left: usize,
    pub(super) swept_at: Timestamp,
    /// When peers of which nobody spoke were last looked for.
    pub(super) peers_swept_at: Timestamp,
    pub(super) row: Vec<(SeriesId, Value)>,
    pub(super) counters: Counters,
    pub(super) user: Arc<str>,
    pub(super) nothing: Arc<str>,
}

impl SpanEngine {
    pub(crate) fn new(
        settings: SignalSettings,
        now: Timestamp,
        series: Arc<SeriesBook>,
        logs: Arc<LogRing>,
        held: Arc<Held>,
        board: Arc<ArcSwap<Board>>,
        meter: &Meter,
    ) -> Self {
        let unmatched = |reason| meter.counter("watchfire_join_expired_total", &[("reason", reason)]);
        let resource = Arc::new(Resource { raw: Box::default(), service: UNKNOWN_SERVICE.into(), version: "".into() });
        let mut services = Services::new(settings.services);
        let service = services.find(&Identity { name: UNKNOWN_SERVICE.into(), ..Identity::default() }, &settings);
        SpanEngine {
            origin: series.lasting_origin("watchfire/spans"),
            services,
            operations: Operations::new(),
            edges: Edges::new(settings.edges),
            deliveries: Edges::new(settings.edges),
            addresses: BTreeMap::new(),
            services_published: 0,
            peers: Peers::new(settings.peers),
            residuals: Residuals::new(),
            join: Join::new(JOIN_BITS),
            enclosing: Enclosing::default(),
            layers: Layers::default(),
            nesting: Nesting::default(),
            fetched: Fetched::default(),
            repeats: Repeats::new(REPEAT_BITS),
            resources: Interned::new(RESOURCES, held.span_bytes() / INTERNED_PART),
            scopes: Interned::new(SCOPES, held.span_bytes() / INTERNED_PART),
            open: Open::new(),
            sealed: VecDeque::new(),
            pending: Vec::with_capacity(BATCH),
            links: Vec::new(),
            scope_key: Vec::new(),
            notable: Vec::new(),
            resource,
            uncounted: 0,
            service,
            scope: Arc::default(),
            no_scope: Arc::default(),
            places: (0, 0, 0),
            now,
            snapshot_at: Timestamp::MIN,
            changed: false,
            published_at: None,
            classic_left: settings.classic_histograms,
            swept_at: Timestamp::MIN,
            peers_swept_at: now,
            row: Vec::new(),
            counters: Counters {
                repeated: meter.counter("watchfire_spans_repeated_total", &[]),
                mended: meter.counter("watchfire_span_times_mended_total", &[]),
                lost: meter.counter("watchfire_join_lost_total", &[("reason", "table_full")]),
                expired_client: unmatched("server_missing"),
                expired_server: unmatched("client_missing"),
                received: meter.counter("watchfire_spans_total", &[]),
                buckets_left_out: meter.counter("watchfire_series_refused_total", &[("reason", "classic_buckets")]),
            },
            user: "user".into(),
            nothing: "".into(),
            sealer: Sealer::start(held.clone()),
            settings,
            series,
            logs,
            held,
            board,
        }
    }

    /// A request that waited in the queue arrived before the last tick; time does not run backwards for that, or everything derived would be published
    /// a second time, for a moment that has passed. Only a clock that was set back is followed.
    fn time_is(&mut self, at: Timestamp) {
        if at >= self.now || self.now.since(at) > SET_BACK {
            self.now = at;
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
            self.open.own_bytes += std::mem::take(&mut self.uncounted);
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

    /// Bytes of the tables beside the spans themselves.
    pub fn table_bytes(&self) -> usize {
        self.join.bytes()
            + self.residuals.bytes()
            + self.enclosing.bytes()
            + self.layers.bytes()
            + self.nesting.bytes()
            + self.fetched.bytes()
            + self.repeats.bytes()
            + self.resources.bytes()
            + self.scopes.bytes()
            + self.open.bodies.capacity()
            + self.held.recent_bytes()
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
        let make = || Resource { raw: resource.raw.into(), service, version: identity.version.into() };
        let (resource, new) = self.resources.get(resource.raw, make);
        self.uncounted = if new { resource.raw.len() } else { 0 };
        self.resource = resource;
        // Spans without a scope of their own must not inherit that of the resource before.
        self.scope = self.no_scope.clone();
        self.places.0 = 0;
    }

    fn scope(&mut self, name: &str, version: &str) {
        self.scope_key.clear();
        self.scope_key.extend_from_slice(name.as_bytes());
        self.scope_key.push(0);
        self.scope_key.extend_from_slice(version.as_bytes());
        let key = &self.scope_key;
        let (scope, new) = self.scopes.get(key, || Scope::new(name, version, key));
        self.uncounted += if new { 2 * key.len() } else { 0 };
        self.scope = scope;
        self.places.0 = 0;
    }

    fn span(&mut self, span: &SpanView<'_>) {
        if self.open.bodies.len() >= super::block::BLOCK_BYTES || self.pending.len() >= BATCH || self.open.is_full() {
            self.work_off();
        }
        self.place_resource();
        let mut operation = self.operations.find(self.service, span.name, span.kind, &mut self.services, &self.settings);
        let part = matches!(span.kind, SpanKind::Server | SpanKind::Consumer) && self.operations.is_part(operation, self.now);
        if part {
            // As the conventions have it by now: who only fetches messages is a client.
            let kind = if span.kind == SpanKind::Consumer { SpanKind::Client } else { SpanKind::Internal };
            operation = self.operations.find(self.service, span.name, kind, &mut self.services, &self.settings);
        }
        let query = span.kind == SpanKind::Internal && self.operations.leaves(operation, || PeerAttributes::goes_to_store(span));
        let kind = if query { SpanKind::Client } else { span.kind };
        let service = self.services.get_mut(self.service);
        let weight = if span.trace_state.is_empty() { None } else { sampling::weight(span.trace_state) };
        let weight = weight.unwrap_or(service.weight);
        service.seen.spans += 1;
        service.seen.weighted += weight;
        let (start, duration, mended) = self.mend(span);
        let residual = self.residuals.of(span.residual);
        let mut failed = span.status == SpanStatus::Error;
        let unset = span.status == SpanStatus::Unset;
        if unset && span.kind == SpanKind::Server {
            let least = if self.services.get(self.service).http_4xx_is_error { 400 } else { failure::SERVER_ERROR };
            failed = residual.answered_badly(span, least);
        }
        let (mut peer, mut protocol, mut reports, mut batch) = (NOBODY, Protocol::Call, false, None);
        let (mut names_queue, mut fetches, mut receives) = (false, false, false);
        let mut joins = if part { SpanKind::Internal } else { kind };
        if matches!(kind, SpanKind::Client | SpanKind::Producer | SpanKind::Consumer) {
            // What a consumer states depends on its name, its links and its parent too.
            let call = match kind {
                SpanKind::Consumer => Stated::read(span, kind, &mut self.peers),
                _ => residual.stated(span, kind, &mut self.peers),
            };
            failed |= unset && (call.error || call.bullmq && failure::job_failed(span));
            (protocol, batch, fetches, names_queue) = (call.protocol, call.batch, call.fetches, call.names_queue);
            // What is sent was published by the spans that created it, to which this one is linked.
            reports = kind == SpanKind::Client && call.sends && !span.links.is_empty();
            // A connection that is had is part of the query that follows; one that is not had is all there is of it.
            let connects = matches!(protocol, Protocol::Database | Protocol::Cache) && !failed && span.name.ends_with(b"connect");
            receives = kind == SpanKind::Consumer && call.consumes;
            let nothing = call.empty || receives && self.operations.is_fetching(operation, self.now);
            if nothing && !part {
                // Nothing was worked on, or it is by others.
                operation = self.operations.find(self.service, span.name, SpanKind::Client, &mut self.services, &self.settings);
                joins = SpanKind::Internal;
            }
            if kind == SpanKind::Client && (connects || call.consumes) {
                joins = SpanKind::Internal;
            } else {
                peer = call.peer;
            }
        }
        let hands_on = span.kind == SpanKind::Consumer && joins == SpanKind::Internal;
        let state = self.operations.get_mut(operation);
        state.seen(span.parent_id.is_zero());
        if span.kind == SpanKind::Server && state.is_looked_at() {
            self.peers.answers_at(&OwnPlace::read(span), self.service);
        }
        let state = self.operations.get_mut(operation);
        if state.local.0 != self.open.epoch {
            state.local = (self.open.epoch, self.open.add_operation(&state.identity));
        }
        let fronts = state.fronts;
        let named = !state.identity.overflow && span.name.len() == state.identity.name.len();
        let row = Row {
            trace: u128::from_be_bytes(span.trace_id.0),
            span: u64::from_be_bytes(span.span_id.0),
            parent: u64::from_be_bytes(span.parent_id.0),
            start,
            duration,
            operation: state.local.1,
            resource: self.places.1,
            scope: self.places.2,
            flags: span.status as u8 | mended | if failed { FAILED } else { 0 },
        };
        let (seen_as, joins_as) = hashes(&row, span.kind);
        self.repeats.read_ahead(seen_as);
        self.join.read_ahead(joins_as);
        self.open.rows.push(row);
        self.open.put_body(span, named, &mut residual.written);
        let from = self.links.len() as u32;
        if joins == SpanKind::Consumer || reports || hands_on {
            self.links.extend(span.links.iter().map(|(t, s)| (u128::from_be_bytes(t.0), u64::from_be_bytes(s.0))));
        }
        let links = (from, self.links.len() as u32);
        self.pending.push(Pending {
            operation,
            service: self.service,
            peer,
            weight: weight as f32,
            protocol,
            kind: joins,
            batch,
            names_queue,
            fetches,
            receives,
            hands_on,
            fronts,
            links,
            seen_as,
            joins_as,
        });
    }

    fn end_of_request(&mut self, received: Timestamp) {
        self.time_is(received);
        self.work_off();
        self.show_if_due();
        self.publish_if_due();
    }

    fn tick(&mut self, now: Timestamp) {
        self.time_is(now);
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
