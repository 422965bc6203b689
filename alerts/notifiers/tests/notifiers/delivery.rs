//! The delivery contract, over real sockets: order, keys, retries, isolation, restarts.

use crate::receiver::{Answer, Receiver};
use crate::{RealClock, Running, eventually, notice, settings, start, start_at};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use watchfire_model::reading::Silence;
use watchfire_model::{Cause, Clock, Labels, NoticeState::*, Severity, Timestamp};
use watchfire_notifiers::channels::Habits;
use watchfire_notifiers::dispatcher::{Now, PathTraits, plan};
use watchfire_notifiers::journal::{Change, State};
use watchfire_notifiers::routing::Routing;
use watchfire_notifiers::{Faults, Settings};

/// One webhook, no waiting for groups.
pub fn to(receiver: &Receiver) -> Settings {
    routed(&[("ops", receiver)], "")
}

/// A webhook under each name, no waiting for groups.
pub fn routed(receivers: &[(&str, &Receiver)], more: &str) -> Settings {
    let declared: String = receivers
        .iter()
        .map(|(name, r)| format!("[[receivers]]\nname = \"{name}\"\nchannels = [{{ type = \"webhook\", url = \"{}/hook\" }}]\n", r.url))
        .collect();
    let names: Vec<String> = receivers.iter().map(|(name, _)| format!("{name:?}")).collect();
    settings(&format!(
        "{declared}\n[[routes]]\nto = [{}]\ngroup_wait = \"0s\"\ngroup_interval = \"0s\"\n[limits]\nattempt_timeout = \"2s\"\nbackoff_min = \"20ms\"\nbackoff_max = \"100ms\"\ndrain = \"3s\"\n{more}",
        names.join(", ")
    ))
}

pub fn alerts(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, status)| ((*name).to_owned(), (*status).to_owned())).collect()
}

#[tokio::test]
async fn a_notice_is_durable_when_commit_returns_and_arrives_once() {
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let running = start(to(&receiver), Some(directory.path()));
    assert!(running.commit(vec![notice("Down", 1, Firing)]).await);
    eventually("delivered", || !running.handle.delivery("fp-Down").is_empty()).await;
    assert!(running.commit(vec![notice("Down", 2, Resolved)]).await);
    eventually("both arrived", || receiver.count() == 2).await;
    assert_eq!(receiver.alerts(), alerts(&[("Down", "firing"), ("Down", "resolved")]));
    let received = receiver.received();
    assert_ne!(received[0].key(), received[1].key());
    assert_eq!(received[0].json()["idempotencyKey"], received[0].key());
    assert_eq!(running.handle.delivery("fp-Down"), ["ops/webhook"]);
    running.stop().await;
    // Nothing is owed after a restart, so nothing comes again.
    let running = start(to(&receiver), Some(directory.path()));
    assert!(running.recovered.outbox.is_empty());
    running.commit(vec![notice("Other", 1, Firing)]).await;
    eventually("the next one arrived", || receiver.count() == 3).await;
    assert_eq!(receiver.alerts()[2], alerts(&[("Other", "firing")])[0]);
    running.stop().await;
}

#[tokio::test]
async fn an_unsent_transition_is_replaced_by_the_newer_one_and_both_times_arrive() {
    let receiver = Receiver::start().await;
    receiver.always(Some(Answer::Status(503)));
    let running = start(to(&receiver), None);
    running.commit(vec![notice("Down", 1, Firing)]).await;
    eventually("tried", || receiver.count() >= 1).await;
    running.commit(vec![notice("Down", 2, Resolved)]).await;
    let before = receiver.count();
    receiver.always(None);
    eventually("settled", || running.handle.owed() == 0).await;
    let last = receiver.received().last().cloned().unwrap();
    assert!(receiver.count() > before);
    let alert = &last.json()["alerts"][0];
    assert_eq!(
        (alert["status"].as_str(), alert["startsAt"].as_str(), alert["endsAt"].as_str()),
        (Some("resolved"), Some("2026-03-01T03:11:01.000Z"), Some("2026-03-01T03:14:01.000Z"))
    );
    running.stop().await;
}

