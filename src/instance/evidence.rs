//! What a page shows besides the rule's text: example traces, the worst operation, breakers and queues around.

use crate::local::lens::{Lens, QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use watchfire_alerts::cause::subject;
use watchfire_alerts::{EvidenceRequest, EvidenceSource};
use watchfire_model::reading::Alert;
use watchfire_model::{Evidence, HealthState, SeriesSource, TimeRange, Timestamp, Topology, format_duration};
use watchfire_promql::{Engine, quote};
use watchfire_store::{Example, Store};

/// Traces named in a notice.
const EXAMPLES: usize = 3;
/// Lines about what surrounds an alert.
const SURROUNDINGS: usize = 6;
/// Expressions whose services are remembered, and for how many milliseconds.
const MAX_EXPRESSIONS: usize = 256;
const SERVICES_FOR: i64 = 60_000;
/// Of the lines about what surrounds an alert, those about queues.
const QUEUES: usize = 2;

/// Looks evidence up in the live store.
pub struct StoreEvidence {
    store: Arc<Store>,
    engine: Arc<Engine>,
    cache: QueryCache,
    services_read: Mutex<HashMap<String, ServicesRead>>,
    api: Option<String>,
}

/// What services an expression reads, and of which series and minute that was found.
type ServicesRead = ((Option<u64>, Timestamp), Vec<String>);

impl StoreEvidence {
    pub fn new(store: Arc<Store>, engine: Arc<Engine>, api: Option<String>) -> Self {
        StoreEvidence { store, engine, cache: QueryCache::default(), services_read: Mutex::default(), api }
    }

    /// Puts what is found now beside what the evaluator knew.
    pub fn complete(&self, alert: &mut Alert, now: Timestamp) {
        let known = alert.evidence.take().unwrap_or_default();
        let request = EvidenceRequest {
            labels: &alert.labels,
            service: subject(&alert.labels),
            expression: &alert.expression,
            active_at: alert.active_at.unwrap_or(now),
            now,
            brief: false,
        };
        let found = self.evidence(&request);
        alert.evidence = Some(Evidence { value: known.value, expression: known.expression, dependents: known.dependents, ..found });
    }

    /// Services whose spans may show what an alert is about: those that its labels name; or else who works off its queue; or else all whose
    /// series its rule reads, as a rule about the sum of several services names none.
    fn services(&self, request: &EvidenceRequest<'_>) -> Vec<String> {
        let seen: BTreeSet<Arc<str>> = self.store.services_seen().into_iter().map(|s| s.name).collect();
        let known = |names: Vec<String>| names.into_iter().filter(|name| seen.contains(name.as_str())).collect::<Vec<_>>();
        let subject = known(request.service.map(str::to_owned).into_iter().collect());
        if !subject.is_empty() {
            return subject;
        }
        let named = known(request.labels.iter().map(|l| l.value.to_string()).collect());
        if !named.is_empty() {
            return named;
        }
        let consumers = known(request.labels.get("queue").map(|queue| self.store.consumers(queue)).unwrap_or_default());
        if !consumers.is_empty() {
            return consumers;
        }
        if seen.is_empty() { Vec::new() } else { self.services_read(request, &seen) }
    }

    /// Services among those seen whose series an expression reads. They are looked for again where there are other series, and once a minute.
    fn services_read(&self, request: &EvidenceRequest<'_>, seen: &BTreeSet<Arc<str>>) -> Vec<String> {
        let stamp = (self.store.generation(), request.now.floor(SERVICES_FOR));
        if let Some((_, services)) = self.services_read.lock().get(request.expression).filter(|(of, _)| *of == stamp) {
            return services.clone();
        }
        let Ok(query) = self.cache.parse(&self.engine, request.expression) else { return Vec::new() };
        let lately = TimeRange::new(request.now.saturating_sub(SCRAPE_WINDOW), request.now);
        let mut read = BTreeSet::new();
        for selector in query.selectors() {
            let visited = self.store.select_labels(&selector, lately, &mut |labels| {
                read.extend(labels.iter().filter_map(|label| seen.get(&label.value).cloned()));
            });
            if visited.is_err() {
                return Vec::new();
            }
        }
        let services: Vec<String> = read.into_iter().map(|name| name.to_string()).collect();
        let mut known = self.services_read.lock();
        if known.len() >= MAX_EXPRESSIONS {
            known.clear();
        }
        known.insert(request.expression.to_owned(), (stamp, services.clone()));
        services
    }

    /// Traces since the alert began: of a rule about time the slowest; of others those that fail, in the services or, where these send nothing
    /// any more, in who calls them. What is merely slow shows no cause of another rule. Of rules of severity security those that were refused,
    /// there or where their callers were.
    fn traces(&self, request: &EvidenceRequest<'_>, services: &[String]) -> Vec<String> {
        // What made the rule's condition true is as old as what its rates look at.
        let since = request.active_at.saturating_sub(RATE_WINDOW);
        let examples = |services: &[String], which| self.store.example_traces(services, which, since, EXAMPLES);
        let security = request.labels.value("severity") == "security";
        let (first, beyond) = match (security, asks_how_long(request.expression)) {
            (true, _) => (Example::Refused, Example::Refused),
            (false, true) => (Example::Slow, Example::Error),
            (false, false) => (Example::Error, Example::Error),
        };
        let found = examples(services, first);
        if !found.is_empty() {
            return found;
        }
        let about = |name: &str| services.iter().any(|s| s == name) || request.service == Some(name);
        let callers =
            self.store.observed_edges().into_iter().filter(|e| about(&e.server)).map(|e| e.client.to_string()).collect::<Vec<_>>();
        examples(&callers, beyond)
    }

    /// The operation with most failing calls, as `POST /pay: 18 % of 42/s fail`.
    fn top_operation(&self, lens: &Lens<'_>, services: &[String]) -> Option<String> {
        let by_operation = |status: &str| {
            let one_of = one_of(services);
            lens.vector(&format!(
                r#"sum by (service_name, span_name) (rate(traces_span_metrics_calls_total{{service_name=~{one_of},span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER"{status}}}[1m]))"#
            ))
            .unwrap_or_default()
        };
        let failing = by_operation(r#",status_code="STATUS_CODE_ERROR""#);
        let (labels, errors) = failing.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, v)| *v > 0.0)?;
        let all = by_operation("").into_iter().find(|(l, _)| *l == labels).map_or(errors, |(_, v)| v);
        let whose = if services.len() > 1 { format!("{} ", labels.value("service_name")) } else { String::new() };
        // Of who is called once a minute too, a rate is no zero.
        let decimals = if all < 1.0 { 2 } else { 1 };
        Some(format!("{whose}{}: {:.0} % of {all:.decimals$}/s fail", labels.value("span_name"), errors / all * 100.0))
    }

    fn surroundings(&self, lens: &Lens<'_>, services: &[String], queue: Option<&str>) -> Vec<String> {
        let one_of = one_of(services);
        let whose = |name: &str| if services.len() > 1 { format!("{name}: ") } else { String::new() };
        let mut out = Vec::new();
        for (labels, _) in lens.vector(&format!("watchfire_breaker_state{{service=~{one_of}}} == 2")).unwrap_or_default() {
            let deduced = if labels.value("inferred") == "true" { ", as its calls suggest" } else { "" };
            out.push(format!("{}breaker {} is open{deduced}", whose(labels.value("service")), labels.value("breaker")));
        }
        out.extend(queues(lens, &one_of, queue));
        for (labels, share) in lens
            .vector(&format!(
                "sum by (client, server) (rate(traces_service_graph_request_failed_total{{client=~{one_of}}}[1m])) \
                 / sum by (client, server) (rate(traces_service_graph_request_total{{client=~{one_of}}}[1m])) > 0.05"
            ))
            .unwrap_or_default()
        {
            out.push(format!("{}{:.0} % of calls to {} fail", whose(labels.value("client")), share * 100.0, labels.value("server")));
        }
        for check in self.store.checks().iter().filter(|c| services.contains(&c.service) && c.state > HealthState::Unknown) {
            out.push(format!("{}{} is {}: {}", whose(&check.service), check.check, check.state.word(), check.detail));
        }
        out.truncate(SURROUNDINGS);
        out
    }
}

