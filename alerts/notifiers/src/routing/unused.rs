//! What an `alertmanager.yml` says and watchfire does not do: every such line is named, so that nobody relies on it.

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;
use std::collections::BTreeMap;
use std::fmt;

use crate::wording::fields;

#[derive(Deserialize)]
struct Places {
    #[serde(default)]
    global: BTreeMap<String, Spanned<IgnoredAny>>,
    #[serde(default)]
    receivers: Vec<BTreeMap<String, Part>>,
    #[serde(default)]
    templates: Option<Spanned<IgnoredAny>>,
}

/// What of the messages' texts cannot be used.
#[derive(Debug, Default)]
pub struct Unfit {
    /// About the template files, in sentences.
    pub files: Vec<String>,
    /// About `global.http_config`.
    pub http: Option<String>,
    pub texts: Vec<UnfitText>,
}

/// A field with texts that are not sent, and what becomes of it.
#[derive(Debug)]
pub struct UnfitText {
    pub receiver: String,
    pub kind: String,
    /// Of the entry in its list.
    pub position: usize,
    pub field: String,
    pub what: String,
}

/// A receiver's name, or the entries of one kind of channel.
enum Part {
    Text(String),
    Entries(Vec<Spanned<BTreeMap<String, Spanned<IgnoredAny>>>>),
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

/// The fields of each kind of channel that are used, beside the texts of its messages.
const USED: [(&str, &[&str]); 4] = [
    ("slack_configs", &["send_resolved", "api_url", "api_url_file", "channel", "http_config"]),
    ("pagerduty_configs", &["send_resolved", "routing_key", "routing_key_file", "url", "http_config"]),
    (
        "email_configs",
        &[
            "send_resolved",
            "to",
            "from",
            "smarthost",
            "hello",
            "auth_username",
            "auth_password",
            "auth_password_file",
            "require_tls",
            "force_implicit_tls",
            "tls_config",
        ],
    ),
    ("webhook_configs", &["send_resolved", "url", "url_file", "max_alerts", "http_config"]),
];

/// What `global` says to channels that are spoken and that they do not hear. How others are spoken to matters to nobody here.
const UNUSED_GLOBAL: [&str; 6] =
    ["smtp_auth_identity", "smtp_auth_secret", "smtp_auth_secret_file", "slack_app_token", "slack_app_token_file", "slack_app_url"];

/// One sentence for each setting that has no effect here, with its line. A file that does not parse has none.
pub fn unused(text: &str, unfit: &Unfit) -> Vec<String> {
    let (text, further) = watchfire_model::first_yaml_document(text);
    let Ok(places) = serde_saphyr::from_str::<Places>(text) else { return Vec::new() };
    let mut out = Vec::new();
    out.extend(further.map(|line| (line as u64, "a further document begins; only the first is read".to_owned())));
    let templates = places.templates.map_or(1, |t| t.defined.line());
    out.extend(unfit.files.iter().map(|sentence| (templates, sentence.clone())));
    let unheard = places.global.iter().filter(|(key, _)| UNUSED_GLOBAL.contains(&key.as_str()));
    out.extend(unheard.map(|(key, place)| (place.defined.line(), format!("global.{key} is not used"))));
    let http = places.global.get("http_config").zip(unfit.http.as_ref());
    out.extend(http.map(|(place, what)| (place.defined.line(), format!("global.http_config{what}"))));
    for receiver in &places.receivers {
        let name = match receiver.get("name") {
            Some(Part::Text(name)) => name.as_str(),
            _ => "",
        };
        for (kind, part) in receiver {
            let Part::Entries(entries) = part else { continue };
            let Some((_, used)) = USED.iter().find(|(known, _)| known == kind) else {
                let what = format!("receiver {name:?}: {kind} is not supported; it is routed to, and nothing is sent there");
                out.extend(entries.iter().map(|entry| (entry.defined.line(), watchfire_model::harmless_limited(&what, 300).into_owned())));
                continue;
            };
            for (position, (field, place)) in
                entries.iter().enumerate().flat_map(|(n, entry)| entry.value.iter().map(move |pair| (n, pair)))
            {
                let here = |t: &&UnfitText| t.receiver == name && t.kind == *kind && t.position == position && t.field == *field;
                let what = match unfit.texts.iter().find(here) {
                    Some(text) => text.what.clone(),
                    None if used.contains(&field.as_str()) || fields(kind).contains(&field.as_str()) => continue,
                    None => " is not used".to_owned(),
                };
                let text = watchfire_model::harmless_limited(&format!("receiver {name:?}: {kind}.{field}{what}"), 300).into_owned();
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
        let text = "templates: ['*.tmpl']\nroute:\n  receiver: team\nreceivers:\n- name: team\n  slack_configs:\n  - api_url: https://hooks.example/x\n    channel: '#ops'\n    link_names: true\n    text: >-\n      {{ range .Alerts }}{{ nope .Annotations.summary }}{{ end }}\n  webhook_configs:\n  - url: http://127.0.0.1:1/\n    http_config: {basic_auth: {username: a, password_ref: b}, tls_config: {insecure_skip_verify: true}, follow_redirects: true}\n- name: other\n  email_configs:\n  - {to: a@example.org, from: b@example.org, smarthost: '127.0.0.1:25', html: '', headers: {Subject: x, To: y}}\n  opsgenie_configs:\n  - api_key: x\nglobal:\n  smtp_auth_secret: x\n  http_config: {proxy_url: 'http://p', bearer_token: x, enable_http2: true}\n  resolve_timeout: 5m\n";
        let empty = std::path::Path::new("/nowhere");
        let (_, unfit) = super::super::alertmanager_file::load(text, Some(empty)).expect("reads");
        assert_eq!(
            unused(text, &unfit),
            [
                "line 1: templates: *.tmpl matches no file",
                "line 9: receiver \"team\": slack_configs.link_names is not used",
                "line 11: receiver \"team\": slack_configs.text cannot be used (1: function \"nope\" not defined); watchfire's own text is sent instead",
                "line 14: receiver \"team\": webhook_configs.http_config: follow_redirects, basic_auth.password_ref is not used",
                "line 17: receiver \"other\": email_configs.headers: To is not sent",
                "line 19: receiver \"other\": opsgenie_configs is not supported; it is routed to, and nothing is sent there",
                "line 21: global.smtp_auth_secret is not used",
                "line 22: global.http_config: enable_http2 is not used",
            ]
        );
        // As in the file that Alertmanager's own packages bring along: the other receivers go on.
        let text = "route: {receiver: pager}\nreceivers:\n- name: pager\n  pagerduty_configs:\n  - service_key: x\n  - routing_key: y\n";
        let (routing, unfit) = super::super::alertmanager_file::load(text, Some(empty)).expect("reads");
        let said = unused(text, &unfit);
        assert!(
            said.len() == 1
                && said[0].starts_with("line 5: receiver \"pager\": pagerduty_configs.service_key belongs to PagerDuty's Events API v1"),
            "{said:?}"
        );
        assert_eq!(
            (&routing.receivers[0].ignored[..], routing.receivers[0].channels.len()),
            (&["pagerduty with service_key".to_owned()][..], 1)
        );
        let plain = "route: {receiver: a}\nreceivers: [{name: a}]\n";
        assert_eq!(unused(plain, &Unfit::default()), Vec::<String>::new());
        // Alertmanager reads the first of two documents.
        let two = format!("{plain}---\nreceivers: [{{name: b}}]\n");
        let (routing, unfit) = super::super::alertmanager_file::load(&two, Some(empty)).expect("reads");
        assert_eq!(routing.receivers.len(), 1);
        assert_eq!(unused(&two, &unfit), ["line 3: a further document begins; only the first is read"]);
    }
}
