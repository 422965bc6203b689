//! Span bodies decoded for people: attributes, events, links, status. Tolerant: a broken part costs only itself.

use crate::spans::wire::{Fields, Wire, key_value};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use watchfire_model::reading::{SpanEvent, attribute::Scalar};

/// Nesting beyond this is replaced by a note.
const DEPTH: usize = 64;

/// What the body of a span says beyond its columns.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Body {
    /// Only where the columns do not know it.
    pub name: Option<String>,
    pub attributes: BTreeMap<String, Scalar>,
    pub events: Vec<SpanEvent>,
    /// (trace id, span id) as hexadecimal text.
    pub links: Vec<(String, String)>,
    pub status_message: String,
    pub trace_state: String,
    pub dropped_attributes: u32,
    /// Text that was not UTF-8 was repaired.
    pub repaired: bool,
    /// There was no room for attributes, events and links.
    pub left_out: bool,
}

impl Body {
    pub fn decode(bytes: &[u8]) -> Self {
        Self::of(Fields::new(bytes))
    }

    /// What a span says about itself, without attributes, events and links.
    pub fn decode_short(bytes: &[u8]) -> Self {
        let long = |number: u32| matches!(number, 9 | 11 | 13);
        let left_out = Fields::new(bytes).any(|(number, _)| long(number));
        Body { left_out, ..Self::of(Fields::new(bytes).filter(|(number, _)| !long(*number))) }
    }

    fn of<'a>(fields: impl Iterator<Item = (u32, Wire<'a>)>) -> Self {
        let mut body = Body::default();
        for field in fields {
            match field {
                (3, Wire::Bytes(text)) => body.trace_state = body.text(text),
                (5, Wire::Bytes(text)) => body.name = Some(body.text(text)),
                (9, Wire::Bytes(item)) => {
                    let (key, value) = body.attribute(item);
                    body.attributes.insert(key, value);
                }
                (10, Wire::Varint(n)) => body.dropped_attributes = n as u32,
                (11, Wire::Bytes(item)) => {
                    let event = body.event(item);
                    body.events.push(event);
                }
                (13, Wire::Bytes(item)) => {
                    let (mut trace, mut span) = (&[][..], &[][..]);
                    for field in Fields::new(item) {
                        match field {
                            (1, Wire::Bytes(id)) => trace = id,
                            (2, Wire::Bytes(id)) => span = id,
                            _ => {}
                        }
                    }
                    // Without whole ids it leads nowhere.
                    if trace.len() == 16 && span.len() == 8 {
                        body.links.push((hex(trace), hex(span)));
                    }
                }
                (15, Wire::Bytes(status)) => {
                    for field in Fields::new(status) {
                        if let (2, Wire::Bytes(text)) = field {
                            body.status_message = body.text(text);
                        }
                    }
                }
                _ => {}
            }
        }
        body
    }

    fn text(&mut self, bytes: &[u8]) -> String {
        match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => {
                self.repaired = true;
                String::from_utf8_lossy(bytes).into_owned()
            }
        }
    }

    fn attribute(&mut self, item: &[u8]) -> (String, Scalar) {
        let (key, value) = key_value(item);
        (self.text(key), self.value(value))
    }

    fn value(&mut self, any: &[u8]) -> Scalar {
        match Fields::new(any).last() {
            Some((1, Wire::Bytes(text))) => Scalar::Text(self.text(text)),
            Some((2, Wire::Varint(v))) => Scalar::Bool(v != 0),
            Some((3, Wire::Varint(v))) => Scalar::Int(v as i64),
            Some((4, Wire::Fixed64(v))) => number(v).map_or_else(|name| Scalar::Text(name.to_owned()), Scalar::Double),
            Some((7, Wire::Bytes(bytes))) => Scalar::Text(bytes_text(bytes)),
            Some(_) => Scalar::Text(self.json(any, 0).to_string()),
            None => Scalar::Text(String::new()),
        }
    }

    fn json(&mut self, any: &[u8], depth: usize) -> Json {
        if depth > DEPTH {
            return Json::String("<too deep>".to_owned());
        }
        match Fields::new(any).last() {
            Some((1, Wire::Bytes(text))) => Json::String(self.text(text)),
            Some((2, Wire::Varint(v))) => Json::Bool(v != 0),
            Some((3, Wire::Varint(v))) => Json::from(v as i64),
            Some((4, Wire::Fixed64(v))) => number(v).map_or_else(Json::from, Json::from),
            Some((5, Wire::Bytes(list))) => {
                let items = Fields::new(list).filter_map(|f| if let (1, Wire::Bytes(item)) = f { Some(item) } else { None });
                Json::Array(items.map(|item| self.json(item, depth + 1)).collect())
            }
            Some((6, Wire::Bytes(map))) => {
                let items = Fields::new(map).filter_map(|f| if let (1, Wire::Bytes(item)) = f { Some(item) } else { None });
                Json::Object(
                    items
                        .map(|item| {
                            let (key, value) = key_value(item);
                            (self.text(key), self.json(value, depth + 1))
                        })
                        .collect(),
                )
            }
            Some((7, Wire::Bytes(bytes))) => Json::String(bytes_text(bytes)),
            _ => Json::Null,
        }
    }

    fn event(&mut self, item: &[u8]) -> SpanEvent {
        let mut event = SpanEvent::default();
        for field in Fields::new(item) {
            match field {
                (1, Wire::Fixed64(nanos)) => event.at = nanos as f64 / 1e9,
                (2, Wire::Bytes(text)) => event.name = self.text(text),
                (3, Wire::Bytes(attribute)) => {
                    let (key, value) = self.attribute(attribute);
                    event.attributes.insert(key, value);
                }
                _ => {}
            }
        }
        event
    }
}

/// The attributes of an encoded `Resource`.
pub(crate) fn resource(raw: &[u8]) -> BTreeMap<String, Scalar> {
    let mut body = Body::default();
    let items = Fields::new(raw).filter_map(|f| if let (1, Wire::Bytes(item)) = f { Some(item) } else { None });
    items.map(|item| body.attribute(item)).collect()
}

/// A number, or the name that OTLP's JSON has for one that JSON itself cannot write: as `null` nobody could read it back.
fn number(bits: u64) -> Result<f64, &'static str> {
    match f64::from_bits(bits) {
        v if v.is_finite() => Ok(v),
        v if v.is_nan() => Err("NaN"),
        v if v > 0.0 => Err("Infinity"),
        _ => Err("-Infinity"),
    }
}

fn bytes_text(bytes: &[u8]) -> String {
    format!("0x{}", hex(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
