//! Series: columns over shared timestamps, found through an index.
//!
//! Locks: the index has one, each origin has one. A writer holds the lock of its own origin for one row. A reader holds the index for one lookup,
//! then one origin at a time while its series are visited, never two locks at once; after every million samples it lets a writer of that origin in.
//! So a slow query delays at most the writer whose series it is looking at, by the visit of a million samples, and a scrape of one target never waits
//! for the scrape of another. Samples are not snapshotted: copying columns for every query would cost more than the writer waits. In return a visitor
//! must not call back into the store.

mod chunk;
mod column;
mod exemplars;
mod homes;
mod index;
mod names;
mod origin;
mod packed_histograms;
mod select;
mod writers;

use crate::StoreLimits;
use crate::aging::Aging;
use crate::spans::intern::bounded;
use exemplars::Exemplars;
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use homes::Homes;
use index::{Home, Index};
use parking_lot::{Mutex, RwLock};
use select::Lists;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicIsize, AtomicU32, AtomicUsize, Ordering};
use watchfire_model::{
    Appended, Counter, Exemplar, Labels, MAX_AHEAD, Metadata, Meter, MetricKind, OriginId, OwnSeries, SeriesId, SeriesSink, Timestamp,
    Value,
};
use writers::{Cell, Writers};

/// Dead series whose labels are remembered, so that a writer that cached the id can come back.
const REMEMBERED: usize = 10_000;
/// In place of the column of a series that is not of the writer.
const NO_COLUMN: u32 = u32::MAX;

/// The latest series that went, so many at most.
#[derive(Debug, Default)]
struct Remembered {
    /// With the number of the burial.
    labels: HashMap<SeriesId, (u64, Labels), RandomState>,
    order: VecDeque<(u64, SeriesId)>,
    burials: u64,
}

impl Remembered {
    fn add(&mut self, id: SeriesId, labels: Labels) {
        self.burials += 1;
        self.labels.insert(id, (self.burials, labels));
        self.order.push_back((self.burials, id));
        // One that came back and went again is remembered by its last burial.
        if self.order.len() > REMEMBERED
            && let Some((burial, oldest)) = self.order.pop_front()
            && self.labels.get(&oldest).is_some_and(|(last, _)| *last == burial)
        {
            self.labels.remove(&oldest);
        }
    }
}

/// The live series of the store.
pub(crate) struct SeriesBook {
    limits: StoreLimits,
    index: RwLock<Index>,
    homes: RwLock<Homes>,
    writers: RwLock<Writers>,
    lists: RwLock<Lists>,
    remembered: Mutex<Remembered>,
    metadata: RwLock<BTreeMap<String, Metadata>>,
    /// Bytes of those.
    described: AtomicUsize,
    exemplars: Exemplars,
    pub aging: Aging,
    next_id: AtomicU32,
    grown: AtomicIsize,
    counted: AtomicUsize,
    refused: Refused,
    samples: Counter,
}

/// Bytes of a description, with what a map takes for it.
fn description_bytes(family: &str, metadata: &Metadata) -> usize {
    2 * size_of::<Metadata>() + family.len() + metadata.help.len() + metadata.unit.len()
}

struct Refused {
    series: Counter,
    memory: Counter,
    out_of_order: Counter,
    duplicate: Counter,
    future: Counter,
    old: Counter,
    dropped: Counter,
}

impl SeriesBook {
    pub fn new(limits: &StoreLimits, meter: &Meter) -> Self {
        let sample = |reason| meter.counter("watchfire_samples_refused_total", &[("reason", reason)]);
        SeriesBook {
            exemplars: Exemplars::new(limits.exemplars),
            limits: limits.clone(),
            aging: Aging::default(),
            index: RwLock::default(),
            homes: RwLock::default(),
            writers: RwLock::new(Writers::new(limits.origins)),
            lists: RwLock::default(),
            remembered: Mutex::default(),
            metadata: RwLock::default(),
            described: AtomicUsize::new(0),
            next_id: AtomicU32::new(0),
            grown: AtomicIsize::new(0),
            counted: AtomicUsize::new(0),
            refused: Refused {
                series: meter.counter("watchfire_series_refused_total", &[("reason", "series")]),
                memory: meter.counter("watchfire_series_refused_total", &[("reason", "memory")]),
                out_of_order: sample("out_of_order"),
                duplicate: sample("duplicate"),
                future: sample("future"),
                old: sample("old"),
                dropped: meter.counter("watchfire_rows_evicted_total", &[("reason", "memory")]),
            },
            samples: meter.counter("watchfire_samples_appended_total", &[]),
        }
    }

