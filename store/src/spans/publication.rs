//! Which series the signals become, under which names.

use super::engine::SpanEngine;
use crate::signals::board::{Board, Place};
use crate::signals::edges::{Connection, EdgeState, Ends, ObservedEdge};
use crate::signals::operations::OperationState;
use crate::signals::publish::{Published, Row, labelled};
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::reading::own_name;
use watchfire_model::{Metadata, MetricKind, SeriesSink, SpanStatus, Timestamp};

const CALLS: &str = "traces_span_metrics_calls_total";
const DURATION: &str = "traces_span_metrics_duration_seconds";
const REQUESTS: &str = "traces_service_graph_request_total";
const FAILED: &str = "traces_service_graph_request_failed_total";
const SERVER: &str = "traces_service_graph_request_server_seconds";
const CLIENT: &str = "traces_service_graph_request_client_seconds";
const DELIVERIES: &str = "watchfire_message_deliveries_total";
const DELIVERIES_FAILED: &str = "watchfire_message_deliveries_failed_total";
const DELIVERY: &str = "watchfire_message_delivery_seconds";
const RECEIVED: &str = "watchfire_spans_received_total";
const RATIO: &str = "watchfire_sampling_ratio";
const SERVICE: &str = "watchfire_service_info";
const NODE: &str = "watchfire_node_info";
const ROOT: &str = "watchfire_root_operation_info";
const ADDRESS: &str = "watchfire_node_address";

/// How often idle operations and edges are looked for and old rows thinned, milliseconds.
const SWEEP_MILLIS: i64 = 30_000;
/// How long a service is described after its last span.
const DESCRIBED: Duration = Duration::from_secs(900);

/// How often a histogram points at another trace, milliseconds: the exemplars of all series share one ring.
const EXAMPLE_MILLIS: i64 = 15_000;

/// HELP and TYPE of the derived families.
pub(crate) const FAMILIES: [(&str, MetricKind, &str, &str); 15] = [
    (CALLS, MetricKind::Counter, "Calls by operation and status, derived from spans and corrected for sampling.", ""),
    (DURATION, MetricKind::Histogram, "Duration of calls by operation and status, derived from spans.", "seconds"),
    (REQUESTS, MetricKind::Counter, "Calls from one service to another, derived from pairs of spans.", ""),
    (FAILED, MetricKind::Counter, "Calls from one service to another that failed on either side.", ""),
    (
        SERVER,
        MetricKind::Histogram,
        "Duration of calls as the server saw them; as the client saw them where the server sends no spans.",
        "seconds",
    ),
    (CLIENT, MetricKind::Histogram, "Duration of calls as the client saw them.", "seconds"),
    (DELIVERIES, MetricKind::Counter, "Messages from a producer to a consumer, by the queue that the producer names.", ""),
    (DELIVERIES_FAILED, MetricKind::Counter, "Messages that failed on either side of a queue.", ""),
    (DELIVERY, MetricKind::Histogram, "Duration of the processing of messages, by the queue that they came through.", "seconds"),
    (RECEIVED, MetricKind::Counter, "Spans received, not corrected for sampling.", ""),
    (RATIO, MetricKind::Gauge, "Spans received over spans they stand for.", "ratio"),
    (SERVICE, MetricKind::Info, "Version and namespace of a service, and whether it is simulated.", ""),
    (NODE, MetricKind::Info, "What a node without spans of its own is.", ""),
    (ROOT, MetricKind::Info, "Operations that a service begins by itself, being called by nobody.", ""),
    (ADDRESS, MetricKind::Info, "Where a node is, as those who call it say.", ""),
];

/// Whose an address is.
pub(super) struct PublishedPlace {
    service: Arc<str>,
    series: Published,
}

impl SpanEngine {
    /// Describes the derived families to whoever asks for metadata.
    pub(crate) fn describe(sink: &dyn SeriesSink) {
        for (name, kind, help, unit) in FAMILIES {
            sink.describe(name, Metadata { kind, help: help.to_owned(), unit: unit.to_owned() });
        }
    }

