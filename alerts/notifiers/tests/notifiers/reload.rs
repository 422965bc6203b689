//! Settings that change while delivery runs, or while nothing ran: nothing is lost, nobody is told twice, a bad file changes nothing.

use crate::receiver::{Answer, Receiver};
use crate::{Running, eventually, notice, settings, start};
use watchfire_model::NoticeState::{Firing, Resolved};
use watchfire_notifiers::Settings;

/// One webhook under a name, no waiting for groups.
fn only(name: &str, receiver: &Receiver) -> Settings {
    settings(&format!(
        "[[receivers]]\nname = \"{name}\"\nchannels = [{{ type = \"webhook\", url = \"{}/{name}\" }}]\n\
         [[routes]]\nto = [\"{name}\"]\ngroup_wait = \"0s\"\ngroup_interval = \"0s\"\n[limits]\nbackoff_min = \"20ms\"\nbackoff_max = \"100ms\"",
        receiver.url
    ))
}

async fn reload(running: &Running, settings: Settings) -> Result<(), String> {
    let handle = running.handle.clone();
    tokio::task::spawn_blocking(move || handle.reload(&settings)).await.expect("reload does not panic")
}

/// (path, alert, status) in the order of arrival.
fn heard(receiver: &Receiver) -> Vec<(String, String, String)> {
    receiver.received().iter().map(|r| r.path.clone()).zip(receiver.alerts()).map(|(path, (name, status))| (path, name, status)).collect()
}

fn line(path: &str, name: &str, status: &str) -> (String, String, String) {
    (path.to_owned(), name.to_owned(), status.to_owned())
}

#[tokio::test]
async fn desktop_and_terminal_are_listed_where_they_are_asked_for() {
    let listed = |running: &Running| running.handle.paths().into_iter().map(|(path, ..)| path).collect::<Vec<_>>();
    let running = start(Settings { default_to: Vec::new(), ..Settings::default() }, None);
    assert_eq!(listed(&running), [""; 0], "nobody is to be told");
    reload(&running, Settings { default_to: vec!["desktop".to_owned()], ..Settings::default() }).await.expect("good settings");
    assert_eq!(listed(&running), ["desktop", "terminal"], "one stands in for the other");
    running.stop().await;
}

#[tokio::test]
async fn who_is_newly_addressed_hears_what_fires_and_who_was_told_hears_how_it_ends() {
    let receiver = Receiver::start().await;
    let running = start(only("old", &receiver), None);
    running.commit(vec![notice("Down", 1, Firing)]).await;
    eventually("told", || receiver.count() == 1).await;

    // Both exist, and only the new one is addressed.
    let mut both = only("new", &receiver);
    both.receivers.extend(only("old", &receiver).receivers);
    reload(&running, both).await.expect("good settings");
    eventually("the new one is told", || receiver.count() == 2).await;
    running.commit(vec![notice("Down", 2, Resolved)]).await;
    eventually("both hear the end", || receiver.count() == 4).await;
    running.commit(vec![notice("Next", 1, Firing)]).await;
    eventually("only the new one hears of the next", || receiver.count() == 5).await;
    let mut heard = heard(&receiver);
    heard[2..4].sort();
    assert_eq!(
        heard,
        [
            line("/old", "Down", "firing"),
            line("/new", "Down", "firing"),
            line("/new", "Down", "resolved"),
            line("/old", "Down", "resolved"),
            line("/new", "Next", "firing"),
        ]
    );
    assert_eq!(running.handle.paths().iter().filter(|(path, ..)| path.starts_with("new")).count(), 1);
    running.stop().await;
}

#[tokio::test]
async fn what_a_removed_path_had_not_delivered_goes_where_alerts_go_now() {
    let (dead, alive) = (Receiver::start().await, Receiver::start().await);
    dead.always(Some(Answer::Status(503)));
    let running = start(only("dead", &dead), None);
    running.commit(vec![notice("Down", 1, Firing)]).await;
    eventually("tried", || dead.count() >= 1).await;
    reload(&running, only("alive", &alive)).await.expect("good settings");
    eventually("delivered elsewhere", || alive.count() == 1).await;
    eventually("written down as delivered", || running.handle.owed() == 0).await;
    let dropped = running.meter.counter("watchfire_notifications_dropped_total", &[("path", "dead/webhook"), ("reason", "path_removed")]);
    assert_eq!(dropped.get(), 1);
    running.stop().await;
}

#[tokio::test]
async fn settings_that_cannot_be_used_change_nothing() {
    let receiver = Receiver::start().await;
    let running = start(only("ops", &receiver), None);
    let mut bad = only("ops", &receiver);
    bad.routes[0].to = vec!["nobody".to_owned()];
    let error = reload(&running, bad).await.expect_err("refused");
    assert!(error.contains("nobody"), "{error}");
    running.commit(vec![notice("Down", 1, Firing)]).await;
    eventually("the old settings deliver", || receiver.count() == 1).await;
    running.stop().await;
}

#[tokio::test]
async fn an_attempt_under_way_is_finished_and_not_repeated() {
    let receiver = Receiver::start().await;
    receiver.answers([Answer::Slow(300)]);
    let running = start(only("ops", &receiver), None);
    running.commit(vec![notice("Down", 1, Firing)]).await;
    eventually("under way", || receiver.count() == 1).await;
    reload(&running, only("ops", &receiver)).await.expect("good settings");
    running.commit(vec![notice("Down", 2, Resolved)]).await;
    eventually("the end", || receiver.count() == 2).await;
    eventually("settled", || running.handle.owed() == 0).await;
    assert_eq!(heard(&receiver), [line("/ops", "Down", "firing"), line("/ops", "Down", "resolved")]);
    running.stop().await;
}

#[tokio::test]
async fn settings_changed_while_nothing_ran_count_from_the_start() {
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let running = start(only("old", &receiver), Some(directory.path()));
    running.commit(vec![notice("Down", 1, Firing)]).await;
    eventually("told", || running.handle.owed() == 0).await;
    running.stop().await;
    let running = start(only("new", &receiver), Some(directory.path()));
    eventually("the new one is told", || receiver.count() == 2).await;
    running.commit(vec![notice("Down", 2, Resolved)]).await;
    eventually("and hears the end", || receiver.count() == 3).await;
    assert_eq!(heard(&receiver)[1..], [line("/new", "Down", "firing"), line("/new", "Down", "resolved")]);
    running.stop().await;
}

#[tokio::test]
async fn what_nobody_heard_of_is_told_to_whoever_is_addressed_later() {
    let receiver = Receiver::start().await;
    // A receiver that has no channel yet.
    let mut none = only("ops", &receiver);
    none.receivers[0].channels.clear();
    let running = start(none, None);
    running.commit(vec![notice("Down", 1, Firing)]).await;
    assert_eq!(running.handle.owed(), 0, "nobody is owed anything");
    assert!(running.handle.is_unheard("fp-Down"));
    reload(&running, only("ops", &receiver)).await.expect("good settings");
    eventually("told", || receiver.count() == 1).await;
    assert_eq!(heard(&receiver), [line("/ops", "Down", "firing")]);
    assert!(!running.handle.is_unheard("fp-Down"));
    running.stop().await;
}