/// Where messages wait among those that the services send or work on, or in the queue that the alert is about: the longest first.
fn queues(lens: &Lens<'_>, services: &str, about: Option<&str>) -> Vec<String> {
    let deliveries = |side: &str| {
        lens.vector(&format!("group by (queue) (watchfire_message_deliveries_total{{{side}=~{services}}})")).unwrap_or_default()
    };
    let passed = ["client", "server"].into_iter().flat_map(deliveries).map(|(labels, _)| labels.value("queue").to_owned());
    let names: BTreeSet<String> = passed.chain(about.map(str::to_owned)).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let named = one_of(&names.into_iter().collect::<Vec<_>>());
    let of = |what: &str| -> BTreeMap<String, f64> {
        let found = lens.vector(&format!("max by (queue) (watchfire_queue_{what}{{queue=~{named}}})")).unwrap_or_default();
        found.into_iter().map(|(labels, value)| (labels.value("queue").to_owned(), value)).collect()
    };
    let (depth, oldest, drain, consumers) = (of("depth"), of("oldest_seconds"), of("drain_seconds"), of("consumers"));
    let mut waiting: Vec<(String, f64)> = depth.into_iter().filter(|(_, depth)| *depth >= 1.0).collect();
    waiting.sort_by(|a, b| b.1.total_cmp(&a.1));
    let time = |seconds: &f64| Duration::try_from_secs_f64(seconds.round()).ok().map(format_duration);
    let line = |(queue, depth): &(String, f64)| {
        let mut line = format!("queue {queue}: {depth:.0} wait");
        if let Some(age) = oldest.get(queue).and_then(time) {
            line.push_str(&format!(", the oldest for {age}"));
        }
        match (consumers.get(queue), drain.get(queue).and_then(time)) {
            (Some(0.0), _) => line.push_str(", nobody reads it"),
            (_, Some(drain)) => line.push_str(&format!(", drained in {drain}")),
            _ => {}
        }
        line
    };
    waiting.iter().take(QUEUES).map(line).collect()
}

