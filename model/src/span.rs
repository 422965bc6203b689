//! Spans on their way from the wire into columns. Everything here is borrowed from the request's bytes.

use crate::Nanos;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU64;

/// Sixteen bytes, never all zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub [u8; 16]);

/// Eight bytes; all zero means "no span" (a root's parent).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub [u8; 8]);

macro_rules! hex_id {
    ($type:ident, $bytes:literal) => {
        impl $type {
            /// From hexadecimal text, upper or lower case.
            pub fn parse(text: &str) -> Option<Self> {
                if text.len() != 2 * $bytes || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return None;
                }
                let mut id = [0; $bytes];
                for (i, byte) in id.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
                }
                Some($type(id))
            }

            pub fn is_zero(&self) -> bool {
                self.0 == [0; $bytes]
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                $type::parse(&text).ok_or_else(|| serde::de::Error::custom(concat!("not ", $bytes, " hexadecimal bytes")))
            }
        }
    };
}
hex_id!(TraceId, 16);
hex_id!(SpanId, 8);

/// OTLP span kind; the discriminants are those of the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum SpanKind {
    #[default]
    Unspecified = 0,
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

impl SpanKind {
    /// Unknown enum values count as unspecified.
    pub fn from_wire(value: u64) -> Self {
        match value {
            1 => SpanKind::Internal,
            2 => SpanKind::Server,
            3 => SpanKind::Client,
            4 => SpanKind::Producer,
            5 => SpanKind::Consumer,
            _ => SpanKind::Unspecified,
        }
    }

    /// The label value of the collector's span metrics.
    pub fn label(self) -> &'static str {
        match self {
            SpanKind::Unspecified => "SPAN_KIND_UNSPECIFIED",
            SpanKind::Internal => "SPAN_KIND_INTERNAL",
            SpanKind::Server => "SPAN_KIND_SERVER",
            SpanKind::Client => "SPAN_KIND_CLIENT",
            SpanKind::Producer => "SPAN_KIND_PRODUCER",
            SpanKind::Consumer => "SPAN_KIND_CONSUMER",
        }
    }
}

/// OTLP status code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum SpanStatus {
    #[default]
    Unset = 0,
    Ok = 1,
    Error = 2,
}

impl SpanStatus {
    pub fn from_wire(value: u64) -> Self {
        match value {
            1 => SpanStatus::Ok,
            2 => SpanStatus::Error,
            _ => SpanStatus::Unset,
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            SpanStatus::Unset => "STATUS_CODE_UNSET",
            SpanStatus::Ok => "STATUS_CODE_OK",
            SpanStatus::Error => "STATUS_CODE_ERROR",
        }
    }
}

/// A scalar attribute value, borrowed from the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AttributeValue<'a> {
    Str(&'a str),
    Int(i64),
    Double(f64),
    Bool(bool),
    /// Arrays, maps and bytes: present, not looked into.
    Other,
}

impl AttributeValue<'_> {
    pub fn as_str(&self) -> Option<&str> {
        match self {
            AttributeValue::Str(s) => Some(s),
            _ => None,
        }
    }
}

/// The resource that the following spans belong to.
#[derive(Clone, Copy, Debug)]
pub struct ResourceView<'a> {
    /// The whole `Resource` message as it came, for the detail pane.
    pub raw: &'a [u8],
    /// The `attributes` of the resource, scalars decoded. The whole list; call order is wire order.
    pub attributes: &'a [(&'a str, AttributeValue<'a>)],
}

/// One span. Ids and times are decoded; attributes are handed over undecoded, as a part of `body`.
#[derive(Clone, Copy)]
pub struct SpanView<'a> {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent_id: SpanId,
    /// UTF-8: the walk has looked. As bytes, because looking a second time at each would cost more than finding its operation.
    pub name: &'a [u8],
    pub kind: SpanKind,
    pub status: SpanStatus,
    pub start: Nanos,
    pub end: Nanos,
    pub flags: u32,
    pub trace_state: &'a str,
    /// The whole `Span` message as it came; a repaired copy where text was not UTF-8 or something was beyond a limit.
    pub body: &'a [u8],
    /// Bytes at the beginning of `body` that hold nothing but ids, name, kind and times, which are told above; zero where they come in an unusual order.
    pub head: u32,
    /// A number for what follows them, where it is known: spans with the same number have the same bytes from `head` on, for as long as the process lives.
    /// Only given where `head` is, and where nothing but attributes, status and flags follows.
    pub residual: Option<NonZeroU64>,
    /// `(start, end)` offsets into `body`: from the first attribute's tag to the end of the last. Both zero where there is none.
    pub attributes: (u32, u32),
    /// Linked (trace, span) pairs, as many as the limits of the walk allow.
    pub links: &'a [(TraceId, SpanId)],
}

impl<'a> SpanView<'a> {
    /// The attributes as fields of the encoded `Span`: those of number 9. Others may lie between them.
    #[inline]
    pub fn attribute_fields(&self) -> &'a [u8] {
        let (start, end) = self.attributes;
        self.body.get(start as usize..end as usize).unwrap_or_default()
    }
}

/// What became of one trace request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    pub accepted: u64,
    /// Count per reason, e.g. `("zero trace id", 2)`.
    pub rejected: Vec<(&'static str, u64)>,
    /// Things that were repaired, e.g. invalid UTF-8.
    pub warnings: Vec<(&'static str, u64)>,
}

impl Receipt {
    pub fn rejected_total(&self) -> u64 {
        self.rejected.iter().map(|(_, n)| n).sum()
    }
}

/// The store's side of the trace walk. Called in wire order by one thread: a resource, then its spans.
pub trait SpanVisitor: Send {
    fn resource(&mut self, resource: &ResourceView<'_>);
    fn scope(&mut self, name: &str, version: &str);
    fn span(&mut self, span: &SpanView<'_>);
    /// The request is over; `received` is the wall clock at its arrival.
    fn end_of_request(&mut self, received: crate::Timestamp);
    /// Called by the owner thread at least every 250 ms, between requests: publish what is due.
    fn tick(&mut self, now: crate::Timestamp);
}
