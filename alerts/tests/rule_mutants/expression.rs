//! The places of an expression that decide what it counts: numbers, comparisons, conditions, selectors, windows, the labels it keeps.

use std::time::Duration;
use watchfire_model::format_duration;
use watchfire_promql::Expr;
use watchfire_promql::ast::{Aggregate, BinaryOp, DurationExpr, Span, VectorSelector};

/// Text of an expression, put in place of what stands between two of its bytes.
pub struct Change {
    pub start: usize,
    pub end: usize,
    pub with: String,
    /// What was changed, without its place.
    pub what: String,
}

/// Everything that can be changed in `expr`, which was read from `text`.
pub fn changes(expr: &Expr, text: &str) -> Vec<Change> {
    let mut changes = Changes { text, found: Vec::new() };
    expr.walk(&mut |node| changes.node(node));
    changes.found
}

struct Changes<'t> {
    text: &'t str,
    found: Vec<Change>,
}

impl Changes<'_> {
    fn push(&mut self, start: usize, end: usize, with: impl Into<String>, what: String) {
        self.found.push(Change { start, end, with: with.into(), what });
    }

    fn of(&self, span: Span) -> &str {
        &self.text[span.start as usize..span.end as usize]
    }

    fn node(&mut self, node: &Expr) {
        match node {
            Expr::Number { value, span } if *value != 0.0 => {
                let was = self.of(*span).to_owned();
                for factor in [0.9, 1.1] {
                    let what = format!("{was} as {}", (value * factor * 1e9).round() / 1e9);
                    self.push(span.start as usize, span.end as usize, format!("{}", value * factor), what);
                }
            }
            Expr::Binary(binary) => {
                let (was, start, end) = (binary.op.symbol(), binary.op_span.start as usize, binary.op_span.end as usize);
                let other = match binary.op {
                    BinaryOp::Gt => ">=",
                    BinaryOp::Ge => ">",
                    BinaryOp::Lt => "<=",
                    BinaryOp::Le => "<",
                    BinaryOp::Eq => "!=",
                    BinaryOp::Ne => "==",
                    BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => {
                        return self.push(start, binary.rhs.span().end as usize, "", format!("without {was} and what follows"));
                    }
                    _ => return,
                };
                self.push(start, end, other, format!("{was} as {other}"));
            }
            Expr::Vector(selector) => self.selector(selector),
            Expr::Matrix(matrix) => {
                self.selector(&matrix.vector);
                self.duration(&matrix.range, "window");
            }
            Expr::Subquery(subquery) => self.duration(&subquery.range, "window"),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate),
            _ => {}
        }
    }

    /// Twice as long and half as long.
    fn duration(&mut self, duration: &DurationExpr, name: &str) {
        let DurationExpr::Number { seconds, span } = duration else { return };
        let was = self.of(*span).to_owned();
        for factor in [0.5, 2.0] {
            let with = format_duration(Duration::from_secs_f64(seconds * factor));
            let what = format!("{name} {was} as {with}");
            self.push(span.start as usize, span.end as usize, with, what);
        }
    }

    /// Each condition left out, and turned into its contrary.
    fn selector(&mut self, selector: &VectorSelector) {
        if let Some(offset) = &selector.modifiers.offset {
            self.duration(offset, "offset");
        }
        let (from, text) = (selector.span.start as usize, self.of(selector.span).to_owned());
        let Some((open, close)) = text.find('{').zip(text.rfind('}')) else { return };
        let conditions = pieces(&text[open + 1..close]);
        for (i, (start, end)) in conditions.iter().map(|(s, e)| (open + 1 + s, open + 1 + e)).enumerate() {
            let condition = &text[start..end];
            let (without_start, without_end) = match (conditions.get(i + 1), i) {
                (Some((next, _)), _) => (start, open + 1 + next),
                (None, 0) => (open, close + 1),
                (None, _) => (open + 1 + conditions[i - 1].1, end),
            };
            self.push(from + without_start, from + without_end, "", format!("without {condition}"));
            let at = condition.find(['=', '!']).expect("a condition has an operator");
            let (was, contrary) = match condition.as_bytes().get(at..at + 2) {
                Some(b"=~") => ("=~", "!~"),
                Some(b"!~") => ("!~", "=~"),
                Some(b"!=") => ("!=", "="),
                _ => ("=", "!="),
            };
            let place = from + start + at;
            self.push(place, place + was.len(), contrary, format!("{condition} with {contrary}"));
        }
    }

    /// Each label of `by` left out. Rules write it before what is aggregated.
    fn aggregate(&mut self, aggregate: &Aggregate) {
        if !aggregate.grouped || aggregate.without {
            return;
        }
        let (from, text) = (aggregate.span.start as usize, self.of(aggregate.span).to_owned());
        let open = text.find('(').expect("a clause has parentheses");
        let close = open + text[open..].find(')').expect("a clause ends");
        assert!(text[..open].trim_end().ends_with("by"), "rules say by what before they say of what: {text}");
        let labels = pieces(&text[open + 1..close]);
        for (i, (start, end)) in labels.iter().map(|(s, e)| (open + 1 + s, open + 1 + e)).enumerate() {
            let what = format!("without {} of {} by", &text[start..end], aggregate.op.name());
            let (start, end) = match (labels.get(i + 1), i) {
                (Some((next, _)), _) => (start, open + 1 + next),
                (None, 0) => (start, end),
                (None, _) => (open + 1 + labels[i - 1].1, end),
            };
            self.push(from + start, from + end, "", what);
        }
    }
}

/// What stands between commas outside of quotes, without the spaces around it.
fn pieces(text: &str) -> Vec<(usize, usize)> {
    let (mut out, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices().chain([(text.len(), ',')]) {
        match c {
            '"' if !escaped => quoted = !quoted,
            ',' if !quoted => {
                let piece = &text[start..at];
                let (from, to) = (start + piece.len() - piece.trim_start().len(), start + piece.trim_end().len());
                if from < to {
                    out.push((from, to));
                }
                start = at + 1;
            }
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    out
}
