//! One scrape of one target on its way into the store: samples are collected, and stored only when the whole body was good.

use crate::exposition::custom_buckets::CustomBuckets;
use crate::exposition::{ExemplarText, Format, Guess, ParseError, Recipient, Which, line, openmetrics, protobuf, text};
use crate::sample_labels::{LabelRules, Texts};
use crate::series_cache::{Kind, NONE, SeriesCache};
use hashbrown::HashSet;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{
    Appended, Exemplar, Labels, MetricKind, NativeHistogram, OriginId, STALE_NAN, SeriesId, SeriesSink, SpanId, Timestamp, TraceId, Value,
};

/// How the samples of one target are read and written.
pub struct SessionRules {
    pub labels: LabelRules,
    /// 0 for no limit.
    pub sample_limit: usize,
    pub honor_timestamps: bool,
    pub track_timestamps_staleness: bool,
    pub classic_too: bool,
    /// Classic histograms become native ones with custom buckets.
    pub custom_buckets: bool,
    /// Series of our own (`up` ...), which no target may write.
    pub reserved: Vec<SeriesId>,
    pub origin: OriginId,
    /// Names the writers of samples with times of their own, so that they do not disturb the shared times of the others.
    pub own_times: String,
}

impl SessionRules {
    /// The writer of series that come first with a time of their own. Those of one container (cAdvisor) or of one target (federation) have it in common,
    /// and the times of each are gaps in all others that are kept with it: so they are told apart by it, into sixty-four.
    fn origin_of(&self, at: i64, sink: &dyn SeriesSink) -> OriginId {
        let part = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
        sink.origin(&format!("{} {part}", self.own_times))
    }
}

/// What one scrape held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples in the body.
    pub scraped: usize,
    /// Samples that relabelling let through, repeated ones too.
    pub kept: usize,
    /// Series that the last good scrape did not have.
    pub added: usize,
    /// Samples of a series that the body had already.
    pub duplicate: usize,
    /// Samples without a series, because the series limit is reached.
    pub refused: usize,
}

/// Collects one body. End it with [`commit`](Self::commit) or [`fail`](Self::fail); dropping it stores nothing.
pub struct Session<'a> {
    cache: &'a mut SeriesCache,
    sink: &'a dyn SeriesSink,
    rules: &'a SessionRules,
    row: Vec<(SeriesId, Value)>,
    timed: Vec<(i64, SeriesId, Value)>,
    exemplars: Vec<(SeriesId, Exemplar, Option<i64>)>,
    counts: Counts,
    /// Entries met that were live, that were until a scrape failed, and that were not.
    seen_live: usize,
    resumed: usize,
    fresh: usize,
}

