//! The configuration as text: a commented start file, the present values with their origin, and the JSON schemas.

use super::layers::{dotted, leaves};
use super::{Config, Loaded, OPEN_TABLES, SETTINGS, SettingKind};
use crate::secret::is_secret_path;
use std::fmt::Write;

impl Loaded {
    /// One line per value: `api = "127.0.0.1:9499"  # default`. Secrets show as `<secret>`.
    pub fn show_with_origin(&self) -> String {
        self.lines(true)
    }

    /// The effective configuration, one value per line. Secrets show as `<secret>`.
    pub fn show(&self) -> String {
        self.lines(false)
    }

    fn lines(&self, with_origin: bool) -> String {
        let mut out = String::new();
        for (path, value) in leaves(&self.merged) {
            let key = dotted(&path);
            let shown = inline(&masked(&key, value));
            let _ = match with_origin {
                true => writeln!(out, "{key} = {shown}  # {}", self.origin(&key)),
                false => writeln!(out, "{key} = {shown}"),
            };
        }
        watchfire_model::harmless(&out).replace('\u{240a}', "\n")
    }
}

fn masked(key: &str, value: toml::Value) -> toml::Value {
    match value {
        toml::Value::String(_) if is_secret_path(key) => toml::Value::String("<secret>".to_owned()),
        // Addresses of targets and probes may hold a password or a token.
        toml::Value::String(text) => toml::Value::String(watchfire_model::without_secrets(&text).into_owned()),
        toml::Value::Table(table) => {
            toml::Value::Table(table.into_iter().map(|(k, v)| (k.clone(), masked(&format!("{key}.{k}"), v))).collect())
        }
        toml::Value::Array(items) => toml::Value::Array(items.into_iter().map(|v| masked(key, v)).collect()),
        other => other,
    }
}

