//! The newest answer to each kind of question. One per kind, so memory is bounded by what is on screen.

use watchfire_model::reading::*;
use watchfire_model::{Reading, Request};

const KINDS: usize = 19;

/// The kinds of questions, as an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Status,
    Services,
    Service,
    Map,
    Traces,
    Trace,
    Latency,
    Explain,
    Queues,
    Breakers,
    Health,
    Slo,
    Alerts,
    Logs,
    Query,
    QueryRange,
    Changes,
    Backtest,
    Vocabulary,
}

impl Kind {
    pub(crate) fn of(request: &Request) -> Kind {
        match request {
            Request::Status => Kind::Status,
            Request::Services => Kind::Services,
            Request::Service { .. } => Kind::Service,
            Request::Map => Kind::Map,
            Request::Traces(_) => Kind::Traces,
            Request::Trace { .. } => Kind::Trace,
            Request::Latency(_) => Kind::Latency,
            Request::Explain(_) => Kind::Explain,
            Request::Queues => Kind::Queues,
            Request::Breakers => Kind::Breakers,
            Request::Health => Kind::Health,
            Request::Slo => Kind::Slo,
            Request::Alerts => Kind::Alerts,
            Request::Logs(_) => Kind::Logs,
            Request::Query { .. } => Kind::Query,
            Request::QueryRange { .. } => Kind::QueryRange,
            Request::Changes { .. } => Kind::Changes,
            Request::Backtest(_) => Kind::Backtest,
            Request::Vocabulary => Kind::Vocabulary,
        }
    }
}

/// What is known about one kind of question. After an error the last good answer stays, and says that it is old.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) request: Option<Request>,
    pub(crate) reading: Option<Reading>,
    pub(crate) error: Option<ReadError>,
    /// Grows with every change of `reading`; views sort and filter again when it does.
    pub(crate) generation: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Readings {
    slots: [Slot; KINDS],
    generation: u64,
}

macro_rules! answers {
    ($($name:ident: $variant:ident($ty:ty);)*) => {
        $(pub(crate) fn $name(&self) -> Option<&$ty> {
            match &self.slots[Kind::$variant as usize].reading {
                Some(Reading::$variant(reading)) => Some(reading),
                _ => None,
            }
        })*
    };
}

impl Readings {
    answers! {
        status: Status(Status);
        services: Services(Services);
        service: Service(ServicePage);
        map: Map(Map);
        traces: Traces(Traces);
        trace: Trace(Trace);
        latency: Latency(Latency);
        explanation: Explain(Explanation);
        queues: Queues(Queues);
        breakers: Breakers(Breakers);
        health: Health(Health);
        slo: Slo(Slo);
        alerts: Alerts(Alerts);
        logs: Logs(Logs);
        query_range: QueryRange(QueryResult);
        changes: Changes(Changes);
        backtest: Backtest(Backtest);
        vocabulary: Vocabulary(Vocabulary);
    }

    pub(crate) fn slot(&self, kind: Kind) -> &Slot {
        &self.slots[kind as usize]
    }

    pub(crate) fn generation(&self, kind: Kind) -> u64 {
        self.slots[kind as usize].generation
    }

    /// Takes an answer in. Returns whether anything on screen could differ.
    pub(crate) fn put(&mut self, request: &Request, answer: Result<Reading, ReadError>) -> bool {
        let slot = &mut self.slots[Kind::of(request) as usize];
        match answer {
            Ok(reading) => {
                let changed =
                    slot.error.take().is_some() || slot.reading.as_ref() != Some(&reading) || slot.request.as_ref() != Some(request);
                if changed {
                    self.generation += 1;
                    slot.generation = self.generation;
                    slot.reading = Some(reading);
                }
                slot.request = Some(request.clone());
                changed
            }
            Err(error) => {
                let other = slot.request.as_ref().is_some_and(|r| r != request);
                if other {
                    // The old answer is to another question: better none than a wrong one.
                    slot.reading = None;
                    self.generation += 1;
                    slot.generation = self.generation;
                }
                slot.request = Some(request.clone());
                let changed = other || slot.error.as_ref() != Some(&error);
                slot.error = Some(error);
                changed
            }
        }
    }

    /// Forgets what could not be read where something else of its kind is asked for now.
    pub(crate) fn ask(&mut self, wants: &[Request]) {
        for kind in wants.iter().map(Kind::of) {
            let slot = &mut self.slots[kind as usize];
            if slot.reading.is_none() && slot.error.is_some() && !wants.iter().any(|request| slot.request.as_ref() == Some(request)) {
                self.clear(kind as usize);
            }
        }
    }

    /// Forgets answers that belong to another point in time.
    pub(crate) fn forget(&mut self, kind: Kind) {
        self.clear(kind as usize);
    }

    /// Forgets all answers but those of these kinds, and words to complete with, which are of no time.
    pub(crate) fn keep(&mut self, kinds: &[Kind]) {
        let kept = |index: usize| index == Kind::Vocabulary as usize || kinds.iter().any(|kind| *kind as usize == index);
        (0..KINDS).filter(|index| !kept(*index)).for_each(|index| self.clear(index));
    }

    fn clear(&mut self, index: usize) {
        self.generation += 1;
        self.slots[index] = Slot { generation: self.generation, ..Slot::default() };
    }
}
