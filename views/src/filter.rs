//! The one filter grammar of all views: `service=x dur>500ms error !health`, with `and`, `or`, `!` and parentheses.

use regex::{Regex, RegexBuilder};
use std::borrow::Cow;

/// What a row says about itself.
pub(crate) enum Field<'a> {
    Text(Cow<'a, str>),
    /// Several texts of which one has to fit.
    Any(&'a [String]),
    /// Seconds, ratios and counts in their base unit.
    Number(Option<f64>),
    Flag(bool),
}

impl<'a> Field<'a> {
    pub(crate) fn text(text: &'a str) -> Self {
        Field::Text(Cow::Borrowed(text))
    }
}

/// A row that can be filtered.
pub(crate) trait Fields {
    /// The field of that name; `None` when rows of this kind have no such field.
    fn field(&self, name: &str) -> Option<Field<'_>>;

    /// Texts that a bare word is looked for in.
    fn words(&self) -> Vec<Cow<'_, str>>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Matches,
    NotMatches,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug)]
enum Node {
    All,
    /// In lower case.
    Word(String),
    Test {
        field: String,
        comparison: Comparison,
        text: String,
        number: Option<f64>,
        pattern: Option<Regex>,
    },
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
}

/// A parsed filter. The empty text lets everything through.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) text: String,
    root: Node,
}

impl Default for Filter {
    fn default() -> Self {
        Filter { text: String::new(), root: Node::All }
    }
}

impl Filter {
    /// Reads a filter; `known` are the fields of the view it is for.
    ///
    /// # Errors
    /// In words, with what is allowed instead.
    pub(crate) fn parse(text: &str, known: &[&str]) -> Result<Filter, String> {
        let tokens = tokens(text)?;
        if tokens.is_empty() {
            return Ok(Filter::default());
        }
        let mut parser = Parser { tokens: &tokens, at: 0, known, depth: 0 };
        let root = parser.either()?;
        if parser.at < tokens.len() {
            return Err("a ) without its (".to_owned());
        }
        Ok(Filter { text: text.trim().to_owned(), root })
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.root, Node::All)
    }

    pub(crate) fn accepts(&self, row: &dyn Fields) -> bool {
        accepts(&self.root, row)
    }

    /// The value of the first `field=value` at the top, for views that can ask for just that.
    pub(crate) fn equal(&self, field: &str) -> Option<&str> {
        fn find<'a>(node: &'a Node, wanted: &str) -> Option<&'a str> {
            match node {
                Node::Test { field, comparison: Comparison::Equal, text, .. } if field == wanted => Some(text),
                Node::And(a, b) => find(a, wanted).or_else(|| find(b, wanted)),
                _ => None,
            }
        }
        find(&self.root, field)
    }

    /// All `name.with.dots=value` that must hold at the top: attributes.
    pub(crate) fn attributes(&self) -> Vec<(String, String)> {
        fn collect(node: &Node, out: &mut Vec<(String, String)>) {
            match node {
                Node::Test { field, comparison: Comparison::Equal, text, .. } if field.contains('.') => {
                    out.push((field.clone(), text.clone()))
                }
                Node::And(a, b) => {
                    collect(a, out);
                    collect(b, out);
                }
                _ => {}
            }
        }
        let mut out = Vec::new();
        collect(&self.root, &mut out);
        out
    }

    /// A lower bound on a numeric field that must hold at the top.
    pub(crate) fn at_least(&self, field: &str) -> Option<f64> {
        fn find(node: &Node, wanted: &str) -> Option<f64> {
            match node {
                Node::Test { field, comparison: Comparison::Greater | Comparison::GreaterOrEqual, number, .. } if field == wanted => {
                    *number
                }
                Node::And(a, b) => find(a, wanted).or_else(|| find(b, wanted)),
                _ => None,
            }
        }
        find(&self.root, field)
    }

    /// Whether the bare word must hold at the top.
    pub(crate) fn has_word(&self, word: &str) -> bool {
        fn find(node: &Node, wanted: &str) -> bool {
            match node {
                Node::Word(word) => word == wanted,
                Node::And(a, b) => find(a, wanted) || find(b, wanted),
                _ => false,
            }
        }
        find(&self.root, word)
    }
}

fn accepts(node: &Node, row: &dyn Fields) -> bool {
    match node {
        Node::All => true,
        Node::Not(inner) => !accepts(inner, row),
        Node::And(a, b) => accepts(a, row) && accepts(b, row),
        Node::Or(a, b) => accepts(a, row) || accepts(b, row),
        Node::Word(word) => match row.field(word) {
            Some(Field::Flag(flag)) => flag,
            _ => row.words().iter().any(|text| contains(text, word)),
        },
        Node::Test { field, comparison, text, number, pattern } => match row.field(field) {
            // Attributes are not on the row: the source has looked for them.
            None => field.contains('.'),
            Some(Field::Flag(flag)) => {
                let wanted = matches!(text.as_str(), "true" | "yes" | "1");
                (flag == wanted) == (*comparison == Comparison::Equal)
            }
            Some(Field::Number(value)) => {
                let (Some(value), Some(wanted)) = (value, *number) else { return *comparison == Comparison::NotEqual };
                match comparison {
                    Comparison::Equal => (value - wanted).abs() <= wanted.abs() * 1e-9,
                    Comparison::NotEqual => (value - wanted).abs() > wanted.abs() * 1e-9,
                    Comparison::Less => value < wanted,
                    Comparison::LessOrEqual => value <= wanted,
                    Comparison::Greater => value > wanted,
                    Comparison::GreaterOrEqual => value >= wanted,
                    Comparison::Matches | Comparison::NotMatches => false,
                }
            }
            Some(Field::Any(values)) => {
                let negative = matches!(comparison, Comparison::NotEqual | Comparison::NotMatches);
                let one = |value: &String| match pattern {
                    Some(pattern) => pattern.is_match(value),
                    None => value.eq_ignore_ascii_case(text),
                };
                values.iter().any(one) != negative
            }
            Some(Field::Text(value)) => match comparison {
                Comparison::Equal => value.eq_ignore_ascii_case(text),
                Comparison::NotEqual => !value.eq_ignore_ascii_case(text),
                Comparison::Matches => pattern.as_ref().is_some_and(|p| p.is_match(&value)),
                Comparison::NotMatches => pattern.as_ref().is_some_and(|p| !p.is_match(&value)),
                Comparison::Less => value.as_ref() < text.as_str(),
                Comparison::LessOrEqual => value.as_ref() <= text.as_str(),
                Comparison::Greater => value.as_ref() > text.as_str(),
                Comparison::GreaterOrEqual => value.as_ref() >= text.as_str(),
            },
        },
    }
}

