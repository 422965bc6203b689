//! What each instance of a service does: of several that share a name, often one fails alone.

use super::detail::resource;
use crate::spans::intern::Resource;
use crate::spans::segment::{FAILED, REPEATED, Segment};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::reading::Instance;
use watchfire_model::reading::attribute::Scalar;
use watchfire_model::{SpanKind, Timestamp};

/// An instance that was heard of within this is listed, silent or not.
const LATELY: Duration = Duration::from_secs(15 * 60);
/// Spans looked at, newest first.
const SPANS: usize = 2_000_000;
const SHOWN: usize = 50;
/// A larger share of failed calls stands above the others.
const FAILS: f64 = 0.05;
/// What tells the instances of a service apart, as their own metrics do, best first.
const IDENTIFYING: [&str; 4] = ["service.instance.id", "k8s.pod.name", "container.id", "host.name"];
/// Where it runs, best first.
const PLACES: [&str; 3] = ["k8s.pod.name", "host.name", "k8s.node.name"];

/// Calls by their kind: what callers wait for, what the service begins by itself, and all the rest. The first that there is any of is shown.
const TIERS: usize = 3;

#[derive(Default)]
struct Calls {
    failed: u64,
    /// Of all of them.
    durations: Vec<u64>,
}

#[derive(Default)]
struct Found<'a> {
    identity: Identity,
    runs_on: String,
    /// The resource that was heard of last: an instance may be restarted with another version.
    newest: Option<&'a Resource>,
    calls: [Calls; TIERS],
    seen: u64,
}

pub(crate) fn instances(segments: &[Arc<Segment>], service: &str, until: Timestamp, window: Duration) -> Vec<Instance> {
    let nanos = |at: Timestamp| u64::try_from(at.millis()).unwrap_or(0).saturating_mul(1_000_000);
    let (end, lately) = (nanos(until), nanos(until.saturating_sub(LATELY)));
    let mut begin = nanos(until.saturating_sub(window));
    // Resources by where they are kept, which they are for as long as the segments are; several may be of one instance.
    let mut known: HashMap<*const Resource, usize, RandomState> = HashMap::default();
    let mut places: HashMap<Identity, usize, RandomState> = HashMap::default();
    let mut found: Vec<Found> = Vec::new();
    let mut looked = 0;
    for segment in segments.iter().rev() {
        if looked >= SPANS {
            // What was not looked at is no silence: the figures are those of a shorter time.
            begin = begin.max(nanos(segment.received.1));
            break;
        }
        let own: Vec<bool> = segment.operations.iter().map(|o| &*o.service == service).collect();
        if nanos(segment.received.1) < lately || !own.contains(&true) {
            continue;
        }
        looked += segment.len();
        // Millions of rows: what is said of a resource is read once.
        let mut here: Vec<Option<usize>> = vec![None; segment.resources.len()];
        for row in segment.rows_by(until).filter(|r| own[segment.columns.operations[r.row] as usize] && !r.has(REPEATED)) {
            let ended = row.start().saturating_add(row.duration());
            if ended > end || ended < lately {
                continue;
            }
            let held = row.resource();
            let place = &mut here[segment.columns.resources[row.row] as usize];
            let index = *place.get_or_insert_with(|| {
                *known.entry(std::ptr::from_ref(held)).or_insert_with(|| {
                    let (identity, runs_on) = identity(held);
                    *places.entry(identity.clone()).or_insert_with(|| {
                        found.push(Found { identity, runs_on, ..Found::default() });
                        found.len() - 1
                    })
                })
            });
            let instance = &mut found[index];
            if ended >= instance.seen {
                instance.seen = ended;
                instance.newest = Some(held);
            }
            if ended < begin {
                continue;
            }
            let calls = &mut instance.calls[match row.kind() {
                SpanKind::Server | SpanKind::Consumer => 0,
                _ if row.is_root() => 1,
                _ => 2,
            }];
            calls.failed += u64::from(row.has(FAILED));
            calls.durations.push(row.duration());
        }
    }
    let tier = (0..TIERS).find(|tier| found.iter().any(|f| !f.calls[*tier].durations.is_empty())).unwrap_or(0);
    let seconds = (end.saturating_sub(begin) as f64 / 1e9).max(1.0);
    let mut all: Vec<Instance> = found.into_iter().map(|found| of(found, tier, seconds)).collect();
    let place = |i: &Instance| (i.rate.is_none(), i.error_ratio.is_none_or(|ratio| ratio <= FAILS));
    all.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| a.name.cmp(&b.name)));
    all.truncate(SHOWN);
    all
}

fn of(found: Found<'_>, tier: usize, seconds: f64) -> Instance {
    let Found { identity: (name, attribute), runs_on, newest, calls, seen } = found;
    let Some(mut calls) = calls.into_iter().nth(tier) else { return Instance::default() };
    let count = calls.durations.len();
    let heard = count > 0;
    let p95 = heard.then(|| {
        let at = (count - 1) * 95 / 100;
        *calls.durations.select_nth_unstable(at).1 as f64 / 1e9
    });
    Instance {
        place: Some(runs_on).filter(|place| !place.is_empty() && *place != name),
        name,
        attribute: attribute.to_owned(),
        version: newest.map(|held| held.version.to_string()).filter(|version| !version.is_empty()),
        rate: heard.then(|| count as f64 / seconds),
        error_ratio: heard.then(|| calls.failed as f64 / count as f64),
        p95_seconds: p95,
        sample_count: heard.then_some(count as f64),
        last_seen: Some(Timestamp(i64::try_from(seen / 1_000_000).unwrap_or(i64::MAX))),
    }
}

/// The name of an instance, and the attribute that says it. Empty where a resource says nothing that tells it from others.
type Identity = (String, &'static str);

/// That, and where it runs.
fn identity(held: &Resource) -> (Identity, String) {
    let attributes = resource(&held.raw);
    let text = |name: &str| attributes.get(name).map(Scalar::to_string).filter(|text| !text.is_empty());
    let identity = IDENTIFYING.iter().find_map(|name| Some((text(name)?, *name))).unwrap_or_default();
    (identity, PLACES.iter().find_map(|name| text(name)).unwrap_or_default())
}