/// Whether a rule is about time that something takes, as far as its words tell.
fn asks_how_long(expression: &str) -> bool {
    ["histogram_quantile", "duration", "latenc"].iter().any(|word| expression.contains(word))
}

/// The value of a `=~` matcher for any of some names.
fn one_of(names: &[String]) -> String {
    let special = |c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '/' | ' ');
    let literal = |name: &String| name.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect::<String>();
    quote(&names.iter().map(literal).collect::<Vec<_>>().join("|"))
}

impl EvidenceSource for StoreEvidence {
    fn evidence(&self, request: &EvidenceRequest<'_>) -> Evidence {
        let lens = Lens {
            engine: &self.engine,
            source: self.store.as_ref(),
            cache: &self.cache,
            at: request.now,
            window: RATE_WINDOW,
            scrape_window: SCRAPE_WINDOW,
        };
        let mut evidence = Evidence { command: self.command(request.service.unwrap_or_default()), ..Evidence::default() };
        if request.brief {
            return evidence;
        }
        let services = self.services(request);
        evidence.trace_ids = self.traces(request, &services);
        evidence.top_operation = self.top_operation(&lens, &services);
        // A service that sends no spans may be checked all the same.
        let about = if services.is_empty() { request.service.map(str::to_owned).into_iter().collect() } else { services };
        evidence.surroundings = self.surroundings(&lens, &about, request.labels.get("queue"));
        evidence
    }
}

impl StoreEvidence {
    fn command(&self, service: &str) -> String {
        let target = self.api.as_ref().map_or("watchfire".to_owned(), |api| format!("watchfire attach http://{api}"));
        if service.is_empty() { target } else { format!("{target} --open {}", quoted(&format!("service {service}"))) }
    }
}

