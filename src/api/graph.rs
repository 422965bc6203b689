//! `/graph`: where the links of alerts lead (Prometheus's `generatorURL`). There are no pages here; who follows one sees the expression and what it
//! gives now.

use super::envelope::ApiError;
use super::params::Params;
use super::prometheus::{blocking, evaluation_error, parse};
use super::{Answer, Api};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::IntoResponse;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;
use watchfire_model::{Value, harmless_limited};
use watchfire_promql::{Control, Interrupt, QueryValue, format_float};

/// Lines of results; who wants all of them has the API.
const LINES: usize = 100;
/// Characters of one line.
const WIDTH: usize = 1000;

/// `/graph`
pub async fn graph(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap) -> Answer {
    let params = Params::read(&uri, &headers, &Bytes::new())?;
    let Some(expression) = params.get("g0.expr").map(str::to_owned) else {
        return Err(ApiError::bad_data("invalid parameter \"g0.expr\": there is no expression"));
    };
    let text = blocking(&api, move |api| {
        let query = parse(api, &expression)?;
        let deadline = Instant::now() + api.query_timeout;
        let interrupt = || (Instant::now() >= deadline).then_some(Interrupt::Timeout);
        let control = Control { interrupt: Some(&interrupt), lookback: None };
        let outcome = api.engine.instant_with(&query, api.source.as_ref(), api.clock.now(), control);
        Ok(page(&expression, &outcome.map_err(|e| evaluation_error(api, e))?.value))
    })
    .await?;
    Ok(text.into_response())
}

fn page(expression: &str, value: &QueryValue) -> String {
    let mut out = format!("{}\n\n", harmless_limited(expression, WIDTH));
    let mut lines: Vec<String> = match value {
        QueryValue::Scalar { value, .. } => vec![format_float(*value)],
        QueryValue::String { value, .. } => vec![harmless_limited(value, WIDTH).into_owned()],
        QueryValue::Vector(samples) => samples
            .iter()
            .map(|sample| {
                let value = match &sample.value {
                    Value::Float(v) => format_float(*v),
                    Value::Histogram(h) => format!("count {} sum {}", format_float(h.count), format_float(h.sum)),
                };
                format!("{}  {value}", harmless_limited(&sample.labels.to_string(), WIDTH))
            })
            .collect(),
        QueryValue::Matrix(series) => {
            series.iter().map(|s| format!("{}  {} samples", harmless_limited(&s.labels.to_string(), WIDTH), s.times.len())).collect()
        }
    };
    let all = lines.len();
    lines.truncate(LINES);
    if lines.is_empty() {
        out.push_str("no data: an alert on it does not fire now\n");
    }
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    if all > LINES {
        let _ = writeln!(out, "and {} more", all - LINES);
    }
    out.push_str("\nwatchfire query EXPRESSION --range 1h --output chart   draws it\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::{Labels, Timestamp};
    use watchfire_promql::VectorSample;

    #[test]
    fn who_follows_a_link_sees_what_the_expression_gives() {
        let sample = |n: usize| VectorSample {
            labels: Labels::from_pairs([("__name__", "depth"), ("q", format!("{n}\u{1b}").as_str())]),
            at: Timestamp(0),
            value: Value::Float(9.5),
        };
        let text = page("depth > 5", &QueryValue::Vector((0..102).map(sample).collect()));
        assert!(text.starts_with("depth > 5\n\ndepth{q=\"0\\x1b\"}  9.5\n"), "{text}");
        assert!(text.contains("\nand 2 more\n") && text.lines().count() == 105, "{text}");
        assert!(page("up", &QueryValue::Vector(Vec::new())).contains("no data"));
    }
}
