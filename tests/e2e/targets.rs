//! Scrapes and probes of real servers become series, states and alerts.

use crate::instance::Watchfire;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::net::TcpListener;

/// A service with `/metrics` and `/health` whose database can be pulled; ends with its runtime.
struct Service {
    address: String,
    healthy: Arc<AtomicBool>,
}

async fn service() -> Service {
    let healthy = Arc::new(AtomicBool::new(true));
    let requests = Arc::new(AtomicU64::new(0));
    let state = healthy.clone();
    let health = move || {
        let ok = state.load(Ordering::SeqCst);
        async move {
            let (status, word) = if ok { (StatusCode::OK, "healthy") } else { (StatusCode::SERVICE_UNAVAILABLE, "unhealthy") };
            (status, format!(r#"{{"service":"pay","status":"{word}","dependencies":{{"database":"{word}"}}}}"#))
        }
    };
    let metrics = move || {
        let n = requests.fetch_add(7, Ordering::SeqCst);
        async move {
            (
                [("content-type", "text/plain; version=0.0.4")],
                format!(
                    "# TYPE pay_requests_total counter\npay_requests_total{{code=\"200\"}} {n}\n# TYPE pay_queue_depth gauge\npay_queue_depth 3\n"
                ),
            )
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let router = Router::new().route("/health", get(health)).route("/metrics", get(metrics));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Service { address, healthy }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scraped_target_answers_promql() {
    let service = service().await;
    let watchfire = Watchfire::start(&["--scrape", &format!("http://{}/metrics", service.address)]);
    watchfire.until("/api/v1/query?query=up", "up is one", |json| json["data"]["result"][0]["value"][1] == "1").await;
    let found =
        watchfire.until("/api/v1/query?query=pay_queue_depth", "the gauge", |json| json["data"]["result"][0]["value"][1] == "3").await;
    assert_eq!(found["data"]["result"][0]["metric"]["instance"], service.address);
    let targets = watchfire.json("/api/v1/targets").await;
    assert_eq!(targets["data"]["activeTargets"][0]["health"], "up", "{targets}");
    let names = watchfire.json("/api/v1/label/__name__/values").await;
    assert!(names["data"].as_array().is_some_and(|l| l.iter().any(|n| n == "pay_requests_total")), "{names}");
}

/// A target that names a thousand new series with every scrape.
async fn flood() -> String {
    let scrapes = Arc::new(AtomicU64::new(0));
    let metrics = move || {
        let scrape = scrapes.fetch_add(1, Ordering::SeqCst);
        async move { (0..1000).map(|i| format!("bomb{{id=\"{scrape}-{i}\"}} 1\n")).collect::<String>() }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/metrics", get(metrics))).await });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_series_hides_neither_its_target_nor_the_alert_about_it() {
    let rules = tempfile::NamedTempFile::with_suffix(".yaml").expect("a file");
    std::fs::write(
        rules.path(),
        "groups: [{name: g, interval: 1s, rules: [{alert: Flooded, expr: 'sum(watchfire_series_refused_total) > 2000'}]}]",
    )
    .expect("written");
    let config = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
    let (bomb, calm) = (flood().await, service().await);
    let late = tempfile::NamedTempFile::with_suffix(".json").expect("a file");
    std::fs::write(late.path(), "[]").expect("written");
    let files = late.path().display();
    let jobs = format!(
        "[[scrape]]\nname = \"bomb\"\nurls = [\"http://{bomb}/metrics\"]\ninterval = \"1s\"\n[[scrape]]\nname = \"late\"\nfile_sd = [\"{files}\"]\ninterval = \"1s\"\n"
    );
    std::fs::write(config.path(), format!("[limits.store]\nseries = 500\n{jobs}")).expect("written");
    let (path, rules) = (config.path().display().to_string(), rules.path().display().to_string());
    let watchfire = Watchfire::start(&["--config", &path, "--rules", &rules]);
    let fired = "/api/v1/query?query=ALERTS%7Balertname%3D%22Flooded%22%7D";
    watchfire.until(fired, "the alert as a series", |json| json["data"]["result"][0]["value"][1] == "1").await;
    let status = watchfire.json("/api/watchfire/v1/status").await;
    assert!(status["banners"].to_string().contains("series limit reached"), "{status}");
    // A target that comes only now is seen to be up, although nothing of it can be kept.
    std::fs::write(late.path(), format!(r#"[{{"targets": ["{}"]}}]"#, calm.address)).expect("written");
    let up = format!("/api/v1/query?query=up%7Binstance%3D%22{}%22%7D", calm.address);
    watchfire.until(&up, "the late target is up", |json| json["data"]["result"][0]["value"][1] == "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_probe_is_a_state_an_alert_and_a_resolution() {
    let service = service().await;
    let rules = tempfile::NamedTempFile::with_suffix(".yaml").expect("a file");
    std::fs::write(
        rules.path(),
        "groups: [{name: probes, interval: 1s, rules: [{alert: PayDown, expr: watchfire_service_health == 0, for: 1s, labels: {severity: critical}, annotations: {summary: '{{ $labels.service }} is down'}}]}]",
    )
    .expect("written");
    let config = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
    std::fs::write(
        config.path(),
        format!("[[probe]]\nurl = \"http://{}/health\"\nservice = \"pay\"\ninterval = \"1s\"\n", service.address),
    )
    .expect("written");
    let (config, rules) = (config.path().display().to_string(), rules.path().display().to_string());
    let watchfire = Watchfire::start(&["--config", &config, "--rules", &rules]);
    watchfire.until("/api/watchfire/v1/health", "healthy", |json| json["checks"][0]["state"] == "healthy").await;

    service.healthy.store(false, Ordering::SeqCst);
    let alerts = watchfire.until("/api/v1/alerts", "firing", |json| json["data"]["alerts"][0]["state"] == "firing").await;
    assert_eq!(alerts["data"]["alerts"][0]["annotations"]["summary"], "pay is down");
    let health = watchfire.json("/api/watchfire/v1/health").await;
    assert_eq!(health["checks"][0]["state"], "unhealthy", "{health}");
    let status = watchfire.json("/api/watchfire/v1/status").await;
    assert_eq!(status["overall"], "unhealthy", "{status}");
    assert_eq!(status["firing"]["critical"], 1, "{status}");

    service.healthy.store(true, Ordering::SeqCst);
    watchfire.until("/api/watchfire/v1/alerts", "resolved", |json| json["alerts"][0]["state"] == "resolved").await;
}

/// A platform's preset pointed at servers that are not ours: its services are probed and scraped where the user's own file says they are, its rules and
/// objectives are evaluated, and what the user's file says of them comes first.
#[tokio::test(flavor = "multi_thread")]
async fn a_platform_watches_servers_at_the_addresses_of_the_users_own_file() {
    let (board, item) = (service().await, service().await);
    let config = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
    let text = format!(
        "platform = \"sunday\"\nplatform_host = \"\"\n\n[services.board-service]\nurl = \"http://{}\"\nowner = \"Night Shift\"\n\n[services.item-service]\nurl = \"http://{}\"\n\n[services.ai-service]\nignore = true\n",
        board.address, item.address
    );
    std::fs::write(config.path(), text).expect("written");
    let watchfire = Watchfire::start(&["--config", &config.path().display().to_string()]);

    let up = r#"/api/v1/query?query=up{job="board-service"}%20or%20up{job="item-service"}"#;
    watchfire.until(up, "both scraped", |json| json["data"]["result"].as_array().is_some_and(|r| r.len() == 2)).await;
    let of = |json: &serde_json::Value, list: &str, key: &str, name: &str| {
        json[list].as_array().and_then(|rows| rows.iter().find(|r| r[key] == name)).cloned().unwrap_or_default()
    };
    watchfire
        .until("/api/watchfire/v1/health", "probed", |json| of(json, "checks", "service", "board-service")["state"] == "healthy")
        .await;
    let services = watchfire.json("/api/watchfire/v1/services").await;
    assert_eq!(of(&services, "services", "name", "board-service")["owner"], "Night Shift");
    assert_eq!(of(&services, "services", "name", "notification-service")["state"], "unknown", "nothing is known of it yet: {services}");
    let map = watchfire.json("/api/watchfire/v1/map").await;
    assert!(map["edges"].as_array().is_some_and(|edges| edges.iter().any(|e| e["declared"] == true && e["observed"] == false)), "{map}");
    let slo = watchfire.json("/api/watchfire/v1/slo").await;
    assert!(slo["objectives"].as_array().is_some_and(|o| !o.is_empty()), "{slo}");

    item.healthy.store(false, Ordering::SeqCst);
    watchfire.until("/api/watchfire/v1/health", "down", |json| of(json, "checks", "service", "item-service")["state"] == "unhealthy").await;
    let rules = watchfire.json("/api/v1/rules").await;
    let groups = rules["data"]["groups"].as_array().expect("groups");
    let broken: Vec<_> = groups.iter().flat_map(|g| g["rules"].as_array().into_iter().flatten()).filter(|r| r["health"] == "err").collect();
    assert!(!groups.is_empty() && broken.is_empty(), "{broken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_an_address_is_shown_nowhere() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let jobs = "scrape_configs:\n- job_name: a\n  basic_auth: {username: u, password: CANARY}\n  static_configs: [{targets: ['127.0.0.1:1']}]\n\
                - job_name: b\n  authorization: {credentials: CANARY}\n  static_configs: [{targets: ['127.0.0.1:2']}]\n";
    std::fs::write(path("prometheus.yml"), jobs).expect("written");
    let text = format!(
        "scrape = [\"http://user:CANARY@127.0.0.1:3/metrics?token=CANARY&x=1\", {:?}]\nalertmanager = \"http://user:CANARY@127.0.0.1:5\"\nprobe = [\"http://user:CANARY@127.0.0.1:4/health?token=CANARY&x=1\"]\nlog_level = \"debug\"\n",
        path("prometheus.yml")
    );
    std::fs::write(path("watchfire.toml"), text).expect("written");
    let watchfire = Watchfire::start(&["--config", &path("watchfire.toml")]);
    watchfire
        .until("/api/watchfire/v1/health", "the probe has failed", |json| json.to_string().contains("user:<secret>@127.0.0.1:4"))
        .await;
    watchfire
        .until("/api/v1/targets", "all were tried", |json| json["data"]["activeTargets"].as_array().is_some_and(|t| t.len() == 3))
        .await;
    for path in [
        "/api/v1/targets",
        "/api/v1/targets/metadata",
        "/api/v1/scrape_pools",
        "/api/v1/alertmanagers",
        "/api/v1/status/config",
        "/api/v1/status/flags",
        "/api/v1/series?match[]=up",
        "/api/v1/query?query=up",
        "/api/watchfire/v1/health",
        "/api/watchfire/v1/status",
        "/api/watchfire/v1/services",
        "/metrics",
    ] {
        let (_, text) = watchfire.get(path).await;
        assert!(!text.contains("CANARY"), "{path}: {text}");
    }
    let shown = crate::instance::command(directory.path()).args(["config", "show", "--config", &path("watchfire.toml")]).output();
    let shown = String::from_utf8_lossy(&shown.expect("runs").stdout).into_owned();
    assert!(shown.contains("user:<secret>@127.0.0.1:3") && !shown.contains("CANARY"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_targets_ends_those_that_are_gone_and_leaves_the_others_alone() {
    let (stays, goes, comes) = (service().await, service().await, service().await);
    let files = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let scraped = |of: &[&Service]| {
        let targets: Vec<String> = of.iter().map(|s| format!("'{}'", s.address)).collect();
        format!("scrape_configs: [{{job_name: pay, scrape_interval: 1s, static_configs: [{{targets: [{}]}}]}}]\n", targets.join(", "))
    };
    let prometheus = file("prometheus.yml", &scraped(&[&stays, &goes]));
    let probed =
        |s: &Service| format!("[limits.probe]\ninterval = \"1s\"\n[[probe]]\nurl = \"http://{}/health\"\nservice = \"pay\"\n", s.address);
    let config = file("config.toml", &probed(&goes));
    let watchfire = Watchfire::start(&["--scrape", &prometheus, "--config", &config]);
    let up = |s: &Service| format!("/api/v1/query?query=up%7Binstance=%22{}%22%7D", s.address);
    let is_up = |json: &serde_json::Value| json["data"]["result"][0]["value"][1] == "1";
    watchfire.until(&up(&goes), "the one that goes", is_up).await;
    watchfire.until(&up(&stays), "the one that stays", is_up).await;
    let checks = "/api/watchfire/v1/health";
    let on = |s: &Service| {
        let address = s.address.clone();
        move |json: &serde_json::Value| {
            json["checks"].as_array().is_some_and(|c| c.len() == 1 && c[0]["url"].to_string().contains(&address))
        }
    };
    watchfire.until(checks, "the probe", on(&goes)).await;

    // The same file with other targets is taken up without being asked; a signal or a request takes it up at once.
    file("prometheus.yml", &scraped(&[&stays, &comes]));
    file("config.toml", &probed(&comes));
    let answer = watchfire.client().post(watchfire.url("/-/reload")).send().await.expect("answered");
    let (status, text) = (answer.status(), answer.text().await.expect("a body"));
    assert!(status == 200 && !text.contains("restart"), "{text}");
    watchfire.until(&up(&comes), "the new one", is_up).await;
    watchfire.until(&up(&goes), "a stale marker where the old one was", |json| json["data"]["result"] == serde_json::json!([])).await;
    watchfire.until(checks, "the new probe and no other", on(&comes)).await;
    let scrapes = format!("/api/v1/query?query=resets(pay_requests_total%7Binstance=%22{}%22%7D[1m])", stays.address);
    let kept = watchfire.json(&scrapes).await;
    assert_eq!(kept["data"]["result"][0]["value"][1], "0", "the one that stays went on: {kept}");
    let targets = watchfire.json("/api/v1/targets").await;
    assert_eq!(targets["data"]["activeTargets"].as_array().map(Vec::len), Some(2), "{targets}");

    // A mistake changes nothing.
    file("prometheus.yml", "scrape_configs: [{job_name: pay, scrape_interval: 1x}]\n");
    let answer = watchfire.client().post(watchfire.url("/-/reload")).send().await.expect("answered");
    assert_eq!(answer.status(), 500);
    assert!(is_up(&watchfire.json(&up(&comes)).await));
}
