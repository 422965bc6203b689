//! Series against a model that is too simple to be wrong.

mod churn;

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use watchfire_model::{
    Appended, CounterResetHint, Exemplar, HandClock, Labels, METRIC_NAME, MatchOp, Matcher, Metadata, Meter, MetricKind, NativeHistogram,
    OwnSeries, STALE_NAN, Selector, SeriesSink, SeriesSource, SeriesView, TimeRange, Timestamp, TraceId, Value, is_stale,
};
use watchfire_store::{Store, StoreLimits};

const START: i64 = 1_700_000_000_000;

fn store(limits: StoreLimits) -> (Arc<Store>, Meter) {
    let meter = Meter::new();
    (Store::new(limits, meter.clone(), Arc::new(HandClock::at(Timestamp(START)))), meter)
}

fn labels(name: &str, pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied().chain([(METRIC_NAME, name)]))
}

fn all() -> TimeRange {
    TimeRange::new(Timestamp::MIN, Timestamp::MAX)
}

fn read(store: &Store, selector: &Selector, range: TimeRange) -> BTreeMap<String, Vec<(i64, u64)>> {
    let mut found = BTreeMap::new();
    store
        .select(selector, range, &mut |view| {
            assert_eq!(view.times.len(), view.values.len());
            assert!(view.histograms.is_empty() || view.histograms.len() == view.times.len());
            assert!(view.times.is_sorted_by(|a, b| a < b));
            found.insert(view.labels.to_string(), view.times.iter().zip(view.values).map(|(t, v)| (t.0, v.to_bits())).collect());
        })
        .expect("the live store always answers");
    found
}

#[derive(Clone, Debug)]
struct Write {
    at: i64,
    origin: usize,
    row: Vec<(usize, f64)>,
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let value = prop_oneof![any::<f64>(), Just(STALE_NAN), Just(f64::from_bits(0x7ff0_0000_0a9d_0a9d)), Just(1.0)];
    let write = (0i64..60, 0usize..3, prop::collection::vec((0usize..6, value), 0..5));
    prop::collection::vec(write.prop_map(|(at, origin, row)| Write { at: START + at * 1000, origin, row }), 0..80)
}

