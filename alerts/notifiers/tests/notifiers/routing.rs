//! Who hears what: the routing rows of the documents, and agreement with amtool on Alertmanager's own files.

use crate::receiver::{Answer, Receiver};
use crate::{eventually, notice, settings, start, start_at};
use proptest::prelude::*;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{Clock, Labels, NoticeState::*, Severity, Timestamp};
use watchfire_notifiers::Faults;
use watchfire_notifiers::routing::Routing;

pub fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

/// The four levels of a game platform, the channels of a content platform, the preferences of a collaboration platform.
const DOCUMENTS: &str = r##"
[[receivers]]
name = "dev-slack"
channels = [{ type = "slack", url = "https://hooks.example/x" }]
[[receivers]]
name = "pagerduty"
channels = [{ type = "pagerduty", routing_key = "k" }]
[[receivers]]
name = "mail"
channels = [{ type = "email", smarthost = "127.0.0.1:25", from = "a@example.org", to = ["ops@example.org"] }]
[[receivers]]
name = "dashboard"
channels = [{ type = "terminal" }]

[[people]]
name = "oncall-engineer"
channels = [
  { channel = { type = "sms", url = "https://sms.example/send", to = ["+4930123"] }, at_least = "high" },
  { channel = { type = "email", smarthost = "127.0.0.1:25", from = "a@example.org", to = ["oncall@example.org"] }, summary = true },
  { enabled = false, channel = { type = "webhook", url = "https://push.example/" } },
]
timezone = "Europe/Berlin"
quiet_hours = [{ from = "22:00", to = "07:00" }]
daily_summary = "08:00"

[[teams]]
name = "support"
receivers = ["mail"]
[[teams]]
name = "operations"
members = ["oncall-engineer"]
receivers = ["dev-slack"]
[[teams]]
name = "analytics"
receivers = ["mail"]

[[routes]]
to = ["dashboard"]
continue = true
[[routes]]
severity = ["critical"]
to = ["oncall-engineer", "pagerduty", "mail"]
[[routes]]
severity = ["high", "security"]
to = ["support"]
[[routes]]
severity = ["low"]
to = ["analytics"]
batch = "1h"
[[routes]]
matchers = ["service=~\"(board|item)-service\"", "severity!=\"info\""]
to = ["dev-slack"]
[[routes]]
severity = ["normal", "warning"]
to = ["operations"]
"##;

#[test]
fn every_routing_row_of_the_documents_reaches_its_people() {
    let routing = Routing::new(&settings(DOCUMENTS)).unwrap();
    for (pairs, expected) in [
        (&[("severity", "critical")][..], &["dashboard", "oncall-engineer", "pagerduty", "mail"][..]),
        (&[("severity", "page")], &["dashboard", "oncall-engineer", "pagerduty", "mail"]),
        (&[("severity", "high")], &["dashboard", "mail"]),
        (&[("severity", "security")], &["dashboard", "mail"]),
        (&[("severity", "normal")], &["dashboard", "oncall-engineer", "dev-slack"]),
        (&[("severity", "low")], &["dashboard", "mail"]),
        (&[("severity", "warning"), ("service", "board-service")], &["dashboard", "dev-slack"]),
        (&[("severity", "info"), ("service", "board-service")], &["dashboard"]),
    ] {
        let explained = routing.explain(&labels(pairs));
        assert_eq!(explained.receivers, expected, "{pairs:?}\n{}", explained.lines.join("\n"));
    }
}

#[test]
fn a_persons_preferences_choose_the_channels() {
    let routing = Routing::new(&settings(DOCUMENTS)).unwrap();
    let paths = |severity: Severity| {
        let mut notice = notice("A", 1, Firing);
        notice.severity = severity;
        notice.labels = labels(&[("alertname", "A"), ("severity", severity.word())]);
        routing.destinations(&notice).into_iter().map(|d| d.path).filter(|p| p.starts_with("oncall")).collect::<Vec<_>>()
    };
    assert_eq!(paths(Severity::Critical), ["oncall-engineer/sms", "oncall-engineer/email"]);
    assert_eq!(paths(Severity::Normal), ["oncall-engineer/email"], "no text message for what is not loud");
}

