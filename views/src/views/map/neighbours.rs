//! The selected node: who calls it, whom it calls, and how far its failure reaches; drawn and in words.

use super::drawing::{Scene, Window, Zoom};
use super::shown::Shown;
use super::{Map, drawing, export};
use crate::canvas::Canvas;
use crate::look::{Role, state_glyph};
use crate::number;
use std::collections::BTreeSet;
use watchfire_model::reading::errors_reason;

impl Map {
    /// Draws who calls the selected node and whom it calls at the bottom of the canvas. Returns the rows used.
    pub(super) fn draw_star(&mut self, node: usize, canvas: &mut Canvas<'_>) -> u16 {
        let generation = self.shown_of.as_ref().map_or(0, |(g, _)| *g);
        let key = (generation, self.shown.nodes[node].name.clone());
        let limit = canvas.height() * 2 / 5;
        if self.star.as_ref().is_none_or(|(of, _, _)| *of != key) {
            let shown = self.shown.star(node);
            let airy = drawing::lay(&shown, Zoom::Lines, true, 1);
            let layout = if airy.height < i32::from(limit) { airy } else { drawing::lay(&shown, Zoom::Lines, true, 0) };
            self.star = Some((key, shown, layout));
        }
        let Some((of, shown, layout)) = &self.star else { return 0 };
        if layout.routes.is_empty() {
            return 0;
        }
        let rows = u16::try_from(layout.height).unwrap_or(limit).min(limit.saturating_sub(1));
        let selected = shown.find(&of.1);
        let mut window = Window { x: 0, y: 0 };
        if let Some(selected) = selected {
            window.show(layout, selected, canvas.width(), rows);
        }
        let (width, top) = (canvas.width(), canvas.height() - rows);
        let scene = Scene { shown, layout, zoom: Zoom::Lines, selected, blast: &BTreeSet::new(), matching: None };
        drawing::draw(&mut canvas.part(0, top, width, rows), &scene, &window);
        rows + 1
    }
}

/// The selected node: figures, who calls it, what it calls, how far its failure reaches.
pub(super) fn explain(canvas: &mut Canvas<'_>, shown: &Shown, n: usize, reaches: usize) {
    let node = &shown.nodes[n];
    let width = canvas.width();
    let gap = if width < 100 { 1 } else { 2 };
    let reach = if reaches > 0 { format!("a failure reaches {reaches}") } else { String::new() };
    let mut pen = canvas.pen(1, 0);
    pen.put(state_glyph(node.state), node.state.into()).gap(1).name(&node.name, Role::Strong).gap(gap);
    let silent = if node.observed { "" } else { " declared, nothing seen" };
    pen.put(&format!("{}{silent}", node.state.word()), node.state.into()).gap(gap);
    let between = " ".repeat(usize::from(gap));
    pen.put(
        &format!(
            "{}{between}{} errors{between}p95 {}",
            number::rate(node.rate),
            number::percent_sign(node.error_ratio),
            number::latency_known(node.p95_seconds)
        ),
        Role::Text,
    );
    // The share of errors stands before the reasons already.
    let said = node.error_ratio.map(errors_reason);
    let why: Vec<&str> = node.why.iter().filter(|w| Some(*w) != said.as_ref()).map(String::as_str).collect();
    pen.gap(gap).put(&why.join(" · "), Role::Text);
    let ends = |edges: &[usize], client: bool| {
        let mut words: Vec<(bool, String)> = edges
            .iter()
            .map(|e| {
                let edge = &shown.edges[*e];
                let name = if client { &edge.client } else { &edge.server };
                let breaker = export::breaker(edge);
                // What fails is not what the end of the line cuts off.
                let fine = breaker.is_empty() && edge.error_ratio.is_none_or(|e| e < 0.05);
                (fine, format!("{name} {}", format!("{}{breaker}", export::figures(edge)).trim()).trim_end().to_owned())
            })
            .collect();
        words.sort();
        let names: Vec<String> = words.into_iter().map(|(_, text)| text).collect();
        if names.is_empty() { number::UNKNOWN.to_owned() } else { names.join(" · ") }
    };
    let mut line = canvas.part(0, 1, width.saturating_sub(reach.len() as u16 + 2), 1);
    line.pen(1, 0).put("called by ", Role::Dim).put(&ends(&shown.into[n], true), Role::Text);
    let dim = canvas.style(Role::Dim);
    canvas.right(0, 1, width.saturating_sub(1), &reach, dim);
    canvas.pen(1, 2).put("calls     ", Role::Dim).put(&ends(&shown.out[n], false), Role::Text);
}
