//! RED per operation: calls, errors and durations of each (service, span name, kind), split by status.

use super::enclosing::Nested;
use super::histogram::Histogram;
use super::publish::Published;
use super::services::Services;
use super::{OVERFLOW, SignalSettings};
use crate::spans::intern::{Operation, bounded};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::Arc;
use watchfire_model::{SpanKind, Timestamp};

/// Spans an operation must have had before "slow" means anything.
const ENOUGH: f64 = 200.0;

/// Calls with one status.
#[derive(Default)]
pub(crate) struct Cell {
    pub durations: Histogram,
    pub calls: Published,
    pub latency: Published,
    /// The newest call worth looking at (failed or slow; any, as long as there is none) since the last publication.
    pub example: Option<CallExample>,
    /// When an example was last published.
    pub shown_at: Timestamp,
}

/// One call that a histogram points at.
#[derive(Clone, Copy)]
pub(crate) struct CallExample {
    pub trace: u128,
    pub span: u64,
    pub nanos: u64,
}

pub(crate) struct OperationState {
    pub identity: Arc<Operation>,
    pub service: u32,
    /// By status code: unset, ok, error.
    pub cells: [Option<Box<Cell>>; 3],
    /// Nanoseconds above which a span counts as slow.
    pub slow: u64,
    pub last_seen: Timestamp,
    /// Place in the dictionary of the open segment, and which segment that is.
    pub local: (u32, u16),
    /// Seen at this publication's p99 update.
    judged: f64,
    /// Consumers that turned out to be around others, which process what these fetch; servers that are within others, as GraphQL within HTTP. Nobody
    /// is served by them alone.
    part: bool,
    /// Those of its spans that say that they receive messages are followed by others that work on them.
    fetching: bool,
    /// Servers of other services are directly within it, as behind nginx, whose module opens one span for a request and none for the call that it makes.
    pub fronts: bool,
    /// Called internal by its instrumentation, though it goes to a database.
    leaves: bool,
    /// Spans, and those of them that began a trace.
    pub spans: u64,
    roots: u64,
    pub root: Published,
}

pub(crate) struct Operations {
    table: HashTable<u32>,
    states: Vec<Option<OperationState>>,
    free: Vec<u32>,
    hasher: RandomState,
    live: usize,
    /// Operations seen lately, by a glance at their name; whoever looks here compares.
    lately: [u32; 256],
    /// Something was counted that has never been published.
    pub fresh: bool,
    /// Some operation was found to front others.
    pub any_fronts: bool,
    /// Services whose calls share their spans with who answers.
    sharing: HashSet<u32>,
}

impl OperationState {
    #[inline]
    pub fn seen(&mut self, root: bool) {
        self.spans += 1;
        self.roots += u64::from(root);
    }

    /// Whether this span is one of the few that are looked at closer, for what all of them say.
    #[inline]
    pub fn is_looked_at(&self) -> bool {
        const EVERY: u64 = 64;
        self.spans % EVERY == 1
    }

    /// Whether it is what its service does by itself, as opposed to a part of something else.
    pub fn begins_traces(&self) -> bool {
        !matches!(self.identity.kind, SpanKind::Server | SpanKind::Consumer) && self.roots * 2 > self.spans
    }

    #[inline]
    fn is(&self, service: u32, name: &[u8], kind: SpanKind) -> bool {
        self.service == service && self.identity.kind == kind && self.identity.name.as_bytes() == name
    }
}

impl Operations {
    pub fn new() -> Self {
        Operations {
            table: HashTable::new(),
            states: Vec::new(),
            free: Vec::new(),
            hasher: RandomState::default(),
            live: 0,
            lately: [0; 256],
            any_fronts: false,
            sharing: HashSet::new(),
            fresh: false,
        }
    }

    #[inline]
    pub fn get_mut(&mut self, id: u32) -> &mut OperationState {
        self.states[id as usize].as_mut().expect("operations in use are only removed between requests")
    }

