//! Expressions that fail at some evaluations and not at others. Live, one that fails changes nothing and the next one goes on; a range fails as a
//! whole, so it is taken apart.

use super::Run;
use std::collections::HashMap;
use watchfire_model::reading::Backtest;
use watchfire_model::{Labels, SeriesData, Timestamp};
use watchfire_promql::{EvalError, Query, QueryValue};

/// What an expression gives over a piece of the period.
#[derive(Default)]
pub struct Values {
    pub series: Vec<SeriesData>,
    pub warnings: Vec<String>,
    /// Places of the evaluations that fail, and why the first one does.
    pub failed: Vec<usize>,
    pub why: Option<String>,
}

impl Values {
    /// Counts what fails, and says so.
    pub fn report(&self, name: &str, result: &mut Backtest) {
        result.failed += self.failed.len();
        if let Some(why) = &self.why {
            result.warnings.push(format!(
                "{}{} evaluations fail: {why}",
                if name.is_empty() { String::new() } else { format!("{name}: ") },
                self.failed.len()
            ));
        }
    }
}

impl Run<'_> {
    /// # Errors
    /// When there was no time for it, or asking makes no sense at any time.
    pub(super) fn values(&self, query: &Query, (first, last): (Timestamp, Timestamp)) -> Result<Values, String> {
        let at = |place: usize| Timestamp(first.millis().saturating_add(place as i64 * self.step_millis()));
        let steps = ((last.millis() - first.millis()) / self.step_millis()) as usize + 1;
        let mut found = Values::default();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        // As much at once as goes well: half after a failure, twice as much after none.
        let (mut place, mut much) = (0, steps);
        while place < steps {
            let count = much.min(steps - place);
            match self.range(query, (at(place), at(place + count - 1))) {
                Ok((series, warnings)) if count == steps => return Ok(Values { series, warnings, ..Values::default() }),
                Ok((series, warnings)) => {
                    for data in series {
                        match places.get(&data.labels).and_then(|place| found.series.get_mut(*place)) {
                            Some(have) => {
                                have.times.extend(data.times);
                                have.values.extend(data.values);
                            }
                            None => {
                                places.insert(data.labels.clone(), found.series.len());
                                found.series.push(data);
                            }
                        }
                    }
                    let new = warnings.into_iter().filter(|warning| !found.warnings.contains(warning)).collect::<Vec<_>>();
                    found.warnings.extend(new);
                    place += count;
                    much = count * 2;
                }
                Err(EvalError::Execution(_) | EvalError::TooManySamples { .. }) if count > 1 => much = count / 2,
                Err(error @ (EvalError::Execution(_) | EvalError::TooManySamples { .. })) => {
                    found.why.get_or_insert_with(|| error.to_string());
                    found.failed.push(place);
                    place += 1;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(found)
    }

    fn range(&self, query: &Query, (first, last): (Timestamp, Timestamp)) -> Result<(Vec<SeriesData>, Vec<String>), EvalError> {
        let evaluation = self.engine.range_with(query, self.source, (first, last, self.step), self.control)?;
        match evaluation.value {
            QueryValue::Matrix(series) => Ok((series, evaluation.warnings)),
            _ => Err(EvalError::BadRequest("rule result is not a vector or scalar".to_owned())),
        }
    }
}
