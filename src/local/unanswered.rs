//! What callers say of a service that says nothing itself: one that is killed sends no span that failed, and its last good ones are minutes old.

use super::lens::Lens;
use super::state::{FAILURES_THAT_COUNT, failing_calls, of_error_ratio};
use std::collections::BTreeMap;
use watchfire_model::HealthState;
use watchfire_model::reading::ReadError;

/// By service: how unwell it is by the calls to it that fail, and in words.
///
/// # Errors
/// When the store cannot be queried.
pub fn unanswered(lens: &Lens<'_>) -> Result<BTreeMap<String, (HealthState, String)>, ReadError> {
    let to = |metric: &str| format!(r#"sum by (server) (rate({metric}{{job="",connection_type=""}}[{}]))"#, lens.window_text());
    let calls = lens.by("server", &to("traces_service_graph_request_total"))?;
    let failed = lens.by("server", &format!("{} > 0", to("traces_service_graph_request_failed_total")))?;
    let said = failed.into_iter().filter_map(|(server, failed)| {
        let ratio = (failed / calls.get(&server).filter(|calls| **calls > 0.0)?).min(1.0);
        let counts = failed * lens.window.as_secs_f64() >= FAILURES_THAT_COUNT && of_error_ratio(ratio) > HealthState::Healthy;
        counts.then(|| (server, (of_error_ratio(ratio), failing_calls(ratio))))
    });
    Ok(said.collect())
}

#[cfg(test)]
mod tests {
    use super::super::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
    use super::*;
    use watchfire_model::{Labels, Timestamp, Value};
    use watchfire_promql::Engine;
    use watchfire_testkit::MemorySource;

    #[test]
    fn callers_tell_of_a_service_whose_calls_fail() {
        let mut source = MemorySource::new();
        let begin = 1_772_334_000_000;
        for (server, connection, calls, failed) in [
            ("mail", "", 60.0, 54.0),
            ("stock", "", 60.0, 6.0),
            ("well", "", 60.0, 0.0),
            ("seldom", "", 2.0, 2.0),
            ("db", "database", 60.0, 60.0),
        ] {
            for (metric, per_minute) in
                [("traces_service_graph_request_total", calls), ("traces_service_graph_request_failed_total", failed)]
            {
                let labels =
                    Labels::from_pairs([("__name__", metric), ("client", "web"), ("server", server), ("connection_type", connection)]);
                for step in 0..=40 {
                    source.push(&labels, Timestamp(begin + step * 5_000), Value::Float(per_minute * step as f64 / 12.0));
                }
            }
        }
        let (engine, cache) = (Engine::default(), QueryCache::default());
        let at = Timestamp(begin + 200_000);
        let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
        let said = unanswered(&lens).expect("readable");
        let expected = [
            ("mail".to_owned(), (HealthState::Unhealthy, "90 % of calls to it fail".to_owned())),
            ("stock".to_owned(), (HealthState::Degraded, "10 % of calls to it fail".to_owned())),
        ];
        assert_eq!(said.into_iter().collect::<Vec<_>>(), expected);
    }
}
