//! Selectors to columns: the latest sample within the lookback, at every step.

use super::block::{Block, Meta};
use super::{CELLS_PER_SAMPLE, Evaluator, Outcome};
use crate::annotations::{Note, Operation};
use crate::ast::{Span, VectorSelector};
use crate::error::EvalError;
use crate::functions::extended::{interpolate, interpolate_histograms};
use crate::functions::over_time::Cell;
use crate::functions::window::{Scratch, Split, split};
use crate::histogram::reset::is_reset;
use std::sync::Arc;
use watchfire_model::{CounterResetHint, NativeHistogram, Selector, SeriesView, TimeRange, Timestamp, is_stale};

/// What of a selected sample becomes the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Take {
    Value,
    /// The sample's own time, in seconds.
    Time,
    /// The sample's start timestamp, in seconds.
    Start,
}

/// Histograms with unknown counter resets resolved against the one before; empty when there is nothing to resolve.
fn hinted(histograms: &[Option<Arc<NativeHistogram>>]) -> Vec<Option<Arc<NativeHistogram>>> {
    let unknown = |h: &NativeHistogram| h.counter_reset == CounterResetHint::Unknown && !is_stale(h.sum);
    if !histograms.iter().skip(1).flatten().any(|h| unknown(h)) {
        return Vec::new();
    }
    let mut out = Vec::with_capacity(histograms.len());
    let mut before: Option<&Arc<NativeHistogram>> = None;
    for histogram in histograms {
        let mut resolved = histogram.clone();
        if let (Some(h), Some(previous)) = (histogram, before)
            && unknown(h)
        {
            let mut with_hint = (**h).clone();
            with_hint.counter_reset = if is_reset(h, previous) { CounterResetHint::Reset } else { CounterResetHint::NotReset };
            resolved = Some(Arc::new(with_hint));
        }
        before = histogram.as_ref().filter(|h| !is_stale(h.sum));
        out.push(resolved);
    }
    out
}

