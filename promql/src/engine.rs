//! The engine: queries in, evaluations out.

use crate::annotations::Notes;
use crate::ast::{Expr, ValueType};
use crate::error::{EvalError, ParseError};
use crate::eval::block::{Block, may_collide, without_reserved};
use crate::eval::{Budget, Context, Evaluator, FARTHEST, Outcome, Steps, Val};
use crate::functions::over_time::Cell;
use crate::parser::QueryTimes;
use crate::parser::guard::ExpressionLimits;
use crate::plans::Plans;
use crate::query::{Query, on_enough_stack};
use crate::value::{Evaluation, QueryValue, VectorSample};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use watchfire_model::{Labels, SeriesData, SeriesSource, Timestamp, Value};

/// Limits and defaults of an engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// How far back an instant selector looks for a sample.
    pub lookback: Duration,
    /// Most samples one query may hold at once.
    pub max_samples: usize,
    /// How long callers let a query run. The engine has no clock: callers build their [`Control::interrupt`] from it.
    pub timeout: Duration,
    /// Step of subqueries that name none.
    pub subquery_step: Duration,
    /// Longest label value that a function may make, in bytes: nested ones would make of a short one as much text as there is memory.
    pub label_bytes: usize,
    /// How long and how deep the text of a query may be.
    pub expression: ExpressionLimits,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            lookback: Duration::from_secs(300),
            max_samples: 5_000_000,
            timeout: Duration::from_secs(10),
            subquery_step: Duration::from_secs(60),
            label_bytes: 16 * 1024,
            expression: ExpressionLimits::default(),
        }
    }
}

/// Why a caller wants an evaluation to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    Timeout,
    Canceled,
}

/// What one call may change.
#[derive(Clone, Copy, Default)]
pub struct Control<'a> {
    /// Asked every few hundred series or windows; an answer ends the evaluation.
    pub interrupt: Option<&'a (dyn Fn() -> Option<Interrupt> + Sync)>,
    /// Instead of the engine's lookback; zero is no other one, as in Prometheus.
    pub lookback: Option<Duration>,
}

/// Evaluates queries. Cheap to share between threads.
#[derive(Debug, Default)]
pub struct Engine {
    options: EngineOptions,
    plans: Plans,
}

impl Engine {
    pub fn new(options: EngineOptions) -> Self {
        Engine { options, plans: Plans::default() }
    }

    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Parses the text of a query within this engine's limits.
    ///
    /// # Errors
    /// As [`Query::parse`].
    pub fn parse(&self, text: &str) -> Result<Query, ParseError> {
        Query::parse_within(text, self.options.expression)
    }

    /// The value of a query at one time.
    ///
    /// # Errors
    /// When the query is wrong on this data, a limit is met, or the source cannot answer.
    pub fn instant(&self, query: &Query, source: &dyn SeriesSource, at: Timestamp) -> Result<Evaluation, EvalError> {
        self.instant_with(query, source, at, Control::default())
    }

    /// As [`instant`](Self::instant), under the caller's control.
    ///
    /// # Errors
    /// As [`instant`](Self::instant), and when interrupted.
    pub fn instant_with(
        &self,
        query: &Query,
        source: &dyn SeriesSource,
        at: Timestamp,
        control: Control<'_>,
    ) -> Result<Evaluation, EvalError> {
        let start = reachable(at);
        let steps = Steps { start, interval: 1, count: 1 };
        self.run(query, source, steps, start, false, control, |evaluator, expr| {
            if expr.value_type() == ValueType::Matrix {
                return Ok(QueryValue::Matrix(evaluator.matrix(expr)?));
            }
            Ok(match evaluator.eval(expr)? {
                Val::Scalar(values) => QueryValue::Scalar { at, value: values[0] },
                Val::Text(value) => QueryValue::String { at, value },
                Val::Vector(block) => QueryValue::Vector(vector(evaluator, block, at)?),
            })
        })
    }

    /// The values of a query from `start` to `end`, every `step`.
    ///
    /// # Errors
    /// As [`instant`](Self::instant), and when the times or the query's type have no range form.
    pub fn range(
        &self,
        query: &Query,
        source: &dyn SeriesSource,
        start: Timestamp,
        end: Timestamp,
        step: Duration,
    ) -> Result<Evaluation, EvalError> {
        self.range_with(query, source, (start, end, step), Control::default())
    }

    /// As [`range`](Self::range), under the caller's control.
    ///
    /// # Errors
    /// As [`range`](Self::range), and when interrupted.
    pub fn range_with(
        &self,
        query: &Query,
        source: &dyn SeriesSource,
        (start, end, step): (Timestamp, Timestamp, Duration),
        control: Control<'_>,
    ) -> Result<Evaluation, EvalError> {
        let expr = query.expr();
        let value_type = expr.value_type();
        if value_type != ValueType::Scalar && value_type != ValueType::Vector {
            return Err(EvalError::BadRequest(format!(
                "invalid expression type {:?} for range query, must be Scalar or instant Vector",
                value_type.documented()
            )));
        }
        let interval = millis(step);
        if end < start {
            return Err(EvalError::BadRequest("end timestamp must not be before start time".to_owned()));
        }
        if interval <= 0 {
            return Err(EvalError::BadRequest(
                "zero or negative query resolution step widths are not accepted. Try a positive integer".to_owned(),
            ));
        }
        let (start, end) = (reachable(start), reachable(end));
        let count = ((end - start) / interval) as usize + 1;
        if count > self.options.max_samples {
            return Err(EvalError::TooManySamples { limit: self.options.max_samples });
        }
        let steps = Steps { start, interval, count };
        self.run(query, source, steps, end, true, control, |evaluator, expr| {
            let block = match evaluator.eval(expr)? {
                Val::Scalar(values) => evaluator.one_series(values),
                Val::Vector(block) => block,
                Val::Text(_) => return Err(EvalError::execution("strings have no range form")),
            };
            Ok(QueryValue::Matrix(matrix(evaluator, block)?))
        })
    }

