//! Debian's Prometheus beside watchfire, over the same target and the same rules: whoever reads one API can read the other.

use crate::instance::{Watchfire, until_true};
use crate::screen::Screen;
use axum::Router;
use axum::routing::get;
use serde_json::{Value as Json, json};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const METRICS: &str = "# HELP jobs_total Jobs done.\n# TYPE jobs_total counter\njobs_total{kind=\"a\"} 5\n# HELP depth Waiting.\n# TYPE depth gauge\ndepth 3\n\
    # TYPE took_seconds histogram\ntook_seconds_bucket{le=\"1\"} 2\ntook_seconds_bucket{le=\"+Inf\"} 3\ntook_seconds_sum 4\ntook_seconds_count 3\n";

const RULES: &str = "groups:\n- name: g\n  interval: 1s\n  rules:\n  - record: depth:double\n    expr: depth * 2\n    labels: {team: x}\n\
    \x20 - alert: Deep\n    expr: depth > 1\n    labels: {severity: warning}\n    annotations: {summary: 'depth {{ $value }}'}\n";

struct Prometheus {
    child: Child,
    url: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn prometheus(directory: &std::path::Path, target: &str) -> Option<Prometheus> {
    let free = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?;
    std::fs::write(directory.join("rules.yml"), RULES).ok()?;
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s, external_labels: {{cluster: eu}}}}\nrule_files: [rules.yml]\nscrape_configs:\n- job_name: shop\n  static_configs: [{{targets: ['{target}']}}]\n"
    );
    std::fs::write(directory.join("prometheus.yml"), config).ok()?;
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", directory.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
        .arg(format!("--web.listen-address={free}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    Some(Prometheus { child, url: format!("http://{free}") })
}

/// Serves [`METRICS`].
async fn target() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let target = listener.local_addr().expect("bound").to_string();
    let metrics = || async { ([("content-type", "text/plain; version=0.0.4")], METRICS) };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/metrics", get(metrics))).await });
    target
}

