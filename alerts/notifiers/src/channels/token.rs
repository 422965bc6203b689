//! Tokens that are asked for with an identifier and a secret of ours: the client credentials grant of OAuth 2.0 (RFC 6749, 4.4), the one an
//! `http_config` speaks of.

use super::connection::{basic, sensitive};
use super::{Failure, http};
use crate::secret::SecretSource;
use crate::settings::one_secret;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;
use watchfire_model::{Secret, harmless_limited};

/// A token is asked for anew so long before it ends.
const EARLY: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default)]
pub struct OAuth2Settings {
    pub client_id: String,
    pub client_secret: Option<Secret>,
    pub client_secret_file: Option<PathBuf>,
    pub token_url: String,
    pub scopes: Vec<String>,
    pub endpoint_params: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(super) struct Tokens {
    url: Url,
    client_id: String,
    secret: SecretSource,
    fields: Vec<(String, String)>,
    /// The newest, and when it ends where that is known.
    held: tokio::sync::Mutex<Option<(Secret, Option<Instant>)>>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
}

impl Tokens {
    pub fn new(settings: &OAuth2Settings) -> Result<Self, String> {
        let secret = one_secret("client_secret", &settings.client_secret, &settings.client_secret_file, &None)?;
        let mut fields = vec![("grant_type".to_owned(), "client_credentials".to_owned())];
        if !settings.scopes.is_empty() {
            fields.push(("scope".to_owned(), settings.scopes.join(" ")));
        }
        fields.extend(settings.endpoint_params.clone());
        Ok(Tokens {
            url: http::url("token_url", &settings.token_url)?,
            client_id: settings.client_id.clone(),
            secret: secret.unwrap_or(SecretSource::Inline(Secret::new(""))),
            fields,
            held: tokio::sync::Mutex::new(None),
        })
    }

    /// The value of `Authorization`; asked for where none is held that still holds.
    pub async fn add(&self, client: &reqwest::Client, headers: &mut HeaderMap) -> Result<(), Failure> {
        let mut held = self.held.lock().await;
        let valid = held.as_ref().filter(|(_, until)| until.is_none_or(|until| Instant::now() < until));
        let token = match valid {
            Some((token, _)) => token.clone(),
            None => {
                let (token, until) = self.asked(client).await?;
                *held = Some((token.clone(), until));
                token
            }
        };
        headers.insert(AUTHORIZATION, sensitive(&format!("Bearer {}", token.expose()))?);
        Ok(())
    }

    /// Who was refused asks for another token next time.
    pub async fn forget(&self) {
        *self.held.lock().await = None;
    }

    async fn asked(&self, client: &reqwest::Client) -> Result<(Secret, Option<Instant>), Failure> {
        let secret = self.secret.reveal().map_err(Failure::retry)?;
        // Servers differ in where they look for who asks: in the header first, as the standard wants it, and then in the form.
        let mut refused = String::new();
        for in_form in [false, true] {
            let mut form = Url::parse("form:").map_err(|e| Failure::Refused(e.to_string()))?;
            form.query_pairs_mut().extend_pairs(&self.fields);
            let mut request = client.post(self.url.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            if in_form {
                form.query_pairs_mut().append_pair("client_id", &self.client_id).append_pair("client_secret", &secret);
            } else {
                request = request.header(AUTHORIZATION, sensitive(&basic(&encoded(&self.client_id), &encoded(&secret)))?);
            }
            let body = form.query().unwrap_or_default().to_owned();
            let told = http::answer(&self.url, request.body(body)).await?;
            let (status, text) = (told.status, told.text());
            match serde_json::from_str::<Answer>(&text) {
                Ok(answer) if status.is_success() => {
                    let seconds = answer.expires_in.and_then(|v| v.as_u64().or_else(|| v.as_str()?.parse().ok()));
                    // Beyond what can be counted it does not end.
                    let until = seconds.and_then(|s| Instant::now().checked_add(Duration::from_secs(s).saturating_sub(EARLY)));
                    return Ok((Secret::new(&answer.access_token), until));
                }
                _ if status.is_server_error() => {
                    return Err(Failure::retry(format!("token_url: {} answered {status}", http::place(&self.url))));
                }
                _ => refused = format!("token_url: {} answered {status}: {}", http::place(&self.url), harmless_limited(text.trim(), 100)),
            }
        }
        // Secrets are changed, and servers are repaired: a page is not to be lost over it.
        Err(Failure::retry(refused))
    }
}

/// As a form has it, which is how RFC 6749 wants name and secret in the header.
fn encoded(text: &str) -> String {
    let Ok(mut form) = Url::parse("form:") else { return text.to_owned() };
    form.query_pairs_mut().append_key_only(text);
    form.query().unwrap_or_default().to_owned()
}
