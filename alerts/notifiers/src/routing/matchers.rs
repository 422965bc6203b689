//! Alertmanager's notation of conditions: `severity="critical"`, `service=~social.*`, `{a="b", c!="d"}`.

use watchfire_model::{MatchOp, Matcher};

/// Reads one text that holds one or more conditions.
///
/// # Errors
/// The text and what about it was not understood.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, String> {
    let trimmed = text.trim();
    let inner = match (trimmed.strip_prefix('{'), trimmed.strip_suffix('}')) {
        (Some(_), Some(_)) => &trimmed[1..trimmed.len() - 1],
        (None, None) => trimmed,
        _ => return Err(format!("bad matcher format: {text}")),
    };
    split(inner).into_iter().filter(|part| !part.trim().is_empty()).map(|part| parse(part.trim())).collect()
}

/// At commas outside of quotes.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse(text: &str) -> Result<Matcher, String> {
    let bad = || format!("bad matcher format: {text}");
    let (name, rest) = match text.strip_prefix('"') {
        Some(tail) => {
            let (name, used) = unquote(tail).ok_or_else(bad)?;
            (name, &tail[used..])
        }
        None => {
            let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
            (text[..end].to_owned(), &text[end..])
        }
    };
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(bad());
    }
    let rest = rest.trim_start();
    let (op, rest) = [("=~", MatchOp::Regex), ("!~", MatchOp::NotRegex), ("!=", MatchOp::NotEqual), ("=", MatchOp::Equal)]
        .into_iter()
        .find_map(|(sign, op)| rest.strip_prefix(sign).map(|rest| (op, rest.trim())))
        .ok_or_else(bad)?;
    let value = match rest.strip_prefix('"') {
        Some(tail) => {
            let (value, used) = unquote(tail).ok_or_else(bad)?;
            if used != tail.len() {
                return Err(bad());
            }
            value
        }
        None if rest.contains('"') => return Err(bad()),
        None => bare(rest),
    };
    Matcher::new(&name, op, &value).map_err(|e| format!("{text}: {e}"))
}

/// A value without quotes has escapes all the same.
fn bare(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push_str(&escape(chars.next())),
            c => out.push(c),
        }
    }
    out
}

/// What a backslash and the character after it stand for.
fn escape(next: Option<char>) -> String {
    match next {
        Some('n') => "\n".to_owned(),
        Some(c @ ('"' | '\\')) => c.to_string(),
        // A regular expression keeps its own escapes.
        Some(other) => format!("\\{other}"),
        None => "\\".to_owned(),
    }
}

/// The text up to the closing quote, and how many bytes it took with it.
fn unquote(text: &str) -> Option<(String, usize)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, at + 1)),
            '\\' => out.push_str(&escape(Some(chars.next()?.1))),
            c => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_as_alertmanager_reads_them() {
        for (text, shown) in [
            (r#"severity="critical""#, r#"severity="critical""#),
            ("severity = critical", r#"severity="critical""#),
            (r#"{a="b", c!="d,e"}"#, r#"a="b" c!="d,e""#),
            (r#"a=~"x|y""#, r#"a=~"x|y""#),
            (r#"a!~"x\"y\\z""#, r#"a!~"x\"y\\z""#),
            ("a=", r#"a="""#),
            ("a=b,", r#"a="b""#),
            (r"a=~x\\.y", r#"a=~"x\\.y""#),
            (r"a=\d\\", r#"a="\\d\\""#),
        ] {
            let parsed = parse_matchers(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(parsed.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), shown, "{text}");
        }
        for bad in ["severity", "=x", "1a=b", r#"a="b"#, r#"a=b"c"#, "{a=b", "a==b\"", r#"a=~"(""#] {
            assert!(parse_matchers(bad).is_err(), "{bad}");
        }
    }
}
