//! What a rule file says, checked: groups of recording and alerting rules.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use watchfire_promql::Query;

/// A problem in a rule file, at its place. Lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub message: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl std::error::Error for RuleError {}

/// Rules that are evaluated one after the other, each seeing the results of those before it.
#[derive(Clone, Debug)]
pub struct RuleGroup {
    pub name: String,
    pub file: String,
    /// `None`: the evaluator's default.
    pub interval: Option<Duration>,
    /// How far in the past rules are evaluated; `None`: the evaluator's default.
    pub query_offset: Option<Duration>,
    /// Most series or alerts one rule may produce; 0 is no limit.
    pub limit: usize,
    pub rules: Vec<Rule>,
}

/// One rule. The group's labels are already merged into `labels`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The recorded metric, or the alert name.
    pub name: String,
    /// The expression as written.
    pub expression: String,
    pub query: Arc<Query>,
    /// Sorted by name. Templates in alerting rules, plain in recording rules. An empty value removes the label.
    pub labels: Vec<(String, String)>,
    pub kind: RuleKind,
    pub line: usize,
}

#[derive(Clone, Debug)]
pub enum RuleKind {
    Recording,
    Alerting(Alerting),
}

/// What only alerting rules have.
#[derive(Clone, Debug, Default)]
pub struct Alerting {
    /// `for`: how long the condition must hold before it fires.
    pub hold: Duration,
    pub keep_firing_for: Duration,
    /// Templates, sorted by name.
    pub annotations: Vec<(String, String)>,
}

/// The annotation that holds the condition of hysteresis.
pub(crate) const RECOVER: &str = "recover";

/// The annotation that says, where it is `true`, that no fault elsewhere explains the alert: a flood of requests, a full disk. It is never held under
/// another alert.
pub(crate) const INDEPENDENT: &str = "independent";

impl Alerting {
    /// The PromQL condition that must hold before a firing alert resolves; may be a template over `$labels`.
    pub fn recover(&self) -> Option<&str> {
        self.annotations.iter().find(|(name, _)| name == RECOVER).map(|(_, text)| text.as_str())
    }
}

impl Rule {
    pub fn alerting(&self) -> Option<&Alerting> {
        match &self.kind {
            RuleKind::Alerting(alerting) => Some(alerting),
            RuleKind::Recording => None,
        }
    }

    pub fn alerting_mut(&mut self) -> Option<&mut Alerting> {
        match &mut self.kind {
            RuleKind::Alerting(alerting) => Some(alerting),
            RuleKind::Recording => None,
        }
    }

    /// What decides whether two versions of a rule share their alert states: Prometheus keeps state for the same name and labels.
    pub(crate) fn identity(&self) -> (bool, &str, &[(String, String)]) {
        (self.alerting().is_some(), &self.name, &self.labels)
    }
}