    /// Writes one sample to every derived series, at `now`.
    pub(crate) fn publish(&mut self, now: Timestamp) {
        let interval = self.settings.interval;
        let before = now.saturating_sub(interval);
        let zero_at = self.published_at.filter(|at| *at < now && *at >= now.saturating_sub(2 * interval)).unwrap_or(before);
        self.operations.judge_slowness();
        if self.series.aging.ago(now, self.settings.idle) >= self.peers_swept_at {
            self.peers_swept_at = now;
            self.forget_peers();
        }
        let series = self.series.clone();
        let mut buffer = std::mem::take(&mut self.row);
        let mut row = Row::new(&*series, self.origin, now, zero_at, &mut buffer, self.classic_left);
        // First what ends: a series takes one sample per row.
        if now.0.saturating_sub(self.swept_at.0) >= SWEEP_MILLIS {
            self.swept_at = now;
            let idle = series.aging.ago(now, self.settings.idle);
            for edges in [&mut self.edges, &mut self.deliveries] {
                edges.sweep(|state| state.edge.last_seen < idle, |state| state.published().for_each(|p| row.end(p)));
            }
            let mut forgotten = false;
            self.operations.sweep(idle, &mut self.services, |state| {
                forgotten = true;
                for cell in state.cells.iter_mut().flatten() {
                    row.end(&mut cell.calls);
                    row.end(&mut cell.latency);
                }
                row.end(&mut state.root);
            });
            if forgotten {
                self.nesting.forget();
                self.fetched.forget();
            }
            series.coarsen(self.origin, series.aging.ago(now, self.settings.coarse_after), self.settings.coarse_step.as_millis() as i64);
            series.maintain(now);
        }
        self.edges.sweep_left(|state| state.published().for_each(|p| row.end(p)));
        if self.services.all().len() != self.services_published {
            self.services_published = self.services.all().len();
            let services = &self.services;
            self.edges.leave(|state| state.own_name && services.named(&state.edge.server).is_some());
        }
        let learned = self.peers.learned();
        if let Some(addresses) = &learned {
            let services = &self.services;
            self.edges.leave(|EdgeState { edge, .. }| {
                edge.connection == Connection::VirtualNode && addresses.contains(&edge.server) && services.named(&edge.server).is_none()
            });
        }
        if learned.is_some() {
            self.learn_addresses(&mut row);
        }
        for (address, place) in &mut self.addresses {
            row.gauge(&mut place.series, 1.0, || labelled(ADDRESS, &[("node", &*place.service), ("address", &**address)]));
        }
        if let Some(shared) = self.peers.shared() {
            // What is there so far is the first server of that name, or servers of which nobody says where they are.
            let first = |edge: &ObservedEdge| {
                let of_store = edge.connection == Connection::Database;
                of_store.then(|| shared.get(own_name(&edge.server, &edge.system)).cloned()).flatten()
            };
            let peers = &self.peers;
            let belongs = |ends: &Ends, name: &str| peers.get(ends.server).is_some_and(|peer| *peer.name == *name);
            self.edges.rename(first, belongs, |state| state.published().for_each(|p| row.relabel(p)));
        }
        for state in self.operations.iter_mut() {
            publish_operation(&mut row, state, now);
        }
        for state in self.edges.iter_mut() {
            publish_edge(&mut row, state);
        }
        for state in self.deliveries.iter_mut() {
            publish_delivery(&mut row, state);
        }
        self.publish_services(&mut row, now);
        self.classic_left = row.classic_left;
        self.counters.buckets_left_out.add(row.buckets_left_out);
        row.send(now);
        self.row = buffer;
        self.operations.fresh = false;
        self.edges.fresh = false;
        self.deliveries.fresh = false;
        self.published_at = Some(now);
        let histograms: usize =
            self.operations.iter_mut().flat_map(|s| s.cells.iter().flatten().map(|c| c.durations.bytes())).sum::<usize>()
                + self.edges.iter().chain(self.deliveries.iter()).map(|e| e.server.bytes() + e.client.bytes()).sum::<usize>();
        self.board.store(Arc::new(Board {
            services: self.services.all().iter().filter(|s| s.seen.spans > 0).map(|s| s.seen.clone()).collect(),
            edges: self.edges.iter().map(|e| e.edge.clone()).collect(),
            deliveries: self.deliveries.iter().map(|e| e.edge.clone()).collect(),
            places: self
                .addresses
                .iter()
                .map(|(address, place)| Place { service: place.service.clone(), address: address.clone() })
                .collect(),
            bytes: self.table_bytes() + histograms,
        }));
    }

    /// Lets go of peers that nobody spoke of for as long as edges are kept, and of what is remembered under their numbers.
    fn forget_peers(&mut self) {
        let held = self.edges.peers().chain(self.deliveries.peers()).chain(self.join.peers()).collect();
        self.peers.forget_unused(&held);
        self.residuals.forget_stated();
        self.layers.forget();
        self.enclosing.forget();
    }

    /// Some peer was found to be a service, or several.
    fn learn_addresses(&mut self, row: &mut Row<'_>) {
        let (services, mut now) = (&self.services, self.peers.places());
        self.addresses.retain(|address, place| {
            let stays = now.get(address).is_some_and(|service| services.get(*service).seen.name == place.service);
            if stays {
                now.remove(address);
            } else {
                row.end(&mut place.series);
            }
            stays
        });
        let place = |service: u32| PublishedPlace { service: services.get(service).seen.name.clone(), series: Published::default() };
        self.addresses.extend(now.into_iter().map(|(address, service)| (address, place(service))));
    }

