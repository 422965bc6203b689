//! Several routes of an `alertmanager.yml` to one receiver: each tells it, in groups of its own, as a running Alertmanager does.

use crate::receiver::Receiver;
use crate::{eventually, notice, start};
use std::collections::BTreeMap;
use std::time::Duration;
use watchfire_model::NoticeState::{Firing, Resolved};
use watchfire_model::{Labels, Notice};
use watchfire_notifiers::Settings;

/// Two routes by different labels, two that look the same, and one of PagerDuty, which tells its alerts apart by their keys.
fn settings(receiver: &Receiver, directory: &std::path::Path) -> Settings {
    let file = directory.join("alertmanager.yml");
    let text = format!(
        "route:\n  receiver: ops\n  group_wait: 0s\n  group_interval: 1s\n  routes:\n  \
         - {{receiver: ops, matchers: ['kind=\"two\"'], continue: true, group_by: [alertname]}}\n  \
         - {{receiver: ops, matchers: ['kind=~\"two|x\"'], continue: true, group_by: [kind]}}\n  \
         - {{receiver: ops, matchers: ['kind=\"same\"'], continue: true, group_by: [alertname]}}\n  \
         - {{receiver: ops, matchers: ['kind=\"same\"'], continue: true, group_by: [alertname]}}\n\
         receivers:\n- name: ops\n  webhook_configs: [{{url: '{0}/hook'}}]\n  pagerduty_configs: [{{routing_key: k, url: '{0}/pager'}}]\n",
        receiver.url
    );
    std::fs::write(&file, text).unwrap();
    Settings { alertmanager_config: Some(file), ..Settings::default() }
}

fn alert(name: &str, kind: &str, revision: u64, state: watchfire_model::NoticeState) -> Notice {
    let labels = Labels::from_pairs([("alertname", name), ("severity", "critical"), ("kind", kind)]);
    Notice { labels, ..notice(name, revision, state) }
}

/// How often each group was told of each state, and how many events the pager got.
fn told(receiver: &Receiver) -> (BTreeMap<(String, String), usize>, usize) {
    let mut groups = BTreeMap::new();
    let (hook, pager): (Vec<_>, Vec<_>) = receiver.received().into_iter().partition(|r| r.path == "/hook");
    for message in hook {
        let json = message.json();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        *groups.entry((text(&json["groupKey"]), text(&json["status"]))).or_default() += 1;
    }
    (groups, pager.len())
}

fn expected(state: &str) -> BTreeMap<(String, String), usize> {
    [
        r#"{}/{kind="two"}:{alertname="T"}"#,
        r#"{}/{kind=~"two|x"}:{kind="two"}"#,
        r#"{}/{kind="same"}:{alertname="S"}"#,
        r#"{}/{kind="same"}/3:{alertname="S"}"#,
    ]
    .into_iter()
    .map(|key| ((key.to_owned(), state.to_owned()), 1))
    .collect()
}

#[tokio::test]
async fn each_route_to_a_receiver_tells_it_once_of_the_beginning_and_once_of_the_end() {
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let running = start(settings(&receiver, directory.path()), Some(&state));
    running.commit(vec![alert("T", "two", 1, Firing), alert("S", "same", 1, Firing)]).await;
    eventually("all are told", || running.handle.owed() == 0).await;
    assert_eq!(told(&receiver), (expected("firing"), 2));
    running.stop().await;
    // What was told by which route is known after a restart, and told to nobody anew.
    let running = start(settings(&receiver, directory.path()), Some(&state));
    running.commit(vec![alert("T", "two", 2, Resolved), alert("S", "same", 2, Resolved)]).await;
    eventually("all know the end", || running.handle.owed() == 0).await;
    let all: BTreeMap<_, _> = expected("firing").into_iter().chain(expected("resolved")).collect();
    assert_eq!(told(&receiver), (all, 4));
    running.stop().await;
}

#[tokio::test]
async fn what_one_route_could_not_tell_is_told_though_the_other_has_told_it() {
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    receiver.answers([crate::receiver::Answer::Status(200), crate::receiver::Answer::Status(503)]);
    let mut ours = settings(&receiver, directory.path());
    ours.limits.backoff_min = Duration::from_millis(10);
    // One channel is enough here.
    let file = ours.alertmanager_config.clone().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.contains("pagerduty")).collect();
    std::fs::write(&file, without.join("\n")).unwrap();
    let running = start(ours, None);
    running.commit(vec![alert("T", "two", 1, Firing)]).await;
    eventually("both are told", || running.handle.owed() == 0).await;
    let keys: Vec<String> = receiver.received().iter().map(|r| r.key().to_owned()).collect();
    assert!(keys.len() == 3 && keys[0] != keys[1] && keys[1] == keys[2], "{keys:?}");
    running.stop().await;
}
