//! The daily summary of each person who wants one, and the slow housekeeping: dropping what is over and done with.

use super::Now;
use super::shared::Shared;
use crate::journal::{Change, Note, State, Transition};
use crate::message::{Text, stable_key};
use crate::routing::{Receiver, Zone};
use chrono::NaiveTime;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{NoticeState, Severity, Timestamp, format_duration, harmless_limited};

const LOOK: Duration = Duration::from_secs(5);
const HOUSEKEEPING: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A summary that comes so long after its time is late.
const LATE: Duration = Duration::from_secs(3600);
/// Alerts named in a summary.
const NAMED: usize = 10;

pub(super) async fn run(shared: Arc<Shared>) {
    let mut kept = shared.now().steady;
    let owed = shared.meter.gauge("watchfire_outbox_entries", &[]);
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = shared.cancel.cancelled() => return,
        }
        let now = shared.now();
        let table = shared.table();
        for receiver in table.routing.receivers() {
            let made = {
                let state = shared.journal.state().read();
                due(receiver, &state, now.wall).map(|since| changes(receiver, &text(&state, since, now.wall), since, now))
            };
            if let Some(made) = made {
                shared.journal.commit_async(made).await;
            }
        }
        owed.set(shared.journal.state().read().owed() as f64);
        if now.steady.since(kept) >= HOUSEKEEPING {
            kept = now.steady;
            let before = now.wall.saturating_sub(table.limits.keep_resolved);
            shared.journal.commit_async(vec![Change::Expire { before, now: now.wall }]).await;
        }
    }
}

/// When the summary's time of day has passed since it was last sent: the beginning of what it covers.
fn due(receiver: &Receiver, state: &State, now: Timestamp) -> Option<Timestamp> {
    let quiet = receiver.quiet.as_ref()?;
    let slot = last_slot(quiet.zone, receiver.summary?, now)?;
    let late = now.since(slot) >= LATE;
    match state.summaries.get(&receiver.name) {
        None => (!late).then(|| slot.saturating_sub(DAY)),
        // Whoever asked for it at eight is not woken with it at three, because nobody ran at eight.
        Some(sent) if *sent < slot && !(late && quiet.covers(now)) => Some((*sent).max(slot.saturating_sub(7 * DAY))),
        Some(_) => None,
    }
}

/// The last moment not after `now` at which the zone's clock showed this minute of the day.
fn last_slot(zone: Zone, minute: u32, now: Timestamp) -> Option<Timestamp> {
    let today = zone.local(now)?.date();
    let time = NaiveTime::from_num_seconds_from_midnight_opt((minute % 1440) * 60, 0)?;
    (0..3).find_map(|days| {
        let slot = zone.moment((today - chrono::Days::new(days)).and_time(time))?;
        (slot <= now).then_some(slot)
    })
}

/// One note for each path that carries summaries, durable together with the fact that this summary was made.
fn changes(receiver: &Receiver, text: &Text, since: Timestamp, now: Now) -> Vec<Change> {
    let paths = receiver.channels.iter().filter(|c| c.summary).map(|c| &c.path);
    let note = |path: &String| {
        let key = stable_key(&["summary", path, &since.millis().to_string()]);
        Change::Note(Note { path: path.clone(), key, title: text.title.clone(), body: text.body(), queued_at: now.steady })
    };
    paths.map(note).chain([Change::Summary { person: receiver.name.clone(), at: now.wall }]).collect()
}

