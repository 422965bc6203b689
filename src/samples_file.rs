//! A file of samples with their times (OpenMetrics, as `promtool tsdb dump-openmetrics` writes it), for backtests without an instance.

use std::collections::BTreeMap;
use watchfire_alerts::MemorySeries;
use watchfire_model::{Labels, MetricKind, NativeHistogram, Timestamp, Value};
use watchfire_scrape::exposition::line::parse_series;
use watchfire_scrape::exposition::{ExemplarText, Guess, ParseError, Recipient, Which, openmetrics};

/// Reads every sample that carries a time.
///
/// # Errors
/// Where the text is not OpenMetrics, or holds no time at all.
pub fn read(text: &str) -> Result<MemorySeries, String> {
    let mut collector = Collector::default();
    openmetrics::walk(text.as_bytes(), &mut collector).map_err(|e| e.to_string())?;
    if collector.samples.is_empty() {
        return Err("no sample carries a time; write `name{labels} value unix_seconds`".to_owned());
    }
    let series = MemorySeries::new();
    for (labels, mut samples) in collector.samples {
        samples.sort_by_key(|(at, _)| *at);
        for (at, value) in samples {
            series.push(&labels, at, value);
        }
    }
    Ok(series)
}

#[derive(Default)]
struct Collector {
    samples: BTreeMap<Labels, Vec<(Timestamp, Value)>>,
}

impl Collector {
    fn put(&mut self, which: Which<'_>, value: Value, at: Option<i64>) -> Result<u32, ParseError> {
        if let (Which::Text(text), Some(at)) = (which, at) {
            let labels = Labels::from_pairs(parse_series(text)?);
            self.samples.entry(labels).or_default().push((Timestamp(at), value));
        }
        Ok(0)
    }
}

impl Recipient for Collector {
    fn guess(&mut self, _rest: &[u8]) -> Guess {
        Guess::None
    }

    fn sample(&mut self, which: Which<'_>, value: f64, at: Option<i64>) -> Result<u32, ParseError> {
        self.put(which, Value::Float(value), at)
    }

    fn histogram(&mut self, which: Which<'_>, value: NativeHistogram, at: Option<i64>) -> Result<u32, ParseError> {
        self.put(which, Value::Histogram(value.into()), at)
    }

    fn exemplar(&mut self, _entry: u32, _exemplar: ExemplarText<'_>) {}

    fn comment(&mut self, _line: &[u8]) {}

    fn kind(&mut self, _family: &str, _kind: MetricKind) {}

    fn help(&mut self, _family: &str, _help: &str) {}

    fn unit(&mut self, _family: &str, _unit: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_with_times_become_series() {
        let text = "# TYPE up gauge\nup{job=\"a\"} 1 10\nup{job=\"a\"} 0 25.5\n# EOF\n";
        let series = read(text).expect("good");
        assert_eq!(series.series_count(), 1);
        assert_eq!(series.span(), Some((Timestamp(10_000), Timestamp(25_500))));
        assert!(read("# TYPE up gauge\nup 1\n# EOF\n").is_err());
        assert!(read("up{ 1 10\n# EOF\n").is_err());
    }
}
