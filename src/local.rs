//! Readings of this process: every question of `model::reading` answered from the store, the evaluator's board and the probes.
//!
//! Types to know: [`LocalSource`] implements `Source`; a [`lens::Lens`] is the store seen from one moment; a [`context::Context`] is what a
//! reading needs besides series. One file per reading.
//!
//! Invariants: a reading at a past moment uses the same code as a live one, over series and what the [`chronicle`] kept of what no series holds.
//! Besides, a reading is kept for [`FRESH`], so sixteen attached terminals cost little more than one, and a few that cost much for some seconds.

pub mod alerts;
pub mod breakers;
pub mod changes;
mod chronicle;
mod collectors;
pub mod context;
mod declared;
mod deliveries;
mod graphql;
pub mod health;
mod latency;
pub mod lens;
pub mod map;
mod metrics_only;
pub mod naming;
pub mod objectives;
pub mod operations;
pub mod overall;
mod page;
mod placed;
mod proposals;
mod query;
pub mod queues;
pub mod reported;
mod sanitized;
mod saturation;
pub mod services;
mod state;
#[cfg(test)]
mod tests;
mod unanswered;

pub use collectors::service_name as collector_service;
pub use context::Declared;
pub use state::short_duration;

use crate::board::Board;
use chronicle::Chronicle;
use context::Context;
use lens::{Lens, QueryCache};
use overall::Overall;
use parking_lot::Mutex;
use placed::Placed;
use sanitized::Sanitized;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use watchfire_alerts::Courses;
use watchfire_config::platform::Objective;
use watchfire_model::reading::{
    Alert, Breaker, Breakers, Change, Changes, Check, Health, Map, ProposedProbe, Queues, ReadError, Reading, Request, Services, Silence,
    Source, Status, Target,
};
use watchfire_model::{CheckReport, Clock, Meter, SeriesSource, Timestamp};
use watchfire_promql::Engine;
use watchfire_store::Store;

/// A live reading younger than this answers the next one who asks the same.
const FRESH: Duration = Duration::from_millis(400);
/// Changes that are shown beside services: of so long, and so many.
const RECENT: Duration = Duration::from_secs(15 * 60);
const MAX_RECENT: usize = 20;
/// They are looked up once in so long, at whole multiples of it.
const CHANGES_EVERY: i64 = 5_000;
/// How old proposals of probes may be.
const PROPOSALS_EVERY: Duration = Duration::from_secs(20);
const MAX_CACHED: usize = 256;

/// Facts about this run that no series holds.
pub trait RunFacts: Send + Sync {
    /// Fills in what only the wiring knows of now: addresses, notification paths, memory limit, banners.
    fn complete(&self, status: &mut Status);
    fn targets(&self) -> Vec<Target>;
    fn silences(&self) -> Vec<Silence>;
    /// Receivers that have this alert, whether a silence covers it, and who acknowledged it.
    fn delivery(&self, alert: &mut Alert);
    /// Example traces, the worst operation and what surrounds a firing alert.
    fn evidence(&self, alert: &mut Alert, now: Timestamp);
}

/// The in-process [`Source`].
pub struct LocalSource {
    pub store: Arc<Store>,
    engine: Arc<Engine>,
    board: Board,
    declared: Arc<Declared>,
    objectives: Arc<Vec<Objective>>,
    clock: Arc<dyn Clock>,
    facts: Arc<dyn RunFacts>,
    /// Nothing is known from before.
    started: Timestamp,
    queries: QueryCache,
    cached: Mutex<HashMap<String, (Timestamp, Reading)>>,
    overall: Overall,
    changes: Mutex<Option<(Timestamp, Vec<Change>)>>,
    proposed: Mutex<Option<(Timestamp, Vec<ProposedProbe>)>>,
    chronicle: Chronicle,
    courses: Courses,
    sanitized: Sanitized,
}

impl LocalSource {
    pub fn new(
        store: Arc<Store>,
        engine: Arc<Engine>,
        board: Board,
        declared: Arc<Declared>,
        objectives: Arc<Vec<Objective>>,
        clock: Arc<dyn Clock>,
        facts: Arc<dyn RunFacts>,
    ) -> Self {
        let memory_limit = store.limits().memory_bytes;
        LocalSource {
            store,
            engine,
            board,
            declared,
            objectives,
            started: clock.now(),
            clock,
            facts,
            queries: QueryCache::default(),
            courses: Courses::default(),
            cached: Mutex::new(HashMap::new()),
            overall: Overall::default(),
            changes: Mutex::new(None),
            proposed: Mutex::new(None),
            chronicle: Chronicle::new(memory_limit),
            sanitized: Sanitized::new(Meter::new()),
        }
    }