#[test]
fn quiet_hours_hold_back_all_but_the_loudest() {
    let routing = Routing::new(&settings(DOCUMENTS)).unwrap();
    let night = Timestamp(chrono::DateTime::parse_from_rfc3339("2026-03-02T01:00:00Z").unwrap().timestamp_millis());
    let mut quiet = notice("A", 1, Firing);
    assert!(!routing.muted(0, "oncall-engineer", quiet.severity, night));
    quiet.severity = Severity::High;
    assert!(routing.muted(0, "oncall-engineer", quiet.severity, night));
    assert!(!routing.muted(0, "oncall-engineer", quiet.severity, night.saturating_add(Duration::from_secs(6 * 3600))));
    assert!(!routing.muted(0, "mail", quiet.severity, night));
}

#[test]
fn mistakes_are_named() {
    for (toml, expected) in [
        ("[[routes]]\nto = [\"nobody\"]", "\"nobody\", which is no receiver"),
        ("[[routes]]\nto = []", "names nobody"),
        ("[[routes]]\nto = [\"desktop\"]\nmatchers = [\"a==b\\\"\"]", "bad matcher"),
        ("[[people]]\nname = \"a\"\ntimezone = \"Mars/Base\"", "unknown time zone"),
        ("[[receivers]]\nname = \"a\"\n[[teams]]\nname = \"a\"", "more than one"),
    ] {
        let error = Routing::new(&settings(toml)).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    for toml in [
        "nonsense = 1",
        "[[routes]]\nto = []\nseverity = [\"loud\"]",
        "[[receivers]]\nname = \"a\"\nchannels = [{ type = \"slack\", ulr = \"x\" }]",
    ] {
        assert!(toml::from_str::<watchfire_notifiers::Settings>(toml).is_err(), "{toml}");
    }
}

#[tokio::test]
async fn low_severity_is_collected_into_one_message() {
    let receiver = Receiver::start().await;
    let clock = watchfire_model::HandClock::at(Timestamp(1_772_334_900_000));
    let ours = settings(&format!(
        "[[receivers]]\nname = \"analytics\"\nchannels = [{{ type = \"webhook\", url = \"{}\" }}]\n[[routes]]\nseverity = [\"low\"]\nto = [\"analytics\"]\nbatch = \"1h\"",
        receiver.url
    ));
    let running = start_at(ours, None, Arc::new(clock.clone()), Faults::default());
    for n in 0..5 {
        let mut low = notice(&format!("Trend{n}"), 1, Firing);
        low.severity = Severity::Low;
        low.labels = labels(&[("alertname", &format!("Trend{n}")), ("severity", "low")]);
        running.commit(vec![low]).await;
        clock.advance(Duration::from_secs(600));
    }
    assert_eq!(receiver.count(), 0);
    clock.advance(Duration::from_secs(601));
    eventually("the batch", || receiver.count() == 1).await;
    assert_eq!(receiver.alerts().len(), 5);
    running.stop().await;
}

#[tokio::test]
async fn a_person_asleep_hears_of_it_in_the_morning_if_it_still_fires() {
    let receiver = Receiver::start().await;
    let night = Timestamp(chrono::DateTime::parse_from_rfc3339("2026-03-02T01:00:00Z").unwrap().timestamp_millis());
    let clock = watchfire_model::HandClock::at(night);
    let ours = settings(&format!(
        "[[people]]\nname = \"alex\"\nquiet_hours = [{{ from = \"22:00\", to = \"07:00\" }}]\n[[people.channels]]\nchannel = {{ type = \"webhook\", url = \"{}\" }}\n\
         [[routes]]\nto = [\"alex\"]\ngroup_wait = \"0s\"\ngroup_interval = \"0s\"",
        receiver.url
    ));
    let running = start_at(ours, None, Arc::new(clock.clone()), Faults::default());
    let mut quiet = notice("Quiet", 1, Firing);
    quiet.severity = Severity::High;
    running.commit(vec![quiet]).await;
    running.commit(vec![notice("Loud", 1, Firing)]).await;
    eventually("the loud one", || receiver.count() == 1).await;
    assert_eq!(receiver.alerts()[0].0, "Loud");
    clock.advance(Duration::from_secs(6 * 3600));
    // The loud one is repeated by then, after four hours.
    eventually("the quiet one in the morning", || receiver.alerts().iter().any(|(name, _)| name == "Quiet")).await;
    running.stop().await;
}

#[tokio::test]
async fn an_alertmanager_file_decides_when_one_is_given() {
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let (file, secret) = (directory.path().join("alertmanager.yml"), directory.path().join("secret"));
    std::fs::write(&secret, "c\n").unwrap();
    std::fs::write(
        &file,
        format!(
            "route:\n  receiver: nobody\n  group_wait: 0s\n  group_interval: 1ms\n  routes:\n  - matchers: [severity=\"critical\"]\n    receiver: hook\n\
             receivers:\n- name: nobody\n- name: hook\n  webhook_configs:\n  - url: {}\n    http_config: {{http_headers: {{X-Team: {{values: [a], secrets: [b], files: [secret]}}}}}}\n\
             inhibit_rules:\n- source_matchers: [alertname=Root]\n  target_matchers: [alertname=Victim]\n  equal: [service]\n",
            receiver.url
        ),
    )
    .unwrap();
    let mut ours = settings("");
    ours.alertmanager_config = Some(file);
    let running = start(ours, None);
    running.commit(vec![notice("Root", 1, Firing)]).await;
    eventually("the root", || receiver.count() == 1).await;
    assert_eq!(receiver.received()[0].headers["x-team"], "a, b, c");
    running.commit(vec![notice("Victim", 1, Firing), notice("Else", 1, Firing)]).await;
    eventually("the other one", || receiver.count() == 2).await;
    assert!(receiver.alerts().iter().all(|(name, _)| name != "Victim"), "inhibited");
    running.commit(vec![notice("Root", 2, Resolved)]).await;
    eventually("told when the source is gone", || receiver.alerts().iter().any(|(name, _)| name == "Victim")).await;
    running.stop().await;
}

#[tokio::test]
async fn nobody_is_woken_by_an_end_and_it_is_told_in_the_morning() {
    let receiver = Receiver::start().await;
    let evening = Timestamp(chrono::DateTime::parse_from_rfc3339("2026-03-02T21:00:00Z").unwrap().timestamp_millis());
    let clock = watchfire_model::HandClock::at(evening);
    let ours = settings(&format!(
        "[[people]]\nname = \"alex\"\nquiet_hours = [{{ from = \"22:00\", to = \"07:00\" }}]\n[[people.channels]]\nchannel = {{ type = \"webhook\", url = \"{}\" }}\n\
         [[routes]]\nto = [\"alex\"]\ngroup_wait = \"0s\"\ngroup_interval = \"0s\"\nrepeat_interval = \"1d\"",
        receiver.url
    ));
    let running = start_at(ours, None, Arc::new(clock.clone()), Faults::default());
    let quiet = |revision, state| {
        let mut quiet = notice("Quiet", revision, state);
        quiet.severity = Severity::High;
        quiet
    };
    running.commit(vec![quiet(1, Firing)]).await;
    eventually("told in the evening", || receiver.count() == 1).await;
    clock.advance(Duration::from_secs(4 * 3600));
    running.commit(vec![quiet(2, Resolved)]).await;
    running.commit(vec![notice("Loud", 1, Firing)]).await;
    eventually("the loud one", || receiver.count() == 2).await;
    assert_eq!(receiver.alerts()[1].0, "Loud");
    clock.advance(Duration::from_secs(7 * 3600));
    eventually("the end, in the morning", || receiver.count() == 3).await;
    assert_eq!(receiver.alerts()[2], ("Quiet".to_owned(), "resolved".to_owned()));
    running.stop().await;
}

#[tokio::test]
async fn a_daily_summary_comes_once_through_the_chosen_channel() {
    let receiver = Receiver::start().await;
    let morning = Timestamp(chrono::DateTime::parse_from_rfc3339("2026-03-01T07:59:58Z").unwrap().timestamp_millis());
    let clock = watchfire_model::HandClock::at(morning);
    let directory = tempfile::tempdir().unwrap();
    let ours = settings(&format!(
        "default_to = []\n[[people]]\nname = \"alex\"\ndaily_summary = \"08:00\"\n[[people.channels]]\nsummary = true\nchannel = {{ type = \"webhook\", url = \"{0}/mail\" }}\n\
         [[people.channels]]\nchannel = {{ type = \"webhook\", url = \"{0}/phone\" }}",
        receiver.url
    ));
    let running = start_at(ours.clone(), Some(directory.path()), Arc::new(clock.clone()), Faults::default());
    running.commit(vec![notice("A", 1, Firing), notice("B", 1, Firing), notice("A", 2, Resolved)]).await;
    clock.advance(Duration::from_secs(5));
    eventually("the summary", || receiver.count() == 1).await;
    let received = receiver.received()[0].clone();
    assert_eq!(received.path, "/mail");
    let text = received.json()["commonAnnotations"].clone();
    assert!(text["summary"].as_str().unwrap().contains("2 fired, 1 resolved"), "{text}");
    assert!(text["description"].as_str().unwrap().contains("1 x A"), "{text}");
    running.stop().await;
    // Not again after a restart on the same day, but on the next.
    let running = start_at(ours, Some(directory.path()), Arc::new(clock.clone()), Faults::default());
    clock.advance(Duration::from_secs(86_400));
    eventually("the next day's", || receiver.count() == 2).await;
    assert!(receiver.received()[1].json()["commonAnnotations"]["summary"].as_str().unwrap().contains("0 fired"));
    running.stop().await;
}

#[tokio::test]
async fn a_summary_that_could_not_be_delivered_is_owed_over_a_restart_with_its_key() {
    let receiver = Receiver::start().await;
    receiver.always(Some(Answer::Status(503)));
    let morning = Timestamp(chrono::DateTime::parse_from_rfc3339("2026-03-02T08:00:01Z").unwrap().timestamp_millis());
    let clock = watchfire_model::HandClock::at(morning);
    let directory = tempfile::tempdir().unwrap();
    let ours = settings(&format!(
        "default_to = []\n[[people]]\nname = \"alex\"\ndaily_summary = \"08:00\"\n[[people.channels]]\nchannel = {{ type = \"webhook\", url = \"{}\" }}\n[limits]\ndrain = \"100ms\"",
        receiver.url
    ));
    let running = start_at(ours.clone(), Some(directory.path()), Arc::new(clock.clone()), Faults::default());
    eventually("tried", || receiver.count() == 1).await;
    assert_eq!(running.handle.owed(), 1);
    running.stop().await;
    receiver.always(None);
    let before = receiver.count();
    let running = start_at(ours, Some(directory.path()), Arc::new(clock.clone()), Faults::default());
    eventually("delivered", || running.handle.owed() == 0).await;
    let received = receiver.received();
    assert_eq!(received.len(), before + 1);
    assert!(received.iter().all(|r| r.key() == received[0].key() && !r.key().is_empty()));
    running.stop().await;
}

pub const TREE: &str = r#"
global:
  slack_api_url: https://hooks.example/x
  smtp_smarthost: 127.0.0.1:25
  smtp_from: a@example.org
templates: ['*.tmpl']
time_intervals:
- name: nights
  time_intervals:
  - times: [{start_time: '00:00', end_time: '06:00'}]
route:
  receiver: default
  group_by: [alertname, cluster]
  routes:
  - matchers: [severity="critical", 'team=~"db|cache"']
    receiver: db-pager
    continue: true
  - match: {severity: critical}
    receiver: pager
    mute_time_intervals: [nights]
    routes:
    - match_re: {service: 'api-.*'}
      receiver: api-pager
      routes:
      - matchers: ['{env!="prod",zone!~"a|b"}']
        receiver: api-test
  - matchers: ['service=']
    receiver: unlabelled
    continue: true
  - matchers: [team = db]
    receiver: db-slack
    group_by: ['...']
  - matchers: ['quoted="a,b"']
    receiver: opsgenie-team
receivers:
- name: default
- name: pager
  pagerduty_configs: [{routing_key: k}]
- name: api-pager
  pagerduty_configs: [{routing_key: k}]
- name: api-test
  webhook_configs: [{url: 'http://127.0.0.1:1/'}]
- name: db-pager
  pagerduty_configs: [{routing_key: k}]
- name: db-slack
  slack_configs: [{channel: '#db', send_resolved: true}]
- name: unlabelled
  email_configs: [{to: 'ops@example.org'}]
- name: opsgenie-team
  opsgenie_configs: [{api_key: k}]
"#;

/// amtool's answer, or `None` where it is not installed.
fn amtool(file: &std::path::Path, pairs: &[(String, String)]) -> Option<String> {
    let arguments = pairs.iter().map(|(k, v)| format!("{k}={v}"));
    let output = Command::new("amtool").args(["config", "routes", "test", "--config.file"]).arg(file).args(arguments).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
fn routing_agrees_with_amtool_on_random_labels() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("alertmanager.yml");
    std::fs::write(&file, TREE).unwrap();
    let routing = Routing::from_alertmanager_yml(TREE).unwrap();
    if amtool(&file, &[]).is_none() {
        println!("skipped: amtool is not installed (Debian package prometheus-alertmanager)");
        return;
    }
    let some = |values: &'static [&'static str]| proptest::sample::select(values);
    let strategy = (
        some(&["critical", "warning", ""]),
        some(&["db", "cache", "dbx", ""]),
        some(&["api-users", "api-", "web", ""]),
        some(&["prod", "test", ""]),
        some(&["a", "c", ""]),
        some(&["a,b", "a", ""]),
    );
    let config = ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&strategy, |(severity, team, service, env, zone, quoted)| {
            let pairs: Vec<(String, String)> =
                [("severity", severity), ("team", team), ("service", service), ("env", env), ("zone", zone), ("quoted", quoted)]
                    .into_iter()
                    .filter(|(_, v)| !v.is_empty())
                    // amtool reads an argument as a matcher; a comma needs its quotes there.
                    .map(|(k, v)| (k.to_owned(), if v.contains(',') { format!("{v:?}") } else { v.to_owned() }))
                    .collect();
            let labels = Labels::from_pairs(pairs.iter().map(|(k, v)| (k.as_str(), v.trim_matches('"'))));
            let theirs = amtool(&file, &pairs).unwrap_or_default();
            prop_assert_eq!(routing.explain(&labels).receivers.join(","), theirs, "{}", labels);
            Ok(())
        })
        .unwrap();
}

