//! RED per operation of one service.

use super::lens::Lens;
use super::services::{READY_MADE, latencies};
use std::collections::BTreeMap;
use std::time::Duration;
use watchfire_model::reading::{OperationRow, ReadError};
use watchfire_promql::quote;

/// The operations of a service, the busiest first.
///
/// # Errors
/// When the store cannot be queried.
pub fn operations(lens: &Lens<'_>, service: &str) -> Result<Vec<OperationRow>, ReadError> {
    let service = quote(service);
    let own = format!(r#"job="",service_name={service}"#);
    let window = lens.window_text();
    let histogram = format!("sum by (span_name, span_kind) (rate(traces_span_metrics_duration_seconds{{{own}}}[{window}]))");
    let ratio = lens.number(&format!("min(watchfire_sampling_ratio{{service_name={service}}})"))?;
    let ratio = ratio.filter(|r| *r > 0.0 && *r < 1.0).unwrap_or(1.0);
    let mut rows = operation_rows(lens, &format!("traces_span_metrics_calls_total{{{own}}}"), lens.window, &[histogram], 1.0)?;
    for row in &mut rows {
        row.sample_count = row.sample_count.map(|n| n * ratio);
    }
    if !rows.is_empty() {
        return Ok(rows);
    }
    // No spans of it come here: what a collector or Tempo derived from them.
    let scraped = lens.scrape_window_text();
    for (label, calls, latency, unit) in READY_MADE {
        let filter = format!(r#"job!="",{label}={service}"#);
        let histograms = latencies("span_name, span_kind", latency, &filter, &scraped);
        let rows = operation_rows(lens, &format!("{calls}{{{filter}}}"), lens.scrape_window, &histograms, unit)?;
        if rows.iter().any(|r| r.p50_seconds.is_some()) {
            return Ok(rows);
        }
    }
    Ok(Vec::new())
}

/// `unit`: how many of the histograms' units are a second.
fn operation_rows(
    lens: &Lens<'_>,
    calls: &str,
    window: Duration,
    histograms: &[String],
    unit: f64,
) -> Result<Vec<OperationRow>, ReadError> {
    let seconds = window.as_secs().max(1);
    let mut rows: BTreeMap<(String, String), (f64, f64)> = BTreeMap::new();
    for (labels, rate) in lens.vector(&format!(
        "max by (span_name, span_kind, status_code) (sum by (job, span_name, span_kind, status_code) (rate({calls}[{seconds}s])))"
    ))? {
        let key = (labels.value("span_name").to_owned(), labels.value("span_kind").to_owned());
        let entry = rows.entry(key).or_default();
        entry.0 += rate;
        if labels.value("status_code") == "STATUS_CODE_ERROR" {
            entry.1 += rate;
        }
    }
    let mut quantiles: BTreeMap<(String, String), [Option<f64>; 3]> = BTreeMap::new();
    for histogram in histograms {
        for (labels, percentiles) in lens.percentiles(histogram)? {
            let key = (labels.value("span_name").to_owned(), labels.value("span_kind").to_owned());
            quantiles.insert(key, percentiles.map(|p| p.map(|p| p / unit)));
        }
    }
    let mut out: Vec<OperationRow> = rows
        .into_iter()
        .map(|(key, (rate, errors))| {
            let q = quantiles.get(&key).copied().unwrap_or_default();
            OperationRow {
                name: key.0,
                kind: key.1.trim_start_matches("SPAN_KIND_").to_lowercase(),
                rate: Some(rate),
                error_ratio: (rate > 0.0).then(|| errors / rate),
                p50_seconds: q[0],
                p95_seconds: q[1],
                p99_seconds: q[2],
                sample_count: Some(rate * window.as_secs_f64()),
            }
        })
        .collect();
    out.sort_by(|a, b| b.rate.unwrap_or(0.0).total_cmp(&a.rate.unwrap_or(0.0)));
    Ok(out)
}