    pub fn len(&self) -> usize {
        self.index.read().len()
    }

    pub fn refused(&self) -> u64 {
        self.refused.series.get() + self.refused.memory.get()
    }

    pub fn samples(&self) -> u64 {
        self.samples.get()
    }

    pub fn bytes(&self) -> usize {
        let held = self.counted.load(Ordering::Relaxed).saturating_add_signed(self.grown.load(Ordering::Relaxed));
        let held = held + self.described.load(Ordering::Relaxed);
        held + self.index.read().bytes() + self.homes.read().bytes() + self.exemplars.bytes() + self.lists.read().bytes()
    }

    fn origin_cell(&self, origin: u32) -> Option<Cell> {
        self.writers.read().cell(origin).cloned()
    }

    /// The origin of a writer that holds it for as long as the process runs, whether or not it has anything to write.
    pub fn lasting_origin(&self, name: &str) -> OriginId {
        OriginId(self.writers.write().number(name, true))
    }

    /// Whether there is room for one more series; counts the refusal if not. Label text may take half of the series' memory. Own series have
    /// a quarter of either beyond what outsiders fill, and the vital ones of them another.
    fn admits(&self, index: &Index, labels: &Labels, own: Option<OwnSeries>) -> bool {
        let with_reserve = |most: usize| match own {
            None => most,
            Some(OwnSeries::Derived) => most.saturating_add(most / 4),
            Some(OwnSeries::Vital) => most.saturating_add(most / 2),
        };
        if index.len() >= with_reserve(self.limits.series) {
            self.refused.series.add(1);
            return false;
        }
        if index.bytes() + labels.text_bytes() > with_reserve(self.limits.series_bytes() / 2) {
            self.refused.memory.add(1);
            return false;
        }
        true
    }

    fn register(&self, origin: u32, labels: &Labels, known_id: Option<SeriesId>, own: Option<OwnSeries>) -> Option<SeriesId> {
        let mut index = self.index.write();
        if let Some(id) = index.find(labels) {
            return Some(id);
        }
        if !self.admits(&index, labels, own) {
            return None;
        }
        let cell = self.origin_cell(origin)?;
        let labels = index.intern(labels);
        let id = known_id.unwrap_or_else(|| SeriesId(self.next_id.fetch_add(1, Ordering::Relaxed)));
        // Lock order: index, then origin. Readers and appenders never ask for the index while they hold an origin.
        let home = Home { origin, column: cell.write().add(id, labels.clone()) };
        self.homes.write().put(id, home);
        index.insert(id, labels, home);
        Some(id)
    }

    /// A writer still holds the id of a series that was dropped for silence: it comes back under the same id, as one that is known. Where another
    /// writer has begun it anew meanwhile, it is that one's, and stays known by both ids.
    fn revive(&self, origin: u32, id: SeriesId) -> Option<(Home, SeriesId)> {
        let (_, labels) = self.remembered.lock().labels.get(&id)?.clone();
        let revived = self.register(origin, &labels, Some(id), Some(OwnSeries::Vital))?;
        if revived == id {
            self.remembered.lock().labels.remove(&id);
        }
        Some((self.homes.read().get(revived)?, revived))
    }

