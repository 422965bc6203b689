//! What the last point of a histogram or summary consisted of. A bucket that its sender no longer has would stay for as long as the query engine looks
//! back, among buckets that go on; and a point without a value need not say what it is without.

use hashbrown::HashMap;
use std::time::Duration;
use watchfire_model::{SeriesId, Timestamp};

/// After so long nobody looks back at the series of a point.
const FORGOTTEN: Duration = Duration::from_secs(300);

#[derive(Debug)]
struct Layout {
    /// Time of the last point, and when it came by our clock.
    at: Timestamp,
    heard: Timestamp,
    series: Vec<SeriesId>,
}

/// The buckets or quantiles of the last point of each stream, which is known by another of its series; bounded, forgotten when idle.
#[derive(Debug)]
pub(super) struct Layouts {
    last: HashMap<SeriesId, Layout>,
    limit: usize,
}

impl Layouts {
    pub(super) fn new(limit: usize) -> Self {
        Layouts { last: HashMap::new(), limit }
    }

    /// The series of the point before this one; empty when there is none that still counts.
    pub(super) fn before(&self, stream: SeriesId, at: Timestamp, now: Timestamp) -> &[SeriesId] {
        let layout = self.last.get(&stream).filter(|layout| layout.at < at && now.since(layout.heard) < FORGOTTEN);
        layout.map(|layout| &layout.series[..]).unwrap_or_default()
    }

    /// Remembers a point. One without a value ends its stream.
    pub(super) fn remember(&mut self, stream: SeriesId, at: Timestamp, now: Timestamp, series: &[SeriesId]) {
        if let Some(layout) = self.last.get_mut(&stream) {
            if layout.at < at {
                (layout.at, layout.heard) = (at, now);
                if layout.series != series {
                    layout.series = series.to_vec();
                }
            }
            return;
        }
        if self.last.len() >= self.limit {
            self.last.retain(|_, layout| now.since(layout.heard) < FORGOTTEN);
        }
        if self.last.len() < self.limit {
            self.last.insert(stream, Layout { at, heard: now, series: series.to_vec() });
        }
    }
}
