//! The PromQL engine: every selector, operator, aggregation and function of Prometheus 3.x over any [`SeriesSource`](watchfire_model::SeriesSource).
//! It knows no store, no clock and no network; time and series come in as arguments, values and annotations go out.
//!
//! Types to know
//! - [`Query`]: a parsed expression ([`ParseError`] says where and why not). Its text, normal form, layout, selectors.
//! - [`Engine`]: [`instant`](Engine::instant) and [`range`](Engine::range) give an [`Evaluation`] or an [`EvalError`] that maps to the
//!   error types of the Prometheus API. [`Control`] brings the caller's deadline and cancellation.
//! - [`format_float`], [`api_buckets`]: values as the API writes them.
//! - [`script`]: the runner of Prometheus's test-script language, also as the program `promqltest`.
//!
//! Invariants
//! - A query of more than 16 KiB, 100 levels or 1000 operators is refused before it is parsed; deep trees are walked on their own stack.
//! - Samples held at once are bounded, interrupts are asked for during all work; neither gives a partial answer.
//! - What is not supported is an error, never a wrong number. Metric names are dropped late (at the end of the query), as with
//!   Prometheus's `promql-delayed-name-removal`; all experimental functions are on.
//! - The parser is ours, not a dependency: annotations need exact positions, errors Prometheus's wording, and duration expressions,
//!   `anchored`, `smoothed`, fill and trim operators are not known to the parsers that exist.
//!
//! To add a function: a row in `functions::TABLE` and its body in the family's file.

mod annotations;
pub mod ast;
mod engine;
mod error;
mod eval;
pub mod functions;
mod histogram;
mod number;
mod parser;
mod plans;
mod print;
mod query;
pub mod script;
mod value;

pub use ast::{Expr, Span, ValueType};
pub use engine::{Control, Engine, EngineOptions, Interrupt};
pub use error::{EvalError, ParseError};
pub use histogram::{ApiBucket, api_buckets, quantile_of};
pub use number::{format_decimal, format_float, format_general};
pub use parser::guard::ExpressionLimits;
pub use parser::quote::go_quote as quote;
pub use query::Query;
pub use value::{Evaluation, QueryValue, VectorSample};
