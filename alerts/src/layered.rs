//! Recorded series laid over a source that cannot be written to.

use crate::evaluator::ALERT_SERIES;
use crate::memory::MemorySeries;
use parking_lot::RwLock;
use std::collections::BTreeSet;
use watchfire_model::{Exemplar, Labels, Metadata, Selector, SeriesSource, SeriesView, SourceError, TimeRange, Timestamp, Value};

/// Recorded series over the real ones; a recorded name hides the series of that name below, and the alerts of a rule hide those of its name.
pub(crate) struct Layered<'a> {
    below: &'a dyn SeriesSource,
    above: MemorySeries,
    names: RwLock<BTreeSet<String>>,
    alerts: RwLock<BTreeSet<String>>,
}

impl<'a> Layered<'a> {
    pub fn over(below: &'a dyn SeriesSource) -> Self {
        Layered { below, above: MemorySeries::new(), names: RwLock::default(), alerts: RwLock::default() }
    }

    pub fn push(&self, labels: &Labels, at: Timestamp, value: Value) {
        self.above.push(labels, at, value);
    }

    /// From now on this name is recorded.
    pub fn claim(&self, name: &str) {
        self.names.write().insert(name.to_owned());
    }

    /// From now on the alerts of the rules of this name are recorded.
    pub fn claim_alerts(&self, name: &str) {
        self.alerts.write().insert(name.to_owned());
    }
}

impl SeriesSource for Layered<'_> {
    fn select(&self, selector: &Selector, range: TimeRange, visit: &mut dyn FnMut(SeriesView<'_>)) -> Result<(), SourceError> {
        let (names, alerts) = (self.names.read(), self.alerts.read());
        self.above.select(selector, range, visit)?;
        // A name that is recorded as a whole need not be looked for below.
        if selector.metric_name().is_some_and(|name| names.contains(name)) {
            return Ok(());
        }
        self.below.select(selector, range, &mut |view| {
            let name = view.labels.metric_name();
            let hidden = names.contains(name) || (ALERT_SERIES.contains(&name) && alerts.contains(view.labels.value("alertname")));
            if !hidden {
                visit(view);
            }
        })
    }

    fn metadata(&self) -> Vec<(String, Metadata)> {
        self.below.metadata()
    }

    fn exemplars(&self, selector: &Selector, range: TimeRange) -> Vec<(Labels, Vec<Exemplar>)> {
        self.below.exemplars(selector, range)
    }
}
