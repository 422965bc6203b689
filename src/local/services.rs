//! RED of every service over the last minute, its state, and the reasons for it.

use super::collectors;
use super::context::Context;
use super::graphql;
use super::lens::Lens;
use super::metrics_only;
use super::state::{judge, short_duration};
use super::unanswered::unanswered;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use watchfire_model::HealthState;
use watchfire_model::reading::{ReadError, ServiceRow, Services};

/// What a service serves: the spans its callers wait for.
const SERVED: &str = r#"span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER""#;
/// A service nobody calls (a cron job, a load generator) is measured by the work it starts itself.
const STARTED: &str = r#"span_kind=~"SPAN_KIND_INTERNAL|SPAN_KIND_CLIENT|SPAN_KIND_PRODUCER|SPAN_KIND_UNSPECIFIED""#;

/// Of that, what begins a trace: the queries of a job are no work beside the job.
const BEGUN: &str = "and on (service_name, span_name, span_kind) watchfire_root_operation_info";

/// Ready-made span metrics: (service label, calls, latency as buckets or as a native histogram, units per second). The collector's connector
/// with either unit and with its old names, and Tempo's metrics generator.
pub(super) const READY_MADE: [(&str, &str, &str, f64); 4] = [
    ("service_name", "traces_span_metrics_calls_total", "traces_span_metrics_duration_milliseconds", 1000.0),
    ("service_name", "traces_span_metrics_calls_total", "traces_span_metrics_duration_seconds", 1.0),
    ("service", "traces_spanmetrics_calls_total", "traces_spanmetrics_latency", 1.0),
    ("service_name", "calls_total", "duration_milliseconds", 1000.0),
];

#[derive(Clone, Debug, Default)]
pub struct Red {
    pub rate: f64,
    pub errors: f64,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    source: &'static str,
    /// What the rate was taken over.
    window: Duration,
}

impl Red {
    pub fn of(source: &'static str, window: Duration) -> Self {
        Red { source, window, ..Red::default() }
    }
}

/// The `services` reading.
///
/// # Errors
/// When the store cannot be queried.
pub fn services(lens: &Lens<'_>, context: &Context<'_>) -> Result<Services, ReadError> {
    let mut red = red(lens)?;
    let quiet = quiet(lens, context, &mut red)?;
    // Whose spans came within the window of these rates is known better by them, at rest too.
    let silent = |name: &str| context.last_seen.get(name).is_none_or(|seen| lens.at.since(*seen) > lens.scrape_window);
    metrics_only::fill(lens, &mut red, &silent)?;
    let reporting = metrics_only::names(lens)?;
    let sparklines = sparklines(lens)?;
    let sampling = lens.by("service_name", "min by (service_name) (watchfire_sampling_ratio)")?;
    let mut seen = context.last_seen.clone();
    for name in ready_made(lens)? {
        seen.entry(name).or_insert(lens.at);
    }
    for (name, _) in red.iter().filter(|(_, red)| red.source == metrics_only::HTTP_METRICS) {
        seen.insert(name.clone(), lens.at);
    }
    let collectors = collectors::collectors(lens)?;
    for name in collectors.keys() {
        seen.insert(name.clone(), lens.at);
    }
    let versions = versions(lens)?;
    let saturation = super::saturation::saturation(lens)?;
    let failing = graphql::failing(lens)?;
    let unanswered = unanswered(lens)?;
    let degraded = |text: String| (HealthState::Degraded, text);

    let mut names: BTreeSet<&str> = red.keys().map(String::as_str).collect();
    names.extend(seen.keys().map(String::as_str));
    names.extend(reporting.iter().map(String::as_str));
    names.extend(context.declared_services());
    names.extend(context.checks.iter().map(|c| c.service.as_str()));

    let without_spans = |name: &str| reporting.contains(name) && !seen.contains_key(name);
    let mut rows = Vec::with_capacity(names.len());
    for name in names {
        let figures = red.get(name);
        let ratio = sampling.get(name).copied().filter(|r| *r > 0.0 && *r < 1.0);
        let mut row = ServiceRow {
            name: name.to_owned(),
            rate: figures.map(|r| r.rate),
            error_ratio: figures.and_then(|r| (r.rate > 0.0).then(|| (r.errors / r.rate).clamp(0.0, 1.0))),
            p50_seconds: figures.and_then(|r| r.p50),
            p95_seconds: figures.and_then(|r| r.p95),
            p99_seconds: figures.and_then(|r| r.p99),
            owner: context.declared.owner(name).map(str::to_owned),
            simulated: versions.get(name).is_some_and(|v| v.simulated),
            sparkline: sparklines.get(name).cloned().unwrap_or_default(),
            sample_count: figures.map(|r| r.rate * r.window.as_secs_f64() * ratio.unwrap_or(1.0)),
            sampling_ratio: ratio,
            source: figures.map(|r| r.source.to_owned()).or_else(|| without_spans(name).then(|| metrics_only::METRICS_ONLY.to_owned())),
            version: versions.get(name).and_then(|v| v.version.clone()),
            saturation: saturation.get(name).map(|(v, _)| *v),
            saturation_of: saturation.get(name).map(|(_, what)| what.clone()),
            last_seen: seen.get(name).copied(),
            declared: context.is_declared(name),
            ..ServiceRow::default()
        };
        let mut troubles: Vec<_> = failing.get(name).cloned().into_iter().map(degraded).collect();
        if let Some(seen) = quiet.get(name).and_then(|name| context.last_seen.get(name)) {
            troubles.push((HealthState::Healthy, format!("quiet, last call {} ago", short_duration(lens.at.since(*seen)))));
        }
        // Who answers some calls tells itself how those end.
        troubles.extend(unanswered.get(name).filter(|_| row.rate.is_none()).cloned());
        if let Some(figures) = collectors.get(name) {
            row.source = Some("collector's own metrics".to_owned());
            troubles.extend(collectors::complaints(figures).into_iter().map(degraded));
            if let (Some(size), Some(capacity)) = (figures.queue_size, figures.queue_capacity.filter(|c| *c > 0.0)) {
                row.saturation = Some(size / capacity);
                row.saturation_of = Some("queue".to_owned());
            }
        }
        judge(&mut row, lens.at, context, troubles);
        // What services depend on is on the map and among the checks. Here it is while something is wrong with it.
        if row.state > HealthState::Unknown || !context.is_dependency(&row) {
            rows.push(row);
        }
    }
    rows.sort_by(|a, b| b.state.cmp(&a.state).then_with(|| b.rate.unwrap_or(-1.0).total_cmp(&a.rate.unwrap_or(-1.0))));
    Ok(Services { services: rows, changes: Vec::new() })
}