#[test]
fn files_that_alertmanager_refuses_are_refused_with_the_reason() {
    for (yaml, expected) in [
        ("receivers: [{name: a}]\nroute: {}", "must specify a default receiver"),
        ("receivers: [{name: a}]\nroute: {receiver: b}", "\"b\""),
        ("receivers: [{name: a}, {name: a}]\nroute: {receiver: a}", "not unique"),
        ("receivers: [{name: a}]\nroute: {receiver: a, matchers: [x=y]}", "must not have any matchers"),
        ("receivers: [{name: a}]\nroute: {receiver: a, routes: [{mute_time_intervals: [n]}]}", "\"n\""),
        ("receivers: [{name: a}]\nroute: {receiver: a, group_by: ['...', x]}", "wildcard"),
        ("receivers: [{name: a}]\nroute: {receiver: a, colour: red}", "colour"),
        ("receivers: [{name: a}]\nroute: {receiver: a, group_interval: 0s}", "cannot be zero"),
        ("receivers: [{name: a}]\nroute: {receiver: a, routes: [{match_re: {a: '('}}]}", "("),
    ] {
        let error = Routing::from_alertmanager_yml(yaml).map(|_| ()).unwrap_err();
        assert!(error.contains(expected), "{yaml}: {error}");
    }
}

