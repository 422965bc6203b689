//! The rules of a preset: its rule file, and burn-rate alerts for the objectives that no rule of the file stands for.

use watchfire_alerts::slo::burn_rate_group;
use watchfire_alerts::{RuleError, RuleFile, RuleGroup};
use watchfire_config::Platform;
use watchfire_config::platform::Objective;

/// The label by which rules name the row of a document they stand for.
pub const THRESHOLD_LABEL: &str = "threshold_id";

/// One way to be told of each row is enough: an objective whose id a rule carries alerts by that rule alone.
///
/// # Errors
/// Every mistake in the rule file and in the expressions of the objectives.
pub fn preset_groups(platform: &Platform) -> Result<Vec<RuleGroup>, Vec<RuleError>> {
    let mut groups = RuleFile::parse(&format!("{}/rules.yaml", platform.name), &platform.rules)?.groups;
    let named = |id: &str| groups.iter().flat_map(|g| &g.rules).flat_map(|r| &r.labels).any(|(n, v)| n == THRESHOLD_LABEL && v == id);
    let unnamed: Vec<Objective> = platform.objectives.iter().filter(|o| !named(&o.id)).cloned().collect();
    let mut burning = burn_rate_group(&format!("{}/objectives", platform.name), &unnamed)?;
    for rule in &mut burning.rules {
        let id = rule.labels.iter().find(|(name, _)| name == "slo").map(|(_, id)| id.clone()).unwrap_or_default();
        rule.labels.push((THRESHOLD_LABEL.to_owned(), id));
    }
    groups.extend((!burning.rules.is_empty()).then_some(burning));
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_config::load_platform;

    fn burning(platform: &Platform) -> Vec<(String, String)> {
        let groups = preset_groups(platform).unwrap_or_else(|e| panic!("{e:?}"));
        let rules = groups.into_iter().filter(|g| g.name == "error budgets").flat_map(|g| g.rules);
        rules.map(|r| (r.name, r.labels.into_iter().find(|(n, _)| n == THRESHOLD_LABEL).unwrap_or_default().1)).collect()
    }

    #[test]
    fn an_objective_that_no_rule_names_alerts_by_its_burn_rate() {
        let mut platform = load_platform("commerce").unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!(burning(&platform), [], "every row of the document has a rule of its own");
        platform.rules = platform.rules.replace("threshold_id: CO-04", "threshold_id: other");
        let expected = [("ErrorBudgetBurn", "CO-04"), ("ErrorBudgetBurnSlow", "CO-04")].map(|(n, i)| (n.to_owned(), i.to_owned()));
        assert_eq!(burning(&platform), expected);
    }
}
