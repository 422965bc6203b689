//! The one filter grammar of all views: `service=x dur>500ms error !health`, with `and`, `or`, `!` and parentheses.

mod grammar;

use crate::command;
use crate::zone::Zone;
pub(crate) use grammar::quoted;
use grammar::{Parser, tokens};
use regex::Regex;
use std::borrow::Cow;
use watchfire_model::Timestamp;

/// Among the fields of a view: attributes of its rows, by name.
pub(crate) const ATTRIBUTES: &str = "attribute.name";
/// Among the fields of a view: attributes that rows do not have and the source looks for, each beside other conditions.
pub(crate) const SOUGHT_ATTRIBUTES: &str = "attribute.name=value";
/// Among the fields of a view: when rows began, which the source looks for as well.
pub(crate) const SOUGHT_TIME: &str = "start";

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
        Ok(Filter { text: text.trim().to_owned(), root: Parser::new(&tokens, known).whole()? })
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.root, Node::All)
    }

    pub(crate) fn accepts(&self, row: &dyn Fields) -> bool {
        accepts(&self.root, row)
    }

    /// The conditions that must all hold: those at the top, left to right.
    fn top(&self) -> Vec<&Node> {
        fn collect<'a>(node: &'a Node, out: &mut Vec<&'a Node>) {
            match node {
                Node::And(a, b) => {
                    collect(a, out);
                    collect(b, out);
                }
                other => out.push(other),
            }
        }
        let mut out = Vec::new();
        collect(&self.root, &mut out);
        out
    }

    /// The value of the first `field=value` at the top, for views that can ask for just that.
    pub(crate) fn equal(&self, wanted: &str) -> Option<&str> {
        self.top().into_iter().find_map(|node| match node {
            Node::Test { field, comparison: Comparison::Equal, text, .. } if field == wanted => Some(text.as_str()),
            _ => None,
        })
    }

    /// What is left to be asked of rows when the source has answered `field=value`, [`attributes`](Self::attributes) and [`began`](Self::began) at the
    /// top already.
    pub(crate) fn without(&self, fields: &[&str]) -> Filter {
        fn rest(node: &Node, fields: &[&str]) -> Node {
            match node {
                Node::Test { field, .. } if field == SOUGHT_TIME => Node::All,
                Node::Test { field, comparison: Comparison::Equal, .. } if fields.contains(&field.as_str()) || field.contains('.') => {
                    Node::All
                }
                Node::And(a, b) => Node::And(Box::new(rest(a, fields)), Box::new(rest(b, fields))),
                other => other.clone(),
            }
        }
        Filter { text: self.text.clone(), root: rest(&self.root, fields) }
    }

    /// All `name.with.dots=value` and `.name=value` at the top: attributes.
    pub(crate) fn attributes(&self) -> Vec<(String, String)> {
        let attribute = |node: &Node| match node {
            Node::Test { field, comparison: Comparison::Equal, text, .. } if field.contains('.') => {
                Some((field.strip_prefix('.').unwrap_or(field).to_owned(), text.clone()))
            }
            _ => None,
        };
        self.top().into_iter().filter_map(attribute).collect()
    }

    /// A lower bound on a numeric field that must hold at the top.
    pub(crate) fn at_least(&self, wanted: &str) -> Option<f64> {
        self.top().into_iter().find_map(|node| match node {
            Node::Test { field, comparison: Comparison::Greater | Comparison::GreaterOrEqual, number, .. } if field == wanted => *number,
            _ => None,
        })
    }

    /// An upper bound on a numeric field that must hold at the top.
    pub(crate) fn at_most(&self, wanted: &str) -> Option<f64> {
        self.top().into_iter().find_map(|node| match node {
            Node::Test { field, comparison: Comparison::Less | Comparison::LessOrEqual, number, .. } if field == wanted => *number,
            _ => None,
        })
    }

    /// After and before which moment rows must have begun. What is told from now on back moves in steps of `step` milliseconds, so that the question
    /// stays the same for a while.
    pub(crate) fn began(&self, now: Timestamp, zone: Zone, step: i64) -> (Option<Timestamp>, Option<Timestamp>) {
        let (mut after, mut before) = (None, None);
        for node in self.top() {
            let Node::Test { field, comparison, text, .. } = node else { continue };
            if field != SOUGHT_TIME {
                continue;
            }
            let now = if text.starts_with('-') { now.floor(step) } else { now };
            let Ok(at) = command::time(text, now, zone) else { continue };
            match comparison {
                Comparison::Greater | Comparison::GreaterOrEqual => after = at,
                _ => before = at,
            }
        }
        (after, before)
    }

    /// The bare words that must hold at the top, in lower case.
    pub(crate) fn words(&self) -> Vec<&str> {
        let words = self.top().into_iter().filter_map(|node| match node {
            Node::Word(word) => Some(word.as_str()),
            _ => None,
        });
        words.collect()
    }

    /// The pattern of the first `field~pattern` at the top.
    pub(crate) fn pattern(&self, wanted: &str) -> Option<&str> {
        self.top().into_iter().find_map(|node| match node {
            Node::Test { field, comparison: Comparison::Matches, text, .. } if field == wanted => Some(text.as_str()),
            _ => None,
        })
    }

    /// Whether nothing is left to be asked of rows once the source has answered `field=value` of `equal`, limits of the field `bounded`, the words
    /// `flags` and their opposites, attributes and when rows began.
    pub(crate) fn is_answered_by(&self, equal: &[&str], bounded: &str, flags: &[&str]) -> bool {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
        let mut asked: Vec<&str> = Vec::new();
        self.top().into_iter().all(|node| match node {
            Node::All => true,
            Node::Word(word) => flags.contains(&word.as_str()),
            Node::Not(inner) => matches!(&**inner, Node::Word(word) if flags.contains(&word.as_str())),
            Node::Test { field, .. } if field == SOUGHT_TIME => true,
            Node::Test { field, comparison: Equal, .. } if field.contains('.') => true,
            // The source is asked for one value of each.
            Node::Test { field, comparison: Equal, .. } if equal.contains(&field.as_str()) => {
                let first = !asked.contains(&field.as_str());
                asked.push(field);
                first
            }
            Node::Test { field, comparison: Less | LessOrEqual | Greater | GreaterOrEqual, .. } => field == bounded,
            _ => false,
        })
    }

    /// Whether the bare word must hold at the top, or must not.
    pub(crate) fn flag(&self, word: &str) -> Option<bool> {
        let is = |node: &Node| matches!(node, Node::Word(w) if w == word);
        self.top().into_iter().find_map(|node| match node {
            Node::Not(inner) if is(inner) => Some(false),
            node => is(node).then_some(true),
        })
    }

    /// Whether the bare word must hold at the top.
    pub(crate) fn has_word(&self, word: &str) -> bool {
        self.words().contains(&word)
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
            // A row without it has nothing that could be compared.
            None => matches!(comparison, Comparison::NotEqual | Comparison::NotMatches),
            Some(Field::Flag(flag)) => {
                let wanted = match pattern {
                    Some(pattern) => pattern.is_match(if flag { "true" } else { "false" }),
                    None => flag == matches!(text.as_str(), "true" | "yes" | "1"),
                };
                match comparison {
                    Comparison::Equal | Comparison::Matches => wanted,
                    Comparison::NotEqual | Comparison::NotMatches => !wanted,
                    // A flag is not more or less than anything.
                    _ => false,
                }
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
            ("service~\"^\\w+-service$\"", true),
            ("error=true", true),
            ("error=false", false),
            ("error!=false", true),
            ("error~true", true),
            ("error!~true", false),
            ("error>0", false),
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
            ("dur>>5", "`dur` is compared with a number"),
            ("dur=soon", "`dur` is compared with a number"),
            ("dur~5", "by = != <"),
        ] {
            let error = Filter::parse(text, &["service", "dur"]).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(Filter::parse(&"(".repeat(300), &[]).is_err());
        assert!(Filter::parse(&"!".repeat(200), &[]).is_err());
    }

    #[test]
    fn a_field_with_dots_is_one_of_a_view_that_has_such_fields() {
        let error = |text: &str, known: &[&str]| Filter::parse(text, known).err().unwrap_or_default();
        assert!(error("a.b=c", &["service"]).contains("no field `a.b` here"), "or every row would pass");
        assert!(error("a.b=c", &["service", "label.NAME"]).contains("no field `a.b` here"));
        assert_eq!(error("label.b=c a.b!~c", &["label.NAME", ATTRIBUTES]), "");
        // Where the source looks for them, it can do no more than that.
        for text in ["a.b!=c", "a.b~c", "a.b>5", "error or a.b=c", "!a.b=c", "!(error a.b=c)"] {
            assert!(error(text, &["error", SOUGHT_ATTRIBUTES]).contains("attribute.name=value"), "{text}");
        }
        assert_eq!(error("a.b=c (error x.y=z)", &["error", SOUGHT_ATTRIBUTES]), "");
        // A row without the attribute is not one that has the value.
        for (text, expected) in [("a.b=c", false), ("a.b!=c", true), ("a.b~c", false), ("!a.b=c", true), ("a.b>5", false)] {
            assert_eq!(Filter::parse(text, &[ATTRIBUTES]).expect(text).accepts(&Row), expected, "{text}");
        }
    }

    #[test]
    fn what_is_quoted_is_one_value_whatever_is_in_it() {
        for text in ["GET /a b", "say \"hi\"", "\\", "\\\"", "C:\\temp\\", "a)b (c", "", "\u{7f}ü\n"] {
            let filter = Filter::parse(&format!("service={} error", quoted(text)), &["service", "error"]).expect(text);
            assert_eq!(filter.equal("service"), Some(text));
            assert!(filter.has_word("error"));
        }
    }

    #[test]
    fn what_can_be_asked_of_the_source_is_taken_out() {
        let filter = Filter::parse("service=x dur>500ms error", &["service", "dur"]).expect("valid");
        assert_eq!(filter.equal("service"), Some("x"));
        assert_eq!(filter.at_least("dur"), Some(0.5));
        assert!(filter.has_word("error"));
    }
}
