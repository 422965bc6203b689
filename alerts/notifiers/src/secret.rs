//! Where a credential is kept.

use std::path::PathBuf;
use watchfire_config::files::{BY_HAND, read_text};
use watchfire_model::Secret;

/// A credential, or where to find it. Only [`SecretSource::reveal`] gives the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    Inline(Secret),
    /// Read at every use, so a rotated file is picked up; surrounding white space is cut.
    File(PathBuf),
    Environment(String),
}

impl SecretSource {
    /// The value.
    ///
    /// # Errors
    /// When the file cannot be read or the variable is not set; the text names the place, never a value.
    pub fn reveal(&self) -> Result<String, String> {
        match self {
            SecretSource::Inline(value) => Ok(value.expose().to_owned()),
            SecretSource::File(path) => read_text(path, BY_HAND)
                .map(|text| text.trim().to_owned())
                .map_err(|e| format!("cannot read the secret file {}: {e}", path.display())),
            SecretSource::Environment(name) => std::env::var(name).map_err(|_| format!("the environment variable {name} is not set")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inline_secret_prints_as_a_placeholder() {
        let secret = SecretSource::Inline(Secret::new("canary-3141"));
        assert_eq!(format!("{secret:?}"), "Inline(<secret>)");
        assert_eq!(secret.reveal().as_deref(), Ok("canary-3141"));
    }

    #[test]
    fn a_file_is_read_at_every_use_and_a_missing_one_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let secret = SecretSource::File(path.clone());
        assert!(secret.reveal().unwrap_err().contains("token"));
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(secret.reveal().as_deref(), Ok("one"));
        std::fs::write(&path, "two\n").unwrap();
        assert_eq!(secret.reveal().as_deref(), Ok("two"));
    }
}
