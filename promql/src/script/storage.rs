//! Loaded series. Counter histograms get the reset hints a Prometheus storage would give back.

use super::command::Load;
use super::series::Sample;
use crate::eval::histograms_bound;
use crate::histogram::buckets::set_positive;
use crate::histogram::reset::is_reset;
use std::collections::BTreeMap;
use std::sync::Arc;
use watchfire_model::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Labels, METRIC_NAME, NativeHistogram, ORDINARY_NAN, Selector, SeriesId, SeriesSource,
    SeriesView, SourceError, TimeRange, Timestamp,
};

#[derive(Default)]
struct Stored {
    times: Vec<Timestamp>,
    values: Vec<f64>,
    histograms: Vec<Option<Arc<NativeHistogram>>>,
    starts: Vec<Timestamp>,
    has_histograms: bool,
}

#[derive(Default)]
pub struct Storage {
    series: BTreeMap<Labels, Stored>,
    generation: u64,
}

impl Storage {
    /// Empty, and known to have changed.
    pub fn cleared(&self) -> Self {
        Storage { generation: self.generation + 1, ..Storage::default() }
    }

    /// Adds what a `load` command describes.
    ///
    /// # Errors
    /// When classic buckets make no histogram.
    pub fn load(&mut self, load: &Load) -> Result<(), String> {
        self.generation += 1;
        let gap = load.gap.as_millis() as i64;
        for loaded in &load.series {
            for (step, sample) in loaded.values.iter().enumerate() {
                let Some(sample) = sample else { continue };
                let at = gap * step as i64;
                let start = loaded.starts.get(step).copied().flatten().map_or(0, |relative| at + relative);
                self.append(&loaded.labels, at, sample, start);
            }
        }
        if load.with_nhcb {
            self.load_converted(load, gap)?;
        }
        Ok(())
    }

    fn append(&mut self, labels: &Labels, at: i64, sample: &Sample, start: i64) {
        let stored = self.series.entry(labels.clone()).or_default();
        // Out of order samples are not taken.
        if stored.times.last().is_some_and(|last| last.0 >= at) {
            return;
        }
        let (value, histogram) = match sample {
            Sample::Float(v) => (*v, None),
            Sample::Histogram { histogram: h, .. } => {
                let previous = stored.histograms.last().and_then(Option::as_ref);
                let mut h = (**h).clone();
                h.counter_reset = stored_hint(&h, previous.map(|p| &**p));
                stored.has_histograms = true;
                (ORDINARY_NAN, Some(Arc::new(h)))
            }
        };
        stored.times.push(Timestamp(at));
        stored.values.push(value);
        stored.histograms.push(histogram);
        stored.starts.push(Timestamp(start));
    }

    fn load_converted(&mut self, load: &Load, gap: i64) -> Result<(), String> {
        /// The parts of one classic histogram at one time.
        #[derive(Default)]
        struct Parts {
            buckets: Vec<(f64, f64)>,
            count: Option<f64>,
            sum: f64,
        }
        let mut found: BTreeMap<Labels, BTreeMap<i64, Parts>> = BTreeMap::new();
        for described in &load.series {
            let name = described.labels.metric_name();
            let Some((base, suffix)) =
                ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix).map(|base| (base, *suffix)))
            else {
                continue;
            };
            let bound = if suffix == "_bucket" {
                match histograms_bound(described.labels.value("le")) {
                    Some(bound) => bound,
                    None => continue,
                }
            } else {
                0.0
            };
            let mut builder = described.labels.to_builder();
            builder.set(METRIC_NAME, base).remove("le");
            let by_time = found.entry(builder.build()).or_default();
            for (step, sample) in described.values.iter().enumerate() {
                let Some(Sample::Float(v)) = sample else { continue };
                let parts = by_time.entry(gap * step as i64).or_default();
                match suffix {
                    "_bucket" => parts.buckets.push((bound, *v)),
                    "_count" => parts.count = Some(*v),
                    _ => parts.sum = *v,
                }
            }
        }
        for (labels, by_time) in found {
            for (at, mut parts) in by_time {
                parts.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                parts.buckets.dedup_by(|a, b| a.0 == b.0);
                let last = parts.buckets.last().map_or(0.0, |b| b.1);
                let count = parts.count.unwrap_or(last);
                if parts.buckets.last().is_none_or(|b| b.0 != f64::INFINITY) {
                    parts.buckets.push((f64::INFINITY, count));
                }
                let mut before = 0.0;
                let mut counts = Vec::with_capacity(parts.buckets.len());
                for (index, (_, cumulative)) in parts.buckets.iter().enumerate() {
                    if *cumulative < before {
                        return Err(format!("cumulative bucket counts of {labels} go down at {at}"));
                    }
                    counts.push((index as i32, cumulative - before));
                    before = *cumulative;
                }
                counts.retain(|(_, count)| *count != 0.0);
                let mut h = NativeHistogram {
                    schema: CUSTOM_BUCKETS_SCHEMA,
                    count,
                    sum: parts.sum,
                    custom_values: parts.buckets.iter().map(|b| b.0).filter(|b| b.is_finite()).collect(),
                    ..NativeHistogram::default()
                };
                set_positive(&mut h, &counts);
                self.append(&labels, at, &Sample::Histogram { histogram: Arc::new(h), hint_given: false }, 0);
            }
        }
        Ok(())
    }
}

/// The hint a storage gives back: the first of a run knows nothing, later ones are compared with the one before.
fn stored_hint(h: &NativeHistogram, previous: Option<&NativeHistogram>) -> CounterResetHint {
    match h.counter_reset {
        hint @ (CounterResetHint::Gauge | CounterResetHint::Reset) => hint,
        _ => match previous {
            None => CounterResetHint::Unknown,
            Some(previous) if previous.counter_reset == CounterResetHint::Gauge => CounterResetHint::Unknown,
            Some(previous) => {
                let mut plain = h.clone();
                plain.counter_reset = CounterResetHint::Unknown;
                // A reset starts a new run, and the first of a run does not know why it was started.
                if is_reset(&plain, previous) { CounterResetHint::Unknown } else { CounterResetHint::NotReset }
            }
        },
    }
}

impl SeriesSource for Storage {
    fn select(&self, selector: &Selector, range: TimeRange, visit: &mut dyn FnMut(SeriesView<'_>)) -> Result<(), SourceError> {
        self.select_with_starts(selector, range, &mut |view, _| visit(view))
    }

    fn generation(&self) -> Option<u64> {
        Some(self.generation)
    }

    fn has_start_times(&self) -> bool {
        true
    }

    fn select_with_starts(
        &self,
        selector: &Selector,
        range: TimeRange,
        visit: &mut dyn FnMut(SeriesView<'_>, &[Timestamp]),
    ) -> Result<(), SourceError> {
        for (index, (labels, stored)) in self.series.iter().enumerate().filter(|(_, (labels, _))| selector.matches(labels)) {
            let from = stored.times.partition_point(|t| *t <= range.start);
            let to = stored.times.partition_point(|t| *t <= range.end);
            if from >= to {
                continue;
            }
            let view = SeriesView {
                id: SeriesId(index as u32),
                labels,
                times: &stored.times[from..to],
                values: &stored.values[from..to],
                histograms: if stored.has_histograms { &stored.histograms[from..to] } else { &[] },
                rising: false,
            };
            visit(view, &stored.starts[from..to]);
        }
        Ok(())
    }
}
