//! What both versions have in common: the series they end up as, and how samples, labels and metadata are read.

use crate::limits::Limits;
use crate::wire::{FIXED64, LENGTH, Reader, VARINT, WireError, expect};
use watchfire_model::{
    Exemplar, Labels, LabelsBuilder, METRIC_NAME, Metadata, MetricKind, NativeHistogram, ORDINARY_NAN, SpanId, Timestamp, TraceId, is_stale,
};

/// A request as both versions mean it.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) series: Vec<Series>,
    pub(super) metadata: Vec<(String, Metadata)>,
    /// Samples refused already, by reason.
    pub(super) rejected: Vec<(&'static str, u64)>,
}

#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) labels: Labels,
    pub(super) kind: Option<MetricKind>,
    pub(super) samples: Vec<(Timestamp, f64)>,
    pub(super) histograms: Vec<(Timestamp, NativeHistogram)>,
    pub(super) exemplars: Vec<Exemplar>,
}

/// Why a request cannot be used at all.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    Decode(String),
    TooManyItems,
}

impl From<WireError> for Problem {
    fn from(error: WireError) -> Self {
        Problem::Decode(error.to_string())
    }
}

/// Elements of a request so far: series, labels, samples, symbols ...
pub(super) struct Items<'a> {
    pub(super) count: usize,
    pub(super) limits: &'a Limits,
}

impl Items<'_> {
    pub(super) fn add(&mut self, items: usize) -> Result<(), Problem> {
        self.count += items;
        if self.count > self.limits.max_items { Err(Problem::TooManyItems) } else { Ok(()) }
    }
}

pub(super) fn add(list: &mut Vec<(&'static str, u64)>, reason: &'static str, n: u64) {
    if n == 0 {
        return;
    }
    match list.iter_mut().find(|(r, _)| *r == reason) {
        Some((_, count)) => *count += n,
        None => list.push((reason, n)),
    }
}

/// `Sample`: value 1, timestamp 2; a NaN other than the stale one is an ordinary one.
pub(super) fn sample(bytes: &[u8]) -> Result<(Timestamp, f64), WireError> {
    let (mut at, mut value) = (0, 0.0);
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.tag()? {
        match field {
            1 => {
                expect(field, wire_type, FIXED64)?;
                value = f64::from_bits(reader.fixed64()?);
            }
            2 => {
                expect(field, wire_type, VARINT)?;
                at = reader.varint()?.cast_signed();
            }
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok((Timestamp(at), if value.is_nan() && !is_stale(value) { ORDINARY_NAN } else { value }))
}

/// Checks a label set: a metric name, no empty and no double names, valid UTF-8, within the limits.
pub(super) fn labels(pairs: &[(&[u8], &[u8])], limits: &Limits) -> Result<Labels, &'static str> {
    let mut builder = LabelsBuilder::new();
    if pairs.len() > limits.max_attributes {
        return Err("too many labels");
    }
    for (name, value) in pairs {
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else { return Err("invalid UTF-8") };
        if name.is_empty() {
            return Err("empty label name");
        }
        if name.len() > limits.max_name || value.len() > limits.max_value {
            return Err("label too long");
        }
        if builder.get(name).is_some() {
            return Err("duplicate label");
        }
        if !value.is_empty() {
            builder.set(name, value);
        }
    }
    if builder.get(METRIC_NAME).is_none() { Err("no metric name") } else { Ok(builder.build()) }
}

/// An exemplar from its labels; the ids move to where they belong. More text than an exemplar may have is left out.
pub(super) fn exemplar(at: Timestamp, value: f64, pairs: &[(&[u8], &[u8])]) -> Exemplar {
    let mut exemplar = Exemplar { at, value, trace_id: None, span_id: None, labels: Labels::empty() };
    let mut builder = LabelsBuilder::new();
    for (name, value) in pairs {
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else { continue };
        match name {
            "trace_id" | "traceID" if TraceId::parse(value).is_some() => exemplar.trace_id = TraceId::parse(value),
            "span_id" | "spanID" if SpanId::parse(value).is_some() => exemplar.span_id = SpanId::parse(value),
            _ => {
                builder.set(name, value);
            }
        }
    }
    let characters = |text: &[u8]| std::str::from_utf8(text).map_or(0, |text| text.chars().count());
    if pairs.iter().map(|(name, value)| characters(name) + characters(value)).sum::<usize>() <= Exemplar::CHARACTERS {
        exemplar.labels = builder.build();
    }
    exemplar
}

/// The metric types of both versions, which agree.
pub(super) fn kind(value: u64) -> MetricKind {
    match value {
        1 => MetricKind::Counter,
        2 => MetricKind::Gauge,
        3 => MetricKind::Histogram,
        4 => MetricKind::GaugeHistogram,
        5 => MetricKind::Summary,
        6 => MetricKind::Info,
        7 => MetricKind::StateSet,
        _ => MetricKind::Unknown,
    }
}

/// A length-delimited field, or why not.
pub(super) fn message<'a>(reader: &mut Reader<'a>, field: u32, wire_type: u8) -> Result<&'a [u8], WireError> {
    expect(field, wire_type, LENGTH)?;
    reader.bytes()
}
