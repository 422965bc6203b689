//! Circuit breakers: state, since when, and the transitions of the last hour.

use super::context::Declared;
use super::lens::Lens;
use std::collections::BTreeMap;
use std::time::Duration;
use watchfire_alerts::CLOSED_AGAIN;
use watchfire_model::reading::{Breaker, Breakers, ReadError};
use watchfire_model::{Labels, Timestamp};

const HISTORY: Duration = Duration::from_secs(3600);
const STEP: Duration = Duration::from_secs(5);

/// The `breakers` reading.
///
/// # Errors
/// When the store cannot be queried.
pub fn breakers(lens: &Lens<'_>, declared: &Declared) -> Result<Breakers, ReadError> {
    let mut out: BTreeMap<(String, String), Breaker> = BTreeMap::new();
    let key = |labels: &Labels| (labels.value("service").to_owned(), labels.value("breaker").to_owned());
    for (labels, value) in lens.vector("watchfire_breaker_state")? {
        let inferred = labels.value("inferred") == "true";
        let entry = out.entry(key(&labels)).or_insert_with(|| Breaker {
            service: labels.value("service").to_owned(),
            breaker: labels.value("breaker").to_owned(),
            inferred: true,
            state: "unknown".to_owned(),
            ..Breaker::default()
        });
        // What somebody exports wins over what was deduced.
        if !inferred || entry.inferred {
            entry.state = word(value).to_owned();
            entry.inferred = inferred;
            entry.source = labels.get("dialect").or(labels.get("source")).map(str::to_owned);
        }
    }
    for (labels, _) in lens.vector("watchfire_breaker_unknown")? {
        let entry = out.entry(key(&labels)).or_insert_with(|| Breaker {
            service: labels.value("service").to_owned(),
            breaker: labels.value("breaker").to_owned(),
            state: "unknown".to_owned(),
            source: labels.get("dialect").map(str::to_owned),
            ..Breaker::default()
        });
        if entry.state == "unknown" {
            entry.evidence.push(unread(labels.value("exported")));
        }
    }
    for (labels, _) in lens.vector("watchfire_breaker_saturated")? {
        if let Some(entry) = out.get_mut(&key(&labels)) {
            entry.saturated = true;
            entry.evidence.push("a limit on concurrency is reached: calls are shed".to_owned());
        }
    }
    for (labels, _) in lens.vector("watchfire_breaker_rejecting")? {
        if let Some(entry) = out.get_mut(&key(&labels)) {
            entry.rejecting = true;
            entry.evidence.push("calls were cut off within the last five minutes".to_owned());
        }
    }
    // Looks at moments that stay the same from reading to reading, so that a change keeps the time it was first shown with.
    let steady = Lens { at: lens.at.floor(STEP.as_millis() as i64), ..*lens };
    for (labels, column) in steady.columns("max by (service, breaker) (watchfire_breaker_state)", HISTORY, STEP)? {
        if let Some(entry) = out.get_mut(&key(&labels)) {
            let (start, _) = steady.grid(HISTORY, STEP);
            entry.history = history(&column, start);
            if entry.state != "unknown" && entry.history.last().is_some_and(|(_, last)| *last != entry.state) {
                // The next look shows it; nothing is said of what is yet to come.
                entry.history.push((steady.at.saturating_add(STEP).min(lens.at), entry.state.clone()));
            }
            if entry.state == "unknown"
                && let Some(last) = column.iter().rposition(Option::is_some)
            {
                entry.history.push((start.saturating_add(STEP * (last + 1) as u32), entry.state.clone()));
            }
            entry.since = entry.history.last().map(|(t, _)| *t);
        }
    }
    for (labels, value) in lens.vector("sum by (service, breaker) (increase(watchfire_breaker_transitions_total[1h] anchored))")? {
        if let Some(entry) = out.get_mut(&key(&labels)) {
            entry.transitions = value.round().max(0.0) as u64;
        }
    }
    for (service, breaker, protects) in &declared.breakers {
        let entry = out.entry((service.clone(), breaker.clone())).or_insert_with(|| Breaker {
            service: service.clone(),
            breaker: breaker.clone(),
            state: "unknown".to_owned(),
            ..Breaker::default()
        });
        entry.declared = true;
        entry.protects = Some(protects.clone());
    }
    let failures = failure_shares(lens)?;
    for breaker in out.values_mut() {
        breaker.transitions = breaker.transitions.max(breaker.history.len().saturating_sub(1) as u64);
        let target = breaker.protects.clone().unwrap_or_else(|| breaker.breaker.clone());
        if let Some(share) = failures.get(&(breaker.service.clone(), target.clone())) {
            breaker.failure_ratio = Some(share.ratio);
            breaker.sample_count = Some(share.samples);
            breaker.sampling_ratio = share.sampling;
            breaker.protects.get_or_insert(target);
        }
    }
    if out.values().any(|b| b.inferred) {
        add_evidence(lens, &mut out)?;
    }
    let mut breakers: Vec<Breaker> = out.into_values().collect();
    // Of those in one state the one that came to it last is what somebody comes to see: a breaker that has just closed was the trouble.
    let changed = |b: &Breaker| b.since.filter(|_| b.transitions > 0);
    breakers.sort_by_key(|b| (rank(&b.state), std::cmp::Reverse(changed(b)), b.service.clone(), b.breaker.clone()));
    Ok(Breakers { breakers })
}

