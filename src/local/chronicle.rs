//! What no series holds, as it was: the words of alerts and checks, targets, when services were last heard, the figures of the header. Kept
//! each time it is shown and every few seconds besides, so that a moment in the past is shown with what was shown then.
//!
//! Bounded by the records that differ from the moment before; what is older than that is answered from series alone.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::reading::{Alert, Alerts, Status, Target};
use watchfire_model::{CheckReport, Evidence, Timestamp};

/// A value that was not looked at again for longer than this is not believed to have lasted.
const LASTS: Duration = Duration::from_secs(15);
/// What one kind may hold: records that differ from those before, and references to them.
const MAX_RECORDS: usize = 20_000;
const MAX_REFERENCES: usize = 500_000;
/// Lists keep their order: what stayed the same stands near the place reached in the list before. To search all of it for each of ten thousand alerts
/// whose values all moved would take seconds; what is missed is held twice.
const NEAR: usize = 128;

/// Lists over time; what stays the same from one to the next is held once.
pub struct Timeline<T>(Mutex<Entries<T>>);

struct Entries<T> {
    moments: VecDeque<Moment<T>>,
    records: usize,
    references: usize,
}

struct Moment<T> {
    from: Timestamp,
    /// When it was last found to be the same.
    seen: Timestamp,
    list: Vec<Arc<T>>,
    /// Of these, the ones that the moment before did not have.
    fresh: usize,
}

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Timeline(Mutex::new(Entries { moments: VecDeque::new(), records: 0, references: 0 }))
    }
}

impl<T: Clone + PartialEq> Timeline<T> {
    /// Keeps what is known at `now`.
    pub fn keep(&self, now: Timestamp, list: &[T]) {
        let mut entries = self.0.lock();
        let last = entries.moments.back_mut();
        if last.as_ref().is_some_and(|last| last.from > now) {
            return;
        }
        let (mut fresh, mut place) = (0, 0);
        let before = last.as_ref().map(|last| last.list.as_slice()).unwrap_or_default();
        let next: Vec<Arc<T>> = list
            .iter()
            .map(|item| match before.iter().skip(place).take(NEAR).position(|known| **known == *item) {
                Some(further) => {
                    place += further + 1;
                    before[place - 1].clone()
                }
                None => {
                    fresh += 1;
                    Arc::new(item.clone())
                }
            })
            .collect();
        if let Some(last) = last
            && fresh == 0
            && last.list.len() == next.len()
            && last.list.iter().zip(&next).all(|(a, b)| Arc::ptr_eq(a, b))
        {
            last.seen = now;
            return;
        }
        entries.records += fresh;
        entries.references += next.len() + 1;
        entries.moments.push_back(Moment { from: now, seen: now, list: next, fresh });
        while entries.records > MAX_RECORDS || entries.references > MAX_REFERENCES {
            let Some(gone) = entries.moments.pop_front() else { break };
            entries.records -= gone.fresh;
            entries.references -= gone.list.len() + 1;
        }
    }

    /// What was known at `at`, and since when; `None` where nobody looked.
    pub fn at(&self, at: Timestamp) -> Option<(Timestamp, Vec<T>)> {
        let entries = self.0.lock();
        let index = entries.moments.partition_point(|m| m.from <= at).checked_sub(1)?;
        let moment = &entries.moments[index];
        let lasts = moment.seen.saturating_add(LASTS);
        (at <= lasts).then(|| (moment.from, moment.list.iter().map(|item| (**item).clone()).collect()))
    }
}

/// Everything that is kept.
#[derive(Default)]
pub struct Chronicle {
    /// Without the course of their values, which series hold.
    pub alerts: Timeline<Alert>,
    /// What stands round the alerts: rules, silences, the last evaluation.
    pub rules: Timeline<Alerts>,
    /// What was looked up for an alert, by its fingerprint.
    pub evidence: Timeline<(String, Evidence)>,
    pub checks: Timeline<CheckReport>,
    pub targets: Timeline<Target>,
    /// When each service was last heard.
    pub heard: Timeline<(String, Timestamp)>,
    pub status: Timeline<Status>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_moment_is_told_as_it_was_and_a_gap_is_a_gap() {
        let timeline = Timeline::default();
        timeline.keep(s(0), &["a", "b"]);
        timeline.keep(s(5), &["a", "b"]);
        timeline.keep(s(10), &["a", "c"]);
        assert_eq!(timeline.at(s(-1)), None);
        assert_eq!(timeline.at(s(7)), Some((s(0), vec!["a", "b"])));
        assert_eq!(timeline.at(s(10)), Some((s(10), vec!["a", "c"])));
        assert_eq!(timeline.at(s(25)), Some((s(10), vec!["a", "c"])));
        assert_eq!(timeline.at(s(26)), None, "nobody looked any more");
    }

    #[test]
    fn what_stays_the_same_is_held_once_wherever_others_come_and_go() {
        let timeline = Timeline::default();
        for (second, list) in [&["b", "c", "d"][..], &["a", "b", "c", "d"], &["c", "d"], &["c", "x", "d", "y"]].into_iter().enumerate() {
            timeline.keep(s(second as i64), list);
            assert_eq!(timeline.at(s(second as i64)), Some((s(second as i64), list.to_vec())));
        }
        assert_eq!(timeline.0.lock().records, 3 + 1 + 2);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let timeline = Timeline::default();
        for second in 0..MAX_RECORDS as i64 + 500 {
            timeline.keep(s(second), &[second]);
        }
        let entries = timeline.0.lock();
        assert_eq!((entries.records, entries.moments.len()), (MAX_RECORDS, MAX_RECORDS));
        assert_eq!(entries.moments.iter().map(|m| m.fresh).sum::<usize>(), entries.records);
    }
}
