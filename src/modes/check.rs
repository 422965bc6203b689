//! `watchfire check`: a verdict by exit code, for CI and for scripts.

use crate::attach::RemoteSource;
use crate::cli::{CheckArgs, CheckOutput};
use crate::exit::{self, Verdict};
use crate::instance::{Instance, STOP_WITHIN};
use serde_json::json;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use watchfire_model::reading::{Alert, AlertState, Alerts, ReadError, Reading, Request, ServiceRow, Services, Source, Target};
use watchfire_model::{HealthState, Labels, Severity, format_duration, parse_duration};

/// How often the state is looked at while watching.
const LOOK: Duration = Duration::from_millis(500);
/// Own collectors get this long before the first verdict, so that a probe or a scrape can have answered.
const WARM_UP: Duration = Duration::from_secs(5);

/// Everything that was seen while watching.
#[derive(Default)]
struct Seen {
    services: Vec<ServiceRow>,
    /// Alerts that fired at any time, by identity.
    fired: BTreeMap<String, Alert>,
    /// Alerts that waited for their `for` to pass when the watching ended.
    pending: Vec<Alert>,
    overall: HealthState,
    broken_rules: Vec<(String, String, String)>,
    targets: Vec<Target>,
    /// Rules that have been evaluated.
    rules: usize,
    /// Why nothing could be looked at.
    failed: Option<String>,
}

impl Seen {
    /// Where nothing but scraped series is known, the rules over them are the judge: of all that is scraped, and as far as it answers.
    fn judged_by_rules(&self) -> bool {
        self.rules > 0 && !self.targets.is_empty() && self.targets.iter().all(|t| t.up == Some(true))
    }

    /// Why nothing can be said.
    fn unknown(&self) -> String {
        if let Some(failed) = &self.failed {
            return failed.clone();
        }
        if let Some((group, rule, error)) = self.broken_rules.first() {
            let others = match self.broken_rules.len() {
                1 => String::new(),
                n => format!(", and {} more", n - 1),
            };
            return format!("rule {rule} of {group} cannot be evaluated: {error}{others}");
        }
        let silent: Vec<&Target> = self.targets.iter().filter(|t| t.up != Some(true)).collect();
        match silent.first() {
            _ if self.targets.is_empty() => NOTHING.to_owned(),
            None => "no rule has judged what is scraped; name some with --rules, or watch longer with --for".to_owned(),
            Some(first) => format!("{} of {} targets do not answer: {}: {}", silent.len(), self.targets.len(), first.url, first.last_error),
        }
    }
}

/// # Errors
/// When the verdict cannot be written down.
pub fn check(args: &CheckArgs, runtime: &tokio::runtime::Runtime) -> anyhow::Result<ExitCode> {
    let Some(watch) = args.for_duration.as_deref().map_or(Some(Duration::ZERO), |text| parse_duration(text).ok()) else {
        eprintln!("watchfire: --for: write 2m, 30s or 1h30m");
        return Ok(ExitCode::from(exit::USAGE));
    };
    // What cannot be started or reached was not found to be unhealthy. Who collects reports learns of it there as well.
    let seen = look(args, watch, runtime).unwrap_or_else(|error| {
        exit::complain(&error);
        Seen { failed: Some(exit::words(&error)), ..Seen::default() }
    });
    let verdict = verdict(&seen);
    exit::print(&match args.output {
        CheckOutput::Text if seen.failed.is_some() => String::new(),
        CheckOutput::Text => text(&seen, verdict),
        CheckOutput::Json => format!("{}\n", serde_json::to_string_pretty(&report(&seen, verdict))?),
        CheckOutput::Junit => junit(&seen, verdict),
    });
    Ok(verdict.into())
}

