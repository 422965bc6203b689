//! What traces teach about operations: which calls each makes, how often and in which order, and how long it works itself.

use std::collections::{BTreeMap, BTreeSet};
use watchfire_model::reading::{Span, Trace};

/// Own durations kept of one operation.
const DURATIONS: usize = 512;

/// What was learned from some traces.
#[derive(Debug, Default)]
pub struct Lessons {
    pub traces: usize,
    /// By service and name of the span that began it.
    pub operations: BTreeMap<(String, String), Work>,
    /// By queue: what its consumers do with a message.
    pub queues: BTreeMap<String, Work>,
}

/// Something a service was seen doing.
#[derive(Debug, Default)]
pub struct Work {
    pub times: u64,
    /// Times without any caller in the trace.
    pub from_outside: u64,
    /// Failures that no failing call of its own explains.
    pub own_failures: u64,
    pub grpc: bool,
    /// Consumers of a queue belong to the trace of the sender.
    pub in_sender_trace: u64,
    /// Seconds without the calls it waited for.
    pub own_seconds: Vec<f64>,
    pub calls: BTreeMap<(String, String), Calls>,
}

#[derive(Debug, Default)]
pub struct Calls {
    pub times: u64,
    /// Sum of the seconds from the beginning of the work to the call.
    begun: f64,
}

impl Work {
    /// Seconds within which the share `q` of the work ended, calls not included.
    pub fn own_quantile(&self, q: f64) -> Option<f64> {
        let mut sorted = self.own_seconds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(((sorted.len() as f64 * q) as usize).min(sorted.len().saturating_sub(1))).copied()
    }

    /// Calls in the order in which they usually begin, and how many there are each time.
    pub fn steps(&self) -> Vec<(&str, &str, f64)> {
        let mut steps: Vec<_> = self.calls.iter().collect();
        steps.sort_by(|(_, a), (_, b)| (a.begun / a.times as f64).total_cmp(&(b.begun / b.times as f64)));
        steps.into_iter().map(|((to, op), calls)| (to.as_str(), op.as_str(), calls.times as f64 / self.times.max(1) as f64)).collect()
    }

    pub fn share(&self, part: u64) -> f64 {
        part as f64 / self.times.max(1) as f64
    }
}

/// Attributes by which a caller names who it calls, under their stable and their older names, the most telling first.
const PEER_NAMES: [&str; 8] = [
    "service.peer.name",
    "peer.service",
    "db.namespace",
    "db.name",
    "server.address",
    "net.peer.name",
    "network.peer.address",
    "db.system.name",
];

fn text(span: &Span, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| span.attributes.get(*key)).map(ToString::to_string)
}

fn destination(span: &Span) -> Option<String> {
    text(span, &["messaging.destination.name", "messaging.destination"])
}

/// What a service is asked for, and what it starts by itself (a schedule, a saga).
fn is_work(span: &Span) -> bool {
    matches!(span.kind.as_str(), "server" | "consumer") || span.kind == "internal" && span.parent_id.is_empty()
}

/// The kind of message, where it is said.
pub fn job(span: &Span) -> String {
    text(span, &["messaging.message.type", "messaging.rabbitmq.destination.routing_key"]).unwrap_or_else(|| span.name.clone())
}

impl Lessons {
    /// `peers`: who each service is known to call.
    pub fn learn(&mut self, trace: &Trace, peers: &BTreeMap<String, BTreeSet<String>>) {
        self.traces += 1;
        let by_id: BTreeMap<&str, usize> = trace.spans.iter().enumerate().map(|(i, s)| (s.span_id.as_str(), i)).collect();
        let mut children: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, span) in trace.spans.iter().enumerate() {
            if let Some(parent) = by_id.get(span.parent_id.as_str()).filter(|parent| **parent != index) {
                children.entry(*parent).or_default().push(index);
            }
        }
        let below = |index: usize| children.get(&index).into_iter().flatten().copied();
        for (index, span) in trace.spans.iter().enumerate().filter(|(_, span)| is_work(span)) {
            let queue = if span.kind == "consumer" { destination(span) } else { None };
            let work = match queue {
                Some(queue) => self.queues.entry(queue).or_default(),
                None => self.operations.entry((span.service.clone(), span.name.clone())).or_default(),
            };
            work.times += 1;
            work.from_outside += u64::from(span.parent_id.is_empty());
            work.in_sender_trace += u64::from(by_id.contains_key(span.parent_id.as_str()));
            work.grpc |= span.attributes.contains_key("rpc.system") || span.attributes.contains_key("rpc.system.name");
            let (mut waits, mut call_failed) = (Vec::new(), false);
            // Through spans inside the process to the calls that leave it. A cycle of parents ends with the spans there are.
            let mut inside: Vec<usize> = below(index).collect();
            for _ in 0..trace.spans.len() {
                let Some(next) = inside.pop() else { break };
                let call = &trace.spans[next];
                if call.service != span.service {
                    continue;
                }
                let callee = match call.kind.as_str() {
                    "producer" => destination(call).map(|queue| (queue, job(call))),
                    "client" => {
                        let answer = below(next).map(|i| &trace.spans[i]).find(|s| s.kind == "server");
                        let named = || {
                            let known = peers.get(&span.service)?;
                            let name = PEER_NAMES.iter().filter_map(|key| text(call, &[key])).find(|name| known.contains(name))?;
                            Some((name, call.name.clone()))
                        };
                        answer.map(|s| (s.service.clone(), s.name.clone())).or_else(named)
                    }
                    _ => {
                        inside.extend(below(next));
                        continue;
                    }
                };
                call_failed |= call.status == "error";
                if call.kind == "client" {
                    waits.push((call.start, call.start + call.duration_seconds));
                }
                if let Some(callee) = callee {
                    let calls = work.calls.entry(callee).or_default();
                    calls.times += 1;
                    calls.begun += call.start - span.start;
                }
            }
            work.own_failures += u64::from(span.status == "error" && !call_failed);
            if work.own_seconds.len() < DURATIONS {
                work.own_seconds.push(span.duration_seconds - covered(waits, span.start, span.start + span.duration_seconds));
            }
        }
    }
}

