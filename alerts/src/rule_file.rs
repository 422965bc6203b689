//! Reads Prometheus rule files. Every problem of a file is reported at once, with its place; unknown keys name their nearest neighbour.
//! The checks are those of Prometheus `model/rulefmt`.

use crate::nearest::nearest;
use crate::rule::{Alerting, Rule, RuleError, RuleGroup, RuleKind};
use crate::yaml::{self, Kind, Node, YamlError};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{METRIC_NAME, parse_duration};
use watchfire_promql::{ParseError, Query};
use watchfire_template::rule;

const FILE_KEYS: [&str; 1] = ["groups"];
const GROUP_KEYS: [&str; 6] = ["name", "interval", "query_offset", "limit", "labels", "rules"];
const RULE_KEYS: [&str; 7] = ["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"];

/// The rules of one file.
#[derive(Clone, Debug)]
pub struct RuleFile {
    pub name: String,
    pub groups: Vec<RuleGroup>,
    /// What is odd without being wrong.
    pub warnings: Vec<RuleError>,
}

impl RuleFile {
    /// Reads and checks a rule file. `name` goes into errors and into the groups.
    ///
    /// # Errors
    /// Every problem found, in file order.
    pub fn parse(name: &str, text: &str) -> Result<RuleFile, Vec<RuleError>> {
        Self::parse_with(name, text, false)
    }

    /// As [`parse`](Self::parse); `ignore_unknown_keys` accepts keys that are not known.
    ///
    /// # Errors
    /// Every problem found, in file order.
    pub fn parse_with(name: &str, text: &str, ignore_unknown_keys: bool) -> Result<RuleFile, Vec<RuleError>> {
        let mut reader = Reader { file: name, source: text, ignore_unknown_keys, errors: Vec::new(), warnings: Vec::new() };
        let groups = match yaml::parse(text) {
            Ok((root, more)) => {
                if more {
                    reader.warnings.push(reader.located(root.error("only the first YAML document of a rule file is read")));
                }
                reader.file(&root)
            }
            Err(error) => {
                reader.fail(error);
                Vec::new()
            }
        };
        if reader.errors.is_empty() {
            Ok(RuleFile { name: name.to_owned(), groups, warnings: reader.warnings })
        } else {
            reader.errors.sort_by_key(|e| (e.line, e.column));
            Err(reader.errors)
        }
    }

    pub fn rule_count(&self) -> usize {
        self.groups.iter().map(|g| g.rules.len()).sum()
    }
}

/// Rules that record the same series, or alert under the same name and labels: (name, labels as text), once per repetition.
pub fn duplicates(groups: &[RuleGroup]) -> Vec<(String, Vec<(String, String)>)> {
    let mut seen = BTreeSet::new();
    let mut repeated = Vec::new();
    for rule in groups.iter().flat_map(|g| &g.rules) {
        if !seen.insert((rule.name.clone(), rule.labels.clone())) {
            repeated.push((rule.name.clone(), rule.labels.clone()));
        }
    }
    repeated.sort();
    repeated
}

struct Reader<'a> {
    file: &'a str,
    source: &'a str,
    ignore_unknown_keys: bool,
    errors: Vec<RuleError>,
    warnings: Vec<RuleError>,
}

