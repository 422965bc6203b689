//! The waterfall on screen: title, tree, bars, and the selected span in two lines.

use super::{Waterfall, holds};
use crate::canvas::{Canvas, display_width};
use crate::look::Role;
use crate::number;
use crate::table::window;
use crate::views::traces::fall::{Fall, Row};
use crate::views::traces::list::named;
use std::borrow::Cow;
use watchfire_model::reading::{Span, Trace};

/// Deeper levels are drawn at this depth.
const DEEPEST: usize = 12;
/// What the lines of the tree leave of their column to the names of services.
const NAMES: u16 = 11;

impl Waterfall {
    pub(in crate::views::traces) fn render(&mut self, trace: &Trace, canvas: &mut Canvas<'_>) {
        let (width, height) = (canvas.width(), canvas.height());
        self.title(trace, canvas);
        let foot = if height >= 12 { 3 } else { 0 };
        let rows = usize::from(height.saturating_sub(1 + foot));
        self.page = rows;
        self.offset = window(self.selected, self.offset, rows, self.visible.len());
        let columns = Columns::of(width);
        for line in 0..rows {
            let position = self.offset + line;
            let Some(index) = self.visible.get(position).copied() else { break };
            let row = &self.fall.rows[index];
            let Some(span) = trace.spans.get(row.span) else { continue };
            let mut part = canvas.part(0, line as u16 + 1, width, 1);
            self.line(&mut part, &columns, index, row, span, trace);
            if position == self.selected {
                let style = part.style(Role::Selected);
                part.patch(0, 0, width, 1, style);
            }
        }
        if foot > 0
            && let (Some(row), Some(span)) = (self.row(), self.span(trace))
        {
            foot_lines(&mut canvas.part(0, height - 2, width, 2), row, span);
        }
    }

    fn title(&self, trace: &Trace, canvas: &mut Canvas<'_>) {
        let root = self.fall.rows.first().and_then(|r| trace.spans.get(r.span));
        let started = canvas.zone().clock_millis(self.fall.start);
        let mut pen = canvas.pen(1, 0);
        pen.name(&root.map_or(Cow::Borrowed("no spans"), |s| named(&s.name)), Role::Strong).gap(3);
        pen.put(&number::latency((self.fall.end - self.fall.start).max(0.0)), Role::Text).gap(3);
        // Counted as everywhere else; those that are shown beside them are named below.
        let repeated = trace.spans.iter().filter(|span| span.repeated).count();
        match trace.omitted {
            0 => pen.put(&number::spans(trace.spans.len() - repeated), Role::Text).gap(3),
            omitted => {
                pen.put(&format!("{} of {} spans", trace.spans.len(), trace.spans.len().saturating_add(omitted)), Role::Degraded).gap(3)
            }
        };
        if self.fall.errors > 0 {
            pen.put(&format!("{} error{}", self.fall.errors, if self.fall.errors == 1 { "" } else { "s" }), Role::Unhealthy).gap(3);
        }
        // What is odd about it comes before when it was: the end of the line may be cut off.
        for (count, text) in [(repeated, "more under a used id"), (trace.salvaged, "without parent"), (self.fall.skewed, "clock skew")] {
            if count > 0 {
                pen.put(&format!("{count} {text}"), Role::Degraded).gap(3);
            }
        }
        pen.put(&started, Role::Dim).gap(3);
        if self.marked {
            pen.put("» marked", Role::Accent).gap(2);
        }
        if trace.pinned {
            pen.put("pinned", Role::Accent).gap(2);
        }
        pen.put(&trace.trace_id, Role::Faint);
    }

    fn line(&self, canvas: &mut Canvas<'_>, columns: &Columns, index: usize, row: &Row, span: &Span, trace: &Trace) {
        let failing = span.status == "error";
        let guides = self.guides(index, usize::from(columns.tree.saturating_sub(NAMES) / 2).clamp(2, DEEPEST));
        let guide_width = display_width(&guides) as u16;
        let faint = canvas.style(Role::Faint);
        canvas.text(1, 0, columns.tree, &guides, faint);
        let mark = if self.folded.contains(&index) { format!(" +{}", row.descendants) } else { String::new() };
        let service_width = columns.tree.saturating_sub(guide_width + u16::from(failing) * 2 + mark.len() as u16);
        let style = canvas.style(if failing { Role::Unhealthy } else { Role::Text });
        let used = canvas.text(1 + guide_width, 0, service_width, &span.service, style);
        if failing {
            canvas.text(1 + guide_width + used + 1, 0, 1, "✖", style);
        }
        let accent = canvas.style(Role::Accent);
        canvas.text(1 + columns.tree - (mark.len() as u16).min(columns.tree), 0, columns.tree, &mark, accent);
        let hit = !self.search.is_empty() && holds(span, &self.search.to_lowercase());
        let name = canvas.style(if hit { Role::Match } else { Role::Text });
        canvas.text(columns.name_x, 0, columns.name, &named(&span.name), name);
        bar(canvas, columns, &self.fall, row, span, trace);
        let text = canvas.style(Role::Text);
        canvas.right(columns.duration_x, 0, 7, &number::latency(span.duration_seconds), text);
        let note = self.note(index, row, span);
        let dim = canvas.style(Role::Dim);
        canvas.text(columns.duration_x + 8, 0, columns.note, &note, dim);
    }

