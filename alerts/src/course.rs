//! The hour behind an alert: what its rule measures, step by step, as the alerts view draws it against the threshold.
//!
//! Looked up when somebody looks, never by the evaluator: over many series it costs more than the evaluation itself.

use crate::comparison::Comparison;
use crate::evaluator::concerns;
use std::collections::HashMap;
use std::time::Duration;
use watchfire_model::reading::Alert;
use watchfire_model::{Clock, Labels, SeriesData, SeriesSource, Timestamp};
use watchfire_promql::{Control, Engine, Interrupt, Query, QueryValue};

const SPAN: Duration = Duration::from_secs(3600);
const STEP: Duration = Duration::from_secs(60);
/// Courses end at whole multiples of this, so that a moment of the past is shown as it was shown then, and one is looked up at most this often.
const PACE: i64 = 15_000;
/// Series of one rule that are kept.
const MAX_SERIES: usize = 200;
/// Expressions whose courses are kept.
const MAX_EXPRESSIONS: usize = 256;
/// For all lookups of one call. What it does not suffice for is without a course until a later call, which finds the others looked up.
const BUDGET: Duration = Duration::from_millis(200);

type Points = Vec<(Timestamp, Option<f64>)>;
/// What a rule measures, series by series.
type Course = Vec<(Labels, Points)>;

/// Courses looked up lately, by expression and end.
#[derive(Debug, Default)]
pub struct Courses(parking_lot::Mutex<HashMap<(String, Timestamp), Course>>);

impl Courses {
    /// Gives alerts the course of what they measure up to `at`, the first ones first. One whose expression is not known has none.
    pub fn fill(&self, engine: &Engine, source: &dyn SeriesSource, clock: &dyn Clock, at: Timestamp, alerts: &mut [Alert]) {
        let end = at.floor(PACE);
        let until = clock.read().awake + BUDGET;
        let expired = || (clock.read().awake > until).then_some(Interrupt::Timeout);
        // Locked throughout: whoever asks meanwhile asks for the same.
        let mut known = self.0.lock();
        for alert in alerts.iter_mut().filter(|a| !a.expression.is_empty()) {
            let key = (alert.expression.clone(), end);
            if !known.contains_key(&key) {
                let Some(course) = look_up(engine, source, &key.0, end, &expired) else { continue };
                // Those of other moments are the ones least likely to be asked for again.
                if known.len() >= MAX_EXPRESSIONS {
                    known.retain(|(_, other), _| *other == end);
                }
                if known.len() >= MAX_EXPRESSIONS {
                    known.clear();
                }
                known.insert(key.clone(), course);
            }
            let course = known.get(&key).and_then(|course| course.iter().find(|(metric, _)| concerns(metric, &alert.labels)));
            if let Some((_, points)) = course {
                alert.history.clone_from(points);
            }
        }
    }
}

/// Says when time is up.
type Expired<'a> = &'a (dyn Fn() -> Option<Interrupt> + Sync);

/// `None` when time is up.
fn look_up(engine: &Engine, source: &dyn SeriesSource, expression: &str, end: Timestamp, expired: Expired<'_>) -> Option<Course> {
    if expired().is_some() {
        return None;
    }
    let Ok(query) = Query::parse(expression) else { return Some(Vec::new()) };
    let comparison = Comparison::of(&query);
    let measured = comparison.as_ref().map_or(&query, |c| &c.left);
    let control = Control { interrupt: Some(expired), ..Control::default() };
    let course = |s: SeriesData| {
        let values = s.values.iter().map(|v| v.as_float().filter(|f| f.is_finite()));
        (s.labels.without_name(), s.times.iter().copied().zip(values).collect())
    };
    match engine.range_with(measured, source, (end.saturating_sub(SPAN), end, STEP), control) {
        Ok(evaluation) => match evaluation.value {
            QueryValue::Matrix(series) => Some(series.into_iter().take(MAX_SERIES).map(course).collect()),
            _ => Some(Vec::new()),
        },
        Err(_) => expired().is_none().then(Vec::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemorySeries;
    use watchfire_model::{HandClock, Value};

    fn s(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn alert(service: &str, expression: &str) -> Alert {
        serde_json::from_value(serde_json::json!({
            "name": "Errors", "state": "firing", "severity": "critical", "expression": expression, "annotations": {},
            "labels": {"alertname": "Errors", "service": service}, "active_at": null, "cause": null, "notified": true,
        }))
        .expect("an alert")
    }

    #[test]
    fn each_alert_gets_what_its_own_series_measured_up_to_the_moment() {
        let series = MemorySeries::default();
        for minute in 0..10 {
            for (service, value) in [("api", 0.25), ("web", 0.5)] {
                let labels = Labels::from_pairs([("__name__", "errors"), ("service", service)]);
                series.push(&labels, s(minute * 60), Value::Float(value + minute as f64));
            }
        }
        let courses = Courses::default();
        let mut alerts = [alert("api", "errors > 0.05"), alert("web", "errors > 0.05"), alert("gone", "errors > 0.05"), alert("api", "")];
        courses.fill(&Engine::default(), &series, &HandClock::at(s(307)), s(307), &mut alerts);
        let at = |alert: &Alert, second: i64| alert.history.iter().find(|(t, _)| *t == s(second)).and_then(|(_, v)| *v);
        assert_eq!((at(&alerts[0], 240), at(&alerts[0], 300)), (Some(4.25), Some(5.25)));
        assert_eq!(at(&alerts[1], 300), Some(5.5));
        assert_eq!(alerts[0].history.last().map(|(t, _)| *t), Some(s(300)), "ends at a whole multiple, and not after the moment");
        assert!(alerts[2].history.is_empty() && alerts[3].history.is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (courses, series, engine) = (Courses::default(), MemorySeries::default(), Engine::default());
        for moment in 0..3 {
            let mut alerts: Vec<Alert> = (0..MAX_EXPRESSIONS - 6).map(|n| alert("api", &format!("errors > {n}"))).collect();
            courses.fill(&engine, &series, &HandClock::at(s(0)), s(moment * 60), &mut alerts);
            assert!(courses.0.lock().len() <= MAX_EXPRESSIONS);
        }
    }
}
