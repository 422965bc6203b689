//! The OTLP messages as tables: field numbers, wire types and JSON names. One table serves the check of a request before it is decoded,
//! the repair of what is only partly bad, and the translation from OTLP/JSON. (opentelemetry-proto 1.x, `opentelemetry/proto/**`.)

use crate::wire::{FIXED32, FIXED64, LENGTH, VARINT};

/// A message type.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) fields: &'static [Field],
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// lowerCamelCase, as in OTLP/JSON.
    pub(crate) json: &'static str,
    pub(crate) kind: Kind,
}

/// How a field is written, on the wire and in JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Bool,
    /// Integers as varints: 32-bit, 64-bit and enums alike.
    Varint,
    /// 32-bit zigzag.
    Zigzag,
    Fixed64,
    /// Signed 64-bit, fixed.
    Signed64,
    Fixed32,
    Double,
    /// Repeated scalars, packed or not.
    Fixed64s,
    Doubles,
    Varints,
    Text,
    Texts,
    /// Bytes that JSON writes in hexadecimal: trace and span ids.
    Hex,
    /// Bytes that JSON writes in base64.
    Base64,
    Message(&'static Message),
    Messages(&'static Message),
}

impl Kind {
    pub(crate) fn wire_type(self) -> u8 {
        match self {
            Kind::Bool | Kind::Varint | Kind::Zigzag | Kind::Varints => VARINT,
            Kind::Fixed64 | Kind::Signed64 | Kind::Double | Kind::Fixed64s | Kind::Doubles => FIXED64,
            Kind::Fixed32 => FIXED32,
            Kind::Text | Kind::Texts | Kind::Hex | Kind::Base64 | Kind::Message(_) | Kind::Messages(_) => LENGTH,
        }
    }

    pub(crate) fn may_be_packed(self) -> bool {
        matches!(self, Kind::Fixed64s | Kind::Doubles | Kind::Varints)
    }
}

impl Message {
    pub(crate) fn field(&self, number: u32) -> Option<&'static Field> {
        self.fields.iter().find(|f| f.number == number)
    }

    pub(crate) fn named(&self, json: &str) -> Option<&'static Field> {
        self.fields.iter().find(|f| f.json == json)
    }
}

const fn f(number: u32, json: &'static str, kind: Kind) -> Field {
    Field { number, json, kind }
}

use Kind::{
    Base64, Bool, Double, Doubles, Fixed32, Fixed64, Fixed64s, Hex, Message as One, Messages as Many, Signed64, Text, Texts, Varint,
    Varints, Zigzag,
};

pub(crate) static ANY_VALUE: Message = Message {
    fields: &[
        f(1, "stringValue", Text),
        f(2, "boolValue", Bool),
        f(3, "intValue", Varint),
        f(4, "doubleValue", Double),
        f(5, "arrayValue", One(&ARRAY_VALUE)),
        f(6, "kvlistValue", One(&KEY_VALUES)),
        f(7, "bytesValue", Base64),
        f(8, "stringValueStrindex", Varint),
    ],
};
pub(crate) static ARRAY_VALUE: Message = Message { fields: &[f(1, "values", Many(&ANY_VALUE))] };
pub(crate) static KEY_VALUES: Message = Message { fields: &[f(1, "values", Many(&KEY_VALUE))] };
pub(crate) static KEY_VALUE: Message =
    Message { fields: &[f(1, "key", Text), f(2, "value", One(&ANY_VALUE)), f(3, "keyStrindex", Varint)] };

static ENTITY_REF: Message =
    Message { fields: &[f(1, "schemaUrl", Text), f(2, "type", Text), f(3, "idKeys", Texts), f(4, "descriptionKeys", Texts)] };
pub(crate) static RESOURCE: Message = Message {
    fields: &[f(1, "attributes", Many(&KEY_VALUE)), f(2, "droppedAttributesCount", Varint), f(3, "entityRefs", Many(&ENTITY_REF))],
};
pub(crate) static SCOPE: Message = Message {
    fields: &[f(1, "name", Text), f(2, "version", Text), f(3, "attributes", Many(&KEY_VALUE)), f(4, "droppedAttributesCount", Varint)],
};

