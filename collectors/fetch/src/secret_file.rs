//! Secrets in files. They are read again before each use, so that a new one is in force without a restart.

use std::path::Path;
use watchfire_config::files::read_file;

/// A token or a password; anything larger was named by mistake.
const LONGEST: u64 = 64 << 10;

/// A secret as its file holds it now, without the line end that editors add.
///
/// # Errors
/// Names the file and what is wrong with it.
pub async fn read_secret(path: &Path) -> Result<String, String> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_file(&owned, LONGEST)).await.map_err(|e| e.to_string())?;
    read.map(|text| text.trim().to_owned()).map_err(|e| format!("cannot read {}: {e}", path.display()))
}
