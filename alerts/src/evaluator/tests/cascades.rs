//! Faults that spread along calls: one page for each cause.

use super::*;

fn services(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("s{i:02}")).collect()
}

#[test]
fn a_cascade_over_twenty_services_is_one_page_and_an_unrelated_fault_is_one_more() {
    let mut world = World::new(ERRORS);
    let names = services(20);
    line(&world, &names);
    let mut pages = Vec::new();
    let mut held_back = BTreeSet::new();
    let mut known = Vec::new();
    // The fault is in s19; it reaches one caller after the other, four per evaluation.
    for round in 0..12_usize {
        let errors: Vec<(&str, f64)> =
            names.iter().enumerate().map(|(i, n)| (n.as_str(), if round * 4 + i >= 19 { 0.5 } else { 0.0 })).collect();
        let outcome = world.round(&errors);
        held_back.extend(held(&outcome));
        pages.extend(told(&outcome));
        let of_root = outcome.refreshed.iter().filter(|n| n.labels.value("service") == "s19");
        known.extend(of_root.map(|n| n.evidence.dependents.len()));
        if round == 9 {
            world.set(&[("__name__", "errors"), ("service", "elsewhere")], 1.0);
        }
        world.pass(15);
    }
    assert_eq!(pages, [("s19".to_owned(), NoticeState::Firing),], "before the second fault has lasted for 30 s");
    assert_eq!(held_back.len(), 19);
    assert_eq!(known.last(), Some(&19), "a page that is still waiting, or is repeated, names them all");
    let board = world.evaluator.board();
    let root = board.iter().find(|a| a.labels.value("service") == "s19").expect("the root");
    assert_eq!(root.evidence.as_ref().map(|e| e.dependents.len()), Some(19));
    let leaf = board.iter().find(|a| a.labels.value("service") == "s00").expect("a leaf");
    let cause = leaf.cause.as_ref().expect("has a cause");
    assert_eq!((cause.alert.as_str(), cause.service.as_str()), ("Errors", "s19"));
    assert!(cause.reason.starts_with("s19, 19 calls away, fires since "), "{}", cause.reason);
    let errors: Vec<(&str, f64)> = names.iter().map(|n| (n.as_str(), 0.5)).chain([("elsewhere", 1.0)]).collect();
    let outcome = world.round(&errors);
    assert_eq!(told(&outcome), [("elsewhere".to_owned(), NoticeState::Firing)]);
}

#[test]
fn victims_that_fire_before_their_cause_wait_for_it_and_count_as_its_dependents() {
    let rules = r#"
groups:
  - name: g
    interval: 15s
    rules:
      - {alert: Slow, expr: 'errors{service!="db"} > 0.05', labels: {severity: warning}}
      - {alert: Down, expr: 'errors{service="db"} > 0.05', for: 45s, labels: {severity: critical}}
"#;
    let mut world = World::new(rules);
    let names = ["web".to_owned(), "api".to_owned(), "db".to_owned()];
    line(&world, &names);
    let mut pages = Vec::new();
    for _ in 0..4 {
        let outcome = world.round(&[("web", 0.5), ("api", 0.5), ("db", 0.5)]);
        pages.extend(outcome.notices.into_iter().filter(|n| n.cause.is_none()));
        world.pass(15);
    }
    assert_eq!(pages.len(), 1);
    assert_eq!((pages[0].name(), pages[0].evidence.dependents.as_slice()), ("Down", &["api".to_owned(), "web".to_owned()][..]));
}

