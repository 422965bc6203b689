//! The map as a drawing: boxes from left to right, lines with their figures. Only what is inside of the window is drawn.

use super::export::figures;
use super::shown::Shown;
use super::tree::kind_mark;
use crate::canvas::{Canvas, display_width, visible};
use crate::layout::{Graph, Layout, layered};
use crate::look::{Role, breaker_look, error_role, is_tripped, state_glyph};
use crate::number;
use std::collections::BTreeSet;
use watchfire_model::HealthState;
use watchfire_model::reading::{Edge, Node, NodeKind};

/// The longest name in a box.
const NAME: usize = 24;

/// How large things are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Zoom {
    /// One line per node, no figures on lines.
    Dense,
    /// One line per node.
    Lines,
    Boxes,
}

impl Zoom {
    pub(super) fn step(self, larger: bool) -> Zoom {
        match (self, larger) {
            (Zoom::Dense, true) => Zoom::Lines,
            (Zoom::Lines | Zoom::Boxes, true) => Zoom::Boxes,
            (Zoom::Boxes, false) => Zoom::Lines,
            (Zoom::Lines | Zoom::Dense, false) => Zoom::Dense,
        }
    }
}

pub(super) fn lay(shown: &Shown, zoom: Zoom, labels_at_source: bool, gap: u16) -> Layout {
    let sizes: Vec<(u16, u16)> = shown
        .nodes
        .iter()
        .map(|node| {
            let text = display_width(&label(node)) as u16;
            match zoom {
                Zoom::Boxes => (text + 4, 3),
                _ => (text + 1, 1),
            }
        })
        .collect();
    let labels: Vec<u16> = shown.edges.iter().map(|edge| display_width(&edge_label(edge, zoom).0) as u16).collect();
    layered(&Graph { sizes: &sizes, edges: &shown.pairs, labels: &labels, labels_at_source, gap })
}

const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;

#[derive(Clone, Copy)]
struct Stroke {
    mask: u8,
    role: Role,
    rank: u8,
    /// Declared only, or seen only.
    dotted: Option<char>,
}

pub(super) struct Window {
    pub(super) x: i32,
    pub(super) y: i32,
}

impl Window {
    /// Moves as little as needed to have the node inside.
    pub(super) fn show(&mut self, layout: &Layout, node: usize, width: u16, height: u16) {
        let Some((x, y)) = layout.places.get(node).copied() else { return };
        let (width, height) = (i32::from(width), i32::from(height));
        let (margin_x, margin_y) = ((width / 6).min(24), (height / 6).min(4));
        let right = x + NAME as i32 + 6;
        if layout.width <= width {
            self.x = 0;
        } else if x - margin_x < self.x {
            self.x = (x - margin_x).max(0);
        } else if right + margin_x > self.x + width {
            self.x = (right + margin_x - width).max(0);
        }
        if layout.height <= height {
            self.y = 0;
        } else if y - margin_y < self.y {
            self.y = (y - margin_y).max(0);
        } else if y + 3 + margin_y > self.y + height {
            self.y = (y + 3 + margin_y - height).max(0);
        }
        // A window that grew shows more of the drawing, not the emptiness beside it.
        self.x = self.x.min((layout.width - width).max(0));
        self.y = self.y.min((layout.height - height).max(0));
    }
}

pub(super) struct Scene<'a> {
    pub(super) shown: &'a Shown,
    pub(super) layout: &'a Layout,
    pub(super) zoom: Zoom,
    pub(super) selected: Option<usize>,
    pub(super) blast: &'a BTreeSet<usize>,
    /// Nodes that a filter leaves; the others are dimmed. `None`: no filter.
    pub(super) matching: Option<&'a BTreeSet<usize>>,
}