#[tokio::test]
async fn every_retry_of_a_message_has_the_same_key_also_after_a_restart() {
    let receiver = Receiver::start().await;
    receiver.always(Some(Answer::Status(500)));
    let directory = tempfile::tempdir().unwrap();
    let running = start(to(&receiver), Some(directory.path()));
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("tried three times", || receiver.count() >= 3).await;
    running.stop().await;
    let running = start(to(&receiver), Some(directory.path()));
    assert_eq!(running.recovered.outbox.len(), 1);
    let before = receiver.count();
    receiver.always(None);
    eventually("settled", || running.handle.owed() == 0 && receiver.count() > before).await;
    let keys: std::collections::BTreeSet<String> = receiver.received().iter().map(|r| r.key().to_owned()).collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    running.stop().await;
}

#[tokio::test]
async fn an_answer_that_never_came_is_asked_for_again_with_the_same_key() {
    let receiver = Receiver::start().await;
    receiver.answers([Answer::Hang]);
    let running = start(routed(&[("ops", &receiver)], "").tap(|s| s.limits.attempt_timeout = Duration::from_millis(200)), None);
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("sent twice", || receiver.count() == 2 && running.handle.owed() == 0).await;
    let received = receiver.received();
    assert_eq!(received[0].key(), received[1].key());
    running.stop().await;
}

