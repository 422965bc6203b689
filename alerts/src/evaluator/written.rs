//! The series one rule writes: values, and stale markers for those it no longer has.

use std::collections::HashMap;
use watchfire_model::{Appended, Labels, MetricKind, OriginId, OwnSeries, STALE_NAN, SeriesId, SeriesSink, Timestamp, Value};

#[derive(Debug)]
pub(crate) struct Written {
    origin: OriginId,
    /// Alerts have room of their own in the store; what is recorded can be as much as what it is made of.
    alerting: bool,
    live: HashMap<Labels, SeriesId>,
}

impl Written {
    pub fn recorded(sink: &dyn SeriesSink, origin: &str) -> Self {
        Written { origin: sink.origin(origin), alerting: false, live: HashMap::new() }
    }

    pub fn alerts(sink: &dyn SeriesSink, origin: &str) -> Self {
        Written { alerting: true, ..Self::recorded(sink, origin) }
    }

    /// Writes one row at `at`; series of the last row that are not in this one end. What is told of it is told of the row: an end that comes too
    /// late says only that another rule writes the series by now.
    pub fn write(&mut self, sink: &dyn SeriesSink, at: Timestamp, now: Timestamp, rows: Vec<(Labels, Value)>) -> Appended {
        let mut refused = 0;
        let mut live = HashMap::with_capacity(rows.len());
        let mut row = Vec::with_capacity(rows.len());
        for (labels, value) in rows {
            let id = match self.live.remove(&labels) {
                Some(id) => Some(id),
                None if self.alerting => sink.own_series(self.origin, &labels, MetricKind::Gauge, OwnSeries::Vital),
                None => sink.series(self.origin, &labels, MetricKind::Gauge),
            };
            match id {
                Some(id) => {
                    row.push((id, value));
                    live.insert(labels, id);
                }
                None => refused += 1,
            }
        }
        let ended: Vec<_> = self.live.drain().map(|(_, id)| (id, Value::Float(STALE_NAN))).collect();
        self.live = live;
        let mut appended = if row.is_empty() { Appended::default() } else { sink.append(self.origin, at, now, &row) };
        appended.series_limit += refused;
        if !ended.is_empty() {
            sink.append(self.origin, at, now, &ended);
        }
        appended
    }

    /// Ends every series: the rule is gone.
    pub fn end(mut self, sink: &dyn SeriesSink, at: Timestamp, now: Timestamp) {
        self.write(sink, at, now, Vec::new());
    }
}
