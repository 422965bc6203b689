//! In which order rules are tried. Live, each round goes through all rules, so a rule sees what the others gave at most a round ago; here each is
//! tried over the whole past at once, after those whose series it reads.

use crate::evaluator::ALERT_SERIES;
use crate::rule::{Rule, RuleGroup, RuleKind};
use watchfire_model::{Labels, METRIC_NAME};
use watchfire_promql::Query;

/// The turn of one rule.
pub(super) struct Turn {
    /// Its place among the rules.
    pub rule: usize,
    /// Rules whose alerts it reads and that are not tried yet, because they read its own in turn.
    pub unseen: Vec<String>,
}

/// All rules, each once: in their own order, but after the alerts they read.
pub(super) fn turns(rules: &[&Rule]) -> Vec<Turn> {
    let needs: Vec<Vec<usize>> = (0..rules.len())
        .map(|i| (0..rules.len()).filter(|&j| (j < i || rules[j].alerting().is_some()) && reads(&rules[i].query, rules[j])).collect())
        .collect();
    let mut done = vec![false; rules.len()];
    let mut out = Vec::with_capacity(rules.len());
    while out.len() < rules.len() {
        let waiting = || (0..rules.len()).filter(|&i| !done[i]);
        let ready = waiting().find(|&i| needs[i].iter().all(|&j| done[j] || j == i));
        let Some(rule) = ready.or_else(|| waiting().next()) else { break };
        let unseen = needs[rule].iter().filter(|&&j| !done[j]).map(|&j| rules[j].name.clone()).collect();
        done[rule] = true;
        out.push(Turn { rule, unseen });
    }
    out
}

/// The rules whose series a rule may read, by name.
pub fn read_of(groups: &[RuleGroup], rule: &Rule) -> Vec<String> {
    let mut names: Vec<String> = groups.iter().flat_map(|g| &g.rules).filter(|r| reads(&rule.query, r)).map(|r| r.name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// Whether a query may select what a rule gives, as far as the labels are known beforehand.
fn reads(query: &Query, rule: &Rule) -> bool {
    let given: Vec<Labels> = match rule.kind {
        RuleKind::Recording => vec![Labels::from_pairs([(METRIC_NAME, rule.name.as_str())])],
        RuleKind::Alerting(_) => ALERT_SERIES.map(|name| Labels::from_pairs([(METRIC_NAME, name), ("alertname", &rule.name)])).into(),
    };
    let selectors = query.selectors();
    given.iter().any(|labels| selectors.iter().any(|s| s.0.iter().all(|m| labels.get(&m.name).is_none_or(|value| m.matches_value(value)))))
}