/// What happened since then, in words and counts.
fn text(state: &State, since: Timestamp, now: Timestamp) -> Text {
    // What stood under its cause to the end is no event of its own. What is told again, louder than before, has begun once.
    let mut seen = BTreeSet::new();
    let recent = state.history.iter().filter(|t| t.at > since && !t.held);
    let (fired, resolved): (Vec<&Transition>, Vec<&Transition>) = recent
        .filter(|t| seen.insert((&t.fingerprint, t.state == NoticeState::Firing, t.at)))
        .partition(|t| t.state == NoticeState::Firing);
    let firing: BTreeSet<&str> = state
        .cells
        .values()
        .flat_map(BTreeMap::values)
        .filter(|c| c.notice.state == NoticeState::Firing && !c.held)
        .map(|c| c.notice.fingerprint.as_str())
        .collect();
    let mut facts: Vec<(&'static str, String)> = Vec::new();
    let mut by_severity: BTreeMap<std::cmp::Reverse<Severity>, usize> = BTreeMap::new();
    let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
    for transition in &fired {
        *by_severity.entry(std::cmp::Reverse(transition.severity)).or_default() += 1;
        *by_name.entry(&transition.alert).or_default() += 1;
    }
    if !by_severity.is_empty() {
        facts.push(("by severity", by_severity.iter().map(|(s, n)| format!("{n} {}", s.0)).collect::<Vec<_>>().join(", ")));
    }
    let mut names: Vec<(&str, usize)> = by_name.into_iter().collect();
    names.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    for (name, count) in names.iter().take(NAMED) {
        facts.push(("fired", format!("{count} x {}", harmless_limited(name, 120))));
    }
    if names.len() > NAMED {
        facts.push(("fired", format!("... and {} more rules", names.len() - NAMED)));
    }
    let hours = format_duration(Duration::from_secs((now.since(since).as_secs() + 30) / 60 * 60));
    Text {
        title: format!("Summary of {hours}: {} fired, {} resolved, {} still firing", fired.len(), resolved.len(), firing.len()),
        summary: if fired.is_empty() { "Nothing fired.".to_owned() } else { String::new() },
        facts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Destination;
    use crate::message::tests::notice;
    use crate::settings::Settings;
    use watchfire_model::{Cause, Notice};

    #[test]
    fn a_summary_is_due_once_a_day_at_the_persons_own_time() {
        let settings: Settings = toml::from_str(
            "[[people]]\nname = \"alex\"\ntimezone = \"Europe/Berlin\"\ndaily_summary = \"08:00\"\n[[people.channels]]\nchannel = { type = \"terminal\" }",
        )
        .unwrap();
        let routing = crate::routing::Routing::new(&settings).unwrap();
        let alex = &routing.receivers()[0];
        let at = |text: &str| Timestamp(chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis());
        let mut state = State::default();
        assert_eq!(due(alex, &state, at("2026-07-01T05:59:00Z")), None);
        assert_eq!(due(alex, &state, at("2026-07-01T06:01:00Z")), Some(at("2026-06-30T06:00:00Z")));
        state.apply(&Change::Summary { person: "alex".to_owned(), at: at("2026-07-01T06:01:00Z") });
        assert_eq!(due(alex, &state, at("2026-07-02T05:59:00Z")), None);
        assert_eq!(due(alex, &state, at("2026-07-02T06:00:05Z")), Some(at("2026-07-01T06:01:00Z")));
    }

    #[test]
    fn a_late_summary_waits_for_the_end_of_the_night() {
        let settings: Settings = toml::from_str(
            "[[people]]\nname = \"alex\"\ndaily_summary = \"08:00\"\nquiet_hours = [{ from = \"22:00\", to = \"07:00\" }]\n[[people.channels]]\nchannel = { type = \"terminal\" }",
        )
        .unwrap();
        let routing = crate::routing::Routing::new(&settings).unwrap();
        let at = |text: &str| Timestamp(chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis());
        let mut state = State::default();
        state.apply(&Change::Summary { person: "alex".to_owned(), at: at("2026-07-01T08:00:03Z") });
        for (now, comes) in [("2026-07-03T02:00:00Z", false), ("2026-07-03T07:00:00Z", true), ("2026-07-02T08:00:00Z", true)] {
            assert_eq!(due(&routing.receivers()[0], &state, at(now)).is_some(), comes, "{now}");
        }
    }

    #[test]
    fn a_summary_counts_what_people_were_told_of_once_and_by_the_clock_on_the_wall() {
        let begun = Timestamp(1_772_334_661_000);
        let since = begun.saturating_sub(DAY);
        let mut state = State::default();
        let mut tell = |name: &str, firing: bool, revision: u64, cause: bool| {
            let state_of = if firing { NoticeState::Firing } else { NoticeState::Resolved };
            let cause = cause.then(|| Cause { alert: "Down".to_owned(), service: "db".to_owned(), reason: "db fires".to_owned() });
            let notice = Notice {
                revision,
                cause,
                starts_at: begun,
                ends_at: begun.saturating_add(Duration::from_secs(60)),
                ..notice(name, state_of)
            };
            // By the steady clock it is a year ago: this machine had no time when it was started.
            let at = begun.saturating_sub(365 * DAY);
            state.apply(&Change::Notice { notice: Arc::new(notice), destinations: vec![Destination::unheard()], at });
        };
        tell("Down", true, 1, false);
        tell("Down", true, 2, false);
        for victim in ["A", "B", "C"] {
            tell(victim, true, 1, true);
            tell(victim, false, 2, true);
        }
        tell("Down", false, 3, false);
        let said = text(&state, since.saturating_add(Duration::from_secs(4)), begun);
        assert_eq!(said.title, "Summary of 1d: 1 fired, 1 resolved, 0 still firing");
        assert_eq!(said.facts[1], ("fired", "1 x Down".to_owned()));
    }

    #[test]
    fn a_time_that_summer_time_leaves_out_or_winter_time_repeats_comes_once() {
        let berlin = Zone::new("Europe/Berlin").unwrap();
        let at = |text: &str| Timestamp(chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis());
        for (now, slot) in [
            ("2026-03-29T01:29:59Z", "2026-03-28T01:30:00Z"),
            ("2026-03-29T01:30:00Z", "2026-03-29T01:30:00Z"), // 03:30, for there is no 02:30
            ("2026-10-25T00:30:00Z", "2026-10-25T00:30:00Z"), // the first 02:30
            ("2026-10-25T01:30:00Z", "2026-10-25T00:30:00Z"), // the second
        ] {
            assert_eq!(last_slot(berlin, 150, at(now)), Some(at(slot)), "{now}");
        }
    }
}
