//! Two traces side by side: which operations took longer, came more often, fail or are missing, and which attributes differ.

use super::differences::{self, Difference, Said};
use super::list::named;
use crate::action::Action;
use crate::canvas::Canvas;
use crate::look::Role;
use crate::number;
use crate::table::moved;
use std::collections::BTreeMap;
use watchfire_model::reading::Trace;

/// By service and operation.
type Totals = BTreeMap<(String, String), Total>;

#[derive(Clone, Copy, Debug, Default)]
struct Total {
    spans: usize,
    seconds: f64,
    errors: usize,
}

/// One of the two.
struct Side {
    totals: Totals,
    began: f64,
    seconds: f64,
    root: String,
    said: Said,
}

pub(super) struct Compare {
    pub(super) left: String,
    pub(super) right: String,
    /// The right one was open; it is what one goes back to.
    pub(super) within: bool,
    sides: [Option<Side>; 2],
    differences: Vec<Difference>,
    scroll: usize,
    /// Rows, and how many end on screen.
    rows: (usize, usize),
}

/// Columns of figures: spans and time of each, and the difference.
const FIGURES: [(&str, u16); 5] = [("SPANS A", 9), ("SPANS B", 9), ("TIME A", 8), ("TIME B", 8), ("B - A", 8)];

impl Compare {
    pub(super) fn of(left: String, right: String, within: bool) -> Compare {
        Compare { left, right, within, sides: [None, None], differences: Vec::new(), scroll: 0, rows: (0, 0) }
    }

    /// The trace still to be read.
    pub(super) fn missing(&self) -> Option<&str> {
        match &self.sides {
            [None, _] => Some(&self.left),
            [_, None] => Some(&self.right),
            _ => None,
        }
    }

    /// Takes in a trace if it is one of the two.
    pub(super) fn take(&mut self, trace: &Trace) {
        let side = usize::from(trace.trace_id != self.left);
        let wanted = [&self.left, &self.right][side];
        if *wanted != trace.trace_id || self.sides[side].is_some() {
            return;
        }
        let mut totals = Totals::new();
        for span in trace.spans.iter().filter(|span| !span.repeated) {
            let entry = totals.entry((span.service.clone(), span.name.clone())).or_default();
            entry.spans += 1;
            entry.seconds += span.duration_seconds;
            entry.errors += usize::from(span.status == "error");
        }
        let began = trace.spans.iter().map(|s| s.start).fold(f64::INFINITY, f64::min);
        let end = trace.spans.iter().map(|s| s.start + s.duration_seconds).fold(f64::NEG_INFINITY, f64::max);
        let root = trace.spans.iter().min_by(|a, b| a.start.total_cmp(&b.start).then(b.duration_seconds.total_cmp(&a.duration_seconds)));
        let root = root.map_or_else(String::new, |s| format!("{} {}", s.service, named(&s.name)));
        self.sides[side] = Some(Side { totals, began, seconds: (end - began).max(0.0), root, said: Said::by(trace) });
        if let [Some(a), Some(b)] = &self.sides {
            self.differences = differences::between(&a.said, &b.said);
        }
    }

    /// Whether the key was one that moves.
    pub(super) fn scroll(&mut self, action: Action) -> bool {
        let page = self.rows.1.saturating_sub(self.scroll);
        let to = moved(action, self.scroll, page, self.rows.0);
        self.scroll = to.unwrap_or(self.scroll);
        to.is_some()
    }

    pub(super) fn tally(&self) -> String {
        let (rows, shown) = self.rows;
        if shown < rows { format!("to line {shown} of {rows}, j k scroll") } else { format!("{rows} operations") }
    }

