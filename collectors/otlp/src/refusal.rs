//! Why a whole request is refused: one list of cases with the text, the HTTP status, the gRPC code and the counter of each.

use crate::limits::Limits;
use crate::wire::WireError;
use http::StatusCode;
use std::time::Duration;
use tonic::Code;
use watchfire_model::harmless_limited;

/// The three signals of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    pub const ALL: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];

    /// The value of the `signal` label.
    pub fn label(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
            Signal::Logs => "logs",
        }
    }

    /// As in "cannot decode trace request".
    pub fn adjective(self) -> &'static str {
        match self {
            Signal::Traces => "trace",
            Signal::Metrics => "metrics",
            Signal::Logs => "logs",
        }
    }

    /// What its requests are made of.
    pub fn items(self) -> &'static str {
        match self {
            Signal::Traces => "spans",
            Signal::Metrics => "data points",
            Signal::Logs => "log records",
        }
    }
}

/// A request that is not taken in at all. Nothing of it has been stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    Decode(Signal, String),
    MediaType(String),
    Encoding(String),
    /// Too long, before or after decompression.
    Bytes(usize),
    Items(usize),
    Memory,
    InFlight,
    Shutdown,
    /// The client sends too slowly; the guard has counted it.
    Slow(String),
    Method,
    Path,
    Internal(String),
}

/// Text quoted from a request is cut here; decoders' reasons at twice that.
const QUOTED: usize = 100;

impl Refusal {
    pub(crate) fn wire(signal: Signal, error: &WireError) -> Self {
        Refusal::Decode(signal, error.to_string())
    }

    pub(crate) fn too_long(limits: &Limits) -> Self {
        Refusal::Bytes(limits.max_bytes)
    }

    pub(crate) fn too_many(limits: &Limits) -> Self {
        Refusal::Items(limits.max_items)
    }

    /// One sentence for the sender, harmless and short.
    pub fn text(&self) -> String {
        match self {
            Refusal::Decode(signal, why) => {
                format!("cannot decode {} request: {}", signal.adjective(), harmless_limited(why, 2 * QUOTED))
            }
            Refusal::MediaType(x) => {
                format!("unsupported media type \"{}\"; use application/x-protobuf or application/json", harmless_limited(x, QUOTED))
            }
            Refusal::Encoding(x) => {
                format!("unsupported encoding \"{}\"; use identity, gzip or zstd", harmless_limited(x, QUOTED))
            }
            Refusal::Bytes(limit) if limit % (1 << 20) == 0 => format!("request exceeds {} MiB (otlp.max_bytes)", limit >> 20),
            Refusal::Bytes(limit) => format!("request exceeds {limit} bytes (otlp.max_bytes)"),
            Refusal::Items(limit) => format!("request exceeds {limit} items (otlp.max_items)"),
            Refusal::Memory => "memory limit reached; retry".to_owned(),
            Refusal::InFlight => "too much data in flight; retry".to_owned(),
            Refusal::Shutdown => "shutting down; retry".to_owned(),
            Refusal::Slow(why) => why.clone(),
            Refusal::Method => "use POST".to_owned(),
            Refusal::Path => "unknown path".to_owned(),
            Refusal::Internal(why) => format!("internal error: {}", harmless_limited(why, QUOTED)),
        }
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::Decode(..) => StatusCode::BAD_REQUEST,
            Refusal::MediaType(_) | Refusal::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::Bytes(_) | Refusal::Items(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::InFlight => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Memory | Refusal::Shutdown => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::Path => StatusCode::NOT_FOUND,
            Refusal::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Retryable and not retryable never share a code (OTLP specification, failures).
    pub fn code(&self) -> Code {
        match self {
            Refusal::Decode(..) | Refusal::MediaType(_) => Code::InvalidArgument,
            Refusal::Encoding(_) | Refusal::Method | Refusal::Path => Code::Unimplemented,
            Refusal::Bytes(_) | Refusal::Items(_) => Code::ResourceExhausted,
            Refusal::Memory | Refusal::InFlight | Refusal::Shutdown => Code::Unavailable,
            Refusal::Slow(_) => Code::DeadlineExceeded,
            Refusal::Internal(_) => Code::Internal,
        }
    }

    /// When to try again, where that helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::InFlight => Some(Duration::from_secs(1)),
            Refusal::Memory | Refusal::Shutdown => Some(Duration::from_secs(5)),
            _ => None,
        }
    }

    /// The counter and its `reason`: rejected is final, refused may be retried.
    pub fn counter(&self) -> (&'static str, &'static str) {
        const REJECTED: &str = "watchfire_ingest_rejected_total";
        const REFUSED: &str = "watchfire_ingest_refused_total";
        const HTTP: &str = "watchfire_http_rejected_total";
        match self {
            Refusal::Decode(..) => (REJECTED, "decode"),
            Refusal::MediaType(_) => (REJECTED, "media_type"),
            Refusal::Encoding(_) => (REJECTED, "encoding"),
            Refusal::Bytes(_) => (REJECTED, "bytes"),
            Refusal::Items(_) => (REJECTED, "items"),
            Refusal::Memory => (REFUSED, "memory"),
            Refusal::InFlight => (REFUSED, "inflight"),
            Refusal::Shutdown => (REFUSED, "shutdown"),
            Refusal::Slow(_) => (REFUSED, "slow"),
            Refusal::Method => (HTTP, "method"),
            Refusal::Path => (HTTP, "path"),
            Refusal::Internal(_) => (REJECTED, "internal"),
        }
    }
}
