//! Aggregations that make one value of a group: `sum`, `avg`, `min`, `max`, `count`, `group`, `stddev`, `stdvar`, `quantile`, `count_values`.

use super::block::{Block, Meta};
use super::{Evaluator, Outcome, Scalars};
use crate::annotations::{Note, Operation};
use crate::ast::{Aggregate, AggregateOp, Expr};
use crate::error::EvalError;
use crate::functions::over_time::Cell;
use crate::functions::statistics::variance;
use crate::functions::sums::{HistogramTotal, RunningAverage, Total};
use crate::histogram::arithmetic::IncompatibleSchema;
use crate::histogram::buckets::compact;
use crate::histogram::quantile::quantile;
use crate::histogram::text::label_text;
use crate::number::{format_decimal, kahan};
use crate::parser::quote::{go_quote, is_utf8};
use std::sync::Arc;
use watchfire_model::{CounterResetHint, Label, Labels, LabelsBuilder, METRIC_NAME, NativeHistogram};

/// Label sets to dense numbers.
#[derive(Default)]
pub struct Groups {
    pub labels: Vec<Labels>,
    index: hashbrown::HashMap<Labels, u32, foldhash::fast::RandomState>,
}

impl Groups {
    pub fn id(&mut self, labels: Labels) -> u32 {
        if let Some(id) = self.index.get(&labels) {
            return *id;
        }
        let id = self.labels.len() as u32;
        self.index.insert(labels.clone(), id);
        self.labels.push(labels);
        id
    }
}

/// The number of the group of each series.
pub fn group_ids(aggregate: &Aggregate, series: &[Meta]) -> (Groups, Vec<usize>) {
    let mut groups = Groups::default();
    if !aggregate.without && aggregate.grouping.is_empty() {
        if !series.is_empty() {
            groups.id(Labels::empty());
        }
        return (groups, vec![0; series.len()]);
    }
    let ids = series.iter().map(|m| groups.id(group_labels(aggregate, &m.labels)) as usize).collect();
    (groups, ids)
}

/// The labels of the group a series belongs to.
pub fn group_labels(aggregate: &Aggregate, labels: &Labels) -> Labels {
    let listed = |name: &str| aggregate.grouping.iter().any(|g| g == name);
    if !aggregate.without && aggregate.grouping.is_empty() {
        return Labels::empty();
    }
    let reserved = ["__name__", "__type__", "__unit__"];
    let keep = |l: &&Label| if aggregate.without { !listed(&l.name) && !reserved.contains(&&*l.name) } else { listed(&l.name) };
    let mut builder = LabelsBuilder::new();
    for label in labels.iter().filter(keep) {
        builder.set_shared(label.name.clone(), label.value.clone());
    }
    builder.build()
}

/// What a group has come to at one step.
pub enum State {
    Empty,
    Sum {
        sum: f64,
        c: f64,
    },
    Average(RunningAverage),
    Extreme(f64),
    Count(f64),
    Values(Vec<f64>),
    Histogram(Box<HistogramState>),
    /// Floats and histograms met, or histograms that do not combine.
    Spoiled,
}

pub struct HistogramState {
    total: HistogramTotal,
    reset: bool,
    not_reset: bool,
}

impl HistogramState {
    fn new(h: &NativeHistogram, kind: Total) -> Self {
        let mut state = HistogramState { total: HistogramTotal::new(h, kind), reset: false, not_reset: false };
        state.hint(h);
        state
    }

    fn hint(&mut self, h: &NativeHistogram) {
        self.reset |= h.counter_reset == CounterResetHint::Reset;
        self.not_reset |= h.counter_reset == CounterResetHint::NotReset;
    }
}

