//! GraphQL answers 200 though a resolver failed. What its instrumentations tell are failing spans inside the server, whose number is not that of the failing
//! requests: so they are a reason to look, and no share of errors.

use super::lens::Lens;
use super::state::{FAILURES_THAT_COUNT, of_error_ratio};
use std::collections::BTreeMap;
use watchfire_model::HealthState;
use watchfire_model::reading::ReadError;

/// Operations and resolvers as instrumentations name them: `graphql.resolve` (JavaScript), `GraphQL Resolving: ` (Strawberry). What Java calls `query Cart`
/// is left out: spans of many a database layer are called so, and where those fail and are tried again, nothing is wrong.
const NAMES: &str = "graphql[. ].+|GraphQL .+";

/// In words, by service, which GraphQL operation or resolver fails most.
///
/// # Errors
/// When the store cannot be queried.
pub fn failing(lens: &Lens<'_>) -> Result<BTreeMap<String, String>, ReadError> {
    let calls = format!(r#"traces_span_metrics_calls_total{{job="",span_kind="SPAN_KIND_INTERNAL",span_name=~"{NAMES}"}}"#);
    let rates = lens.vector(&format!("sum by (service_name, span_name, status_code) (rate({calls}[{}]))", lens.window_text()))?;
    let mut counts: BTreeMap<(String, String), (f64, f64)> = BTreeMap::new();
    for (labels, rate) in rates {
        let operation = (labels.value("service_name").to_owned(), labels.value("span_name").to_owned());
        let (all, failed) = counts.entry(operation).or_default();
        *all += rate;
        if labels.value("status_code") == "STATUS_CODE_ERROR" {
            *failed += rate;
        }
    }
    let mut worst: BTreeMap<String, (f64, String)> = BTreeMap::new();
    for ((service, name), (all, failed)) in counts {
        let ratio = if all > 0.0 { failed / all } else { 0.0 };
        let counts = failed * lens.window.as_secs_f64() >= FAILURES_THAT_COUNT && of_error_ratio(ratio) > HealthState::Healthy;
        if counts && worst.get(&service).is_none_or(|(most, _)| ratio > *most) {
            worst.insert(service, (ratio, format!("{name} fails {:.0} %", ratio * 100.0)));
        }
    }
    Ok(worst.into_iter().map(|(service, (_, text))| (service, text)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
    use super::*;
    use watchfire_model::{Labels, Timestamp, Value};
    use watchfire_promql::Engine;
    use watchfire_testkit::MemorySource;

    #[test]
    fn a_resolver_that_fails_is_named_whatever_the_answer_said() {
        let mut source = MemorySource::new();
        let begin = 1_772_334_000_000;
        for (service, name, kind, failed, per_minute) in [
            ("shop", "graphql.resolve price", "INTERNAL", true, 15.0),
            ("shop", "graphql.resolve price", "INTERNAL", false, 45.0),
            ("shop", "graphql.resolve name", "INTERNAL", true, 6.0),
            ("shop", "graphql.resolve name", "INTERNAL", false, 54.0),
            // Two of a minute may be anything.
            ("berry", "GraphQL Resolving: price", "INTERNAL", true, 2.0),
            // Queries of a database, and something that fails inside and is got over.
            ("plain", "query", "CLIENT", true, 60.0),
            ("plain", "query users", "INTERNAL", true, 60.0),
            ("plain", "load cache", "INTERNAL", true, 60.0),
        ] {
            let status = if failed { "STATUS_CODE_ERROR" } else { "STATUS_CODE_UNSET" };
            let kind = format!("SPAN_KIND_{kind}");
            let pairs = [("service_name", service), ("span_name", name), ("span_kind", &*kind), ("status_code", status)];
            let labels = Labels::from_pairs([("__name__", "traces_span_metrics_calls_total")].into_iter().chain(pairs));
            for step in 0..=20 {
                source.push(&labels, Timestamp(begin + step * 15_000), Value::Float(per_minute * step as f64 / 4.0 + 1.0));
            }
        }
        let (engine, cache) = (Engine::default(), QueryCache::default());
        let at = Timestamp(begin + 20 * 15_000);
        let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
        let failing = failing(&lens).expect("readable");
        let told: Vec<_> = failing.iter().map(|(service, text)| (service.as_str(), text.as_str())).collect();
        assert_eq!(told, [("shop", "graphql.resolve price fails 25 %")]);
    }
}
