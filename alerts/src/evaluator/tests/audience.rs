//! Nobody is kept quiet by a cause of which nobody hears.

use super::*;

const RULES: &str = r#"
groups:
  - name: g
    interval: 15s
    rules:
      - {alert: Full, expr: 'errors{service="db"} > 0.05', labels: {severity: warning}}
      - {alert: Errors, expr: 'errors{service!="db"} > 0.05', labels: {severity: critical}}
"#;

/// Everybody hears of everything, but for these services.
#[derive(Default)]
pub(super) struct Deaf(pub(super) Mutex<Vec<&'static str>>);

impl Audience for Deaf {
    fn hears(&self, fingerprint: &str, labels: &Labels, _severity: Severity) -> bool {
        assert_eq!(fingerprint, crate::fingerprint(labels));
        !self.0.lock().iter().any(|service| *service == labels.value("service"))
    }
}

/// Seconds, services and suspected causes of what people are told within three minutes in which all of three services fail.
fn told_within_three_minutes(deaf: &Deaf, world: &mut World) -> Vec<(usize, String, Vec<String>)> {
    let mut told = Vec::new();
    for round in 0..12 {
        let outcome = world.round(&[("web", 0.5), ("api", 0.5), ("db", 0.5)]);
        let audible = outcome.notices.into_iter().filter(|n| n.cause.is_none() && deaf.hears(&n.fingerprint, &n.labels, n.severity));
        told.extend(audible.map(|n| (round * 15, n.labels.value("service").to_owned(), n.evidence.surroundings)));
        world.pass(15);
    }
    told
}

fn world(deaf: &Arc<Deaf>) -> World {
    let mut world = World::new(RULES);
    line(&world, &["web".to_owned(), "api".to_owned(), "db".to_owned()]);
    world.evaluator.audience = Some(deaf.clone());
    world
}

#[test]
fn the_victim_nearest_to_a_cause_that_nobody_hears_speaks_for_all() {
    let deaf = Arc::new(Deaf::default());
    deaf.0.lock().push("db");
    let mut world = world(&deaf);
    let told = told_within_three_minutes(&deaf, &mut world);
    let [(30, service, near)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(service, "api");
    assert!(near[0].starts_with("suspected cause: db, 1 call away, fires since "), "{near:?}");
    assert!(near[0].ends_with(", of which nobody is told"), "{near:?}");
    assert_eq!(world.evaluator.board().iter().filter(|a| a.cause.is_some()).count(), 1);
}

#[test]
fn a_cause_that_falls_silent_hands_over_and_one_whose_victims_are_as_silent_stays_theirs() {
    let deaf = Arc::new(Deaf::default());
    let mut heard = world(&deaf);
    assert_eq!(told_within_three_minutes(&deaf, &mut heard).iter().map(|(_, service, _)| service.as_str()).collect::<Vec<_>>(), ["db"]);
    deaf.0.lock().push("db");
    assert_eq!(told_within_three_minutes(&deaf, &mut heard).len(), 1, "api");
    deaf.0.lock().extend(["api", "web"]);
    let mut silent = world(&deaf);
    assert!(told_within_three_minutes(&deaf, &mut silent).is_empty());
    assert_eq!(silent.evaluator.board().iter().filter(|a| a.cause.is_some()).count(), 2);
}
