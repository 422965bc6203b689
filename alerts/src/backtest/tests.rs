use super::*;
use crate::memory::MemorySeries;
use crate::rule_file::RuleFile;
use crate::state::{Absence, Instance, RuleState, step};
use proptest::prelude::*;
use watchfire_model::STALE_NAN;
use watchfire_promql::Interrupt;

fn period(minutes: i64) -> Period {
    Period { start: Timestamp(0), end: Timestamp(minutes * 60_000), step: Some(Duration::from_secs(15)) }
}

fn wave(values: &[f64]) -> MemorySeries {
    let store = MemorySeries::new();
    let labels = Labels::from_pairs([("__name__", "x"), ("service", "api")]);
    for (i, v) in values.iter().enumerate() {
        store.push(&labels, Timestamp(i as i64 * 15_000), Value::Float(*v));
    }
    store
}

#[test]
fn episodes_have_their_times_and_peaks() {
    let store = wave(&[0.0, 0.2, 0.3, 0.4, 0.1, 0.0, 0.5, 0.0, 0.0]);
    let rules = "groups:\n- name: g\n  rules:\n  - {record: 'y', expr: 'x * 2'}\n  - {alert: A, expr: y > 0.3, for: 30s, labels: {s: '{{ $labels.service }}'}}\n";
    let groups = RuleFile::parse("r", rules).expect("parses").groups;
    let period = Period { end: Timestamp(120_000), ..period(2) };
    let found = backtest(&Engine::default(), &groups, &store, period);
    let result = &found[0].backtest;
    assert_eq!((result.pages, result.evaluations, result.episodes.len()), (1, 9, 2));
    let first = &result.episodes[0];
    assert_eq!(first.labels.value("s"), "api");
    assert_eq!(first.pending_at, Timestamp(15_000));
    assert_eq!(first.fired_at, Some(Timestamp(45_000)));
    assert_eq!(first.ended_at, Some(Timestamp(60_000)));
    assert_eq!(first.peak_value, Some(0.8));
    assert_eq!(result.episodes[1].fired_at, None);
}

