//! Our own test scripts, and what the runner says when a script is wrong.

use watchfire_promql::script;

fn passes(name: &str, text: &str) {
    let report = script::run(text);
    let told: Vec<String> =
        report.failures.iter().chain(&report.problems).map(|f| format!("{name}:{}: {}\n    {}", f.line, f.subject, f.message)).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    assert!(report.passed > 0, "{name} evaluates nothing");
}

macro_rules! scripts {
    ($($test:ident: $file:literal,)*) => {
        $(#[test]
        fn $test() {
            passes($file, include_str!(concat!("scripts/", $file)));
        })*
    };
}

scripts! {
    selectors_pick_samples: "selectors.test",
    rates_extrapolate_and_correct_resets: "rates.test",
    aggregations_group_and_rank: "aggregations.test",
    operators_match_labels: "operators.test",
    histograms_of_all_kinds_are_computed: "histograms.test",
    functions_transform_samples_and_labels: "functions.test",
}

#[test]
fn a_wrong_expectation_is_a_failure_with_its_line() {
    let report = script::run("load 1m\n  m 1\n\neval instant at 0m m\n  m 2\n\neval instant at 0m m\n  m 1\n");
    assert_eq!((report.passed, report.failed), (1, 1));
    assert_eq!(report.failures[0].line, 4);
    assert!(report.failures[0].message.contains("expected 2"), "{}", report.failures[0].message);
}

#[test]
fn missing_and_unexpected_series_are_failures() {
    let report = script::run("load 1m\n  m{a=\"1\"} 1\n\neval instant at 0m m\n  m{a=\"2\"} 1\n\neval instant at 0m m\n");
    assert_eq!((report.passed, report.failed), (0, 2));
}

#[test]
fn annotations_that_are_not_expected_are_failures_where_none_may_be() {
    let report = script::run("load 1m\n  m 1 2 3\n\neval instant at 2m rate(m[3m])\n  expect no_info\n  {} 0.0166666\n");
    assert_eq!((report.passed, report.failed), (0, 1));
}

#[test]
fn a_bad_script_costs_only_its_bad_lines() {
    let report = script::run(
        "bogus\nload nonsense\n  m 1\n\nload 1m\n  m 1 {{broken\n\nload 1m\n  m 1\n\neval sometimes m\n\neval instant at 0m m +\n\neval instant at 0m m\n  m 1\n",
    );
    assert_eq!((report.passed, report.failed, report.problems.len()), (1, 2, 3));
}
