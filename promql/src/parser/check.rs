//! Types, after the whole text is read.

use super::quote::go_quote;
use crate::ast::{AggregateOp, BinaryOp, Expr, Span, ValueType};
use crate::error::ParseError;

/// Checks types everywhere below `expr`.
///
/// # Errors
/// The first mismatch, worded as Prometheus words it.
pub fn check(text: &str, expr: &Expr) -> Result<(), ParseError> {
    let fail = |span: Span, message: String| Err(ParseError::at(text, span, message));
    let expect = |expr: &Expr, wanted: ValueType, context: &str| {
        let got = expr.value_type();
        if got == wanted {
            return Ok(());
        }
        fail(expr.span(), format!("expected type {} in {context}, got {}", wanted.documented(), got.documented()))
    };
    for (index, child) in expr.children().into_iter().enumerate() {
        // `info` takes a label selector, which may match everything.
        let label_selector = index == 1 && matches!(expr, Expr::Call(c) if c.function.name == "info") && matches!(child, Expr::Vector(_));
        if !label_selector {
            check(text, child)?;
        }
    }
    match expr {
        Expr::Number { .. } | Expr::Text { .. } | Expr::Paren { .. } => {}
        Expr::Vector(v) => check_selector(text, v)?,
        Expr::Matrix(m) => check_selector(text, &m.vector)?,
        Expr::Subquery(s) => {
            let got = s.expr.value_type();
            if got != ValueType::Vector {
                return fail(s.span, format!("subquery is only allowed on instant vector, got {} instead", go_type(got)));
            }
        }
        Expr::Unary { expr: operand, .. } => {
            let got = operand.value_type();
            if got != ValueType::Scalar && got != ValueType::Vector {
                return fail(
                    expr.span(),
                    format!("unary expression only allowed on expressions of type scalar or instant vector, got {:?}", got.documented()),
                );
            }
        }
        Expr::Aggregate(a) => {
            expect(&a.expr, ValueType::Vector, "aggregation expression")?;
            if let Some(param) = &a.param {
                let wanted = if a.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
                expect(param, wanted, "aggregation parameter")?;
            }
        }
        Expr::Call(call) => check_call(text, call)?,
        Expr::Binary(b) => {
            let (l, r) = (b.lhs.value_type(), b.rhs.value_type());
            let span = expr.span();
            for (side, got) in [(&b.lhs, l), (&b.rhs, r)] {
                if got != ValueType::Scalar && got != ValueType::Vector {
                    return fail(side.span(), "binary expression must contain only scalar and instant vector types".to_owned());
                }
            }
            let both = l == ValueType::Vector && r == ValueType::Vector;
            if b.op.is_comparison() && !b.returns_bool && l == ValueType::Scalar && r == ValueType::Scalar {
                return fail(b.op_span, "comparisons between scalars must use BOOL modifier".to_owned());
            }
            if b.op.is_set() && !both {
                return fail(span, format!("set operator {:?} not allowed in binary scalar expression", b.op.symbol()));
            }
            if matches!(b.op, BinaryOp::TrimUpper | BinaryOp::TrimLower) && l == ValueType::Scalar && r == ValueType::Scalar {
                return fail(span, format!("operator {:?} not allowed for Scalar operations", b.op.symbol()));
            }
            let written = b.matching.as_ref().is_some_and(|m| !m.labels.is_empty() || m.fill_left.is_some() || m.fill_right.is_some());
            if !both && written {
                return fail(span, "vector matching only allowed between instant vectors".to_owned());
            }
        }
    }
    Ok(())
}

fn check_selector(text: &str, selector: &crate::ast::VectorSelector) -> Result<(), ParseError> {
    if selector.selects_everything() && selector.name.as_ref().is_none_or(String::is_empty) {
        return Err(ParseError::at(text, selector.span, "vector selector must contain at least one non-empty matcher"));
    }
    Ok(())
}

fn check_call(text: &str, call: &crate::ast::Call) -> Result<(), ParseError> {
    let f = call.function;
    let got = call.args.len();
    let fail = |message: String| Err(ParseError::at(text, call.span, message));
    let declared = f.args.len();
    if f.variadic == 0 {
        if got != declared {
            return fail(format!("expected {declared} argument(s) in call to {:?}, got {got}", f.name));
        }
    } else {
        let at_least = declared - 1;
        if got < at_least {
            return fail(format!("expected at least {at_least} argument(s) in call to {:?}, got {got}", f.name));
        }
        if f.variadic > 0 && got > at_least + f.variadic as usize {
            return fail(format!("expected at most {} argument(s) in call to {:?}, got {got}", at_least + f.variadic as usize, f.name));
        }
    }
    if f.name == "info" && got > 1 {
        // The second argument is a label selector, written like a vector selector without a name.
        match &call.args[1] {
            Expr::Vector(v) if v.name.is_none() => {}
            Expr::Vector(_) => return fail("expected label selectors only, got vector selector instead".to_owned()),
            _ => return fail("expected label selectors only".to_owned()),
        }
    }
    for (index, arg) in call.args.iter().enumerate() {
        let wanted = f.args[index.min(declared - 1)];
        let got = arg.value_type();
        if got != wanted {
            return Err(ParseError::at(
                text,
                arg.span(),
                format!("expected type {} in call to function {}, got {}", wanted.documented(), go_quote(f.name), got.documented()),
            ));
        }
    }
    Ok(())
}

fn go_type(value: ValueType) -> &'static str {
    match value {
        ValueType::Scalar => "scalar",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
        ValueType::String => "string",
    }
}
