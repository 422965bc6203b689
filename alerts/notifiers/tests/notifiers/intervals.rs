//! Routes that rest, as in Alertmanager: on a clock moved by hand.

use crate::notice;
use std::time::Duration;
use watchfire_model::{NoticeState::*, Timestamp};
use watchfire_notifiers::{Rehearsal, Settings};

/// The seconds at which the file's receiver hears of one alert that fires for that long.
fn heard(file: &str, from: &str, seconds: u64) -> Vec<u64> {
    let written = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(written.path(), file).unwrap();
    let settings = Settings { alertmanager_config: Some(written.path().to_owned()), ..Settings::default() };
    let mut delivery = Rehearsal::new(&settings).unwrap();
    let begin = Timestamp(chrono::DateTime::parse_from_rfc3339(from).unwrap().timestamp_millis());
    delivery.take(notice("Down", 1, Firing), begin);
    (0..=seconds).filter(|s| !delivery.send(begin.saturating_add(Duration::from_secs(*s))).is_empty()).collect()
}

const RECEIVERS: &str = "receivers: [{name: none}, {name: ops, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}]\n";

#[test]
fn a_receiver_named_by_two_routes_hears_by_each_that_does_not_rest() {
    let file = |first: &str, second: &str| {
        format!(
            "route: {{receiver: none, group_wait: 5s, group_interval: 1m, routes: [{{receiver: ops, continue: true, {first}}}, {{receiver: ops, group_wait: 20s, {second}}}]}}\n\
             {RECEIVERS}time_intervals: [{{name: early, time_intervals: [{{times: [{{start_time: '03:00', end_time: '03:10'}}]}}]}}]\n"
        )
    };
    let rests = "mute_time_intervals: [early]";
    let at = "2026-03-01T03:05:00Z";
    assert_eq!(heard(&file("matchers: []", "matchers: []"), at, 600), [5, 20], "by each, as soon as that says");
    assert_eq!(heard(&file(rests, "matchers: []"), at, 600), [20, 300], "and by the first when it wakes up");
    assert_eq!(heard(&file("matchers: []", rests), at, 600), [5, 300]);
    assert_eq!(heard(&file(rests, rests), at, 600), [300], "when they wake up");
    assert_eq!(
        heard(&file("active_time_intervals: [early]", rests), "2026-03-01T03:09:58Z", 600),
        [20],
        "the second wakes up where the first falls asleep"
    );
}

/// `location: Local`: whatever this machine's zone is, half a day at a time rests.
fn local_is_the_machines(file: &impl Fn(&str) -> String) -> bool {
    use chrono::{Offset, TimeZone, Timelike};
    let at = "2026-03-01T03:05:00Z";
    let moment = chrono::DateTime::parse_from_rfc3339(at).unwrap();
    let local = chrono::Local.offset_from_utc_datetime(&moment.naive_utc()).fix();
    let hour = moment.with_timezone(&local).hour();
    let within = format!("{{times: [{{start_time: '{hour:02}:00', end_time: '{:02}:00'}}], location: Local}}", hour + 1);
    let without =
        format!("{{times: [{{start_time: '{:02}:00', end_time: '{:02}:00'}}], location: Local}}", (hour + 5) % 23, (hour + 5) % 23 + 1);
    heard(&file(&within), at, 1).is_empty() && heard(&file(&without), at, 1) == [0]
}

#[test]
fn a_route_rests_to_the_second_of_its_zone() {
    let file = |interval: &str| {
        format!(
            "route: {{receiver: none, routes: [{{receiver: ops, group_wait: 0s, mute_time_intervals: [night]}}]}}\n\
             {RECEIVERS}time_intervals: [{{name: night, time_intervals: [{interval}]}}]\n"
        )
    };
    assert!(local_is_the_machines(&file));
    let night = "{times: [{start_time: '02:00', end_time: '03:00'}], location: Europe/Berlin}";
    for (from, expected, what) in [
        ("2026-03-01T00:59:59Z", 0, "just before"),
        ("2026-03-01T01:00:00Z", 3600, "from the edge to the other edge"),
        ("2026-03-01T01:59:59Z", 1, "just before its end"),
        ("2026-03-01T02:00:00Z", 0, "its end is outside"),
        ("2026-03-29T01:00:00Z", 0, "the hour that summer time leaves out"),
        ("2026-10-25T00:00:00Z", 7200, "the hour that winter time repeats"),
    ] {
        assert_eq!(heard(&file(night), from, 7500), [expected], "{what}: {from}");
    }
}
