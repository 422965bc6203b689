//! Histogram literals: `{{schema:1 count:4 sum:5 buckets:[1 2 1] offset:-1}}`.

use super::series::parse_number;
use watchfire_model::{BucketSpan, CounterResetHint, NativeHistogram};

/// Parses a literal with its braces.
///
/// # Errors
/// What could not be read.
pub fn parse_literal(text: &str) -> Result<NativeHistogram, String> {
    read_literal(text).map(|(histogram, _)| histogram)
}

/// Also whether the literal says what is known of counter resets: only then an expectation is about it.
pub fn read_literal(text: &str) -> Result<(NativeHistogram, bool), String> {
    let inner = text.strip_prefix("{{").and_then(|t| t.strip_suffix("}}")).ok_or_else(|| format!("not a histogram: {text:?}"))?;
    let mut h = NativeHistogram::default();
    let mut hint_given = false;
    let (mut offset, mut negative_offset) = (0i32, 0i32);
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once(':').ok_or_else(|| format!("expected key:value in {text:?}"))?;
        let list = after.starts_with('[');
        let end = if list {
            after.find(']').map(|i| i + 1).ok_or_else(|| format!("list without end in {text:?}"))?
        } else {
            after.find(char::is_whitespace).unwrap_or(after.len())
        };
        let value = &after[..end];
        let number = || parse_number(value).ok_or_else(|| format!("invalid number {value:?} for {key}"));
        let numbers = || -> Result<Vec<f64>, String> {
            let items = value.trim_start_matches('[').trim_end_matches(']');
            items.split_whitespace().map(|v| parse_number(v).ok_or_else(|| format!("invalid number {v:?} in {key}"))).collect()
        };
        match key.trim() {
            "schema" => h.schema = number()? as i32,
            "sum" => h.sum = number()?,
            "count" => h.count = number()?,
            "z_bucket" => h.zero_count = number()?,
            "z_bucket_w" => h.zero_threshold = number()?,
            "custom_values" => h.custom_values = numbers()?,
            "buckets" => h.positive_buckets = numbers()?,
            "n_buckets" => h.negative_buckets = numbers()?,
            "offset" => offset = number()? as i32,
            "n_offset" => negative_offset = number()? as i32,
            "counter_reset_hint" => {
                hint_given = true;
                h.counter_reset = match value {
                    "gauge" => CounterResetHint::Gauge,
                    "reset" => CounterResetHint::Reset,
                    "not_reset" => CounterResetHint::NotReset,
                    "unknown" => CounterResetHint::Unknown,
                    other => return Err(format!("invalid counter_reset_hint {other:?}")),
                }
            }
            other => return Err(format!("unknown histogram field {other:?}")),
        }
        rest = after[end..].trim_start();
    }
    for (spans, buckets, offset) in
        [(&mut h.positive_spans, &h.positive_buckets, offset), (&mut h.negative_spans, &h.negative_buckets, negative_offset)]
    {
        if !buckets.is_empty() {
            spans.push(BucketSpan { offset, length: buckets.len() as u32 });
        }
    }
    Ok((h, hint_given))
}
