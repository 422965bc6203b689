//! Text to tree. A hand-written precedence parser, because annotations and errors need exact positions and Prometheus's wording, and
//! because duration expressions, `anchored`/`smoothed`, fill and trim operators are newer than the parsers that can be depended on.
//!
//! - [`lexer`]: characters to tokens; [`quote`]: string literals.
//! - [`expression`]: operators, calls, aggregations; [`selector`]: selectors and what may follow them; [`duration`]: computed durations.
//! - [`check`]: types; [`guard`]: refuses what is too large before any of this runs.

mod check;
mod duration;
pub use duration::QueryTimes;
mod expression;
pub mod guard;
pub mod lexer;
pub mod quote;
mod selector;

use crate::ast::Expr;
use crate::error::ParseError;

/// Parses and type-checks an expression. The caller has run [`guard::check`] and has enough stack for what it allows.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    let mut parser = expression::Parser::new(text);
    let expr = parser.whole()?;
    check::check(text, &expr)?;
    Ok(expr)
}
