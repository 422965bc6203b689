//! Failures that a span tells of beside its status. Instrumentations are asked for both, and some leave the status unset: the request metrics of
//! frameworks that are turned into spans, servers that set it themselves, spans that were made of another format.

use crate::spans::wire::{self, Wire};
use watchfire_model::{AttributeValue, SpanView};

/// From this HTTP status on, a server has failed.
pub(crate) const SERVER_ERROR: u32 = 500;

/// Whether what a server span says of its answer is a failure: a kind of error, an HTTP status from `least` on, or one of gRPC's that is the server's
/// fault. A client that was answered with 4xx or `NOT_FOUND` did something wrong itself (semantic conventions 1.44, HTTP and gRPC spans).
pub(crate) fn answered_badly(span: &SpanView<'_>, least: u32) -> bool {
    let mut badly = false;
    wire::each_attribute(span.attribute_fields(), |sign| SIGNS >> sign & 1 != 0, |key, value| badly |= is_bad(key, value, least));
    badly
}

/// The keys that tell it.
const KEYS: [&[u8]; 8] = [
    b"error.type",
    b"http.response.status_code",
    b"http.status_code",
    b"outcome",
    GRPC_STATUS[0],
    GRPC_STATUS[1],
    GRPC_STATUS[2],
    GRPC_STATUS[3],
];

/// The names that gRPC's status goes by: in the conventions of now, of lately and of before, and what .NET's server and Envoy say.
const GRPC_STATUS: [&[u8]; 4] = [b"rpc.status_code", b"rpc.response.status_code", b"rpc.grpc.status_code", b"grpc.status_code"];

/// A bit for the [`wire::sign`] of each of the keys: nearly every other attribute is passed over by them.
const SIGNS: u64 = {
    let (mut signs, mut i) = (0, 0);
    while i < KEYS.len() {
        signs |= 1 << wire::sign(KEYS[i].len(), KEYS[i][0]);
        i += 1;
    }
    signs
};

#[inline]
fn is_bad(key: &[u8], value: wire::AttributeAt<'_>, least: u32) -> bool {
    // The status of nearly every answer, and no failure under any key.
    if value.small_number().is_some_and(|number| number < least) {
        return false;
    }
    match key {
        b"http.response.status_code" | b"http.status_code" => status(value) >= least,
        b"error.type" => value.text().is_some_and(|text| !text.is_empty()),
        // Micrometer's name for it.
        b"outcome" => value.text() == Some(b"SERVER_ERROR"),
        _ => is_grpc_status(key) && is_fault_of_grpc_server(value),
    }
}

fn is_grpc_status(key: &[u8]) -> bool {
    GRPC_STATUS.contains(&key)
}

/// Whether a gRPC status, as a number or by its name, is one that a server is to blame for.
fn is_fault_of_grpc_server(value: wire::AttributeAt<'_>) -> bool {
    const FAULTS: [&str; 12] =
        ["2", "UNKNOWN", "4", "DEADLINE_EXCEEDED", "12", "UNIMPLEMENTED", "13", "INTERNAL", "14", "UNAVAILABLE", "15", "DATA_LOSS"];
    match wire::scalar(value.any()) {
        AttributeValue::Int(number) => matches!(number, 2 | 4 | 12..=15),
        AttributeValue::Str(text) => FAULTS.iter().any(|fault| text.eq_ignore_ascii_case(fault)),
        _ => false,
    }
}

/// Whether a call of gRPC ended with anything but success, as its client is told.
pub(crate) fn is_grpc_failure(value: wire::AttributeAt<'_>) -> bool {
    match wire::scalar(value.any()) {
        AttributeValue::Int(number) => number != 0,
        AttributeValue::Str(text) => !matches!(text, "" | "0") && !text.eq_ignore_ascii_case("OK"),
        _ => false,
    }
}

/// An HTTP status as a number or as text; zero where it is neither.
#[inline]
pub(crate) fn status(value: wire::AttributeAt<'_>) -> u32 {
    value.small_number().unwrap_or_else(|| match wire::scalar(value.any()) {
        AttributeValue::Int(code) => u32::try_from(code).unwrap_or(0),
        AttributeValue::Str(code) => code.parse().unwrap_or(0),
        _ => 0,
    })
}

/// What a span of BullMQ says of its job, which it has no status for: an event.
pub(crate) fn job_failed(span: &SpanView<'_>) -> bool {
    let happened = |names: [&[u8]; 2]| {
        wire::Fields::new(span.body).any(|field| {
            let (11, Wire::Bytes(event)) = field else { return false };
            wire::Fields::new(event).any(|field| matches!(field, (2, Wire::Bytes(name)) if names.contains(&name)))
        })
    };
    happened([b"job failed", b"exception"]) && !happened([b"job completed"; 2])
}
