//! Label sets and the matchers that select them.

use crate::pattern::go_regex_whole;
use foldhash::fast::RandomState;
use regex::Regex;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::{self, Write};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";

/// Seeded anew by each process: whoever sends labels cannot choose such as have equal hashes.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// One name and its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    pub name: Arc<str>,
    pub value: Arc<str>,
}

/// A set of labels: sorted by name, names unique, no empty values. Cloning copies a pointer; comparing looks at the hash first.
#[derive(Clone)]
pub struct Labels {
    pairs: Arc<[Label]>,
    hash: u64,
}

impl Labels {
    pub fn empty() -> Self {
        LabelsBuilder::new().build()
    }

    /// From pairs in any order; a later duplicate wins, empty values are dropped.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::new();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.binary_search_by(|label| (*label.name).cmp(name)).ok().map(|index| &*self.pairs[index].value)
    }

    /// The value of a label, or the empty string, which in Prometheus means the same as absent.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    pub fn metric_name(&self) -> &str {
        self.value(METRIC_NAME)
    }

    /// The labels that begin with two underscores, the metric's name among them. They stand together, behind those with a capital.
    pub fn reserved(&self) -> impl Iterator<Item = &Label> {
        self.pairs.iter().skip_while(|l| &*l.name < "__").take_while(|l| l.name.starts_with("__"))
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Label> {
        self.pairs.iter()
    }

    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// A hash of the whole set, stable while this process runs. Not an identity: compare the labels too.
    pub fn fingerprint(&self) -> u64 {
        self.hash
    }

    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.pairs.to_vec() }
    }

    pub fn without_name(&self) -> Labels {
        // The name sorts before most labels: what is left is sorted already and needs one allocation.
        if let Some((first, rest)) = self.pairs.split_first()
            && &*first.name == METRIC_NAME
        {
            let pairs: Arc<[Label]> = rest.iter().cloned().collect();
            let hash = HASHES.hash_one(&*pairs);
            return Labels { pairs, hash };
        }
        let mut builder = self.to_builder();
        builder.remove(METRIC_NAME);
        builder.build()
    }

    /// Bytes held by this set's own text, for accounting.
    pub fn text_bytes(&self) -> usize {
        self.pairs.iter().map(|l| l.name.len() + l.value.len()).sum()
    }
}

impl Default for Labels {
    fn default() -> Self {
        Labels::empty()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && (Arc::ptr_eq(&self.pairs, &other.pairs) || self.pairs == other.pairs)
    }
}

impl Eq for Labels {}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.pairs.cmp(&other.pairs)
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn plain(name: &str) -> bool {
    name.bytes().enumerate().all(|(i, b)| b.is_ascii_alphabetic() || b == b'_' || b == b':' || (i > 0 && b.is_ascii_digit()))
        && !name.is_empty()
}

fn label_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    if plain(name) && !name.contains(':') { f.write_str(name) } else { quoted(f, name) }
}

/// A label's name as PromQL reads it: in quotes where it has to be.
pub struct WrittenName<'a>(pub &'a str);

impl fmt::Display for WrittenName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        label_name(f, self.0)
    }
}

/// A string as PromQL reads it, which is as Go writes it: what cannot be seen is escaped.
fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        let seen = c == '\'' || c.escape_debug().nth(1).is_none();
        match c as u32 {
            _ if seen => f.write_char(c)?,
            _ if matches!(c, '"' | '\\' | '\n' | '\r' | '\t') => write!(f, "{}", c.escape_debug())?,
            code @ ..=0x7f => write!(f, "\\x{code:02x}")?,
            code @ ..=0xffff => write!(f, "\\u{code:04x}")?,
            code => write!(f, "\\U{code:08x}")?,
        }
    }
    f.write_char('"')
}

/// PromQL notation: `name{a="b"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        let quoted_name = !name.is_empty() && !plain(name);
        if !quoted_name {
            f.write_str(name)?;
        }
        let mut first = true;
        for label in self.iter().filter(|l| &*l.name != METRIC_NAME || quoted_name) {
            f.write_str(if first { "{" } else { ", " })?;
            first = false;
            if &*label.name == METRIC_NAME {
                quoted(f, &label.value)?;
            } else {
                label_name(f, &label.name)?;
                f.write_char('=')?;
                quoted(f, &label.value)?;
            }
        }
        if first { if name.is_empty() { f.write_str("{}") } else { Ok(()) } } else { f.write_str("}") }
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for label in self.iter() {
            map.serialize_entry(&*label.name, &*label.value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LabelsVisitor;
        impl<'de> Visitor<'de> for LabelsVisitor {
            type Value = Labels;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from label names to values")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Labels, A::Error> {
                let mut builder = LabelsBuilder::new();
                while let Some((name, value)) = access.next_entry::<String, String>()? {
                    builder.set(&name, &value);
                }
                Ok(builder.build())
            }
        }
        deserializer.deserialize_map(LabelsVisitor)
    }
}

/// Collects labels in any order; [`build`](Self::build) sorts, keeps the last of each name and drops empty values.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    pairs: Vec<Label>,
}

impl LabelsBuilder {
    pub fn new() -> Self {
        LabelsBuilder::default()
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.set_shared(Arc::from(name), Arc::from(value))
    }

