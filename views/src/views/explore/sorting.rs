//! The order of the series: by name as they come, or by a column.

use super::series::{newest, title};
use crate::action::Action;
use crate::canvas::{Canvas, display_width};
use crate::look::Role;
use crate::table::chosen;
use watchfire_model::reading::QuerySeries;

/// Title and letter of the columns, from the left.
pub(super) const COLUMNS: [(&str, char); 4] = [("SERIES", 'S'), ("MIN", 'I'), ("MAX", 'X'), ("NOW", 'N')];

/// Column and whether it descends; `None` is as they come.
pub(super) type Order = Option<(usize, bool)>;

/// Numbers begin with the largest, names with the first.
fn begins_descending(column: usize) -> bool {
    column > 0
}

/// The order after the letter of a column.
pub(super) fn by_letter(order: Order, letter: char) -> Option<Order> {
    let column = COLUMNS.iter().position(|(_, l)| *l == letter)?;
    Some(chosen(order, column, begins_descending(column)))
}

/// The keys that walk through the columns and turn the order round.
pub(super) fn by_action(order: Order, action: Action) -> Option<Order> {
    match action {
        Action::SortNext => {
            let next = order.map_or(0, |(column, _)| column + 1);
            Some((next < COLUMNS.len()).then(|| (next, begins_descending(next))))
        }
        Action::SortReverse => Some(order.map(|(column, descending)| (column, !descending))),
        _ => None,
    }
}

/// What has no number comes last in both directions.
pub(super) fn sort(series: &mut Vec<&QuerySeries>, order: Order) {
    let Some((column, descending)) = order else { return };
    if column == 0 {
        series.sort_by_cached_key(|s| title(s));
        if descending {
            series.reverse();
        }
        return;
    }
    let number = |s: &QuerySeries| {
        let known = s.points.iter().filter_map(|(_, v)| *v).filter(|v| !v.is_nan());
        match column {
            1 => known.reduce(f64::min),
            2 => known.reduce(f64::max),
            _ => newest(s).filter(|v| !v.is_nan()),
        }
    };
    let mut keyed: Vec<(Option<f64>, &QuerySeries)> = series.iter().map(|s| (number(s), *s)).collect();
    keyed.sort_by(|(a, _), (b, _)| match (a, b) {
        (Some(a), Some(b)) if descending => b.total_cmp(a),
        (Some(a), Some(b)) => a.total_cmp(b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
    *series = keyed.into_iter().map(|(_, s)| s).collect();
}

/// On a screen narrower than this names and their newest value have the room.
pub(super) const NARROW: u16 = 60;

/// Where the figures of a column begin, nine columns wide: the newest at the right, what bounds it before, where there is room.
pub(super) fn place(column: usize, width: u16) -> Option<u16> {
    (width >= NARROW || column + 1 == COLUMNS.len()).then(|| width.saturating_sub(10 * (COLUMNS.len() - column) as u16 + 1))
}

/// What the figures leave for names.
pub(super) fn names(width: u16) -> u16 {
    let first = (1..COLUMNS.len()).find_map(|column| place(column, width));
    first.unwrap_or(width).saturating_sub(4)
}

/// Names at the left, figures of nine columns at the right.
pub(super) fn headings(order: Order, canvas: &mut Canvas<'_>) {
    let (heading, key, width) = (canvas.style(Role::Heading), canvas.style(Role::Key), canvas.width());
    for (i, (name, letter)) in COLUMNS.iter().enumerate() {
        let arrow = match order {
            Some((column, true)) if column == i => "▾",
            Some((column, false)) if column == i => "▴",
            _ => "",
        };
        let title = format!("{name}{arrow}");
        let left = match (i, place(i, width)) {
            (0, _) => 3,
            (_, Some(left)) => left + 9 - display_width(&title) as u16,
            _ => continue,
        };
        canvas.text(left, 0, 9, &title, heading);
        if let Some(offset) = name.find(*letter) {
            canvas.patch(left + offset as u16, 0, 1, 1, key);
        }
    }
}
