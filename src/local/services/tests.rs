//! Rows of services, from series of every source.

use super::*;
use crate::local::context::Declared;
use crate::local::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
use std::sync::Arc;
use watchfire_model::{BucketSpan, Labels, NativeHistogram, Timestamp, Value};
use watchfire_promql::Engine;
use watchfire_testkit::MemorySource;

const BEGIN: i64 = 1_772_334_000_000;

#[test]
fn a_service_that_fell_silent_is_as_well_as_its_callers_say() {
    let mut source = MemorySource::new();
    for metric in ["traces_service_graph_request_total", "traces_service_graph_request_failed_total"] {
        let labels = Labels::from_pairs([("__name__", metric), ("client", "web"), ("server", "mail")]);
        (0..=24).for_each(|step| source.push(&labels, Timestamp(BEGIN + step * 5_000), Value::Float(5.0 * step as f64)));
    }
    let (engine, cache, at) = (Engine::default(), QueryCache::default(), Timestamp(BEGIN + 120_000));
    let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
    let last_seen = BTreeMap::from([("mail".to_owned(), Timestamp(BEGIN)), ("idle".to_owned(), Timestamp(BEGIN))]);
    let context = Context { declared: &Declared::default(), checks: &[], alerts: &[], breakers: &[], last_seen: &last_seen };
    let rows = services(&lens, &context).expect("readable").services;
    let states: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.state, row.why.join(", "))).collect();
    let failing = "100 % of calls to it fail".to_owned();
    assert_eq!(states, [("mail", HealthState::Unhealthy, failing), ("idle", HealthState::Unknown, "no telemetry for 2m00s".to_owned())]);
}

#[test]
fn who_is_called_rarely_is_quiet_and_who_was_called_often_has_fallen_silent() {
    let mut source = MemorySource::new();
    // Seconds of each call; counters begin with a zero and are published every ten seconds.
    let mut put = |service: &str, calls: &dyn Fn(i64) -> i64| {
        let labels = Labels::from_pairs([
            ("__name__", "traces_span_metrics_calls_total"),
            ("service_name", service),
            ("span_kind", "SPAN_KIND_SERVER"),
            ("status_code", "STATUS_CODE_UNSET"),
        ]);
        (0..=60).for_each(|step| source.push(&labels, Timestamp(BEGIN + step * 10_000), Value::Float(calls(step * 10) as f64)));
    };
    // Every two minutes, and ten times a second until two minutes ago.
    put("rare", &|second| (second + 30) / 120);
    put("gone", &|second| second.min(480) * 10);
    let (engine, cache, at) = (Engine::default(), QueryCache::default(), Timestamp(BEGIN + 600_000));
    let mut lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
    let seen = |second: i64| Timestamp(BEGIN + second * 1_000);
    let mut last_seen = BTreeMap::from([("rare".to_owned(), seen(570)), ("gone".to_owned(), seen(480))]);
    let mut read = |lens: &Lens<'_>, rare: i64| {
        last_seen.insert("rare".to_owned(), seen(rare));
        let context = Context { declared: &Declared::default(), checks: &[], alerts: &[], breakers: &[], last_seen: &last_seen };
        services(lens, &context).expect("readable").services
    };
    let of = |rows: &[ServiceRow], name: &str| {
        let row = rows.iter().find(|r| r.name == name).expect("a row");
        (row.state, row.why.join(", "), row.rate.is_some())
    };
    let rows = read(&lens, 570);
    assert_eq!(of(&rows, "rare"), (HealthState::Healthy, String::new(), true), "called within the minute");
    assert_eq!(of(&rows, "gone"), (HealthState::Unknown, "no telemetry for 2m00s".to_owned(), false));
    // A moment later nothing has changed for who is called every two minutes.
    lens.at = Timestamp(BEGIN + 540_000);
    let rows = read(&lens, 450);
    assert_eq!(of(&rows, "rare"), (HealthState::Healthy, "quiet, last call 1m30s ago".to_owned(), true));
}

