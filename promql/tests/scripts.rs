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

/// Every statement of the language once, each with a value that matters.
const EVERYTHING: &str = r#"load 1m
    m{a="1"} 1 2 3
    m{a="2"} 5 _ stale
    h {{schema:0 sum:5 count:4 buckets:[1 2 1] counter_reset_hint:gauge}}x2
    starts@st -1m *x4
    starts 60 60 60 60 60

load_with_nhcb 1m
    c_bucket{le="1"} 1
    c_bucket{le="+Inf"} 3
    c_count 3
    c_sum 9

eval instant at 1m m
    m{a="1"} 2
    m{a="2"} 5

eval range from 0 to 2m step 1m m
    m{a="1"} 1 2 3
    m{a="2"} 5 5 _

eval instant at 0m sort_desc(m)
    expect ordered
    m{a="2"} 5
    m{a="1"} 1

eval_ordered instant at 0m sort(m)
    m{a="1"} 1
    m{a="2"} 5

eval instant at 0m "text"
    expect string "text"

eval instant at 1m m{a="1"}[2m]
    expect range vector from 0 to 1m step 1m
    m{a="1"} 1 2

eval instant at 0m 1 + 1
    2

eval instant at 1m h
    h {{schema:0 sum:5 count:4 buckets:[1 2 1] counter_reset_hint:gauge}}

eval instant at 0m c
    c {{schema:-53 sum:9 count:3 custom_values:[1] buckets:[1 2]}}

eval instant at 4m increase(starts[2m])
    {} 120

eval instant at 2m rate(m[3m])
    expect info msg: PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "m" (1:6)
    expect no_warn
    {a="1"} 0.0166666666

eval instant at 0m quantile(2, m)
    expect warn regex: got 2
    expect no_info
    {} +Inf

eval_info instant at 2m rate(m{a="1"}[3m])
    {a="1"} 0.0166666666

eval_warn instant at 0m quantile(NaN, m)
    {} NaN

eval instant at 0m m + on() m
    expect fail msg: found duplicate series for the match group {} on the right hand-side of the operation: [{__name__="m", a="1"}, {__name__="m", a="2"}];many-to-many matching not allowed: matching labels must be unique on one side

eval_fail instant at 0m m + on() m
    expected_fail_regexp duplicate series

eval_fail instant at 0m label_replace(m, "a", "x", "a", ".*")
    expected_fail_message vector cannot contain metrics with the same labelset

clear

eval instant at 0m m
"#;

#[test]
fn every_statement_passes_where_it_is_right() {
    passes("everything", EVERYTHING);
    assert_eq!(script::run(EVERYTHING).passed, EVERYTHING.lines().filter(|line| line.starts_with("eval")).count());
}

