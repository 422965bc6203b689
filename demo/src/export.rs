//! Sends what services produced to a receiver, each over the transport its service uses.

use crate::otlp::{Export, Payload};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};
use watchfire_config::platform::Transport;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Requests waiting for a slow receiver; beyond it they are dropped and counted, as an SDK does.
const WAITING: usize = 256;
/// A receiver that was not reachable is tried again after this long.
const RECONNECT: Duration = Duration::from_millis(300);

/// What became of the requests so far. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Sent(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl Sent {
    /// Requests the receiver took.
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Ordering::Relaxed)
    }

    /// Requests the receiver refused, or that did not reach it.
    pub fn failed(&self) -> u64 {
        self.0.failed.load(Ordering::Relaxed)
    }

    /// Requests that were never sent because too many were waiting.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

/// Where telemetry goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Receivers {
    pub otlp_grpc: Option<SocketAddr>,
    pub otlp_http: Option<SocketAddr>,
}

/// The sending end of the exporter task.
#[derive(Clone)]
pub(crate) struct Exporter {
    queue: mpsc::Sender<Export>,
    pub(crate) sent: Sent,
}

impl Exporter {
    /// Hands a request over without waiting.
    pub(crate) fn send(&self, export: Export) {
        if self.queue.try_send(export).is_err() {
            self.sent.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Starts the task that sends; it ends when the last [`Exporter`] is gone.
    pub(crate) fn start(receivers: Receivers) -> Result<Exporter, String> {
        let (queue, mut waiting) = mpsc::channel::<Export>(WAITING);
        let sent = Sent::default();
        let channel = match receivers.otlp_grpc {
            Some(address) => Some(
                Endpoint::from_shared(format!("http://{address}"))
                    .map_err(|e| format!("OTLP address {address}: {e}"))?
                    .connect_timeout(TIMEOUT)
                    .timeout(TIMEOUT)
                    .connect_lazy(),
            ),
            None => None,
        };
        let counts = sent.clone();
        tokio::spawn(async move {
            while let Some(export) = waiting.recv().await {
                let service = export.service.clone();
                let outcome = match deliver(&export, &receivers, channel.as_ref()).await {
                    Err(Failure::Unreachable(_)) => {
                        tokio::time::sleep(RECONNECT).await;
                        deliver(&export, &receivers, channel.as_ref()).await
                    }
                    other => other,
                };
                match outcome {
                    Ok(()) => counts.0.accepted.fetch_add(1, Ordering::Relaxed),
                    Err(Failure::Unreachable(why) | Failure::Refused(why)) => {
                        tracing::debug!(service, why, "simulated telemetry was not taken");
                        counts.0.failed.fetch_add(1, Ordering::Relaxed)
                    }
                };
            }
        });
        Ok(Exporter { queue, sent })
    }
}

enum Failure {
    Unreachable(String),
    Refused(String),
}

async fn deliver(export: &Export, receivers: &Receivers, channel: Option<&Channel>) -> Result<(), Failure> {
    match (export.transport, channel, receivers.otlp_http) {
        (Transport::Grpc, Some(channel), _) | (_, Some(channel), None) => over_grpc(export, channel.clone()).await,
        (transport, _, Some(address)) => over_http(export, transport == Transport::HttpJson, address).await,
        (_, None, None) => Err(Failure::Refused("no receiver".to_owned())),
    }
}

async fn over_grpc(export: &Export, channel: Channel) -> Result<(), Failure> {
    let answer = match &export.payload {
        Payload::Traces(request) => TraceServiceClient::new(channel).export(request.clone()).await.map(drop),
        Payload::Metrics(request) => MetricsServiceClient::new(channel).export(request.clone()).await.map(drop),
        Payload::Logs(request) => LogsServiceClient::new(channel).export(request.clone()).await.map(drop),
    };
    answer.map_err(|status| match status.code() {
        tonic::Code::Unavailable => Failure::Unreachable(status.message().to_owned()),
        _ => Failure::Refused(status.to_string()),
    })
}

async fn over_http(export: &Export, json: bool, address: SocketAddr) -> Result<(), Failure> {
    let body = export.body().map_err(|e| Failure::Refused(e.to_string()))?;
    let path = export.payload.signal();
    let content_type = if json { "application/json" } else { "application/x-protobuf" };
    match tokio::time::timeout(TIMEOUT, post(address, &format!("/v1/{path}"), content_type, body)).await {
        Ok(Ok(200..=299)) => Ok(()),
        Ok(Ok(status)) => Err(Failure::Refused(format!("status {status}"))),
        Ok(Err(why)) => Err(Failure::Unreachable(why)),
        Err(_) => Err(Failure::Unreachable("no answer in time".to_owned())),
    }
}

/// One POST on a connection of its own: few services use this way, and each sends once a second.
async fn post(address: SocketAddr, path: &str, content_type: &str, body: Vec<u8>) -> Result<u16, String> {
    let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let request = http::Request::post(path)
        .header(http::header::HOST, address.to_string())
        .header(http::header::CONTENT_TYPE, content_type)
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| e.to_string())?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let status = response.status().as_u16();
        response.into_body().collect().await.map_err(|e| e.to_string())?;
        drop(sender);
        Ok(status)
    };
    // The connection is driven beside the exchange and ends with it.
    let (status, _) = tokio::join!(exchange, connection);
    status
}