    /// Forgets series without samples; what was written meanwhile to one of them keeps it.
    fn bury(&self, dead: &[SeriesId]) {
        if dead.is_empty() {
            return;
        }
        let mut index = self.index.write();
        let (mut gone, mut left) = (Vec::with_capacity(dead.len()), HashSet::<u32, RandomState>::default());
        for id in dead {
            let Some(home) = index.home(*id) else { continue };
            let Some(cell) = self.origin_cell(home.origin) else { continue };
            if !cell.write().remove(home.column, *id) {
                continue;
            }
            self.homes.write().remove(*id);
            left.insert(home.origin);
            gone.push(*id);
            if let Some(labels) = index.labels(*id) {
                self.remembered.lock().add(*id, labels.clone());
            }
        }
        for origin in left {
            if self.origin_cell(origin).is_some_and(|cell| cell.write().vacate()) {
                self.writers.write().release(origin);
            }
        }
        index.remove(&gone);
    }

    /// Drops what is older than the retention, then what does not fit into the memory, oldest first. `empty` columns go too.
    pub fn maintain(&self, now: Timestamp) {
        let cells = self.writers.read().cells();
        let cutoff = self.aging.ago(now, self.limits.retention);
        let mut dead = Vec::new();
        for cell in &cells {
            dead.extend(cell.write().trim(cutoff, true));
        }
        let mut bytes: usize = self.recount(&cells);
        let budget = self.limits.series_bytes();
        let over = |bytes: usize| bytes + self.index.read().bytes() > budget;
        if over(bytes) {
            // Packed, more of it fits.
            cells.iter().for_each(|cell| cell.write().pack());
            bytes = self.recount(&cells);
        }
        let mut rounds = 0;
        while over(bytes) && rounds < 24 {
            rounds += 1;
            let Some(oldest) = cells.iter().filter_map(|c| c.read().oldest()).min() else { break };
            let newest = cells.iter().filter_map(|c| c.read().newest()).max().unwrap_or(now).min(now);
            let span = newest.0.saturating_sub(oldest.0);
            if span <= 0 {
                break;
            }
            let cutoff = Timestamp(oldest.0 + (span / 8).max(1));
            for cell in &cells {
                dead.extend(cell.write().trim(cutoff, false));
            }
            self.refused.dropped.add(1);
            bytes = self.recount(&cells);
        }
        self.bury(&dead);
    }

    /// Registered series that never got a sample; called rarely, so that a registration is not swept before its first row.
    pub fn sweep_empty(&self) {
        let cells = self.writers.read().cells();
        let empty: Vec<SeriesId> = cells.iter().flat_map(|c| c.read().empty().collect::<Vec<_>>()).collect();
        self.bury(&empty);
    }

    fn recount(&self, cells: &[Cell]) -> usize {
        let bytes = cells.iter().map(|c| c.read().bytes()).sum::<usize>() + self.writers.read().bytes();
        self.grown.store(0, Ordering::Relaxed);
        self.counted.store(bytes, Ordering::Relaxed);
        bytes
    }

    /// Thins the rows of an origin that are older than `before` to one per `step` milliseconds.
    pub fn coarsen(&self, origin: OriginId, before: Timestamp, step: i64) {
        if let Some(cell) = self.origin_cell(origin.0) {
            cell.write().coarsen(before, step);
        }
    }

    pub fn over_budget(&self) -> bool {
        self.bytes() > self.limits.series_bytes() + self.limits.series_bytes() / 16
    }

    /// Appends samples of series that are not of the origin they come under: each series stays where it was begun, and who writes for many writers
    /// locks each of them once.
    fn append_elsewhere(
        &self,
        origin: OriginId,
        at: Timestamp,
        strangers: Vec<(SeriesId, &Value, Option<Home>)>,
        out: &mut Appended,
    ) -> isize {
        let mut found = Vec::with_capacity(strangers.len());
        for (id, value, home) in strangers {
            match home.map(|home| (home, id)).or_else(|| self.revive(origin.0, id)) {
                Some((home, id)) => found.push((home, id, value)),
                None => out.series_limit += 1,
            }
        }
        found.sort_by_key(|(home, ..)| home.origin);
        let mut grown = 0;
        for group in found.chunk_by(|(a, ..), (b, ..)| a.origin == b.origin) {
            if let Some(cell) = self.origin_cell(group[0].0.origin) {
                grown += cell.write().append(at, group.iter().map(|(home, id, value)| (home.column, *id, *value)), out);
            }
        }
        grown
    }

