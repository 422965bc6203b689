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

/// Parses the selector a text begins with; returns where it ends.
pub fn parse_selector_prefix(text: &str) -> Result<(Expr, usize), ParseError> {
    let mut parser = expression::Parser::new(text);
    let first = parser.lexer.peek()?.clone();
    let name = match first.token {
        lexer::Token::Symbol("{") => None,
        lexer::Token::Word => {
            parser.lexer.next()?;
            Some((parser.lexer.slice(first.span).to_owned(), first.span))
        }
        _ => return parser.unexpected("series description", "metric or \"{\""),
    };
    // What follows the selector is not PromQL: without braces, it must not be looked at.
    let braces = |rest: &str| rest.starts_with('{') && !rest.starts_with("{{");
    if let Some((_, span)) = &name
        && !braces(text[span.end as usize..].trim_start())
    {
        let end = span.end as usize;
        return Ok((parser.bare_selector(name.unwrap_or_default()), end));
    }
    let expr = parser.vector_selector(name)?;
    let end = expr.span().end as usize;
    Ok((expr, end))
}
