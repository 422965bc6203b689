//! Verdicts compared with promtool itself, where it is installed (`apt-get install prometheus`).

use std::path::Path;
use std::process::Command;
use watchfire_alerts::{CheckOptions, DiskFiles, RuleFiles, TestOptions, check, test};

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

fn group(rule: &str) -> String {
    format!("groups:\n- name: g\n  rules:\n{rule}\n")
}

#[test]
fn check_rules_agrees_with_promtool() {
    if !promtool() {
        return;
    }
    let mut files: Vec<String> = [
        "  - {record: a, expr: b}",
        "  - {record: 'a:b', expr: 'sum(rate(x[5m])) by (job)', labels: {x: y}}",
        "  - {alert: A, expr: up == 0, for: 5m, keep_firing_for: 1m, labels: {a: b}, annotations: {c: '{{ $value }}'}}",
        "  - {alert: A, expr: 1}",
        "  - {alert: A, expr: vector(1), labels: {a: 1, b: true, c: ~, d: 1.10}}",
        "  - {alert: 'A b c!', expr: up}",
        "  - {alert: A, expr: up, for: 0}",
        "  - {alert: A, expr: up, for: 5}",
        "  - {alert: A, expr: up, for: 5x}",
        "  - {alert: A, expr: up, for: 1m1h}",
        "  - {alert: A, expr: up, for: -1m}",
        "  - {alert: A, expr: up, for: ''}",
        "  - {alert: A, record: b, expr: up}",
        "  - {expr: up}",
        "  - {alert: A}",
        "  - {alert: A, expr: ''}",
        "  - {alert: A, expr: 'up ==='}",
        "  - {alert: A, expr: 'sum(rate(x))'}",
        "  - {alert: A, expr: 'unknown_function(x)'}",
        "  - {alert: A, expr: '\"text\"'}",
        "  - {alert: A, expr: 'x[5m]'}",
        "  - {record: a, expr: b, for: 1m}",
        "  - {record: a, expr: b, for: 0s}",
        "  - {record: a, expr: b, keep_firing_for: 1m}",
        "  - {record: a, expr: b, annotations: {a: b}}",
        "  - {record: a, expr: b, annotations: {}}",
        "  - {record: '', expr: b}",
        "  - {alert: A, expr: up, labels: {__name__: x}}",
        "  - {alert: A, expr: up, labels: {'': x}}",
        "  - {alert: A, expr: up, annotations: {'': x}}",
        "  - {alert: A, expr: up, labels: {severity: '{{ $labels.x }}'}}",
        "  - {alert: A, expr: up, labels: {severity: '{{ $labels.x '}}",
        "  - {alert: A, expr: up, annotations: {x: '{{ nope }}'}}",
        "  - {alert: A, expr: up, annotations: {x: '{{ $nope }}'}}",
        "  - {alert: A, expr: up, annotations: {x: '{{ if }}'}}",
        "  - {alert: A, expr: up, annotations: {x: '{{ if true }}'}}",
        "  - {alert: A, expr: up, annotations: {x: '{{ end }}'}}",
        "  - {alert: A, expr: up, annotations: {x: '{{ template \"absent\" }}'}}",
        "  - {alert: A, expr: up, annotations: {x: '{{ define \"x\" }}{{ $value }}{{ end }}'}}",
        "  - {alert: A, expr: up, annotations: {x: '{{ .Nope }}{{ title 5 }}'}}",
        "  - {alert: A, expr: up, annotations: {x: '{{ 1 | 2 }}'}}",
        "  - {alert: A, expr: up, annotations: {x: '{{ nil | print }}'}}",
        "  - {alert: A, expr: up, annotations: {x: '{{ (5).X }}'}}",
        "  - {alert: A, expr: up, annotations: {x: '{{ $x, $y := 1 }}'}}",
        "  - {alert: A, expr: up, annotations: {x: '{{ range $i, $e := query \"up\" }}{{ end }}{{ $i }}'}}",
        "  - {alert: A, expr: up, annotations: {x: '{{/* c */}}{{- \"a\" -}}'}}",
        "  - {alert: A, expr: up, nope: 1}",
        "  - {alert: A, alert: B, expr: up}",
        "  - {alert: A, expr: [up]}",
        "  - {alert: A, expr: up, labels: [a]}",
        "  - {alert: A, expr: up, labels: {a: {b: c}}}",
        "  - {record: a, expr: b}\n  - {record: a, expr: b}",
        "  - {record: a, expr: b}\n  - {record: a, expr: b, labels: {x: y}}",
        "  - {alert: A, expr: 'up @ 5 offset -1m'}",
        "  - {alert: A, expr: |\n      up\n      ==\n      0\n    }",
    ]
    .into_iter()
    .map(group)
    .collect();
    files.extend(
        [
            "",
            "groups:",
            "groups: []",
            "groups: {}",
            "groups: x",
            "grups: []",
            "- a",
            "{",
            "groups:\n- name: ''\n  rules: []",
            "groups:\n- rules: []",
            "groups:\n- name: a\n- name: a",
            "groups:\n- name: a\n- name: b",
            "groups:\n- name: a\n  interval: 1m\n  limit: 5\n  rules: []",
            "groups:\n- name: a\n  interval: 1\n  rules: []",
            "groups:\n- name: a\n  limit: x\n  rules: []",
            "groups:\n- name: a\n  rules:\n  - &r {alert: A, expr: up}\n  - {<<: *r, alert: B}",
            "groups:\n- name: a\n  rules: null",
            "a: &a [*a]",
            "groups:\n\t- name: a",
        ]
        .map(str::to_owned),
    );
    let dir = tempfile::tempdir().expect("a directory");
    let mut differences = Vec::new();
    for (i, text) in files.iter().enumerate() {
        let name = format!("{i}.yml");
        std::fs::write(dir.path().join(&name), text).expect("writes");
        let (code, said) = run(&["check", "rules", "--lint-fatal", &name], dir.path());
        let ours = check(&[(name, Ok(text.clone()))], CheckOptions { lint_fatal: true, ..CheckOptions::default() });
        if i32::from(ours.exit_code) != code {
            differences.push(format!("--- {text}\npromtool {code}: {said}\nours {}: {}{}", ours.exit_code, ours.stdout, ours.stderr));
        }
    }
    assert!(differences.is_empty(), "{} of {} differ\n{}", differences.len(), files.len(), differences.join("\n"));
}

