//! What fails lately, and examples to open.

use super::detail::Body;
use crate::spans::segment::{Segment, SpanRow};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;
use watchfire_model::reading::attribute::Scalar;
use watchfire_model::{Timestamp, TraceId};

/// Failing spans whose message is read, newest first.
const LOOKED_AT: usize = 1000;
const SHOWN: usize = 10;
const MESSAGE: usize = 200;

/// Messages of the newest failing spans of a service with their count, most frequent first.
pub(crate) fn top_errors(segments: &[Arc<Segment>], service: &str) -> Vec<(String, u64)> {
    let mut counts: HashMap<String, u64, FixedState> = HashMap::default();
    let mut left = LOOKED_AT;
    for segment in segments.iter().rev() {
        let failing: Vec<usize> = segment.rows().rev().filter(|r| r.failed() && r.service() == service).map(|r| r.row).take(left).collect();
        left -= failing.len();
        segment.bodies(failing.into_iter().rev(), |row, bytes| {
            *counts.entry(message(&Body::decode(bytes), &segment.row(row))).or_default() += 1;
            true
        });
        if left == 0 {
            break;
        }
    }
    let mut all: Vec<_> = counts.into_iter().collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all.truncate(SHOWN);
    all
}

fn message(body: &Body, row: &SpanRow<'_>) -> String {
    let text = |value: Option<&Scalar>| value.map(Scalar::to_string).filter(|t| !t.is_empty());
    let exception = body.events.iter().find(|e| e.name == "exception");
    let of_exception = exception.and_then(|e| {
        let kind = text(e.attributes.get("exception.type"));
        let words = text(e.attributes.get("exception.message"));
        match (kind, words) {
            (Some(kind), Some(words)) => Some(format!("{kind}: {words}")),
            (kind, words) => kind.or(words),
        }
    });
    let stated = Some(body.status_message.clone()).filter(|m| !m.is_empty());
    let kind = || text(body.attributes.get("error.type"));
    let code = || {
        let code = body.attributes.get("http.response.status_code").or_else(|| body.attributes.get("http.status_code"));
        text(code).map(|c| format!("HTTP {c}"))
    };
    let words = stated.or(of_exception).or_else(kind).or_else(code).unwrap_or_else(|| format!("{} failed", row.operation().name));
    words.chars().take(MESSAGE).collect()
}

/// Which traces make a good example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Example {
    /// Those with a failing span of the service: the one that took longest to fail, then the newest.
    Error,
    /// The slowest recent ones through the service.
    Slow,
}

/// Ids of traces that show the trouble of any of some services since a moment, best example first.
pub(crate) fn examples(segments: &[Arc<Segment>], services: &[String], which: Example, since: Timestamp, limit: usize) -> Vec<String> {
    let since = u64::try_from(since.millis()).unwrap_or(0).saturating_mul(1_000_000);
    // Duration, start, trace.
    let mut found: Vec<(u64, u64, u128)> = Vec::new();
    let mut looked = 0;
    for segment in segments.iter().rev() {
        let wanted: Vec<bool> = segment.operations.iter().map(|o| services.iter().any(|s| **s == *o.service)).collect();
        let of_services = |r: &SpanRow<'_>| wanted[segment.columns.operations[r.row] as usize] && r.start() >= since;
        for row in segment.rows().rev().filter(of_services) {
            if which == Example::Slow || row.failed() {
                found.push((row.duration(), row.start(), row.trace()));
            }
        }
        looked += segment.len();
        if looked >= 200_000 {
            break;
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    if which == Example::Error && !found.is_empty() {
        // What waited longest before it failed shows more than what was refused at once because of it; the newest show that it still fails.
        found[1..].sort_unstable_by_key(|(_, start, _)| std::cmp::Reverse(*start));
    }
    let mut seen: HashSet<u128, FixedState> = HashSet::default();
    let unique = found.into_iter().filter(|(.., id)| seen.insert(*id)).take(limit);
    unique.map(|(.., id)| TraceId(id.to_be_bytes()).to_string()).collect()
}
