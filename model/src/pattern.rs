//! Regular expressions as Go's engine reads them, in the words of ours. What Go refuses is refused here as well, so that a rule that is
//! good here is good in Prometheus.

use regex::{Regex, RegexBuilder};
use std::fmt;

/// What a compiled expression may take.
const MAX_COMPILED: usize = 1 << 20;

/// The largest count a repetition may ask for, nested ones multiplied: Go's limit.
const MAX_REPEAT: u64 = 1000;

/// What the classes stand for: ASCII only.
const CLASSES: [(char, &str); 3] = [('d', "0-9"), ('w', "0-9A-Za-z_"), ('s', "\\t\\n\\f\\r ")];

/// The names of classes inside a class, as in `[[:alpha:]]`.
const NAMED: [&str; 14] =
    ["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word", "xdigit"];

/// Why an expression is refused, on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError(String);

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PatternError {}

fn refused<T>(reason: &str, part: &str) -> Result<T, PatternError> {
    Err(PatternError(format!("{reason}: `{part}`")))
}

/// Compiles what must match a whole text, as matchers and relabelling have it: `.` matches newlines too, as in Prometheus 3.
///
/// # Errors
/// When Go would refuse it, or it compiles to more than 1 MiB.
pub fn go_regex_whole(pattern: &str) -> Result<Regex, PatternError> {
    compile(pattern, &format!("^(?s:{})$", translate(pattern)?))
}

/// Compiles what may match anywhere in a text, as the functions of templates have it.
///
/// # Errors
/// When Go would refuse it, or it compiles to more than 1 MiB.
pub fn go_regex(pattern: &str) -> Result<Regex, PatternError> {
    compile(pattern, &translate(pattern)?)
}

fn compile(written: &str, translated: &str) -> Result<Regex, PatternError> {
    RegexBuilder::new(translated).size_limit(MAX_COMPILED).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => {
            PatternError(format!("expression is too large (compiled, more than {limit} bytes): `{written}`"))
        }
        other => {
            let text = other.to_string();
            let reason = text.rsplit_once("error: ").map_or(text.as_str(), |(_, reason)| reason);
            PatternError(format!("{}: `{written}`", reason.trim().replace('\n', " ")))
        }
    })
}

/// Rewrites what Go and we understand differently: `\d`, `\w`, `\s` and `\b` mean ASCII, a brace that counts nothing is a brace, signs
/// inside a class are characters, `\<` is a sign, `\101` is an octal number, and `\Q...\E` quotes.
fn translate(pattern: &str) -> Result<String, PatternError> {
    let mut scan = Scan { rest: pattern, out: String::with_capacity(pattern.len() + 16), repeats: vec![1], atom: 1, repeated: None };
    while let Some(c) = scan.rest.chars().next() {
        scan.step(c)?;
    }
    Ok(scan.out)
}

struct Scan<'a> {
    rest: &'a str,
    out: String,
    /// For every open group, how often its heaviest part is repeated; of what was read last, `atom`.
    repeats: Vec<u64>,
    atom: u64,
    /// Where the last repetition began, while nothing stands behind it.
    repeated: Option<&'a str>,
}

impl<'a> Scan<'a> {
    fn step(&mut self, c: char) -> Result<(), PatternError> {
        let here = self.rest;
        let before = self.repeated.take();
        self.rest = &here[c.len_utf8()..];
        let counted = if c == '{' { counts(here) } else { None };
        match (c, counted) {
            ('*' | '+' | '?', _) => return self.repetition(here, 1, 1, before),
            (_, Some((length, largest))) => return self.repetition(here, length, largest, before),
            _ => {}
        }
        self.atom = 1;
        match c {
            '\\' => self.escape(here)?,
            '[' => self.class(here)?,
            '{' => self.out.push_str("\\{"),
            '(' => self.group(here)?,
            ')' => {
                self.out.push(')');
                let inner = if self.repeats.len() > 1 { self.repeats.pop().unwrap_or(1) } else { 1 };
                self.note(inner);
            }
            _ => self.out.push(c),
        }
        Ok(())
    }

