//! `for` over restarts: what was waited counts, what was not watched does not.

use super::*;

/// Minutes that an alert waits, has waited, and is away; and those until it fires after the restart.
const TABLE: [(u64, u64, u64, u64); 9] = [
    // More is left than the grace: nothing but the outage is added.
    (25, 5, 10, 20),
    (25, 5, 60, 20),
    (25, 15, 10, 10),
    // Less is left.
    (25, 20, 10, 10),
    (25, 24, 1, 10),
    (10, 9, 1, 10),
    // Away for too long.
    (25, 20, 61, 25),
    // Rules that wait less than the grace go on where they stood.
    (5, 3, 10, 2),
    (9, 1, 59, 8),
];

#[test]
fn time_down_is_not_counted_and_a_long_wait_ends_no_sooner_than_the_grace() {
    for (waits, waited, away, left) in TABLE {
        let row = format!("for {waits}m, pending {waited}m, away {away}m");
        let rules = ERRORS.replace("for: 30s", &format!("for: {waits}m"));
        let mut world = World::new(&rules);
        world.round(&[("api", 0.5)]);
        for _ in 0..waited * 4 {
            world.pass(15);
            assert!(world.round(&[("api", 0.5)]).notices.is_empty(), "{row}");
        }
        let active = world.evaluator.board()[0].active_at;
        let records = world.evaluator.records();
        world.pass(away * 60);
        world.store = Arc::new(MemorySeries::new());
        let settings = EvaluatorSettings::default();
        world.evaluator = World::evaluator(&rules, settings, &world.clock, &world.store, &world.topology, &world.meter);
        world.evaluator.restore(records);
        let mut rounds = 0;
        while world.round(&[("api", 0.5)]).notices.is_empty() {
            rounds += 1;
            assert!(rounds < 200, "{row}: never fires");
            world.pass(15);
        }
        // One round more where it begins anew, for that it is pending is found by a round.
        assert!((left * 4..=left * 4 + 1).contains(&rounds), "{row}: after {rounds} rounds, not {}", left * 4);
        let kept = world.evaluator.board()[0].active_at == active;
        assert_eq!(kept, away <= 60, "{row}: when it began is remembered");
    }
}

#[test]
fn a_run_whose_clock_was_ahead_leaves_no_alert_that_starts_in_the_future() {
    let mut world = World::new(ERRORS);
    world.clock.step_wall(world.start.saturating_add(Duration::from_secs(365 * 86_400)));
    for _ in 0..3 {
        world.round(&[("api", 0.5), ("web", 0.0)]);
        world.pass(15);
    }
    let records = world.evaluator.records();
    assert_eq!(records.iter().filter(|r| r.life.state == AlertState::Firing).count(), 1);

    let clock = HandClock::at(world.start);
    world.clock = clock.clone();
    world.store = Arc::new(MemorySeries::new());
    let settings = EvaluatorSettings::default();
    world.evaluator = World::evaluator(ERRORS, settings, &world.clock, &world.store, &world.topology, &world.meter);
    world.evaluator.restore(records);
    let outcome = world.round(&[("api", 0.5), ("web", 0.5)]);
    assert!(outcome.notices.is_empty(), "told already");
    let api = world.evaluator.board().into_iter().find(|a| a.labels.value("service") == "api").expect("still there");
    assert_eq!((api.state, api.active_at, api.fired_at), (AlertState::Firing, Some(world.start), Some(world.start)));
    world.pass(15);
    let outcome = world.round(&[("api", 0.0), ("web", 0.5)]);
    assert_eq!(told(&outcome), [("api".to_owned(), NoticeState::Resolved)]);
    world.pass(15);
    assert_eq!(told(&world.round(&[("api", 0.0), ("web", 0.5)])), [("web".to_owned(), NoticeState::Firing)]);
}

