//! Help, generated from the keymap: first the keys of this view, then those that work everywhere.

use super::{Parts, capabilities};
use crate::action::Action;
use crate::canvas::{Canvas, wrap};
use crate::command::COMMANDS;
use crate::look::Role;
use crate::view::View;
use crate::views::ViewId;

enum Row {
    Title(String),
    Key(String, String),
    Blank,
}

pub(crate) fn help(canvas: &mut Canvas<'_>, parts: &Parts<'_>, view: &dyn View, scroll: &mut usize) {
    let (width, height) = (canvas.width().min(150), canvas.height());
    let left = (canvas.width() - width) / 2;
    let mut part = canvas.part(left, 0, width, height);
    part.clear();
    part.frame(&format!("help: {}", parts.place.view.title()));
    let rows = rows(parts, view, &capabilities(part.look().depth, part.look().glyphs));
    let mut inner = part.part(2, 1, width.saturating_sub(4), height.saturating_sub(2));
    // Two columns where there is room.
    let columns: u16 = if inner.width() >= 90 { 2 } else { 1 };
    let column_width = inner.width() / columns;
    let rows = whole(rows, column_width.saturating_sub(KEYS + 1));
    let visible = usize::from(inner.height());
    let per_column = rows.len().div_ceil(usize::from(columns));
    let furthest = per_column.saturating_sub(visible.saturating_sub(1));
    *scroll = (*scroll).min(furthest);
    for column in 0..columns {
        let start = usize::from(column) * per_column;
        let end = (start + per_column).min(rows.len());
        for (line, row) in rows[start.min(rows.len())..end].iter().skip(*scroll).take(visible).enumerate() {
            let mut line = inner.part(column * column_width, line as u16, column_width.saturating_sub(1), 1);
            match row {
                Row::Title(text) => {
                    line.pen(0, 0).put(text, Role::Heading);
                }
                Row::Key(keys, text) => {
                    line.pen(0, 0).column(KEYS, keys, Role::Key).put(text, Role::Text);
                }
                Row::Blank => {}
            }
        }
    }
    let dim = part.style(Role::Dim);
    let foot = if furthest > 0 { " j k scroll · any other key closes " } else { " any key closes " };
    part.text(2, height.saturating_sub(1), width.saturating_sub(4), foot, dim);
}

/// Columns for the keys, and what stands between them and the text.
const KEYS: u16 = 14;

/// Texts that are longer than their column go on in the next row.
fn whole(rows: Vec<Row>, width: u16) -> Vec<Row> {
    let broken = |keys: String, text: String| {
        let lines = wrap(&text, width, 4);
        lines.into_iter().enumerate().map(move |(i, line)| Row::Key(if i == 0 { keys.clone() } else { String::new() }, line))
    };
    rows.into_iter()
        .flat_map(|row| match row {
            Row::Key(keys, text) => broken(keys, text).collect::<Vec<_>>(),
            other => vec![other],
        })
        .collect()
}

fn rows(parts: &Parts<'_>, shown: &dyn View, capabilities: &str) -> Vec<Row> {
    let (view, fields) = (parts.place.view.name(), shown.fields());
    let mut rows = Vec::new();
    let key = |action: Action| {
        let keys = parts.keymap.keys(view, action);
        (!keys.is_empty()).then(|| Row::Key(keys.iter().take(3).cloned().collect::<Vec<_>>().join(" "), action.long().to_owned()))
    };
    let here = parts.keymap.of_view(view);
    rows.extend(here.iter().filter_map(|a| key(*a)));
    if parts.place.view.sorts() {
        let columns: Vec<String> = shown.orders().iter().map(|(letter, title)| format!("{letter} {title}")).collect();
        let which = if columns.is_empty() { String::new() } else { format!(": {}", columns.join(", ")) };
        rows.push(Row::Key(
            if parts.keymap.spelled { "shift letter" } else { "⇧ letter" }.to_owned(),
            format!("sort by a column, again to turn it round{which}"),
        ));
    }
    if !fields.is_empty() {
        let key = parts.key(Action::Filter);
        rows.push(Row::Key(format!("{key} fields"), fields.join(" ")));
        rows.push(Row::Key(format!("{key} signs"), "= != ~ !~ < > <= >=  ! or ( )  500ms 5% 1.4k".to_owned()));
    }
    if !rows.is_empty() {
        rows.insert(0, Row::Title(format!("in {}", parts.place.view.title())));
        rows.push(Row::Blank);
    }
    rows.push(Row::Title("everywhere".to_owned()));
    rows.extend(Action::ALL.iter().filter(|a| !here.contains(a)).filter_map(|a| key(*a)));
    rows.push(Row::Blank);
    rows.push(Row::Title("commands".to_owned()));
    for (name, rest, text) in COMMANDS.iter().filter(|(name, _, _)| *name != "q") {
        rows.push(Row::Key(format!(":{name}"), if rest.is_empty() { (*text).to_owned() } else { format!("{rest}  {text}") }));
    }
    let views: Vec<&str> = ViewId::ALL.iter().map(|v| v.name()).collect();
    rows.push(Row::Key(":VIEW".to_owned(), format!("[FILTER]  {}", views.join(" "))));
    rows.push(Row::Blank);
    rows.push(Row::Title("signs".to_owned()));
    // A line of bars has no axis to tell of what it is.
    let bars = match parts.place.view {
        ViewId::Services => "calls per second over the last quarter of an hour",
        ViewId::Queues => "depth over the last quarter of an hour",
        _ => "",
    };
    if !bars.is_empty() {
        rows.push(Row::Key("▁▃▅█".to_owned(), bars.to_owned()));
    }
    for (sign, text) in [
        ("✖ ▲ ● ?", "unhealthy, degraded, healthy, unknown"),
        ("~ ≈", "fewer than 30 spans; an estimate, as from sampled traces"),
        ("–", "not known"),
        ("✖ open?", "a breaker deduced from spans: nobody exports it"),
        ("↑", "calls of this one are listed further up"),
        ("╌ ┄", "declared, but no calls are seen; seen, but not declared"),
        ("← service", "what this is a consequence of"),
        ("… service", "a trace whose first span was not received"),
        ("terminal", capabilities),
        ("select text", "hold shift while dragging"),
    ] {
        rows.push(Row::Key(sign.to_owned(), text.to_owned()));
    }
    rows
}
