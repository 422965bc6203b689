//! Text messages through any HTTP gateway, by template: which fields the gateway wants is configuration.

use super::connection::Authorization;
use super::recipients::Recipients;
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

/// Characters of a text: two segments of a concatenated message with room to spare, five where the alphabet of telephones does not hold it.
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
    /// Fields of the request; of JSON they may be lists and tables. In their texts, and in the address, `{to}` is the number, `{text}` the
    /// message and `{key}` what makes a repeat recognisable.
    pub fields: BTreeMap<String, Value>,
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
    /// In the query of the address, with GET.
    Query,
}

pub struct Sms {
    url: SecretSource,
    to: Vec<String>,
    format: Format,
    fields: BTreeMap<String, Value>,
    headers: HeaderMap,
    authorization: Authorization,
    http: Http,
    recipients: Recipients,
}

impl Sms {
    /// # Errors
    /// When the address, the numbers or a header are missing or malformed, or no field carries the text.
    pub fn new(settings: &SmsSettings, all: &Settings, http: Http) -> Result<Self, String> {
        let url = one_secret("url", &settings.url, &settings.url_file, &settings.url_env)?.ok_or("sms needs url, url_file or url_env")?;
        let mut in_address = false;
        if let SecretSource::Inline(text) = &url {
            address(text.expose(), "", "", "")?;
            in_address = text.expose().contains("{text}");
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
        let fields: BTreeMap<String, Value> = if settings.fields.is_empty() && !(in_address && settings.format == Format::Query) {
            [("to", "{to}"), ("text", "{text}")].map(|(k, v)| (k.to_owned(), Value::String(v.to_owned()))).into()
        } else {
            settings.fields.clone()
        };
        if settings.format != Format::Json
            && let Some((name, _)) = fields.iter().find(|(_, value)| value.is_array() || value.is_object())
        {
            return Err(format!("sms: fields.{name} is a list or a table, which only format = \"json\" can send"));
        }
        if !in_address && !fields.values().any(holds_text) {
            return Err("sms: no field holds {text}".to_owned());
        }
        let bearer = one_secret("bearer_token", &settings.bearer_token, &settings.bearer_token_file, &settings.bearer_token_env)?;
        let password = one_secret("password", &settings.password, &settings.password_file, &settings.password_env)?;
        let headers = settings.headers.iter().map(|(name, value)| http::header(name, value)).collect::<Result<_, _>>()?;
        let authorization = Authorization::new(bearer, settings.username.clone(), password)?;
        Ok(Sms {
            url,
            to: settings.to.clone(),
            format: settings.format,
            fields,
            headers,
            authorization,
            http,
            recipients: Recipients::default(),
        })
    }

    /// Every number gets its own request.
    async fn send(&self, message: &Message) -> Outcome {
        let text = text(message);
        for number in &self.to {
            if self.recipients.knows(message, number) {
                continue;
            }
            let told = self.tell(number, &text, &stable_key(&[&message.key, number])).await;
            if let Err(retry) = self.recipients.settle(message, number, told) {
                return Outcome::of(message, Err(retry));
            }
        }
        self.recipients.outcome(message)
    }

    async fn tell(&self, number: &str, text: &str, key: &str) -> Result<(), Failure> {
        let template = self.url.reveal().map_err(Failure::retry)?;
        let mut url = address(&template, number, text, key).map_err(Failure::retry)?;
        let mut headers = self.headers.clone();
        self.authorization.add(&mut headers)?;
        headers.insert("idempotency-key", HeaderValue::from_str(key).map_err(|e| Failure::Refused(e.to_string()))?);
        let fields = self.fields.iter().map(|(name, template)| (name.as_str(), filled(template, number, text, key)));
        let plain = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match self.format {
            Format::Json => {
                let object: Map<String, Value> = fields.map(|(name, value)| (name.to_owned(), value)).collect();
                self.http.post(&url, headers, "application/json", Value::Object(object).to_string().into_bytes()).await.map(|_| ())
            }
            Format::Form => {
                let mut form = reqwest::Url::parse("form:").map_err(|e| Failure::Refused(e.to_string()))?;
                form.query_pairs_mut().extend_pairs(fields.map(|(name, value)| (name, plain(value))));
                let body = form.query().unwrap_or("").to_owned().into_bytes();
                self.http.post(&url, headers, "application/x-www-form-urlencoded", body).await.map(|_| ())
            }
            Format::Query => {
                if !self.fields.is_empty() {
                    url.query_pairs_mut().extend_pairs(fields.map(|(name, value)| (name, plain(value))));
                }
                self.http.get(&url, headers).await.map(|_| ())
            }
        }
    }
}

fn holds_text(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("{text}"),
        Value::Array(items) => items.iter().any(holds_text),
        Value::Object(fields) => fields.values().any(holds_text),
        _ => false,
    }
}

fn filled(template: &Value, to: &str, text: &str, key: &str) -> Value {
    match template {
        Value::String(template) => Value::String(fill(template, to, text, key)),
        Value::Array(items) => items.iter().map(|item| filled(item, to, text, key)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), filled(field, to, text, key))).collect(),
        other => other.clone(),
    }
}

/// The address with everything that is filled in encoded, so that it can neither end a parameter nor begin one.
fn address(template: &str, to: &str, text: &str, key: &str) -> Result<reqwest::Url, String> {
    let encoded = |text: &str| -> String {
        let one = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        };
        text.bytes().map(one).collect()
    };
    http::url("url", &fill(template, &encoded(to), &encoded(text), &encoded(key)))
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
        Box::pin(async move { self.send(&message).await })
    }

    fn says(&self, message: &Message) -> Vec<String> {
        self.to.iter().map(|_| text(message)).collect()
    }

    fn probe(self: Arc<Self>) -> Probe {
        Box::pin(async move {
            let url = self.url.reveal().and_then(|u| address(&u, "", "", ""))?;
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
