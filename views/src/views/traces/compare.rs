//! Two traces side by side: which operations took longer, came more often or are missing.

use crate::canvas::Canvas;
use crate::look::Role;
use crate::number;
use std::collections::BTreeMap;
use watchfire_model::reading::Trace;

type Totals = BTreeMap<(String, String), (usize, f64, usize)>;

pub(super) struct Compare {
    pub(super) left: String,
    pub(super) right: String,
    totals: [Option<(Totals, f64)>; 2],
    pub(super) scroll: usize,
}

impl Compare {
    pub(super) fn of(left: String, right: String) -> Compare {
        Compare { left, right, totals: [None, None], scroll: 0 }
    }

    /// The trace still to be read.
    pub(super) fn missing(&self) -> Option<&str> {
        match (&self.totals[0], &self.totals[1]) {
            (None, _) => Some(&self.left),
            (_, None) => Some(&self.right),
            _ => None,
        }
    }

    /// Takes in a trace if it is one of the two.
    pub(super) fn take(&mut self, trace: &Trace) {
        let side = usize::from(trace.trace_id != self.left);
        let wanted = [&self.left, &self.right][side];
        if *wanted != trace.trace_id || self.totals[side].is_some() {
            return;
        }
        let mut totals = Totals::new();
        for span in &trace.spans {
            let entry = totals.entry((span.service.clone(), span.name.clone())).or_default();
            entry.0 += 1;
            entry.1 += span.duration_seconds;
            entry.2 += usize::from(span.status == "error");
        }
        let start = trace.spans.iter().map(|s| s.start).fold(f64::INFINITY, f64::min);
        let end = trace.spans.iter().map(|s| s.start + s.duration_seconds).fold(f64::NEG_INFINITY, f64::max);
        self.totals[side] = Some((totals, (end - start).max(0.0)));
    }

    pub(super) fn render(&mut self, canvas: &mut Canvas<'_>) {
        let [Some((left, left_seconds)), Some((right, right_seconds))] = &self.totals else {
            let dim = canvas.style(Role::Dim);
            canvas.text(3, 1, 60, "reading both traces …", dim);
            return;
        };
        let mut keys: Vec<&(String, String)> = left.keys().chain(right.keys()).collect();
        keys.sort();
        keys.dedup();
        let none = (0, 0.0, 0);
        let mut rows: Vec<_> = keys.into_iter().map(|k| (k, left.get(k).unwrap_or(&none), right.get(k).unwrap_or(&none))).collect();
        rows.sort_by(|a, b| (b.2.1 - b.1.1).abs().total_cmp(&(a.2.1 - a.1.1).abs()));
        let width = canvas.width();
        let names = width.saturating_sub(44);
        let (heading, text, dim) = (canvas.style(Role::Heading), canvas.style(Role::Text), canvas.style(Role::Dim));
        canvas.pen(1, 0).put(&self.left, Role::Accent).put(&format!(" {}", number::latency(*left_seconds)), Role::Text);
        canvas.pen(1, 1).put(&self.right, Role::Accent).put(&format!(" {}", number::latency(*right_seconds)), Role::Text);
        canvas.text(1, 3, names, "OPERATION", heading);
        for (i, title) in ["SPANS", "SPANS", "TIME", "TIME", "MORE"].iter().enumerate() {
            canvas.right(names + 2 + i as u16 * 8, 3, 7, title, heading);
        }
        let visible = usize::from(canvas.height().saturating_sub(4));
        self.scroll = self.scroll.min(rows.len().saturating_sub(visible));
        for (y, ((service, name), a, b)) in rows.iter().skip(self.scroll).take(visible).enumerate() {
            let y = y as u16 + 4;
            canvas.text(1, y, names, &format!("{service} {name}"), text);
            let count = |n: usize| if n == 0 { number::UNKNOWN.to_owned() } else { n.to_string() };
            let time = |(n, seconds, _): &(usize, f64, usize)| if *n == 0 { number::UNKNOWN.to_owned() } else { number::latency(*seconds) };
            let more = b.1 - a.1;
            let role = if b.2 > a.2 || more > left_seconds.max(*right_seconds) * 0.1 { Role::Unhealthy } else { Role::Text };
            let sign = if more >= 0.0 { "+" } else { "" };
            let tone = canvas.style(role);
            canvas.right(names + 2, y, 7, &count(a.0), dim);
            canvas.right(names + 10, y, 7, &count(b.0), dim);
            canvas.right(names + 18, y, 7, &time(a), text);
            canvas.right(names + 26, y, 7, &time(b), text);
            canvas.right(names + 34, y, 7, &format!("{sign}{}", number::latency(more)), tone);
        }
    }
}
