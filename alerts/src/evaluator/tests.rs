mod audience;
mod cascades;
mod independent;
mod limits;
mod owners;
mod panics;
mod reloads;
mod restarts;
mod suspects;

use super::*;
use crate::memory::MemorySeries;
use crate::rule_file::RuleFile;
use parking_lot::Mutex;
use watchfire_model::{Dependency, HandClock, NoticeState, Relation, Selector, Severity, TimeRange, Unhealthy, Value, is_stale};

const START: Timestamp = Timestamp(1_700_000_000_000 - 1_700_000_000_000 % 60_000);

#[derive(Default)]
struct FakeTopology {
    edges: Mutex<Vec<(String, String, Option<f64>)>>,
    unhealthy: Mutex<Vec<(String, String)>>,
    /// What health bodies say of what their services depend on.
    said: Mutex<Vec<Unhealthy>>,
    owners: Mutex<Vec<(String, String)>>,
}

impl Topology for FakeTopology {
    fn dependencies(&self, service: &str) -> Vec<Dependency> {
        let edges = self.edges.lock();
        let of = edges.iter().filter(|(client, _, _)| client == service);
        of.map(|(client, server, ratio)| Dependency {
            client: client.clone(),
            server: server.clone(),
            error_ratio: *ratio,
            relation: Relation::Calls,
        })
        .collect()
    }

    fn unhealthy(&self) -> Vec<Unhealthy> {
        self.unhealthy
            .lock()
            .iter()
            .map(|(name, reason)| Unhealthy::checked(name, reason.clone()))
            .chain(self.said.lock().clone())
            .collect()
    }

    fn owner(&self, service: &str) -> Option<String> {
        self.owners.lock().iter().find(|(name, _)| name == service).map(|(_, owner)| owner.clone())
    }
}

/// An evaluator over plain memory on a simulated clock.
struct World {
    clock: HandClock,
    store: Arc<MemorySeries>,
    topology: Arc<FakeTopology>,
    evaluator: Evaluator,
    meter: Meter,
    start: Timestamp,
}

fn groups(text: &str) -> Vec<RuleGroup> {
    RuleFile::parse("rules.yml", text).expect("rules parse").groups
}

impl World {
    fn new(rules: &str) -> World {
        World::with(rules, EvaluatorSettings::default())
    }

    fn with(rules: &str, settings: EvaluatorSettings) -> World {
        let clock = HandClock::at(START);
        let store = Arc::new(MemorySeries::new());
        let topology = Arc::new(FakeTopology::default());
        let meter = Meter::new();
        let evaluator = World::evaluator(rules, settings, &clock, &store, &topology, &meter);
        // Every step from here on falls on a slot.
        clock.advance(evaluator.next_due().expect("a group").since(START));
        let start = clock.now();
        World { clock, store, topology, evaluator, meter, start }
    }

