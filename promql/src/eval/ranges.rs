//! Functions of windows, over selectors and over subqueries: all steps of a series in one pass.

use super::block::{Block, Meta};
use super::{Evaluator, Outcome, Scalars, Steps};
use crate::annotations::Note;
use crate::ast::{Call, Expr, MatrixSelector, Span, Subquery};
use crate::error::EvalError;
use crate::functions::extended::float_bounds;
use crate::functions::over_time::{self, Cell, OverTime, WindowContext};
use crate::functions::window::{Cursor, Scratch, Split, split};
use std::collections::HashSet;
use std::sync::Arc;
use watchfire_model::{CounterResetHint, Labels, METRIC_NAME, NativeHistogram, SeriesData, Timestamp, Value};

/// The windows a range argument asks for.
#[derive(Clone, Copy)]
pub struct Windows {
    pub offset: i64,
    pub range: i64,
    /// `@`: the same window at every step.
    pub pinned: Option<i64>,
    pub anchored: bool,
    pub smoothed: bool,
    /// How far before and after the window samples are also wanted.
    pub before: i64,
    pub after: i64,
}

impl Windows {
    /// `(start, end]` at an evaluation time.
    pub fn bounds(&self, at: i64) -> (i64, i64) {
        let end = self.pinned.unwrap_or(at) - self.offset;
        (end - self.range, end)
    }

    /// Everything any step needs.
    fn extent(&self, steps: &Steps) -> (i64, i64) {
        let (first, last) = (self.bounds(steps.start), self.bounds(steps.end()));
        (first.0 - self.before, last.1 + self.after)
    }
}

/// A function of windows with the arguments it has at each step.
struct Job<'a> {
    function: Option<OverTime>,
    scalars: Vec<Scalars>,
    windows: Windows,
    span: Span,
    block: Block,
    notes: &'a crate::annotations::Notes,
}

