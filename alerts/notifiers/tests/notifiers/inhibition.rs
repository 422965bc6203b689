//! What an alert that fires keeps quiet, as in Alertmanager: on a clock moved by hand.

use crate::notice;
use std::time::Duration;
use watchfire_model::{Labels, Notice, NoticeState, NoticeState::*, Severity, Timestamp};
use watchfire_notifiers::{Rehearsal, Settings};

const FILE: &str = "route: {receiver: ops, group_by: [alertname], group_wait: 30s, group_interval: 5m, routes: [{receiver: 'null', matchers: [severity=none]}]}\n\
    receivers: [{name: ops, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}, {name: 'null'}]\n\
    inhibit_rules: [{source_matchers: [alertname=Root], target_matchers: [alertname=Victim], equal: [service]}]\n";

struct Day {
    delivery: Rehearsal,
    _file: tempfile::NamedTempFile,
}

impl Day {
    fn new() -> Day {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), FILE).unwrap();
        let settings = Settings { alertmanager_config: Some(file.path().to_owned()), ..Settings::default() };
        Day { delivery: Rehearsal::new(&settings).unwrap(), _file: file }
    }

    /// The alert changes at that second.
    fn change(&mut self, name: &str, severity: &str, state: NoticeState, second: u64) {
        let at = moment(second);
        let labels = Labels::from_pairs([("alertname", name), ("severity", severity), ("service", "a")]);
        let starts_at = if state == Firing { at } else { moment(0) };
        self.delivery.take(
            Notice { labels, severity: Severity::from_label(severity), starts_at, ends_at: at, ..notice(name, second + 1, state) },
            at,
        );
    }

    /// Every change that is told up to that second, with its second.
    fn told(&mut self, from: u64, to: u64) -> Vec<(u64, String, NoticeState)> {
        let mut told = Vec::new();
        for second in from..=to {
            for said in self.delivery.send(moment(second)) {
                told.extend(said.news.into_iter().map(|(fingerprint, state, _)| (second, fingerprint.replace("fp-", ""), state)));
            }
        }
        told
    }
}

fn moment(second: u64) -> Timestamp {
    Timestamp(1_772_334_661_000).saturating_add(Duration::from_secs(second))
}

#[test]
fn what_was_inhibited_until_its_end_ends_as_quietly() {
    // The victim ends before its cause, with it, and the cause is told to nobody.
    for (victim_ends, severity) in [(50, "critical"), (60, "critical"), (50, "none"), (60, "none")] {
        let mut day = Day::new();
        day.change("Root", severity, Firing, 0);
        day.change("Victim", "warning", Firing, 0);
        let mut told = day.told(0, victim_ends - 1);
        day.change("Victim", "warning", Resolved, victim_ends);
        told.extend(day.told(victim_ends, 59));
        day.change("Root", severity, Resolved, 60);
        told.extend(day.told(60, 1000));
        let victims: Vec<_> = told.iter().filter(|(_, name, _)| name == "Victim").collect();
        assert!(victims.is_empty(), "ends at {victim_ends}, {severity}: {told:?}");
        assert_eq!(told.len(), if severity == "none" { 0 } else { 2 }, "{told:?}");
    }
}

#[test]
fn what_outlives_its_inhibition_waits_for_its_group_first() {
    let mut day = Day::new();
    day.change("Root", "critical", Firing, 0);
    day.change("Victim", "warning", Firing, 0);
    assert_eq!(day.told(0, 99), [(30, "Root".to_owned(), Firing)]);
    day.change("Root", "critical", Resolved, 100);
    // A victim that ends with a delay of less than group_wait is told to nobody.
    let told = day.told(100, 300);
    assert!(told.contains(&(130, "Victim".to_owned(), Firing)), "{told:?}");
    day.change("Victim", "warning", Resolved, 301);
    let told = day.told(301, 1000);
    assert!(told.iter().any(|(_, name, state)| name == "Victim" && *state == Resolved), "{told:?}");
}

#[test]
fn an_earlier_incident_of_the_cause_delays_nothing() {
    let mut day = Day::new();
    day.change("Root", "critical", Firing, 0);
    day.change("Root", "critical", Resolved, 10);
    day.change("Victim", "warning", Firing, 20);
    assert!(day.told(20, 60).contains(&(50, "Victim".to_owned(), Firing)));
}