impl Evaluator<'_> {
    /// Visits every series of a selector; errors inside the visit end it.
    pub fn visit(
        &self,
        selector: &VectorSelector,
        (after, until): (i64, i64),
        with_starts: bool,
        mut visit: impl FnMut(SeriesView<'_>, &[Timestamp]) -> Outcome<()>,
    ) -> Outcome<()> {
        let mut failure: Option<EvalError> = None;
        let matchers = Selector(selector.matchers.clone());
        let range = TimeRange::new(Timestamp(after), Timestamp(until));
        let mut step = |view: SeriesView<'_>, starts: &[Timestamp]| {
            if failure.is_some() {
                return;
            }
            let hinted = if self.counts_only { hinted(view.histograms) } else { Vec::new() };
            let view = if hinted.is_empty() { view } else { SeriesView { histograms: &hinted, ..view } };
            if let Err(error) = self.ctx.budget.tick(1 + view.times.len() / 64).and_then(|()| visit(view, starts)) {
                failure = Some(error);
            }
        };
        if with_starts && self.ctx.source.has_start_times() {
            self.ctx.source.select_with_starts(&matchers, range, &mut step)?;
        } else {
            self.ctx.source.select(&matchers, range, &mut |view| step(view, &[]))?;
        }
        failure.map_or(Ok(()), Err)
    }

    pub fn select_vector(&self, selector: &VectorSelector) -> Outcome<Block> {
        if selector.smoothed { self.select_smoothed(selector) } else { self.select(selector, Take::Value) }
    }

    pub fn select(&self, selector: &VectorSelector, take: Take) -> Outcome<Block> {
        let (offset, at) = self.modifiers(&selector.modifiers)?;
        let times: Vec<i64> = match at {
            Some(at) => vec![at - offset],
            None => (0..self.steps.count).map(|i| self.steps.at(i) - offset).collect(),
        };
        let lookback = self.ctx.lookback;
        let (first, last) = (times[0], times[times.len() - 1]);
        let mut block = Block::new(times.len(), self.ctx.budget.lease());
        let mut lease = self.ctx.budget.lease();
        self.visit(selector, (first - lookback, last), take == Take::Start, |view, starts| {
            let row = block.push(Meta { labels: view.labels.clone(), drop_name: false });
            block.ids.push(view.id);
            let mut samples = 0;
            let mut next = 0;
            for (step, time) in times.iter().enumerate() {
                while next < view.times.len() && view.times[next].0 <= *time {
                    next += 1;
                }
                let Some(index) = next.checked_sub(1).filter(|i| view.times[*i].0 > time - lookback) else { continue };
                let histogram = view.histograms.get(index).and_then(Option::as_ref);
                let stale = histogram.map_or_else(|| is_stale(view.values[index]), |h| is_stale(h.sum));
                if stale {
                    continue;
                }
                samples += 1;
                block.set(
                    row,
                    step,
                    match (take, histogram) {
                        (Take::Time, _) => Cell::Float(view.times[index].0 as f64 / 1000.0),
                        (Take::Start, _) => Cell::Float(starts.get(index).map_or(0, |t| t.0) as f64 / 1000.0),
                        (Take::Value, Some(h)) => {
                            samples += super::block::histogram_size(h);
                            Cell::Histogram(h.clone())
                        }
                        (Take::Value, None) => Cell::Float(view.values[index]),
                    },
                );
            }
            if samples == 0 {
                block.pop();
            }
            self.ctx.budget.count_read(samples * self.steps.count / times.len());
            self.ctx.budget.hold(&mut lease, samples.max(times.len() / CELLS_PER_SAMPLE))
        })?;
        block.lease = lease;
        if at.is_some() && self.steps.count > 1 {
            return Ok(block.broadcast(self.steps.count));
        }
        Ok(block)
    }

    /// `selector smoothed`: linear between the samples around each step; the last value is carried on where no later one is known.
    fn select_smoothed(&self, selector: &VectorSelector) -> Outcome<Block> {
        let (offset, at) = self.modifiers(&selector.modifiers)?;
        let lookback = self.ctx.lookback;
        let times: Vec<i64> = (0..self.steps.count).map(|i| at.unwrap_or_else(|| self.steps.at(i)) - offset).collect();
        let (first, last) = (times[0], times[times.len() - 1]);
        let mut block = self.block();
        let mut lease = self.ctx.budget.lease();
        let mut scratch = Scratch::default();
        self.visit(selector, (first - lookback, last + lookback), false, |view, _| {
            let samples = split(&view, &[], &mut scratch);
            if samples.is_empty() {
                return Ok(());
            }
            let row = block.push(Meta { labels: view.labels.clone(), drop_name: false });
            for (step, time) in times.iter().enumerate() {
                if let Some(cell) = self.smoothed_cell(&samples, *time, view.labels.metric_name(), selector.span) {
                    block.set(row, step, cell);
                }
            }
            if !block.row_present(row) {
                block.pop();
                return Ok(());
            }
            self.ctx.budget.count_read(samples.len());
            self.ctx.budget.hold(&mut lease, times.len())
        })?;
        block.lease = lease;
        Ok(block)
    }

    fn smoothed_cell(&self, samples: &Split<'_>, time: i64, metric: &str, span: Span) -> Option<Cell> {
        let lookback = self.ctx.lookback;
        let near = |times: &[Timestamp]| {
            let from = times.partition_point(|t| t.0 <= time - lookback);
            let to = times.partition_point(|t| t.0 <= time + lookback);
            let split = times.partition_point(|t| t.0 <= time);
            (from, split.max(from), to.max(split))
        };
        let (from, at, to) = near(samples.float_times);
        let (h_from, h_at, h_to) = near(samples.histogram_times);
        if from < to && h_from < h_to {
            self.ctx.notes.add(&Note::MixedFloatsHistograms(metric), span);
            return None;
        }
        if from < at {
            let before = (samples.float_times[at - 1].0, samples.floats[at - 1]);
            let value = if before.0 == time || at == to {
                before.1
            } else {
                interpolate(before, (samples.float_times[at].0, samples.floats[at]), time, false)
            };
            return Some(Cell::Float(value));
        }
        if h_from < h_at {
            let before = (samples.histogram_times[h_at - 1].0, &*samples.histograms[h_at - 1]);
            if before.0 == time {
                return Some(Cell::Histogram(samples.histograms[h_at - 1].clone()));
            }
            if h_at == h_to {
                // The hint was about the sample before, not about this value.
                return Some(Cell::Histogram(Arc::new(NativeHistogram { counter_reset: CounterResetHint::Unknown, ..before.1.clone() })));
            }
            let after = (samples.histogram_times[h_at].0, &*samples.histograms[h_at]);
            let mut reconciled = |op: Operation| self.ctx.notes.add(&Note::MismatchedCustomBuckets(op), span);
            let gauge = |h: &NativeHistogram| h.counter_reset == CounterResetHint::Gauge;
            let counter = !(gauge(before.1) && gauge(after.1));
            return match interpolate_histograms(before, after, time, counter, &mut reconciled) {
                Ok(h) => Some(Cell::Histogram(Arc::new(h))),
                Err(_) => {
                    self.ctx.notes.add(&Note::MixedExponentialCustom(metric), span);
                    None
                }
            };
        }
        None
    }
}
