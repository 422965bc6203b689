//! Alertmanager's notation of conditions: `severity="critical"`, `service=~social.*`, `{a="b", "c.d"!="e"}`.
//!
//! It has two notations, and the older one decides where both read a text. Only the newer one has label names beyond letters, digits, `_` and `:`,
//! and there values are strictly quoted: with Go's escapes, or bare and without any character that means something.

use watchfire_model::{MatchOp, Matcher};
use watchfire_template::quoted_text;

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
    let parts: Vec<&str> = split(inner).into_iter().map(str::trim).filter(|part| !part.is_empty()).collect();
    let read = |notation| parts.iter().map(|part| parse(part, notation)).collect::<Result<Vec<_>, _>>();
    read(Notation::Older).or_else(|error| read(Notation::Newer).map_err(|_| error))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Notation {
    Older,
    Newer,
}

/// As [`parse_matchers`] reads it. The older notation escapes these three only; names that it lacks are quoted as the newer one has them.
pub fn condition(matcher: &Matcher) -> String {
    if !is_classic(&matcher.name) {
        return matcher.to_string();
    }
    let escaped = matcher.value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{}{}\"{escaped}\"", matcher.name, matcher.op)
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

fn parse(text: &str, notation: Notation) -> Result<Matcher, String> {
    let bad = || format!("bad matcher format: {text}");
    let (name, rest) = if text.starts_with('"') {
        let (name, used) = quoted_text(text).ok_or_else(bad)?;
        (name, &text[used..])
    } else {
        let end = text.find(is_reserved).unwrap_or(text.len());
        (text[..end].to_owned(), &text[end..])
    };
    if name.is_empty() || (notation == Notation::Older && (text.starts_with('"') || !is_classic(&name))) {
        return Err(bad());
    }
    let rest = rest.trim_start();
    let (op, rest) = [("=~", MatchOp::Regex), ("!~", MatchOp::NotRegex), ("!=", MatchOp::NotEqual), ("=", MatchOp::Equal)]
        .into_iter()
        .find_map(|(sign, op)| rest.strip_prefix(sign).map(|rest| (op, rest.trim())))
        .ok_or_else(bad)?;
    let value = match notation {
        Notation::Older => older_value(rest),
        Notation::Newer => newer_value(rest),
    };
    let value = value.ok_or_else(bad)?;
    Matcher::new(&name, op, &value).map_err(|e| format!("{text}: {e}"))
}

/// What ends a bare word of the newer notation.
fn is_reserved(c: char) -> bool {
    c.is_whitespace() || matches!(c, '{' | '}' | '!' | '=' | '~' | ',' | '\\' | '"' | '\'' | '`')
}

/// A name of the older notation.
fn is_classic(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

fn newer_value(text: &str) -> Option<String> {
    if text.starts_with('"') {
        return quoted_text(text).filter(|(_, used)| *used == text.len()).map(|(value, _)| value);
    }
    (!text.is_empty() && !text.contains(is_reserved)).then(|| text.to_owned())
}

fn older_value(text: &str) -> Option<String> {
    match text.strip_prefix('"') {
        Some(tail) => unquote(tail).filter(|(_, used)| *used == tail.len()).map(|(value, _)| value),
        None => (!text.contains('"')).then(|| bare(text)),
    }
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
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(name in "[a-c.\"\\\\,={} é\u{200b}\t\n]{1,4}", value in ".{0,3}[\"\\\\,{}'\t\n\u{1b}]?.{0,3}") {
            let matcher = Matcher::equal(&name, &value);
            let written = condition(&matcher);
            let read = parse_matchers(&written).map_err(TestCaseError::fail)?;
            prop_assert_eq!(read, vec![matcher], "{}", written);
        }
    }

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
            // Names beyond those of old, with and without quotes, alone and beside others.
            (r#"{"my.label"="x"}"#, r#""my.label"="x""#),
            ("my.label=x", r#""my.label"="x""#),
            ("zürich-1!~a.+", r#""zürich-1"!~"a.+""#),
            (r#""1a" = "b c""#, r#""1a"="b c""#),
            ("1a=b", r#""1a"="b""#),
            (r#"a=b, "c,\"d"=~"e\u00e9\t""#, "a=\"b\" \"c,\\\"d\"=~\"eé\\t\""),
            (r#"a="\t", c=d"#, r#"a="\\t" c="d""#),
            (r#"a="\t", "c"="d""#, r#"a="\t" c="d""#),
        ] {
            let parsed = parse_matchers(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(parsed.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), shown, "{text}");
        }
        for bad in [
            r#""my.label"="\d""#,
            "my.label=",
            "my.label=a b",
            "my label=x",
            r#"""="x""#,
            r#""a"#,
            "severity",
            "=x",
            r#"a="b"#,
            r#"a=b"c"#,
            "{a=b",
            "a==b\"",
            r#"a=~"(""#,
        ] {
            assert!(parse_matchers(bad).is_err(), "{bad}");
        }
    }
}
