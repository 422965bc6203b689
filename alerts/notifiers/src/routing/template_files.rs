//! The files under `templates:` of an `alertmanager.yml`.

use std::path::{Component, Path, PathBuf};
use watchfire_config::files::read_text;
use watchfire_model::{glob, harmless_limited};
use watchfire_template::receiver::Templates;

/// Bytes of one file, and files together.
const FILE_BYTES: u64 = 1 << 20;
const FILES: usize = 200;

/// Reads what the patterns name, relative to the directory of the file they stand in. A pattern that matches nothing is no error, and is named
/// in the second part.
///
/// # Errors
/// A file that cannot be read, is too long, or is no template; with its name and line.
pub fn load(patterns: &[String], base: &Path) -> Result<(Templates, Vec<String>), String> {
    let mut templates = Templates::shipped()?;
    let mut empty = Vec::new();
    let mut count = 0;
    for pattern in patterns {
        let found = files_matching(&base.join(pattern));
        if found.is_empty() {
            empty.push(format!("templates: {} matches no file", harmless_limited(pattern, 100)));
        }
        for path in found {
            count += 1;
            if count > FILES {
                return Err(format!("templates: more than {FILES} files"));
            }
            let shown = path.display();
            let text = read_text(&path, FILE_BYTES).map_err(|e| format!("cannot read {shown}: {e}"))?;
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            templates.add(&name, &text).map_err(|e| format!("{shown}:{e}"))?;
        }
    }
    Ok((templates, empty))
}

/// Files that a pattern names now, sorted. Each part of it may hold wildcards.
pub fn files_matching(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let text = component.as_os_str().to_string_lossy();
        found = match component {
            Component::Normal(_) if text.contains(['*', '?', '[']) => found.iter().flat_map(|base| inside(base, &text)).collect(),
            other => found.into_iter().map(|base| base.join(other)).collect(),
        };
    }
    found.retain(|path| path.is_file());
    found.sort();
    found
}

fn inside(base: &Path, part: &str) -> Vec<PathBuf> {
    let directory = if base.as_os_str().is_empty() { Path::new(".") } else { base };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|e| glob(part, &e.file_name().to_string_lossy())).map(|e| base.join(e.file_name())).collect()
}