    fn evaluator(
        rules: &str,
        settings: EvaluatorSettings,
        clock: &HandClock,
        store: &Arc<MemorySeries>,
        topology: &Arc<FakeTopology>,
        meter: &Meter,
    ) -> Evaluator {
        let clock = Arc::new(clock.clone());
        Evaluator::new(settings, groups(rules), store.clone(), store.clone(), topology.clone(), clock, meter.clone())
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn set(&self, series: &[(&str, &str)], value: f64) {
        self.store.push(&Labels::from_pairs(series.iter().copied()), self.now(), Value::Float(value));
    }

    /// The `errors` of services, then one tick.
    fn round(&mut self, errors: &[(&str, f64)]) -> TickOutcome {
        for (service, value) in errors {
            self.set(&[("__name__", "errors"), ("service", service)], *value);
        }
        self.evaluator.tick()
    }

    fn pass(&mut self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Evaluations without new data: notices, and how many of them say resolved.
    fn idle(&mut self, rounds: usize) -> (usize, usize) {
        let mut notices = Vec::new();
        for _ in 0..rounds {
            self.pass(15);
            notices.extend(self.evaluator.tick().notices);
        }
        (notices.len(), notices.iter().filter(|n| n.state == NoticeState::Resolved).count())
    }

    fn latest(&self, name: &str) -> Vec<(Labels, f64)> {
        let mut found = Vec::new();
        let range = TimeRange { start: self.now().saturating_sub(Duration::from_secs(300)), end: self.now() };
        self.store
            .select(&Selector::metric(name), range, &mut |s| {
                let last = s.values[s.values.len() - 1];
                if !is_stale(last) {
                    found.push((s.labels.clone(), last));
                }
            })
            .expect("selects");
        found
    }
}

/// Each service calls the next one.
fn line(world: &World, services: &[String]) {
    *world.topology.edges.lock() = services.windows(2).map(|w| (w[0].clone(), w[1].clone(), None)).collect();
}

fn told(outcome: &TickOutcome) -> Vec<(String, NoticeState)> {
    outcome.notices.iter().filter(|n| n.cause.is_none()).map(|n| (n.labels.value("service").to_owned(), n.state)).collect()
}

fn held(outcome: &TickOutcome) -> Vec<String> {
    outcome.notices.iter().filter(|n| n.cause.is_some()).map(|n| n.labels.value("service").to_owned()).collect()
}

const ERRORS: &str = r#"
groups:
  - name: g
    interval: 15s
    rules:
      - alert: Errors
        expr: errors > 0.05
        for: 30s
        labels: {severity: critical}
        annotations: {summary: "{{ $labels.service }} at {{ $value | humanizePercentage }}", impact: broken}
"#;

#[test]
fn an_alert_goes_from_pending_to_firing_to_resolved_and_its_series_follow() {
    let mut world = World::new(ERRORS);
    let first = world.round(&[("api", 0.5)]);
    assert!(first.notices.is_empty());
    assert_eq!(first.changed.len(), 1);
    assert_eq!(world.latest("ALERTS")[0].0.value("alertstate"), "pending");
    world.pass(15);
    assert!(world.round(&[("api", 0.5)]).notices.is_empty());
    world.pass(15);
    let fired = world.round(&[("api", 0.25)]);
    assert_eq!(told(&fired), [("api".to_owned(), NoticeState::Firing)]);
    let notice = &fired.notices[0];
    assert_eq!(notice.severity, Severity::Critical);
    assert_eq!(notice.annotations.value("summary"), "api at 25%");
    assert_eq!(notice.evidence.value, Some(0.25));
    assert_eq!(notice.ends_at.since(fired.at), Duration::from_secs(240));
    assert_eq!(notice.active_at, world.evaluator.board()[0].active_at.expect("active"));
    let alerts = world.latest("ALERTS");
    assert_eq!(alerts.len(), 1, "the pending series has ended");
    assert_eq!(alerts[0].0.value("alertstate"), "firing");
    assert_eq!(world.latest("ALERTS_FOR_STATE")[0].1, notice.active_at.seconds().floor());
    let board = world.evaluator.board();
    assert_eq!((board[0].threshold, board[0].value, board[0].notified), (Some(0.05), Some(0.25), true));
    world.pass(15);
    let resolved = world.round(&[("api", 0.01)]);
    assert_eq!(told(&resolved), [("api".to_owned(), NoticeState::Resolved)]);
    assert!(resolved.notices[0].revision > notice.revision);
    assert_eq!(resolved.notices[0].starts_at, notice.starts_at);
    assert!(world.latest("ALERTS").is_empty());
}

#[test]
fn rules_see_the_results_of_the_rules_before_them() {
    let rules = r#"
groups:
  - name: g
    interval: 15s
    rules:
      - record: job:errors:sum
        expr: sum(errors)
        labels: {team: a}
      - alert: Sum
        expr: job:errors:sum > 1
      - alert: Meta
        expr: ALERTS{alertname="Sum", alertstate="firing"}
"#;
    let mut world = World::new(rules);
    let outcome = world.round(&[("a", 1.0), ("b", 2.0)]);
    assert_eq!(world.latest("job:errors:sum")[0].1, 3.0);
    let names: Vec<&str> = outcome.notices.iter().map(Notice::name).collect();
    assert_eq!(names, ["Sum", "Meta"]);
    assert_eq!(outcome.notices[1].labels.value("alertstate"), "firing");
}

#[test]
fn a_rule_that_fails_keeps_its_alerts_and_says_so() {
    let rules = "groups:\n  - name: g\n    interval: 15s\n    limit: 1\n    rules:\n      - alert: Many\n        expr: errors > 0\n        labels: {service: same}\n";
    let mut world = World::new(rules);
    assert_eq!(world.round(&[("a", 1.0)]).notices.len(), 1);
    world.pass(15);
    let outcome = world.round(&[("a", 1.0), ("b", 1.0)]);
    assert!(outcome.notices.is_empty());
    let report = &world.evaluator.groups()[0].rules[0];
    assert_eq!(report.health, RuleHealth::Err);
    assert!(report.last_error.as_deref().is_some_and(|e| e.contains("same labelset")), "{:?}", report.last_error);
    assert_eq!(report.alerts.as_ref().map(Vec::len), Some(1), "the state is as it was");
    assert_eq!(world.evaluator.broken_rules().len(), 1);
    assert_eq!(world.meter.counter("watchfire_rule_evaluation_failures_total", &[("rule_group", "g")]).get(), 1);
    let broken = world.meter.gauge("watchfire_broken_rules", &[("rule_group", "g")]);
    assert_eq!(broken.get(), 1.0);
    world.evaluator.reload(Vec::new());
    assert_eq!(broken.get(), 0.0, "a rule that is gone is not broken");
}

#[test]
fn a_label_whose_template_comes_to_nothing_is_none() {
    // `service` is one of the result, and gone as well.
    let rules = "groups:\n  - name: g\n    interval: 15s\n    rules:\n      - alert: A\n        expr: errors > 0\n        labels: {team: '{{ $labels.nobody }}', service: '{{ if false }}x{{ end }}', fixed: ''}\n";
    let mut world = World::new(rules);
    let notice = world.round(&[("a", 1.0)]).notices.remove(0);
    assert_eq!(notice.labels, Labels::from_pairs([("alertname", "A")]));
    for series in ["ALERTS", "ALERTS_FOR_STATE"] {
        assert!(world.latest(series).iter().all(|(l, _)| l.get("team").is_none() && l.get("service").is_none()), "{series}");
    }
    assert_eq!(world.latest("ALERTS").len(), 1);
}

#[test]
fn a_rule_whose_series_another_one_writes_says_so_and_its_alerts_go_out() {
    let rule = |threshold: f64, more: &str| format!("      - alert: Twice\n        expr: errors > {threshold}\n{more}");
    let rules = format!("groups:\n  - name: g\n    interval: 15s\n    rules:\n{}{}", rule(0.0, ""), rule(0.5, "        for: 15s\n"));
    let mut world = World::new(&rules);
    assert_eq!(world.round(&[("a", 0.1)]).notices.len(), 1);
    world.pass(15);
    assert!(world.evaluator.broken_rules().is_empty());
    world.round(&[("a", 1.0)]);
    world.pass(15);
    assert_eq!(world.round(&[("a", 1.0)]).notices.len(), 1, "the second one fires as well");
    let report = &world.evaluator.groups()[0].rules;
    assert_eq!((report[0].health, report[1].health), (RuleHealth::Ok, RuleHealth::Err));
    assert!(report[1].last_error.as_deref().is_some_and(|e| e.starts_with("duplicate sample for timestamp: ")), "{report:?}");
    assert_eq!(world.evaluator.broken_rules().len(), 1);
}

#[test]
fn too_many_alerts_drop_all_and_those_told_hear_the_end() {
    let mut world =
        World::new("groups:\n  - name: g\n    interval: 15s\n    limit: 1\n    rules:\n      - alert: Many\n        expr: errors > 0\n");
    assert_eq!(told(&world.round(&[("a", 1.0)])).len(), 1);
    world.pass(15);
    let outcome = world.round(&[("a", 1.0), ("b", 1.0)]);
    assert_eq!(told(&outcome), [("a".to_owned(), NoticeState::Resolved)]);
    assert_eq!(outcome.removed.len(), 1);
}

#[test]
fn late_ticks_are_skipped_and_counted_and_never_run_in_a_burst() {
    let mut world = World::new(ERRORS);
    assert_eq!(world.round(&[("api", 0.0)]).evaluated, 1);
    world.pass(45);
    assert_eq!(world.round(&[("api", 0.0)]).evaluated, 1);
    assert_eq!(world.meter.counter("watchfire_rule_group_iterations_missed_total", &[("rule_group", "g")]).get(), 2);
    assert_eq!(world.round(&[]).evaluated, 0, "nothing is due twice");
    let due = world.evaluator.tick().next_due.expect("a next slot");
    assert!(due > world.now() && due.since(world.now()) <= Duration::from_secs(15));
}

#[test]
fn reload_keeps_the_alerts_of_unchanged_rules_and_ends_the_others() {
    let mut world = World::new(ERRORS);
    for _ in 0..3 {
        world.round(&[("api", 0.5)]);
        world.pass(15);
    }
    let active = world.evaluator.board()[0].active_at;
    world.evaluator.reload(groups(&ERRORS.replace("0.05", "0.10")));
    assert_eq!(world.evaluator.board()[0].active_at, active);
    assert!(world.round(&[("api", 0.5)]).notices.is_empty(), "nothing is told twice");
    world.evaluator.reload(groups(&ERRORS.replace("alert: Errors", "alert: Other")));
    world.pass(15);
    let outcome = world.round(&[("api", 0.5)]);
    assert_eq!(told(&outcome), [("api".to_owned(), NoticeState::Resolved)]);
    assert!(world.latest("ALERTS").iter().all(|(l, _)| l.value("alertname") == "Other"));
}

#[test]
fn hysteresis_keeps_an_alert_until_the_condition_of_recovery_holds() {
    let rules =
        ERRORS.replace("for: 30s", "for: 0s").replace("impact: broken", r#"recover: 'errors{service="{{ $labels.service }}"} < 0.02'"#);
    let mut world = World::new(&rules);
    assert_eq!(told(&world.round(&[("a\"b", 0.5)])).len(), 1);
    for (value, expected) in [(0.04, 0), (0.03, 0), (0.06, 0), (0.019, 1)] {
        world.pass(15);
        assert_eq!(told(&world.round(&[("a\"b", value)])).len(), expected, "at {value}");
    }
    // A condition over all services counts only where it is about this one.
    let all = rules.replace(r#"'errors{service="{{ $labels.service }}"} < 0.02'"#, "errors < 0.02");
    let mut world = World::new(&all);
    world.round(&[("a", 0.5), ("b", 0.0)]);
    for (value, expected) in [(0.04, 0), (0.01, 1)] {
        world.pass(15);
        assert_eq!(told(&world.round(&[("a", value), ("b", 0.0)])).len(), expected, "at {value}");
    }
    // A series that is gone cannot recover; its alert must not fire for ever.
    let mut world = World::new(&rules);
    world.round(&[("x", 0.5)]);
    assert_eq!(world.idle(19).0, 0);
    assert_eq!(world.idle(1), (1, 1));
}

#[test]
fn sleep_stalls_and_set_clocks_fire_and_resolve_nothing() {
    for (disturbance, missed) in [("suspend", 239..=241), ("stall", 239..=241), ("forward", 0..=0), ("ten years", 0..=0), ("back", 0..=0)] {
        let mut world = World::new(ERRORS);
        for _ in 0..3 {
            world.round(&[("firing", 0.5), ("calm", 0.0), ("late", if world.now() > world.start { 0.5 } else { 0.0 })]);
            world.pass(15);
        }
        let hour = Duration::from_secs(3600);
        match disturbance {
            "suspend" => world.clock.suspend(hour),
            "stall" => world.clock.advance(hour),
            "forward" => world.clock.step_wall(world.now().saturating_add(hour)),
            "ten years" => world.clock.step_wall(world.now().saturating_add(hour * 24 * 3652)),
            _ => world.clock.step_wall(world.now().saturating_sub(hour)),
        }
        let outcome = world.evaluator.tick();
        assert!(outcome.notices.iter().all(|n| n.labels.value("service") == "late"), "{disturbance}: {:?}", told(&outcome));
        let states: Vec<_> = world.evaluator.board().iter().map(|a| (a.labels.value("service").to_owned(), a.state)).collect();
        assert_eq!(
            states.iter().filter(|(s, _)| s == "firing").collect::<Vec<_>>(),
            [&("firing".to_owned(), AlertState::Firing)],
            "{disturbance}"
        );
        assert_eq!(outcome.clock_events.len(), 1, "{disturbance}");
        let kind = outcome.clock_events[0].kind();
        // Half an hour of ordinary rounds: what was calm stays calm, what fires goes on firing, and `for` ends when it was watched long enough.
        let fired = |outcome: &TickOutcome| told(outcome).contains(&("late".to_owned(), NoticeState::Firing));
        let (mut late_fired, mut waited) = (usize::from(fired(&outcome)), None);
        for round in 0..120 {
            world.pass(15);
            let outcome = world.round(&[("firing", 0.5), ("calm", 0.0), ("late", 0.5)]);
            assert!(outcome.notices.iter().all(|n| n.labels.value("service") == "late"), "{disturbance}: {:?}", told(&outcome));
            if fired(&outcome) {
                late_fired += 1;
                waited = waited.or(Some(round));
            }
        }
        assert_eq!(late_fired, 1, "{disturbance}");
        assert!(waited <= Some(1), "{disturbance}: {waited:?}");
        assert_eq!(world.meter.counter("watchfire_clock_events_total", &[("kind", kind)]).get(), 1, "{disturbance}");
        let counted = world.meter.counter("watchfire_rule_group_iterations_missed_total", &[("rule_group", "g")]).get();
        assert!(missed.contains(&counted), "{disturbance}: {counted} missed");
    }
}

#[test]
fn what_is_told_of_a_group_is_made_anew_when_it_was_evaluated() {
    let group = |name: &str, interval: &str| {
        format!("  - name: {name}\n    interval: {interval}\n    rules: [{{alert: A, expr: errors > 0, labels: {{of: {name}}}}}]\n")
    };
    let mut world = World::new(&format!("groups:\n{}{}", group("often", "15s"), group("seldom", "1d")));
    world.round(&[("a", 1.0)]);
    let before = world.evaluator.groups();
    world.pass(15);
    world.round(&[("a", 2.0)]);
    let after = world.evaluator.groups();
    assert!(!Arc::ptr_eq(&before[0], &after[0]) && Arc::ptr_eq(&before[1], &after[1]));
    assert_ne!(before[0].last_evaluation, after[0].last_evaluation);
}

#[test]
fn the_api_objects_have_the_fields_of_prometheus() {
    let mut world = World::new(ERRORS);
    world.round(&[("api", 0.5)]);
    let group = serde_json::to_value(&*world.evaluator.groups()[0]).expect("serialises");
    assert_eq!((&group["name"], &group["interval"], &group["limit"]), (&"g".into(), &15.0.into(), &0.into()));
    let rule = &group["rules"][0];
    assert_eq!(
        (&rule["state"], &rule["type"], &rule["health"], &rule["duration"]),
        (&"pending".into(), &"alerting".into(), &"ok".into(), &30.0.into())
    );
    assert_eq!(rule["alerts"][0]["value"], "5e-01");
    assert!(rule.get("lastError").is_none());
    assert!(rule["lastEvaluation"].as_str().is_some_and(|t| t.starts_with("2023-11-14T22:")), "{}", rule["lastEvaluation"]);
}