/// Where `theirs` has a field that `ours` lacks, or one of another type. Names inside maps that are data (labels, flags) are not compared.
fn missing(path: &str, theirs: &Json, ours: &Json, out: &mut Vec<String>) {
    match (theirs, ours) {
        (Json::Object(theirs), Json::Object(ours)) => {
            if path.ends_with("abels") || path.ends_with("flags") || path.ends_with("metric") {
                return;
            }
            for (name, theirs) in theirs {
                match ours.get(name) {
                    Some(ours) => missing(&format!("{path}.{name}"), theirs, ours, out),
                    None => out.push(format!("{path}.{name} is missing")),
                }
            }
        }
        (Json::Array(theirs), Json::Array(ours)) => match (theirs.first(), ours.first()) {
            (Some(theirs), Some(ours)) => missing(&format!("{path}[]"), theirs, ours, out),
            (Some(_), None) => out.push(format!("{path} is empty")),
            _ => {}
        },
        (theirs, ours) if std::mem::discriminant(theirs) != std::mem::discriminant(ours) => {
            out.push(format!("{path} is {ours} instead of {theirs}"));
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_prometheus_has_its_like() {
    let target = target().await;
    let directory = tempfile::tempdir().expect("a directory");
    let Some(theirs) = prometheus(directory.path(), &target) else {
        println!("skipped: prometheus is not installed");
        return;
    };
    let config = directory.path().join("watchfire.toml");
    let text = format!(
        "evaluation_interval = \"1s\"\nrules = [{:?}]\nscrape = [{:?}]\nexternal_labels = {{ cluster = \"eu\" }}\n",
        directory.path().join("rules.yml"),
        directory.path().join("prometheus.yml")
    );
    std::fs::write(&config, text).expect("written");
    let ours = Watchfire::start(&["--config", config.to_str().expect("UTF-8")]);
    let ask = async |base: &str, path: &str| -> Option<(u16, Json)> {
        let response = ours.client().get(format!("{base}{path}")).send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, serde_json::from_str(&response.text().await.ok()?).ok()?))
    };
    let base = format!("http://{}", ours.api);
    // Both have scraped, evaluated and fired.
    for server in [&base, &theirs.url] {
        let fired = async || {
            let answer = ask(server, "/api/v1/query?query=ALERTS{alertstate=\"firing\"}").await;
            answer.is_some_and(|(_, json)| json["data"]["result"][0].is_object())
        };
        until_true(&format!("{server} fires"), Duration::from_secs(60), fired).await;
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let range = format!("/api/v1/query_range?query=depth&start={}&end={now}&step=1", now - 30);
    let mut wrong = Vec::new();
    for path in [
        "/api/v1/query?query=up",
        "/api/v1/query?query=scalar(depth)",
        "/api/v1/query?query=%22text%22",
        "/api/v1/query?query=depth[1m]",
        "/api/v1/query?query=rate(depth[1m])&stats=all",
        "/api/v1/query?query=(",
        "/api/v1/query?query=up&time=yesterday",
        "/api/v1/query_range?query=up&start=2&end=1&step=1",
        "/api/v1/query_range?query=up&start=1&end=2&step=0",
        "/api/v1/query_range?query=up&start=0&end=100000&step=1",
        &range,
        "/api/v1/series?match[]=depth",
        "/api/v1/series",
        "/api/v1/labels",
        "/api/v1/labels?match[]=depth",
        "/api/v1/label/__name__/values",
        "/api/v1/label/__name__/values?match[]=depth",
        "/api/v1/label/job/values",
        "/api/v1/metadata?metric=jobs_total",
        "/api/v1/metadata?limit=1",
        "/api/v1/targets",
        "/api/v1/targets?state=active",
        "/api/v1/targets/metadata",
        "/api/v1/targets/metadata?metric=jobs_total",
        "/api/v1/targets/metadata?match_target=%7Bjob%3D%22shop%22%7D&limit=1",
        "/api/v1/rules",
        "/api/v1/rules?type=alert",
        "/api/v1/rules?type=record",
        "/api/v1/alerts",
        "/api/v1/alertmanagers",
        "/api/v1/query_exemplars?query=depth&start=0&end=1",
        "/api/v1/query_exemplars?query=depth&start=5&end=1",
        "/api/v1/format_query?query=sum(rate(depth[1m]))by(job)",
        "/api/v1/status/buildinfo",
        "/api/v1/status/flags",
        "/api/v1/status/config",
        "/api/v1/status/runtimeinfo",
        "/api/v1/status/tsdb",
        "/api/v1/status/walreplay",
    ] {
        let (their_status, mut theirs) = ask(&theirs.url, path).await.unwrap_or_else(|| panic!("{path}: prometheus"));
        let (our_status, ours) = ask(&base, path).await.unwrap_or((0, json!({"no": "answer"})));
        if our_status != their_status {
            wrong.push(format!("{path}: status {our_status} instead of {their_status}: {ours}"));
        }
        if path.contains("/metadata?limit") {
            // Which family comes first is chance.
            theirs["data"] = json!({});
        }
        if path.ends_with("/flags") {
            // Their flags are not ours.
            theirs["data"] = json!({});
        }
        if path.ends_with("stats=all") {
            // One series, scraped every second for at most a minute.
            let read = ours["data"]["stats"]["samples"]["totalQueryableSamples"].as_u64();
            assert!(read.is_some_and(|n| (1..=61).contains(&n)), "{ours}");
        }
        if path.ends_with("/tsdb") {
            // There are no chunks in this store: the count is null.
            theirs["data"]["headStats"].as_object_mut().expect("an object").remove("chunkCount");
        }
        if path.ends_with("runtimeinfo") {
            // Facts about a Go program.
            for name in ["goroutineCount", "GOMAXPROCS", "GOGC", "GODEBUG", "GOMEMLIMIT"] {
                theirs["data"].as_object_mut().expect("an object").remove(name);
            }
        }
        let mut here = Vec::new();
        missing("", &theirs, &ours, &mut here);
        wrong.extend(here.into_iter().map(|w| format!("{path}: {w}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What one that federates reads, without the times.
    let federated = async |base: &str| {
        let url = format!("{base}/federate?match[]=depth&match[]=jobs_total&match[]=ALERTS");
        let text = ours.client().get(url).send().await.expect("answered").text().await.expect("text");
        text.lines().map(|line| line.rsplit_once(' ').map_or(line, |(rest, _)| rest).to_owned()).collect::<Vec<_>>()
    };
    let (mut here, mut there) = (federated(&base).await, federated(&theirs.url).await);
    here.sort();
    there.sort();
    assert_eq!(here, there);
    assert!(here.iter().any(|line| line.contains("cluster=\"eu\"")), "{here:?}");
    // What newer Prometheus has beside.
    for (path, expected) in [("/api/v1/features", "promql"), ("/api/v1/notifications", "")] {
        let answer = ours.json(path).await;
        assert_eq!(answer["status"], "success", "{path}");
        assert!(expected.is_empty() || answer["data"][expected].is_object(), "{path}: {answer}");
    }
    // A Mimir has features, and Grafana goes by that.
    assert!(ours.json("/api/v1/status/buildinfo").await["data"].get("features").is_none());
    let (status, _) = ours.get("/api/v1/metadata?limit_per_metric=x").await;
    assert_eq!(status, 400);
    let tree = ours.json("/api/v1/parse_query?query=sum(depth)").await;
    assert_eq!(tree["data"]["type"], "aggregation");
    let metadata = ours.json("/api/v1/targets/metadata?metric=jobs_total").await;
    let expected = json!({"target": {"instance": target, "job": "shop"}, "type": "counter", "help": "Jobs done.", "unit": ""});
    assert_eq!(metadata["data"], json!([expected]));
}

/// A team whose series are in a Prometheus keeps screens and keys: its alerts with what their rules say, PromQL, targets; what it does not keep is
/// said, and when it goes the screen freezes.
#[tokio::test(flavor = "multi_thread")]
async fn the_screens_open_over_a_prometheus() {
    let target = target().await;
    let directory = tempfile::tempdir().expect("a directory");
    let Some(theirs) = prometheus(directory.path(), &target) else {
        println!("skipped: prometheus is not installed");
        return;
    };
    let ready = async || std::net::TcpStream::connect(theirs.url.trim_start_matches("http://")).is_ok();
    until_true("prometheus listens", Duration::from_secs(60), ready).await;
    let url = theirs.url.clone();
    let seen = tokio::task::spawn_blocking(move || {
        let mut screen = Screen::start_program(120, 40, env!("CARGO_BIN_EXE_watchfire"), &["attach", &url], &[]);
        screen.until("its alerts are counted", |text| text.contains("1 warning") && text.contains(url.trim_start_matches("http://")));
        screen.until("why there are no services", |text| text.contains("has no metrics made of spans"));
        screen.keys("8");
        screen.until("an alert with what its rule says", |text| {
            text.contains("Deep") && text.contains("depth 3") && text.contains("no route")
        });
        screen.keys("\r");
        screen.until("its expression", |text| text.contains("depth > 1") && text.contains("(threshold 1"));
        screen.keys("3");
        screen.until("what is not there is said", |text| text.contains("keeps no spans"));
        screen.keys("7v");
        screen.keys("v");
        screen.until("its targets", |text| text.contains("shop"));
        screen.keys("0idepth * 2\r");
        screen.until("an answer in PromQL", |text| text.contains("6.00"));
        drop(theirs);
        screen.until("the other side is gone", |text| text.contains("disconnected"));
        screen.keys(":q\r");
        screen.end()
    });
    let (code, _) = seen.await.expect("it ran");
    assert_eq!(code, 0);
}
