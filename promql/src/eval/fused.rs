//! Aggregations of instant queries computed while their input is being selected: group numbers are remembered between evaluations, and
//! neither labels nor an intermediate result are touched.

use super::aggregate::{State, add_float, group_labels};
use super::block::{Block, Meta};
use super::{Evaluator, Outcome};
use crate::ast::{Aggregate, AggregateOp, Call, Expr, MatrixSelector, VectorSelector};
use crate::error::EvalError;
use crate::functions::Kind;
use crate::functions::over_time::{self, Cell, OverTime, WindowContext};
use crate::functions::rates::{Growth, Window, extrapolate};
use crate::functions::window::{Scratch, split};
use std::sync::PoisonError;
use watchfire_model::{Labels, SeriesView, is_stale};

/// What is aggregated.
enum Input<'a> {
    Instant(&'a VectorSelector),
    Range(&'a Call, OverTime, &'a MatrixSelector),
}

impl Evaluator<'_> {
    /// `None` when the aggregation has another form, or meets a histogram.
    pub fn fused(&self, aggregate: &Aggregate) -> Outcome<Option<Block>> {
        use AggregateOp::{Avg, Count, Group, Max, Min, Sum};
        if self.steps.count != 1 || !matches!(aggregate.op, Sum | Avg | Min | Max | Count | Group) {
            return Ok(None);
        }
        let Some(input) = input(&aggregate.expr) else { return Ok(None) };
        let mut groups = GroupStates::new(self, aggregate, &input);
        let complete = match input {
            Input::Instant(selector) => self.fused_instant(selector, &mut groups)?,
            Input::Range(call, function, matrix) => self.fused_range(call, function, matrix, &mut groups)?,
        };
        if !complete {
            return Ok(None);
        }
        let drop_name = matches!(input, Input::Range(_, function, _) if !function.keeps_name());
        let mut out = self.block();
        for (group, state) in groups.states.into_iter().enumerate() {
            if let Some(cell) = self.finish(aggregate, state, f64::NAN) {
                let labels = groups.plan.lock().unwrap_or_else(PoisonError::into_inner).groups[group].clone();
                let row = out.push(Meta { labels, drop_name });
                out.set(row, 0, cell);
            }
        }
        let samples = out.len();
        self.ctx.budget.hold(&mut out.lease, samples)?;
        Ok(Some(out))
    }

    fn fused_instant(&self, selector: &VectorSelector, groups: &mut GroupStates<'_>) -> Outcome<bool> {
        let (offset, at) = self.modifiers(&selector.modifiers)?;
        let time = at.unwrap_or(self.steps.start) - offset;
        let (mut complete, mut read) = (true, 0);
        let plan = groups.plan.clone();
        let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
        self.visit(selector, (time - self.ctx.lookback, time), false, |view, _| {
            let Some(value) = view.values.last() else { return Ok(()) };
            if view.histograms.last().is_some_and(Option::is_some) {
                complete = false;
            } else if complete && !is_stale(*value) {
                read += 1;
                groups.add(&mut plan, &view, *value);
            }
            Ok(())
        })?;
        // Who is not complete is evaluated once more, in the general way.
        self.ctx.budget.count_read(if complete { read } else { 0 });
        Ok(complete)
    }

    fn fused_range(&self, call: &Call, function: OverTime, matrix: &MatrixSelector, groups: &mut GroupStates<'_>) -> Outcome<bool> {
        let windows = self.windows(matrix)?;
        let (start, end) = windows.bounds(self.steps.start);
        let range_seconds = windows.range as f64 / 1000.0;
        let span = call.args.first().map_or(call.span, Expr::span);
        let growth = Growth::of(function);
        let (mut complete, mut read) = (true, 0);
        let (mut scratch, mut reach) = (Scratch::default(), None);
        let plan = groups.plan.clone();
        let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
        self.visit(&matrix.vector, (start, end), function.uses_starts(), |view, starts| {
            if !complete || !view.histograms.is_empty() && view.histograms.iter().any(Option::is_some) {
                complete = false;
                return Ok(());
            }
            if let Some(growth) = growth.filter(|_| starts.is_empty()) {
                let window = Window { times: view.times, values: view.values, start, end, range_seconds, rising: view.rising };
                if let Some(result) = extrapolate(&window, growth, &mut reach) {
                    read += view.times.len();
                    if let Some(value) = result {
                        groups.add(&mut plan, &view, value);
                    }
                    return Ok(());
                }
            }
            let samples = split(&view, starts, &mut scratch);
            if samples.is_empty() {
                return Ok(());
            }
            read += samples.len();
            let context = WindowContext {
                at: self.steps.start,
                start,
                end,
                range_seconds,
                anchored: false,
                smoothed: false,
                scalars: [0.0; 2],
                labels: view.labels,
                notes: &self.ctx.notes,
                first_span: span,
            };
            if let Some(Cell::Float(value)) = over_time::evaluate(function, &samples, &context).map_err(EvalError::Execution)? {
                groups.add(&mut plan, &view, value);
            }
            Ok(())
        })?;
        self.ctx.budget.count_read(if complete { read } else { 0 });
        Ok(complete)
    }
}

/// The form of the aggregated expression, if it is one of ours.
fn input(expr: &Expr) -> Option<Input<'_>> {
    match expr.unwrap_parens() {
        Expr::Vector(v) if !v.smoothed => Some(Input::Instant(v)),
        Expr::Call(call) => {
            let Kind::OverTime(function) = call.function.kind else { return None };
            let [arg] = call.args.as_slice() else { return None };
            match arg.unwrap_parens() {
                Expr::Matrix(m) if !m.vector.anchored && !m.vector.smoothed => Some(Input::Range(call, function, m)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Groups by remembered number, and what they have come to.
struct GroupStates<'a> {
    evaluator: &'a Evaluator<'a>,
    aggregate: &'a Aggregate,
    /// The function expects a counter.
    counter: bool,
    plan: std::sync::Arc<std::sync::Mutex<crate::plans::Plan>>,
    states: Vec<State>,
}

impl<'a> GroupStates<'a> {
    fn new(evaluator: &'a Evaluator<'a>, aggregate: &'a Aggregate, input: &Input<'_>) -> Self {
        let (matchers, counter) = match input {
            Input::Instant(v) => (&v.matchers, false),
            Input::Range(_, function, m) => (&m.vector.matchers, matches!(function, OverTime::Rate | OverTime::Increase)),
        };
        let plan = evaluator.ctx.plans.get(aggregate, matchers, counter, evaluator.ctx.source.generation());
        GroupStates { evaluator, aggregate, counter, plan, states: Vec::new() }
    }

    #[inline]
    fn add(&mut self, plan: &mut crate::plans::Plan, view: &SeriesView<'_>, value: f64) {
        let (aggregate, counter) = (self.aggregate, self.counter);
        let compute = |labels: &Labels| (group_labels(aggregate, labels), counter && super::ranges::is_suspect(labels));
        let (group, suspect) = plan.group(view.id, view.labels, compute);
        if suspect {
            self.note(view.labels);
        }
        if group >= self.states.len() {
            self.states.resize_with(group + 1, || State::Empty);
        }
        add_float(aggregate.op, &mut self.states[group], value, || ());
    }

    #[cold]
    fn note(&self, labels: &Labels) {
        if let Expr::Call(call) = self.aggregate.expr.unwrap_parens() {
            self.evaluator.note_non_counter(labels, call.args.first().map_or(call.span, Expr::span));
        }
    }
}
