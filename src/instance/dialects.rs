//! Dialects: those that come with watchfire, and the user's own from `dialects/` beside the configuration, which are believed first.

use super::plan::Plan;
use std::path::Path;
use watchfire_alerts::{Dialect, builtin_dialects};
use watchfire_config::files::{BY_HAND, read_text};

/// Files read at most; a directory with more is not a directory of dialects.
const MAX_FILES: usize = 200;

/// All dialects in the order of trust.
///
/// # Errors
/// Which file is wrong, and where.
pub fn all(plan: &Plan) -> anyhow::Result<Vec<Dialect>> {
    beside(plan.loaded.file.as_ref().unwrap_or(&plan.loaded.paths.config_file))
}

/// All dialects for a configuration file, whether or not the file itself is there.
///
/// # Errors
/// As [`all`].
pub fn beside(file: &Path) -> anyhow::Result<Vec<Dialect>> {
    let directory = file.parent().map(|p| p.join("dialects")).unwrap_or_default();
    let mut paths: Vec<_> = match std::fs::read_dir(&directory) {
        Ok(entries) => entries
            .filter_map(|e| e.ok().map(|e| e.path()))
            .filter(|p| p.extension().is_some_and(|e| e == "toml"))
            .take(MAX_FILES)
            .collect(),
        Err(_) => Vec::new(),
    };
    paths.sort();
    let mut dialects = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        let text = read_text(&path, BY_HAND).map_err(|e| anyhow::anyhow!("cannot read dialect {name}: {e}"))?;
        dialects.push(Dialect::parse(&name, &text).map_err(|e| anyhow::anyhow!("{e}"))?);
    }
    dialects.extend(builtin_dialects().map_err(|e| anyhow::anyhow!("{e}"))?);
    Ok(dialects)
}
