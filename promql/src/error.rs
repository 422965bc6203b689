//! Why a query could not be parsed or evaluated, worded as Prometheus words it.

use crate::ast::Span;
use std::fmt;
use watchfire_model::SourceError;

/// A query text was refused. Displays as Prometheus does: `1:5: parse error: unexpected "}"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// One-based line and column of the first offending character.
    pub line: usize,
    pub column: usize,
    /// Byte range in the query text.
    pub span: Span,
    pub message: String,
}

impl ParseError {
    pub(crate) fn at(text: &str, span: Span, message: impl Into<String>) -> Self {
        let (line, column) = position(text, span.start as usize);
        ParseError { line, column, span, message: message.into() }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: parse error: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ParseError {}

/// One-based line and column (in bytes, as Prometheus counts) of a byte offset.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    (before.iter().filter(|b| **b == b'\n').count() + 1, before.len() - line_start + 1)
}

/// An evaluation did not finish. Each maps to one error type of the Prometheus HTTP API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The query asks for something that is wrong on this data.
    #[error("{0}")]
    Execution(String),
    /// More samples would be held at once than the limit allows.
    #[error("query needs more than {limit} samples")]
    TooManySamples { limit: usize },
    #[error("query timed out in expression evaluation")]
    Timeout,
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// The language has it, this engine does not.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// The source of the series could not answer.
    #[error("{0}")]
    Source(String),
    /// The times asked for make no sense (end before start, step of zero, a type that has no range form).
    #[error("{0}")]
    BadRequest(String),
}

impl EvalError {
    pub(crate) fn execution(message: impl Into<String>) -> Self {
        EvalError::Execution(message.into())
    }

    /// The `errorType` of the Prometheus HTTP API.
    pub fn error_type(&self) -> &'static str {
        match self {
            EvalError::Execution(_) | EvalError::TooManySamples { .. } | EvalError::Unsupported(_) => "execution",
            EvalError::Timeout => "timeout",
            EvalError::Canceled => "canceled",
            EvalError::Source(_) => "internal",
            EvalError::BadRequest(_) => "bad_data",
        }
    }
}

impl From<SourceError> for EvalError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::TooManySamples { limit } => EvalError::TooManySamples { limit },
            SourceError::Timeout => EvalError::Timeout,
            SourceError::Unavailable(why) => EvalError::Source(why),
        }
    }
}
