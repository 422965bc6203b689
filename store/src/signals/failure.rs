//! Failures that a span tells of beside its status. Instrumentations are asked for both, and some leave the status unset: the request metrics of
//! frameworks that are turned into spans, servers that set it themselves, spans that were made of another format.

use crate::spans::wire::{self, Wire};
use watchfire_model::{AttributeValue, SpanView};

/// From this HTTP status on, a server has failed.
pub(crate) const SERVER_ERROR: u32 = 500;

/// Whether what a server span says of its answer is a failure: a kind of error, or an HTTP status from `least` on. A client that was answered with
/// 4xx did something wrong itself (semantic conventions 1.44, HTTP spans).
pub(crate) fn answered_badly(span: &SpanView<'_>, least: u32) -> bool {
    /// The lengths of the keys that tell it: nearly every other attribute is passed over by them.
    const LENGTHS: u32 = 1 << 7 | 1 << 10 | 1 << 16 | 1 << 25;
    let mut badly = false;
    let wanted = |length| length < 32 && LENGTHS >> length & 1 != 0;
    wire::each_attribute(span.attribute_fields(), wanted, |key, value| badly |= is_bad(key, value, least));
    badly
}

#[inline(never)]
fn is_bad(key: &[u8], value: wire::AttributeAt<'_>, least: u32) -> bool {
    match key {
        b"http.response.status_code" | b"http.status_code" => status(value) >= least,
        b"error.type" => value.text().is_some_and(|text| !text.is_empty()),
        // Micrometer's name for it.
        b"outcome" => value.text() == Some(b"SERVER_ERROR"),
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
