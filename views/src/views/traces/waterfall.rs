//! One trace as a waterfall: who called whom, when, for how long, and what made it as long as it is.

mod drawing;

use super::fall::{Fall, Row};
use crate::action::Action;
use crate::number;
use crate::table::moved;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use watchfire_model::ids_in;
use watchfire_model::reading::attribute::Scalar;
use watchfire_model::reading::{Span, Trace};

#[derive(Default)]
pub(super) struct Waterfall {
    fall: Fall,
    generation: Option<u64>,
    folded: BTreeSet<usize>,
    /// Of the span of each row: a row's number changes when a trace grows.
    ids: Vec<String>,
    /// Rows not inside of something folded.
    visible: Vec<usize>,
    selected: usize,
    offset: usize,
    page: usize,
    critical_only: bool,
    pub(super) search: String,
    matches: Option<Matches>,
    /// Other traces are compared with this one.
    pub(super) marked: bool,
}

/// The rows that hold the searched text. Looking through a large trace takes longer than a key may, so it is done once.
struct Matches {
    search: String,
    generation: Option<u64>,
    rows: Vec<usize>,
}

impl Waterfall {
    pub(super) fn refresh(&mut self, trace: &Trace, generation: u64) {
        if self.generation == Some(generation) {
            return;
        }
        let first = self.generation.is_none();
        self.generation = Some(generation);
        let same = self.fall.rows.len() == trace.spans.len();
        let before = (!same).then(|| self.row_id().map(str::to_owned));
        self.fall = Fall::of(trace);
        if let Some(selected) = before {
            // Spans arrive late, and none of them may move the cursor or open what somebody folded.
            let id_of = |row: &Row| trace.spans.get(row.span).map_or("", |s| s.span_id.as_str());
            let folded: HashSet<&str> = self.folded.iter().filter_map(|r| self.ids.get(*r).map(String::as_str)).collect();
            self.folded = (0..self.fall.rows.len()).filter(|r| folded.contains(id_of(&self.fall.rows[*r]))).collect();
            let found = selected.and_then(|id| self.fall.rows.iter().position(|r| id_of(r) == id));
            self.ids = self.fall.rows.iter().map(|r| id_of(r).to_owned()).collect();
            self.visible.clear();
            self.lay();
            self.show(if first { self.origin(trace) } else { found });
            return;
        }
        self.lay();
    }

    /// The span where the failure of the whole began: it fails, nothing below it does, and all above it do as well.
    fn origin(&self, trace: &Trace) -> Option<usize> {
        let rows = &self.fall.rows;
        // Of each row: it and all above it fail. Parents stand before their children.
        let mut whole = vec![false; rows.len()];
        let mut failing = Vec::new();
        for (r, row) in rows.iter().enumerate() {
            if trace.spans.get(row.span).is_some_and(|s| s.status == "error") {
                whole[r] = row.parent.is_none_or(|p| whole[p]);
                failing.push(r);
            }
        }
        let lowest = |(i, r): (usize, &usize)| {
            let below = failing.get(i + 1).is_some_and(|next| *next <= *r + rows[*r].descendants);
            (!below).then_some(*r)
        };
        let lowest: Vec<usize> = failing.iter().enumerate().filter_map(lowest).collect();
        lowest.iter().copied().find(|r| whole[*r]).or(lowest.first().copied())
    }

    fn row_id(&self) -> Option<&str> {
        self.visible.get(self.selected).and_then(|r| self.ids.get(*r)).map(String::as_str)
    }

    /// Whether what is under the cursor is folded.
    pub(super) fn is_folded(&self) -> bool {
        self.visible.get(self.selected).is_some_and(|row| self.folded.contains(row))
    }

    /// Puts the cursor on that row, or on the one it is folded into.
    fn show(&mut self, row: Option<usize>) {
        if let Some(row) = row {
            self.selected = self.visible.partition_point(|r| *r <= row).saturating_sub(1);
        }
    }

