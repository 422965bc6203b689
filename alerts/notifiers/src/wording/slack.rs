//! The attachment of a Slack message.

use super::{Filling, clean, cut, data, entries, is_worded, text};
use crate::message::Message;
use serde_json::{Map, Value};
use std::sync::Arc;
use watchfire_template::receiver::Templates;

/// Characters of a title, and of all texts together, that Slack takes.
const TITLE: usize = 1024;
const TEXT: usize = 40_000;

/// The fields of a `slack_configs` entry that are texts.
pub(crate) const FIELDS: [&str; 17] = [
    "username",
    "color",
    "title",
    "title_link",
    "pretext",
    "text",
    "footer",
    "fallback",
    "callback_id",
    "icon_emoji",
    "icon_url",
    "image_url",
    "thumb_url",
    "fields",
    "short_fields",
    "actions",
    "mrkdwn_in",
];

/// What a `slack_configs` entry says about its messages.
#[derive(Debug)]
pub struct SlackWording {
    entry: Value,
    templates: Arc<Templates>,
}

impl SlackWording {
    /// Nothing when neither the entry nor a template file says anything.
    pub(crate) fn of(entry: &Value, templates: &Arc<Templates>) -> Option<Arc<Self>> {
        let names =
            ["title", "titlelink", "fallback", "username", "text", "pretext", "footer", "callbackid", "iconemoji", "iconurl", "color"];
        is_worded(entry, &FIELDS, templates, "slack", &names)
            .then(|| Arc::new(SlackWording { entry: entry.clone(), templates: templates.clone() }))
    }

    /// The request, without the channel. What Slack would read as markup in the words of alerts is escaped; addresses are left as they are.
    ///
    /// # Errors
    /// When a template fails, in words.
    pub fn request(&self, message: &Message) -> Result<Value, String> {
        let words = data(message, None, |text| escaped(&clean(text)));
        let plain = data(message, None, clean);
        let filling = Filling::new(&self.templates, &words, message.at);
        let template = |field: &str, default: &str| {
            text(&self.entry, field).unwrap_or_else(|| format!("{{{{ template \"slack.default.{default}\" . }}}}"))
        };
        let or_nothing = |field: &str| text(&self.entry, field).unwrap_or_default();
        let address = |field: &str, template: &str| filling.text_over(&plain, field, template);
        let mut attachment = Map::new();
        let mut put = |name: &str, value: String, always: bool| {
            if always || !value.is_empty() {
                attachment.insert(name.to_owned(), Value::String(value));
            }
        };
        put("title", cut(filling.text("title", &template("title", "title")), TITLE), false);
        put("title_link", address("title_link", &template("title_link", "titlelink")), false);
        put("pretext", cut(filling.text("pretext", &template("pretext", "pretext")), TEXT / 8), false);
        put("text", cut(filling.text("text", &template("text", "text")), TEXT * 5 / 8), true);
        put("fallback", cut(filling.text("fallback", &template("fallback", "fallback")), TEXT / 8), true);
        put("callback_id", filling.text("callback_id", &template("callback_id", "callbackid")), true);
        put("image_url", address("image_url", &or_nothing("image_url")), false);
        put("thumb_url", address("thumb_url", &or_nothing("thumb_url")), false);
        put("footer", filling.text("footer", &template("footer", "footer")), true);
        let color = text(&self.entry, "color").unwrap_or_else(|| "{{ if eq .Status \"firing\" }}danger{{ else }}good{{ end }}".to_owned());
        put("color", filling.text("color", &color), false);
        let markup: Vec<Value> = match entries(&self.entry, "mrkdwn_in") {
            [] => ["fallback", "pretext", "text"].map(Value::from).to_vec(),
            some => some.to_vec(),
        };
        attachment.insert("mrkdwn_in".to_owned(), Value::Array(markup));
        let short_fields = self.entry.get("short_fields").and_then(Value::as_bool).unwrap_or(false);
        let fields: Vec<Value> = entries(&self.entry, "fields")
            .iter()
            .map(|field| {
                let word = |name: &str| filling.text(&format!("fields.{name}"), &text(field, name).unwrap_or_default());
                let short = field.get("short").and_then(Value::as_bool).unwrap_or(short_fields);
                serde_json::json!({"title": word("title"), "value": word("value"), "short": short})
            })
            .collect();
        if !fields.is_empty() {
            attachment.insert("fields".to_owned(), Value::Array(fields));
        }
        let actions: Vec<Value> = entries(&self.entry, "actions").iter().map(|action| self.action(&filling, &plain, action)).collect();
        if !actions.is_empty() {
            attachment.insert("actions".to_owned(), Value::Array(actions));
        }
        let mut request = Map::new();
        for (name, value) in [
            ("username", filling.text("username", &template("username", "username"))),
            ("icon_emoji", filling.text("icon_emoji", &template("icon_emoji", "iconemoji"))),
            ("icon_url", address("icon_url", &template("icon_url", "iconurl"))),
        ] {
            if !value.is_empty() {
                request.insert(name.to_owned(), Value::String(value));
            }
        }
        request.insert("attachments".to_owned(), Value::Array(vec![Value::Object(attachment)]));
        filling.finish(Value::Object(request))
    }

    fn action(&self, filling: &Filling<'_>, plain: &watchfire_template::receiver::MessageData, action: &Value) -> Value {
        let mut out = Map::new();
        for name in ["type", "text", "url", "style", "name", "value"] {
            let template = text(action, name).unwrap_or_default();
            let field = format!("actions.{name}");
            let value = if name == "url" { filling.text_over(plain, &field, &template) } else { filling.text(&field, &template) };
            if !value.is_empty() || matches!(name, "type" | "text") {
                out.insert(name.to_owned(), Value::String(value));
            }
        }
        if let Some(confirm) = action.get("confirm").filter(|c| c.is_object()) {
            let word = |name: &str| filling.text(&format!("actions.confirm.{name}"), &text(confirm, name).unwrap_or_default());
            let words = ["title", "text", "ok_text", "dismiss_text"].map(|name| (name.to_owned(), Value::String(word(name))));
            out.insert("confirm".to_owned(), words.into_iter().filter(|(n, v)| n == "text" || v != "").collect());
        }
        Value::Object(out)
    }
}

/// The three characters that Slack reads control sequences from.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
