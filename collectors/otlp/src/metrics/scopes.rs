//! Two libraries in one process may report one metric with equal attributes, each under its own instrumentation scope. The data model tells their streams
//! apart by the scope, which no label carries: whoever came first has the plain series, and every other one is told apart by `otel_scope_name`.

use hashbrown::{HashMap, HashSet};
use opentelemetry_proto::tonic::metrics::v1::ScopeMetrics;
use std::time::Duration;
use watchfire_model::{Labels, Timestamp};

/// The label, as the OpenTelemetry specification of Prometheus compatibility names it.
pub(super) const SCOPE_LABEL: &str = "otel_scope_name";
/// Who was not heard of for so long gives its series to the next one.
const IDLE: Duration = Duration::from_secs(300);

#[derive(Debug)]
struct Owner {
    scope: Box<str>,
    heard: Timestamp,
}

/// Whose the plain series are of metrics that several scopes report; bounded.
#[derive(Debug)]
pub(super) struct Scopes {
    /// Names of metrics, as they come.
    contested: HashSet<Box<str>>,
    owners: HashMap<Labels, Owner>,
    limit: usize,
}

impl Scopes {
    pub(super) fn new(limit: usize) -> Self {
        Scopes { contested: HashSet::new(), owners: HashMap::new(), limit }
    }

    /// Looks which metrics more than one of these scopes reports.
    pub(super) fn look(&mut self, scopes: &[ScopeMetrics]) {
        if scopes.len() < 2 {
            return;
        }
        let mut first: HashMap<&str, &str> = HashMap::new();
        for (scope, metric) in scopes.iter().flat_map(|s| s.metrics.iter().map(move |m| (scope_name(s), m))) {
            let by = *first.entry(&metric.name).or_insert(scope);
            if by != scope && self.contested.len() < self.limit && !self.contested.contains(metric.name.as_str()) {
                self.contested.insert(metric.name.as_str().into());
            }
        }
    }

    pub(super) fn is_contested(&self, metric: &str) -> bool {
        self.contested.contains(metric)
    }

    /// Whether the plain series is this scope's.
    pub(super) fn owns(&mut self, series: Labels, scope: &str, now: Timestamp) -> bool {
        if let Some(owner) = self.owners.get_mut(&series) {
            if *owner.scope != *scope && now.since(owner.heard) < IDLE {
                return false;
            }
            if *owner.scope != *scope {
                owner.scope = scope.into();
            }
            owner.heard = now;
            return true;
        }
        if self.owners.len() >= self.limit {
            self.owners.retain(|_, owner| now.since(owner.heard) < IDLE);
        }
        if self.owners.len() < self.limit {
            self.owners.insert(series, Owner { scope: scope.into(), heard: now });
        }
        true
    }
}

pub(super) fn scope_name(scope: &ScopeMetrics) -> &str {
    scope.scope.as_ref().map(|s| s.name.as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    #[test]
    fn the_first_scope_keeps_the_plain_series_until_it_is_silent() {
        let mut scopes = Scopes::new(1);
        let series = |name: &str| Labels::from_pairs([("__name__", name)]);
        assert!(scopes.owns(series("a"), "http", NOW));
        assert!(!scopes.owns(series("a"), "undici", NOW));
        assert!(scopes.owns(series("b"), "http", NOW) && scopes.owns(series("b"), "undici", NOW), "beyond the limit nobody is told apart");
        let later = NOW.saturating_add(IDLE);
        assert!(scopes.owns(series("a"), "undici", later));
        assert!(!scopes.owns(series("a"), "http", later));
    }
}
