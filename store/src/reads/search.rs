//! Finding traces.

use crate::spans::segment::{FAILED, REPEATED, Segment, SpanRow};
use crate::spans::wire::{Fields, Wire, key_value, scalar};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;
use watchfire_model::reading::{TraceQuery, TraceRow, Traces};
use watchfire_model::{AttributeValue, Timestamp, TraceId};

/// Traces returned when the question names no limit, and the most there ever are.
const LIMIT: usize = 100;
const MOST: usize = 10_000;
/// Spans looked at for one question, newest first. The answer's `searched` says how many traces that were.
const SPANS: usize = 2_000_000;
/// Services named per trace.
const SERVICES: usize = 16;
/// A trace of which so many segments in a row, counted from the newest, hold no span has been seen whole.
const SETTLED_SEGMENTS: usize = 8;

#[derive(Default)]
struct Found<'a> {
    start: u64,
    end: u64,
    spans: usize,
    errors: usize,
    root: Option<(SpanRow<'a>, bool)>,
    /// With when each was first met.
    services: Vec<(&'a str, u64)>,
    /// A span that meets the conditions on service, operation and attributes.
    matched: bool,
    /// Segment (counted from the newest) in which a span was seen last.
    deepest: usize,
}

/// Answers a search over `segments` (oldest first) as of `at`.
pub(crate) fn traces(segments: &[Arc<Segment>], query: &TraceQuery, at: Option<Timestamp>, pinned: impl Fn(u128) -> bool) -> Traces {
    let limit = query.limit.unwrap_or(LIMIT).min(MOST);
    let nanos = |t: Timestamp| u64::try_from(t.0).unwrap_or(0).saturating_mul(1_000_000);
    let from = query.start.map_or(0, nanos);
    let until = query.end.map_or(u64::MAX, |t| nanos(t).saturating_add(999_999));
    let at = at.unwrap_or(Timestamp::MAX);
    let mut found: HashMap<u128, Found<'_>, RandomState> = HashMap::default();
    let mut seen = 0;
    // What came later is not there.
    let seen_then = segments.iter().rev().filter(|segment| segment.rows_by(at).len() > 0);
    for (depth, segment) in seen_then.enumerate() {
        if seen >= SPANS || (depth % SETTLED_SEGMENTS == 0 && enough(&found, query, limit, depth)) {
            break;
        }
        seen += segment.len();
        let wanted = wanted_operations(segment, query);
        let with_attributes = rows_with_attributes(segment, query, from, until, &wanted);
        for row in segment.rows_by(at).rev() {
            if row.start() < from || row.start() > until {
                continue;
            }
            let entry = found.entry(row.trace()).or_insert_with(|| Found { start: u64::MAX, ..Found::default() });
            entry.deepest = depth;
            take(entry, row);
            entry.matched |= wanted.as_ref().is_none_or(|w| w[segment.columns.operations[row.row] as usize])
                && with_attributes.as_ref().is_none_or(|rows| rows.contains(&row.row));
        }
    }
    let searched = found.len() as u64;
    let mut rows: Vec<(u128, Found<'_>)> = found.into_iter().filter(|(_, f)| answers(f, query)).collect();
    if let Some(wanted) = query.pinned {
        rows.retain(|(id, _)| pinned(*id) == wanted);
    }
    if query.slowest_first {
        rows.sort_unstable_by_key(|(id, f)| (std::cmp::Reverse(f.end.saturating_sub(f.start)), std::cmp::Reverse(f.start), *id));
    } else {
        rows.sort_unstable_by_key(|(id, f)| (std::cmp::Reverse(f.start), *id));
    }
    rows.truncate(limit);
    Traces { traces: rows.into_iter().map(|(id, f)| row_of(id, &f, pinned(id))).collect(), searched }
}

/// Newest first is done when the newest `limit` matches cannot be joined by older spans any more.
fn enough(found: &HashMap<u128, Found<'_>, RandomState>, query: &TraceQuery, limit: usize, depth: usize) -> bool {
    !query.slowest_first
        && query.pinned.is_none()
        && depth > 0
        && query.start.is_none()
        && found.len() > limit
        && found.values().filter(|f| f.deepest + SETTLED_SEGMENTS < depth && answers(f, query)).take(limit).count() >= limit
}

fn answers(found: &Found<'_>, query: &TraceQuery) -> bool {
    let millis = found.end.saturating_sub(found.start) as f64 / 1e6;
    found.matched
        && query.min_duration_ms.is_none_or(|least| millis >= least)
        && query.max_duration_ms.is_none_or(|most| millis <= most)
        && query.error.is_none_or(|error| error == (found.errors > 0))
}

fn take<'a>(found: &mut Found<'a>, row: SpanRow<'a>) {
    let repeated = row.has(REPEATED);
    found.start = found.start.min(row.start());
    found.end = found.end.max(row.start().saturating_add(row.duration()));
    found.spans += usize::from(!repeated);
    found.errors += usize::from(row.has(FAILED) && !repeated);
    let service = row.service();
    match found.services.iter().position(|(name, _)| *name == service) {
        Some(i) => found.services[i].1 = row.start().min(found.services[i].1),
        None if found.services.len() < SERVICES => found.services.push((service, row.start())),
        None => {}
    }
    // Of several that begin at once, the longest holds the others.
    let earlier =
        |held: &SpanRow<'_>| (row.start(), std::cmp::Reverse(row.duration())) < (held.start(), std::cmp::Reverse(held.duration()));
    let better = match &found.root {
        None => true,
        Some((held, true)) => row.is_root() && earlier(held),
        Some((held, false)) => row.is_root() || earlier(held),
    };
    if better {
        found.root = Some((row, row.is_root()));
    }
}

/// Which operations of a segment meet the conditions on service and operation; `None` when there are no such conditions.
fn wanted_operations(segment: &Segment, query: &TraceQuery) -> Option<Vec<bool>> {
    if query.service.is_none() && query.operation.is_none() {
        return None;
    }
    let fits = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|w| w == value);
    Some(segment.operations.iter().map(|o| fits(&query.service, &o.service) && (fits(&query.operation, &o.name) || o.overflow)).collect())
}

