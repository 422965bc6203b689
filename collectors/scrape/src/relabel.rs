//! Relabelling: rules that rewrite, keep or drop label sets (Prometheus `model/relabel`).

use crate::md5::md5;
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A label set while it is being rewritten. A label with an empty value is absent.
pub type LabelMap = BTreeMap<String, String>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    #[default]
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

/// One `relabel_config` or `metric_relabel_config`; keys and defaults are those of Prometheus.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelabelConfig {
    pub source_labels: Vec<String>,
    pub separator: String,
    pub target_label: String,
    /// Anchored at both ends.
    pub regex: String,
    pub modulus: u64,
    /// `$1` and `${name}` stand for what the expression caught.
    pub replacement: String,
    pub action: Action,
}

impl Default for RelabelConfig {
    fn default() -> Self {
        RelabelConfig {
            source_labels: Vec::new(),
            separator: ";".to_owned(),
            target_label: String::new(),
            regex: "(.*)".to_owned(),
            modulus: 0,
            replacement: "$1".to_owned(),
            action: Action::Replace,
        }
    }
}

/// A rule ready to run.
#[derive(Clone, Debug)]
pub struct Relabel {
    config: RelabelConfig,
    regex: Regex,
}

impl Relabel {
    /// # Errors
    /// When the expression does not compile, or the action lacks what it needs.
    pub fn new(config: &RelabelConfig) -> Result<Self, String> {
        let regex = watchfire_model::go_regex_whole(&config.regex).map_err(|e| format!("regex {:?}: {e}", config.regex))?;
        let needs_target = matches!(
            config.action,
            Action::Replace | Action::HashMod | Action::Lowercase | Action::Uppercase | Action::KeepEqual | Action::DropEqual
        );
        if needs_target && config.target_label.is_empty() {
            return Err(format!("action {:?} needs target_label", config.action).to_lowercase());
        }
        if config.action == Action::HashMod && config.modulus == 0 {
            return Err("action hashmod needs a modulus above 0".to_owned());
        }
        Ok(Relabel { config: config.clone(), regex })
    }

    /// Applies the rule; false when the whole set is dropped.
    pub fn apply(&self, labels: &mut LabelMap) -> bool {
        let config = &self.config;
        let value = || {
            let values: Vec<&str> = config.source_labels.iter().map(|name| labels.get(name).map_or("", String::as_str)).collect();
            values.join(&config.separator)
        };
        match config.action {
            Action::Keep => return self.regex.is_match(&value()),
            Action::Drop => return !self.regex.is_match(&value()),
            Action::KeepEqual => return labels.get(&config.target_label).map_or("", String::as_str) == value(),
            Action::DropEqual => return labels.get(&config.target_label).map_or("", String::as_str) != value(),
            Action::Replace => {
                let value = value();
                let Some(caught) = self.regex.captures(&value) else { return true };
                let (mut target, mut replacement) = (String::new(), String::new());
                caught.expand(&config.target_label, &mut target);
                caught.expand(&config.replacement, &mut replacement);
                if !target.is_empty() {
                    set(labels, target, replacement);
                }
            }
            Action::Lowercase => {
                let value = value().to_lowercase();
                set(labels, config.target_label.clone(), value);
            }
            Action::Uppercase => {
                let value = value().to_uppercase();
                set(labels, config.target_label.clone(), value);
            }
            Action::HashMod => {
                let digest = md5(value().as_bytes());
                let mut low = [0; 8];
                low.copy_from_slice(&digest[8..]);
                set(labels, config.target_label.clone(), (u64::from_be_bytes(low) % config.modulus).to_string());
            }
            Action::LabelMap => {
                let mapped: Vec<(String, String)> = labels
                    .iter()
                    .filter(|(name, _)| self.regex.is_match(name))
                    .map(|(name, value)| (self.regex.replace_all(name, config.replacement.as_str()).into_owned(), value.clone()))
                    .collect();
                for (name, value) in mapped {
                    set(labels, name, value);
                }
            }
            Action::LabelDrop => labels.retain(|name, _| !self.regex.is_match(name)),
            Action::LabelKeep => labels.retain(|name, _| self.regex.is_match(name)),
        }
        true
    }
}

/// Applies rules in order; false as soon as one drops the set.
pub fn apply_all(rules: &[Relabel], labels: &mut LabelMap) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

