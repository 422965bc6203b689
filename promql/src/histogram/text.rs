//! Histograms as Prometheus writes them: in label values, in the API, and in test scripts.

use super::buckets::{ascending, negative, positive};
use crate::number::format_general;
use watchfire_model::{CounterResetHint, NativeHistogram};

/// One bucket of the HTTP API: boundary rule (0 open left, 1 open right, 2 open both, 3 closed both), bounds and count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ApiBucket {
    pub rule: u8,
    pub lower: f64,
    pub upper: f64,
    pub count: f64,
}

/// The populated buckets, lowest values first.
pub fn api_buckets(h: &NativeHistogram) -> Vec<ApiBucket> {
    ascending(h)
        .into_iter()
        .filter(|b| b.count != 0.0)
        .map(|b| ApiBucket {
            rule: match (b.lower_inclusive, b.upper_inclusive) {
                (false, true) => 0,
                (true, false) => 1,
                (false, false) => 2,
                (true, true) => 3,
            },
            lower: b.lower,
            upper: b.upper,
            count: b.count,
        })
        .collect()
}

/// The form of `count_values` labels: `{count:4, sum:5, (0.5,1]:1}`.
pub fn label_text(h: &NativeHistogram) -> String {
    let mut out = format!("{{count:{}, sum:{}", format_general(h.count), format_general(h.sum));
    for b in ascending(h).into_iter().filter(|b| b.count != 0.0) {
        out.push_str(if b.lower_inclusive { ", [" } else { ", (" });
        out.push_str(&format!("{},{}", format_general(b.lower), format_general(b.upper)));
        out.push(if b.upper_inclusive { ']' } else { ')' });
        out.push_str(&format!(":{}", format_general(b.count)));
    }
    out.push('}');
    out
}

/// The form of test scripts: `{{schema:1 count:4 buckets:[1 2 1]}}`.
pub fn script_text(h: &NativeHistogram) -> String {
    let mut parts = Vec::new();
    let mut number = |name: &str, value: f64| {
        if value != 0.0 {
            parts.push(format!("{name}:{}", format_general(value)));
        }
    };
    number("schema", f64::from(h.schema));
    number("count", h.count);
    number("sum", h.sum);
    number("z_bucket", h.zero_count);
    number("z_bucket_w", h.zero_threshold);
    let list = |values: &[f64]| values.iter().map(|v| format_general(*v)).collect::<Vec<_>>().join(" ");
    if !h.custom_values.is_empty() {
        parts.push(format!("custom_values:[{}]", list(&h.custom_values)));
    }
    for (prefix, buckets) in [("", positive(h)), ("n_", negative(h))] {
        let Some((first, last)) = buckets.first().map(|b| b.0).zip(buckets.last().map(|b| b.0)) else { continue };
        if first != 0 {
            parts.push(format!("{prefix}offset:{first}"));
        }
        let dense: Vec<f64> =
            (first..=last).map(|i| buckets.iter().find(|(index, _)| *index == i).map_or(0.0, |(_, count)| *count)).collect();
        parts.push(format!("{prefix}buckets:[{}]", list(&dense)));
    }
    match h.counter_reset {
        CounterResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
        CounterResetHint::Reset => parts.push("counter_reset_hint:reset".to_owned()),
        CounterResetHint::NotReset => parts.push("counter_reset_hint:not_reset".to_owned()),
        CounterResetHint::Unknown => {}
    }
    format!("{{{{{}}}}}", parts.join(" "))
}