/// Encoding of `watchfire_breaker_state`.
fn word(value: f64) -> &'static str {
    match value {
        0.0 => "closed",
        1.0 => "half-open",
        2.0 => "open",
        _ => "unknown",
    }
}

/// What is said of an exported breaker whose state cannot be told.
fn unread(exported: &str) -> String {
    if exported.is_empty() {
        "no transition seen since its exporter started".to_owned()
    } else if exported.parse::<f64>().is_err() {
        format!("its exporter says {exported}, which is neither open nor closed")
    } else {
        format!("exported as {exported}, and nothing says what that means; `watchfire config dialects` proposes a mapping")
    }
}

/// The figures that deduced breakers rest on, from the series of their edges at the time that is looked at.
fn add_evidence(lens: &Lens<'_>, breakers: &mut BTreeMap<(String, String), Breaker>) -> Result<(), ReadError> {
    let requests = "sum by (client, server) (rate(traces_service_graph_request_total[1m]))";
    let failed = "sum by (client, server) (rate(traces_service_graph_request_failed_total[1m]))";
    let seconds = "sum by (client, server) (rate(traces_service_graph_request_client_seconds_sum[1m])) \
                   / sum by (client, server) (rate(traces_service_graph_request_client_seconds_count[1m]))";
    let by_edge = |expression: &str| -> Result<BTreeMap<(String, String), f64>, ReadError> {
        let edge = |labels: &Labels| (labels.value("client").to_owned(), labels.value("server").to_owned());
        Ok(lens.vector(expression)?.into_iter().filter(|(_, v)| v.is_finite()).map(|(labels, v)| (edge(&labels), v)).collect())
    };
    let shares = by_edge(&format!("max_over_time(({failed} / {requests})[10m:30s])"))?;
    let peaks = by_edge(&format!("max_over_time({requests}[10m:30s])"))?;
    let rates = by_edge(requests)?;
    let times = by_edge(seconds)?;
    for (edge, breaker) in breakers.iter_mut().filter(|(_, b)| b.inferred) {
        breaker.evidence.push("deduced from spans".to_owned());
        breaker.evidence.extend(shares.get(edge).map(|share| format!("{:.0} % of the calls had failed", share * 100.0)));
        let now = rates.get(edge).copied().unwrap_or(0.0);
        // The looks at the past are half a minute apart and may have missed what is now.
        let peak = peaks.get(edge).copied().unwrap_or(0.0).max(now);
        breaker.evidence.extend(match times.get(edge) {
            _ if now < CLOSED_AGAIN * peak => Some(format!("the call rate went from {peak:.1}/s to {now:.1}/s")),
            Some(seconds) => Some(format!("{now:.1} calls/s now end within {:.1} ms", seconds * 1000.0)),
            None => None,
        });
    }
    Ok(())
}

fn rank(state: &str) -> u8 {
    match state {
        "open" => 0,
        "half-open" => 1,
        "unknown" => 2,
        _ => 3,
    }
}

/// Changes, each at the first look that shows it, where the list of changes has it and the time cursor finds it.
fn history(column: &[Option<f64>], start: Timestamp) -> Vec<(Timestamp, String)> {
    let mut out: Vec<(Timestamp, String)> = Vec::new();
    for (index, value) in column.iter().enumerate() {
        let Some(value) = value else { continue };
        let state = word(*value);
        if out.last().is_none_or(|(_, last)| last != state) {
            out.push((start.saturating_add(STEP * index as u32), state.to_owned()));
        }
    }
    out
}

/// What share of the calls of an edge fails, and how many were seen.
struct FailureShare {
    ratio: f64,
    samples: f64,
    sampling: Option<f64>,
}

