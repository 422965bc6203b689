//! The daily summary of each person who wants one, and the slow housekeeping: dropping what is over and done with.

use super::Now;
use super::shared::Shared;
use crate::journal::{Change, Note, State, Transition};
use crate::message::{Text, stable_key};
use crate::routing::{Receiver, Zone};
use chrono::NaiveTime;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{NoticeState, Severity, Timestamp, format_duration, harmless_limited};

const LOOK: Duration = Duration::from_secs(5);
const HOUSEKEEPING: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(24 * 3600);
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
    let zone = receiver.quiet.as_ref()?.zone;
    let slot = last_slot(zone, receiver.summary?, now)?;
    match state.summaries.get(&receiver.name) {
        // An hour late is late; after a longer absence the next one covers it.
        None => (now.since(slot) < Duration::from_secs(3600)).then(|| slot.saturating_sub(DAY)),
        Some(sent) if *sent < slot => Some((*sent).max(slot.saturating_sub(7 * DAY))),
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
    let recent: Vec<&Transition> = state.history.iter().filter(|t| t.at > since).collect();
    let fired: Vec<&&Transition> = recent.iter().filter(|t| t.state == NoticeState::Firing && !t.held).collect();
    let resolved = recent.iter().filter(|t| t.state == NoticeState::Resolved).count();
    let firing: std::collections::BTreeSet<&str> = state
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
    let hours = format_duration(Duration::from_secs(now.since(since).as_secs() / 60 * 60));
    Text {
        title: format!("Summary of {hours}: {} fired, {resolved} resolved, {} still firing", fired.len(), firing.len()),
        summary: if fired.is_empty() { "Nothing fired.".to_owned() } else { String::new() },
        facts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

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