#[test]
fn receivers_of_unknown_kinds_are_routed_to_and_named_as_ignored() {
    let routing = Routing::from_alertmanager_yml(TREE).unwrap();
    let found = routing.receivers().iter().find(|r| r.name == "opsgenie-team").unwrap();
    assert_eq!((found.ignored.as_slice(), found.channels.len()), (&["opsgenie".to_owned()][..], 0));
    let slack = &routing.receivers().iter().find(|r| r.name == "db-slack").unwrap().channels[0];
    assert!(slack.send_resolved, "as the file says");
    let mail = &routing.receivers().iter().find(|r| r.name == "unlabelled").unwrap().channels[0];
    assert!(!mail.send_resolved, "as Alertmanager does by itself");
}

#[test]
fn mute_intervals_rest_a_route() {
    let routing = Routing::from_alertmanager_yml(TREE).unwrap();
    let critical = notice("A", 1, Firing);
    let route = routing.destinations(&critical).iter().find(|d| d.path == "pager/pagerduty").map(|d| d.route).unwrap();
    let clock = watchfire_model::HandClock::at(Timestamp(1_772_334_900_000)); // 03:15 UTC
    assert!(routing.muted(route, "pager", critical.severity, clock.now()));
    assert!(!routing.muted(route, "pager", critical.severity, clock.now().saturating_add(Duration::from_secs(3 * 3600))));
}

