//! OTLP over HTTP: protobuf and JSON, answered in the type of the request.

pub(crate) mod body;

use crate::encoding::{Encoding, LONG};
use crate::grpc;
use crate::intake::Intake;
use crate::json;
use crate::refusal::{Refusal, Signal};
use crate::status::{response_json, response_protobuf, status_json, status_protobuf};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use std::sync::Arc;
use watchfire_model::Receipt;

/// How a request is written, and hence its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    Protobuf,
    Json,
}

impl Media {
    /// From the `Content-Type`, parameters aside.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let essence = essence(headers);
        if essence.eq_ignore_ascii_case("application/x-protobuf") {
            Ok(Media::Protobuf)
        } else if essence.eq_ignore_ascii_case("application/json") {
            Ok(Media::Json)
        } else {
            Err(Refusal::MediaType(essence, "application/x-protobuf or application/json"))
        }
    }

    fn name(self) -> &'static str {
        match self {
            Media::Protobuf => "application/x-protobuf",
            Media::Json => "application/json",
        }
    }
}

/// The `Content-Type`, parameters aside.
fn essence(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes())).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_owned()
}

fn signal_of(path: &str) -> Option<Signal> {
    match path {
        "/v1/traces" => Some(Signal::Traces),
        "/v1/metrics" => Some(Signal::Metrics),
        "/v1/logs" => Some(Signal::Logs),
        _ => None,
    }
}

/// Answers one HTTP request, whatever it is.
pub(crate) async fn serve(intake: &Arc<Intake>, request: Request<Body>) -> Response<Body> {
    let media = Media::of(request.headers());
    let answer_in = media.clone().unwrap_or(Media::Json);
    let signal = signal_of(request.uri().path());
    let taken = match signal {
        // gRPC with another content type (gRPC over HTTP/2: 415).
        None if grpc::Method::of(request.uri().path()).is_some() => Err(Refusal::MediaType(essence(request.headers()), "application/grpc")),
        None => Err(Refusal::Path),
        Some(_) if request.method() != Method::POST => Err(Refusal::Method),
        Some(signal) => match media {
            Ok(media) => export(intake, signal, media, request).await,
            Err(refusal) => Err(refusal),
        },
    };
    match taken {
        Ok(body) => written(StatusCode::OK, answer_in, body),
        Err(refusal) => refused(answer_in, &intake.count(signal, refusal)),
    }
}

async fn export(intake: &Arc<Intake>, signal: Signal, media: Media, request: Request<Body>) -> Result<Vec<u8>, Refusal> {
    intake.open()?;
    let encoding = Encoding::of(request.headers())?;
    let mut reservation = intake.budget.open();
    let raw = body::read(request.into_body(), signal, &intake.limits, &mut reservation).await?;
    let (bytes, lost, reservation) = if encoding == Encoding::Identity && media == Media::Protobuf {
        (raw, Receipt::default(), reservation)
    } else if raw.len() <= LONG {
        unpack(raw, signal, media, encoding, &intake.limits, reservation)?
    } else {
        let intake = intake.clone();
        let unpacking = tokio::task::spawn_blocking(move || unpack(raw, signal, media, encoding, &intake.limits, reservation));
        unpacking.await.map_err(|_| Refusal::Internal("the decoder panicked".to_owned()))??
    };
    let outcome = intake.take(signal, bytes, lost, reservation).await?;
    Ok(match media {
        Media::Protobuf => response_protobuf(&outcome),
        Media::Json => response_json(signal, &outcome),
    })
}

/// From the body as sent to a protobuf request, and what was lost on the way.
fn unpack(
    raw: Bytes,
    signal: Signal,
    media: Media,
    encoding: Encoding,
    limits: &crate::Limits,
    mut reservation: crate::budget::Reservation,
) -> Result<(Bytes, Receipt, crate::budget::Reservation), Refusal> {
    let inflated = encoding.inflate(raw, signal, limits, &mut reservation)?;
    if media == Media::Protobuf {
        return Ok((inflated, Receipt::default(), reservation));
    }
    let json::Translated { protobuf, lost } = json::to_protobuf(&inflated, signal, limits)?;
    drop(inflated);
    if reservation.fit(protobuf.len()) { Ok((Bytes::from(protobuf), lost, reservation)) } else { Err(Refusal::InFlight) }
}

/// A refusal as OTLP/HTTP tells it: `google.rpc.Status` in the type of the request.
pub(crate) fn refused(media: Media, refusal: &Refusal) -> Response<Body> {
    let body = match media {
        Media::Protobuf => status_protobuf(refusal.code(), &refusal.text(), refusal.retry_after()),
        Media::Json => status_json(refusal.code(), &refusal.text()),
    };
    let mut response = written(refusal.status(), media, body);
    if let Some(delay) = refusal.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(delay.as_secs()));
    }
    if *refusal == Refusal::Method {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    if matches!(refusal, Refusal::Bytes(_)) {
        // The rest of the body is not read, so the connection ends; a client that is not told would send its next request into the void.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A refusal of the guard, in the same form.
pub(crate) fn foreign(media: Media, refusal: &watchfire_serve::Refusal) -> Response<Body> {
    let code = match refusal.status {
        StatusCode::FORBIDDEN => tonic::Code::PermissionDenied,
        StatusCode::UNAUTHORIZED => tonic::Code::Unauthenticated,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => tonic::Code::ResourceExhausted,
        _ => tonic::Code::InvalidArgument,
    };
    let body = match media {
        Media::Protobuf => status_protobuf(code, &refusal.text, None),
        Media::Json => status_json(code, &refusal.text),
    };
    written(refusal.status, media, body)
}

fn written(status: StatusCode, media: Media, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media.name()));
    response
}
