//! One trace, whole: every span that is held of it, however broken its shape. No recursion anywhere: chains may be as long as a trace has spans.

use super::detail::{Body, hex, resource};
use crate::spans::segment::{MENDED, REPEATED, Segment, SpanRow};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use watchfire_model::reading::attribute::Scalar;
use watchfire_model::reading::{Span, Trace};
use watchfire_model::{SpanKind, SpanStatus, TraceId};

/// Bodies looked through for a correlation id, newest first.
const LOOKED_THROUGH: usize = 200_000;
/// Hexadecimal digits that a prefix of an id needs.
const SHORTEST_PREFIX: usize = 4;
/// Hexadecimal digits of half a trace id.
const HALF: usize = 16;
/// A child that starts this much before its parent, or ends this much after, has another clock, nanoseconds.
const SKEW: u64 = 5_000_000;

/// The trace that a text means: a trace id, a span id, a prefix of either, the lower half of a trace id, or the value of any attribute.
pub(crate) fn resolve(segments: &[Arc<Segment>], text: &str) -> Option<u128> {
    let text = text.trim();
    if let Some(id) = TraceId::parse(text) {
        let id = u128::from_be_bytes(id.0);
        // A correlation id may look like a trace id.
        let held = segments.iter().rev().any(|s| s.columns.trace_ids.contains(&id));
        return if held { Some(id) } else { by_attribute(segments, text) };
    }
    if text.len() >= SHORTEST_PREFIX && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        let value = u128::from_str_radix(text, 16).ok()?;
        let bits = 4 * text.len() as u32;
        let newest = || segments.iter().rev();
        let trace = newest().find_map(|s| s.columns.trace_ids.iter().rev().find(|id| *id >> (128 - bits) == value).copied());
        if trace.is_some() {
            return trace;
        }
        if bits <= 64 {
            let of_span = |s: &Arc<Segment>| {
                let at = s.columns.span_ids.iter().rposition(|id| u128::from(*id >> (64 - bits)) == value)?;
                Some(s.columns.trace_ids[at])
            };
            if let Some(trace) = newest().find_map(of_span) {
                return Some(trace);
            }
        }
        // Tracers of 64 bits know the lower half of an id, without its zeros in front.
        if (HALF - 2..=HALF).contains(&text.len()) {
            let half = newest().find_map(|s| s.columns.trace_ids.iter().rev().find(|id| u128::from(**id as u64) == value).copied());
            if half.is_some() {
                return half;
            }
        }
    }
    (!text.is_empty()).then(|| by_attribute(segments, text)).flatten()
}

fn by_attribute(segments: &[Arc<Segment>], text: &str) -> Option<u128> {
    let needle = text.as_bytes();
    let mut looked = 0;
    for segment in segments.iter().rev() {
        if looked >= LOOKED_THROUGH {
            return None;
        }
        looked += segment.len();
        let mut found = None;
        segment.bodies(0..segment.len(), |row, body| {
            if contains_value(body, needle) {
                found = Some(segment.columns.trace_ids[row]);
            }
            true
        });
        if found.is_some() {
            return found;
        }
    }
    None
}

fn contains_value(body: &[u8], needle: &[u8]) -> bool {
    use crate::spans::wire::{AnyText, Fields, Wire, key_value, text};
    Fields::new(body).any(|field| match field {
        (9, Wire::Bytes(item)) => matches!(text(key_value(item).1), AnyText::Text(value) if value == needle),
        _ => false,
    })
}