/// Seconds of `from..to` that lie in any of the intervals.
fn covered(mut intervals: Vec<(f64, f64)>, from: f64, to: f64) -> f64 {
    intervals.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut sum, mut reached) = (0.0, from);
    for (start, end) in intervals {
        let (start, end) = (start.max(reached), end.min(to));
        if end > start {
            sum += end - start;
            reached = end;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::reading::attribute::Scalar;

    fn span(id: &str, parent: &str, service: &str, name: &str, kind: &str, times: (f64, f64)) -> Span {
        Span {
            span_id: id.into(),
            parent_id: parent.into(),
            service: service.into(),
            name: name.into(),
            kind: kind.into(),
            start: times.0,
            duration_seconds: times.1,
            status: "unset".into(),
            ..Span::default()
        }
    }

    fn with(mut span: Span, key: &str, value: &str) -> Span {
        span.attributes.insert(key.into(), Scalar::Text(value.into()));
        span
    }

    #[test]
    fn calls_are_found_through_inner_spans_and_own_time_leaves_them_out() {
        let trace = Trace {
            spans: vec![
                span("1", "", "shop", "POST /orders", "server", (10.0, 1.0)),
                span("2", "1", "shop", "validate", "internal", (10.1, 0.7)),
                span("3", "2", "shop", "GET", "client", (10.2, 0.3)),
                span("4", "3", "stock", "GET /stock", "server", (10.3, 0.1)),
                with(span("5", "4", "stock", "SELECT items", "client", (10.3, 0.05)), "db.namespace", "items"),
                with(
                    with(span("6", "1", "shop", "send", "producer", (10.9, 0.01)), "messaging.destination.name", "orders"),
                    "messaging.message.type",
                    "created",
                ),
                with(span("7", "6", "mail", "process orders", "consumer", (11.5, 0.2)), "messaging.destination.name", "orders"),
            ],
            ..Trace::default()
        };
        let peers = BTreeMap::from([("stock".to_owned(), BTreeSet::from(["items".to_owned()]))]);
        let mut lessons = Lessons::default();
        lessons.learn(&trace, &peers);
        let work = |service: &str, name: &str| &lessons.operations[&(service.to_owned(), name.to_owned())];
        let order = work("shop", "POST /orders");
        assert_eq!(order.steps(), [("stock", "GET /stock", 1.0), ("orders", "created", 1.0)]);
        assert_eq!((order.times, order.from_outside), (1, 1));
        assert!((order.own_quantile(0.5).expect("seen once") - 0.7).abs() < 1e-9);
        let stock = work("stock", "GET /stock");
        assert_eq!((stock.steps(), stock.from_outside), (vec![("items", "SELECT items", 1.0)], 0));
        assert_eq!((lessons.queues["orders"].times, lessons.queues["orders"].in_sender_trace), (1, 1));
    }

    #[test]
    fn a_failure_is_its_own_only_where_no_call_failed() {
        let failing = |mut s: Span| {
            s.status = "error".into();
            s
        };
        let mut lessons = Lessons::default();
        for call_fails in [true, false] {
            let call = span("2", "1", "a", "GET", "client", (0.2, 0.1));
            let spans = vec![
                failing(span("1", "", "a", "GET /", "server", (0.0, 1.0))),
                if call_fails { failing(call) } else { call },
                span("3", "2", "b", "GET /b", "server", (0.2, 0.1)),
            ];
            lessons.learn(&Trace { spans, ..Trace::default() }, &BTreeMap::new());
        }
        let work = &lessons.operations[&("a".to_owned(), "GET /".to_owned())];
        assert_eq!((work.times, work.own_failures), (2, 1));
    }

    #[test]
    fn parents_in_a_circle_end() {
        let spans = vec![span("1", "2", "a", "x", "internal", (0.0, 1.0)), span("2", "1", "a", "y", "server", (0.0, 1.0))];
        let mut lessons = Lessons::default();
        lessons.learn(&Trace { spans, ..Trace::default() }, &BTreeMap::new());
        assert_eq!(lessons.operations.len(), 1);
    }

    #[test]
    fn overlapping_waits_count_once() {
        assert!((covered(vec![(1.0, 3.0), (2.0, 4.0), (9.0, 20.0)], 0.0, 10.0) - 4.0).abs() < 1e-9);
    }
}
