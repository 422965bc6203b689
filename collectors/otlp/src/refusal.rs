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
    /// What came, and what is taken.
    MediaType(String, &'static str),
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
            Refusal::MediaType(x, taken) => format!("unsupported media type \"{}\"; use {taken}", harmless_limited(x, QUOTED)),
            Refusal::Encoding(x) => {
                format!("unsupported encoding \"{}\"; use identity, gzip or zstd", harmless_limited(x, QUOTED))
            }
            Refusal::Bytes(limit) if limit % (1 << 20) == 0 => {
                format!("request exceeds {} MiB (otlp.max_bytes); limits.otlp.message raises it", limit >> 20)
            }
            Refusal::Bytes(limit) => format!("request exceeds {limit} bytes (otlp.max_bytes); limits.otlp.message raises it"),
            Refusal::Items(limit) => format!("request exceeds {limit} items (otlp.max_items); limits.otlp.items_per_request raises it"),
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
            Refusal::MediaType(..) | Refusal::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
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
            Refusal::Decode(..) | Refusal::MediaType(..) => Code::InvalidArgument,
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
            Refusal::MediaType(..) => (REJECTED, "media_type"),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of refusals as clients were promised it: HTTP status, gRPC code, seconds to wait, text, counter.
    #[test]
    fn every_refusal_has_its_status_code_text_and_counter() {
        const REJECTED: &str = "watchfire_ingest_rejected_total";
        const REFUSED: &str = "watchfire_ingest_refused_total";
        let limits = Limits::default();
        for (refusal, http, code, retry, text, counter) in [
            (
                Refusal::Decode(Signal::Traces, "message is truncated".into()),
                400,
                Code::InvalidArgument,
                None,
                "cannot decode trace request: message is truncated",
                (REJECTED, "decode"),
            ),
            (
                Refusal::MediaType("text/plain".into(), "application/x-protobuf or application/json"),
                415,
                Code::InvalidArgument,
                None,
                "unsupported media type \"text/plain\"; use application/x-protobuf or application/json",
                (REJECTED, "media_type"),
            ),
            (
                Refusal::Encoding("br".into()),
                415,
                Code::Unimplemented,
                None,
                "unsupported encoding \"br\"; use identity, gzip or zstd",
                (REJECTED, "encoding"),
            ),
            (
                Refusal::too_long(&limits),
                413,
                Code::ResourceExhausted,
                None,
                "request exceeds 16 MiB (otlp.max_bytes); limits.otlp.message raises it",
                (REJECTED, "bytes"),
            ),
            (
                Refusal::too_many(&limits),
                413,
                Code::ResourceExhausted,
                None,
                "request exceeds 250000 items (otlp.max_items); limits.otlp.items_per_request raises it",
                (REJECTED, "items"),
            ),
            (Refusal::Memory, 503, Code::Unavailable, Some(5), "memory limit reached; retry", (REFUSED, "memory")),
            (Refusal::InFlight, 429, Code::Unavailable, Some(1), "too much data in flight; retry", (REFUSED, "inflight")),
            (Refusal::Shutdown, 503, Code::Unavailable, Some(5), "shutting down; retry", (REFUSED, "shutdown")),
            (Refusal::Method, 405, Code::Unimplemented, None, "use POST", ("watchfire_http_rejected_total", "method")),
            (Refusal::Path, 404, Code::Unimplemented, None, "unknown path", ("watchfire_http_rejected_total", "path")),
        ] {
            assert_eq!((refusal.status().as_u16(), refusal.code()), (http, code), "{refusal:?}");
            assert_eq!((refusal.retry_after().map(|d| d.as_secs()), refusal.text().as_str()), (retry, text));
            assert_eq!(refusal.counter(), counter);
            // Retryable and not retryable never share a code.
            let retryable = matches!(code, Code::Unavailable);
            assert_eq!(retryable, retry.is_some(), "{refusal:?}");
        }
    }

    #[test]
    fn text_of_senders_is_quoted_short_and_harmless() {
        let text = Refusal::MediaType(format!("\u{1b}[31m{}", "x".repeat(1000)), "application/grpc").text();
        assert!(text.len() < 250 && !text.contains('\u{1b}'), "{text}");
        let text = Refusal::Decode(Signal::Logs, "y".repeat(5000)).text();
        assert!(text.len() <= 250, "{}", text.len());
    }
}
