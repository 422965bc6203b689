//! What one service shows under `/metrics`: counters and histograms that the simulation moves, gauges that are set when it is read.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Bounds of `http.server.request.duration` in the OpenTelemetry conventions, in seconds.
pub(crate) const DURATION_BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Everything simulated says so.
const SIMULATED: &str = "simulated=\"true\"";

#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    pub(crate) bounds: Vec<f64>,
    /// One more than bounds; not cumulative.
    pub(crate) counts: Vec<u64>,
    pub(crate) sum: f64,
}

impl Histogram {
    pub(crate) fn new(bounds: &[f64]) -> Self {
        Histogram { bounds: bounds.to_vec(), counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    pub(crate) fn observe(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| value > *bound);
        self.counts[bucket] += 1;
        self.sum += value;
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[derive(Clone, Debug)]
enum Cell {
    Counter(f64),
    Gauge(f64),
    Histogram(Histogram),
}

#[derive(Clone, Debug)]
struct Family {
    help: String,
    kind: &'static str,
    /// By label text, in order of name as given.
    series: BTreeMap<String, Cell>,
}

/// The exposition of one service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exposition(BTreeMap<String, Family>);

fn label_text(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{name}=\"{escaped}\",");
    }
    text + SIMULATED
}

impl Exposition {
    fn cell(&mut self, family: &str, help: &str, kind: &'static str, labels: &[(&str, &str)], fresh: impl FnOnce() -> Cell) -> &mut Cell {
        if !self.0.contains_key(family) {
            self.0.insert(family.to_owned(), Family { help: help.to_owned(), kind, series: BTreeMap::new() });
        }
        let Some(family) = self.0.get_mut(family) else { unreachable!("just inserted") };
        family.series.entry(label_text(labels)).or_insert_with(fresh)
    }

    /// Adds to a counter; zero makes it exist.
    pub(crate) fn count(&mut self, family: &str, help: &str, labels: &[(&str, &str)], by: f64) {
        if let Cell::Counter(value) = self.cell(family, help, "counter", labels, || Cell::Counter(0.0)) {
            *value += by;
        }
    }

    pub(crate) fn set(&mut self, family: &str, help: &str, labels: &[(&str, &str)], to: f64) {
        *self.cell(family, help, "gauge", labels, || Cell::Gauge(0.0)) = Cell::Gauge(to);
    }

    pub(crate) fn observe(&mut self, family: &str, help: &str, labels: &[(&str, &str)], bounds: &[f64], value: Option<f64>) {
        let cell = self.cell(family, help, "histogram", labels, || Cell::Histogram(Histogram::new(bounds)));
        if let (Cell::Histogram(histogram), Some(value)) = (cell, value) {
            histogram.observe(value);
        }
    }

    /// Prometheus text format 0.0.4.
    pub(crate) fn text(&self) -> String {
        let mut out = String::with_capacity(16 * 1024);
        for (name, family) in &self.0 {
            let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {}", family.help, family.kind);
            for (labels, cell) in &family.series {
                match cell {
                    Cell::Counter(v) | Cell::Gauge(v) => {
                        let _ = writeln!(out, "{name}{{{labels}}} {v}");
                    }
                    Cell::Histogram(h) => {
                        let mut total = 0;
                        for (i, count) in h.counts.iter().enumerate() {
                            total += count;
                            let bound = h.bounds.get(i).map_or_else(|| "+Inf".to_owned(), ToString::to_string);
                            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {total}");
                        }
                        let _ = writeln!(out, "{name}_sum{{{labels}}} {}\n{name}_count{{{labels}}} {total}", h.sum);
                    }
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_exposition_format_and_says_that_it_is_simulated() {
        let mut exposition = Exposition::default();
        exposition.count("a_total", "As.", &[("x", "q\"\\")], 2.0);
        exposition.set("g", "G.", &[], 0.5);
        exposition.observe("h_seconds", "H.", &[], &[0.1, 1.0], Some(0.1));
        exposition.observe("h_seconds", "H.", &[], &[0.1, 1.0], Some(3.0));
        assert_eq!(
            exposition.text(),
            "# HELP a_total As.\n# TYPE a_total counter\na_total{x=\"q\\\"\\\\\",simulated=\"true\"} 2\n\
             # HELP g G.\n# TYPE g gauge\ng{simulated=\"true\"} 0.5\n\
             # HELP h_seconds H.\n# TYPE h_seconds histogram\n\
             h_seconds_bucket{simulated=\"true\",le=\"0.1\"} 1\nh_seconds_bucket{simulated=\"true\",le=\"1\"} 1\n\
             h_seconds_bucket{simulated=\"true\",le=\"+Inf\"} 2\nh_seconds_sum{simulated=\"true\"} 3.1\nh_seconds_count{simulated=\"true\"} 2\n"
        );
    }
}
