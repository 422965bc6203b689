//! Alerts that `keep_firing_for` keeps, as Prometheus's API tells them.

use crate::instance::Watchfire;
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn the_api_says_since_when_an_alert_is_kept() {
    let files = TempDir::new().expect("a directory");
    let rules = files.path().join("rules.yml");
    let ends = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() + 6;
    let text = format!(
        "groups:\n- name: g\n  interval: 1s\n  rules:\n  - {{alert: Kept, expr: vector(time()) < {ends}, keep_firing_for: 1h}}\n  \
         - {{alert: Lasting, expr: vector(1), keep_firing_for: 1h}}\n"
    );
    std::fs::write(&rules, text).expect("written");
    let watchfire = Watchfire::start(&["--rules", &rules.display().to_string()]);
    let kept = |json: &serde_json::Value, name: &str| {
        let alert = json["data"]["alerts"].as_array()?.iter().find(|a| a["labels"]["alertname"] == name)?.clone();
        Some((alert["state"].as_str()?.to_owned(), alert.get("keepFiringSince").and_then(|t| t.as_str()).map(str::to_owned)))
    };
    let firing = |since: Option<&str>| Some(("firing".to_owned(), since.map(str::to_owned)));
    watchfire.until("/api/v1/alerts", "it fires for itself", |json| kept(json, "Kept") == firing(None)).await;
    let json = watchfire.until("/api/v1/alerts", "it is kept", |json| kept(json, "Kept").is_some_and(|(_, since)| since.is_some())).await;
    let (state, since) = kept(&json, "Kept").expect("there");
    assert_eq!(state, "firing");
    let since = chrono::DateTime::parse_from_rfc3339(&since.expect("since when")).expect("a time").timestamp();
    assert!((0..30).contains(&(since - ends as i64)), "{since} {ends}");
    assert_eq!(kept(&json, "Lasting"), firing(None));
    let of_rules = watchfire.json("/api/v1/rules").await;
    let alert = &of_rules["data"]["groups"].as_array().into_iter().flatten().find(|g| g["name"] == "g").expect("the group")["rules"][0]["alerts"]
        [0];
    assert!(alert["keepFiringSince"].is_string(), "{alert}");
}