/// A runner that skips what it should check would let one of these pass.
#[test]
fn every_statement_fails_where_it_is_wrong() {
    let everything = script::run(EVERYTHING).passed;
    for (right, wrong) in [
        ("eval instant at 1m m\n    m{a=\"1\"} 2", "eval instant at 1m m\n    m{a=\"1\"} 3"),
        ("eval instant at 1m m\n    m{a=\"1\"} 2\n", "eval instant at 1m m\n"),
        ("m{a=\"1\"} 1 2 3\n    m{a=\"2\"} 5 5 _", "m{a=\"1\"} 1 _ 3\n    m{a=\"2\"} 5 5 _"),
        ("m{a=\"2\"} 5 5 _\n", "m{a=\"2\"} 5 5 5\n"),
        ("m{a=\"2\"} 5 5 _\n", "m{a=\"2\"} 5 5\n    nothing _ _ _\n"),
        ("m{a=\"2\"} 5\n    m{a=\"1\"} 1\n", "m{a=\"1\"} 1\n    m{a=\"2\"} 5\n"),
        ("eval_ordered instant at 0m sort(m)", "eval_ordered instant at 0m sort_desc(m)"),
        ("expect string \"text\"", "expect string \"other\""),
        ("expect range vector from 0 to 1m step 1m", "expect range vector from 0 to 1m step 30s"),
        ("1 + 1\n    2", "1 + 1\n    3"),
        (
            "buckets:[1 2 1] counter_reset_hint:gauge}}\n\neval instant at 0m c",
            "buckets:[1 2 1] counter_reset_hint:reset}}\n\neval instant at 0m c",
        ),
        (
            "buckets:[1 2 1] counter_reset_hint:gauge}}\n\neval instant at 0m c",
            "buckets:[1 1 2] counter_reset_hint:gauge}}\n\neval instant at 0m c",
        ),
        (
            "c {{schema:-53 sum:9 count:3 custom_values:[1] buckets:[1 2]}}",
            "c {{schema:-53 sum:9 count:3 custom_values:[2] buckets:[1 2]}}",
        ),
        ("    starts@st -1m *x4\n", ""),
        ("_bucket: \"m\" (1:6)", "_bucket: \"m\" (1:7)"),
        ("_bucket: \"m\" (1:6)", "_bucket: \"n\" (1:6)"),
        ("    expect no_warn\n    {a=\"1\"} 0.0166666666", "    expect warn\n    {a=\"1\"} 0.0166666666"),
        ("expect warn regex: got 2\n    expect no_info", "expect no_warn"),
        ("expect warn regex: got 2", "expect warn regex: got 3"),
        ("eval_info instant at 2m rate(m{a=\"1\"}[3m])", "eval_info instant at 2m idelta(m{a=\"1\"}[3m])"),
        ("eval_warn instant at 0m quantile(NaN, m)\n    {} NaN", "eval_warn instant at 0m quantile(1, m)\n    {} 5"),
        ("[{__name__=\"m\", a=\"1\"}, {__name__=\"m\", a=\"2\"}];", "[];"),
        ("eval_fail instant at 0m m + on() m", "eval_fail instant at 0m m + m"),
        ("expected_fail_regexp duplicate series", "expected_fail_regexp triplicate series"),
        ("expected_fail_message vector cannot", "expected_fail_message a vector cannot"),
        ("clear\n\neval instant at 0m m\n", "eval instant at 0m m\n"),
    ] {
        let mutated = EVERYTHING.replacen(right, wrong, 1);
        assert_ne!(mutated, EVERYTHING, "{right} is no part of the script");
        let report = script::run(&mutated);
        assert!(report.problems.is_empty(), "{wrong}: {:?}", report.problems);
        assert_eq!((report.passed, report.failed), (everything - 1, 1), "{wrong}: {:?}", report.failures);
    }
}

#[test]
fn annotations_may_be_expected_without_their_position() {
    let report = script::run(
        "load 1m\n  m 1\n\neval instant at 0m quantile(2, m)\n  expect warn msg: PromQL warning: quantile value should be between 0 and 1, got 2\n  {} +Inf\n",
    );
    assert_eq!((report.passed, report.failed), (1, 0), "{:?}", report.failures);
}

#[test]
fn a_series_described_twice_counts_as_described_last() {
    let report = script::run("load 1m\n  m 1\n  m 2\n\neval instant at 0m m\n  m 2\n");
    assert_eq!((report.passed, report.failed), (1, 0), "{:?}", report.failures);
}

#[test]
fn start_timestamps_belong_to_the_samples_that_follow() {
    let increase = "eval instant at 4m increase(m[2m])\n  {} 120\n";
    for load in ["m@st -1mx4\n  m 60x4", "@st -1m\n  m 60x4", "m@st -1m *x4\n  m 60x4"] {
        let report = script::run(&format!("load 1m\n  {load}\n\n{increase}"));
        assert_eq!((report.passed, report.failed), (1, 0), "{load}: {:?}", report.failures);
    }
    for bad in ["m@st -1m\n  m 60x2", "m@st -1mx2", "m@st -1mx2\n  n 60x2"] {
        assert_eq!(script::run(&format!("load 1m\n  {bad}\n")).problems.len(), 1, "{bad}");
    }
}
