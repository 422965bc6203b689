//! Series and writers that come and go.

use super::{START, all, labels, read, store};
use std::collections::BTreeSet;
use std::time::Duration;
use watchfire_model::{Appended, MetricKind, Selector, SeriesId, SeriesSink, SeriesSource, Timestamp, Value};
use watchfire_store::StoreLimits;

#[test]
fn a_series_that_is_silent_for_longer_than_the_retention_is_dropped_and_may_come_back() {
    let limits = StoreLimits { retention: Duration::from_secs(60), ..StoreLimits::default() };
    let (store, _) = store(limits);
    let origin = store.origin("o");
    let id = |i: u32| store.series(origin, &labels("m", &[("i", &i.to_string())]), MetricKind::Gauge).expect("below the limit");
    let (silent, lively) = (id(0), id(1));
    store.append(origin, Timestamp(START), Timestamp(START), &[(silent, Value::Float(1.0)), (lively, Value::Float(1.0))]);
    let generation = store.generation();
    let mut now = Timestamp(START);
    for i in 1..40 {
        now = Timestamp(START + i * 5000);
        store.append(origin, now, now, &[(lively, Value::Float(1.0))]);
        store.maintain(now);
    }
    assert_eq!(read(&store, &Selector::metric("m"), all()).len(), 1);
    assert_eq!(store.usage().series, 1);
    assert_ne!(store.generation(), generation);
    assert_eq!(store.append(origin, Timestamp(now.0 + 1), now, &[(silent, Value::Float(2.0))]).stored, 1, "a writer may still hold the id");
    assert_eq!(read(&store, &Selector::metric("m"), all()).len(), 2);
}

#[test]
fn who_holds_the_id_of_a_series_that_another_has_begun_anew_writes_that_one() {
    let (store, _) = store(StoreLimits { retention: Duration::from_secs(60), ..StoreLimits::default() });
    let (first, second) = (store.origin("first"), store.origin("second"));
    let series = |origin, name: &str| store.series(origin, &labels(name, &[]), MetricKind::Gauge).expect("below the limit");
    let held = series(first, "m");
    store.append(first, Timestamp(START), Timestamp(START), &[(held, Value::Float(1.0))]);
    let lively = series(first, "lively");
    let mut now = Timestamp(START);
    for i in 1..40 {
        now = Timestamp(START + i * 5000);
        store.append(first, now, now, &[(lively, Value::Float(1.0))]);
        store.maintain(now);
    }
    let anew = series(second, "m");
    assert_ne!(anew, held, "the first was dropped for its silence");
    store.append(second, now, now, &[(anew, Value::Float(2.0))]);
    for second in 1..=2 {
        let at = Timestamp(now.0 + second * 1000);
        assert_eq!(store.append(first, at, at, &[(held, Value::Float(3.0))]).stored, 1);
    }
    let samples: Vec<usize> = read(&store, &Selector::metric("m"), all()).values().map(Vec::len).collect();
    assert_eq!(samples, [3], "one series with the samples of both");
}

#[test]
fn writers_that_went_leave_their_columns_to_those_who_come() {
    let limits = StoreLimits { origins: 4, retention: Duration::from_secs(60), ..StoreLimits::default() };
    let (store, _) = store(limits);
    let mut now = Timestamp(START);
    let mut bytes = Vec::new();
    // A hundred generations of pods.
    for generation in 0..100 {
        let name = |pod: i32| format!("pod-{generation}-{pod}");
        let origins: Vec<_> = (0..4).map(|pod| store.origin(&name(pod))).collect();
        assert_eq!(origins.iter().collect::<BTreeSet<_>>().len(), 4, "each has times of its own in generation {generation}");
        for (pod, origin) in origins.iter().enumerate() {
            let series = |i: usize| labels("m", &[("pod", &name(pod as i32)), ("i", &i.to_string())]);
            let row: Vec<_> = (0..50)
                .map(|i| (store.series(*origin, &series(i), MetricKind::Gauge).expect("below the limit"), Value::Float(1.0)))
                .collect();
            assert_eq!(store.append(*origin, now, now, &row).stored, 50);
        }
        for _ in 0..4 {
            now = Timestamp(now.0 + 30_000);
            store.maintain(now);
        }
        bytes.push(store.usage().series_bytes);
    }
    assert_eq!(store.usage().series, 0);
    // What is remembered of the series that went is bounded by their number, and reached after fifty generations.
    assert!(bytes[99] <= bytes[59] + 1000, "{bytes:?}");
}

#[test]
fn many_who_come_back_are_known_as_long_as_so_many_are_remembered() {
    let (store, _) = store(StoreLimits { retention: Duration::from_secs(60), ..StoreLimits::default() });
    let origin = store.origin("o");
    let ids: Vec<_> = (0..9000)
        .map(|i| store.series(origin, &labels("m", &[("i", &i.to_string())]), MetricKind::Gauge).expect("below the limit"))
        .collect();
    let mut now = Timestamp(START);
    // Each time they are silent for long enough to be dropped, and those who write them hold their ids.
    for round in 0..4 {
        let row: Vec<_> = ids.iter().map(|id| (*id, Value::Float(f64::from(round)))).collect();
        assert_eq!(store.append(origin, now, now, &row), Appended { stored: 9000, ..Appended::default() }, "round {round}");
        for _ in 0..4 {
            now = Timestamp(now.0 + 30_000);
            store.maintain(now);
        }
        assert_eq!(store.usage().series, 0);
    }
}

#[test]
fn who_writes_for_many_targets_pays_for_each_by_itself() {
    let bytes = |as_one: bool| {
        let (store, _) = store(StoreLimits::default());
        let hand = store.origin("remote");
        let targets: Vec<Vec<SeriesId>> = (0..50)
            .map(|target| {
                let origin = if as_one { hand } else { store.origin(&format!("target {target}")) };
                let series = |i: i32| labels("m", &[("target", &target.to_string()), ("i", &i.to_string())]);
                (0..20).map(|i| store.series(origin, &series(i), MetricKind::Gauge).expect("below the limit")).collect()
            })
            .collect();
        for round in 0..40 {
            for (offset, ids) in targets.iter().enumerate() {
                let now = Timestamp(START + round * 15_000 + offset as i64 * 100);
                let row: Vec<_> = ids.iter().map(|id| (*id, Value::Float(round as f64))).collect();
                assert_eq!(store.append(hand, now, now, &row).stored, 20);
            }
        }
        let found = read(&store, &Selector::metric("m"), all());
        assert!(found.len() == 1000 && found.values().all(|samples| samples.len() == 40));
        store.maintain(Timestamp(START + 600_000));
        store.usage().series_bytes
    };
    let (apart, together) = (bytes(false), bytes(true));
    assert!(together > 3 * apart, "{apart} bytes with times of their own, {together} with shared ones");
}
