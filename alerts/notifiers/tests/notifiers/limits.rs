//! What Slack and PagerDuty would refuse for its length is cut before they see it: a page that is shorter is still a page.

use crate::receiver::Receiver;
use crate::{Running, eventually, notice, start};
use watchfire_model::{Labels, NoticeState::*};
use watchfire_notifiers::Settings;

fn with_file(yaml: &str) -> (Running, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), yaml).unwrap();
    let settings = Settings { alertmanager_config: Some(file.path().to_owned()), ..Settings::default() };
    (start(settings, None), file)
}

fn huge() -> watchfire_model::Notice {
    let mut huge = notice("A", 1, Firing);
    let big = "&".repeat(12_000);
    huge.annotations = Labels::from_pairs([("summary", "calls fail"), ("big", big.as_str())]);
    huge
}

#[tokio::test]
async fn slack_gets_no_more_text_than_it_takes() {
    let slack = Receiver::start().await;
    let entry = format!("api_url: {}, title: '{{{{ .CommonAnnotations.big }}}}', text: '{{{{ .CommonAnnotations.big }}}}'", slack.url);
    let (running, _file) = with_file(&format!(
        "route: {{receiver: a, group_wait: 0s}}\nreceivers: [{{name: a, slack_configs: [{{{entry}, fallback: '{{{{ .CommonAnnotations.big }}}}'}}]}}]\n"
    ));
    running.commit(vec![huge()]).await;
    eventually("told", || slack.count() == 1).await;
    let attachment = slack.received()[0].json()["attachments"][0].clone();
    let length = |field: &str| attachment[field].as_str().unwrap().chars().count();
    assert!(length("title") <= 1024 && length("text") > 20_000, "{}", length("title"));
    let all: usize = ["title", "text", "fallback", "footer"].map(length).iter().sum();
    assert!(all <= 40_000, "{all}");
    for field in ["title", "text", "fallback"] {
        let text = attachment[field].as_str().unwrap().trim_end_matches('…').replace("&amp;", "");
        assert_eq!(text, "", "{field} ends within a character");
    }
    running.stop().await;
}

#[tokio::test]
async fn pagerduty_gets_no_event_larger_than_it_takes() {
    let pager = Receiver::start().await;
    let details: Vec<String> = (0..60).map(|n| format!("d{n}: '{{{{ .CommonAnnotations.big }}}}'")).collect();
    let (running, _file) = with_file(&format!(
        "route: {{receiver: a}}\nreceivers: [{{name: a, pagerduty_configs: [{{routing_key: k, url: '{}', description: '{{{{ .CommonAnnotations.big }}}}', details: {{team: x, {}}}}}]}}]\n",
        pager.url,
        details.join(", ")
    ));
    running.commit(vec![huge()]).await;
    eventually("paged", || pager.count() == 1).await;
    let (size, event) = (pager.received()[0].body.len(), pager.received()[0].json());
    assert!(size <= 512_000, "{size}");
    assert_eq!(event["payload"]["summary"].as_str().unwrap().chars().count(), 1024);
    assert!(event["dedup_key"].as_str().unwrap().len() <= 255);
    assert_eq!(event["payload"]["custom_details"]["team"], "x");
    assert!(event["payload"]["custom_details"]["d9"].as_str().unwrap().len() > 100);
    running.stop().await;
}

#[tokio::test]
async fn a_group_that_is_longer_than_one_message_says_how_much_each_leaves_out() {
    let receiver = Receiver::start().await;
    let running = start(crate::delivery::to(&receiver), None);
    let one = |n: usize| {
        let labels = Labels::from_pairs([("alertname", "Full"), ("severity", "critical"), ("pod", n.to_string().as_str())]);
        watchfire_model::Notice { fingerprint: format!("fp-{n}"), labels, ..notice("Full", 1, Firing) }
    };
    running.commit((0..1203).map(one).collect()).await;
    eventually("all told", || running.handle.owed() == 0).await;
    let told: Vec<(usize, u64)> = (receiver.received().iter().map(|r| r.json()))
        .map(|body| (body["alerts"].as_array().unwrap().len(), body["truncatedAlerts"].as_u64().unwrap()))
        .collect();
    // The second is about what is new, and about as much of the rest as there is room for.
    assert_eq!(told, [(1000, 203), (1000, 203)]);
    running.stop().await;
}