#[test]
fn services_without_spans_are_listed_with_what_their_metrics_say() {
    let mut source = MemorySource::new();
    let mut put = |name: &str, pairs: &[(&str, &str)], per_minute: f64| {
        let labels = Labels::from_pairs([("__name__", name)].into_iter().chain(pairs.iter().copied()));
        for step in 0..=40 {
            source.push(&labels, Timestamp(BEGIN + step * 15_000), Value::Float(per_minute * step as f64 / 4.0 + 1.0));
        }
    };
    put("target_info", &[("job", "shop/worker"), ("telemetry_sdk_name", "opentelemetry")], 0.0);
    put("target_info", &[("job", "web"), ("telemetry_sdk_name", "opentelemetry")], 0.0);
    put("target_info", &[("job", "unknown_service:sshd"), ("process_pid", "7")], 0.0);
    put("target_info", &[("job", "10.0.0.1:9464"), ("telemetry_sdk_name", "opentelemetry")], 0.0);
    put("up", &[("job", "10.0.0.1:9464")], 0.0);
    let served = "http_server_request_duration_seconds";
    for (service, code, per_minute) in [("web", "200", 570.0), ("web", "503", 30.0), ("idle", "200", 600.0)] {
        let own = [("job", service), ("service_name", service), ("http_response_status_code", code)];
        put(&format!("{served}_count"), &own, per_minute);
        for (le, share) in [("0.1", 0.0), ("0.2", 1.0), ("+Inf", 1.0)] {
            put(&format!("{served}_bucket"), &[&own[..], &[("le", le)]].concat(), per_minute * share);
        }
    }
    let (engine, cache) = (Engine::default(), QueryCache::default());
    let at = Timestamp(BEGIN + 40 * 15_000);
    let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
    let (declared, last_seen) = (Declared::default(), BTreeMap::from([("idle".to_owned(), Timestamp(BEGIN + 38 * 15_000))]));
    let context = Context { declared: &declared, checks: &[], alerts: &[], breakers: &[], last_seen: &last_seen };
    let rows = services(&lens, &context).expect("readable").services;
    let idle = rows.iter().find(|r| r.name == "idle").expect("a row");
    assert_eq!((idle.rate, idle.last_seen), (None, last_seen.get("idle").copied()), "its spans say that nobody calls it now");
    let rows: Vec<_> = rows.iter().filter(|r| r.name != "idle").collect();
    assert_eq!(rows.iter().map(|r| r.name.as_str()).collect::<BTreeSet<_>>(), ["web", "worker"].into());
    let of = |name: &str| rows.iter().find(|r| r.name == name).expect("a row");
    let web = of("web");
    assert_eq!((web.rate.map(f64::round), web.error_ratio.map(|r| (r * 1000.0).round())), (Some(10.0), Some(50.0)));
    assert!(web.p50_seconds.is_some_and(|p| (0.1..0.2).contains(&p)), "{:?}", web.p50_seconds);
    assert_eq!((web.source.as_deref(), web.state), (Some("http metrics"), HealthState::Healthy));
    let worker = of("worker");
    assert_eq!((worker.source.as_deref(), worker.rate, worker.error_ratio), (Some("metrics only"), None, None));
    assert_eq!((worker.state, &worker.why[..]), (HealthState::Unknown, &["sends metrics, and no spans".to_owned()][..]));
}

