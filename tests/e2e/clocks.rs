//! A process that does not get to run, and one whose wall clock is set: what it missed is counted and told, and nothing fires or ends because of it.

use crate::instance::{PATIENCE, Watchfire, until_true};
use axum::Router;
use axum::routing::get;
use serde_json::Value as Json;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;

/// Rules over a target that is always there, evaluated twice a second: what fires goes on, what waits goes on waiting, and what must never fire would
/// be seen an hour later.
const RULES: &str = "\
groups:
- name: g
  interval: 500ms
  rules:
  - {alert: Held, expr: 'value > 0'}
  - {alert: Waiting, expr: 'value > 0', for: 1h}
  - {alert: Soon, expr: 'value > 0', for: 8s}
  - {alert: Gone, expr: 'absent(value)', keep_firing_for: 1h}
  - {alert: Down, expr: 'up == 0', keep_firing_for: 1h}
  - {alert: Unhealthy, expr: 'watchfire_service_health < 1', keep_firing_for: 1h}
  - {alert: Idle, expr: 'rate(work_total[10s]) < 0.1', keep_firing_for: 1h}
";

/// A service whose counter grows with each scrape; ends with its runtime.
struct Service {
    address: String,
    /// The next scrape gets no answer.
    hold: Arc<AtomicBool>,
    /// How many got none.
    held: watch::Receiver<usize>,
}

