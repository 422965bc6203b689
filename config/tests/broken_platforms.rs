//! Every line of the built-in platforms, broken in every way a hand can: each mistake is refused and found again by its line, or (where only another
//! line can know better) by the name that is wrong.

use std::borrow::Cow;
use std::path::Path;
use watchfire_config::platform::PlatformFiles;
use watchfire_config::{ConfigError, platform_names};

fn files(name: &str) -> Result<PlatformFiles<'static>, Vec<ConfigError>> {
    PlatformFiles::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("platforms").join(name))
}

/// The preset with one line replaced; what is said of it.
fn with_line<'a>(files: &PlatformFiles<'a>, index: usize, line: &str) -> Result<(), Vec<ConfigError>> {
    let mut lines: Vec<&str> = files.platform.lines().collect();
    lines[index] = line;
    let broken = PlatformFiles { platform: Cow::Owned(lines.join("\n")), ..files.clone() };
    broken.parse().map(drop)
}

/// `key = value` lines of tables, not those inside arrays.
fn entries<'a>(files: &'a PlatformFiles<'_>) -> impl Iterator<Item = (usize, &'a str, &'a str)> {
    files.platform.lines().enumerate().filter_map(|(index, line)| {
        let (key, value) = line.split_once(" = ")?;
        key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_').then_some((index, key, value))
    })
}

fn first(of: Result<(), Vec<ConfigError>>, what: &str) -> ConfigError {
    of.err().and_then(|errors| errors.into_iter().next()).unwrap_or_else(|| panic!("accepted: {what}"))
}

/// Each kind of line once per platform: the same key under the same table teaches nothing new.
fn once_per_key<'a>(files: &'a PlatformFiles<'_>) -> Vec<(usize, &'a str, &'a str)> {
    let mut seen = std::collections::BTreeSet::new();
    let mut table = "";
    let tables: Vec<&str> = files
        .platform
        .lines()
        .map(|line| {
            if line.starts_with('[') {
                table = line;
            }
            table
        })
        .collect();
    entries(files).filter(|(index, key, _)| seen.insert((tables[*index], *key))).collect()
}

#[test]
fn a_misspelt_key_is_found_at_its_line_with_the_right_one_beside_it() {
    for name in platform_names() {
        let files = files(name).unwrap_or_else(|e| panic!("{e:?}"));
        for (index, key, value) in once_per_key(&files) {
            let error = first(with_line(&files, index, &format!("{key}x = {value}")), &format!("{name}: {key}x"));
            let shown = error.to_string();
            assert_eq!(error.line, Some(index + 1), "{shown}");
            assert!(shown.contains(&format!("`{key}`")), "the nearest name is not said: {shown}");
        }
    }
}

#[test]
fn a_value_of_the_wrong_type_is_found_at_its_line() {
    for name in platform_names() {
        let files = files(name).unwrap_or_else(|e| panic!("{e:?}"));
        for (index, key, value) in once_per_key(&files) {
            if value.starts_with('[') && !value.ends_with(']') || value.starts_with("'''") {
                continue;
            }
            let wrong = if value.starts_with(['"', '\'']) { "[7]" } else { "\"seven\"" };
            let error = first(with_line(&files, index, &format!("{key} = {wrong}")), &format!("{name}: {key} = {wrong}"));
            assert_eq!(error.line, Some(index + 1), "{name} {key} = {wrong}: {error}");
        }
    }
}

#[test]
fn a_reference_to_nothing_names_what_is_wrong_and_what_was_meant() {
    for name in platform_names() {
        let files = files(name).unwrap_or_else(|e| panic!("{e:?}"));
        for (index, key, value) in once_per_key(&files) {
            if !matches!(key, "service" | "consumer" | "exported_by" | "protects") || !value.starts_with('"') {
                continue;
            }
            let wrong = value.replacen('"', "\"x", 1);
            let error = first(with_line(&files, index, &format!("{key} = {wrong}")), &format!("{name}: {key} = {wrong}"));
            let shown = error.to_string();
            assert!(error.line.is_some() && shown.contains(wrong.trim_matches('"')) && shown.contains("did you mean"), "{shown}");
        }
    }
}

#[test]
fn values_that_cannot_be_are_refused() {
    for name in platform_names() {
        let files = files(name).unwrap_or_else(|e| panic!("{e:?}"));
        for (index, key, _) in once_per_key(&files) {
            let wrong: &[&str] = match key {
                "p50" | "p95" | "reset" | "timeout" | "scrape_interval" | "probe_interval" => &["\"5 parsecs\"", "\"-5s\"", "\"\""],
                "sampling" | "errors" | "client_errors" | "share" | "hit_ratio" | "failure_share" | "cpu" | "memory" | "disk"
                | "jitter" => &["1.5", "-0.1", "nan"],
                "port" => &["70000", "-1"],
                "workers" => &["-1", "0.5"],
                _ => &[],
            };
            for value in wrong {
                let error = first(with_line(&files, index, &format!("{key} = {value}")), &format!("{name}:{}: {key} = {value}", index + 1));
                assert!(error.line.is_some(), "{name} {key} = {value}: {error}");
            }
        }
    }
}

#[test]
fn a_file_that_ends_anywhere_is_an_error_or_a_smaller_platform_and_never_a_panic() {
    for name in platform_names() {
        let files = files(name).unwrap_or_else(|e| panic!("{e:?}"));
        let ends: Vec<usize> = files.platform.char_indices().map(|(at, _)| at).step_by(211).collect();
        for end in ends {
            let cut = PlatformFiles { platform: Cow::Owned(files.platform[..end].to_owned()), ..files.clone() };
            if let Err(errors) = cut.parse() {
                assert!(errors.iter().all(|e| !e.message.is_empty()), "{errors:?}");
            }
        }
    }
}

#[test]
fn no_number_is_beyond_what_can_be_simulated() {
    let mut tried = 0;
    for name in platform_names() {
        let files = files(name).unwrap_or_else(|e| panic!("{e:?}"));
        for (index, key, _) in once_per_key(&files).into_iter().filter(|(_, key, _)| ["rate", "arrivals", "workers"].contains(key)) {
            for value in ["inf", "nan", "-1.0", "1e9"] {
                let error = first(with_line(&files, index, &format!("{key} = {value}")), &format!("{name}: {key} = {value}"));
                assert_eq!(error.line, Some(index + 1), "{error}");
                tried += 1;
            }
        }
    }
    assert!(tried > 20, "{tried}");
}