#[tokio::test]
async fn retry_after_is_respected_within_a_second() {
    let receiver = Receiver::start().await;
    receiver.answers([Answer::RetryAfter(429, 2)]);
    let running = start(to(&receiver), None);
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("sent twice", || receiver.count() == 2).await;
    let received = receiver.received();
    let waited = received[1].at - received[0].at;
    assert!(waited >= Duration::from_millis(1990) && waited < Duration::from_secs(3), "{waited:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_receiver_that_never_answers_delays_nobody_else() {
    let mut receivers = Vec::new();
    for _ in 0..5 {
        receivers.push(Receiver::start().await);
    }
    receivers[0].always(Some(Answer::Hang));
    let named: Vec<(String, &Receiver)> = receivers.iter().enumerate().map(|(i, r)| (format!("r{i}"), r)).collect();
    let named: Vec<(&str, &Receiver)> = named.iter().map(|(n, r)| (n.as_str(), *r)).collect();
    let directory = tempfile::tempdir().unwrap();
    let running = start(routed(&named, ""), Some(directory.path()));
    let mut worst = Duration::ZERO;
    for round in 0..20 {
        let begun = Instant::now();
        running.commit(vec![notice("A", round + 1, if round % 2 == 0 { Firing } else { Resolved })]).await;
        eventually("the four have it", || receivers[1..].iter().all(|r| r.count() as u64 == round + 1)).await;
        worst = worst.max(begun.elapsed());
    }
    println!("worst time to four receivers beside a hanging one: {worst:?}");
    assert!(worst < Duration::from_secs(2), "an attempt timeout leaked into other paths: {worst:?}");
    running.cancel.cancel();
}

#[tokio::test]
async fn a_held_notice_is_not_sent_until_its_cause_is_gone() {
    let receiver = Receiver::start().await;
    let running = start(to(&receiver), None);
    let held = |revision, state| {
        let mut held = notice("Victim", revision, state);
        held.cause = Some(Cause { alert: "Root".to_owned(), service: "db".to_owned(), reason: "db is down".to_owned() });
        held
    };
    running.commit(vec![held(1, Firing), notice("Root", 1, Firing)]).await;
    eventually("the cause is told", || receiver.count() == 1).await;
    assert_eq!(receiver.alerts(), alerts(&[("Root", "firing")]));
    // A victim that ends while it is held ends as quietly.
    running.commit(vec![notice("Victim", 2, Resolved), notice("Root", 2, Resolved)]).await;
    eventually("the end of the cause is told", || receiver.count() == 2).await;
    assert_eq!(receiver.alerts().len(), 2);
    // The cause is gone and the victim still fires: now it is told.
    running.commit(vec![held(3, Firing)]).await;
    running.commit(vec![notice("Victim", 4, Firing)]).await;
    eventually("the victim is told", || receiver.count() == 3).await;
    assert_eq!(receiver.alerts()[2], alerts(&[("Victim", "firing")])[0]);
    // Told once, its end is told too, held or not.
    running.commit(vec![held(5, Firing), held(6, Resolved)]).await;
    eventually("the end of the victim is told", || receiver.count() == 4).await;
    assert_eq!(receiver.alerts()[3], alerts(&[("Victim", "resolved")])[0]);
    running.stop().await;
}

#[tokio::test]
async fn a_silence_drops_what_is_unsent_counts_it_and_closes_what_is_open() {
    let (receiver, pager) = (Receiver::start().await, Receiver::start().await);
    let directory = tempfile::tempdir().unwrap();
    let mut ours = to(&receiver);
    ours.receivers[0].channels.extend(
        settings(&format!(
            "[[receivers]]\nname = \"x\"\nchannels = [{{ type = \"pagerduty\", routing_key = \"k\", url = \"{}\" }}]",
            pager.url
        ))
        .receivers
        .remove(0)
        .channels,
    );
    let running = start(ours, Some(directory.path()));
    let now = RealClock::shared().now();
    let silence = move |name: &str| Silence {
        matchers: vec![("alertname".to_owned(), "=".to_owned(), name.to_owned())],
        starts_at: now,
        ends_at: now.saturating_add(Duration::from_secs(3600)),
        created_by: "alex".to_owned(),
        ..Silence::default()
    };
    running.commit(vec![notice("Known", 1, Firing)]).await;
    eventually("told", || receiver.count() == 1 && running.handle.owed() == 0).await;
    let handle = running.handle.clone();
    let id = tokio::task::spawn_blocking(move || {
        handle.silence(silence("Known")).unwrap();
        handle.silence(silence("Quiet")).unwrap()
    })
    .await
    .unwrap();
    running.commit(vec![notice("Quiet", 1, Firing), notice("Known", 2, Resolved)]).await;
    // As in Alertmanager, nobody is told of the end of what is silenced by then. An incident that is open elsewhere is closed.
    let dropped = running.meter.counter("watchfire_notifications_dropped_total", &[("path", "ops/webhook"), ("reason", "silenced")]);
    eventually("both counted once", || dropped.get() == 2).await;
    eventually("the incident is closed", || pager.count() == 2).await;
    assert_eq!(receiver.alerts(), alerts(&[("Known", "firing")]));
    assert_eq!(pager.received().iter().map(|r| r.json()["event_action"].clone()).collect::<Vec<_>>(), ["trigger", "resolve"]);
    assert_eq!(running.handle.owed(), 2, "what fires under its silence waits on both paths");
    assert!(running.handle.is_silenced(&notice("Quiet", 1, Firing).labels).is_some());
    running.stop().await;
    // It survives a restart; when it ends, what still fires is told.
    let running = start(to(&receiver), Some(directory.path()));
    assert_eq!(running.recovered.silences.len(), 2);
    let handle = running.handle.clone();
    tokio::task::spawn_blocking(move || handle.expire(&id).unwrap()).await.unwrap();
    eventually("told after the silence", || receiver.count() == 2).await;
    assert_eq!(receiver.alerts()[1], alerts(&[("Quiet", "firing")])[0]);
    running.stop().await;
}

#[tokio::test]
async fn an_acknowledged_alert_is_not_repeated_until_the_acknowledgement_expires() {
    let receiver = Receiver::start().await;
    let clock = watchfire_model::HandClock::at(Timestamp(1_772_334_900_000));
    let mut settings = to(&receiver);
    settings.routes[0].repeat_interval = Some(Duration::from_secs(60));
    let running = start_at(settings, None, std::sync::Arc::new(clock.clone()), Faults::default());
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("told", || receiver.count() == 1).await;
    clock.advance(Duration::from_secs(61));
    eventually("repeated", || receiver.count() == 2).await;
    let (handle, until) = (running.handle.clone(), clock.now().saturating_add(Duration::from_secs(300)));
    tokio::task::spawn_blocking(move || handle.acknowledge("fp-A", "alex", Some(until)).unwrap()).await.unwrap();
    assert_eq!(running.handle.acknowledged("fp-A").unwrap().by, "alex");
    clock.advance(Duration::from_secs(200));
    // The planner has looked at least once since then when something newer has arrived.
    running.commit(vec![notice("B", 1, Firing)]).await;
    eventually("the other one", || receiver.count() == 3).await;
    assert_eq!(receiver.alerts()[2].0, "B");
    clock.advance(Duration::from_secs(101));
    eventually("repeated after the acknowledgement", || receiver.alerts().iter().filter(|(n, _)| n == "A").count() >= 3).await;
    running.stop().await;
}

#[tokio::test]
async fn a_storm_of_groups_becomes_a_few_messages() {
    let receiver = Receiver::start().await;
    receiver.always(Some(Answer::Slow(50)));
    let running = start(to(&receiver), None);
    running.commit((0..1000).map(|n| notice(&format!("Rule{n}"), 1, Firing)).collect()).await;
    eventually("all told", || running.handle.owed() == 0).await;
    let names: std::collections::BTreeSet<String> = receiver.alerts().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 1000);
    assert!(receiver.count() <= 10, "{} messages", receiver.count());
    running.stop().await;
    // As many as one outage makes keep their keys, by which a program finds what it began when they end.
    let receiver = Receiver::start().await;
    let running = start(to(&receiver), None);
    let all = |revision, state| (0..30).map(|n| notice(&format!("Rule{n}"), revision, state)).collect();
    let keys = |from: usize| -> std::collections::BTreeSet<String> {
        receiver.received()[from..].iter().map(|r| r.json()["groupKey"].to_string()).collect()
    };
    running.commit(all(1, Firing)).await;
    eventually("each group", || receiver.count() == 30).await;
    running.commit(all(2, Resolved)).await;
    eventually("each end", || receiver.count() == 60).await;
    assert_eq!((keys(0).len(), keys(0)), (30, keys(30)));
    running.stop().await;
}

