//! Which keys hold secrets.

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
    fn keys_that_hold_secrets_are_known_by_name() {
        for key in ["token", "smtp_password", "routing_key", "bot_token"] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in ["token_file", "tokens_per_second", "name"] {
            assert!(!is_secret_key(key), "{key}");
        }
    }
}
