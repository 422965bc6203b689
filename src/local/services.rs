//! RED of every service over the last minute, its state, and the reasons for it.

use super::collectors;
use super::context::Context;
use super::graphql;
use super::lens::Lens;
use super::metrics_only;
use super::state::{alerts_by_service, judge, short_duration};
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
pub(super) const READY_MADE: [(&str, &str, &str, f64); 6] = [
    ("service_name", "traces_span_metrics_calls_total", "traces_span_metrics_duration_milliseconds", 1000.0),
    ("service_name", "traces_span_metrics_calls_total", "traces_span_metrics_duration_seconds", 1.0),
    ("service", "traces_spanmetrics_calls_total", "traces_spanmetrics_latency", 1.0),
    ("service_name", "calls_total", "duration_milliseconds", 1000.0),
    ("service_name", "calls_total", "duration_seconds", 1.0),
    ("service_name", "calls_total", "latency", 1000.0),
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
    /// Calls within the window as they were counted; a rate goes on to the window's ends, and says less than nothing of how many there were.
    counted: Option<f64>,
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
    let reported = super::reported::look(lens, context)?;
    let about = alerts_by_service(context);
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
            sample_count: figures.map(|r| r.counted.unwrap_or(r.rate * r.window.as_secs_f64()) * ratio.unwrap_or(1.0)),
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
        // It knows better how it is than those who need it.
        troubles.extend(reported.get(name).map(|reported| degraded(reported.why())));
        if let Some(figures) = collectors.get(name) {
            row.source = Some("collector's own metrics".to_owned());
            troubles.extend(collectors::complaints(figures).into_iter().map(degraded));
            if let Some(share) = figures.fullest_queue {
                row.saturation = Some(share);
                row.saturation_of = Some("queue".to_owned());
            }
        }
        judge(&mut row, lens.at, context, about.get(name).map_or(&[], Vec::as_slice), troubles);
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
    let before: BTreeSet<String> = out.keys().cloned().collect();
    collect(lens, out, ("service_name", "spans", window.0), &calls, &[latency], false)?;
    if out.len() > before.len() {
        let counted = format!(r#"increase(traces_span_metrics_calls_total{{job="",{kinds}}}[{}] anchored) {only}"#, window.1);
        for (name, counted) in lens.by("service_name", &format!("sum by (service_name) ({counted})"))? {
            if let Some(red) = out.get_mut(&name).filter(|_| !before.contains(&name)) {
                red.counted = Some(counted);
            }
        }
    }
    Ok(())
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
mod tests;
