//! Secrets: values that never show themselves.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// A token or password. Debug, Display and Serialize all say `<secret>`.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value itself, for the one place that sends or compares it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("<secret>")
    }
}

/// Whether a key of this name holds a secret. `*_file` holds the path of one, which is none.
pub(crate) fn is_secret_key(key: &str) -> bool {
    const ENDINGS: [&str; 7] = ["token", "password", "secret", "routing_key", "api_key", "webhook_url", "credentials"];
    let key = key.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| key == *ending || key.ends_with(&format!("_{ending}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_itself() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {secret}"), "<secret> <secret>");
        assert_eq!(serde_json::to_string(&secret).ok().as_deref(), Some("\"<secret>\""));
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn keys_that_hold_secrets_are_known_by_name() {
        for key in ["token", "smtp_password", "routing_key", "bot_token"] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in ["token_file", "tokens_per_second", "name"] {
            assert!(!is_secret_key(key), "{key}");
        }
    }
}
