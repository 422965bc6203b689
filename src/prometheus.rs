//! The screens over a Prometheus, or over what answers like it (Thanos, Mimir, VictoriaMetrics): what a collector or Tempo derived from spans, scraped
//! metrics, alerts, objectives and PromQL. Readings are those of `local`, over series that are fetched when a reading needs them.
//!
//! Invariants: nothing is written; what only spans and logs can tell is refused in words, never empty; without an answer the screen freezes, as
//! with another watchfire.

mod answers;
mod series;

use crate::attach::{LastStatus, RemoteSource};
use crate::local::context::Context;
use crate::local::lens::{Lens, QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
use crate::local::overall::{self, Overall};
use crate::local::{Declared, alerts, breakers, changes, health, map, operations, queues, services};
use answers::{AlertingRule, Alertmanagers, Answer, RuleGroups};
use parking_lot::Mutex;
use series::{Beside, RemoteSeries};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use watchfire_alerts::{Comparison, Courses, DialectEngine, MemorySeries};
use watchfire_model::reading::{
    Alert, AlertState, Alerts, Changes, Command, CommandSink, Map, QueryResult, QuerySeries, ReadError, Reading, Request, ServicePage,
    Services, Slo, Source, Status, Vocabulary,
};
use watchfire_model::{Clock, Timestamp};
use watchfire_promql::{Control, Engine, Query};

/// Readings of now are as of whole multiples of this, so that those of one screen share what was fetched.
const PACE: i64 = 5_000;
/// Breakers and queues are looked for once in so long, and what was found is kept for as many looks: an hour and a half.
const UNIFIED_EVERY: Duration = Duration::from_secs(15);
const MOST_LOOKS: usize = 360;
/// Readings that are held.
const MOST_READINGS: usize = 16;

/// A [`Source`] over the HTTP API of a Prometheus. Blocking, as [`RemoteSource`].
pub struct PrometheusSource {
    remote: Arc<RemoteSource>,
    /// As it names itself.
    program: String,
    series: RemoteSeries,
    clock: Arc<dyn Clock>,
    engine: Engine,
    queries: QueryCache,
    declared: Declared,
    courses: Courses,
    overall: Overall,
    last: LastStatus,
    /// Readings of the newest moment: a screen asks five times as often.
    held: Mutex<HashMap<String, (Timestamp, Reading)>>,
    told: Mutex<Option<(Timestamp, bool)>>,
    /// Breakers and queues in one form for all exporters, as they were found since somebody looks.
    unified: Mutex<Unified>,
}

struct Unified {
    dialects: Option<DialectEngine>,
    series: Arc<MemorySeries>,
    last: Option<Timestamp>,
    looks: usize,
}

impl PrometheusSource {
    pub fn new(remote: Arc<RemoteSource>, program: String, clock: Arc<dyn Clock>) -> Self {
        PrometheusSource {
            series: RemoteSeries::new(remote.clone()),
            remote,
            program,
            clock,
            engine: Engine::default(),
            queries: QueryCache::default(),
            declared: Declared::default(),
            courses: Courses::default(),
            overall: Overall::default(),
            last: LastStatus::default(),
            held: Mutex::default(),
            told: Mutex::default(),
            unified: Mutex::new(Unified { dialects: DialectEngine::built_in().ok(), series: Arc::default(), last: None, looks: 0 }),
        }
    }

    fn moment(&self, at: Option<Timestamp>) -> Timestamp {
        at.unwrap_or_else(|| self.clock.now().floor(PACE))
    }

    fn lens(&self, at: Timestamp) -> Lens<'_> {
        Lens { engine: &self.engine, source: &self.series, cache: &self.queries, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW }
    }

    /// What exporters say of breakers and queues, unified as of a moment. A moment of the past is looked at by itself.
    fn unified(&self, at: Option<Timestamp>) -> Arc<MemorySeries> {
        let moment = self.moment(at);
        let look = |dialects: &mut Option<DialectEngine>, series: &MemorySeries| {
            for (labels, value) in dialects.iter_mut().flat_map(|d| d.evaluate(&self.engine, &self.series, moment).series()) {
                series.push(&labels, moment, value);
            }
        };
        if at.is_some() {
            let series = MemorySeries::new();
            look(&mut DialectEngine::built_in().ok(), &series);
            return Arc::new(series);
        }
        let mut unified = self.unified.lock();
        let unified = &mut *unified;
        if unified.last.is_none_or(|last| moment.since(last) >= UNIFIED_EVERY) {
            if unified.looks.is_multiple_of(MOST_LOOKS) {
                unified.series = Arc::default();
            }
            look(&mut unified.dialects, &unified.series);
            unified.looks += 1;
            unified.last = Some(moment);
        }
        unified.series.clone()
    }

    fn with_context<T>(
        &self,
        at: Option<Timestamp>,
        read: impl FnOnce(&Lens<'_>, &Context<'_>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let unified = self.unified(at);
        let source = Beside { computed: &unified, fetched: &self.series };
        let lens = Lens { source: &source, ..self.lens(self.moment(at)) };
        let (alerts, breakers) = (self.active(&lens, at)?, breakers::breakers(&lens, &self.declared)?.breakers);
        let last_seen = BTreeMap::new();
        let context = Context { declared: &self.declared, checks: &[], alerts: &alerts, breakers: &breakers, last_seen: &last_seen };
        read(&lens, &context)
    }

    fn services(&self, at: Option<Timestamp>) -> Result<Services, ReadError> {
        match self.held(&Request::Services, at)? {
            Reading::Services(services) => Ok(services),
            _ => Err(ReadError::Failed("services did not answer as services".to_owned())),
        }
    }

    fn held(&self, request: &Request, at: Option<Timestamp>) -> Result<Reading, ReadError> {
        let (key, moment) = (format!("{request:?}"), self.moment(at));
        if let Some((_, reading)) = self.held.lock().get(&key).filter(|(taken, _)| *taken == moment) {
            return Ok(reading.clone());
        }
        let reading = self.answer(request, at)?;
        let mut held = self.held.lock();
        if held.len() >= MOST_READINGS {
            held.clear();
        }
        held.insert(key, (moment, reading.clone()));
        Ok(reading)
    }

    fn map(&self, at: Option<Timestamp>) -> Result<Map, ReadError> {
        let services = self.services(at)?;
        self.with_context(at, |lens, context| {
            let queues = queues::queues(lens, context)?;
            map::map(lens, context, &services.services, &queues.queues)
        })
    }

    fn page(&self, name: &str, at: Option<Timestamp>) -> Result<ServicePage, ReadError> {
        let service = self.services(at)?.services.into_iter().find(|s| s.name == name);
        let service = service.ok_or_else(|| ReadError::NotFound(format!("no service {name:?} is known")))?;
        let map = self.map(at)?;
        let lens = self.lens(self.moment(at));
        let about = |alert: &Alert| ["service", "service_name", "job"].iter().any(|label| alert.labels.get(label) == Some(name));
        Ok(ServicePage {
            operations: operations::operations(&lens, name)?,
            callers: map.edges.iter().filter(|e| e.server == name).cloned().collect(),
            callees: map.edges.into_iter().filter(|e| e.client == name).collect(),
            alerts: self.alerts(at)?.alerts.into_iter().filter(about).collect(),
            service,
            ..ServicePage::default()
        })
    }

    /// Alerts are series, and their last samples say which are over.
    fn active(&self, lens: &Lens<'_>, at: Option<Timestamp>) -> Result<Vec<Alert>, ReadError> {
        let mut alerts = alerts::of_series(lens)?;
        if at.is_none() {
            let told = self.is_told(lens.at)?;
            for alert in alerts.iter_mut().filter(|alert| alert.state == AlertState::Firing) {
                (alert.notified, alert.unheard) = (told, !told);
                alert.notified_by = if told { vec!["Alertmanager".to_owned()] } else { Vec::new() };
            }
        }
        Ok(alerts)
    }

    /// Whether there is an Alertmanager that firing alerts are sent to.
    fn is_told(&self, moment: Timestamp) -> Result<bool, ReadError> {
        if let Some((_, told)) = self.told.lock().filter(|(taken, _)| *taken == moment) {
            return Ok(told);
        }
        let alertmanagers: Alertmanagers = Answer::of(&self.remote.get("/api/v1/alertmanagers")?)?.data;
        *self.told.lock() = Some((moment, alertmanagers.any()));
        Ok(alertmanagers.any())
    }

    /// With what their rules say, which is known of now.
    fn alerts(&self, at: Option<Timestamp>) -> Result<Alerts, ReadError> {
        let lens = self.lens(self.moment(at));
        let mut out = Alerts { alerts: self.active(&lens, at)?, ..Alerts::default() };
        let groups: RuleGroups = Answer::of(&self.remote.get("/api/v1/rules?type=alert")?)?.data;
        for rule in groups.alerting() {
            out.rules += 1;
            if !rule.last_error.is_empty() {
                out.broken_rules.push((rule.group.clone(), rule.name.clone(), rule.last_error.clone()));
            }
            out.last_evaluation = out.last_evaluation.max(rule.last_evaluation());
            for alert in out.alerts.iter_mut().filter(|alert| alert.name == rule.name) {
                explain(alert, &rule);
            }
        }
        self.courses.fill(&self.engine, &self.series, &*self.clock, lens.at, &mut out.alerts);
        Ok(out)
    }

    fn status(&self, at: Option<Timestamp>) -> Result<Status, ReadError> {
        let services = self.services(at)?;
        let lens = self.lens(self.moment(at));
        let mut status = overall::status(&services.services, &self.active(&lens, at)?, lens.at);
        status.overall_since = if at.is_none() { Some(self.overall.since(status.overall, lens.at)) } else { None };
        status.source = Some(self.remote.name());
        if services.services.is_empty() && at.is_none() {
            status.banners.push(format!(
                "{} has no metrics made of spans (traces_span_metrics_calls_total and its like), so no services: 8 alerts, 7 targets, 0 PromQL",
                self.program
            ));
        }
        status.ingest.samples_per_second = lens.number("sum(rate(prometheus_tsdb_head_samples_appended_total[5m]))")?;
        Ok(status)
    }

    fn ask(&self, path: &str, pairs: &[(&str, String)]) -> Result<QueryResult, ReadError> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let answer = Answer::of(&self.remote.get(&format!("{path}?{query}"))?)?;
        let (kind, series) = answers::series(answer.data);
        let series = series.iter().map(QuerySeries::from).collect();
        Ok(QueryResult { kind: kind.to_owned(), series, warnings: answer.warnings, infos: answer.infos, exemplars: Vec::new() })
    }

    fn words(&self, label: &str) -> Result<Vec<String>, ReadError> {
        Ok(Answer::of(&self.remote.get(&format!("/api/v1/label/{label}/values"))?)?.data)
    }

    fn vocabulary(&self) -> Result<Vocabulary, ReadError> {
        Ok(Vocabulary {
            metrics: self.words("__name__")?,
            labels: Answer::of(&self.remote.get("/api/v1/labels")?)?.data,
            services: self.words("service_name")?,
        })
    }

    /// What is not there is not empty.
    fn without(&self, what: &str) -> ReadError {
        ReadError::BadRequest(format!("{} keeps no {what}; a watchfire that they are sent to does", self.program))
    }

    fn answer(&self, request: &Request, at: Option<Timestamp>) -> Result<Reading, ReadError> {
        let now = self.moment(at);
        Ok(match request {
            Request::Status => Reading::Status(self.status(at)?),
            Request::Services => Reading::Services(self.with_context(at, services::services)?),
            Request::Service { name } => Reading::Service(Box::new(self.page(name, at)?)),
            Request::Map => Reading::Map(self.map(at)?),
            Request::Queues => Reading::Queues(self.with_context(at, queues::queues)?),
            Request::Breakers => Reading::Breakers(self.with_context(at, |lens, context| breakers::breakers(lens, context.declared))?),
            Request::Health => Reading::Health(health::health(&self.lens(now), None, None)?),
            Request::Slo => Reading::Slo(Slo::default()),
            Request::Alerts => Reading::Alerts(self.alerts(at)?),
            Request::Query { expression } => {
                let pairs = [("query", expression.clone()), ("time", seconds(now))];
                Reading::Query(self.ask("/api/v1/query", &pairs)?)
            }
            Request::QueryRange { expression, start, end, step_ms } => {
                let step = seconds(Timestamp((*step_ms).max(1)));
                let pairs = [("query", expression.clone()), ("start", seconds(*start)), ("end", seconds(*end)), ("step", step)];
                Reading::QueryRange(self.ask("/api/v1/query_range", &pairs)?)
            }
            Request::Changes { since } => Reading::Changes(Changes { changes: changes::changes(&self.lens(now), *since)? }),
            Request::Backtest(query) => {
                let done = watchfire_alerts::backtest_query(&self.engine, query, &self.series, Control::default());
                Reading::Backtest(done.map_err(ReadError::BadRequest)?)
            }
            Request::Vocabulary => Reading::Vocabulary(self.vocabulary()?),
            Request::Traces(_) | Request::Trace { .. } | Request::Latency(_) | Request::Explain(_) => return Err(self.without("spans")),
            Request::Logs(_) => return Err(self.without("logs")),
        })
    }
}

