//! Alerts that share a cause which has no alert of its own: one of them speaks for all, to somebody, and loud enough.

use super::audience::Deaf;
use super::*;

const RULES: &str = r#"
groups:
  - name: g
    interval: 15s
    rules:
      - {alert: Degraded, expr: 'degraded > 0', labels: {severity: warning}}
      - {alert: Errors, expr: 'errors > 0.05', labels: {severity: critical}}
"#;

fn line_to_db() -> World {
    let world = World::new(RULES);
    line(&world, &["web".to_owned(), "api".to_owned(), "db".to_owned()]);
    world
}

/// Alert, service and severity of what people are told.
fn pages(outcome: &TickOutcome) -> Vec<(String, String, Severity)> {
    let pages = outcome.notices.iter().filter(|n| n.cause.is_none() && n.state == NoticeState::Firing);
    pages.map(|n| (n.name().to_owned(), n.labels.value("service").to_owned(), n.severity)).collect()
}

/// Whose pages come when, in seconds, where each of these services fails for so many rounds of `step` seconds.
fn paged(world: &mut World, step: u64, rounds: u64, failing: &[(&'static str, u64)]) -> Vec<(u64, String)> {
    let mut heard = Vec::new();
    for round in 0..rounds {
        let errors: Vec<_> = failing.iter().map(|(service, until)| (*service, if round < *until { 0.5 } else { 0.0 })).collect();
        heard.extend(pages(&world.round(&errors)).into_iter().map(|(_, service, _)| (round * step, service)));
        world.pass(step);
    }
    heard
}

fn named(pages: &[(u64, &str)]) -> Vec<(u64, String)> {
    pages.iter().map(|(at, service)| (*at, (*service).to_owned())).collect()
}

#[test]
fn a_warning_that_was_told_before_keeps_no_critical_alert_quiet() {
    // The warning comes first, while nothing is known of the database; then both at once, when its probe is down already.
    for told_before in [true, false] {
        let mut world = line_to_db();
        let down = vec![("db".to_owned(), "connection refused".to_owned())];
        if !told_before {
            *world.topology.unhealthy.lock() = down.clone();
        }
        world.set(&[("__name__", "degraded"), ("service", "api")], 1.0);
        let mut heard = pages(&world.round(&[]));
        *world.topology.unhealthy.lock() = down;
        for _ in 0..8 {
            world.pass(15);
            world.set(&[("__name__", "degraded"), ("service", "api")], 1.0);
            heard.extend(pages(&world.round(&[("api", 0.5), ("web", 0.5)])));
        }
        let warning = ("Degraded".to_owned(), "api".to_owned(), Severity::Warning);
        let critical = ("Degraded".to_owned(), "api".to_owned(), Severity::Critical);
        assert_eq!(heard, if told_before { vec![warning, critical] } else { vec![critical] });
    }
}

#[test]
fn who_speaks_for_all_is_somebody_who_is_heard() {
    let deaf = Arc::new(Deaf::default());
    deaf.0.lock().push("api");
    let mut world = line_to_db();
    world.evaluator.audience = Some(deaf.clone());
    *world.topology.unhealthy.lock() = vec![("db".to_owned(), "connection refused".to_owned())];
    let mut heard = Vec::new();
    for round in 0..12 {
        let spoken = pages(&world.round(&[("api", 0.5), ("web", 0.5)]));
        heard.extend(spoken.into_iter().filter(|(_, service, _)| service != "api").map(|(_, service, _)| (round * 15, service)));
        world.pass(15);
    }
    assert_eq!(heard, [(30, "web".to_owned())], "after the wait for a critical alert");
    // Nobody hears of any: then the nearest is the one that would be told.
    deaf.0.lock().push("web");
    let mut world = line_to_db();
    world.evaluator.audience = Some(deaf);
    *world.topology.unhealthy.lock() = vec![("db".to_owned(), "connection refused".to_owned())];
    let mut spoken = Vec::new();
    for _ in 0..12 {
        spoken.extend(pages(&world.round(&[("api", 0.5), ("web", 0.5)])));
        world.pass(15);
    }
    assert_eq!(spoken.into_iter().map(|(_, service, _)| service).collect::<Vec<_>>(), ["api"]);
}

/// A check finds the database down. Where no rule looks at checks nothing more is to be expected after two evaluations; where one does, its alert is
/// awaited as long as any, and speaks for all.
#[test]
fn a_check_of_which_no_rule_tells_is_waited_for_no_longer_than_rules_take_to_see_it() {
    let down = "      - {alert: Down, expr: 'probe_success == 0', for: 20s, labels: {severity: critical}}";
    for (rule, expected) in [("", (10, "api")), (down, (20, "db"))] {
        let mut world = World::new(&(RULES.replace("15s", "5s") + rule));
        line(&world, &["web".to_owned(), "api".to_owned(), "db".to_owned()]);
        *world.topology.unhealthy.lock() = vec![("db".to_owned(), "connection refused".to_owned())];
        let mut heard = Vec::new();
        for round in 0..12 {
            world.set(&[("__name__", "probe_success"), ("service", "db")], 0.0);
            let spoken = pages(&world.round(&[("api", 0.5), ("web", 0.5)]));
            heard.extend(spoken.into_iter().map(|(_, service, _)| (round * 5, service)));
            world.pass(5);
        }
        assert_eq!(heard, [(expected.0, expected.1.to_owned())], "with the rule {rule:?}");
    }
}

/// Two services say that their database is unhealthy, which no rule can alert on: one page, without a wait for another, and one more for who is still
/// failing a while after the database is well.
#[test]
fn a_dependency_of_which_health_bodies_speak_gives_one_page_at_once() {
    let mut world = World::new(RULES);
    *world.topology.edges.lock() = ["web", "api"].map(|service| (service.to_owned(), "orders".to_owned(), None)).to_vec();
    let said_by = vec!["api".to_owned(), "web".to_owned()];
    let reason = "say the health checks of api and web".to_owned();
    *world.topology.said.lock() = vec![Unhealthy { name: "orders".into(), reason, said_by, ..Unhealthy::default() }];
    let mut heard = Vec::new();
    for round in 0..16_u64 {
        if round == 4 {
            world.topology.said.lock().clear();
        }
        let outcome = world.round(&[("api", if round < 5 { 0.5 } else { 0.0 }), ("web", 0.5)]);
        for notice in outcome.notices.iter().filter(|n| n.cause.is_none() && n.state == NoticeState::Firing) {
            let suspected = notice.evidence.surroundings.first().cloned().unwrap_or_default();
            heard.push((round * 15, notice.labels.value("service").to_owned(), suspected));
        }
        world.pass(15);
    }
    let reason = "suspected cause: orders, 1 call away, is unhealthy, say the health checks of api and web".to_owned();
    assert_eq!(heard, [(0, "api".to_owned(), reason), (90, "web".to_owned(), String::new())]);
}

/// The one that spoke for all ends first, and the others a moment later: nobody is told anew. One that goes on speaks after a while.
#[test]
fn whose_speaker_has_ended_is_given_the_time_to_end_as_well() {
    for (until, expected) in [(4, &[(0, "api")][..]), (16, &[(0, "api"), (75, "web")])] {
        let mut world = World::new(RULES);
        *world.topology.edges.lock() = ["web", "api"].map(|service| (service.to_owned(), "orders".to_owned(), None)).to_vec();
        let (said_by, reason) = (vec!["api".to_owned(), "web".to_owned()], "say others".to_owned());
        *world.topology.said.lock() = vec![Unhealthy { name: "orders".into(), reason, said_by, ..Unhealthy::default() }];
        let heard = paged(&mut world, 15, 16, &[("api", 3), ("web", until)]);
        assert_eq!(heard, named(expected), "until round {until}");
    }
}

/// Each that follows the cause late must not buy the next one its whole time again: since the cause has ended, nobody is told of anything.
#[test]
fn victims_that_end_one_after_another_keep_the_last_one_no_longer_quiet() {
    let rules = RULES.replace("critical", "warning");
    let mut world = World::new(&rules);
    line(&world, &["web".to_owned(), "api".to_owned(), "db".to_owned()]);
    let heard = paged(&mut world, 15, 16, &[("db", 2), ("api", 5), ("web", 16)]);
    assert_eq!(heard, [(0, "db".to_owned()), (90, "web".to_owned())], "a minute after the database recovered");
}

/// The rule looks back for two minutes, so the alert is there as long after its cause has ended: nobody is told of what is over. What is wrong beyond
/// that is told.
#[test]
fn an_alert_is_given_the_time_that_its_rule_looks_back_to_follow_its_cause() {
    let rules = RULES.replace("'errors > 0.05'", "'max_over_time(errors[2m]) > 0.05'");
    for (until, expected) in [(4, &[(0, "db")][..]), (24, &[(0, "db"), (300, "api")])] {
        let mut world = World::new(&rules);
        line(&world, &["api".to_owned(), "db".to_owned()]);
        let heard = paged(&mut world, 15, 24, &[("db", 4), ("api", until)]);
        assert_eq!(heard, named(expected), "until round {until}");
    }
}

/// The calls that failed while the cause fired are counted for a while: that nothing but they speak of it any more makes its victim no page of its own.
#[test]
fn calls_that_failed_until_the_cause_ended_tell_of_nothing_new() {
    let rules = RULES.replace("critical", "warning").replace("15s", "5s");
    for (until, expected) in [(8, &[(0, "db")][..]), (30, &[(0, "db"), (80, "api")])] {
        let mut world = World::new(&rules);
        *world.topology.edges.lock() = vec![("api".to_owned(), "db".to_owned(), Some(0.5))];
        world.set(&[("__name__", "traces_span_metrics_calls_total"), ("service_name", "db")], 1.0);
        let heard = paged(&mut world, 5, 30, &[("db", 4), ("api", until)]);
        assert_eq!(heard, named(expected), "until round {until}");
    }
}
