//! A plain walk over a trace request, for tests and benchmarks of the engine alone. The receiver's own walk (with its limits and repairs) lives in collectors/otlp.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use watchfire_model::{AttributeValue, Nanos, ResourceView, SpanId, SpanKind, SpanStatus, SpanView, SpanVisitor, Timestamp, TraceId};
use watchfire_store::wire::{Fields, Wire, attribute};

fn id<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap_or([0; N])
}

/// Buffers that survive from one request to the next.
#[derive(Default)]
pub struct Walk {
    links: Vec<(TraceId, SpanId)>,
    /// Residuals so far, and the number of each.
    residuals: HashMap<Vec<u8>, Option<NonZeroU64>>,
}

/// Numbers of residuals are given once in a process.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl Walk {
    pub fn request(&mut self, request: &[u8], visitor: &mut impl SpanVisitor, received: Timestamp) {
        for (_, field) in Fields::new(request) {
            if let Wire::Bytes(resource_spans) = field {
                self.resource_spans(resource_spans, visitor);
            }
        }
        visitor.end_of_request(received);
    }

    fn resource_spans(&mut self, bytes: &[u8], visitor: &mut impl SpanVisitor) {
        for field in Fields::new(bytes) {
            match field {
                (1, Wire::Bytes(raw)) => {
                    let mut attributes: [(&str, AttributeValue<'_>); 32] = [("", AttributeValue::Other); 32];
                    let mut count = 0;
                    for field in Fields::new(raw) {
                        if let (1, Wire::Bytes(item)) = field
                            && count < attributes.len()
                            && let Some(decoded) = attribute(item)
                        {
                            attributes[count] = decoded;
                            count += 1;
                        }
                    }
                    visitor.resource(&ResourceView { raw, attributes: &attributes[..count] });
                }
                (2, Wire::Bytes(scope_spans)) => {
                    for field in Fields::new(scope_spans) {
                        match field {
                            (1, Wire::Bytes(scope)) => {
                                let (mut name, mut version) = ("", "");
                                for field in Fields::new(scope) {
                                    match field {
                                        (1, Wire::Bytes(text)) => name = std::str::from_utf8(text).unwrap_or(""),
                                        (2, Wire::Bytes(text)) => version = std::str::from_utf8(text).unwrap_or(""),
                                        _ => {}
                                    }
                                }
                                visitor.scope(name, version);
                            }
                            (2, Wire::Bytes(span)) => self.span(span, visitor),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn span(&mut self, body: &[u8], visitor: &mut impl SpanVisitor) {
        self.links.clear();
        let (mut trace_id, mut span_id, mut parent_id) = ([0; 16], [0; 8], [0; 8]);
        let (mut name, mut trace_state) = ("", "");
        let (mut kind, mut status, mut start, mut end, mut flags) = (0, 0, 0, 0, 0);
        let (mut at, mut head, mut attributes) = (0, 0, None);
        while let Some((tag, rest)) = body.get(at..).and_then(<[u8]>::split_first) {
            let before = at;
            // Nearly every field of a span is one byte of tag and, for bytes, one byte of length.
            if let (2, Some((length, content))) = (tag & 7, rest.split_first())
                && *tag < 0x80
                && *length < 0x80
                && let Some(bytes) = content.get(..usize::from(*length))
            {
                let from = at + 2;
                at = from + bytes.len();
                match tag >> 3 {
                    1 => trace_id = id(bytes),
                    2 => span_id = id(bytes),
                    3 => trace_state = std::str::from_utf8(bytes).unwrap_or(""),
                    4 => parent_id = id(bytes),
                    5 => name = std::str::from_utf8(bytes).unwrap_or(""),
                    9 => attributes = Some((attributes.map_or(before as u32, |(first, _)| first), at as u32)),
                    13 => self.link(bytes),
                    15 => status = code(bytes),
                    _ => {}
                }
                if head == before && matches!(tag >> 3, 1 | 2 | 4 | 5) {
                    head = at;
                }
                continue;
            }
            let mut fields = Fields::new(&body[at..]);
            let Some(field) = fields.next() else { break };
            at = body.len() - fields.rest().len();
            match field {
                (3, Wire::Bytes(bytes)) => trace_state = std::str::from_utf8(bytes).unwrap_or(""),
                (5, Wire::Bytes(bytes)) => name = std::str::from_utf8(bytes).unwrap_or(""),
                (6, Wire::Varint(v)) => kind = v,
                (7, Wire::Fixed64(v)) => start = v,
                (8, Wire::Fixed64(v)) => end = v,
                (9, Wire::Bytes(_)) => attributes = Some((attributes.map_or(before as u32, |(first, _)| first), at as u32)),
                (13, Wire::Bytes(bytes)) => self.link(bytes),
                (15, Wire::Bytes(bytes)) => status = code(bytes),
                (16, Wire::Fixed32(v)) => flags = v,
                _ => {}
            }
            if head == before && matches!(field.0, 1 | 2 | 4..=8) {
                head = at;
            }
        }
        let rest = body.get(head..).unwrap_or_default();
        let numbered = head > 0 && Fields::new(rest).all(|(number, _)| matches!(number, 9 | 15 | 16));
        let residual = if numbered {
            let number = || NonZeroU64::new(NEXT.fetch_add(1, Ordering::Relaxed));
            *self.residuals.entry(rest.to_vec()).or_insert_with(number)
        } else {
            None
        };
        visitor.span(&SpanView {
            trace_id: TraceId(trace_id),
            span_id: SpanId(span_id),
            parent_id: SpanId(parent_id),
            name: name.as_bytes(),
            kind: SpanKind::from_wire(kind),
            status: SpanStatus::from_wire(status),
            start: Nanos(start),
            end: Nanos(end),
            flags,
            trace_state,
            body,
            head: head as u32,
            residual,
            attributes: attributes.unwrap_or_default(),
            links: &self.links,
        });
    }

    fn link(&mut self, link: &[u8]) {
        let (mut trace, mut span) = ([0; 16], [0; 8]);
        for field in Fields::new(link) {
            match field {
                (1, Wire::Bytes(bytes)) => trace = id(bytes),
                (2, Wire::Bytes(bytes)) => span = id(bytes),
                _ => {}
            }
        }
        self.links.push((TraceId(trace), SpanId(span)));
    }
}

fn code(status: &[u8]) -> u64 {
    Fields::new(status).filter_map(|f| if let (3, Wire::Varint(code)) = f { Some(code) } else { None }).last().unwrap_or(0)
}
