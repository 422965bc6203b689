//! The map: who calls whom, how well, and how far a failure reaches. As a drawing where there is room, as a tree where there is not.

mod drawing;
mod export;
mod movement;
mod neighbours;
mod shown;
mod tree;

use crate::action::Action;
use crate::canvas::Canvas;
use crate::filter::{Field, Fields};
use crate::layout::Layout;
use crate::part::the_only;
use crate::readings::Kind;
use crate::view::{Cx, Out, View, blank};
use crate::views::ViewId;
use drawing::{Scene, Window, Zoom};
use neighbours::explain;
use shown::{Cut, Shown};
use std::borrow::Cow;
use std::collections::BTreeSet;
use watchfire_model::reading::{Node, NodeKind};
use watchfire_model::{HealthState, Request};

pub(crate) struct Map {
    selected: Option<String>,
    /// `None`: whatever fits.
    drawing: Option<bool>,
    zoom: Option<Zoom>,
    cut: Cut,
    show_blast: bool,
    window: Window,
    shown: Shown,
    /// Beside a focus: what it leaves out is reached by failures too.
    whole: Option<Shown>,
    shown_of: Option<(u64, Cut)>,
    /// Kept as long as names and edges stay the same, whatever their figures do.
    layout: Option<(Topology, Layout)>,
    /// The neighbourhood drawn below the tree.
    star: Option<((u64, String), Shown, Layout)>,
    rows: Vec<tree::Row>,
    rows_of: Option<(u64, Cut, u64, bool)>,
    position: usize,
    offset: usize,
    page: usize,
    /// What the last frame showed.
    drawn: bool,
    rewound: bool,
    /// What somebody came for and the map does not have.
    missing: Option<String>,
    /// Somebody just came for a node.
    arrived: bool,
    /// Somebody chose a node; until then the worst one is selected.
    touched: bool,
    /// The focus came with the drawing, and goes with it.
    came_with_drawing: bool,
}

impl Default for Map {
    fn default() -> Self {
        Map {
            selected: None,
            drawing: None,
            zoom: None,
            cut: Cut::default(),
            show_blast: false,
            window: Window { x: 0, y: 0 },
            shown: Shown::default(),
            whole: None,
            shown_of: None,
            layout: None,
            star: None,
            rows: Vec::new(),
            rows_of: None,
            position: 0,
            offset: 0,
            page: 10,
            drawn: false,
            rewound: false,
            missing: None,
            arrived: false,
            touched: false,
            came_with_drawing: false,
        }
    }
}

/// A drawing of more nodes is mostly lines.
const READABLE: usize = 80;

/// What a layout depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Topology {
    names: Vec<String>,
    pairs: Vec<(usize, usize)>,
    zoom: Zoom,
}

impl Fields for Node {
    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "service" | "name" | "node" => Field::text(&self.name),
            "state" => Field::text(self.state.word()),
            "kind" => Field::text(match self.kind {
                NodeKind::Service => "service",
                kind => tree::kind_mark(kind),
            }),
            "namespace" => Field::text(self.namespace.as_deref().unwrap_or("")),
            "owner" => Field::text(self.owner.as_deref().unwrap_or("")),
            "rate" => Field::Number(self.rate),
            "err" => Field::Number(self.error_ratio),
            "p95" | "dur" => Field::Number(self.p95_seconds),
            "declared" => Field::Flag(self.declared),
            "observed" => Field::Flag(self.observed),
            "error" => Field::Flag(matches!(self.state, HealthState::Unhealthy | HealthState::Degraded)),
            _ => return None,
        })
    }

    fn words(&self) -> Vec<Cow<'_, str>> {
        let texts = [Some(self.name.as_str()), self.namespace.as_deref(), self.owner.as_deref()];
        texts.into_iter().flatten().map(Cow::Borrowed).collect()
    }
}

