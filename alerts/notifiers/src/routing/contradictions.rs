//! What of an `alertmanager.yml` contradicts itself or lacks a part, in channels of every kind: Alertmanager refuses it, and what it would mean here
//! would be chance.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Tables whose keys are the user's.
const FREE: [&str; 3] = ["headers", "details", "custom_fields"];
const SMARTHOSTS: [&str; 2] = ["smarthost", "smtp_smarthost"];
/// Parts of a Slack message that Alertmanager requires: the list, and of each of its entries, one of these.
const SLACK_PARTS: [(&str, &[&[&str]]); 2] =
    [("actions", &[&["type"], &["text"], &["url", "name"]]), ("fields", &[&["title"], &["value"]])];

/// # Errors
/// The first contradiction, with its place.
pub(super) fn check(global: &Value, receivers: &[BTreeMap<String, Value>]) -> Result<(), String> {
    if let Value::Object(table) = global {
        table_check(table, "global")?;
        for (key, value) in table.iter().filter(|(key, _)| key.ends_with("_url")) {
            url(value).map_err(|e| format!("global.{key}: {e}"))?;
        }
    }
    for receiver in receivers {
        let name = receiver.get("name").and_then(Value::as_str).unwrap_or_default();
        for (kind, entries) in receiver {
            for (position, entry) in entries.as_array().into_iter().flatten().enumerate() {
                let Value::Object(entry) = entry else { continue };
                let place = format!("receiver {name:?}: {kind}[{position}]");
                table_check(entry, &place)?;
                entry_check(kind, entry).map_err(|e| format!("{place}: {e}"))?;
            }
        }
    }
    Ok(())
}

/// What holds of any table, and of those in it.
fn table_check(table: &Map<String, Value>, place: &str) -> Result<(), String> {
    for (key, value) in table {
        if let Some(inline) = key.strip_suffix("_file").filter(|inline| is_said(table, inline) && is_said(table, key)) {
            return Err(format!("{place}: at most one of {inline} and {key} can be said; take one of them out"));
        }
        if SMARTHOSTS.contains(&key.as_str())
            && let Some(text) = value.as_str().filter(|t| !t.is_empty())
            && text.rsplit_once(':').is_none_or(|(_, port)| port.is_empty())
        {
            return Err(format!("{place}.{key}: {text:?} has no port; write it like {:?}", format!("{}:587", text.trim_end_matches(':'))));
        }
        if let Value::Object(inner) = value
            && !FREE.contains(&key.as_str())
        {
            let place = format!("{place}.{key}");
            table_check(inner, &place)?;
            if key == "http_config" {
                http_check(inner).map_err(|e| format!("{place}: {e}"))?;
            }
        }
    }
    Ok(())
}

/// One way to say who asks.
fn http_check(http: &Map<String, Value>) -> Result<(), String> {
    let ways = ["basic_auth", "oauth2", "authorization", "bearer_token", "bearer_token_file"];
    let said: Vec<&str> = ways.into_iter().filter(|way| is_said(http, way)).collect();
    if said.len() > 1 {
        return Err(format!("at most one of {} can be said", said.join(" and ")));
    }
    let kind = http.get("authorization").and_then(|a| a.get("type")).and_then(Value::as_str).unwrap_or_default();
    match kind.trim().eq_ignore_ascii_case("basic") {
        true => Err("authorization cannot have the type Basic; use basic_auth".to_owned()),
        false => Ok(()),
    }
}