impl<'a> Session<'a> {
    pub fn new(cache: &'a mut SeriesCache, sink: &'a dyn SeriesSink, rules: &'a SessionRules) -> Self {
        cache.begin();
        let row = Vec::with_capacity(cache.live + 8);
        Session {
            cache,
            sink,
            rules,
            row,
            timed: Vec::new(),
            exemplars: Vec::new(),
            counts: Counts::default(),
            seen_live: 0,
            resumed: 0,
            fresh: 0,
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// As the walker of the format.
    pub fn read(&mut self, format: Format, body: &[u8]) -> Result<(), ParseError> {
        if self.rules.custom_buckets {
            let classic_too = self.rules.classic_too;
            let mut joiner = CustomBuckets::new(self, classic_too);
            walk(format, body, classic_too, &mut joiner)?;
            joiner.finish()?;
        } else {
            walk(format, body, self.rules.classic_too, self)?;
        }
        if self.over_limit() { Err(ParseError::SampleLimit(self.rules.sample_limit)) } else { Ok(()) }
    }

    pub fn counts(&self) -> Counts {
        Counts { added: self.fresh, ..self.counts }
    }

    /// Stores everything that was read, the stale markers of what is gone, and `report`, as one row at `at`. What the target itself stamped is moved by
    /// `carried`: by how much the clock of `now` is ahead of the machine's.
    pub fn commit(mut self, at: Timestamp, now: Timestamp, carried: Duration, report: &[(SeriesId, f64)]) -> Appended {
        if self.fresh + self.resumed > 0 || self.seen_live != self.cache.live || !self.cache.inherited.is_empty() {
            self.mark_stale();
        }
        let mut row = std::mem::take(&mut self.row);
        row.extend(report.iter().map(|(id, value)| (*id, Value::Float(*value))));
        let mut total = self.sink.append(self.rules.origin, at, now, &row);
        self.append_timed(now, carried, &mut total);
        for (id, mut exemplar, time) in self.exemplars.drain(..) {
            exemplar.at = time.map_or(at, |time| Timestamp(time).saturating_add(carried));
            self.sink.exemplar(id, exemplar);
        }
        for (family, metadata) in self.cache.take_changed() {
            self.sink.describe(&family, metadata);
        }
        self.cache.shrink();
        total
    }

    /// Stores nothing of the body: every series of the scrape before goes stale, and `report` is written.
    pub fn fail(self, at: Timestamp, now: Timestamp, report: &[(SeriesId, f64)]) -> Appended {
        let mut row: Vec<(SeriesId, Value)> = self.cache.live_series().map(|id| (id, Value::Float(STALE_NAN))).collect();
        let lived = row.len();
        row.extend(report.iter().map(|(id, value)| (*id, Value::Float(*value))));
        for entry in &mut self.cache.entries {
            entry.paused |= std::mem::take(&mut entry.live);
        }
        self.cache.live = 0;
        self.cache.inherited = Vec::new();
        // A target that fails with new lines every time must not fill the memory.
        if self.cache.is_littered(lived) {
            self.cache.clear();
        }
        self.sink.append(self.rules.origin, at, now, &row)
    }

    fn mark_stale(&mut self) {
        let epoch = self.cache.epoch;
        let mut gone = std::mem::take(&mut self.cache.inherited);
        let mut live = 0;
        for entry in &mut self.cache.entries {
            if entry.kind != Kind::Series {
                continue;
            }
            if entry.timed && !self.rules.track_timestamps_staleness {
                // Not followed: it ends by the look-back of queries.
                entry.live = false;
                continue;
            }
            entry.paused = false;
            if entry.seen == epoch {
                entry.live = true;
                live += 1;
            } else if entry.live {
                entry.live = false;
                gone.push(entry.id);
            }
        }
        self.cache.live = live;
        if !gone.is_empty() {
            // Two texts may have become one series; it is gone only when both are.
            let mut present: HashSet<u32> = self.row.iter().map(|(id, _)| id.0).collect();
            present.extend(self.rules.reserved.iter().map(|id| id.0));
            self.row.extend(gone.into_iter().filter(|id| present.insert(id.0)).map(|id| (id, Value::Float(STALE_NAN))));
        }
    }

    fn append_timed(&mut self, now: Timestamp, carried: Duration, total: &mut Appended) {
        self.timed.sort_by_key(|(at, ..)| *at);
        let mut row: Vec<(SeriesId, Value)> = Vec::new();
        for group in self.timed.chunk_by(|a, b| a.0 == b.0) {
            row.clear();
            row.extend(group.iter().map(|(_, id, value)| (*id, value.clone())));
            let origin = self.rules.origin_of(group[0].0, self.sink);
            let part = self.sink.append(origin, Timestamp(group[0].0).saturating_add(carried), now, &row);
            total.stored += part.stored;
            total.out_of_order += part.out_of_order;
            total.duplicate += part.duplicate;
            total.future += part.future;
            total.old += part.old;
            total.series_limit += part.series_limit;
        }
    }

    /// The entry of a series text, registering it when new; `None` when the series limit refuses it.
    #[cold]
    fn resolve(&mut self, series: &[u8], at: Option<i64>) -> Result<Option<u32>, ParseError> {
        if let Some(known) = self.cache.find(series) {
            return Ok(Some(known));
        }
        // Taken out for the call: the closure reads the rest of the cache.
        let mut texts = std::mem::take(&mut self.cache.texts);
        let resolved = self.rules.labels.resolve(series, &mut texts, |name| self.cache.kind_of(name));
        self.cache.texts = texts;
        let Some(labels) = resolved? else {
            return Ok(Some(self.cache.insert(series, Kind::Dropped, SeriesId(NONE))));
        };
        let kind = if labels.metric_name().ends_with("_created") { MetricKind::Gauge } else { self.cache.kind_of(labels.metric_name()) };
        let origin = at.map_or(self.rules.origin, |at| self.rules.origin_of(at, self.sink));
        let Some(id) = self.sink.series(origin, &labels, kind) else { return Ok(None) };
        let kind = if self.rules.reserved.contains(&id) { Kind::Dropped } else { Kind::Series };
        Ok(Some(self.cache.insert(series, kind, id)))
    }

    #[inline]
    fn accept(&mut self, which: Which<'_>, value: Value, at: Option<i64>) -> Result<u32, ParseError> {
        let at = at.filter(|_| self.rules.honor_timestamps);
        self.counts.scraped += 1;
        if self.over_limit() {
            return self.count_only(which);
        }
        let index = match which {
            Which::Entry(index) => index,
            Which::Text(series) => match self.resolve(series, at) {
                Ok(Some(index)) => index,
                Err(e) => {
                    // A line that does not read is no sample; one with too much in it is.
                    self.counts.scraped -= usize::from(matches!(e, ParseError::Syntax { .. }));
                    return Err(e);
                }
                Ok(None) => {
                    self.counts.kept += 1;
                    self.counts.refused += 1;
                    return Ok(NONE);
                }
            },
        };
        self.cache.follow(index);
        let epoch = self.cache.epoch;
        let entry = &mut self.cache.entries[index as usize];
        if entry.kind != Kind::Series {
            entry.seen = epoch;
            return Ok(NONE);
        }
        let id = entry.id;
        let repeated = entry.seen == epoch;
        entry.seen = epoch;
        match at {
            None if repeated => {
                self.counts.kept += 1;
                self.counts.duplicate += 1;
                return Ok(NONE);
            }
            None => {
                entry.timed = false;
                if entry.live {
                    self.seen_live += 1;
                } else if entry.paused {
                    self.resumed += 1;
                } else {
                    self.fresh += 1;
                }
                self.row.push((id, value));
            }
            Some(at) => {
                let newly = !std::mem::replace(&mut entry.timed, true);
                let tracked = self.rules.track_timestamps_staleness;
                if !repeated && tracked && entry.live {
                    self.seen_live += 1;
                } else if !repeated && (newly || tracked) {
                    self.fresh += 1;
                }
                self.timed.push((at, id, value));
            }
        }
        self.counts.kept += 1;
        Ok(index)
    }

    #[inline]
    fn over_limit(&self) -> bool {
        self.rules.sample_limit > 0 && self.counts.kept > self.rules.sample_limit
    }

    /// The rest of a body that is over the limit: it fails, but the report says how many samples there were.
    #[cold]
    fn count_only(&mut self, which: Which<'_>) -> Result<u32, ParseError> {
        let dropped = match which {
            Which::Entry(index) => self.cache.entries[index as usize].kind == Kind::Dropped,
            Which::Text(series) => match self.cache.find(series) {
                Some(index) => self.cache.entries[index as usize].kind == Kind::Dropped,
                None => self.rules.labels.resolve(series, &mut Texts::default(), |name| self.cache.kind_of(name))?.is_none(),
            },
        };
        self.counts.kept += usize::from(!dropped);
        Ok(NONE)
    }
}

fn walk<R: Recipient>(format: Format, body: &[u8], classic_too: bool, recipient: &mut R) -> Result<(), ParseError> {
    match format {
        Format::Text => text::walk(body, recipient),
        Format::OpenMetrics => openmetrics::walk(body, recipient),
        Format::Protobuf => protobuf::walk(body, classic_too, recipient),
    }
}

impl Recipient for Session<'_> {
    #[inline]
    fn guess(&mut self, rest: &[u8]) -> Guess {
        self.cache.guess(rest)
    }

    #[inline]
    fn sample(&mut self, which: Which<'_>, value: f64, at: Option<i64>) -> Result<u32, ParseError> {
        self.accept(which, Value::Float(value), at)
    }

    fn histogram(&mut self, which: Which<'_>, value: NativeHistogram, at: Option<i64>) -> Result<u32, ParseError> {
        self.accept(which, Value::Histogram(Arc::new(value)), at)
    }

    fn exemplar(&mut self, entry: u32, exemplar: ExemplarText<'_>) {
        let Some(known) = self.cache.entries.get(entry as usize).filter(|e| e.kind == Kind::Series) else { return };
        let Ok(pairs) = line::parse_label_set(exemplar.labels) else { return };
        if pairs.iter().map(|(n, v)| n.chars().count() + v.chars().count()).sum::<usize>() > Exemplar::CHARACTERS {
            return;
        }
        let labels = Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref())));
        let first = |names: [&str; 3]| names.iter().find_map(|n| labels.get(n)).unwrap_or_default();
        let trace_id = TraceId::parse(first(["trace_id", "traceID", "traceId"])).filter(|id| !id.is_zero());
        let span_id = SpanId::parse(first(["span_id", "spanID", "spanId"])).filter(|id| !id.is_zero());
        let made = Exemplar { at: Timestamp(0), value: exemplar.value, trace_id, span_id, labels };
        self.exemplars.push((known.id, made, exemplar.at));
    }

    fn comment(&mut self, line: &[u8]) {
        self.cache.comment(line);
    }

    fn kind(&mut self, family: &str, kind: MetricKind) {
        self.cache.describe(family, |m| std::mem::replace(&mut m.kind, kind) != kind);
    }

    fn help(&mut self, family: &str, help: &str) {
        self.cache.describe(family, |m| {
            m.help != help && {
                m.help = help.to_owned();
                true
            }
        });
    }

    fn unit(&mut self, family: &str, unit: &str) {
        self.cache.describe(family, |m| {
            m.unit != unit && {
                m.unit = unit.to_owned();
                true
            }
        });
    }
}