    fn lay(&mut self) {
        let current = self.visible.get(self.selected).copied();
        self.visible.clear();
        let mut row = 0;
        while row < self.fall.rows.len() {
            if !self.critical_only || self.fall.rows[row].critical {
                self.visible.push(row);
            }
            row += if self.folded.contains(&row) { self.fall.rows[row].descendants + 1 } else { 1 };
        }
        if let Some(current) = current {
            self.selected = self.visible.partition_point(|r| *r <= current).saturating_sub(1);
        }
        self.selected = self.selected.min(self.visible.len().saturating_sub(1));
    }

    fn row(&self) -> Option<&Row> {
        self.visible.get(self.selected).and_then(|r| self.fall.rows.get(*r))
    }

    pub(super) fn span<'a>(&self, trace: &'a Trace) -> Option<&'a Span> {
        trace.spans.get(self.row()?.span)
    }

    pub(super) fn self_seconds(&self) -> Option<f64> {
        self.row().map(|r| r.self_seconds)
    }

    pub(super) fn update(&mut self, action: Action) -> bool {
        let last = self.visible.len().saturating_sub(1);
        if let Some(to) = moved(action, self.selected, self.page, last) {
            self.selected = to;
            return true;
        }
        match action {
            Action::Left => {
                let Some(row) = self.visible.get(self.selected).copied() else { return true };
                let fold = self.fall.rows[row].descendants > 0 && !self.folded.contains(&row);
                if fold {
                    self.folded.insert(row);
                    self.lay();
                } else if let Some(parent) = self.fall.rows[row].parent {
                    self.selected = self.visible.partition_point(|r| *r < parent).min(last);
                }
            }
            Action::Right => {
                if let Some(row) = self.visible.get(self.selected).copied() {
                    self.folded.remove(&row);
                    self.lay();
                }
            }
            Action::Collapse => {
                if self.folded.is_empty() {
                    self.folded =
                        (0..self.fall.rows.len()).filter(|r| self.fall.rows[*r].depth >= 1 && self.fall.rows[*r].descendants > 0).collect();
                } else {
                    self.folded.clear();
                }
                self.lay();
            }
            Action::CriticalPath => {
                self.critical_only = !self.critical_only;
                self.lay();
            }
            _ => return false,
        }
        true
    }

    /// Puts the cursor on a row anywhere in the tree; folds on the way open.
    fn reveal(&mut self, found: usize) {
        let mut above = self.fall.rows[found].parent;
        while let Some(parent) = above {
            self.folded.remove(&parent);
            above = self.fall.rows[parent].parent;
        }
        self.critical_only &= self.fall.rows[found].critical;
        self.lay();
        self.selected = self.visible.partition_point(|r| *r < found).min(self.visible.len().saturating_sub(1));
    }

    /// Whether a span below the cursor fails.
    pub(super) fn has_errors_below(&self, trace: &Trace) -> bool {
        let here = self.visible.get(self.selected).copied().unwrap_or(0);
        self.fall.errors > 0 && (here + 1..self.fall.rows.len()).any(|row| self.fails(row, trace))
    }

    fn fails(&self, row: usize, trace: &Trace) -> bool {
        trace.spans.get(self.fall.rows[row].span).is_some_and(|span| span.status == "error")
    }

    /// To the span somebody came for: by its own id, or by one among its attributes.
    pub(super) fn land(&mut self, trace: &Trace, id: &str) {
        if trace.trace_id.eq_ignore_ascii_case(id) {
            return;
        }
        let span_of = |row: &Row| trace.spans.get(row.span);
        // A `traceparent` names the trace and the span.
        let ids = ids_in(id);
        let meant = |span: &Span| span.span_id.eq_ignore_ascii_case(id) || ids.iter().any(|id| span.span_id.eq_ignore_ascii_case(id));
        let own = |row: &Row| span_of(row).is_some_and(meant);
        let among = |row: &Row| span_of(row).is_some_and(|s| s.attributes.values().any(|v| v.to_string() == id));
        let found = self.fall.rows.iter().position(own).or_else(|| self.fall.rows.iter().position(among));
        // An id that the first span carries stands for the whole trace.
        self.show(found.filter(|row| *row > 0));
    }

    pub(super) fn problem(&mut self, forward: bool, trace: &Trace) -> bool {
        let fails = |row: &usize| self.fails(*row, trace);
        let here = self.visible.get(self.selected).copied().unwrap_or(0);
        let found = if forward { (here + 1..self.fall.rows.len()).find(fails) } else { (0..here).rev().find(fails) };
        found.map(|row| self.reveal(row)).is_some()
    }

    /// To the next (or previous) span that holds the searched text, and round again. Says why the cursor stays where it is.
    pub(super) fn find(&mut self, trace: &Trace, forward: bool) -> Result<(), String> {
        if self.matches.as_ref().is_none_or(|m| m.search != self.search || m.generation != self.generation) {
            let needle = self.search.to_lowercase();
            let holds = |r: &usize| trace.spans.get(self.fall.rows[*r].span).is_some_and(|s| holds(s, &needle));
            let rows = (0..self.fall.rows.len()).filter(holds).collect();
            self.matches = Some(Matches { search: self.search.clone(), generation: self.generation, rows });
        }
        let rows = self.matches.as_ref().map_or(&[][..], |m| &m.rows);
        let here = self.visible.get(self.selected).copied();
        let next = match forward {
            true => rows.iter().find(|r| here.is_none_or(|h| **r > h)).or(rows.first()),
            false => rows.iter().rev().find(|r| here.is_none_or(|h| **r < h)).or(rows.last()),
        };
        match next.copied() {
            None => Err(format!("no span holds {}", self.search)),
            Some(only) if Some(only) == here => Err(format!("no other span holds {}", self.search)),
            Some(row) => {
                self.reveal(row);
                Ok(())
            }
        }
    }

    pub(super) fn click(&mut self, y: u16) -> bool {
        let position = self.offset + usize::from(y.saturating_sub(1));
        if y == 0 || position >= self.visible.len() {
            return false;
        }
        let again = self.selected == position;
        self.selected = position;
        again
    }

    pub(super) fn tally(&self) -> String {
        let folded = if self.visible.len() < self.fall.rows.len() { format!("{} of ", self.visible.len()) } else { String::new() };
        let spans = format!("{folded}{}", number::spans(self.fall.rows.len()));
        let here = self.visible.get(self.selected);
        let matches = self.matches.as_ref().filter(|m| m.search == self.search && !m.rows.is_empty());
        match matches.map(|m| (m.rows.len(), here.and_then(|h| m.rows.binary_search(h).ok()))) {
            None => spans,
            Some((count, Some(at))) => format!("match {} of {count}, {spans}", at + 1),
            Some((1, None)) => format!("1 match, {spans}"),
            Some((count, None)) => format!("{count} matches, {spans}"),
        }
    }
}