/// What our engine makes of a template, promtool is told to expect: it fails where Go's engine makes something else of it.
#[test]
fn templates_expand_as_in_promtool() {
    if !promtool() {
        return;
    }
    let templates = [
        "{{ $value }} {{ 1000000.0 }} {{ 123456789.125 }} {{ 0.00001234 }} {{ 100000.0 }} {{ 1e21 }} {{ 5 }} {{ -0.5 }}",
        "{{ $value | humanize }} {{ humanize 0.00042 }} {{ humanize 1234567.0 }} {{ humanize 999.99 }} {{ humanize 0.0 }} {{ humanize -1500.0 }}",
        "{{ humanize1024 1048576.0 }} {{ humanize1024 1500.0 }} {{ humanize1024 0.5 }} {{ humanize1024 123456789.0 }}",
        "{{ humanizeDuration 0.0 }} {{ humanizeDuration 59.5 }} {{ humanizeDuration 135.0 }} {{ humanizeDuration 86400.0 }} {{ humanizeDuration 0.0035 }} {{ humanizeDuration -90.0 }}",
        "{{ humanizePercentage 0.959 }} {{ humanizePercentage 0.12345 }} {{ humanizePercentage 1.0 }}",
        "{{ humanizeTimestamp 1435065584.128 }} {{ humanizeTimestamp 0.0 }} {{ humanizeTimestamp 1435065584.0 }}",
        "{{ \"hello wOrld a-b_c d.e\" | title }} {{ toUpper \"aé\" }} {{ toLower \"ÀB\" }}",
        "{{ stripPort \"h.example.com:80\" }} {{ stripPort \"[::1]:80\" }} {{ stripPort \"::1\" }} {{ stripPort \"h\" }} {{ stripDomain \"a.b.c:80\" }} {{ stripDomain \"1.2.3.4:80\" }} {{ stripDomain \"a.b\" }}",
        "{{ match \"a.*\" \"xay\" }} {{ reReplaceAll \"(a)(b)\" \"$2-${1}x\" \"abab\" }} {{ reReplaceAll \"a\" \"$$\" \"banana\" }}",
        "{{ printf \"%d %5d|%-5d|%05d|%+d|%x|%X|%o|%b|%c|%q|%U\" 42 42 42 42 42 255 255 8 5 65 65 65 }}",
        "{{ printf \"%f %.2f %8.3f|%-8.1f|%e %.3e %g %.3g %G\" 1.5 1.005 2.5 2.5 123456.789 123456.789 1e-7 123456.789 1e-7 }}",
        "{{ printf \"%s|%10s|%-10s|%.2s|%q|%x|%v|%T\" \"abc\" \"abc\" \"abc\" \"abc\" \"a\\\"b\" \"abc\" \"abc\" \"abc\" }}",
        "{{ printf \"%v %v %v %t %T %T\" 1 1.5 true false 1 1.5 }}",
        "{{ printf \"%d\" 1.5 }} {{ printf \"%s\" 5 }} {{ printf \"%f\" 5 }} {{ printf \"%d %d\" 1 }} {{ printf \"%d\" 1 2 }} {{ printf \"%\" }} {{ printf \"100%%\" }} {{ printf \"%z\" 1 }}",
        "{{ print 1 2 \"a\" \"b\" 3 4 }} {{ println \"x\" 1 }}|",
        "{{ if gt $value 10.0 }}big{{ else }}small{{ end }} {{ if and true \"\" }}a{{ else }}b{{ end }} {{ or \"\" 0 \"x\" }} {{ not 0 }}",
        "{{ if eq 1 2 3 1 }}y{{ end }} {{ ne \"a\" \"b\" }} {{ lt 1 2 }} {{ le 2 2 }} {{ ge \"b\" \"a\" }} {{ gt 1.5 1.5 }}",
        "{{ range query \"m\" | sortByLabel \"i\" }}{{ .Labels.i }}={{ .Value }};{{ end }}",
        "{{ range $k, $v := $labels }}{{ $k }}:{{ $v }},{{ end }} {{ len $labels }} {{ index $labels \"i\" }} {{ $labels.absent }}|",
        "{{ with query \"m{i='a'}\" }}{{ . | first | value }} {{ . | first | label \"i\" }}{{ end }} {{ with query \"absent_metric\" }}x{{ else }}none{{ end }}",
        "{{ define \"t\" }}<{{ .arg0 }}|{{ .arg1 }}|{{ .arg2 }}>{{ end }}{{ template \"t\" args 1 \"b\" }} {{ template \"t\" (args 1.5) }}",
        "{{ $x := 5 }}{{ if true }}{{ $x = 6 }}{{ $y := 7 }}{{ $y }}{{ end }}{{ $x }}",
        "a {{- \" b \" -}} c {{/* comment */}} d {{- /* trimmed */ -}} e",
        "{{ `raw {{ text` }} {{ \"\\u00e9\\n\\t\" }} {{ 'x' }} {{ 0x1F }} {{ 1_000 }} {{ print nil }}",
        "{{ parseDuration \"1h30m\" }} {{ $externalLabels.cluster }} {{ .ExternalLabels.cluster }} {{ .Labels.i }} {{ .Value }}",
        "{{ tableLink \"a b{c=\\\"d\\\"}\" }} {{ graphLink \"up\" }} {{ urlquery \"a b&c\" }} {{ html \"<a&'>\" }} {{ js \"it's\" }}",
        "{{ slice \"abcdef\" 1 3 }} {{ len \"héllo\" }} {{ (index (query \"m\" | sortByLabel \"i\") 1).Value }}",
        "{{ humanize \"1234\" }} {{ humanizeDuration \"90\" }} {{ 5 | humanize }}",
        "{{ safeHtml \"<b>\" }} {{ args 1 \"a\" }} {{ $labels }}",
        "{{ (toTime 1435065584.0).Year }} {{ toTime 1435065584.5 }}",
    ];
    let dir = tempfile::tempdir().expect("a directory");
    let mut differences = Vec::new();
    for (i, template) in templates.iter().enumerate() {
        let rules = serde_json::json!({"groups": [{"name": "g", "rules": [
            {"alert": "A", "expr": "m{i='a'} > 0", "annotations": {"x": template}},
        ]}]});
        std::fs::write(dir.path().join("rules.yml"), rules.to_string()).expect("writes");
        let test_file = |expected: &str| {
            serde_json::json!({
                "rule_files": ["rules.yml"],
                "tests": [{
                    "interval": "1m",
                    "external_labels": {"cluster": "eu"},
                    "input_series": [{"series": "m{i='b',job='j'}", "values": "2x5"}, {"series": "m{i='a',job='j'}", "values": "1234.5x5"}],
                    "alert_rule_test": [{"eval_time": "1m", "alertname": "A", "exp_alerts": [
                        {"exp_labels": {"i": "a", "job": "j"}, "exp_annotations": {"x": expected}},
                    ]}],
                }],
            })
            .to_string()
        };
        // Ours first, with nonsense expected: what we got is in the failure.
        let files = DiskFiles { directory: dir.path().to_path_buf() };
        let (_, outcomes) = test(&[("t.yml".to_owned(), Ok(test_file("?")), &files as &dyn RuleFiles)], &TestOptions::default());
        let failure = outcomes[0].failures.join("\n");
        let (_, got) = failure.split_once("got:").unwrap_or_else(|| panic!("{template}: {failure}"));
        let quoted = got.split_once("x=").map(|(_, rest)| rest.rsplit_once('}').map_or(rest, |(text, _)| text)).expect("an annotation");
        let ours = unquote(quoted);
        std::fs::write(dir.path().join("t.yml"), test_file(&ours)).expect("writes");
        let (code, said) = run(&["test", "rules", "t.yml"], dir.path());
        if code != 0 {
            differences.push(format!("--- {i}: {template}\nours: {ours}\npromtool: {said}"));
        }
    }
    assert!(differences.is_empty(), "{} of {} differ\n{}", differences.len(), templates.len(), differences.join("\n"));
}

