//! What one alert gives for other rules to see: `ALERTS` and `ALERTS_FOR_STATE`, as the evaluator writes them.

use crate::evaluator::alert_series;
use crate::layered::Layered;
use crate::state::Life;
use watchfire_model::{Labels, STALE_NAN, Timestamp, Value};

pub(super) struct Series<'a> {
    layered: &'a Layered<'a>,
    rule: String,
    alert: Labels,
    /// The series of the evaluation before.
    live: Vec<Labels>,
}

impl<'a> Series<'a> {
    pub fn of(layered: &'a Layered<'a>, rule: &str, alert: &Labels) -> Self {
        Series { layered, rule: rule.to_owned(), alert: alert.clone(), live: Vec::new() }
    }

    /// One evaluation; `None` where the alert is neither pending nor firing.
    pub fn write(&mut self, at: Timestamp, life: Option<&Life>) {
        let rows = life.map_or_else(Vec::new, |life| alert_series(&self.rule, &self.alert, life).into());
        for ended in self.live.drain(..).filter(|labels| !rows.iter().any(|(row, _)| row == labels)) {
            self.layered.push(&ended, at, Value::Float(STALE_NAN));
        }
        for (labels, value) in rows {
            self.layered.push(&labels, at, value);
            self.live.push(labels);
        }
    }
}
