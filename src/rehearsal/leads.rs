//! From "something is wrong" to what shows it: the keys of a person at the screens, for every alert that fires in a rehearsal.
//!
//! One scenario of each platform always; all of them, and with them every alert rule of every preset, with
//! `WATCHFIRE_SCENARIOS=all cargo test --workspace --lib leads -- --nocapture`.

use super::held::{held, read, screen};
use crate::local::LocalSource;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::BTreeSet;
use std::time::Duration;
use watchfire_config::load_platform;
use watchfire_model::reading::attribute::Scalar;
use watchfire_model::reading::{Alert, AlertState, Reading, Request, Source, Span};
use watchfire_model::{Severity, Timestamp};
use watchfire_views::Event;

/// Evidence is that of an alert that has fired for so long.
const SETTLED: Duration = Duration::from_secs(10);
const SIZE: (u16, u16) = (120, 40);

/// Where Enter on the page of an alert leads, or what is wrong with that.
fn followed(source: &LocalSource, alert: &Alert, now: Timestamp) -> Result<String, String> {
    let mut app = screen(source, "alerts", SIZE, now, None);
    let subject = ["service", "service_name", "queue", "breaker", "server", "job"].map(|name| alert.labels.value(name));
    let subject = subject.into_iter().find(|value| !value.is_empty()).map(|name| format!(" service={name:?}"));
    app.order(&format!("alerts alert={:?}{}", alert.name, subject.unwrap_or_default()));
    for _ in 0..2 {
        app.handle(Event::Key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE)));
        for _ in 0..3 {
            read(&mut app, source);
            app.frame_text(SIZE.0, SIZE.1);
        }
    }
    let text = app.frame_text(SIZE.0, SIZE.1);
    let view = text.lines().nth(2).and_then(|crumbs| crumbs.split(" › ").nth(1)).map(str::trim).unwrap_or_default().to_owned();
    let refused = text.lines().last().is_some_and(|line| line.contains('✖'));
    let empty = ["reading …", "no series", "nothing matches", "cannot read", "nothing is known", "no such"]
        .into_iter()
        .find(|words| text.contains(words));
    if view.is_empty() || refused || empty.is_some() {
        return Err(format!("leads nowhere:\n{text}"));
    }
    let security = alert.severity == Severity::Security;
    let trace = app.wants().into_iter().find(|r| matches!(r, Request::Trace { .. }));
    let Some(trace) = trace else {
        return if security { Err(format!("leads to no refused request:\n{text}")) } else { Ok(view) };
    };
    let Ok(Reading::Trace(trace)) = source.read(&trace, None) else { return Err(format!("its trace is not held:\n{text}")) };
    if security {
        let answers = ["401", "403", "429", "UNAUTHENTICATED", "PERMISSION_DENIED"];
        let refused = trace.spans.iter().any(|s: &Span| {
            s.attributes.iter().any(|(name, value)| name.ends_with("status_code") && answers.contains(&Scalar::to_string(value).as_str()))
        });
        return if refused { Ok("a refused request".to_owned()) } else { Err(format!("its trace was not refused:\n{text}")) };
    }
    let failed = trace.spans.iter().filter(|s| s.status == "error").count();
    let asks_how_long = ["histogram_quantile", "duration", "latenc"].iter().any(|word| alert.expression.contains(word));
    match (failed, asks_how_long) {
        (0, false) => Err(format!("its trace does not fail:\n{text}")),
        (0, true) => Ok("a slow trace".to_owned()),
        _ => Ok("a failing trace".to_owned()),
    }
}

#[test]
fn every_alert_leads_in_five_keys_to_a_trace_that_shows_it_or_to_the_view_of_its_cause() {
    let wanted = std::env::var("WATCHFIRE_SCENARIOS").unwrap_or_default();
    let mut faults = Vec::new();
    for (name, usual) in [
        ("clientnest", "service_gone"),
        ("mediacms", "replication_lag"),
        ("commerce", "every_breaker"),
        ("playnite", "service_gone"),
        ("sunday", "kafka_silence"),
    ] {
        let platform = load_platform(name).expect("a preset");
        let all = wanted == "all" || wanted == name;
        for scenario in platform.scenarios.iter().filter(|s| all || s.name == usual) {
            let mut known: BTreeSet<String> = BTreeSet::new();
            let lasts = scenario.lasts.min(Duration::from_secs(if all { 600 } else { 90 }));
            held(name, &scenario.name, lasts, |source, now, seconds| {
                if !seconds.is_multiple_of(5) {
                    return;
                }
                let Ok(Reading::Alerts(reading)) = source.read(&Request::Alerts, None) else { panic!("no alerts") };
                let settled = |a: &&Alert| a.fired_at.is_some_and(|fired| now.since(fired) >= SETTLED) && a.state == AlertState::Firing;
                for alert in reading.alerts.iter().filter(settled) {
                    if !known.insert(alert.fingerprint.clone()) {
                        continue;
                    }
                    let which = format!("{name} {} {} {}", scenario.name, alert.name, alert.labels.value("service"));
                    match followed(source, alert, now) {
                        Ok(place) => println!("{which}: {place}"),
                        Err(fault) => faults.push(format!("{which} {fault}")),
                    }
                }
            })
            .expect("the demo runs");
            assert!(all || !known.is_empty(), "{name} {}: nothing fired", scenario.name);
        }
    }
    assert!(faults.is_empty(), "{} alerts:\n{}", faults.len(), faults.join("\n"));
}