/// One word for a shell, whatever is in it: people paste what a page tells them to.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::{HandClock, Labels, Meter, MetricKind, OwnSeries, SeriesSink, Value};
    use watchfire_store::StoreLimits;

    #[test]
    fn a_matcher_of_names_is_literal() {
        let names = ["orders".to_owned(), "a.b\"(c".to_owned()];
        assert_eq!(one_of(&names), r#""orders|a\\.b\\\"\\(c""#);
    }

    #[test]
    fn a_page_says_what_waits_in_the_queues_around() {
        let now = Timestamp(1_772_334_900_000);
        let store = Store::new(StoreLimits::default(), Meter::new(), Arc::new(HandClock::at(now)));
        let origin = store.origin("test");
        for (name, labels, value) in [
            ("watchfire_message_deliveries_total", &[("client", "shop"), ("server", "mailer"), ("queue", "mails")][..], 7.0),
            ("watchfire_message_deliveries_total", &[("client", "mailer"), ("server", "log"), ("queue", "events")], 7.0),
            ("watchfire_message_deliveries_total", &[("client", "other"), ("server", "log"), ("queue", "elsewhere")], 7.0),
            ("watchfire_queue_depth", &[("queue", "mails"), ("system", "rabbitmq")], 1204.0),
            ("watchfire_queue_oldest_seconds", &[("queue", "mails"), ("system", "rabbitmq")], 42.0),
            ("watchfire_queue_drain_seconds", &[("queue", "mails"), ("system", "rabbitmq")], 300.0),
            ("watchfire_queue_depth", &[("queue", "events"), ("system", "rabbitmq")], 3000.0),
            ("watchfire_queue_consumers", &[("queue", "events"), ("system", "rabbitmq")], 0.0),
            ("watchfire_queue_depth", &[("queue", "elsewhere"), ("system", "rabbitmq")], 9.0),
            ("watchfire_breaker_state", &[("service", "mailer"), ("breaker", "smtp")], 2.0),
        ] {
            let labels = Labels::from_pairs([("__name__", name)].into_iter().chain(labels.iter().copied()));
            let id = store.own_series(origin, &labels, MetricKind::Gauge, OwnSeries::Vital).expect("room");
            store.append(origin, now, now, &[(id, Value::Float(value))]);
        }
        let evidence = StoreEvidence::new(store, Arc::new(Engine::default()), None);
        let asked = |labels: &Labels, service| {
            let request = EvidenceRequest { labels, service, expression: "up == 0", active_at: now, now, brief: false };
            evidence.evidence(&request).surroundings
        };
        assert_eq!(
            asked(&Labels::from_pairs([("service", "mailer")]), Some("mailer")),
            [
                "breaker smtp is open",
                "queue events: 3000 wait, nobody reads it",
                "queue mails: 1204 wait, the oldest for 42s, drained in 5m"
            ]
        );
        assert_eq!(asked(&Labels::from_pairs([("queue", "elsewhere")]), None), ["queue elsewhere: 9 wait"], "which the alert is about");
    }

    #[test]
    fn services_that_a_rule_reads_are_found_again_where_there_are_other_series() {
        let now = Timestamp(1_772_334_900_000);
        let store = Store::new(StoreLimits::default(), Meter::new(), Arc::new(HandClock::at(now)));
        let origin = store.origin("test");
        let put = |service: &str| {
            let labels = Labels::from_pairs([("__name__", "errors_total"), ("service", service)]);
            let id = store.series(origin, &labels, MetricKind::Counter).expect("room");
            store.append(origin, now, now, &[(id, Value::Float(1.0))]);
        };
        let evidence = StoreEvidence::new(store.clone(), Arc::new(Engine::default()), None);
        let seen: BTreeSet<Arc<str>> = ["orders", "web", "idle"].map(Arc::from).into();
        let read_by = |expression: &str| {
            let labels = Labels::empty();
            let request = EvidenceRequest { labels: &labels, service: None, expression, active_at: now, now, brief: false };
            evidence.services_read(&request, &seen)
        };
        put("orders");
        put("unseen");
        assert_eq!(read_by("sum(errors_total) > 0"), ["orders"]);
        put("web");
        assert_eq!(read_by("sum(errors_total) > 0"), ["orders", "web"]);
        assert!(read_by("sum(other_total) > 0").is_empty() && read_by("sum(").is_empty());
        for n in 0..2 * MAX_EXPRESSIONS {
            assert_eq!(read_by(&format!("sum(errors_total) > {n}")).len(), 2);
        }
        assert!(evidence.services_read.lock().len() <= MAX_EXPRESSIONS);
    }

    #[test]
    fn a_command_to_paste_holds_no_second_command() {
        assert_eq!(quoted("service a'; touch /tmp/x; '"), r"'service a'\''; touch /tmp/x; '\'''");
    }
}