    /// Counts into the metrics of this process.
    pub fn counting(self, meter: Meter) -> Self {
        LocalSource { sanitized: Sanitized::new(meter), ..self }
    }

    /// When services last sent spans: exactly where it was looked at, else to five minutes.
    fn last_seen(&self, at: Option<Timestamp>) -> Result<BTreeMap<String, Timestamp>, ReadError> {
        match at {
            None => {
                let heard: Vec<_> = self.store.services_seen().into_iter().map(|s| (s.name.to_string(), s.last_seen)).collect();
                self.chronicle.heard.keep(self.clock.now(), &heard);
                Ok(heard.into_iter().collect())
            }
            Some(at) => {
                if let Some((_, heard)) = self.chronicle.heard.at(at) {
                    return Ok(heard.into_iter().collect());
                }
                let sent = self.lens(at).by("service_name", "sum by (service_name) (increase(watchfire_spans_received_total[5m])) > 0")?;
                Ok(sent.into_keys().map(|name| (name, at)).collect())
            }
        }
    }

    fn lens(&self, at: Timestamp) -> Lens<'_> {
        let first = self.store.services_seen().iter().map(|s| s.first_seen).min();
        let known = first.map_or(lens::RATE_WINDOW, |first| at.since(first));
        let window = lens::rate_window(known);
        let scrape_window = lens::scrape_window(at.since(self.started));
        Lens { engine: &self.engine, source: self.store.as_ref(), cache: &self.queries, at, window, scrape_window }
    }

    fn context<'a>(
        &'a self,
        checks: &'a [CheckReport],
        alerts: &'a [Alert],
        breakers: &'a [Breaker],
        last_seen: &'a BTreeMap<String, Timestamp>,
    ) -> Context<'a> {
        Context { declared: &self.declared, checks, alerts, breakers, last_seen }
    }

    /// The cursor's moment, or now.
    fn moment(&self, at: Option<Timestamp>) -> Timestamp {
        at.unwrap_or_else(|| self.clock.now())
    }

    /// What probes said, each under the name of the service that it asks.
    fn checks(&self, lens: &Lens<'_>, at: Option<Timestamp>) -> Result<Vec<CheckReport>, ReadError> {
        let mut checks = self.checks_at(at).unwrap_or_default();
        if checks.is_empty() {
            return Ok(checks);
        }
        let placed = Placed::look(lens)?;
        for check in &mut checks {
            if let Some(service) = placed.asked(check, &|name| self.declared.has_service(name)) {
                check.service = service.to_owned();
            }
        }
        Ok(checks)
    }

    /// What probes said, newest of each; `None` where that is not known any more.
    fn checks_at(&self, at: Option<Timestamp>) -> Option<Vec<CheckReport>> {
        match at {
            None => {
                let checks = self.store.checks();
                self.chronicle.checks.keep(self.clock.now(), &checks);
                Some(checks)
            }
            Some(at) => self.chronicle.checks.at(at).map(|(_, checks)| checks),
        }
    }

    fn services(&self, at: Option<Timestamp>) -> Result<Services, ReadError> {
        let now = self.moment(at);
        let lens = self.lens(now);
        let alerts = self.alerts_at(at)?;
        let breakers = self.breakers(at)?.breakers;
        let checks = self.checks(&lens, at)?;
        let last_seen = self.last_seen(at)?;
        let context = self.context(&checks, &alerts, &breakers, &last_seen);
        let mut services = services::services(&lens, &context)?;
        services.changes = self.recent_changes(&lens, at)?;
        Ok(services)
    }

    /// Changes of the last quarter of an hour. They look at ninety moments of several hundred series, so they are looked up seldom, and at
    /// whole moments: at the cursor the answer is the one that was given then.
    fn recent_changes(&self, lens: &Lens<'_>, at: Option<Timestamp>) -> Result<Vec<Change>, ReadError> {
        let moment = lens.at.floor(CHANGES_EVERY);
        if let Some((_, changes)) = self.changes.lock().as_ref().filter(|(taken, _)| *taken == moment) {
            return Ok(changes.clone());
        }
        let lens = Lens { at: moment, ..*lens };
        let mut changes = changes::changes(&lens, moment.saturating_sub(RECENT))?;
        changes.truncate(MAX_RECENT);
        if at.is_none() {
            *self.changes.lock() = Some((moment, changes.clone()));
        }
        Ok(changes)
    }

    fn breakers(&self, at: Option<Timestamp>) -> Result<Breakers, ReadError> {
        breakers::breakers(&self.lens(self.moment(at)), &self.declared)
    }

    fn queues(&self, at: Option<Timestamp>) -> Result<Queues, ReadError> {
        let alerts = self.alerts_at(at)?;
        let last_seen = BTreeMap::new();
        let context = self.context(&[], &alerts, &[], &last_seen);
        queues::queues(&self.lens(self.moment(at)), &context)
    }

    fn map(&self, at: Option<Timestamp>) -> Result<Map, ReadError> {
        let services = self.cached_services(at)?;
        let queues = self.queues(at)?;
        let breakers = self.breakers(at)?.breakers;
        let alerts = self.alerts_at(at)?;
        let lens = self.lens(self.moment(at));
        let checks = self.checks(&lens, at)?;
        let last_seen = BTreeMap::new();
        let context = self.context(&checks, &alerts, &breakers, &last_seen);
        let mut map = map::map(&lens, &context, &services.services, &queues.queues)?;
        // What services say of themselves, where nobody declared it.
        let seen = self.store.services_seen();
        let namespaces: HashMap<&str, &str> = seen.iter().map(|s| (&*s.name, &*s.namespace)).filter(|(_, n)| !n.is_empty()).collect();
        for node in map.nodes.iter_mut().filter(|node| node.namespace.is_none()) {
            node.namespace = namespaces.get(node.name.as_str()).map(|namespace| (*namespace).to_owned());
        }
        Ok(map)
    }

    fn health(&self, at: Option<Timestamp>) -> Result<Health, ReadError> {
        let lens = self.lens(self.moment(at));
        let targets = match at {
            None => {
                let targets = self.facts.targets();
                self.chronicle.targets.keep(self.clock.now(), &targets);
                Some(targets)
            }
            Some(at) => self.chronicle.targets.at(at).map(|(_, targets)| targets),
        };
        let reports = self.checks_at(at);
        let mut health = health::health(&lens, reports.as_deref(), targets)?;
        let placed = Placed::look(&lens)?;
        let asked = |report: &CheckReport| Some((report.service.clone(), placed.asked(report, &|name| self.declared.has_service(name))?));
        let names: BTreeMap<String, &str> = reports.as_deref().unwrap_or_default().iter().filter_map(asked).collect();
        for check in &mut health.checks {
            if let Some(service) = names.get(&check.service) {
                check.service = (*service).to_owned();
            }
        }
        if at.is_none() {
            health.proposed = self.proposals(&lens, &health.checks)?;
        }
        Ok(health)
    }

    /// Spans are opened for them, and they change seldom.
    fn proposals(&self, lens: &Lens<'_>, checks: &[Check]) -> Result<Vec<ProposedProbe>, ReadError> {
        let probed: BTreeSet<&str> = checks.iter().map(|c| c.service.as_str()).collect();
        if let Some((_, proposed)) = self.proposed.lock().as_mut().filter(|(taken, _)| lens.at.since(*taken) < PROPOSALS_EVERY) {
            proposed.retain(|p| !probed.contains(p.service.as_str()));
            return Ok(proposed.clone());
        }
        let proposed = proposals::proposals(&self.store, lens, &probed)?;
        *self.proposed.lock() = Some((lens.at, proposed.clone()));
        Ok(proposed)
    }

    fn cached_services(&self, at: Option<Timestamp>) -> Result<Services, ReadError> {
        match self.read(&Request::Services, at)? {
            Reading::Services(services) => Ok(services),
            _ => Err(ReadError::BadRequest("services did not answer as services".to_owned())),
        }
    }

    fn status(&self, at: Option<Timestamp>) -> Result<Status, ReadError> {
        let now = self.moment(at);
        if let Some(shown) = at.and_then(|at| self.chronicle.status.at(at)).and_then(|(_, shown)| shown.into_iter().next()) {
            return Ok(Status { now, ..shown });
        }
        let services = self.cached_services(at)?;
        let alerts = self.alerts_at(at)?;
        let mut status = overall::status(&services.services, &alerts, now);
        status.platform = self.declared.platform.clone();
        if at.is_some() {
            overall::ingest(&mut status, &self.lens(now), None)?;
            status.overall_since = overall::past_since(&self.lens(now), status.overall)?;
            status.banners.push(if now < self.started {
                format!("watchfire was not running then: it started {} ago", state::short_duration(self.clock.now().since(self.started)))
            } else {
                "rebuilt from series alone: banners, check details and memory of then are unknown".to_owned()
            });
            return Ok(status);
        }
        overall::ingest(&mut status, &self.lens(now), Some(&self.store.usage()))?;
        status.overall_since = Some(self.overall.since(status.overall, now));
        let broken = self.board.read().broken_rules.len();
        if broken > 0 {
            let rules = if broken == 1 { "rule" } else { "rules" };
            status.banners.push(format!("{broken} {rules} cannot be evaluated (8 Alerts says which)"));
        }
        self.facts.complete(&mut status);
        self.chronicle.status.keep(now, std::slice::from_ref(&status));
        Ok(status)
    }

    /// Keeps what is so now and no series holds, for whoever looks back; a reading does as much for what it reads.
    pub fn remember(&self) {
        for done in [self.health(None).map(drop), self.keep_alerts()] {
            if let Err(error) = done {
                tracing::debug!(%error, "not kept for looking back");
            }
        }
        self.store.is_beside(self.chronicle.bytes());
    }

    fn answer(&self, request: &Request, at: Option<Timestamp>) -> Result<Reading, ReadError> {
        let now = self.moment(at);
        Ok(match request {
            Request::Status => Reading::Status(self.status(at)?),
            Request::Services => Reading::Services(self.services(at)?),
            Request::Service { name } => Reading::Service(Box::new(self.page(name, at)?)),
            Request::Map => Reading::Map(self.map(at)?),
            Request::Traces(query) => Reading::Traces(self.store.traces(query, at)),
            Request::Trace { id } => Reading::Trace(Arc::new(
                self.store.trace(id).ok_or_else(|| ReadError::NotFound(format!("no trace, span or correlation id {id:?} is held")))?,
            )),
            Request::Latency(query) => Reading::Latency(Box::new(latency::latency(&self.lens(now), query)?)),
            Request::Explain(query) => Reading::Explain(self.store.explain_as_of(query, at)),
            Request::Queues => Reading::Queues(self.queues(at)?),
            Request::Breakers => Reading::Breakers(self.breakers(at)?),
            Request::Health => Reading::Health(self.health(at)?),
            Request::Slo => Reading::Slo(objectives::objectives(&self.lens(now), &self.objectives)?),
            Request::Alerts => Reading::Alerts(self.alerts(at)?),
            Request::Logs(query) => Reading::Logs(self.store.logs(query, at)),
            Request::Query { expression } => Reading::Query(self.query(expression, now)?),
            Request::QueryRange { expression, start, end, step_ms } => {
                let step = Duration::from_millis(u64::try_from(*step_ms).unwrap_or(1).max(1));
                Reading::QueryRange(self.query_range(expression, *start, *end, step)?)
            }
            Request::Changes { since } => Reading::Changes(Changes { changes: changes::changes(&self.lens(now), *since)? }),
            Request::Backtest(query) => Reading::Backtest(self.backtest(query)?),
            Request::Vocabulary => Reading::Vocabulary(self.vocabulary()?),
        })
    }
}

