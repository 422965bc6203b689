//! What the slow or failing spans have in common: attributes that are over-represented in a selection against all other spans of the same time.

use super::magnitudes::Magnitudes;
use crate::spans::segment::{Segment, SpanRow};
use crate::spans::wire::{AnyText, Fields, Wire, key_value, scalar, text};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::sync::Arc;
use watchfire_model::reading::{ExplainQuery, Explanation, Finding, FindingSign};
use watchfire_model::{AttributeValue, Timestamp, TraceId};

/// Spans of each side whose attributes are counted; beyond, every n-th is. Findings are shares, so a sample of this size is off by less than one percent.
const SAMPLE: usize = 40_000;
/// Pairs told apart, values told apart per attribute: an attribute with more (ids, times) explains nothing.
const PAIRS: usize = 50_000;
const VALUES: usize = 200;
const KEYS: usize = 1000;
const LONGEST: usize = 120;
const SHOWN: usize = 20;
const EXAMPLES: usize = 5;

/// By value: how many of the selected and of the other spans have it.
type Values = HashMap<Vec<u8>, (u32, u32), RandomState>;

#[derive(Default)]
struct Counts {
    by_key: HashMap<Vec<u8>, Values, RandomState>,
    /// Of attributes that are numbers.
    magnitudes: HashMap<Vec<u8>, Magnitudes, RandomState>,
    pairs: usize,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Counts {
    fn add(&mut self, selected: bool) {
        if !self.by_key.contains_key(&self.key[..]) {
            if self.by_key.len() >= KEYS {
                return;
            }
            self.by_key.insert(self.key.clone(), HashMap::default());
        }
        let Some(values) = self.by_key.get_mut(&self.key[..]) else { return };
        if let Some(count) = values.get_mut(&self.value[..]) {
            if selected { count.0 += 1 } else { count.1 += 1 }
        } else if values.len() <= VALUES && self.pairs < PAIRS {
            // One more than the bound marks the attribute as too varied.
            self.pairs += 1;
            values.insert(self.value.clone(), if selected { (1, 0) } else { (0, 1) });
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8], selected: bool) {
        self.key.clear();
        self.key.extend_from_slice(key);
        self.value.clear();
        self.value.extend_from_slice(&value[..value.len().min(LONGEST)]);
        self.add(selected);
    }

    fn number(&mut self, key: &[u8], number: f64, selected: bool) {
        let spare = self.pairs < PAIRS;
        if !self.magnitudes.contains_key(key) {
            if self.magnitudes.len() >= KEYS {
                return;
            }
            self.magnitudes.insert(key.to_vec(), Magnitudes::default());
        }
        let fresh = self.magnitudes.get_mut(key).is_some_and(|magnitudes| magnitudes.add(number, selected, spare));
        self.pairs += usize::from(fresh);
    }

    fn attributes(&mut self, message: &[u8], number: u32, selected: bool) {
        for field in Fields::new(message) {
            let (n, Wire::Bytes(item)) = field else { continue };
            if n != number {
                continue;
            }
            let (key, any) = key_value(item);
            match scalar(any) {
                AttributeValue::Str(text) => self.put(key, text.as_bytes(), selected),
                AttributeValue::Int(i) => {
                    self.put(key, i.to_string().as_bytes(), selected);
                    self.number(key, i as f64, selected);
                }
                AttributeValue::Bool(b) => self.put(key, if b { b"true" } else { b"false" }, selected),
                AttributeValue::Double(d) => self.number(key, d, selected),
                AttributeValue::Other => {
                    if let AnyText::Text(bytes) = text(any) {
                        self.put(key, bytes, selected);
                    }
                }
            }
        }
    }
}

/// Compares the selected spans with the others, of those that were seen at `at`.
pub(crate) fn explain(segments: &[Arc<Segment>], query: &ExplainQuery, at: Option<Timestamp>) -> Explanation {
    let nanos = |t: Timestamp| u64::try_from(t.0).unwrap_or(0).saturating_mul(1_000_000);
    let (from, until) = (nanos(query.start), if query.end.0 == 0 { u64::MAX } else { nanos(query.end).saturating_add(999_999) });
    let least = query.min_duration_ms.map_or(0, |ms| (ms * 1e6) as u64);
    let most = query.max_duration_ms.map_or(u64::MAX, |ms| (ms * 1e6) as u64);
    let is_selected = |row: &SpanRow<'_>| row.duration() >= least && row.duration() <= most && (!query.errors_only || row.failed());
    let mut selected: Vec<(u32, u32)> = Vec::new();
    let mut others: Vec<(u32, u32)> = Vec::new();
    for (s, segment) in segments.iter().enumerate() {
        let fits = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|w| w == value);
        let wanted: Vec<bool> =
            segment.operations.iter().map(|o| fits(&query.service, &o.service) && fits(&query.operation, &o.name)).collect();
        if !wanted.contains(&true) {
            continue;
        }
        for row in segment.rows_by(at.unwrap_or(Timestamp::MAX)) {
            if row.start() <= from || row.start() > until || !wanted[segment.columns.operations[row.row] as usize] {
                continue;
            }
            if is_selected(&row) { selected.push((s as u32, row.row as u32)) } else { others.push((s as u32, row.row as u32)) }
        }
    }
    let mut examples: Vec<(u64, u128)> = selected
        .iter()
        .map(|(s, r)| (segments[*s as usize].columns.durations[*r as usize], segments[*s as usize].columns.trace_ids[*r as usize]))
        .collect();
    examples.sort_unstable_by(|a, b| b.cmp(a));
    // The slow spans of one trace do not stand next to each other: another one's may lie between.
    let mut longest: Vec<u128> = Vec::with_capacity(EXAMPLES);
    for (_, id) in examples {
        if longest.len() == EXAMPLES {
            break;
        }
        if !longest.contains(&id) {
            longest.push(id);
        }
    }
    let sampled_selected = thin(&selected);
    let sampled_others = thin(&others);
    let mut counts = Counts::default();
    count(segments, &sampled_selected, true, &mut counts);
    count(segments, &sampled_others, false, &mut counts);
    Explanation {
        selected: selected.len() as u64,
        others: others.len() as u64,
        findings: findings(&counts, sampled_selected.len(), sampled_others.len(), query.errors_only),
        example_traces: longest.iter().map(|id| TraceId(id.to_be_bytes()).to_string()).collect(),
    }
}

