//! What each instance of a service does: of several that share a name, often one fails alone.

use super::detail::resource;
use crate::spans::intern::Resource;
use crate::spans::segment::{FAILED, REPEATED, Segment};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::collections::BTreeMap;
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
    count: u64,
    failed: u64,
    durations: Vec<u64>,
}

#[derive(Default)]
struct Found {
    version: Arc<str>,
    place: String,
    calls: [Calls; TIERS],
    seen: u64,
}

pub(crate) fn instances(segments: &[Arc<Segment>], service: &str, until: Timestamp, window: Duration) -> Vec<Instance> {
    let nanos = |at: Timestamp| u64::try_from(at.millis()).unwrap_or(0).saturating_mul(1_000_000);
    let (end, lately) = (nanos(until), nanos(until.saturating_sub(LATELY)));
    let mut begin = nanos(until.saturating_sub(window));
    // Resources by where they are kept, which they are for as long as the segments are.
    let mut names: HashMap<*const Resource, Identity, FixedState> = HashMap::default();
    let mut found: BTreeMap<Identity, Found> = BTreeMap::new();
    let mut looked = 0;
    for segment in segments.iter().rev() {
        if looked >= SPANS {
            // What was not looked at is no silence: the figures are those of a shorter time.
            begin = begin.max(nanos(segment.received.1));
            break;
        }
        if nanos(segment.received.1) < lately {
            continue;
        }
        looked += segment.len();
        let own: Vec<bool> = segment.operations.iter().map(|o| &*o.service == service).collect();
        for row in segment.rows_by(until).filter(|r| own[segment.columns.operations[r.row] as usize] && !r.has(REPEATED)) {
            let ended = row.start().saturating_add(row.duration());
            if ended > end || ended < lately {
                continue;
            }
            let held = row.resource();
            let name = names.entry(std::ptr::from_ref(held)).or_insert_with(|| identity(held));
            if !found.contains_key(name) {
                found.insert(name.clone(), Found { place: place(held), ..Found::default() });
            }
            let Some(instance) = found.get_mut(name) else { continue };
            if ended >= instance.seen {
                instance.seen = ended;
                instance.version = held.version.clone();
            }
            if ended < begin {
                continue;
            }
            let calls = &mut instance.calls[match row.kind() {
                SpanKind::Server | SpanKind::Consumer => 0,
                _ if row.is_root() => 1,
                _ => 2,
            }];
            calls.count += 1;
            calls.failed += u64::from(row.has(FAILED));
            calls.durations.push(row.duration());
        }
    }
    let tier = (0..TIERS).find(|tier| found.values().any(|f| f.calls[*tier].count > 0)).unwrap_or(0);
    let seconds = (end.saturating_sub(begin) as f64 / 1e9).max(1.0);
    let mut all: Vec<Instance> = found.into_iter().map(|(name, found)| of(name, found, tier, seconds)).collect();
    let place = |i: &Instance| (i.rate.is_none(), i.error_ratio.is_none_or(|ratio| ratio <= FAILS));
    all.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| a.name.cmp(&b.name)));
    all.truncate(SHOWN);
    all
}

fn of((name, attribute): Identity, found: Found, tier: usize, seconds: f64) -> Instance {
    let Found { version, place, calls, seen } = found;
    let Some(mut calls) = calls.into_iter().nth(tier) else { return Instance::default() };
    let heard = calls.count > 0;
    let p95 = heard.then(|| {
        let at = (calls.durations.len() - 1) * 95 / 100;
        *calls.durations.select_nth_unstable(at).1 as f64 / 1e9
    });
    Instance {
        place: Some(place).filter(|place| !place.is_empty() && *place != name),
        name,
        attribute: attribute.to_owned(),
        version: Some(version.to_string()).filter(|version| !version.is_empty()),
        rate: heard.then(|| calls.count as f64 / seconds),
        error_ratio: heard.then(|| calls.failed as f64 / calls.count as f64),
        p95_seconds: p95,
        sample_count: heard.then_some(calls.count as f64),
        last_seen: Some(Timestamp(i64::try_from(seen / 1_000_000).unwrap_or(i64::MAX))),
    }
}

fn text(attributes: &BTreeMap<String, Scalar>, name: &str) -> Option<String> {
    attributes.get(name).map(Scalar::to_string).filter(|text| !text.is_empty())
}

/// Its name, and the attribute that says it. Empty where a resource says nothing that tells it from others.
type Identity = (String, &'static str);

fn identity(held: &Resource) -> Identity {
    let attributes = resource(&held.raw);
    IDENTIFYING.iter().find_map(|name| Some((text(&attributes, name)?, *name))).unwrap_or_default()
}

fn place(held: &Resource) -> String {
    let attributes = resource(&held.raw);
    PLACES.iter().find_map(|name| text(&attributes, name)).unwrap_or_default()
}
