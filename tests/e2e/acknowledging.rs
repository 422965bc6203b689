//! Who looks after an alert says so over the API, and only of one that there is.

use crate::instance::Watchfire;
use serde_json::{Value as Json, json};

#[tokio::test(flavor = "multi_thread")]
async fn only_an_active_alert_is_acknowledged() {
    let files = tempfile::TempDir::new().expect("a directory");
    let rules = files.path().join("rules.yml");
    std::fs::write(&rules, "groups:\n- name: g\n  interval: 1s\n  rules:\n  - {alert: One, expr: vector(1)}\n").expect("written");
    let watchfire = Watchfire::start(&["--rules", &rules.display().to_string()]);
    let one = |json: &Json| json["alerts"][0].clone();
    let alerts = watchfire.until("/api/watchfire/v1/alerts", "it fires", |json| one(json)["state"] == "firing").await;
    let acknowledge = async |body: Json| {
        let answer = watchfire.client().post(watchfire.url("/api/watchfire/v1/acknowledgements")).body(body.to_string()).send().await;
        let answer = answer.expect("answered");
        (answer.status().as_u16(), answer.json::<Json>().await.expect("JSON"))
    };
    // In both forms: as people write it, and as attached terminals send it.
    let unknown =
        [json!({"fingerprint": "nothing", "by": "ana"}), json!({"acknowledge": {"fingerprint": "nothing", "by": "ana", "until": null}})];
    for body in unknown.into_iter().chain([json!({"alert": "Two", "by": "ana"})]) {
        let (status, answer) = acknowledge(body.clone()).await;
        assert_eq!((status, &answer["status"]), (404, &json!("error")), "{body}: {answer}");
    }
    let (status, answer) = acknowledge(json!({"fingerprint": one(&alerts)["fingerprint"], "by": "ana"})).await;
    assert_eq!(status, 200, "{answer}");
    watchfire.until("/api/watchfire/v1/alerts", "it is ana's", |json| one(json)["acknowledged_by"] == "ana").await;
}
