//! A YAML document as a tree that knows where each part stands. Scalars keep their text: Prometheus decodes every scalar
//! of a rule file into a string or a duration, so `1.10` must not become `1.1` on the way.

use granit_parser::{Event, Parser, ScalarStyle, options};
use std::collections::HashMap;

/// Documents beyond this are refused before they are looked at.
const MAX_BYTES: usize = 8 << 20;
/// Nodes of the written document.
const MAX_NODES: usize = 200_000;
/// Nodes that aliases may add by repetition: what a "billion laughs" document wants millions of.
const MAX_ALIASED: usize = 20_000;
const MAX_DEPTH: usize = 64;

/// A problem at a place; line and column count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct YamlError {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub kind: Kind,
    pub line: usize,
    pub column: usize,
    /// A scalar that is text whatever it looks like, because it is quoted or tagged so.
    pub quoted: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Null,
    Scalar(String),
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    pub fn error(&self, message: impl Into<String>) -> YamlError {
        YamlError { line: self.line, column: self.column, message: message.into() }
    }

    /// The text of a scalar; null is the empty text, as Go's decoder has it.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(text) => Some(text),
            Kind::Null => Some(""),
            _ => None,
        }
    }

    /// A decimal number as Go's decoder reads it: whole numbers of every base, `.inf`, `.nan`, `1e3`. Null is 0; text is no number.
    pub fn number(&self) -> Option<f64> {
        let text = match &self.kind {
            Kind::Scalar(text) if !self.quoted => text,
            _ => return self.whole_number().map(|n| n as f64),
        };
        match text.trim_start_matches(['+', '-']) {
            ".inf" | ".Inf" | ".INF" => return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
            ".nan" | ".NaN" | ".NAN" if !text.starts_with(['+', '-']) => return Some(f64::NAN),
            digits if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {}
            _ => return None,
        }
        let decimal = text.replace('_', "");
        let whole = if decimal.contains(['.', 'e', 'E']) { None } else { self.whole_number().map(|n| n as f64) };
        whole.or_else(|| decimal.parse().ok())
    }

    /// A whole number as YAML writers put it: `1_000`, `0x10`, `0o17`, `017`, `1e3`; `1.5` is cut, as Go's decoder does. Null is 0.
    pub fn whole_number(&self) -> Option<i64> {
        let text = match &self.kind {
            Kind::Null => return Some(0),
            Kind::Scalar(text) if !self.quoted => text.replace('_', ""),
            _ => return None,
        };
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(&text)),
        };
        if digits.starts_with(['+', '-']) {
            return None;
        }
        let based = |prefix: &str, radix: u32| digits.strip_prefix(prefix).and_then(|d| i64::from_str_radix(d, radix).ok());
        let octal = || digits.strip_prefix('0').filter(|d| !d.is_empty()).and_then(|d| i64::from_str_radix(d, 8).ok());
        let int = based("0x", 16).or_else(|| based("0o", 8)).or_else(|| based("0b", 2)).or_else(octal).or_else(|| digits.parse().ok());
        let float = || digits.parse::<f64>().ok().filter(|f| f.is_finite() && *f < i64::MAX as f64).map(|f| f as i64);
        Some(sign * int.or_else(float)?)
    }

    pub fn kind_word(&self) -> &'static str {
        match self.kind {
            Kind::Null => "null",
            Kind::Scalar(_) => "a scalar",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a map",
        }
    }
}

/// The first document of a text, and whether more follow. An empty text is `Null`.
pub(crate) fn parse(text: &str) -> Result<(Node, bool), YamlError> {
    if text.len() > MAX_BYTES {
        return Err(YamlError {
            line: 1,
            column: 1,
            message: format!("file is {} bytes; at most {MAX_BYTES} are read: split it", text.len()),
        });
    }
    // The last two as libyaml has them, whose reading promtool compares annotations by.
    let settings = options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        block_scalar_eof_without_line_feed: true,
        bom_inside_document_as_content: true,
    };
    let mut builder = Builder::default();
    let mut documents = 0;
    for next in Parser::new_from_str_with_options(text, settings) {
        let (event, span) =
            next.map_err(|e| YamlError { line: e.marker().line(), column: e.marker().col() + 1, message: format!("yaml: {}", e.info()) })?;
        let (line, column) = (span.start.line(), span.start.col() + 1);
        match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    break;
                }
            }
            Event::Scalar(value, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let null = plain && matches!(&*value, "" | "~" | "null" | "Null" | "NULL");
                let kind = if null { Kind::Null } else { Kind::Scalar(value.into_owned()) };
                let quoted = tag.as_ref().map_or(style != ScalarStyle::Plain, |t| t.suffix() == "str");
                builder.leaf(Node { kind, line, column, quoted }, anchor)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                builder.open(Node { kind: Kind::Sequence(Vec::new()), line, column, quoted: false }, anchor)?
            }
            Event::MappingStart(_, anchor, _) => {
                builder.open(Node { kind: Kind::Mapping(Vec::new()), line, column, quoted: false }, anchor)?
            }
            Event::SequenceEnd | Event::MappingEnd => builder.close()?,
            Event::Alias(id) => builder.alias(id, line, column)?,
            _ => {}
        }
    }
    Ok((builder.root.unwrap_or(Node { kind: Kind::Null, line: 1, column: 1, quoted: false }), documents > 1))
}

