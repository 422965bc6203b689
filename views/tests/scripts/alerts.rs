//! From an alert to what leads on, and what people say of it.

use super::fixture::screen::Screen;
use super::fixture::{self, NOW, Situation, answer};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::time::Duration;
use watchfire_model::reading::{Alert, Command, Silence};
use watchfire_model::{Cause, Reading, Request};
use watchfire_views::{Effect, Event};

#[test]
fn why_an_alert_fires_names_on_a_low_screen_what_leads_on_and_what_it_leaves_out() {
    let mut screen = Screen::incident();
    screen.keys("8<enter>");
    let text = screen.app.frame_text(80, 24);
    for part in ["explains", "operation", "traces", "runbook", "more in a larger window: "] {
        assert!(text.contains(part), "{part} is not on screen:\n{text}");
    }
    assert!(!screen.app.frame_text(120, 50).contains("more in a larger window"), "nothing is left out where there is room");
}

#[test]
fn alerts_are_silenced_and_acknowledged() {
    let mut screen = Screen::incident();
    screen.keys("8s").shows("silence SocialErrorRateHigh social-service for").keys("<c-u>2h provider is down<enter>");
    let silence = screen.effects.iter().find_map(|e| match e {
        Effect::Command(Command::Silence(s)) => Some(s.clone()),
        _ => None,
    });
    let silence = silence.expect("a silence was asked for");
    assert_eq!(silence.ends_at.since(silence.starts_at).as_secs(), 7200);
    assert_eq!((silence.comment.as_str(), silence.created_by.as_str()), ("provider is down", "ana"));
    assert!(silence.matchers.contains(&("service".into(), "=".into(), "social-service".into())));
    screen.keys("a");
    assert!(screen.effects.iter().any(|e| matches!(e, Effect::Command(Command::Acknowledge { by, .. }) if by == "ana")));
    screen.keys("s<c-u>forever<enter>").shows("is not a duration");
}

#[test]
fn a_silence_is_made_longer_or_ended_when_asked_and_not_by_the_key_alone() {
    let Ok(Reading::Alerts(mut alerts)) = answer(&Request::Alerts, Situation::Incident) else { panic!("alerts") };
    alerts.alerts.retain(|a| a.name == "SocialErrorRateHigh");
    alerts.alerts[0].silenced = true;
    alerts.silences.push(Silence {
        id: "4cd3".into(),
        matchers: vec![("alertname".into(), "=".into(), "SocialErrorRateHigh".into())],
        starts_at: fixture::ago(60),
        ends_at: fixture::ago(-5340),
        created_by: "ben".into(),
        comment: "provider is down".into(),
    });
    let mut screen = Screen::incident();
    screen.keys("8");
    let asked = |screen: &mut Screen, keys: &[&str]| {
        screen.app.receive(&Request::Alerts, Ok(Reading::Alerts(alerts.clone())));
        for key in keys {
            screen.keys(key);
            screen.app.receive(&Request::Alerts, Ok(Reading::Alerts(alerts.clone())));
        }
    };
    let commands = |screen: &Screen| -> Vec<Command> {
        screen.effects.iter().filter_map(|e| if let Effect::Command(c) = e { Some(c.clone()) } else { None }).collect()
    };
    asked(&mut screen, &["s"]);
    screen.shows("silenced for 1h29m (SocialErrorRateHigh): end, or for end");
    asked(&mut screen, &["<esc>"]);
    assert_eq!(commands(&screen), []);
    screen.shows("s silenced");
    asked(&mut screen, &["s", "<c-u>2h", "<enter>"]);
    let Some(Command::Silence(longer)) = commands(&screen).pop() else { panic!("no silence was asked for") };
    assert_eq!((&*longer.id, &*longer.comment, &*longer.created_by), ("4cd3", "provider is down", "ben"));
    assert_eq!(longer.ends_at.since(NOW).as_secs(), 7200);
    asked(&mut screen, &["s", "<c-u>later", "<enter>"]);
    screen.shows("`later` is not a duration");
    asked(&mut screen, &["s", "<enter>"]);
    assert_eq!(commands(&screen).pop(), Some(Command::ExpireSilence { id: "4cd3".into() }));
}

/// The alerts of the incident, with one more that comes first in the list, and without some.
fn alerts_of(gone: &str, newcomer: bool) -> Result<Reading, watchfire_model::reading::ReadError> {
    let Ok(Reading::Alerts(mut alerts)) = answer(&Request::Alerts, Situation::Incident) else { panic!("alerts") };
    let mut worse = alerts.alerts[0].clone();
    (worse.name, worse.fingerprint, worse.active_at) = ("EverythingIsDown".into(), "0".into(), Some(fixture::ago(9000)));
    alerts.alerts.retain(|a| a.name != gone);
    alerts.alerts.extend(newcomer.then_some(worse));
    Ok(Reading::Alerts(alerts))
}

