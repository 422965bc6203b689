//! From columns to a visitor: resources, scopes and spans in wire order.

use super::parse::{Parsed, Range};
use crate::wire::Reader;
use watchfire_model::{AttributeValue, Nanos, ResourceView, SpanKind, SpanStatus, SpanView, SpanVisitor, Timestamp};

impl Parsed {
    /// Shows the parsed request to `visitor`; `bytes` must be those that were parsed.
    pub fn visit<V: SpanVisitor + ?Sized>(&self, bytes: &[u8], received: Timestamp, visitor: &mut V) {
        let (mut scope_at, mut span_at, mut link_at) = (0, 0, 0);
        let mut attributes = Vec::new();
        for resource in &self.resources {
            let raw = self.slice(bytes, resource.raw);
            attributes.clear();
            decode_attributes(raw, &mut attributes);
            visitor.resource(&ResourceView { raw, attributes: &attributes });
            for scope in &self.scopes[scope_at..resource.scopes_end as usize] {
                let (name, version) = scope_name(self.slice(bytes, scope.raw));
                visitor.scope(name, version);
                for span in &self.spans[span_at..scope.spans_end as usize] {
                    let body = self.slice(bytes, span.body);
                    visitor.span(&SpanView {
                        trace_id: span.trace_id,
                        span_id: span.span_id,
                        parent_id: span.parent_id,
                        name: &body[span.name.0 as usize..][..span.name.1 as usize],
                        kind: SpanKind::from_wire(u64::from(span.kind)),
                        status: SpanStatus::from_wire(u64::from(span.status)),
                        start: Nanos(span.start),
                        end: Nanos(span.end),
                        flags: span.flags,
                        trace_state: text(body, span.trace_state),
                        body,
                        head: span.head,
                        residual: span.residual,
                        attributes: span.attributes,
                        links: &self.links[link_at..span.links_end as usize],
                    });
                    link_at = span.links_end as usize;
                }
                span_at = scope.spans_end as usize;
            }
            scope_at = resource.scopes_end as usize;
        }
        visitor.end_of_request(received);
    }

    fn slice<'a>(&'a self, bytes: &'a [u8], range: Range) -> &'a [u8] {
        let all = if range.repaired { &self.repaired[..] } else { bytes };
        &all[range.start as usize..][..range.length as usize]
    }
}

/// Text that the parse has checked; looked at again because a check elsewhere is no proof here, and it costs a few nanoseconds.
#[inline]
fn text(body: &[u8], (start, length): (u32, u32)) -> &str {
    if length == 0 {
        return "";
    }
    simdutf8::basic::from_utf8(&body[start as usize..][..length as usize]).unwrap_or_default()
}

fn str_of(bytes: &[u8]) -> &str {
    simdutf8::basic::from_utf8(bytes).unwrap_or_default()
}

/// The attributes of a `Resource` message.
fn decode_attributes<'a>(resource: &'a [u8], out: &mut Vec<(&'a str, AttributeValue<'a>)>) {
    let mut reader = Reader::new(resource);
    while let Ok(Some((field, wire_type))) = reader.tag() {
        if field != 1 {
            if reader.skip(field, wire_type).is_err() {
                return;
            }
            continue;
        }
        let Ok(kv) = reader.bytes() else { return };
        if let Some(pair) = attribute(kv) {
            out.push(pair);
        }
    }
}

/// Key and scalar value of an encoded `KeyValue`.
fn attribute(kv: &[u8]) -> Option<(&str, AttributeValue<'_>)> {
    let mut key = "";
    let mut value = AttributeValue::Other;
    let mut reader = Reader::new(kv);
    while let Ok(Some((field, wire_type))) = reader.tag() {
        match field {
            1 => key = str_of(reader.bytes().ok()?),
            2 => value = scalar(reader.bytes().ok()?, value)?,
            _ => reader.skip(field, wire_type).ok()?,
        }
    }
    Some((key, value))
}

fn scalar<'a>(any_value: &'a [u8], before: AttributeValue<'a>) -> Option<AttributeValue<'a>> {
    let mut value = before;
    let mut reader = Reader::new(any_value);
    while let Ok(Some((field, wire_type))) = reader.tag() {
        value = match field {
            1 => AttributeValue::Str(str_of(reader.bytes().ok()?)),
            2 => AttributeValue::Bool(reader.varint().ok()? != 0),
            3 => AttributeValue::Int(reader.varint().ok()?.cast_signed()),
            4 => AttributeValue::Double(f64::from_bits(reader.fixed64().ok()?)),
            5..=8 => {
                reader.skip(field, wire_type).ok()?;
                AttributeValue::Other
            }
            _ => {
                reader.skip(field, wire_type).ok()?;
                value
            }
        };
    }
    Some(value)
}

fn scope_name(scope: &[u8]) -> (&str, &str) {
    let (mut name, mut version) = ("", "");
    let mut reader = Reader::new(scope);
    while let Ok(Some((field, wire_type))) = reader.tag() {
        let value = match field {
            1 | 2 => reader.bytes().map(str_of),
            _ => reader.skip(field, wire_type).map(|()| ""),
        };
        let Ok(value) = value else { break };
        match field {
            1 => name = value,
            2 => version = value,
            _ => {}
        }
    }
    (name, version)
}
