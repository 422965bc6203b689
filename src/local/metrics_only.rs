//! Services that send OTLP metrics and no spans: that they are there, and what the conventions' HTTP server metrics say of their calls.

use super::lens::Lens;
use super::services::Red;
use std::collections::{BTreeMap, BTreeSet};
use watchfire_model::reading::ReadError;

/// The source of a row of which nothing but the name is known.
pub const METRICS_ONLY: &str = "metrics only";

/// The source of figures that are those of HTTP server metrics.
pub const HTTP_METRICS: &str = "http metrics";

/// Duration of served requests by the stable conventions and by those before: (metric, label of the status code, units per second).
const SERVED: [(&str, &str, f64); 2] = [
    ("http_server_request_duration_seconds", "http_response_status_code", 1.0),
    ("http_server_duration_milliseconds", "http_status_code", 1000.0),
];

/// Services by the descriptions of themselves that SDKs send along with metrics. What is scraped has a job of its own, which is no service's name.
///
/// # Errors
/// When the store cannot be queried.
pub fn names(lens: &Lens<'_>) -> Result<BTreeSet<String>, ReadError> {
    // Collectors describe every process of a machine, by the name of its program; of those only what an SDK says is a service.
    let described = r#"(target_info{job!~"unknown_service(:.*)?"} or target_info{telemetry_sdk_name!=""})"#;
    let described = lens.by("job", &format!("group by (job) ({described} unless on (job) up)"))?;
    // The namespace stands before the name.
    let name = |job: String| job.split_once('/').map(|(_, name)| name.to_owned()).unwrap_or(job);
    Ok(described.into_keys().map(name).filter(|name| !name.is_empty()).collect())
}

/// Rates, errors and percentiles of services of which no spans tell: those that are `silent`.
///
/// # Errors
/// When the store cannot be queried.
pub fn fill(lens: &Lens<'_>, known: &mut BTreeMap<String, Red>, silent: &dyn Fn(&str) -> bool) -> Result<(), ReadError> {
    let window = lens.scrape_window_text();
    for (metric, code, unit) in SERVED {
        let mut fresh: BTreeMap<String, Red> = BTreeMap::new();
        // A histogram comes in buckets or, where the sender chose so, as an exponential one.
        let calls = [format!("rate({metric}_count[{window}])"), format!("histogram_count(rate({metric}[{window}]))")];
        for calls in calls {
            for (labels, rate) in lens.vector(&format!(r#"sum by (service_name, {code}) ({calls})"#))? {
                let name = labels.value("service_name");
                if name.is_empty() || known.contains_key(name) || !silent(name) {
                    continue;
                }
                let red = fresh.entry(name.to_owned()).or_insert_with(|| Red::of(HTTP_METRICS, lens.scrape_window));
                red.rate += rate;
                if labels.value(code).starts_with('5') {
                    red.errors += rate;
                }
            }
        }
        fresh.retain(|_, red| red.rate > 0.0);
        if fresh.is_empty() {
            continue;
        }
        let latencies = [
            format!("sum by (service_name, le) (rate({metric}_bucket[{window}]))"),
            format!("sum by (service_name) (rate({metric}[{window}]))"),
        ];
        for latency in latencies {
            for (labels, percentiles) in lens.percentiles(&latency)? {
                if let Some(red) = fresh.get_mut(labels.value("service_name")) {
                    [red.p50, red.p95, red.p99] = percentiles.map(|p| p.map(|p| p / unit));
                }
            }
        }
        known.extend(fresh);
    }
    Ok(())
}
