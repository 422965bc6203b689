//! A plain walk over a trace request, for tests and benchmarks of the engine alone. The receiver's own walk (with its limits and repairs) lives in collectors/otlp.

use watchfire_model::{AttributeValue, Nanos, ResourceView, SpanId, SpanKind, SpanStatus, SpanView, SpanVisitor, Timestamp, TraceId};
use watchfire_store::wire::{Fields, Wire, attribute};

fn id<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap_or([0; N])
}

/// Buffers that survive from one request to the next.
#[derive(Default)]
pub struct Walk {
    ranges: Vec<(u32, u32)>,
    links: Vec<(TraceId, SpanId)>,
}

impl Walk {
    pub fn request(&mut self, request: &[u8], visitor: &mut dyn SpanVisitor, received: Timestamp) {
        for (_, field) in Fields::new(request) {
            if let Wire::Bytes(resource_spans) = field {
                self.resource_spans(resource_spans, visitor);
            }
        }
        visitor.end_of_request(received);
    }

    fn resource_spans(&mut self, bytes: &[u8], visitor: &mut dyn SpanVisitor) {
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

    fn span(&mut self, body: &[u8], visitor: &mut dyn SpanVisitor) {
        self.ranges.clear();
        self.links.clear();
        let (mut trace_id, mut span_id, mut parent_id) = ([0; 16], [0; 8], [0; 8]);
        let (mut name, mut trace_state) = ("", "");
        let (mut kind, mut status, mut start, mut end, mut flags) = (0, 0, 0, 0, 0);
        for field in Fields::new(body) {
            match field {
                (1, Wire::Bytes(bytes)) => trace_id = id(bytes),
                (2, Wire::Bytes(bytes)) => span_id = id(bytes),
                (3, Wire::Bytes(bytes)) => trace_state = std::str::from_utf8(bytes).unwrap_or(""),
                (4, Wire::Bytes(bytes)) => parent_id = id(bytes),
                (5, Wire::Bytes(bytes)) => name = std::str::from_utf8(bytes).unwrap_or(""),
                (6, Wire::Varint(v)) => kind = v,
                (7, Wire::Fixed64(v)) => start = v,
                (8, Wire::Fixed64(v)) => end = v,
                (9, Wire::Bytes(item)) => {
                    let from = (item.as_ptr() as usize - body.as_ptr() as usize) as u32;
                    self.ranges.push((from, from + item.len() as u32));
                }
                (13, Wire::Bytes(link)) => {
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
                (15, Wire::Bytes(bytes)) => {
                    for field in Fields::new(bytes) {
                        if let (3, Wire::Varint(code)) = field {
                            status = code;
                        }
                    }
                }
                (16, Wire::Fixed32(v)) => flags = v,
                _ => {}
            }
        }
        visitor.span(&SpanView {
            trace_id: TraceId(trace_id),
            span_id: SpanId(span_id),
            parent_id: SpanId(parent_id),
            name,
            kind: SpanKind::from_wire(kind),
            status: SpanStatus::from_wire(status),
            start: Nanos(start),
            end: Nanos(end),
            flags,
            trace_state,
            body,
            attribute_ranges: &self.ranges,
            links: &self.links,
        });
    }
}