    pub(super) fn render(&mut self, canvas: &mut Canvas<'_>) {
        let [Some(a), Some(b)] = &self.sides else {
            let dim = canvas.style(Role::Dim);
            canvas.text(3, 1, 60, "reading both traces …", dim);
            return;
        };
        for (y, (name, id, side)) in [("A", &self.left, a), ("B", &self.right, b)].into_iter().enumerate() {
            head(canvas, y as u16, name, id, side);
        }
        let mut keys: Vec<&(String, String)> = a.totals.keys().chain(b.totals.keys()).collect();
        keys.sort();
        keys.dedup();
        let none = Total::default();
        let mut rows: Vec<_> = keys.into_iter().map(|k| (k, a.totals.get(k).unwrap_or(&none), b.totals.get(k).unwrap_or(&none))).collect();
        // What fails in one of them only comes first: it often takes no time at all.
        let fails = |a: &Total, b: &Total| a.errors != b.errors;
        rows.sort_by(|(_, a, b), (_, c, d)| {
            fails(c, d).cmp(&fails(a, b)).then_with(|| (d.seconds - c.seconds).abs().total_cmp(&(b.seconds - a.seconds).abs()))
        });
        let width = canvas.width();
        let names = width.saturating_sub(FIGURES.iter().map(|(_, w)| w).sum::<u16>() + 2);
        let (heading, text) = (canvas.style(Role::Heading), canvas.style(Role::Text));
        canvas.text(1, 3, names, "OPERATION", heading);
        figures(canvas, 3, names, &FIGURES.map(|(title, _)| (title.to_owned(), Role::Heading)));
        // What the operations leave, and a third of the screen at least.
        let height = canvas.height();
        let spare = height.saturating_sub(5 + rows.len().min(1000) as u16).max(height / 3);
        let below = if self.differences.is_empty() || height < 14 { 0 } else { spare.min(self.differences.len().min(1000) as u16 + 1) };
        let visible = usize::from(height.saturating_sub(4 + below + u16::from(below > 0)));
        self.scroll = self.scroll.min(rows.len().saturating_sub(visible));
        self.rows = (rows.len(), (self.scroll + visible).min(rows.len()));
        let longer = a.seconds.max(b.seconds);
        for (y, ((service, name), a, b)) in rows.iter().skip(self.scroll).take(visible).enumerate() {
            let y = y as u16 + 4;
            canvas.text(1, y, names, &format!("{service} {}", named(name)), text);
            let more = b.seconds - a.seconds;
            let worse = b.errors > a.errors || more > longer * 0.1;
            let sign = if more >= 0.0 { "+" } else { "" };
            let same = more.abs() < 1e-6 && a.spans > 0 && b.spans > 0;
            let more = if same { "same".to_owned() } else { format!("{sign}{}", number::latency(more)) };
            let more = (more, if worse { Role::Unhealthy } else { Role::Text });
            figures(canvas, y, names, &[count(a), count(b), time(a), time(b), more]);
        }
        if below > 0 {
            differences::draw(&self.differences, &mut canvas.part(0, height - below, width, below));
        }
    }
}

fn head(canvas: &mut Canvas<'_>, y: u16, name: &str, id: &str, side: &Side) {
    let (spans, errors) = side.totals.values().fold((0, 0), |(spans, errors), t| (spans + t.spans, errors + t.errors));
    let started = canvas.zone().clock_millis(side.began);
    let mut pen = canvas.pen(1, y);
    pen.put(name, Role::Strong).gap(2).put(&side.root, Role::Text).gap(3).put(&number::latency(side.seconds), Role::Text).gap(3);
    pen.put(&number::spans(spans), Role::Text).gap(3);
    if errors > 0 {
        pen.put(&format!("{errors} error{}", if errors == 1 { "" } else { "s" }), Role::Unhealthy).gap(3);
    }
    pen.put(&started, Role::Dim).gap(3).put(id, Role::Faint);
}

fn figures(canvas: &mut Canvas<'_>, y: u16, names: u16, values: &[(String, Role)]) {
    let mut x = names + 1;
    for ((value, role), (_, width)) in values.iter().zip(FIGURES) {
        let style = canvas.style(*role);
        canvas.right(x, y, width, value, style);
        x += width;
    }
}

/// Spans, and how many of them fail.
fn count(total: &Total) -> (String, Role) {
    match (total.spans, total.errors) {
        (0, _) => (number::UNKNOWN.to_owned(), Role::Dim),
        (spans, 0) => (spans.to_string(), Role::Dim),
        (spans, errors) => (format!("{spans} ✖{errors}"), Role::Unhealthy),
    }
}

fn time(total: &Total) -> (String, Role) {
    (if total.spans == 0 { number::UNKNOWN.to_owned() } else { number::latency(total.seconds) }, Role::Text)
}
