//! Text that must never be shown: passwords, tokens, header values that grant access.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

const MASK: &str = "<secret>";

/// A secret from the configuration. Printing, debugging and serialising it all give `<secret>`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Arc<str>);

impl Secret {
    pub fn new(text: &str) -> Self {
        Secret(Arc::from(text))
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Secret::new(&text))
    }
}

/// Whether a setting, a field or a header of this name holds a secret. `token_file` holds the path of one, which is none.
pub fn is_secret_name(name: &str) -> bool {
    const ENDINGS: [&str; 14] = [
        "token",
        "password",
        "passwd",
        "secret",
        "routing_key",
        "api_key",
        "apikey",
        "webhook_url",
        "credentials",
        "authorization",
        "signature",
        "access_key",
        "auth_key",
        "private_key",
    ];
    let name = name.to_ascii_lowercase().replace('-', "_");
    ENDINGS.iter().any(|ending| name.strip_suffix(ending).is_some_and(|before| before.is_empty() || before.ends_with('_')))
}

/// Names under which addresses carry what opens them, beside those that are secret everywhere.
fn is_secret_parameter(name: &str) -> bool {
    is_secret_name(name) || ["key", "code", "sig", "auth", "pass", "pwd", "session"].contains(&name.to_ascii_lowercase().as_str())
}

/// An address as it may be shown, without password and without the secrets in its query: `http://user:<secret>@host/?token=<secret>`.
pub fn without_secrets(address: &str) -> Cow<'_, str> {
    let address = without_password(address);
    let Some((before, rest)) = address.split_once('?').filter(|(before, _)| before.contains("://")) else { return address };
    let (query, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
    let is_secret = |pair: &str| pair.split_once('=').is_some_and(|(name, value)| !value.is_empty() && is_secret_parameter(name));
    if !query.split('&').any(is_secret) {
        return address;
    }
    let shown = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if is_secret(pair) => format!("{name}={MASK}"),
        _ => pair.to_owned(),
    };
    let pairs: Vec<String> = query.split('&').map(shown).collect();
    Cow::Owned(format!("{before}?{}{fragment}", pairs.join("&")))
}

fn without_password(address: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = address.split_once("://") else { return Cow::Borrowed(address) };
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let Some((user, _)) = authority.rsplit_once('@').map(|(info, _)| info.split_once(':').unwrap_or((info, ""))) else {
        return Cow::Borrowed(address);
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let whole = authority[..authority.len() - host.len()].contains(':');
    if !whole {
        return Cow::Borrowed(address);
    }
    Cow::Owned(format!("{scheme}://{user}:{MASK}@{host}{}", &rest[authority.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "<secret> <secret>");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn names_that_hold_secrets_are_known() {
        for name in ["token", "smtp_password", "routing_key", "bot_token", "X-Api-Key", "Authorization", "access_token"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["token_file", "tokens_per_second", "name", "key", "monkey"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        for (address, shown) in [
            ("http://a:b@host:1/x?y@z", "http://a:<secret>@host:1/x?y@z"),
            ("http://a:b:c@d@host/", "http://a:<secret>@host/"),
            ("https://:t@host", "https://:<secret>@host"),
            ("http://user@host/", "http://user@host/"),
            ("http://host:80/a:b@c", "http://host:80/a:b@c"),
            ("plain a:b@c", "plain a:b@c"),
            ("http://host/?token=t&b=c#d", "http://host/?token=<secret>&b=c#d"),
            ("http://a:b@host?x=1&Api-Key=k", "http://a:<secret>@host?x=1&Api-Key=<secret>"),
            ("http://host/?key=k&monkey=m&token=", "http://host/?key=<secret>&monkey=m&token="),
            ("what?token=t", "what?token=t"),
        ] {
            assert_eq!(without_secrets(address), shown);
        }
    }
}
