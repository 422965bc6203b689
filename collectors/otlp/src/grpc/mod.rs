//! OTLP over gRPC: tonic's framing and compression around bytes that are not decoded here.

mod body;
mod codec;

pub use codec::RawCodec;

use crate::budget::Reservation;
use crate::encoding::{Encoding, LONG};
use crate::intake::Intake;
use crate::refusal::{Refusal, Signal};
use crate::status::{response_protobuf, status_protobuf};
use axum::body::Body;
use body::{Metered, Reading};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tonic::codec::CompressionEncoding;
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};
use watchfire_model::Receipt;

/// The unary method behind a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Export(Signal),
    /// `grpc.health.v1.Health/Check`.
    Health,
}

impl Method {
    pub(crate) fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Method::Export(Signal::Traces),
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Method::Export(Signal::Metrics),
            "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Method::Export(Signal::Logs),
            "/grpc.health.v1.Health/Check" => Method::Health,
            _ => return None,
        })
    }

    fn signal(self) -> Option<Signal> {
        match self {
            Method::Export(signal) => Some(signal),
            Method::Health => None,
        }
    }
}

/// Whether a content type says gRPC with messages in protobuf. gRPC-Web, for one, frames its answers in another way.
pub(crate) fn is_grpc(content_type: &HeaderValue) -> bool {
    let Some(rest) = content_type.as_bytes().strip_prefix(b"application/grpc") else { return false };
    matches!(rest.strip_prefix(b"+proto").unwrap_or(rest), [] | [b';' | b' ', ..])
}

/// Answers one gRPC request, whatever it is.
pub(crate) async fn serve(intake: &Arc<Intake>, request: Request<Body>) -> Response<Body> {
    let Some(method) = Method::of(request.uri().path()) else {
        return answer(&intake.count(None, Refusal::Path));
    };
    if request.method() != http::Method::POST {
        return answer(&intake.count(None, Refusal::Method));
    }
    if let (Method::Export(signal), Err(refusal)) = (method, intake.open()) {
        return answer(&intake.count(Some(signal), refusal));
    }
    let encoding = request.headers().get("grpc-encoding").map(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
    let packed = Encoding::of_grpc(request.headers());
    let reading = Reading::new(&intake.budget);
    let request = request.map(|body| Metered::new(body, packed, reading.clone(), intake.limits.max_bytes));
    let call = Call { intake: intake.clone(), method, reading: reading.clone() };
    let response = Grpc::new(RawCodec)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(intake.limits.max_bytes)
        .unary(call, request)
        .await;
    if !reading.was_read()
        && let Some(status) = Status::from_header_map(response.headers())
        && status.code() != Code::Ok
    {
        let refusal = reading.failure().unwrap_or_else(|| refusal_of(&status, method, encoding, intake));
        return answer(&intake.count(method.signal(), refusal));
    }
    response.map(Body::new)
}

/// tonic's own refusals in our words: its code for "too long" would make clients send the same again and again.
fn refusal_of(status: &Status, method: Method, encoding: Option<String>, intake: &Intake) -> Refusal {
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => Refusal::too_long(&intake.limits),
        Code::Unimplemented => Refusal::Encoding(encoding.unwrap_or_default()),
        _ => Refusal::Decode(method.signal().unwrap_or(Signal::Traces), status.message().to_owned()),
    }
}

fn answer(refusal: &Refusal) -> Response<Body> {
    status_of(refusal).into_http::<Body>()
}

fn status_of(refusal: &Refusal) -> Status {
    let details = match refusal.retry_after() {
        Some(delay) => Bytes::from(status_protobuf(refusal.code(), &refusal.text(), Some(delay))),
        None => Bytes::new(),
    };
    let mut status = Status::with_details(refusal.code(), refusal.text(), details);
    if matches!(refusal, Refusal::Encoding(_)) {
        status.metadata_mut().insert("grpc-accept-encoding", tonic::metadata::MetadataValue::from_static("identity,gzip,zstd"));
    }
    status
}

/// One call, once its message has been read.
struct Call {
    intake: Arc<Intake>,
    method: Method,
    reading: Reading,
}

impl UnaryService<Bytes> for Call {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let (raw, packed, reservation) = self.reading.finish(request.into_inner());
        let (intake, method) = (self.intake.clone(), self.method);
        Box::pin(async move {
            let signal = method.signal();
            let (bytes, reservation) = match inflated(&intake, signal.unwrap_or(Signal::Traces), raw, packed, reservation).await {
                Ok(inflated) => inflated,
                Err(refusal) => return Err(status_of(&intake.count(signal, refusal))),
            };
            let Some(signal) = signal else { return health(&bytes) };
            match intake.take(signal, bytes, Receipt::default(), reservation).await {
                Ok(outcome) => Ok(tonic::Response::new(Bytes::from(response_protobuf(&outcome)))),
                Err(refusal) => Err(status_of(&intake.count(Some(signal), refusal))),
            }
        })
    }
}

/// The message itself, whatever it was sent as, and what it holds of the budget.
async fn inflated(
    intake: &Arc<Intake>,
    signal: Signal,
    raw: Bytes,
    packed: Option<Encoding>,
    mut reservation: Reservation,
) -> Result<(Bytes, Reservation), Refusal> {
    let (length, intake) = (raw.len(), intake.clone());
    let inflate = move || {
        let bytes = packed.unwrap_or(Encoding::Identity).inflate(raw, signal, &intake.limits, &mut reservation)?;
        if reservation.fit(bytes.len()) { Ok((bytes, reservation)) } else { Err(Refusal::InFlight) }
    };
    if packed.is_none() || length <= LONG {
        return inflate();
    }
    tokio::task::spawn_blocking(inflate).await.map_err(|_| Refusal::Internal("the decoder panicked".to_owned()))?
}

/// `HealthCheckResponse`: this port serves as a whole and each of its services; others it does not know.
fn health(request: &[u8]) -> Result<tonic::Response<Bytes>, Status> {
    const SERVING: &[u8] = &[0x08, 0x01];
    let mut service: &[u8] = &[];
    let mut reader = crate::wire::Reader::new(request);
    while let Some((field, wire_type)) = reader.tag().map_err(|e| Status::invalid_argument(e.to_string()))? {
        let read = if field == 1 { reader.bytes().map(|name| service = name) } else { reader.skip(field, wire_type) };
        read.map_err(|e| Status::invalid_argument(e.to_string()))?;
    }
    let known = ["TraceService", "MetricsService", "LogsService"].iter().any(|s| service.ends_with(s.as_bytes()));
    if service.is_empty() || known {
        Ok(tonic::Response::new(Bytes::from_static(SERVING)))
    } else {
        Err(Status::not_found("unknown service"))
    }
}
