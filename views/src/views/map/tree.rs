//! The map as a tree of calls: one line per edge, readable at 80 columns and by screen readers.

use super::shown::Shown;
use crate::canvas::{Canvas, display_width, visible};
use crate::filter::Filter;
use crate::look::{Role, breaker_look, error_role, is_tripped, state_glyph};
use crate::number;
use crate::table::{badness, window};
use std::collections::BTreeSet;
use watchfire_model::reading::{Node, NodeKind};

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) node: usize,
    edge: Option<usize>,
    guides: String,
    /// Its callees are listed further up.
    again: bool,
}

/// Guides of deeper levels would leave no room for names.
const DEEPEST: usize = 12;

/// From those nobody calls downwards; each node's callees once. With a filter: the matching nodes, flat.
pub(super) fn rows(shown: &Shown, filter: &Filter, faults_only: bool) -> Vec<Row> {
    let flat = |node| Row { node, edge: None, guides: String::new(), again: true };
    if !filter.is_empty() || faults_only {
        let is_fault = |n: &Node| badness(n.state) < 2;
        let mut found: Vec<usize> =
            (0..shown.nodes.len()).filter(|i| filter.accepts(&shown.nodes[*i]) && (!faults_only || is_fault(&shown.nodes[*i]))).collect();
        found.sort_by_key(|i| badness(shown.nodes[*i].state));
        return found.into_iter().map(flat).collect();
    }
    let mut out = Vec::with_capacity(shown.nodes.len() + shown.edges.len());
    let mut seen = vec![false; shown.nodes.len()];
    let called = |n: usize| shown.into[n].iter().any(|e| shown.pairs[*e].0 != n);
    let mut roots: Vec<usize> = (0..shown.nodes.len()).filter(|n| !called(*n)).collect();
    // Those who call most first: gateways before what stands alone.
    roots.sort_by_key(|n| std::cmp::Reverse(shown.out[*n].len()));
    let rest = (0..shown.nodes.len()).filter(|n| called(*n));
    for root in roots.into_iter().chain(rest) {
        if seen[root] {
            continue;
        }
        let mut stack: Vec<(usize, Option<usize>, String, Option<bool>)> = vec![(root, None, String::new(), None)];
        while let Some((node, edge, above, last)) = stack.pop() {
            let again = std::mem::replace(&mut seen[node], true);
            let own = match last {
                None => "",
                Some(true) => "└ ",
                Some(false) => "├ ",
            };
            let has_callees = !shown.out[node].is_empty();
            out.push(Row { node, edge, guides: format!("{above}{own}"), again: again && has_callees });
            if again {
                continue;
            }
            let below = match last {
                None => String::new(),
                _ if display_width(&above) >= DEEPEST * 2 => above,
                Some(true) => format!("{above}  "),
                Some(false) => format!("{above}│ "),
            };
            let mut edges = shown.out[node].clone();
            edges.sort_by_key(|e| (badness(shown.nodes[shown.pairs[*e].1].state), shown.pairs[*e].1));
            let count = edges.len();
            for (i, edge) in edges.into_iter().enumerate().rev() {
                stack.push((shown.pairs[edge].1, Some(edge), below.clone(), Some(i + 1 == count)));
            }
        }
    }
    out
}

pub(super) fn kind_mark(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Service => "",
        NodeKind::Database => "db",
        NodeKind::Queue => "queue",
        NodeKind::External => "external",
        NodeKind::Cache => "cache",
    }
}

