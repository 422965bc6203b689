//! What a page shows besides the rule's text: example traces, the worst operation, breakers and queues around.

use crate::local::lens::{Lens, QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
use std::sync::Arc;
use watchfire_alerts::{EvidenceRequest, EvidenceSource};
use watchfire_model::Evidence;
use watchfire_promql::Engine;
use watchfire_store::{Example, Store};

/// Traces named in a notice.
const EXAMPLES: usize = 3;

/// Looks evidence up in the live store.
pub struct StoreEvidence {
    store: Arc<Store>,
    engine: Arc<Engine>,
    cache: QueryCache,
    api: Option<String>,
}

impl StoreEvidence {
    pub fn new(store: Arc<Store>, engine: Arc<Engine>, api: Option<String>) -> Self {
        StoreEvidence { store, engine, cache: QueryCache::default(), api }
    }

    /// The operation with most failing calls, as `POST /pay 18 % of 42/s fail`.
    fn top_operation(&self, lens: &Lens<'_>, service: &str) -> Option<String> {
        let by_operation = |status: &str| {
            lens.by(
                "span_name",
                &format!(
                    r#"sum by (span_name) (rate(traces_span_metrics_calls_total{{service_name={service:?},span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER"{status}}}[1m]))"#
                ),
            )
            .unwrap_or_default()
        };
        let failing = by_operation(r#",status_code="STATUS_CODE_ERROR""#);
        let (name, errors) = failing.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, v)| *v > 0.0)?;
        let all = by_operation("").get(&name).copied().unwrap_or(errors);
        Some(format!("{name}: {:.0} % of {all:.1}/s fail", errors / all * 100.0))
    }

    fn surroundings(&self, lens: &Lens<'_>, service: &str) -> Vec<String> {
        let mut out = Vec::new();
        for (labels, _) in lens.vector(&format!("watchfire_breaker_state{{service={service:?}}} == 2")).unwrap_or_default() {
            let deduced = if labels.value("inferred") == "true" { ", as its calls suggest" } else { "" };
            out.push(format!("breaker {} is open{deduced}", labels.value("breaker")));
        }
        for (labels, share) in lens
            .vector(&format!(
                "sum by (server) (rate(traces_service_graph_request_failed_total{{client={service:?}}}[1m])) \
                 / sum by (server) (rate(traces_service_graph_request_total{{client={service:?}}}[1m])) > 0.05"
            ))
            .unwrap_or_default()
        {
            out.push(format!("{:.0} % of calls to {} fail", share * 100.0, labels.value("server")));
        }
        for check in self.store.checks().iter().filter(|c| c.service == service && c.state > watchfire_model::HealthState::Unknown) {
            out.push(format!("{} is {}: {}", check.check, check.state.word(), check.detail));
        }
        out
    }
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
        let service = request.service.unwrap_or_default();
        let mut evidence = Evidence { command: self.command(service), ..Evidence::default() };
        if service.is_empty() || request.brief {
            return evidence;
        }
        evidence.trace_ids = self.store.example_traces(service, Example::Error, EXAMPLES);
        if evidence.trace_ids.is_empty() {
            evidence.trace_ids = self.store.example_traces(service, Example::Slow, EXAMPLES);
        }
        evidence.top_operation = self.top_operation(&lens, service);
        evidence.surroundings = self.surroundings(&lens, service);
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

    #[test]
    fn a_command_to_paste_holds_no_second_command() {
        assert_eq!(quoted("service a'; touch /tmp/x; '"), r"'service a'\''; touch /tmp/x; '\'''");
    }
}
