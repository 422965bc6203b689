//! From text to conditions: tokens, precedence, and what is wrong with what somebody typed.

use super::{ATTRIBUTES, Comparison, Node, SOUGHT_ATTRIBUTES, SOUGHT_TIME};
use crate::command;
use crate::zone::Zone;
use regex::RegexBuilder;
use watchfire_model::Timestamp;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Open,
    Close,
    Not,
    And,
    Or,
    /// A bare word, or a test: field, sign, value.
    Word(String),
    Test(String, Comparison, String),
}

const ONLY_SOUGHT: &str = "attributes and start: only attribute.name=value, start>03:10, start<-10m, and not within `or` or `!`";
/// Later than any moment that somebody looks for, to try whether a text is a time at all.
const SOME_TIME: Timestamp = Timestamp::from_millis(4_000_000_000_000);

const SIGNS: [(&str, Comparison); 9] = [
    ("!=", Comparison::NotEqual),
    ("!~", Comparison::NotMatches),
    ("=~", Comparison::Matches),
    (">=", Comparison::GreaterOrEqual),
    ("<=", Comparison::LessOrEqual),
    ("=", Comparison::Equal),
    ("~", Comparison::Matches),
    (">", Comparison::Greater),
    ("<", Comparison::Less),
];

/// Fields that are numbers in every view that has them; compared with anything else, no row could ever be right.
const NUMBERS: [&str; 21] = [
    "rate",
    "err",
    "p50",
    "p95",
    "p99",
    "dur",
    "busy",
    "spans",
    "errors",
    "depth",
    "in",
    "out",
    "oldest",
    "drain",
    "dead",
    "consumers",
    "fail",
    "flips",
    "burn",
    "budget",
    "time",
];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('(') {
            out.push(Token::Open);
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix(')') {
            out.push(Token::Close);
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix('!') {
            out.push(Token::Not);
            rest = tail;
        } else {
            let (word, tail) = piece(rest, true)?;
            rest = tail;
            let sign = SIGNS.iter().find_map(|(sign, c)| rest.strip_prefix(sign).map(|tail| (*c, tail)));
            match (sign, word.to_ascii_lowercase().as_str()) {
                (Some((comparison, tail)), _) if !word.is_empty() => {
                    let (value, tail) = piece(tail, false)?;
                    rest = tail;
                    // Fields are ours; what an attribute is called is up to who sends it.
                    let field = if word.contains('.') { word } else { word.to_ascii_lowercase() };
                    out.push(Token::Test(field, comparison, value));
                }
                (Some(_), _) => return Err("a comparison without a field before it".to_owned()),
                (None, "and") => out.push(Token::And),
                (None, "or") => out.push(Token::Or),
                (None, "not") => out.push(Token::Not),
                (None, lower) => out.push(Token::Word(lower.trim_start_matches(':').to_owned())),
            }
        }
        rest = rest.trim_start();
        if out.len() > 256 {
            return Err("longer than 256 terms".to_owned());
        }
    }
    Ok(out)
}

/// The text as one value, whatever is in it.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// One word, quoted or not. Within quotes a backslash makes an ordinary letter of a quote or of another
/// backslash; before others it is one itself, as in a pattern. A field ends at a comparison, a value only at a blank or a parenthesis.
fn piece(text: &str, is_field: bool) -> Result<(String, &str), String> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (mut piece, mut letters) = (String::new(), quoted.chars());
        loop {
            match letters.next().ok_or("a quote that does not end")? {
                '"' => return Ok((piece, letters.as_str())),
                '\\' if letters.as_str().starts_with(['"', '\\']) => piece.extend(letters.next()),
                letter => piece.push(letter),
            }
        }
    }
    let ends = |c: char| c.is_whitespace() || matches!(c, ')') || (is_field && matches!(c, '(' | '=' | '!' | '~' | '<' | '>'));
    let end = text.find(ends).unwrap_or(text.len());
    Ok((text[..end].to_owned(), &text[end..]))
}

