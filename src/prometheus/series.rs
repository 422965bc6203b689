//! The series of a Prometheus as the query engine reads them: raw samples, fetched by selector and range, held for as long as one screen needs them.

use super::answers::{self, Answer, Outcome};
use crate::attach::RemoteSource;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use watchfire_alerts::MemorySeries;
use watchfire_model::reading::ReadError;
use watchfire_model::{
    Labels, METRIC_NAME, Metadata, STALE_NAN, Selector, SeriesData, SeriesId, SeriesSource, SeriesView, SourceError, TimeRange, Timestamp,
    Value,
};

/// Readings ask for many metrics that are not there. Which are is known for so long.
const NAMES_FOR: Duration = Duration::from_secs(15);
/// But for these: nobody waits to hear of the first alert.
const AT_ONCE: [&str; 2] = ["ALERTS", "ALERTS_FOR_STATE"];
/// How far the samples of one target may lie behind those of others.
const LAGS: Duration = Duration::from_secs(10);
/// Answers that are held: those of one screen.
const MOST_HELD: usize = 64;
/// Samples in all of them.
const MOST_SAMPLES: usize = 5_000_000;
/// Set in the numbers of what was fetched; what is laid over it has others.
const FETCHED: u32 = 1 << 31;
/// Series whose numbers are known; what is forgotten gets another one.
const MOST_NUMBERED: usize = 1_000_000;
/// No reading looks back further; a range without an end would be one of everything.
const LONGEST_MS: i64 = 31 * 86_400_000;

pub(super) struct RemoteSeries {
    remote: Arc<RemoteSource>,
    names: Known<Arc<BTreeSet<String>>>,
    metadata: Known<Vec<(String, Metadata)>>,
    held: Mutex<VecDeque<Held>>,
    numbers: Mutex<Numbers>,
    /// Why the other side did not answer, since the reading began.
    gone: Mutex<Option<String>>,
}

/// What was asked for, and when.
type Known<T> = Mutex<Option<(Instant, T)>>;

struct Held {
    /// Selector and range.
    asked: (String, TimeRange),
    series: Fetched,
    samples: usize,
}

type Fetched = Arc<Vec<(SeriesId, SeriesData)>>;

/// Numbers of series: one series has one, whatever asks for it.
#[derive(Default)]
struct Numbers {
    known: HashMap<Labels, SeriesId>,
    next: u32,
}

impl Numbers {
    fn of(&mut self, labels: &Labels) -> SeriesId {
        if self.known.len() >= MOST_NUMBERED {
            self.known.clear();
        }
        *self.known.entry(labels.clone()).or_insert_with(|| {
            self.next = self.next.wrapping_add(1);
            SeriesId(FETCHED | self.next)
        })
    }
}

impl RemoteSeries {
    pub fn new(remote: Arc<RemoteSource>) -> Self {
        RemoteSeries {
            remote,
            names: Mutex::default(),
            metadata: Mutex::default(),
            held: Mutex::default(),
            numbers: Mutex::default(),
            gone: Mutex::default(),
        }
    }

    /// A reading begins.
    pub fn begin(&self) {
        *self.gone.lock() = None;
    }

    /// Whether the other side was found to be gone since then.
    pub fn gone(&self) -> Option<String> {
        self.gone.lock().clone()
    }

    fn failed(&self, error: ReadError) -> SourceError {
        match error {
            ReadError::Timeout => SourceError::Timeout,
            ReadError::Disconnected(why) => {
                *self.gone.lock() = Some(why.clone());
                SourceError::Unavailable(why)
            }
            other => SourceError::Unavailable(other.to_string()),
        }
    }