    /// Remembers how heavy what was read last is.
    fn note(&mut self, atom: u64) {
        self.atom = atom;
        if let Some(group) = self.repeats.last_mut() {
            *group = (*group).max(atom);
        }
    }

    /// A sign of repetition, which is `length` long and asks for at most `largest`.
    fn repetition(&mut self, here: &'a str, length: usize, largest: u64, before: Option<&'a str>) -> Result<(), PatternError> {
        let lazy = usize::from(here[length..].starts_with('?'));
        let rest = &here[length + lazy..];
        if let Some(before) = before {
            return refused("invalid nested repetition operator", &before[..before.len() - rest.len()]);
        }
        let weight = self.atom.saturating_mul(largest.max(1));
        if weight > MAX_REPEAT {
            return refused("invalid repeat count", &here[..length]);
        }
        self.note(weight);
        self.out.push_str(&here[..length + lazy]);
        (self.rest, self.repeated) = (rest, Some(here));
        Ok(())
    }

    /// What may stand behind an opening parenthesis. Flags that only we have would change the meaning of what follows.
    fn group(&mut self, here: &'a str) -> Result<(), PatternError> {
        self.repeats.push(1);
        self.out.push('(');
        let Some(inside) = self.rest.strip_prefix('?') else { return Ok(()) };
        let length = match inside.strip_prefix('P').unwrap_or(inside).strip_prefix('<') {
            Some(name) => inside.len() - name.len(),
            None => inside.find(|c: char| !c.is_ascii_alphabetic() && c != '-').unwrap_or(inside.len()),
        };
        let named = inside[..length].ends_with('<');
        if let Some(wrong) = inside[..length].find(|c| !matches!(c, 'i' | 'm' | 's' | 'U' | '-')).filter(|_| !named) {
            return refused("invalid or unsupported Perl syntax", &here[..3 + wrong]);
        }
        self.out.push('?');
        self.out.push_str(&inside[..length]);
        self.rest = &inside[length..];
        Ok(())
    }

    /// A backslash outside of a class.
    fn escape(&mut self, here: &'a str) -> Result<(), PatternError> {
        let Some(escaped) = self.rest.chars().next() else {
            self.out.push('\\');
            return Ok(());
        };
        let after = &self.rest[escaped.len_utf8()..];
        if escaped == 'Q' {
            let end = after.find("\\E");
            self.out.push_str(&regex::escape(&after[..end.unwrap_or(after.len())]));
            self.rest = end.map_or("", |end| &after[end + 2..]);
        } else if let Some((_, members)) = CLASSES.iter().find(|(name, _)| *name == escaped.to_ascii_lowercase()) {
            self.rest = after;
            self.out.extend([if escaped.is_ascii_uppercase() { "[^" } else { "[" }, members, "]"]);
        } else if escaped == 'b' {
            self.rest = after;
            self.out.push_str("(?-u:\\b)");
        } else if matches!(escaped, 'p' | 'P') {
            self.property(here, escaped);
        } else {
            self.character(here)?;
        }
        Ok(())
    }

    /// `\pL`, `\p{Greek}` and, with a sign that only Go reads, `\p{^Greek}`.
    fn property(&mut self, here: &'a str, letter: char) {
        let named = &here[2..];
        let length = match named.chars().next() {
            Some('{') => named.find('}').map_or(named.len(), |end| end + 1),
            Some(c) => c.len_utf8(),
            None => 0,
        };
        self.rest = &named[length..];
        match named[..length].strip_prefix("{^") {
            Some(name) => self.out.extend([if letter == 'p' { "\\P{" } else { "\\p{" }, name]),
            None => self.out.push_str(&here[..2 + length]),
        }
    }