#[tokio::test]
async fn shutdown_sends_what_is_owed_and_keeps_what_it_cannot() {
    let (slow, dead) = (Receiver::start().await, Receiver::start().await);
    slow.always(Some(Answer::Slow(50)));
    dead.always(Some(Answer::Status(503)));
    let directory = tempfile::tempdir().unwrap();
    let mut settings = routed(&[("slow", &slow), ("dead", &dead)], "");
    settings.routes[0].group_wait = Some(Duration::from_secs(3600));
    let running = start(settings.clone(), Some(directory.path()));
    running.commit((0..100).map(|n| notice(&format!("Rule{n}"), 1, Firing)).collect()).await;
    assert_eq!(slow.count(), 0, "the group waits");
    let begun = Instant::now();
    running.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(slow.alerts().len(), 100);
    let running = start(settings, Some(directory.path()));
    assert_eq!(running.recovered.outbox.len(), 100, "what the dead receiver did not take");
    assert!(running.recovered.outbox.iter().all(|c| c.destination.path == "dead/webhook"));
    running.cancel.cancel();
}

#[tokio::test]
async fn alertmanager_hears_firing_alerts_every_minute_and_resolves_for_fifteen() {
    let receiver = Receiver::start().await;
    // What has been written down as sent; before that the clock must not go on, or the next minute is counted from then.
    let recorded = |running: &Running| -> f64 {
        let of = |(labels, value, _): &(Labels, f64, bool)| (labels.metric_name() == "watchfire_notifications_total").then_some(*value);
        running.meter.readings().iter().filter_map(of).sum()
    };
    let clock = watchfire_model::HandClock::at(Timestamp(1_772_334_900_000));
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings("default_to = []");
    settings.alertmanagers = vec![receiver.url.clone()];
    let running = start_at(settings.clone(), Some(directory.path()), std::sync::Arc::new(clock.clone()), Faults::default());
    let mut firing = notice("A", 1, Firing);
    firing.ends_at = clock.now().saturating_add(Duration::from_secs(240));
    running.commit(vec![firing]).await;
    eventually("posted", || receiver.count() == 1 && recorded(&running) == 1.0).await;
    let first = &receiver.received()[0];
    assert_eq!(first.path, "/api/v2/alerts");
    assert_eq!(first.json()[0]["endsAt"], "2026-03-01T03:19:00.000Z");
    clock.advance(Duration::from_secs(60));
    eventually("posted again", || receiver.count() == 2 && recorded(&running) == 2.0).await;
    assert_eq!(receiver.received()[1].json()[0]["endsAt"], "2026-03-01T03:20:00.000Z", "the end moves along");
    let mut resolved = notice("A", 2, Resolved);
    resolved.ends_at = clock.now();
    running.commit(vec![resolved]).await;
    eventually("resolved", || receiver.count() == 3 && recorded(&running) == 3.0).await;
    for minute in 1..=7 {
        clock.advance(Duration::from_secs(60));
        eventually("resolved again", || receiver.count() == 3 + minute && recorded(&running) == (3 + minute) as f64).await;
    }
    // The fifteen minutes survive a restart.
    running.stop().await;
    let running = start_at(settings, Some(directory.path()), std::sync::Arc::new(clock.clone()), Faults::default());
    for minute in 8..=15 {
        clock.advance(Duration::from_secs(60));
        eventually("resolved after the restart", || receiver.count() == 3 + minute && recorded(&running) == (minute - 7) as f64).await;
    }
    clock.advance(Duration::from_secs(120));
    running.commit(vec![notice("B", 1, Firing)]).await;
    eventually("only the new one", || receiver.count() == 19).await;
    let last = receiver.received()[18].json();
    assert_eq!((last.as_array().unwrap().len(), last[0]["labels"]["alertname"].as_str()), (1, Some("B")));
    running.stop().await;
}