/// The spans of a trace in the order of the tree, siblings by start. At most `limit` are decoded, failing ones and what leads to them first; the rest
/// is counted. What they say is read as far as `text` bytes go, in the order of their arrival; spans beyond say that it is left out.
pub(crate) fn trace(segments: &[Arc<Segment>], id: u128, limit: usize, text: usize) -> Option<Trace> {
    let mut rows: Vec<SpanRow<'_>> = Vec::new();
    let mut seen: HashSet<(u64, u64, u64), RandomState> = HashSet::default();
    for segment in segments {
        for row in (0..segment.len()).filter(|row| segment.columns.trace_ids[*row] == id).map(|row| segment.row(row)) {
            // A span that was sent twice is listed once; a different span under the same id is listed too.
            let same = (segment.columns.span_ids[row.row], row.start(), row.duration());
            if !seen.insert(same) && row.has(REPEATED) {
                continue;
            }
            rows.push(row);
        }
    }
    if rows.is_empty() {
        return None;
    }
    let omitted = rows.len().saturating_sub(limit);
    if omitted > 0 {
        let mut kept = worth_most(&rows, limit).into_iter();
        rows.retain(|_| kept.next().unwrap_or(false));
    }
    let (order, salvaged) = arrange(&rows);
    let bodies = decode(&rows, text);
    let by_id: HashMap<u64, usize, RandomState> = rows.iter().enumerate().map(|(i, r)| (span_id(r), i)).collect();
    let resources = ResourceTexts::default();
    let mut bodies: Vec<Option<Body>> = bodies.into_iter().map(Some).collect();
    let spans = order
        .iter()
        .map(|i| {
            let row = &rows[*i];
            let parent = by_id.get(&parent_id(row)).filter(|p| **p != *i).map(|p| &rows[*p]);
            span(row, parent, bodies[*i].take().unwrap_or_default(), &resources)
        })
        .collect();
    Some(Trace { trace_id: TraceId(id.to_be_bytes()).to_string(), spans, salvaged, omitted, ..Trace::default() })
}

/// Which rows of a trace that is too large are shown: those that fail with all above them, then the earliest received.
fn worth_most(rows: &[SpanRow<'_>], limit: usize) -> Vec<bool> {
    let first_of: HashMap<u64, usize, RandomState> = rows.iter().enumerate().rev().map(|(i, r)| (span_id(r), i)).collect();
    let mut kept = vec![false; rows.len()];
    let mut room = limit;
    for failing in (0..rows.len()).filter(|i| rows[*i].status() == SpanStatus::Error) {
        let mut at = Some(failing);
        while let Some(i) = at.filter(|i| room > 0 && !kept[*i]) {
            kept[i] = true;
            room -= 1;
            at = first_of.get(&parent_id(&rows[i])).copied();
        }
    }
    for row in kept.iter_mut().filter(|kept| !**kept).take(room) {
        *row = true;
    }
    kept
}

fn span_id(row: &SpanRow<'_>) -> u64 {
    row.segment.columns.span_ids[row.row]
}

fn parent_id(row: &SpanRow<'_>) -> u64 {
    row.segment.columns.parents[row.row]
}

/// Depth-first order of the rows, and how many had to be salvaged: their parent is missing, or they stood in a cycle.
fn arrange(rows: &[SpanRow<'_>]) -> (Vec<usize>, usize) {
    let mut first_of: HashMap<u64, usize, RandomState> = HashMap::default();
    for (i, row) in rows.iter().enumerate() {
        first_of.entry(span_id(row)).or_insert(i);
    }
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); rows.len()];
    let mut tops = Vec::new();
    let mut salvaged = 0;
    for (i, row) in rows.iter().enumerate() {
        match first_of.get(&parent_id(row)) {
            Some(parent) if *parent != i => children[*parent].push(i),
            _ => {
                salvaged += usize::from(!row.is_root());
                tops.push(i);
            }
        }
    }
    let by_start = |i: &usize| (rows[*i].start(), *i);
    children.iter_mut().for_each(|c| c.sort_by_key(by_start));
    tops.sort_by_key(by_start);
    let mut order = Vec::with_capacity(rows.len());
    let mut placed = vec![false; rows.len()];
    let mut stack: Vec<usize> = tops.into_iter().rev().collect();
    let mut next = 0;
    loop {
        while let Some(i) = stack.pop() {
            if std::mem::replace(&mut placed[i], true) {
                continue;
            }
            order.push(i);
            stack.extend(children[i].iter().rev().filter(|c| !placed[**c]));
        }
        // What no top leads to stands in a cycle: it is cut at its first span.
        while next < rows.len() && placed[next] {
            next += 1;
        }
        if next == rows.len() {
            return (order, salvaged);
        }
        salvaged += 1;
        stack.push(next);
    }
}