pub(super) fn draw(canvas: &mut Canvas<'_>, scene: &Scene<'_>, window: &Window) {
    let (width, height) = (canvas.width(), canvas.height());
    let mut strokes: Vec<Stroke> =
        vec![Stroke { mask: 0, role: Role::Faint, rank: 0, dotted: None }; usize::from(width) * usize::from(height)];
    for (e, route) in scene.layout.routes.iter().enumerate() {
        let (role, rank, dotted) = edge_look(scene, e);
        for ((x1, y1), (x2, y2)) in &route.pieces {
            let (x1, x2, y1, y2) = (x1 - window.x, x2 - window.x, y1 - window.y, y2 - window.y);
            if x1.max(x2) < 0 || x1.min(x2) >= i32::from(width) || y1.max(y2) < 0 || y1.min(y2) >= i32::from(height) {
                continue;
            }
            let mut mark = |x: i32, y: i32, mask: u8| {
                if (0..i32::from(width)).contains(&x) && (0..i32::from(height)).contains(&y) {
                    let cell = &mut strokes[y as usize * usize::from(width) + x as usize];
                    cell.mask |= mask;
                    if rank >= cell.rank {
                        (cell.role, cell.rank, cell.dotted) = (role, rank, dotted);
                    }
                }
            };
            if y1 == y2 {
                for x in x1.min(x2).max(0)..=x1.max(x2).min(i32::from(width)) {
                    let mask = if x > x1.min(x2) { LEFT } else { 0 } | if x < x1.max(x2) { RIGHT } else { 0 };
                    mark(x, y1, mask);
                }
            } else {
                for y in y1.min(y2).max(0)..=y1.max(y2).min(i32::from(height)) {
                    let mask = if y > y1.min(y2) { UP } else { 0 } | if y < y1.max(y2) { DOWN } else { 0 };
                    mark(x1, y, mask);
                }
            }
        }
    }
    for (i, stroke) in strokes.iter().enumerate().filter(|(_, s)| s.mask != 0) {
        let style = canvas.style(stroke.role);
        canvas.dot((i % usize::from(width)) as u16, (i / usize::from(width)) as u16, line(stroke), style);
    }
    for (e, route) in scene.layout.routes.iter().enumerate() {
        let (role, _, _) = edge_look(scene, e);
        if let Some((x, y)) = inside(route.arrow, window, width, height) {
            let style = canvas.style(role);
            canvas.dot(x, y, if route.rightwards { '▶' } else { '◀' }, style);
        }
        labels(canvas, scene, e, route.label, window);
    }
    for n in 0..scene.shown.nodes.len() {
        node(canvas, scene, n, window);
    }
}

fn inside((x, y): (i32, i32), window: &Window, width: u16, height: u16) -> Option<(u16, u16)> {
    let (x, y) = (x - window.x, y - window.y);
    ((0..i32::from(width)).contains(&x) && (0..i32::from(height)).contains(&y)).then_some((x as u16, y as u16))
}

/// Role, rank over other lines, and the sign of a line that is not both declared and seen.
fn edge_look(scene: &Scene<'_>, e: usize) -> (Role, u8, Option<char>) {
    let edge = &scene.shown.edges[e];
    let (a, b) = scene.shown.pairs[e];
    let dotted = match (edge.observed, edge.declared) {
        (false, _) => Some('╌'),
        (true, false) => Some('┄'),
        _ => None,
    };
    let of_selected = scene.selected.is_some_and(|s| s == a || s == b);
    let in_blast = scene.blast.contains(&a) && (scene.blast.contains(&b) || scene.selected == Some(b));
    let role = match (edge.breaker.as_deref(), error_role(edge.error_ratio)) {
        (Some("open"), _) | (_, Role::Unhealthy) => Role::Unhealthy,
        (Some("half-open"), _) | (_, Role::Degraded) => Role::Degraded,
        _ if in_blast || of_selected => Role::Accent,
        _ if dotted.is_some() => Role::Unknown,
        _ => Role::Faint,
    };
    let rank = match role {
        Role::Unhealthy => 5,
        Role::Degraded => 4,
        Role::Accent => 3,
        Role::Unknown => 1,
        _ => 2,
    };
    (role, rank, dotted)
}

fn line(stroke: &Stroke) -> char {
    const HORIZONTAL: u8 = LEFT | RIGHT;
    const VERTICAL: u8 = UP | DOWN;
    match stroke.mask {
        m if m & VERTICAL == 0 => stroke.dotted.unwrap_or('─'),
        m if m & HORIZONTAL == 0 => {
            if stroke.dotted.is_some() {
                '┆'
            } else {
                '│'
            }
        }
        m if m == DOWN | RIGHT => '┌',
        m if m == DOWN | LEFT => '┐',
        m if m == UP | RIGHT => '└',
        m if m == UP | LEFT => '┘',
        m if m == VERTICAL | RIGHT => '├',
        m if m == VERTICAL | LEFT => '┤',
        m if m == HORIZONTAL | DOWN => '┬',
        m if m == HORIZONTAL | UP => '┴',
        _ => '┼',
    }
}

/// Figures on the line, where it is alone; a breaker that is not closed always.
fn labels(canvas: &mut Canvas<'_>, scene: &Scene<'_>, e: usize, place: Option<(i32, i32)>, window: &Window) {
    let edge: &Edge = &scene.shown.edges[e];
    let breaker = edge.breaker.as_deref().filter(|s| is_tripped(s));
    let Some((x, y)) = place else {
        // Several lines enter together: only the sign of the breaker, before the arrow.
        if let Some(state) = breaker {
            let (glyph, health) = breaker_look(state);
            let (ax, ay) = scene.layout.routes[e].arrow;
            put(canvas, window, ax - 1, ay, glyph, health.into());
        }
        return;
    };
    let (text, role) = edge_label(edge, scene.zoom);
    put(canvas, window, x, y, &text, role);
}

