//! One span, from its bytes into the columns.

use super::attributes::{self, is_ascii};
use super::parse::{Parsed, Range};
use super::residual::{Known, Read, Residuals};
use crate::inspect::{Findings, Stop, inspect};
use crate::limits::Limits;
use crate::repair::repair;
use crate::schema::{EVENT, KEY_VALUE, LINK, Message, SPAN, STATUS};
use crate::wire::{FIXED32, FIXED64, LENGTH, Reader, VARINT, expect};
use std::num::NonZeroU64;
use watchfire_model::{SpanId, TraceId};

/// A parsed span: what is fixed is decoded, what is text is a range of the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) parent_id: SpanId,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) body: Range,
    /// (start, length) within the body.
    pub(super) name: (u32, u32),
    pub(super) trace_state: (u32, u32),
    /// As in [`SpanView`](watchfire_model::SpanView).
    pub(super) head: u32,
    pub(super) residual: Option<NonZeroU64>,
    pub(super) attributes: (u32, u32),
    /// Where its links end in the column; they begin where those of the span before end.
    pub(super) links_end: u32,
    pub(super) flags: u32,
    pub(super) kind: u8,
    pub(super) status: u8,
}

/// The fields of one span as its bytes tell them.
#[derive(Default)]
struct Fields<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent_id: &'a [u8],
    start: u64,
    end: u64,
    name: (u32, u32),
    trace_state: (u32, u32),
    flags: u32,
    kind: u8,
    status: u8,
    head: u32,
    residual: Option<NonZeroU64>,
    /// From the first attribute to the end of the last.
    attributes_at: (u32, u32),
    attributes: usize,
    links: usize,
    events: usize,
    findings: Findings,
}

/// Parses the span `body`, which begins at `at` of the request, and appends it; one with an invalid id is only counted.
pub(super) fn parse_span(parsed: &mut Parsed, body: &[u8], at: usize, limits: &Limits, residuals: &mut Residuals) -> Result<(), Stop> {
    parsed.count_items(1, limits)?;
    let links_before = parsed.links.len();
    let mut fields = Fields::default();
    read_fields(parsed, &mut fields, body, limits, residuals)?;
    parsed.add(fields.findings);
    let too_many = fields.attributes > limits.max_attributes || fields.events > limits.max_events || fields.links > limits.max_links;
    let ids = (valid_id::<16>(fields.trace_id), valid_id::<8>(fields.span_id));
    let ((Some(trace_id), Some(span_id)), false) = (ids, fields.findings.needs_repair() || too_many) else {
        parsed.links.truncate(links_before);
        return match ids {
            (None, _) => {
                parsed.bad_trace_ids.count(fields.trace_id);
                Ok(())
            }
            (_, None) => {
                parsed.bad_span_ids.count(fields.span_id);
                Ok(())
            }
            (Some(trace_id), Some(span_id)) => {
                parsed.dropped.attributes += fields.attributes.saturating_sub(limits.max_attributes) as u64;
                parsed.dropped.events += fields.events.saturating_sub(limits.max_events) as u64;
                parsed.dropped.links += fields.links.saturating_sub(limits.max_links) as u64;
                repaired_span(parsed, body, TraceId(trace_id), SpanId(span_id), limits, residuals)
            }
        };
    };
    let range = Range { start: at as u32, length: body.len() as u32, repaired: false };
    push(parsed, TraceId(trace_id), SpanId(span_id), range, &fields);
    Ok(())
}

/// As [`parse_span`], by way of a repaired copy of the body.
fn repaired_span(
    parsed: &mut Parsed,
    body: &[u8],
    trace_id: TraceId,
    span_id: SpanId,
    limits: &Limits,
    residuals: &mut Residuals,
) -> Result<(), Stop> {
    let start = parsed.repaired.len();
    repair(body, &SPAN, 0, limits, &mut parsed.repaired)?;
    let copy = parsed.repaired.split_off(start);
    // Its elements have been counted when they came.
    let items = std::mem::take(&mut parsed.findings.items);
    let mut fields = Fields::default();
    read_fields(parsed, &mut fields, &copy, limits, residuals)?;
    parsed.findings.items = items;
    let range = Range { start: start as u32, length: copy.len() as u32, repaired: true };
    push(parsed, trace_id, span_id, range, &fields);
    parsed.repaired.extend_from_slice(&copy);
    Ok(())
}

