//! Text messages through any HTTP gateway, by template: which fields the gateway wants is configuration.

use super::webhook::Authorization;
use super::{Channel, Delivery, Failure, Http, Outcome, Probe, fixed_destination, http};
use crate::message::{Message, runbook, stable_key};
use crate::secret::SecretSource;
use crate::settings::{Settings, one_secret};
use reqwest::header::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use watchfire_model::Secret;

/// Characters of a text: two segments of a concatenated message with room to spare.
const TEXT: usize = 300;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmsSettings {
    pub url: Option<Secret>,
    pub url_file: Option<PathBuf>,
    pub url_env: Option<String>,
    /// Numbers; each gets its own request.
    pub to: Vec<String>,
    pub format: Format,
    /// Fields of the request. In their values `{to}` is the number, `{text}` the message and `{key}` what makes a repeat recognisable.
    pub fields: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    pub bearer_token: Option<Secret>,
    pub bearer_token_file: Option<PathBuf>,
    pub bearer_token_env: Option<String>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    pub password_env: Option<String>,
}

/// How the fields travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Json,
    Form,
}

pub struct Sms {
    url: SecretSource,
    to: Vec<String>,
    format: Format,
    fields: BTreeMap<String, String>,
    headers: HeaderMap,
    authorization: Authorization,
    http: Http,
}

impl Sms {
    /// # Errors
    /// When the address, the numbers or a header are missing or malformed, or no field carries the text.
    pub fn new(settings: &SmsSettings, all: &Settings, http: Http) -> Result<Self, String> {
        let url = one_secret("url", &settings.url, &settings.url_file, &settings.url_env)?.ok_or("sms needs url, url_file or url_env")?;
        if let SecretSource::Inline(text) = &url {
            http::url("url", text.expose())?;
        }
        if settings.to.is_empty() {
            return Err("sms needs at least one number in `to`".to_owned());
        }
        for number in &settings.to {
            fixed_destination("sms number", number, all)?;
            if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | ' ' | '-')) {
                return Err(format!("sms number {number:?} is not a telephone number"));
            }
        }
        let fields = if settings.fields.is_empty() {
            [("to", "{to}"), ("text", "{text}")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
        } else {
            settings.fields.clone()
        };
        if !fields.values().any(|v| v.contains("{text}")) {
            return Err("sms: no field holds {text}".to_owned());
        }
        let bearer = one_secret("bearer_token", &settings.bearer_token, &settings.bearer_token_file, &settings.bearer_token_env)?;
        let password = one_secret("password", &settings.password, &settings.password_file, &settings.password_env)?;
        let headers = settings.headers.iter().map(|(name, value)| http::header(name, value)).collect::<Result<_, _>>()?;
        let authorization = Authorization::new(bearer, settings.username.clone(), password)?;
        Ok(Sms { url, to: settings.to.clone(), format: settings.format, fields, headers, authorization, http })
    }

    async fn send(&self, message: &Message) -> Result<(), Failure> {
        let url = self.url.reveal().and_then(|u| http::url("url", &u)).map_err(Failure::retry)?;
        let text = text(message);
        for number in &self.to {
            let key = stable_key(&[&message.key, number]);
            let mut headers = self.headers.clone();
            self.authorization.add(&mut headers)?;
            headers.insert("idempotency-key", HeaderValue::from_str(&key).map_err(|e| Failure::Refused(e.to_string()))?);
            let fields = self.fields.iter().map(|(name, template)| (name.as_str(), fill(template, number, &text, &key)));
            let (content_type, body) = match self.format {
                Format::Json => {
                    let object: Map<String, Value> = fields.map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
                    ("application/json", Value::Object(object).to_string())
                }
                Format::Form => {
                    let mut form = reqwest::Url::parse("form:").map_err(|e| Failure::Refused(e.to_string()))?;
                    form.query_pairs_mut().extend_pairs(fields);
                    ("application/x-www-form-urlencoded", form.query().unwrap_or("").to_owned())
                }
            };
            self.http.post(&url, headers, content_type, body.into_bytes()).await?;
        }
        Ok(())
    }
}

/// One pass, so that a placeholder inside the text stays text.
fn fill(template: &str, to: &str, text: &str, key: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let known = [("{to}", to), ("{text}", text), ("{key}", key)].into_iter().find(|(name, _)| rest.starts_with(name));
        let (used, value) = known.unwrap_or(("{", "{"));
        out.push_str(value);
        rest = &rest[used.len()..];
    }
    out.push_str(rest);
    out
}

fn text(message: &Message) -> String {
    let mut text = message.title();
    if let [only] = message.texts().as_slice()
        && !only.summary.is_empty()
    {
        text.push_str(&format!(" - {}", only.summary));
    }
    let mut text: String = text.chars().take(TEXT).collect();
    // A link that is cut leads nowhere.
    if let [only] = message.alerts.as_slice()
        && let Some(runbook) = runbook(&only.notice)
        && text.chars().count() + 1 + runbook.chars().count() <= TEXT
    {
        text.push_str(&format!(" {runbook}"));
    }
    text
}

impl Channel for Sms {
    fn deliver(self: Arc<Self>, message: Arc<Message>) -> Delivery {
        Box::pin(async move { Outcome::of(&message, self.send(&message).await) })
    }

    fn says(&self, message: &Message) -> Vec<String> {
        self.to.iter().map(|_| text(message)).collect()
    }

    fn probe(self: Arc<Self>) -> Probe {
        Box::pin(async move {
            let url = self.url.reveal().and_then(|u| http::url("url", &u))?;
            self.authorization.add(&mut HeaderMap::new()).map_err(|f| f.reason().to_owned())?;
            Ok(format!("posts to {} for {} numbers", url.host_str().unwrap_or("?"), self.to.len()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_inside_the_text_stay_text() {
        assert_eq!(fill("{to}: {text} {x} {", "+49", "{to}{key}", "k"), "+49: {to}{key} {x} {");
    }
}