fn set(labels: &mut LabelMap, name: String, value: String) {
    if value.is_empty() {
        labels.remove(&name);
    } else {
        labels.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rule: &str, input: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        let config: RelabelConfig = serde_saphyr::from_str(rule).unwrap();
        let mut labels: LabelMap = input.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Relabel::new(&config).unwrap().apply(&mut labels).then(|| labels.into_iter().collect())
    }

    #[test]
    fn expressions_mean_what_they_mean_in_go_and_stay_small() {
        let kept =
            |regex: &str, value: &str| run(&format!("{{source_labels: [a], action: keep, regex: '{regex}'}}"), &[("a", value)]).is_some();
        for (regex, value, expected) in [
            (r"\d+", "42", true),
            // Digits are those of ASCII, a bracket within a class stands for itself, and so does what is quoted.
            (r"\d+", "\u{664}\u{662}", false),
            (r"[[a]+", "[a", true),
            (r"\Qa.b\E", "a.b", true),
            (r"\Qa.b\E", "axb", false),
            // The whole value, lines and all.
            ("a.*", "a\nb", true),
            ("a", "ab", false),
        ] {
            assert_eq!(kept(regex, value), expected, "{regex} {value:?}");
        }
        for regex in ["x{1000}{1000}", "(", r"\p{NoSuchClass}"] {
            let config: RelabelConfig = serde_saphyr::from_str(&format!("{{source_labels: [a], action: keep, regex: '{regex}'}}")).unwrap();
            let refused = Relabel::new(&config).err().unwrap_or_else(|| panic!("{regex} is taken"));
            assert!(refused.contains("regex"), "{refused}");
        }
    }

    #[test]
    fn every_action_does_what_it_does_in_prometheus() {
        let input = &[("a", "foo"), ("b", "bar"), ("c", "foo"), ("z", "baz")][..];
        type Expected<'a> = Option<&'a [(&'a str, &'a str)]>;
        let cases: &[(&str, Expected<'_>)] = &[
            (
                "{source_labels: [a], target_label: d, regex: f(.*), replacement: 'ch${1}-ch${1}'}",
                Some(&[("a", "foo"), ("b", "bar"), ("c", "foo"), ("d", "choo-choo"), ("z", "baz")]),
            ),
            (
                "{source_labels: [a, b], target_label: a, regex: 'foo;(.*)r'}",
                Some(&[("a", "ba"), ("b", "bar"), ("c", "foo"), ("z", "baz")]),
            ),
            ("{source_labels: [a], regex: o, action: drop}", Some(input)),
            ("{source_labels: [a], regex: .*o.*, action: drop}", None),
            ("{source_labels: [a], regex: no-match, action: keep}", None),
            ("{source_labels: [a], regex: f.*, action: keep}", Some(input)),
            ("{source_labels: [a], target_label: c, action: keepequal}", Some(input)),
            ("{source_labels: [a], target_label: b, action: keepequal}", None),
            ("{source_labels: [a], target_label: c, action: dropequal}", None),
            (
                "{source_labels: [z], target_label: d, modulus: 1000, action: hashmod}",
                Some(&[("a", "foo"), ("b", "bar"), ("c", "foo"), ("d", "976"), ("z", "baz")]),
            ),
            (
                "{regex: '(b)', replacement: 'x_$1', action: labelmap}",
                Some(&[("a", "foo"), ("b", "bar"), ("c", "foo"), ("x_b", "bar"), ("z", "baz")]),
            ),
            ("{regex: '[ab]', action: labeldrop}", Some(&[("c", "foo"), ("z", "baz")])),
            ("{regex: '[ab]', action: labelkeep}", Some(&[("a", "foo"), ("b", "bar")])),
            (
                "{source_labels: [a], target_label: u, action: uppercase}",
                Some(&[("a", "foo"), ("b", "bar"), ("c", "foo"), ("u", "FOO"), ("z", "baz")]),
            ),
            ("{source_labels: [a], target_label: a, regex: foo, replacement: ''}", Some(&[("b", "bar"), ("c", "foo"), ("z", "baz")])),
            ("{target_label: e, replacement: fixed}", Some(&[("a", "foo"), ("b", "bar"), ("c", "foo"), ("e", "fixed"), ("z", "baz")])),
        ];
        for (rule, expected) in cases {
            let expected = expected.map(|list| list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>());
            assert_eq!(run(rule, input), expected, "{rule}");
        }
    }

    #[test]
    fn rules_that_cannot_work_are_refused() {
        for rule in
            ["{regex: '('}", "{source_labels: [a]}", "{action: hashmod, target_label: x}", "{regex: 'x{1000}{1000}', target_label: a}"]
        {
            let config: RelabelConfig = serde_saphyr::from_str(rule).unwrap();
            assert!(Relabel::new(&config).is_err(), "{rule}");
        }
    }
}
