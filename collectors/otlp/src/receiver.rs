//! The receiver as a whole: ports, threads, and how they end.

use crate::budget::Budget;
use crate::http::Media;
use crate::ingest;
use crate::intake::{Intake, Sinks};
use crate::limits::Limits;
use crate::{grpc, http as http_export};
use ::http::{Request, Response, header};
use axum::body::Body;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use tokio_util::sync::CancellationToken;
use watchfire_model::{Clock, LogSink, Meter, SeriesSink, SpanVisitor};
use watchfire_serve::{Guard, Http2};

/// Where and how to listen.
#[derive(Clone)]
pub struct Settings {
    /// `None` turns a port off; port 0 picks a free one. Both ports understand gRPC and HTTP alike.
    pub grpc: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    /// Take any other port where the asked one is taken.
    pub grpc_may_move: bool,
    pub http_may_move: bool,
    pub limits: Limits,
    /// Connections, time-outs, hosts and origins. The windows and the wording of refusals are set here for OTLP.
    pub guard: Guard,
    /// Asked before each request: whether memory is too short to take it.
    pub over_memory: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Why a receiver does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: io::Error },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            grpc: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 4317))),
            http: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 4318))),
            grpc_may_move: false,
            http_may_move: false,
            limits: Limits::default(),
            guard: Guard::default(),
            over_memory: Arc::new(|| false),
        }
    }
}

/// A receiver that listens.
#[derive(Debug)]
pub struct Running {
    /// The addresses actually bound.
    pub grpc: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// Waits until everything taken in has reached the visitor and the threads have ended; cancel first. Blocks: call it off the runtime.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a receiver thread panicked");
            }
        }
    }
}

/// Starts listening. `visitor` moves to a thread of its own, where it sees every span and is ticked at least every 250 ms.
///
/// # Errors
/// When an address cannot be bound, or a thread cannot be started.
pub fn start<V: SpanVisitor + 'static>(
    settings: Settings,
    visitor: V,
    series: Arc<dyn SeriesSink>,
    logs: Arc<dyn LogSink>,
    meter: &Meter,
    clock: Arc<dyn Clock>,
    cancel: CancellationToken,
) -> Result<Running, StartError> {
    let mut listeners = Vec::new();
    let mut bind = |address: Option<SocketAddr>, may_move: bool, names: [&'static str; 2]| match address {
        None => Ok(None),
        Some(address) => bind(address, may_move).map(|(bound, found)| {
            listeners.extend(names.into_iter().zip(found));
            Some(bound)
        }),
    };
    let grpc = bind(settings.grpc, settings.grpc_may_move, ["otlp_grpc", "otlp_grpc_ipv6"])?;
    let http = bind(settings.http, settings.http_may_move, ["otlp_http", "otlp_http_ipv6"])?;
    let budget = Budget::new(settings.limits.max_in_flight);
    let (queue, owner) = ingest::spawn(visitor, clock.clone(), budget.clone(), meter)?;
    let guard = guard(settings.guard);
    let sinks = Sinks { series, logs, clock, over_memory: settings.over_memory };
    let intake = Arc::new(Intake::new(settings.limits, budget, queue, sinks, meter));
    // One thread for all receivers: the work per request is a copy and a parse, and one runtime costs a fifth less than several workers.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().thread_name("otlp-decode").max_blocking_threads(2).build()?;
    let meter = meter.clone();
    let receiver = std::thread::Builder::new().name("otlp".to_owned()).spawn(move || {
        runtime.block_on(async move {
            let service = Receiver { intake: intake.clone() };
            let mut ports = tokio::task::JoinSet::new();
            for (name, listener) in listeners {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => {
                        ports.spawn(watchfire_serve::serve(name, listener, service.clone(), guard.clone(), &meter, cancel.clone()));
                    }
                    Err(error) => tracing::error!(port = name, %error, "cannot serve"),
                }
            }
            drop(service);
            cancel.cancelled().await;
            intake.stop();
            while ports.join_next().await.is_some() {}
        });
    })?;
    Ok(Running { grpc, http, threads: vec![receiver, owner] })
}

/// Binds an address; for 127.0.0.1 also the same port of ::1 where there is one, since that is what `localhost` means to some clients.
fn bind(address: SocketAddr, may_move: bool) -> Result<(SocketAddr, Vec<TcpListener>), StartError> {
    let named = |error: io::Error| StartError::Listen { address, error };
    let listener = match TcpListener::bind(address) {
        // Only binding says whether a port is free: looking first would leave a moment in which it can go.
        Err(e) if may_move && e.kind() == io::ErrorKind::AddrInUse => TcpListener::bind((address.ip(), 0)),
        outcome => outcome,
    }
    .map_err(named)?;
    let bound = listener.local_addr().map_err(named)?;
    listener.set_nonblocking(true).map_err(named)?;
    let mut listeners = vec![listener];
    if bound.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST)
        && let Ok(twin) = TcpListener::bind((Ipv6Addr::LOCALHOST, bound.port()))
        && twin.set_nonblocking(true).is_ok()
    {
        listeners.push(twin);
    }
    Ok((bound, listeners))
}

/// The guard of an OTLP port: windows in which a whole request fits, and refusals in `google.rpc.Status`.
fn guard(mut guard: Guard) -> Guard {
    let http2 = guard.http2.unwrap_or_default();
    guard.http2 = Some(Http2 { stream_window: 4 << 20, connection_window: 16 << 20, max_frame: 256 << 10, ..http2 });
    guard.render = Arc::new(|head, refusal| {
        let media = Media::of(&head.headers).unwrap_or(Media::Json);
        crate::http::foreign(media, refusal)
    });
    guard
}

/// Both protocols on one port, told apart by the content type.
#[derive(Clone)]
struct Receiver {
    intake: Arc<Intake>,
}

impl tower::Service<Request<Body>> for Receiver {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let intake = self.intake.clone();
        let is_grpc = request.headers().get(header::CONTENT_TYPE).is_some_and(grpc::is_grpc);
        Box::pin(async move { Ok(if is_grpc { grpc::serve(&intake, request).await } else { http_export::serve(&intake, request).await }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_named_or_given_up_for_another() {
        let (taken, _held) = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false).expect("a free port");
        let error = bind(taken, false).expect_err("taken");
        assert!(
            matches!(&error, StartError::Listen { address, error } if *address == taken && error.kind() == io::ErrorKind::AddrInUse),
            "{error}"
        );
        let (other, _also_held) = bind(taken, true).expect("another port");
        assert!(other.port() != taken.port() && other.ip() == taken.ip());
    }
}
