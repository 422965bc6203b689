//! Breakers that nobody exports.

use super::*;

/// Calls of an edge for so many looks, 15 s each: (looks, calls a second, share that fails, client seconds).
type Script<'a> = &'a [(u64, f64, f64, f64)];

/// What a caller does beside: kind, name, and calls a second in each part of the script.
type Work<'a> = &'a [(&'a str, &'a str, &'a [f64])];

const STEADY: Work<'_> = &[("SERVER", "GET /", &[10.0])];

fn edge_script(script: Script<'_>) -> Vec<Vec<BreakerRow>> {
    edge_script_of("pay", script, STEADY)
}

fn edge_script_of(callee: &str, script: Script<'_>, work: Work<'_>) -> Vec<Vec<BreakerRow>> {
    edge_script_through("", callee, script, work)
}

fn edge_script_through(connection: &str, callee: &str, script: Script<'_>, work: Work<'_>) -> Vec<Vec<BreakerRow>> {
    let store = MemorySeries::new();
    let mut engine = DialectEngine::built_in().expect("good files");
    let promql = Engine::default();
    let series =
        |name: &str| Labels::from_pairs([(METRIC_NAME, name), ("client", "web"), ("server", callee), ("connection_type", connection)]);
    let operation = |metric: &str, kind: &str, name: &str| {
        let kind = format!("SPAN_KIND_{kind}");
        Labels::from_pairs([(METRIC_NAME, metric), ("service_name", "web"), ("span_kind", &kind), ("span_name", name)])
    };
    let (mut calls, mut failed, mut seconds, mut done) = (0.0, 0.0, 0.0, vec![0.0; work.len()]);
    let mut at = START;
    let mut out = Vec::new();
    for (part, (steps, rate, share, latency)) in script.iter().enumerate() {
        for _ in 0..*steps {
            at = at.saturating_add(Duration::from_secs(15));
            calls += rate * 15.0;
            failed += rate * share * 15.0;
            seconds += rate * latency * 15.0;
            store.push(&series("traces_service_graph_request_total"), at, Value::Float(calls));
            store.push(&series("traces_service_graph_request_failed_total"), at, Value::Float(failed));
            store.push(&series("traces_service_graph_request_client_seconds_sum"), at, Value::Float(seconds));
            store.push(&series("traces_service_graph_request_client_seconds_count"), at, Value::Float(calls));
            for ((kind, name, rates), total) in work.iter().zip(&mut done) {
                *total += 15.0 * rates.get(part).or(rates.last()).expect("a rate");
                store.push(&operation("traces_span_metrics_calls_total", kind, name), at, Value::Float(*total));
                store.push(&operation("watchfire_root_operation_info", kind, name), at, Value::Float(1.0));
            }
            out.push(engine.evaluate(&promql, &store, at).breakers);
        }
    }
    out
}

#[test]
fn a_breaker_nobody_exports_is_deduced_from_spans() {
    // Healthy, failing, cut off, trial calls, healthy: 10 min, 3 min, 5 min, 2 min, 5 min.
    let seen = edge_script(&[(40, 10.0, 0.0, 0.1), (12, 10.0, 0.9, 2.0), (20, 0.0, 0.0, 0.0), (8, 0.5, 0.0, 0.1), (20, 10.0, 0.0, 0.1)]);
    let states: Vec<&str> = seen.iter().map(|rows| rows.first().map_or("closed", |b| b.state.word())).collect();
    // What the breaker really did; the minute it takes to see a change in a rate over a minute is allowed for.
    let truth = |i: usize| match i {
        0..52 => "closed",
        52..72 => "open",
        72..80 => "half-open",
        _ => "closed",
    };
    let agree = states.iter().enumerate().filter(|(i, s)| (i.saturating_sub(5)..=*i).any(|j| truth(j) == **s)).count();
    assert!(agree * 100 >= 90 * states.len(), "{agree} of {}: {states:?}", states.len());
    assert!(states[58..70].iter().all(|s| *s == "open"), "{states:?}");
    let open = seen[65].first().expect("a row");
    assert!(open.inferred);
    assert_eq!((open.service.as_str(), open.breaker.as_str()), ("web", "pay"));

    let fast = edge_script(&[(40, 10.0, 0.0, 0.1), (12, 10.0, 0.9, 2.0), (10, 10.0, 1.0, 0.0004)]);
    assert_eq!(fast.last().and_then(|r| r.first()).map(|b| b.state), Some(State::Open));
    // Right after start nobody knows how long calls take; a database that refuses connections is no breaker.
    let refused = edge_script(&[(10, 10.0, 1.0, 0.002)]);
    assert!(refused.iter().all(Vec::is_empty), "nothing to compare with");
    let slow_failures = edge_script(&[(40, 10.0, 0.0, 0.1), (30, 10.0, 1.0, 2.0)]);
    assert!(slow_failures.iter().all(Vec::is_empty), "failing is not open");
    let itself = edge_script_of("web", &[(40, 10.0, 0.0, 0.1), (12, 10.0, 0.9, 2.0), (20, 0.0, 0.0, 0.0)], STEADY);
    assert!(itself.iter().all(Vec::is_empty), "a service that retries its own work has no breaker before itself");
    let consumer =
        edge_script_through("messaging_system", "mailer", &[(40, 10.0, 0.0, 0.1), (12, 10.0, 0.9, 2.0), (20, 0.0, 0.0, 0.0)], STEADY);
    assert!(consumer.iter().all(Vec::is_empty), "that a consumer takes no more messages its producer does not decide");
    let quiet = edge_script(&[(40, 10.0, 0.0, 0.1), (20, 0.5, 0.0, 0.1)]);
    assert!(quiet.iter().all(Vec::is_empty), "less traffic is not open");
}

#[test]
fn calls_that_end_with_what_makes_them_say_nothing_of_a_breaker() {
    let ends: Script<'_> = &[(40, 10.0, 0.0, 0.1), (12, 10.0, 0.9, 2.0), (30, 0.0, 0.0, 0.0)];
    let ever_open = |work: Work<'_>| edge_script_of("pay", ends, work).iter().flatten().any(|row| row.state == State::Open);
    assert!(ever_open(STEADY));
    assert!(ever_open(&[("INTERNAL", "sync", &[2.0])]), "a job that goes on without calling");
    assert!(ever_open(&[("SERVER", "GET /", &[10.0]), ("SERVER", "GET /rare", &[0.5, 0.5, 0.0])]), "too seldom to have made the calls");
    assert!(!ever_open(&[("SERVER", "GET /", &[10.0, 10.0, 0.0])]), "the caller is gone");
    assert!(!ever_open(&[]), "nothing is known of the caller");
    assert!(!ever_open(&[("CLIENT", "GET", &[20.0, 20.0, 10.0])]), "calls to others are no work that would call this one");
    assert!(!ever_open(&[("SERVER", "GET /", &[10.0]), ("SERVER", "POST /pay", &[9.0, 9.0, 0.0])]), "nobody pays at night");
    assert!(!ever_open(&[("INTERNAL", "sync", &[2.0, 2.0, 0.0])]), "the job is over");

    // What began a minute ago has ended as well; over five minutes it seems too seldom to have made the calls.
    let young = edge_script_of(
        "pay",
        &[(8, 1.0, 1.0, 0.1), (12, 0.0, 0.0, 0.0)],
        &[("SERVER", "GET /", &[10.0]), ("SERVER", "GET /pay", &[1.0, 0.0])],
    );
    assert!(young.iter().flatten().all(|row| row.state != State::Open), "{young:?}");

    // Open, then the caller is scaled down: nothing is known until it calls again.
    let script: Script<'_> = &[(40, 10.0, 0.0, 0.1), (12, 10.0, 0.9, 2.0), (12, 0.0, 0.0, 0.0), (12, 0.0, 0.0, 0.0), (40, 10.0, 0.0, 0.1)];
    let seen = edge_script_of("pay", script, &[("SERVER", "GET /", &[10.0, 10.0, 10.0, 0.0, 10.0])]);
    let states: Vec<_> = seen.iter().map(|rows| rows.first().map(|row| row.state)).collect();
    assert_eq!((states[62], states[74]), (Some(State::Open), None), "{states:?}");
    assert_eq!(states[76..].iter().flatten().collect::<Vec<_>>(), [&State::Closed], "{states:?}");
}