/// Whether an answer is made of many queries, one after the other. Where series come meanwhile, the first ones do not see them, and a service that
/// is new would be shown with its rate and without its errors.
fn asks_often(request: &Request) -> bool {
    match request {
        Request::Status | Request::Services | Request::Service { .. } | Request::Map | Request::Latency(_) => true,
        Request::Queues | Request::Breakers | Request::Health | Request::Slo | Request::Alerts => true,
        Request::Traces(_) | Request::Trace { .. } | Request::Explain(_) | Request::Logs(_) => false,
        Request::Query { .. } | Request::QueryRange { .. } | Request::Changes { .. } | Request::Backtest(_) | Request::Vocabulary => false,
    }
}

impl Source for LocalSource {
    fn read(&self, request: &Request, at: Option<Timestamp>) -> Result<Reading, ReadError> {
        let now = self.clock.now();
        let key = match at {
            Some(at) => format!("{at} {request:?}"),
            None => format!("{request:?}"),
        };
        if let Some((taken, reading)) = self.cached.lock().get(&key)
            && now.since(*taken) < FRESH
        {
            return Ok(reading.clone());
        }
        let known = self.store.generation();
        let mut reading = self.answer(request, at)?;
        if at.is_none() && asks_often(request) && self.store.generation() != known {
            reading = self.answer(request, at)?;
        }
        self.sanitized.look(&reading);
        self.store.is_beside(self.chronicle.bytes());
        let mut cached = self.cached.lock();
        // A large trace that nobody is given any more must not wait for the place of others.
        cached.retain(|_, (taken, _)| now.since(*taken) < FRESH);
        if cached.len() < MAX_CACHED {
            cached.insert(key, (now, reading.clone()));
        }
        Ok(reading)
    }
}
