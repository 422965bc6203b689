//! The series of an answer as rows: what tells each from the others, its bounds and its newest value.

use super::series::{current, is_histogram, name_of, shared, the_only_label};
use super::{Explore, sorting};
use crate::canvas::Canvas;
use crate::look::Role;
use crate::number;
use crate::table::window;
use watchfire_model::reading::QuerySeries;
use watchfire_model::{Labels, Timestamp};

impl Explore {
    /// `end`: who has no value since then has none now.
    pub(super) fn table(&mut self, series: &[&QuerySeries], end: Timestamp, canvas: &mut Canvas<'_>) {
        let width = canvas.width();
        let common = shared(series);
        // Where a name would be cut within its label, the label stands above all of them.
        let only = if width < sorting::NARROW { the_only_label(series, &common) } else { None };
        let mut pen = canvas.part(0, 0, sorting::names(width) + 3, 1);
        let mut pen = pen.pen(3, 0);
        pen.put("SERIES ", Role::Heading);
        if let Some(label) = only {
            pen.put(&format!("by {label} "), Role::Dim);
        }
        if !common.is_empty() {
            pen.put(&format!("  all {}", name_of(&common, &Labels::default())), Role::Dim);
        }
        sorting::headings(self.order, canvas);
        let rows = usize::from(canvas.height().saturating_sub(1));
        self.page = rows.max(1);
        self.offset = window(self.position.min(series.len() - 1), self.offset, rows, series.len());
        for (line, (i, s)) in series.iter().enumerate().skip(self.offset).take(rows).enumerate() {
            self.drawn.push((line as u16 + 1, i));
            let mut row = canvas.part(0, line as u16 + 1, width, 1);
            let tone = row.style(if i == self.position { Role::Series2 } else { Role::series(i) });
            row.dot(1, 0, '█', tone);
            let text = row.style(Role::Text);
            match only {
                Some(label) => row.name(3, 0, sorting::names(width), s.labels.value(label), text),
                None => row.text(3, 0, sorting::names(width), &name_of(&s.labels, &common), text),
            };
            let known = s.points.iter().filter_map(|(_, v)| *v);
            let bound = |pick: fn(f64, f64) -> f64| known.clone().reduce(pick).map(number::significant);
            if is_histogram(s) {
                row.right(width.saturating_sub(31), 0, 29, current(s, end).as_deref().unwrap_or(number::UNKNOWN), text);
            } else {
                for (n, value) in [bound(f64::min), bound(f64::max), current(s, end)].into_iter().enumerate() {
                    if let Some(left) = sorting::place(n + 1, width) {
                        row.right(left, 0, 9, value.as_deref().unwrap_or(number::UNKNOWN), text);
                    }
                }
            }
            if i == self.position {
                let style = row.style(Role::Selected);
                row.patch(0, 0, width, 1, style);
            }
        }
    }
}
