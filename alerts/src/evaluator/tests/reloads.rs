//! What becomes of alerts when their rules are edited.

use super::*;

/// The rules of another file and group.
fn moved(text: &str) -> Vec<RuleGroup> {
    RuleFile::parse("other.yml", &text.replace("name: g", "name: tidy")).expect("rules parse").groups
}

/// Fires for `api`, and is told.
fn firing() -> World {
    let mut world = World::new(ERRORS);
    for _ in 0..3 {
        world.round(&[("api", 0.5)]);
        world.pass(15);
    }
    assert_eq!(world.evaluator.board()[0].state, AlertState::Firing);
    world
}

/// Everything told in five minutes.
fn five_minutes(world: &mut World, value: f64) -> Vec<(String, NoticeState)> {
    let mut all = Vec::new();
    for _ in 0..20 {
        let outcome = world.round(&[("api", value)]);
        all.extend(told(&outcome));
        world.pass(15);
    }
    all
}

#[test]
fn a_rule_that_is_moved_to_another_group_and_file_goes_on_without_a_word() {
    let mut world = firing();
    let active = world.evaluator.board()[0].active_at;
    world.evaluator.reload(moved(ERRORS));
    assert!(five_minutes(&mut world, 0.5).is_empty());
    assert_eq!((world.evaluator.board()[0].active_at, world.evaluator.board()[0].state), (active, AlertState::Firing));
    assert_eq!(five_minutes(&mut world, 0.0), [("api".to_owned(), NoticeState::Resolved)]);
}

#[test]
fn a_rule_that_was_moved_while_nobody_ran_goes_on_as_well() {
    let mut world = firing();
    let records = world.evaluator.records();
    let clock = Arc::new(world.clock.clone());
    world.evaluator = Evaluator::new(
        EvaluatorSettings::default(),
        moved(ERRORS),
        world.store.clone(),
        world.store.clone(),
        world.topology.clone(),
        clock,
        world.meter.clone(),
    );
    world.evaluator.restore(records);
    assert!(five_minutes(&mut world, 0.5).is_empty());
    assert_eq!(five_minutes(&mut world, 0.0), [("api".to_owned(), NoticeState::Resolved)]);
}

#[test]
fn of_two_rules_with_the_same_alert_one_may_go() {
    let mut world = World::new(ERRORS);
    let both = || groups(ERRORS).into_iter().chain(moved(ERRORS)).collect::<Vec<_>>();
    world.evaluator.reload(both());
    assert_eq!(five_minutes(&mut world, 0.5), [("api".to_owned(), NoticeState::Firing)]);
    for rest in [groups(ERRORS), moved(ERRORS)] {
        world.evaluator.reload(rest);
        assert!(!five_minutes(&mut world, 0.5).contains(&("api".to_owned(), NoticeState::Resolved)));
        world.evaluator.reload(both());
        five_minutes(&mut world, 0.5);
    }
}

#[test]
fn who_was_told_of_an_alert_whose_rule_waits_longer_now_hears_its_end() {
    let mut world = firing();
    world.evaluator.reload(groups(&ERRORS.replace("for: 30s", "for: 1h")));
    assert!(five_minutes(&mut world, 0.5).is_empty());
    assert_eq!(world.evaluator.board()[0].state, AlertState::Pending);
    // Over a restart too.
    let records = world.evaluator.records();
    world.evaluator.reload(groups(&ERRORS.replace("for: 30s", "for: 1h")));
    world.evaluator.restore(records);
    assert_eq!(five_minutes(&mut world, 0.0), [("api".to_owned(), NoticeState::Resolved)]);
    let mut again = firing();
    again.evaluator.reload(groups(&ERRORS.replace("for: 30s", "for: 4m")));
    assert_eq!(five_minutes(&mut again, 0.5), [("api".to_owned(), NoticeState::Firing)], "it has waited long enough");
    assert_eq!(five_minutes(&mut again, 0.0), [("api".to_owned(), NoticeState::Resolved)]);
}

#[test]
fn the_end_of_an_alert_whose_rule_is_gone_says_that_nobody_saw_it() {
    let mut world = firing();
    world.evaluator.reload(Vec::new());
    world.pass(15);
    let outcome = world.round(&[("api", 0.5)]);
    assert_eq!(told(&outcome), [("api".to_owned(), NoticeState::Resolved)]);
    assert!(outcome.notices[0].evidence.surroundings[0].starts_with("nobody saw it end"), "{:?}", outcome.notices[0].evidence);
}