pub(super) fn draw(
    canvas: &mut Canvas<'_>,
    shown: &Shown,
    rows: &[Row],
    selected: usize,
    offset: &mut usize,
    blast: &BTreeSet<usize>,
) -> usize {
    let (width, height) = (canvas.width(), canvas.height());
    let heading = canvas.style(Role::Heading);
    // Figures stand beside the longest name, so that the eye finds them; words take what is left.
    let columns = figures_of(width);
    let figures_width = columns.len() as u16 * 8;
    let states_width = match width {
        100.. => 32,
        54.. => 17,
        _ => 10,
    };
    let furthest = width.saturating_sub(figures_width + states_width);
    let longest = rows.iter().map(|row| display_width(&row.guides) + label_width(&shown.nodes[row.node], row.again)).max().unwrap_or(0);
    let figures_x = furthest.min(u16::try_from(longest).unwrap_or(furthest).saturating_add(6).max(24));
    canvas.text(1, 0, 30, "CALLS", heading);
    for (i, column) in columns.iter().enumerate() {
        canvas.right(figures_x + i as u16 * 8, 0, 7, ["RATE", "ERR%", "P95"][*column], heading);
    }
    canvas.text(figures_x + figures_width + 2, 0, 30, "STATE", heading);
    let page = usize::from(height.saturating_sub(1));
    *offset = window(selected, *offset, page, rows.len());
    for (line, (position, row)) in rows.iter().enumerate().skip(*offset).take(page).enumerate() {
        let y = line as u16 + 1;
        let node = &shown.nodes[row.node];
        let mut part = canvas.part(0, y, width, 1);
        let mut pen = part.pen(1, 0);
        pen.put(&row.guides, Role::Faint).put(state_glyph(node.state), node.state.into()).gap(1);
        let left = pen.x();
        let role = if blast.contains(&row.node) {
            Role::Match
        } else if row.again {
            Role::Dim
        } else {
            Role::Text
        };
        let style = part.style(role);
        let room = figures_x.saturating_sub(left + 1);
        let used = part.text(left, 0, room, &visible(&node.name), style);
        let mark = mark(node, row.again);
        let dim = part.style(Role::Dim);
        part.text(left + used + 1, 0, room.saturating_sub(used + 1), &mark, dim);
        figures(&mut part, shown, row, figures_x, columns);
        if position == selected {
            let style = part.style(Role::Selected);
            part.patch(0, 0, width, 1, style);
        }
    }
    page
}

/// What follows a name: what kind of thing it is, and whether its callees stand further up.
fn mark(node: &Node, again: bool) -> String {
    match (kind_mark(node.kind), again) {
        ("", true) => "↑".to_owned(),
        (kind, true) => format!("{kind} ↑"),
        (kind, false) => kind.to_owned(),
    }
}

/// Glyph, name and mark with the blanks between them.
fn label_width(node: &Node, again: bool) -> usize {
    4 + display_width(&node.name) + display_width(&mark(node, again))
}

/// Which of rate, errors and p95 a width has room for beside names and states.
fn figures_of(width: u16) -> &'static [usize] {
    match width {
        64.. => &[0, 1, 2],
        54.. => &[0, 1],
        _ => &[1],
    }
}

fn figures(canvas: &mut Canvas<'_>, shown: &Shown, row: &Row, x: u16, columns: &[usize]) {
    let node = &shown.nodes[row.node];
    let edge = row.edge.map(|e| &shown.edges[e]);
    let (rate, errors, p95, samples, sampling) = match edge {
        Some(e) => (e.rate, e.error_ratio, e.p95_seconds, e.sample_count, e.sampling_ratio),
        None => (node.rate, node.error_ratio, node.p95_seconds, None, None),
    };
    for (i, column) in columns.iter().enumerate() {
        let (figure, role) = match column {
            0 => (number::rate(rate), Role::Text),
            1 => (number::percent(errors), error_role(errors)),
            _ => (number::percentile(p95, samples, sampling), Role::Text),
        };
        let style = canvas.style(role);
        canvas.right(x + i as u16 * 8, 0, 7, &figure, style);
    }
    let width = canvas.width();
    let mut pen = canvas.pen(x + columns.len() as u16 * 8 + 2, 0);
    if let Some(edge) = edge {
        if let Some(state) = edge.breaker.as_deref().filter(|s| is_tripped(s)) {
            let (glyph, health) = breaker_look(state);
            pen.put(&format!("{glyph} breaker {state}{} ", if edge.breaker_inferred { "?" } else { "" }), health.into());
        }
        match (edge.observed, edge.declared) {
            (false, _) => {
                pen.put("╌ no traffic ", Role::Dim);
            }
            (true, false) => {
                pen.put("┄ undeclared ", Role::Unknown);
            }
            _ => {}
        }
    }
    if let Some(depth) = node.queue_depth {
        pen.put(&format!("{} waiting ", number::count(depth)), node.state.into());
    }
    if pen.x() < width && badness(node.state) != 2 {
        let why = node.why.first().map_or(node.state.word(), String::as_str);
        pen.put(why, node.state.into());
    }
}