    fn names(&self) -> Result<Arc<BTreeSet<String>>, SourceError> {
        let mut names = self.names.lock();
        if let Some((_, names)) = names.as_ref().filter(|(taken, _)| taken.elapsed() < NAMES_FOR) {
            return Ok(names.clone());
        }
        let all: Arc<BTreeSet<String>> = Arc::new(self.get("/api/v1/label/__name__/values")?);
        *names = Some((Instant::now(), all.clone()));
        Ok(all)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, SourceError> {
        let body = self.remote.get(path).map_err(|e| self.failed(e))?;
        Ok(Answer::of(&body).map_err(|e| self.failed(e))?.data)
    }

    fn instant(&self, query: &str, at: Timestamp) -> Result<Vec<SeriesData>, SourceError> {
        let pairs = [("query", query.to_owned()), ("time", super::seconds(at))];
        let pairs = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        Ok(answers::series(self.get::<Outcome>(&format!("/api/v1/query?{pairs}"))?).1)
    }

    /// Ranges come without the marks of series that have ended, and an alert that is over would go on for as long as samples are looked back for.
    /// Where some lag behind the others, what is there at the end says which have ended.
    fn end_the_ended(&self, selector: &str, end: Timestamp, series: &mut [SeriesData]) -> Result<(), SourceError> {
        let newest = series.iter().filter_map(|s| s.times.last()).max().copied();
        let lags = |s: &SeriesData| s.times.last().zip(newest).is_some_and(|(last, newest)| newest.since(*last) > LAGS);
        if !series.iter().any(lags) && newest.is_none_or(|newest| end.since(newest) < LAGS * 3) {
            return Ok(());
        }
        let there: HashSet<Labels> = self.instant(selector, end)?.into_iter().map(|s| s.labels).collect();
        for ended in series.iter_mut().filter(|s| !there.contains(&s.labels) && s.times.last().is_some_and(|last| *last < end)) {
            ended.times.push(end);
            ended.values.push(Value::Float(STALE_NAN));
        }
        Ok(())
    }

    fn fetch(&self, selector: &Selector, range: TimeRange) -> Result<Fetched, SourceError> {
        let matchers: Vec<String> = selector.0.iter().map(ToString::to_string).collect();
        let asked = (format!("{{{}}}", matchers.join(",")), range);
        if let Some(held) = self.held.lock().iter().find(|held| held.asked == asked) {
            return Ok(held.series.clone());
        }
        let length = range.end.0.saturating_sub(range.start.0).clamp(1, LONGEST_MS);
        let mut found = self.instant(&format!("{}[{length}ms]", asked.0), range.end)?;
        self.end_the_ended(&asked.0, range.end, &mut found)?;
        let mut numbers = self.numbers.lock();
        let series: Fetched = Arc::new(found.into_iter().map(|s| (numbers.of(&s.labels), s)).collect());
        let samples = series.iter().map(|(_, s)| s.times.len()).sum();
        let mut held = self.held.lock();
        held.push_front(Held { asked, series: series.clone(), samples });
        while held.len() > MOST_HELD || (held.len() > 1 && held.iter().map(|h| h.samples).sum::<usize>() > MOST_SAMPLES) {
            held.pop_back();
        }
        Ok(series)
    }
}

impl SeriesSource for RemoteSeries {
    fn select(&self, selector: &Selector, range: TimeRange, visit: &mut dyn FnMut(SeriesView<'_>)) -> Result<(), SourceError> {
        if let Some(name) = selector.metric_name()
            && !AT_ONCE.contains(&name)
            && !self.names()?.contains(name)
        {
            return Ok(());
        }
        for (id, series) in self.fetch(selector, range)?.iter() {
            // Older versions send the sample at the very beginning too, which belongs to the range before.
            let first = series.times.partition_point(|at| *at <= range.start);
            let times = &series.times[first..];
            if times.is_empty() {
                continue;
            }
            let values: Vec<f64> = series.values[first..].iter().map(|value| value.as_float().unwrap_or(f64::NAN)).collect();
            visit(SeriesView { id: *id, labels: &series.labels, times, values: &values, histograms: &[], rising: false });
        }
        Ok(())
    }

    /// What numbers mean, where a dialect has to know: `0=closed 1=open` stands in the HELP of a gauge.
    fn metadata(&self) -> Vec<(String, Metadata)> {
        let mut held = self.metadata.lock();
        if let Some((_, known)) = held.as_ref().filter(|(taken, _)| taken.elapsed() < NAMES_FOR) {
            return known.clone();
        }
        let found: HashMap<String, Vec<Metadata>> = self.get("/api/v1/metadata").unwrap_or_default();
        let found: Vec<_> = found.into_iter().filter_map(|(family, all)| Some((family, all.into_iter().next()?))).collect();
        *held = Some((Instant::now(), found.clone()));
        found
    }

    fn label_values(&self, name: &str, selectors: &[Selector], range: TimeRange) -> Result<Vec<String>, SourceError> {
        if name == METRIC_NAME && selectors.is_empty() {
            return Ok(self.names()?.iter().cloned().collect());
        }
        let mut values = BTreeSet::new();
        for selector in selectors {
            self.select_labels(selector, range, &mut |labels| values.extend(labels.get(name).map(str::to_owned)))?;
        }
        Ok(values.into_iter().collect())
    }
}

/// What was computed of fetched series, beside them.
pub(super) struct Beside<'a> {
    pub computed: &'a MemorySeries,
    pub fetched: &'a RemoteSeries,
}

impl SeriesSource for Beside<'_> {
    fn select(&self, selector: &Selector, range: TimeRange, visit: &mut dyn FnMut(SeriesView<'_>)) -> Result<(), SourceError> {
        self.computed.select(selector, range, visit)?;
        self.fetched.select(selector, range, visit)
    }

    fn metadata(&self) -> Vec<(String, Metadata)> {
        self.fetched.metadata()
    }
}
