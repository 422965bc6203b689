//! Where cursor and anchor of the heatmap stand in time. The newest column pushes the others on, and what somebody marked goes with them.

use watchfire_model::Timestamp;
use watchfire_model::reading::Latency as Reading;

/// Times of the columns of the cursor and of the anchor, and the reading that has them where they stand.
#[derive(Debug, Default)]
pub(super) struct Marked {
    of: Option<(Timestamp, usize)>,
    cursor: Option<Timestamp>,
    anchor: Option<Timestamp>,
}

impl Marked {
    pub(super) fn at(reading: &Reading, cursor: (usize, usize), anchor: Option<(usize, usize)>) -> Marked {
        let time = |(column, _): (usize, usize)| Some(middle(reading, column.min(reading.columns.len().checked_sub(1)?)));
        Marked { of: Some((reading.end, reading.columns.len())), cursor: time(cursor), anchor: anchor.and_then(time) }
    }

    /// Moves the columns to those of the same times in another reading; what has left the screen stays at its edge. The times stay: readings are
    /// nearer to each other than columns, and whoever took the time of the column anew each time would drift with it.
    pub(super) fn place(&mut self, reading: &Reading, cursor: &mut (usize, usize), anchor: Option<&mut (usize, usize)>) {
        let of = Some((reading.end, reading.columns.len()));
        if std::mem::replace(&mut self.of, of) == of {
            return;
        }
        let column = |at: Timestamp| reading.columns.partition_point(|end| *end < at).min(reading.columns.len().saturating_sub(1));
        if let Some(at) = self.cursor {
            cursor.0 = column(at);
        }
        if let (Some(at), Some(anchor)) = (self.anchor, anchor) {
            anchor.0 = column(at);
        }
    }
}

/// A time well within a column, so that a grid that is a little off does not lead to its neighbour.
fn middle(reading: &Reading, column: usize) -> Timestamp {
    let end = reading.columns[column];
    let start = if column == 0 { reading.start } else { reading.columns[column - 1] };
    Timestamp::from_millis(start.millis().saturating_add(end.millis().saturating_sub(start.millis()) / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(end: i64) -> Reading {
        let columns = (1..=10).map(|i| Timestamp::from_millis(end - 10_000 + i * 1000)).collect();
        Reading { start: Timestamp::from_millis(end - 10_000), end: Timestamp::from_millis(end), columns, ..Reading::default() }
    }

    #[test]
    fn what_was_marked_moves_with_its_time() {
        let (mut cursor, mut anchor) = ((7, 3), (2, 1));
        let mut marked = Marked::at(&reading(100_000), cursor, Some(anchor));
        for (later, columns) in
            [(400, (7, 2)), (700, (6, 1)), (1000, (6, 1)), (1400, (6, 1)), (2000, (5, 0)), (9000, (0, 0)), (-1000, (8, 3))]
        {
            marked.place(&reading(100_000 + later), &mut cursor, Some(&mut anchor));
            assert_eq!((cursor.0, anchor.0), columns, "{later}");
        }
        assert_eq!((cursor.1, anchor.1), (3, 1));
        let nothing = Reading::default();
        marked.place(&nothing, &mut cursor, None);
        assert_eq!(cursor.0, 0);
    }
}
