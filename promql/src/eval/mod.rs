//! The evaluator: one node at a time over all steps, in columns.
//!
//! - [`block`]: intermediate results. [`select`]: selectors to blocks. [`ranges`]: functions of windows, over selectors and subqueries.
//! - [`calls`]: functions of vectors and scalars. [`labels`]: label functions. [`histograms`]: quantiles of both kinds of histogram. [`info`].
//! - [`aggregate`], [`ranked`]: aggregations. [`binary`]: operators. [`matching`]: vectors joined by labels.

pub(crate) mod aggregate;
pub(crate) mod binary;
pub(crate) mod block;
mod calls;
mod fused;
pub(crate) mod hash;
mod histograms;
mod info;
mod labels;
mod matching;
mod ranges;
mod ranked;
pub(crate) mod select;

pub(crate) use binary::label_text;
pub(crate) use histograms::parse_bound as histograms_bound;

use crate::annotations::Notes;
use crate::ast::{At, Expr, Modifiers};
use crate::engine::Interrupt;
use crate::error::EvalError;
use crate::functions::Kind;
use crate::parser::QueryTimes;
use crate::plans::Plans;
use block::{Block, Meta};
use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;
use watchfire_model::{Labels, SeriesSource};

pub type Outcome<T> = Result<T, EvalError>;

/// How many samples are held, and whether to go on.
pub struct Budget<'a> {
    pub limit: usize,
    live: Rc<Cell<usize>>,
    peak: Cell<usize>,
    read: Cell<usize>,
    ticks: Cell<usize>,
    pub interrupt: Option<&'a (dyn Fn() -> Option<Interrupt> + Sync)>,
}

/// Samples accounted to a block, given back when it goes.
#[derive(Default)]
pub struct Lease {
    live: Option<Rc<Cell<usize>>>,
    held: usize,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            live.set(live.get().saturating_sub(self.held));
        }
    }
}

/// Rows have room for every step. This many places count as one sample, so that sparse rows are bounded, too.
pub const CELLS_PER_SAMPLE: usize = 4;

/// Ticks between two looks at the interrupt.
const TICKS: usize = 256;

/// Times farther from the epoch than this (milliseconds; 73 million years) are taken for it: offsets, ranges and a lookback can be added without
/// leaving 64 bits, and no sample is out there.
pub const FARTHEST: i64 = i64::MAX / 4;

impl<'a> Budget<'a> {
    pub fn new(limit: usize, interrupt: Option<&'a (dyn Fn() -> Option<Interrupt> + Sync)>) -> Self {
        Budget { limit, live: Rc::default(), peak: Cell::new(0), read: Cell::new(0), ticks: Cell::new(0), interrupt }
    }

    pub fn lease(&self) -> Lease {
        Lease { live: Some(self.live.clone()), held: 0 }
    }

    /// Accounts more samples to a lease.
    pub fn hold(&self, lease: &mut Lease, samples: usize) -> Outcome<()> {
        lease.held += samples;
        let live = self.live.get() + samples;
        self.live.set(live);
        self.peak.set(self.peak.get().max(live));
        if live > self.limit { Err(EvalError::TooManySamples { limit: self.limit }) } else { Ok(()) }
    }

    /// Called for every unit of work; looks at the interrupt now and then.
    #[inline]
    pub fn tick(&self, work: usize) -> Outcome<()> {
        let ticks = self.ticks.get() + work;
        if ticks < TICKS {
            self.ticks.set(ticks);
            return Ok(());
        }
        self.ticks.set(0);
        self.check()
    }

    pub fn check(&self) -> Outcome<()> {
        match self.interrupt.and_then(|interrupt| interrupt()) {
            None => Ok(()),
            Some(Interrupt::Timeout) => Err(EvalError::Timeout),
            Some(Interrupt::Canceled) => Err(EvalError::Canceled),
        }
    }

    pub fn peak(&self) -> usize {
        self.peak.get()
    }

    /// Counts samples that a selector or a window gave to a step, as Prometheus does: again for every step that they are given to.
    pub fn count_read(&self, samples: usize) {
        self.read.set(self.read.get().saturating_add(samples));
    }

