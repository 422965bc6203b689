//! `rules test`: promtool's unit tests for rules, in its file format.
//!
//! - [`parse`]: the file. [`run`]: the evaluations and comparisons.

mod parse;
mod run;

use crate::check::Verdict;
use crate::files::RuleFiles;
use regex::Regex;
use std::collections::BTreeSet;
use std::time::Duration;
use watchfire_model::{Labels, NativeHistogram, Timestamp};
use watchfire_promql::script::Described;

/// A test file.
#[derive(Clone, Debug)]
pub(crate) struct TestFile {
    pub rule_files: Vec<String>,
    pub evaluation_interval: Duration,
    pub group_eval_order: Vec<String>,
    /// Values one step of rounding apart are equal.
    pub fuzzy_compare: bool,
    pub tests: Vec<TestGroup>,
}

#[derive(Clone, Debug)]
pub(crate) struct TestGroup {
    pub name: String,
    /// Spacing of the input samples.
    pub interval: Duration,
    pub input_series: Vec<Described>,
    pub alert_tests: Vec<AlertTest>,
    pub expression_tests: Vec<ExpressionTest>,
    pub external_labels: Labels,
    pub external_url: String,
    pub start: Timestamp,
}

#[derive(Clone, Debug)]
pub(crate) struct AlertTest {
    pub eval_time: Duration,
    pub alertname: String,
    /// Labels (with `alertname`) and annotations.
    pub expected: Vec<(Labels, Labels)>,
}

#[derive(Clone, Debug)]
pub(crate) struct ExpressionTest {
    pub expression: String,
    pub eval_time: Duration,
    pub expected: Vec<ExpectedSample>,
}

#[derive(Clone, Debug)]
pub(crate) struct ExpectedSample {
    pub labels: Labels,
    pub value: f64,
    pub histogram: Option<NativeHistogram>,
}

/// How tests are run.
#[derive(Clone, Debug, Default)]
pub struct TestOptions {
    /// Only groups whose name matches one of these.
    pub run: Vec<Regex>,
    pub ignore_unknown_fields: bool,
}

/// The outcome of one test group, for JUnit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestOutcome {
    pub file: String,
    /// The group's name, or `group N`.
    pub name: String,
    pub failures: Vec<String>,
}

/// Runs test files, given as (name, content or why it could not be read, where their rule files are).
pub fn test(files: &[(String, Result<String, String>, &dyn RuleFiles)], options: &TestOptions) -> (Verdict, Vec<TestOutcome>) {
    let mut verdict = Verdict::default();
    let mut outcomes = Vec::new();
    for (name, content, rule_files) in files {
        verdict.stdout.push_str(&format!("Unit Testing:  {name}\n"));
        let results =
            content.clone().map_err(|e| vec![e]).and_then(|text| one_file(name, &text, *rule_files, options, &mut verdict.stderr));
        let errors = match results {
            Ok(groups) => {
                let errors: Vec<String> = groups.iter().flat_map(|g| g.failures.clone()).collect();
                outcomes.extend(groups);
                errors
            }
            Err(errors) => {
                outcomes.push(TestOutcome { file: name.clone(), name: "file".to_owned(), failures: errors.clone() });
                errors
            }
        };
        if errors.is_empty() {
            verdict.stdout.push_str("  SUCCESS\n");
        } else {
            verdict.exit_code = 1;
            verdict.stderr.push_str(&format!("  FAILED:\n{}\n", errors.join("\n")));
        }
        verdict.stdout.push('\n');
    }
    (verdict, outcomes)
}

fn one_file(
    name: &str,
    text: &str,
    rule_files: &dyn RuleFiles,
    options: &TestOptions,
    warnings: &mut String,
) -> Result<Vec<TestOutcome>, Vec<String>> {
    let file = parse::parse(name, text, options.ignore_unknown_fields)?;
    let mut groups = Vec::new();
    // A file that several patterns match is there once.
    let mut taken = BTreeSet::new();
    for pattern in &file.rule_files {
        let found = rule_files.matching(pattern).map_err(|e| vec![e])?;
        if found.is_empty() {
            warnings.push_str(&format!("  WARNING: no file match pattern {pattern}\n"));
        }
        for (path, content) in found {
            if !taken.insert(path.clone()) {
                continue;
            }
            let parsed = crate::rule_file::RuleFile::parse_with(&path, &content, options.ignore_unknown_fields)
                .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
            groups.extend(parsed.groups);
        }
    }
    if let Some(unknown) = file.group_eval_order.iter().find(|n| !groups.iter().any(|g| g.name == **n)) {
        tracing::debug!(group = %unknown, "group_eval_order names a group that no rule file has");
    }
    let position = |n: &str| file.group_eval_order.iter().position(|o| o == n).unwrap_or(usize::MAX);
    groups.sort_by_key(|g| position(&g.name));
    let mut outcomes = Vec::new();
    for (number, group) in file.tests.iter().enumerate() {
        if !options.run.is_empty() && !options.run.iter().any(|r| r.is_match(&group.name)) {
            continue;
        }
        let label = if group.name.is_empty() { format!("group {}", number + 1) } else { group.name.clone() };
        let failures = run::run(&file, group, &groups);
        outcomes.push(TestOutcome { file: name.to_owned(), name: label, failures });
    }
    Ok(outcomes)
}
