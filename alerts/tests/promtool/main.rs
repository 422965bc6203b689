//! Verdicts compared with promtool itself, where it is installed (`apt-get install prometheus`).

mod files;
mod random_templates;
mod templates;

use std::path::Path;
use std::process::Command;
use watchfire_alerts::{DiskFiles, RuleFiles, TestOptions, test};

fn promtool() -> bool {
    let present = Command::new("promtool").arg("--version").output().is_ok();
    if !present {
        println!("skipped: promtool is not installed (apt-get install --no-install-recommends prometheus)");
    }
    present
}

/// Exit code and all output.
fn run(args: &[&str], dir: &Path) -> (i32, String) {
    let output = Command::new("promtool").args(args).current_dir(dir).output().expect("promtool runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), text)
}

/// Runs promtool once over many files; for each, what stands behind its success (`3 rules found`), or `None` where it failed.
fn verdicts(args: &[&str], texts: &[&str]) -> Vec<Option<String>> {
    let dir = tempfile::tempdir().expect("a directory");
    let names: Vec<String> = (0..texts.len()).map(|i| format!("{i}.yml")).collect();
    for (name, text) in names.iter().zip(texts) {
        std::fs::write(dir.path().join(name), text).expect("writes");
    }
    let output = Command::new("promtool").args(args).args(&names).current_dir(dir.path()).output().expect("promtool runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let mut found = vec![None; texts.len()];
    let mut at = 0;
    for line in said.lines() {
        if let Some(name) = line.strip_prefix("Checking ").or_else(|| line.strip_prefix("Unit Testing:  ")) {
            at = name.trim_end_matches(".yml").parse().expect("the name of a case");
        } else if let Some(what) = line.trim().strip_prefix("SUCCESS") {
            found[at] = Some(what.trim_start_matches(": ").trim_end_matches(" rules found").to_owned());
        }
    }
    found
}

/// The inverse of how labels are written, which is as Go writes strings.
fn unquote(quoted: &str) -> String {
    let mut out = String::new();
    let mut chars = quoted.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(quoted).chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, false) => out.push(c),
            _ => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(kind @ ('x' | 'u' | 'U')) => {
                    let length = if kind == 'x' {
                        2
                    } else if kind == 'u' {
                        4
                    } else {
                        8
                    };
                    let digits: String = chars.by_ref().take(length).collect();
                    out.extend(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32));
                }
                Some(c) => out.push(c),
                None => {}
            },
        }
    }
    out
}

const RULES: &str = r#"
groups:
- name: example
  interval: 5m
  rules:
  - alert: InstanceDown
    expr: up == 0
    for: 5m
    labels: {severity: page}
    annotations: {summary: "Instance {{ $labels.instance }} down", description: "{{ $labels.instance }} of job {{ $labels.job }} has been down for more than 5 minutes."}
  - alert: AlwaysFiring
    expr: 1
  - alert: Kept
    expr: up{job="kept"} == 0
    keep_firing_for: 3m
  - alert: Silent
    expr: up{job="kept"} == 0
    annotations: {owner: '{{ $labels.team }}'}
- name: second
  rules:
  - {record: 'job:up:sum', expr: 'sum(up) by (job)'}
  - {record: 'job:up:double', expr: 'job:up:sum * 2'}
  - {alert: FromRecord, expr: 'job:up:double > 2'}
"#;

