//! What no series holds, as it was: the words of alerts and checks, targets, when services were last heard, the figures of the header. Kept
//! each time it is shown and every few seconds besides, so that a moment in the past is shown with what was shown then.
//!
//! Bounded by bytes, all kinds together; what is older than that is answered from series alone.

use parking_lot::Mutex;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use watchfire_model::reading::{Alert, Alerts, Status, Target};
use watchfire_model::{CheckReport, Evidence, Timestamp};

/// A value that was not looked at again for longer than this is not believed to have lasted.
const LASTS: Duration = Duration::from_secs(15);
/// Lists keep their order: what stayed the same stands near the place reached in the list before. To search all of it for each of ten thousand alerts
/// whose values all moved would take seconds; what is missed is held twice.
const NEAR: usize = 128;
/// The part of the memory limit that everything together may take.
const PART: u64 = 16;
/// The part of that which each kind may have, however much the others need.
const SHARE: usize = 8;

/// What all kinds together may hold, and do hold, in bytes.
struct Room {
    limit: usize,
    held: AtomicUsize,
}

/// Lists over time; what stays the same from one to the next is held once.
pub struct Timeline<T> {
    entries: Mutex<Entries<T>>,
    room: Arc<Room>,
}

struct Entries<T> {
    moments: VecDeque<Moment<T>>,
    bytes: usize,
}

struct Moment<T> {
    from: Timestamp,
    /// When it was last found to be the same.
    seen: Timestamp,
    list: Vec<Arc<Record<T>>>,
}

struct Record<T> {
    value: T,
    /// Roughly.
    bytes: usize,
}

impl<T: Serialize> Record<T> {
    /// The text of a reading is about what it holds beside itself: names of fields stand for what texts and lists take besides.
    fn new(value: T) -> Self {
        let mut text = Length(0);
        // Plain data always has a text, and this writer takes any.
        let _ = serde_json::to_writer(&mut text, &value);
        let bytes = size_of::<Self>() + 2 * size_of::<usize>() + text.0;
        Record { value, bytes }
    }
}

/// Counts what is written to it.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<T> Moment<T> {
    /// Without the records.
    fn bytes(&self) -> usize {
        size_of::<Self>() + size_of::<Arc<Record<T>>>() * self.list.capacity()
    }
}

impl<T> Entries<T> {
    /// Lets the oldest moment go, and the records that no later one has; returns their bytes.
    fn forget_oldest(&mut self) -> Option<usize> {
        let gone = self.moments.pop_front()?;
        let records: usize = gone.list.iter().filter(|record| Arc::strong_count(record) == 1).map(|record| record.bytes).sum();
        let freed = gone.bytes() + records;
        self.bytes -= freed;
        Some(freed)
    }
}

impl<T: Clone + PartialEq + Serialize> Timeline<T> {
    fn new(room: &Arc<Room>) -> Self {
        Timeline { entries: Mutex::new(Entries { moments: VecDeque::new(), bytes: 0 }), room: room.clone() }
    }

    /// Keeps what is known at `now`.
    pub fn keep(&self, now: Timestamp, list: &[T]) {
        let mut entries = self.entries.lock();
        let last = entries.moments.back_mut();
        if last.as_ref().is_some_and(|last| last.from > now) {
            return;
        }
        let (mut fresh, mut grown, mut place) = (false, 0, 0);
        let before = last.as_ref().map(|last| last.list.as_slice()).unwrap_or_default();
        let next: Vec<Arc<Record<T>>> = list
            .iter()
            .map(|item| match before.iter().skip(place).take(NEAR).position(|known| known.value == *item) {
                Some(further) => {
                    place += further + 1;
                    before[place - 1].clone()
                }
                None => {
                    let record = Record::new(item.clone());
                    (fresh, grown) = (true, grown + record.bytes);
                    Arc::new(record)
                }
            })
            .collect();
        if let Some(last) = last
            && !fresh
            && last.list.len() == next.len()
            && last.list.iter().zip(&next).all(|(a, b)| Arc::ptr_eq(a, b))
        {
            last.seen = now;
            return;
        }
        let moment = Moment { from: now, seen: now, list: next };
        grown += moment.bytes();
        entries.moments.push_back(moment);
        entries.bytes += grown;
        let mut held = self.room.held.fetch_add(grown, Ordering::Relaxed) + grown;
        while held > self.room.limit && entries.bytes > self.room.limit / SHARE {
            let Some(freed) = entries.forget_oldest() else { break };
            held = self.room.held.fetch_sub(freed, Ordering::Relaxed) - freed;
        }
    }