impl Evaluator<'_> {
    pub fn aggregate(&self, aggregate: &Aggregate) -> Outcome<Block> {
        match aggregate.op {
            AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio => return self.ranked(aggregate),
            AggregateOp::CountValues => return self.count_values(aggregate),
            _ => {}
        }
        if let Some(block) = self.fused(aggregate)? {
            return Ok(block);
        }
        let parameter = match &aggregate.param {
            Some(param) => self.eval_scalar(param)?,
            None => Scalars::default(),
        };
        if let Some(param) = &aggregate.param {
            for q in parameter.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
                self.ctx.notes.add(&Note::InvalidQuantile(*q), param.span());
            }
        }
        let input = self.eval_vector(&aggregate.expr)?;
        let steps = input.steps;
        let (groups, ids) = group_ids(aggregate, &input.series);
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); groups.labels.len()];
        for (series, group) in ids.iter().enumerate() {
            members[*group].push(series);
        }
        let mut out = self.block();
        let mut states: Vec<State> = Vec::new();
        states.resize_with(steps, || State::Empty);
        for (labels, members) in groups.labels.into_iter().zip(members) {
            let drop_name = members.iter().any(|series| input.series[*series].drop_name);
            for (series, step) in members.iter().flat_map(|series| (0..steps).map(move |step| (*series, step))) {
                self.ctx.budget.tick(1)?;
                let meta = &input.series[series];
                let state = &mut states[step];
                if let Some(v) = input.float(series, step) {
                    add_float(aggregate.op, state, v, || {
                        self.ctx.notes.add(&Note::MixedFloatsHistogramsInAggregation, aggregate.expr.span())
                    });
                } else if let Some(h) = input.histogram(series, step) {
                    self.add_histogram(aggregate, state, h, meta.labels.metric_name());
                }
            }
            let row = self.push_row(&mut out, Meta { labels, drop_name })?;
            for (step, state) in states.iter_mut().enumerate() {
                let state = std::mem::replace(state, State::Empty);
                let q = parameter.get(step).copied().unwrap_or(f64::NAN);
                if let Some(cell) = self.finish(aggregate, state, q) {
                    out.set(row, step, cell);
                }
            }
        }
        out.retain_present();
        let samples = out.samples();
        self.ctx.budget.hold(&mut out.lease, samples)?;
        Ok(out)
    }

    fn add_histogram(&self, aggregate: &Aggregate, state: &mut State, h: &NativeHistogram, metric: &str) {
        let span = aggregate.expr.span();
        match aggregate.op {
            AggregateOp::Count | AggregateOp::Group => add_float(aggregate.op, state, 0.0, || ()),
            AggregateOp::Sum | AggregateOp::Avg => match state {
                State::Empty => {
                    let kind = if aggregate.op == AggregateOp::Avg { Total::Average } else { Total::Sum };
                    *state = State::Histogram(Box::new(HistogramState::new(h, kind)));
                }
                State::Histogram(sum) => {
                    sum.hint(h);
                    if let Err(IncompatibleSchema) = sum.total.add(h) {
                        self.ctx.notes.add(&Note::MixedExponentialCustom(metric), span);
                        *state = State::Spoiled;
                    }
                }
                State::Spoiled => {}
                _ => {
                    self.ctx.notes.add(&Note::MixedFloatsHistogramsInAggregation, span);
                    *state = State::Spoiled;
                }
            },
            op => self.ctx.notes.add(&Note::HistogramIgnoredInAggregation(op.name()), span),
        }
    }

    pub fn finish(&self, aggregate: &Aggregate, state: State, q: f64) -> Option<Cell> {
        Some(match state {
            State::Empty | State::Spoiled => return None,
            State::Sum { sum, c } => Cell::Float(if sum.is_infinite() { sum } else { sum + c }),
            State::Average(average) => Cell::Float(average.finish()),
            State::Extreme(v) | State::Count(v) => Cell::Float(v),
            State::Values(mut values) => Cell::Float(match aggregate.op {
                AggregateOp::Quantile => quantile(q, &mut values),
                AggregateOp::Stddev => variance(&values).sqrt(),
                _ => variance(&values),
            }),
            State::Histogram(state) => {
                let span = aggregate.expr.span();
                if state.reset && state.not_reset {
                    self.ctx.notes.add(&Note::CounterResetCollision(Operation::Aggregation), span);
                }
                if state.total.reconciled {
                    self.ctx.notes.add(&Note::MismatchedCustomBuckets(Operation::Aggregation), span);
                }
                let mut h = state.total.finish();
                compact(&mut h);
                Cell::Histogram(Arc::new(h))
            }
        })
    }

    fn count_values(&self, aggregate: &Aggregate) -> Outcome<Block> {
        let Some(Expr::Text { value: name, .. }) = aggregate.param.as_ref().map(Expr::unwrap_parens) else {
            return Err(EvalError::execution("count_values needs a label name"));
        };
        if name.is_empty() || !is_utf8(name) {
            return Err(EvalError::execution(format!("invalid label name {}", go_quote(name))));
        }
        let input = self.eval_vector(&aggregate.expr)?;
        // `without` takes its labels away after the value became one.
        let taken_away = aggregate.without && (name == METRIC_NAME || aggregate.grouping.iter().any(|label| label == name));
        let mut rows = Groups::default();
        let mut out = self.block();
        for (series, meta) in input.series.iter().enumerate() {
            let group = group_labels(aggregate, &meta.labels);
            for step in 0..input.steps {
                self.ctx.budget.tick(1)?;
                let text = match input.cell(series, step) {
                    Some(Cell::Float(v)) => format_decimal(v),
                    Some(Cell::Histogram(h)) => label_text(&h),
                    None => continue,
                };
                let mut builder = group.to_builder();
                if taken_away {
                    builder.remove(name);
                } else {
                    builder.set(name, &text);
                }
                let labels = builder.build();
                let row = rows.id(labels.clone()) as usize;
                if row == out.len() {
                    self.push_row(&mut out, Meta { labels, drop_name: meta.drop_name && name != METRIC_NAME })?;
                }
                let count = out.float(row, step).unwrap_or(0.0);
                out.set(row, step, Cell::Float(count + 1.0));
            }
        }
        let samples = out.samples();
        self.ctx.budget.hold(&mut out.lease, samples)?;
        Ok(out)
    }
}

#[inline]
pub fn add_float(op: AggregateOp, state: &mut State, v: f64, mixed: impl Fn()) {
    match state {
        State::Empty => {
            *state = match op {
                AggregateOp::Sum => State::Sum { sum: v, c: 0.0 },
                AggregateOp::Avg => State::Average(RunningAverage::new(v)),
                AggregateOp::Min | AggregateOp::Max => State::Extreme(v),
                AggregateOp::Count | AggregateOp::Group => State::Count(1.0),
                _ => State::Values(vec![v]),
            }
        }
        State::Sum { sum, c } => (*sum, *c) = kahan(v, *sum, *c),
        State::Average(average) => average.add(v),
        State::Extreme(best) => {
            let better = if op == AggregateOp::Max { v > *best } else { v < *best };
            if better || best.is_nan() {
                *best = v;
            }
        }
        State::Count(n) => {
            if op == AggregateOp::Count {
                *n += 1.0;
            }
        }
        State::Values(values) => values.push(v),
        State::Histogram(_) => {
            mixed();
            *state = State::Spoiled;
        }
        State::Spoiled => {}
    }
}
