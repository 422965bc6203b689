//! Where columns and rows go: which columns a width has room for, and which rows a height.

use crate::action::Action;

/// One column. Narrow screens drop the columns of the highest rank first.
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) width: u16,
    pub(crate) right: bool,
    /// 0 is always shown.
    pub(crate) rank: u8,
    /// Share in the columns left over.
    pub(crate) grow: u16,
    pub(crate) sort: Option<char>,
    /// The width it should have before columns of rank 4 and above are shown.
    pub(crate) wish: u16,
}

impl Column {
    pub(crate) const fn left(title: &'static str, width: u16) -> Column {
        Column { title, width, right: false, rank: 0, grow: 0, sort: None, wish: 0 }
    }

    pub(crate) const fn right(title: &'static str, width: u16) -> Column {
        Column { title, width, right: true, rank: 0, grow: 0, sort: None, wish: 0 }
    }

    pub(crate) const fn rank(self, rank: u8) -> Column {
        Column { rank, ..self }
    }

    pub(crate) const fn grow(self, grow: u16) -> Column {
        Column { grow, ..self }
    }

    pub(crate) const fn wish(self, wish: u16) -> Column {
        Column { wish, ..self }
    }

    pub(crate) const fn sort(self, letter: char) -> Column {
        Column { sort: Some(letter), ..self }
    }
}

/// The first row to show so that the selected one is visible and as little as possible moves.
pub(crate) fn window(selected: usize, offset: usize, height: usize, rows: usize) -> usize {
    let last = rows.saturating_sub(height.max(1));
    // A row that is not there, as one of a table that has become shorter, is the last one.
    let selected = selected.min(rows.saturating_sub(1));
    if selected < offset {
        selected.min(last)
    } else if selected >= offset + height {
        (selected + 1).saturating_sub(height).min(last)
    } else {
        offset.min(last)
    }
}

/// The order after a column was chosen, which begins `descending` or not: chosen again it turns round, a third time it ends.
pub(crate) fn chosen<C: PartialEq>(order: Option<(C, bool)>, column: C, descending: bool) -> Option<(C, bool)> {
    match order {
        Some((known, direction)) if known == column => (direction == descending).then_some((column, !descending)),
        _ => Some((column, descending)),
    }
}

/// Where a key of lists leads from a row, no further than the last one; `None` for every other key. All lists move by it, so that half a page is half a
/// page everywhere.
pub(crate) fn moved(action: Action, from: usize, page: usize, last: usize) -> Option<usize> {
    let (page, half) = (page.max(1), page.div_ceil(2).max(1));
    let to = match action {
        Action::Up => from.saturating_sub(1),
        Action::Down => from.saturating_add(1),
        Action::PageUp => from.saturating_sub(page),
        Action::PageDown => from.saturating_add(page),
        Action::HalfUp => from.saturating_sub(half),
        Action::HalfDown => from.saturating_add(half),
        Action::Top => 0,
        Action::Bottom => last,
        _ => return None,
    };
    Some(to.min(last))
}

/// Names are not made narrower than this.
const NARROWEST: u16 = 10;

