//! Wall clocks that are wrong, and set right.

use crate::delivery::{alerts, to};
use crate::receiver::Receiver;
use crate::{eventually, notice, settings, start_at};
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::NoticeState::{Firing, Resolved};
use watchfire_model::{Clock, HandClock, Notice, Timestamp};
use watchfire_notifiers::{Faults, Settings};

const RIGHT: Timestamp = Timestamp(1_772_334_900_000);
const DAY: Duration = Duration::from_secs(86_400);

/// Waits for nothing before it tells of a group, for a minute before it tells of it again, and repeats after an hour.
fn paced(receiver: &Receiver) -> Settings {
    let mut settings = to(receiver);
    settings.routes[0].group_by = Some(vec!["service".to_owned()]);
    settings.routes[0].group_interval = Some(Duration::from_secs(60));
    settings.routes[0].repeat_interval = Some(Duration::from_secs(3600));
    settings
}

#[tokio::test]
async fn a_step_of_the_wall_clock_moves_no_schedule() {
    let receiver = Receiver::start().await;
    let clock = watchfire_model::HandClock::at(Timestamp(1_772_334_900_000));
    let mut settings = to(&receiver);
    settings.routes[0].repeat_interval = Some(Duration::from_secs(3600));
    let running = start_at(settings, None, std::sync::Arc::new(clock.clone()), Faults::default());
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("told", || receiver.count() == 1).await;
    clock.step_wall(Timestamp(1_772_334_900_000 + 86_400_000));
    running.commit(vec![notice("B", 1, Firing)]).await;
    eventually("the new one", || receiver.count() == 2).await;
    assert_eq!(receiver.alerts(), alerts(&[("A", "firing"), ("B", "firing")]), "no repeat by the step");
    running.stop().await;
}

#[tokio::test]
async fn after_a_run_whose_clock_was_years_ahead_groups_are_told_and_repeated_in_time() {
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let wrong = HandClock::at(RIGHT.saturating_add(3650 * DAY));
    let running = start_at(paced(&receiver), Some(directory.path()), Arc::new(wrong), Faults::default());
    let ahead = |name: &str| Notice { starts_at: RIGHT.saturating_add(3650 * DAY), ..notice(name, 1, Firing) };
    running.commit(vec![ahead("A")]).await;
    eventually("told", || receiver.count() == 1).await;
    receiver.always(Some(crate::receiver::Answer::Status(503)));
    running.commit(vec![ahead("B")]).await;
    running.stop().await;
    receiver.always(None);
    let refused = receiver.count();

    let clock = HandClock::at(RIGHT);
    let running = start_at(paced(&receiver), Some(directory.path()), Arc::new(clock.clone()), Faults::default());
    clock.advance(Duration::from_secs(60));
    eventually("what was owed is told when the group's minute is over", || receiver.count() > refused).await;
    let told = receiver.received().last().cloned().unwrap().json();
    let of = |name: &str| told["alerts"].as_array().unwrap().iter().find(|a| a["labels"]["alertname"] == name).cloned().unwrap();
    assert!(of("B")["startsAt"].as_str().unwrap().starts_with("2026-"), "{told:#}");
    running.commit(vec![notice("C", 1, Firing)]).await;
    clock.advance(Duration::from_secs(60));
    eventually("what is new is told as well", || receiver.count() > refused + 1).await;
    clock.advance(Duration::from_secs(3600));
    eventually("and all are repeated after the hour", || receiver.count() > refused + 2).await;
    running.stop().await;
}

#[tokio::test]
async fn alertmanager_is_told_ends_by_the_clock_that_was_set_back() {
    let receiver = Receiver::start().await;
    let clock = HandClock::at(RIGHT.saturating_add(DAY));
    let mut settings = settings("default_to = []");
    settings.alertmanagers = vec![receiver.url.clone()];
    let running = start_at(settings, None, Arc::new(clock.clone()), Faults::default());
    clock.step_wall(RIGHT);
    let (starts_at, ends_at) = (clock.now(), clock.now().saturating_add(Duration::from_secs(240)));
    running.commit(vec![Notice { starts_at, ends_at, ..notice("A", 1, Firing) }]).await;
    eventually("posted", || receiver.count() == 1).await;
    clock.advance(Duration::from_secs(30));
    running.commit(vec![Notice { starts_at, ends_at: clock.now(), ..notice("A", 2, Resolved) }]).await;
    eventually("its end posted", || receiver.count() == 2).await;
    let ends: Vec<String> = receiver.received().iter().map(|r| r.json()[0]["endsAt"].as_str().unwrap_or_default().to_owned()).collect();
    // The true time is 03:15:00 at the step.
    assert_eq!(ends, ["2026-03-01T03:19:00.000Z", "2026-03-01T03:15:30.000Z"]);
    let started = receiver.received()[1].json()[0]["startsAt"].as_str().unwrap_or_default().to_owned();
    assert_eq!(started, "2026-03-01T03:15:30.000Z", "never after its end");
    running.stop().await;
}
