//! From samples to people through the whole program: what an Alertmanager and a webhook hear, over restarts, kills and reloads.

use crate::instance::{PATIENCE, Watchfire};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::watch;

/// What was posted to a receiver.
#[derive(Clone)]
pub struct Posted {
    pub path: String,
    key: String,
    pub body: Json,
    at: DateTime<Utc>,
}

/// An HTTP server that takes everything and remembers it; ends with its runtime.
#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    posted: watch::Sender<Vec<Posted>>,
}

impl Receiver {
    pub async fn start() -> Self {
        Self::taking(Duration::ZERO).await
    }

    /// Answers only after so long.
    async fn taking(time: Duration) -> Self {
        let posted = watch::Sender::new(Vec::new());
        let take = move |State(posted): State<watch::Sender<Vec<Posted>>>, uri: Uri, headers: HeaderMap, body: String| async move {
            // The slowness of this receiver.
            tokio::time::sleep(time).await;
            let key = headers.get("idempotency-key").and_then(|k| k.to_str().ok()).unwrap_or_default().to_owned();
            let body = serde_json::from_str(&body).unwrap_or(Json::Null);
            posted.send_modify(|posted| posted.push(Posted { path: uri.path().to_owned(), key, body, at: Utc::now() }));
        };
        let router = Router::new().fallback(take).with_state(posted.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Receiver { url, posted }
    }

    pub fn posted(&self) -> Vec<Posted> {
        self.posted.borrow().clone()
    }

    /// Every alert of every message, with the message it came in.
    pub fn alerts(&self) -> Vec<(Posted, Json)> {
        let of = |p: Posted| {
            let list = p.body.as_array().or_else(|| p.body["alerts"].as_array()).cloned().unwrap_or_default();
            list.into_iter().map(move |alert| (p.clone(), alert))
        };
        self.posted().into_iter().flat_map(of).collect()
    }

    pub async fn until<T>(&self, what: &str, found: impl Fn(&Receiver) -> Option<T>) -> T {
        let mut posted = self.posted.subscribe();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                // Marked as seen before it is looked at: what comes meanwhile wakes this again.
                posted.borrow_and_update();
                if let Some(found) = found(self) {
                    return found;
                }
                posted.changed().await.expect("the receiver lives");
            }
        });
        match waited.await {
            Ok(found) => found,
            Err(_) => panic!("never happened: {what}; posted {:#?}", self.posted().iter().map(|p| &p.body).collect::<Vec<_>>()),
        }
    }
}

fn time(text: &Json) -> DateTime<Utc> {
    text.as_str().and_then(|t| t.parse().ok()).unwrap_or_else(|| panic!("no time: {text}"))
}

