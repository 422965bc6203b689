//! What dialects find, in one form for all systems.

use super::State;
use std::collections::BTreeMap;
use watchfire_model::{Labels, METRIC_NAME, Value};

/// One breaker of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerRow {
    pub service: String,
    pub breaker: String,
    pub state: State,
    /// The number or word that was exported, where it is none of the three states.
    pub unread: Option<String>,
    /// Where it was read: a dialect's name, or `spans`.
    pub source: String,
    /// Deduced from spans because nobody exports it.
    pub inferred: bool,
    /// A concurrency limit is reached: calls are shed though the breaker is closed.
    pub saturated: bool,
    /// Calls were cut off within the last minutes.
    pub rejecting: bool,
    /// Transitions by target state: as counted by the source, or as seen.
    pub transitions: Vec<(State, f64)>,
}

/// One queue, or one consumer group of one topic. What is not known is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueRow {
    pub queue: String,
    pub system: String,
    /// Consumer group, where the system has them.
    pub group: Option<String>,
    pub source: String,
    pub depth: Option<f64>,
    pub oldest_seconds: Option<f64>,
    pub consumers: Option<f64>,
    pub in_rate: Option<f64>,
    pub out_rate: Option<f64>,
    pub dead_letters: Option<f64>,
    /// Time until empty at the present rates; `None` while it does not shrink.
    pub drain_seconds: Option<f64>,
}

/// One server, as an exporter beside it says.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerRow {
    /// Its name where labels tell one, else its address.
    pub service: String,
    /// The metric that says so, or what of the server was asked for.
    pub check: String,
    pub metric: String,
    /// `redis://host:6379`, or the URL that was asked for; without an authority where nobody tells where it is.
    pub url: String,
    pub up: bool,
    /// The exporter's `instance`.
    pub exporter: String,
}

/// Everything found at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DialectRows {
    pub breakers: Vec<BreakerRow>,
    pub queues: Vec<QueueRow>,
    /// Not among the [`series`](Self::series): they are reported as checks.
    pub servers: Vec<ServerRow>,
}

impl DialectRows {
    /// The server beside each exporter, where it stands beside one alone.
    pub fn servers_by_exporter(&self) -> BTreeMap<&str, &str> {
        let mut found: BTreeMap<&str, Option<&str>> = BTreeMap::new();
        for row in &self.servers {
            let known = found.entry(&row.exporter).or_insert(Some(&row.service));
            *known = known.filter(|service| *service == row.service);
        }
        found.into_iter().filter_map(|(exporter, service)| Some((exporter, service?))).collect()
    }

    /// The unified series, each with its value.
    pub fn series(&self) -> Vec<(Labels, Value)> {
        let mut out = Vec::new();
        for row in &self.breakers {
            let mut add = |name: &str, value: Option<f64>, extra: &[(&str, &str)]| {
                let Some(value) = value else { return };
                let mut labels = vec![(METRIC_NAME, name), ("service", &row.service), ("breaker", &row.breaker), ("dialect", &row.source)];
                if row.inferred {
                    labels.push(("inferred", "true"));
                }
                labels.extend_from_slice(extra);
                out.push((Labels::from_pairs(labels), Value::Float(value)));
            };
            add("watchfire_breaker_state", row.state.value(), &[]);
            let unread = row.unread.as_deref().unwrap_or_default();
            add("watchfire_breaker_unknown", (row.state == State::Unknown).then_some(1.0), &[("exported", unread)]);
            add("watchfire_breaker_saturated", row.saturated.then_some(1.0), &[]);
            add("watchfire_breaker_rejecting", row.rejecting.then_some(1.0), &[]);
            for (to, count) in &row.transitions {
                add("watchfire_breaker_transitions_total", Some(*count), &[("to", to.word())]);
            }
        }
        for row in &self.queues {
            let mut add = |name: &str, value: Option<f64>| {
                let Some(value) = value.filter(|v| v.is_finite()) else { return };
                let group = row.group.as_deref().unwrap_or("");
                let labels =
                    [(METRIC_NAME, name), ("queue", &row.queue), ("system", &row.system), ("group", group), ("dialect", &row.source)];
                out.push((Labels::from_pairs(labels), Value::Float(value)));
            };
            add("watchfire_queue_depth", row.depth);
            add("watchfire_queue_oldest_seconds", row.oldest_seconds);
            add("watchfire_queue_consumers", row.consumers);
            add("watchfire_queue_in_rate", row.in_rate);
            add("watchfire_queue_out_rate", row.out_rate);
            add("watchfire_queue_dead_letters", row.dead_letters);
            add("watchfire_queue_drain_seconds", row.drain_seconds);
        }
        out
    }
}