impl Evaluator<'_> {
    pub fn windows(&self, matrix: &MatrixSelector) -> Outcome<Windows> {
        let (offset, pinned) = self.modifiers(&matrix.vector.modifiers)?;
        let range = matrix.range.millis(self.ctx.times, false).map_err(EvalError::Execution)?;
        let (anchored, smoothed) = (matrix.vector.anchored, matrix.vector.smoothed);
        let lookback = self.ctx.lookback;
        Ok(Windows {
            offset,
            range,
            pinned,
            anchored,
            smoothed,
            before: if anchored || smoothed { lookback } else { 0 },
            after: if smoothed { lookback } else { 0 },
        })
    }

    /// A call with a range argument. `function` is `None` for `absent_over_time`.
    pub fn range_call(&self, call: &Call, function: Option<OverTime>) -> Outcome<Block> {
        let mut scalars = Vec::new();
        let mut matrix = None;
        for arg in &call.args {
            match arg.unwrap_parens() {
                found @ (Expr::Matrix(_) | Expr::Subquery(_)) => matrix = Some(found),
                _ => scalars.push(self.eval_scalar(arg)?),
            }
        }
        let matrix = matrix.ok_or_else(|| EvalError::execution(format!("{} needs a range vector", call.function.name)))?;
        let span = call.args.first().map_or(call.span, Expr::span);
        let mut job = Job {
            function,
            scalars,
            windows: Windows { offset: 0, range: 0, pinned: None, anchored: false, smoothed: false, before: 0, after: 0 },
            span,
            block: self.block(),
            notes: &self.ctx.notes,
        };
        match matrix {
            Expr::Matrix(matrix) => {
                job.windows = self.windows(matrix)?;
                check_modifier(call.function.name, function, &job.windows)?;
                let starts = function.is_some_and(OverTime::uses_starts);
                let mut scratch = Scratch::default();
                self.visit(&matrix.vector, job.windows.extent(&self.steps), starts, |view, starts| {
                    let series = split(&view, starts, &mut scratch);
                    let rows = job.block.len();
                    self.run(&mut job, &series, view.labels, false)?;
                    if job.block.len() > rows {
                        job.block.ids.push(view.id);
                    }
                    Ok(())
                })?;
            }
            Expr::Subquery(subquery) => {
                let (rows, grid, windows) = self.subquery(subquery)?;
                job.windows = windows;
                let mut scratch = Scratch::default();
                for (index, meta) in rows.series.iter().enumerate() {
                    self.ctx.budget.tick(1 + rows.steps / 64)?;
                    fill(&mut scratch, &rows, index, grid);
                    self.run(&mut job, &scratch.split(), &meta.labels, meta.drop_name)?;
                }
            }
            _ => {}
        }
        if function.is_none() {
            return self.where_absent(&job.block, &call.args[0]);
        }
        Ok(job.block)
    }

    /// All windows of one series.
    fn run(&self, job: &mut Job<'_>, series: &Split<'_>, labels: &Labels, name_dropped: bool) -> Outcome<()> {
        if series.is_empty() {
            return Ok(());
        }
        let function = job.function;
        let keeps = function.is_some_and(OverTime::keeps_name);
        let row = job.block.push(Meta { labels: labels.clone(), drop_name: name_dropped || !keeps });
        let mut cursor = Cursor::default();
        let mut samples = 0;
        let range_seconds = job.windows.range as f64 / 1000.0;
        for step in 0..self.steps.count {
            let at = self.steps.at(step);
            let (start, end) = job.windows.bounds(at);
            let window = series.window(&mut cursor, start - job.windows.before, end + job.windows.after);
            if window.is_empty() {
                continue;
            }
            self.ctx.budget.tick(1 + window.len() / 16)?;
            self.ctx.budget.count_read(window.len());
            let Some(function) = function else {
                job.block.set(row, step, Cell::Float(1.0));
                samples += 1;
                continue;
            };
            let scalar = |i: usize| job.scalars.get(i).map_or(0.0, |values| values[step]);
            let context = WindowContext {
                at,
                start,
                end,
                range_seconds,
                anchored: job.windows.anchored,
                smoothed: job.windows.smoothed,
                scalars: [scalar(0), scalar(1)],
                labels,
                notes: job.notes,
                first_span: job.span,
            };
            if let Some(cell) = over_time::evaluate(function, &window, &context).map_err(EvalError::Execution)? {
                job.block.set(row, step, cell);
                samples += 1;
            }
        }
        if samples == 0 {
            job.block.pop();
            return Ok(());
        }
        self.ctx.budget.hold(&mut job.block.lease, samples.max(self.row_weight()))?;
        if !name_dropped
            && matches!(function, Some(OverTime::Rate | OverTime::Increase))
            && job.block.row(row).iter().any(|v| !watchfire_model::is_stale(*v))
        {
            self.note_non_counter(labels, job.span);
        }
        Ok(())
    }

    /// An info when a counter function meets a metric that does not look like a counter.
    pub fn note_non_counter(&self, labels: &Labels, span: Span) {
        if !is_suspect(labels) {
            return;
        }
        let metric = labels.metric_name();
        match labels.get("__type__") {
            Some(kind) => self.ctx.notes.add(&Note::PossibleNonCounterLabel { metric, kind }, span),
            None => self.ctx.notes.add(&Note::PossibleNonCounter(metric), span),
        }
    }

    /// The one series of `absent` and `absent_over_time`: 1 where nothing was found.
    pub fn where_absent(&self, found: &Block, sought: &Expr) -> Outcome<Block> {
        let mut block = self.block();
        let row = self.push_row(&mut block, Meta { labels: absent_labels(sought), drop_name: false })?;
        for step in 0..self.steps.count {
            if !(0..found.len()).any(|series| found.is_present(series, step)) {
                block.set(row, step, Cell::Float(1.0));
            }
        }
        block.retain_present();
        Ok(block)
    }

    /// Evaluates a subquery's expression on its own grid.
    pub fn subquery(&self, subquery: &Subquery) -> Outcome<(Block, Steps, Windows)> {
        let millis = |d: &crate::ast::DurationExpr| d.millis(self.ctx.times, false).map_err(EvalError::Execution);
        let (offset, pinned) = self.modifiers(&subquery.modifiers)?;
        let range = millis(&subquery.range)?;
        let interval = match &subquery.step {
            Some(step) => millis(step)?.max(1),
            None => self.ctx.subquery_step,
        };
        let end = pinned.unwrap_or_else(|| self.steps.end()) - offset;
        let from = pinned.unwrap_or(self.steps.start) - offset - range;
        // The first multiple of the step inside the left-open range.
        let mut start = interval * (from / interval);
        if start <= from {
            start += interval;
        }
        let count = if end < start { 0 } else { ((end - start) / interval + 1) as usize };
        let windows = Windows { offset, range, pinned, anchored: false, smoothed: false, before: 0, after: 0 };
        let grid = Steps { start, interval, count };
        if count == 0 {
            return Ok((Block::new(0, self.ctx.budget.lease()), grid, windows));
        }
        if count > self.ctx.budget.limit {
            return Err(EvalError::TooManySamples { limit: self.ctx.budget.limit });
        }
        let child = Evaluator { ctx: self.ctx, steps: grid, counts_only: false };
        let read = self.ctx.budget.read();
        let rows = child.eval_vector(&subquery.expr)?;
        self.ctx.budget.read_only(read);
        Ok((rows, grid, windows))
    }

    /// A range vector as the result of an instant query.
    pub fn matrix(&self, expr: &Expr) -> Outcome<Vec<SeriesData>> {
        let mut out = Vec::new();
        match expr.unwrap_parens() {
            Expr::Matrix(matrix) => {
                let windows = self.windows(matrix)?;
                let (start, end) = windows.bounds(self.steps.start);
                let mut scratch = Scratch::default();
                let mut lease = self.ctx.budget.lease();
                self.visit(&matrix.vector, windows.extent(&self.steps), false, |view, _| {
                    let samples = split(&view, &[], &mut scratch);
                    let data = if windows.anchored || windows.smoothed {
                        let name = if windows.anchored { "anchored" } else { "smoothed" };
                        if !samples.histograms.is_empty() {
                            return Err(EvalError::execution(format!("{name} modifier is not supported with histograms")));
                        }
                        extend(&samples, (start, end), windows.smoothed)
                    } else {
                        collect(&samples)
                    };
                    self.ctx.budget.count_read(data.len());
                    self.ctx.budget.hold(&mut lease, data.len())?;
                    if !data.is_empty() {
                        let (times, values) = data.into_iter().unzip();
                        out.push(SeriesData { labels: view.labels.clone(), times, values });
                    }
                    Ok(())
                })?;
            }
            Expr::Subquery(subquery) => {
                let (rows, grid, _) = self.subquery(subquery)?;
                let mut scratch = Scratch::default();
                for (index, meta) in rows.series.iter().enumerate() {
                    fill(&mut scratch, &rows, index, grid);
                    let (times, values): (Vec<_>, Vec<_>) = collect(&scratch.split()).into_iter().unzip();
                    self.ctx.budget.count_read(times.len());
                    if !times.is_empty() {
                        let labels = if meta.drop_name { super::block::without_reserved(&meta.labels) } else { meta.labels.clone() };
                        out.push(SeriesData { labels, times, values });
                    }
                }
                let mut seen = HashSet::new();
                if !out.iter().all(|s| seen.insert(s.labels.clone())) {
                    return Err(EvalError::execution("vector cannot contain metrics with the same labelset"));
                }
            }
            _ => {}
        }
        out.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(out)
    }
}

