//! Trees back to text: on one line, and laid out over several. Follows Prometheus `promql/parser/printer.go` and `prettier.go`.

use crate::ast::{Aggregate, At, Binary, Cardinality, DurationExpr, DurationOp, Expr, Modifiers, VectorSelector};
use crate::number::format_general;
use crate::parser::quote::go_quote;
use std::time::Duration;
use watchfire_model::{METRIC_NAME, MatchOp, format_duration};

/// Longer expressions are broken over lines.
const WIDTH: usize = 100;

pub fn print(expr: &Expr) -> String {
    match expr {
        Expr::Number { value, .. } => number(*value),
        Expr::Text { value, .. } => go_quote(value),
        Expr::Vector(v) => selector(v, ""),
        Expr::Matrix(m) => selector(&m.vector, &format!("[{}]", duration(&m.range))),
        Expr::Subquery(s) => {
            let step = s.step.as_ref().map_or_else(String::new, duration);
            format!("{}[{}:{step}]{}", print(&s.expr), duration(&s.range), modifiers(&s.modifiers))
        }
        Expr::Call(c) => format!("{}({})", c.function.name, c.args.iter().map(print).collect::<Vec<_>>().join(", ")),
        Expr::Aggregate(a) => {
            let param = a.param.as_ref().map_or_else(String::new, |p| print(p) + ", ");
            format!("{}({param}{})", aggregate_head(a), print(&a.expr))
        }
        Expr::Binary(b) => format!("{} {} {}", print(&b.lhs), operator(b), print(&b.rhs)),
        Expr::Unary { negative, expr, .. } => format!("{}{}", if *negative { "-" } else { "+" }, print(expr)),
        Expr::Paren { expr, .. } => format!("({})", print(expr)),
    }
}

pub fn pretty(expr: &Expr) -> String {
    layout(expr, 0)
}

fn layout(expr: &Expr, level: usize) -> String {
    let indent = "  ".repeat(level);
    let line = print(expr);
    if line.len() <= WIDTH {
        return indent + &line;
    }
    match expr {
        Expr::Aggregate(a) => {
            let mut parts: Vec<String> = a.param.iter().map(|p| layout(p, level + 1)).collect();
            parts.push(layout(&a.expr, level + 1));
            format!("{indent}{}(\n{}\n{indent})", aggregate_head(a), parts.join(",\n"))
        }
        Expr::Call(c) if !c.args.is_empty() => {
            let parts: Vec<String> = c.args.iter().map(|arg| layout(arg, level + 1)).collect();
            format!("{indent}{}(\n{}\n{indent})", c.function.name, parts.join(",\n"))
        }
        Expr::Binary(b) => {
            format!("{}\n{indent}{}\n{}", layout(&b.lhs, level + 1), operator(b), layout(&b.rhs, level + 1))
        }
        Expr::Paren { expr, .. } => format!("{indent}(\n{}\n{indent})", layout(expr, level + 1)),
        Expr::Unary { negative, expr, .. } => {
            format!("{indent}{}{}", if *negative { "-" } else { "+" }, layout(expr, level).trim_start())
        }
        Expr::Subquery(s) => {
            let step = s.step.as_ref().map_or_else(String::new, duration);
            format!("{}[{}:{step}]{}", layout(&s.expr, level), duration(&s.range), modifiers(&s.modifiers))
        }
        _ => indent + &line,
    }
}

fn number(value: f64) -> String {
    if value.is_infinite() { if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() } } else { format_general(value) }
}

fn plain_label(name: &str) -> bool {
    !name.is_empty() && name.bytes().enumerate().all(|(i, b)| b.is_ascii_alphabetic() || b == b'_' || (i > 0 && b.is_ascii_digit()))
}

fn plain_metric(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().enumerate().all(|(i, b)| b.is_ascii_alphabetic() || b == b'_' || b == b':' || (i > 0 && b.is_ascii_digit()))
}

fn label_name(name: &str) -> String {
    if plain_label(name) { name.to_owned() } else { go_quote(name) }
}

fn label_list(names: &[String]) -> String {
    names.iter().map(|n| label_name(n)).collect::<Vec<_>>().join(", ")
}

