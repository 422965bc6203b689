//! Random route trees and random alerts: the receivers are those that `amtool config routes test` names.

use crate::random::Random;
use crate::{amtool, cases};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use watchfire_model::Labels;
use watchfire_notifiers::routing::Routing;

const NAMES: &[&str] = &["severity", "service", "a", "b_c", "alertname"];
const VALUES: &[&str] = &["x", "x", "x", "", "y", "y", "critical", "x.y", "", "a b", "x|y", "1", "a\"b", "a\\b", "a,b", "{x}", "é", "xy"];
const PATTERNS: &[&str] = &[
    "x|y",
    "x|y|",
    ".*",
    ".*x.*",
    "x.*",
    ".+",
    ".*",
    "",
    "[xy]",
    "x.y",
    "cri.*",
    "^x$",
    "(x|a b)",
    "a\\\\b",
    "\\\\d",
    "x\\\\.y",
    "(?i)CRITICAL",
    "a,b",
    "é",
    "x{1}",
];

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// A text of YAML that says exactly this.
fn yaml(text: &str) -> String {
    serde_json::to_string(text).expect("a text")
}

fn matcher(random: &mut Random) -> String {
    // Most conditions hold for many alerts, or trees would not be walked deep.
    let op = random.of(&["=", "!=", "!=", "=~", "=~", "!~"]);
    let name = random.of(NAMES);
    let value = if op.ends_with('~') { random.of(PATTERNS).to_owned() } else { random.of(VALUES).to_owned() };
    let space = random.of(&["", "", " ", "  "]);
    let simple = value.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '*' | '|' | '+' | '^' | '$' | '\\'));
    let shown = if op.ends_with('~') {
        if simple && random.one_in(2) { value } else { format!("\"{value}\"") }
    } else if simple && random.one_in(2) {
        value
    } else {
        quoted(&value)
    };
    format!("{name}{space}{op}{space}{shown}")
}

fn matchers(random: &mut Random) -> String {
    let one = matcher(random);
    match random.below(4) {
        0 => format!("{{{one}}}"),
        1 => format!("{{{one}, {}}}", matcher(random)),
        2 => format!("{one},{}", matcher(random)),
        _ => one,
    }
}

fn route(random: &mut Random, depth: usize, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    let mut lines = Vec::new();
    if !random.one_in(4) {
        lines.push(format!("receiver: r{}", random.below(6)));
    }
    if random.one_in(3) {
        lines.push("continue: true".to_owned());
    }
    if random.one_in(3) {
        let all: Vec<String> = (0..1 + random.below(2)).map(|_| yaml(&matchers(random))).collect();
        lines.push(format!("matchers: [{}]", all.join(", ")));
    }
    if random.one_in(6) {
        lines.push(format!("match: {{{}: {}}}", random.of(NAMES), yaml(random.of(VALUES))));
    }
    if random.one_in(4) {
        lines.push(format!("match_re: {{{}: {}}}", random.of(NAMES), yaml(random.of(PATTERNS))));
    }
    if random.one_in(4) {
        lines.push(format!("group_by: {}", random.of(&["[a]", "['...']", "[]", "[severity, a]"])));
    }
    if lines.is_empty() {
        lines.push("receiver: r0".to_owned());
    }
    for (i, line) in lines.iter().enumerate() {
        out.push_str(&format!("{pad}{} {line}\n", if i == 0 { "-" } else { " " }));
    }
    let children = if depth == 0 { 0 } else { random.below(4) };
    if children > 0 {
        out.push_str(&format!("{pad}  routes:\n"));
        (0..children).for_each(|_| route(random, depth - 1, indent + 2, out));
    }
}

fn file(random: &mut Random) -> String {
    let mut out = "route:\n  receiver: r0\n  routes:\n".to_owned();
    (0..1 + random.below(4)).for_each(|_| route(random, 3, 2, &mut out));
    out.push_str("receivers:\n");
    (0..6).for_each(|n| out.push_str(&format!("- name: r{n}\n")));
    out
}

fn asked(file: &Path, labels: &[String]) -> Output {
    Command::new("amtool")
        .args(["config", "routes", "test"])
        .arg(format!("--config.file={}", file.display()))
        .args(labels)
        .output()
        .expect("runs")
}

#[test]
fn alerts_go_where_alertmanager_sends_them() {
    if !amtool() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (path, told) = (dir.path().join("am.yml"), dir.path().join("told.yml"));
    let (mut differences, mut seen, mut refused) = (Vec::new(), BTreeMap::<usize, usize>::new(), 0);
    for seed in 0..cases(60) {
        let mut random = Random(seed as u64);
        let text = file(&mut random);
        std::fs::write(&path, &text).expect("writes");
        let routing = Routing::from_alertmanager_yml(&text);
        for first in [true, false, false] {
            let mut labels = BTreeMap::new();
            for name in NAMES {
                let value = random.of(VALUES);
                // amtool reads labels as matchers: what it cannot be told is not asked.
                if random.one_in(2) && !value.is_empty() {
                    labels.insert(*name, value);
                }
            }
            let args: Vec<String> = labels.iter().map(|(n, v)| format!("{n}={}", quoted(v))).collect();
            let output = asked(&path, &args);
            let theirs: Option<Vec<String>> =
                output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().split(',').map(str::to_owned).collect());
            // A receiver hears by each route that names it.
            let hops = |routing: &Routing| routing.explain(&Labels::from_pairs(labels.iter().map(|(n, v)| (*n, *v)))).groups;
            let ours: Option<Vec<String>> =
                routing.as_ref().ok().map(|routing| hops(routing).into_iter().map(|(receiver, _)| receiver).collect());
            match &theirs {
                Some(all) => *seen.entry(all.len()).or_default() += 1,
                None => refused += 1,
            }
            // What the table says of itself is the same table. One alert for each file is enough.
            if first && let Ok(routing) = &routing {
                std::fs::write(&told, routing.to_alertmanager_yml()).expect("writes");
                let again = asked(&told, &args);
                if (again.status.success(), &again.stdout) != (output.status.success(), &output.stdout) {
                    let said = String::from_utf8_lossy(&again.stderr).into_owned();
                    differences.push(format!("told again, seed {seed} {args:?} {said}\n{}", routing.to_alertmanager_yml()));
                }
            }
            if ours != theirs {
                differences.push(format!(
                    "seed {seed} {args:?}\ntheirs {theirs:?} {}\nours {ours:?} {:?}\n{text}",
                    String::from_utf8_lossy(&output.stderr),
                    routing.as_ref().err()
                ));
            }
        }
    }
    println!("{seen:?} receivers, {refused} refused");
    assert!(seen.keys().any(|n| *n > 1), "{seen:?}");
    assert!(differences.is_empty(), "{} differ\n{}", differences.len(), differences.iter().take(5).cloned().collect::<Vec<_>>().join("\n"));
}