impl Map {
    fn refresh(&mut self, cx: &Cx<'_>) {
        let Some(map) = cx.readings.map() else {
            // The map last drawn is of another time.
            (self.shown, self.shown_of) = (Shown::default(), None);
            (self.rows, self.rows_of) = (Vec::new(), None);
            return;
        };
        let generation = cx.readings.generation(Kind::Map);
        if self.shown_of.as_ref() != Some(&(generation, self.cut.clone())) {
            self.shown = Shown::of(map, &self.cut);
            self.whole = Shown::whole(map, &self.cut);
            self.shown_of = Some((generation, self.cut.clone()));
        }
        let rows_of = Some((generation, self.cut.clone(), cx.filter_stamp, cx.faults_only));
        if self.rows_of != rows_of {
            self.rows = tree::rows(&self.shown, cx.filter, cx.faults_only);
            self.rows_of = rows_of;
        }
        let known = self.selected.as_deref().and_then(|s| self.shown.find(s));
        if std::mem::take(&mut self.arrived) && known.is_none() {
            // What somebody comes for may lie outside of what an earlier focus left.
            let names: Vec<&str> = map.nodes.iter().map(|n| n.name.as_str()).collect();
            if let Some(name) = self.selected.as_deref().and_then(|part| the_only(&names, part)) {
                self.selected = Some(name.to_owned());
                self.cut = Cut::default();
                return self.refresh(cx);
            }
            self.missing.clone_from(&self.selected);
        }
        let in_rows = known.and_then(|n| {
            let here = self.rows.get(self.position).is_some_and(|r| r.node == n);
            if here { Some(self.position) } else { self.rows.iter().position(|r| r.node == n) }
        });
        match in_rows.filter(|_| self.touched) {
            Some(position) => self.position = position,
            None => {
                // What is worst is what one came to see.
                let worst = |r: &&tree::Row| crate::table::badness(self.shown.nodes[r.node].state);
                self.position = self.rows.iter().enumerate().min_by_key(|(i, r)| (worst(r), *i)).map_or(0, |(i, _)| i);
                self.selected = self.rows.get(self.position).map(|r| self.shown.nodes[r.node].name.clone());
            }
        }
    }

    fn node(&self) -> Option<usize> {
        self.selected.as_deref().and_then(|s| self.shown.find(s))
    }

    /// Whom a failure of the selected node reaches, by name: what is drawn in another colour is said in words too.
    fn reached(&self) -> Option<String> {
        let names = self.blast(self.node().filter(|_| self.show_blast)?);
        let whom = if names.is_empty() { "nobody that is seen".to_owned() } else { format!("{}: {}", names.len(), names.join(", ")) };
        Some(format!("a failure reaches {whom}"))
    }

    /// Whom a failure of a node that is shown reaches, shown or not.
    fn blast(&self, node: usize) -> Vec<&str> {
        match &self.whole {
            Some(whole) => whole.find(&self.shown.nodes[node].name).map(|n| whole.blast(n)).unwrap_or_default(),
            None => self.shown.blast(node),
        }
    }

    fn choose(&mut self, node: usize) {
        self.touched = true;
        self.selected = self.shown.nodes.get(node).map(|n| n.name.clone());
        self.position = self.rows.iter().position(|r| r.node == node).unwrap_or(self.position);
    }

    fn layout(&mut self, zoom: Zoom) -> &Layout {
        let same = self.layout.as_ref().is_some_and(|(t, _)| {
            t.zoom == zoom
                && t.pairs == self.shown.pairs
                && t.names.len() == self.shown.nodes.len()
                && t.names.iter().zip(&self.shown.nodes).all(|(a, b)| *a == b.name)
        });
        if !same {
            let names = self.shown.nodes.iter().map(|n| n.name.clone()).collect();
            let gap = u16::from(zoom == Zoom::Boxes || self.shown.nodes.len() <= 80);
            let layout = drawing::lay(&self.shown, zoom, false, gap);
            self.layout = Some((Topology { names, pairs: self.shown.pairs.clone(), zoom }, layout));
        }
        &self.layout.get_or_insert_with(|| (Topology { names: Vec::new(), pairs: Vec::new(), zoom }, Layout::default())).1
    }

    /// From the tree to the drawing and back. Of a large map the drawing begins round what is selected; `f` draws all of it.
    fn toggle_drawing(&mut self, cx: &Cx<'_>, out: &mut Out) {
        self.drawing = Some(!self.drawn);
        if !self.drawn && self.cut.focus.is_none() && self.shown.nodes.len() > READABLE {
            self.cut.focus = self.selected.clone().map(|centre| (centre, 1));
            (self.touched, self.came_with_drawing) = (true, true);
            if !cx.filter.is_empty() {
                out.filter = Some(String::new());
            }
        } else if self.drawn && std::mem::take(&mut self.came_with_drawing) {
            self.cut.focus = None;
        }
    }

    /// The largest size at which the drawing fits, if one does.
    fn fitting(&mut self, width: u16, height: u16) -> Option<Zoom> {
        if self.shown.nodes.len() > 400 {
            return None;
        }
        // The size in use is tried first, so that it is not laid out twice per frame.
        let current = self.layout.as_ref().map(|(t, _)| t.zoom);
        let fits = |layout: &Layout| layout.width <= i32::from(width) && layout.height <= i32::from(height);
        if let (Some(zoom), Some(of)) = (current, &self.layout)
            && of.0.pairs == self.shown.pairs
            && of.0.names.len() == self.shown.nodes.len()
            && fits(&of.1)
        {
            return Some(zoom);
        }
        [Zoom::Boxes, Zoom::Lines, Zoom::Dense].into_iter().find(|zoom| fits(self.layout(*zoom)))
    }
}

