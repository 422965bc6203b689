//! Reading one value in two spellings, and the checks on the file itself.

use super::Paths;
use crate::diagnosis::ConfigError;
use crate::secret::is_secret_path;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};
use std::fmt;
use std::io::Read;
use std::marker::PhantomData;
use std::path::Path;

/// A configuration is written by hand; anything larger is a mistake or an attack.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// A string, or a table with its own checks: errors inside the table keep their place, which an untagged enum would lose.
pub(super) fn text_or_table<'de, D, T, V>(
    deserializer: D,
    expecting: &'static str,
    of_text: fn(String) -> V,
    of_table: fn(T) -> V,
) -> Result<V, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct TextOrTable<T, V> {
        expecting: &'static str,
        of_text: fn(String) -> V,
        of_table: fn(T) -> V,
        table: PhantomData<T>,
    }
    impl<'de, T: Deserialize<'de>, V> Visitor<'de> for TextOrTable<T, V> {
        type Value = V;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.expecting)
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<V, E> {
            Ok((self.of_text)(text.to_owned()))
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map)).map(self.of_table)
        }
    }
    deserializer.deserialize_any(TextOrTable { expecting, of_text, of_table, table: PhantomData })
}

/// Reads the configuration file; refuses one that other users can write.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |error: &std::io::Error| ConfigError::unreadable(path, error);
    let file = std::fs::File::open(path).map_err(|e| unreadable(&e))?;
    let metadata = file.metadata().map_err(|e| unreadable(&e))?;
    if !metadata.is_file() {
        return Err(ConfigError::new(path.display().to_string(), "is not a file"));
    }
    refuse_foreign(path, &metadata)?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(|e| unreadable(&e))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(ConfigError::new(path.display().to_string(), format!("is larger than {} MiB", MAX_FILE_BYTES >> 20)));
    }
    Ok(text)
}

#[cfg(unix)]
fn refuse_foreign(path: &Path, metadata: &std::fs::Metadata) -> Result<(), ConfigError> {
    use std::os::unix::fs::MetadataExt;
    let mode = metadata.mode() & 0o7777;
    let place = path.display().to_string();
    if mode & 0o002 != 0 {
        return Err(ConfigError::new(place, format!("can be written by every user (mode {mode:04o})"))
            .with_help(format!("chmod o-w {}", path.display())));
    }
    match Paths::user_id() {
        Some(me) if metadata.uid() != me && metadata.uid() != 0 => {
            Err(ConfigError::new(place, format!("belongs to user {} and not to you (mode {mode:04o})", metadata.uid()))
                .with_help("use a file of your own, or one of root"))
        }
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn refuse_foreign(_: &Path, _: &std::fs::Metadata) -> Result<(), ConfigError> {
    Ok(())
}

/// The state directory must be a directory of ours that nobody else can plant files in. An absent one is made later.
///
/// # Errors
/// With path and mode.
pub fn check_state_dir(path: &Path) -> Result<(), ConfigError> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    let place = path.display().to_string();
    if metadata.file_type().is_symlink() {
        return Err(ConfigError::new(place, "is a symbolic link").with_help("give the directory itself with --state-dir"));
    }
    if !metadata.is_dir() {
        return Err(ConfigError::new(place, "is not a directory").with_help("give another one with --state-dir"));
    }
    refuse_foreign(path, &metadata)
}

/// Secrets in a file that others can read.
#[cfg(unix)]
pub(super) fn exposed_secrets(path: &Path, table: &toml::Table) -> Option<ConfigError> {
    use std::os::unix::fs::MetadataExt;
    let mode = std::fs::metadata(path).ok()?.mode() & 0o7777;
    let key = first_secret(table, "")?;
    (mode & 0o044 != 0).then(|| {
        ConfigError::new(path.display().to_string(), format!("holds a secret (`{key}`) and can be read by other users (mode {mode:04o})"))
            .with_help(format!(
                "chmod 600 {0}; or put the secret in a file of its own and write `{key}_file`; or set it by environment variable",
                path.display()
            ))
    })
}

#[cfg(not(unix))]
pub(super) fn exposed_secrets(_: &Path, _: &toml::Table) -> Option<ConfigError> {
    None
}

fn first_secret(table: &toml::Table, prefix: &str) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let dotted = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::String(text) if is_secret_path(&dotted) && !text.is_empty() => Some(dotted),
            toml::Value::Table(inner) => first_secret(inner, &dotted),
            toml::Value::Array(items) => items.iter().filter_map(toml::Value::as_table).find_map(|inner| first_secret(inner, &dotted)),
            _ => None,
        }
    })
}