    /// One character, escaped or not, written so that it is nothing else inside a class; the character, where that is known.
    fn character(&mut self, here: &'a str) -> Result<Option<char>, PatternError> {
        let mut characters = here.chars();
        let Some(first) = characters.next() else { return Ok(None) };
        self.rest = characters.as_str();
        if first != '\\' {
            if matches!(first, '[' | ']' | '^' | '-' | '&' | '~') {
                self.out.push('\\');
            }
            self.out.push(first);
            return Ok(Some(first));
        }
        let Some(escaped) = characters.next() else {
            self.out.push('\\');
            return Ok(None);
        };
        self.rest = characters.as_str();
        let digits = |text: &str, radix, most| text.chars().take(most).take_while(|c| c.is_digit(radix)).count();
        let (from, to, radix) = match escaped {
            // Behind a backslash these two mean something else here.
            '<' | '>' => {
                self.out.push(escaped);
                return Ok(Some(escaped));
            }
            'u' | 'U' => return refused("invalid escape sequence", &here[..2]),
            'x' if self.rest.starts_with('{') => (3, 3 + digits(&self.rest[1..], 16, 8), 16),
            'x' => (2, 2 + digits(self.rest, 16, 2), 16),
            // A single digit but zero would refer back, which neither engine does.
            '0'..='7' if escaped == '0' || digits(self.rest, 8, 1) == 1 => (1, 2 + digits(self.rest, 8, 2), 8),
            _ => {
                self.out.extend(['\\', escaped]);
                return Ok(escaped.is_ascii_punctuation().then_some(escaped));
            }
        };
        let braced = from == 3;
        let Some(named) = u32::from_str_radix(&here[from..to], radix).ok().and_then(char::from_u32) else {
            return refused("invalid escape sequence", &here[..to]);
        };
        if (braced && !here[to..].starts_with('}')) || (escaped == 'x' && !braced && to - from < 2) {
            return refused("invalid escape sequence", &here[..to]);
        }
        self.rest = &here[to + usize::from(braced)..];
        self.out.push_str(&format!("\\x{{{:x}}}", u32::from(named)));
        Ok(Some(named))
    }

    /// `[...]`, whose members are characters, ranges of them and classes.
    fn class(&mut self, here: &'a str) -> Result<(), PatternError> {
        self.out.push('[');
        if let Some(negated) = self.rest.strip_prefix('^') {
            self.out.push('^');
            self.rest = negated;
        }
        let mut first = true;
        loop {
            let member = self.rest;
            let Some(c) = member.chars().next() else { return refused("missing closing ]", here) };
            if c == ']' && !first {
                self.rest = &member[1..];
                self.out.push(']');
                return Ok(());
            }
            first = false;
            let escaped = member.strip_prefix('\\').and_then(|m| m.chars().next());
            if let Some(length) = member.strip_prefix("[:").and_then(|named| named.find(":]")).map(|at| at + 4) {
                let name = member[2..length - 2].trim_start_matches('^');
                if !NAMED.contains(&name) {
                    return refused("invalid character class range", &member[..length]);
                }
                self.out.push_str(&member[..length]);
                self.rest = &member[length..];
            } else if let Some((name, members)) =
                escaped.and_then(|e| CLASSES.iter().find(|(name, _)| *name == e.to_ascii_lowercase()).map(|(_, members)| (e, members)))
            {
                self.rest = &member[2..];
                self.out.extend(if name.is_ascii_uppercase() { ["[^", members, "]"] } else { ["", members, ""] });
            } else if let Some(property @ ('p' | 'P')) = escaped {
                self.property(member, property);
            } else {
                let low = self.character(member)?;
                if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                    self.out.push('-');
                    let high = self.character(&self.rest[1..])?;
                    if low.zip(high).is_some_and(|(low, high)| high < low) {
                        return refused("invalid character class range", &member[..member.len() - self.rest.len()]);
                    }
                }
            }
        }
    }
}

