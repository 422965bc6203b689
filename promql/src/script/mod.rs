//! Runs the test scripts of Prometheus (`promql/promqltest`): `load` series, `eval` expressions, compare.
//!
//! - [`command`]: script text to commands. [`series`]: the notation of series and their values. [`literal`]: histogram literals.
//! - [`storage`]: the loaded series as a [`SeriesSource`](watchfire_model::SeriesSource), with what a storage does to histograms.
//! - [`compare`]: results against expectations.
//!
//! Each instant evaluation is repeated as the middle step of a range query and, where its value cannot depend on the evaluation
//! time, at other times with every selector pinned by `@`.

mod command;
mod compare;
mod literal;
mod series;
mod storage;

/// The notation of series and histograms is also that of rule tests.
pub use literal::parse_literal;
pub use series::{Described, Sample, parse_series};

use crate::ast::{At, Expr};
use crate::engine::{Engine, EngineOptions};
use crate::error::EvalError;
use crate::query::Query;
use crate::value::{Evaluation, QueryValue, VectorSample};
use command::{Command, Eval, When};
use std::time::Duration;
use storage::Storage;
use watchfire_model::Timestamp;

/// One thing that went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// One-based line of the script.
    pub line: usize,
    /// The expression, or the text that could not be read.
    pub subject: String,
    pub message: String,
}

/// What became of a script.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Evaluations that passed and failed.
    pub passed: usize,
    pub failed: usize,
    pub failures: Vec<Failure>,
    /// Lines that are no evaluation and could not be read.
    pub problems: Vec<Failure>,
}

/// Runs a script from its first line to its last; a bad line costs only itself.
pub fn run(text: &str) -> Report {
    let mut report = Report::default();
    let mut storage = Storage::default();
    let engine = Engine::new(EngineOptions { timeout: Duration::from_secs(100), ..EngineOptions::default() });
    for (line, command) in command::read(text) {
        let (subject, outcome) = match command {
            Ok(Command::Clear) => {
                storage = storage.cleared();
                continue;
            }
            Ok(Command::Load(load)) => {
                if let Err(message) = storage.load(&load) {
                    report.problems.push(Failure { line, subject: "load".to_owned(), message });
                }
                continue;
            }
            Ok(Command::Eval(eval)) => (eval.expr.clone(), evaluate(&engine, &storage, &eval)),
            Err(problem) if problem.is_eval => (problem.subject, Err(problem.message)),
            Err(problem) => {
                report.problems.push(Failure { line, subject: problem.subject, message: problem.message });
                continue;
            }
        };
        match outcome {
            Ok(()) => report.passed += 1,
            Err(message) => {
                report.failed += 1;
                report.failures.push(Failure { line, subject, message });
            }
        }
    }
    report
}

fn evaluate(engine: &Engine, storage: &Storage, eval: &Eval) -> Result<(), String> {
    let query = match Query::parse(&eval.expr) {
        Ok(query) => query,
        Err(error) if eval.expects_failure() => return eval.check_failure(&error.to_string()),
        Err(error) => return Err(error.to_string()),
    };
    match eval.when {
        When::Range { start, end, step } => {
            let result = engine.range(&query, storage, start, end, step);
            let Some(result) = settle(eval, result)? else { return Ok(()) };
            eval.check_annotations(&result)?;
            eval.compare(&result.value)
        }
        When::Instant(at) => {
            let Some(result) = settle(eval, engine.instant(&query, storage, at))? else { return Ok(()) };
            eval.check_annotations(&result)?;
            eval.compare(&result.value)?;
            in_range_mode(engine, storage, eval, &query, at, &result)?;
            let Some(pinned) = pinned(&query, at) else { return Ok(()) };
            for other in other_times(at) {
                let tell = |message: String| format!("{pinned} at {other}: {message}");
                let result = engine.instant(&pinned, storage, other).map_err(|e| tell(e.to_string()))?;
                eval.check_annotations(&result).map_err(tell)?;
                eval.compare(&result.value).map_err(tell)?;
                in_range_mode(engine, storage, eval, &pinned, other, &result).map_err(tell)?;
            }
            Ok(())
        }
    }
}