proptest! {
    #[test]
    fn columns_hold_exactly_what_a_map_per_series_would(writes in writes(), from in 0i64..60, length in 0i64..60) {
        let (store, _) = store(StoreLimits::default());
        let origins: Vec<_> = ["a", "b", "c"].iter().map(|n| store.origin(n)).collect();
        let mut model: BTreeMap<String, BTreeMap<i64, u64>> = BTreeMap::new();
        for write in &writes {
            let mut row = Vec::new();
            let mut expected = Appended::default();
            let mut seen = Vec::new();
            for (series, value) in &write.row {
                // Series 0 to 2 belong to one origin each, the others are written by whoever comes.
                if (*series < 3 && *series != write.origin) || seen.contains(series) {
                    continue;
                }
                seen.push(*series);
                let labels = labels("m", &[("s", &series.to_string())]);
                row.push((store.series(origins[write.origin], &labels, MetricKind::Gauge).expect("below the limit"), Value::Float(*value)));
                let held = model.entry(labels.to_string()).or_default();
                let bits = if value.to_bits() == 0x7ff0_0000_0a9d_0a9d { watchfire_model::ORDINARY_NAN.to_bits() } else { value.to_bits() };
                match (held.get(&write.at), held.last_key_value().map(|(t, _)| *t)) {
                    (Some(same), _) if *same == bits => {}
                    (Some(_), Some(last)) if last == write.at => expected.duplicate += 1,
                    (_, Some(last)) if write.at <= last => expected.out_of_order += 1,
                    _ => {
                        held.insert(write.at, bits);
                        expected.stored += 1;
                    }
                }
            }
            let got = store.append(origins[write.origin], Timestamp(write.at), Timestamp(START + 60_000), &row);
            prop_assert_eq!((got.stored, got.future, got.old, got.series_limit), (expected.stored, 0, 0, 0));
            prop_assert_eq!(got.out_of_order + got.duplicate, expected.out_of_order + expected.duplicate);
        }
        let range = TimeRange::new(Timestamp(START + from * 1000), Timestamp(START + (from + length) * 1000));
        for range in [all(), range] {
            let expected: BTreeMap<String, Vec<(i64, u64)>> = model
                .iter()
                .map(|(l, s)| (l.clone(), s.iter().filter(|(t, _)| range.contains(Timestamp(**t))).map(|(t, v)| (*t, *v)).collect::<Vec<_>>()))
                .filter(|(_, s)| !s.is_empty())
                .collect();
            let mut without_samples = Vec::new();
            store.select_labels(&Selector::metric("m"), range, &mut |labels| without_samples.push(labels.to_string())).expect("answer");
            without_samples.sort();
            prop_assert_eq!(without_samples, expected.keys().cloned().collect::<Vec<_>>());
            // Names, values and sets of labels are looked up in other ways, and must come to the same.
            let values: BTreeSet<String> = expected.keys().map(|l| l.split('"').nth(1).expect("a value").to_owned()).collect();
            let names = if expected.is_empty() { vec![] } else { vec![METRIC_NAME.to_owned(), "s".to_owned()] };
            for selectors in [&[][..], &[Selector::metric("m")], &[Selector::metric("m"), Selector(vec![Matcher::present("s")])]] {
                prop_assert_eq!(store.label_values("s", selectors, range), Ok(values.iter().cloned().collect()));
                prop_assert_eq!(store.label_names(selectors, range), Ok(names.clone()));
                if !selectors.is_empty() {
                    let sets = store.label_sets(selectors, range, usize::MAX).expect("answer");
                    prop_assert_eq!(sets.iter().map(Labels::to_string).collect::<Vec<_>>(), expected.keys().cloned().collect::<Vec<_>>());
                    prop_assert_eq!(store.label_sets(selectors, range, 2).expect("answer").len(), expected.len().min(2));
                }
            }
            prop_assert_eq!(read(&store, &Selector::metric("m"), range), expected);
        }
    }

    #[test]
    fn selections_equal_matching_every_series_by_hand(
        series in prop::collection::vec((0u8..3, 0u8..4, 0u8..3), 1..40),
        matchers in prop::collection::vec((0usize..4, 0usize..3, prop::sample::select(vec!["", "0", "1", "2", "0|1", ".*", ".+", "[0-2]"])), 0..4),
    ) {
        let (store, _) = store(StoreLimits::default());
        let origin = store.origin("o");
        let mut known = BTreeSet::new();
        for (i, (name, a, b)) in series.iter().enumerate() {
            let labels = labels(&format!("m{name}"), &[("a", &if *a == 3 { String::new() } else { a.to_string() }), ("b", &b.to_string())]);
            let id = store.series(origin, &labels, MetricKind::Gauge).expect("below the limit");
            store.append(origin, Timestamp(START + i as i64), Timestamp(START), &[(id, Value::Float(1.0))]);
            known.insert(labels.to_string());
        }
        let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
        let names = [METRIC_NAME, "a", "b"];
        let selector = Selector(
            matchers.iter().map(|(op, name, value)| {
                let value = if names[*name] == METRIC_NAME && !value.is_empty() { format!("m{value}") } else { (*value).to_owned() };
                Matcher::new(names[*name], ops[*op], &value).expect("a fine matcher")
            }).collect(),
        );
        let mut by_hand = Vec::new();
        store.select(&Selector::default(), all(), &mut |view| if selector.matches(view.labels) { by_hand.push(view.labels.to_string()) }).expect("answer");
        by_hand.sort();
        for _ in 0..2 {
            prop_assert_eq!(read(&store, &selector, all()).into_keys().collect::<Vec<_>>(), by_hand.clone());
        }
        prop_assert_eq!(read(&store, &Selector::default(), all()).len(), known.len());
    }
}

