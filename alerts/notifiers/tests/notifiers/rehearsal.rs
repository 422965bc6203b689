//! A rehearsed delivery says what a real one sends, and waits as long, on the clock of its caller.

use crate::receiver::Receiver;
use crate::smtp::MailServer;
use crate::{eventually, notice, settings, start};
use serde_json::Value;
use std::time::Duration;
use watchfire_model::{Cause, NoticeState::*, Timestamp};
use watchfire_notifiers::{Rehearsal, Said, Settings};

fn over(channel: &str) -> Settings {
    settings(&format!(
        "[[receivers]]\nname = \"ops\"\nchannels = [{{ {channel} }}]\n[[routes]]\nto = [\"ops\"]\ngroup_wait = \"0s\"\ngroup_interval = \"0s\"\n"
    ))
}

/// Two alerts of one rule begin, then one ends.
fn notices() -> [Vec<watchfire_model::Notice>; 2] {
    let mut other = notice("Down", 1, Firing);
    other.fingerprint = "fp-other".to_owned();
    [vec![notice("Down", 1, Firing), other], vec![notice("Down", 2, Resolved)]]
}

fn rehearsed(settings: &Settings) -> Vec<String> {
    let mut delivery = Rehearsal::new(settings).unwrap();
    let mut texts = Vec::new();
    for (second, tick) in (1..).zip(notices()) {
        let at = Timestamp(1_772_334_661_000 + second * 1_000);
        tick.into_iter().for_each(|n| delivery.take(n, at));
        texts.extend(delivery.send(at).into_iter().flat_map(|said| said.texts));
    }
    texts
}

/// As JSON, without the credential, the key that no two messages share, and what the moment of sending decides.
fn comparable(text: &str) -> Value {
    let mut value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let objects = value.as_array_mut().into_iter().flatten();
    objects.for_each(|alert| alert["endsAt"] = Value::Null);
    if let Some(body) = value.as_object_mut() {
        body.retain(|name, _| !["routing_key", "idempotencyKey"].contains(&name.as_str()));
    }
    value
}

#[tokio::test]
async fn what_is_rehearsed_is_what_arrives() {
    for (channel, calls) in [
        ("type = \"slack\", url = \"URL\"", 2),
        ("type = \"pagerduty\", routing_key = \"R0\", url = \"URL\"", 3),
        ("type = \"webhook\", url = \"URL\"", 2),
        ("type = \"alertmanager\", url = \"URL\"", 2),
        ("type = \"sms\", url = \"URL\", to = [\"+49 1\", \"+49 2\"]", 4),
    ] {
        let receiver = Receiver::start().await;
        let settings = over(&channel.replace("URL", &receiver.url));
        let running = start(settings.clone(), None);
        for tick in notices() {
            running.commit(tick).await;
            eventually("settled", || running.handle.owed() == 0).await;
        }
        running.stop().await;
        let sent: Vec<String> = receiver.received().into_iter().map(|r| r.body).collect();
        let said = rehearsed(&settings);
        assert_eq!((sent.len(), said.len()), (calls, calls), "{channel}");
        for (sent, said) in sent.iter().zip(&said) {
            match channel.contains("sms") {
                true => assert_eq!(comparable(sent)["text"], **said, "{channel}"),
                false => assert_eq!(comparable(sent), comparable(said), "{channel}"),
            }
        }
    }
}

#[tokio::test]
async fn a_rehearsed_mail_has_the_subject_and_the_text_of_the_real_one() {
    let server = MailServer::start().await;
    let settings = over(&format!(
        "type = \"email\", smarthost = \"{}\", from = \"wf@example.org\", to = [\"ops@example.org\"], security = \"none\"",
        server.address
    ));
    let running = start(settings.clone(), None);
    let [begin, _] = notices();
    running.commit(begin).await;
    eventually("settled", || running.handle.owed() == 0).await;
    running.stop().await;
    let said = rehearsed(&settings);
    let (subject, text) = said[0].split_once("\n\n").unwrap();
    let mail = &server.mails()[0];
    assert_eq!(mail.header("Subject").as_deref(), Some(subject));
    assert!(text.lines().all(|line| mail.lines.iter().any(|l| l == line)), "{text}\n---\n{:#?}", mail.lines);
}

fn told(said: &[Said]) -> Vec<(String, &'static str, usize)> {
    said.iter().map(|s| (s.receiver.clone(), s.kind, s.news.len())).collect()
}

#[test]
fn groups_batches_and_ends_come_when_they_are_due() {
    let settings = settings(
        "default_to = [\"desktop\", \"chat\"]\n[[receivers]]\nname = \"chat\"\nchannels = [{ type = \"slack\", url = \"https://nowhere.invalid/\" }]\n\
         [[receivers]]\nname = \"trend\"\nchannels = [{ type = \"webhook\", url = \"https://nowhere.invalid/\" }]\n\
         [[routes]]\nmatchers = ['alertname=\"Slow\"']\nto = [\"trend\"]\nbatch = \"1h\"\n",
    );
    let mut delivery = Rehearsal::new(&settings).unwrap();
    let begin = Timestamp(1_772_334_661_000);
    let after = |seconds: u64| begin.saturating_add(Duration::from_secs(seconds));
    let owned = |receiver: &str, kind, news| (receiver.to_owned(), kind, news);
    notices()[0].iter().for_each(|n| delivery.take(n.clone(), begin));
    delivery.take(notice("Slow", 1, Firing), begin);
    assert_eq!(told(&delivery.send(begin)), [owned("desktop", "desktop", 2)], "somebody sits in front of it");
    assert_eq!(delivery.next(begin), Some(after(10)));
    assert_eq!(told(&delivery.send(after(9))), []);
    assert_eq!(told(&delivery.send(after(10))), [owned("chat", "slack", 2)]);
    delivery.take(notice("Down", 2, Resolved), after(20));
    assert_eq!(told(&delivery.send(after(20))), [owned("desktop", "desktop", 1)]);
    assert_eq!(told(&delivery.send(after(69))), []);
    assert_eq!(told(&delivery.send(after(70))), [owned("chat", "slack", 1)]);
    assert_eq!(told(&delivery.send(after(3600))), [owned("trend", "webhook", 1)]);
}

#[test]
fn who_is_held_back_for_a_cause_says_nothing() {
    let mut delivery = Rehearsal::new(&over("type = \"slack\", url = \"https://nowhere.invalid/\"")).unwrap();
    let at = Timestamp(1_772_334_661_000);
    let mut victim = notice("Victim", 1, Firing);
    victim.cause = Some(Cause { alert: "Down".to_owned(), service: "store".to_owned(), reason: "Down of store".to_owned() });
    delivery.take(victim, at);
    assert_eq!(told(&delivery.send(at)), []);
    delivery.take(notice("Victim", 2, Resolved), at);
    assert_eq!(told(&delivery.send(at.saturating_add(Duration::from_secs(600)))), []);
}

#[test]
fn a_cause_says_how_loud_it_is_on_every_channel() {
    for channel in ["type = \"slack\", url = \"https://nowhere.invalid/\"", "type = \"webhook\", url = \"https://nowhere.invalid/\""] {
        let mut delivery = Rehearsal::new(&over(channel)).unwrap();
        let at = Timestamp(1_772_334_661_000);
        let mut cause = notice("Cause", 1, Firing);
        cause.labels = watchfire_model::Labels::from_pairs([("alertname", "Cause"), ("severity", "warning")]);
        delivery.take(cause, at);
        let text = delivery.send(at)[0].texts.concat();
        assert!(text.contains("critical") && !text.contains("warning"), "{channel}: {text}");
    }
}