    /// What was known at `at`, and since when; `None` where nobody looked.
    pub fn at(&self, at: Timestamp) -> Option<(Timestamp, Vec<T>)> {
        let entries = self.entries.lock();
        let index = entries.moments.partition_point(|m| m.from <= at).checked_sub(1)?;
        let moment = &entries.moments[index];
        let lasts = moment.seen.saturating_add(LASTS);
        (at <= lasts).then(|| (moment.from, moment.list.iter().map(|record| record.value.clone()).collect()))
    }
}

/// Everything that is kept.
pub struct Chronicle {
    room: Arc<Room>,
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

impl Chronicle {
    /// For a process that may hold so many bytes of telemetry.
    pub fn new(memory_limit: u64) -> Self {
        let limit = usize::try_from(memory_limit / PART).unwrap_or(usize::MAX);
        let room = Arc::new(Room { limit, held: AtomicUsize::new(0) });
        Chronicle {
            alerts: Timeline::new(&room),
            rules: Timeline::new(&room),
            evidence: Timeline::new(&room),
            checks: Timeline::new(&room),
            targets: Timeline::new(&room),
            heard: Timeline::new(&room),
            status: Timeline::new(&room),
            room,
        }
    }

    pub fn bytes(&self) -> usize {
        self.room.held.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn room(limit: usize) -> Arc<Room> {
        Arc::new(Room { limit, held: AtomicUsize::new(0) })
    }

    #[test]
    fn a_moment_is_told_as_it_was_and_a_gap_is_a_gap() {
        let timeline = Timeline::new(&room(1 << 20));
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
        let timeline = Timeline::new(&room(1 << 20));
        for (second, list) in [&["b", "c", "d"][..], &["a", "b", "c", "d"], &["c", "d"], &["c", "x", "d", "y"]].into_iter().enumerate() {
            timeline.keep(s(second as i64), list);
            assert_eq!(timeline.at(s(second as i64)), Some((s(second as i64), list.to_vec())));
        }
        let entries = timeline.entries.lock();
        let records: std::collections::BTreeSet<_> = entries.moments.iter().flat_map(|m| &m.list).map(Arc::as_ptr).collect();
        assert_eq!(records.len(), 3 + 1 + 2);
    }

    #[test]
    fn what_is_held_is_bounded_by_bytes_and_what_is_still_needed_stays_counted() {
        let room = room(100_000);
        let (long, short) = (Timeline::new(&room), Timeline::new(&room));
        let lasting = "a description of five hundred letters".repeat(14);
        for second in 0..2000 {
            if second % 100 == 0 {
                short.keep(s(second), &[second]);
            }
            // What a short one adds goes when a long one adds something.
            long.keep(s(second), &[lasting.clone(), format!("{second}")]);
            assert!(room.held.load(Ordering::Relaxed) <= 100_000);
        }
        let entries = long.entries.lock();
        let records: std::collections::BTreeMap<_, _> =
            entries.moments.iter().flat_map(|m| &m.list).map(|record| (Arc::as_ptr(record), record.bytes)).collect();
        let moments: usize = entries.moments.iter().map(Moment::bytes).sum();
        assert_eq!(entries.bytes, moments + records.values().sum::<usize>());
        assert!(entries.moments.len() > 300 && entries.bytes > 90_000, "{} moments, {} bytes", entries.moments.len(), entries.bytes);
        // Who needs little keeps all of it.
        assert_eq!(short.entries.lock().moments.len(), 20);
        assert_eq!(room.held.load(Ordering::Relaxed), entries.bytes + short.entries.lock().bytes);
    }
}