/// What stands on a line: its figures, or its breaker when that is not closed.
fn edge_label(edge: &Edge, zoom: Zoom) -> (String, Role) {
    match edge.breaker.as_deref().filter(|s| is_tripped(s)) {
        Some(state) => {
            let (glyph, health) = breaker_look(state);
            let word = if zoom == Zoom::Dense {
                glyph.to_owned()
            } else {
                format!("{glyph} {state}{}", if edge.breaker_inferred { "?" } else { "" })
            };
            (word, health.into())
        }
        None if zoom == Zoom::Dense => (String::new(), Role::Dim),
        None => {
            let role = match error_role(edge.error_ratio) {
                Role::Text => Role::Dim,
                role => role,
            };
            (figures(edge), role)
        }
    }
}

/// Text at a place of the drawing; cut at the window's edges, at most 24 columns.
fn put(canvas: &mut Canvas<'_>, window: &Window, x: i32, y: i32, text: &str, role: Role) {
    let (x, y) = (x - window.x, y - window.y);
    if y < 0 || y >= i32::from(canvas.height()) || x >= i32::from(canvas.width()) || x < 0 {
        return;
    }
    let style = canvas.style(role);
    canvas.text(x as u16, y as u16, 24, text, style);
}

fn node(canvas: &mut Canvas<'_>, scene: &Scene<'_>, n: usize, window: &Window) {
    let node: &Node = &scene.shown.nodes[n];
    let (x, y) = (scene.layout.places[n].0 - window.x, scene.layout.places[n].1 - window.y);
    let boxed = scene.zoom == Zoom::Boxes;
    let text = label(node);
    let width = display_width(&text) as i32 + if boxed { 4 } else { 1 };
    let (canvas_width, canvas_height) = (i32::from(canvas.width()), i32::from(canvas.height()));
    if x + width < 0 || x >= canvas_width || y + 3 < 0 || y >= canvas_height {
        return;
    }
    let selected = scene.selected == Some(n);
    let faded = scene.matching.is_some_and(|m| !m.contains(&n));
    let role = match node.state {
        _ if faded => Role::Faint,
        _ if scene.blast.contains(&n) => Role::Match,
        HealthState::Healthy => Role::Text,
        state => state.into(),
    };
    let border = if selected {
        Role::Accent
    } else if matches!(node.state, HealthState::Unhealthy | HealthState::Degraded) {
        role
    } else {
        Role::Faint
    };
    let border = canvas.style(if faded { Role::Faint } else { border });
    let mut dot = |dx: i32, dy: i32, c: char| {
        let (px, py) = (x + dx, y + dy);
        if (0..canvas_width).contains(&px) && (0..canvas_height).contains(&py) {
            canvas.dot(px as u16, py as u16, c, border);
        }
    };
    if boxed {
        let flat = if node.observed { '─' } else { '╌' };
        for dx in 1..width - 1 {
            dot(dx, 0, flat);
            dot(dx, 2, flat);
        }
        for (dx, dy, c) in [(0, 0, '╭'), (width - 1, 0, '╮'), (0, 2, '╰'), (width - 1, 2, '╯'), (0, 1, '│'), (width - 1, 1, '│')]
        {
            dot(dx, dy, c);
        }
        dot(1, 1, ' ');
        dot(width - 2, 1, ' ');
    }
    let (text_x, text_y) = if boxed { (x + 2, y + 1) } else { (x, y) };
    if text_y < 0 || text_y >= canvas_height || text_x >= canvas_width || text_x < 0 {
        return;
    }
    let style = canvas.style(role);
    let used = canvas.text(text_x as u16, text_y as u16, width as u16, &text, style);
    let glyph = canvas.style(if faded { Role::Faint } else { node.state.into() });
    canvas.text(text_x as u16, text_y as u16, 1, state_glyph(node.state), glyph);
    if selected {
        let style = canvas.style(Role::Selected);
        canvas.patch(text_x as u16, text_y as u16, used, 1, style);
    }
}

fn label(node: &Node) -> String {
    let name: String = if display_width(&node.name) > NAME {
        format!("{}…", crate::canvas::safe(&node.name, NAME - 1).trim_end_matches('…'))
    } else {
        visible(&node.name).into_owned()
    };
    let mut text = format!("{} {name}", state_glyph(node.state));
    let kind = if node.kind == NodeKind::External { "ext" } else { kind_mark(node.kind) };
    match (node.queue_depth, kind) {
        (Some(depth), _) => text.push_str(&format!(" ▮{}", number::count(depth))),
        (None, "") => {}
        (None, kind) => text.push_str(&format!(" {kind}")),
    }
    text
}