#[test]
fn a_writer_does_not_wait_for_the_end_of_a_long_look() {
    const SERIES: usize = 4000;
    let (store, _) = store(StoreLimits::default());
    let origin = store.origin("o");
    let id = |i: usize| store.series(origin, &labels("m", &[("i", &i.to_string())]), MetricKind::Gauge).expect("below the limit");
    let ids: Vec<_> = (0..SERIES).map(id).collect();
    let row: Vec<_> = ids.iter().map(|id| (*id, Value::Float(1.0))).collect();
    for at in 0..600 {
        store.append(origin, Timestamp(START + at), Timestamp(START), &row);
    }
    let (begun, written) = (Barrier::new(2), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            begun.wait();
            store.append(origin, Timestamp(START + 1000), Timestamp(START), &row);
            written.store(true, Ordering::SeqCst);
        });
        let mut visited = 0;
        let mut look = |_: SeriesView<'_>| {
            visited += 1;
            if visited == 1 {
                begun.wait();
            }
            // Time for the writer to come and wait.
            std::thread::yield_now();
            // Whoever was let in is done soon; who was not waits for this look to end.
            let patience = Instant::now() + Duration::from_secs(10);
            while visited == SERIES && !written.load(Ordering::SeqCst) {
                assert!(Instant::now() < patience, "the writer waits for all of it");
                std::thread::yield_now();
            }
        };
        store.select(&Selector::metric("m"), all(), &mut look).expect("the live store always answers");
    });
}

#[test]
fn refused_samples_are_counted_by_reason_and_cost_only_themselves() {
    let (store, meter) = store(StoreLimits::default());
    let origin = store.origin("o");
    let id = store.series(origin, &labels("m", &[]), MetricKind::Gauge).expect("below the limit");
    let now = Timestamp(START);
    let append = |at: i64, v: f64| store.append(origin, Timestamp(at), now, &[(id, Value::Float(v))]);
    assert_eq!(append(START, 1.0), Appended { stored: 1, ..Appended::default() });
    assert_eq!(append(START, 1.0), Appended::default(), "an identical duplicate is silent");
    assert_eq!(append(START, 2.0).duplicate, 1);
    assert_eq!(append(START - 1, 2.0).out_of_order, 1);
    assert_eq!(append(START + 600_001, 2.0).future, 1);
    assert_eq!(append(START - 7 * 3_600_000, 2.0).old, 1);
    assert_eq!(append(START + 600_000, 3.0).stored, 1);
    for (reason, count) in [("duplicate", 1), ("out_of_order", 1), ("future", 1), ("old", 1)] {
        assert_eq!(meter.counter("watchfire_samples_refused_total", &[("reason", reason)]).get(), count, "{reason}");
    }
}

#[test]
fn beyond_the_limit_new_series_are_refused_and_known_ones_keep_updating() {
    let (store, meter) = store(StoreLimits { series: 10, ..StoreLimits::default() });
    let origin = store.origin("o");
    let ids: Vec<_> = (0..1000).filter_map(|i| store.series(origin, &labels("m", &[("i", &i.to_string())]), MetricKind::Gauge)).collect();
    assert_eq!(ids.len(), 10);
    assert_eq!(meter.counter("watchfire_series_refused_total", &[("reason", "series")]).get(), 990);
    let row: Vec<_> = ids.iter().map(|id| (*id, Value::Float(1.0))).collect();
    assert_eq!(store.append(origin, Timestamp(START), Timestamp(START), &row).stored, 10);
    assert_eq!(store.series(origin, &labels("m", &[("i", "3")]), MetricKind::Gauge), Some(ids[3]));
    assert_eq!(store.usage().series_refused, 990);
}

