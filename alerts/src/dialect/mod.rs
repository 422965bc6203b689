//! Dialects: what many systems call their breakers and queues, in one set of series, and what their exporters say of servers, as checks.
//!
//! - [`file`]: the TOML files. [`builtin`]: those that come with watchfire. [`breaker`], [`queue`], [`server`]: how they are read.
//! - [`infer`]: breakers out of spans. [`propose`]: a file to start from for series nobody knows.
//!
//! To add one: a file in `alerts/dialects/`, a line in [`builtin`], and a fixture in the exporter's own text format.

mod breaker;
mod builtin;
mod dead_letters;
mod events;
mod file;
mod infer;
mod place;
mod propose;
mod queue;
mod rows;
mod server;

pub use builtin::builtin_dialects;
pub use dead_letters::holds_dead_letters;
pub use file::{Dialect, State as BreakerState};
pub use infer::CLOSED_AGAIN;
pub use propose::{ObservedSeries, Proposal, propose};
pub use rows::{BreakerRow, DialectRows, QueueRow, ServerRow};

use crate::evaluator::Written;
use breaker::Memory;
pub(crate) use file::State;
use file::{Origin, RateQuery};
use infer::Inferred;
use place::Placed;
use regex::Regex;
use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{Labels, METRIC_NAME, Matcher, Meter, ProbeSink, Selector, SeriesSink, SeriesSource, TimeRange, Timestamp};
use watchfire_promql::{Control, Engine, EvalError, Query, QueryValue};

/// How far back metric names are looked for, and how long the list is believed.
const NAMES_RANGE: Duration = Duration::from_secs(900);
const NAMES_KEPT: Duration = Duration::from_secs(60);

/// After a look that took too long.
const PAUSE: Duration = Duration::from_secs(60);

/// Parsed queries that are kept: more than all dialects ask in one look.
const MAX_QUERIES: usize = 4096;

/// Evaluates all dialects and writes the unified series.
#[derive(Debug)]
pub struct DialectEngine {
    dialects: Vec<Dialect>,
    interval: Duration,
    last: Option<Timestamp>,
    written: Option<Written>,
    memories: HashMap<(usize, usize), Memory>,
    transitions: Memory,
    inferred: Inferred,
    /// Metric names as of a time and a generation of the source.
    names: Option<(Timestamp, Option<u64>, Vec<String>)>,
    /// Since when each metric is there.
    first_seen: HashMap<String, Timestamp>,
    started: Option<Timestamp>,
    /// Parsed, by their text; `None` where it does not parse.
    queries: HashMap<String, Option<Query>>,
    /// Metrics that dialects name; generic ones leave them alone.
    claimed: HashSet<String>,
    rows: DialectRows,
    reporter: server::Reporter,
}

impl DialectEngine {
    /// Dialects in the order of trust: of two that know the same breaker or queue the first is believed, generic ones last.
    pub fn new(mut dialects: Vec<Dialect>, interval: Duration) -> Self {
        dialects.sort_by_key(|d| d.generic);
        let claimed = dialects.iter().filter(|d| !d.generic).flat_map(Dialect::metric_names).collect();
        DialectEngine {
            claimed,
            dialects,
            interval,
            last: None,
            written: None,
            memories: HashMap::new(),
            transitions: Memory::default(),
            inferred: Inferred::default(),
            names: None,
            first_seen: HashMap::new(),
            started: None,
            queries: HashMap::new(),
            rows: DialectRows::default(),
            reporter: server::Reporter::default(),
        }
    }

    /// The dialects that come with watchfire, every 15 seconds.
    ///
    /// # Errors
    /// Which file is wrong, and where.
    pub fn built_in() -> Result<Self, String> {
        Self::with_own(Vec::new())
    }

    /// As [`built_in`](Self::built_in); `own` dialects are believed first.
    ///
    /// # Errors
    /// Which built-in file is wrong, and where.
    pub fn with_own(own: Vec<Dialect>) -> Result<Self, String> {
        Ok(DialectEngine::new(own.into_iter().chain(builtin_dialects()?).collect(), Duration::from_secs(15)))
    }

    /// Reports there what exporters say of the servers beside them. Without it nobody hears of that.
    #[must_use]
    pub fn reporting_to(mut self, sink: Arc<dyn ProbeSink>) -> Self {
        self.reporter = server::Reporter::to(sink);
        self
    }

    /// What was found last.
    pub fn rows(&self) -> &DialectRows {
        &self.rows
    }

    /// Looks at the source as of `at`.
    pub fn evaluate(&mut self, engine: &Engine, source: &dyn SeriesSource, at: Timestamp) -> DialectRows {
        self.look(engine, source, at, Control::default());
        self.rows.clone()
    }

