//! Reading one value in two spellings, and the checks on the file itself.

use super::Paths;
use crate::diagnosis::ConfigError;
use crate::files::{BY_HAND, text};
use crate::secret::is_secret_path;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

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
    refuse_planted(path)?;
    text(file, BY_HAND).map_err(|e| unreadable(&e))
}

/// A file is only as safe as the directory and the link that lead to it. Links of one's own are how dotfiles and mounted settings are made.
#[cfg(unix)]
fn refuse_planted(path: &Path) -> Result<(), ConfigError> {
    use std::os::unix::fs::MetadataExt;
    const STICKY: u32 = 0o1000;
    let place = path.display();
    let looked = |p: &Path| std::fs::symlink_metadata(p).map_err(|e| ConfigError::unreadable(p, &e));
    let link = looked(path)?;
    if link.file_type().is_symlink() && Paths::user_id().is_some_and(|me| link.uid() != me && link.uid() != 0) {
        return Err(ConfigError::new(place.to_string(), format!("is a symbolic link of user {}", link.uid()))
            .with_help("name the file that is meant"));
    }
    let real = std::fs::canonicalize(path).map_err(|e| ConfigError::unreadable(path, &e))?;
    let named = std::path::absolute(path).map_err(|e| ConfigError::unreadable(path, &e))?;
    for directory in [named.parent(), real.parent()].into_iter().flatten() {
        let mode = std::fs::metadata(directory).map_err(|e| ConfigError::unreadable(directory, &e))?.mode() & 0o7777;
        if mode & 0o002 != 0 && mode & STICKY == 0 {
            let shown = directory.display();
            return Err(ConfigError::new(place.to_string(), format!("stands in {shown}, which every user can write to (mode {mode:04o})"))
                .with_help(format!("chmod o-w {shown}")));
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_planted(_: &Path) -> Result<(), ConfigError> {
    Ok(())
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
            // What is put in later, as `{text}`, is no secret.
            toml::Value::String(text) if text.is_empty() || (text.starts_with('{') && text.ends_with('}')) => None,
            toml::Value::String(_) if is_secret_path(&dotted) => Some(dotted),
            toml::Value::Table(inner) => first_secret(inner, &dotted),
            toml::Value::Array(items) => items.iter().filter_map(toml::Value::as_table).find_map(|inner| first_secret(inner, &dotted)),
            _ => None,
        }
    })
}