#[test]
fn groups_wait_ten_seconds_then_a_minute_and_are_repeated_after_four_hours() {
    let settings = settings(
        "[[receivers]]\nname = \"ops\"\nchannels = [{ type = \"webhook\", url = \"http://127.0.0.1:1/\" }]\n[[routes]]\nto = [\"ops\"]",
    );
    let routing = Routing::new(&settings).unwrap();
    let path = PathTraits {
        name: "ops/webhook".to_owned(),
        receiver: "ops".to_owned(),
        habits: Habits::default(),
        at_least: Severity::Info,
        send_resolved: true,
    };
    let begin = Timestamp(1_772_334_900_000);
    let second = |s: u64| begin.saturating_add(Duration::from_secs(s));
    let mut state = State::default();
    // One rule, one alert per service: one group.
    let fire = |state: &mut State, service: &str, at: Timestamp| {
        let mut one = notice("A", 1, Firing);
        one.fingerprint = service.to_owned();
        one.labels = Labels::from_pairs([("alertname", "A"), ("severity", "critical"), ("service", service)]);
        let destinations = routing.destinations(&one);
        state.apply(&Change::Notice { notice: Arc::new(one), destinations, at });
    };
    let at = |state: &State, s: u64| plan(state, &path, &routing, Now::plain(second(s)), None, false);
    let send = |state: &mut State, s: u64| {
        let due = at(state, s).due.expect("due");
        let alerts = due.members.iter().map(|(f, revision)| (f.clone(), *revision, None)).collect();
        state.apply(&Change::Sent { path: path.name.clone(), group_key: due.group_key.clone(), at: second(s), alerts });
        (due.members.iter().map(|(f, _)| f.clone()).collect::<Vec<_>>(), due.context)
    };
    let none: Vec<String> = Vec::new();
    fire(&mut state, "one", second(0));
    assert_eq!((at(&state, 9).due, at(&state, 9).next), (None, Some(second(10))));
    fire(&mut state, "two", second(9));
    assert_eq!(send(&mut state, 10), (vec!["one".to_owned(), "two".to_owned()], none.clone()));
    fire(&mut state, "three", second(11));
    assert_eq!((at(&state, 69).due, at(&state, 69).next), (None, Some(second(70))));
    assert_eq!(send(&mut state, 70), (vec!["three".to_owned()], vec!["one".to_owned(), "two".to_owned()]));
    let repeat = 70 + 4 * 3600;
    assert_eq!((at(&state, repeat - 1).due, at(&state, repeat - 1).next), (None, Some(second(repeat))));
    assert_eq!(send(&mut state, repeat).0, ["one", "two", "three"]);
    // However many fire, the picture of the group is whole.
    (0..80).for_each(|n| fire(&mut state, &format!("more-{n}"), second(repeat + 1)));
    assert_eq!(send(&mut state, repeat + 70).0.len(), 80);
    fire(&mut state, "last", second(repeat + 71));
    assert_eq!(send(&mut state, repeat + 200).1.len(), 83);
    // At shutdown nothing waits for its group.
    fire(&mut state, "four", second(repeat));
    let draining = plan(&state, &path, &routing, Now::plain(second(repeat)), None, true);
    assert!(draining.due.is_some());
}