    /// Looks at the source as of `at`; false when that was interrupted, and what was found before stays: half of it says nothing of the rest.
    fn look(&mut self, engine: &Engine, source: &dyn SeriesSource, at: Timestamp, control: Control<'_>) -> bool {
        let names = self.metric_names(source, at);
        let started = *self.started.get_or_insert(at);
        let look = Look {
            started,
            first_seen: &self.first_seen,
            engine,
            source,
            at,
            names: &names,
            claimed: &self.claimed,
            queries: std::cell::RefCell::new(std::mem::take(&mut self.queries)),
            help: OnceCell::new(),
            slopes: OnceCell::new(),
            control,
            interrupted: Cell::new(false),
        };
        let mut breakers: BTreeMap<(String, String), BreakerRow> = BTreeMap::new();
        let mut queues: BTreeMap<(String, String, Option<String>), QueueRow> = BTreeMap::new();
        let mut servers: BTreeMap<(String, String), ServerRow> = BTreeMap::new();
        let placed = Placed::default();
        for (d, dialect) in self.dialects.iter().enumerate() {
            for (b, source) in dialect.breakers.iter().enumerate() {
                let memory = self.memories.entry((d, b)).or_default();
                for mut row in breaker::read(source, &dialect.name, &look, memory) {
                    row.service = placed.service(row.service, &look);
                    // A breaker that nobody else knows is shown even where its state is not known.
                    breakers.entry((row.service.clone(), row.breaker.clone())).or_insert(row);
                }
                memory.bound();
            }
            for source in &dialect.queues {
                for row in queue::read(source, &dialect.name, &look) {
                    let known = dialect.generic && queues.values().any(|q| q.queue == row.queue);
                    if !known {
                        queues.entry((row.system.clone(), row.queue.clone(), row.group.clone())).or_insert(row);
                    }
                }
            }
            for row in dialect.servers.iter().flat_map(|source| server::read(source, &look)) {
                servers.entry((row.service.clone(), row.check.clone())).or_insert(row);
            }
        }
        let exported = |client: &str, server: &str| breakers.values().any(|b| b.service == client && names_server(&b.breaker, server));
        let inferred = self.inferred.look(&look, &exported);
        for mut row in inferred {
            let key = (row.service.clone(), row.breaker.clone());
            row.transitions = self.transitions.see(&key, row.state, true, Vec::new());
            breakers.entry(key).or_insert(row);
        }
        self.transitions.bound();
        let complete = !look.interrupted.get();
        self.queries = look.queries.into_inner();
        if !complete {
            return false;
        }
        dead_letters::attribute(&mut queues);
        self.rows = DialectRows {
            breakers: breakers.into_values().collect(),
            queues: queues.into_values().collect(),
            servers: servers.into_values().collect(),
        };
        true
    }

    /// Evaluates if due, and writes.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn tick(
        &mut self,
        engine: &Engine,
        source: &dyn SeriesSource,
        sink: &dyn SeriesSink,
        now: Timestamp,
        wall: Timestamp,
        meter: &Meter,
        control: Control<'_>,
    ) {
        let due = self.last.is_none_or(|last| now >= last.saturating_add(self.interval));
        if !due {
            return;
        }
        self.last = Some(now);
        if !self.look(engine, source, now, control) {
            // Rules wait for this, so who takes too long gets the next turn later.
            self.last = Some(now.saturating_add(PAUSE));
            meter.counter("watchfire_dialect_looks_interrupted_total", &[]).add(1);
            tracing::warn!("breakers and queues take too long to look at; what is known of them stays, and is looked at again in a minute");
            return;
        }
        let rows = self.rows.clone();
        self.reporter.report(&rows.servers, now);
        let written = self.written.get_or_insert_with(|| Written::recorded(sink, "dialects"));
        let appended = written.write(sink, now, wall, rows.series());
        if appended.series_limit > 0 {
            meter.counter("watchfire_rule_samples_refused_total", &[("reason", "series limit")]).add(appended.series_limit as u64);
        }
    }

    /// All metric names, asked for anew when series came or went, and once a minute.
    fn metric_names(&mut self, source: &dyn SeriesSource, at: Timestamp) -> Vec<String> {
        let generation = source.generation();
        if let Some((asked, then, names)) = &self.names
            && at.since(*asked) < NAMES_KEPT
            && (generation.is_none() || generation == *then)
            && at >= *asked
        {
            return names.clone();
        }
        let range = TimeRange { start: at.saturating_sub(NAMES_RANGE), end: at };
        let names = source.label_values(METRIC_NAME, &[], range).unwrap_or_default();
        self.first_seen.retain(|name, _| names.binary_search(name).is_ok());
        for name in names.iter().filter(|name| self.claimed.contains(*name)) {
            self.first_seen.entry(name.clone()).or_insert(at);
        }
        self.names = Some((at, generation, names.clone()));
        names
    }
}

