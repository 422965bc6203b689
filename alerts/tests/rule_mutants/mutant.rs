//! What is changed: every place of a rule that decides when it fires and how loudly, one at a time.

use crate::expression::changes;
use std::time::Duration;
use watchfire_alerts::{Rule, RuleFile};
use watchfire_model::format_duration;
use watchfire_promql::Query;

/// A rule with one change.
#[derive(Clone, Debug)]
pub struct Mutant {
    pub rule: String,
    /// Where the change is, counted from 1.
    pub line: usize,
    /// What was changed, without its place, so that it stays the same when lines move: `> as >=`, `the second 0.001 as 0.0009`.
    pub change: String,
    /// The rule file of the rule [`alone`], changed.
    pub text: String,
}

/// `for` and `keep_firing_for` are moved by the cadence of the tests: less could not be seen.
const STEP: Duration = Duration::from_secs(5);

/// Every mutant of a rule file.
pub fn mutants(text: &str) -> Vec<Mutant> {
    rules(text).iter().flat_map(|rule| of_rule(&alone(text, rule), rule)).collect()
}

pub fn rules(text: &str) -> Vec<Rule> {
    let file = RuleFile::parse("rules", text).unwrap_or_else(|e| panic!("a rule file: {e:?}\n{text}"));
    file.groups.into_iter().flat_map(|g| g.rules).collect()
}

/// What the tests of a rule need of its file: the rule, and what is recorded.
pub fn alone(text: &str, rule: &Rule) -> String {
    let mut out = text.to_owned();
    for other in rules(text).iter().rev().filter(|other| other.alerting().is_some() && other.name != rule.name) {
        let (start, end) = block(text, other);
        out.replace_range(start..end, "");
    }
    out
}

/// Lines may have moved, nothing else.
fn same(a: &Rule, b: &Rule) -> bool {
    (&a.name, &a.expression, &a.labels) == (&b.name, &b.expression, &b.labels) && format!("{:?}", a.kind) == format!("{:?}", b.kind)
}

/// `text` holds the rule alone; `original` is the same rule where it came from.
fn of_rule(text: &str, original: &Rule) -> Vec<Mutant> {
    let all = rules(text);
    let rule = all.iter().find(|r| r.name == original.name).expect("the rule itself");
    let source = Source::of(text, rule, "expr", &rule.expression);
    let mut edits = Vec::new();
    for change in rule.query.with_stack(|expr| changes(expr, &rule.expression)) {
        edits.push(Edit { start: source.at(change.start), end: source.at(change.end), with: change.with, change: change.what });
    }
    if let Some(alerting) = rule.alerting() {
        of_hold(&source, "for", alerting.hold, &mut edits);
        if !alerting.keep_firing_for.is_zero() {
            of_hold(&source, "keep_firing_for", alerting.keep_firing_for, &mut edits);
        }
        for (name, _) in &rule.labels {
            of_label(&source, name, &mut edits);
        }
        if let Some(condition) = alerting.recover() {
            of_recover(text, condition, rule, &mut edits);
        }
    }
    let mut out: Vec<Mutant> = Vec::new();
    for (i, edit) in edits.iter().enumerate() {
        let earlier = edits[..i].iter().filter(|e| e.change == edit.change).count();
        let ordinal =
            ["", "the second ", "the third ", "the fourth "].get(earlier).unwrap_or_else(|| panic!("{}: {}", rule.name, edit.change));
        let mutant = Mutant {
            rule: rule.name.clone(),
            line: original.line + text[..edit.start].matches('\n').count() + 1 - rule.line,
            change: format!("{ordinal}{}", edit.change),
            text: [&text[..edit.start], &edit.with, &text[edit.end..]].concat(),
        };
        let now = rules(&mutant.text);
        let changed: Vec<&str> = all.iter().zip(&now).filter(|(was, is)| !same(was, is)).map(|(was, _)| was.name.as_str()).collect();
        assert_eq!(changed, [rule.name.as_str()], "{} changes this rule and no other", mutant.change);
        out.push(mutant);
    }
    out
}

struct Edit {
    start: usize,
    end: usize,
    with: String,
    change: String,
}

/// Of a label of the rule: left out, and another value.
fn of_label(source: &Source, name: &str, edits: &mut Vec<Edit>) {
    let Some((start, end)) = source.value(name) else { return };
    let was = source.text[start..end].to_owned();
    let line = source.text[..start].rfind('\n').map_or(0, |at| at + 1);
    edits.push(Edit { start: line, end: end + 1, with: String::new(), change: format!("without {name}") });
    let other = match name {
        "severity" if was == "info" => "low",
        "severity" => "info",
        _ => "other",
    };
    edits.push(Edit { start, end, with: other.to_owned(), change: format!("{name} {was} as {other}") });
}

