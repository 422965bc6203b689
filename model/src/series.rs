//! How samples enter the store ([`SeriesSink`]) and how the query engine reads them ([`SeriesSource`]).

use crate::{Labels, Matcher, Selector, SpanId, TimeRange, Timestamp, TraceId, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Dense, never reused within one run; good as an index into a caller's own column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u32);

/// Who writes: one scrape target, one OTLP resource, one target of a remote writer, the span signals, the evaluator. Series of one origin share
/// their timestamps, so writers whose times differ should be origins of their own: each time that a series lacks is a gap in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginId(pub u32);

/// Type of a metric family, as its metadata says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
    #[default]
    Unknown,
}

/// HELP, TYPE and UNIT of a metric family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    #[serde(rename = "type")]
    pub kind: MetricKind,
    pub help: String,
    pub unit: String,
}

/// A sample that points at a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    pub at: Timestamp,
    pub value: f64,
    pub trace_id: Option<TraceId>,
    pub span_id: Option<SpanId>,
    pub labels: Labels,
}

impl Exemplar {
    /// Characters that the names and values of its labels may have together, ids included (OpenMetrics 1.0, exemplars).
    pub const CHARACTERS: usize = 128;
}

/// What became of the samples of one append. Everything not stored is under a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    pub stored: usize,
    pub out_of_order: usize,
    /// Same time, other value.
    pub duplicate: usize,
    /// More than ten minutes ahead of the wall clock.
    pub future: usize,
    /// Older than what is kept.
    pub old: usize,
    /// The series limit stands in the way of a new series.
    pub series_limit: usize,
}

/// Series that watchfire writes itself: there is room for them beyond what outsiders may fill, so that a flood of series from one target hides
/// neither that it is down nor what it makes fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnSeries {
    /// As many as what is received gives: from spans, from the bodies of probes.
    Derived,
    /// Few, and needed most when too much is received: `up`, alerts, probes, own metrics. Only these may use the last of the room.
    Vital,
}

/// How far ahead of the wall clock a sample may be, as in Prometheus.
pub const MAX_AHEAD: Duration = Duration::from_secs(600);

/// Where samples go. Implemented by the store; cheap to call from any thread, never blocks on readers for long.
pub trait SeriesSink: Send + Sync {
    /// Names a writer. The same name gives the same origin.
    fn origin(&self, name: &str) -> OriginId;

    /// Registers a series; `None` when the series limit refuses a new one (known ones are always found).
    fn series(&self, origin: OriginId, labels: &Labels, kind: MetricKind) -> Option<SeriesId>;

    /// Registers a series of watchfire's own; `None` when there is no room left even for it.
    fn own_series(&self, origin: OriginId, labels: &Labels, kind: MetricKind, _own: OwnSeries) -> Option<SeriesId> {
        self.series(origin, labels, kind)
    }

    /// Appends one row: samples at one time, of series of `origin`; those begun under another one are written there, with the times of that. A [`STALE_NAN`](crate::STALE_NAN) ends a series.
    /// `now` is the wall clock, against which future samples are refused.
    fn append(&self, origin: OriginId, at: Timestamp, now: Timestamp, row: &[(SeriesId, Value)]) -> Appended;

    /// Remembers HELP, TYPE and UNIT of a family.
    fn describe(&self, family: &str, metadata: Metadata);

    /// Keeps an exemplar (bounded; oldest go first).
    fn exemplar(&self, series: SeriesId, exemplar: Exemplar);
}

/// One series as a reader sees it, borrowed for the length of a visit.
/// `times` ascends strictly; `values[i]` belongs to `times[i]`. Stale markers are included: readers decide.
/// Where `histograms` is not empty it has the same length as `times`, and `Some` entries win over `values`.
#[derive(Clone, Copy, Debug)]
pub struct SeriesView<'a> {
    pub id: SeriesId,
    pub labels: &'a Labels,
    pub times: &'a [Timestamp],
    pub values: &'a [f64],
    pub histograms: &'a [Option<Arc<crate::NativeHistogram>>],
    /// The source knows that these are numbers (no NaN, so no stale marker, and no histogram) of which none is less than the one before: a counter
    /// without a reset. `false` says nothing.
    pub rising: bool,
}

impl SeriesView<'_> {
    pub fn to_owned_data(&self) -> SeriesData {
        SeriesData {
            labels: self.labels.clone(),
            times: self.times.to_vec(),
            values: (0..self.times.len())
                .map(|i| match self.histograms.get(i).cloned().flatten() {
                    Some(h) => Value::Histogram(h),
                    None => Value::Float(self.values[i]),
                })
                .collect(),
        }
    }
}

