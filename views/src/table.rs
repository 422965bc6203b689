//! Lists of rows: sorting, filtering, selection by identity, and a window of rows that is drawn. Rows outside of it are never built.

mod columns;

use crate::action::Action;
use crate::canvas::{Canvas, display_width};
use crate::filter::Fields;
use crate::look::Role;
use crate::readings::Kind;
use crate::view::Cx;
use columns::fit;
pub(crate) use columns::{Column, chosen, moved, window};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::marker::PhantomData;
use watchfire_model::{HealthState, Timestamp};

/// A kind of row.
pub(crate) trait Rows {
    type Row: Fields;
    const COLUMNS: &'static [Column];
    /// The reading that rows come from.
    const KIND: Kind;

    /// What tells a row from others, also after a new reading.
    fn key(row: &Self::Row) -> Cow<'_, str>;

    /// What a column sorts by.
    fn value(row: &Self::Row, column: usize) -> Sort<'_>;

    /// Where the row stands before any sorting: lower first.
    fn place(row: &Self::Row) -> u8 {
        badness(Self::state(row))
    }

    fn state(row: &Self::Row) -> HealthState;

    fn is_problem(row: &Self::Row) -> bool {
        matches!(Self::state(row), HealthState::Unhealthy | HealthState::Degraded)
    }
}

/// Worst first; what is not known comes last, after what is fine.
pub(crate) fn badness(state: HealthState) -> u8 {
    match state {
        HealthState::Unhealthy => 0,
        HealthState::Degraded => 1,
        HealthState::Healthy => 2,
        HealthState::Unknown => 3,
    }
}

/// A value to sort by. What is not known comes last in both directions.
pub(crate) enum Sort<'a> {
    Number(Option<f64>),
    Text(&'a str),
    /// Worst first.
    State(HealthState),
}

impl Sort<'_> {
    pub(crate) fn time(at: Option<Timestamp>) -> Self {
        Sort::Number(at.map(Timestamp::seconds))
    }

    fn is_unknown(&self) -> bool {
        match self {
            Sort::Number(value) => value.is_none_or(f64::is_nan),
            Sort::Text(text) => text.is_empty(),
            Sort::State(state) => *state == HealthState::Unknown,
        }
    }

    fn compare(&self, other: &Sort<'_>, descending: bool) -> Ordering {
        self.is_unknown().cmp(&other.is_unknown()).then_with(|| {
            let ascending = match (self, other) {
                (Sort::Number(Some(a)), Sort::Number(Some(b))) => a.total_cmp(b),
                (Sort::Text(a), Sort::Text(b)) => a.cmp(b),
                (Sort::State(a), Sort::State(b)) => badness(*a).cmp(&badness(*b)),
                _ => Ordering::Equal,
            };
            if descending { ascending.reverse() } else { ascending }
        })
    }
}

/// Generation of the reading, stamp of the filter, faults only, sorting: what an order depends on.
type Stamp = (u64, u64, bool, Option<(usize, bool)>);

/// Which rows are shown, in which order, and where the cursor is.
pub(crate) struct Table<R> {
    order: Vec<u32>,
    total: usize,
    selected: usize,
    key: Option<String>,
    /// A row somebody came for, until it is there: its key, or how its key begins.
    sought: Option<String>,
    offset: usize,
    page: usize,
    /// Column and whether it descends.
    sort: Option<(usize, bool)>,
    stamp: Option<Stamp>,
    /// Where the last frame put the columns: index, x, width.
    fitted: Vec<(usize, u16, u16)>,
    rewound: bool,
    /// Somebody moved the cursor; until then it stays at the top, where the worst is.
    touched: bool,
    rows: PhantomData<R>,
}

impl<R: Rows> Default for Table<R> {
    fn default() -> Self {
        Table {
            order: Vec::new(),
            total: 0,
            selected: 0,
            key: None,
            sought: None,
            offset: 0,
            page: 10,
            sort: None,
            stamp: None,
            fitted: Vec::new(),
            rewound: false,
            touched: false,
            rows: PhantomData,
        }
    }
}