#[test]
fn a_cause_that_speaks_louder_than_its_own_rule_reaches_whom_that_loudness_reaches() {
    let own = Routing::new(&settings(
        "[[receivers]]\nname = \"oncall\"\nchannels = [{ type = \"terminal\" }]\n[[receivers]]\nname = \"chat\"\nchannels = [{ type = \"terminal\" }]\n\
         [[routes]]\nseverity = [\"critical\"]\nto = [\"oncall\"]\n[[routes]]\nto = [\"chat\"]",
    ))
    .unwrap();
    let file = Routing::from_alertmanager_yml(
        "route:\n  receiver: chat\n  routes:\n  - matchers: ['severity=\"critical\"']\n    receiver: oncall\n\
         receivers:\n- name: chat\n  webhook_configs: [{url: 'http://nowhere.invalid/'}]\n- name: oncall\n  webhook_configs: [{url: 'http://nowhere.invalid/'}]\n",
    )
    .unwrap();
    for routing in [own, file] {
        let reached = |labelled: &str, severity: Severity| {
            let mut notice = notice("Cause", 1, Firing);
            notice.severity = severity;
            notice.labels = labels(&[("alertname", "Cause"), ("severity", labelled)]);
            let paths = routing.destinations(&notice).into_iter().map(|d| d.path);
            paths.map(|p| p.split('/').next().unwrap_or("").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(reached("warning", Severity::Warning), ["chat"]);
        assert_eq!(reached("warning", Severity::Critical), ["oncall", "chat"], "it stands for a critical alert that is held back");
        assert_eq!(reached("critical", Severity::Critical), ["oncall"]);
    }
}

#[test]
fn a_route_that_lists_no_labels_groups_as_the_one_above_it() {
    let routing = Routing::from_alertmanager_yml(
        "route: {receiver: ops, group_by: [service], routes: [{matchers: [a=x], group_by: []}, {matchers: [a=y], group_by: ['...']}]}\nreceivers: [{name: ops}]\n",
    )
    .unwrap();
    let groups = |a: &str| routing.explain(&Labels::from_pairs([("a", a), ("service", "s"), ("zone", "z")])).groups;
    assert_eq!(groups("x"), [("ops".to_owned(), Labels::from_pairs([("service", "s")]))]);
    assert_eq!(groups("y"), [("ops".to_owned(), Labels::from_pairs([("a", "y"), ("service", "s"), ("zone", "z")]))]);
}
