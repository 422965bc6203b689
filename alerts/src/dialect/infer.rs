//! Breakers nobody exports, deduced from spans: calls on an edge failed, and then they nearly stop (or fail at once without reaching the
//! other side) while their caller is as busy as before, with everything that may have called. Where calls end together with what may have
//! made them, as at night or with the caller itself, nothing is known. What a deduction rests on is looked up by who shows it: the series
//! are the evidence.

use super::rows::BreakerRow;
use super::{Look, State};
use std::cell::OnceCell;
use std::collections::HashMap;
use watchfire_model::Labels;

/// Failure share before the collapse.
const FAILED: f64 = 0.5;
/// Call rate left, relative to before.
const COLLAPSED: f64 = 0.2;
/// Call rate from which a breaker that was deduced counts as closed again, relative to before.
pub const CLOSED_AGAIN: f64 = 0.5;
/// Calls per second below which a rate says nothing.
const LEAST_RATE: f64 = 0.05;
/// A failing call this fast did not reach anybody, in seconds.
const FAST: f64 = 0.005;

type Edge = (String, String);

#[derive(Debug, Default)]
pub(super) struct Inferred {
    /// Edges whose breaker is believed not to be closed, with their call rate before.
    tripped: HashMap<Edge, f64>,
}

/// Call figures of one edge.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    rate: f64,
    before: f64,
    failed: f64,
    worst_failed: f64,
    seconds: Option<f64>,
    seconds_before: Option<f64>,
}

/// Calls, not messages: that a consumer takes no more of them its producer does not decide.
const REQUESTS: &str = "sum by (client, server) (rate(traces_service_graph_request_total{connection_type!=\"messaging_system\"}[1m]))";
const BEFORE: &str =
    "max_over_time(sum by (client, server) (rate(traces_service_graph_request_total{connection_type!=\"messaging_system\"}[2m]))[10m:1m])";
const FAILURES: &str =
    "sum by (client, server) (rate(traces_service_graph_request_failed_total{connection_type!=\"messaging_system\"}[1m]))";
const WORST: &str = "max_over_time((sum by (client, server) (rate(traces_service_graph_request_failed_total{connection_type!=\"messaging_system\"}[1m])) / sum by (client, server) (rate(traces_service_graph_request_total{connection_type!=\"messaging_system\"}[1m])))[5m:15s])";
const SECONDS: &str = "sum by (client, server) (rate(traces_service_graph_request_client_seconds_sum{connection_type!=\"messaging_system\"}[1m])) / sum by (client, server) (rate(traces_service_graph_request_client_seconds_count{connection_type!=\"messaging_system\"}[1m]))";
const SECONDS_BEFORE: &str = "sum by (client, server) (rate(traces_service_graph_request_client_seconds_sum{connection_type!=\"messaging_system\"}[10m] offset 2m)) / sum by (client, server) (rate(traces_service_graph_request_client_seconds_count{connection_type!=\"messaging_system\"}[10m] offset 2m))";
/// Requests and messages that a service works on, or where it has none, the work that it begins by itself: now, and before.
const WORK: [[&str; 2]; 2] = [
    [
        "sum by (service_name, span_name) (rate(traces_span_metrics_calls_total{span_kind=~\"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER\"}[1m]))",
        "max_over_time(sum by (service_name, span_name) (rate(traces_span_metrics_calls_total{span_kind=~\"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER\"}[2m]))[10m:1m])",
    ],
    [
        "sum by (service_name, span_name) (rate(traces_span_metrics_calls_total{span_kind=\"SPAN_KIND_INTERNAL\"}[1m]) and on (service_name, span_name) watchfire_root_operation_info{span_kind=\"SPAN_KIND_INTERNAL\"})",
        "max_over_time(sum by (service_name, span_name) (rate(traces_span_metrics_calls_total{span_kind=\"SPAN_KIND_INTERNAL\"}[2m]) and on (service_name, span_name) watchfire_root_operation_info{span_kind=\"SPAN_KIND_INTERNAL\"})[10m:1m])",
    ],
];

impl Inferred {
    /// Breakers believed to be open or half-open, and those just seen to close. `exported` says whether an edge has a real one.
    pub fn look(&mut self, look: &Look<'_>, exported: &dyn Fn(&str, &str) -> bool) -> Vec<BreakerRow> {
        let flows = flows(look);
        let work = OnceCell::new();
        let mut rows = Vec::new();
        for (edge, flow) in &flows {
            let (client, server) = edge;
            // What a service calls in itself, it retries; it does not cut itself off.
            if exported(client, server) || client == server {
                self.tripped.remove(edge);
                continue;
            }
            let tripped = self.tripped.get(edge).copied();
            let busy = |before: f64| work.get_or_init(|| Work::look(look)).goes_on(client, before);
            match judge(flow, tripped, &busy) {
                State::Closed => {
                    if self.tripped.remove(edge).is_some() {
                        rows.push(row(edge, State::Closed));
                    }
                }
                // Nothing is said, and nothing forgotten, for as long as nobody tries.
                State::Unknown => {}
                state => {
                    self.tripped.entry(edge.clone()).or_insert(flow.before);
                    rows.push(row(edge, state));
                }
            }
        }
        self.tripped.retain(|edge, _| flows.contains_key(edge));
        rows
    }
}