/// Chooses columns for a width: `(index, x, width)`. One blank stands at the left and two between columns, one before right-aligned ones.
pub(super) fn fit(columns: &[Column], width: u16) -> Vec<(usize, u16, u16)> {
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let gap = |i: usize| if columns[i].right { 1 } else { 2 };
    let needed = |kept: &[usize]| kept.iter().map(|i| columns[*i].width + gap(*i)).sum::<u16>().saturating_sub(1);
    let wishes = |kept: &[usize]| {
        let extra = kept.iter().any(|i| columns[*i].rank >= 4);
        if extra { kept.iter().map(|i| columns[*i].wish.saturating_sub(columns[*i].width)).sum::<u16>() } else { 0 }
    };
    while needed(&kept) + wishes(&kept) > width {
        let Some(worst) = kept.iter().copied().filter(|i| columns[*i].rank > 0).max_by_key(|i| (columns[*i].rank, *i)) else { break };
        kept.retain(|i| *i != worst);
    }
    // What does not even fit beside names at their narrowest makes room for them.
    let least = |kept: &[usize]| {
        let width = |i: &usize| if columns[*i].grow > 0 { columns[*i].width.min(NARROWEST) } else { columns[*i].width };
        kept.iter().map(|i| width(i) + gap(*i)).sum::<u16>().saturating_sub(1)
    };
    while kept.len() > 1 && least(&kept) > width {
        kept.pop();
    }
    // On the smallest screens names give way before figures and states are cut.
    let mut widths: Vec<u16> = kept.iter().map(|i| columns[*i].width).collect();
    let mut over = needed(&kept).saturating_sub(width);
    while over > 0 {
        let widest = (0..kept.len()).filter(|n| columns[kept[*n]].grow > 0 && widths[*n] > NARROWEST).max_by_key(|n| (widths[*n], *n));
        let Some(widest) = widest else { break };
        widths[widest] -= 1;
        over -= 1;
    }
    let spare = width.saturating_sub(needed(&kept));
    let shares: u16 = kept.iter().map(|i| columns[*i].grow).sum();
    let mut x = 1;
    let mut out = Vec::with_capacity(kept.len());
    for (n, i) in kept.into_iter().enumerate() {
        let column = &columns[i];
        let extra = if shares == 0 { 0 } else { (u32::from(spare) * u32::from(column.grow) / u32::from(shares)) as u16 };
        if n > 0 {
            x += gap(i);
            // Half a figure is worse than none.
            if x + widths[n] > width + 1 {
                break;
            }
        }
        out.push((i, x, widths[n] + extra));
        x += widths[n] + extra;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_the_cursor_and_else_stays() {
        assert_eq!(window(0, 0, 10, 100), 0);
        assert_eq!(window(10, 0, 10, 100), 1);
        assert_eq!(window(5, 3, 10, 100), 3);
        assert_eq!(window(2, 3, 10, 100), 2);
        assert_eq!(window(99, 0, 10, 100), 90);
        assert_eq!(window(0, 90, 10, 5), 0);
        assert_eq!(window(3, 0, 0, 5), 4);
        assert_eq!((window(usize::MAX, 0, 10, 100), window(usize::MAX, 0, 10, 0)), (90, 0));
    }

    #[test]
    fn keys_of_lists_stay_within_the_list() {
        let to = |action| moved(action, 5, 5, 9);
        let all =
            [Action::Up, Action::Down, Action::PageUp, Action::PageDown, Action::HalfUp, Action::HalfDown, Action::Top, Action::Bottom];
        assert_eq!(all.map(to), [4, 6, 0, 9, 2, 8, 0, 9].map(Some));
        assert_eq!((to(Action::Left), moved(Action::HalfDown, 0, 0, 9), moved(Action::Down, 0, 3, 0)), (None, Some(1), Some(0)));
    }

    #[test]
    fn narrow_screens_drop_the_least_important_columns() {
        const COLUMNS: [Column; 3] = [Column::left("A", 10).grow(1), Column::right("B", 6).rank(1), Column::left("C", 8).rank(2)];
        assert_eq!(fit(&COLUMNS, 40).len(), 3);
        assert_eq!(fit(&COLUMNS, 20), [(0, 1, 12), (1, 14, 6)]);
        assert_eq!(fit(&COLUMNS, 5), [(0, 1, 10)]);
        // A column that has no place takes none from the names.
        const NAMES: [Column; 3] = [Column::left("A", 20).grow(1), Column::right("B", 6), Column::right("C", 9)];
        assert_eq!(fit(&NAMES, 25), [(0, 1, 17), (1, 19, 6)]);
        assert_eq!(fit(&NAMES, 28), [(0, 1, 10), (1, 12, 6), (2, 19, 9)]);
    }
}