    /// As [`set`](Self::set), with text that is already shared (interned).
    pub fn set_shared(&mut self, name: Arc<str>, value: Arc<str>) -> &mut Self {
        match self.pairs.iter_mut().find(|l| l.name == name) {
            Some(label) => label.value = value,
            None => self.pairs.push(Label { name, value }),
        }
        self
    }

    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|l| &*l.name != name);
        self
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|l| &*l.name == name).map(|l| &*l.value)
    }

    pub fn build(mut self) -> Labels {
        self.pairs.retain(|l| !l.value.is_empty());
        self.build_texts()
    }

    /// As [`build`](Self::build), for annotations: a text that is empty is there all the same.
    pub fn build_texts(mut self) -> Labels {
        self.pairs.sort_unstable();
        let hash = HASHES.hash_one(&self.pairs);
        Labels { pairs: self.pairs.into(), hash }
    }
}

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

impl fmt::Display for MatchOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        })
    }
}

/// A regular expression was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatcherError(pub String);

impl fmt::Display for MatcherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MatcherError {}

/// One condition on one label. An absent label has the empty value.
#[derive(Clone, Debug)]
pub struct Matcher {
    pub name: Arc<str>,
    pub op: MatchOp,
    pub value: Arc<str>,
    regex: Option<Arc<Regex>>,
}

impl Matcher {
    /// Builds a matcher; regular expressions are anchored, `.` matches newlines, and compile to at most 1 MiB.
    ///
    /// # Errors
    /// When the expression does not parse or compiles to more than the limit.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, MatcherError> {
        let regex = match op {
            MatchOp::Regex | MatchOp::NotRegex => {
                Some(Arc::new(go_regex_whole(value).map_err(|e| MatcherError(format!("error parsing regexp: {e}")))?))
            }
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Matcher { name: Arc::from(name), op, value: Arc::from(value), regex })
    }

    pub fn equal(name: &str, value: &str) -> Self {
        Matcher { name: Arc::from(name), op: MatchOp::Equal, value: Arc::from(value), regex: None }
    }

    /// What has the label, whatever its value.
    pub fn present(name: &str) -> Self {
        Matcher { name: Arc::from(name), op: MatchOp::NotEqual, value: Arc::from(""), regex: None }
    }

    pub fn matches_value(&self, value: &str) -> bool {
        let matched = |r: &Option<Arc<Regex>>| r.as_ref().is_some_and(|r| r.is_match(value));
        match self.op {
            MatchOp::Equal => value == &*self.value,
            MatchOp::NotEqual => value != &*self.value,
            MatchOp::Regex => matched(&self.regex),
            MatchOp::NotRegex => !matched(&self.regex),
        }
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        self.matches_value(labels.value(&self.name))
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op == other.op && self.value == other.value
    }
}

impl Eq for Matcher {}

impl Hash for Matcher {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, self.op, &self.value).hash(state);
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        label_name(f, &self.name)?;
        write!(f, "{}", self.op)?;
        quoted(f, &self.value)
    }
}

/// All conditions a series must meet. Usable as a cache key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector(pub Vec<Matcher>);

impl Selector {
    pub fn metric(name: &str) -> Self {
        Selector(vec![Matcher::equal(METRIC_NAME, name)])
    }

    pub fn with(mut self, matcher: Matcher) -> Self {
        self.0.push(matcher);
        self
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|m| m.matches(labels))
    }

    /// The metric name this selector is bound to, if it names one exactly.
    pub fn metric_name(&self) -> Option<&str> {
        self.0.iter().find(|m| m.op == MatchOp::Equal && &*m.name == METRIC_NAME && !m.value.is_empty()).map(|m| &*m.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_set_is_sorted_unique_and_without_empty_values() {
        let labels = Labels::from_pairs([("b", "1"), ("a", "2"), ("b", "3"), ("c", "")]);
        assert_eq!(labels.to_string(), r#"{a="2", b="3"}"#);
        assert_eq!(labels, Labels::from_pairs([("a", "2"), ("b", "3")]));
        assert_eq!(labels.value("c"), "");
    }

    #[test]
    fn what_is_written_can_be_read_as_promql() {
        let labels = Labels::from_pairs([("queue.name", "a\"\\\n\u{1b}\u{9b}\u{200b}\u{e0041}'ü"), (METRIC_NAME, "up")]);
        let value = r#""a\"\\\n\x1b\u009b\u200b\U000e0041'ü""#;
        assert_eq!(labels.to_string(), format!("up{{\"queue.name\"={value}}}"));
        let matcher = Matcher::equal("queue.name", labels.value("queue.name"));
        assert_eq!(matcher.to_string(), format!("\"queue.name\"={value}"));
    }

    #[test]
    fn dropping_the_name_gives_the_set_without_it() {
        let named = Labels::from_pairs([(METRIC_NAME, "up"), ("job", "api")]);
        assert_eq!(named.without_name(), Labels::from_pairs([("job", "api")]));
        assert_eq!(named.without_name().fingerprint(), Labels::from_pairs([("job", "api")]).fingerprint());
        let hidden = Labels::from_pairs([("__address__", "x"), (METRIC_NAME, "up")]);
        assert_eq!(hidden.without_name(), Labels::from_pairs([("__address__", "x")]));
    }

    #[test]
    fn regex_matchers_are_anchored_and_absent_labels_are_empty() -> Result<(), MatcherError> {
        let labels = Labels::from_pairs([(METRIC_NAME, "up"), ("job", "api")]);
        assert!(Matcher::new("job", MatchOp::Regex, "a.i")?.matches(&labels));
        assert!(!Matcher::new("job", MatchOp::Regex, "a")?.matches(&labels));
        assert!(Matcher::new("zone", MatchOp::Regex, ".*")?.matches(&labels));
        assert!(Matcher::new("zone", MatchOp::NotEqual, "x")?.matches(&labels));
        assert!(Matcher::new("job", MatchOp::Regex, "x{1000}{1000}").is_err());
        Ok(())
    }
}