pub(super) struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    known: &'a [&'a str],
    depth: usize,
    /// Terms read so far that the source looks for, which holds only for what must be there in any case.
    sought: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(tokens: &'a [Token], known: &'a [&'a str]) -> Self {
        Parser { tokens, at: 0, known, depth: 0, sought: 0 }
    }

    /// All of the tokens, as one condition.
    pub(super) fn whole(mut self) -> Result<Node, String> {
        let root = self.either()?;
        if self.at < self.tokens.len() {
            return Err("a ) without its (".to_owned());
        }
        Ok(root)
    }

    fn either(&mut self) -> Result<Node, String> {
        let sought = self.sought;
        let mut left = self.both()?;
        while self.tokens.get(self.at) == Some(&Token::Or) {
            self.at += 1;
            left = Node::Or(Box::new(left), Box::new(self.both()?));
            self.none_sought_since(sought)?;
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Node, String> {
        let mut left = self.one()?;
        loop {
            match self.tokens.get(self.at) {
                None | Some(Token::Or | Token::Close) => return Ok(left),
                Some(Token::And) => self.at += 1,
                Some(_) => {}
            }
            left = Node::And(Box::new(left), Box::new(self.one()?));
        }
    }

    fn one(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > 64 {
            return Err("nested deeper than 64".to_owned());
        }
        let token = self.tokens.get(self.at).ok_or("something is missing at the end")?;
        self.at += 1;
        let node = match token {
            Token::Not => {
                let sought = self.sought;
                let inner = self.one()?;
                self.none_sought_since(sought)?;
                Node::Not(Box::new(inner))
            }
            Token::Open => {
                let inner = self.either()?;
                if self.tokens.get(self.at) != Some(&Token::Close) {
                    return Err("a ( without its )".to_owned());
                }
                self.at += 1;
                inner
            }
            Token::Word(word) => Node::Word(word.clone()),
            Token::Test(field, comparison, text) => self.test(field, *comparison, text)?,
            Token::Close => return Err("a ) without its (".to_owned()),
            Token::And | Token::Or => return Err("`and` and `or` stand between two terms".to_owned()),
        };
        self.depth -= 1;
        Ok(node)
    }

    fn none_sought_since(&self, sought: usize) -> Result<(), String> {
        if self.sought > sought { Err(ONLY_SOUGHT.to_owned()) } else { Ok(()) }
    }

    /// Whether the view has that field, by its name or as one of a family: `label.NAME` is every `label.x`.
    fn knows(&self, field: &str) -> bool {
        let family =
            |known: &&str| known.strip_suffix("NAME").is_some_and(|family| field.len() > family.len() && field.starts_with(family));
        self.known.contains(&field) || self.known.iter().any(family) || field.contains('.') && self.known.contains(&ATTRIBUTES)
    }

    fn test(&mut self, field: &str, comparison: Comparison, text: &str) -> Result<Node, String> {
        if !self.knows(field) {
            if !field.contains('.') || !self.known.contains(&SOUGHT_ATTRIBUTES) {
                let attribute = self.known.contains(&SOUGHT_ATTRIBUTES);
                let instead = if attribute { format!("; as an attribute it is .{field}=VALUE") } else { String::new() };
                return Err(format!("no field `{field}` here; there are {}{instead}", self.known.join(", ")));
            }
            if comparison != Comparison::Equal {
                return Err(ONLY_SOUGHT.to_owned());
            }
            self.sought += 1;
        }
        if field == SOUGHT_TIME && self.known.contains(&SOUGHT_TIME) {
            let compared =
                matches!(comparison, Comparison::Less | Comparison::LessOrEqual | Comparison::Greater | Comparison::GreaterOrEqual);
            if !compared || !matches!(command::time(text, SOME_TIME, Zone::default()), Ok(Some(_))) {
                return Err("`start` is compared with a time, as 03:10:31 or -10m, by < > <= >=".to_owned());
            }
            self.sought += 1;
        }
        let pattern = match comparison {
            Comparison::Matches | Comparison::NotMatches => Some(
                RegexBuilder::new(text)
                    .case_insensitive(true)
                    .size_limit(1 << 20)
                    .build()
                    .map_err(|_| format!("`{text}` is not a regular expression"))?,
            ),
            _ => None,
        };
        let number = quantity(text);
        if NUMBERS.contains(&field) && (number.is_none() || pattern.is_some()) {
            return Err(format!("`{field}` is compared with a number, as 500ms 2m 5% 1.4k, by = != < > <= >="));
        }
        Ok(Node::Test { field: field.to_owned(), comparison, text: text.to_owned(), number, pattern })
    }
}

/// A number with a unit: `500ms`, `1.5s`, `2m`, `5%`, `1.4k`.
fn quantity(text: &str) -> Option<f64> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+'))).unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let factor = match &text[digits..] {
        "" | "s" => 1.0,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "%" => 0.01,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "/s" => 1.0,
        _ => return None,
    };
    Some(number * factor)
}