/// Of the condition to resolve, which is an expression as well.
fn of_recover(text: &str, condition: &str, rule: &Rule, edits: &mut Vec<Edit>) {
    let source = Source::of(text, rule, "recover", condition);
    let line = text[..source.key].rfind('\n').map_or(0, |at| at + 1);
    let (_, last) = *source.lines.last().expect("a condition");
    let end = last + text[last..].find('\n').map_or(text.len() - last, |at| at + 1);
    edits.push(Edit { start: line, end, with: String::new(), change: "without recover".to_owned() });
    let query = Query::parse(condition).unwrap_or_else(|e| panic!("{}: recover: {e}", rule.name));
    for change in query.with_stack(|expr| changes(expr, condition)) {
        let (start, end) = (source.at(change.start), source.at(change.end));
        edits.push(Edit { start, end, with: change.with, change: format!("in recover, {}", change.what) });
    }
}

fn of_hold(source: &Source, key: &str, hold: Duration, edits: &mut Vec<Edit>) {
    match source.value(key) {
        Some((start, end)) => {
            for with in [hold.checked_sub(STEP), Some(hold + STEP)].into_iter().flatten() {
                let (with, was) = (format_duration(with), format_duration(hold));
                edits.push(Edit { start, end, change: format!("{key} {was} as {with}"), with });
            }
        }
        None => {
            let with = format!("{key}: {}\n{}", format_duration(STEP), " ".repeat(source.column));
            let change = format!("{key} {}", format_duration(STEP));
            edits.push(Edit { start: source.first, end: source.first, with, change });
        }
    }
}

/// Where a rule stands in its file.
struct Source<'t> {
    text: &'t str,
    /// The start of its first key.
    first: usize,
    end: usize,
    /// How far its keys are indented.
    column: usize,
    /// The value of the key that holds the expression.
    key: usize,
    /// Where each line of the expression starts: (in the expression, in the file).
    lines: Vec<(usize, usize)>,
}

impl<'t> Source<'t> {
    /// With where the expression stands that is the value of a key.
    fn of(text: &'t str, rule: &Rule, key: &str, expression: &str) -> Self {
        let (start, end) = block(text, rule);
        let dash = start + text[start..].find("- ").expect("a rule is an item of a list");
        let mut source = Source { text, first: dash + 2, end, column: dash + 2 - start, key: 0, lines: Vec::new() };
        let (mut at, value_end) = source.value(key).expect("a rule has an expression");
        source.key = at;
        if text[at..value_end].starts_with('|') {
            at = value_end + 1;
        }
        let mut offset = 0;
        for line in expression.lines() {
            at += text[at..].len() - text[at..].trim_start_matches(' ').len();
            let indent = line.len() - line.trim_start_matches(' ').len();
            let inner = line.trim_start_matches(' ');
            assert!(text[at..].starts_with(inner), "{}: the expression is plain text or a literal block", rule.name);
            source.lines.push((offset + indent, at));
            offset += line.len() + 1;
            at += inner.len() + 1;
        }
        source
    }

    /// A place of the expression as a place of the file.
    fn at(&self, offset: usize) -> usize {
        let (from, at) = self.lines.iter().rev().find(|(from, _)| *from <= offset).expect("within a line");
        at + offset - from
    }

    /// The text after a key on its line.
    fn value(&self, key: &str) -> Option<(usize, usize)> {
        let mut at = self.first;
        for line in self.text[self.first..self.end].split_inclusive('\n') {
            let inner = line.trim_start_matches(' ');
            if let Some(rest) = inner.strip_prefix(key).and_then(|rest| rest.strip_prefix(": ")) {
                let start = at + line.len() - rest.len();
                return Some((start, start + rest.trim_end().len()));
            }
            at += line.len();
        }
        None
    }
}

/// The lines of a rule, up to the next one's.
fn block(text: &str, rule: &Rule) -> (usize, usize) {
    let start: usize = text.split_inclusive('\n').take(rule.line - 1).map(str::len).sum();
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let mut lines = text[start..].split_inclusive('\n');
    let first = lines.next().expect("a rule has a line");
    let rest = lines.take_while(|line| line.trim().is_empty() || indent(line) > indent(first)).map(str::len).sum::<usize>();
    (start, start + first.len() + rest)
}
