//! The four cases of the public alert-generator compliance suite (prometheus/compliance), from its specification, on a simulated clock:
//! groups at 30 s, samples every 15 s, resend delay 1 min. After each evaluation the state, the `ALERTS` series and what was sent are
//! compared with what the specification demands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use watchfire_alerts::{Evaluator, EvaluatorSettings, MemorySeries, RuleFile};
use watchfire_model::{
    Clock, Dependency, HandClock, Labels, Meter, Notice, NoticeState, Selector, SeriesSource, TimeRange, Timestamp, Topology, Value,
    is_stale,
};

const INTERVAL: Duration = Duration::from_secs(30);

/// Labels of a series, and its samples 15 s apart.
type Fed<'a> = (&'a [(&'a str, &'a str)], &'a [Option<f64>]);

struct NoEdges;

impl Topology for NoEdges {
    fn dependencies(&self, _: &str) -> Vec<Dependency> {
        Vec::new()
    }

    fn unhealthy(&self) -> Vec<watchfire_model::Unhealthy> {
        Vec::new()
    }
}

struct Suite {
    clock: HandClock,
    store: Arc<MemorySeries>,
    evaluator: Evaluator,
    start: Timestamp,
    /// Everything a receiver gets, with the time of the evaluation.
    sent: Vec<(Duration, Notice)>,
    /// State of each rule after each evaluation.
    states: BTreeMap<String, Vec<&'static str>>,
}

impl Suite {
    fn new(rules: &str) -> Suite {
        let clock = HandClock::at(Timestamp(1_700_000_000_000));
        let store = Arc::new(MemorySeries::new());
        let groups = RuleFile::parse("rules.yaml", rules).expect("parses").groups;
        let settings = EvaluatorSettings { interval: INTERVAL, ..EvaluatorSettings::default() };
        let shared = Arc::new(clock.clone());
        let evaluator = Evaluator::new(settings, groups, store.clone(), store.clone(), Arc::new(NoEdges), shared, Meter::new());
        clock.advance(evaluator.next_due().expect("a group").since(clock.now()));
        let start = clock.now();
        Suite { clock, store, evaluator, start, sent: Vec::new(), states: BTreeMap::new() }
    }

    fn elapsed(&self) -> Duration {
        self.clock.now().since(self.start)
    }

