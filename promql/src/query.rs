//! A parsed query.

use crate::ast::{DurationExpr, Expr, ValueType};
use crate::error::ParseError;
use crate::parser::guard::{self, ExpressionLimits};
use crate::parser::parse;
use crate::print::{pretty, print};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{METRIC_NAME, MatchOp, Selector};

/// An expression of PromQL, parsed and type-checked. Cloning shares it.
#[derive(Clone)]
pub struct Query(Arc<Parts>);

struct Parts {
    text: String,
    expr: Expr,
    normal: String,
    depth: usize,
}

/// Trees deeper than this are walked on a thread with its own stack.
const SHALLOW: usize = 48;
const STACK: usize = 16 << 20;

impl Query {
    /// Parses a query. Oversized ones (16 KiB, nesting of 100, 1000 operators) are refused before they are parsed.
    ///
    /// # Errors
    /// With Prometheus's wording and position.
    pub fn parse(text: &str) -> Result<Query, ParseError> {
        Query::parse_within(text, ExpressionLimits::default())
    }

    /// As [`Query::parse`], with other limits.
    ///
    /// # Errors
    /// With Prometheus's wording and position.
    pub fn parse_within(text: &str, limits: ExpressionLimits) -> Result<Query, ParseError> {
        let extent = guard::check(text, limits)?;
        let depth = extent.depth + extent.operators;
        on_enough_stack(depth, || {
            let expr = parse(text)?;
            let normal = print(&expr);
            Ok(Query(Arc::new(Parts { text: text.to_owned(), expr, normal, depth })))
        })
    }

    /// The text as it was given.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    pub fn expr(&self) -> &Expr {
        &self.0.expr
    }

    pub fn value_type(&self) -> ValueType {
        self.0.expr.value_type()
    }

    pub(crate) fn depth(&self) -> usize {
        self.0.depth
    }

    /// Looks at the tree where there is stack for its depth.
    pub fn with_stack<T: Send>(&self, look: impl FnOnce(&Expr) -> T + Send) -> T {
        on_enough_stack(self.depth(), || look(&self.0.expr))
    }

    /// The expression over several lines where it is long, as the `format_query` endpoint of the Prometheus API gives it.
    pub fn pretty(&self) -> String {
        on_enough_stack(self.depth(), || pretty(&self.0.expr))
    }

    /// Every selector, in the order of the text.
    pub fn selectors(&self) -> Vec<Selector> {
        on_enough_stack(self.depth(), || {
            let mut out = Vec::new();
            self.0.expr.walk(&mut |expr| match expr {
                Expr::Vector(v) => out.push(Selector(v.matchers.clone())),
                Expr::Matrix(m) => out.push(Selector(m.vector.matchers.clone())),
                _ => {}
            });
            out
        })
    }

    /// The shortest stretch of the past that it looks at at once, of those whose length is a plain number: as long as that it goes on counting what has
    /// ended.
    pub fn shortest_range(&self) -> Option<Duration> {
        on_enough_stack(self.depth(), || {
            let mut shortest = None;
            self.0.expr.walk(&mut |expr| {
                let range = match expr {
                    Expr::Matrix(matrix) => &matrix.range,
                    Expr::Subquery(subquery) => &subquery.range,
                    _ => return,
                };
                if let DurationExpr::Number { seconds, .. } = range
                    && let Ok(range) = Duration::try_from_secs_f64(*seconds)
                {
                    shortest = Some(shortest.map_or(range, |shortest: Duration| shortest.min(range)));
                }
            });
            shortest
        })
    }

    /// Metric names the query is bound to by equality; sorted, each once.
    pub fn metric_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .selectors()
            .iter()
            .flat_map(|s| &s.0)
            .filter(|m| m.op == MatchOp::Equal && &*m.name == METRIC_NAME && !m.value.is_empty())
            .map(|m| m.value.to_string())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// The normalised expression, on one line.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.normal)
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Query({:?})", self.0.normal)
    }
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        self.0.normal == other.0.normal
    }
}

impl Eq for Query {}

impl std::str::FromStr for Query {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Query::parse(text)
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if self.depth > SHALLOW {
            let expr = std::mem::replace(&mut self.expr, Expr::Number { value: 0.0, span: crate::ast::Span::default() });
            on_enough_stack(self.depth, move || drop(expr));
        }
    }
}

/// Runs `f` where a tree of that depth can be walked.
pub(crate) fn on_enough_stack<T: Send>(depth: usize, f: impl FnOnce() -> T + Send) -> T {
    if depth <= SHALLOW {
        return f();
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, f);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(value)) => value,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => std::panic::panic_any(format!("no thread for a deep query: {error}")),
        }
    })
}