fn holds(span: &Span, needle: &str) -> bool {
    let texts = [&span.name, &span.service, &span.span_id, &span.status_message, &span.kind];
    texts.iter().any(|t| t.to_lowercase().contains(needle))
        || any_holds(&span.attributes, needle)
        || span.events.iter().any(|event| event.name.to_lowercase().contains(needle) || any_holds(&event.attributes, needle))
}

fn any_holds(attributes: &BTreeMap<String, Scalar>, needle: &str) -> bool {
    attributes.iter().any(|(k, v)| k.to_lowercase().contains(needle) || v.to_string().to_lowercase().contains(needle))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(spans: &[(&str, &str, &str)]) -> Trace {
        let span = |(i, (id, parent, status)): (usize, &(&str, &str, &str))| Span {
            span_id: (*id).into(),
            parent_id: (*parent).into(),
            status: (*status).into(),
            start: i as f64,
            duration_seconds: 100.0,
            ..Span::default()
        };
        Trace { spans: spans.iter().enumerate().map(span).collect(), ..Trace::default() }
    }

    fn opened(trace: &Trace) -> Waterfall {
        let mut waterfall = Waterfall::default();
        waterfall.refresh(trace, 1);
        waterfall
    }

    #[test]
    fn a_trace_opens_where_its_failure_began() {
        let began = |spans: &[(&str, &str, &str)]| {
            let trace = trace(spans);
            opened(&trace).span(&trace).map(|s| s.span_id.clone()).unwrap_or_default()
        };
        assert_eq!(began(&[("a", "", "ok"), ("b", "a", "ok")]), "a");
        assert_eq!(began(&[("a", "", "error"), ("b", "a", "error"), ("c", "b", "error"), ("d", "c", "ok")]), "c");
        // A failure that somebody above made good is not why the whole fails.
        assert_eq!(began(&[("a", "", "error"), ("b", "a", "ok"), ("miss", "b", "error"), ("c", "a", "error")]), "c");
        assert_eq!(began(&[("a", "", "ok"), ("b", "a", "ok"), ("miss", "b", "error")]), "miss");
    }

    #[test]
    fn search_goes_round_counts_and_says_when_there_is_no_other() {
        let spans: Vec<(String, String)> =
            (0..50_000).map(|i: u32| (format!("id-{i}"), if i == 0 { String::new() } else { format!("id-{}", (i - 1) / 10) })).collect();
        let spans: Vec<(&str, &str, &str)> = spans.iter().map(|(id, parent)| (id.as_str(), parent.as_str(), "ok")).collect();
        let trace = trace(&spans);
        let mut waterfall = opened(&trace);
        let mut find = |text: &str, forward: bool| {
            waterfall.search = text.to_owned();
            let outcome = waterfall.find(&trace, forward);
            (outcome, waterfall.span(&trace).map(|s| s.span_id.clone()).unwrap_or_default(), waterfall.tally())
        };
        let (outcome, at, tally) = find("ID-4711", true);
        // It is a child of 4710, and so comes before 4711.
        assert_eq!((outcome, at.as_str(), tally.as_str()), (Ok(()), "id-47110", "match 1 of 11, 50000 spans"));
        assert_eq!(find("id-4711", true).2, "match 2 of 11, 50000 spans");
        assert_eq!(find("id-4711", false).1, "id-47110");
        assert_eq!(find("id-4711", false).2, "match 11 of 11, 50000 spans");
        assert_eq!(find("id-12345", true).0, Ok(()));
        assert_eq!(find("id-12345", true).0, Err("no other span holds id-12345".to_owned()));
        assert_eq!(find("nowhere", true).0, Err("no span holds nowhere".to_owned()));
    }

    #[test]
    fn spans_that_come_late_move_neither_the_cursor_nor_the_folds() {
        let early = trace(&[("a", "", "ok"), ("b", "a", "ok"), ("c", "b", "ok"), ("d", "a", "ok")]);
        let mut waterfall = opened(&early);
        waterfall.update(Action::Down);
        waterfall.update(Action::Left);
        waterfall.update(Action::Down);
        assert_eq!(waterfall.span(&early).map(|s| s.span_id.as_str()), Some("d"));
        let late =
            trace(&[("root", "", "ok"), ("a", "root", "ok"), ("b", "a", "ok"), ("c", "b", "ok"), ("d", "a", "error"), ("e", "d", "ok")]);
        waterfall.refresh(&late, 2);
        assert_eq!(waterfall.span(&late).map(|s| s.span_id.as_str()), Some("d"));
        assert_eq!(waterfall.visible.len(), 5, "c is still folded into b");
    }
}