impl<R: Rows> Table<R> {
    /// Brings order and cursor up to date with the rows; cheap when nothing changed.
    pub(crate) fn refresh(&mut self, rows: &[R::Row], cx: &Cx<'_>) {
        let stamp = Some((cx.readings.generation(R::KIND), cx.filter_stamp, cx.faults_only, self.sort));
        if self.stamp == stamp && self.total == rows.len() {
            return;
        }
        self.stamp = stamp;
        self.total = rows.len();
        // Rows that are read anew come back, and the cursor to where it was.
        if rows.is_empty() && self.touched && self.sought.is_none() {
            self.sought = self.key.take();
        }
        let shown = |row: &R::Row| (!cx.faults_only || R::is_problem(row)) && cx.filter.accepts(row);
        self.order = (0..rows.len() as u32).filter(|i| shown(&rows[*i as usize])).collect();
        let at = |i: &u32| &rows[*i as usize];
        match self.sort {
            None => self.order.sort_by_key(|i| R::place(at(i))),
            Some((column, descending)) => {
                self.order.sort_by(|a, b| R::value(at(a), column).compare(&R::value(at(b), column), descending));
            }
        }
        let is_sought = |key: &str, sought: &str| key.strip_prefix(sought).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
        let arrived = self.sought.as_deref().and_then(|sought| self.order.iter().position(|i| is_sought(&R::key(at(i)), sought)));
        if let Some(position) = arrived {
            (self.selected, self.sought) = (position, None);
        } else if !self.touched {
            self.selected = 0;
        } else if let Some(key) = &self.key
            && let Some(position) = self.order.iter().position(|i| R::key(at(i)) == *key)
        {
            self.selected = position;
        }
        self.selected = self.selected.min(self.order.len().saturating_sub(1));
        self.key = self.order.get(self.selected).map(|i| R::key(at(i)).into_owned());
    }

