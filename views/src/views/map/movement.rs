//! Where the cursor goes: along rows of the tree, or from node to node of the drawing.

use super::Map;
use crate::action::Action;
use crate::table::moved;

impl Map {
    pub(super) fn move_in_tree(&mut self, action: Action) -> bool {
        let Some(to) = moved(action, self.position, self.page, self.rows.len().saturating_sub(1)) else { return false };
        self.position = to;
        self.selected = self.rows.get(self.position).map(|r| self.shown.nodes[r.node].name.clone());
        self.touched = true;
        true
    }

    pub(super) fn move_in_drawing(&mut self, action: Action) -> bool {
        // The map may have changed since it was drawn.
        if let Some(zoom) = self.layout.as_ref().map(|(t, _)| t.zoom) {
            self.layout(zoom);
        }
        let (Some(node), Some((_, layout))) = (self.node(), &self.layout) else { return self.move_in_tree(action) };
        let (x, y) = layout.places[node];
        let near = |candidates: &mut dyn Iterator<Item = usize>| {
            candidates.filter(|n| *n != node).min_by_key(|n| {
                let (nx, ny) = layout.places[*n];
                ((ny - y).abs() + (nx - x).abs() / 8, *n)
            })
        };
        let layer = |n: usize| layout.layers[n];
        let all = 0..self.shown.nodes.len();
        let target = match action {
            Action::Up | Action::HalfUp | Action::PageUp => near(&mut all.filter(|n| layer(*n) == layer(node) && layout.places[*n].1 < y)),
            Action::Down | Action::HalfDown | Action::PageDown => {
                near(&mut all.filter(|n| layer(*n) == layer(node) && layout.places[*n].1 > y))
            }
            Action::Right => near(&mut self.shown.out[node].iter().map(|e| self.shown.pairs[*e].1))
                .or_else(|| near(&mut (0..self.shown.nodes.len()).filter(|n| layer(*n) > layer(node)))),
            Action::Left => near(&mut self.shown.into[node].iter().map(|e| self.shown.pairs[*e].0))
                .or_else(|| near(&mut (0..self.shown.nodes.len()).filter(|n| layer(*n) < layer(node)))),
            Action::Top => all.min_by_key(|n| (layer(*n), layout.places[*n].1)),
            Action::Bottom => all.max_by_key(|n| (layer(*n), layout.places[*n].1)),
            _ => return false,
        };
        if let Some(target) = target {
            self.choose(target);
        }
        true
    }
}
