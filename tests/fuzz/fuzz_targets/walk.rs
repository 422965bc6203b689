//! The trace walk against prost on arbitrary bytes: what prost takes is taken, shown in full and in order; what is refused is not shown at all.

#![no_main]

use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::trace::v1::{Span, TracesData};
use prost::Message;
use std::cell::RefCell;
use watchfire_model::{ResourceView, SpanView, SpanVisitor, Timestamp};
use watchfire_otlp::Limits;
use watchfire_otlp::traces::{Parsed, Residuals};

thread_local! {
    static RESIDUALS: RefCell<Residuals> = RefCell::default();
}

#[derive(Default)]
struct Seen {
    spans: Vec<Vec<u8>>,
    ended: bool,
}

impl SpanVisitor for Seen {
    fn resource(&mut self, resource: &ResourceView<'_>) {
        for (key, value) in resource.attributes {
            std::hint::black_box((key.len(), value.as_str().map(str::len)));
        }
    }
    fn scope(&mut self, _name: &str, _version: &str) {}
    fn span(&mut self, span: &SpanView<'_>) {
        for part in [span.attribute_fields(), &span.body[..span.head as usize]] {
            assert!(Span::decode(part).is_ok() || deep(span.body), "not made of whole fields");
        }
        self.spans.push(span.body.to_vec());
    }
    fn end_of_request(&mut self, _received: Timestamp) {
        self.ended = true;
    }
    fn tick(&mut self, _now: Timestamp) {}
}

fuzz_target!(|bytes: &[u8]| {
    let mut seen = Seen::default();
    let mut parsed = Parsed::default();
    // With the residuals of all inputs before it: what was read of them must not show.
    let read = RESIDUALS.with_borrow_mut(|residuals| parsed.parse(bytes, &Limits::default(), residuals));
    let receipt = read.map(|()| parsed.visit(bytes, Timestamp(0), &mut seen)).map(|()| parsed.receipt());
    assert_eq!(receipt.is_ok(), seen.ended);
    match (TracesData::decode(bytes), receipt) {
        (Ok(data), Ok(receipt)) => {
            let spans = data.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans);
            let valid = |s: &&Span| s.trace_id.len() == 16 && s.trace_id != [0; 16] && s.span_id.len() == 8 && s.span_id != [0; 8];
            let expected: Vec<&Span> = spans.filter(valid).collect();
            assert_eq!(receipt.accepted as usize, expected.len());
            for (body, expected) in seen.spans.iter().zip(expected) {
                let shown = Span::decode(&body[..]).expect("what is shown is well formed");
                // Cut texts and dropped attributes are the only differences, and only beyond the limits; a NaN equals nothing.
                if bytes.len() < 256 && !format!("{shown:?}").contains("NaN") {
                    assert_eq!(shown, *expected);
                }
            }
        }
        (Ok(_), Err(refusal)) => panic!("prost takes what is refused: {refusal:?}"),
        // Invalid UTF-8 and deep nesting are repaired, and said.
        (Err(error), Ok(receipt)) => assert!(!receipt.warnings.is_empty() || deep(bytes), "prost refuses what is taken: {error}"),
        (Err(_), Err(_)) => {}
    }
});

/// Whether prost may have given up on nesting that is still within our limit.
fn deep(bytes: &[u8]) -> bool {
    bytes.len() > 80
}
