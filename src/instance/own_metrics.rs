//! watchfire's own counters and gauges as series, so that rules and screens can ask about them like about anything else.

use crate::memory;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use watchfire_model::{Clock, HealthState, Labels, Metadata, Meter, MetricKind, ORDINARY_NAN, OwnSeries, SeriesId, SeriesSink, Value};
use watchfire_store::Usage;

const EVERY: Duration = Duration::from_secs(5);

/// What the own metrics mean: a name and a sentence on each line.
const HELP: &str = include_str!("../../assets/own_metrics.txt");

/// What an own metric means, as `# HELP` says it.
pub fn help(name: &str) -> Option<&'static str> {
    HELP.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}

/// Keeps the overall state. Unknown is no number, and above all not the last one that was known.
pub fn note_overall(meter: &Meter, overall: HealthState) {
    meter.gauge("watchfire_overall_state", &[]).set(overall.series_value().unwrap_or(ORDINARY_NAN));
}

/// Keeps what the memory is spent on, and what of it the system sees.
pub fn note_memory(meter: &Meter, usage: &Usage) {
    let Usage { span_bytes, series_bytes, log_bytes, table_bytes, .. } = *usage;
    for (part, bytes) in [("spans", span_bytes), ("series", series_bytes), ("logs", log_bytes), ("tables", table_bytes)] {
        meter.gauge("watchfire_memory_bytes", &[("part", part)]).set(bytes as f64);
    }
    meter.gauge("watchfire_memory_limit_bytes", &[]).set(usage.memory_limit_bytes as f64);
    if let Some(bytes) = memory::resident() {
        meter.gauge("watchfire_resident_memory_bytes", &[]).set(bytes as f64);
    }
}

/// Writes every own metric each five seconds until cancelled.
pub async fn publish(meter: Meter, sink: Arc<dyn SeriesSink>, clock: Arc<dyn Clock>, cancel: CancellationToken) {
    let origin = sink.origin("watchfire");
    let mut known: HashMap<Labels, SeriesId> = HashMap::new();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let readings = meter.readings();
        let mut row = Vec::with_capacity(readings.len());
        for (labels, value, is_counter) in readings {
            let id = match known.get(&labels) {
                Some(id) => *id,
                None => {
                    let kind = if is_counter { MetricKind::Counter } else { MetricKind::Gauge };
                    let Some(id) = sink.own_series(origin, &labels, kind, OwnSeries::Vital) else { continue };
                    if let Some(help) = help(labels.metric_name()) {
                        sink.describe(labels.metric_name(), Metadata { kind, help: help.to_owned(), unit: String::new() });
                    }
                    known.insert(labels, id);
                    id
                }
            };
            row.push((id, Value::Float(value)));
        }
        let now = clock.now();
        sink.append(origin, now, now, &row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Names given to the meter in a source, up to its tests.
    fn names(directory: &Path, out: &mut Vec<String>) {
        for entry in std::fs::read_dir(directory).expect("readable").flatten() {
            let path = entry.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !["tests", "benches", "target"].contains(&name.as_str()) {
                names(&path, out);
            }
            if !name.ends_with(".rs") || name.ends_with("tests.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("readable");
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for call in ["counter(", "gauge(", "count("] {
                for (_, rest) in code.match_indices(call).map(|(at, _)| code[at..].split_at(call.len())) {
                    let quoted = rest.trim_start().strip_prefix('"').and_then(|q| q.split_once('"'));
                    out.extend(quoted.map(|(name, _)| name.to_owned()).filter(|n| n.starts_with("watchfire_")));
                }
            }
        }
    }

    #[test]
    fn every_own_metric_says_what_it_means() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = Vec::new();
        for part in ["alerts", "collectors", "model", "store", "src"] {
            names(&root.join(part), &mut found);
        }
        assert!(found.len() > 50, "{found:?}");
        let silent: Vec<&String> = found.iter().filter(|name| help(name).is_none()).collect();
        assert!(silent.is_empty(), "a line in assets/own_metrics.txt is missing for {silent:?}");
        let written: Vec<&str> = HELP.lines().map(|l| l.split(' ').next().unwrap_or_default()).collect();
        assert!(written.is_sorted_by(|a, b| a < b), "sorted, each once");
    }

    #[test]
    fn a_state_that_is_not_known_any_more_is_not_the_one_before() {
        let meter = Meter::new();
        for (overall, value) in [(HealthState::Healthy, 1.0), (HealthState::Unhealthy, 0.0)] {
            note_overall(&meter, overall);
            assert_eq!(meter.gauge("watchfire_overall_state", &[]).get(), value);
        }
        note_overall(&meter, HealthState::Unknown);
        assert!(meter.gauge("watchfire_overall_state", &[]).get().is_nan());
    }
}
