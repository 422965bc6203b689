//! What an alert that fires keeps quiet, as in Alertmanager: on a clock moved by hand.

use crate::day::{Day, moment};
use watchfire_model::{NoticeState, NoticeState::*};

const FILE: &str = "route: {receiver: ops, group_by: [alertname], group_wait: 30s, group_interval: 5m, routes: [{receiver: 'null', matchers: [severity=none]}]}\n\
    receivers: [{name: ops, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}, {name: 'null'}]\n\
    inhibit_rules: [{source_matchers: [alertname=Root], target_matchers: [alertname=Victim], equal: [service]}]\n";

/// Every change that is told up to that second, with its second.
fn changes(day: &mut Day, from: u64, to: u64) -> Vec<(u64, String, NoticeState)> {
    let mut told = Vec::new();
    for second in from..=to {
        for said in day.delivery.send(moment(second)) {
            told.extend(said.news.into_iter().map(|(fingerprint, state, _)| (second, fingerprint.replace("fp-", ""), state)));
        }
    }
    told
}

#[test]
fn what_was_inhibited_until_its_end_ends_as_quietly() {
    // The victim ends before its cause, with it, and the cause is told to nobody.
    for (victim_ends, severity) in [(50, "critical"), (60, "critical"), (50, "none"), (60, "none")] {
        let mut day = Day::of(FILE);
        day.change("Root", severity, Firing, 0);
        day.change("Victim", "warning", Firing, 0);
        let mut told = changes(&mut day, 0, victim_ends - 1);
        day.change("Victim", "warning", Resolved, victim_ends);
        told.extend(changes(&mut day, victim_ends, 59));
        day.change("Root", severity, Resolved, 60);
        told.extend(changes(&mut day, 60, 1000));
        let victims: Vec<_> = told.iter().filter(|(_, name, _)| name == "Victim").collect();
        assert!(victims.is_empty(), "ends at {victim_ends}, {severity}: {told:?}");
        assert_eq!(told.len(), if severity == "none" { 0 } else { 2 }, "{told:?}");
    }
}

#[test]
fn what_outlives_its_inhibition_waits_for_its_group_first() {
    let mut day = Day::of(FILE);
    day.change("Root", "critical", Firing, 0);
    day.change("Victim", "warning", Firing, 0);
    assert_eq!(changes(&mut day, 0, 99), [(30, "Root".to_owned(), Firing)]);
    day.change("Root", "critical", Resolved, 100);
    // A victim that ends with a delay of less than group_wait is told to nobody.
    let told = changes(&mut day, 100, 300);
    assert!(told.contains(&(130, "Victim".to_owned(), Firing)), "{told:?}");
    day.change("Victim", "warning", Resolved, 301);
    let told = changes(&mut day, 301, 1000);
    assert!(told.iter().any(|(_, name, state)| name == "Victim" && *state == Resolved), "{told:?}");
}

#[test]
fn an_earlier_incident_of_the_cause_delays_nothing() {
    let mut day = Day::of(FILE);
    day.change("Root", "critical", Firing, 0);
    day.change("Root", "critical", Resolved, 10);
    day.change("Victim", "warning", Firing, 20);
    assert!(changes(&mut day, 20, 60).contains(&(50, "Victim".to_owned(), Firing)));
}

#[test]
fn who_was_told_before_the_inhibition_hears_of_the_end_after_it_only() {
    for (victim_ends, told_of_it) in [(300, false), (1500, true)] {
        let mut day = Day::of(FILE);
        day.change("Victim", "warning", Firing, 0);
        let mut told = changes(&mut day, 0, 99);
        day.change("Root", "critical", Firing, 100);
        told.extend(changes(&mut day, 100, victim_ends.min(1000) - 1));
        for (name, second) in if told_of_it { [("Root", 1000), ("Victim", victim_ends)] } else { [("Victim", victim_ends), ("Root", 1000)] }
        {
            let at = told.iter().map(|(second, ..)| *second).max().unwrap_or(0) + 1;
            told.extend(changes(&mut day, at, second - 1));
            day.change(name, if name == "Root" { "critical" } else { "warning" }, Resolved, second);
        }
        told.extend(changes(&mut day, 1500, 3000));
        let of = |wanted: &str| told.iter().filter(|(_, name, _)| name == wanted).map(|(.., state)| *state).collect::<Vec<_>>();
        assert_eq!(of("Root"), [Firing, Resolved], "{told:?}");
        assert_eq!(of("Victim"), if told_of_it { vec![Firing, Resolved] } else { vec![Firing] }, "ends at {victim_ends}: {told:?}");
    }
}