/// A remote write request (protobuf, in a snappy block of literals).
fn write_request(series: &[(&[(&str, &str)], f64)], at: DateTime<Utc>) -> Vec<u8> {
    fn varint(mut n: u64, out: &mut Vec<u8>) {
        while n >= 0x80 {
            out.push(n as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
    }
    fn field(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
        varint(number << 3 | 2, out);
        varint(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
    }
    let mut body = Vec::new();
    for (labels, value) in series {
        let mut one = Vec::new();
        for (name, text) in *labels {
            let mut label = Vec::new();
            field(1, name.as_bytes(), &mut label);
            field(2, text.as_bytes(), &mut label);
            field(1, &label, &mut one);
        }
        let mut sample = vec![9];
        sample.extend_from_slice(&value.to_le_bytes());
        sample.push(16);
        varint(at.timestamp_millis() as u64, &mut sample);
        field(2, &sample, &mut one);
        field(1, &one, &mut body);
    }
    let mut block = Vec::new();
    varint(body.len() as u64, &mut block);
    for chunk in body.chunks(60) {
        block.push((chunk.len() as u8 - 1) << 2);
        block.extend_from_slice(chunk);
    }
    block
}

/// Writes `metric{a="small"}` and `metric{a="zero"}` with the value it is set to, four times a second, until it is dropped.
struct Feeder {
    value: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Feeder {
    fn start(watchfire: &Watchfire, value: u64) -> Self {
        let (client, url) = (watchfire.client().clone(), watchfire.url("/api/v1/write"));
        let value = Arc::new(AtomicU64::new(value));
        let shared = value.clone();
        let task = tokio::spawn(async move {
            loop {
                let v = shared.load(Ordering::SeqCst) as f64;
                let series: [(&[(&str, &str)], f64); 2] =
                    [(&[("__name__", "metric"), ("a", "small")], v), (&[("__name__", "metric"), ("a", "zero")], v)];
                let request = client.post(&url).header("content-type", "application/x-protobuf").header("content-encoding", "snappy");
                let answer = request.body(write_request(&series, Utc::now())).send().await;
                assert!(answer.is_ok_and(|a| a.status().is_success()), "remote write is taken");
                // Samples come at a pace, as an agent sends them.
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        });
        Feeder { value, task }
    }

    fn set(&self, value: u64) {
        self.value.store(value, Ordering::SeqCst);
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).expect("writes");
    path.display().to_string()
}

/// The alert generator of the compliance suite in short: groups of one second instead of thirty, and a resend delay of one instead of sixty.
#[tokio::test(flavor = "multi_thread")]
async fn an_alertmanager_hears_what_the_compliance_suite_demands() {
    let receiver = Receiver::start().await;
    let files = TempDir::new().expect("a directory");
    let rules = write(
        &files.path().join("rules.yml"),
        r#"
groups:
- name: g
  interval: 1s
  rules:
  - {alert: Small, expr: 'metric{a="small"} > 10', for: 2s, labels: {foo: bar, severity: warning}, annotations: {d: "{{ humanize $value }} {{ $labels.a }}{{ $labels.foo }}"}}
  - {alert: Zero, expr: 'metric{a="zero"} > 10'}
  - {alert: Second, expr: 'ALERTS{alertname="Zero"}', labels: {foo: baz}, annotations: {d: "{{ $labels.alertname }} {{ $labels.alertstate }}"}}
"#,
    );
    let config = write(&files.path().join("config.toml"), "[limits.rules]\nresend_delay = \"1s\"\n");
    let watchfire = Watchfire::start(&["--rules", &rules, "--config", &config, "--remote-write-receiver", "--alertmanager", &receiver.url]);
    let feeder = Feeder::start(&watchfire, 5);
    let rule = |json: &Json, n: usize, state: &str| json["data"]["groups"][0]["rules"][n]["state"] == state;
    let quiet = watchfire.until("/api/v1/rules", "evaluated", |json| rule(json, 0, "inactive") && rule(json, 2, "inactive")).await;
    let first = &quiet["data"]["groups"][0]["rules"][0];
    assert_eq!((&first["health"], &first["type"], &first["duration"]), (&"ok".into(), &"alerting".into(), &2.0.into()), "{first}");
    assert!(receiver.posted().is_empty(), "nothing is sent while nothing fires");

    feeder.set(15);
    let pending = watchfire.until("/api/v1/rules", "pending", |json| rule(json, 0, "pending") && rule(json, 1, "firing")).await;
    let active_at = time(&pending["data"]["groups"][0]["rules"][0]["alerts"][0]["activeAt"]);
    let of = |name: &'static str, ended: bool| {
        move |r: &Receiver| {
            let all: Vec<(Posted, Json)> = r.alerts().into_iter().filter(|(_, a)| a["labels"]["alertname"] == name).collect();
            let wanted = |(p, a): &(Posted, Json)| (time(&a["endsAt"]) <= p.at) == ended;
            let found: Vec<_> = all.into_iter().filter(wanted).collect();
            (found.len() >= 3).then_some(found)
        }
    };
    let small = receiver.until("the pending one fires and is sent again", of("Small", false)).await;
    for (posted, alert) in &small {
        assert_eq!(posted.path, "/api/v2/alerts");
        let started = time(&alert["startsAt"]);
        assert_eq!(started - active_at, chrono::Duration::seconds(2), "when it fired, not when it became active");
        let valid = time(&alert["endsAt"]) - posted.at;
        assert!(valid <= chrono::Duration::seconds(4) && valid > chrono::Duration::zero(), "four times the resend delay: {valid}");
        assert_eq!(alert["labels"], serde_json::json!({"alertname": "Small", "a": "small", "foo": "bar", "severity": "warning"}));
        assert_eq!(alert["annotations"]["d"], "15 small", "templates see the labels of the result only");
        assert!(alert["generatorURL"].as_str().is_some_and(|u| u.starts_with(&watchfire.url("/graph?g0.expr=metric"))), "{alert}");
    }
    let zero = receiver.until("the one without for", of("Zero", false)).await;
    let second = receiver.until("the one that reads ALERTS", of("Second", false)).await;
    assert_eq!(zero[0].1["startsAt"], second[0].1["startsAt"], "a rule sees what the rule before it wrote in the same evaluation");
    assert_eq!(second[0].1["labels"]["foo"], "baz");
    assert_eq!(second[0].1["annotations"]["d"], "Zero firing");
    let now = Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let series = watchfire.json(&format!("/api/v1/query?query=ALERTS&time={now}")).await;
    assert_eq!(series["data"]["result"].as_array().map(Vec::len), Some(3), "{series}");

    feeder.set(5);
    let ended = receiver.until("the end, sent again and again", of("Zero", true)).await;
    let ends: BTreeSet<String> = ended.iter().map(|(_, a)| a["endsAt"].to_string()).collect();
    assert_eq!(ends.len(), 1, "the same end every time");
    watchfire.until("/api/v1/alerts", "no alert", |json| json["data"]["alerts"].as_array().is_some_and(Vec::is_empty)).await;
    watchfire.until("/api/v1/query?query=ALERTS", "stale", |json| json["data"]["result"].as_array().is_some_and(Vec::is_empty)).await;
}

/// Alerts that fire and resolve all the time while the process is killed: the last state always arrives, and what comes twice has the same key.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_no_transition_and_repeats_only_with_the_same_key() {
    // WATCHFIRE_KILLS=200 for the long run.
    let kills: u64 = std::env::var("WATCHFIRE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    let receiver = Receiver::start().await;
    let files = TempDir::new().expect("a directory");
    let flapping = |below: i32| {
        let rule = |i: u32| {
            format!(
                "  - {{alert: F{i}, expr: \"(floor(vector(time() * 5)) + {i}) % {} < {below}\", labels: {{severity: critical, service: s{i}}}}}\n",
                6 + i
            )
        };
        format!("groups:\n- name: g\n  interval: 200ms\n  rules:\n{}", (0..8).map(rule).collect::<String>())
    };
    let rules = write(&files.path().join("rules.yml"), &flapping(3));
    let config = write(
        &files.path().join("config.toml"),
        &format!(
            "[receivers.hook]\ntype = \"webhook\"\nurl = \"{}/hook\"\n[[route]]\nto = [\"hook\"]\ngroup_wait = \"0s\"\ngroup_interval = \"0s\"\n",
            receiver.url
        ),
    );
    let arguments = ["--rules", rules.as_str(), "--config", config.as_str()];
    for round in 0..kills {
        let before = receiver.posted().len();
        let watchfire = Watchfire::start_in(&files.path().join("state"), &arguments);
        if round % 2 == 0 {
            receiver.until("something is told", |r| (r.posted().len() > before).then_some(())).await;
        }
        // Killed at another moment of its work each time.
        tokio::time::sleep(Duration::from_millis(round * 37 % 150)).await;
        assert_eq!(watchfire.stop("KILL"), None);
    }
    // Rules that never fire end everything that was ever told of.
    write(&files.path().join("rules.yml"), &flapping(-1));
    let watchfire = Watchfire::start_in(&files.path().join("state"), &arguments);
    watchfire.until("/api/v1/alerts", "no alert", |json| json["data"]["alerts"].as_array().is_some_and(Vec::is_empty)).await;
    let last = |r: &Receiver| {
        let mut last = BTreeMap::new();
        for (_, alert) in r.alerts() {
            last.insert(alert["labels"]["alertname"].to_string(), alert["status"].to_string());
        }
        last
    };
    receiver.until("every alert ends", |r| last(r).values().all(|status| status == "\"resolved\"").then_some(())).await;
    let mut bodies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (posted, alert) in receiver.alerts() {
        bodies.entry(posted.key.clone()).or_default().insert(posted.body["alerts"].to_string());
        keys.entry(format!("{} {} {}", alert["labels"]["alertname"], alert["status"], alert["startsAt"])).or_default().insert(posted.key);
    }
    assert!(bodies.values().all(|b| b.len() == 1), "a key stands for one message");
    let twice: Vec<_> = keys.iter().filter(|(_, k)| k.len() > 1).collect();
    assert!(twice.is_empty(), "transitions told under two keys: {twice:?}");
    println!("{kills} kills, {} messages under {} keys", receiver.posted().len(), bodies.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_rules_and_receivers_and_a_mistake_changes_nothing() {
    let receiver = Receiver::start().await;
    let files = TempDir::new().expect("a directory");
    let rules_path = files.path().join("rules.yml");
    let rule = |name: &str| format!("groups:\n- name: g\n  interval: 1s\n  rules:\n  - {{alert: {name}, expr: vector(1)}}\n");
    let rules = write(&rules_path, &rule("One"));
    let config_path = files.path().join("config.toml");
    let route = |path: &str| {
        format!(
            "[receivers.{path}]\ntype = \"webhook\"\nurl = \"{}/{path}\"\n[[route]]\nto = [\"{path}\"]\ngroup_wait = \"0s\"\ngroup_interval = \"0s\"\n",
            receiver.url
        )
    };
    let config = write(&config_path, &route("old"));
    let watchfire = Watchfire::start(&["--rules", &rules, "--config", &config]);
    let told = |path: &'static str, name: &'static str, status: &'static str| {
        move |r: &Receiver| {
            let found = |(p, a): &(Posted, Json)| p.path == format!("/{path}") && a["labels"]["alertname"] == name && a["status"] == status;
            r.alerts().iter().any(found).then_some(())
        }
    };
    receiver.until("the first rule", told("old", "One", "firing")).await;

    write(&rules_path, "groups:\n- name: g\n  rules:\n  - {alert: Two, expr: 'up =='}\n");
    let answer = watchfire.client().post(watchfire.url("/-/reload")).send().await.expect("answered");
    assert_eq!(answer.status(), 500);
    let text = answer.text().await.expect("a body");
    assert!(text.contains("rules.yml: 4:24: ") && text.contains("could not parse expression"), "{text}");
    let banner =
        |json: &Json| json["banners"].as_array().is_some_and(|b| b.iter().any(|l| l.to_string().contains("the last reload failed")));
    watchfire.until("/api/watchfire/v1/status", "the failure is shown", banner).await;
    assert_eq!(watchfire.metric("watchfire_config_last_reload_successful").await, 0.0);
    assert_eq!(watchfire.json("/api/v1/status/runtimeinfo").await["data"]["reloadConfigSuccess"], false);
    let alerts = watchfire.json("/api/v1/alerts").await;
    assert_eq!(alerts["data"]["alerts"][0]["labels"]["alertname"], "One", "the old rule goes on");

    // A good file is taken up by itself, and so are other receivers.
    write(&rules_path, &rule("Three"));
    write(&config_path, &route("new"));
    receiver.until("the new rule, to the new receiver", told("new", "Three", "firing")).await;
    watchfire.until("/api/watchfire/v1/status", "nothing is wrong any more", |json| !banner(json)).await;
    assert_eq!(watchfire.metric("watchfire_config_last_reload_successful").await, 1.0);

    // So is one that is as long and as old as the one in whose place it is put.
    let as_old = std::fs::metadata(&rules_path).and_then(|m| m.modified()).expect("has a time");
    let beside = files.path().join("beside.yml");
    write(&beside, &rule("Seven"));
    std::fs::File::options().write(true).open(&beside).and_then(|f| f.set_modified(as_old)).expect("dated");
    std::fs::rename(&beside, &rules_path).expect("renamed");
    receiver.until("the rule that was put there", told("new", "Seven", "firing")).await;
}

/// A canary in every place of a configuration that may hold a credential: no answer, page of configuration, log or state file shows it.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_receivers_are_shown_nowhere() {
    let receiver = Receiver::start().await;
    let files = TempDir::new().expect("a directory");
    let config = write(
        &files.path().join("config.toml"),
        &format!(
            r#"
[receivers.hook]
type = "webhook"
url = "{0}/canary-1"
bearer_token = "canary-2"
headers = {{ X-Api-Key = "canary-3" }}
[receivers.chat]
type = "slack"
url = "{0}/canary-4"
[receivers.text]
type = "sms"
url = "{0}/canary-5"
to = ["+49 30 1"]
fields = {{ text = "{{text}}", secret = "canary-6" }}
[receivers.pager]
type = "pagerduty"
url = "{0}/pager"
routing_key = "canary-7"
[[person]]
name = "alex"
channels = [{{ channel = {{ type = "webhook", url = "{0}/canary-8", username = "a", password = "canary-9" }} }}]
[[route]]
to = ["hook", "chat", "text", "pager", "alex"]
group_wait = "0s"
"#,
            receiver.url
        ),
    );
    let rules = write(&files.path().join("rules.yml"), "groups:\n- name: g\n  interval: 1s\n  rules:\n  - {alert: A, expr: vector(1)}\n");
    let state = files.path().join("home");
    let watchfire = Watchfire::start_in(&state, &["--rules", &rules, "--config", &config]);
    receiver.until("all five are told", |r| (r.posted().len() >= 5).then_some(())).await;
    let mut shown = String::new();
    for path in ["/api/v1/status/config", "/api/v1/status/flags", "/metrics", "/api/watchfire/v1/status", "/api/watchfire/v1/alerts"] {
        let (status, body) = watchfire.get(path).await;
        assert_eq!(status, 200, "{path}");
        shown.push_str(&body);
    }
    assert_eq!(watchfire.stop("TERM"), Some(0));
    for entry in std::fs::read_dir(state.join("state")).expect("state").flatten() {
        shown.push_str(&String::from_utf8_lossy(&std::fs::read(entry.path()).expect("reads")));
    }
    let printed = crate::instance::command(&state).args(["config", "show", "--config", &config]).output().expect("runs");
    assert!(printed.status.success());
    shown.push_str(&String::from_utf8_lossy(&printed.stdout));
    let leaked: Vec<&str> = shown.lines().filter(|line| line.contains("canary")).collect();
    assert!(leaked.is_empty(), "{leaked:#?}");
    assert!(shown.contains("<secret>"), "the settings themselves are there");
}

/// A hundred notifications wait for their groups when the signal comes; the receiver takes its time for each.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_sends_or_keeps_every_notification() {
    let receiver = Receiver::taking(Duration::from_millis(50)).await;
    let home = TempDir::new().expect("a temporary directory");
    let mut rules = "groups:\n- name: g\n  interval: 1s\n  rules:\n".to_owned();
    (0..100).for_each(|n| rules.push_str(&format!("  - {{alert: Rule{n}, expr: vector(1)}}\n")));
    let rules = write(&home.path().join("rules.yml"), &rules);
    let route = |wait: &str| format!("[[route]]\nto = [\"hook\"]\ngroup_by = [\"alertname\"]\ngroup_wait = \"{wait}\"\n");
    let hook = format!("[receivers.hook]\ntype = \"webhook\"\nurl = \"{}\"\n", receiver.url);
    let config = write(&home.path().join("config.toml"), &format!("{hook}{}", route("1h")));
    let arguments = ["--rules", rules.as_str(), "--config", config.as_str()];
    let watchfire = Watchfire::start_in(home.path(), &arguments);
    let firing = |json: &Json| json["alerts"].as_array().map_or(0, |all| all.iter().filter(|a| a["state"] == "firing").count());
    watchfire.until("/api/watchfire/v1/alerts", "all fire", |json| firing(json) == 100).await;
    assert_eq!(receiver.posted().len(), 0, "every group waits");
    let begun = Instant::now();
    assert_eq!(watchfire.stop("TERM"), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let told = |receiver: &Receiver| receiver.alerts().iter().map(|(_, a)| a["labels"]["alertname"].to_string()).collect::<Vec<_>>();
    let sent = told(&receiver);
    println!("{} sent before the end", sent.len());
    // What was not sent is sent after the next start, and nothing twice.
    let config = write(&home.path().join("config.toml"), &format!("{hook}{}", route("0s")));
    let again = Watchfire::start_in(home.path(), &["--rules", rules.as_str(), "--config", config.as_str()]);
    receiver.until("all are told", |r| (told(r).len() >= 100).then_some(())).await;
    assert_eq!(again.stop("TERM"), Some(0));
    let all = told(&receiver);
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (100, 100));
}

/// Draining takes up to ten seconds where a receiver never answers; who asks a second time does not want to wait.
#[tokio::test]
async fn a_second_signal_ends_at_once_and_the_alert_is_kept() {
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let home = TempDir::new().expect("a temporary directory");
    let (rules, config) = (home.path().join("rules.yaml"), home.path().join("config.toml"));
    std::fs::write(&rules, "groups:\n- name: g\n  interval: 1s\n  rules:\n  - alert: Always\n    expr: vector(1)\n").expect("written");
    let url = format!("http://{}/hook", deaf.local_addr().expect("an address"));
    let route = "[[route]]\nto = [\"hook\"]\ngroup_wait = \"0s\"\ngroup_interval = \"0s\"\n";
    std::fs::write(&config, format!("[receivers.hook]\ntype = \"webhook\"\nurl = \"{url}\"\n{route}")).expect("written");
    let (rules, config) = (rules.display().to_string(), config.display().to_string());
    let arguments = ["--rules", rules.as_str(), "--config", config.as_str()];
    let watchfire = Watchfire::start_in(home.path(), &arguments);
    // The receiver has taken the connection and says nothing.
    let (_held, _) = deaf.accept().expect("the notice is on its way");
    watchfire.signal("TERM");
    let (begun, mut draining) = (Instant::now(), false);
    while begun.elapsed() < Duration::from_secs(5) && !draining {
        draining = watchfire.get("/-/ready").await.0 != 200;
    }
    assert!(draining, "it says that it stops");
    let asked_again = Instant::now();
    assert_eq!(watchfire.stop("TERM"), Some(1));
    assert!(asked_again.elapsed() < Duration::from_secs(3), "{:?}", asked_again.elapsed());
    let again = Watchfire::start_in(home.path(), &arguments);
    again.until("/api/watchfire/v1/alerts", "the alert of before", |json| json["alerts"][0]["name"] == "Always").await;
    assert_eq!(again.stop("KILL"), None);
}
