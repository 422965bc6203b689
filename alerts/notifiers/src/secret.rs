//! Values that must never be shown.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::path::PathBuf;

/// A credential, or where to find it. Printing and serialising give `<secret>`; only [`Secret::reveal`] gives the value.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    Inline(String),
    /// Read at every use, so a rotated file is picked up; surrounding white space is cut.
    File(PathBuf),
    Environment(String),
}

impl Secret {
    /// The value.
    ///
    /// # Errors
    /// When the file cannot be read or the variable is not set; the text names the place, never a value.
    pub fn reveal(&self) -> Result<String, String> {
        match self {
            Secret::Inline(value) => Ok(value.clone()),
            Secret::File(path) => std::fs::read_to_string(path)
                .map(|text| text.trim().to_owned())
                .map_err(|e| format!("cannot read the secret file {}: {e}", path.display())),
            Secret::Environment(name) => std::env::var(name).map_err(|_| format!("the environment variable {name} is not set")),
        }
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

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Secret::Inline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_and_serialises_as_a_placeholder() {
        let secret = Secret::Inline("canary-3141".to_owned());
        let shown = format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert_eq!(shown, "<secret> <secret> \"<secret>\"");
        assert_eq!(secret.reveal().as_deref(), Ok("canary-3141"));
    }

    #[test]
    fn a_file_is_read_at_every_use_and_a_missing_one_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let secret = Secret::File(path.clone());
        assert!(secret.reveal().unwrap_err().contains("token"));
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(secret.reveal().as_deref(), Ok("one"));
        std::fs::write(&path, "two\n").unwrap();
        assert_eq!(secret.reveal().as_deref(), Ok("two"));
    }
}