    #[allow(clippy::too_many_arguments)]
    fn run(
        &self,
        query: &Query,
        source: &dyn SeriesSource,
        steps: Steps,
        end: i64,
        is_range: bool,
        control: Control<'_>,
        evaluate: impl Fn(&Evaluator<'_>, &Expr) -> Outcome<QueryValue> + Sync,
    ) -> Result<Evaluation, EvalError> {
        on_enough_stack(query.depth(), || self.run_here(query, source, steps, end, is_range, control, &evaluate))
    }

    #[allow(clippy::too_many_arguments)]
    fn run_here(
        &self,
        query: &Query,
        source: &dyn SeriesSource,
        steps: Steps,
        end: i64,
        is_range: bool,
        control: Control<'_>,
        evaluate: &dyn Fn(&Evaluator<'_>, &Expr) -> Outcome<QueryValue>,
    ) -> Result<Evaluation, EvalError> {
        let step_seconds = if is_range { steps.interval as f64 / 1000.0 } else { 0.0 };
        let times = QueryTimes { step: step_seconds, range: (end - steps.start) as f64 / 1000.0 };
        let context = Context {
            source,
            plans: &self.plans,
            lookback: millis(control.lookback.filter(|own| !own.is_zero()).unwrap_or(self.options.lookback)),
            subquery_step: millis(self.options.subquery_step).max(1),
            label_bytes: self.options.label_bytes,
            notes: Notes::new(query.text()),
            budget: Budget::new(self.options.max_samples, control.interrupt),
            times,
            start: steps.start,
            end,
            is_range,
        };
        context.budget.check()?;
        let evaluator = Evaluator { ctx: &context, steps, counts_only: false };
        let value = evaluate(&evaluator, query.expr());
        let (peak_samples, read_samples) = (context.budget.peak(), context.budget.read());
        let (warnings, infos) = context.notes.into_texts();
        Ok(Evaluation { value: value?, warnings, infos, peak_samples, read_samples })
    }
}

/// Milliseconds, as far as time reaches here.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(FARTHEST).min(FARTHEST)
}

fn reachable(at: Timestamp) -> i64 {
    at.0.clamp(-FARTHEST, FARTHEST)
}

/// The labels a series leaves the engine with.
fn final_labels(meta: &crate::eval::block::Meta) -> Labels {
    if meta.drop_name { without_reserved(&meta.labels) } else { meta.labels.clone() }
}

fn value(cell: Cell) -> Value {
    match cell {
        Cell::Float(v) => Value::Float(v),
        Cell::Histogram(h) => Value::Histogram(h),
    }
}

const SAME_LABELS: &str = "vector cannot contain metrics with the same labelset";

fn vector(evaluator: &Evaluator<'_>, block: Block, at: Timestamp) -> Outcome<Vec<VectorSample>> {
    let mut out = Vec::with_capacity(block.len());
    for (series, meta) in block.series.iter().enumerate() {
        evaluator.ctx.budget.tick(1)?;
        if let Some(cell) = block.cell(series, 0) {
            out.push(VectorSample { labels: final_labels(meta), at, value: value(cell) });
        }
    }
    if out.len() > 1 && may_collide(&block.series) {
        let mut seen = HashSet::with_capacity(out.len());
        if !out.iter().all(|sample| seen.insert(&sample.labels)) {
            return Err(EvalError::execution(SAME_LABELS));
        }
    }
    Ok(out)
}

fn matrix(evaluator: &Evaluator<'_>, block: Block) -> Outcome<Vec<SeriesData>> {
    let mut rows: HashMap<Labels, Vec<usize>> = HashMap::with_capacity(block.len());
    let mut order = Vec::with_capacity(block.len());
    for (series, meta) in block.series.iter().enumerate() {
        let labels = final_labels(meta);
        let members = rows.entry(labels.clone()).or_default();
        if members.is_empty() {
            order.push(labels);
        }
        members.push(series);
    }
    order.sort();
    let mut out = Vec::with_capacity(order.len());
    for labels in order {
        let members = &rows[&labels];
        let mut data = SeriesData { labels: labels.clone(), times: Vec::new(), values: Vec::new() };
        for step in 0..block.steps {
            evaluator.ctx.budget.tick(members.len())?;
            let mut cells = members.iter().filter_map(|series| block.cell(*series, step));
            let Some(cell) = cells.next() else { continue };
            if cells.next().is_some() {
                return Err(EvalError::execution(SAME_LABELS));
            }
            data.times.push(Timestamp(evaluator.steps.at(step)));
            data.values.push(value(cell));
        }
        if !data.times.is_empty() {
            out.push(data);
        }
    }
    Ok(out)
}