    /// Whether spans of this operation are a part of what others serve. It is not forgotten as long as they come.
    #[inline]
    pub fn is_part(&mut self, id: u32, now: Timestamp) -> bool {
        let state = self.get_mut(id);
        if state.part {
            state.last_seen = now;
        }
        state.part
    }

    /// Whether spans of this operation that receive messages do no more than that. It is not forgotten as long as they come.
    #[inline]
    pub fn is_fetching(&mut self, id: u32, now: Timestamp) -> bool {
        let state = self.get_mut(id);
        if state.fetching {
            state.last_seen = now;
        }
        state.fetching
    }

    /// What spans of this operation receive, others work on.
    #[cold]
    pub fn fetches(&mut self, id: u32) {
        if let Some(state) = self.states[id as usize].as_mut() {
            state.fetching = !state.identity.overflow;
        }
    }

    /// Whether spans of an internal operation leave their service. What the first one says is believed of all.
    #[inline]
    pub fn leaves(&mut self, id: u32, leaves: impl FnOnce() -> bool) -> bool {
        let state = self.get_mut(id);
        if state.spans == 0 && !state.identity.overflow {
            state.leaves = leaves();
        }
        state.leaves
    }

    /// Spans of the one were seen directly within spans of the other.
    pub fn nested(&mut self, Nested { outer, inner, received, .. }: Nested) {
        let [Some(around), Some(within)] = [outer, inner].map(|id| self.states[id as usize].as_ref()) else { return };
        let kind = around.identity.kind;
        if around.service != within.service {
            let fronts = [kind, within.identity.kind] == [SpanKind::Server; 2];
            if fronts && let Some(state) = self.states[outer as usize].as_mut() {
                state.fronts = !state.identity.overflow && !self.sharing.contains(&state.service);
                self.any_fronts |= state.fronts;
            }
            return;
        }
        if received && kind == SpanKind::Consumer {
            return self.fetches(outer);
        }
        // Of what is within itself, or what is within the other in turn, none is more than a part.
        let told = outer != inner && kind == within.identity.kind && !around.part && !within.part;
        let part = if kind == SpanKind::Consumer { outer } else { inner };
        if told && let Some(state) = self.states[part as usize].as_mut() {
            state.part = !state.identity.overflow;
        }
    }