/// Rows whose span (or its resource) has all the attributes asked for; `None` when none are asked for.
fn rows_with_attributes(
    segment: &Segment,
    query: &TraceQuery,
    from: u64,
    until: u64,
    wanted: &Option<Vec<bool>>,
) -> Option<HashSet<usize, RandomState>> {
    if query.attributes.is_empty() {
        return None;
    }
    let candidates: Vec<usize> = segment
        .rows()
        .filter(|r| {
            r.start() >= from && r.start() <= until && wanted.as_ref().is_none_or(|w| w[segment.columns.operations[r.row] as usize])
        })
        .map(|r| r.row)
        .collect();
    let mut rows = HashSet::default();
    segment.bodies(candidates, |row, body| {
        let resource = &segment.row(row).resource().raw;
        if query.attributes.iter().all(|(key, value)| has(body, 9, key, value) || has(resource, 1, key, value)) {
            rows.insert(row);
        }
        true
    });
    Some(rows)
}

/// Whether a message has the attribute in field `number`.
pub(crate) fn has(message: &[u8], number: u32, key: &str, wanted: &str) -> bool {
    Fields::new(message).any(|field| match field {
        (n, Wire::Bytes(item)) if n == number => {
            let (k, value) = key_value(item);
            k == key.as_bytes() && equals(scalar(value), wanted)
        }
        _ => false,
    })
}

pub(crate) fn equals(value: AttributeValue<'_>, wanted: &str) -> bool {
    match value {
        AttributeValue::Str(text) => text == wanted,
        AttributeValue::Int(i) => wanted.parse() == Ok(i),
        AttributeValue::Double(d) => wanted.parse() == Ok(d),
        AttributeValue::Bool(b) => wanted.parse() == Ok(b),
        AttributeValue::Other => false,
    }
}

fn row_of(id: u128, found: &Found<'_>, pinned: bool) -> TraceRow {
    let (service, operation, root) = match &found.root {
        Some((row, root)) => (row.service().to_owned(), row.operation().name.to_string(), *root),
        None => Default::default(),
    };
    // In the order in which the trace came by.
    let mut services = found.services.clone();
    services.sort_by_key(|(name, first)| (*first, *name));
    TraceRow {
        trace_id: TraceId(id.to_be_bytes()).to_string(),
        root: format!("{service} {operation}"),
        root_service: service,
        root_operation: operation,
        duration_seconds: found.end.saturating_sub(found.start) as f64 / 1e9,
        spans: found.spans,
        errors: found.errors,
        start: found.start as f64 / 1e9,
        services: services.iter().map(|(name, _)| (*name).to_owned()).collect(),
        pinned,
        root_missing: !root,
    }
}
