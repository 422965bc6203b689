//! OpenTelemetry collectors by their own metrics: what they take in, refuse, drop and hold back.

use super::lens::Lens;
use std::collections::BTreeMap;
use watchfire_model::reading::{CollectorFigures, ReadError};
use watchfire_promql::quote;
use watchfire_scrape::collector::figures;

const OWN_METRICS: &str = r#"sum by (__name__, instance) ({__name__=~"otelcol_(receiver|processor|exporter|process)_.+", instance!=""})"#;

/// What a collector cannot undo, with the word for it.
const LOSSES: [(&str, &str); 4] =
    [("_refused_", "refused"), ("_dropped_", "dropped"), ("_enqueue_failed_", "lost at a full queue"), ("_send_failed_", "failed to send")];

/// The name of a collector's node: that of its health check too.
pub fn service_name(instance: &str) -> String {
    format!("otelcol {instance}")
}

/// Figures by the name of the node.
///
/// # Errors
/// When the store cannot be queried.
pub fn collectors(lens: &Lens<'_>) -> Result<BTreeMap<String, CollectorFigures>, ReadError> {
    let mut samples: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    for (labels, value) in lens.vector(OWN_METRICS)? {
        samples.entry(labels.value("instance").to_owned()).or_default().push((labels.metric_name().to_owned(), value));
    }
    let mut out = BTreeMap::new();
    for (instance, samples) in samples {
        let mut figures = figures(samples.iter().map(|(name, value)| (name.as_str(), *value)));
        for (metric, _) in samples.iter().filter(|(_, value)| *value > 0.0) {
            let Some((_, word)) = LOSSES.iter().find(|(part, _)| metric.contains(part)) else { continue };
            let lost = lens.number(&format!("sum(increase({metric}{{instance={}}}[5m]))", quote(&instance)))?;
            if let Some(lost) = lost.filter(|l| *l >= 0.5) {
                *figures.recent_losses.entry((*word).to_owned()).or_insert(0.0) += lost;
            }
        }
        out.insert(service_name(&instance), figures);
    }
    Ok(out)
}

/// A queue this full is about to lose something.
const NEARLY_FULL: f64 = 0.8;

/// What is wrong with a collector, in words.
pub fn complaints(figures: &CollectorFigures) -> Vec<String> {
    let mut out: Vec<String> = figures.recent_losses.iter().map(|(word, n)| format!("{n:.0} items {word} in 5 m")).collect();
    if let (Some(size), Some(capacity)) = (figures.queue_size, figures.queue_capacity)
        && capacity > 0.0
        && size >= NEARLY_FULL * capacity
    {
        out.push(format!("its queue is {:.0} % full", size / capacity * 100.0));
    }
    out
}
