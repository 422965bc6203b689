//! A rehearsal as a person reads it.

use super::account::{Account, Episode};
use std::fmt::Write;
use std::time::Duration;

/// One scenario: what fired when and who was told, which objectives were missed, which breakers moved, and what is wrong with that.
pub fn text(account: &Account) -> String {
    let faults = account.faults();
    let mut out = format!(
        "{} {}  {} ({} simulated)\n",
        if faults.is_empty() { "ok  " } else { "FAIL" },
        account.scenario.name,
        account.scenario.title,
        clock(account.lasted)
    );
    for episode in account.episodes.iter().filter(|e| e.fired.is_some()) {
        let _ = writeln!(out, "     {}", line(episode));
    }
    for course in account.objectives.iter().filter(|c| c.missed.is_some()) {
        let _ = writeln!(out, "     objective {} missed {}, met again {}", course.id, moment(course.missed), moment(course.met_again));
    }
    for ((service, breaker), course) in &account.breakers {
        if !course.entered.is_empty() {
            let _ = writeln!(out, "     breaker {service} / {breaker}: {}", course.entered.join(", "));
        }
    }
    for fault in faults {
        let _ = writeln!(out, "  !! {fault}");
    }
    out
}

fn line(episode: &Episode) -> String {
    let whom = match &episode.cause {
        _ if !episode.told.is_empty() => format!("told {} {}", moment(episode.first_told), episode.told.join(", ")),
        Some(cause) if cause.alert.is_empty() => format!("held: {}", cause.reason),
        Some(cause) => format!("held: {} of {}", cause.alert, cause.service),
        None => "told nobody".to_owned(),
    };
    format!(
        "{} {} [{}] {}: pending {}, firing {}, resolved {}; {}; owner {}",
        episode.threshold,
        episode.name,
        episode.severity,
        episode.about,
        clock(episode.pending),
        moment(episode.fired),
        moment(episode.resolved),
        whom,
        episode.owner
    )
}

fn moment(at: Option<Duration>) -> String {
    at.map_or_else(|| "never".to_owned(), clock)
}

/// `2:05`.
fn clock(at: Duration) -> String {
    format!("{}:{:02}", at.as_secs() / 60, at.as_secs() % 60)
}
