//! OpenTelemetry collectors by their own metrics: what they take in, refuse, drop and hold back.

use super::lens::Lens;
use std::collections::BTreeMap;
use watchfire_model::reading::{CollectorFigures, ReadError};
use watchfire_promql::quote;
use watchfire_scrape::collector::figures;

const OWN_METRICS: &str = r#"sum by (__name__, instance) ({__name__=~"otelcol_(receiver|processor|exporter|process)_.+", instance!=""})"#;

const QUEUES: &str = r#"{__name__=~"otelcol_exporter_queue_(size|capacity)(_.+)?", instance!=""}"#;

/// What a collector cannot undo, by who tells of it, with the word for it.
const LOSSES: [(&str, &str); 6] = [
    ("receiver_refused_", "refused"),
    ("receiver_failed_", "failed to be received"),
    ("processor_refused_", "refused"),
    ("processor_dropped_", "dropped"),
    ("exporter_enqueue_failed_", "lost at a full queue"),
    ("exporter_send_failed_", "failed to send"),
];

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
    let mut fullest = fullest(lens)?;
    let mut out = BTreeMap::new();
    for (instance, samples) in samples {
        let mut figures = figures(samples.iter().map(|(name, value)| (name.as_str(), *value)));
        let mut losses: BTreeMap<(&str, &str), f64> = BTreeMap::new();
        for (metric, _) in samples.iter().filter(|(_, value)| *value > 0.0) {
            let Some((teller, word)) = LOSSES.iter().find(|(part, _)| metric.contains(part)) else { continue };
            let lost = lens.number(&format!("sum(increase({metric}{{instance={}}}[5m] anchored))", quote(&instance)))?;
            if let Some(lost) = lost.filter(|l| *l >= 0.5) {
                *losses.entry((word, teller)).or_insert(0.0) += lost;
            }
        }
        for ((word, _), lost) in losses {
            // What two tell of is the same: what a processor refuses its receiver refuses in turn.
            let told = figures.recent_losses.entry(word.to_owned()).or_insert(0.0);
            *told = lost.max(*told);
        }
        if let Some((share, exporter)) = fullest.remove(&instance) {
            (figures.fullest_queue, figures.fullest_exporter) = (Some(share), exporter);
        }
        out.insert(service_name(&instance), figures);
    }
    Ok(out)
}

/// By collector: how full the fullest of its queues is, and whose. A queue that loses data is one among the empty ones of other signals and exporters.
fn fullest(lens: &Lens<'_>) -> Result<BTreeMap<String, (f64, String)>, ReadError> {
    let mut queues: BTreeMap<(String, String, String), [f64; 2]> = BTreeMap::new();
    for (labels, value) in lens.vector(QUEUES)? {
        let [instance, exporter, signal] = ["instance", "exporter", "data_type"].map(|label| labels.value(label).to_owned());
        let capacity = labels.metric_name().contains("_queue_capacity");
        queues.entry((instance, exporter, signal)).or_default()[usize::from(capacity)] += value;
    }
    let mut out: BTreeMap<String, (f64, String)> = BTreeMap::new();
    for ((instance, exporter, signal), [size, capacity]) in queues {
        let share = size / capacity;
        if capacity > 0.0 && out.get(&instance).is_none_or(|(fullest, _)| share > *fullest) {
            let name = [exporter, signal].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
            out.insert(instance, (share, name));
        }
    }
    Ok(out)
}

/// A queue this full is about to lose something.
const NEARLY_FULL: f64 = 0.8;

/// What is wrong with a collector, in words.
pub fn complaints(figures: &CollectorFigures) -> Vec<String> {
    let mut out: Vec<String> = figures.recent_losses.iter().map(|(word, n)| format!("{n:.0} items {word} in 5 m")).collect();
    if let Some(share) = figures.fullest_queue.filter(|share| *share >= NEARLY_FULL) {
        let of =
            if figures.fullest_exporter.is_empty() { "its queue".to_owned() } else { format!("its queue to {}", figures.fullest_exporter) };
        out.push(format!("{of} is {:.0} % full", share * 100.0));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
    use watchfire_model::{Labels, Timestamp, Value};
    use watchfire_promql::Engine;
    use watchfire_testkit::MemorySource;

    const BEGIN: i64 = 1_772_334_000_000;

    /// Name, further labels, the first value, and by how much it grows in a minute.
    type Told<'a> = (&'a str, &'a [(&'a str, &'a str)], f64, f64);

    fn seen(series: &[Told<'_>]) -> CollectorFigures {
        let mut source = MemorySource::new();
        for (name, more, value, growth) in series {
            let labels = [("__name__", *name), ("instance", "col:8888"), ("job", "otelcol")].into_iter().chain(more.iter().copied());
            let labels = Labels::from_pairs(labels);
            (0..=20)
                .for_each(|step| source.push(&labels, Timestamp(BEGIN + step * 15_000), Value::Float(value + growth * step as f64 / 4.0)));
        }
        let (engine, cache, at) = (Engine::default(), QueryCache::default(), Timestamp(BEGIN + 300_000));
        let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
        collectors(&lens).expect("readable").remove("otelcol col:8888").expect("a collector")
    }

    /// Each exporter has a queue for each signal, and one that is full loses data however empty the others are.
    #[test]
    fn a_full_queue_among_empty_ones_is_full() {
        for suffix in ["", "__batches_"] {
            let [size, capacity] = ["size", "capacity"].map(|what| format!("otelcol_exporter_queue_{what}{suffix}"));
            let queue = |signal| [("exporter", "otlp/tempo"), ("data_type", signal)];
            let (traces, metrics) = (queue("traces"), queue("metrics"));
            let figures = seen(&[
                (&size, &traces, 990.0, 0.0),
                (&capacity, &traces, 1000.0, 0.0),
                (&size, &metrics, 0.0, 0.0),
                (&capacity, &metrics, 1000.0, 0.0),
                (&capacity, &[("exporter", "debug")], 0.0, 0.0),
            ]);
            assert_eq!((figures.queue_size, figures.queue_capacity), (Some(990.0), Some(2000.0)));
            assert_eq!(complaints(&figures), ["its queue to otlp/tempo traces is 99 % full"]);
        }
    }

    #[test]
    fn what_the_memory_limiter_refuses_is_lost_once() {
        let figures = seen(&[
            ("otelcol_receiver_refused_spans_total", &[("receiver", "otlp"), ("transport", "grpc")], 0.0, 30.0),
            ("otelcol_receiver_refused_spans_total", &[("receiver", "otlp"), ("transport", "http")], 0.0, 30.0),
            ("otelcol_processor_refused_spans_total", &[("processor", "memory_limiter")], 0.0, 60.0),
            ("otelcol_exporter_send_failed_spans_total", &[("exporter", "otlp")], 0.0, 6.0),
        ]);
        assert_eq!(figures.refused, Some(300.0));
        assert_eq!(complaints(&figures), ["30 items failed to send in 5 m", "300 items refused in 5 m"]);
    }
}
