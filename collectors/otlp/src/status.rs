//! Answers on the wire: the export responses and `google.rpc.Status`, in protobuf and JSON. All three export responses have one shape.

use crate::intake::Outcome;
use crate::refusal::Signal;
use crate::wire::{put_bytes, put_tag, put_varint};
use std::time::Duration;
use tonic::Code;

/// `Export*ServiceResponse` in protobuf; empty when there is nothing to say.
pub(crate) fn response_protobuf(outcome: &Outcome) -> Vec<u8> {
    let mut response = Vec::new();
    if outcome.rejected > 0 || !outcome.message.is_empty() {
        let mut partial = Vec::new();
        if outcome.rejected > 0 {
            put_tag(&mut partial, 1, crate::wire::VARINT);
            put_varint(&mut partial, outcome.rejected);
        }
        put_bytes(&mut partial, 2, outcome.message.as_bytes());
        put_bytes(&mut response, 1, &partial);
    }
    response
}

/// The same in OTLP/JSON; 64-bit integers are strings there.
pub(crate) fn response_json(signal: Signal, outcome: &Outcome) -> Vec<u8> {
    if outcome.rejected == 0 && outcome.message.is_empty() {
        return b"{}".to_vec();
    }
    let rejected = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Logs => "rejectedLogRecords",
    };
    let body = serde_json::json!({"partialSuccess": {rejected: outcome.rejected.to_string(), "errorMessage": outcome.message}});
    body.to_string().into_bytes()
}

/// `google.rpc.Status` in protobuf, with a `RetryInfo` where trying again helps.
pub(crate) fn status_protobuf(code: Code, text: &str, retry_after: Option<Duration>) -> Vec<u8> {
    let mut status = Vec::new();
    put_tag(&mut status, 1, crate::wire::VARINT);
    put_varint(&mut status, code as u64);
    put_bytes(&mut status, 2, text.as_bytes());
    if let Some(delay) = retry_after {
        put_bytes(&mut status, 3, &retry_info(delay));
    }
    status
}

pub(crate) fn status_json(code: Code, text: &str) -> Vec<u8> {
    let body = serde_json::json!({"code": code as i32, "message": text});
    body.to_string().into_bytes()
}

/// `google.protobuf.Any` of a `google.rpc.RetryInfo`.
fn retry_info(delay: Duration) -> Vec<u8> {
    let (mut duration, mut info, mut any) = (Vec::new(), Vec::new(), Vec::new());
    put_tag(&mut duration, 1, crate::wire::VARINT);
    put_varint(&mut duration, delay.as_secs());
    put_bytes(&mut info, 1, &duration);
    put_bytes(&mut any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
    put_bytes(&mut any, 2, &info);
    any
}
