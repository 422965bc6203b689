//! A series source over plain vectors.

use std::sync::Arc;
use watchfire_model::{
    Labels, NativeHistogram, ORDINARY_NAN, Selector, SeriesData, SeriesId, SeriesSource, SeriesView, SourceError, TimeRange, Timestamp,
    Value,
};

/// Holds whole series; answers like a store does.
#[derive(Clone, Debug, Default)]
pub struct MemorySource {
    series: Vec<SeriesData>,
}

impl MemorySource {
    pub fn new() -> Self {
        MemorySource::default()
    }

    /// Adds one sample; samples of one series must come in ascending time.
    pub fn push(&mut self, labels: &Labels, at: Timestamp, value: Value) {
        match self.series.iter_mut().find(|s| s.labels == *labels) {
            Some(series) => {
                series.times.push(at);
                series.values.push(value);
            }
            None => self.series.push(SeriesData { labels: labels.clone(), times: vec![at], values: vec![value] }),
        }
    }
}

impl SeriesSource for MemorySource {
    fn select(&self, selector: &Selector, range: TimeRange, visit: &mut dyn FnMut(SeriesView<'_>)) -> Result<(), SourceError> {
        for (index, series) in self.series.iter().enumerate().filter(|(_, s)| selector.matches(&s.labels)) {
            let from = series.times.partition_point(|t| *t <= range.start);
            let to = series.times.partition_point(|t| *t <= range.end);
            if from == to {
                continue;
            }
            let values: Vec<f64> = series.values[from..to].iter().map(|v| v.as_float().unwrap_or(ORDINARY_NAN)).collect();
            let histograms: Vec<Option<Arc<NativeHistogram>>> = series.values[from..to]
                .iter()
                .map(|v| match v {
                    Value::Histogram(h) => Some(h.clone()),
                    Value::Float(_) => None,
                })
                .collect();
            let any = histograms.iter().any(Option::is_some);
            visit(SeriesView {
                id: SeriesId(index as u32),
                labels: &series.labels,
                times: &series.times[from..to],
                values: &values,
                histograms: if any { &histograms } else { &[] },
                rising: false,
            });
        }
        Ok(())
    }
}