fn selector(v: &VectorSelector, range: &str) -> String {
    let mut parts = Vec::new();
    let mut name = v.name.as_deref().unwrap_or("");
    if !name.is_empty() && !plain_metric(name) {
        parts.push(go_quote(name));
        name = "";
    }
    let first_matcher = parts.len();
    for m in &v.matchers {
        // The name before the braces is a matcher, too.
        if v.name.is_some() && &*m.name == METRIC_NAME && m.op == MatchOp::Equal {
            continue;
        }
        parts.push(format!("{}{}{}", label_name(&m.name), m.op, go_quote(&m.value)));
    }
    // In the order of Prometheus, so that one query has one form.
    parts[first_matcher..].sort();
    // `info` takes a selector that selects everything, and nothing at all would be a missing argument.
    let braces = if parts.is_empty() && !name.is_empty() { String::new() } else { format!("{{{}}}", parts.join(",")) };
    let extended = if v.anchored {
        " anchored"
    } else if v.smoothed {
        " smoothed"
    } else {
        ""
    };
    format!("{name}{braces}{range}{extended}{}", modifiers(&v.modifiers))
}

fn modifiers(m: &Modifiers) -> String {
    let mut out = String::new();
    match m.at {
        Some(At::Time(t)) => out.push_str(&format!(" @ {:.3}", t as f64 / 1000.0)),
        Some(At::Start) => out.push_str(" @ start()"),
        Some(At::End) => out.push_str(" @ end()"),
        None => {}
    }
    if let Some(offset) = &m.offset {
        out.push_str(&format!(" offset {}", duration(offset)));
    }
    out
}

fn seconds(value: f64) -> String {
    let millis = (value.abs() * 1000.0).round();
    let text = format_duration(Duration::from_millis(millis as u64));
    if value < 0.0 { format!("-{text}") } else { text }
}

fn duration(d: &DurationExpr) -> String {
    match d {
        DurationExpr::Number { seconds: value, .. } => seconds(*value),
        DurationExpr::Step { .. } => "step()".to_owned(),
        DurationExpr::Range { .. } => "range()".to_owned(),
        DurationExpr::Negative { expr, .. } => format!("-{}", duration(expr)),
        DurationExpr::Positive { expr, .. } => format!("+{}", duration(expr)),
        DurationExpr::Paren { expr, .. } => format!("({})", duration(expr)),
        DurationExpr::Binary { op, lhs, rhs } => {
            let (l, r) = (duration(lhs), duration(rhs));
            let symbol = match op {
                DurationOp::Add => "+",
                DurationOp::Sub => "-",
                DurationOp::Mul => "*",
                DurationOp::Div => "/",
                DurationOp::Mod => "%",
                DurationOp::Pow => "^",
                DurationOp::MinOf => return format!("min_of({l}, {r})"),
                DurationOp::MaxOf => return format!("max_of({l}, {r})"),
            };
            format!("{l} {symbol} {r}")
        }
    }
}

fn aggregate_head(a: &Aggregate) -> String {
    if a.without {
        format!("{} without ({}) ", a.op.name(), label_list(&a.grouping))
    } else if !a.grouping.is_empty() {
        format!("{} by ({}) ", a.op.name(), label_list(&a.grouping))
    } else {
        a.op.name().to_owned()
    }
}

fn operator(b: &Binary) -> String {
    let mut out = b.op.symbol().to_owned();
    if b.returns_bool {
        out.push_str(" bool");
    }
    let Some(m) = &b.matching else { return out };
    let grouped = matches!(m.cardinality, Cardinality::ManyToOne | Cardinality::OneToMany);
    if m.on || !m.labels.is_empty() || grouped {
        out.push_str(&format!(" {} ({})", if m.on { "on" } else { "ignoring" }, label_list(&m.labels)));
    }
    match m.cardinality {
        Cardinality::ManyToOne => out.push_str(&format!(" group_left ({})", label_list(&m.include))),
        Cardinality::OneToMany => out.push_str(&format!(" group_right ({})", label_list(&m.include))),
        _ => {}
    }
    match (m.fill_left, m.fill_right) {
        (Some(l), Some(r)) if l.to_bits() == r.to_bits() => out.push_str(&format!(" fill ({})", number(l))),
        (l, r) => {
            if let Some(l) = l {
                out.push_str(&format!(" fill_left ({})", number(l)));
            }
            if let Some(r) = r {
                out.push_str(&format!(" fill_right ({})", number(r)));
            }
        }
    }
    out
}