    pub fn read(&self) -> usize {
        self.read.get()
    }

    /// Forgets what was read since: of a subquery its windows count, not what they are made of.
    pub fn read_only(&self, samples: usize) {
        self.read.set(samples);
    }
}

/// What stays the same during one query.
pub struct Context<'a> {
    pub source: &'a dyn SeriesSource,
    pub plans: &'a Plans,
    pub lookback: i64,
    pub label_bytes: usize,
    pub subquery_step: i64,
    pub notes: Notes,
    pub budget: Budget<'a>,
    pub times: QueryTimes,
    pub start: i64,
    pub end: i64,
    pub is_range: bool,
}

/// The evaluation times: `start`, `start + interval`, ...
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    pub start: i64,
    pub interval: i64,
    pub count: usize,
}

impl Steps {
    pub fn at(&self, step: usize) -> i64 {
        self.start + self.interval * step as i64
    }

    pub fn end(&self) -> i64 {
        self.at(self.count - 1)
    }
}

/// A value at every step.
pub enum Val {
    Scalar(Scalars),
    Vector(Block),
    Text(String),
}

impl Val {
    /// Numbers there is room for, which is the work of making them.
    fn places(&self) -> usize {
        match self {
            Val::Scalar(values) => values.len(),
            Val::Vector(block) => block.floats.len(),
            Val::Text(_) => 1,
        }
    }
}

/// A number at every step.
#[derive(Default)]
pub struct Scalars {
    values: Vec<f64>,
    lease: Lease,
}

impl Deref for Scalars {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.values
    }
}

#[derive(Clone, Copy)]
pub struct Evaluator<'a> {
    pub ctx: &'a Context<'a>,
    pub steps: Steps,
    /// Only counts and sums of histograms are asked for: their counter resets are then detected while they are read.
    pub counts_only: bool,
}

impl<'a> Evaluator<'a> {
    pub fn eval(&self, expr: &Expr) -> Outcome<Val> {
        if self.steps.count > 1 && !matches!(expr, Expr::Number { .. } | Expr::Text { .. }) && is_invariant(expr) {
            let once = Evaluator { steps: Steps { count: 1, ..self.steps }, ..*self };
            let before = self.ctx.budget.read();
            let value = once.eval_node(expr)?;
            let read = self.ctx.budget.read() - before;
            self.ctx.budget.count_read(read.saturating_mul(self.steps.count - 1));
            return Ok(match value {
                Val::Scalar(values) => self.scalars(vec![values[0]; self.steps.count])?,
                Val::Vector(mut block) => {
                    let more = block.samples() * (self.steps.count - 1);
                    self.ctx.budget.hold(&mut block.lease, more)?;
                    Val::Vector(block.broadcast(self.steps.count))
                }
                Val::Text(text) => Val::Text(text),
            });
        }
        self.eval_node(expr)
    }

    fn eval_node(&self, expr: &Expr) -> Outcome<Val> {
        let value = match expr {
            Expr::Number { value, .. } => self.scalars(vec![*value; self.steps.count])?,
            Expr::Text { value, .. } => Val::Text(value.clone()),
            Expr::Paren { expr, .. } => self.eval(expr)?,
            Expr::Unary { negative, expr, .. } => self.unary(*negative, expr)?,
            Expr::Vector(selector) => Val::Vector(self.select_vector(selector)?),
            Expr::Call(call) => {
                let counts_only = match call.function.kind {
                    Kind::HistogramCount | Kind::HistogramSum | Kind::HistogramAvg => true,
                    Kind::HistogramQuantile | Kind::HistogramQuantiles | Kind::HistogramFraction => false,
                    Kind::HistogramStddev | Kind::HistogramStdvar => false,
                    _ => self.counts_only,
                };
                Evaluator { counts_only, ..*self }.call(call)?
            }
            Expr::Aggregate(aggregate) => Val::Vector(self.aggregate(aggregate)?),
            Expr::Binary(binary) => Evaluator { counts_only: false, ..*self }.binary(binary, expr.span())?,
            Expr::Matrix(_) | Expr::Subquery(_) => {
                return Err(EvalError::execution("a range vector can only be an argument of a function"));
            }
        };
        self.ctx.budget.tick(1 + value.places() / 64)?;
        Ok(value)
    }

