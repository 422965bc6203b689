//! A process that does not get to run: what it missed is counted and told, and nothing fires or ends because of it.

use crate::instance::Watchfire;
use std::time::Duration;
use tempfile::TempDir;

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
