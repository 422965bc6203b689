//! What fails lately, and examples to open.

use super::detail::Body;
use crate::spans::segment::{Segment, SpanRow};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::reading::Refusal;
use watchfire_model::reading::attribute::Scalar;
use watchfire_model::{SpanKind, Timestamp, TraceId};

/// Spans whose body is read, newest first.
const LOOKED_AT: usize = 1000;
/// What is older says nothing of now.
const LATELY: Duration = Duration::from_secs(15 * 60);
const SHOWN: usize = 10;
/// As semantic conventions name it, and as they did.
const HTTP_STATUS: [&str; 2] = ["http.response.status_code", "http.status_code"];
const MESSAGE: usize = 200;

/// Messages of the failing spans of a service that ended lately before `until`, with their count, most frequent first.
pub(crate) fn top_errors(segments: &[Arc<Segment>], service: &str, until: Timestamp) -> Vec<(String, u64)> {
    let mut counts: HashMap<String, u64, RandomState> = HashMap::default();
    newest(
        segments,
        until,
        |r| r.failed() && r.service() == service && lately(r, until),
        |row, body| {
            *counts.entry(message(body, row)).or_default() += 1;
        },
    );
    most_frequent(counts.into_iter().collect())
}

/// Calls to a service that it refused, and does not count as failed, among the newest that ended lately before `until`.
pub(crate) fn refusals(segments: &[Arc<Segment>], service: &str, until: Timestamp) -> Vec<Refusal> {
    let mut counts: HashMap<Refusal, u64, RandomState> = HashMap::default();
    let called = |r: &SpanRow<'_>| r.kind() == SpanKind::Server && r.service() == service;
    newest(
        segments,
        until,
        |r| called(r) && !r.failed() && lately(r, until),
        |row, body| {
            if let Some((attribute, value, answer)) = refused(body) {
                let operation = row.operation().name.to_string();
                *counts.entry(Refusal { operation, answer, attribute: attribute.to_owned(), value, count: 0 }).or_default() += 1;
            }
        },
    );
    most_frequent(counts.into_iter().collect()).into_iter().map(|(refusal, count)| Refusal { count, ..refusal }).collect()
}

fn most_frequent<K: Ord>(mut all: Vec<(K, u64)>) -> Vec<(K, u64)> {
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all.truncate(SHOWN);
    all
}

fn lately(row: &SpanRow<'_>, until: Timestamp) -> bool {
    let nanos = |at: Timestamp| u64::try_from(at.millis()).unwrap_or(0).saturating_mul(1_000_000);
    row.start().saturating_add(row.duration()) <= nanos(until) && row.start() >= nanos(until.saturating_sub(LATELY))
}

/// Reads the newest spans that are wanted of those that were seen at `until`, at most [`LOOKED_AT`].
fn newest(segments: &[Arc<Segment>], until: Timestamp, wanted: impl Fn(&SpanRow<'_>) -> bool, mut visit: impl FnMut(&SpanRow<'_>, &Body)) {
    let mut left = LOOKED_AT;
    for segment in segments.iter().rev() {
        let rows: Vec<usize> = segment.rows_by(until).rev().filter(|r| wanted(r)).map(|r| r.row).take(left).collect();
        left -= rows.len();
        segment.bodies(rows.into_iter().rev(), |row, bytes| {
            visit(&segment.row(row), &Body::decode(bytes));
            true
        });
        if left == 0 {
            break;
        }
    }
}

/// How a call was refused for who makes it, or for how often: the attribute that says so, its value, and that in words.
fn refused(body: &Body) -> Option<(&'static str, String, String)> {
    // PERMISSION_DENIED, RESOURCE_EXHAUSTED and UNAUTHENTICATED, as numbers or in words.
    const GRPC: [(&str, &str); 3] = [("7", "PERMISSION_DENIED"), ("8", "RESOURCE_EXHAUSTED"), ("16", "UNAUTHENTICATED")];
    let one_of = |names: &[&'static str]| names.iter().find_map(|name| Some((*name, body.attributes.get(*name)?.to_string())));
    if let Some((name, code)) = one_of(&HTTP_STATUS).filter(|(_, code)| matches!(code.as_str(), "401" | "403" | "407" | "429")) {
        let answer = format!("HTTP {code}");
        return Some((name, code, answer));
    }
    let (name, code) = one_of(&["rpc.status_code", "rpc.response.status_code", "rpc.grpc.status_code"])?;
    let (_, word) = GRPC.iter().find(|(number, word)| code == *number || code == *word)?;
    Some((name, code, format!("gRPC {word}")))
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
    let code = || HTTP_STATUS.iter().find_map(|name| text(body.attributes.get(*name))).map(|code| format!("HTTP {code}"));
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
    /// The newest with a span of the service that was refused: as HTTP's 401 and 429 are.
    Refused,
}

/// Ids of traces that show the trouble of any of some services since a moment, best example first.
pub(crate) fn examples(segments: &[Arc<Segment>], services: &[String], which: Example, since: Timestamp, limit: usize) -> Vec<String> {
    let since = u64::try_from(since.millis()).unwrap_or(0).saturating_mul(1_000_000);
    // Duration, start, trace.
    let mut found: Vec<(u64, u64, u128)> = Vec::new();
    let mut looked = 0;
    if which == Example::Refused {
        let of_services = |r: &SpanRow<'_>| services.iter().any(|s| s == r.service()) && r.start() >= since;
        newest(segments, Timestamp::MAX, of_services, |row, body| {
            if refused(body).is_some() {
                found.push((0, row.start(), row.trace()));
            }
        });
    }
    for segment in segments.iter().rev().filter(|_| which != Example::Refused) {
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
    let mut seen: HashSet<u128, RandomState> = HashSet::default();
    let unique = found.into_iter().filter(|(.., id)| seen.insert(*id)).take(limit);
    unique.map(|(.., id)| TraceId(id.to_be_bytes()).to_string()).collect()
}