struct Open {
    node: Node,
    key: Option<Node>,
    anchor: usize,
}

#[derive(Default)]
struct Builder {
    stack: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    aliased: usize,
}

impl Builder {
    fn open(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        self.count(&node)?;
        if self.stack.len() >= MAX_DEPTH {
            return Err(node.error(format!("yaml: nested deeper than {MAX_DEPTH}")));
        }
        self.stack.push(Open { node, key: None, anchor });
        Ok(())
    }

    fn close(&mut self) -> Result<(), YamlError> {
        match self.stack.pop() {
            Some(mut open) => {
                if let Kind::Mapping(entries) = &mut open.node.kind {
                    merge(entries)?;
                }
                self.place(open.node, open.anchor)
            }
            None => Ok(()),
        }
    }

    fn leaf(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        self.count(&node)?;
        self.place(node, anchor)
    }

    fn count(&mut self, node: &Node) -> Result<(), YamlError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES { Err(node.error(format!("yaml: more than {MAX_NODES} values: split the file"))) } else { Ok(()) }
    }

    fn alias(&mut self, id: usize, line: usize, column: usize) -> Result<(), YamlError> {
        let at = |message: String| YamlError { line, column, message };
        let Some((node, size)) = self.anchors.get(&id) else {
            return Err(at("yaml: alias refers to a value that contains it".to_owned()));
        };
        self.aliased += size;
        if self.aliased > MAX_ALIASED {
            return Err(at(format!("yaml: aliases repeat more than {MAX_ALIASED} values (excessive aliasing)")));
        }
        let mut node = node.clone();
        node.line = line;
        node.column = column;
        self.place(node, 0)
    }

    fn place(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        if anchor != 0 {
            let size = size(&node);
            self.aliased += size / 16;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(parent) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut parent.node.kind {
            Kind::Sequence(items) => items.push(node),
            Kind::Mapping(entries) => match parent.key.take() {
                None => parent.key = Some(node),
                Some(key) => place_entry(entries, key, node)?,
            },
            Kind::Null | Kind::Scalar(_) => {}
        }
        Ok(())
    }
}

/// Adds a key; a repeated key is an error, except `<<`, which waits for the end of the map.
fn place_entry(entries: &mut Vec<(Node, Node)>, key: Node, value: Node) -> Result<(), YamlError> {
    let merge = key.text() == Some(MERGE);
    if !merge && let Some(first) = entries.iter().find(|(have, _)| have.text().is_some() && have.text() == key.text()) {
        return Err(key.error(format!("mapping key {:?} already defined at line {}", key.text().unwrap_or(""), first.0.line)));
    }
    entries.push((key, value));
    Ok(())
}

const MERGE: &str = "<<";

/// Puts what `<<` names underneath the keys of the map itself.
fn merge(entries: &mut Vec<(Node, Node)>) -> Result<(), YamlError> {
    if !entries.iter().any(|(key, _)| key.text() == Some(MERGE)) {
        return Ok(());
    }
    let (merges, own): (Vec<_>, Vec<_>) = std::mem::take(entries).into_iter().partition(|(key, _)| key.text() == Some(MERGE));
    *entries = own;
    for (_, value) in merges {
        let fail = |node: &Node| node.error("yaml: map merge requires a map or a list of maps");
        let maps = match value.kind {
            Kind::Mapping(_) => vec![value],
            Kind::Sequence(items) => items,
            _ => return Err(fail(&value)),
        };
        for map in maps {
            let Kind::Mapping(inner) = map.kind else { return Err(fail(&map)) };
            for (key, value) in inner {
                if !entries.iter().any(|(have, _)| have.text() == key.text()) {
                    entries.push((key, value));
                }
            }
        }
    }
    Ok(())
}