fn entry_check(kind: &str, entry: &Map<String, Value>) -> Result<(), String> {
    let list = |key: &str| entry.get(key).and_then(Value::as_array).into_iter().flatten();
    match kind {
        "webhook_configs" => entry.get("url").map_or(Ok(()), url).map_err(|e| format!("url: {e}")),
        "email_configs" => {
            let mut seen = BTreeSet::new();
            let names = entry.get("headers").and_then(Value::as_object).into_iter().flat_map(Map::keys);
            match names.into_iter().find(|name| !seen.insert(name.to_ascii_lowercase())) {
                Some(twice) => Err(format!("headers: {twice:?} is there twice, in another case")),
                None => Ok(()),
            }
        }
        "slack_configs" => {
            for (key, required) in SLACK_PARTS {
                for (position, part) in list(key).enumerate().filter_map(|(n, part)| Some((n, part.as_object()?))) {
                    if let Some(missing) = required.iter().find(|any| !any.iter().any(|key| is_said(part, key))) {
                        return Err(format!("{key}[{position}]: {} is missing", missing.join(" or ")));
                    }
                    let confirm = part.get("confirm").and_then(Value::as_object);
                    if confirm.is_some_and(|c| !is_said(c, "text")) {
                        return Err(format!("{key}[{position}].confirm: text is missing"));
                    }
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn is_said(table: &Map<String, Value>, key: &str) -> bool {
    table.get(key).is_some_and(|value| !(value.is_null() || value.as_str() == Some("")))
}

/// An address without a host would be asked of whatever its path begins with. Paths are secrets, so none is shown.
fn url(value: &Value) -> Result<(), String> {
    let Some(text) = value.as_str().filter(|t| !t.is_empty() && *t != "<secret>") else { return Ok(()) };
    let Some((_, rest)) = text.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()))
    else {
        return Err("is no http or https address".to_owned());
    };
    if rest.is_empty() || rest.starts_with(['/', '?', '#']) { Err("names no host".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use crate::routing::Routing;

    fn refused(global: &str, receiver: &str) -> String {
        let text = format!("global: {global}\nroute: {{receiver: a}}\nreceivers: [{{name: a, {receiver}}}]\n");
        Routing::from_alertmanager_yml(&text).err().unwrap_or_default()
    }

    #[test]
    fn a_secret_is_said_once() {
        for (global, receiver, expected) in [
            (
                "{}",
                "slack_configs: [{api_url: 'http://x/', api_url_file: /x}]",
                "receiver \"a\": slack_configs[0]: at most one of api_url and api_url_file",
            ),
            (
                "{slack_api_url: 'http://x/', slack_api_url_file: /x}",
                "slack_configs: []",
                "global: at most one of slack_api_url and slack_api_url_file",
            ),
            ("{smtp_auth_password: a, smtp_auth_password_file: b}", "email_configs: []", "global: at most one of smtp_auth_password and"),
            (
                "{}",
                "pagerduty_configs: [{routing_key: x, routing_key_file: /x}]",
                "pagerduty_configs[0]: at most one of routing_key and routing_key_file",
            ),
            (
                "{}",
                "webhook_configs: [{url: 'http://x', http_config: {authorization: {credentials: a, credentials_file: b}}}]",
                "http_config.authorization: at most one",
            ),
            (
                "{}",
                "webhook_configs: [{url: 'http://x', http_config: {authorization: {credentials: a}, bearer_token: b}}]",
                "http_config: at most one of authorization and bearer_token",
            ),
            ("{}", "webhook_configs: [{url: 'http://x', http_config: {authorization: {type: basic, credentials: a}}}]", "use basic_auth"),
            (
                "{http_config: {bearer_token: a, basic_auth: {username: b}}}",
                "email_configs: []",
                "global.http_config: at most one of basic_auth and bearer_token",
            ),
            ("{}", "opsgenie_configs: [{api_key: a, api_key_file: b}]", "opsgenie_configs[0]: at most one of api_key and api_key_file"),
        ] {
            let said = refused(global, receiver);
            assert!(said.contains(expected), "{global} {receiver}: {said:?}");
        }
        for fine in [
            "slack_configs: [{api_url: '', api_url_file: /x}]",
            "pagerduty_configs: [{routing_key: x, details: {a: b, a_file: c}}]",
            "webhook_configs: [{url: 'http://x', http_config: {bearer_token: '', basic_auth: {username: b, password: c}}}]",
        ] {
            assert_eq!(refused("{}", fine), "", "{fine}");
        }
    }

    #[test]
    fn parts_that_a_message_or_an_address_needs_are_there() {
        for (global, receiver, expected) in [
            ("{smtp_smarthost: mail}", "email_configs: []", "global.smtp_smarthost: \"mail\" has no port; write it like \"mail:587\""),
            ("{smtp_smarthost: 'mail:'}", "email_configs: []", "has no port"),
            ("{smtp_from: a@b}", "email_configs: [{to: x@y, smarthost: mail}]", "email_configs[0].smarthost: \"mail\" has no port"),
            (
                "{smtp_from: a@b}",
                "email_configs: [{to: x@y, smarthost: 'm:25', headers: {Subject: a, subject: b}}]",
                "\"subject\" is there twice",
            ),
            ("{slack_api_url: x}", "slack_configs: []", "global.slack_api_url: is no http or https address"),
            ("{}", "webhook_configs: [{url: 'http:///y'}]", "webhook_configs[0]: url: names no host"),
            ("{}", "slack_configs: [{api_url: 'http://x/', actions: [{type: button, text: x}]}]", "actions[0]: url or name is missing"),
            ("{}", "slack_configs: [{api_url: 'http://x/', fields: [{title: x, value: y}, {title: x}]}]", "fields[1]: value is missing"),
            (
                "{}",
                "slack_configs: [{api_url: 'http://x/', actions: [{type: b, text: x, url: y, confirm: {}}]}]",
                "confirm: text is missing",
            ),
        ] {
            let said = refused(global, receiver);
            assert!(said.contains(expected), "{global} {receiver}: {said:?}");
        }
    }
}
