//! `rules check`: promtool's verdicts, output and exit codes.

use crate::rule_file::{RuleFile, duplicates};

/// Which lint problems are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lint {
    #[default]
    DuplicateRules,
    None,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct CheckOptions {
    pub lint: Lint,
    /// Lint problems make the exit code 3 instead of 0.
    pub lint_fatal: bool,
    pub ignore_unknown_fields: bool,
}

/// What a command prints and how it exits: 0 fine, 1 failed, 3 lint problem with `lint_fatal`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub stdout: String,
    pub stderr: String,
    pub exit_code: u8,
}

/// Checks rule files, given as (name, content or why it could not be read).
pub fn check(files: &[(String, Result<String, String>)], options: CheckOptions) -> Verdict {
    let mut verdict = Verdict::default();
    let mut failed = false;
    let mut lint_problem = false;
    for (name, content) in files {
        verdict.stdout.push_str(&format!("Checking {name}\n"));
        let parsed = match content {
            Err(why) => Err(vec![why.clone()]),
            Ok(text) => RuleFile::parse_with(name, text, options.ignore_unknown_fields)
                .map_err(|errors| errors.iter().map(ToString::to_string).collect()),
        };
        match parsed {
            Err(errors) => {
                failed = true;
                verdict.stderr.push_str(&format!("  FAILED:\n{}\n", errors.join("\n")));
            }
            Ok(file) => {
                for warning in &file.warnings {
                    verdict.stderr.push_str(&format!("  WARNING: {warning}\n"));
                }
                let repeated = if options.lint == Lint::DuplicateRules { duplicates(&file.groups) } else { Vec::new() };
                if repeated.is_empty() {
                    verdict.stdout.push_str(&format!("  SUCCESS: {} rules found\n", file.rule_count()));
                } else {
                    lint_problem = true;
                    verdict.stderr.push_str(&format!("  FAILED:\nlint error {} duplicate rule(s) found.\n", repeated.len()));
                    for (metric, labels) in &repeated {
                        verdict.stderr.push_str(&format!("Metric: {metric}\nLabel(s):\n"));
                        for (label, value) in labels {
                            verdict.stderr.push_str(&format!("    {label}: {value}\n"));
                        }
                    }
                    verdict.stderr.push_str("Might cause inconsistency while recording expressions\n");
                }
            }
        }
        verdict.stdout.push('\n');
    }
    verdict.exit_code = match (failed, lint_problem && options.lint_fatal) {
        (true, _) => 1,
        (false, true) => 3,
        (false, false) => 0,
    };
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str, options: CheckOptions) -> Verdict {
        check(&[("r.yml".to_owned(), Ok(text.to_owned()))], options)
    }

    const TWICE: &str = "groups:\n- name: g\n  rules:\n  - {record: a, expr: b}\n  - {record: a, expr: c}\n";

    #[test]
    fn exit_codes_are_those_of_promtool() {
        let plain = CheckOptions::default();
        assert_eq!(one("groups: []\n", plain).exit_code, 0);
        assert_eq!(one("groups:\n- name: g\n  rules:\n  - {record: a, expr: 'b +'}\n", plain).exit_code, 1);
        assert_eq!(one(TWICE, plain).exit_code, 0);
        assert_eq!(one(TWICE, CheckOptions { lint_fatal: true, ..plain }).exit_code, 3);
        assert_eq!(one(TWICE, CheckOptions { lint_fatal: true, lint: Lint::None, ..plain }).exit_code, 0);
        assert_eq!(check(&[("x".to_owned(), Err("no such file".to_owned()))], plain).exit_code, 1);
        assert!(one(TWICE, plain).stderr.contains("1 duplicate rule(s) found.\nMetric: a"));
    }

    #[test]
    fn problems_come_all_at_once_with_their_place() {
        let text = "groups:\n- name: g\n  intervall: 1m\n  rules:\n  - alert: A\n    expr: up ==\n    lables: {a: b}\n  - expr: up\n  - {alert: B, record: c, expr: up}\n  - {record: r, expr: up, for: 1m}\n  - {alert: C, expr: up, for: 1q, annotations: {x: '{{ nope }}'}}\n- name: g\n";
        let errors = RuleFile::parse("r.yml", text).expect_err("bad");
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        for (place, part) in [
            ("3:3", "field intervall not found in a rule group; did you mean \"interval\"?"),
            ("6:11", "group \"g\", rule 1, \"A\": could not parse expression: 1:6: parse error"),
            ("7:5", "field lables not found in a rule; did you mean \"labels\"?"),
            ("8:5", "one of 'record' or 'alert' must be set"),
            ("9:5", "only one of 'record' and 'alert' must be set"),
            ("10:27", "invalid field 'for' in recording rule"),
            ("11:31", "not a valid duration string: \"1q\""),
            ("11:49", "annotation \"x\": template: __alert_C:1: function \"nope\" not defined"),
            ("12:3", "groupname: \"g\" is repeated in the same file"),
        ] {
            assert!(shown.iter().any(|s| s.starts_with(&format!("r.yml: {place}: ")) && s.contains(part)), "{place} {part}: {shown:#?}");
        }
        assert_eq!(shown.len(), 9, "{shown:#?}");
    }

    #[test]
    fn in_an_expression_of_several_lines_the_place_is_that_of_the_token() {
        let block = "    expr: |\n      sum(\n        rate(é) + up\n      )\n";
        let folded = "    expr: >-\n      sum(\n        rate(up)\n      )\n";
        let one_line = "    expr: |-\n      rate(up)\n";
        let plain = "    expr: sum(\n      rate(up)\n      )\n";
        for (expr, place) in [(block, "7:14: "), (folded, "7:14: "), (one_line, "6:7: "), (plain, "5:11: ")] {
            let text = format!("groups:\n- name: g\n  rules:\n  - alert: A\n{expr}");
            let errors = RuleFile::parse("r.yml", &text).expect_err("bad");
            assert!(errors[0].to_string().starts_with(&format!("r.yml: {place}group")), "{place}: {}", errors[0]);
        }
    }

    #[test]
    fn an_object_for_kubernetes_is_named_as_what_it_is() {
        let text = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: x}\nspec:\n  groups: []\n";
        let verdict = one(text, CheckOptions::default());
        assert_eq!(verdict.exit_code, 1);
        assert!(verdict.stderr.contains("r.yml: 2:1: this is a Kubernetes object of kind PrometheusRule"), "{}", verdict.stderr);
        assert!(verdict.stderr.contains("yq .spec") && !verdict.stderr.contains("metadata"), "{}", verdict.stderr);
        assert_eq!(one(text, CheckOptions { ignore_unknown_fields: true, ..CheckOptions::default() }).exit_code, 0);
    }

    #[test]
    fn an_annotation_that_only_looks_like_recover_is_a_warning() {
        let text = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: up, annotations: {recover: restart the pod}}\n";
        let file = RuleFile::parse("r.yml", text).expect("valid for Prometheus");
        assert!(file.warnings[0].message.contains("is not used"));
    }
}