/// The result, or nothing more to do after an expected failure.
fn settle(eval: &Eval, result: Result<Evaluation, EvalError>) -> Result<Option<Evaluation>, String> {
    match result {
        Ok(_) if eval.expects_failure() => Err("expected an error, but there was none".to_owned()),
        Ok(result) => Ok(Some(result)),
        Err(error) if eval.expects_failure() => eval.check_failure(&error.to_string()).map(|()| None),
        Err(error) => Err(error.to_string()),
    }
}

/// An instant query must give what the middle step of a range query gives.
fn in_range_mode(
    engine: &Engine,
    storage: &Storage,
    eval: &Eval,
    query: &Query,
    at: Timestamp,
    instant: &Evaluation,
) -> Result<(), String> {
    if eval.only_instant() || query.text().contains("range()") {
        return Ok(());
    }
    let minute = Duration::from_secs(60);
    let (start, end) = (at.saturating_sub(minute), at.saturating_add(minute));
    let range = engine.range(query, storage, start, end, minute).map_err(|e| format!("range mode: {e}"))?;
    if eval.is_ordered() {
        return Ok(());
    }
    let QueryValue::Matrix(series) = range.value else { return Err("range mode: not a matrix".to_owned()) };
    let samples: Vec<VectorSample> = series
        .into_iter()
        .filter_map(|s| {
            let index = s.times.iter().position(|t| *t == at)?;
            Some(VectorSample { labels: s.labels, at, value: s.values.into_iter().nth(index)? })
        })
        .collect();
    let value = match &instant.value {
        QueryValue::Scalar { .. } => {
            let value = samples.first().and_then(|s| s.value.as_float()).ok_or("range mode: no scalar")?;
            QueryValue::Scalar { at, value }
        }
        _ => QueryValue::Vector(samples),
    };
    eval.compare(&value).map_err(|m| format!("range mode: {m}"))
}

/// The query with every selector pinned to its evaluation time, when nothing else in it depends on that time.
fn pinned(query: &Query, at: Timestamp) -> Option<Query> {
    let mut expr = query.expr().clone();
    let mut depends = false;
    pin(&mut expr, at.0, &mut depends);
    if depends {
        return None;
    }
    Query::parse(&crate::print::print(&expr)).ok()
}

fn pin(expr: &mut Expr, at: i64, depends: &mut bool) {
    match expr {
        Expr::Vector(v) => {
            v.modifiers.at.get_or_insert(At::Time(at));
        }
        Expr::Matrix(m) => {
            m.vector.modifiers.at.get_or_insert(At::Time(at));
        }
        // What is inside a subquery moves with it.
        Expr::Subquery(s) => {
            s.modifiers.at.get_or_insert(At::Time(at));
        }
        Expr::Call(c) => {
            *depends |= c.function.depends_on_time;
            c.args.iter_mut().for_each(|arg| pin(arg, at, depends));
        }
        Expr::Aggregate(a) => a.param.iter_mut().chain([&mut a.expr]).for_each(|e| pin(e, at, depends)),
        Expr::Binary(b) => [&mut b.lhs, &mut b.rhs].into_iter().for_each(|e| pin(e, at, depends)),
        Expr::Unary { expr, .. } | Expr::Paren { expr, .. } => pin(expr, at, depends),
        Expr::Number { .. } | Expr::Text { .. } => {}
    }
}

fn other_times(at: Timestamp) -> Vec<Timestamp> {
    let t = at.0;
    let times = if t == 0 { vec![-1000, 1000] } else { vec![-10 * t, 0, t / 5, t, 10 * t] };
    times.into_iter().map(Timestamp).collect()
}
