//! watchfire's own metrics in the text format, and the remote write door.

use super::Api;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use std::fmt::Write;
use std::sync::Arc;
use watchfire_model::{METRIC_NAME, Meter};
use watchfire_otlp::RemoteWrite;
use watchfire_promql::format_float;

/// `/metrics`
pub async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let text = exposition(&api.meter);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// Text format 0.0.4, families sorted by name.
pub fn exposition(meter: &Meter) -> String {
    let mut readings = meter.readings();
    readings.sort_by(|a, b| a.0.metric_name().cmp(b.0.metric_name()).then_with(|| a.0.cmp(&b.0)));
    let mut out = String::new();
    let mut family = String::new();
    for (labels, value, is_counter) in readings {
        let name = labels.metric_name();
        if name != family {
            if let Some(help) = crate::instance::own_metric_help(name) {
                let _ = writeln!(out, "# HELP {name} {help}");
            }
            let _ = writeln!(out, "# TYPE {name} {}", if is_counter { "counter" } else { "gauge" });
            family = name.to_owned();
        }
        out.push_str(name);
        let mut separator = '{';
        for label in labels.iter().filter(|l| &*l.name != METRIC_NAME) {
            let _ = write!(out, "{separator}{}={}", label.name, quoted(&label.value));
            separator = ',';
        }
        if separator == ',' {
            out.push('}');
        }
        let _ = writeln!(out, " {}", format_float(value));
    }
    out
}

/// As the text format writes what may be any text.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// `POST /api/v1/write`
pub async fn remote_write(State(receiver): State<RemoteWrite>, headers: HeaderMap, body: Body) -> Response {
    receiver.receive(&headers, body).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_declared_once_and_values_escaped() {
        let meter = Meter::new();
        meter.counter("watchfire_b_total", &[("reason", "a\"b\\c")]).add(2);
        meter.counter("watchfire_b_total", &[("reason", "z")]).add(1);
        meter.gauge("watchfire_a", &[]).set(1.5);
        meter.counter("watchfire_spans_total", &[]).add(3);
        assert_eq!(
            exposition(&meter),
            "# TYPE watchfire_a gauge\nwatchfire_a 1.5\n# TYPE watchfire_b_total counter\n\
             watchfire_b_total{reason=\"a\\\"b\\\\c\"} 2\nwatchfire_b_total{reason=\"z\"} 1\n\
             # HELP watchfire_spans_total Spans that were read.\n# TYPE watchfire_spans_total counter\nwatchfire_spans_total 3\n"
        );
    }
}
