//! The rules that ship are changed one place at a time (a number by a tenth, a comparison at its edge, `for` by 5 s, a condition or a matcher left
//! out or turned round, a window doubled and halved, a label not kept, a severity, where it is routed, when it may resolve), and the rule tests beside
//! them must notice every change: nobody weakens a rule without a test that says so.
//!
//! A rule's tests are those whose name begins with the rule's and a colon: `HighErrorRate: 5 % exactly is tolerated`.

mod accepted;
mod expression;
mod mutant;

use accepted::ACCEPTED;
use mutant::{Mutant, alone, mutants, rules};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use watchfire_alerts::{RuleFiles, TestOptions, test};

/// A rule file and its tests.
struct Suite {
    /// Of the rules, from the root of the repository.
    path: String,
    rules: String,
    tests: String,
}

fn suites() -> Vec<Suite> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: PathBuf| std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let platforms = std::fs::read_dir(root.join("config/platforms")).expect("platforms").flatten();
    let mut paths: Vec<String> =
        platforms.filter(|p| p.path().is_dir()).map(|p| format!("config/platforms/{}/rules", p.file_name().display())).collect();
    paths.sort();
    assert!(paths.len() >= 5, "{paths:?}");
    paths.extend(["default", "itself"].map(|name| format!("assets/rules/{name}")));
    let suite = |path: String| {
        let mut tests = read(root.join(format!("{path}.test.yaml")));
        // Tests that promtool could not pass stand apart.
        let apart = root.join(format!("{path}.recover.test.yaml"));
        if apart.is_file() {
            let (_, more) = read(apart).split_once("\ntests:\n").map(|(head, more)| (head.to_owned(), more.to_owned())).expect("tests");
            tests.push_str(&more);
        }
        Suite { rules: read(root.join(format!("{path}.yaml"))), tests, path: format!("{path}.yaml") }
    };
    paths.into_iter().map(suite).collect()
}

/// A rule file held in memory, whatever name the test file has for it.
struct Held(String);

impl RuleFiles for Held {
    fn matching(&self, pattern: &str) -> Result<Vec<(String, String)>, String> {
        Ok(vec![(pattern.to_owned(), self.0.clone())])
    }
}

/// The test groups of a rule, each as a test file of its own.
fn tests_of(tests: &str, rule: &str) -> Vec<String> {
    let mut pieces = tests.split("\n  - name: ");
    let head = pieces.next().expect("a head");
    let own = pieces.filter(|p| p.trim_start_matches('"').strip_prefix(rule).is_some_and(|rest| rest.starts_with(": ")));
    own.map(|piece| format!("{head}\n  - name: {piece}")).collect()
}

/// What tests say of rules.
fn failures(rules: &str, tests: String) -> Vec<String> {
    let held = Held(rules.to_owned());
    let (verdict, outcomes) = test(&[("tests".to_owned(), Ok(tests), &held as &dyn RuleFiles)], &TestOptions::default());
    let failures: Vec<String> = outcomes.into_iter().flat_map(|o| o.failures).collect();
    assert_eq!(verdict.exit_code != 0, !failures.is_empty(), "{}", verdict.stderr);
    failures
}

#[test]
fn every_rule_has_tests_of_its_own_that_pass() {
    let mut wrong = Vec::new();
    for suite in suites() {
        for rule in rules(&suite.rules) {
            let (tests, rules) = (tests_of(&suite.tests, &rule.name), alone(&suite.rules, &rule));
            if tests.is_empty() {
                wrong.push(format!("{}:{}: no test is named \"{}: ...\"", suite.path, rule.line, rule.name));
            }
            wrong.extend(tests.into_iter().flat_map(|test| failures(&rules, test)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_rule_can_be_weakened_unnoticed() {
    let suites = suites();
    let all: Vec<(&Suite, Mutant)> = suites.iter().flat_map(|s| mutants(&s.rules).into_iter().map(move |m| (s, m))).collect();
    assert!(all.len() > 1200, "{} mutants", all.len());
    for entry in ACCEPTED {
        assert!(all.iter().any(|(s, m)| reason(s, m).is_some() && same_place(entry, s, m)), "{entry:?} is accepted and is no mutant");
    }
    let next = AtomicUsize::new(0);
    let run = || {
        let mut wrong = Vec::new();
        while let Some((suite, mutant)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            wrong.extend(judge(suite, mutant));
        }
        wrong
    };
    let mut wrong: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..std::thread::available_parallelism().map_or(1, usize::from)).map(|_| scope.spawn(run)).collect();
        workers.into_iter().flat_map(|w| w.join().expect("a worker")).collect()
    });
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {} mutants\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

fn judge(suite: &Suite, mutant: &Mutant) -> Option<String> {
    // The first test that notices is enough.
    let survives = tests_of(&suite.tests, &mutant.rule).into_iter().all(|test| failures(&mutant.text, test).is_empty());
    let place = format!("{}:{}: {}: {}", suite.path, mutant.line, mutant.rule, mutant.change);
    match (survives, reason(suite, mutant)) {
        (true, None) => Some(format!(
            "{place}: every test named \"{}: ...\" still passes.\n    Add one whose outcome this changes, with series between the old value and the new; \
             if there can be none, say why in accepted.rs.",
            mutant.rule
        )),
        (false, Some(_)) => Some(format!("{place}: is accepted in accepted.rs, and a test notices it. Take it off the list.")),
        _ => None,
    }
}

fn reason(suite: &Suite, mutant: &Mutant) -> Option<&'static str> {
    ACCEPTED.iter().find(|entry| same_place(entry, suite, mutant)).map(|(_, _, _, why)| *why)
}

fn same_place((path, rule, change, _): &(&str, &str, &str, &str), suite: &Suite, mutant: &Mutant) -> bool {
    *path == suite.path && *rule == mutant.rule && *change == mutant.change
}
