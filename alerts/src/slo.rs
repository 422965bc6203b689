//! Burn rates: how fast an objective's error budget is used up, and the alerts that follow from it.
//! Windows and factors are those of the Google SRE workbook, chapter 5, scaled to the objective's own period.

use crate::rule::{Alerting, Rule, RuleError, RuleGroup, RuleKind};
use std::sync::Arc;
use std::time::Duration;
use watchfire_config::platform::Objective;
use watchfire_model::format_duration;
use watchfire_promql::Query;

/// A pair of windows: the long one says that it matters, the short one that it still goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurnWindow {
    pub long: Duration,
    pub short: Duration,
    /// Share of the period's budget that is used up within `long` when the alert fires.
    pub budget: f64,
    /// Wakes somebody; otherwise it may wait for the day.
    pub pages: bool,
}

const fn window(long_minutes: u64, short_minutes: u64, budget: f64, pages: bool) -> BurnWindow {
    BurnWindow { long: Duration::from_secs(long_minutes * 60), short: Duration::from_secs(short_minutes * 60), budget, pages }
}

/// Quick and slow page, quick and slow ticket: factors 14.4, 6, 3 and 1 over thirty days.
pub const WINDOWS: [BurnWindow; 4] =
    [window(60, 5, 0.02, true), window(360, 30, 0.05, true), window(1440, 120, 0.10, false), window(4320, 360, 0.10, false)];

impl BurnWindow {
    /// The burn rate from which this window alerts: budget share times period over long window.
    pub fn factor(&self, period: Duration) -> f64 {
        self.budget * period.as_secs_f64() / self.long.as_secs_f64()
    }
}

/// Budget used relative to even use: 1 uses it up exactly at the end of the period. `None` without events or without a budget.
pub fn burn_rate(bad: f64, total: f64, objective: f64) -> Option<f64> {
    let allowed = 1.0 - objective;
    (total > 0.0 && allowed > 0.0).then(|| (bad / total).clamp(0.0, 1.0) / allowed)
}

/// The burn-rate alerts of all objectives that say which events are bad: one that pages and one that does not for each.
///
/// # Errors
/// For each objective whose expressions are no PromQL.
pub fn burn_rate_group(file: &str, objectives: &[Objective]) -> Result<RuleGroup, Vec<RuleError>> {
    let mut rules = Vec::new();
    let mut errors = Vec::new();
    for objective in objectives {
        let Some(target) = objective.objective.filter(|o| *o < 1.0 && !objective.bad.is_empty() && !objective.total.is_empty()) else {
            continue;
        };
        for (pages, name, severity) in [(true, "ErrorBudgetBurn", "critical"), (false, "ErrorBudgetBurnSlow", "warning")] {
            let expression =
                WINDOWS.iter().filter(|w| w.pages == pages).map(|w| condition(objective, target, w)).collect::<Vec<_>>().join("\nor\n");
            match Query::parse(&expression) {
                Ok(query) => rules.push(Rule {
                    name: name.to_owned(),
                    expression,
                    query: Arc::new(query),
                    labels: vec![("severity".to_owned(), severity.to_owned()), ("slo".to_owned(), objective.id.clone())],
                    kind: RuleKind::Alerting(Alerting { annotations: annotations(objective), ..Alerting::default() }),
                    line: 0,
                }),
                Err(error) => errors.push(RuleError {
                    file: file.to_owned(),
                    line: 0,
                    column: 0,
                    message: format!("objective {:?}: could not parse expression: {error}", objective.id),
                }),
            }
        }
    }
    if errors.is_empty() {
        let name = "error budgets".to_owned();
        Ok(RuleGroup { name, file: file.to_owned(), interval: None, query_offset: None, limit: 0, rules })
    } else {
        Err(errors)
    }
}

fn condition(objective: &Objective, target: f64, window: &BurnWindow) -> String {
    let threshold = window.factor(objective.window) * (1.0 - target);
    let share = |over: Duration| {
        let fill = |text: &str| format!("sum({})", text.replace("$window", &format_duration(over)));
        format!("{} / {} > {threshold}", fill(&objective.bad), fill(&objective.total))
    };
    format!("({} and {})", share(window.long), share(window.short))
}

fn annotations(objective: &Objective) -> Vec<(String, String)> {
    let literal = |text: &str| text.replace("{{", "{ {");
    let mut out = vec![(
        "summary".to_owned(),
        format!(
            "{} uses up its error budget: {{{{ $value | humanizePercentage }}}} fail (target {})",
            literal(&objective.name),
            literal(&objective.target)
        ),
    )];
    if !objective.impact.is_empty() {
        out.insert(0, ("impact".to_owned(), literal(&objective.impact)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backtest::{Period, backtest};
    use crate::memory::MemorySeries;
    use watchfire_model::{Labels, Timestamp, Value};
    use watchfire_promql::Engine;

    const MONTH: Duration = Duration::from_secs(30 * 86_400);

    #[test]
    fn factors_are_those_of_the_workbook() {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        for (window, month, four_weeks) in [(0, 14.4, 13.44), (1, 6.0, 5.6), (2, 3.0, 2.8), (3, 1.0, 14.0 / 15.0)] {
            assert!(near(WINDOWS[window].factor(MONTH), month));
            assert!(near(WINDOWS[window].factor(Duration::from_secs(28 * 86_400)), four_weeks));
            assert_eq!(WINDOWS[window].short * 12, WINDOWS[window].long);
        }
        assert!(burn_rate(1.0, 1000.0, 0.999).is_some_and(|r| near(r, 1.0)));
        assert_eq!(burn_rate(0.0, 0.0, 0.999), None);
    }

    fn objective() -> Objective {
        let text = "id = \"X-1\"\ngroup = \"g\"\nname = \"success\"\ntarget = \"> 99.9 %\"\ncomparison = \"above\"\nvalue = 0.999\nunit = \"ratio\"\nexpression = \"x\"\nbad = \"rate(bad_total[$window])\"\ntotal = \"rate(all_total[$window])\"\nobjective = 0.999\n";
        toml::from_str(text).expect("reads")
    }

    #[test]
    fn a_quick_burn_pages_within_minutes_and_a_slow_one_does_not_page() {
        for (share, page, ticket) in [(0.05, true, true), (0.004, false, true), (0.0005, false, false)] {
            let store = MemorySeries::new();
            let (mut bad, mut all) = (0.0, 0.0);
            for minute in 0..(26 * 60_i64) {
                let at = Timestamp(minute * 60_000);
                all += 600.0;
                bad += if minute > 120 { 600.0 * share } else { 0.0 };
                store.push(&Labels::from_pairs([("__name__", "bad_total")]), at, Value::Float(bad));
                store.push(&Labels::from_pairs([("__name__", "all_total")]), at, Value::Float(all));
            }
            let group = burn_rate_group("preset", &[objective()]).expect("parses");
            let period = Period { start: Timestamp(0), end: Timestamp(26 * 3_600_000), step: Some(Duration::from_secs(60)) };
            let found = backtest(&Engine::default(), &[group], &store, period);
            let fired = |i: usize| found[i].backtest.episodes.first().and_then(|e| e.fired_at);
            assert_eq!((fired(0).is_some(), fired(1).is_some()), (page, ticket), "{share}");
            if let Some(at) = fired(0) {
                assert!(at <= Timestamp(150 * 60_000), "5 % errors against 0.1 % page within half an hour: {at}");
            }
        }
    }
}
