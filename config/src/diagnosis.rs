//! Errors that a person can act on: the place, the line itself, what was expected, and the nearest name that exists.

use std::fmt;
use std::path::Path;

/// One thing that is wrong in a configuration or platform file, a variable or a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// File path, `environment variable WATCHFIRE_API`, or `flag --api`.
    pub place: String,
    /// One-based; `None` where there is no text to point into.
    pub line: Option<usize>,
    /// One-based, in characters.
    pub column: Option<usize>,
    /// The offending line as it stands in the file.
    pub source_line: Option<Box<str>>,
    pub message: String,
    /// What to do next.
    pub help: Option<Box<str>>,
}

impl ConfigError {
    pub fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        ConfigError { place: place.into(), line: None, column: None, source_line: None, message: message.into(), help: None }
    }

    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into().into_boxed_str());
        self
    }

    /// Points at a byte of `text`.
    pub fn at(mut self, text: &str, offset: usize) -> Self {
        let offset = floor_char_boundary(text, offset.min(text.len()));
        let before = &text[..offset];
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        self.line = Some(before.matches('\n').count() + 1);
        self.column = Some(text[start..offset].chars().count() + 1);
        self.source_line = Some(text[start..].lines().next().unwrap_or("").chars().take(200).collect::<String>().into());
        self
    }

    /// Points at the first place where `needle` stands in `text`, if it does.
    pub fn near(self, text: &str, needle: &str) -> Self {
        match text.find(needle) {
            Some(offset) => self.at(text, offset),
            None => self,
        }
    }

    pub fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        ConfigError::new(path.display().to_string(), format!("cannot be read: {error}"))
    }
}

fn floor_char_boundary(text: &str, mut offset: usize) -> usize {
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// `file:line:column: message`, the line with a mark under the column, and help. Text from the file is shown harmlessly.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use watchfire_model::harmless;
        write!(f, "{}", harmless(&self.place))?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", harmless(&self.message))?;
        if let (Some(line), Some(column), Some(source)) = (self.line, self.column, &self.source_line) {
            let number = line.to_string();
            write!(f, "\n  {number} | {}\n  {:width$} | {:>column$}", harmless(source), "", "^", width = number.len())?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {}", harmless(help))?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Reads TOML into `T`; what is wrong comes back with its place and, for an unknown name, the nearest valid one.
pub(crate) fn read_toml<T: serde::de::DeserializeOwned>(place: &str, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| explain(place, text, &error))
}

pub(crate) fn explain(place: &str, text: &str, error: &toml::de::Error) -> ConfigError {
    let message = error.message().trim().to_owned();
    let mut found = ConfigError::new(place, message.clone());
    if let Some(span) = error.span() {
        found = found.at(text, span.start);
    }
    if let Some((unknown, valid)) = unknown_name(&message) {
        let what = if message.starts_with("unknown variant") { "value" } else { "key" };
        found.message = format!("unknown {what} `{unknown}`");
        let help = match nearest(&unknown, valid.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`? Valid here: {}", valid.join(", ")),
            None if valid.is_empty() => format!("no {what} of that name is known here"),
            None => format!("valid here: {}", valid.join(", ")),
        };
        found.help = Some(help.into());
    }
    found
}

/// Takes serde's "unknown field `x`, expected one of `a`, `b`" apart.
fn unknown_name(message: &str) -> Option<(String, Vec<String>)> {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2).map(str::to_owned);
    let unknown = quoted.next()?;
    Some((unknown, quoted.collect()))
}

/// The name that was probably meant: smallest edit distance, at most a third of its length away.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(name.len()).div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Damerau-Levenshtein distance with adjacent swaps, bounded to 64 characters a side.
fn edit_distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let substitution = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substitution.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[allow(dead_code)]
        interval: String,
        #[allow(dead_code)]
        timeout: Option<u32>,
    }

    #[test]
    fn an_unknown_key_names_its_place_its_line_and_the_nearest_key() {
        let text = "interval = \"1s\"\ntimeuot = 3\n";
        let error = read_toml::<Sample>("watch.toml", text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "watch.toml:2:1: unknown key `timeuot`\n  2 | timeuot = 3\n    | ^\n  help: did you mean `timeout`? Valid here: interval, timeout"
        );
    }

    #[test]
    fn a_wrong_type_points_at_the_value() {
        let error = read_toml::<Sample>("watch.toml", "interval = 5\n").unwrap_err();
        assert_eq!((error.line, error.column), (Some(1), Some(12)));
    }

    #[test]
    fn escape_sequences_of_a_file_never_reach_the_terminal() {
        let text = "\"\x1b[31m\" = 1";
        let shown = read_toml::<Sample>("a.toml", text).unwrap_err().to_string();
        assert!(!shown.contains('\x1b'), "{shown:?}");
    }

    #[test]
    fn the_nearest_name_is_close_or_absent() {
        assert_eq!(nearest("otlp_gprc", ["otlp_grpc", "otlp_http"]), Some("otlp_grpc"));
        assert_eq!(nearest("zebra", ["otlp_grpc", "api"]), None);
    }
}
