//! From files to a checked [`Platform`]: the same way for the embedded ones and for a directory of the user's.

use super::{Platform, Scenario};
use crate::diagnosis::{ConfigError, read_toml};
use crate::files::{BY_HAND, read_text};
use std::borrow::Cow;
use std::path::Path;

const MAX_SCENARIOS: usize = 200;

/// The texts a platform is made of, with the names that errors give them.
#[derive(Clone, Debug)]
pub struct PlatformFiles<'a> {
    /// Prefix of file names in errors: a directory, or `clientnest (built in)`.
    pub place: String,
    pub platform: Cow<'a, str>,
    /// May be empty: a platform without rules is watched without alerts.
    pub rules: Cow<'a, str>,
    pub rule_tests: Cow<'a, str>,
    /// (name without `.toml`, text), in order of name.
    pub scenarios: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl PlatformFiles<'static> {
    /// Reads `platform.toml`, `rules.yaml`, `rules.test.yaml` and `scenarios/*.toml` of a directory. Only the first must exist.
    ///
    /// # Errors
    /// When a file cannot be read, is not UTF-8 or is larger than 4 MiB.
    pub fn read(directory: &Path) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut text = |path: &Path, required: bool| match read_text(path, BY_HAND) {
            Ok(text) => text,
            Err(error) if !required && error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                errors.push(ConfigError::unreadable(path, &error));
                String::new()
            }
        };
        let platform = text(&directory.join("platform.toml"), true);
        let rules = text(&directory.join("rules.yaml"), false);
        let rule_tests = text(&directory.join("rules.test.yaml"), false);
        let mut paths: Vec<_> = match std::fs::read_dir(directory.join("scenarios")) {
            Ok(entries) => entries
                .filter_map(|entry| entry.ok().map(|e| e.path()))
                .filter(|path| path.extension().is_some_and(|e| e == "toml"))
                .take(MAX_SCENARIOS)
                .collect(),
            Err(_) => Vec::new(),
        };
        paths.sort();
        let mut scenarios = Vec::new();
        for path in paths {
            let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            scenarios.push((Cow::Owned(name), Cow::Owned(text(&path, true))));
        }
        if errors.is_empty() {
            Ok(PlatformFiles {
                place: directory.display().to_string(),
                platform: platform.into(),
                rules: rules.into(),
                rule_tests: rule_tests.into(),
                scenarios,
            })
        } else {
            Err(errors)
        }
    }
}

impl PlatformFiles<'_> {
    /// Parses and checks all files.
    ///
    /// # Errors
    /// Everything that is wrong, each with file, line and column.
    pub fn parse(&self) -> Result<Platform, Vec<ConfigError>> {
        let place = format!("{}/platform.toml", self.place);
        let mut platform: Platform = read_toml(&place, &self.platform).map_err(|error| vec![error])?;
        let mut errors = Vec::new();
        platform.rules = self.rules.clone().into_owned();
        platform.rule_tests = self.rule_tests.clone().into_owned();
        for (name, text) in &self.scenarios {
            match read_toml::<Scenario>(&format!("{}/scenarios/{name}.toml", self.place), text) {
                Ok(mut scenario) => {
                    scenario.name = name.clone().into_owned();
                    platform.scenarios.push(scenario);
                }
                Err(error) => errors.push(error),
            }
        }
        errors.extend(super::check::check(&platform, &place, &self.platform, &|scenario| {
            let text = self.scenarios.iter().find(|(name, _)| *name == scenario).map_or("", |(_, text)| text);
            (format!("{}/scenarios/{scenario}.toml", self.place), text)
        }));
        if errors.is_empty() { Ok(platform) } else { Err(errors) }
    }
}