/// Case-insensitive; `needle` is in lower case.
fn contains(text: &str, needle: &str) -> bool {
    if text.is_ascii() && needle.is_ascii() {
        let (text, needle) = (text.as_bytes(), needle.as_bytes());
        return needle.is_empty() || text.windows(needle.len()).any(|w| w.eq_ignore_ascii_case(needle));
    }
    text.to_lowercase().contains(needle)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Not,
    And,
    Or,
    /// A bare word, or a test: field, sign, value.
    Word(String),
    Test(String, Comparison, String),
}

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

fn tokens(text: &str) -> Result<Vec<Token>, String> {
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
                    out.push(Token::Test(word.to_ascii_lowercase(), comparison, value));
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

/// One word, quoted or not. A field ends at a comparison, a value only at a blank or a parenthesis.
fn piece(text: &str, is_field: bool) -> Result<(String, &str), String> {
    if let Some(quoted) = text.strip_prefix('"') {
        let end = quoted.find('"').ok_or("a quote that does not end")?;
        return Ok((quoted[..end].to_owned(), &quoted[end + 1..]));
    }
    let ends = |c: char| c.is_whitespace() || matches!(c, ')') || (is_field && matches!(c, '(' | '=' | '!' | '~' | '<' | '>'));
    let end = text.find(ends).unwrap_or(text.len());
    Ok((text[..end].to_owned(), &text[end..]))
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    known: &'a [&'a str],
    depth: usize,
}

impl Parser<'_> {
    fn either(&mut self) -> Result<Node, String> {
        let mut left = self.both()?;
        while self.tokens.get(self.at) == Some(&Token::Or) {
            self.at += 1;
            left = Node::Or(Box::new(left), Box::new(self.both()?));
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
            Token::Not => Node::Not(Box::new(self.one()?)),
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

    fn test(&self, field: &str, comparison: Comparison, text: &str) -> Result<Node, String> {
        if !self.known.contains(&field) && !field.contains('.') {
            return Err(format!("no field `{field}` here; there are {}", self.known.join(", ")));
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
        Ok(Node::Test { field: field.to_owned(), comparison, text: text.to_owned(), number: quantity(text), pattern })
    }
}

/// A number with a unit: `500ms`, `1.5s`, `2m`, `5%`, `1.4k`.
pub(crate) fn quantity(text: &str) -> Option<f64> {
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Row;
    impl Fields for Row {
        fn field(&self, name: &str) -> Option<Field<'_>> {
            match name {
                "service" => Some(Field::text("social-service")),
                "dur" => Some(Field::Number(Some(0.6))),
                "rate" => Some(Field::Number(None)),
                "error" => Some(Field::Flag(true)),
                _ => None,
            }
        }
        fn words(&self) -> Vec<Cow<'_, str>> {
            vec!["social-service".into(), "POST /feed".into()]
        }
    }

    fn holds(text: &str) -> bool {
        Filter::parse(text, &["service", "dur", "rate", "error"]).expect(text).accepts(&Row)
    }

    #[test]
    fn terms_hold_as_they_read() {
        for (text, expected) in [
            ("", true),
            ("service=social-service", true),
            ("service=social", false),
            ("service~^soc dur>500ms", true),
            ("dur>700ms", false),
            ("dur>=0.6s error", true),
            ("!error", false),
            (":error", true),
            ("feed", true),
            ("!health", true),
            ("health or FEED", true),
            ("health or (service!=x and dur<1m)", true),
            ("not (feed)", false),
            ("rate>1", false),
            ("rate!=1", true),
            ("\"post /feed\"", true),
            ("error=true", true),
            ("error=false", false),
        ] {
            assert_eq!(holds(text), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, part) in [
            ("owner=x", "there are service"),
            ("(feed", "without its )"),
            ("feed)", "without its ("),
            ("=x", "without a field"),
            ("service~[", "not a regular"),
        ] {
            let error = Filter::parse(text, &["service"]).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(Filter::parse(&"(".repeat(300), &[]).is_err());
        assert!(Filter::parse(&"!".repeat(200), &[]).is_err());
    }

    #[test]
    fn what_can_be_asked_of_the_source_is_taken_out() {
        let filter = Filter::parse("service=x dur>500ms error", &["service", "dur"]).expect("valid");
        assert_eq!(filter.equal("service"), Some("x"));
        assert_eq!(filter.at_least("dur"), Some(0.5));
        assert!(filter.has_word("error"));
    }
}
