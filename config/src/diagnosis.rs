//! Errors that a person can act on: the place, the line itself, what was expected, and the nearest name that exists.

use crate::secret::is_secret_path;
use std::fmt;
use std::path::Path;
use watchfire_model::without_secrets;

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
        let quoted = Quoted::of(text, start);
        self.column = Some(text[start..offset].chars().count().min(quoted.marked) + 1);
        self.message = quoted.without_secrets(&self.message);
        self.source_line = Some(quoted.shown.chars().take(200).collect::<String>().into());
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

/// A line of a file as it may be shown: a mistake beside a secret must not put it on a terminal or into a log.
struct Quoted<'a> {
    shown: String,
    /// What is not shown.
    hidden: &'a str,
    /// Characters of the line before that.
    marked: usize,
}

impl<'a> Quoted<'a> {
    /// The line that begins at `start`.
    fn of(text: &'a str, start: usize) -> Self {
        let line = text[start..].lines().next().unwrap_or("");
        let above = || text[..start].lines().rev();
        let table = above().map(str::trim).find(|l| l.starts_with('[')).map_or("", |l| l.trim_matches(['[', ']', ' ']));
        let hides = |line: &str| secret_from(line, table);
        // A line without a key of its own goes on with the value of one above.
        let continued = || above().take_while(|l| !l.trim_start().starts_with('[')).find(|l| l.contains('=')).and_then(hides).map(|_| 0);
        let from = if line.contains('=') { hides(line) } else { continued() };
        let (open, hidden) = line.split_at(from.unwrap_or(line.len()));
        let mask = if hidden.is_empty() { "" } else { "<secret>" };
        Quoted { shown: format!("{}{mask}", pieces(open, |p| without_secrets(p).into_owned())), hidden, marked: open.chars().count() }
    }

    /// What is said about the line, without what the line does not show.
    fn without_secrets(&self, message: &str) -> String {
        let hidden = |piece: &str| !piece.is_empty() && self.hidden.contains(piece);
        pieces(message, |piece| if hidden(piece) { "<secret>".to_owned() } else { without_secrets(piece).into_owned() })
    }
}

/// Where the value of a secret key begins in a line of the given table.
fn secret_from(line: &str, table: &str) -> Option<usize> {
    line.match_indices('=').map(|(at, _)| at).find_map(|at| {
        let before = line[..at].trim_end();
        let key = before.rsplit([' ', '\t', '{', ',']).next().unwrap_or_default().replace(['"', '\''], "");
        let opens = ["headers", "http_headers", "fields"].contains(&key.rsplit('.').next().unwrap_or_default());
        let secret = opens || is_secret_path(&format!("{table}.{key}")) || is_secret_path(&key);
        let value = at + 1 + line[at + 1..].len() - line[at + 1..].trim_start().len();
        (secret && !key.is_empty()).then_some(value)
    })
}

/// A text with what stands between its quotation marks changed.
fn pieces(text: &str, change: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(mark) = rest.find(['"', '`', '\'']) {
        let quote = &rest[mark..=mark];
        let Some(length) = rest[mark + 1..].find(quote) else { break };
        let end = mark + 1 + length;
        out.push_str(&rest[..=mark]);
        out.push_str(&change(&rest[mark + 1..end]));
        out.push_str(quote);
        rest = &rest[end + 1..];
    }
    // What follows is not closed, as a line with a mistake in it may be.
    match rest.find(['"', '`', '\'']) {
        Some(mark) => out + &rest[..=mark] + &change(&rest[mark + 1..]),
        None => out + rest,
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
    } else if message.contains("recursion limit") {
        // The parser does not say where: at the key, or the header of a table, with the most parts.
        let lines = text.split_inclusive('\n').scan(0, |start, line| Some((std::mem::replace(start, *start + line.len()), line)));
        let deepest = lines.max_by_key(|(_, line)| line.matches('.').count());
        found = found.at(text, deepest.map_or(0, |(start, _)| start));
        found.message = "nested too deeply: recursion limit".to_owned();
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
    fn a_mistake_beside_a_secret_does_not_show_it() {
        for text in [
            "token = \"canary\n",
            "token = 'canary' x\n",
            "[security]\ntoken = canary\n",
            "[receivers.hook]\nurl = \"https://host/canary\n",
            "[[person]]\nchannels = [{ channel = { type = \"webhook\", password = \"canary\" ]\n",
            "[receivers.hook.headers]\nX-Some = \"canary\n",
            "[receivers.hook]\nheaders = { X-Some = \"canary\n",
            "password = [\n\"canary\", canary]\n",
            "probe = [\"http://a:canary@host/?token=canary\n",
            "scrape = \"http://host/?api_key=canary\" x\n",
            "interval = 1\ntoken = 271828\ntoken = 271828\n",
        ] {
            let shown = read_toml::<toml::Table>("watch.toml", text).unwrap_err().to_string();
            assert!(!shown.contains("canary") && !shown.contains("271828"), "{text}\n{shown}");
            assert!(shown.contains(" | "), "the line is still quoted: {shown}");
        }
        #[derive(Debug, serde::Deserialize)]
        struct Secretive {
            #[allow(dead_code)]
            token: String,
        }
        let shown = read_toml::<Secretive>("watch.toml", "token = 271828\n").unwrap_err().to_string();
        assert!(!shown.contains("271828") && shown.contains("token = <secret>"), "{shown}");
    }

    #[test]
    fn a_key_of_too_many_parts_is_named_with_its_line() {
        let text = format!("interval = \"1.5\"\n{}a = 1\n", "a.".repeat(20_000));
        let shown = read_toml::<toml::Table>("deep.toml", &text).unwrap_err().to_string();
        assert!(shown.starts_with("deep.toml:2:1: nested too deeply: recursion limit"), "{}", &shown[..200]);
    }

    #[test]
    fn the_nearest_name_is_close_or_absent() {
        assert_eq!(nearest("otlp_gprc", ["otlp_grpc", "otlp_http"]), Some("otlp_grpc"));
        assert_eq!(nearest("zebra", ["otlp_grpc", "api"]), None);
    }
}
