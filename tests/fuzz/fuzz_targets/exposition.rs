//! Pages of targets of arbitrary bytes, in every format: what a page says does not depend on what was scraped before it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::HashMap;
use std::sync::Mutex;
use watchfire_model::{Appended, Exemplar, Labels, Metadata, MetricKind, OriginId, STALE_NAN, SeriesId, SeriesSink, Timestamp, Value};
use watchfire_scrape::exposition::Format;
use watchfire_scrape::{LabelRules, SeriesCache, Session, SessionRules};

/// Numbers series by their labels and keeps the last rows.
#[derive(Default)]
struct Sink(Mutex<State>);

#[derive(Default)]
struct State {
    ids: HashMap<Labels, u32>,
    rows: Vec<String>,
}

impl SeriesSink for Sink {
    fn origin(&self, _name: &str) -> OriginId {
        OriginId(0)
    }
    fn series(&self, _origin: OriginId, labels: &Labels, _kind: MetricKind) -> Option<SeriesId> {
        assert!(!labels.metric_name().is_empty());
        let mut state = self.0.lock().expect("not poisoned");
        let next = state.ids.len() as u32;
        Some(SeriesId(*state.ids.entry(labels.clone()).or_insert(next)))
    }
    fn append(&self, origin: OriginId, at: Timestamp, _now: Timestamp, row: &[(SeriesId, Value)]) -> Appended {
        let mut state = self.0.lock().expect("not poisoned");
        for (id, value) in row {
            // What only another page had ends; that is no part of this page.
            if value.as_float().is_none_or(|v| v.to_bits() != STALE_NAN.to_bits()) {
                state.rows.push(format!("{} {} {id:?} {value:?}", origin.0, at.0));
            }
        }
        Appended { stored: row.len(), ..Appended::default() }
    }
    fn describe(&self, _family: &str, _metadata: Metadata) {}
    fn exemplar(&self, series: SeriesId, exemplar: Exemplar) {
        self.0.lock().expect("not poisoned").rows.push(format!("{series:?} {exemplar:?}"));
    }
}

/// What the page becomes; `None` if it is refused.
fn scrape(cache: &mut SeriesCache, sink: &Sink, rules: &SessionRules, format: Format, page: &[u8]) -> Option<Vec<String>> {
    let mut session = Session::new(cache, sink, rules);
    if session.read(format, page).is_err() {
        session.fail(Timestamp(1), Timestamp(1), &[]);
        sink.0.lock().expect("not poisoned").rows.clear();
        return None;
    }
    session.commit(Timestamp(1), Timestamp(1), std::time::Duration::ZERO, &[]);
    let mut rows = std::mem::take(&mut sink.0.lock().expect("not poisoned").rows);
    rows.sort();
    Some(rows)
}

fuzz_target!(|bytes: &[u8]| {
    let Some(((kind, cut), page)) = bytes.split_first().and_then(|(kind, rest)| Some(((kind, rest.first()?), &rest[1..]))) else { return };
    let format = [Format::Text, Format::OpenMetrics, Format::Protobuf][usize::from(kind % 3)];
    let rules = SessionRules {
        labels: LabelRules { target: Labels::from_pairs([("job", "fuzz"), ("instance", "a:1")]), ..LabelRules::default() },
        sample_limit: 0,
        honor_timestamps: kind & 8 == 0,
        track_timestamps_staleness: kind & 16 != 0,
        classic_too: kind & 32 != 0,
        custom_buckets: kind & 64 != 0,
        reserved: Vec::new(),
        origin: OriginId(0),
        own_times: "own times".to_owned(),
    };
    let sink = Sink::default();
    let fresh = scrape(&mut SeriesCache::new(), &sink, &rules, format, page);
    let mut cache = SeriesCache::new();
    let (before, after) = page.split_at(page.len() * usize::from(*cut) / 256);
    for other in [before, after, page, page] {
        let rows = scrape(&mut cache, &sink, &rules, format, other);
        if other.len() == page.len() {
            assert_eq!(rows, fresh);
        }
    }
});
