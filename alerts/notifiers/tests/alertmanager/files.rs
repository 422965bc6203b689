//! Files that are changed in one place: what Alertmanager refuses is refused, what it takes is taken.

use crate::random::Random;
use crate::{amtool, cases};
use std::path::Path;
use std::process::Command;
use watchfire_notifiers::Settings;
use watchfire_notifiers::routing::Routing;

const BASE: &str = r##"global:
  resolve_timeout: 5m
  smtp_from: alerts@example.org
  smtp_smarthost: mail.example.org:587
  smtp_require_tls: true
  slack_api_url: https://hooks.example.org/services/x
  http_config:
    follow_redirects: true
route:
  receiver: default
  group_by: [alertname, cluster]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 4h
  routes:
  - receiver: pager
    matchers: [severity="critical"]
    continue: true
    mute_time_intervals: [nights]
  - receiver: chat
    match:
      team: web
    match_re:
      service: ^(a|b)$
    active_time_intervals: [office, nights]
    group_by: ['...']
    routes:
    - matchers:
      - env=~"prod|stage"
      - zone!=x
      receiver: mail
receivers:
- name: default
- name: pager
  pagerduty_configs:
  - routing_key: abc
    send_resolved: true
- name: chat
  slack_configs:
  - channel: '#ops'
    send_resolved: true
    title: '{{ template "slack.default.title" . }}'
- name: mail
  email_configs:
  - to: a@example.org
    headers: {Subject: hello}
- name: hook
  webhook_configs:
  - url: http://127.0.0.1:1/
    max_alerts: 5
    http_config:
      basic_auth: {username: a, password: b}
inhibit_rules:
- source_matchers: [severity="critical"]
  target_matchers: [severity=~"warning|info"]
  equal: [alertname, cluster]
- source_match: {severity: critical}
  target_match_re: {severity: warn.*}
  equal: [cluster]
time_intervals:
- name: nights
  time_intervals:
  - times:
    - {start_time: '22:00', end_time: '24:00'}
    - {start_time: '00:00', end_time: '06:00'}
    weekdays: ['monday:friday', sunday]
    location: Europe/Berlin
- name: office
  time_intervals:
  - weekdays: ['monday:friday']
    days_of_month: ['1:15', '-3:-1']
    months: ['january:march', 5, december]
    years: ['2026:2030', 2040]
templates: []
"##;

/// What a value is exchanged for.
const OTHERS: &[&str] = &[
    "",
    "~",
    "x",
    "''",
    "0",
    "-1",
    "5",
    "1.5",
    "true",
    "false",
    "[]",
    "{}",
    "[x]",
    "{a: b}",
    "5m",
    "1h30m",
    "5x",
    "1d12h",
    "30m1h",
    "'5m '",
    "0s",
    "default",
    "nobody",
    "nights",
    "[nights]",
    "[nobody]",
    "['...']",
    "['...', a]",
    "[a, a]",
    "['a-b']",
    "['']",
    "[1]",
    "a=b",
    "['a=b']",
    "['a']",
    "['a=~(']",
    "['=x']",
    "['a=\"b']",
    "{a: '('}",
    "{'a-b': x}",
    "{a: 1}",
    "{a: 1.50}",
    "{a: yes}",
    "{a: ~}",
    "'('",
    "'24:00'",
    "'24:01'",
    "'9:00'",
    "'09:60'",
    "['monday:funday']",
    "['friday:monday']",
    "['Monday']",
    "['0:6']",
    "[monday]",
    "['0']",
    "['32']",
    "['-31:31']",
    "['-1:1']",
    "['5:3']",
    "['-1:-5']",
    "['1:-1']",
    "['13']",
    "['0:12']",
    "['march:january']",
    "['2030:2020']",
    "['x']",
    "UTC",
    "Local",
    "Mars/Base",
    "europe/berlin",
    "example.org",
    "ftp://x/",
    "http://x/",
    "'#ops'",
    "'{{ .X'",
    "'{{ nope }}'",
    "1e3",
];