/// How long a count like `{2}`, `{2,}` or `{2,5}` is that `text` begins with, and the largest number in it; anything else is a brace.
fn counts(text: &str) -> Option<(usize, u64)> {
    let end = text.find('}')?;
    let (least, most) = text[1..end].split_once(',').map_or((&text[1..end], None), |(least, most)| (least, Some(most)));
    let number = |digits: &str| {
        let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0')) && !digits.is_empty();
        plain.then(|| digits.parse().unwrap_or(u64::MAX))
    };
    let largest = match most {
        None | Some("") => number(least)?,
        Some(most) => number(least)?.max(number(most)?),
    };
    Some((end + 1, largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        go_regex_whole(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}")).is_match(text)
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
    }

    #[test]
    fn a_brace_that_counts_nothing_is_a_brace() {
        for (pattern, yes, no) in [
            ("/users/{id}", "/users/{id}", "/users/id"),
            ("/users/{id}|/orders/{id:[0-9]+}", "/orders/{id:7}", "/orders/7"),
            ("{", "{", ""),
            ("a{", "a{", "a"),
            ("a{,2}", "a{,2}", "aa"),
            ("a{x}+", "a{x}}", "a{x"),
            ("a{1,", "a{1,", "a"),
            ("a{01}", "a{01}", "a"),
            ("a{2}", "aa", "a{2}"),
            ("a{2,}", "aaa", "a"),
            ("(ab){1,2}?", "abab", "ababab"),
        ] {
            assert!(matches(pattern, yes), "{pattern} {yes}");
            assert!(!matches(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn escapes_are_those_of_go() {
        for (pattern, yes, no) in [
            (r"\<a\>", "<a>", "a"),
            (r"[\<\>]+", "<>", "a"),
            (r"\101\0", "A\0", "A"),
            (r"\x41\x{e9}", "Aé", "A"),
            (r"[\x41-\x{43}\060-\062]+", "ABC012", "D"),
            (r"\pL+", "é", "1"),
            (r"\p{^L}", "1", "é"),
            (r"[\p{Greek}x]+", "λx", "a"),
            (r"\x{41}{2}", "AA", "A"),
            (r"\p{Lu}{2}", "ÉÉ", "É"),
            // No letter but those of ASCII makes a word.
            (r"é\ba", "éa", "aa"),
            (r"(?i)\bget\b.*", "GET /", "getter"),
            (r".\b.", "a ", "é "),
        ] {
            assert!(matches(pattern, yes), "{pattern} {yes}");
            assert!(!matches(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn groups_keep_names_and_flags() {
        let regex = go_regex("(?P<host>[^:]+)(?::(?<port>[0-9]+))?").expect("good");
        let found = regex.captures("db:5432").expect("matches");
        assert_eq!((&found["host"], &found["port"]), ("db", "5432"));
        assert!(matches("(?i)get|(?-i)post", "GET") && matches("(?i:a)b", "Ab") && !matches("(?i:a)b", "AB"));
        assert!(matches("(?U)a+", "aa") && matches("a|(b{2}|c)*", "bbc"));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for (pattern, reason) in [
            ("a**", "invalid nested repetition operator: `**`"),
            ("ba*?+c", "invalid nested repetition operator: `*?+`"),
            ("a{1}{2}", "invalid nested repetition operator: `{1}{2}`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("(a{100}){11}", "invalid repeat count: `{11}`"),
            ("((?:a{30})b{2}){30}{2}", "invalid nested repetition operator: `{30}{2}`"),
            ("[a--b]", "invalid character class range: `a--`"),
            (r"[\x42-A]", r"invalid character class range: `\x42-A`"),
            (r"\u0041", r"invalid escape sequence: `\u`"),
            ("(?x)a b", "invalid or unsupported Perl syntax: `(?x`"),
            ("(?i-u)a", "invalid or unsupported Perl syntax: `(?i-u`"),
            ("[a", "missing closing ]: `[a`"),
        ] {
            assert_eq!(go_regex_whole(pattern).expect_err(pattern).to_string(), reason, "{pattern}");
        }
        for pattern in [
            "*",
            "(",
            ")",
            "a)",
            "+a",
            r"\8",
            r"\1",
            r"\x4",
            r"\x{}",
            r"\C",
            r"\Z",
            "(?=a)",
            "(?!a)",
            "(?<=a)",
            "(?P=n)",
            r"a\",
            "{1}",
            "[[:foo:]]",
        ] {
            assert!(go_regex_whole(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn one_that_compiles_to_too_much_is_refused() {
        let error = go_regex(r"(?:\pL{30}){30}").expect_err("large").to_string();
        assert!(error.starts_with("expression is too large"), "{error}");
    }
}