fn push(parsed: &mut Parsed, trace_id: TraceId, span_id: SpanId, body: Range, fields: &Fields<'_>) {
    parsed.spans.push(Span {
        trace_id,
        span_id,
        parent_id: SpanId(valid_id::<8>(fields.parent_id).unwrap_or_default()),
        start: fields.start,
        end: fields.end,
        body,
        name: fields.name,
        trace_state: fields.trace_state,
        head: fields.head,
        residual: fields.residual,
        attributes: fields.attributes_at,
        links_end: parsed.links.len() as u32,
        flags: fields.flags,
        kind: fields.kind,
        status: fields.status,
    });
}

/// An id of the right length that is not all zero.
#[inline]
fn valid_id<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let id: [u8; N] = bytes.try_into().ok()?;
    (id != [0; N]).then_some(id)
}

/// Into `fields`, which must be empty.
#[inline]
fn read_fields<'a>(
    parsed: &mut Parsed,
    fields: &mut Fields<'a>,
    body: &'a [u8],
    limits: &Limits,
    residuals: &mut Residuals,
) -> Result<(), Stop> {
    fields.findings.items = parsed.findings.items;
    let mut reader = Reader::new(body);
    in_order(fields, &mut reader, limits, residuals)?;
    loop {
        let before = reader.position();
        let Some((field, wire_type)) = reader.tag()? else { return Ok(()) };
        match field {
            1..=5 | 9 | 11 | 13 | 15 => {
                expect(field, wire_type, LENGTH)?;
                let value = reader.bytes()?;
                let start = (reader.position() - value.len()) as u32;
                match field {
                    1 => fields.trace_id = value,
                    2 => fields.span_id = value,
                    3 => {
                        fields.trace_state = (start, value.len() as u32);
                        text(value, limits.max_value, &mut fields.findings);
                    }
                    4 => fields.parent_id = value,
                    5 => {
                        fields.name = (start, value.len() as u32);
                        text(value, limits.max_name, &mut fields.findings);
                    }
                    9 => {
                        let first = if fields.attributes == 0 { before as u32 } else { fields.attributes_at.0 };
                        attributes::count(&mut fields.attributes, 1, limits, &mut fields.findings)?;
                        inspect(value, &KEY_VALUE, 0, limits, &mut fields.findings)?;
                        attributes::read(&mut reader, &mut fields.attributes, limits, &mut fields.findings)?;
                        fields.attributes_at = (first, reader.position() as u32);
                    }
                    11 => element(value, &EVENT, &mut fields.events, limits, &mut fields.findings)?,
                    13 => {
                        element(value, &LINK, &mut fields.links, limits, &mut fields.findings)?;
                        if let Some(link) = link(value)? {
                            parsed.links.push(link);
                        }
                    }
                    _ => status(fields, value, limits)?,
                }
            }
            6 => {
                expect(field, wire_type, VARINT)?;
                fields.kind = small(reader.varint()?);
            }
            7 => {
                expect(field, wire_type, FIXED64)?;
                fields.start = reader.fixed64()?;
            }
            8 => {
                expect(field, wire_type, FIXED64)?;
                fields.end = reader.fixed64()?;
            }
            10 | 12 | 14 => {
                expect(field, wire_type, VARINT)?;
                reader.varint()?;
            }
            16 => {
                expect(field, wire_type, FIXED32)?;
                fields.flags = reader.fixed32()?;
            }
            _ => reader.skip(field, wire_type)?,
        }
    }
}