    fn publish_services(&mut self, row: &mut Row<'_>, now: Timestamp) {
        for service in self.services.all_mut() {
            let seen = &mut service.seen;
            if seen.spans == 0 {
                continue;
            }
            let (spans, weighted) = service.published;
            if seen.spans > spans {
                seen.first_seen = seen.first_seen.min(now);
                seen.last_seen = now;
                let represented = seen.weighted - weighted;
                seen.sampling_ratio = (represented > 0.0).then(|| ((seen.spans - spans) as f64 / represented).min(1.0));
                service.published = (seen.spans, seen.weighted);
            }
            if now.since(seen.last_seen) > DESCRIBED {
                row.end(&mut service.series.received);
                row.end(&mut service.series.ratio);
                row.end(&mut service.series.info);
                service.series.info_of = None;
                continue;
            }
            let name = &*seen.name;
            row.counter(&mut service.series.received, seen.spans as f64, || labelled(RECEIVED, &[("service_name", name)]));
            if let Some(ratio) = seen.sampling_ratio {
                row.gauge(&mut service.series.ratio, ratio, || labelled(RATIO, &[("service_name", name)]));
            }
            let info = (seen.version.clone(), seen.namespace.clone(), seen.simulated);
            if service.series.info_of.as_ref() != Some(&info) {
                row.end(&mut service.series.info);
                service.series.info_of = Some(info);
            }
            let simulated = if seen.simulated { "true" } else { "false" };
            row.gauge(&mut service.series.info, 1.0, || {
                labelled(
                    SERVICE,
                    &[("service_name", name), ("version", &seen.version), ("namespace", &seen.namespace), ("simulated", simulated)],
                )
            });
        }
    }
}

fn publish_operation(row: &mut Row<'_>, state: &mut OperationState, now: Timestamp) {
    let identity = state.identity.clone();
    let described = [("service_name", &*identity.service), ("span_name", &*identity.name), ("span_kind", identity.kind.label())];
    if state.begins_traces() {
        row.gauge(&mut state.root, 1.0, || labelled(ROOT, &described));
    } else {
        row.end(&mut state.root);
    }
    for (cell, status) in state.cells.iter_mut().zip([SpanStatus::Unset, SpanStatus::Ok, SpanStatus::Error]) {
        let Some(cell) = cell else { continue };
        let [service, name, kind] = described;
        let pairs = [service, name, kind, ("status_code", status.label())];
        row.counter(&mut cell.calls, cell.durations.count(), || labelled(CALLS, &pairs));
        row.histogram(&mut cell.latency, DURATION, &cell.durations, |name| labelled(name, &pairs));
        if now.0.saturating_sub(cell.shown_at.0) >= EXAMPLE_MILLIS
            && let Some(example) = cell.example.take()
        {
            cell.shown_at = now;
            row.example(&cell.latency, example);
        }
    }
}

fn publish_edge(row: &mut Row<'_>, state: &mut EdgeState) {
    let edge = &state.edge;
    let pairs = [("client", &*edge.client), ("server", &*edge.server), ("connection_type", edge.connection.label())];
    let [requests, failed, server, client] = &mut state.series;
    row.counter(requests, state.requests, || labelled(REQUESTS, &pairs));
    row.counter(failed, state.failed, || labelled(FAILED, &pairs));
    if state.server.count() > 0.0 {
        row.histogram(server, SERVER, &state.server, |name| labelled(name, &pairs));
    }
    if state.client.count() > 0.0 {
        row.histogram(client, CLIENT, &state.client, |name| labelled(name, &pairs));
    }
    if matches!(edge.connection, Connection::Database | Connection::VirtualNode) {
        let kind = match edge.protocol.node_kind() {
            watchfire_model::reading::NodeKind::Database => "database",
            watchfire_model::reading::NodeKind::Cache => "cache",
            watchfire_model::reading::NodeKind::Queue => "queue",
            watchfire_model::reading::NodeKind::External | watchfire_model::reading::NodeKind::Service => "external",
        };
        let described = [("node", &*edge.server), ("kind", kind), ("system", &*edge.system)];
        state.node.resize_with(1 + edge.addresses.len(), Default::default);
        let (node, places) = state.node.split_at_mut(1);
        row.gauge(&mut node[0], 1.0, || labelled(NODE, &described));
        for (place, address) in places.iter_mut().zip(&edge.addresses) {
            row.gauge(place, 1.0, || labelled(ADDRESS, &[("node", &*edge.server), ("address", address)]));
        }
    }
}

fn publish_delivery(row: &mut Row<'_>, state: &mut EdgeState) {
    let edge = &state.edge;
    let queue = edge.queue.as_deref().unwrap_or_default();
    let pairs = [("client", &*edge.client), ("server", &*edge.server), ("queue", queue), ("system", &*edge.system)];
    let [deliveries, failed, seconds, ..] = &mut state.series;
    row.counter(deliveries, state.requests, || labelled(DELIVERIES, &pairs));
    row.counter(failed, state.failed, || labelled(DELIVERIES_FAILED, &pairs));
    row.histogram(seconds, DELIVERY, &state.server, |name| labelled(name, &pairs));
}
