//! From configuration and preset to the settings of the parts: bounds, deadlines, and what is known of services beforehand.

use super::plan::Plan;
use crate::api;
use std::sync::Arc;
use watchfire_config::Config;
use watchfire_promql::{EngineOptions, ExpressionLimits};
use watchfire_serve::Guard;
use watchfire_store::{SignalSettings, StoreLimits};

/// The bounds of the store.
pub fn store_limits(config: &Config) -> StoreLimits {
    let limits = &config.limits.store;
    StoreLimits {
        memory_bytes: config.memory_limit.bytes(),
        series: limits.series,
        logs: limits.logs,
        exemplars: limits.exemplars,
        retention: limits.retention,
        spans_per_trace: limits.spans_per_trace,
        trace_text: limits.trace_text.bytes() as usize,
        ..StoreLimits::default()
    }
}

/// The bounds of one request over OTLP or remote write, and of all that are under way: those are held beside the
/// telemetry, and keep to a quarter of its memory, or to what one request of full length takes with what it was packed in.
pub fn otlp_limits(config: &Config) -> watchfire_otlp::Limits {
    let limits = &config.limits.otlp;
    watchfire_otlp::Limits {
        max_bytes: limits.message.bytes() as usize,
        max_items: limits.items_per_request,
        max_in_flight: limits.in_flight.bytes().min((config.memory_limit.bytes() / 4).max(2 * limits.message.bytes())) as usize,
        max_attributes: limits.attributes,
        max_events: limits.events,
        max_links: limits.links,
        max_key: limits.key.bytes() as usize,
        max_value: limits.value.bytes() as usize,
        max_name: limits.name.bytes() as usize,
        max_log_body: limits.log_body.bytes() as usize,
        max_depth: limits.depth,
        max_buckets: limits.buckets,
        max_streams: limits.streams,
        ..watchfire_otlp::Limits::default()
    }
}

/// What a query may cost.
pub fn engine_options(config: &Config) -> EngineOptions {
    let limits = &config.limits.query;
    EngineOptions {
        lookback: limits.lookback,
        max_samples: limits.samples,
        timeout: limits.timeout,
        label_bytes: limits.label.bytes() as usize,
        expression: ExpressionLimits { bytes: limits.text.bytes() as usize, depth: limits.depth, ..ExpressionLimits::default() },
        subquery_step: config.evaluation_interval,
    }
}

/// What the preset and the configuration know about sampling and about 4xx answers.
pub fn signals(plan: &Plan) -> SignalSettings {
    let limits = &plan.config.limits.signals;
    let mut settings = SignalSettings {
        services: limits.services,
        operations: limits.operations,
        operations_per_service: limits.operations_per_service,
        edges: limits.edges,
        peers: limits.peers,
        classic_histograms: limits.classic_histograms,
        ..SignalSettings::default()
    };
    if let Some(platform) = &plan.platform {
        for service in &platform.services {
            let ratio = platform.sampling(service);
            if ratio < 1.0 {
                settings.sampling_ratios.insert(service.name.clone(), ratio);
            }
            if service.http_4xx_is_error.unwrap_or(platform.defaults.http_4xx_is_error) {
                settings.http_4xx_is_error.insert(service.name.clone());
            }
        }
    }
    for (name, known) in &plan.config.services {
        if let Some(ratio) = known.sampling {
            settings.sampling_ratios.insert(name.clone(), ratio);
        }
    }
    settings
}

/// The guard of every HTTP port; certificates are the caller's to add.
pub fn guard(config: &Config, token: Option<String>) -> Guard {
    let limits = &config.limits.api;
    Guard {
        render: Arc::new(api::envelope::turned_away),
        max_connections: limits.connections,
        header_timeout: limits.header_timeout,
        body_timeout: limits.body_timeout,
        idle_timeout: limits.idle_timeout,
        max_header_bytes: limits.headers.bytes() as usize,
        token: token.map(Into::into),
        allowed_hosts: config.security.allowed_hosts.clone(),
        ..Guard::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn rules_and_readings_have_as_long_for_a_query_as_is_configured() {
        let mut config = Config::default();
        config.limits.query.timeout = Duration::from_secs(90);
        assert_eq!(engine_options(&config).timeout, Duration::from_secs(90));
    }

    /// As Prometheus documents it.
    #[test]
    fn a_subquery_that_names_no_step_has_that_of_rules() {
        let config = Config { evaluation_interval: Duration::from_secs(20), ..Config::default() };
        assert_eq!(engine_options(&config).subquery_step, Duration::from_secs(20));
    }
}
