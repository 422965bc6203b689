//! Duration expressions: `[5m]`, `[step() * 2]`, `offset -(1h / 2)`.

use super::expression::Parser;
use super::lexer::Token;
use crate::ast::{DurationExpr, DurationOp, Span};
use crate::error::ParseError;

type Parsed<T> = Result<T, ParseError>;

/// Longest duration: what fits 64 bits of nanoseconds.
const MAX_SECONDS: f64 = 9.2e9;

/// What the durations of a query are computed from, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryTimes {
    pub step: f64,
    pub range: f64,
}

impl Parser<'_> {
    /// A whole duration expression, as between brackets.
    pub fn duration_expression(&mut self, minimum: u8) -> Parsed<DurationExpr> {
        let mut lhs = self.duration_signed(true)?;
        loop {
            let (op, precedence) = match &self.lexer.peek()?.token {
                Token::Symbol("+") => (DurationOp::Add, 1),
                Token::Symbol("-") => (DurationOp::Sub, 1),
                Token::Symbol("*") => (DurationOp::Mul, 2),
                Token::Symbol("/") => (DurationOp::Div, 2),
                Token::Symbol("%") => (DurationOp::Mod, 2),
                Token::Symbol("^") => (DurationOp::Pow, 3),
                _ => return Ok(lhs),
            };
            if precedence < minimum {
                return Ok(lhs);
            }
            self.lexer.next()?;
            let rhs = self.duration_expression(if op == DurationOp::Pow { precedence } else { precedence + 1 })?;
            if matches!(op, DurationOp::Div | DurationOp::Mod) && rhs.literal_seconds() == Some(0.0) {
                let what = if op == DurationOp::Div { "division" } else { "modulo" };
                return self.fail(rhs.span(), format!("{what} by zero"));
            }
            lhs = DurationExpr::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs) };
        }
    }

    /// What `offset` takes: one operand with its sign; operators after it belong to the query.
    pub fn offset_duration(&mut self) -> Parsed<DurationExpr> {
        self.duration_signed(false)
    }

    fn duration_signed(&mut self, powers: bool) -> Parsed<DurationExpr> {
        let mut signs = Vec::new();
        loop {
            let negative = match &self.lexer.peek()?.token {
                Token::Symbol("-") => true,
                Token::Symbol("+") => false,
                _ => break,
            };
            signs.push((negative, self.lexer.next()?.span));
        }
        let mut expr = self.duration_operand()?;
        if powers && !signs.is_empty() && self.lexer.is_symbol("^")? {
            self.lexer.next()?;
            let rhs = self.duration_expression(3)?;
            expr = DurationExpr::Binary { op: DurationOp::Pow, lhs: Box::new(expr), rhs: Box::new(rhs) };
        }
        for (negative, span) in signs.into_iter().rev() {
            let span = span.to(expr.span());
            let inner = Box::new(expr);
            expr = if negative { DurationExpr::Negative { expr: inner, span } } else { DurationExpr::Positive { expr: inner, span } };
        }
        Ok(expr)
    }

    fn duration_operand(&mut self) -> Parsed<DurationExpr> {
        let lexeme = self.lexer.peek()?.clone();
        match lexeme.token {
            Token::Number(seconds) | Token::Duration(seconds) => {
                self.lexer.next()?;
                if seconds.is_nan() || seconds.abs() >= MAX_SECONDS {
                    return self.fail(lexeme.span, "duration out of range");
                }
                Ok(DurationExpr::Number { seconds, span: lexeme.span })
            }
            Token::Symbol("(") => {
                self.lexer.next()?;
                let inner = self.duration_expression(0)?;
                let close = self.expect(")", "duration expression", "\")\"")?;
                Ok(DurationExpr::Paren { expr: Box::new(inner), span: lexeme.span.to(close) })
            }
            Token::Word => {
                let word = self.lexer.slice(lexeme.span).to_ascii_lowercase();
                let op = match word.as_str() {
                    "step" | "range" => None,
                    "min_of" | "min" => Some(DurationOp::MinOf),
                    "max_of" | "max" => Some(DurationOp::MaxOf),
                    _ => return self.unexpected("duration expression", "number, duration, step(), or range()"),
                };
                self.lexer.next()?;
                self.expect("(", "duration expression", "\"(\"")?;
                let Some(op) = op else {
                    let close = self.expect(")", "duration expression", "\")\"")?;
                    let span = lexeme.span.to(close);
                    return Ok(if word == "step" { DurationExpr::Step { span } } else { DurationExpr::Range { span } });
                };
                let lhs = self.duration_expression(0)?;
                self.expect(",", "duration expression", "\",\"")?;
                let rhs = self.duration_expression(0)?;
                self.expect(")", "duration expression", "\")\"")?;
                Ok(DurationExpr::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs) })
            }
            _ if self.lexer.in_brackets => self.unexpected("subquery or range selector", "number, duration, step(), or range()"),
            _ => self.unexpected("offset", "number, duration, step(), or range()"),
        }
    }
}

