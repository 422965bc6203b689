//! A message tells of a whole group, and repeats it as a whole, as in Alertmanager: on a clock moved by hand.

use crate::day::{Day, moment};
use serde_json::Value;
use watchfire_model::NoticeState::*;

const FILE: &str = "route: {receiver: ops, group_by: [service], group_wait: 10s, group_interval: 1m, repeat_interval: 1h}\n\
    receivers: [{name: ops, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}]\n\
    inhibit_rules: [{source_matchers: [alertname=Root], target_matchers: [alertname=Victim]}]\n";

/// Every message up to that second: when, its status, and the alerts that it lists.
fn messages(day: &mut Day, from: u64, to: u64) -> Vec<(u64, String, Vec<String>)> {
    let mut told = Vec::new();
    for second in from..=to {
        for text in day.delivery.send(moment(second)).into_iter().flat_map(|said| said.texts) {
            let body: Value = serde_json::from_str(&text).unwrap();
            let alerts = body["alerts"].as_array().unwrap().iter();
            let mut names: Vec<String> = alerts.map(|a| a["labels"]["alertname"].as_str().unwrap().to_owned()).collect();
            names.sort();
            told.push((second, body["status"].as_str().unwrap().to_owned(), names));
        }
    }
    told
}

fn message(second: u64, status: &str, names: &[&str]) -> (u64, String, Vec<String>) {
    (second, status.to_owned(), names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn a_group_is_repeated_once_however_many_alerts_joined_it_one_after_another() {
    let mut day = Day::of(FILE);
    day.change("A", "warning", Firing, 0);
    let mut told = messages(&mut day, 0, 599);
    day.change("B", "warning", Firing, 600);
    told.extend(messages(&mut day, 600, 1199));
    day.change("C", "warning", Firing, 1200);
    told.extend(messages(&mut day, 1200, 8500));
    let all = ["A", "B", "C"];
    let expected = [
        message(10, "firing", &["A"]),
        message(610, "firing", &["A", "B"]),
        message(1210, "firing", &all),
        message(4810, "firing", &all),
        message(8410, "firing", &all),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_is_inhibited_is_not_listed_beside_what_inhibits_it() {
    let mut day = Day::of(FILE);
    day.change("Victim", "warning", Firing, 0);
    assert_eq!(messages(&mut day, 0, 99), [message(10, "firing", &["Victim"])]);
    day.change("Root", "warning", Firing, 100);
    assert_eq!(messages(&mut day, 100, 3799), [message(110, "firing", &["Root"]), message(3710, "firing", &["Root"])]);
    day.change("Root", "warning", Resolved, 3800);
    let told = messages(&mut day, 3800, 7500);
    assert_eq!(told, [message(3810, "firing", &["Root", "Victim"]), message(7410, "firing", &["Victim"])]);
}

#[test]
fn a_repeat_falls_on_an_interval_of_its_group() {
    for (repeat, seconds) in [("1m", 300), ("5m", 300), ("7m", 600), ("15m", 900)] {
        let mut day =
            Day::of(&FILE.replace("group_interval: 1m, repeat_interval: 1h", &format!("group_interval: 5m, repeat_interval: {repeat}")));
        day.change("A", "warning", Firing, 0);
        let told: Vec<u64> = messages(&mut day, 0, 1810).into_iter().map(|(second, ..)| second).collect();
        assert_eq!(told, (10..=1810).step_by(seconds).collect::<Vec<u64>>(), "{repeat}");
    }
}