/// A value on one line, as TOML writes it inline.
fn inline(value: &toml::Value) -> String {
    match value {
        toml::Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        toml::Value::Table(table) => {
            let pairs: Vec<String> = table.iter().map(|(k, v)| format!("{} = {}", dotted(&[k]), inline(v))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}

const HEAD: &str = "\
# watchfire configuration. Every line is the default, commented out; change what you need.
# A value given as a flag wins over its environment variable, that over this file. `watchfire config show --origin` tells which one won.
";

const TAIL: &str = r#"
# Scrape jobs and probes with more detail than a URL:
#[[scrape]]
#name = "shop"
#urls = ["http://127.0.0.1:8000/metrics"]
#interval = "15s"
#labels = { team = "payments" }
#[[scrape]]
#prometheus = "/etc/prometheus/prometheus.yml"  # its scrape_configs, with relabelling and all

#[[probe]]
#url = "http://127.0.0.1:8000/health"
#service = "api-gateway"
#check = "health"
#owner = "Backend Team"

# What tells this instance from others, on alerts that it sends and series that are federated:
#[external_labels]
#cluster = "eu-1"

# Receivers beyond the desktop, and who hears what:
#[receivers.oncall]
#type = "pagerduty"
#routing_key_file = "/run/secrets/pagerduty"

#[[route]]
#severity = ["critical"]
#to = ["desktop", "oncall"]

# Corrections to single services:
#[services.user-service]
#url = "http://users.internal:8001"
#owner = "Backend Team"
#sampling = 0.1
"#;

/// The file that `config init` writes: every setting at its default, commented out, with its meaning, variable and flag.
pub fn init_text() -> String {
    let defaults = match toml::Value::try_from(Config::default()) {
        Ok(toml::Value::Table(table)) => leaves(&table),
        _ => unreachable!("a configuration is a table"),
    };
    let mut out = HEAD.to_owned();
    let mut section = "";
    for setting in SETTINGS {
        let (table, key) = setting.key.rsplit_once('.').unwrap_or(("", setting.key));
        if table != section {
            let _ = write!(out, "\n[{table}]\n");
            section = table;
        } else if table.is_empty() {
            out.push('\n');
        }
        let ways = match setting.flag {
            Some(flag) => format!("--{flag}, {}", setting.variable()),
            None => setting.variable(),
        };
        let default = defaults.iter().find(|(path, _)| dotted(path) == setting.key).map(|(_, v)| inline(v));
        let shown = match (default.as_deref(), setting.key) {
            (Some("\"\""), "state_dir") => "\"~/.local/state/watchfire\"".to_owned(),
            (Some(shown), _) => shown.to_owned(),
            (None, _) => "\"\"".to_owned(),
        };
        let _ = writeln!(out, "# {} ({ways})\n#{key} = {shown}", setting.doc);
    }
    out + TAIL
}

/// JSON schema (2020-12) of the configuration file.
pub fn config_schema() -> serde_json::Value {
    use serde_json::json;
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "watchfire configuration",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "services": {"type": "object", "additionalProperties": {
                "type": "object", "additionalProperties": false,
                "properties": {"url": {"type": "string"}, "owner": {"type": "string"},
                    "sampling": {"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "ignore": {"type": "boolean"}}}},
        },
    });
    for (key, list, doc) in OPEN_TABLES {
        root["properties"][key] = match list {
            true => json!({"type": "array", "items": {"type": "object"}, "description": doc}),
            false => json!({"type": "object", "description": doc}),
        };
    }
    for setting in SETTINGS {
        let mut node = &mut root;
        let parts: Vec<&str> = setting.key.split('.').collect();
        for part in &parts[..parts.len() - 1] {
            let properties = &mut node["properties"];
            if properties[*part].is_null() {
                properties[*part] = json!({"type": "object", "additionalProperties": false, "properties": {}});
            }
            node = &mut properties[*part];
        }
        let duration = "^(0|([0-9]+(y|w|d|h|m|s|ms))+)$";
        let mut schema = match setting.kind {
            SettingKind::Text | SettingKind::Path => json!({"type": "string"}),
            SettingKind::Bool => json!({"type": "boolean"}),
            SettingKind::Count => json!({"type": "integer", "minimum": 0}),
            SettingKind::Duration => json!({"type": "string", "pattern": duration}),
            SettingKind::Size => json!({"type": ["string", "integer"], "pattern": "^[0-9]+ ?([KkMmGgTt]?[Ii]?[Bb])?$"}),
            SettingKind::Address => json!({"type": "string"}),
            SettingKind::TextList => match setting.key {
                "scrape" | "probe" => json!({"type": "array", "items": {"type": ["string", "object"]}}),
                _ => json!({"type": "array", "items": {"type": "string"}}),
            },
        };
        schema["description"] = json!(setting.doc);
        node["properties"][parts[parts.len() - 1]] = schema;
    }
    root
}

/// JSON schema (2020-12) of `platform.toml`.
pub fn platform_schema() -> &'static str {
    include_str!("../../schema/platform.schema.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_file_is_valid_as_it_is_and_with_every_line_taken_in() {
        let text = init_text();
        toml::from_str::<Config>(&text).unwrap();
        let taken_in: String =
            text.lines().map(|l| l.strip_prefix('#').filter(|r| !r.starts_with(' ')).unwrap_or(l).to_owned() + "\n").collect();
        // `scrape`, `probe` and `route` stand there twice, once in each spelling; the short one goes.
        let taken_in: String =
            taken_in.lines().filter(|l| !l.starts_with("scrape = ") && !l.starts_with("probe = ")).map(|l| format!("{l}\n")).collect();
        if let Err(error) = toml::from_str::<Config>(&taken_in) {
            panic!("{error}\n{taken_in}");
        }
    }

    #[test]
    fn the_list_of_settings_and_the_configuration_agree() {
        let Ok(toml::Value::Table(table)) = toml::Value::try_from(Config::default()) else { panic!("not a table") };
        for key in leaves(&table).iter().map(|(path, _)| dotted(path)).filter(|key| !OPEN_TABLES.iter().any(|(open, ..)| key == open)) {
            assert!(SETTINGS.iter().any(|s| s.key == key), "{key} is no setting");
        }
        for setting in SETTINGS {
            let sample = match setting.kind {
                SettingKind::Bool => "true",
                SettingKind::Count => "7",
                SettingKind::Duration => "7s",
                SettingKind::Size => "64MiB",
                SettingKind::Address => "127.0.0.1:7",
                _ => "7",
            };
            let line = match setting.read(&[sample.to_owned()]) {
                Ok(value) => format!("{} = {}", setting.key, inline(&value)),
                Err(why) => panic!("{}: {why}", setting.key),
            };
            assert!(toml::from_str::<Config>(&line).is_ok(), "{line}");
        }
    }

    #[test]
    fn the_schema_names_every_setting() {
        let schema = config_schema();
        for setting in SETTINGS {
            let pointer: String = setting.key.split('.').map(|p| format!("/properties/{p}")).collect();
            assert!(schema.pointer(&pointer).is_some(), "{pointer}");
        }
    }
}
