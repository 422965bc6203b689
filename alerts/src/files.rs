//! Rule and test files on disk: the only place of this crate that reads files.

use std::path::{Path, PathBuf};
use watchfire_config::files::{GENERATED, read_text};
use watchfire_model::glob;

/// Where a test file's `rule_files` are looked up.
pub trait RuleFiles {
    /// Name and content of every file a pattern matches, sorted by name; none is no error. Patterns are relative to the test file.
    ///
    /// # Errors
    /// What could not be read, in words.
    fn matching(&self, pattern: &str) -> Result<Vec<(String, String)>, String>;
}

/// Files on disk, relative to a directory.
#[derive(Clone, Debug)]
pub struct DiskFiles {
    pub directory: PathBuf,
}

impl DiskFiles {
    /// For the rule files that a test file at `path` names.
    pub fn beside(path: &Path) -> Self {
        DiskFiles { directory: path.parent().map(Path::to_path_buf).unwrap_or_default() }
    }
}

impl RuleFiles for DiskFiles {
    fn matching(&self, pattern: &str) -> Result<Vec<(String, String)>, String> {
        let path = self.directory.join(pattern);
        let mut found = Vec::new();
        if pattern.contains(['*', '?', '[']) {
            let mut candidates = vec![PathBuf::new()];
            for part in path.components() {
                let part = part.as_os_str().to_string_lossy().into_owned();
                candidates = candidates.into_iter().flat_map(|base| step(&base, &part)).collect();
            }
            found.extend(candidates.into_iter().filter(|p| p.is_file()));
            found.sort();
        } else if path.exists() {
            found.push(path);
        }
        found
            .into_iter()
            .map(|p| match read_text(&p, GENERATED) {
                Ok(text) => Ok((p.display().to_string(), text)),
                Err(error) => Err(format!("{}: {error}", p.display())),
            })
            .collect()
    }
}

/// The entries of a directory that one path component matches.
fn step(base: &Path, part: &str) -> Vec<PathBuf> {
    if !part.contains(['*', '?', '[']) {
        return vec![base.join(part)];
    }
    let directory = if base.as_os_str().is_empty() { Path::new(".") } else { base };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|e| glob(part, &e.file_name().to_string_lossy())).map(|e| base.join(e.file_name())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_beside_the_test_file() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        std::fs::create_dir(dir.path().join("rules"))?;
        for name in ["rules/b.yml", "rules/a.yml", "rules/c.txt"] {
            std::fs::write(dir.path().join(name), name)?;
        }
        let files = DiskFiles::beside(&dir.path().join("test.yml"));
        let found = files.matching("rules/*.yml").expect("reads");
        assert_eq!(found.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["rules/a.yml", "rules/b.yml"]);
        assert_eq!(files.matching("absent.yml"), Ok(Vec::new()));
        assert_eq!(files.matching("absent*.yml"), Ok(Vec::new()));
        Ok(())
    }
}
