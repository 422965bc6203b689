//! Whether a message says what somebody who is woken by it must know.

use super::account::Episode;
use serde_json::Value;
use watchfire_model::NoticeState;
use watchfire_notifiers::Said;

/// Characters of an owner or an impact that every channel with room for sentences shows.
const SHOWN: usize = 200;

/// What a message does not say about an alert that is news in it. Titles say what and how bad; who owns it and what it means is said wherever
/// there is room for more than a title.
pub fn missing(said: &Said, episode: &Episode) -> Vec<String> {
    let text = said.texts.iter().map(|t| readable(t)).collect::<Vec<_>>().join("\n");
    let lower = text.to_lowercase();
    let Some((_, state, severity)) = said.news.iter().find(|(fingerprint, _, _)| *fingerprint == episode.fingerprint) else {
        return Vec::new();
    };
    let state = match state {
        NoticeState::Firing => "firing",
        NoticeState::Resolved => "resolved",
    };
    let mut wanted = vec![("name", episode.name.clone()), ("state", state.to_owned())];
    if said.kind != "sms" {
        wanted.push(("severity", severity.max(&episode.severity).to_string()));
    }
    if ["slack", "pagerduty", "email", "webhook"].contains(&said.kind) {
        wanted.push(("owner", episode.owner.clone()));
        wanted.push(("impact", episode.impact.clone()));
    }
    if said.kind != "sms" && said.kind != "terminal" {
        wanted.push(("runbook", episode.runbook.clone()));
    }
    let cut = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect::<String>().to_lowercase();
    wanted
        .into_iter()
        .filter(|(_, value)| !lower.contains(&cut(value)))
        .map(|(what, value)| format!("the message to {} over {} does not say its {what}, {value:?}", said.receiver, said.kind))
        .collect()
}

/// What a person reads of what goes over the wire.
fn readable(wire: &str) -> String {
    let mut out = String::new();
    match serde_json::from_str::<Value>(wire) {
        Ok(value) => texts(&value, &mut out),
        Err(_) => out.push_str(wire),
    }
    // Slack's escapes.
    out.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

fn texts(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => {
            out.push_str(text);
            out.push('\n');
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, out)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, out)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use watchfire_model::Severity;

    fn episode() -> Episode {
        Episode {
            threshold: "X-01".to_owned(),
            name: "Down".to_owned(),
            about: String::new(),
            severity: Severity::Critical,
            loudest: Severity::Critical,
            owner: "Night & Day Team".to_owned(),
            impact: "Nobody\ncan \"pay\".".to_owned(),
            runbook: "docs/x.md#x-01".to_owned(),
            pending: Duration::ZERO,
            fired: Some(Duration::ZERO),
            resolved: None,
            cause: None,
            first_told: None,
            told: Vec::new(),
            told_end: Vec::new(),
            fingerprint: "f".to_owned(),
            unsaid: Vec::new(),
        }
    }

    fn said(kind: &'static str, text: &str) -> Said {
        Said {
            receiver: "r".to_owned(),
            kind,
            news: vec![("f".to_owned(), NoticeState::Firing, Severity::Critical)],
            texts: vec![text.to_owned()],
        }
    }

    #[test]
    fn what_a_channel_escapes_is_still_said() {
        let slack = r#"{"text": "[FIRING] Down: a (critical)", "attachments": [{"text": "impact: Nobody can \"pay\".\nrunbook: docs/x.md#x-01\nowner: Night &amp; Day Team"}]}"#;
        assert_eq!(missing(&said("slack", slack), &episode()), Vec::<String>::new());
    }

    #[test]
    fn each_thing_that_is_left_out_is_named() {
        let whole = "[FIRING] Down (critical)\nimpact: Nobody can \"pay\".\nowner: Night & Day Team\nrunbook: docs/x.md#x-01";
        for (what, without) in [
            ("name", "Down"),
            ("state", "FIRING"),
            ("severity", "critical"),
            ("owner", "Night & Day"),
            ("impact", "Nobody can"),
            ("runbook", "docs/x.md"),
        ] {
            let found = missing(&said("email", &whole.replace(without, "")), &episode());
            assert!(matches!(found.as_slice(), [only] if only.contains(&format!("its {what},"))), "{what}: {found:?}");
        }
    }

    #[test]
    fn a_text_message_has_room_for_a_title_only() {
        assert_eq!(missing(&said("sms", "[FIRING:2] Down, Slow"), &episode()), Vec::<String>::new());
    }
}
