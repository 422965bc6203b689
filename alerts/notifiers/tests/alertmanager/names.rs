//! Label names beyond letters, digits and `_`, which Alertmanager has since 0.27.

use watchfire_model::Labels;
use watchfire_notifiers::routing::Routing;

const FILE: &str = r#"
route:
  receiver: all
  group_by: ['my.label']
  routes:
  - {receiver: matchers, matchers: ['{"my.label"="x"}'], continue: true}
  - {receiver: bare, matchers: ['my.label=~x|y', 'zürich!=2'], continue: true}
  - {receiver: match, match: {my.label: x}, continue: true}
  - {receiver: match_re, match_re: {my.label: 'x|y'}, continue: true}
  - {receiver: spaced, matchers: ['"a, \"b\""="c}"'], continue: true}
receivers: [{name: all}, {name: matchers}, {name: bare}, {name: match}, {name: match_re}, {name: spaced}]
inhibit_rules:
- {source_matchers: ['"my.kind"="a"'], target_matchers: ['my.kind=b'], equal: ['my.label']}
"#;

#[test]
fn names_of_any_text_are_taken_wherever_a_name_stands_and_told_again() {
    let routing = Routing::from_alertmanager_yml(FILE).unwrap_or_else(|e| panic!("{e}"));
    let told = routing.to_alertmanager_yml();
    let again = Routing::from_alertmanager_yml(&told).unwrap_or_else(|e| panic!("{e}\n{told}"));
    assert_eq!(again.to_alertmanager_yml(), told);
    for (labels, expected) in [
        (vec![("my.label", "x")], "matchers bare match match_re"),
        (vec![("my.label", "y"), ("zürich", "1")], "bare match_re"),
        (vec![("my.label", "y"), ("zürich", "2")], "match_re"),
        (vec![("a, \"b\"", "c}")], "spaced"),
        (vec![("my_label", "x")], "all"),
    ] {
        let labels = Labels::from_pairs(labels);
        for routing in [&routing, &again] {
            let groups = routing.explain(&labels).groups;
            let names: Vec<&str> = groups.iter().map(|(receiver, _)| receiver.as_str()).collect();
            assert_eq!(names.join(" "), expected, "{labels}");
            assert!(groups.iter().all(|(_, by)| by.value("my.label") == labels.value("my.label")), "{groups:?}");
        }
    }
}