fn look(args: &CheckArgs, watch: Duration, runtime: &tokio::runtime::Runtime) -> anyhow::Result<Seen> {
    // By one listener to the end: between two of them a signal would be lost.
    let mut interrupts = {
        let _inside = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    let remote = args.url.as_ref().map(|url| RemoteSource::of_environment(url, runtime)).transpose()?.map(Arc::new);
    let (source, instance): (Arc<dyn Source>, Option<Instance>) = match &remote {
        Some(remote) => (remote.clone(), None),
        None => {
            let mut plan = crate::instance::Plan::from_flags(&args.run)?;
            plan.only_judge();
            let instance = runtime.block_on(Instance::start(plan, None))?;
            (instance.source(), Some(instance))
        }
    };
    let watch = if instance.is_some() { watch.max(WARM_UP) } else { watch };
    let seen = observe(source.as_ref(), watch, runtime, &mut interrupts).map_err(|e| match &remote {
        Some(remote) => remote.advise(e),
        None => e.into(),
    })?;
    if let Some(instance) = instance {
        runtime.block_on(instance.stop(STOP_WITHIN));
    }
    Ok(seen)
}

fn observe(source: &dyn Source, watch: Duration, runtime: &tokio::runtime::Runtime, interrupts: &mut Signal) -> Result<Seen, ReadError> {
    let end = Instant::now() + watch;
    let mut seen = Seen::default();
    loop {
        if let Reading::Status(status) = source.read(&Request::Status, None)? {
            seen.overall = status.overall;
        }
        if let Reading::Services(Services { services, .. }) = source.read(&Request::Services, None)? {
            seen.services = services;
        }
        if let Reading::Health(health) = source.read(&Request::Health, None)? {
            seen.targets = health.targets;
        }
        if let Reading::Alerts(Alerts { alerts, broken_rules, rules, last_evaluation, .. }) = source.read(&Request::Alerts, None)? {
            seen.broken_rules = broken_rules;
            seen.rules = if last_evaluation.is_some() { rules } else { 0 };
            let (firing, waiting): (Vec<Alert>, _) = alerts.into_iter().partition(|a| a.state == AlertState::Firing);
            seen.fired.extend(firing.into_iter().map(|alert| (format!("{}{}", alert.name, alert.labels), alert)));
            seen.pending = waiting.into_iter().filter(|a| a.state == AlertState::Pending && fires_as(a) != Verdict::Healthy).collect();
        }
        let now = Instant::now();
        if now >= end {
            return Ok(seen);
        }
        let interrupted = runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(LOOK.min(end - now)) => false,
                _ = interrupts.recv() => true,
            }
        });
        if interrupted {
            return Ok(seen);
        }
    }
}

/// The worst of what fired and of how things stand at the end. Nothing known at all is not healthy.
fn verdict(seen: &Seen) -> Verdict {
    let state = match seen.overall {
        HealthState::Healthy => Verdict::Healthy,
        HealthState::Degraded => Verdict::Warning,
        HealthState::Unhealthy => Verdict::Critical,
        HealthState::Unknown if seen.judged_by_rules() => Verdict::Healthy,
        HealthState::Unknown => Verdict::Unknown,
    };
    let worst = seen.fired.values().map(fires_as).max().unwrap_or(Verdict::Healthy);
    // A rule that cannot be evaluated could have fired: healthy is not known then.
    let state = if state == Verdict::Healthy && !seen.broken_rules.is_empty() { Verdict::Unknown } else { state };
    match (state, worst) {
        // Something that fired is known, whatever else is not.
        (Verdict::Unknown, Verdict::Healthy) => Verdict::Unknown,
        (Verdict::Unknown, worst) => worst,
        (state, worst) => state.max(worst),
    }
}

/// What an alert that fires means for the verdict. One that is pending means nothing yet: its rule says how long to wait before believing it.
fn fires_as(alert: &Alert) -> Verdict {
    match alert.severity {
        Severity::Critical | Severity::High => Verdict::Critical,
        Severity::Warning | Severity::Security | Severity::Normal => Verdict::Warning,
        Severity::Low | Severity::Info => Verdict::Healthy,
    }
}

/// Why a pending alert did not count, and what would tell.
fn waits(alert: &Alert) -> String {
    let hold = Duration::try_from_secs_f64(alert.for_seconds).unwrap_or_default();
    format!("pending, fires when it holds for {}: watch longer with --for to know", format_duration(hold))
}