impl Service {
    async fn start() -> Service {
        let (hold, scrapes, (count, held)) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(1)), watch::channel(0));
        let (holds, count) = (hold.clone(), Arc::new(count));
        let metrics = move || {
            let (n, holds, count) = (scrapes.fetch_add(5, Ordering::SeqCst), holds.swap(false, Ordering::SeqCst), count.clone());
            async move {
                if holds {
                    count.send_modify(|held| *held += 1);
                    std::future::pending::<()>().await;
                }
                format!("# TYPE value gauge\nvalue 1\n# TYPE work_total counter\nwork_total {n}\n")
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let router = Router::new().route("/metrics", get(metrics)).route("/health", get(|| async { "ok" }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Service { address, hold, held }
    }

    /// Until a scrape is under way that this service leaves waiting.
    async fn within_a_scrape(&self) {
        let mut held = self.held.clone();
        let before = *held.borrow_and_update();
        self.hold.store(true, Ordering::SeqCst);
        held.wait_for(|held| *held > before).await.expect("the service runs");
    }
}

/// A watchfire that looks at the service every second and has seen enough of it for every rule.
async fn watching(home: &Path, service: &str, variables: &[(&str, &str)]) -> Watchfire {
    let rules = home.join("rules.yml");
    std::fs::write(&rules, "groups: []\n").expect("written");
    let often = [("WATCHFIRE_LIMITS_SCRAPE_INTERVAL", "1s"), ("WATCHFIRE_LIMITS_PROBE_INTERVAL", "1s")];
    let variables: Vec<(&str, &str)> = often.iter().chain(variables).copied().collect();
    let (scrape, probe) = (format!("http://{service}/metrics"), format!("pay=http://{service}/health"));
    let path = rules.display().to_string();
    let watchfire = Watchfire::start_with(&variables, &["--scrape", &scrape, "--probe", &probe, "--rules", &path]);
    let rate = "/api/v1/query?query=rate(work_total[10s])%20and%20on()%20watchfire_service_health";
    watchfire.until(rate, "a rate is known", |json| json["data"]["result"].as_array().is_some_and(|l| !l.is_empty())).await;
    // Only now: before the first scrape everything is absent.
    std::fs::write(&rules, RULES).expect("written");
    let reloaded = watchfire.client().post(watchfire.url("/-/reload")).send().await.expect("answered");
    assert_eq!(reloaded.status(), 200);
    let all = |json: &Json| told(json).len() == 3;
    watchfire.until("/api/watchfire/v1/alerts", "what holds is there", all).await;
    watchfire
}

/// What is said of each alert: (name, state, since when).
fn told(json: &Json) -> Vec<(String, String, String)> {
    let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
    let list = json["alerts"].as_array().cloned().unwrap_or_default();
    let mut told: Vec<_> = list.iter().map(|a| (text(&a["name"]), text(&a["state"]), a["active_at"].to_string())).collect();
    told.sort();
    told
}

/// The alerts after so many further rounds.
async fn after_rounds(watchfire: &Watchfire, rounds: f64) -> Vec<(String, String, String)> {
    let begun = watchfire.metric("watchfire_evaluations_begun_total").await;
    let over = async || watchfire.metric("watchfire_evaluations_begun_total").await >= begun + rounds;
    until_true("rounds go on", Duration::from_secs(60), over).await;
    told(&watchfire.json("/api/watchfire/v1/alerts").await)
}

fn names(told: &[(String, String, String)]) -> Vec<(&str, &str)> {
    told.iter().map(|(name, state, _)| (name.as_str(), state.as_str())).collect()
}

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// A metric; `None` where the connection went: its timers may have run out at once.
async fn noticed(watchfire: &Watchfire, metric: &str) -> Option<f64> {
    let text = watchfire.client().get(watchfire.url("/metrics")).send().await.ok()?.text().await.ok()?;
    text.lines().find_map(|line| line.strip_prefix(metric)?.trim().parse().ok())
}

/// The wall clock of a real process is set, once after the other, by so many seconds from the true time; where timers jump, what they count with as well.
async fn set_clock(timers_jump: bool, offsets: &[i64]) {
    if !Path::new(LIBRARY).exists() {
        return println!("skipped: {LIBRARY} is not there (Debian package libfaketime)");
    }
    let home = TempDir::new().expect("a directory");
    let time = home.path().join("time");
    let set = |offset: i64| {
        // Replaced whole: a process that looks in between must not find half a number.
        std::fs::write(home.path().join("next"), format!("{offset:+}\n")).expect("written");
        std::fs::rename(home.path().join("next"), &time).expect("renamed");
    };
    set(0);
    let file = time.display().to_string();
    let variables = [
        ("LD_PRELOAD", LIBRARY),
        ("FAKETIME_TIMESTAMP_FILE", file.as_str()),
        ("FAKETIME_NO_CACHE", "1"),
        ("DONT_FAKE_MONOTONIC", if timers_jump { "0" } else { "1" }),
    ];
    let service = Service::start().await;
    let watchfire = watching(home.path(), &service.address, &variables).await;
    let fired = |json: &Json| names(&told(json)).contains(&("Soon", "firing"));
    let before = told(&watchfire.until("/api/watchfire/v1/alerts", "what waits eight seconds fires", fired).await);
    assert_eq!(names(&before), [("Held", "firing"), ("Soon", "firing"), ("Waiting", "pending")]);
    for (n, offset) in offsets.iter().enumerate() {
        if timers_jump {
            // Whose answer is waited for when the time-out is over at once has not failed.
            service.within_a_scrape().await;
        }
        set(*offset);
        let steps = r#"watchfire_clock_events_total{kind="wall_step"}"#;
        let seen = async || noticed(&watchfire, steps).await.is_some_and(|noticed| noticed > n as f64);
        until_true(&format!("the step to {offset:+} s is noticed"), PATIENCE, seen).await;
        // The window of the rate is over by then.
        assert_eq!(after_rounds(&watchfire, 24.0).await, before, "after the clock was set to {offset:+} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_is_set_forward_and_back_fires_and_ends_nothing() {
    // Two hours ahead, back by one and a half, to the true time, and four hours ahead: further than samples are kept, the store would forget them first.
    set_clock(false, &[7_200, 1_800, 0, 14_400]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_is_wrong_by_years_fires_and_ends_nothing() {
    // Ten years ahead, to the true time, and a year back: further than anything is kept.
    set_clock(false, &[315_360_000, 0, -31_536_000]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_that_jump_along_with_the_wall_clock_fire_and_end_nothing() {
    // What timers count with moves as well, as after a migration of a virtual machine; it never goes back.
    set_clock(true, &[7_200, 14_400]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_stopped_longer_than_a_wait_and_than_queries_look_back_fires_and_ends_nothing() {
    let home = TempDir::new().expect("a directory");
    let service = Service::start().await;
    let watchfire = watching(home.path(), &service.address, &[("WATCHFIRE_LIMITS_QUERY_LOOKBACK", "4s")]).await;
    let before = told(&watchfire.json("/api/watchfire/v1/alerts").await);
    assert_eq!(names(&before), [("Held", "firing"), ("Soon", "pending"), ("Waiting", "pending")]);
    watchfire.signal("STOP");
    // The fault itself: longer than `for: 8s` and the look back of 4 s.
    tokio::time::sleep(Duration::from_secs(12)).await;
    watchfire.signal("CONT");
    // Two rounds later what had been true for some seconds has waited no longer for it.
    let now = after_rounds(&watchfire, 2.0).await;
    assert_eq!(names(&now), names(&before));
    assert_eq!(now[0], before[0], "what fired has fired since then");
    let fired = |json: &Json| names(&told(json)).contains(&("Soon", "firing"));
    watchfire.until("/api/watchfire/v1/alerts", "it fires when it has run for so long", fired).await;
    let later = after_rounds(&watchfire, 24.0).await;
    assert_eq!(names(&later), [("Held", "firing"), ("Soon", "firing"), ("Waiting", "pending")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_goes_on_where_it_stood_and_says_so() {
    let home = TempDir::new().expect("a directory");
    let rules = home.path().join("rules.yml");
    std::fs::write(
        &rules,
        "groups:\n- name: g\n  interval: 500ms\n  rules:\n  - {alert: Always, expr: vector(1)}\n  - {alert: Patient, expr: vector(1), for: 1h}\n",
    )
    .expect("written");
    let watchfire = Watchfire::start(&["--rules", &rules.display().to_string()]);
    let alerts = |json: &serde_json::Value| json["alerts"].as_array().map_or(0, Vec::len);
    let before = watchfire.until("/api/watchfire/v1/alerts", "both are there", |json| alerts(json) == 2).await;
    let missed = r#"watchfire_rule_group_iterations_missed_total{rule_group="g"}"#;
    let (missed_before, begun_before) = (watchfire.metric(missed).await, watchfire.metric("watchfire_evaluations_begun_total").await);
    watchfire.signal("STOP");
    // The fault itself, not a guess at how long something takes.
    std::thread::sleep(Duration::from_secs(4));
    watchfire.signal("CONT");
    let line = |json: &serde_json::Value| {
        let banners = json["banners"].as_array().cloned().unwrap_or_default();
        banners.iter().filter(|b| b.as_str().is_some_and(|b| b.starts_with("did not run for "))).count()
    };
    watchfire.until("/api/watchfire/v1/status", "one line says it", |json| line(json) == 1).await;
    assert!(watchfire.metric(r#"watchfire_clock_events_total{kind="stall"}"#).await >= 1.0);
    let missed_now = watchfire.metric(missed).await - missed_before;
    assert!((5.0..=9.0).contains(&missed_now), "{missed_now} rounds of half a second in four seconds");
    let begun = watchfire.metric("watchfire_evaluations_begun_total").await - begun_before;
    assert!(begun < 8.0, "{begun} rounds: what was missed is not run afterwards");
    let after = watchfire.json("/api/watchfire/v1/alerts").await;
    let told = |json: &serde_json::Value, name: &str| {
        let list = json["alerts"].as_array().cloned().unwrap_or_default();
        let found = list.into_iter().find(|a| a["name"] == name).unwrap_or_else(|| panic!("{name} is gone: {json}"));
        (found["state"].clone(), found["active_at"].clone())
    };
    for name in ["Always", "Patient"] {
        assert_eq!(told(&before, name), told(&after, name), "{name}");
    }
}