    pub(crate) fn selected<'r>(&self, rows: &'r [R::Row]) -> Option<&'r R::Row> {
        self.order.get(self.selected).and_then(|i| rows.get(*i as usize))
    }

    pub(crate) fn selected_key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Puts the cursor on the row of that key, now or when it comes.
    pub(crate) fn choose(&mut self, key: String) {
        self.touched = true;
        self.sought = Some(key);
        self.stamp = None;
    }

    /// Rows in the order shown.
    pub(crate) fn shown<'r>(&'r self, rows: &'r [R::Row]) -> impl Iterator<Item = &'r R::Row> {
        self.order.iter().filter_map(|i| rows.get(*i as usize))
    }

    /// How many rows are shown, and by what they are ordered where no heading on screen tells.
    pub(crate) fn tally(&self) -> String {
        if self.total == 0 {
            return String::new();
        }
        let unseen = self.sort.filter(|(column, _)| !self.fitted.iter().any(|(shown, _, _)| shown == column));
        let by = unseen.map_or_else(String::new, |(column, descending)| {
            format!("by {}{}  ", R::COLUMNS[column].title, if descending { "▾" } else { "▴" })
        });
        format!("{by}{} of {}", self.order.len(), self.total)
    }

    fn jump(&mut self, to: usize, rows: &[R::Row]) {
        self.touched = true;
        self.sought = None;
        self.selected = to.min(self.order.len().saturating_sub(1));
        self.key = self.selected(rows).map(|row| R::key(row).into_owned());
    }

    /// Moves the cursor or changes the order.
    pub(crate) fn update(&mut self, action: Action, rows: &[R::Row]) -> bool {
        if let Some(to) = moved(action, self.selected, self.page, self.order.len().saturating_sub(1)) {
            self.jump(to, rows);
            return true;
        }
        match action {
            Action::SortNext => {
                let sortable: Vec<usize> = (0..R::COLUMNS.len()).filter(|c| R::COLUMNS[*c].sort.is_some()).collect();
                let next = match self.sort {
                    None => sortable.first().copied(),
                    Some((column, _)) => sortable.into_iter().find(|c| *c > column),
                };
                self.sort = next.map(|c| (c, R::COLUMNS[c].right));
            }
            Action::SortReverse => self.sort = self.sort.map(|(column, descending)| (column, !descending)),
            _ => return false,
        }
        true
    }

    /// Sorts by the column of a letter; the same letter again turns the order round, a third time ends it.
    pub(crate) fn letter(&mut self, letter: char) -> bool {
        let Some(column) = R::COLUMNS.iter().position(|c| c.sort == Some(letter)) else { return false };
        self.sort = chosen(self.sort, column, R::COLUMNS[column].right);
        true
    }

    /// A click at a place of the table: a heading sorts, a row is selected. True when the row was selected already.
    pub(crate) fn click(&mut self, x: u16, y: u16, rows: &[R::Row]) -> bool {
        if y == 0 {
            let hit = self.fitted.iter().find(|(_, left, width)| (*left..left + width).contains(&x)).map(|(c, _, _)| *c);
            if let Some(letter) = hit.and_then(|c| R::COLUMNS[c].sort) {
                self.letter(letter);
            }
            return false;
        }
        let position = self.offset + usize::from(y) - 1;
        if position >= self.order.len() {
            return false;
        }
        let again = position == self.selected;
        self.jump(position, rows);
        again
    }

    /// To the next problem after the cursor; false when there is none.
    pub(crate) fn problem(&mut self, forward: bool, rows: &[R::Row], cx: &Cx<'_>) -> bool {
        self.refresh(rows, cx);
        let rewound = std::mem::take(&mut self.rewound);
        let is_problem = |p: &usize| rows.get(self.order[*p] as usize).is_some_and(R::is_problem);
        let count = self.order.len();
        let found = match (forward, rewound) {
            (true, true) => (0..count).find(is_problem),
            (true, false) => (self.selected + 1..count).find(is_problem),
            (false, true) => (0..count).rev().find(is_problem),
            (false, false) => (0..self.selected.min(count)).rev().find(is_problem),
        };
        found.inspect(|p| self.jump(*p, rows)).is_some()
    }

    /// The next search for a problem begins at the first row, or the last.
    pub(crate) fn rewind(&mut self) {
        self.rewound = true;
    }

    /// Draws headings and the rows that fit. `cell` writes one column of one row into `(x, width)` of the line it is given.
    pub(crate) fn draw(
        &mut self,
        canvas: &mut Canvas<'_>,
        rows: &[R::Row],
        cx: &Cx<'_>,
        mut cell: impl FnMut(&mut Canvas<'_>, &R::Row, usize, u16, u16),
    ) {
        let width = canvas.width();
        self.fitted = fit(R::COLUMNS, width.saturating_sub(2));
        self.headings(canvas);
        let height = usize::from(canvas.height().saturating_sub(1));
        self.page = height;
        if self.selected >= self.order.len() {
            self.selected = 0;
        }
        self.offset = window(self.selected, self.offset, height, self.order.len());
        let (selected_style, marked_style) = (canvas.style(Role::Selected), canvas.style(Role::Marked));
        let visible = self.order.iter().enumerate().skip(self.offset).take(height);
        for (line, (position, index)) in visible.enumerate() {
            let Some(row) = rows.get(*index as usize) else { continue };
            let y = line as u16 + 1;
            let mut part = canvas.part(0, y, width, 1);
            for (column, x, column_width) in &self.fitted {
                cell(&mut part, row, *column, *x, *column_width);
            }
            if !cx.marks.is_empty() && cx.marks.iter().any(|mark| *mark == R::key(row)) {
                part.dot(0, 0, '»', marked_style);
                part.patch(0, 0, width, 1, marked_style);
            }
            if position == self.selected {
                part.patch(0, 0, width, 1, selected_style);
            }
        }
    }

    /// The columns that have a place at that width: index, x, width.
    pub(crate) fn places(width: u16) -> Vec<(usize, u16, u16)> {
        fit(R::COLUMNS, width.saturating_sub(2))
    }

    /// Letters that order by a column, with its title.
    pub(crate) fn orders() -> Vec<(char, &'static str)> {
        R::COLUMNS.iter().filter_map(|column| column.sort.map(|letter| (letter, column.title))).collect()
    }

    /// The column that orders the rows, and whether it descends.
    pub(crate) fn order(&self) -> Option<(usize, bool)> {
        self.sort
    }

    fn headings(&self, canvas: &mut Canvas<'_>) {
        let (style, key) = (canvas.style(Role::Heading), canvas.style(Role::Key));
        for (column, x, width) in &self.fitted {
            let definition = &R::COLUMNS[*column];
            let arrow = match self.sort {
                Some((c, true)) if c == *column => "▾",
                Some((c, false)) if c == *column => "▴",
                _ => "",
            };
            // The order is told even where the title fills its column.
            let room = usize::from(*width).saturating_sub(display_width(arrow));
            let title: String = definition.title.chars().take(room).chain(arrow.chars()).collect();
            let used = display_width(&title) as u16;
            let left = if definition.right { x + width - used } else { *x };
            canvas.text(left, 0, *width, &title, style);
            if let Some(offset) = definition.sort.and_then(|s| definition.title.chars().position(|c| c == s))
                && (offset as u16) < used
            {
                canvas.patch(left + offset as u16, 0, 1, 1, key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_comes_last_in_both_directions() {
        for descending in [false, true] {
            assert_eq!(Sort::Number(None).compare(&Sort::Number(Some(1.0)), descending), Ordering::Greater);
            assert_eq!(Sort::Number(Some(f64::NAN)).compare(&Sort::Number(Some(1.0)), descending), Ordering::Greater);
            let (unknown, fine) = (Sort::State(HealthState::Unknown), Sort::State(HealthState::Healthy));
            assert_eq!(unknown.compare(&fine, descending), Ordering::Greater);
            assert_eq!(Sort::Text("").compare(&Sort::Text("a"), descending), Ordering::Greater);
        }
        assert_eq!(Sort::Number(Some(2.0)).compare(&Sort::Number(Some(1.0)), true), Ordering::Less);
    }
}