#[test]
fn own_series_find_room_where_outsiders_filled_all_there_was() {
    let (store, _) = store(StoreLimits { series: 20, ..StoreLimits::default() });
    let origin = store.origin("o");
    let admitted = |name: &str, own: Option<OwnSeries>| {
        let series = (0..100).map(|i| labels(name, &[("i", &i.to_string())]));
        let known = series.filter(|labels| match own {
            None => store.series(origin, labels, MetricKind::Gauge).is_some(),
            Some(own) => store.own_series(origin, labels, MetricKind::Gauge, own).is_some(),
        });
        known.count()
    };
    assert_eq!(admitted("bomb", None), 20);
    assert_eq!(admitted("derived", Some(OwnSeries::Derived)), 5);
    assert_eq!(admitted("up", Some(OwnSeries::Vital)), 5, "and no flood of derived ones takes it");
    assert_eq!(
        (admitted("bomb2", None), admitted("derived2", Some(OwnSeries::Derived)), admitted("up2", Some(OwnSeries::Vital))),
        (0, 0, 0)
    );
}

#[test]
fn label_text_is_bounded_by_bytes_and_not_only_by_number() {
    let limits = StoreLimits { memory_bytes: 8 << 20, ..StoreLimits::default() };
    let (store, meter) = store(limits.clone());
    let origin = store.origin("o");
    let accepted = (0..10_000)
        .filter(|i| store.series(origin, &labels("m", &[("long", &format!("{i}{}", "x".repeat(2000)))]), MetricKind::Gauge).is_some())
        .count();
    assert!(accepted > 100 && accepted < 1000, "{accepted}");
    assert_eq!(meter.counter("watchfire_series_refused_total", &[("reason", "memory")]).get(), 10_000 - accepted as u64);
    assert!(store.usage().series_bytes < limits.series_bytes() as u64);
}

#[test]
fn descriptions_are_counted_and_none_is_longer_than_a_name() {
    let (store, _) = store(StoreLimits { families: 100, ..StoreLimits::default() });
    let before = store.usage().series_bytes;
    let described = |help: String| Metadata { kind: MetricKind::Gauge, help, unit: String::new() };
    for family in 0..200 {
        store.describe(&format!("family_{family}"), described("ä".repeat(1 << 20)));
    }
    store.describe(&"n".repeat(2000), described(String::new()));
    let known = store.metadata();
    assert_eq!(known.iter().filter(|(family, _)| family.starts_with("family_")).count() + 15, 100, "with those of derived series");
    assert!(known.iter().all(|(family, about)| family.len() <= 1024 && about.help.len() <= 1024));
    let grown = store.usage().series_bytes - before;
    assert!((85 * 1024..85 * 1400).contains(&grown), "{grown}");
    // Described again, it takes no more.
    store.describe("family_1", described("x".repeat(1024)));
    assert_eq!(store.usage().series_bytes - before, grown);
}

#[test]
fn memory_is_bounded_by_dropping_the_oldest_rows_first() {
    let limits = StoreLimits { memory_bytes: 4 << 20, ..StoreLimits::default() };
    let (store, _) = store(limits.clone());
    let origin = store.origin("o");
    let ids: Vec<_> = (0..500)
        .map(|i| store.series(origin, &labels("m", &[("i", &i.to_string())]), MetricKind::Gauge).expect("below the limit"))
        .collect();
    for step in 0..2000 {
        let now = Timestamp(START + step * 1000);
        let row: Vec<_> = ids.iter().map(|id| (*id, Value::Float(step as f64))).collect();
        assert_eq!(store.append(origin, now, now, &row).stored, 500);
    }
    assert!(store.usage().series_bytes <= (limits.series_bytes() + limits.series_bytes() / 8) as u64, "{}", store.usage().series_bytes);
    let held = read(&store, &Selector::metric("m"), all());
    assert_eq!(held.len(), 500);
    // Unpacked, there would be room for 370 of them.
    assert!(
        held.values().all(|s| s.last().expect("a sample").0 == START + 1_999_000 && s.len() > 600),
        "{:?}",
        held.values().next().map(Vec::len)
    );
}

