//! What to ask: questions that are worth a start, and those asked before.

use super::Explore;
use crate::canvas::Canvas;
use crate::look::Role;

/// Questions that are worth a start.
pub(super) const EXAMPLES: [(&str, &str); 7] = [
    ("calls per second by service", "sum by (service_name) (rate(traces_span_metrics_calls_total[1m]))"),
    (
        "error share by service",
        "sum by (service_name) (rate(traces_span_metrics_calls_total{status_code=\"STATUS_CODE_ERROR\"}[5m])) / sum by (service_name) (rate(traces_span_metrics_calls_total[5m]))",
    ),
    ("p95 by service", "histogram_quantile(0.95, sum by (service_name) (rate(traces_span_metrics_duration_seconds[5m])))"),
    ("queue depth", "watchfire_queue_depth"),
    ("breakers that are not closed", "watchfire_breaker_state > 0"),
    ("targets that are down", "up == 0"),
    ("what fires", "ALERTS{alertstate=\"firing\"}"),
];

impl Explore {
    /// Expressions that were asked before, the newest first.
    pub(super) fn before(&self) -> impl Iterator<Item = &String> {
        self.history.iter().rev().take(8)
    }

    pub(super) fn examples(&mut self, canvas: &mut Canvas<'_>) {
        canvas.pen(1, 0).put("Everything is a series. Type an expression with i, or begin with one of these:", Role::Text);
        self.position = self.position.min(EXAMPLES.len() + self.before().count() - 1);
        let width = canvas.width();
        for (i, (what, expression)) in EXAMPLES.iter().enumerate() {
            self.drawn.push((i as u16 + 2, i));
            let mut row = canvas.part(0, i as u16 + 2, width, 1);
            row.pen(2, 0).column(30, what, Role::Text).put(expression, Role::Dim);
            if i == self.position {
                let style = row.style(Role::Selected);
                row.patch(0, 0, width, 1, style);
            }
        }
        let mut rows = Vec::new();
        for (i, line) in self.before().enumerate() {
            let y = EXAMPLES.len() as u16 + 4 + i as u16;
            if i == 0 {
                canvas.pen(1, y - 1).put("asked before", Role::Heading);
            }
            rows.push((y, EXAMPLES.len() + i));
            canvas.pen(2, y).put(line, Role::Dim);
            if self.position == EXAMPLES.len() + i {
                let style = canvas.style(Role::Selected);
                canvas.patch(0, y, width, 1, style);
            }
        }
        self.drawn.extend(rows);
    }
}
