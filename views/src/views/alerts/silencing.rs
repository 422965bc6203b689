//! Silences: what one covers, and asking for one.

use super::{Alerts, NONE_SELECTED};
use crate::effect::Effect;
use crate::view::{Cx, Out};
use watchfire_model::parse_duration;
use watchfire_model::reading::{Alert, Alerts as Reading, Command, Silence};

impl Alerts {
    pub(super) fn silence(&self, text: &str, cx: &Cx<'_>, out: &mut Out) {
        let Some(alert) = self.selected(cx) else { return out.refuse(NONE_SELECTED) };
        let (duration, comment) = text.split_once(' ').unwrap_or((text, ""));
        let Ok(duration) = parse_duration(duration) else {
            return out.refuse(format!("`{duration}` is not a duration; write 30m, 2h or 1d and a comment"));
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
            comment: comment.trim().to_owned(),
        })));
    }
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