    /// A number at every step, accounted for.
    pub fn scalars(&self, values: Vec<f64>) -> Outcome<Val> {
        let mut lease = self.ctx.budget.lease();
        self.ctx.budget.hold(&mut lease, values.len())?;
        Ok(Val::Scalar(Scalars { values, lease }))
    }

    pub fn eval_vector(&self, expr: &Expr) -> Outcome<Block> {
        match self.eval(expr)? {
            Val::Vector(block) => Ok(block),
            _ => Err(EvalError::execution("expected an instant vector")),
        }
    }

    pub fn eval_scalar(&self, expr: &Expr) -> Outcome<Scalars> {
        match self.eval(expr)? {
            Val::Scalar(values) => Ok(values),
            _ => Err(EvalError::execution("expected a scalar")),
        }
    }

    pub fn block(&self) -> Block {
        Block::new(self.steps.count, self.ctx.budget.lease())
    }

    /// A vector of one series without labels, as `vector()` makes of a scalar.
    pub fn one_series(&self, scalars: Scalars) -> Block {
        let mut block = Block::new(scalars.len(), scalars.lease);
        block.series.push(Meta { labels: Labels::empty(), drop_name: false });
        block.floats = scalars.values;
        block
    }

    /// What an almost empty row counts as.
    pub fn row_weight(&self) -> usize {
        self.steps.count / CELLS_PER_SAMPLE
    }

    /// Adds a row to a result, accounting for its room.
    pub fn push_row(&self, block: &mut Block, meta: Meta) -> Outcome<usize> {
        self.ctx.budget.hold(&mut block.lease, self.row_weight())?;
        Ok(block.push(meta))
    }

    fn unary(&self, negative: bool, expr: &Expr) -> Outcome<Val> {
        let value = self.eval(expr)?;
        if !negative {
            return Ok(value);
        }
        Ok(match value {
            Val::Scalar(mut scalars) => {
                scalars.values.iter_mut().for_each(|v| *v = -*v);
                Val::Scalar(scalars)
            }
            Val::Vector(mut block) => {
                for v in &mut block.floats {
                    if !watchfire_model::is_stale(*v) {
                        *v = -*v;
                    }
                }
                for h in block.histograms.iter_mut().flatten() {
                    let mut negated = (**h).clone();
                    crate::histogram::arithmetic::multiply(&mut negated, -1.0);
                    *h = std::sync::Arc::new(negated);
                }
                block.drop_names();
                Val::Vector(block)
            }
            Val::Text(text) => Val::Text(text),
        })
    }

    /// Offset in milliseconds and, with `@`, the time it pins to.
    pub fn modifiers(&self, modifiers: &Modifiers) -> Outcome<(i64, Option<i64>)> {
        let offset = match &modifiers.offset {
            Some(offset) => offset.millis(self.ctx.times, true).map_err(EvalError::Execution)?,
            None => 0,
        };
        let at = modifiers.at.map(|at| match at {
            At::Time(t) => t.clamp(-FARTHEST, FARTHEST),
            At::Start => self.ctx.start,
            At::End => self.ctx.end,
        });
        Ok((offset, at))
    }
}

/// True when the value is the same at every step.
pub fn is_invariant(expr: &Expr) -> bool {
    match expr {
        Expr::Number { .. } | Expr::Text { .. } => true,
        Expr::Vector(v) => v.modifiers.at.is_some(),
        Expr::Matrix(m) => m.vector.modifiers.at.is_some(),
        Expr::Subquery(s) => s.modifiers.at.is_some(),
        Expr::Call(c) => !c.function.depends_on_time && c.args.iter().all(is_invariant),
        Expr::Aggregate(_) | Expr::Binary(_) | Expr::Unary { .. } | Expr::Paren { .. } => expr.children().into_iter().all(is_invariant),
    }
}