pub(crate) static TRACES: Message = Message { fields: &[f(1, "resourceSpans", Many(&RESOURCE_SPANS))] };
static RESOURCE_SPANS: Message =
    Message { fields: &[f(1, "resource", One(&RESOURCE)), f(2, "scopeSpans", Many(&SCOPE_SPANS)), f(3, "schemaUrl", Text)] };
static SCOPE_SPANS: Message = Message { fields: &[f(1, "scope", One(&SCOPE)), f(2, "spans", Many(&SPAN)), f(3, "schemaUrl", Text)] };
pub(crate) static SPAN: Message = Message {
    fields: &[
        f(1, "traceId", Hex),
        f(2, "spanId", Hex),
        f(3, "traceState", Text),
        f(4, "parentSpanId", Hex),
        f(5, "name", Text),
        f(6, "kind", Varint),
        f(7, "startTimeUnixNano", Fixed64),
        f(8, "endTimeUnixNano", Fixed64),
        f(9, "attributes", Many(&KEY_VALUE)),
        f(10, "droppedAttributesCount", Varint),
        f(11, "events", Many(&EVENT)),
        f(12, "droppedEventsCount", Varint),
        f(13, "links", Many(&LINK)),
        f(14, "droppedLinksCount", Varint),
        f(15, "status", One(&STATUS)),
        f(16, "flags", Fixed32),
    ],
};
pub(crate) static EVENT: Message = Message {
    fields: &[
        f(1, "timeUnixNano", Fixed64),
        f(2, "name", Text),
        f(3, "attributes", Many(&KEY_VALUE)),
        f(4, "droppedAttributesCount", Varint),
    ],
};
pub(crate) static LINK: Message = Message {
    fields: &[
        f(1, "traceId", Hex),
        f(2, "spanId", Hex),
        f(3, "traceState", Text),
        f(4, "attributes", Many(&KEY_VALUE)),
        f(5, "droppedAttributesCount", Varint),
        f(6, "flags", Fixed32),
    ],
};
pub(crate) static STATUS: Message = Message { fields: &[f(2, "message", Text), f(3, "code", Varint)] };

pub(crate) static LOGS: Message = Message { fields: &[f(1, "resourceLogs", Many(&RESOURCE_LOGS))] };
static RESOURCE_LOGS: Message =
    Message { fields: &[f(1, "resource", One(&RESOURCE)), f(2, "scopeLogs", Many(&SCOPE_LOGS)), f(3, "schemaUrl", Text)] };
static SCOPE_LOGS: Message =
    Message { fields: &[f(1, "scope", One(&SCOPE)), f(2, "logRecords", Many(&LOG_RECORD)), f(3, "schemaUrl", Text)] };
static LOG_RECORD: Message = Message {
    fields: &[
        f(1, "timeUnixNano", Fixed64),
        f(2, "severityNumber", Varint),
        f(3, "severityText", Text),
        f(5, "body", One(&ANY_VALUE)),
        f(6, "attributes", Many(&KEY_VALUE)),
        f(7, "droppedAttributesCount", Varint),
        f(8, "flags", Fixed32),
        f(9, "traceId", Hex),
        f(10, "spanId", Hex),
        f(11, "observedTimeUnixNano", Fixed64),
        f(12, "eventName", Text),
    ],
};

pub(crate) static METRICS: Message = Message { fields: &[f(1, "resourceMetrics", Many(&RESOURCE_METRICS))] };
static RESOURCE_METRICS: Message =
    Message { fields: &[f(1, "resource", One(&RESOURCE)), f(2, "scopeMetrics", Many(&SCOPE_METRICS)), f(3, "schemaUrl", Text)] };
