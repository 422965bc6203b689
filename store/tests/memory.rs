//! The memory as a whole: spans, series, logs and tables share it.

#[path = "../testing/build.rs"]
mod build;
#[path = "../testing/walk.rs"]
mod walk;

use build::*;
use std::time::Duration;
use watchfire_model::{
    Labels, LogRecord, LogSeverity, LogSink, MetricKind, Selector, SeriesId, SeriesSink, SeriesSource, TimeRange, Timestamp, Value,
};
use watchfire_store::{SignalSettings, StoreLimits};

/// Series and logs that need all of their parts of the memory.
struct Crowd {
    ids: Vec<SeriesId>,
    rows: i64,
}

impl Crowd {
    fn new(bench: &Bench) -> Self {
        let origin = bench.store.origin("crowd");
        let labels = |i: u32| Labels::from_pairs([("__name__", "crowd"), ("i", &*i.to_string())]);
        let ids = (0..1000).filter_map(|i| bench.store.series(origin, &labels(i), MetricKind::Gauge)).collect();
        Crowd { ids, rows: 0 }
    }

    fn grow(&mut self, bench: &Bench) {
        let origin = bench.store.origin("crowd");
        for _ in 0..20 {
            self.rows += 1;
            let at = Timestamp(START + self.rows);
            let noise = |id: &SeriesId| (*id, Value::Float(f64::from(id.0) * 0.37 + (self.rows as f64).sin()));
            let row: Vec<(SeriesId, Value)> = self.ids.iter().map(noise).collect();
            bench.store.append(origin, at, at, &row);
        }
        let line = |i: i64| LogRecord {
            at: Timestamp(START + i),
            service: "crowd".into(),
            severity: LogSeverity::Info,
            body: format!("{i} {}", "x".repeat(900)),
            trace_id: None,
            span_id: None,
            event_name: None,
            attributes: Vec::new(),
        };
        LogSink::logs(&*bench.store, (0..200).map(line).collect());
    }
}

#[test]
fn histograms_that_are_derived_from_spans_count_in_full() {
    let mut bench = Bench::new();
    for round in 0..40u128 {
        let of = |i: u128| span(round * 100 + i, 1, 0, "op", SERVER).takes(1 + ((round * 100 + i) as u64 * 7919) % 100_000);
        bench.send("svc", (1..=100).map(of).collect());
        bench.pass(Duration::from_secs(2));
    }
    let mut held = 0;
    let range = TimeRange::new(Timestamp(0), Timestamp::MAX);
    let buckets =
        |view: &watchfire_model::SeriesView<'_>| view.histograms.iter().flatten().map(|h| 8 * h.positive_buckets.len()).sum::<usize>();
    bench
        .store
        .select(&Selector::metric("traces_span_metrics_duration_seconds"), range, &mut |view| held += buckets(&view))
        .expect("answers");
    let counted = bench.store.usage().series_bytes as usize;
    assert!(held > 50_000 && counted > held, "{counted} bytes are counted where the buckets alone take {held}");
}

#[test]
fn what_senders_say_of_themselves_counts_as_memory_and_goes_with_their_spans() {
    let limits = StoreLimits { memory_bytes: 32 << 20, ..StoreLimits::default() };
    let mut bench = Bench::with(limits, SignalSettings::default());
    for sender in 0..1000u128 {
        let of_sender = |id: u64| span(sender, id, 0, "op", SERVER);
        let mut sent = resource_spans("svc", vec![of_sender(1), of_sender(2).fails("once in a while")]);
        let resource = sent.resource.as_mut().expect("a resource");
        resource.attributes.push(text("process.command_args", &format!("{sender:064}").repeat(1000)));
        bench.request(vec![sent]);
    }
    bench.engine.settle();
    let usage = bench.store.usage();
    // 64 kB for each of a thousand senders do not fit.
    assert!(usage.spans_evicted > 1000 && usage.span_bytes <= (32 << 20) / 2, "{usage:?}");
    // Of some only the span that failed is left.
    assert!(usage.spans_held > 200 && usage.span_bytes >= usage.spans_held * 30_000, "{usage:?}");
}

#[test]
fn spans_make_room_for_series_logs_and_tables_and_nothing_is_refused() {
    let limits = StoreLimits { memory_bytes: 16 << 20, ..StoreLimits::default() };
    let mut bench = Bench::with(limits, SignalSettings::default());
    let mut crowd = Crowd::new(&bench);
    for batch in 0..120u128 {
        let noise = |i: u128| format!("{:x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).repeat(4);
        let of = |i: u128| span(i, 1, 0, "op", SERVER).with(text("noise", &noise(i)));
        bench.send("svc", (1..=500).map(|i| of(batch * 500 + i)).collect());
        crowd.grow(&bench);
        bench.pass(Duration::from_millis(250));
        assert!(!bench.store.is_over_memory(), "batch {batch}: {:?}", bench.store.usage());
    }
    bench.engine.settle();
    let usage = bench.store.usage();
    let full = |signal: &str| bench.meter.counter(signal, &[("reason", "memory")]).get() > 0;
    assert!(full("watchfire_rows_evicted_total") && full("watchfire_logs_evicted_total") && usage.spans_evicted > 0, "{usage:?}");
    assert!(usage.spans_held > 5_000, "{usage:?}");
}
