//! Whether anybody hears of an alert: what the evaluator asks before one alert keeps others quiet.

use crate::receiver::Receiver;
use crate::{Running, eventually, notice, settings, start_at};
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::reading::Silence;
use watchfire_model::{Clock, HandClock, Labels, Notice, NoticeState::*, Severity, Timestamp};
use watchfire_notifiers::{Faults, Undecided};

fn night() -> Timestamp {
    Timestamp(chrono::DateTime::parse_from_rfc3339("2026-03-01T03:00:00Z").unwrap().timestamp_millis())
}

/// One person, who sleeps at night and hears of the service db only.
fn ours(receiver: &Receiver, clock: &HandClock) -> Running {
    let ours = settings(&format!(
        "default_to = []\n[[people]]\nname = \"alex\"\nquiet_hours = [{{ from = \"22:00\", to = \"07:00\" }}]\n[[people.channels]]\nchannel = {{ type = \"webhook\", url = \"{}\" }}\n\
         [[routes]]\nmatchers = ['service=\"db\"']\nto = [\"alex\"]\ngroup_wait = \"0s\"\ngroup_interval = \"0s\"\n",
        receiver.url
    ));
    start_at(ours, None, Arc::new(clock.clone()), Faults::default())
}

fn full(revision: u64, severity: Severity) -> Notice {
    let labels = Labels::from_pairs([("alertname", "Full"), ("severity", "warning"), ("service", "db")]);
    Notice { severity, labels, ..notice("Full", revision, Firing) }
}

#[tokio::test]
async fn nobody_hears_what_is_not_routed_or_silenced_or_comes_at_night_unless_they_have_heard_it() {
    let receiver = Receiver::start().await;
    let clock = HandClock::at(night().saturating_sub(Duration::from_secs(12 * 3600)));
    let running = ours(&receiver, &clock);
    let db = full(1, Severity::Warning);
    let hears = |severity| running.handle.hears(&db.fingerprint, &db.labels, severity);
    assert!(!running.handle.hears("x", &Labels::from_pairs([("service", "web")]), Severity::Critical), "no route");
    assert!(hears(Severity::Warning), "three in the afternoon");
    clock.advance(Duration::from_secs(12 * 3600));
    assert!(!hears(Severity::Warning) && hears(Severity::Critical), "asleep, but for what is critical");
    clock.advance(Duration::from_secs(12 * 3600));
    running.commit(vec![db.clone()]).await;
    eventually("told", || receiver.count() == 1 && running.handle.owed() == 0).await;
    clock.advance(Duration::from_secs(12 * 3600));
    assert!(hears(Severity::Warning), "has heard it before the night");
    let silence = Silence {
        matchers: vec![("service".to_owned(), "=".to_owned(), "db".to_owned())],
        starts_at: clock.now(),
        ends_at: clock.now().saturating_add(Duration::from_secs(3600)),
        ..Silence::default()
    };
    let handle = running.handle.clone();
    tokio::task::spawn_blocking(move || handle.silence(silence)).await.unwrap().unwrap();
    assert!(hears(Severity::Warning), "has heard it before the silence");
    running.commit(vec![full(2, Severity::Critical)]).await;
    assert!(!hears(Severity::Critical), "speaks for something critical now, and is silenced");
    running.stop().await;
}

#[tokio::test]
async fn what_has_become_louder_is_told_though_it_was_acknowledged() {
    let receiver = Receiver::start().await;
    let clock = HandClock::at(night().saturating_sub(Duration::from_secs(12 * 3600)));
    let running = ours(&receiver, &clock);
    running.commit(vec![full(1, Severity::Warning)]).await;
    eventually("told", || receiver.count() == 1 && running.handle.owed() == 0).await;
    let handle = running.handle.clone();
    tokio::task::spawn_blocking(move || handle.acknowledge("fp-Full", "alex", None)).await.unwrap().unwrap();
    running.commit(vec![full(2, Severity::Critical)]).await;
    eventually("told again", || receiver.count() == 2 && running.handle.owed() == 0).await;
    assert!(running.handle.acknowledged("fp-Full").is_none());
    running.stop().await;
}

#[tokio::test]
async fn silences_are_bounded_and_those_that_are_held_can_still_be_changed() {
    let mut two = settings("default_to = []");
    two.limits.silences = 2;
    let running = crate::start(two, None);
    let begin = crate::RealClock::shared().now();
    let silence = async |id: &str, hours: u64| {
        let silence = Silence {
            id: id.to_owned(),
            matchers: vec![("service".to_owned(), "=".to_owned(), "db".to_owned())],
            starts_at: begin,
            ends_at: begin.saturating_add(Duration::from_secs(hours * 3600)),
            ..Silence::default()
        };
        let handle = running.handle.clone();
        tokio::task::spawn_blocking(move || handle.silence(silence)).await.expect("no panic")
    };
    let first = silence("", 1).await.expect("room");
    silence("", 1).await.expect("room");
    assert!(
        matches!(silence("", 1).await, Err(Undecided::Refused(why)) if why.starts_with("2 silences are held (delivery.limits.silences)"))
    );
    assert_eq!(silence(&first, 2).await, Ok(first));
    assert_eq!(running.handle.silences().len(), 2);
    running.stop().await;
}