fn failure_shares(lens: &Lens<'_>) -> Result<BTreeMap<(String, String), FailureShare>, ReadError> {
    let window = lens.window_text();
    let edge = |labels: &Labels| (labels.value("client").to_owned(), labels.value("server").to_owned());
    let failed = lens.vector(&format!("sum by (client, server) (rate(traces_service_graph_request_failed_total[{window}]))"))?;
    let failed: BTreeMap<_, _> = failed.into_iter().map(|(labels, rate)| (edge(&labels), rate)).collect();
    let sampling = lens.by("service_name", "min by (service_name) (watchfire_sampling_ratio)")?;
    let requests = lens.vector(&format!("sum by (client, server) (rate(traces_service_graph_request_total[{window}])) > 0"))?;
    let share = |(labels, rate): (Labels, f64)| {
        let edge = edge(&labels);
        let sampling = sampling.get(&edge.0).copied().filter(|ratio| *ratio > 0.0 && *ratio < 1.0);
        let samples = rate * lens.window.as_secs_f64() * sampling.unwrap_or(1.0);
        let ratio = failed.get(&edge).copied().unwrap_or(0.0) / rate;
        (edge, FailureShare { ratio, samples, sampling })
    };
    Ok(requests.into_iter().map(share).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breaker_is_unknown_since_its_state_ended_and_says_what_its_exporter_says() {
        use super::super::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
        use watchfire_model::{STALE_NAN, Value};
        use watchfire_promql::Engine;
        use watchfire_testkit::MemorySource;
        let begin = Timestamp(1_772_334_000_000);
        let after = |seconds: u64| begin.saturating_add(Duration::from_secs(seconds));
        let own = [("service", "haproxy"), ("breaker", "web/w1")];
        let labels = |extra: &[(&'static str, &'static str)]| Labels::from_pairs(own.into_iter().chain(extra.iter().copied()));
        let mut source = MemorySource::new();
        for seconds in (0..60).step_by(15) {
            source.push(&labels(&[("__name__", "watchfire_breaker_state")]), after(seconds), Value::Float(0.0));
        }
        source.push(&labels(&[("__name__", "watchfire_breaker_state")]), after(60), Value::Float(STALE_NAN));
        for seconds in (60..300).step_by(15) {
            let unknown = labels(&[("__name__", "watchfire_breaker_unknown"), ("exported", "MAINT")]);
            source.push(&unknown, after(seconds), Value::Float(1.0));
        }
        let (engine, cache) = (Engine::default(), QueryCache::default());
        let lens =
            Lens { engine: &engine, source: &source, cache: &cache, at: after(285), window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
        let found = breakers(&lens, &Declared::default()).expect("readable").breakers.remove(0);
        assert_eq!((found.state.as_str(), found.since), ("unknown", Some(after(60))));
        assert_eq!(found.evidence, ["its exporter says MAINT, which is neither open nor closed"]);
    }

    #[test]
    fn the_breaker_that_closed_last_stands_before_those_that_never_opened() {
        use super::super::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
        use watchfire_model::Value;
        use watchfire_promql::Engine;
        use watchfire_testkit::MemorySource;
        let begin = Timestamp(1_772_334_000_000);
        let after = |seconds: u64| begin.saturating_add(Duration::from_secs(seconds));
        let mut source = MemorySource::new();
        // Open from the second until the third, if at all.
        for (service, open) in [("auth", 0..0), ("cart", 60..120), ("mail", 60..240), ("web", 0..0)] {
            let labels = Labels::from_pairs([("__name__", "watchfire_breaker_state"), ("service", service), ("breaker", "pay")]);
            for seconds in (0..300).step_by(5) {
                source.push(&labels, after(seconds), Value::Float(if open.contains(&seconds) { 2.0 } else { 0.0 }));
            }
        }
        let (engine, cache) = (Engine::default(), QueryCache::default());
        let order = |at| {
            let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
            let found = breakers(&lens, &Declared::default()).expect("readable").breakers;
            found.into_iter().map(|b| b.service).collect::<Vec<_>>()
        };
        assert_eq!(order(after(180)), ["mail", "cart", "auth", "web"], "open, then closed last");
        assert_eq!(order(after(295)), ["mail", "cart", "auth", "web"], "both closed");
        assert_eq!(order(after(30)), ["auth", "cart", "mail", "web"]);
    }

    #[test]
    fn what_a_deduced_breaker_rests_on_does_not_contradict_itself() {
        use super::super::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
        use watchfire_model::Value;
        use watchfire_promql::Engine;
        use watchfire_testkit::MemorySource;
        // Calls per second on an edge over ten minutes; all of the last ones fail within two milliseconds.
        let evidence = |rates: &[f64]| {
            let mut source = MemorySource::new();
            let labels = |name: &str| Labels::from_pairs([("__name__", name), ("client", "web"), ("server", "pay")]);
            let state =
                Labels::from_pairs([("__name__", "watchfire_breaker_state"), ("service", "web"), ("breaker", "pay"), ("inferred", "true")]);
            let (mut calls, mut at) = (0.0, Timestamp(1_772_334_000_000));
            for rate in rates {
                for _ in 0..4 {
                    at = at.saturating_add(Duration::from_secs(15));
                    calls += rate * 15.0;
                    source.push(&labels("traces_service_graph_request_total"), at, Value::Float(calls));
                    source.push(&labels("traces_service_graph_request_failed_total"), at, Value::Float(calls));
                    source.push(&labels("traces_service_graph_request_client_seconds_count"), at, Value::Float(calls));
                    source.push(&labels("traces_service_graph_request_client_seconds_sum"), at, Value::Float(calls * 0.002));
                }
            }
            source.push(&state, at, Value::Float(2.0));
            let (engine, cache) = (Engine::default(), QueryCache::default());
            let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
            breakers(&lens, &Declared::default()).expect("readable").breakers.remove(0).evidence
        };
        let fast = evidence(&[10.0, 10.0, 10.0, 10.0, 20.0]);
        assert_eq!(fast[..2], ["deduced from spans", "100 % of the calls had failed"], "{fast:?}");
        assert!(fast[2].ends_with("calls/s now end within 2.0 ms"), "{fast:?}");
        let cut = evidence(&[10.0, 10.0, 10.0, 1.0, 1.0]);
        assert_eq!(cut[2], "the call rate went from 10.0/s to 1.0/s", "{cut:?}");
    }

    #[test]
    fn a_change_keeps_its_time_and_a_share_says_how_many_calls_it_is_of() {
        use super::super::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
        use watchfire_model::Value;
        use watchfire_promql::Engine;
        use watchfire_testkit::MemorySource;
        let begin = Timestamp(1_772_334_000_000);
        let after = |millis: u64| begin.saturating_add(Duration::from_millis(millis));
        let mut source = MemorySource::new();
        let state = Labels::from_pairs([("__name__", "watchfire_breaker_state"), ("service", "web"), ("breaker", "pay")]);
        let edge = |name: &str| Labels::from_pairs([("__name__", name), ("client", "web"), ("server", "pay")]);
        let sampling = Labels::from_pairs([("__name__", "watchfire_sampling_ratio"), ("service_name", "web")]);
        for seconds in 0..150 {
            let at = after(seconds * 1000);
            source.push(&state, at, Value::Float(if seconds < 83 { 0.0 } else { 2.0 }));
            // One call in ten is kept and stands for ten; one call each second.
            source.push(&edge("traces_service_graph_request_total"), at, Value::Float((seconds / 10 * 10) as f64));
            source.push(&edge("traces_service_graph_request_failed_total"), at, Value::Float(0.0));
            source.push(&sampling, at, Value::Float(0.1));
        }
        let (engine, cache) = (Engine::default(), QueryCache::default());
        let read = |at| {
            let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
            breakers(&lens, &Declared::default()).expect("readable").breakers.remove(0)
        };
        for at in [83_100, 84_900, 85_000, 86_300, 90_000, 123_400] {
            let found = read(after(at));
            assert_eq!((found.state.as_str(), found.since), ("open", Some(after(at.min(85_000)))), "{at} ms");
        }
        // The list of changes has it at that time too.
        let lens =
            Lens { engine: &engine, source: &source, cache: &cache, at: after(123_400), window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
        let changes = super::super::changes::changes(&lens, begin).expect("readable");
        let opened: Vec<Timestamp> = changes.iter().filter(|c| c.kind == "breaker").map(|c| c.at).collect();
        assert_eq!(opened, [after(85_000)]);
        let found = read(after(120_000));
        assert_eq!((found.failure_ratio, found.sampling_ratio), (Some(0.0), Some(0.1)));
        assert!(found.sample_count.is_some_and(|count| (4.0..8.0).contains(&count)), "{:?}", found.sample_count);
    }

    #[test]
    fn history_keeps_changes_only() {
        let column = [None, Some(0.0), Some(0.0), Some(2.0), None, Some(2.0), Some(1.0), Some(0.0)];
        let states: Vec<String> = history(&column, Timestamp(0)).into_iter().map(|(t, s)| format!("{}:{s}", t.millis() / 1000)).collect();
        assert_eq!(states, ["5:closed", "15:open", "30:half-open", "35:closed"]);
    }
}