#[test]
fn alerts_go_on_after_a_restart_where_they_stood() {
    let mut world = World::new(ERRORS);
    let mut records = Vec::new();
    for _ in 0..3 {
        world.round(&[("api", 0.5), ("slow", if world.now() > world.start { 0.5 } else { 0.0 })]);
        records = world.evaluator.records();
        world.pass(15);
    }
    let before: Vec<_> = world.evaluator.board().iter().map(|a| (a.labels.clone(), a.state, a.active_at, a.fired_at)).collect();
    assert_eq!(before.len(), 2);
    let text = serde_json::to_string(&records).expect("writes");
    let records: Vec<AlertRecord> = serde_json::from_str(&text).expect("reads");

    // Ten minutes down; the store is empty afterwards.
    world.pass(600);
    let store = Arc::new(MemorySeries::new());
    world.store = store.clone();
    world.evaluator = World::evaluator(ERRORS, EvaluatorSettings::default(), &world.clock, &store, &world.topology, &world.meter);
    world.evaluator.restore(records);
    let outcome = world.evaluator.tick();
    assert!(outcome.notices.is_empty(), "no data is not recovery: {:?}", outcome.notices);
    let after: Vec<_> = world.evaluator.board().iter().map(|a| (a.labels.clone(), a.state, a.active_at, a.fired_at)).collect();
    assert_eq!(before, after);
    assert!(world.evaluator.board().iter().all(|a| a.unconfirmed), "and nothing says that they still hold");
    // The pending one had fifteen of its thirty seconds behind it; the outage does not count.
    world.pass(15);
    let outcome = world.round(&[("api", 0.5), ("slow", 0.5)]);
    assert_eq!(told(&outcome), [("slow".to_owned(), NoticeState::Firing)], "and the firing one is not told again");
    assert!(world.evaluator.board().iter().all(|a| !a.unconfirmed));
    world.pass(15);
    let outcome = world.round(&[("api", 0.0), ("slow", 0.5)]);
    assert_eq!(told(&outcome), [("api".to_owned(), NoticeState::Resolved)], "data that are back end it at once");
}

#[test]
fn pending_alerts_do_not_outlive_a_long_outage_and_firing_ones_do() {
    let mut world = World::new(ERRORS);
    world.round(&[("api", 0.5), ("web", 0.0)]);
    world.pass(30);
    world.round(&[("api", 0.5), ("web", 0.5)]);
    let records = world.evaluator.records();
    world.pass(7200);
    world.store = Arc::new(MemorySeries::new());
    let settings = EvaluatorSettings::default();
    world.evaluator = World::evaluator(ERRORS, settings, &world.clock, &world.store, &world.topology, &world.meter);
    world.evaluator.restore(records);
    let states: Vec<_> = world.evaluator.board().iter().map(|a| (a.labels.value("service").to_owned(), a.state)).collect();
    assert_eq!(states, [("api".to_owned(), AlertState::Firing)]);
    assert_eq!(world.evaluator.tick().removed.len(), 1);
    assert_eq!(world.idle(19).0, 0);
    assert_eq!(world.idle(1), (1, 1), "data that never come back end it after a while");
}

/// Nobody writes anything down before a crash: what was journaled until then has to do.
#[test]
fn a_crash_costs_no_more_than_a_tenth_of_what_was_waited() {
    const RULES: &str = "groups:\n- name: g\n  interval: 1s\n  rules:\n  \
        - {alert: Waits, expr: 'errors{service=\"api\"} > 0', for: 60s}\n  \
        - {alert: Lingers, expr: 'errors{service=\"web\"} > 0', keep_firing_for: 40s}\n";
    let mut world = World::new(RULES);
    let mut journal = BTreeMap::new();
    for second in 0..30 {
        let outcome = world.round(&[("api", 1.0), ("web", if second == 0 { 1.0 } else { 0.0 })]);
        journal.extend(outcome.changed.into_iter().map(|record| (record.key(), record)));
        world.pass(1);
    }
    world.evaluator = World::evaluator(RULES, EvaluatorSettings::default(), &world.clock, &world.store, &world.topology, &world.meter);
    world.evaluator.restore(journal.into_values().collect());
    let mut after = BTreeMap::new();
    for second in 0..60 {
        for (rule, state) in told_of_rules(&world.round(&[("api", 1.0), ("web", 0.0)])) {
            after.entry((rule, state)).or_insert(second);
        }
        world.pass(1);
    }
    let (fired, resolved) = (after[&("Waits".to_owned(), "firing")], after[&("Lingers".to_owned(), "resolved")]);
    assert!((30..=37).contains(&fired), "{after:?}");
    assert!((10..=16).contains(&resolved), "{after:?}");
}

fn told_of_rules(outcome: &TickOutcome) -> Vec<(String, &'static str)> {
    let word = |state| if state == NoticeState::Firing { "firing" } else { "resolved" };
    outcome.notices.iter().map(|n| (n.labels.value("alertname").to_owned(), word(n.state))).collect()
}
