//! What `--plain` says to who reads it line by line.

use super::fixture::{NOW, Situation, answer};
use watchfire_model::reading::AlertState;
use watchfire_model::{Reading, Request, Timestamp};
use watchfire_views::plain;

#[test]
fn the_plain_log_says_once_what_is_so_and_nothing_that_was_over() {
    let Ok(Reading::Alerts(mut alerts)) = answer(&Request::Alerts, Situation::Incident) else { panic!("no alerts") };
    alerts.alerts.retain(|a| a.state == AlertState::Firing && !a.annotations.value("summary").is_empty());
    alerts.alerts.truncate(1);
    let mut over = alerts.alerts[0].clone();
    (over.name, over.fingerprint, over.state) = ("Over".into(), "over".into(), AlertState::Resolved);
    alerts.alerts.push(over);
    let first = 0;
    let mut log = plain::Log::default();
    let summary = alerts.alerts[first].annotations.value("summary").to_owned();
    alerts.alerts[first].fired_at = Some(Timestamp::from_millis(NOW.millis() - 192_000));
    let said = log.lines(&Reading::Alerts(alerts.clone()), NOW);
    assert!(matches!(&said[..], [line] if line.contains(" firing since 03:09:32, ") && line.contains(&summary)), "{said:#?}");
    assert_eq!(log.lines(&Reading::Alerts(alerts.clone()), NOW), [] as [String; 0]);
    alerts.alerts[first].state = AlertState::Resolved;
    alerts.alerts[first].resolved_at = Some(NOW);
    let said = log.lines(&Reading::Alerts(alerts), NOW);
    assert!(matches!(&said[..], [line] if line.contains(" resolved after 3m12s, ") && !line.contains(&summary)), "{said:#?}");
}
