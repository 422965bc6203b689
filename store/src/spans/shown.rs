//! When readers first saw the rows of a segment. A moment in the past is shown with those that were seen then: spans arrive after they ended, and a
//! trace grows while one looks at it.

use std::sync::OnceLock;
use watchfire_model::Timestamp;

/// So many rows were seen from so many milliseconds after the first mark on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    rows: u32,
    millis: u32,
}

/// Marks in the order of rows and of time; what comes after the last one was seen with the segment's end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    base: Timestamp,
    marks: Vec<Mark>,
    end: OnceLock<Timestamp>,
}

impl Shown {
    /// From now on the first `rows` are seen.
    pub fn mark(&mut self, rows: usize, now: Timestamp) {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        let last = self.marks.last().copied();
        if last.is_some_and(|last| last.rows >= rows) {
            return;
        }
        if last.is_none() {
            self.base = now;
        }
        let millis = u32::try_from(now.since(self.base).as_millis()).unwrap_or(u32::MAX);
        // A clock that was set back does not unsee anything.
        self.marks.push(Mark { rows, millis: millis.max(last.map_or(0, |last| last.millis)) });
    }

    /// From now on all rows are seen; `false` where they were already.
    pub fn whole(&self, now: Timestamp) -> bool {
        self.end.set(now).is_ok()
    }

    /// How many of `rows` were seen at `at`.
    pub fn by(&self, at: Timestamp, rows: usize) -> usize {
        if self.end.get().is_some_and(|end| *end <= at) {
            return rows;
        }
        if self.marks.is_empty() || at < self.base {
            return 0;
        }
        let millis = u32::try_from(at.since(self.base).as_millis()).unwrap_or(u32::MAX);
        let seen = self.marks.partition_point(|mark| mark.millis <= millis);
        seen.checked_sub(1).map_or(0, |last| (self.marks[last].rows as usize).min(rows))
    }

    /// The same of the rows that `keep` names, ascending; `arrived` is when the last one came, where nobody has seen it yet.
    pub fn picked(&self, keep: &[usize], arrived: Timestamp) -> Shown {
        let mut picked = Shown { base: self.base, ..Shown::default() };
        for mark in &self.marks {
            let rows = keep.partition_point(|row| *row < mark.rows as usize) as u32;
            if picked.marks.last().map_or(0, |last| last.rows) < rows {
                picked.marks.push(Mark { rows, ..*mark });
            }
        }
        picked.whole(self.end.get().copied().unwrap_or(arrived));
        picked
    }

    pub fn bytes(&self) -> usize {
        size_of::<Mark>() * self.marks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + seconds * 1000)
    }

    #[test]
    fn a_moment_has_the_rows_that_were_seen_then() {
        let mut shown = Shown::default();
        assert_eq!(shown.by(s(9), 4), 0, "nobody looked");
        for (rows, at) in [(3, s(1)), (3, s(2)), (5, s(4)), (8, s(3))] {
            shown.mark(rows, at);
        }
        let by = |shown: &Shown| [0, 1, 3, 4, 9].map(|at| shown.by(s(at), 10));
        assert_eq!(by(&shown), [0, 3, 3, 8, 8]);
        assert!(shown.whole(s(6)) && !shown.whole(s(7)));
        assert_eq!(by(&shown), [0, 3, 3, 8, 10]);
        // Of the rows 1, 4 and 9.
        assert_eq!([0, 1, 4, 6].map(|at| shown.picked(&[1, 4, 9], s(5)).by(s(at), 3)), [0, 1, 2, 3]);
        assert_eq!(Shown::default().picked(&[0], s(5)).by(s(5), 1), 1);
    }
}
