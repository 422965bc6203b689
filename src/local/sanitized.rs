//! Counts the strings from outside that a screen cannot show as they are: each once, by what it is. They are looked at where readings leave,
//! so nothing that comes in pays for it, and a string that is clean costs one look at its bytes.

use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use watchfire_model::reading::{Alert, Check, LogLine, OperationRow, QuerySeries, Reading, Trace};
use watchfire_model::{Labels, Meter, harmless};

/// Strings remembered as counted; one that comes again after so many others is counted again.
const MAX_REMEMBERED: usize = 50_000;

pub struct Sanitized {
    meter: Meter,
    hasher: RandomState,
    counted: Mutex<HashSet<u64>>,
}

impl Sanitized {
    pub fn new(meter: Meter) -> Self {
        Sanitized { meter, hasher: RandomState::new(), counted: Mutex::new(HashSet::new()) }
    }

    fn note(&self, field: &'static str, text: &str) {
        if matches!(harmless(text), Cow::Borrowed(_)) {
            return;
        }
        let mut counted = self.counted.lock();
        if counted.len() >= MAX_REMEMBERED {
            counted.clear();
        }
        if counted.insert(self.hasher.hash_one((field, text))) {
            self.meter.counter("watchfire_sanitized_total", &[("field", field)]).add(1);
        }
    }

    /// Looks at everything in a reading that others wrote.
    pub fn look(&self, reading: &Reading) {
        match reading {
            Reading::Services(services) => services.services.iter().for_each(|s| self.service(&s.name, s.version.as_deref())),
            Reading::Service(page) => {
                self.operations(&page.operations);
                self.alerts(&page.alerts);
                self.checks(&page.checks);
                page.logs.iter().for_each(|line| self.log(line));
                page.top_errors.iter().for_each(|(message, _)| self.note("status", message));
                page.refusals.iter().for_each(|r| self.note("span_name", &r.operation));
            }
            Reading::Map(map) => map.nodes.iter().for_each(|n| self.note("service", &n.name)),
            Reading::Traces(traces) => traces.traces.iter().for_each(|t| {
                self.note("service", &t.root_service);
                self.note("span_name", &t.root_operation);
            }),
            Reading::Trace(trace) => self.trace(trace),
            Reading::Latency(latency) => self.operations(&latency.operations),
            Reading::Explain(explanation) => explanation.findings.iter().for_each(|f| {
                self.note("attribute", &f.attribute);
                self.note("attribute", &f.value);
            }),
            Reading::Queues(queues) => queues.queues.iter().for_each(|q| self.note("label", &q.queue)),
            Reading::Breakers(breakers) => breakers.breakers.iter().for_each(|b| self.note("label", &b.breaker)),
            Reading::Health(health) => {
                self.checks(&health.checks);
                health.proposed.iter().for_each(|p| self.note("service", &p.service));
                for target in &health.targets {
                    self.note("target", &target.job);
                    self.note("target", &target.instance);
                    self.note("target", &target.last_error);
                }
            }
            Reading::Alerts(alerts) => self.alerts(&alerts.alerts),
            Reading::Logs(logs) => logs.logs.iter().for_each(|line| self.log(line)),
            Reading::Query(result) | Reading::QueryRange(result) => result.series.iter().for_each(|s: &QuerySeries| self.labels(&s.labels)),
            Reading::Vocabulary(words) => words.metrics.iter().chain(&words.labels).for_each(|word| self.note("label", word)),
            Reading::Status(_) | Reading::Slo(_) | Reading::Changes(_) | Reading::Backtest(_) => {}
        }
    }

    fn service(&self, name: &str, version: Option<&str>) {
        self.note("service", name);
        self.note("service", version.unwrap_or_default());
    }

    fn operations(&self, operations: &[OperationRow]) {
        operations.iter().for_each(|o| self.note("span_name", &o.name));
    }

    fn labels(&self, labels: &Labels) {
        labels.iter().for_each(|l| self.note("label", &l.value));
    }

    fn log(&self, line: &LogLine) {
        self.note("log_body", &line.body);
        for (key, value) in &line.attributes {
            self.note("attribute", key);
            self.note("attribute", value);
        }
    }

    fn trace(&self, trace: &Trace) {
        for span in &trace.spans {
            self.note("service", &span.service);
            self.note("span_name", &span.name);
            self.note("status", &span.status_message);
            let events = span.events.iter().flat_map(|e| {
                self.note("event", &e.name);
                &e.attributes
            });
            for (key, value) in span.attributes.iter().chain(span.resource.iter()).chain(events) {
                self.note("attribute", key);
                self.note("attribute", &value.to_string());
            }
        }
        trace.logs.iter().for_each(|line| self.log(line));
    }

    fn checks(&self, checks: &[Check]) {
        for check in checks {
            self.note("health_body", &check.detail);
            for dependency in &check.dependencies {
                self.note("health_body", &dependency.name);
                self.note("health_body", &dependency.detail);
            }
        }
    }

    fn alerts(&self, alerts: &[Alert]) {
        for alert in alerts {
            self.labels(&alert.labels);
            self.note("rule", &alert.name);
            alert.annotations.iter().for_each(|a| self.note("rule", &a.value));
        }
    }
}