static SCOPE_METRICS: Message = Message { fields: &[f(1, "scope", One(&SCOPE)), f(2, "metrics", Many(&METRIC)), f(3, "schemaUrl", Text)] };
static METRIC: Message = Message {
    fields: &[
        f(1, "name", Text),
        f(2, "description", Text),
        f(3, "unit", Text),
        f(5, "gauge", One(&GAUGE)),
        f(7, "sum", One(&SUM)),
        f(9, "histogram", One(&HISTOGRAM)),
        f(10, "exponentialHistogram", One(&EXPONENTIAL_HISTOGRAM)),
        f(11, "summary", One(&SUMMARY)),
        f(12, "metadata", Many(&KEY_VALUE)),
    ],
};
static GAUGE: Message = Message { fields: &[f(1, "dataPoints", Many(&NUMBER_POINT))] };
static SUM: Message =
    Message { fields: &[f(1, "dataPoints", Many(&NUMBER_POINT)), f(2, "aggregationTemporality", Varint), f(3, "isMonotonic", Bool)] };
static HISTOGRAM: Message = Message { fields: &[f(1, "dataPoints", Many(&HISTOGRAM_POINT)), f(2, "aggregationTemporality", Varint)] };
static EXPONENTIAL_HISTOGRAM: Message =
    Message { fields: &[f(1, "dataPoints", Many(&EXPONENTIAL_POINT)), f(2, "aggregationTemporality", Varint)] };
static SUMMARY: Message = Message { fields: &[f(1, "dataPoints", Many(&SUMMARY_POINT))] };
static NUMBER_POINT: Message = Message {
    fields: &[
        f(2, "startTimeUnixNano", Fixed64),
        f(3, "timeUnixNano", Fixed64),
        f(4, "asDouble", Double),
        f(5, "exemplars", Many(&EXEMPLAR)),
        f(6, "asInt", Signed64),
        f(7, "attributes", Many(&KEY_VALUE)),
        f(8, "flags", Varint),
    ],
};
static HISTOGRAM_POINT: Message = Message {
    fields: &[
        f(2, "startTimeUnixNano", Fixed64),
        f(3, "timeUnixNano", Fixed64),
        f(4, "count", Fixed64),
        f(5, "sum", Double),
        f(6, "bucketCounts", Fixed64s),
        f(7, "explicitBounds", Doubles),
        f(8, "exemplars", Many(&EXEMPLAR)),
        f(9, "attributes", Many(&KEY_VALUE)),
        f(10, "flags", Varint),
        f(11, "min", Double),
        f(12, "max", Double),
    ],
};
static EXPONENTIAL_POINT: Message = Message {
    fields: &[
        f(1, "attributes", Many(&KEY_VALUE)),
        f(2, "startTimeUnixNano", Fixed64),
        f(3, "timeUnixNano", Fixed64),
        f(4, "count", Fixed64),
        f(5, "sum", Double),
        f(6, "scale", Zigzag),
        f(7, "zeroCount", Fixed64),
        f(8, "positive", One(&BUCKETS)),
        f(9, "negative", One(&BUCKETS)),
        f(10, "flags", Varint),
        f(11, "exemplars", Many(&EXEMPLAR)),
        f(12, "min", Double),
        f(13, "max", Double),
        f(14, "zeroThreshold", Double),
    ],
};
static BUCKETS: Message = Message { fields: &[f(1, "offset", Zigzag), f(2, "bucketCounts", Varints)] };
static SUMMARY_POINT: Message = Message {
    fields: &[
        f(2, "startTimeUnixNano", Fixed64),
        f(3, "timeUnixNano", Fixed64),
        f(4, "count", Fixed64),
        f(5, "sum", Double),
        f(6, "quantileValues", Many(&QUANTILE)),
        f(7, "attributes", Many(&KEY_VALUE)),
        f(8, "flags", Varint),
    ],
};
static QUANTILE: Message = Message { fields: &[f(1, "quantile", Double), f(2, "value", Double)] };
static EXEMPLAR: Message = Message {
    fields: &[
        f(2, "timeUnixNano", Fixed64),
        f(3, "asDouble", Double),
        f(4, "spanId", Hex),
        f(5, "traceId", Hex),
        f(6, "asInt", Signed64),
        f(7, "filteredAttributes", Many(&KEY_VALUE)),
    ],
};
