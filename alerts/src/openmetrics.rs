//! Exposition text for fixtures: what an exporter writes, as series. The collectors have the real parser; crates beside each other do not
//! see each other, and this one only has to read what stands in tests.

use crate::memory::MemorySeries;
use std::collections::HashMap;
use watchfire_model::{Labels, LabelsBuilder, METRIC_NAME, Metadata, MetricKind, ORDINARY_NAN, SeriesSink, Timestamp, Value};

/// Reads all samples. Those without a timestamp are taken as of `now`. Timestamps are seconds in OpenMetrics (the file ends with `# EOF`)
/// and milliseconds otherwise. Samples of a series may stand in any order; of two at one time the first counts.
///
/// # Errors
/// The first line that cannot be read, with its number.
pub(crate) fn read_openmetrics(text: &str, now: Timestamp) -> Result<MemorySeries, String> {
    let seconds = text.trim_end().ends_with("# EOF");
    let store = MemorySeries::new();
    let mut order: Vec<Labels> = Vec::new();
    let mut samples: HashMap<Labels, Vec<(Timestamp, f64)>> = HashMap::new();
    let mut metadata: HashMap<String, Metadata> = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        if let Some(comment) = line.strip_prefix('#') {
            describe(comment.trim_start(), &mut metadata);
            continue;
        }
        let (labels, at, value) = sample(line, seconds).map_err(|why| format!("line {}: {why}: {line:?}", number + 1))?;
        let points = samples.entry(labels.clone()).or_insert_with(|| {
            order.push(labels);
            Vec::new()
        });
        points.push((at.unwrap_or(now), value));
    }
    for labels in order {
        let mut points = samples.remove(&labels).unwrap_or_default();
        points.sort_by_key(|(at, _)| *at);
        for (at, value) in points {
            store.push(&labels, at, Value::Float(value));
        }
    }
    for (family, meta) in metadata {
        store.describe(&family, meta);
    }
    Ok(store)
}

fn describe(comment: &str, metadata: &mut HashMap<String, Metadata>) {
    let mut words = comment.splitn(3, ' ');
    let (Some(what), Some(family)) = (words.next(), words.next()) else { return };
    let rest = words.next().unwrap_or("").trim();
    match what {
        "HELP" => rest.replace("\\n", "\n").replace("\\\\", "\\").clone_into(&mut metadata.entry(family.to_owned()).or_default().help),
        "UNIT" => rest.clone_into(&mut metadata.entry(family.to_owned()).or_default().unit),
        "TYPE" => {
            metadata.entry(family.to_owned()).or_default().kind = match rest {
                "counter" => MetricKind::Counter,
                "gauge" => MetricKind::Gauge,
                "histogram" => MetricKind::Histogram,
                "gaugehistogram" => MetricKind::GaugeHistogram,
                "summary" => MetricKind::Summary,
                "info" => MetricKind::Info,
                "stateset" => MetricKind::StateSet,
                _ => MetricKind::Unknown,
            }
        }
        _ => {}
    }
}

fn sample(line: &str, seconds: bool) -> Result<(Labels, Option<Timestamp>, f64), &'static str> {
    let mut labels = LabelsBuilder::new();
    let name_end = line.find(|c: char| c == '{' || c.is_whitespace()).ok_or("no value")?;
    if name_end > 0 {
        labels.set(METRIC_NAME, &line[..name_end]);
    }
    let mut rest = line[name_end..].trim_start();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = pairs(inside, &mut labels)?;
    }
    let rest = rest.split(" # ").next().unwrap_or("");
    let mut words = rest.split_whitespace();
    let value = number(words.next().ok_or("no value")?).ok_or("value is not a number")?;
    let at = match words.next() {
        None => None,
        Some(text) => {
            let time: f64 = text.parse().map_err(|_| "timestamp is not a number")?;
            Some(if seconds { Timestamp::from_seconds(time) } else { Timestamp(time as i64) })
        }
    };
    Ok((labels.build(), at, value))
}

/// Reads `name="value", ...}` and gives what stands behind the brace. A quoted text alone is the metric's name.
fn pairs<'a>(mut rest: &'a str, labels: &mut LabelsBuilder) -> Result<&'a str, &'static str> {
    loop {
        rest = rest.trim_start_matches([' ', ',', '\t']);
        if let Some(after) = rest.strip_prefix('}') {
            return Ok(after);
        }
        let name = if let Some(inside) = rest.strip_prefix('"') {
            let (name, after) = quoted(inside)?;
            rest = after.trim_start();
            name
        } else {
            let end = rest.find(['=', '}', ',']).ok_or("labels are not closed")?;
            let name = rest[..end].trim().to_owned();
            rest = &rest[end..];
            name
        };
        match rest.strip_prefix('=').map(str::trim_start) {
            Some(after) => {
                let (value, after) = quoted(after.strip_prefix('"').ok_or("label value is not quoted")?)?;
                labels.set(&name, &value);
                rest = after;
            }
            None => {
                labels.set(METRIC_NAME, &name);
            }
        }
    }
}

fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Ok((out, &text[i + 1..])),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some(c) => out.push(c),
                None => break,
            },
            c => out.push(c),
        }
    }
    Err("text is not closed")
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(ORDINARY_NAN),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::{Selector, SeriesSource, TimeRange};

    #[test]
    fn samples_come_with_their_labels_and_times() -> Result<(), String> {
        let text = "# HELP a_total What \\n it counts\n# TYPE a counter\na_total{x=\"1\\\"2\",y=\"}\"} 2 20.5 # {trace_id=\"t\"} 1\na_total{x=\"1\\\"2\",y=\"}\"} 1 10\n{\"a.b\", c=\"d\"} +Inf 1\nplain 5\n# EOF\n";
        let store = read_openmetrics(text, Timestamp(99_000))?;
        let mut seen = Vec::new();
        let all = TimeRange { start: Timestamp(-1), end: Timestamp(1_000_000) };
        store
            .select(&Selector::metric("a_total"), all, &mut |s| seen.extend(s.times.iter().copied().zip(s.values.iter().copied())))
            .expect("selects");
        assert_eq!(seen, [(Timestamp(10_000), 1.0), (Timestamp(20_500), 2.0)]);
        assert_eq!(store.span(), Some((Timestamp(1_000), Timestamp(99_000))));
        assert_eq!(store.series_count(), 3);
        assert!(read_openmetrics("a{b=\"c} 1", Timestamp(0)).is_err_and(|e| e.starts_with("line 1: ")));
        assert_eq!(read_openmetrics("m 1 5000", Timestamp(0))?.span(), Some((Timestamp(5_000), Timestamp(5_000))));
        Ok(())
    }
}