#[test]
fn histograms_keep_their_place_beside_floats_and_stale_markers() {
    let (store, _) = store(StoreLimits::default());
    let origin = store.origin("o");
    let id = store.series(origin, &labels("h", &[]), MetricKind::Histogram).expect("below the limit");
    let histogram = |count| {
        let h = NativeHistogram { count, sum: count, counter_reset: CounterResetHint::Unknown, ..NativeHistogram::default() };
        Value::Histogram(Arc::new(h))
    };
    let values =
        [Value::Float(1.0), histogram(2.0), histogram(f64::from_bits(STALE_NAN.to_bits())), histogram(4.0), Value::Float(STALE_NAN)];
    for (i, value) in values.iter().enumerate() {
        assert_eq!(store.append(origin, Timestamp(START + i as i64), Timestamp(START), &[(id, value.clone())]).stored, 1);
    }
    let mut seen = Vec::new();
    store.select(&Selector::metric("h"), all(), &mut |view| seen = view.to_owned_data().values).expect("answer");
    assert_eq!((&seen[0], &seen[1], &seen[3]), (&values[0], &values[1], &values[3]));
    assert!(matches!(seen[2], Value::Float(v) if is_stale(v)) && seen[4].is_stale());
}

#[test]
fn label_names_values_metadata_and_exemplars_are_found() {
    let (store, _) = store(StoreLimits { exemplars: 2, ..StoreLimits::default() });
    let origin = store.origin("o");
    let id = store.series(origin, &labels("m_total", &[("job", "api")]), MetricKind::Counter).expect("below the limit");
    store.append(origin, Timestamp(START), Timestamp(START), &[(id, Value::Float(1.0))]);
    assert_eq!(store.label_names(&[Selector::metric("m_total")], all()), Ok(vec!["__name__".to_owned(), "job".to_owned()]));
    assert_eq!(store.label_values("job", &[], all()), Ok(vec!["api".to_owned()]));
    assert_eq!(store.label_values("job", &[Selector::metric("other")], all()), Ok(vec![]));
    // What was not there in the asked time is not named, with and without a selector.
    let (before, since) = (TimeRange::new(Timestamp(0), Timestamp(START - 1)), TimeRange::new(Timestamp(START - 1), Timestamp(START)));
    for selectors in [&[][..], &[Selector::metric("m_total")]] {
        assert_eq!(store.label_values("job", selectors, before), Ok(vec![]));
        assert_eq!(store.label_names(selectors, before), Ok(vec![]));
        assert_eq!(store.label_values("job", selectors, since), Ok(vec!["api".to_owned()]));
    }
    let metadata = Metadata { kind: MetricKind::Counter, help: "help".into(), unit: String::new() };
    store.describe("m", metadata.clone());
    assert!(store.metadata().contains(&("m".to_owned(), metadata)));
    for i in 0..3 {
        let exemplar = Exemplar {
            at: Timestamp(START + i),
            value: i as f64,
            trace_id: Some(TraceId([i as u8 + 1; 16])),
            span_id: None,
            labels: Labels::empty(),
        };
        store.exemplar(id, exemplar);
    }
    let found = store.exemplars(&Selector::metric("m_total"), all());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].1.iter().map(|e| e.value).collect::<Vec<_>>(), [1.0, 2.0], "the oldest goes first");
}

