//! `/api/v1/parse_query`: an expression as the tree that query builders and explainers read.

use super::envelope::{ApiError, body_response};
use super::params::Params;
use super::prometheus::parse;
use super::{Answer, Api};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use watchfire_model::Matcher;
use watchfire_promql::ast::{At, Cardinality, DurationExpr, Modifiers};
use watchfire_promql::{Expr, ValueType};

/// `/api/v1/parse_query`
pub async fn parse_query(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let params = Params::read(&uri, &headers, &body)?;
    let query = parse(&api, params.query())?;
    // Deep trees are made, written and dropped where there is stack for them.
    let written =
        tokio::task::spawn_blocking(move || query.with_stack(|expr| json!({"status": "success", "data": tree(expr)}).to_string()));
    let text = written.await.map_err(|e| ApiError::internal(format!("parsing failed: {e}")))?;
    Ok(body_response(StatusCode::OK, text))
}

fn tree(expr: &Expr) -> Json {
    match expr {
        Expr::Number { value, .. } => json!({"type": "numberLiteral", "val": watchfire_promql::format_decimal(*value)}),
        Expr::Text { value, .. } => json!({"type": "stringLiteral", "val": value}),
        Expr::Paren { expr, .. } => json!({"type": "parenExpr", "expr": tree(expr)}),
        Expr::Unary { negative, expr, .. } => json!({"type": "unaryExpr", "op": if *negative { "-" } else { "+" }, "expr": tree(expr)}),
        Expr::Vector(v) => {
            let mut out = json!({"type": "vectorSelector", "name": v.name.as_deref().unwrap_or(""), "matchers": matchers(&v.matchers)});
            pinned(&mut out, &v.modifiers);
            out
        }
        Expr::Matrix(m) => {
            let name = m.vector.name.as_deref().unwrap_or("");
            let mut out =
                json!({"type": "matrixSelector", "name": name, "range": millis(Some(&m.range)), "matchers": matchers(&m.vector.matchers)});
            pinned(&mut out, &m.vector.modifiers);
            out
        }
        Expr::Subquery(s) => {
            let mut out =
                json!({"type": "subquery", "expr": tree(&s.expr), "range": millis(Some(&s.range)), "step": millis(s.step.as_ref())});
            pinned(&mut out, &s.modifiers);
            out
        }
        Expr::Call(c) => json!({
            "type": "call",
            "func": {
                "name": c.function.name,
                "argTypes": c.function.args.iter().map(|t| type_name(*t)).collect::<Vec<_>>(),
                "variadic": c.function.variadic,
                "returnType": type_name(c.function.returns),
            },
            "args": c.args.iter().map(tree).collect::<Vec<_>>(),
        }),
        Expr::Aggregate(a) => json!({
            "type": "aggregation", "op": a.op.name(), "expr": tree(&a.expr), "param": a.param.as_ref().map(tree),
            "grouping": a.grouping, "without": a.without,
        }),
        Expr::Binary(b) => {
            let both = [&b.lhs, &b.rhs].iter().all(|side| side.value_type() == ValueType::Vector);
            let matching = b
                .matching
                .as_ref()
                .filter(|_| both)
                .map(|m| json!({"card": cardinality(m.cardinality), "labels": m.labels, "on": m.on, "include": m.include}));
            json!({
                "type": "binaryExpr", "op": b.op.symbol(), "lhs": tree(&b.lhs), "rhs": tree(&b.rhs),
                "matching": matching, "bool": b.returns_bool,
            })
        }
    }
}

fn pinned(out: &mut Json, modifiers: &Modifiers) {
    out["offset"] = millis(modifiers.offset.as_ref());
    out["timestamp"] = match modifiers.at {
        Some(At::Time(t)) => json!(t),
        _ => Json::Null,
    };
    out["startOrEnd"] = match modifiers.at {
        Some(At::Start) => json!("start"),
        Some(At::End) => json!("end"),
        _ => Json::Null,
    };
}

/// Milliseconds; `null` where they depend on the query, 0 where nothing is written.
fn millis(duration: Option<&DurationExpr>) -> Json {
    match duration {
        None => json!(0),
        Some(duration) => duration.literal_seconds().map_or(Json::Null, |s| json!((s * 1000.0).round() as i64)),
    }
}

fn matchers(matchers: &[Matcher]) -> Vec<Json> {
    matchers.iter().map(|m| json!({"name": &*m.name, "value": &*m.value, "type": m.op.to_string()})).collect()
}

fn cardinality(cardinality: Cardinality) -> &'static str {
    match cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    }
}

fn type_name(value: ValueType) -> &'static str {
    match value {
        ValueType::Scalar => "scalar",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
        ValueType::String => "string",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_promql::Query;

    #[test]
    fn a_tree_says_what_was_written() {
        let query = Query::parse("sum by (job) (rate(up{a!=\"b\"}[5m] offset -1m)) / on(job) group_left 2").err();
        assert!(query.is_some(), "a scalar has nothing to match");
        let query = Query::parse("sum by (job) (rate(up{a!=\"b\"}[5m] @ end() offset -1m))").expect("parses");
        assert_eq!(
            query.with_stack(tree),
            json!({
                "type": "aggregation", "op": "sum", "param": null, "grouping": ["job"], "without": false,
                "expr": {
                    "type": "call",
                    "func": {"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"},
                    "args": [{
                        "type": "matrixSelector", "name": "up", "range": 300_000, "offset": -60_000,
                        "timestamp": null, "startOrEnd": "end",
                        "matchers": [
                            {"name": "a", "value": "b", "type": "!="},
                            {"name": "__name__", "value": "up", "type": "="},
                        ],
                    }],
                },
            })
        );
    }

    #[test]
    fn a_chain_of_the_longest_length_is_a_tree_too() {
        let chain = vec!["a"; 1000].join("+");
        let query = Query::parse(&chain).expect("parses");
        assert!(query.with_stack(|expr| tree(expr).to_string()).len() > 1000);
    }
}
