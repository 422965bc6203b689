//! Which keys hold secrets.

/// Whether a key of this name holds a secret. `*_file` holds the path of one, which is none.
fn is_secret_key(key: &str) -> bool {
    const ENDINGS: [&str; 7] = ["token", "password", "secret", "routing_key", "api_key", "webhook_url", "credentials"];
    let key = key.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| key == *ending || key.ends_with(&format!("_{ending}")))
}

/// As [`is_secret_key`], for a whole dotted key: headers and request fields carry credentials under any name, and the address of a receiver is
/// often its password.
pub(crate) fn is_secret_path(dotted: &str) -> bool {
    let mut parts = dotted.rsplit('.');
    let last = parts.next().unwrap_or(dotted);
    let root = dotted.split(['.', '[']).next().unwrap_or(dotted);
    let within = |names: &[&str]| parts.clone().any(|part| names.contains(&part));
    is_secret_key(last)
        || within(&["headers", "http_headers", "fields"])
        || (["receivers", "person"].contains(&root) && ["url", "api_url"].contains(&last))
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

    #[test]
    fn addresses_of_receivers_and_all_headers_are_secret() {
        for path in ["receivers.slack.url", "receivers.hook.headers.X-Api-Key", "person.channels.channel.url", "receivers.sms.fields.key"] {
            assert!(is_secret_path(path), "{path}");
        }
        for path in ["probe.url", "receivers.slack.url_file", "receivers.mail.to", "alertmanager"] {
            assert!(!is_secret_path(path), "{path}");
        }
    }
}