/// Neither the first nor the last series of a value has a sample in the asked time, nor any of the first few of a name.
#[test]
fn one_series_among_many_is_enough_for_a_name_and_a_value() {
    let (store, _) = store(StoreLimits::default());
    let origin = store.origin("o");
    let ids: Vec<_> = (0..100)
        .map(|i| store.series(origin, &labels("m", &[("job", "a"), ("n", &i.to_string())]), MetricKind::Gauge).expect("below the limit"))
        .collect();
    store.append(origin, Timestamp(START), Timestamp(START), &[(ids[50], Value::Float(1.0))]);
    let row: Vec<_> = ids.iter().map(|id| (*id, Value::Float(2.0))).collect();
    store.append(origin, Timestamp(START + 1000), Timestamp(START + 1000), &row);
    let first = TimeRange::new(Timestamp(START - 1), Timestamp(START));
    assert_eq!(store.label_values("job", &[], first), Ok(vec!["a".to_owned()]));
    assert_eq!(store.label_values("n", &[], first), Ok(vec!["50".to_owned()]));
    assert_eq!(store.label_names(&[], first), Ok(["__name__", "job", "n"].map(str::to_owned).to_vec()));
    assert_eq!(store.label_values("n", &[], all()).map(|values| values.len()), Ok(100));
}

#[test]
fn an_exemplar_is_held_once_however_many_come_with_each_scrape() {
    let (store, _) = store(StoreLimits::default());
    let origin = store.origin("o");
    let series: Vec<_> = (0..200)
        .map(|i| store.series(origin, &labels("m_bucket", &[("le", &i.to_string())]), MetricKind::Counter).expect("below the limit"))
        .collect();
    for _scrape in 0..3 {
        for (i, id) in series.iter().enumerate() {
            let trace_id = Some(TraceId([i as u8; 16]));
            store.exemplar(*id, Exemplar { at: Timestamp(START), value: 1.0, trace_id, span_id: None, labels: Labels::empty() });
        }
    }
    let found = store.exemplars(&Selector::metric("m_bucket"), all());
    assert_eq!(found.iter().map(|(_, exemplars)| exemplars.len()).sum::<usize>(), 200);
}

#[test]
fn what_is_remembered_of_selectors_is_counted_and_bounded() {
    let limits = StoreLimits { memory_bytes: 64 << 20, ..StoreLimits::default() };
    let (store, _) = store(limits.clone());
    let origin = store.origin("o");
    for i in 0..5_000 {
        store.series(origin, &labels("m", &[("i", &i.to_string())]), MetricKind::Gauge).expect("below the limit");
    }
    let before = store.usage().series_bytes as usize;
    let ask = |n: usize| {
        let matcher = Matcher::new("i", MatchOp::NotEqual, &format!("none {n}")).expect("a matcher");
        let of_metric = Matcher::new(METRIC_NAME, MatchOp::Equal, "m").expect("a matcher");
        store.select(&Selector(vec![of_metric, matcher]), all(), &mut |_| {}).expect("answers");
    };
    ask(0);
    let one = store.usage().series_bytes as usize - before;
    assert!(one >= 5_000 * 12, "{one} bytes for a list of 5,000 series");
    (1..1000).for_each(ask);
    let all = store.usage().series_bytes as usize - before;
    assert!(all > one && all <= limits.series_bytes() / 16, "{all} bytes for the lists of a thousand questions");
}

#[test]
fn an_hour_of_a_counter_takes_little_more_than_a_kilobyte() {
    let (store, _) = store(StoreLimits::default());
    let origin = store.origin("target");
    let ids: Vec<_> = (0..1_000)
        .map(|n: usize| {
            let code = n.to_string();
            store.series(origin, &labels("requests_total", &[("code", &code)]), MetricKind::Counter).expect("room")
        })
        .collect();
    for sample in 0..240_i64 {
        let at = Timestamp(START + sample * 15_000);
        let row: Vec<_> =
            ids.iter().enumerate().map(|(n, id)| (*id, Value::Float((sample * 300 + sample * sample % 97 + n as i64) as f64))).collect();
        assert_eq!(store.append(origin, at, at, &row).stored, ids.len());
    }
    // Unpacked, the values alone would take 1,920 bytes.
    let bytes = store.usage().series_bytes / ids.len() as u64;
    assert!(bytes < 1_300, "{bytes} bytes a series");
}
