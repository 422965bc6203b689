//! What the pages need of a rule file: each rule with the sentence that its comment says about its threshold.

use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct File {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    rules: Vec<Written>,
}

#[derive(Deserialize)]
struct Written {
    alert: Option<String>,
    record: Option<String>,
    expr: String,
    #[serde(rename = "for")]
    hold: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// A rule with its threshold.
pub struct Rule {
    /// `CN-02`.
    pub id: String,
    /// Name of the alert, or of the recorded series.
    pub name: String,
    pub alerts: bool,
    pub expression: String,
    pub hold: String,
    pub severity: String,
    /// The comment above the rule, without its id.
    pub meaning: String,
    pub impact: String,
}

/// All rules that belong to a threshold, in the order of the file.
///
/// # Errors
/// When the text is not a rule file.
pub fn rules(text: &str) -> Result<Vec<Rule>, Box<dyn std::error::Error>> {
    let file: File = serde_saphyr::from_str(text)?;
    let written = file.groups.into_iter().flat_map(|g| g.rules);
    let mut rules = Vec::new();
    for (rule, comment) in written.zip(comments(text)) {
        let (said, meaning) = match comment.split_once(". ") {
            Some((id, rest)) if id.len() == 5 && id.as_bytes()[2] == b'-' => (id.to_owned(), rest.to_owned()),
            _ => (String::new(), comment),
        };
        let id = rule.labels.get("threshold_id").cloned().unwrap_or(said);
        if id.is_empty() {
            continue;
        }
        let annotation = |name: &str| rule.annotations.get(name).filter(|t| !t.contains("{{")).cloned().unwrap_or_default();
        rules.push(Rule {
            id,
            alerts: rule.alert.is_some(),
            impact: annotation("impact"),
            name: rule.alert.or(rule.record).unwrap_or_default(),
            expression: rule.expr.trim_end().to_owned(),
            hold: rule.hold.unwrap_or_default(),
            severity: rule.labels.get("severity").cloned().unwrap_or_default(),
            meaning,
        });
    }
    Ok(rules)
}

/// For each rule of a file the comment directly above it; empty where there is none.
fn comments(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(sentence) = line.strip_prefix('#') {
            comment.push(sentence.trim());
            continue;
        }
        if line.starts_with("- alert:") || line.starts_with("- record:") {
            found.push(comment.join(" "));
        }
        comment.clear();
    }
    found
}