#[test]
fn what_was_told_stands_before_what_is_held_under_no_alert() {
    let Ok(Reading::Alerts(mut alerts)) = answer(&Request::Alerts, Situation::Incident) else { panic!("alerts") };
    // Their cause is a probe: it has no line of its own.
    let cause = Some(Cause { alert: String::new(), service: "content-db".into(), reason: "unhealthy by its probe".into() });
    alerts.alerts.retain(|a| a.name == "SocialErrorRateHigh");
    let held = Alert { name: "EarlierAndHeld".into(), cause, active_at: Some(fixture::ago(9000)), ..alerts.alerts[0].clone() };
    alerts.alerts.push(held);
    let mut screen = Screen::incident();
    screen.keys("8");
    screen.app.receive(&Request::Alerts, Ok(Reading::Alerts(alerts)));
    let text = screen.text();
    assert!(text.find("SocialErrorRateHigh") < text.find("EarlierAndHeld"), "{text}");
}

#[test]
fn what_is_silenced_is_the_alert_that_was_asked_about_and_from_now_on() {
    for (gone, newcomer, silenced) in [("", true, Some("SocialErrorRateHigh")), ("SocialErrorRateHigh", true, None)] {
        let mut screen = Screen::incident();
        screen.keys("8s").shows("silence SocialErrorRateHigh social-service for (and why) 1h");
        screen.app.receive(&Request::Alerts, alerts_of(gone, newcomer));
        let effects = screen.app.handle(Event::Key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE)));
        let asked = effects.iter().find_map(|e| match e {
            Effect::Command(Command::Silence(s)) => Some(s.matchers[0].2.as_str()),
            _ => None,
        });
        assert_eq!(asked, silenced, "{}", screen.text());
    }
    // A silence of the past would end before it began.
    let mut screen = Screen::incident();
    screen.keys("8:at -2h<enter>s<enter>");
    let begins = screen.effects.iter().find_map(|e| match e {
        Effect::Command(Command::Silence(s)) => Some((s.starts_at, s.ends_at.since(s.starts_at).as_secs())),
        _ => None,
    });
    assert_eq!(begins, Some((NOW, 3600)));
}

#[test]
fn the_page_of_an_alert_stays_its_own() {
    let mut screen = Screen::incident();
    screen.keys("8<enter>").shows("✖ SocialErrorRateHigh  social-service");
    screen.app.receive(&Request::Alerts, alerts_of("", true));
    screen.shows("✖ SocialErrorRateHigh  social-service");
    // Nothing stands on it when the alert is gone: the list does.
    screen.app.receive(&Request::Alerts, alerts_of("SocialErrorRateHigh", true));
    screen.shows("CAUSE").shows("EverythingIsDown");
    // One that resolves is read on.
    let Ok(Reading::Alerts(mut alerts)) = answer(&Request::Alerts, Situation::Incident) else { panic!("alerts") };
    let mut screen = Screen::incident();
    screen.keys("8<enter>");
    for alert in alerts.alerts.iter_mut().filter(|a| a.name == "SocialErrorRateHigh") {
        (alert.state, alert.resolved_at) = (watchfire_model::reading::AlertState::Resolved, Some(NOW));
    }
    screen.app.receive(&Request::Alerts, Ok(Reading::Alerts(alerts)));
    screen.shows("SocialErrorRateHigh  social-service  resolved");
    let text = screen.app.frame_text(120, 50);
    assert!(text.contains("must hold    30s, group") && !text.contains("holds for"), "{text}");
}

#[test]
fn an_alert_says_when_nothing_confirms_it_and_when_nobody_can_hear_it() {
    let mut screen = Screen::incident();
    screen.keys("8").hides("before the restart");
    let Ok(Reading::Alerts(mut alerts)) = answer(&Request::Alerts, Situation::Incident) else { panic!("alerts") };
    for alert in alerts.alerts.iter_mut().filter(|a| a.name == "SocialErrorRateHigh") {
        (alert.unconfirmed, alert.unheard, alert.notified, alert.notified_by) = (true, true, false, Vec::new());
    }
    screen.app.receive(&Request::Alerts, Ok(Reading::Alerts(alerts)));
    screen.shows("from before the restart, no data since · 18.4 % of 42/s fail").shows("nobody: no route");
}

#[test]
fn an_alert_that_is_kept_says_since_when_its_condition_has_ended() {
    let mut screen = Screen::incident();
    screen.keys("8<enter>").hides("kept firing");
    let Ok(Reading::Alerts(mut alerts)) = answer(&Request::Alerts, Situation::Incident) else { panic!("alerts") };
    for alert in &mut alerts.alerts {
        (alert.kept_since, alert.keep_firing_for_seconds) = (Some(NOW.saturating_sub(Duration::from_secs(40))), 300.0);
    }
    screen.app.receive(&Request::Alerts, Ok(Reading::Alerts(alerts)));
    screen.shows("kept firing  its condition ended 40s ago; it fires on until that is 5m ago");
}

#[test]
fn the_rule_lab_asks_the_past_again() {
    let mut screen = Screen::incident();
    screen.keys("8r").shows("would have fired 2 times").shows("fires  > 0.05").keys("+").shows("fires  > 0.055   the rule has > 0.05");
    let asked = |screen: &Screen| {
        screen.app.wants().into_iter().find_map(|r| match r {
            Request::Backtest(q) => Some(q),
            _ => None,
        })
    };
    assert!(asked(&screen).is_some_and(|q| q.expression.ends_with("> 0.055")));
    screen.keys("f<c-u>2m<enter>");
    assert!(asked(&screen).is_some_and(|q| q.for_seconds == 120.0));
    screen.keys("_").keys("<esc>").shows("CAUSE");
}
