//! Regular expressions as Go's engine reads them, in the words of ours.

use std::borrow::Cow;

/// What the classes stand for: ASCII only.
const CLASSES: [(char, &str); 3] = [('d', "0-9"), ('w', "0-9A-Za-z_"), ('s', "\\t\\n\\f\\r ")];

/// Rewrites what Go and we understand differently: `\d`, `\w` and `\s` mean ASCII, brackets and doubled signs inside a class are plain
/// characters there, and `\Q...\E` quotes. Everything else is left as it is.
pub fn from_go(pattern: &str) -> Cow<'_, str> {
    if !pattern.contains(['\\', '[']) {
        return Cow::Borrowed(pattern);
    }
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    // Inside a class, and whether its first member is still to come.
    let (mut in_class, mut first) = (false, false);
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = after;
        let was_first = std::mem::replace(&mut first, false);
        match c {
            '\\' => {
                let Some(escaped) = after.chars().next() else {
                    out.push(c);
                    break;
                };
                rest = &after[escaped.len_utf8()..];
                if escaped == 'Q' && !in_class {
                    let end = rest.find("\\E");
                    out.push_str(&regex::escape(&rest[..end.unwrap_or(rest.len())]));
                    rest = end.map_or("", |end| &rest[end + 2..]);
                    continue;
                }
                match CLASSES.iter().find(|(name, _)| *name == escaped.to_ascii_lowercase()) {
                    Some((_, members)) if escaped.is_ascii_uppercase() => out.extend(["[^", members, "]"]),
                    Some((_, members)) if in_class => {
                        out.push_str(members);
                        // No range begins with a class.
                        if let Some(after) = rest.strip_prefix('-') {
                            out.push_str("\\-");
                            rest = after;
                        }
                    }
                    Some((_, members)) => out.extend(["[", members, "]"]),
                    None => out.extend(['\\', escaped]),
                }
            }
            '[' if !in_class => {
                (in_class, first) = (true, true);
                out.push('[');
                if let Some(negated) = rest.strip_prefix('^') {
                    out.push('^');
                    rest = negated;
                }
            }
            // `[:alpha:]` is a class in both.
            '[' if rest.starts_with(':') && rest.contains(":]") => {
                let end = rest.find(":]").map_or(rest.len(), |at| at + 2);
                out.push('[');
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            }
            ']' if in_class && was_first => out.push_str("\\]"),
            ']' => {
                in_class = false;
                out.push(']');
            }
            '[' | '&' | '~' if in_class => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let rewritten = from_go(pattern);
        regex::Regex::new(&format!("^(?s:{rewritten})$")).unwrap_or_else(|e| panic!("{pattern} became {rewritten}: {e}")).is_match(text)
    }

    #[test]
    fn classes_are_of_ascii() {
        for (pattern, yes, no) in [
            (r"\w+", "aZ_9", "é"),
            (r"\d", "7", "٣"),
            (r"\s", "\t", "\u{a0}"),
            (r"\W", "é", "a"),
            (r"[\w.]+", "a.b", "é"),
            (r"[^\d]", "٣", "3"),
            (r"[\D]", "x", "3"),
            (r"[^\W]+", "abc", "-"),
            (r"\w{1,63}", "abc", ""),
            (r"[\w-.]+", "a-b.c", "a,b"),
            (r"[\w-]+", "a-b", "."),
        ] {
            assert!(matches(pattern, yes), "{pattern} {yes}");
            assert!(!matches(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn signs_inside_a_class_are_characters() {
        for (pattern, yes, no) in [
            ("[[]", "[", "x"),
            ("[a[b]+", "[ab", "]"),
            ("[]]", "]", "["),
            ("[^]]", "x", "]"),
            ("[a&&b]+", "a&b", "|"),
            ("[a~~b]+", "~", "x"),
            ("[[:alpha:]]+", "abc", "1"),
            ("[[:alpha:]_]+", "a_b", "1"),
            (r"[\]]", "]", "["),
            ("a[.]b", "a.b", "axb"),
        ] {
            assert!(matches(pattern, yes), "{pattern} {yes}");
            assert!(!matches(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn quoted_text_is_text() {
        assert!(matches(r"\Qa.b\E+", "a.bbb") && !matches(r"\Qa.b\E", "axb"));
        assert!(matches(r"x\Q[", "x["));
        assert!(matches(r"a\.b", "a.b") && !matches(r"a\.b", "axb"));
        assert!(matches("plain|simple", "simple"));
        assert!(matches!(from_go("plain|simple"), Cow::Borrowed(_)));
    }
}
