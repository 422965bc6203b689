//! Latency over time as a heatmap and percentile lines, from the native histograms of the span metrics.

use super::lens::Lens;
use std::collections::BTreeMap;
use std::time::Duration;
use watchfire_model::reading::{Latency, LatencyQuery, ReadError};
use watchfire_model::{NativeHistogram, Timestamp};
use watchfire_promql::{quantile_of, quote};

/// Rows of the heatmap: four per decade from 100 µs to 100 s, as 1, 1.8, 3.2, 5.6.
const ROWS_PER_DECADE: i32 = 4;
const LOWEST_DECADE: i32 = -4;
const HIGHEST_DECADE: i32 = 2;

/// The `latency` reading.
///
/// # Errors
/// When the store cannot be queried.
pub fn latency(lens: &Lens<'_>, query: &LatencyQuery) -> Result<Latency, ReadError> {
    let columns = query.columns.clamp(1, 500);
    let range = Duration::from_secs(query.range_seconds.clamp(60, 7 * 86_400));
    let step = (range / columns as u32).max(Duration::from_secs(1));
    // A column shorter than two publications has nothing to compute a rate from.
    let window = step.max(Duration::from_secs(10)).as_secs();
    let filter = filter(query);
    let histogram = format!("sum(increase(traces_span_metrics_duration_seconds{{{filter}}}[{window}s]))");
    let histograms = lens.histogram_columns(&histogram, step * columns as u32, step)?;
    let bounds = bounds();
    let cells = histograms
        .iter()
        .map(|h| match h {
            Some(h) => spread(h, &bounds).into_iter().map(Some).collect(),
            None => vec![None; bounds.len()],
        })
        .collect();
    // From the histograms at hand: asking for each percentile again would look at everything three times more.
    let quantile = |q: f64| -> Vec<Option<f64>> {
        histograms.iter().map(|h| h.as_ref().map(|h| quantile_of(q, h)).filter(|v| v.is_finite())).collect()
    };
    let (start, count) = lens.grid(step * columns as u32, step);
    let times: Vec<Timestamp> = (0..count).map(|i| start.saturating_add(step * i as u32)).collect();
    let operations = match &query.service {
        Some(service) => super::operations::operations(lens, service)?,
        None => Vec::new(),
    };
    let services: BTreeMap<String, f64> = lens.by("service_name", "count by (service_name) (traces_span_metrics_calls_total{job=\"\"})")?;
    let sampling = match &query.service {
        Some(service) => lens.number(&format!("min(watchfire_sampling_ratio{{service_name={}}})", quote(service)))?,
        None => lens.number("min(watchfire_sampling_ratio)")?,
    };
    Ok(Latency {
        start,
        end: lens.at,
        columns: times,
        bounds,
        cells,
        p50: quantile(0.5),
        p95: quantile(0.95),
        p99: quantile(0.99),
        operations,
        services: services.into_keys().collect(),
        sampling_ratio: sampling.filter(|r| *r > 0.0 && *r < 1.0),
    })
}

fn filter(query: &LatencyQuery) -> String {
    let mut parts = vec![r#"job="""#.to_owned(), r#"span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER""#.to_owned()];
    if let Some(service) = &query.service {
        parts.push(format!("service_name={}", quote(service)));
    }
    if let Some(operation) = &query.operation {
        parts.push(format!("span_name={}", quote(operation)));
        parts.remove(1);
    }
    parts.join(",")
}

fn bounds() -> Vec<f64> {
    (LOWEST_DECADE * ROWS_PER_DECADE..=HIGHEST_DECADE * ROWS_PER_DECADE)
        .map(|i| 10f64.powf(f64::from(i) / f64::from(ROWS_PER_DECADE)))
        .collect()
}

/// Counts of a native histogram folded into rows by the geometric middle of each bucket; the last row takes what lies above.
fn spread(histogram: &NativeHistogram, bounds: &[f64]) -> Vec<f64> {
    let mut rows = vec![0.0; bounds.len()];
    let base = 2f64.powf(2f64.powi(-histogram.schema));
    let mut put = |value: f64, count: f64| {
        let row = bounds.partition_point(|b| *b < value).min(bounds.len() - 1);
        rows[row] += count;
    };
    put(0.0, histogram.zero_count);
    let mut index = 0i32;
    let mut buckets = histogram.positive_buckets.iter();
    for (position, span) in histogram.positive_spans.iter().enumerate() {
        index = if position == 0 { span.offset } else { index + span.offset };
        for _ in 0..span.length {
            if let Some(count) = buckets.next() {
                put(base.powf(f64::from(index) - 0.5), *count);
            }
            index += 1;
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
    use super::*;
    use watchfire_model::BucketSpan;

    #[test]
    fn every_name_can_be_asked_for() {
        // Letters that Rust and PromQL escape in ways of their own.
        let strange = "caf\u{e9}\u{200b}\u{a0}\u{7}\0\"\\'".to_owned();
        let (engine, cache) = (watchfire_promql::Engine::default(), QueryCache::default());
        let source = watchfire_testkit::MemorySource::new();
        let at = Timestamp(1_772_334_000_000);
        let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
        let query = LatencyQuery { service: Some(strange.clone()), operation: Some(strange), ..LatencyQuery::default() };
        latency(&lens, &query).expect("it parses");
    }

    #[test]
    fn a_histogram_keeps_its_count_when_it_is_spread_over_rows() {
        let h = NativeHistogram {
            schema: 0,
            count: 7.0,
            zero_count: 1.0,
            positive_spans: vec![BucketSpan { offset: 0, length: 2 }, BucketSpan { offset: 8, length: 1 }],
            positive_buckets: vec![1.0, 2.0, 3.0],
            ..NativeHistogram::default()
        };
        let rows = spread(&h, &bounds());
        assert_eq!(rows.iter().sum::<f64>(), 7.0);
        assert_eq!(rows[0], 1.0);
        assert_eq!(rows[bounds().len() - 1], 3.0, "2^10 s lies above the last bound");
    }
}
