//! Who answers for an alert.

use super::*;

const RULES: &str = r#"
groups:
  - name: g
    interval: 15s
    rules:
      - {alert: Errors, expr: errors > 0.05}
      - {alert: Said, expr: errors > 0.05, annotations: {owner: "Night Watch"}}
"#;

#[test]
fn the_owner_of_the_service_answers_where_the_rule_names_nobody() {
    let mut world = World::new(RULES);
    world.topology.owners.lock().push(("cart".to_owned(), "Order Team".to_owned()));
    let outcome = world.round(&[("cart", 1.0), ("stranger", 1.0)]);
    let mut owners: Vec<(&str, &str, Option<&str>)> =
        outcome.notices.iter().map(|n| (n.name(), n.labels.value("service"), n.annotations.get("owner"))).collect();
    owners.sort_unstable();
    let expected = [
        ("Errors", "cart", Some("Order Team")),
        ("Errors", "stranger", None),
        ("Said", "cart", Some("Night Watch")),
        ("Said", "stranger", Some("Night Watch")),
    ];
    assert_eq!(owners, expected);
}
