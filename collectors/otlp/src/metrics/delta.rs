//! Delta temporality accumulated to cumulative: per series a running total. Their number is bounded: idle ones make room for new ones.

use super::exponential::Exponential;
use hashbrown::HashMap;
use std::time::Duration;
use watchfire_model::{MAX_AHEAD, SeriesId, Timestamp};

/// A stream not heard of for so long makes room for another one, and starts again from zero (as in the collector's deltatocumulative processor).
const IDLE: Duration = Duration::from_secs(300);

/// What has come so far.
#[derive(Clone, Debug)]
enum Total {
    Number(f64),
    Exponential(Box<Exponential>),
}

#[derive(Debug)]
struct Stream {
    total: Total,
    /// Time of the last delta.
    at: Timestamp,
    /// When it came, by our clock.
    heard: Timestamp,
}

/// All running totals.
#[derive(Debug)]
pub(super) struct Deltas {
    streams: HashMap<SeriesId, Stream>,
    limit: usize,
}

impl Deltas {
    pub(super) fn new(limit: usize) -> Self {
        Deltas { streams: HashMap::new(), limit }
    }

    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether a delta of that time can be added to that series.
    pub(super) fn check(&mut self, series: SeriesId, at: Timestamp, now: Timestamp) -> Result<(), &'static str> {
        // What the store refuses must not be added either: everything sent at the right time would be out of order after it.
        if at > now.saturating_add(MAX_AHEAD) {
            return Err("future");
        }
        match self.streams.get(&series) {
            Some(stream) if at <= stream.at => Err("delta out of order"),
            Some(_) => Ok(()),
            None => {
                if self.streams.len() >= self.limit {
                    self.streams.retain(|_, stream| now.since(stream.heard) < IDLE);
                }
                if self.streams.len() < self.limit { Ok(()) } else { Err("too many delta streams") }
            }
        }
    }

    /// Lets series start again.
    pub(super) fn forget(&mut self, series: impl Iterator<Item = SeriesId>) {
        for id in series {
            self.streams.remove(&id);
        }
    }

    /// Adds a number; returns the total.
    pub(super) fn add(&mut self, series: SeriesId, at: Timestamp, now: Timestamp, delta: f64) -> f64 {
        let stream = self.streams.entry(series).or_insert(Stream { total: Total::Number(0.0), at, heard: now });
        (stream.at, stream.heard) = (at, now);
        let total = match stream.total {
            Total::Number(total) => total + delta,
            Total::Exponential(_) => delta,
        };
        stream.total = Total::Number(total);
        total
    }

    /// Adds a histogram; returns the total.
    pub(super) fn add_exponential(&mut self, series: SeriesId, at: Timestamp, now: Timestamp, delta: Exponential) -> &Exponential {
        let stream = self.streams.entry(series).or_insert(Stream { total: Total::Number(0.0), at, heard: now });
        (stream.at, stream.heard) = (at, now);
        if let Total::Exponential(total) = &mut stream.total {
            total.merge(delta);
        } else {
            stream.total = Total::Exponential(Box::new(delta));
        }
        match &stream.total {
            Total::Exponential(total) => total,
            Total::Number(_) => unreachable!("set just above"),
        }
    }
}