/// An alert as its rule calls it, with what tells it apart from others of that rule: who collects reports takes two of one name for one.
fn named(alert: &Alert) -> String {
    let told = alert.labels.iter().filter(|l| !["alertname", "severity"].contains(&&*l.name));
    let labels = Labels::from_pairs(told.map(|l| (&*l.name, &*l.value)));
    if labels.is_empty() { alert.name.clone() } else { format!("{} {labels}", alert.name) }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy => "healthy",
        Verdict::Warning => "warning",
        Verdict::Critical => "critical",
        Verdict::Unknown => "unknown",
    }
}

fn report(seen: &Seen, verdict: Verdict) -> serde_json::Value {
    json!({
        "version": 1,
        "verdict": word(verdict),
        "exit_code": verdict as u8,
        "unknown": (verdict == Verdict::Unknown).then(|| seen.unknown()),
        "overall": seen.overall,
        "services": seen.services.iter().map(|s| json!({"name": s.name, "state": s.state, "why": s.why})).collect::<Vec<_>>(),
        "alerts": seen.fired.values().map(|a| json!({
            "name": a.name, "severity": a.severity, "labels": a.labels, "annotations": a.annotations, "cause": a.cause,
        })).collect::<Vec<_>>(),
        "pending": seen.pending.iter().map(|a| json!({
            "name": a.name, "severity": a.severity, "labels": a.labels, "annotations": a.annotations,
            "active_at": a.active_at.map(crate::api::rfc3339), "for_seconds": a.for_seconds,
        })).collect::<Vec<_>>(),
        "broken_rules": seen.broken_rules,
    })
}

const NOTHING: &str = "nothing is known: no telemetry, scrape or probe has answered";

fn text(seen: &Seen, verdict: Verdict) -> String {
    let mut out = format!("{}\n", word(verdict));
    for alert in seen.fired.values() {
        let summary = alert.annotations.get("summary").map(|text| format!(": {text}")).unwrap_or_default();
        out.push_str(&format!("  {} {}{summary}\n", alert.severity, named(alert)));
    }
    for alert in &seen.pending {
        out.push_str(&format!("  {} {}: {}\n", alert.severity, named(alert), waits(alert)));
    }
    for row in seen.services.iter().filter(|s| s.state != HealthState::Healthy) {
        out.push_str(&format!("  {} {}: {}\n", row.state.word(), row.name, row.why.join("; ")));
    }
    for (group, rule, error) in &seen.broken_rules {
        out.push_str(&format!("  rule {rule} of {group} cannot be evaluated: {error}\n"));
    }
    if verdict == Verdict::Unknown && seen.broken_rules.is_empty() {
        out.push_str(&format!("  {}\n", seen.unknown()));
    }
    out
}