    /// Who answers a service shares the spans of its calls, as in Zipkin's model: a server directly within one of its own is no call beside those.
    pub fn shares_spans(&mut self, service: u32) {
        if self.sharing.insert(service) {
            self.states.iter_mut().flatten().filter(|state| state.service == service).for_each(|state| state.fronts = false);
        }
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut OperationState> {
        self.states.iter_mut().flatten()
    }

    /// The operation of a span; `name` is UTF-8.
    #[inline]
    pub fn find(&mut self, service: u32, name: &[u8], kind: SpanKind, services: &mut Services, settings: &SignalSettings) -> u32 {
        // Most spans are of an operation that was seen a moment ago: a look at the end of the name finds it, without hashing all of it.
        let end = name.last_chunk().map_or(0, |end| u64::from_le_bytes(*end));
        let mixed = end ^ (name.len() as u64) << 48 ^ u64::from(service) << 8 ^ kind as u64;
        let place = (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize;
        let id = self.lately[place];
        if self.states.get(id as usize).and_then(Option::as_ref).is_some_and(|state| state.is(service, name, kind)) {
            return id;
        }
        let id = self.find_anywhere(service, name, kind, services, settings);
        self.lately[place] = id;
        id
    }

    fn find_anywhere(&mut self, service: u32, name: &[u8], kind: SpanKind, services: &mut Services, settings: &SignalSettings) -> u32 {
        let text = String::from_utf8_lossy(name);
        let name = bounded(&text);
        let hash = self.hasher.hash_one((service, kind, name));
        let same = |id: &u32| self.states[*id as usize].as_ref().is_some_and(|state| state.is(service, name.as_bytes(), kind));
        match self.table.find(hash, same) {
            Some(id) => *id,
            None => self.add(hash, service, name, kind, services, settings),
        }
    }

    #[cold]
    fn add(&mut self, hash: u64, service: u32, name: &str, kind: SpanKind, services: &mut Services, settings: &SignalSettings) -> u32 {
        let owner = services.get_mut(service);
        if self.live >= settings.operations || owner.operations >= settings.operations_per_service {
            if let Some(id) = owner.overflow_operations[kind as usize] {
                return id;
            }
            let id = self.insert(service, &owner.seen.name, OVERFLOW, kind, true);
            services.get_mut(service).overflow_operations[kind as usize] = Some(id);
            return id;
        }
        owner.operations += 1;
        self.live += 1;
        let id = self.insert(service, &owner.seen.name, name, kind, false);
        let (states, hasher) = (&self.states, &self.hasher);
        self.table.insert_unique(hash, id, |id| match &states[*id as usize] {
            Some(s) => hasher.hash_one((s.service, s.identity.kind, &*s.identity.name)),
            None => 0,
        });
        id
    }

    fn insert(&mut self, service: u32, service_name: &Arc<str>, name: &str, kind: SpanKind, overflow: bool) -> u32 {
        let state = Some(OperationState {
            identity: Arc::new(Operation { service: service_name.clone(), name: name.into(), kind, overflow }),
            service,
            cells: [None, None, None],
            slow: u64::MAX,
            last_seen: Timestamp::MIN,
            local: (0, 0),
            judged: 0.0,
            part: false,
            fetching: false,
            fronts: false,
            leaves: false,
            spans: 0,
            roots: 0,
            root: Published::default(),
        });
        match self.free.pop() {
            Some(id) => {
                self.states[id as usize] = state;
                id
            }
            None => {
                self.states.push(state);
                (self.states.len() - 1) as u32
            }
        }
    }

    /// Counts one span.
    #[inline]
    pub fn observe(&mut self, id: u32, status: usize, call: CallExample, weight: f64, at: Timestamp) -> bool {
        let state = self.states[id as usize].as_mut().expect("operations in use are only removed between requests");
        state.last_seen = at;
        let cell = match &mut state.cells[status] {
            Some(cell) => cell,
            empty => {
                self.fresh = true;
                empty.insert(Box::default())
            }
        };
        cell.durations.observe(call.nanos, weight);
        let slow = call.nanos > state.slow;
        if slow || cell.example.is_none() {
            cell.example = Some(call);
        }
        slow
    }

    /// Decides anew from when on a span of each operation is slow.
    pub fn judge_slowness(&mut self) {
        let mut all = Histogram::new();
        for state in self.states.iter_mut().flatten() {
            let count: f64 = state.cells.iter().flatten().map(|c| c.durations.count()).sum();
            if count < ENOUGH || count < state.judged * 1.05 {
                continue;
            }
            state.judged = count;
            all.clear();
            state.cells.iter().flatten().for_each(|c| all.merge(&c.durations));
            // The upper end of the bucket, so that a constant latency is not slow against itself.
            state.slow = all.quantile(0.99).map_or(u64::MAX, |seconds| (seconds * 1.012 * 1e9) as u64);
        }
    }

    /// Removes operations that were silent since then; `end` is called for each, to end its series.
    pub fn sweep(&mut self, since: Timestamp, services: &mut Services, mut end: impl FnMut(&mut OperationState)) {
        for id in 0..self.states.len() {
            let Some(state) = self.states[id].as_mut().filter(|s| s.last_seen < since && s.last_seen > Timestamp::MIN) else {
                continue;
            };
            end(state);
            let service = services.get_mut(state.service);
            if state.identity.overflow {
                service.overflow_operations[state.identity.kind as usize] = None;
            } else {
                let hash = self.hasher.hash_one((state.service, state.identity.kind, &*state.identity.name));
                if let Ok(entry) = self.table.find_entry(hash, |held| *held as usize == id) {
                    entry.remove();
                }
                service.operations -= 1;
                self.live -= 1;
            }
            self.states[id] = None;
            self.free.push(id as u32);
        }
    }
}