/// The fields in the order in which everybody writes them, one predictable look each. What does not come so is left where it is.
#[inline(always)]
fn in_order<'a>(fields: &mut Fields<'a>, reader: &mut Reader<'a>, limits: &Limits, residuals: &mut Residuals) -> Result<(), Stop> {
    const fn tag(field: u8, wire_type: u8) -> u8 {
        field << 3 | wire_type
    }
    let start = |reader: &Reader<'_>, value: &[u8]| (reader.position() - value.len()) as u32;
    let Some(ids) = reader.rest().first_chunk::<28>() else { return Ok(()) };
    if ids[..2] != [tag(1, LENGTH), 16] || ids[18..20] != [tag(2, LENGTH), 8] {
        return Ok(());
    }
    (fields.trace_id, fields.span_id) = (&ids[2..18], &ids[20..]);
    reader.pass(28);
    if let Some(value) = reader.short_field(tag(3, LENGTH)) {
        fields.trace_state = (start(reader, value), value.len() as u32);
        text(value, limits.max_value, &mut fields.findings);
    }
    if let Some(value) = reader.short_field(tag(4, LENGTH)) {
        fields.parent_id = value;
    }
    let name = reader.short_field(tag(5, LENGTH)).unwrap_or_default();
    if !name.is_empty() {
        fields.name = (start(reader, name), name.len() as u32);
        text(name, limits.max_name, &mut fields.findings);
    }
    // Kind in one byte, start and end in eight each.
    let Some(times) = reader.rest().first_chunk::<20>() else { return Ok(()) };
    if [times[0], times[2], times[11]] != [tag(6, VARINT), tag(7, FIXED64), tag(8, FIXED64)] || times[1] >= 0x80 {
        return Ok(());
    }
    fields.kind = times[1];
    fields.start = u64::from_le_bytes(times[3..11].try_into().unwrap_or_default());
    fields.end = u64::from_le_bytes(times[12..].try_into().unwrap_or_default());
    reader.pass(20);
    let head = reader.position() as u32;
    let (residual, items) = (reader.rest(), fields.findings.items);
    if fields.trace_state == (0, 0) {
        fields.head = head;
        if let Some(Known { number, read, .. }) = residuals.find(name, residual) {
            fields.residual = Some(*number);
            fields.attributes = read.attributes as usize;
            if read.attributes > 0 {
                fields.attributes_at = (head, head + read.attribute_bytes);
            }
            (fields.status, fields.flags) = (read.status, read.flags);
            reader.pass(residual.len());
            return Ok(());
        }
    }
    attributes::read(reader, &mut fields.attributes, limits, &mut fields.findings)?;
    if fields.attributes > 0 {
        fields.attributes_at = (head, reader.position() as u32);
    }
    if let Some(value) = reader.short_field(tag(15, LENGTH)) {
        status(fields, value, limits)?;
    }
    // Field 16 is the first whose tag takes two bytes.
    if let Some(value) = reader.tagged_fixed32([0x80 | FIXED32, 1]) {
        fields.flags = value;
    }
    if fields.head > 0
        && residuals.has_vacancy()
        && reader.rest().is_empty()
        && fields.findings.items == items
        && !fields.findings.needs_repair()
    {
        let attribute_bytes = fields.attributes_at.1 - fields.attributes_at.0;
        let read = Read { attributes: fields.attributes as u32, attribute_bytes, flags: fields.flags, status: fields.status };
        fields.residual = residuals.remember(residual, read);
    }
    Ok(())
}

#[inline(always)]
fn status(fields: &mut Fields<'_>, value: &[u8], limits: &Limits) -> Result<(), Stop> {
    match value {
        [] => {}
        // Only a code.
        [0x18, code @ 0..0x80] => fields.status = *code,
        _ => {
            inspect(value, &STATUS, 0, limits, &mut fields.findings)?;
            if let Some(code) = status_code(value)? {
                fields.status = code;
            }
        }
    }
    Ok(())
}

fn element(value: &[u8], message: &'static Message, seen: &mut usize, limits: &Limits, findings: &mut Findings) -> Result<(), Stop> {
    *seen += 1;
    findings.count(1, limits)?;
    inspect(value, message, 0, limits, findings)
}

#[inline]
fn text(bytes: &[u8], limit: usize, findings: &mut Findings) {
    if !is_ascii(bytes) && simdutf8::basic::from_utf8(bytes).is_err() {
        findings.bad_text += 1;
    }
    if bytes.len() > limit {
        findings.too_long += 1;
    }
}

/// Enum values that nobody has defined yet become 255, which means unspecified.
fn small(value: u64) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

fn status_code(bytes: &[u8]) -> Result<Option<u8>, Stop> {
    let mut code = None;
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.tag()? {
        if field == 3 { code = Some(small(reader.varint()?)) } else { reader.skip(field, wire_type)? }
    }
    Ok(code)
}

/// The ids of a link; one with invalid ids leads nowhere and is left out.
fn link(bytes: &[u8]) -> Result<Option<(TraceId, SpanId)>, Stop> {
    let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.tag()? {
        match field {
            1 => trace_id = reader.bytes()?,
            2 => span_id = reader.bytes()?,
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok(valid_id::<16>(trace_id).zip(valid_id::<8>(span_id)).map(|(t, s)| (TraceId(t), SpanId(s))))
}
