//! The last line: keys that work here, or what was just said.

use super::Parts;
use crate::action::Action;
use crate::canvas::{Canvas, display_width, wrap};
use crate::look::Role;
use crate::view::View;
use watchfire_model::HealthState;

/// Columns of the key that opens help, with what it does and a gap.
const HELP: u16 = 8;

/// The last line: only keys that work here, and how many rows there are.
pub(crate) fn strip(canvas: &mut Canvas<'_>, parts: &Parts<'_>, view: &dyn View) {
    let (hints, tally) = (view.hints(parts.cx), view.tally(parts.cx));
    let width = canvas.width();
    // In a small window the key that names the others comes before the last of the figures.
    let fits = |tally: &str| display_width(tally) + usize::from(HELP) + 3 <= usize::from(width);
    let shorter = [tally.as_str(), tally.rsplit("  ").next().unwrap_or(""), tally.split(", ").next().unwrap_or("")];
    let tally = shorter.into_iter().find(|tally| fits(tally)).unwrap_or("").to_owned();
    let tally_width = display_width(&tally) as u16;
    let room = width.saturating_sub(tally_width + 2);
    let problems = parts.status.is_some_and(|s| matches!(s.overall, HealthState::Unhealthy | HealthState::Degraded));
    let mut keys: Vec<(Action, &str)> = hints;
    if parts.cx.at.is_some() {
        keys.insert(0, (Action::Live, "live"));
    }
    if parts.held.is_some() {
        keys.insert(0, (Action::Freeze, "go on"));
    }
    if problems {
        keys.push((Action::NextProblem, "next problem"));
    }
    keys.extend(view.is_filtered().then_some((Action::Filter, "filter")));
    keys.extend([(Action::Command, "command"), (Action::Help, "help")]);
    let mut seen: Vec<Action> = Vec::with_capacity(keys.len());
    keys.retain(|(action, _)| !seen.contains(action) && (seen.push(*action), true).1);
    let dim = canvas.style(Role::Dim);
    let mut left = canvas.part(0, 0, room, 1);
    let mut x = 1;
    for (action, label) in keys {
        let key = parts.key(action);
        if key.is_empty() {
            continue;
        }
        let needed = (display_width(&key) + 1 + display_width(label)) as u16;
        let reserve = if action == Action::Help { 0 } else { HELP };
        if x + needed + reserve > room {
            continue;
        }
        let mut pen = left.pen(x, 0);
        pen.put(&key, Role::Key).gap(1).put(label, Role::Dim);
        x += needed + 2;
    }
    canvas.right(0, 0, width.saturating_sub(1), &tally, dim);
}

/// What was said, in whole sentences: a long one takes lines of the rows above.
pub(crate) fn message(canvas: &mut Canvas<'_>, text: &str, is_error: bool) {
    let (sign, role) = if is_error { ("✖", Role::Unhealthy) } else { ("✓", Role::Healthy) };
    said(canvas, sign, role, text);
}

/// A sign and a text at the bottom, on as many of the last lines as it needs, three at most.
pub(crate) fn said(canvas: &mut Canvas<'_>, sign: &str, role: Role, text: &str) {
    let (width, height) = (canvas.width(), canvas.height());
    let lines = wrap(text, width.saturating_sub(4), usize::from(height.min(3)));
    let count = lines.len() as u16;
    let mut part = canvas.part(0, height.saturating_sub(count), width, count);
    part.clear();
    part.pen(1, 0).put(sign, role);
    let style = part.style(Role::Text);
    for (y, line) in lines.iter().enumerate() {
        part.text(3, y as u16, width.saturating_sub(3), line, style);
    }
}