/// One test case per service and per alert that fired, as CI systems read them.
fn junit(seen: &Seen, verdict: Verdict) -> String {
    let escape = exit::xml;
    let mut cases = String::new();
    let (mut tests, mut failures, mut skipped, mut errors) = (0, 0, 0, 0);
    for row in &seen.services {
        tests += 1;
        let name = escape(&row.name);
        let why = escape(&row.why.join("; "));
        match row.state {
            HealthState::Healthy => cases.push_str(&format!("    <testcase classname=\"service\" name=\"{name}\"/>\n")),
            HealthState::Unknown => {
                skipped += 1;
                cases.push_str(&format!("    <testcase classname=\"service\" name=\"{name}\"><skipped message=\"{why}\"/></testcase>\n"));
            }
            state => {
                failures += 1;
                let word = state.word();
                cases.push_str(&format!(
                    "    <testcase classname=\"service\" name=\"{name}\"><failure type=\"{word}\" message=\"{why}\"/></testcase>\n"
                ));
            }
        }
    }
    // Skipped, it would pass everywhere.
    for (group, rule, error) in &seen.broken_rules {
        tests += 1;
        errors += 1;
        let (group, rule, error) = (escape(group), escape(rule), escape(error));
        cases.push_str(&format!("    <testcase classname=\"rule {group}\" name=\"{rule}\"><error message=\"{error}\"/></testcase>\n"));
    }
    for alert in seen.fired.values() {
        tests += 1;
        failures += 1;
        cases.push_str(&format!(
            "    <testcase classname=\"alert\" name=\"{}\"><failure type=\"{}\" message=\"{}\"/></testcase>\n",
            escape(&named(alert)),
            alert.severity,
            escape(&format!("{} {}", alert.labels, alert.annotations.get("summary").unwrap_or("")))
        ));
    }
    for alert in &seen.pending {
        tests += 1;
        skipped += 1;
        cases.push_str(&format!(
            "    <testcase classname=\"alert\" name=\"{}\"><skipped message=\"{}\"/></testcase>\n",
            escape(&named(alert)),
            escape(&format!("{} {}", alert.labels, waits(alert)))
        ));
    }
    if verdict == Verdict::Healthy && seen.overall == HealthState::Unknown {
        tests += 1;
        cases.push_str("    <testcase classname=\"watchfire\" name=\"rules\"/>\n");
    }
    // A report without a case passes everywhere.
    if tests == 0 && verdict == Verdict::Unknown {
        tests += 1;
        errors += 1;
        let why = escape(&seen.unknown());
        cases.push_str(&format!("    <testcase classname=\"watchfire\" name=\"telemetry\"><error message=\"{why}\"/></testcase>\n"));
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"watchfire check: {}\" tests=\"{tests}\" failures=\"{failures}\" skipped=\"{skipped}\" errors=\"{errors}\">\n{cases}  </testsuite>\n</testsuites>\n",
        word(verdict)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(severity: Severity) -> Alert {
        serde_json::from_value(json!({
            "name": "A<b>", "state": "firing", "severity": severity, "labels": Labels::from_pairs([("service", "x")]),
            "annotations": {}, "active_at": null, "cause": null, "notified": false,
        }))
        .expect("an alert")
    }

    #[test]
    fn the_verdict_is_the_worst_of_alerts_and_state() {
        use HealthState::{Degraded, Healthy, Unhealthy, Unknown};
        for (overall, fired, expected) in [
            (Healthy, None, Verdict::Healthy),
            (Degraded, None, Verdict::Warning),
            (Unhealthy, None, Verdict::Critical),
            (Unknown, None, Verdict::Unknown),
            (Healthy, Some(Severity::Info), Verdict::Healthy),
            (Healthy, Some(Severity::Warning), Verdict::Warning),
            (Degraded, Some(Severity::Critical), Verdict::Critical),
            (Unknown, Some(Severity::Critical), Verdict::Critical),
            (Unknown, Some(Severity::Info), Verdict::Unknown),
        ] {
            let fired = fired.map(|s| ("a".to_owned(), alert(s))).into_iter().collect();
            assert_eq!(verdict(&Seen { overall, fired, ..Seen::default() }), expected, "{overall:?}");
        }
    }

    #[test]
    fn a_rule_that_cannot_be_evaluated_is_never_healthy() {
        let broken_rules = vec![("g".to_owned(), "R<1>".to_owned(), "no such function".to_owned())];
        let mut seen = Seen { overall: HealthState::Healthy, broken_rules, ..Seen::default() };
        assert_eq!(verdict(&seen), Verdict::Unknown);
        assert!(text(&seen, Verdict::Unknown).contains("rule R<1> of g cannot be evaluated: no such function"));
        let xml = junit(&seen, Verdict::Unknown);
        assert!(xml.contains("tests=\"1\" failures=\"0\" skipped=\"0\" errors=\"1\"") && xml.contains("R&lt;1&gt;"), "{xml}");
        seen.fired.insert("a".to_owned(), alert(Severity::Critical));
        assert_eq!(verdict(&seen), Verdict::Critical);
    }

    #[test]
    fn where_only_series_are_scraped_the_rules_over_them_judge_as_far_as_targets_answer() {
        let target = |up| Target { url: "http://x/metrics".to_owned(), up, last_error: "refused".to_owned(), ..Target::default() };
        let seen = |targets: Vec<Target>, rules| Seen { targets, rules, ..Seen::default() };
        for (seen, expected, said) in [
            (seen(vec![target(Some(true))], 1), Verdict::Healthy, "healthy\n"),
            (seen(vec![target(Some(true))], 0), Verdict::Unknown, "no rule has judged what is scraped"),
            (
                seen(vec![target(Some(true)), target(Some(false))], 1),
                Verdict::Unknown,
                "1 of 2 targets do not answer: http://x/metrics: refused",
            ),
            (seen(vec![target(None)], 1), Verdict::Unknown, "1 of 1 targets do not answer"),
            (seen(vec![], 1), Verdict::Unknown, "nothing is known"),
        ] {
            assert_eq!(verdict(&seen), expected, "{said}");
            assert!(text(&seen, expected).contains(said), "{}", text(&seen, expected));
            assert_eq!(junit(&seen, expected).contains("<error"), expected == Verdict::Unknown);
            assert!(junit(&seen, expected).contains("tests=\"1\""), "a report without a case passes everywhere");
        }
    }

    /// A gate of two minutes over a rule that waits for five stays open; it must not look as if all were well.
    #[test]
    fn a_pending_alert_changes_no_verdict_and_is_said() {
        let pending = vec![Alert { state: AlertState::Pending, for_seconds: 300.0, ..alert(Severity::Critical) }];
        let seen = Seen { overall: HealthState::Healthy, pending, ..Seen::default() };
        assert_eq!(verdict(&seen), Verdict::Healthy);
        let said = text(&seen, Verdict::Healthy);
        assert_eq!(
            said,
            "healthy\n  critical A<b> {service=\"x\"}: pending, fires when it holds for 5m: watch longer with --for to know\n"
        );
        let xml = junit(&seen, Verdict::Healthy);
        assert!(xml.contains("tests=\"1\" failures=\"0\" skipped=\"1\"") && xml.contains("<skipped message="), "{xml}");
        assert_eq!(report(&seen, Verdict::Healthy)["pending"][0]["for_seconds"], 300.0);
    }

    #[test]
    fn alerts_of_one_rule_are_told_apart() {
        let of = |service: &str| Alert {
            labels: Labels::from_pairs([("alertname", "A<b>"), ("service", service)]),
            ..alert(Severity::Critical)
        };
        let fired = ["x", "y"].map(|service| (service.to_owned(), of(service))).into();
        let seen = Seen { fired, ..Seen::default() };
        assert_eq!(text(&seen, Verdict::Critical), "critical\n  critical A<b> {service=\"x\"}\n  critical A<b> {service=\"y\"}\n");
        let xml = junit(&seen, Verdict::Critical);
        for service in ["x", "y"] {
            assert!(
                xml.contains(&format!("<testcase classname=\"alert\" name=\"A&lt;b&gt; {{service=&quot;{service}&quot;}}\">")),
                "{xml}"
            );
        }
    }

    #[test]
    fn nothing_known_is_no_passing_report() {
        let xml = junit(&Seen::default(), Verdict::Unknown);
        assert!(
            xml.contains("tests=\"1\" failures=\"0\" skipped=\"0\" errors=\"1\"") && xml.contains("<error message=\"nothing is known"),
            "{xml}"
        );
    }

    #[test]
    fn what_cannot_be_reached_is_in_the_report() {
        let seen = Seen { failed: Some("cannot reach <x>".to_owned()), ..Seen::default() };
        assert_eq!(verdict(&seen), Verdict::Unknown);
        assert!(junit(&seen, Verdict::Unknown).contains("<error message=\"cannot reach &lt;x&gt;\""));
        assert_eq!(report(&seen, Verdict::Unknown)["unknown"], "cannot reach <x>");
        assert_eq!(report(&Seen::default(), Verdict::Healthy)["unknown"], serde_json::Value::Null);
    }

    #[test]
    fn junit_escapes_what_it_quotes() {
        let seen = Seen { fired: [("a".to_owned(), alert(Severity::Critical))].into(), ..Seen::default() };
        let xml = junit(&seen, Verdict::Critical);
        assert!(xml.contains("name=\"A&lt;b&gt; {service=&quot;x&quot;}\""), "{xml}");
        assert!(xml.contains("tests=\"1\" failures=\"1\""), "{xml}");
    }
}