fn size(node: &Node) -> usize {
    match &node.kind {
        Kind::Null | Kind::Scalar(_) => 1,
        Kind::Sequence(items) => 1 + items.iter().map(size).sum::<usize>(),
        Kind::Mapping(entries) => 1 + entries.iter().map(|(k, v)| size(k) + size(v)).sum::<usize>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_keep_their_text_and_place() -> Result<(), YamlError> {
        let (root, more) = parse("a: 1.10\nb:\n  - true\n  - 'null'\n  - ~\n")?;
        assert!(!more);
        let Kind::Mapping(entries) = root.kind else { panic!("not a map") };
        assert_eq!(entries[0].1.text(), Some("1.10"));
        let Kind::Sequence(items) = &entries[1].1.kind else { panic!("not a list") };
        assert_eq!(items[0].kind, Kind::Scalar("true".to_owned()));
        assert_eq!(items[1].kind, Kind::Scalar("null".to_owned()));
        assert_eq!(items[2].kind, Kind::Null);
        assert_eq!((items[1].line, items[1].column), (4, 5));
        Ok(())
    }

    /// As promtool 2.42 reads the values of its tests.
    #[test]
    fn numbers_are_numbers_and_text_is_none() -> Result<(), YamlError> {
        for (text, number) in [
            ("1", Some(1.0)),
            ("0b11", Some(3.0)),
            ("0o17", Some(15.0)),
            ("0x_1F", Some(31.0)),
            ("017", Some(15.0)),
            ("09.5", Some(9.5)),
            ("-.5e3", Some(-500.0)),
            ("1_0", Some(10.0)),
            ("-.Inf", Some(f64::NEG_INFINITY)),
            ("~", Some(0.0)),
            ("!!float \"1\"", Some(1.0)),
            ("!!str 1", None),
            ("'1'", None),
            ("_1", None),
            ("inf", None),
            ("NaN", None),
            ("true", None),
            ("--1", None),
        ] {
            assert_eq!(parse(text)?.0.number(), number, "{text}");
        }
        Ok(())
    }

    /// As promtool reads them: rule files in use have such descriptions.
    #[test]
    fn texts_in_quotes_go_on_at_any_indentation() -> Result<(), YamlError> {
        for text in ["a:\n  b: \"one\n  two\"\n", "a:\n  b: 'one\ntwo'\n", "a:\n  b: \"one\n\ttwo\"\n"] {
            let Kind::Mapping(entries) = parse(text)?.0.kind else { panic!("not a map") };
            let Kind::Mapping(inner) = &entries[0].1.kind else { panic!("not a map") };
            assert_eq!(inner[0].1.text(), Some("one two"), "{text}");
        }
        Ok(())
    }

    #[test]
    fn a_block_that_ends_with_the_file_gets_no_line_of_its_own() -> Result<(), YamlError> {
        for (text, value) in [("|\n  up", "up"), ("|\n  up\n", "up\n"), (">\n  a\n  b", "a b")] {
            assert_eq!(parse(text)?.0.text(), Some(value), "{text}");
        }
        Ok(())
    }

    #[test]
    fn alias_bombs_depth_and_repeated_keys_are_refused_with_their_place() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..9 {
            let previous = format!("*a{}", i - 1);
            bomb.push_str(&format!("a{i}: &a{i} [{}]\n", vec![previous; 10].join(", ")));
        }
        let error = parse(&bomb).expect_err("a bomb");
        assert!(error.message.contains("aliases repeat"), "{error:?}");
        assert!(error.line <= 6);
        assert!(parse(&"[".repeat(5000)).is_err());
        assert!(parse(&(0..500).map(|i| format!("{}a:\n", " ".repeat(i))).collect::<String>()).is_err());
        let twice = parse("a: 1\nb: 2\na: 3\n").expect_err("repeated key");
        assert_eq!((twice.line, twice.column), (3, 1));
        assert!(parse("a: &x [*x]\n").is_err());
        assert!(parse("a: *nowhere\n").is_err());
    }

    #[test]
    fn merges_fill_in_what_is_not_said() -> Result<(), YamlError> {
        let (root, _) = parse("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  x: 3\n")?;
        let Kind::Mapping(entries) = root.kind else { panic!("not a map") };
        let Kind::Mapping(used) = &entries[1].1.kind else { panic!("not a map") };
        let read: Vec<_> = used.iter().map(|(k, v)| (k.text().unwrap_or(""), v.text().unwrap_or(""))).collect();
        assert_eq!(read, [("x", "3"), ("y", "2")]);
        Ok(())
    }
}
