//! Where an alerting expression compares with a constant: the value side, the threshold, and whether there are data at all.

use std::ops::Range;
use std::sync::Arc;
use watchfire_promql::Query;
use watchfire_promql::ast::{BinaryOp, Expr};

/// `left op threshold`, as the outermost comparison of an expression says it.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The side that is measured.
    pub left: Arc<Query>,
    pub left_text: String,
    /// The operator as if the constant stood on the right.
    pub operator: &'static str,
    pub threshold: f64,
    /// Where the constant stands in the expression, in bytes.
    pub constant: Range<usize>,
}

impl Comparison {
    /// Finds the comparison with a constant on which the result of the expression rests: the outermost one, and the left side of `and` and `unless`.
    pub fn of(query: &Query) -> Option<Comparison> {
        let mut expr = query.expr().unwrap_parens();
        loop {
            let Expr::Binary(binary) = expr else { return None };
            if matches!(binary.op, BinaryOp::And | BinaryOp::Unless) {
                expr = binary.lhs.unwrap_parens();
                continue;
            }
            if !binary.op.is_comparison() {
                return None;
            }
            let (side, other, threshold, operator) = match (constant(&binary.lhs), constant(&binary.rhs)) {
                (None, Some(threshold)) => (&binary.lhs, &binary.rhs, threshold, binary.op),
                (Some(threshold), None) => (&binary.rhs, &binary.lhs, threshold, mirrored(binary.op)),
                _ => return None,
            };
            let span = side.span();
            let text = query.text().get(span.start as usize..span.end as usize)?;
            let left = Query::parse(text).ok()?;
            let constant = other.span();
            return Some(Comparison {
                left: Arc::new(left),
                left_text: text.to_owned(),
                operator: operator.symbol(),
                threshold,
                constant: constant.start as usize..constant.end as usize,
            });
        }
    }
}

fn constant(expr: &Expr) -> Option<f64> {
    match expr.unwrap_parens() {
        Expr::Number { value, .. } => Some(*value),
        Expr::Unary { negative, expr, .. } => constant(expr).map(|v| if *negative { -v } else { v }),
        Expr::Binary(binary) => {
            let (l, r) = (constant(&binary.lhs)?, constant(&binary.rhs)?);
            match binary.op {
                BinaryOp::Add => Some(l + r),
                BinaryOp::Sub => Some(l - r),
                BinaryOp::Mul => Some(l * r),
                BinaryOp::Div => Some(l / r),
                BinaryOp::Pow => Some(l.powf(r)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn mirrored(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Lt => BinaryOp::Gt,
        BinaryOp::Gt => BinaryOp::Lt,
        BinaryOp::Le => BinaryOp::Ge,
        BinaryOp::Ge => BinaryOp::Le,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_is_found_where_there_is_one() {
        for (text, left, op, threshold, constant) in [
            ("up == 0", "up", "==", 0.0, "0"),
            ("0.05 < sum(rate(x[5m]))", "sum(rate(x[5m]))", ">", 0.05, "0.05"),
            ("(a / b > 2 * 10) and on() (c > 1)", "a / b", ">", 20.0, "2 * 10"),
            ("(((a > -1)))", "a", ">", -1.0, "-1"),
            ("a > 0.05 and b > 10", "a", ">", 0.05, "0.05"),
            ("a{x=\"ä > 7\"} > (3)", "a{x=\"ä > 7\"}", ">", 3.0, "(3)"),
        ] {
            let found = Comparison::of(&Query::parse(text).expect("parses")).expect("compares");
            assert_eq!((found.left_text.as_str(), found.operator, found.threshold), (left, op, threshold), "{text}");
            assert_eq!(&text[found.constant], constant, "{text}");
        }
        for text in ["up", "a > b", "absent(up)", "a > 1 or b > 2", "1 > bool 2"] {
            assert!(Comparison::of(&Query::parse(text).expect("parses")).is_none(), "{text}");
        }
    }
}
