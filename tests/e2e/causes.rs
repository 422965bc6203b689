//! One page for a cause and its victims, from the spans that connect them to who is told.

use crate::alerting::{Receiver, write};
use crate::instance::Watchfire;
use serde_json::{Value as Json, json};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// Both fire as soon as a call from `web` to `db` is known.
const RULES: &str = r#"
groups:
- name: g
  interval: 1s
  rules:
  - {alert: Full, expr: 'count(traces_service_graph_request_total{client="web", server="db"}) > 0', labels: {severity: warning, service: db}}
  - {alert: Errors, expr: 'count(traces_service_graph_request_total{client="web", server="db"}) > 0', labels: {severity: critical, service: web}}
"#;

/// A call from `web` to `db` that fails.
fn call() -> Json {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    let of = |service: &str, span: u64, parent: &str, kind: u8| {
        json!({
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
            "scopeSpans": [{"spans": [{
                "traceId": format!("{now:032x}"), "spanId": format!("{span:016x}"), "parentSpanId": parent, "name": "query", "kind": kind,
                "startTimeUnixNano": (now - 5_000_000).to_string(), "endTimeUnixNano": now.to_string(), "status": {"code": 2},
            }]}],
        })
    };
    json!({"resourceSpans": [of("web", 1, "", 3), of("db", 2, &format!("{:016x}", 1), 2)]})
}

/// Who of the two was told of, once the last of `awaited` was; and what the API says of both then.
async fn told(silenced: bool, awaited: &str) -> (Vec<String>, Json) {
    let receiver = Receiver::start().await;
    let files = TempDir::new().expect("a directory");
    let rules = write(&files.path().join("rules.yml"), RULES);
    let config = write(
        &files.path().join("config.toml"),
        &format!(
            "[receivers.hook]\ntype = \"webhook\"\nurl = \"{}/hook\"\n[[route]]\nto = [\"hook\"]\ngroup_by = [\"alertname\"]\n\
             group_wait = \"0s\"\ngroup_interval = \"0s\"\n[limits.rules]\ncause_wait = \"2s\"\ncause_wait_critical = \"2s\"\n",
            receiver.url
        ),
    );
    let watchfire = Watchfire::start(&["--rules", &rules, "--config", &config]);
    if silenced {
        let silence = json!({
            "matchers": [{"name": "service", "value": "db", "isRegex": false, "isEqual": true}], "createdBy": "somebody", "comment": "known",
            "startsAt": chrono::Utc::now(), "endsAt": chrono::Utc::now() + chrono::Duration::hours(1),
        });
        let answer = watchfire.client().post(watchfire.url("/api/watchfire/v1/silences")).body(silence.to_string());
        let answer = answer.header("content-type", "application/json").send().await.expect("answered");
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
    }
    let traces = watchfire.client().post(format!("http://{}/v1/traces", watchfire.otlp_http));
    let sent = traces.header("content-type", "application/json").body(call().to_string()).send().await.expect("answered");
    assert!(sent.status().is_success());
    let names = |receiver: &Receiver| -> Vec<String> {
        receiver.alerts().iter().map(|(_, a)| a["labels"]["alertname"].as_str().unwrap_or_default().to_owned()).collect()
    };
    receiver.until("somebody is told", |r| names(r).iter().any(|name| name == awaited).then_some(())).await;
    let settled = |json: &Json| {
        let alerts = json["alerts"].as_array();
        alerts.is_some_and(|a| a.len() == 2 && a.iter().all(|a| a["state"] == "firing" && (a["name"] != awaited || a["notified"] == true)))
    };
    let shown = watchfire.until("/api/watchfire/v1/alerts", "both fire", settled).await;
    let mut told = names(&receiver);
    told.dedup();
    (told, shown)
}

fn shown<'j>(json: &'j Json, name: &str) -> &'j Json {
    json["alerts"].as_array().into_iter().flatten().find(|a| a["name"] == name).unwrap_or(&Json::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cause_is_told_and_its_victim_is_shown_under_it() {
    let (told, json) = told(false, "Full").await;
    assert_eq!(told, ["Full"], "{json}");
    assert_eq!(shown(&json, "Errors")["cause"]["alert"], "Full", "{json}");
}

/// Nobody hears of the cause, so the victim is told of; under the cause as Alertmanager would keep it, a silenced warning would swallow it.
#[tokio::test(flavor = "multi_thread")]
async fn the_victim_of_a_silenced_cause_is_told() {
    let (told, json) = told(true, "Errors").await;
    assert_eq!(told, ["Errors"], "{json}");
    assert_eq!((&shown(&json, "Full")["silenced"], &shown(&json, "Full")["notified"]), (&true.into(), &false.into()), "{json}");
}
