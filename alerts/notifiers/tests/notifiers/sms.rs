//! Gateways of text messages: each wants its own fields in its own place, and what an alert says stays text there.

use crate::receiver::{Answer, Receiver};
use crate::{eventually, notice, settings, start};
use serde_json::json;
use watchfire_model::{Labels, NoticeState::*};
use watchfire_notifiers::Settings;

fn over(channel: &str) -> Settings {
    settings(&format!(
        "[[receivers]]\nname = \"ops\"\nchannels = [{{ type = \"sms\", {channel} }}]\n[[routes]]\nto = [\"ops\"]\ngroup_wait = \"0s\"\ngroup_interval = \"0s\"\n\
         [limits]\nbackoff_min = \"10ms\"\nbackoff_max = \"20ms\"\n"
    ))
}

fn hostile() -> watchfire_model::Notice {
    let mut hostile = notice("A\"}&to=+666#ü\n{to}", 1, Firing);
    hostile.annotations = Labels::empty();
    hostile
}

#[tokio::test]
async fn json_of_any_shape_holds_the_text_as_text() {
    let gateway = Receiver::start().await;
    let fields = "fields = { from = \"ops\", flash = true, messages = [{ content = \"{text}\", destinations = [{ to = \"{to}\" }] }] }";
    let running = start(over(&format!("url = \"{}/send\", to = [\"+491\"], {fields}", gateway.url)), None);
    running.commit(vec![hostile()]).await;
    eventually("sent", || gateway.count() == 1).await;
    let sent = gateway.received()[0].json();
    let text = "[FIRING] A\"}&to=+666#ü {to}: social-service (critical)";
    let shape = json!({"from": "ops", "flash": true, "messages": [{"content": text, "destinations": [{"to": "+491"}]}]});
    // A line break in a label is no layout: it stays visible.
    assert_eq!(sent.to_string().replace('␊', " "), shape.to_string());
    running.stop().await;
}

#[tokio::test]
async fn an_address_takes_the_fields_and_nothing_that_is_filled_in_can_add_one() {
    let gateway = Receiver::start().await;
    for channel in [
        format!(
            "url = \"{}/send?user=ops\", format = \"query\", to = [\"+491\"], fields = {{ nr = \"{{to}}\", body = \"{{text}}\" }}",
            gateway.url
        ),
        format!("url = \"{}/send?user=ops&nr={{to}}&body={{text}}\", format = \"query\", to = [\"+491\"]", gateway.url),
    ] {
        let before = gateway.count();
        let running = start(over(&channel), None);
        running.commit(vec![hostile()]).await;
        eventually("sent", || gateway.count() == before + 1).await;
        let sent = &gateway.received()[before];
        let url = reqwest::Url::parse(&format!("http://gateway{}", sent.path)).unwrap();
        let pairs: std::collections::BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(pairs.keys().collect::<Vec<_>>(), ["body", "nr", "user"], "{}", sent.path);
        assert_eq!((pairs["user"].as_str(), pairs["nr"].as_str()), ("ops", "+491"));
        assert!(pairs["body"].starts_with("[FIRING] A\"}&to=+666#ü") && sent.body.is_empty(), "{pairs:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_refused_number_keeps_nobody_else_from_being_told_and_nobody_is_told_twice() {
    let gateway = Receiver::start().await;
    // The first takes it, the second is refused, the third is tried again.
    gateway.answers([Answer::Status(200), Answer::Status(400), Answer::Status(503), Answer::Status(503)]);
    let running = start(over(&format!("url = \"{}\", to = [\"+491\", \"+492\", \"+493\"]", gateway.url)), None);
    running.commit(vec![notice("Down", 1, Firing)]).await;
    eventually("all are settled", || running.handle.dead_letters().len() == 1).await;
    let told: Vec<String> = gateway.received().iter().map(|r| r.json()["to"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, ["+491", "+492", "+493", "+493", "+493"]);
    assert!(running.handle.dead_letters()[0].reason.starts_with("+492: "), "{:?}", running.handle.dead_letters());
    assert_eq!(running.handle.delivery("fp-Down"), ["ops/sms"]);
    running.commit(vec![notice("Down", 2, Resolved)]).await;
    eventually("everybody hears of the end", || gateway.count() == 8 && running.handle.owed() == 0).await;
    assert!(gateway.received()[7].body.contains("RESOLVED"), "{}", gateway.received()[7].body);
    running.stop().await;
}
