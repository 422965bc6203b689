//! What an `alertmanager.yml` says and watchfire does not do: every such line is named, so that nobody relies on it.

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Deserialize)]
struct Places {
    #[serde(default)]
    receivers: Vec<BTreeMap<String, Part>>,
    #[serde(default)]
    templates: Option<Spanned<Vec<IgnoredAny>>>,
}

/// A receiver's name, or the entries of one kind of channel.
enum Part {
    Text(String),
    Entries(Vec<BTreeMap<String, Spanned<IgnoredAny>>>),
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Part;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a list")
            }

            fn visit_str<E>(self, text: &str) -> Result<Part, E> {
                Ok(Part::Text(text.to_owned()))
            }

            fn visit_unit<E>(self) -> Result<Part, E> {
                Ok(Part::Entries(Vec::new()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Part, E> {
                Ok(Part::Text(number.to_string()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Part, E> {
                Ok(Part::Text(number.to_string()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Part, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = list.next_element()? {
                    entries.push(entry);
                }
                Ok(Part::Entries(entries))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// The fields of each kind of channel that are used.
const USED: [(&str, &[&str]); 4] = [
    ("slack_configs", &["send_resolved", "api_url", "api_url_file", "channel"]),
    ("pagerduty_configs", &["send_resolved", "routing_key", "routing_key_file", "url"]),
    (
        "email_configs",
        &["send_resolved", "to", "from", "smarthost", "hello", "auth_username", "auth_password", "auth_password_file", "require_tls"],
    ),
    ("webhook_configs", &["send_resolved", "url", "url_file", "max_alerts", "http_config"]),
];

/// One sentence for each setting that has no effect here, with its line. A file that does not parse has none.
pub fn unused(text: &str) -> Vec<String> {
    let Ok(places) = serde_saphyr::from_str::<Places>(text) else { return Vec::new() };
    let mut out = Vec::new();
    if let Some(templates) = places.templates.filter(|t| !t.value.is_empty()) {
        out.push((templates.defined.line(), "templates are not used: messages have watchfire's own text".to_owned()));
    }
    for receiver in &places.receivers {
        let name = match receiver.get("name") {
            Some(Part::Text(name)) => name.as_str(),
            _ => "",
        };
        for (kind, part) in receiver {
            let Part::Entries(entries) = part else { continue };
            let Some((_, used)) = USED.iter().find(|(known, _)| known == kind) else {
                // Named as ignored where paths are listed.
                continue;
            };
            for (field, place) in entries.iter().flatten().filter(|(field, _)| !used.contains(&field.as_str())) {
                let text = watchfire_model::harmless_limited(&format!("receiver {name:?}: {kind}.{field} is not used"), 200).into_owned();
                out.push((place.defined.line(), text));
            }
        }
    }
    out.sort();
    out.into_iter().map(|(line, text)| format!("line {line}: {text}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_without_effect_is_named_with_its_line() {
        let text = "templates: ['*.tmpl']\nroute:\n  receiver: team\nreceivers:\n- name: team\n  slack_configs:\n  - api_url: https://hooks.example/x\n    channel: '#ops'\n    title: '{{ .GroupLabels.alertname }}'\n    text: >-\n      {{ range .Alerts }}{{ .Annotations.summary }}{{ end }}\n  webhook_configs:\n  - url: http://127.0.0.1:1/\n    http_config: {basic_auth: {username: a, password: b}}\n- name: other\n  email_configs:\n  - {to: a@example.org, headers: {Subject: x}}\n";
        assert_eq!(
            unused(text),
            [
                "line 1: templates are not used: messages have watchfire's own text",
                "line 9: receiver \"team\": slack_configs.title is not used",
                "line 11: receiver \"team\": slack_configs.text is not used",
                "line 17: receiver \"other\": email_configs.headers is not used",
            ]
        );
        assert_eq!(unused("route: {receiver: a}\nreceivers: [{name: a}]\n"), Vec::<String>::new());
    }
}