fn decode(rows: &[SpanRow<'_>], text: usize) -> Vec<Body> {
    let mut bodies: Vec<Body> = rows.iter().map(|_| Body::default()).collect();
    let (mut from, mut room) = (0, text);
    for group in rows.chunk_by(|a, b| std::ptr::eq(a.segment, b.segment)) {
        let mut at = from;
        group[0].segment.bodies(group.iter().map(|r| r.row), |_, bytes| {
            let fits = room.checked_sub(bytes.len());
            room = fits.unwrap_or(0);
            bodies[at] = if fits.is_some() { Body::decode(bytes) } else { Body::decode_short(bytes) };
            at += 1;
            true
        });
        from += group.len();
    }
    bodies
}

/// Decoded resources, one per distinct resource of the trace.
#[derive(Default)]
struct ResourceTexts(RefCell<HashMap<usize, ResourceText, RandomState>>);

type ResourceText = Arc<BTreeMap<String, Scalar>>;

impl ResourceTexts {
    fn of(&self, row: &SpanRow<'_>) -> ResourceText {
        let held = row.resource();
        self.0.borrow_mut().entry(held as *const _ as usize).or_insert_with(|| Arc::new(resource(&held.raw))).clone()
    }
}

pub(crate) fn kind_word(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Unspecified => "unspecified",
        SpanKind::Internal => "internal",
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
    }
}

fn span(row: &SpanRow<'_>, parent: Option<&SpanRow<'_>>, body: Body, resources: &ResourceTexts) -> Span {
    let end = row.start().saturating_add(row.duration());
    let skewed = row.has(MENDED)
        || parent.is_some_and(|p| {
            let asynchronous = matches!(row.kind(), SpanKind::Consumer | SpanKind::Producer);
            let parent_end = p.start().saturating_add(p.duration());
            row.start().saturating_add(SKEW) < p.start()
                || (!asynchronous && p.duration() > 0 && row.start() > parent_end.saturating_add(SKEW))
        });
    let mut warnings = Vec::new();
    if row.has(MENDED) {
        warnings.push("its times make no sense (end before start, or far from its arrival): duration shown as 0".to_owned());
    }
    if row.has(REPEATED) {
        warnings.push("another span of this trace has the same id: not counted".to_owned());
    }
    if skewed && !row.has(MENDED) {
        let parent_start = parent.map_or(0, |p| p.start());
        let (word, by) =
            if row.start() < parent_start { ("before", parent_start - row.start()) } else { ("after", end.saturating_sub(parent_start)) };
        warnings.push(format!("the sender's clock disagrees with the parent's: it lies {:.1} ms {word} it", by as f64 / 1e6));
    }
    if body.repaired {
        warnings.push("text that is not UTF-8 was repaired".to_owned());
    }
    if body.left_out {
        warnings.push("its attributes, events and links are not shown: the trace says too much (limits.store.trace_text)".to_owned());
    }
    if body.dropped_attributes > 0 {
        warnings.push(format!("{} attributes were dropped before they were kept", body.dropped_attributes));
    }
    let status = match row.status() {
        SpanStatus::Unset => "unset",
        SpanStatus::Ok => "ok",
        SpanStatus::Error => "error",
    };
    let scope = row.scope();
    Span {
        span_id: row.span_id().to_string(),
        parent_id: if row.is_root() { String::new() } else { hex(&row.parent_id().0) },
        service: row.service().to_owned(),
        name: body.name.unwrap_or_else(|| row.operation().name.to_string()),
        kind: kind_word(row.kind()).to_owned(),
        start: row.start() as f64 / 1e9,
        duration_seconds: row.duration() as f64 / 1e9,
        status: status.to_owned(),
        status_message: body.status_message,
        attributes: body.attributes,
        resource: resources.of(row),
        events: body.events,
        links: body.links,
        scope: if scope.version.is_empty() { scope.name.to_string() } else { format!("{} {}", scope.name, scope.version) },
        skewed,
        dropped_attributes: body.dropped_attributes,
        warnings,
        repeated: row.has(REPEATED),
    }
}