    /// Feeds values 15 s apart (`None`: no sample) and evaluates every 30 s.
    fn run(&mut self, series: &[Fed<'_>], samples: usize) {
        for i in 0..samples {
            for (labels, values) in series {
                if let Some(Some(value)) = values.get(i) {
                    self.store.push(&Labels::from_pairs(labels.iter().copied()), self.clock.now(), Value::Float(*value));
                }
            }
            if i % 2 == 0 {
                let outcome = self.evaluator.tick();
                assert_eq!(outcome.evaluated, self.evaluator.rule_count(), "every slot is evaluated once");
                let at = self.elapsed();
                self.sent.extend(outcome.notices.into_iter().chain(outcome.refreshed).map(|n| (at, n)));
                for rule in self.evaluator.groups().iter().flat_map(|g| &g.rules) {
                    assert_eq!(rule.last_error, None);
                    self.states.entry(rule.name.clone()).or_default().push(rule.state.unwrap_or(""));
                }
                self.check_series();
            }
            self.clock.advance(Duration::from_secs(15));
        }
    }

    /// `ALERTS` agrees with the API at every evaluation.
    fn check_series(&self) {
        let now = self.clock.now();
        let range = TimeRange { start: now.saturating_sub(Duration::from_secs(300)), end: now };
        let mut series = Vec::new();
        self.store
            .select(&Selector::metric("ALERTS"), range, &mut |s| {
                if !is_stale(s.values[s.values.len() - 1]) {
                    assert_eq!(s.times[s.times.len() - 1], now, "a live ALERTS sample is from this evaluation");
                    series.push(s.labels.clone());
                }
            })
            .expect("selects");
        let mut expected: Vec<Labels> = self
            .evaluator
            .alerts()
            .into_iter()
            .map(|a| {
                let mut labels = a.labels.to_builder();
                labels.set("__name__", "ALERTS").set("alertstate", a.state);
                labels.build()
            })
            .collect();
        series.sort();
        expected.sort();
        assert_eq!(series, expected, "at {:?}", self.elapsed());
    }

    fn sent(&self, name: &str, state: NoticeState) -> Vec<u64> {
        self.sent.iter().filter(|(_, n)| n.name() == name && n.state == state).map(|(at, _)| at.as_secs()).collect()
    }

    fn check_ends(&self) {
        for (at, notice) in &self.sent {
            let at = self.start.saturating_add(*at);
            match notice.state {
                NoticeState::Firing => assert_eq!(notice.ends_at.since(at), Duration::from_secs(240), "four times the resend delay"),
                NoticeState::Resolved => assert!(notice.ends_at <= at && at.since(notice.ends_at) <= Duration::from_secs(900)),
            }
        }
    }
}

/// `n` times a value.
fn values(parts: &[(usize, f64)]) -> Vec<Option<f64>> {
    parts.iter().flat_map(|(n, v)| std::iter::repeat_n(Some(*v), *n)).collect()
}

fn runs(states: &[&'static str]) -> Vec<(&'static str, usize)> {
    let mut out: Vec<(&'static str, usize)> = Vec::new();
    for state in states {
        match out.last_mut() {
            Some((last, n)) if last == state => *n += 1,
            _ => out.push((state, 1)),
        }
    }
    out
}

#[test]
fn pending_and_firing_and_resolved() {
    let mut suite = Suite::new(
        r#"
groups:
  - name: PendingAndFiringAndResolved
    interval: 30s
    rules:
      - alert: PendingAndFiringAndResolved_SimpleAlert
        expr: 'metric{rulegroup="PendingAndFiringAndResolved"} > 10'
        for: 6m
        labels: {foo: bar, rulegroup: PendingAndFiringAndResolved}
        annotations: {description: "SimpleAlert is firing", value: "{{ $value }}"}
"#,
    );
    // Below, above for ten minutes, below for seventeen.
    let shape = values(&[(8, 5.0), (40, 15.0), (76, 8.0)]);
    suite.run(&[(&[("__name__", "metric"), ("rulegroup", "PendingAndFiringAndResolved")], &shape)], shape.len());
    let name = "PendingAndFiringAndResolved_SimpleAlert";
    assert_eq!(runs(&suite.states[name]), [("inactive", 4), ("pending", 12), ("firing", 8), ("inactive", 38)]);
    // Active at 2:00, firing at 8:00, then every minute; below from 12:00, then resolved every minute for fifteen.
    let firing: Vec<u64> = (0..4).map(|i| 480 + 60 * i).collect();
    assert_eq!(suite.sent(name, NoticeState::Firing), firing);
    let resolved: Vec<u64> = (0..=15).map(|i| 720 + 60 * i).collect();
    assert_eq!(suite.sent(name, NoticeState::Resolved), resolved);
    for (_, notice) in &suite.sent {
        assert_eq!(notice.starts_at.since(suite.start), Duration::from_secs(480), "when it fired, not when it became active");
        assert_eq!(notice.labels.value("foo"), "bar");
        assert_eq!(notice.annotations.value("description"), "SimpleAlert is firing");
    }
    suite.check_ends();
}

#[test]
fn pending_and_resolved_and_always_inactive() {
    let mut suite = Suite::new(
        r#"
groups:
  - name: PendingAndResolved_AlwaysInactive
    interval: 30s
    rules:
      - {alert: PendingAndResolved, expr: 'metric{a="pending"} > 13', for: 3m}
      - {alert: AlwaysInactive, expr: 'metric{a="inactive"} > 99', for: 0s}
"#,
    );
    let pending = values(&[(8, 5.0), (10, 15.0), (30, 9.0)]);
    let inactive = values(&[(48, 19.0)]);
    suite.run(&[(&[("__name__", "metric"), ("a", "pending")], &pending), (&[("__name__", "metric"), ("a", "inactive")], &inactive)], 48);
    assert_eq!(runs(&suite.states["PendingAndResolved"]), [("inactive", 4), ("pending", 5), ("inactive", 15)]);
    assert_eq!(runs(&suite.states["AlwaysInactive"]), [("inactive", 24)]);
    assert!(suite.sent.is_empty(), "what only was pending is never sent");
}

#[test]
fn zero_for_and_small_for() {
    let mut suite = Suite::new(
        r#"
groups:
  - name: ZeroFor_SmallFor
    interval: 30s
    rules:
      - {alert: ZeroFor, expr: 'metric{a="zero"} > 13', for: 0s, annotations: {d: "{{ $labels.a }} {{ humanize $value }}"}}
      - {alert: SmallFor, expr: 'metric{a="small"} > 13', for: 15s}
"#,
    );
    // The data stop at 8:00: five minutes later there is no value any more.
    let shape = values(&[(8, 5.0), (25, 15.0)]);
    let zero: &[(&str, &str)] = &[("__name__", "metric"), ("a", "zero")];
    let small: &[(&str, &str)] = &[("__name__", "metric"), ("a", "small")];
    suite.run(&[(zero, &shape), (small, &shape)], 70);
    assert_eq!(runs(&suite.states["ZeroFor"]), [("inactive", 4), ("firing", 22), ("inactive", 9)]);
    assert_eq!(runs(&suite.states["SmallFor"]), [("inactive", 4), ("pending", 1), ("firing", 21), ("inactive", 9)]);
    assert_eq!(suite.sent("ZeroFor", NoticeState::Firing)[..3], [120, 180, 240]);
    assert_eq!(suite.sent("SmallFor", NoticeState::Firing)[..3], [150, 210, 270]);
    assert_eq!(suite.sent("ZeroFor", NoticeState::Resolved)[0], 780);
    assert_eq!(suite.sent[0].1.annotations.value("d"), "zero 15");
    suite.check_ends();
}

#[test]
fn new_alerts_and_order_check() {
    let mut suite = Suite::new(
        r#"
groups:
  - name: NewAlerts_OrderCheck
    interval: 30s
    rules:
      - alert: NewAlerts_OrderCheck_Rule1
        expr: 'metric{rulegroup="NewAlerts_OrderCheck"} > 10'
        labels: {foo: bar, rulegroup: NewAlerts_OrderCheck}
      - alert: NewAlerts_OrderCheck_Rule2
        expr: 'ALERTS{alertname="NewAlerts_OrderCheck_Rule1", rulegroup="NewAlerts_OrderCheck"}'
        labels: {foo: baz}
        annotations: {d: "{{ $labels.alertname }} {{ $labels.foo }} {{ $labels.alertstate }}"}
"#,
    );
    // A second alert of the same rule begins two minutes after the first and outlives it.
    let first = values(&[(8, 5.0), (16, 15.0), (16, 5.0)]);
    let second = values(&[(16, 5.0), (16, 11.0), (8, 5.0)]);
    let series = |variant: &'static str| [("__name__", "metric"), ("rulegroup", "NewAlerts_OrderCheck"), ("variant", variant)];
    suite.run(&[(&series("one"), &first), (&series("two"), &second)], 40);
    let began = |rule: &str, variant: &str| {
        let mut found = suite.sent.iter().filter(|(_, n)| n.name() == rule && n.labels.value("variant") == variant);
        found.next().map(|(at, n)| (at.as_secs(), n.labels.clone(), n.annotations.clone()))
    };
    for (variant, at) in [("one", 120), ("two", 240)] {
        let (first_at, _, _) = began("NewAlerts_OrderCheck_Rule1", variant).expect("sent");
        let (second_at, labels, annotations) = began("NewAlerts_OrderCheck_Rule2", variant).expect("sent");
        assert_eq!((first_at, second_at), (at, at), "the second rule sees the series of the first in the same evaluation");
        assert_eq!((labels.value("foo"), labels.value("alertstate")), ("baz", "firing"));
        assert_eq!(annotations.value("d"), "NewAlerts_OrderCheck_Rule1 bar firing", "templates see the result, not the rule's labels");
    }
    let resolved: Vec<u64> = suite.sent("NewAlerts_OrderCheck_Rule2", NoticeState::Resolved);
    assert!(resolved.contains(&360) && resolved.contains(&480));
    suite.check_ends();
}