/// At most [`SAMPLE`] rows, in runs: a block that is opened is used whole, because opening it is what costs.
fn thin(rows: &[(u32, u32)]) -> Vec<(u32, u32)> {
    const RUN: usize = 500;
    if rows.len() <= SAMPLE {
        return rows.to_vec();
    }
    let stride = rows.len() as f64 / SAMPLE as f64;
    rows.chunks(RUN)
        .enumerate()
        .filter(|(i, _)| (*i as f64 / stride) as usize != ((*i as f64 + 1.0) / stride) as usize)
        .flat_map(|(_, run)| run.iter().copied())
        .collect()
}

fn count(segments: &[Arc<Segment>], rows: &[(u32, u32)], selected: bool, counts: &mut Counts) {
    for group in rows.chunk_by(|a, b| a.0 == b.0) {
        let segment = &segments[group[0].0 as usize];
        segment.bodies(group.iter().map(|(_, row)| *row as usize), |row, body| {
            let span = segment.row(row);
            counts.attributes(body, 9, selected);
            counts.attributes(&span.resource().raw, 1, selected);
            counts.put(b"span.name", span.operation().name.as_bytes(), selected);
            counts.put(b"span.kind", super::tree::kind_word(span.kind()).as_bytes(), selected);
            true
        });
    }
}

/// What says how a call ended. Among failures that is what was selected and not what they come from.
const OUTCOMES: [&str; 8] = [
    "http.response.status_code",
    "http.status_code",
    "rpc.grpc.status_code",
    "rpc.response.status_code",
    "grpc.status_code",
    "error.type",
    "exception.type",
    "otel.status_code",
];

fn findings(counts: &Counts, selected: usize, others: usize, failures: bool) -> Vec<Finding> {
    if selected == 0 {
        return Vec::new();
    }
    // What is over-represented, if by more than chance.
    let finding = |key: &[u8], sign, value: String, (in_selected, in_others): (u32, u32)| {
        let share_selected = f64::from(in_selected) / selected as f64;
        let share_others = if others == 0 { 0.0 } else { f64::from(in_others) / others as f64 };
        let difference = share_selected - share_others;
        // Two proportions, pooled: how many standard errors they are apart. Chance alone reaches three among many attributes.
        let (n, m) = (selected as f64, others as f64);
        let pooled = (f64::from(in_selected) + f64::from(in_others)) / (n + m);
        let error = (pooled * (1.0 - pooled) * (1.0 / n + if m > 0.0 { 1.0 / m } else { 0.0 })).sqrt();
        let significant = others == 0 || error == 0.0 || difference / error >= 3.0;
        (difference > 0.02 && significant).then(|| Finding {
            attribute: String::from_utf8_lossy(key).into_owned(),
            sign,
            value,
            share_selected,
            share_others,
            score: difference * share_selected.sqrt(),
        })
    };
    let score = |found: Option<&Finding>| found.map_or(0.0, |f| f.score);
    let by_score = |a: &Finding, b: &Finding| b.score.total_cmp(&a.score);
    let of_values = |key: &[u8]| {
        let values = counts.by_key.get(key).filter(|values| values.len() <= VALUES);
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let found = values.into_iter().flatten().filter_map(|(value, count)| finding(key, FindingSign::Equal, text(value), *count));
        found.collect::<Vec<_>>()
    };
    let mut all: Vec<Finding> =
        counts.by_key.keys().filter(|key| !counts.magnitudes.contains_key(*key)).flat_map(|key| of_values(key)).collect();
    for (key, magnitudes) in &counts.magnitudes {
        let values = of_values(key);
        let parts = magnitudes.parts().into_iter().filter_map(|(sign, border, count)| finding(key, sign, border.to_string(), count));
        let part = parts.min_by(|a, b| by_score(a, b));
        let best = values.iter().min_by(|a, b| by_score(a, b));
        // A single value says more than the part it is in, unless several of them stand behind that.
        match part {
            Some(part) if part.score > 1.1 * score(best) => all.push(part),
            _ => all.extend(values),
        }
    }
    let restates = |f: &Finding| failures && OUTCOMES.contains(&f.attribute.as_str());
    all.sort_by(|a, b| {
        let told = restates(a).cmp(&restates(b));
        told.then_with(|| by_score(a, b)).then_with(|| (&a.attribute, &a.value).cmp(&(&b.attribute, &b.value)))
    });
    all.truncate(SHOWN);
    all
}