/// Operations by service: (calls a second now, before).
#[derive(Debug, Default)]
struct Work(HashMap<String, HashMap<String, (f64, f64)>>);

impl Work {
    fn look(look: &Look<'_>) -> Work {
        let mut work: HashMap<String, HashMap<String, (f64, f64)>> = HashMap::new();
        for [now, before] in WORK {
            let mut found: HashMap<String, HashMap<String, (f64, f64)>> = HashMap::new();
            let text = |labels: &Labels, name: &str| labels.value(name).to_owned();
            for (labels, rate) in look.text_vector(before) {
                found.entry(text(&labels, "service_name")).or_default().insert(text(&labels, "span_name"), (0.0, rate));
            }
            for (labels, rate) in look.text_vector(now) {
                found.entry(text(&labels, "service_name")).or_default().entry(text(&labels, "span_name")).or_default().0 = rate;
            }
            for (service, operations) in found {
                work.entry(service).or_insert(operations);
            }
        }
        Work(work)
    }

    /// Whether a caller does everything still that may have made so many calls a second. Which of its operations made them no series tells, so none of
    /// those that are frequent enough may have ended as well: of all, where each makes many calls.
    fn goes_on(&self, client: &str, calls: f64) -> bool {
        let more_than = |rate: f64| -> Vec<&(f64, f64)> {
            let operations = self.0.get(client).into_iter().flat_map(|operations| operations.values());
            operations.filter(|(_, before)| *before > rate.max(LEAST_RATE)).collect()
        };
        let frequent = more_than(COLLAPSED * calls);
        let callers = if frequent.is_empty() { more_than(LEAST_RATE) } else { frequent };
        let (now, before) = callers.iter().fold((0.0, 0.0), |(now, before), of| (now + of.0, before + of.1));
        !callers.is_empty() && now >= CLOSED_AGAIN * before && callers.iter().all(|(now, before)| *now >= COLLAPSED * before)
    }
}

fn judge(flow: &Flow, tripped: Option<f64>, busy: &dyn Fn(f64) -> bool) -> State {
    let before = tripped.unwrap_or(flow.before);
    let share = if flow.rate > 0.0 { flow.failed / flow.rate } else { 0.0 };
    // A refused connection fails fast as well: only against what calls took before is a failure known to have reached nobody.
    let much_faster = |s: f64| flow.seconds_before.is_some_and(|b| s < 0.1 * b) || tripped.is_some();
    let fails_fast = flow.rate > LEAST_RATE && share >= 0.9 && flow.seconds.is_some_and(|s| s < FAST && much_faster(s));
    let collapsed = before > LEAST_RATE && flow.rate < COLLAPSED * before;
    if fails_fast {
        return State::Open;
    }
    match tripped {
        None if collapsed && flow.worst_failed >= FAILED && busy(before) => State::Open,
        None => State::Closed,
        Some(_) if flow.rate >= CLOSED_AGAIN * before => State::Closed,
        Some(_) if !busy(before) => State::Unknown,
        // A trickle of calls that succeed is a breaker trying.
        Some(_) if flow.rate > 0.0 && share < FAILED => State::HalfOpen,
        Some(_) => State::Open,
    }
}

fn row((client, server): &Edge, state: State) -> BreakerRow {
    BreakerRow {
        service: client.clone(),
        breaker: server.clone(),
        state,
        unread: None,
        source: "spans".to_owned(),
        inferred: true,
        saturated: false,
        rejecting: false,
        transitions: Vec::new(),
    }
}

fn edge_of(labels: &Labels) -> Option<Edge> {
    Some((labels.get("client")?.to_owned(), labels.get("server")?.to_owned()))
}

fn flows(look: &Look<'_>) -> HashMap<Edge, Flow> {
    let mut flows: HashMap<Edge, Flow> = HashMap::new();
    let mut fill = |expression: &str, set: &dyn Fn(&mut Flow, f64)| {
        for (labels, value) in look.text_vector(expression) {
            if let Some(edge) = edge_of(&labels)
                && value.is_finite()
            {
                set(flows.entry(edge).or_default(), value);
            }
        }
    };
    fill(BEFORE, &|f, v| f.before = v);
    fill(REQUESTS, &|f, v| f.rate = v);
    fill(FAILURES, &|f, v| f.failed = v);
    fill(WORST, &|f, v| f.worst_failed = v);
    fill(SECONDS, &|f, v| f.seconds = Some(v));
    fill(SECONDS_BEFORE, &|f, v| f.seconds_before = Some(v));
    flows
}