/// A job that fails whenever it runs is not well because the queries that it makes succeed.
#[test]
fn a_service_that_nobody_calls_is_measured_by_what_it_begins() {
    let mut source = MemorySource::new();
    let mut put = |name: &str, pairs: &[(&str, &str)], per_second: f64| {
        let labels = Labels::from_pairs([("__name__", name)].into_iter().chain(pairs.iter().copied()));
        for step in 0..=40 {
            source.push(&labels, Timestamp(BEGIN + step * 15_000), Value::Float(per_second * step as f64 * 15.0 + 1.0));
        }
    };
    let calls = "traces_span_metrics_calls_total";
    let of = |service, name, kind, status| [("service_name", service), ("span_name", name), ("span_kind", kind), ("status_code", status)];
    let (internal, client) = ("SPAN_KIND_INTERNAL", "SPAN_KIND_CLIENT");
    put(calls, &of("cron", "job", internal, "STATUS_CODE_ERROR"), 1.0);
    put(calls, &of("cron", "SELECT", client, "STATUS_CODE_UNSET"), 99.0);
    put("watchfire_root_operation_info", &of("cron", "job", internal, "")[..3], 0.0);
    // Its traces begin elsewhere, from where no spans come.
    put(calls, &of("worker", "work", internal, "STATUS_CODE_UNSET"), 5.0);
    let (engine, cache) = (Engine::default(), QueryCache::default());
    let at = Timestamp(BEGIN + 40 * 15_000);
    let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
    let (declared, last_seen) = (Declared::default(), BTreeMap::from([("cron".to_owned(), at)]));
    let context = Context { declared: &declared, checks: &[], alerts: &[], breakers: &[], last_seen: &last_seen };
    let rows = services(&lens, &context).expect("readable").services;
    let of = |name: &str| rows.iter().find(|r| r.name == name).expect("a row");
    let cron = of("cron");
    assert_eq!((cron.rate.map(f64::round), cron.error_ratio, cron.state), (Some(1.0), Some(1.0), HealthState::Unhealthy));
    assert_eq!(of("worker").rate.map(f64::round), Some(5.0));
}

#[test]
fn ready_made_metrics_of_every_dialect_are_services_with_percentiles() {
    let mut source = MemorySource::new();
    let mut put = |name: &str, pairs: &[(&str, &str)], value: &dyn Fn(f64) -> Value| {
        let common = [("__name__", name), ("job", "collector"), ("span_kind", "SPAN_KIND_SERVER"), ("span_name", "GET /")];
        let labels = Labels::from_pairs(common.into_iter().chain(pairs.iter().copied()));
        for step in 0..=40 {
            source.push(&labels, Timestamp(BEGIN + step * 15_000), value(60.0 * step as f64));
        }
    };
    // All in (1, 2] of the unit at schema 0: bucket 1.
    let native = |calls: f64| {
        Value::Histogram(Arc::new(NativeHistogram {
            count: calls,
            sum: calls,
            positive_spans: vec![BucketSpan { offset: 1, length: 1 }],
            positive_buckets: vec![calls],
            ..NativeHistogram::default()
        }))
    };
    let status = ("status_code", "STATUS_CODE_UNSET");
    for (label, service, calls, latency, is_native) in [
        ("service_name", "native_ms", "traces_span_metrics_calls_total", "traces_span_metrics_duration_milliseconds", true),
        ("service_name", "native_s", "traces_span_metrics_calls_total", "traces_span_metrics_duration_seconds", true),
        ("service", "tempo", "traces_spanmetrics_calls_total", "traces_spanmetrics_latency", true),
        ("service_name", "old", "calls_total", "duration_milliseconds", false),
    ] {
        put(calls, &[(label, service), status], &Value::Float);
        if is_native {
            put(latency, &[(label, service), status], &native);
        } else {
            for le in ["1.0", "2.0", "+Inf"] {
                let share = if le == "1.0" { 0.0 } else { 1.0 };
                put(&format!("{latency}_bucket"), &[(label, service), status, ("le", le)], &|calls| Value::Float(calls * share));
            }
        }
    }
    let (engine, cache) = (Engine::default(), QueryCache::default());
    let at = Timestamp(BEGIN + 600_000);
    let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
    let (declared, last_seen) = (Declared::default(), BTreeMap::new());
    let context = Context { declared: &declared, checks: &[], alerts: &[], breakers: &[], last_seen: &last_seen };
    let rows = services(&lens, &context).expect("readable").services;
    let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{name} is listed"));
    for (name, unit) in [("native_ms", 1e-3), ("native_s", 1.0), ("tempo", 1.0), ("old", 1e-3)] {
        let row = row(name);
        assert!(row.rate.is_some_and(|rate| (rate - 4.0).abs() < 1e-9), "{name} {:?}", row.rate);
        assert!(row.p50_seconds.is_some_and(|p50| (1.0..2.0).contains(&(p50 / unit))), "{name} {:?}", row.p50_seconds);
        assert_eq!((row.state, row.last_seen), (HealthState::Healthy, Some(at)), "{name}");
        let operations = super::super::operations::operations(&lens, name).expect("readable");
        assert_eq!((operations.len(), operations[0].p50_seconds), (1, row.p50_seconds), "{name}");
    }
}