fn red(lens: &Lens<'_>) -> Result<BTreeMap<String, Red>, ReadError> {
    let mut out = BTreeMap::new();
    // Own spans first: what callers wait for, then what the service starts by itself.
    for (kinds, only) in [(SERVED, ""), (STARTED, BEGUN), (STARTED, "")] {
        own(lens, &mut out, kinds, only, (lens.window, &lens.window_text()))?;
    }
    // Ready-made series of a collector or of Tempo fill in services that send no spans here; they never add to those that do.
    // Dialects with percentiles go first: the same counter may come with buckets in either unit.
    // Scraped series have a sample every 15 s or so; a minute of them can hold a single one.
    for (with_percentiles, kinds) in [(true, SERVED), (true, STARTED), (false, SERVED), (false, STARTED)] {
        for (label, calls, latency, unit) in READY_MADE {
            let window = lens.scrape_window_text();
            let before: BTreeSet<String> = out.keys().cloned().collect();
            collect(
                lens,
                &mut out,
                (label, "span metrics", lens.scrape_window),
                &format!(r#"rate({calls}{{job!="",{kinds}}}[{window}])"#),
                &latencies(label, latency, &format!(r#"job!="",{kinds}"#), &window),
                with_percentiles,
            )?;
            for (_, red) in out.iter_mut().filter(|(name, _)| !before.contains(*name)) {
                for p in [&mut red.p50, &mut red.p95, &mut red.p99] {
                    *p = p.map(|v| v / unit);
                }
            }
        }
    }
    Ok(out)
}

/// From own spans: what they say of one kind of calls over a window.
fn own(lens: &Lens<'_>, out: &mut BTreeMap<String, Red>, kinds: &str, only: &str, window: (Duration, &str)) -> Result<(), ReadError> {
    let calls = format!(r#"rate(traces_span_metrics_calls_total{{job="",{kinds}}}[{}]) {only}"#, window.1);
    let latency = format!(r#"sum by (service_name) (rate(traces_span_metrics_duration_seconds{{job="",{kinds}}}[{}]) {only})"#, window.1);
    collect(lens, out, ("service_name", "spans", window.0), &calls, &[latency], false)
}

/// As many calls as this do not all stay away by chance: once in 150 times.
const CALLS_THAT_COME: f64 = 5.0;

/// Who is called less than once a minute has figures of the longer window, and is as well as those say: a minute without a call is nothing unusual there.
/// Whose calls came so often that some of them had to come since the last one has fallen silent instead. Returns the quiet ones.
fn quiet(lens: &Lens<'_>, context: &Context<'_>, known: &mut BTreeMap<String, Red>) -> Result<BTreeSet<String>, ReadError> {
    let (short, long) = (lens.window, lens.scrape_window);
    let heard = |name: &str| context.last_seen.get(name).map(|seen| lens.at.since(*seen)).filter(|silence| *silence < long);
    let mut out = BTreeMap::new();
    if short < long && context.last_seen.keys().any(|name| !known.contains_key(name) && heard(name).is_some()) {
        for (kinds, only) in [(SERVED, ""), (STARTED, BEGUN), (STARTED, "")] {
            own(lens, &mut out, kinds, only, (long, &lens.scrape_window_text()))?;
        }
    }
    out.retain(|name, red: &mut Red| {
        let Some(silence) = heard(name).filter(|_| !known.contains_key(name)) else { return false };
        // No call is in the short window, whenever exactly the last one was.
        let silence = silence.max(short).as_secs_f64();
        let talking = (long.as_secs_f64() - silence).max(1.0);
        red.rate * long.as_secs_f64() / talking * silence < CALLS_THAT_COME
    });
    let names = out.keys().cloned().collect();
    known.extend(out);
    Ok(names)
}

/// Rates of a ready-made latency in both of its forms, by labels. Two jobs that say the same count once, but for native histograms: there is no greatest
/// of them, and said twice they have the same percentiles.
pub(super) fn latencies(by: &str, latency: &str, filter: &str, window: &str) -> [String; 2] {
    [
        format!("sum by ({by}) (rate({latency}{{{filter}}}[{window}]))"),
        format!("max by ({by}, le) (sum by (job, {by}, le) (rate({latency}_bucket{{{filter}}}[{window}])))"),
    ]
}

fn collect(
    lens: &Lens<'_>,
    out: &mut BTreeMap<String, Red>,
    (label, source, window): (&str, &'static str, Duration),
    calls: &str,
    histograms: &[String],
    percentiles_required: bool,
) -> Result<(), ReadError> {
    // Two jobs that derive the same series from the same spans say it twice; the fuller one is believed.
    let rates = lens.vector(&format!("max by ({label}, status_code) (sum by (job, {label}, status_code) ({calls}))"))?;
    if rates.is_empty() {
        return Ok(());
    }
    let mut fresh: BTreeMap<String, Red> = BTreeMap::new();
    for (labels, rate) in rates {
        let name = labels.value(label);
        if name.is_empty() || out.contains_key(name) {
            continue;
        }
        let red = fresh.entry(name.to_owned()).or_default();
        red.source = source;
        red.window = window;
        red.rate += rate;
        if labels.value("status_code").ends_with("ERROR") {
            red.errors += rate;
        }
    }
    fresh.retain(|_, red| red.rate > 0.0);
    for histogram in histograms {
        for (labels, percentiles) in lens.percentiles(histogram)? {
            if let Some(red) = fresh.get_mut(labels.value(label)) {
                [red.p50, red.p95, red.p99] = percentiles;
            }
        }
    }
    fresh.retain(|_, red| !percentiles_required || red.p50.is_some());
    out.extend(fresh);
    Ok(())
}

fn sparklines(lens: &Lens<'_>) -> Result<BTreeMap<String, Vec<Option<f64>>>, ReadError> {
    let scraped = lens.scrape_window_text();
    Ok(lens
        .columns(
            &format!(
                r#"sum by (service_name) (rate(traces_span_metrics_calls_total{{job="",{SERVED}}}[1m]))
                or max by (service_name) (sum by (job, service_name) (rate(traces_span_metrics_calls_total{{job!="",{SERVED}}}[{scraped}])))
                or label_replace(max by (service) (sum by (job, service) (rate(traces_spanmetrics_calls_total{{{SERVED}}}[{scraped}]))), "service_name", "$1", "service", "(.*)")"#
            ),
            Duration::from_secs(15 * 60),
            Duration::from_secs(60),
        )?
        .into_iter()
        .map(|(labels, column)| (labels.value("service_name").to_owned(), column))
        .collect())
}

/// Services known from ready-made span metrics only are seen as long as those are scraped.
fn ready_made(lens: &Lens<'_>) -> Result<BTreeSet<String>, ReadError> {
    let mut out = BTreeSet::new();
    let metrics: BTreeSet<(&str, &str)> = READY_MADE.iter().map(|(label, calls, ..)| (*label, *calls)).collect();
    for (label, metric) in metrics {
        out.extend(lens.by(label, &format!(r#"count by ({label}) ({metric}{{job!="",span_kind!=""}})"#))?.into_keys());
    }
    out.remove("");
    Ok(out)
}

struct Version {
    version: Option<String>,
    simulated: bool,
}

fn versions(lens: &Lens<'_>) -> Result<BTreeMap<String, Version>, ReadError> {
    let mut out: BTreeMap<String, Version> = BTreeMap::new();
    for (labels, _) in lens.vector("watchfire_service_info")? {
        let entry = out.entry(labels.value("service_name").to_owned()).or_insert(Version { version: None, simulated: false });
        entry.simulated |= labels.value("simulated") == "true";
        if let Some(version) = labels.get("version") {
            // Two versions at once is a roll-out: name the newer text.
            if entry.version.as_deref().is_none_or(|v| v < version) {
                entry.version = Some(version.to_owned());
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::context::Declared;
    use super::super::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
    use super::*;
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
        assert_eq!(
            states,
            [("mail", HealthState::Unhealthy, failing), ("idle", HealthState::Unknown, "no telemetry for 2m00s".to_owned())]
        );
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
        let of =
            |service, name, kind, status| [("service_name", service), ("span_name", name), ("span_kind", kind), ("status_code", status)];
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
}