#[test]
fn a_suspected_cause_that_never_fires_costs_one_page_for_all_its_victims() {
    let rules = r#"
groups:
  - name: g
    interval: 15s
    rules:
      - {alert: Slow, expr: 'errors{service!="db"} > 0.05', labels: {severity: warning}}
      - {alert: Down, expr: 'errors{service="db"} > 0.05', for: 1h, labels: {severity: critical}}
"#;
    let mut world = World::new(rules);
    line(&world, &["web".to_owned(), "api".to_owned(), "db".to_owned()]);
    let mut pages = Vec::new();
    for round in 0..10 {
        let outcome = world.round(&[("web", 0.5), ("api", 0.5), ("db", 0.5)]);
        pages.extend(outcome.notices.iter().filter(|n| n.cause.is_none()).map(|n| (round * 15, n.labels.value("service").to_owned())));
        world.pass(15);
    }
    assert_eq!(pages, [(60, "api".to_owned())], "the victim nearest to the suspect speaks after the hold");
    let mut then = Vec::new();
    for round in 0..6 {
        let outcome = world.round(&[("web", 0.5), ("api", 0.0), ("db", 0.5)]);
        then.extend(told(&outcome).into_iter().map(|(service, state)| (round * 15, service, state)));
        world.pass(15);
    }
    let expected = [(0, "api".to_owned(), NoticeState::Resolved), (60, "web".to_owned(), NoticeState::Firing)];
    assert_eq!(then, expected, "the next one takes over, unless it ends about then as well");
}

#[test]
fn when_the_cause_recovers_and_the_victim_does_not_the_victim_notifies() {
    let mut world = World::new(ERRORS);
    line(&world, &["web".to_owned(), "db".to_owned()]);
    for _ in 0..3 {
        world.round(&[("web", 0.5), ("db", 0.5)]);
        world.pass(15);
    }
    let outcome = world.round(&[("web", 0.5), ("db", 0.0)]);
    assert_eq!(told(&outcome), [("db".to_owned(), NoticeState::Resolved)]);
    world.pass(15);
    assert!(told(&world.round(&[("web", 0.5), ("db", 0.0)])).is_empty(), "it is given the time to follow");
    world.pass(15);
    assert_eq!(told(&world.round(&[("web", 0.5), ("db", 0.0)])), [("web".to_owned(), NoticeState::Firing)]);
    // And one that does follow is never told of.
    let mut world = World::new(ERRORS);
    line(&world, &["web".to_owned(), "db".to_owned()]);
    let mut pages = Vec::new();
    for errors in [0.5, 0.5, 0.5, 0.0] {
        let outcome = world.round(&[("web", 0.5), ("db", errors)]);
        pages.extend(told(&outcome));
        world.pass(15);
    }
    let outcome = world.round(&[("web", 0.0), ("db", 0.0)]);
    assert_eq!(held(&outcome), ["web"]);
    assert!(told(&outcome).is_empty());
}

#[test]
fn a_probe_is_a_cause_and_a_cause_speaks_as_loud_as_what_it_silences() {
    let mut world = World::new(ERRORS);
    line(&world, &["web".to_owned(), "api".to_owned(), "db".to_owned()]);
    *world.topology.unhealthy.lock() = vec![("db".to_owned(), "connection refused".to_owned())];
    let mut pages = Vec::new();
    for _ in 0..6 {
        let outcome = world.round(&[("web", 0.5), ("api", 0.5)]);
        pages.extend(outcome.notices.into_iter().filter(|n| n.cause.is_none()));
        world.pass(15);
    }
    assert_eq!(pages.len(), 1);
    assert_eq!(pages[0].labels.value("service"), "api");
    assert!(pages[0].evidence.surroundings[0].contains("connection refused"), "{:?}", pages[0].evidence.surroundings);
    assert_eq!(pages[0].evidence.dependents, ["web"]);

    let rules = r#"
groups:
  - name: g
    interval: 15s
    rules:
      - {alert: Slow, expr: 'errors{service="db"} > 0.05', labels: {severity: warning}}
      - {alert: Down, expr: 'errors{service="web"} > 0.05', labels: {severity: critical}}
"#;
    let mut world = World::new(rules);
    line(&world, &["web".to_owned(), "db".to_owned()]);
    let outcome = world.round(&[("db", 0.5), ("web", 0.0)]);
    assert_eq!(outcome.notices[0].severity, Severity::Warning);
    world.pass(15);
    let outcome = world.round(&[("db", 0.5), ("web", 0.5)]);
    let again: Vec<_> = outcome.notices.iter().filter(|n| n.cause.is_none()).collect();
    assert_eq!((again.len(), again[0].labels.value("service"), again[0].severity), (1, "db", Severity::Critical));
}
