//! Silences: what one covers, and asking for one.

use super::{Alerts, NONE_SELECTED};
use crate::effect::Effect;
use crate::number;
use crate::view::{Cx, Out};
use std::time::Duration;
use watchfire_model::reading::{Alert, Alerts as Reading, Command, Silence};
use watchfire_model::{Timestamp, parse_duration};

impl Alerts {
    pub(super) fn silence(&self, text: &str, cx: &Cx<'_>, out: &mut Out) {
        let Some(alert) = self.selected(cx) else { return out.refuse(NONE_SELECTED) };
        let (duration, comment) = match length(text, "write 30m, 2h or 1d and a comment") {
            Ok(found) => found,
            Err(why) => return out.refuse(why),
        };
        let mut matchers = vec![("alertname".to_owned(), "=".to_owned(), alert.name.clone())];
        for label in ["service", "service_name", "queue", "breaker", "job", "instance"] {
            if let Some(value) = alert.labels.get(label) {
                matchers.push((label.to_owned(), "=".to_owned(), value.to_owned()));
            }
        }
        out.effects.push(Effect::Command(Command::Silence(Silence {
            id: String::new(),
            matchers,
            starts_at: cx.now,
            ends_at: cx.now.saturating_add(duration),
            created_by: String::new(),
            comment: comment.to_owned(),
        })));
    }

    /// Ends the silence over the selected alert, or makes it last as long from now on.
    pub(super) fn change_silence(&self, text: &str, cx: &Cx<'_>, out: &mut Out) {
        let active = self.selected(cx).zip(cx.readings.alerts()).and_then(|(alert, reading)| silence_of(alert, reading));
        let Some(silence) = active else { return out.refuse("the silence has ended meanwhile") };
        let command = if ["", "end"].contains(&text.trim()) {
            Command::ExpireSilence { id: silence.id.clone() }
        } else {
            match length(text, "write 30m, 2h or 1d, or end") {
                Ok((duration, comment)) => Command::Silence(Silence {
                    starts_at: cx.now,
                    ends_at: cx.now.saturating_add(duration),
                    comment: if comment.is_empty() { silence.comment.clone() } else { comment.to_owned() },
                    ..silence.clone()
                }),
                Err(why) => return out.refuse(why),
            }
        };
        out.effects.push(Effect::Command(command));
    }
}

/// A duration and what is said after it.
fn length<'t>(text: &'t str, advice: &str) -> Result<(Duration, &'t str), String> {
    let (duration, comment) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    match parse_duration(duration) {
        Ok(length) => Ok((length, comment.trim())),
        Err(_) => Err(format!("`{duration}` is not a duration; {advice}")),
    }
}

/// What is asked of a silence that holds: it may cover more than the alert that is looked at.
pub(super) fn of_it(silence: &Silence, now: Timestamp) -> String {
    let one = |(name, sign, value): &(String, String, String)| match sign.as_str() {
        "=" => value.clone(),
        _ => format!("{name}{sign}{value}"),
    };
    let covers = silence.matchers.iter().map(one).collect::<Vec<_>>().join(" ");
    let left = number::span(silence.ends_at.since(now));
    format!("silenced for {left} ({}): end, or for", crate::canvas::safe(&covers, 40))
}

/// The silence that covers an alert, when one does.
pub(super) fn silence_of<'a>(alert: &Alert, reading: &'a Reading) -> Option<&'a Silence> {
    let holds = |(name, sign, value): &(String, String, String)| {
        let have = if name == "alertname" { alert.name.as_str() } else { alert.labels.value(name) };
        match sign.as_str() {
            "=" => have == value,
            "!=" => have != value,
            "=~" | "!~" => watchfire_model::go_regex_whole(value).is_ok_and(|r| r.is_match(have) == (sign == "=~")),
            _ => false,
        }
    };
    reading.silences.iter().find(|s| s.matchers.iter().all(holds))
}