impl View for Map {
    fn wants(&self, _: &Cx<'_>) -> Vec<Request> {
        vec![Request::Map]
    }

    fn open(&mut self, subject: Option<&str>) {
        self.missing = None;
        if let Some(subject) = subject {
            self.selected = Some(subject.to_owned());
            self.touched = true;
            self.arrived = true;
            self.position = usize::MAX;
        }
    }

    fn crumbs(&self) -> Vec<String> {
        let mut crumbs: Vec<String> = self.missing.iter().map(|name| format!("{name} is not on the map, / searches")).collect();
        if let Some((centre, hops)) = &self.cut.focus {
            let plural = if *hops == 1 { "" } else { "s" };
            crumbs.push(format!("{hops} hop{plural} round {centre}"));
        }
        if self.cut.collapse {
            crumbs.push("by namespace".to_owned());
        }
        crumbs.extend(self.reached());
        crumbs
    }

    fn fields(&self) -> &'static [&'static str] {
        &["service", "name", "node", "state", "kind", "namespace", "owner", "rate", "err", "p95", "dur", "declared", "observed", "error"]
    }

    fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        self.refresh(cx);
        self.missing = None;
        match action {
            Action::Open => {
                if let Some(node) = self.node().map(|n| &self.shown.nodes[n]) {
                    match node.kind {
                        NodeKind::Queue => out.go(ViewId::Queues, Some(node.name.clone())),
                        _ if self.cut.collapse && node.name.ends_with("/*") => self.cut.collapse = false,
                        NodeKind::Service => out.go(ViewId::Service, Some(node.name.clone())),
                        // What is called and does not speak for itself has no page; its callers do.
                        _ => return self.update(Action::Focus, cx, out),
                    }
                }
            }
            Action::Focus => {
                (self.touched, self.came_with_drawing) = (true, false);
                self.cut.focus = match (&self.cut.focus, &self.selected) {
                    (Some((centre, _)), Some(selected)) if centre == selected => None,
                    (_, Some(selected)) => Some((selected.clone(), 1)),
                    _ => None,
                };
                // The search that found the node has done its work; it would hide what stands round it.
                if self.cut.focus.is_some() && !cx.filter.is_empty() {
                    out.filter = Some(String::new());
                }
            }
            Action::MoreHops | Action::FewerHops => match &mut self.cut.focus {
                Some((_, hops)) => *hops = if action == Action::MoreHops { (*hops + 1).min(12) } else { (*hops - 1).max(1) },
                None => out.refuse("f focuses on the selected node first"),
            },
            Action::Collapse => self.cut.collapse = !self.cut.collapse,
            Action::Blast => {
                self.show_blast = !self.show_blast;
                let alone = self.node().filter(|n| self.show_blast && self.blast(*n).is_empty());
                if let Some(node) = alone.and_then(|n| self.shown.nodes.get(n)) {
                    out.refuse(format!("nothing is seen to call {}: its failure reaches nobody", node.name));
                }
            }
            Action::ToggleDrawing => self.toggle_drawing(cx, out),
            Action::ZoomIn | Action::ZoomOut => {
                let current = self.layout.as_ref().map_or(Zoom::Lines, |(t, _)| t.zoom);
                let next = current.step(action == Action::ZoomIn);
                if next == current && self.drawn {
                    let (most, other) =
                        if action == Action::ZoomIn { ("largest", "") } else { ("smallest", "; f focuses, n collapses namespaces") };
                    out.refuse(format!("this is the {most} drawing{other}"));
                }
                self.zoom = Some(next);
                self.drawing = Some(true);
            }
            action if self.drawn => return self.move_in_drawing(action),
            action => return self.move_in_tree(action),
        }
        true
    }

    fn click(&mut self, x: u16, y: u16, cx: &Cx<'_>, out: &mut Out) -> bool {
        self.refresh(cx);
        let hit = if self.drawn {
            let (px, py) = (i32::from(x) + self.window.x, i32::from(y) + self.window.y);
            self.layout.as_ref().and_then(|(t, layout)| {
                let tall = if t.zoom == Zoom::Boxes { 3 } else { 1 };
                let hit = layout.places.iter().position(|(nx, ny)| (*ny..ny + tall).contains(&py) && (*nx..nx + 20).contains(&px));
                // By name: the map may have changed since it was drawn.
                hit.and_then(|n| self.shown.find(t.names.get(n)?))
            })
        } else {
            usize::from(y).checked_sub(1).and_then(|line| self.rows.get(self.offset + line)).map(|r| r.node)
        };
        let Some(node) = hit else { return false };
        if self.node() == Some(node) {
            return self.update(Action::Open, cx, out);
        }
        self.choose(node);
        true
    }

    fn back(&mut self) -> bool {
        std::mem::take(&mut self.show_blast) || self.cut.focus.take().is_some()
    }

    fn problem(&mut self, forward: bool, cx: &Cx<'_>) -> bool {
        self.refresh(cx);
        let rewound = std::mem::take(&mut self.rewound);
        // In the order of the rows, as the one that is selected at first.
        let mut seen = BTreeSet::new();
        let is_bad = |n: &usize| matches!(self.shown.nodes[*n].state, HealthState::Unhealthy | HealthState::Degraded);
        let mut bad: Vec<usize> = self.rows.iter().map(|r| r.node).filter(is_bad).filter(|n| seen.insert(*n)).collect();
        bad.sort_by_key(|n| crate::table::badness(self.shown.nodes[*n].state));
        let here = self.node().and_then(|n| bad.iter().position(|b| *b == n));
        let next = match (here, rewound, forward) {
            (_, true, true) | (None, _, true) => bad.first(),
            (_, true, false) | (None, _, false) => bad.last(),
            (Some(i), false, true) => bad.get(i + 1),
            (Some(i), false, false) => i.checked_sub(1).and_then(|i| bad.get(i)),
        };
        let next = next.copied();
        if let Some(node) = next {
            self.choose(node);
        }
        next.is_some()
    }

    fn rewind(&mut self) {
        self.rewound = true;
    }

    fn hints(&self, _: &Cx<'_>) -> Vec<(Action, &'static str)> {
        if self.shown.nodes.is_empty() && self.cut.focus.is_none() {
            return Vec::new();
        }
        let mut hints = vec![
            (Action::Open, "open"),
            (Action::Focus, if self.cut.focus.is_some() { "whole map" } else { "focus" }),
            (Action::Blast, "blast radius"),
            (Action::ToggleDrawing, if self.drawn { "tree" } else { "drawing" }),
        ];
        if self.cut.focus.is_some() {
            hints.push((Action::MoreHops, "more hops"));
        }
        if self.drawn {
            hints.extend([(Action::ZoomIn, "in"), (Action::ZoomOut, "out")]);
        }
        hints.extend([(Action::Collapse, "namespaces"), (Action::Save, "save")]);
        hints
    }

    fn tally(&self, _: &Cx<'_>) -> String {
        format!("{} nodes, {} edges", self.shown.nodes.len(), self.shown.edges.len())
    }

    fn service(&self, _: &Cx<'_>) -> Option<String> {
        self.selected.clone()
    }

    fn copy(&self, _: &Cx<'_>) -> Option<String> {
        export::export(&self.shown, "mermaid").ok().map(|(_, text)| text)
    }

    fn export(&self, format: &str, _: &Cx<'_>) -> Result<(String, String), String> {
        export::export(&self.shown, format)
    }

    fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        self.refresh(cx);
        if self.shown.nodes.is_empty() || self.rows.is_empty() && !cx.filter.is_empty() {
            let advice = "the map draws itself from client and server spans; a platform preset declares what should be there";
            return blank(canvas, cx, Kind::Map, "no services seen yet", advice);
        }
        let (width, height) = (canvas.width(), canvas.height());
        let foot = if height >= 14 { 4 } else { 0 };
        let body = height - foot;
        let fitting = self.fitting(width.saturating_sub(1), body);
        let drawn = self.drawing.unwrap_or(fitting.is_some());
        self.drawn = drawn;
        let node = self.node();
        let reached = node.map(|n| self.blast(n)).unwrap_or_default();
        let reaches = reached.len();
        let blast: BTreeSet<usize> = reached.into_iter().filter(|_| self.show_blast).filter_map(|name| self.shown.find(name)).collect();
        if drawn {
            let zoom = self.zoom.or(fitting).unwrap_or(if width >= 160 { Zoom::Lines } else { Zoom::Dense });
            self.layout(zoom);
            let matching: BTreeSet<usize> = self.rows.iter().map(|r| r.node).collect();
            let layout = match &self.layout {
                Some((_, layout)) => layout,
                None => return,
            };
            if let Some(node) = node {
                self.window.show(layout, node, width.saturating_sub(1), body);
            }
            let filtered = !cx.filter.is_empty() || cx.faults_only;
            let scene = Scene { shown: &self.shown, layout, zoom, selected: node, blast: &blast, matching: filtered.then_some(&matching) };
            drawing::draw(&mut canvas.part(1, 0, width.saturating_sub(1), body), &scene, &self.window);
        } else {
            let below = match node {
                Some(node) if width >= 90 && height >= 28 => self.draw_star(node, &mut canvas.part(1, 0, width - 1, body)),
                _ => 0,
            };
            self.page =
                tree::draw(&mut canvas.part(0, 0, width, body - below), &self.shown, &self.rows, self.position, &mut self.offset, &blast);
        }
        if let (4, Some(node)) = (foot, node) {
            explain(&mut canvas.part(0, height - 3, width, 3), &self.shown, node, reaches);
        }
    }
}
