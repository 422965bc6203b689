//! A series sink that remembers everything and can be waited on.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use watchfire_model::{Appended, Exemplar, Labels, Metadata, MetricKind, OriginId, SeriesId, SeriesSink, Timestamp, Value};

/// One append: who, when, what.
pub type Row = (OriginId, Timestamp, Vec<(SeriesId, Value)>);

#[derive(Default)]
pub struct Records {
    pub origins: Vec<String>,
    pub series: Vec<(OriginId, Labels, MetricKind)>,
    pub rows: Vec<Row>,
    pub metadata: HashMap<String, Metadata>,
    pub exemplars: Vec<(SeriesId, Exemplar)>,
}

#[derive(Clone)]
pub struct Recorder {
    records: Arc<Mutex<Records>>,
    limit: usize,
    appended: Arc<watch::Sender<usize>>,
}

impl Recorder {
    pub fn new() -> Self {
        Recorder::with_limit(usize::MAX)
    }

    pub fn with_limit(limit: usize) -> Self {
        Recorder { records: Arc::default(), limit, appended: Arc::new(watch::channel(0).0) }
    }

    pub fn read<T>(&self, look: impl FnOnce(&Records) -> T) -> T {
        look(&self.records.lock())
    }

    /// Waits until the records satisfy `done`; fails the test after 30 seconds.
    #[allow(dead_code)]
    pub async fn until(&self, what: &str, done: impl Fn(&Records) -> bool) {
        let mut changes = self.appended.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            while !self.read(&done) {
                changes.changed().await.unwrap();
            }
        });
        assert!(waited.await.is_ok(), "still waiting for: {what}");
    }
}

impl Records {
    /// Samples of one series in the order they came, found by its PromQL notation without the labels of the target.
    pub fn samples(&self, wanted: &str) -> Vec<(Timestamp, Value)> {
        let ids: Vec<SeriesId> = self
            .series
            .iter()
            .enumerate()
            .filter(|(_, (_, labels, _))| {
                let mut own = labels.to_builder();
                own.remove("job").remove("instance");
                own.build().to_string() == wanted
            })
            .map(|(i, _)| SeriesId(i as u32))
            .collect();
        self.rows
            .iter()
            .flat_map(|(_, at, row)| row.iter().filter(|(id, _)| ids.contains(id)).map(|(_, value)| (*at, value.clone())))
            .collect()
    }

    /// The values of one series; `None` for a stale marker.
    pub fn values(&self, wanted: &str) -> Vec<Option<f64>> {
        self.samples(wanted).iter().map(|(_, v)| if v.is_stale() { None } else { v.as_float() }).collect()
    }

    pub fn kind(&self, name: &str) -> Option<MetricKind> {
        self.series.iter().find(|(_, l, _)| l.metric_name() == name).map(|(_, _, kind)| *kind)
    }
}

impl SeriesSink for Recorder {
    fn origin(&self, name: &str) -> OriginId {
        let mut records = self.records.lock();
        let known = records.origins.iter().position(|o| o == name);
        OriginId(known.unwrap_or_else(|| {
            records.origins.push(name.to_owned());
            records.origins.len() - 1
        }) as u32)
    }

    fn series(&self, origin: OriginId, labels: &Labels, kind: MetricKind) -> Option<SeriesId> {
        let mut records = self.records.lock();
        if let Some(known) = records.series.iter().position(|(_, l, _)| l == labels) {
            return Some(SeriesId(known as u32));
        }
        if records.series.len() >= self.limit {
            return None;
        }
        records.series.push((origin, labels.clone(), kind));
        Some(SeriesId(records.series.len() as u32 - 1))
    }

    fn append(&self, origin: OriginId, at: Timestamp, _now: Timestamp, row: &[(SeriesId, Value)]) -> Appended {
        self.records.lock().rows.push((origin, at, row.to_vec()));
        self.appended.send_modify(|n| *n += 1);
        Appended { stored: row.len(), ..Appended::default() }
    }

    fn describe(&self, family: &str, metadata: Metadata) {
        self.records.lock().metadata.insert(family.to_owned(), metadata);
    }

    fn exemplar(&self, series: SeriesId, exemplar: Exemplar) {
        self.records.lock().exemplars.push((series, exemplar));
    }
}