fn changed(random: &mut Random) -> String {
    let mut lines: Vec<String> = BASE.lines().map(str::to_owned).collect();
    for _ in 0..1 + usize::from(random.one_in(4)) {
        let at = random.below(lines.len());
        let line = lines[at].clone();
        let (key, _) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        let key = key.to_owned();
        match random.below(10) {
            0 => {
                lines.remove(at);
            }
            1 => lines.insert(at, line),
            2 => lines[at] = format!("{key}x: {}", line.split_once(": ").map_or("", |(_, v)| v)),
            _ => lines[at] = format!("{key}: {}", random.of(OTHERS)),
        }
    }
    lines.join("\n") + "\n"
}

fn verdicts(texts: &[String]) -> Vec<Result<(), String>> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut out = Vec::new();
    for (n, chunk) in texts.chunks(500).enumerate() {
        let names: Vec<String> = (0..chunk.len()).map(|i| format!("{n}-{i}.yml")).collect();
        for (name, text) in names.iter().zip(chunk) {
            std::fs::write(dir.path().join(name), text).expect("writes");
        }
        let output = Command::new("amtool").arg("check-config").args(&names).current_dir(dir.path()).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stdout);
        let parts: Vec<&str> = said.split("Checking '").skip(1).collect();
        assert_eq!(parts.len(), chunk.len(), "{said}");
        for (part, name) in parts.iter().zip(&names) {
            assert!(part.starts_with(name.as_str()), "{part}");
            let verdict = &part[name.len()..];
            out.push(if verdict.contains("SUCCESS") { Ok(()) } else { Err(verdict.trim().to_owned()) });
        }
    }
    out
}

#[test]
fn files_are_taken_and_refused_as_by_alertmanager() {
    if !amtool() {
        return;
    }
    let mut texts = vec![BASE.to_owned()];
    texts.extend((0..cases(1500)).map(|seed| changed(&mut Random(seed as u64))));
    let theirs = verdicts(&texts);
    assert_eq!(theirs[0], Ok(()));
    let dir = tempfile::tempdir().expect("a directory");
    let mut differences = Vec::new();
    for (text, theirs) in texts.iter().zip(&theirs) {
        let ours = taken(text, dir.path());
        if ours.is_ok() != theirs.is_ok() && !meant(theirs, &ours) {
            let changed: Vec<String> = diff(text);
            differences.push(format!("{}\n   theirs {theirs:?}\n   ours {ours:?}", changed.join("\n")));
        }
    }
    let taken = theirs.iter().filter(|t| t.is_ok()).count();
    println!("{taken} of {} taken", texts.len());
    assert!(differences.is_empty(), "{} of {} differ\n{}", differences.len(), texts.len(), differences.join("\n"));
}

/// Where the two differ on purpose.
fn meant(theirs: &Result<(), String>, ours: &Result<(), String>) -> bool {
    let say = |verdict: &Result<(), String>, words: &[&str]| verdict.as_ref().is_err_and(|e| words.iter().any(|w| e.contains(w)));
    // Later versions take any text for the name of a label.
    let name = say(theirs, &["valid label name", "invalid label name"]) && !say(theirs, &["\"\""]);
    // What could never be sent, or could be sent wherever a label says, is refused here when it is read and there when it is sent.
    let address = say(ours, &["Invalid input", "is not host:port", "must not choose destinations"]);
    // Months that do not exist, and the zone of whatever machine this is.
    name || address || say(ours, &["is not a valid range", "\"Local\""])
}

/// As `watchfire config check` judges.
fn taken(text: &str, dir: &Path) -> Result<(), String> {
    Routing::from_alertmanager_yml(text)?;
    let path = dir.join("alertmanager.yml");
    std::fs::write(&path, text).expect("writes");
    watchfire_notifiers::check(&Settings { alertmanager_config: Some(path), ..Settings::default() }).map(|_| ())
}

/// Lines that are not in the base.
fn diff(text: &str) -> Vec<String> {
    let gone = BASE.lines().filter(|l| !text.lines().any(|o| o == *l)).map(|l| format!("- {l}"));
    let new = text.lines().filter(|l| !BASE.lines().any(|o| o == *l)).map(|l| format!("+ {l}"));
    gone.chain(new).collect()
}