/// What the rule says of an alert that is known by its labels.
fn explain(alert: &mut Alert, rule: &AlertingRule) {
    let Some(active) = rule.alerts.iter().find(|active| active.labels == alert.labels) else { return };
    alert.annotations = active.annotations.clone();
    alert.value = active.value.parse().ok().filter(|value: &f64| value.is_finite());
    alert.active_at = active.active_at().or(alert.active_at);
    alert.for_seconds = rule.duration;
    alert.keep_firing_for_seconds = rule.keep_firing_for;
    alert.expression.clone_from(&rule.query);
    alert.group.clone_from(&rule.group);
    alert.threshold = Query::parse(&rule.query).ok().and_then(|query| Comparison::of(&query)).map(|comparison| comparison.threshold);
    if alert.state == AlertState::Firing && rule.duration.is_finite() {
        alert.fired_at = alert.active_at.map(|at| at.saturating_add(Duration::from_secs_f64(rule.duration.clamp(0.0, 1e9))));
    }
}

fn seconds(at: Timestamp) -> String {
    format!("{:.3}", at.0 as f64 / 1000.0)
}

impl Source for PrometheusSource {
    fn read(&self, request: &Request, at: Option<Timestamp>) -> Result<Reading, ReadError> {
        self.series.begin();
        let answer = self.held(request, at);
        // Below a reading nobody can say more than that there were no series; whoever is gone is gone.
        let answer = match (answer, self.series.gone()) {
            (Err(_), Some(why)) => Err(ReadError::Disconnected(why)),
            (answer, _) => answer,
        };
        if *request == Request::Status && at.is_none() { self.last.or_frozen(answer) } else { answer }
    }
}

impl CommandSink for PrometheusSource {
    fn execute(&self, _: &Command) -> Result<String, ReadError> {
        Err(ReadError::BadRequest(format!("{} takes no silences and acknowledges nothing; its Alertmanager does", self.program)))
    }
}
