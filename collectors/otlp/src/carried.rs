//! Senders know nothing of a wall clock that was set back and is carried on here: what they stamp is moved by as much, or it would be as old as
//! the step is long.

use std::time::Duration;
use watchfire_model::{Appended, Exemplar, Labels, Metadata, MetricKind, OriginId, SeriesId, SeriesSink, Timestamp, Value};

/// A sink for times that others stamped.
pub(crate) struct StampedByOthers<'a> {
    pub sink: &'a dyn SeriesSink,
    /// How far the machine's clock is behind the one that is carried on.
    pub carried: Duration,
}

impl SeriesSink for StampedByOthers<'_> {
    fn origin(&self, name: &str) -> OriginId {
        self.sink.origin(name)
    }

    fn series(&self, origin: OriginId, labels: &Labels, kind: MetricKind) -> Option<SeriesId> {
        self.sink.series(origin, labels, kind)
    }

    fn append(&self, origin: OriginId, at: Timestamp, now: Timestamp, row: &[(SeriesId, Value)]) -> Appended {
        self.sink.append(origin, at.saturating_add(self.carried), now, row)
    }

    fn describe(&self, family: &str, metadata: Metadata) {
        self.sink.describe(family, metadata);
    }

    fn exemplar(&self, series: SeriesId, exemplar: Exemplar) {
        self.sink.exemplar(series, Exemplar { at: exemplar.at.saturating_add(self.carried), ..exemplar });
    }
}
