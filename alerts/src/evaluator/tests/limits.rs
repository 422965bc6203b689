//! More alerts than are allowed.

use super::*;

const RULES: &str = "groups: [{name: g, interval: 15s, rules: [{alert: A, expr: errors > 0}, {alert: B, expr: errors > 0}]}]";

fn services(outcome: &TickOutcome, rule: &str) -> Vec<String> {
    let mut found: Vec<String> =
        outcome.notices.iter().filter(|n| n.name() == rule).map(|n| n.labels.value("service").to_owned()).collect();
    found.sort();
    found
}

#[test]
fn known_alerts_go_on_and_new_ones_beyond_the_limit_are_refused_and_counted() {
    let settings = EvaluatorSettings { alerts_per_rule: 2, cause: no_grouping(), ..EvaluatorSettings::default() };
    let mut world = World::with(RULES, settings);
    let outcome = world.round(&[("m", 1.0)]);
    assert_eq!(services(&outcome, "A"), ["m"]);
    world.pass(15);
    // Three more come; one of them finds room, the first by name, and who was known stays.
    let outcome = world.round(&[("m", 1.0), ("a", 1.0), ("b", 1.0), ("z", 1.0)]);
    assert_eq!(services(&outcome, "A"), ["a"]);
    let refused = world.meter.counter("watchfire_alerts_refused_total", &[("reason", "alerts_per_rule")]);
    assert_eq!(refused.get(), 4, "two of each rule");
    let rule = world.evaluator.groups()[0].rules[0].clone();
    assert_eq!((rule.health, rule.refused), (RuleHealth::Ok, 2));
    assert_eq!(rule.warnings, ["2 new alerts refused: limits.rules.alerts_per_rule is 2"]);
    // When one ends, the next is taken up.
    world.pass(15);
    let outcome = world.round(&[("m", 0.0), ("a", 1.0), ("b", 1.0), ("z", 1.0)]);
    let mut told: Vec<(String, NoticeState)> = told(&outcome);
    told.sort_by(|a, b| a.0.cmp(&b.0));
    told.dedup();
    assert_eq!(told, [("b".to_owned(), NoticeState::Firing), ("m".to_owned(), NoticeState::Resolved)]);
}

#[test]
fn all_rules_together_have_a_limit_too() {
    let settings = EvaluatorSettings { alerts: 3, cause: no_grouping(), ..EvaluatorSettings::default() };
    let mut world = World::with(RULES, settings);
    let outcome = world.round(&[("a", 1.0), ("b", 1.0)]);
    assert_eq!(services(&outcome, "A"), ["a", "b"]);
    assert_eq!(services(&outcome, "B"), ["a"]);
    assert_eq!(world.meter.counter("watchfire_alerts_refused_total", &[("reason", "alerts")]).get(), 1);
}

/// Two rules on one service would be one fault.
fn no_grouping() -> crate::cause::CauseSettings {
    crate::cause::CauseSettings { same_service: Duration::ZERO, ..crate::cause::CauseSettings::default() }
}