impl Reader<'_> {
    fn located(&self, error: YamlError) -> RuleError {
        RuleError { file: self.file.to_owned(), line: error.line, column: error.column, message: error.message }
    }

    fn fail(&mut self, error: YamlError) {
        let error = self.located(error);
        self.errors.push(error);
    }

    /// Where in the file an expression goes wrong: in one of several lines that stand there as they are, the very token; else where it begins.
    fn place(&self, node: &Node, expression: &str, error: &ParseError) -> (usize, usize) {
        let line = node.line + error.line - 1;
        let said = expression.lines().nth(error.line - 1);
        let stands = || self.source.lines().nth(line - 1)?.get(node.column - 1..)?.strip_prefix(said?);
        match expression.trim_end().contains('\n') && stands() == Some("") {
            true => (line, node.column + error.column - 1),
            false => (node.line, node.column),
        }
    }

    /// The entries of a map by known key; unknown keys are errors with the nearest known one.
    fn fields<'n>(&mut self, node: &'n Node, known: &[&'static str], what: &str) -> Option<Vec<(&'static str, &'n Node, &'n Node)>> {
        let Kind::Mapping(entries) = &node.kind else {
            self.fail(node.error(format!("{what} must be a map, not {}", node.kind_word())));
            return None;
        };
        let mut found = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let text = key.text().unwrap_or("");
            match known.iter().find(|k| **k == text) {
                Some(known) => found.push((*known, key, value)),
                None if self.ignore_unknown_keys => {}
                None => {
                    let hint = nearest(text, known.iter().copied())
                        .map_or_else(|| format!("; known are {}", known.join(", ")), |n| format!("; did you mean {n:?}?"));
                    self.fail(key.error(format!("field {text} not found in {what}{hint}")));
                }
            }
        }
        Some(found)
    }

    fn text(&mut self, node: &Node, what: &str) -> String {
        match node.text() {
            Some(text) => text.to_owned(),
            None => {
                self.fail(node.error(format!("{what} must be text, not {}", node.kind_word())));
                String::new()
            }
        }
    }

    fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let text = self.text(node, what);
        if matches!(node.kind, Kind::Null) {
            return None;
        }
        match parse_duration(&text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.fail(node.error(format!("{what}: {error}")));
                None
            }
        }
    }

    /// The items of a list; null ones are nothing, as for Go's decoder.
    fn list<'n>(&mut self, node: &'n Node, what: &str) -> Vec<&'n Node> {
        match &node.kind {
            Kind::Sequence(items) => items.iter().filter(|item| !matches!(item.kind, Kind::Null)).collect(),
            Kind::Null => Vec::new(),
            _ => {
                self.fail(node.error(format!("{what} must be a list, not {}", node.kind_word())));
                Vec::new()
            }
        }
    }

    /// A map of texts, sorted by key, each with the node of its key.
    fn texts<'n>(&mut self, node: &'n Node, what: &str) -> Vec<(String, String, &'n Node)> {
        let entries = match &node.kind {
            Kind::Mapping(entries) => entries,
            Kind::Null => return Vec::new(),
            _ => {
                self.fail(node.error(format!("{what} must be a map, not {}", node.kind_word())));
                return Vec::new();
            }
        };
        let mut out: Vec<_> = entries.iter().map(|(k, v)| (self.text(k, what), self.text(v, what), k)).collect();
        out.sort_by(|a, b| a.0.cmp(&b.0));
        out
    }

    fn file(&mut self, root: &Node) -> Vec<RuleGroup> {
        if matches!(root.kind, Kind::Null) {
            return Vec::new();
        }
        if !self.ignore_unknown_keys
            && let Some((at, kind)) = kubernetes_object(root)
        {
            let part = if kind == "PrometheusRule" { "; what it has under spec is one: write that into a file (yq .spec)" } else { "" };
            self.fail(at.error(format!("this is a Kubernetes object of kind {kind}, not a rule file, which starts with groups{part}")));
            return Vec::new();
        }
        let mut groups: Vec<RuleGroup> = Vec::new();
        for (_, _, value) in self.fields(root, &FILE_KEYS, "the rule file").unwrap_or_default() {
            for node in self.list(value, "groups") {
                let Some(group) = self.group(node) else { continue };
                if groups.iter().any(|g| g.name == group.name) {
                    self.fail(node.error(format!("groupname: {:?} is repeated in the same file", group.name)));
                }
                groups.push(group);
            }
        }
        groups
    }

    fn group(&mut self, node: &Node) -> Option<RuleGroup> {
        let fields = self.fields(node, &GROUP_KEYS, "a rule group")?;
        let mut group =
            RuleGroup { name: String::new(), file: self.file.to_owned(), interval: None, query_offset: None, limit: 0, rules: Vec::new() };
        let mut labels = Vec::new();
        let mut rules = Vec::new();
        for (key, _, value) in fields {
            match key {
                "name" => group.name = self.text(value, "name"),
                "interval" => group.interval = self.duration(value, "interval").filter(|d| !d.is_zero()),
                "query_offset" => group.query_offset = self.duration(value, "query_offset"),
                "limit" => group.limit = self.limit(value),
                "labels" => labels = self.labels(value, ""),
                _ => rules = self.list(value, "rules"),
            }
        }
        if group.name.is_empty() {
            self.fail(node.error("Groupname must not be empty"));
        }
        for (index, node) in rules.iter().enumerate() {
            if let Some(rule) = self.rule(node, &group.name, index + 1, &labels) {
                group.rules.push(rule);
            }
        }
        Some(group)
    }

    fn limit(&mut self, node: &Node) -> usize {
        match node.whole_number() {
            Some(limit) => usize::try_from(limit).unwrap_or(0),
            None => {
                self.fail(node.error(format!("limit must be a whole number, not {:?}", node.text().unwrap_or(node.kind_word()))));
                0
            }
        }
    }

    fn labels(&mut self, node: &Node, context: &str) -> Vec<(String, String)> {
        let mut labels = Vec::new();
        for (name, value, key) in self.texts(node, "labels") {
            if name.is_empty() || name == METRIC_NAME {
                self.fail(key.error(format!("{context}invalid label name: {name}")));
            }
            labels.push((name, value));
        }
        labels
    }

    fn rule(&mut self, node: &Node, group: &str, number: usize, group_labels: &[(String, String)]) -> Option<Rule> {
        let errors_before = self.errors.len();
        let fields = self.fields(node, &RULE_KEYS, "a rule")?;
        let get = |name: &str| fields.iter().find(|(key, _, _)| *key == name).map(|(_, _, value)| *value);
        let is_set = |value: Option<&Node>| value.is_some_and(|v| v.text() != Some(""));
        let record = get("record").map(|n| self.text(n, "record")).unwrap_or_default();
        let alert = get("alert").map(|n| self.text(n, "alert")).unwrap_or_default();
        let name = if alert.is_empty() { record.clone() } else { alert.clone() };
        let context = format!("group {group:?}, rule {number}, {name:?}: ");

        match (record.is_empty(), alert.is_empty()) {
            (false, false) => self.fail(node.error(format!("{context}only one of 'record' and 'alert' must be set"))),
            (true, true) => self.fail(node.error(format!("{context}one of 'record' or 'alert' must be set"))),
            _ => {}
        }
        let mut query = None;
        let mut expression = String::new();
        match get("expr").filter(|_| is_set(get("expr"))) {
            None => self.fail(node.error(format!("{context}field 'expr' must be set in rule"))),
            Some(expr) => {
                expression = self.text(expr, "expr");
                match Query::parse(&expression) {
                    Ok(parsed) => query = Some(Arc::new(parsed)),
                    Err(error) => {
                        let (line, column) = self.place(expr, &expression, &error);
                        let message = format!("{context}could not parse expression: {error}");
                        self.fail(YamlError { line, column, message });
                    }
                }
            }
        }
        let hold = get("for").and_then(|n| self.duration(n, "for")).unwrap_or_default();
        let keep_firing_for = get("keep_firing_for").and_then(|n| self.duration(n, "keep_firing_for")).unwrap_or_default();
        let mut labels = get("labels").map(|n| self.labels(n, &context)).unwrap_or_default();
        let annotations = get("annotations").map(|n| self.texts(n, "annotations")).unwrap_or_default();
        for (annotation, _, key) in &annotations {
            if annotation.is_empty() || annotation == METRIC_NAME {
                self.fail(key.error(format!("{context}invalid annotation name: {annotation}")));
            }
        }

        let kind = if alert.is_empty() {
            if !record.is_empty() {
                self.recording(node, &context, &record, &fields);
            }
            RuleKind::Recording
        } else {
            self.templates((&alert, &context), &labels, get("labels"), &annotations);
            self.recover(&context, &annotations);
            let annotations = annotations.into_iter().map(|(n, v, _)| (n, v)).collect();
            RuleKind::Alerting(Alerting { hold, keep_firing_for, annotations })
        };
        for (label, value) in group_labels {
            if !labels.iter().any(|(have, _)| have == label) {
                labels.push((label.clone(), value.clone()));
            }
        }
        labels.sort();
        if self.errors.len() > errors_before {
            return None;
        }
        query.map(|query| Rule { name, expression, query, labels, kind, line: node.line })
    }

    /// Checks that only recording rules need.
    fn recording(&mut self, node: &Node, context: &str, record: &str, fields: &[(&'static str, &Node, &Node)]) {
        for (key, at, value) in fields {
            let present = match *key {
                "annotations" => matches!(&value.kind, Kind::Mapping(entries) if !entries.is_empty()),
                "for" | "keep_firing_for" => value.text().is_some_and(|t| parse_duration(t).is_ok_and(|d| !d.is_zero())),
                _ => false,
            };
            if present {
                self.fail(at.error(format!("{context}invalid field '{key}' in recording rule")));
            }
        }
        if record.contains(['{', '}']) {
            self.fail(node.error(format!("{context}braces present in the recording rule name; should it be in expr?: {record}")));
        }
    }

    fn templates(
        &mut self,
        (alert, context): (&str, &str),
        labels: &[(String, String)],
        at: Option<&Node>,
        annotations: &[(String, String, &Node)],
    ) {
        for (name, text) in labels {
            if let (Err(error), Some(node)) = (rule::check(alert, text), at) {
                let node = entry(node, name).unwrap_or(node);
                self.fail(node.error(format!("{context}label {name:?}: {error}")));
            }
        }
        for (name, text, key) in annotations {
            if let Err(error) = rule::check(alert, text) {
                self.fail(key.error(format!("{context}annotation {name:?}: {error}")));
            }
        }
    }

    /// An unusable `recover` is a warning: to Prometheus it is an annotation like any other.
    fn recover(&mut self, context: &str, annotations: &[(String, String, &Node)]) {
        for (name, text, key) in annotations {
            if name == crate::rule::RECOVER
                && !text.contains("{{")
                && let Err(error) = Query::parse(text)
            {
                let message = format!("{context}annotation \"recover\" is no PromQL condition and is not used: {error}");
                self.warnings.push(self.located(key.error(message)));
            }
        }
    }
}

/// The key and the text of `kind`, where the file is for kubectl.
fn kubernetes_object(root: &Node) -> Option<(&Node, &str)> {
    let Kind::Mapping(entries) = &root.kind else { return None };
    let find = |name: &str| entries.iter().find(|(key, _)| key.text() == Some(name));
    let (key, kind) = find("apiVersion").and(find("kind"))?;
    Some((key, kind.text()?))
}

fn entry<'n>(map: &'n Node, name: &str) -> Option<&'n Node> {
    match &map.kind {
        Kind::Mapping(entries) => entries.iter().find(|(k, _)| k.text() == Some(name)).map(|(k, _)| k),
        _ => None,
    }
}
