//! The subject, the texts and the extra headers of a mail.

use super::{Filling, clean, data, is_worded, table, text};
use crate::message::Message;
use serde_json::Value;
use std::sync::Arc;
use watchfire_template::receiver::Templates;

/// The fields of an `email_configs` entry that are texts.
pub(crate) const FIELDS: [&str; 3] = ["headers", "html", "text"];
/// Headers that say who gets the mail and answers to it, who sent it, and how it is built: those are not for templates. To whom answers go may be
/// written out.
const RESERVED: [&str; 10] = ["to", "cc", "bcc", "from", "sender", "reply-to", "date", "message-id", "mime-version", "return-path"];

fn sends(header: &str, template: &str) -> bool {
    let lower = header.to_ascii_lowercase();
    let plain = lower.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let written_out = lower == "reply-to" && !template.contains("{{");
    plain && (written_out || !(RESERVED.contains(&lower.as_str()) || lower.starts_with("content-")))
}

/// What an `email_configs` entry says about its mails.
#[derive(Debug)]
pub struct EmailWording {
    entry: Value,
    templates: Arc<Templates>,
}

/// A mail in words.
#[derive(Debug)]
pub struct WordedMail {
    pub subject: String,
    /// Empty when the entry wants none.
    pub html: String,
    /// Empty when the entry has none.
    pub text: String,
    /// One line each, harmless.
    pub headers: Vec<(String, String)>,
}

impl EmailWording {
    /// Nothing when neither the entry nor a template file says anything.
    pub(crate) fn of(entry: &Value, templates: &Arc<Templates>) -> Option<Arc<Self>> {
        is_worded(entry, &FIELDS, templates, "email", &["subject", "html"])
            .then(|| Arc::new(EmailWording { entry: entry.clone(), templates: templates.clone() }))
    }

    /// A header of the entry that is not sent.
    pub(crate) fn unsent(entry: &Value) -> Option<String> {
        table(entry, "headers").into_iter().find(|(name, template)| !sends(name, template)).map(|(name, _)| name)
    }

    /// # Errors
    /// When a template fails, in words.
    pub fn mail(&self, message: &Message) -> Result<WordedMail, String> {
        let seen = data(message, None, clean);
        let filling = Filling::new(&self.templates, &seen, message.at);
        let headers = table(&self.entry, "headers");
        let own = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("subject")).map(|(_, template)| template.as_str());
        let one_line = |text: String| watchfire_model::harmless_limited(&text.replace(['\r', '\n'], " "), 900).into_owned();
        let subject = one_line(filling.text("headers.Subject", own.unwrap_or("{{ template \"email.default.subject\" . }}")));
        let html = text(&self.entry, "html").unwrap_or_else(|| "{{ template \"email.default.html\" . }}".to_owned());
        let html = if html.is_empty() { html } else { filling.html("html", &html) };
        let plain = filling.text("text", &text(&self.entry, "text").unwrap_or_default());
        let headers = headers
            .iter()
            .filter(|(name, template)| sends(name, template) && !name.eq_ignore_ascii_case("subject"))
            .map(|(name, template)| (name.clone(), one_line(filling.text(&format!("headers.{name}"), template))))
            .collect();
        filling.finish(WordedMail { subject, html, text: plain, headers })
    }
}
