//! Where watchfire keeps its files: the XDG base directories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files and directories of this user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// `$XDG_CONFIG_HOME/watchfire/config.toml`.
    pub config_file: PathBuf,
    /// `$XDG_STATE_HOME/watchfire`: alert states, silences, outbox.
    pub state_dir: PathBuf,
    /// `$XDG_RUNTIME_DIR/watchfire`, where the system gives one.
    pub runtime_dir: Option<PathBuf>,
}

/// From the environment. As the XDG specification asks, a relative path in a variable is ignored. Without a home directory, files go below
/// the working directory in `.watchfire`.
pub fn paths(environment: &BTreeMap<String, String>) -> Paths {
    let absolute = |name: &str| environment.get(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let home = absolute("HOME");
    let base = |variable: &str, below_home: &str| {
        absolute(variable)
            .or_else(|| home.as_ref().map(|h| h.join(below_home)))
            .map_or_else(|| PathBuf::from(".watchfire"), |p| p.join("watchfire"))
    };
    Paths {
        config_file: base("XDG_CONFIG_HOME", ".config").join("config.toml"),
        state_dir: base("XDG_STATE_HOME", ".local/state"),
        runtime_dir: absolute("XDG_RUNTIME_DIR").map(|p| p.join("watchfire")),
    }
}

impl Paths {
    /// The user this process runs as, where the system says so without a system call of ours.
    #[cfg(unix)]
    pub(super) fn user_id() -> Option<u32> {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata("/proc/self").ok().map(|m| m.uid())
    }
}

/// `~/x` with the home directory put in.
pub(super) fn expand_home(path: &Path, environment: &BTreeMap<String, String>) -> PathBuf {
    match (path.strip_prefix("~"), environment.get("HOME")) {
        (Ok(rest), Some(home)) => Path::new(home).join(rest),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_win_over_the_home_directory_and_relative_ones_are_ignored() {
        let of = |pairs: &[(&str, &str)]| paths(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        let found = of(&[("HOME", "/home/w"), ("XDG_CONFIG_HOME", "/etc/xdg"), ("XDG_STATE_HOME", "relative")]);
        assert_eq!(found.config_file, Path::new("/etc/xdg/watchfire/config.toml"));
        assert_eq!(found.state_dir, Path::new("/home/w/.local/state/watchfire"));
        assert_eq!(of(&[]).config_file, Path::new(".watchfire/config.toml"));
    }
}
