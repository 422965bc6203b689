//! Alerts that no fault elsewhere explains.

use super::*;

const RULES: &str = r#"
groups:
  - name: g
    interval: 15s
    rules:
      - {alert: Errors, expr: 'errors > 0.05', labels: {severity: critical}}
      - {alert: Flooded, expr: 'requests > 1000', labels: {severity: warning}, annotations: {independent: "true"}}
      - {alert: Busy, expr: 'requests > 1000', labels: {severity: warning}, annotations: {independent: "no"}}
"#;

#[test]
fn what_is_independent_is_told_beside_a_fault_of_what_its_service_calls() {
    let mut world = World::new(RULES);
    line(&world, &["web".to_owned(), "db".to_owned()]);
    world.round(&[("db", 1.0)]);
    world.pass(15);
    world.set(&[("__name__", "requests"), ("service", "web")], 1200.0);
    let outcome = world.round(&[("db", 1.0)]);
    let spoken: Vec<(&str, bool)> = outcome.notices.iter().map(|n| (n.name(), n.cause.is_none())).collect();
    assert!(spoken.contains(&("Flooded", true)) && spoken.contains(&("Busy", false)), "{spoken:?}");
}
