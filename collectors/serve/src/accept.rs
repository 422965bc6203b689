//! The accept loop: it outlives every error of `accept`, admits, evicts, and drains when told to stop.

use crate::admission::HttpService;
use crate::connection::{self, Activity};
use crate::guard::Guard;
use crate::registry::{Admitted, Registry};
use crate::stream::Listener;
use crate::tls::Handshakes;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use watchfire_model::{Counter, Meter};

/// Rest after a failed `accept`: out of descriptors passes, and must not become a busy loop.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Descriptors that connections leave to files: the journal, rules, everything that must be opened while somebody floods a port.
const RESERVED_DESCRIPTORS: u64 = 32;
/// Idle connections that end when a new one had to be turned away for want of descriptors.
const ROOM: usize = 16;
/// hyper's own limits lie above the guard's, so that the guard can say what was wrong.
const HARD_FACTOR: usize = 4;

/// What all connections of one port share.
pub(crate) struct Port<S> {
    pub(crate) name: &'static str,
    pub(crate) guard: Guard,
    pub(crate) service: S,
    pub(crate) meter: Meter,
    pub(crate) rejected_slow: Counter,
    pub(crate) handshakes: Handshakes,
}

impl<S> Port<S> {
    pub(crate) fn rejected(&self, reason: &str) {
        self.meter.counter("watchfire_http_rejected_total", &[("reason", reason)]).add(1);
    }

    pub(crate) fn builder(&self) -> auto::Builder<TokioExecutor> {
        let guard = &self.guard;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_headers(guard.max_headers.saturating_mul(HARD_FACTOR))
            .max_buf_size(guard.max_header_bytes.saturating_mul(HARD_FACTOR).max(8 << 10));
        if let Some(http2) = guard.http2 {
            let header_list = guard.max_header_bytes.saturating_mul(2);
            builder
                .http2()
                .timer(TokioTimer::new())
                .max_concurrent_streams(http2.max_streams)
                .max_pending_accept_reset_streams(20)
                .max_local_error_reset_streams(1024)
                .max_header_list_size(u32::try_from(header_list).unwrap_or(u32::MAX))
                .initial_stream_window_size(http2.stream_window)
                .initial_connection_window_size(http2.connection_window)
                .max_frame_size(http2.max_frame)
                .keep_alive_interval(http2.keepalive_interval)
                .keep_alive_timeout(http2.keepalive_timeout);
        }
        match (guard.http1, guard.http2.is_some()) {
            (true, false) => builder.http1_only(),
            (false, true) => builder.http2_only(),
            _ => builder,
        }
    }
}

/// Serves `service` on `listener` under `guard` until `cancel`, then drains; the task ends when the last connection has.
///
/// Counts `watchfire_http_rejected_total{reason}`, `watchfire_connections_refused_total` and `watchfire_connections_evicted_total` over all ports;
/// `name` is the `port` label of `watchfire_connections` and of log lines. Must be called within a tokio runtime.
pub fn serve<S: HttpService>(
    name: &'static str,
    listener: impl Into<Listener>,
    service: S,
    guard: Guard,
    meter: &Meter,
    cancel: CancellationToken,
) -> JoinHandle<()> {
    let listener = listener.into();
    let rejected_slow = meter.counter("watchfire_http_rejected_total", &[("reason", "slow")]);
    let port = Arc::new(Port { name, guard, service, meter: meter.clone(), rejected_slow, handshakes: Handshakes::default() });
    tokio::spawn(accept(listener, port, cancel))
}

async fn accept<S: HttpService>(listener: Listener, port: Arc<Port<S>>, cancel: CancellationToken) {
    let label = [("port", port.name)];
    let refused = port.meter.counter("watchfire_connections_refused_total", &[]);
    let evicted = port.meter.counter("watchfire_connections_evicted_total", &[]);
    let failed = port.meter.counter("watchfire_accept_errors_total", &label);
    let open = port.meter.gauge("watchfire_connections", &label);
    let registry = Registry::new(port.guard.max_connections);
    let mut connections = JoinSet::new();
    // Descriptors are given out lowest first, so the number of a new one tells how many are left.
    let reserve_from =
        rustix::process::getrlimit(rustix::process::Resource::Nofile).current.map(|n| n.saturating_sub(RESERVED_DESCRIPTORS));
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {
                open.set(registry.len() as f64);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let socket = match accepted {
            Ok(socket) => socket,
            Err(error) => {
                failed.add(1);
                tracing::warn!(port = port.name, %error, "cannot accept a connection; trying again");
                tokio::select! {
                    () = cancel.cancelled() => break,
                    () = tokio::time::sleep(ACCEPT_BACKOFF) => continue,
                }
            }
        };
        if reserve_from.is_some_and(|from| socket.descriptor() >= from) {
            evicted.add(registry.make_room(ROOM) as u64);
            refused.add(1);
            drop(socket);
            // Those that have to go get their turn to go before the next one is accepted.
            tokio::task::yield_now().await;
            continue;
        }
        let activity = Activity::new();
        let place = match registry.admit(&activity) {
            Admitted::Place(place) => place,
            Admitted::InsteadOf(place) => {
                evicted.add(1);
                place
            }
            Admitted::Full => {
                refused.add(1);
                continue;
            }
        };
        open.set(registry.len() as f64);
        let (port, cancel) = (port.clone(), cancel.clone());
        connections.spawn(async move {
            connection::run(socket, activity, port, cancel).await;
            drop(place);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    open.set(0.0);
}
