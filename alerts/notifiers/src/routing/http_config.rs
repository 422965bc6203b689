//! The `http_config` and `tls_config` of an `alertmanager.yml`: how the connections of a channel are made.

use super::declared::{HttpConfig, OAuth2, Text, TlsConfig};
use crate::channels::OAuth2Settings;
use crate::channels::connection::{Connection, Pem, ProxySettings, TlsSettings};
use rustls::SupportedProtocolVersion;
use serde_json::Value;
use std::path::{Path, PathBuf};
use watchfire_config::files::{BY_HAND, read_text};
use watchfire_model::Secret;

/// A secret and its `_file` form: what the entry says hides what `global` says.
pub fn secret(own: (&Text, &Text), global: (&Text, &Text)) -> (Option<Secret>, Option<PathBuf>) {
    let (inline, file) = if own.0.is_some() || own.1.is_some() { own } else { global };
    let file = if inline.is_some() { None } else { file.as_ref().map(PathBuf::from) };
    (inline.as_deref().map(Secret::new), file)
}

/// Without an `http_config` a channel uses no proxy, whatever the environment names: as in Alertmanager. Files lie in `directory`.
///
/// # Errors
/// What cannot be used.
pub fn connection(http: Option<&HttpConfig>, directory: &Path) -> Result<Connection, String> {
    let mut made = Connection { proxy: ProxySettings::None, ..Connection::default() };
    let Some(http) = http else { return Ok(made) };
    for (name, header) in http.http_headers.iter().flatten() {
        let mut values = [&header.values[..], &header.secrets[..]].concat();
        for file in &header.files {
            values.push(read(directory, file).map_err(|e| format!("http_headers: {name}: {e}"))?);
        }
        // Several values of a header are as good as one list.
        made.headers.insert(name.clone(), values.join(", "));
    }
    who(http, directory, &mut made)?;
    made.proxy = proxy(http)?;
    made.tls = http.tls_config.as_ref().map(|tls| tls_settings(tls, directory)).transpose()?.unwrap_or_default();
    Ok(made)
}

fn read(directory: &Path, file: &str) -> Result<String, String> {
    read_text(&directory.join(file), BY_HAND).map(|text| text.trim().to_owned()).map_err(|e| format!("cannot read {file}: {e}"))
}

fn said(text: &Text) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

/// As whom it asks.
fn who(http: &HttpConfig, directory: &Path, made: &mut Connection) -> Result<(), String> {
    if let Some(basic) = &http.basic_auth {
        made.username = match said(&basic.username_file) {
            Some(file) => Some(read(directory, file).map_err(|e| format!("basic_auth.username_file: {e}"))?),
            None => basic.username.clone(),
        };
        (made.password, made.password_file) = secret((&basic.password, &basic.password_file), (&None, &None));
    }
    if let Some(oauth2) = &http.oauth2 {
        made.oauth2 = Some(tokens(oauth2, directory)?);
    }
    (made.bearer_token, made.bearer_token_file) = secret((&http.bearer_token, &http.bearer_token_file), (&None, &None));
    if let Some(authorization) = &http.authorization {
        match (authorization.r#type.as_deref().map(str::trim), said(&authorization.credentials_file)) {
            (Some(word), file) if !word.is_empty() && !word.eq_ignore_ascii_case("bearer") => {
                let credentials = match file {
                    Some(file) => read(directory, file).map_err(|e| format!("authorization.credentials_file: {e}"))?,
                    None => authorization.credentials.clone().unwrap_or_default(),
                };
                made.headers.insert("Authorization".to_owned(), format!("{word} {credentials}"));
            }
            _ => {
                let own = (&authorization.credentials, &authorization.credentials_file);
                (made.bearer_token, made.bearer_token_file) = secret(own, (&None, &None));
            }
        }
    }
    for file in [&mut made.password_file, &mut made.bearer_token_file].into_iter().flatten() {
        *file = directory.join(&*file);
    }
    Ok(())
}

fn tokens(oauth2: &OAuth2, directory: &Path) -> Result<OAuth2Settings, String> {
    let (client_secret, file) = secret((&oauth2.client_secret, &oauth2.client_secret_file), (&None, &None));
    let missing = |what: &str| format!("oauth2: {what} is missing");
    let client_id = said(&oauth2.client_id).ok_or_else(|| missing("client_id"))?.to_owned();
    let token_url = said(&oauth2.token_url).ok_or_else(|| missing("token_url"))?.to_owned();
    Ok(OAuth2Settings {
        client_id,
        client_secret,
        client_secret_file: file.map(|file| directory.join(file)),
        token_url,
        scopes: oauth2.scopes.clone(),
        endpoint_params: oauth2.endpoint_params.clone().into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect(),
    })
}

