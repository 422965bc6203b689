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

/// An address with its password masked, as it may be shown: `http://user:<secret>@host/`.
pub fn without_password(address: &str) -> Cow<'_, str> {
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
    fn an_address_is_shown_without_its_password() {
        for (address, shown) in [
            ("http://a:b@host:1/x?y@z", "http://a:<secret>@host:1/x?y@z"),
            ("http://a:b:c@d@host/", "http://a:<secret>@host/"),
            ("https://:t@host", "https://:<secret>@host"),
            ("http://user@host/", "http://user@host/"),
            ("http://host:80/a:b@c", "http://host:80/a:b@c"),
            ("plain a:b@c", "plain a:b@c"),
        ] {
            assert_eq!(without_password(address), shown);
        }
    }
}
