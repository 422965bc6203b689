//! Which answers are final, and which are asked for again.

use crate::receiver::{Answer, Receiver};
use crate::{RealClock, eventually, notice, settings, start, start_at};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use watchfire_model::NoticeState::Firing;
use watchfire_notifiers::Faults;

fn to(receiver: &Receiver) -> watchfire_notifiers::Settings {
    settings(&format!(
        "[[receivers]]\nname = \"ops\"\nchannels = [{{ type = \"webhook\", url = \"{}\" }}]\n[[routes]]\nto = [\"ops\"]\ngroup_wait = \"0s\"\n\
         group_interval = \"0s\"\n[limits]\nattempt_timeout = \"2s\"\nbackoff_min = \"10ms\"\nbackoff_max = \"20ms\"\n",
        receiver.url
    ))
}

#[tokio::test]
async fn only_answers_that_may_pass_are_asked_for_again() {
    for (status, tries) in [(400, 1), (401, 1), (403, 1), (404, 1), (410, 1), (422, 1), (408, 3), (429, 3), (500, 3), (502, 3), (503, 3)] {
        let receiver = Receiver::start().await;
        receiver.answers([Answer::Status(status), Answer::Status(status)]);
        let running = start(to(&receiver), None);
        running.commit(vec![notice("A", 1, Firing)]).await;
        eventually("settled", || running.handle.owed() == 0).await;
        assert_eq!(receiver.count(), tries, "{status}");
        let given_up = running.handle.dead_letters();
        assert_eq!(given_up.len(), usize::from(tries == 1), "{status}");
        assert!(given_up.iter().all(|letter| letter.reason.contains(&status.to_string())), "{status}: the reason names it");
        let keys: std::collections::BTreeSet<String> = receiver.received().iter().map(|r| r.key().to_owned()).collect();
        assert_eq!(keys.len(), 1, "{status}: every try has the same key");
        running.stop().await;
    }
}

#[tokio::test]
async fn the_status_is_the_answer_though_its_body_never_comes() {
    for (status, tries) in [(200, 1), (404, 1), (503, 2)] {
        let receiver = Receiver::start().await;
        receiver.answers([Answer::Bodiless(status)]);
        let mut ours = to(&receiver);
        ours.limits.attempt_timeout = Duration::from_millis(500);
        let running = start(ours, None);
        running.commit(vec![notice("A", 1, Firing)]).await;
        eventually("settled", || running.handle.owed() == 0).await;
        assert_eq!(receiver.count(), tries, "{status}");
        assert_eq!(running.handle.dead_letters().len(), usize::from(status == 404), "{status}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_journal_that_is_busy_recovers_as_soon_as_the_disk_does() {
    let full = Arc::new(AtomicBool::new(true));
    let failing = full.clone();
    let faults = Faults::hook(move |point| match point {
        "append" if failing.load(Ordering::SeqCst) => Err(std::io::Error::other("disk full")),
        _ => Ok(()),
    });
    let directory = tempfile::tempdir().unwrap();
    let running = start_at(settings(""), Some(directory.path()), RealClock::shared(), faults);
    assert!(!running.commit(vec![notice("A", 1, Firing)]).await);
    full.store(false, Ordering::SeqCst);
    // Many commits a second, for longer than the time between two tries.
    let begun = Instant::now();
    let mut revision = 2;
    while !running.handle.is_durable() {
        assert!(begun.elapsed() < Duration::from_secs(5), "never durable again after {revision} commits");
        running.commit(vec![notice("B", revision, Firing)]).await;
        revision += 1;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_path_that_panics_goes_on_with_what_it_owes_under_the_same_key() {
    let receiver = Receiver::start().await;
    // Once in front of the socket, once when what was sent is to be written down: the second telling is a repeat.
    let left = std::sync::Mutex::new(vec!["mark-sent", "send"]);
    let faults = Faults::hook(move |at| {
        let mut left = left.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if left.last() == Some(&at) {
            left.pop();
            drop(left);
            panic!("cursed at {at}");
        }
        Ok(())
    });
    let running = start_at(to(&receiver), None, RealClock::shared(), faults);
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("told in the end", || running.handle.owed() == 0).await;
    let keys: Vec<String> = receiver.received().iter().map(|r| r.key().to_owned()).collect();
    assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
    assert_eq!(running.meter.counter("watchfire_panics_total", &[("task", "delivery")]).get(), 2);
    running.stop().await;
}

#[tokio::test]
async fn slack_that_says_200_and_what_is_wrong_has_taken_nothing() {
    let receiver = Receiver::start().await;
    let mut ours = to(&receiver);
    ours.receivers =
        settings(&format!("[[receivers]]\nname = \"ops\"\nchannels = [{{ type = \"slack\", url = \"{}/hook\" }}]", receiver.url)).receivers;
    for (answer, dead) in [
        ("invalid_payload", 1),
        (r#"{"ok":false,"error":"channel_not_found"}"#, 1),
        ("ok", 0),
        (r#"{"ok":true,"ts":"1"}"#, 0),
        // Servers that only speak like Slack.
        (r#"{"success":true}"#, 0),
        ("", 0),
    ] {
        receiver.answers([Answer::Json(answer)]);
        let running = start(ours.clone(), None);
        running.commit(vec![notice("A", 1, Firing)]).await;
        eventually("settled", || running.handle.owed() == 0).await;
        let letters = running.handle.dead_letters();
        assert_eq!(letters.len(), dead, "{answer}: {letters:?}");
        running.stop().await;
    }
    // What may pass comes again.
    receiver.answers([Answer::Json(r#"{"ok":false,"error":"ratelimited"}"#)]);
    let before = receiver.count();
    let running = start(ours.clone(), None);
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("taken at the second try", || receiver.count() == before + 2 && running.handle.owed() == 0).await;
    assert!(running.handle.dead_letters().is_empty());
    running.stop().await;
}