/// A series copied out of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesData {
    pub labels: Labels,
    pub times: Vec<Timestamp>,
    pub values: Vec<Value>,
}

/// Why a source could not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// The query touches more samples than allowed.
    TooManySamples {
        limit: usize,
    },
    Timeout,
    Unavailable(String),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::TooManySamples { limit } => write!(f, "query needs more than {limit} samples"),
            SourceError::Timeout => f.write_str("query timed out"),
            SourceError::Unavailable(why) => write!(f, "source unavailable: {why}"),
        }
    }
}

impl std::error::Error for SourceError {}

/// What the query engine reads. Implemented by the live store, by history, by remote engines and by test fixtures.
pub trait SeriesSource: Send + Sync {
    /// Visits every matching series that has at least one sample in `range` (left-open), with the samples of that range only.
    ///
    /// # Errors
    /// When a limit or the transport stands in the way; nothing partial is an answer then.
    fn select(&self, selector: &Selector, range: TimeRange, visit: &mut dyn FnMut(SeriesView<'_>)) -> Result<(), SourceError>;

    /// Visits the labels of every matching series that has at least one sample in `range`. Who does not look at samples need not have them unpacked.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    fn select_labels(&self, selector: &Selector, range: TimeRange, visit: &mut dyn FnMut(&Labels)) -> Result<(), SourceError> {
        self.select(selector, range, &mut |view| visit(view.labels))
    }

    /// True when samples may know when their counting began; only then is [`select_with_starts`](Self::select_with_starts) asked.
    fn has_start_times(&self) -> bool {
        false
    }

    /// As [`select`](Self::select), with the start timestamp of each sample: as many as `times` (zero where unknown), or none at all.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    fn select_with_starts(
        &self,
        selector: &Selector,
        range: TimeRange,
        visit: &mut dyn FnMut(SeriesView<'_>, &[Timestamp]),
    ) -> Result<(), SourceError> {
        self.select(selector, range, &mut |view| visit(view, &[]))
    }

    /// Changes whenever a series appears or disappears; `None` when plans over this source cannot be cached.
    fn generation(&self) -> Option<u64> {
        None
    }

    /// Names of labels on the series that any of the selectors means (all series, where there is none) in `range`, sorted.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    fn label_names(&self, selectors: &[Selector], range: TimeRange) -> Result<Vec<String>, SourceError> {
        let all = [Selector::default()];
        let mut names = BTreeSet::new();
        for selector in if selectors.is_empty() { &all } else { selectors } {
            self.select_labels(selector, range, &mut |labels| {
                for label in labels.iter() {
                    if !names.contains(&*label.name) {
                        names.insert(label.name.to_string());
                    }
                }
            })?;
        }
        Ok(names.into_iter().collect())
    }

    /// Values of one label on the series that any of the selectors means (all series, where there is none) in `range`, sorted.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    fn label_values(&self, name: &str, selectors: &[Selector], range: TimeRange) -> Result<Vec<String>, SourceError> {
        let all = [Selector(vec![Matcher::present(name)])];
        let mut values = BTreeSet::new();
        for selector in if selectors.is_empty() { &all } else { selectors } {
            self.select_labels(selector, range, &mut |labels| {
                if let Some(value) = labels.get(name).filter(|v| !values.contains(*v)) {
                    values.insert(value.to_owned());
                }
            })?;
        }
        Ok(values.into_iter().collect())
    }

    /// Labels of the series that any of the selectors means in `range`, each once and sorted: at most `limit` of them, whichever they are.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    fn label_sets(&self, selectors: &[Selector], range: TimeRange, limit: usize) -> Result<Vec<Labels>, SourceError> {
        let mut found = BTreeSet::new();
        for selector in selectors {
            self.select_labels(selector, range, &mut |labels| {
                if found.len() < limit {
                    found.insert(labels.clone());
                }
            })?;
        }
        Ok(found.into_iter().collect())
    }

    /// Metadata by family name.
    fn metadata(&self) -> Vec<(String, Metadata)> {
        Vec::new()
    }

    /// Exemplars of matching series.
    fn exemplars(&self, _selector: &Selector, _range: TimeRange) -> Vec<(Labels, Vec<Exemplar>)> {
        Vec::new()
    }
}