fn proxy(http: &HttpConfig) -> Result<ProxySettings, String> {
    let from_environment = http.proxy_from_environment.unwrap_or_default();
    let (url, except) = (said(&http.proxy_url), said(&http.no_proxy));
    match (url, from_environment) {
        (Some(_), true) => Err("proxy_from_environment and proxy_url cannot be said together".to_owned()),
        (None, true) if except.is_some() => Err("proxy_from_environment and no_proxy cannot be said together".to_owned()),
        (None, true) => Ok(ProxySettings::Environment),
        (None, false) if except.is_some() => Err("no_proxy needs a proxy_url".to_owned()),
        (None, false) => Ok(ProxySettings::None),
        (Some(url), false) if url.to_ascii_lowercase().starts_with("socks") => {
            Err("proxy_url: SOCKS is not spoken; name a proxy that speaks HTTP".to_owned())
        }
        (Some(url), false) => Ok(ProxySettings::Url {
            url: Secret::new(url),
            except: except.unwrap_or_default().to_owned(),
            headers: http.proxy_connect_header.clone().unwrap_or_default(),
        }),
    }
}

/// # Errors
/// When a certificate lacks its key, or a version is none of TLS.
pub fn tls_settings(tls: &TlsConfig, directory: &Path) -> Result<TlsSettings, String> {
    let pem = |text: &Text, file: &Text| {
        let file = said(file).map(|file| Pem::File(directory.join(file)));
        said(text).map(|text| Pem::Text(Secret::new(text))).or(file)
    };
    let certificate = match (pem(&tls.cert, &tls.cert_file), pem(&tls.key, &tls.key_file)) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err("tls_config: a certificate and its key belong together; give both".to_owned()),
    };
    Ok(TlsSettings {
        authorities: pem(&tls.ca, &tls.ca_file),
        certificate,
        server_name: said(&tls.server_name).map(str::to_owned),
        is_insecure: tls.insecure_skip_verify.unwrap_or_default(),
        versions: versions(said(&tls.min_version), said(&tls.max_version))?,
    })
}

/// Those between the two that are spoken; older ones than 1.2 are not, whatever is asked for.
fn versions(oldest: Option<&str>, newest: Option<&str>) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    const KNOWN: [&str; 4] = ["TLS10", "TLS11", "TLS12", "TLS13"];
    let place = |text: Option<&str>, usual: usize| match text {
        Some(text) => KNOWN.iter().position(|known| *known == text).ok_or_else(|| format!("tls_config: unknown TLS version {text:?}")),
        None => Ok(usual),
    };
    let (oldest, newest) = (place(oldest, 0)?, place(newest, 3)?);
    let spoken: [(usize, &SupportedProtocolVersion); 2] = [(2, &rustls::version::TLS12), (3, &rustls::version::TLS13)];
    let between: Vec<_> = spoken.into_iter().filter(|(n, _)| (oldest..=newest).contains(n)).map(|(_, version)| version).collect();
    if between.is_empty() { Err("tls_config: none of TLS 1.2 and 1.3 is left".to_owned()) } else { Ok(between) }
}

/// What of an `http_config` has no effect. Redirects are followed by nobody here: a page must not go where nobody sent it.
pub fn unread(http: Option<&Value>) -> Option<String> {
    let http = http.and_then(Value::as_object)?;
    let is_on = |key: &str| http.get(key).and_then(Value::as_bool) == Some(true);
    let mut unread: Vec<String> = ["follow_redirects", "enable_http2"].into_iter().filter(|key| is_on(key)).map(str::to_owned).collect();
    for section in ["basic_auth", "authorization", "oauth2", "tls_config"] {
        let keys = http.get(section).and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key.as_str());
        // Secrets that a manager of secrets holds, and what is said of connections to whom tokens are asked of.
        let own = |key: &&str| key.ends_with("_ref") || (section == "oauth2" && (key.contains("proxy") || *key == "tls_config"));
        unread.extend(keys.filter(own).map(|key| format!("{section}.{key}")));
    }
    (!unread.is_empty()).then(|| format!(": {} is not used", unread.join(", ")))
}