    fn note(&self, index: usize, row: &Row, span: &Span) -> String {
        let mut words: Vec<String> = Vec::new();
        if let Some((bottleneck, share)) = self.fall.bottleneck
            && bottleneck == index
        {
            words.push(format!("◀ critical path {:.0} %", share * 100.0));
        }
        if !span.status_message.is_empty() {
            words.push(span.status_message.clone());
        }
        if row.skewed {
            words.push("clock skew".to_owned());
        }
        if span.repeated {
            words.push("its id is used: not counted".to_owned());
        }
        words.join("  ")
    }

    /// `│ ├ ` of the levels above, from the outermost, the last `deepest` of them.
    fn guides(&self, index: usize, deepest: usize) -> String {
        let mut pieces: Vec<&str> = Vec::new();
        let row = &self.fall.rows[index];
        if row.depth == 0 {
            return String::new();
        }
        pieces.push(if row.last { "└ " } else { "├ " });
        let mut above = row.parent;
        while let Some(parent) = above {
            let row = &self.fall.rows[parent];
            if row.depth == 0 || pieces.len() >= deepest {
                break;
            }
            pieces.push(if row.last { "  " } else { "│ " });
            above = row.parent;
        }
        if row.depth > deepest {
            pieces.push("…");
        }
        pieces.reverse();
        pieces.concat()
    }
}

struct Columns {
    tree: u16,
    name_x: u16,
    name: u16,
    bar_x: u16,
    bar: u16,
    duration_x: u16,
    note: u16,
}

impl Columns {
    fn of(width: u16) -> Columns {
        let note = if width >= 110 { (width / 5).min(40) } else { 0 };
        let rest = width.saturating_sub(note + 12);
        let tree = (rest * 3 / 10).clamp(10, 36);
        let name = (rest * 3 / 10).clamp(8, 40);
        let bar = rest.saturating_sub(tree + name);
        let name_x = 1 + tree + 1;
        let bar_x = name_x + name + 1;
        Columns { tree, name_x, name, bar_x, bar, duration_x: bar_x + bar, note }
    }
}

/// The span's place in time; the critical path is solid, the rest is not.
fn bar(canvas: &mut Canvas<'_>, columns: &Columns, fall: &Fall, row: &Row, span: &Span, trace: &Trace) {
    let whole = (fall.end - fall.start).max(1e-9);
    let width = f64::from(columns.bar);
    let at = |seconds: f64| ((seconds - fall.start) / whole * width).clamp(0.0, width);
    let (from, to) = (at(span.start), at(span.start + span.duration_seconds));
    let (first, last) = (from.floor() as u16, (to.ceil() as u16).max(from.floor() as u16 + 1).min(columns.bar));
    let role = if span.status == "error" {
        Role::Unhealthy
    } else if row.critical {
        Role::Accent
    } else {
        Role::Dim
    };
    let style = canvas.style(role);
    let symbol = match (to - from < 1.0, row.critical) {
        (true, _) => '▏',
        (_, true) => '█',
        _ => '▒',
    };
    for x in first.min(columns.bar.saturating_sub(1))..last {
        canvas.dot(columns.bar_x + x, 0, symbol, style);
    }
    let strong = canvas.style(Role::Strong);
    let events = span.events.iter().map(|e| e.at);
    let logs = trace.logs.iter().filter(|l| l.span_id.as_deref() == Some(span.span_id.as_str())).map(|l| l.time);
    if columns.bar > 0 {
        for moment in events.chain(logs).take(50) {
            canvas.dot(columns.bar_x + (at(moment) as u16).min(columns.bar - 1), 0, '◆', strong);
        }
    }
}

/// The selected span in two lines.
fn foot_lines(canvas: &mut Canvas<'_>, row: &Row, span: &Span) {
    let mut pen = canvas.pen(1, 0);
    pen.name(&span.service, Role::Strong).gap(1).name(&named(&span.name), Role::Text).gap(3);
    pen.put(&format!("{}, self {}", number::latency(span.duration_seconds), number::latency(row.self_seconds)), Role::Text);
    pen.gap(3).put(&span.kind, Role::Dim).gap(2);
    let role = if span.status == "error" { Role::Unhealthy } else { Role::Dim };
    // Most spans never set one.
    let status = if span.status == "unset" { "" } else { &span.status };
    pen.put(status, role).gap(1).put(&span.status_message, role);
    let attributes: Vec<String> = span.attributes.iter().take(12).map(|(k, v)| format!("{k}={v}")).collect();
    canvas.pen(1, 1).put(&attributes.join("  "), Role::Dim);
}