#[test]
fn test_rules_agrees_with_promtool() {
    if !promtool() {
        return;
    }
    let head = "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n";
    let input = "- interval: 1m\n  input_series:\n  - {series: 'up{job=\"prometheus\", instance=\"localhost:9090\"}', values: '0x14'}\n  - {series: 'up{job=\"node\", instance=\"n\"}', values: '1+0x6 0 0 0 0 0 0 0 0'}\n  - {series: 'up{job=\"kept\"}', values: '0 0 1 1 1 1 1 1'}\n  - {series: 'gap', values: '1 _ 3 stale 5 _x3 9'}\n";
    let fast = "- interval: 30s\n  input_series: [{series: c, values: '0+1x60'}]\n";
    let down = "      exp_labels: {severity: page, instance: 'localhost:9090', job: prometheus}\n      exp_annotations: {summary: 'Instance localhost:9090 down', description: 'localhost:9090 of job prometheus has been down for more than 5 minutes.'}\n";
    let alert = |time: &str, name: &str, expected: &str| {
        format!("{head}{input}  alert_rule_test:\n  - eval_time: {time}\n    alertname: {name}\n    exp_alerts: {expected}\n")
    };
    let expr = |expr: &str, time: &str, samples: &str| {
        format!("{head}{input}  promql_expr_test:\n  - expr: '{expr}'\n    eval_time: {time}\n    exp_samples: {samples}\n")
    };
    let fast = |time: &str, value: u32| {
        format!("{head}{fast}  promql_expr_test: [{{expr: c, eval_time: {time}, exp_samples: [{{labels: c, value: {value}}}]}}]\n")
    };
    let among = |file: &str| {
        format!(
            "rule_files: [{file}]\ntests:\n{input}  promql_expr_test: [{{expr: 'vector(1)', eval_time: 6m, exp_samples: [{{value: 1}}]}}]\n"
        )
    };
    let cases = vec![
        alert("10m", "InstanceDown", &format!("\n    -\n{down}")),
        alert("4m", "InstanceDown", &format!("\n    -\n{down}")),
        alert("4m59s", "InstanceDown", "[]"),
        alert("5m30s", "InstanceDown", &format!("\n    -\n{down}")),
        alert("10m", "InstanceDown", "[]"),
        alert("10m", "InstanceDown", "\n    - {exp_labels: {severity: page}}"),
        alert("0m", "AlwaysFiring", "[{}]"),
        alert("0m", "AlwaysFiring", "[]"),
        alert("3m", "Kept", "[{exp_labels: {job: kept}}]"),
        alert("4m", "Kept", "[{exp_labels: {job: kept}}]"),
        alert("5m", "Kept", "[{exp_labels: {job: kept}}]"),
        alert("5m", "Kept", "[]"),
        alert("1m", "Silent", "[{exp_labels: {job: kept}, exp_annotations: {owner: ''}}]"),
        alert("1m", "Silent", "[{exp_labels: {job: kept}}]"),
        alert("1m", "Silent", "[{exp_labels: {job: kept, zone: ''}, exp_annotations: {owner: ''}}]"),
        alert("5m", "NoSuchAlert", "[]"),
        alert("5m", "NoSuchAlert", "[{}]"),
        alert("5m", "\"\"", "[]"),
        alert("1m", "FromRecord", "[]"),
        expr("job:up:sum{job=\"node\"}", "3m", "[{labels: 'job:up:sum{job=\"node\"}', value: 1}]"),
        expr("job:up:double{job=\"node\"}", "3m", "[{labels: 'job:up:double{job=\"node\"}', value: 2}]"),
        expr("job:up:double{job=\"node\"}", "3m", "[{labels: 'job:up:double{job=\"node\"}', value: 3}]"),
        expr("count(up)", "3m", "[{labels: '{}', value: 3}]"),
        expr("count(up)", "3m", "[{value: 3}]"),
        expr("vector(0)/0", "3m", "[{value: .nan}]"),
        expr("vector(1)/0", "3m", "[{value: .inf}]"),
        expr("gap", "1m", "[{labels: gap, value: 1}]"),
        expr("gap", "3m", "[]"),
        expr("gap", "6m", "[{labels: gap, value: 5}]"),
        expr("gap", "8m", "[{labels: gap, value: 9}]"),
        expr("5", "1m", "[{value: 5}]"),
        expr("sum(absent)", "1m", "[]"),
        expr("sum(", "1m", "[]"),
        expr(
            "ALERTS{alertname=\"AlwaysFiring\"}",
            "3m",
            "[{labels: 'ALERTS{alertname=\"AlwaysFiring\", alertstate=\"firing\"}', value: 1}]",
        ),
        expr(
            "ALERTS_FOR_STATE{alertname=\"InstanceDown\",job=\"prometheus\"}",
            "3m",
            "[{labels: 'ALERTS_FOR_STATE{alertname=\"InstanceDown\", instance=\"localhost:9090\", job=\"prometheus\", severity=\"page\"}', value: 0}]",
        ),
        // Samples after the last evaluation are not seen.
        fast("5m30s", 10),
        fast("5m30s", 11),
        expr("0.1 + 0.2", "1m", "[{value: 0.3}]"),
        among("same.yml"),
        among("other.yml"),
        among("after.yml"),
        among("before.yml"),
        among("alerts.yml"),
        alert("1m", "Silent", "[{exp_labels: {job: kept}, exp_annotations: {owner: ''}}]")
            .replace("[rules.yml]", "[rules.yml, rules.yml, 'rul*.yml']"),
        "rule_files: [rules.yml]\ntests:\n- nope: 1\n".to_owned(),
        "rule_files: [absent.yml]\ntests: []\n".to_owned(),
        "rule_files: [rules.yml]\ntests: []\n".to_owned(),
        "rule_files: ['*.yml']\nevaluation_interval: 1x\n".to_owned(),
        "rule_files: [rules.yml]\ngroup_eval_order: [second, example]\ntests: []\n".to_owned(),
        "rule_files: [rules.yml]\ngroup_eval_order: [a, a]\ntests: []\n".to_owned(),
        format!("{head}- input_series: [{{series: 'a{{', values: '1'}}]\n  promql_expr_test: [{{expr: a, eval_time: 1m}}]\n"),
        format!("{head}- input_series: [{{series: 'a', values: '1 x'}}]\n  promql_expr_test: [{{expr: a, eval_time: 1m}}]\n"),
        format!(
            "{head}- input_series: [{{series: 'up{{job=\"x\"}}', values: '1x9'}}, {{series: 'up{{job=\"x\"}}', values: '1x9'}}]\n  promql_expr_test: [{{expr: vector(1), eval_time: 1m, exp_samples: [{{value: 1}}]}}]\n"
        ),
        format!(
            "{head}- interval: 1m\n  input_series: [{{series: a, values: '4x9'}}, {{series: b, values: '1x9'}}, {{series: a, values: '_ 5x8'}}]\n  promql_expr_test: [{{expr: a, eval_time: 2m, exp_samples: [{{labels: a, value: 5}}]}}, {{expr: a, eval_time: 0m}}]\n"
        ),
        format!(
            "{head}- interval: 1m\n  input_series: [{{series: 'c', values: '0+60x60'}}]\n  promql_expr_test:\n  - {{expr: 'rate(c[5m])', eval_time: 10m, exp_samples: [{{value: 1}}]}}\n  - {{expr: 'max_over_time(c[5m:])', eval_time: 10m, exp_samples: [{{value: 600}}]}}\n"
        ),
    ];
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("rules.yml"), RULES).expect("writes");
    // Rules that get in each other's way, or do not.
    for (name, rules) in [
        ("same.yml", "{record: r, expr: vector(1)}, {record: r, expr: vector(1)}"),
        ("other.yml", "{record: r, expr: vector(1)}, {record: r, expr: vector(2)}"),
        ("after.yml", "{record: r, expr: 'up{job=\"kept\"} == 0'}, {record: r, expr: 'up{job=\"kept\"} == 1'}"),
        ("before.yml", "{record: r, expr: 'up{job=\"kept\"} == 1'}, {record: r, expr: 'up{job=\"kept\"} == 0'}"),
        ("alerts.yml", "{alert: A, expr: vector(1)}, {alert: A, expr: 'vector(time()) > 60', for: 1m}"),
    ] {
        std::fs::write(dir.path().join(name), format!("groups:\n- name: g\n  rules: [{rules}]\n")).expect("writes");
    }
    let files = DiskFiles { directory: dir.path().to_path_buf() };
    let mut differences = Vec::new();
    let mut passed = 0;
    for text in &cases {
        std::fs::write(dir.path().join("t.yaml"), text).expect("writes");
        let (code, said) = run(&["test", "rules", "t.yaml"], dir.path());
        let (ours, _) = test(&[("t.yaml".to_owned(), Ok(text.clone()), &files as &dyn RuleFiles)], &TestOptions::default());
        passed += usize::from(code == 0);
        if i32::from(ours.exit_code) != code {
            differences.push(format!("--- {text}\npromtool {code}: {said}\nours {}: {}{}", ours.exit_code, ours.stdout, ours.stderr));
        }
    }
    assert!(passed > 12 && passed < cases.len() - 12, "the corpus has both verdicts: {passed} of {}", cases.len());
    assert!(differences.is_empty(), "{} of {} differ\n{}", differences.len(), cases.len(), differences.join("\n"));
}