#[test]
fn what_is_recorded_ends_where_its_expression_gives_nothing() {
    let store = wave(&[1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    let rules = "groups:\n- name: g\n  rules:\n  - {record: y, expr: x > 0}\n  - {alert: A, expr: y}\n";
    let groups = RuleFile::parse("r", rules).expect("parses").groups;
    let found = backtest(&Engine::default(), &groups, &store, Period { end: Timestamp(120_000), ..period(2) });
    let times: Vec<_> =
        found[0].backtest.episodes.iter().map(|e| (e.pending_at.millis() / 15_000, e.ended_at.map(|t| t.millis() / 15_000))).collect();
    assert_eq!(times, [(0, Some(2)), (5, Some(6))]);
}

/// The times are those of the live evaluator over the same samples: a rule sees the alerts of all others, wherever they stand.
#[test]
fn the_alerts_of_the_rules_are_seen_by_the_rules_that_read_them() {
    let store = wave(&[0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    // What was recorded of another rule is seen too; what was recorded of one that is tried is not.
    for (name, state) in [("Other", "firing"), ("Cause", "firing")] {
        let labels = Labels::from_pairs([("__name__", "ALERTS"), ("alertname", name), ("alertstate", state), ("service", "api")]);
        store.push(&labels, Timestamp(0), Value::Float(1.0));
    }
    let rules = r#"
groups:
- name: g
  rules:
  - {alert: Reader, expr: 'ALERTS{alertname="Cause", alertstate="firing"}'}
  - {record: pending, expr: 'count(ALERTS{alertname="Cause", alertstate="pending"})'}
  - {alert: Pending, expr: pending > 0}
  - {alert: Older, expr: 'time() - ALERTS_FOR_STATE{alertname="Cause"} >= 30'}
  - {alert: Known, expr: 'ALERTS{alertname="Other"}'}
  - {alert: Cause, expr: x > 0.5, for: 15s}
  - {alert: Turning, expr: 'x > 0.5 unless on() ALERTS{alertname="Turning"}'}
"#;
    let groups = RuleFile::parse("r", rules).expect("parses").groups;
    let found = backtest(&Engine::default(), &groups, &store, Period { end: Timestamp(120_000), ..period(2) });
    let times = |rule: &str| -> Vec<(i64, Option<i64>)> {
        let found = found.iter().find(|f| f.rule == rule).expect("the rule");
        found.backtest.episodes.iter().map(|e| (e.pending_at.millis() / 15_000, e.ended_at.map(|t| t.millis() / 15_000))).collect()
    };
    assert_eq!(times("Cause"), [(1, Some(4)), (6, Some(7))]);
    assert_eq!(times("Reader"), [(2, Some(4))]);
    assert_eq!(times("Pending"), [(1, Some(2)), (6, Some(7))]);
    assert_eq!(times("Older"), [(3, Some(4))]);
    assert_eq!(times("Known").len(), 1);
    let turning = found.iter().find(|f| f.rule == "Turning").expect("the rule");
    assert!(turning.backtest.warnings[0].starts_with("it reads the alerts of Turning, "), "{:?}", turning.backtest.warnings);
    assert_eq!(found.iter().map(|f| f.rule.as_str()).collect::<Vec<_>>(), ["Reader", "Pending", "Older", "Known", "Cause", "Turning"]);
}

#[test]
fn the_rule_lab_asks_by_expression() {
    let store = wave(&[0.0, 0.2, 0.3]);
    let query = BacktestQuery {
        expression: "x > 0.1".to_owned(),
        start: Timestamp(0),
        end: Timestamp(30_000),
        step_ms: 15_000,
        ..BacktestQuery::default()
    };
    let result = backtest_query(&Engine::default(), &query, &store, Control::default()).expect("runs");
    assert_eq!((result.pages, result.episodes[0].ended_at), (1, None));
    assert_eq!(result.episodes[0].labels, Labels::from_pairs([("service", "api"), ("__name__", "x")]).without_name());
    let bad = BacktestQuery { expression: "x >".to_owned(), ..query.clone() };
    assert!(backtest_query(&Engine::default(), &bad, &store, Control::default()).is_err());
    // All of time at every millisecond, which would take as long.
    let endless = BacktestQuery { start: Timestamp::MIN, end: Timestamp::MAX, step_ms: 1, ..query.clone() };
    let error = backtest_query(&Engine::default(), &endless, &store, Control::default()).expect_err("endless");
    assert!(error.contains("1000000 evaluations"), "{error}");
    let late = || Some(Interrupt::Timeout);
    let result = backtest_query(&Engine::default(), &query, &store, Control { interrupt: Some(&late), ..Control::default() });
    assert!(result.expect("runs").warnings[0].contains("timed out"));
}

#[test]
fn hysteresis_is_replayed() {
    let store = wave(&[0.5, 0.04, 0.03, 0.01, 0.0]);
    let rules = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: x > 0.05, annotations: {recover: 'x{service=\"{{ $labels.service }}\"} < 0.02'}}\n";
    let groups = RuleFile::parse("r", rules).expect("parses").groups;
    let found = backtest(&Engine::default(), &groups, &store, Period { end: Timestamp(60_000), ..period(1) });
    assert_eq!(found[0].backtest.episodes[0].ended_at, Some(Timestamp(45_000)));
}

/// Live, an evaluation that fails changes nothing, and the alert goes on with the next.
#[test]
fn evaluations_that_fail_cost_themselves_and_no_others() {
    let store = wave(&[1.0; 12]);
    let limit = |service: &str, at: i64, value: f64| {
        store.push(
            &Labels::from_pairs([("__name__", "limit"), ("service", "api"), ("of", service)]),
            Timestamp(at * 15_000),
            Value::Float(value),
        );
    };
    for at in 0..12 {
        limit("one", at, 0.5);
    }
    // Twice the same limit, which makes the match ambiguous, at the sixth and seventh evaluation.
    limit("two", 5, 0.5);
    limit("two", 6, 0.5);
    limit("two", 7, STALE_NAN);
    let rules = "groups:\n- name: g\n  rules:\n  - {record: y, expr: x - on(service) limit}\n  \
        - {alert: A, expr: x > on(service) limit, for: 30s}\n  - {alert: Late, expr: y > 0, for: 30s}\n  \
        - {alert: Never, expr: 'x > on() group_left() {__name__=~\"x|limit\"}'}\n";
    let groups = RuleFile::parse("r", rules).expect("parses").groups;
    let found = backtest(&Engine::default(), &groups, &store, Period { end: Timestamp(165_000), ..period(3) });
    let of = |name: &str| &found.iter().find(|r| r.rule == name).expect("told").backtest;
    let [alert, late, never, recorded] = ["A", "Late", "Never", "y"].map(of);
    assert_eq!((alert.pages, alert.evaluations, alert.failed), (1, 12, 2), "{alert:?}");
    assert_eq!((alert.episodes[0].fired_at, alert.episodes[0].ended_at), (Some(Timestamp(30_000)), None));
    assert!(alert.warnings[0].starts_with("2 evaluations fail: "), "{:?}", alert.warnings);
    assert_eq!((never.pages, never.evaluations, never.failed), (0, 12, 12), "{never:?}");
    assert_eq!(recorded.failed, 2, "{recorded:?}");
    assert!(recorded.warnings[0].starts_with("y: 2 evaluations fail: "), "{:?}", recorded.warnings);
    // What was recorded last is what there is until then.
    assert_eq!(late.episodes.iter().map(|e| (e.pending_at, e.ended_at)).collect::<Vec<_>>(), [(Timestamp(0), None)]);
}

proptest! {
    /// The columns give what evaluating step by step gives.
    #[test]
    fn replay_equals_evaluation(values in prop::collection::vec(prop::sample::select(vec![0.0, 1.0]), 1..80), hold in 0_u64..4, keep in 0_u64..4) {
        let store = wave(&values);
        let query = BacktestQuery {
            expression: "x > 0.5".to_owned(),
            for_seconds: hold as f64 * 15.0,
            keep_firing_for_seconds: keep as f64 * 15.0,
            start: Timestamp(0),
            end: Timestamp((values.len() as i64 - 1) * 15_000),
            step_ms: 15_000,
        };
        let result = backtest_query(&Engine::default(), &query, &store, Control::default()).expect("runs");
        let alerting = Alerting { hold: Duration::from_secs(hold * 15), keep_firing_for: Duration::from_secs(keep * 15), annotations: Vec::new() };
        let mut state = RuleState::new();
        let (mut fired, mut ended) = (Vec::new(), Vec::new());
        for (i, v) in values.iter().enumerate() {
            let now = Moment::plain(Timestamp(i as i64 * 15_000));
            let labels = Labels::from_pairs([("service", "api")]);
            let results = if *v > 0.5 { vec![Instance { labels, annotations: Labels::empty(), value: *v }] } else { Vec::new() };
            for t in step(&alerting, 0, &mut state, results, now, &mut |_| Absence::Known).expect("steps") {
                match t.change {
                    Change::Fired => fired.push(now.at),
                    Change::Resolved => ended.push(now.at),
                    _ => {}
                }
            }
        }
        let firing: Vec<_> = result.episodes.iter().filter(|e| e.fired_at.is_some()).collect();
        prop_assert_eq!(firing.iter().filter_map(|e| e.fired_at).collect::<Vec<_>>(), fired);
        prop_assert_eq!(firing.iter().filter_map(|e| e.ended_at).collect::<Vec<_>>(), ended);
    }
}