/// The inverse of Rust's `{:?}` for a string.
fn unquote(quoted: &str) -> String {
    let mut out = String::new();
    let mut chars = quoted.trim().trim_start_matches('"').trim_end_matches('"').chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, false) => out.push(c),
            _ => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
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
    let down = "      exp_labels: {severity: page, instance: 'localhost:9090', job: prometheus}\n      exp_annotations: {summary: 'Instance localhost:9090 down', description: 'localhost:9090 of job prometheus has been down for more than 5 minutes.'}\n";
    let alert = |time: &str, name: &str, expected: &str| {
        format!("{head}{input}  alert_rule_test:\n  - eval_time: {time}\n    alertname: {name}\n    exp_alerts: {expected}\n")
    };
    let expr = |expr: &str, time: &str, samples: &str| {
        format!("{head}{input}  promql_expr_test:\n  - expr: '{expr}'\n    eval_time: {time}\n    exp_samples: {samples}\n")
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
        expr("0.1 + 0.2", "1m", "[{value: 0.3}]"),
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
            "{head}- interval: 1m\n  input_series: [{{series: 'c', values: '0+60x60'}}]\n  promql_expr_test:\n  - {{expr: 'rate(c[5m])', eval_time: 10m, exp_samples: [{{value: 1}}]}}\n  - {{expr: 'max_over_time(c[5m:])', eval_time: 10m, exp_samples: [{{value: 600}}]}}\n"
        ),
    ];
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("rules.yml"), RULES).expect("writes");
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

/// The rules and rule tests that come with the platforms: they pass here, and where they pass here they pass there.
#[test]
fn the_platforms_rule_tests_pass() {
    let platforms = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/platforms");
    let mut ran = 0;
    for platform in std::fs::read_dir(platforms).expect("platforms").flatten() {
        let path = platform.path().join("rules.test.yaml");
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let files = DiskFiles::beside(&path);
        let (verdict, outcomes) = test(&[(path.display().to_string(), Ok(text), &files as &dyn RuleFiles)], &TestOptions::default());
        assert_eq!(verdict.exit_code, 0, "{}", verdict.stderr);
        assert!(outcomes.len() > 1);
        ran += 1;
        // promtool needs half a minute for the largest; the smallest stands for all.
        if platform.file_name() == "playnite" && promtool() {
            let (code, said) = run(&["test", "rules", "rules.test.yaml"], &platform.path());
            assert_eq!(code, 0, "{said}");
        }
    }
    assert!(ran >= 5, "{ran} platforms");
}