/// The collector's span metrics of before, whose names had no namespace, with each of their latencies.
#[test]
fn older_names_of_ready_made_span_metrics_are_read() {
    for (latency, unit) in [("duration_milliseconds", 1000.0), ("duration_seconds", 1.0), ("latency", 1000.0)] {
        let mut source = MemorySource::new();
        let own = [("job", "otelcol"), ("service_name", "pay"), ("span_kind", "SPAN_KIND_SERVER"), ("status_code", "STATUS_CODE_UNSET")];
        let mut put = |name: &str, more: &[(&str, &str)], per_second: f64| {
            let labels = Labels::from_pairs([("__name__", name)].into_iter().chain(own).chain(more.iter().copied()));
            (0..=40).for_each(|step| source.push(&labels, Timestamp(BEGIN + step * 15_000), Value::Float(per_second * step as f64 * 15.0)));
        };
        put("calls_total", &[], 10.0);
        let (below, above) = ((0.1 * unit).to_string(), (0.2 * unit).to_string());
        for (le, rate) in [(below.as_str(), 0.0), (above.as_str(), 10.0), ("+Inf", 10.0)] {
            put(&format!("{latency}_bucket"), &[("le", le)], rate);
        }
        let (engine, cache, at) = (Engine::default(), QueryCache::default(), Timestamp(BEGIN + 600_000));
        let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
        let last_seen = BTreeMap::new();
        let context = Context { declared: &Declared::default(), checks: &[], alerts: &[], breakers: &[], last_seen: &last_seen };
        let rows = services(&lens, &context).expect("readable").services;
        let pay = rows.iter().find(|row| row.name == "pay").expect("a row");
        assert_eq!((pay.rate.map(f64::round), pay.source.as_deref()), (Some(10.0), Some("span metrics")), "{latency}");
        assert!(pay.p95_seconds.is_some_and(|p| (0.1..=0.2).contains(&p)), "{latency}: {:?}", pay.p95_seconds);
    }
}

/// Twenty calls within a service's first seconds are twenty, although their rate goes on to the ends of its window.
#[test]
fn the_spans_behind_figures_are_counted_and_not_extrapolated() {
    let mut source = MemorySource::new();
    for (status, calls) in [("STATUS_CODE_UNSET", 15.0), ("STATUS_CODE_ERROR", 5.0)] {
        let labels = Labels::from_pairs([
            ("__name__", "traces_span_metrics_calls_total"),
            ("service_name", "young"),
            ("span_kind", "SPAN_KIND_SERVER"),
            ("status_code", status),
        ]);
        (0..20).for_each(|step| source.push(&labels, Timestamp(BEGIN + step * 5_000), Value::Float(if step == 0 { 0.0 } else { calls })));
    }
    let (engine, cache) = (Engine::default(), QueryCache::default());
    for second in [5, 7, 12, 33, 54] {
        let at = Timestamp(BEGIN + second * 1_000);
        let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
        let last_seen = BTreeMap::from([("young".to_owned(), Timestamp(BEGIN + 5_000))]);
        let context = Context { declared: &Declared::default(), checks: &[], alerts: &[], breakers: &[], last_seen: &last_seen };
        let rows = services(&lens, &context).expect("readable").services;
        assert_eq!(rows[0].sample_count, Some(20.0), "after {second} s");
    }
}
