//! Which keys hold secrets.

use watchfire_model::is_secret_name;

/// Whether what stands at a whole dotted key is a secret: by its name; headers and request fields carry credentials under any name, and the address of a receiver is
/// often its password.
pub(crate) fn is_secret_path(dotted: &str) -> bool {
    let mut parts = dotted.rsplit('.');
    let last = parts.next().unwrap_or(dotted);
    let root = dotted.split(['.', '[']).next().unwrap_or(dotted);
    let within = |names: &[&str]| parts.clone().any(|part| names.contains(&part));
    is_secret_name(last)
        || within(&["headers", "http_headers", "fields"])
        || (["receivers", "person"].contains(&root) && ["url", "api_url"].contains(&last))
}

#[cfg(test)]
mod tests {
    use super::*;

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
