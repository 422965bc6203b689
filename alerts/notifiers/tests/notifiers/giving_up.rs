//! What is never delivered: refused, too old, or too much to hold. It is a dead letter then, and the other paths hear of it.

use crate::delivery::{routed, to};
use crate::receiver::{Answer, Receiver};
use crate::{eventually, notice, start, start_at};
use std::time::Duration;
use watchfire_model::{NoticeState::*, Timestamp};
use watchfire_notifiers::Faults;

#[tokio::test]
async fn what_is_refused_is_not_tried_again_and_the_others_hear_of_it() {
    let (bad, good) = (Receiver::start().await, Receiver::start().await);
    bad.always(Some(Answer::Status(404)));
    let running = start(routed(&[("bad", &bad), ("good", &good)], ""), None);
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("the other path is told", || good.alerts().iter().any(|(name, _)| name == "WatchfireNotificationsFail")).await;
    assert_eq!(bad.count(), 1, "a 404 will not change");
    let letters = running.handle.dead_letters();
    assert_eq!((letters[0].path.as_str(), letters[0].alert.as_str()), ("bad/webhook", "A"));
    assert!(letters[0].reason.contains("404"), "{}", letters[0].reason);
    let path = running.handle.paths().into_iter().find(|(path, _, _)| path == "bad/webhook").unwrap();
    assert!(!path.1 && path.2.contains("404") && !path.2.contains("/hook"), "{path:?}");
    bad.always(None);
    running.commit(vec![notice("B", 1, Firing)]).await;
    eventually("the recovery is told", || good.alerts().contains(&("WatchfireNotificationsFail".to_owned(), "resolved".to_owned()))).await;
    running.stop().await;
}

#[tokio::test]
async fn that_a_path_works_again_is_told_also_after_a_restart_and_other_settings() {
    const FAILS: &str = "WatchfireNotificationsFail";
    let (bad, good) = (Receiver::start().await, Receiver::start().await);
    let both = || routed(&[("bad", &bad), ("good", &good)], "");
    let directory = tempfile::tempdir().unwrap();
    let told = |status: &str, times: usize| {
        let line = (FAILS.to_owned(), status.to_owned());
        good.alerts().iter().filter(|heard| **heard == line).count() == times
    };
    bad.always(Some(Answer::Status(404)));
    let running = start(both(), Some(directory.path()));
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("the other path is told", || told("firing", 1)).await;
    running.stop().await;
    bad.always(None);
    let running = start(both(), Some(directory.path()));
    running.commit(vec![notice("B", 1, Firing)]).await;
    eventually("the recovery is told by the next run", || told("resolved", 1)).await;

    bad.always(Some(Answer::Status(404)));
    running.commit(vec![notice("C", 1, Firing)]).await;
    eventually("it fails again", || told("firing", 2)).await;
    let handle = running.handle.clone();
    let alone = routed(&[("good", &good)], "");
    tokio::task::spawn_blocking(move || handle.reload(&alone)).await.expect("no panic").expect("good settings");
    eventually("a path that is no longer there fails nobody", || told("resolved", 2)).await;
    running.stop().await;
}

#[tokio::test]
async fn after_a_day_of_failures_a_message_is_a_dead_letter() {
    let receiver = Receiver::start().await;
    receiver.always(Some(Answer::Status(503)));
    let clock = watchfire_model::HandClock::at(Timestamp(1_772_334_900_000));
    let running = start_at(to(&receiver), None, std::sync::Arc::new(clock.clone()), Faults::default());
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("tried", || receiver.count() >= 1).await;
    clock.advance(Duration::from_secs(25 * 3600));
    eventually("given up", || running.handle.dead_letters().len() == 1).await;
    assert!(running.handle.dead_letters()[0].reason.contains("given up after 1d"));
    assert_eq!(running.handle.owed(), 0);
    running.stop().await;
}

#[tokio::test]
async fn a_full_outbox_gives_up_the_oldest_and_says_so() {
    let receiver = Receiver::start().await;
    receiver.always(Some(Answer::Status(503)));
    let mut settings = to(&receiver);
    settings.limits.outbox_entries = 10;
    let running = start(settings, None);
    for n in 0..15 {
        running.commit(vec![notice(&format!("A{n:02}"), 1, Firing)]).await;
    }
    let letters: Vec<String> = running.handle.dead_letters().into_iter().map(|d| d.alert).collect();
    assert_eq!(letters, ["A00", "A01", "A02", "A03"], "the newest is not counted before it is in");
    assert!(running.handle.dead_letters()[0].reason.contains("outbox is full"));
    let full = running.meter.counter("watchfire_notifications_dropped_total", &[("path", "ops/webhook"), ("reason", "outbox_full")]);
    assert_eq!(full.get(), 4);
    running.cancel.cancel();
}