/// True when a metric does not look like a counter, by its type or else by its name.
pub fn is_suspect(labels: &Labels) -> bool {
    let reserved = |name: &str| labels.reserved().find(|l| &*l.name == name).map(|l| &*l.value);
    let name = reserved(METRIC_NAME).unwrap_or("");
    match reserved("__type__") {
        _ if name.is_empty() => false,
        Some(kind) => kind != "counter" && kind != "histogram",
        None => !["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix)),
    }
}

fn check_modifier(name: &str, function: Option<OverTime>, windows: &Windows) -> Outcome<()> {
    if windows.anchored && !function.is_some_and(OverTime::allows_anchored) {
        let message = format!("anchored modifier can only be used with: changes, delta, increase, rate, resets - not with {name}");
        return Err(EvalError::Execution(message));
    }
    if windows.smoothed && !function.is_some_and(OverTime::allows_smoothed) {
        let message = format!("smoothed modifier can only be used with: delta, increase, rate - not with {name}");
        return Err(EvalError::Execution(message));
    }
    Ok(())
}

/// Labels that an absent series would have had: those matched exactly once and by equality.
fn absent_labels(expr: &Expr) -> Labels {
    let matchers = match expr {
        Expr::Vector(v) => &v.matchers,
        Expr::Matrix(m) => &m.vector.matchers,
        _ => return Labels::empty(),
    };
    let mut builder = watchfire_model::LabelsBuilder::new();
    let mut seen = HashSet::new();
    for m in matchers.iter().filter(|m| &*m.name != watchfire_model::METRIC_NAME) {
        if m.op == watchfire_model::MatchOp::Equal && seen.insert(m.name.clone()) {
            builder.set(&m.name, &m.value);
        } else {
            builder.remove(&m.name);
        }
    }
    builder.build()
}

/// One row of a block as samples.
fn fill(scratch: &mut Scratch, rows: &Block, index: usize, grid: Steps) {
    scratch.clear();
    for step in 0..rows.steps {
        let at = Timestamp(grid.at(step));
        match rows.histogram(index, step) {
            // The grid skips and repeats samples: what was known about resets between neighbours is not known here.
            Some(h) if matches!(h.counter_reset, CounterResetHint::Reset | CounterResetHint::NotReset) => {
                let unknown = NativeHistogram { counter_reset: CounterResetHint::Unknown, ..(**h).clone() };
                scratch.push(at, 0.0, Some(&Arc::new(unknown)), None);
            }
            Some(h) => scratch.push(at, 0.0, Some(h), None),
            None => scratch.push(at, rows.floats[index * rows.steps + step], None, None),
        }
    }
}

fn collect(samples: &Split<'_>) -> Vec<(Timestamp, Value)> {
    let floats = samples.float_times.iter().copied().zip(samples.floats.iter().map(|v| Value::Float(*v)));
    let histograms = samples.histogram_times.iter().copied().zip(samples.histograms.iter().map(|h| Value::Histogram(h.clone())));
    let mut out: Vec<_> = floats.chain(histograms).collect();
    out.sort_by_key(|(at, _)| *at);
    out
}

/// Samples of an anchored or smoothed window, with one at each end.
fn extend(samples: &Split<'_>, (start, end): (i64, i64), smoothed: bool) -> Vec<(Timestamp, Value)> {
    let (times, values) = (samples.float_times, samples.floats);
    let Some(mut last) = times.len().checked_sub(1) else { return Vec::new() };
    let mut first = times[..last].partition_point(|t| t.0 <= start).saturating_sub(1);
    if smoothed {
        last = times[..last].partition_point(|t| t.0 < end);
    }
    if times[last].0 <= start {
        return Vec::new();
    }
    let (left, right) = float_bounds(times, values, (first, last), (start, end), smoothed, false);
    if times[first].0 <= start {
        first += 1;
    }
    let until = if times[last].0 >= end { last } else { last + 1 };
    let mut out = vec![(Timestamp(start), Value::Float(left))];
    for i in first..until {
        out.push((times[i], Value::Float(values[i])));
    }
    out.push((Timestamp(end), Value::Float(right)));
    out
}