    fn find_or_register(&self, origin: OriginId, labels: &Labels, own: Option<OwnSeries>) -> Option<SeriesId> {
        {
            let index = self.index.read();
            if let Some(id) = index.find(labels) {
                return Some(id);
            }
            // Refused under the shared lock: a flood of new series must not hold up those who read or write the known ones.
            if !self.admits(&index, labels, own) {
                return None;
            }
        }
        self.register(origin.0, labels, None, own)
    }
}

impl SeriesSink for SeriesBook {
    fn origin(&self, name: &str) -> OriginId {
        let known = self.writers.read().known(name);
        OriginId(known.unwrap_or_else(|| self.writers.write().number(name, false)))
    }

    fn series(&self, origin: OriginId, labels: &Labels, _kind: MetricKind) -> Option<SeriesId> {
        self.find_or_register(origin, labels, None)
    }

    fn own_series(&self, origin: OriginId, labels: &Labels, _kind: MetricKind, own: OwnSeries) -> Option<SeriesId> {
        self.find_or_register(origin, labels, Some(own))
    }

    fn append(&self, origin: OriginId, at: Timestamp, now: Timestamp, row: &[(SeriesId, Value)]) -> Appended {
        let mut out = Appended::default();
        if row.is_empty() {
            return out;
        }
        if at > now.saturating_add(MAX_AHEAD) {
            out.future = row.len();
            self.refused.future.add(row.len() as u64);
            return out;
        }
        if at < now.saturating_sub(self.limits.retention) {
            out.old = row.len();
            self.refused.old.add(row.len() as u64);
            return out;
        }
        let mut strangers = Vec::new();
        let mut grown = 0;
        if let Some(cell) = self.origin_cell(origin.0) {
            let homes = self.homes.read();
            let homes = homes.lookup();
            let mut columns = Vec::with_capacity(row.len());
            for (id, value) in row {
                let home = homes.get(*id);
                let column = home.filter(|home| home.origin == origin.0).map_or(NO_COLUMN, |home| home.column);
                if column == NO_COLUMN {
                    strangers.push((*id, value, home));
                }
                columns.push(column);
            }
            if strangers.len() < row.len() {
                let own = columns.iter().zip(row).filter(|(column, _)| **column != NO_COLUMN);
                grown += cell.write().append(at, own.map(|(column, (id, value))| (*column, *id, value)), &mut out);
            }
        }
        if !strangers.is_empty() {
            grown += self.append_elsewhere(origin, at, strangers, &mut out);
        }
        self.samples.add(out.stored as u64);
        self.refused.out_of_order.add(out.out_of_order as u64);
        self.refused.duplicate.add(out.duplicate as u64);
        let grown = self.grown.fetch_add(grown, Ordering::Relaxed) + grown;
        if usize::try_from(grown).is_ok_and(|grown| grown > self.limits.series_bytes() / 16) && self.over_budget() {
            self.maintain(now);
        }
        out
    }

    fn describe(&self, family: &str, mut metadata: Metadata) {
        if bounded(family).len() < family.len() {
            return;
        }
        for text in [&mut metadata.help, &mut metadata.unit] {
            let cut = bounded(text);
            if cut.len() < text.len() {
                *text = cut.to_owned();
            }
        }
        let mut families = self.metadata.write();
        if families.len() < self.limits.families || families.contains_key(family) {
            let grown = description_bytes(family, &metadata);
            let before = families.insert(family.to_owned(), metadata).map_or(0, |old| description_bytes(family, &old));
            self.described.fetch_add(grown, Ordering::Relaxed);
            self.described.fetch_sub(before, Ordering::Relaxed);
        }
    }

    fn exemplar(&self, series: SeriesId, exemplar: Exemplar) {
        self.exemplars.push(series, exemplar);
    }
}
