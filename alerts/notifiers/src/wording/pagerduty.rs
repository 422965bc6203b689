//! The event of one alert for PagerDuty. Each alert has its own event here, so templates see a message of one alert.

use super::{Filling, clean, data, entries, is_worded, table, text};
use crate::message::{Message, MessageAlert};
use serde_json::{Map, Value};
use std::sync::Arc;
use watchfire_template::receiver::Templates;

/// Characters of a summary that PagerDuty takes.
const SUMMARY: usize = 1024;
/// Bytes of an event that it takes.
const EVENT: usize = 512_000;

/// The fields of a `pagerduty_configs` entry that are texts.
pub(crate) const FIELDS: [&str; 11] =
    ["description", "client", "client_url", "severity", "class", "component", "group", "source", "details", "links", "images"];

/// What every event carries unless the entry says otherwise.
const DETAILS: [(&str, &str); 4] = [
    ("firing", "{{ template \"pagerduty.default.instances\" .Alerts.Firing }}"),
    ("resolved", "{{ template \"pagerduty.default.instances\" .Alerts.Resolved }}"),
    ("num_firing", "{{ .Alerts.Firing | len }}"),
    ("num_resolved", "{{ .Alerts.Resolved | len }}"),
];

/// What a `pagerduty_configs` entry says about its events.
#[derive(Debug)]
pub struct PagerDutyWording {
    entry: Value,
    templates: Arc<Templates>,
}

impl PagerDutyWording {
    /// Nothing when neither the entry nor a template file says anything.
    pub(crate) fn of(entry: &Value, templates: &Arc<Templates>) -> Option<Arc<Self>> {
        is_worded(entry, &FIELDS, templates, "pagerduty", &["description", "client", "clientURL", "instances"])
            .then(|| Arc::new(PagerDutyWording { entry: entry.clone(), templates: templates.clone() }))
    }

    /// Puts the entry's words into an event.
    ///
    /// # Errors
    /// When a template fails, in words; the event is then as it was.
    pub fn reword(&self, event: &mut Value, message: &Message, alert: &MessageAlert) -> Result<(), String> {
        let seen = data(message, Some(alert), clean);
        let filling = Filling::new(&self.templates, &seen, message.at);
        let template = |field: &str, default: &str| {
            text(&self.entry, field).unwrap_or_else(|| format!("{{{{ template \"pagerduty.default.{default}\" . }}}}"))
        };
        let mut payload = Map::new();
        let summary = filling.text("description", &template("description", "description"));
        payload.insert("summary".to_owned(), Value::String(summary.chars().take(SUMMARY).collect()));
        for field in ["severity", "class", "component", "group", "source"] {
            if let Some(template) = text(&self.entry, field) {
                payload.insert(field.to_owned(), Value::String(filling.text(field, &template)));
            }
        }
        let mut details: Map<String, Value> = Map::new();
        let own = table(&self.entry, "details");
        let all = DETAILS.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).chain(own);
        for (name, template) in all {
            let value = filling.text(&format!("details.{name}"), &template);
            details.insert(name, Value::String(value));
        }
        // A page without its details is worth more than one that is refused.
        if Value::Object(details.clone()).to_string().len() > EVENT / 2 {
            let room = EVENT / 4 / details.len().max(1);
            for value in details.values_mut() {
                *value = Value::String(super::cut(value.as_str().unwrap_or_default().to_owned(), room / 4));
            }
        }
        payload.insert("custom_details".to_owned(), Value::Object(details));
        let lists = ["links", "images"].map(|list| {
            let filled: Vec<Value> = entries(&self.entry, list)
                .iter()
                .map(|entry| table_of(entry, |name, template| filling.text(&format!("{list}.{name}"), template)))
                .collect();
            (list, filled)
        });
        let client = filling.text("client", &template("client", "client"));
        let client_url = filling.text("client_url", &template("client_url", "clientURL"));
        filling.finish(())?;
        event["client"] = Value::String(client);
        event["client_url"] = Value::String(client_url);
        for (name, value) in payload {
            event["payload"][name] = value;
        }
        for (name, filled) in lists {
            if !filled.is_empty() {
                event[name] = Value::Array(filled);
            }
        }
        Ok(())
    }
}

fn table_of(entry: &Value, fill: impl Fn(&str, &str) -> String) -> Value {
    let fields = entry.as_object().into_iter().flatten();
    fields.filter_map(|(name, _)| Some((name.clone(), Value::String(fill(name, &text(entry, name)?))))).collect()
}