/// Whether a breaker's name says that it protects calls to a server.
fn names_server(breaker: &str, server: &str) -> bool {
    breaker == server || breaker.split(['/', '|', ' ', ':']).any(|part| part == server)
}

/// One look at a source at one time, with everything a dialect may ask.
pub(super) struct Look<'a> {
    engine: &'a Engine,
    source: &'a dyn SeriesSource,
    at: Timestamp,
    names: &'a [String],
    first_seen: &'a HashMap<String, Timestamp>,
    started: Timestamp,
    claimed: &'a HashSet<String>,
    queries: std::cell::RefCell<HashMap<String, Option<Query>>>,
    help: OnceCell<HashMap<String, String>>,
    slopes: OnceCell<Vec<(Labels, f64)>>,
    control: Control<'a>,
    interrupted: Cell<bool>,
}

impl Look<'_> {
    /// Floats of an instant query; an evaluation that fails knows nothing.
    fn vector(&self, query: &Query) -> Vec<(Labels, f64)> {
        if !self.may_exist(query) {
            return Vec::new();
        }
        match self.engine.instant_with(query, self.source, self.at, self.control).map(|e| e.value) {
            Ok(QueryValue::Vector(samples)) => samples.into_iter().filter_map(|s| s.value.as_float().map(|v| (s.labels, v))).collect(),
            Ok(_) => Vec::new(),
            Err(error) => {
                self.interrupted.set(self.interrupted.get() || error == EvalError::Timeout);
                tracing::debug!(query = query.text(), %error, "dialect query failed");
                Vec::new()
            }
        }
    }

    /// False when the query is bound to metric names none of which there is: most dialects find nothing, and that has to be cheap.
    fn may_exist(&self, query: &Query) -> bool {
        let names = query.metric_names();
        names.is_empty()
            || query.selectors().iter().any(|s| s.metric_name().is_none())
            || names.iter().any(|n| self.names.binary_search(n).is_ok())
    }

    fn text_vector(&self, text: &str) -> Vec<(Labels, f64)> {
        let mut queries = self.queries.borrow_mut();
        // Generic dialects ask for metrics by name, and names come from outside.
        if queries.len() >= MAX_QUERIES && !queries.contains_key(text) {
            queries.clear();
        }
        let query = queries.entry(text.to_owned()).or_insert_with(|| Query::parse(text).ok()).clone();
        drop(queries);
        query.map(|q| self.vector(&q)).unwrap_or_default()
    }

    /// A rate over as long as its metrics are there; nothing before that is long enough.
    fn rate(&self, query: &RateQuery) -> Vec<(Labels, f64)> {
        if !self.may_exist(&query.longest) {
            return Vec::new();
        }
        let names = query.longest.metric_names();
        let oldest = names.iter().filter_map(|name| self.first_seen.get(name)).min().copied().unwrap_or(self.started);
        let age = self.at.since(oldest).as_secs();
        match RateQuery::WINDOWS.iter().rev().find(|w| **w <= age) {
            Some(300) => self.vector(&query.longest),
            Some(window) => self.text_vector(&query.over(*window)),
            None => Vec::new(),
        }
    }

    fn origin(&self, origin: &Origin) -> Vec<(Labels, f64)> {
        match origin {
            Origin::Query(query) => self.vector(query),
            Origin::Names { pattern, matchers } => self.named(pattern, matchers),
        }
    }

    /// Series of every metric whose name matches, except those watchfire writes itself and those that a dialect names.
    fn named(&self, pattern: &Regex, matchers: &str) -> Vec<(Labels, f64)> {
        let names: Vec<&String> =
            self.names.iter().filter(|n| pattern.is_match(n) && !n.starts_with("watchfire_") && !self.claimed.contains(*n)).collect();
        let mut out = Vec::new();
        for name in names {
            let name_matcher = Matcher::equal(METRIC_NAME, name);
            let rest = if matchers.is_empty() { String::new() } else { format!(", {matchers}") };
            let text = format!("{{{}{rest}}}", Selector(vec![name_matcher]).0[0]);
            out.extend(self.text_vector(&text).into_iter().map(|(labels, value)| {
                let mut labels = labels.to_builder();
                labels.set(METRIC_NAME, name);
                (labels.build(), value)
            }));
        }
        out
    }

    fn help(&self, metric: &str) -> Option<String> {
        let help = self.help.get_or_init(|| self.source.metadata().into_iter().map(|(name, m)| (name, m.help)).collect());
        help.get(metric).cloned()
    }

    /// How fast each queue's depth changes, per second.
    fn depth_slopes(&self) -> &[(Labels, f64)] {
        self.slopes.get_or_init(|| self.text_vector("deriv(watchfire_queue_depth[5m])"))
    }
}

#[cfg(test)]
mod tests;
