//! Targets from files, as `file_sd_configs` lists them: looked at every few seconds, read again when changed, kept when the new content is bad.

use crate::job::StaticConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use watchfire_config::files::read_file;
use watchfire_model::glob;

const MAX_FILE: u64 = 10 << 20;

#[derive(Default)]
struct Known {
    stamp: Option<(u64, SystemTime)>,
    groups: Vec<StaticConfig>,
    problem: Option<String>,
}

/// The files of all jobs and what they said last.
#[derive(Default)]
pub(crate) struct FileDiscovery {
    known: BTreeMap<PathBuf, Known>,
}

impl FileDiscovery {
    /// Looks at every file the patterns name. True when any target group changed. Blocks on the file system.
    pub(crate) fn refresh(&mut self, patterns: &BTreeSet<String>) -> bool {
        let present: BTreeSet<PathBuf> = patterns.iter().flat_map(|p| expand(p)).collect();
        let before = self.known.len();
        self.known.retain(|path, _| present.contains(path));
        let mut changed = self.known.len() != before;
        for path in present {
            changed |= self.known.entry(path.clone()).or_default().refresh(&path);
        }
        changed
    }

    /// The groups of the files that match one pattern, with the file they come from.
    pub(crate) fn groups(&self, pattern: &str) -> impl Iterator<Item = (&Path, &StaticConfig)> {
        let pattern = PathBuf::from(pattern);
        self.known
            .iter()
            .filter(move |(path, _)| path.parent() == pattern.parent() && matches_name(&pattern, path))
            .flat_map(|(path, known)| known.groups.iter().map(move |g| (path.as_path(), g)))
    }

    pub(crate) fn problems(&self) -> impl Iterator<Item = &str> {
        self.known.values().filter_map(|k| k.problem.as_deref())
    }
}

impl Known {
    fn refresh(&mut self, path: &Path) -> bool {
        let stamp = fs::metadata(path).and_then(|m| Ok((m.len(), m.modified()?))).ok();
        if stamp.is_some() && stamp == self.stamp {
            return false;
        }
        match read(path) {
            Ok(groups) => {
                self.stamp = stamp;
                self.problem = None;
                std::mem::replace(&mut self.groups, groups) != self.groups
            }
            // As in Prometheus: a file that is gone takes its targets along, a bad one does not.
            Err(why) if !path.exists() => {
                self.problem = Some(format!("{}: {why}", path.display()));
                self.stamp = None;
                !std::mem::take(&mut self.groups).is_empty()
            }
            Err(why) => {
                let problem = format!("{}: {why}; the targets read before are kept", path.display());
                if self.problem.as_ref() != Some(&problem) {
                    tracing::warn!(problem = %watchfire_model::harmless_limited(&problem, 300), "target file refused");
                    self.problem = Some(problem);
                }
                self.stamp = stamp;
                false
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<StaticConfig>, String> {
    let text = read_file(path, MAX_FILE).map_err(|e| e.to_string())?;
    if path.extension().is_some_and(|e| e == "json") {
        serde_json::from_str(&text).map_err(|e| e.to_string())
    } else {
        serde_saphyr::from_str(&text).map_err(|e| e.to_string())
    }
}

/// Paths a pattern names now. Only the file name may hold wildcards.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let path = PathBuf::from(pattern);
    if !pattern.contains(['*', '?']) {
        return vec![path];
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|e| path.with_file_name(e.file_name())).filter(|p| matches_name(&path, p)).collect()
}

fn matches_name(pattern: &Path, path: &Path) -> bool {
    let name = |p: &Path| p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    glob(&name(pattern), &name(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_file_names() {
        for (pattern, name, fits) in [
            ("tg_*.json", "tg_a.json", true),
            ("tg_*.json", "tg_a.yml", false),
            ("*", "x", true),
            ("a?c*", "abcdef", true),
            ("a?c", "ac", false),
            ("*a*b", "xaxb", true),
        ] {
            assert_eq!(matches_name(Path::new(pattern), Path::new(name)), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn files_come_change_break_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let pattern = folder.path().join("*.json").display().to_string();
        let patterns = BTreeSet::from([pattern.clone()]);
        let mut discovery = FileDiscovery::default();
        let addresses = |d: &FileDiscovery| d.groups(&pattern).flat_map(|(_, g)| g.targets.clone()).collect::<Vec<_>>();

        assert!(!discovery.refresh(&patterns));
        file("a.json", r#"[{"targets":["h:1"],"labels":{"x":"y"}}]"#);
        assert!(discovery.refresh(&patterns));
        assert_eq!(addresses(&discovery), ["h:1"]);
        assert!(!discovery.refresh(&patterns));

        file("a.json", r#"[{"targets":["h:1""#);
        assert!(!discovery.refresh(&patterns));
        assert_eq!(addresses(&discovery), ["h:1"]);
        assert_eq!(discovery.problems().count(), 1);

        fs::File::create(folder.path().join("a.json")).unwrap().set_len(MAX_FILE + 1).unwrap();
        assert!(!discovery.refresh(&patterns));
        assert_eq!(addresses(&discovery), ["h:1"], "a file that is too large is not read, and the targets known before are kept");
        assert!(discovery.problems().all(|p| p.contains("it is larger than")), "{:?}", discovery.problems().collect::<Vec<_>>());

        file("a.json", r#"[{"targets":["h:1","h:22"]}]"#);
        assert!(discovery.refresh(&patterns));
        assert_eq!(addresses(&discovery), ["h:1", "h:22"]);
        assert_eq!(discovery.problems().count(), 0);

        fs::remove_file(folder.path().join("a.json")).unwrap();
        assert!(discovery.refresh(&patterns));
        assert!(addresses(&discovery).is_empty());
    }
}