impl DurationExpr {
    pub fn span(&self) -> Span {
        match self {
            DurationExpr::Number { span, .. }
            | DurationExpr::Step { span }
            | DurationExpr::Range { span }
            | DurationExpr::Negative { span, .. }
            | DurationExpr::Positive { span, .. }
            | DurationExpr::Paren { span, .. } => *span,
            DurationExpr::Binary { lhs, rhs, .. } => lhs.span().to(rhs.span()),
        }
    }

    /// The value, when it does not depend on the query.
    pub fn literal_seconds(&self) -> Option<f64> {
        match self {
            DurationExpr::Number { seconds, .. } => Some(*seconds),
            DurationExpr::Negative { expr, .. } => expr.literal_seconds().map(|s| -s),
            DurationExpr::Positive { expr, .. } | DurationExpr::Paren { expr, .. } => expr.literal_seconds(),
            _ => None,
        }
    }

    /// Seconds, for a query of that step and range.
    ///
    /// # Errors
    /// On division by zero.
    pub fn seconds(&self, times: QueryTimes) -> Result<f64, String> {
        Ok(match self {
            DurationExpr::Number { seconds, .. } => *seconds,
            DurationExpr::Step { .. } => times.step,
            DurationExpr::Range { .. } => times.range,
            DurationExpr::Negative { expr, .. } => -expr.seconds(times)?,
            DurationExpr::Positive { expr, .. } | DurationExpr::Paren { expr, .. } => expr.seconds(times)?,
            DurationExpr::Binary { op, lhs, rhs } => {
                let (l, r) = (lhs.seconds(times)?, rhs.seconds(times)?);
                match op {
                    DurationOp::Add => l + r,
                    DurationOp::Sub => l - r,
                    DurationOp::Mul => l * r,
                    DurationOp::Div if r == 0.0 => return Err("division by zero".to_owned()),
                    DurationOp::Div => l / r,
                    DurationOp::Mod if r == 0.0 => return Err("modulo by zero".to_owned()),
                    DurationOp::Mod => l % r,
                    DurationOp::Pow => l.powf(r),
                    DurationOp::MinOf => l.min(r),
                    DurationOp::MaxOf => l.max(r),
                }
            }
        })
    }

    /// Milliseconds, for a query of that step and range.
    ///
    /// # Errors
    /// When out of range, or not positive where it must be.
    pub fn millis(&self, times: QueryTimes, may_be_negative: bool) -> Result<i64, String> {
        let seconds = self.seconds(times)?;
        if seconds.is_nan() || seconds.abs() >= MAX_SECONDS {
            return Err("duration is out of range".to_owned());
        }
        if !may_be_negative && seconds <= 0.0 {
            return Err("duration must be greater than 0".to_owned());
        }
        Ok((seconds * 1000.0).round() as i64)
    }
}
