//! Verdicts by exit code, and the ways a run begins and ends.

use crate::instance::{Watchfire, command};
use std::process::Stdio;
use tempfile::TempDir;

pub fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let state = TempDir::new().expect("a temporary directory");
    let output = command(state.path()).args(arguments).stdin(Stdio::null()).output().expect("the program runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn without_a_terminal_the_error_says_what_to_do() {
    let (code, _, stderr) = run(&["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--headless"), "{stderr}");
}

#[test]
fn usage_errors_of_check_are_apart_from_its_verdicts() {
    assert_eq!(run(&["check", "--no-such-flag"]).0, Some(64));
    assert_eq!(run(&["check", "--for", "soon"]).0, Some(64));
    assert_eq!(run(&["status", "--no-such-flag"]).0, Some(2));
    // What cannot be judged was not found to be critical.
    let (code, _, stderr) = run(&["check", "--url", "http://127.0.0.1:1"]);
    assert!(code == Some(3) && stderr.contains("127.0.0.1:1"), "{stderr}");
    assert_eq!(run(&["check", "--rules", "/no/such/file.yml"]).0, Some(3));
}

#[test]
fn nobody_there_is_said_with_the_address() {
    let (code, _, stderr) = run(&["status", "--url", "http://127.0.0.1:1"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("127.0.0.1:1"), "{stderr}");
}

#[test]
fn flags_where_nobody_hears_them_are_refused() {
    let (code, _, stderr) = run(&["--memory-limit", "64MiB", "run", "--headless"]);
    assert!(code == Some(2) && stderr.contains("watchfire run [OPTIONS]"), "{stderr}");
    let (code, _, stderr) = run(&["query", "up", "--step", "1m"]);
    assert!(code == Some(2) && stderr.contains("--range"), "{stderr}");
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_full_disk_cannot_hold_is_an_error() {
    let state = TempDir::new().expect("a temporary directory");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let output = command(state.path()).args(["config", "show"]).stdout(full).output().expect("the program runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(74) && stderr.contains("cannot write to standard output"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_knows_nothing_is_unknown_and_exits_three() {
    let watchfire = Watchfire::start(&[]);
    let url = watchfire.url("");
    let (code, out, _) = tokio::task::spawn_blocking(move || run(&["check", "--url", &url, "--output", "json"])).await.expect("ran");
    assert_eq!(code, Some(3), "{out}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).expect("JSON")["verdict"], "unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prometheus_api_answers_as_clients_expect() {
    let watchfire = Watchfire::start(&[]);
    assert_eq!(watchfire.get("/-/healthy").await.0, 200);
    assert_eq!(watchfire.get("/-/ready").await.0, 200);
    let (status, body) = watchfire.get("/api/v1/query?query=sum(").await;
    assert_eq!(status, 400);
    let error: serde_json::Value = serde_json::from_str(&body).expect("an envelope");
    assert_eq!(error["errorType"], "bad_data", "{body}");
    let scalar = watchfire.json("/api/v1/query?query=1%2B1&time=10").await;
    assert_eq!(scalar["data"], serde_json::json!({"resultType": "scalar", "result": [10, "2"]}));
    let range = watchfire.json("/api/v1/query_range?query=vector(1)&start=0&end=30&step=15").await;
    assert_eq!(range["data"]["result"][0]["values"], serde_json::json!([[0, "1"], [15, "1"], [30, "1"]]));
    let (status, body) = watchfire.get("/api/v1/query_range?query=1&start=0&end=1000000&step=1").await;
    assert!(status == 400 && body.contains("11,000"), "{body}");
    assert_eq!(watchfire.get("/api/v1/rules/test/test").await, (404, "404 page not found\n".to_owned()));
    let response = watchfire.client().get(watchfire.url("/metrics")).header("host", "evil.example").send().await.expect("answered");
    assert_eq!(response.status(), 403);
    assert_eq!(watchfire.metric(r#"watchfire_http_rejected_total{reason="host"}"#).await, 1.0);
}

#[test]
fn sigterm_drains_and_ends_well() {
    assert_eq!(Watchfire::start(&[]).stop("TERM"), Some(0));
}

/// A verdict is about now: what another run left behind does not count, its state directory may be in use, and nobody is paged by a gate.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_pages_nobody_and_keeps_nothing() {
    let home = TempDir::new().expect("a temporary directory");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let rules = home.path().join("rules.yml");
    let config = home.path().join("config.toml");
    let receiver =
        format!("[receivers.hook]\ntype = \"webhook\"\nurl = \"http://{address}/\"\n[[route]]\nto = [\"hook\"]\ngroup_wait = \"0s\"\n");
    std::fs::write(&config, receiver).expect("writes");
    let check = |expression: &str| {
        let rule = format!(
            "groups:\n- name: g\n  interval: 1s\n  rules:\n  - {{alert: A, expr: '{expression}', labels: {{severity: critical}}}}\n"
        );
        std::fs::write(&rules, rule).expect("writes");
        let path = |p: &std::path::Path| p.display().to_string();
        let (rules, config, state) = (path(&rules), path(&config), path(&home.path().join("state")));
        let off = ["--otlp-grpc", "off", "--otlp-http", "off", "--api", "off"];
        let all: Vec<&str> = ["check", "--for", "1s", "--rules", &rules, "--config", &config, "--state-dir", &state, "--alertmanager"]
            .into_iter()
            .chain(["http://127.0.0.1:1"])
            .chain(off)
            .collect();
        run(&all)
    };
    let (code, out, err) = tokio::task::block_in_place(|| check("vector(1)"));
    assert_eq!(code, Some(2), "{out}{err}");
    let (code, out, err) = tokio::task::block_in_place(|| check("vector(0) > 1"));
    assert_eq!(code, Some(3), "the alert of the run before is not known: {out}{err}");
    assert!(!home.path().join("state").exists(), "nothing is kept");
    let called = tokio::time::timeout(std::time::Duration::from_millis(200), listener.accept()).await;
    assert!(called.is_err(), "nobody is told");
}

#[test]
fn a_backtest_over_a_file_reads_so_much_and_no_more() {
    let home = TempDir::new().expect("a directory");
    let (rules, samples) = (home.path().join("rules.yml"), home.path().join("samples.txt"));
    std::fs::write(&rules, "groups:\n- name: g\n  rules:\n  - {alert: High, expr: m > 0, for: 30s}\n").expect("written");
    let lines: String = (0..8).map(|n| format!("m {} {}\n", u8::from(n > 2), 1_700_000_000 + n * 15)).collect();
    std::fs::write(&samples, format!("{lines}# EOF\n")).expect("written");
    let backtest = || {
        let files = [rules.as_os_str(), "--from".as_ref(), samples.as_os_str()];
        let output = command(home.path()).args(["rules", "backtest"]).args(files).output().expect("runs");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    };
    let (code, said) = backtest();
    assert!(code == Some(0) && said.starts_with("High: 1 page in 8 evaluations"), "{code:?} {said}");
    // A rule that fails whenever it is asked is not taken for a quiet one.
    std::fs::write(&rules, "groups:\n- name: g\n  rules:\n  - {alert: High, expr: 'm > on() group_left() (m or label_replace(m, \"a\", \"b\", \"\", \"\"))'}\n").expect("written");
    let (code, said) = backtest();
    assert!(
        code == Some(1) && said.contains("0 pages in 8 evaluations, of which 8 fail") && said.contains("many-to-many"),
        "{code:?} {said}"
    );
    // A group is evaluated as often as it says.
    std::fs::write(&rules, "groups:\n- name: g\n  interval: 30s\n  rules:\n  - {alert: High, expr: m > 0, for: 30s}\n").expect("written");
    let (code, said) = backtest();
    assert!(code == Some(0) && said.starts_with("High: 1 page in 4 evaluations"), "{code:?} {said}");
    // Without content on disk, but a gigabyte to whoever reads it.
    std::fs::File::create(&samples).and_then(|f| f.set_len(1 << 30)).expect("made");
    let (code, said) = backtest();
    assert!(
        code.is_some_and(|code| code != 0) && said.contains("samples.txt: it is larger than 256 MiB; write out only"),
        "{code:?} {said}"
    );
}
