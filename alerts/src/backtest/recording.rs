//! What recording rules would have given, for the rules that read it.

use super::{Run, steps_of};
use crate::evaluator::recorded;
use crate::layered::Layered;
use crate::rule::Rule;
use std::collections::{HashMap, HashSet};
use watchfire_model::reading::Backtest;
use watchfire_model::{Labels, STALE_NAN, Timestamp, Value};

impl Run<'_> {
    pub(super) fn record(&self, rule: &Rule, limit: usize, layered: &Layered<'_>) -> Backtest {
        let mut result = Backtest::default();
        if let Err(error) = self.write(rule, limit, layered, &mut result) {
            result.warnings.push(format!("{}: {error}", rule.name));
        }
        result
    }

    /// As it is written live: a series that has no value at one evaluation ends there, unless that one fails.
    fn write(&self, rule: &Rule, limit: usize, layered: &Layered<'_>, result: &mut Backtest) -> Result<(), String> {
        let mut last: HashMap<Labels, Timestamp> = HashMap::new();
        let mut failed: HashSet<Timestamp> = HashSet::new();
        let after = |last: Timestamp, failed: &HashSet<Timestamp>| {
            let mut next = last.millis();
            loop {
                next = next.saturating_add(self.step_millis());
                if !failed.contains(&Timestamp(next)) {
                    return Timestamp(next);
                }
            }
        };
        let end = |labels: &Labels, at: Timestamp| layered.push(labels, at, Value::Float(STALE_NAN));
        for piece in self.pieces() {
            let found = self.values(&rule.query, piece)?;
            result.evaluations += steps_of(piece, self.step_millis());
            found.report(&rule.name, result);
            failed.extend(found.failed.iter().map(|place| Timestamp(piece.0.millis() + *place as i64 * self.step_millis())));
            let series = found.series;
            let names = series.iter().map(|s| (s.labels.clone(), Value::Float(0.0))).collect();
            let rows = recorded(&rule.name, &rule.labels, limit, names)?;
            for (data, (labels, _)) in series.into_iter().zip(rows) {
                let mut before = last.get(&labels).copied();
                for (at, value) in data.times.into_iter().zip(data.values) {
                    if let Some(due) = before.map(|before| after(before, &failed)).filter(|due| *due < at) {
                        end(&labels, due);
                    }
                    layered.push(&labels, at, value);
                    before = Some(at);
                }
                last.extend(before.map(|before| (labels, before)));
            }
            layered.claim(&rule.name);
        }
        for (labels, last) in last {
            let due = after(last, &failed);
            if due <= self.end {
                end(&labels, due);
            }
        }
        Ok(())
    }
}
