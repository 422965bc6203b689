//! Paths that a configuration file names are looked for beside it, as Prometheus and Alertmanager do: the same file means the same from any
//! directory. Paths in flags and variables are looked for where the command is given.

use std::path::Path;

/// Settings that name files or directories, beside all that end in `_file`.
const PATHS: [&str; 10] = [
    "state_dir",
    "rules",
    "alertmanager_config",
    "file_sd",
    "prometheus",
    "tls_certificate",
    "tls_key",
    "tls_client_ca",
    "tls_client_crl",
    "keymap",
];
/// Settings that name a file, or something else.
const PERHAPS: [&str; 3] = ["scrape", "theme", "platform"];

/// The value of a key of the file in `directory`, with its paths as they are meant.
pub(super) fn beside(directory: &Path, key: &str, value: toml::Value) -> toml::Value {
    match value {
        toml::Value::String(text) => {
            let is_path = PATHS.contains(&key) || key.ends_with("_file") || (PERHAPS.contains(&key) && names_a_file(&text));
            let stays = text.is_empty() || text.starts_with('~') || Path::new(&text).is_absolute();
            match directory.join(&text).into_os_string().into_string() {
                Ok(joined) if is_path && !stays => toml::Value::String(joined),
                _ => toml::Value::String(text),
            }
        }
        toml::Value::Array(items) => toml::Value::Array(items.into_iter().map(|item| beside(directory, key, item)).collect()),
        toml::Value::Table(table) => {
            toml::Value::Table(table.into_iter().map(|(key, value)| (key.clone(), beside(directory, &key, value))).collect())
        }
        other => other,
    }
}

/// Rather than a URL, a name of a theme or of a platform.
fn names_a_file(text: &str) -> bool {
    let ending = Path::new(text).extension().is_some_and(|e| e == "yml" || e == "yaml" || e == "toml");
    !text.contains("://") && (ending || text.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_names_lies_beside_it() {
        let text = "rules = [\"r.yml\", \"/etc/r/*.yml\", \"~/r.yml\"]\nnotify = [\"ops\"]\nplatform = \"commerce\"\nstate_dir = \"state\"\n\
            scrape = [\"http://a/metrics.yml\", \"prom.yml\", \"host:9100\", { file_sd = [\"sd/*.json\"], bearer_token_file = \"t\", name = \"x.yml\" }]\n\
            [receivers.ops]\ntype = \"webhook\"\nurl_file = \"url\"\n[ui]\ntheme = \"dark\"\nkeymap = \"\"\n";
        let read = beside(Path::new("/c"), "", toml::Value::Table(text.parse().unwrap()));
        let expected = "rules = [\"/c/r.yml\", \"/etc/r/*.yml\", \"~/r.yml\"]\nnotify = [\"ops\"]\nplatform = \"commerce\"\nstate_dir = \"/c/state\"\n\
            scrape = [\"http://a/metrics.yml\", \"/c/prom.yml\", \"host:9100\", { file_sd = [\"/c/sd/*.json\"], bearer_token_file = \"/c/t\", name = \"x.yml\" }]\n\
            [receivers.ops]\ntype = \"webhook\"\nurl_file = \"/c/url\"\n[ui]\ntheme = \"dark\"\nkeymap = \"\"\n";
        assert_eq!(read, toml::Value::Table(expected.parse().unwrap()));
    }
}
