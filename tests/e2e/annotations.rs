//! What a notice says of its rule, from the rule file over the wire: traps in templates cost the text and never the page, links lead somewhere, and
//! somebody answers for it.

use crate::alerting::{Receiver, write};
use crate::instance::Watchfire;
use serde_json::Value as Json;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Told of every alert at once, over a webhook.
fn telling(receiver: &Receiver, more: &str) -> String {
    format!(
        "{more}\n[receivers.ops]\ntype = \"webhook\"\nurl = \"{}/ops\"\n[[route]]\nto = [\"ops\"]\ngroup_wait = \"0s\"\ngroup_interval = \"0s\"\n",
        receiver.url
    )
}

async fn told(receiver: &Receiver, name: &str) -> Json {
    let found = |r: &Receiver| r.alerts().into_iter().map(|(_, alert)| alert).find(|a| a["labels"]["alertname"] == name);
    receiver.until(name, found).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_a_trap_costs_its_text_and_not_the_alert() {
    let receiver = Receiver::start().await;
    let files = TempDir::new().expect("a directory");
    let traps = [
        ("Recursion", r#"{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}"#),
        ("Flood", r#"{{ range 200 }}{{ printf "%1000s" "x" }}{{ end }}"#),
        ("Heavy", r#"{{ query "sum_over_time(vector(1)[100d:1ms])" | len }}"#),
        ("Wrong", r#"{{ query "sum(" | first | value }}"#),
        ("Absent", r#"{{ query "nothing_of_the_kind" | first | value }}"#),
    ];
    let rule = |name: &str, text: &str| {
        let text = text.replace('\'', "''");
        format!(
            "  - {{alert: {name}, expr: 'label_replace(vector(1), \"l\", \"{{{{ .Value }}}}\", \"\", \"\")', annotations: {{summary: '{text}'}}}}\n"
        )
    };
    let plain = ("Plain", "{{ $labels.l }} is {{ $value }}");
    let rules: String = traps.iter().chain([&plain]).map(|(name, text)| rule(name, text)).collect();
    let rules = write(&files.path().join("rules.yml"), &format!("groups:\n- name: g\n  interval: 5s\n  rules:\n{rules}"));
    let config = write(&files.path().join("config.toml"), &telling(&receiver, ""));
    let begun = Instant::now();
    let watchfire = Watchfire::start(&["--rules", &rules, "--config", &config]);
    for (name, _) in traps {
        let alert = told(&receiver, name).await;
        let summary = alert["annotations"]["summary"].as_str().unwrap_or_default().to_owned();
        assert!(summary.starts_with("<error expanding template: "), "{name}: {summary:.200}");
        assert!(summary.len() < 1024, "{name}: {} bytes", summary.len());
    }
    // A label is data, whatever it looks like.
    assert_eq!(told(&receiver, "Plain").await["annotations"]["summary"], "{{ .Value }} is 1");
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    let broken = watchfire.json("/api/v1/rules").await;
    let rules = broken["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
    assert!(rules.len() == 6 && rules.iter().all(|r| r["health"] == "ok" && r["state"] == "firing"), "{broken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_leads_to_its_runbook_and_to_who_answers_for_it() {
    let receiver = Receiver::start().await;
    let files = TempDir::new().expect("a directory");
    let rules = write(
        &files.path().join("rules.yml"),
        "\
groups:
- name: g
  interval: 1s
  rules:
  - {alert: Led, expr: vector(1), labels: {service: cart}, annotations: {runbook_url: 'docs/shop.md#cart'}}
  - {alert: Elsewhere, expr: vector(1), annotations: {runbook_url: 'https://other.example/x', owner: Night Watch}}
",
    );
    let known = "runbook_base = \"https://wiki.example/runbooks/\"\n[services.cart]\nowner = \"Order Team\"\n";
    let config = write(&files.path().join("config.toml"), &telling(&receiver, known));
    let watchfire = Watchfire::start(&["--rules", &rules, "--config", &config]);
    let led = told(&receiver, "Led").await;
    let expected = serde_json::json!({"runbook_url": "https://wiki.example/runbooks/docs/shop.md#cart", "owner": "Order Team"});
    assert_eq!(led["annotations"], expected);
    let elsewhere = told(&receiver, "Elsewhere").await;
    assert_eq!(elsewhere["annotations"], serde_json::json!({"runbook_url": "https://other.example/x", "owner": "Night Watch"}));
    // The same on screens and in the API.
    let shown = watchfire.json("/api/v1/alerts").await;
    assert!(shown["data"]["alerts"].as_array().is_some_and(|l| l.iter().any(|a| a["annotations"] == expected)), "{shown}");

    // Pages that move are followed without a restart.
    write(&files.path().join("config.toml"), &telling(&receiver, &known.replace("wiki.example", "pages.example")));
    let answer = watchfire.client().post(watchfire.url("/-/reload")).send().await.expect("answered");
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.expect("a body");
    assert!(!text.contains("restart"), "{text}");
    let moved = |json: &Json| json.to_string().contains("https://pages.example/runbooks/docs/shop.md#cart");
    watchfire.until("/api/v1/alerts", "the link is the new one", moved).await;
}