trait Tap: Sized {
    fn tap(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Tap for Settings {}

#[tokio::test]
async fn a_page_that_waits_for_its_group_says_what_is_known_when_it_goes() {
    let receiver = Receiver::start().await;
    let mut ours = to(&receiver);
    ours.routes[0].group_wait = Some(Duration::from_secs(10));
    let clock = watchfire_model::HandClock::at(Timestamp(1_772_334_631_000));
    let running = start_at(ours, None, Arc::new(clock.clone()), Faults::default());
    running.commit(vec![notice("Down", 1, Firing)]).await;
    let mut later = notice("Down", 1, Firing);
    later.evidence.dependents = (1..=7).map(|n| format!("victim-{n}")).collect();
    later.evidence.value = Some(0.5);
    running.handle.refresh(&[later.clone()]);
    // Of another incident: not about this one.
    running.handle.refresh(&[watchfire_model::Notice { revision: 9, ..notice("Down", 9, Firing) }]);
    clock.advance(Duration::from_secs(11));
    eventually("the page", || receiver.count() == 1).await;
    let evidence = receiver.received()[0].json()["alerts"][0]["evidence"].clone();
    assert_eq!(evidence["dependents"].as_array().map(Vec::len), Some(7), "{evidence}");
    assert_eq!(evidence["value"], 0.5);
    assert_eq!(evidence["expression"], "errors > 0.05", "what was looked up stays");
    running.stop().await;
}

/// An alert resolves while the message about its firing is being journaled: the end is told once, not under two keys.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_moves_on_while_its_message_is_composed_is_told_once() {
    let receiver = Receiver::start().await;
    let mut ours = to(&receiver);
    ours.routes[0].group_wait = Some(Duration::from_secs(10));
    let clock = watchfire_model::HandClock::at(Timestamp(1_772_334_631_000));
    let (stuck, hangs, queued) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (held, hanging, counted) = (stuck.clone(), hangs.clone(), queued.clone());
    let faults = Faults::hook(move |point| {
        match point {
            "queued" => drop(counted.fetch_add(1, Ordering::SeqCst)),
            "append" => {
                while held.load(Ordering::SeqCst) {
                    hanging.store(true, Ordering::SeqCst);
                    // The disk hangs, and with it the thread that writes.
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            _ => {}
        }
        Ok(())
    });
    let directory = tempfile::tempdir().unwrap();
    let running = Arc::new(start_at(ours, Some(directory.path()), Arc::new(clock.clone()), faults));
    running.commit(vec![notice("Down", 1, Firing)]).await;
    // The disk is busy with something else while both the message and the newer transition wait for it.
    stuck.store(true, Ordering::SeqCst);
    let before = queued.load(Ordering::SeqCst);
    let commit = |notice| {
        let running = running.clone();
        tokio::spawn(async move { running.commit(vec![notice]).await })
    };
    let other = commit(notice("Other", 1, Firing));
    // With nothing else: what comes now waits in the queue.
    eventually("the disk is busy", || hangs.load(Ordering::SeqCst)).await;
    clock.advance(Duration::from_secs(11));
    eventually("the message is composed", || queued.load(Ordering::SeqCst) == before + 2).await;
    let end = commit(notice("Down", 2, Resolved));
    eventually("the alert has ended", || queued.load(Ordering::SeqCst) == before + 3).await;
    stuck.store(false, Ordering::SeqCst);
    assert!(other.await.unwrap() && end.await.unwrap());
    clock.advance(Duration::from_secs(11));
    eventually("all is told", || running.handle.owed() == 0).await;
    let told: Vec<_> = receiver.alerts().into_iter().filter(|(name, _)| name == "Down").collect();
    assert_eq!(told, alerts(&[("Down", "resolved")]));
}
