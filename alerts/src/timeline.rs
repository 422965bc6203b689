//! From three clocks to one time line on which nothing fires because a machine slept or somebody set its clock.
//!
//! Evaluation time follows the wall clock, which never goes back. Time that was not watched (suspend, a stalled process, a wall clock set
//! forward) is subtracted from `for`, and for an hour after it samples from before are read as if they had been taken that much later,
//! so staleness counts from the resume.

use crate::state::Moment;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{
    ClockReading, Exemplar, Labels, Metadata, Selector, SeriesSource, SeriesView, SourceError, TimeRange, Timestamp, format_duration,
};

/// `boot - awake` growing by more is a suspend.
const SUSPEND: Duration = Duration::from_secs(2);
/// `wall - boot` changing by more is a set clock.
const WALL_STEP: i64 = 5_000;
/// A tick later than this many intervals is a stall.
const LATE_INTERVALS: u32 = 3;
/// How long after a gap samples from before it are moved.
const SHIFT_KEPT: Duration = Duration::from_secs(3600);
const MAX_GAPS: usize = 16;

/// Something that happened to the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockEvent {
    Suspended(Duration),
    /// The process did not get to run.
    Stalled(Duration),
    /// The wall clock was set, by so many milliseconds.
    WallSet(i64),
}

/// As a line for people.
impl std::fmt::Display for ClockEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = |d: Duration| format_duration(Duration::from_secs(d.as_secs()));
        match self {
            ClockEvent::Suspended(slept) => write!(f, "was asleep {}: alerts go on where they stood", whole(*slept)),
            ClockEvent::Stalled(late) => write!(f, "did not run for {}: alerts go on where they stood", whole(*late)),
            ClockEvent::WallSet(by) => {
                let way = if *by < 0 { "back" } else { "forward" };
                write!(f, "the clock of this machine was set {way} by {}", whole(Duration::from_millis(by.unsigned_abs())))?;
                f.write_str(if *by < 0 { "; times here go on as before" } else { "" })
            }
        }
    }
}

impl ClockEvent {
    pub fn kind(self) -> &'static str {
        match self {
            ClockEvent::Suspended(_) => "suspend",
            ClockEvent::Stalled(_) => "stall",
            ClockEvent::WallSet(_) => "wall_step",
        }
    }
}

/// A span of evaluation time in which nothing was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// Samples up to here are from before it.
    from: Timestamp,
    /// Samples from here on are from after it; what lies between was taken within.
    until: Timestamp,
    millis: i64,
}

impl Gap {
    /// Of so many milliseconds, between two looks at the clocks. When it began is not known, only that the rest of the time was spent before it and
    /// after it: what was scraped in that rest proves nothing.
    fn between(before: Timestamp, now: Timestamp, millis: i64) -> Gap {
        let rest = now.millis().saturating_sub(before.millis()).saturating_sub(millis).max(0);
        let rest = if rest < millis { rest } else { 0 };
        let from = Timestamp(before.millis().saturating_add(rest));
        Gap { from, until: Timestamp(before.millis().saturating_add(millis)), millis }
    }
}

#[derive(Debug)]
pub(crate) struct Timeline {
    last: Option<ClockReading>,
    now: Timestamp,
    shift: i64,
    /// How far the last look found the wall clock set forward.
    jumped: i64,
    gaps: Vec<Gap>,
}

impl Timeline {
    pub fn new() -> Self {
        Timeline { last: None, now: Timestamp(0), shift: 0, jumped: 0, gaps: Vec::new() }
    }

    /// Takes a look at the clocks. `due` is the boot time at which this look was wanted, with the shortest interval of what is scheduled.
    pub fn observe(&mut self, reading: ClockReading, due: Option<(Duration, Duration)>) -> Vec<ClockEvent> {
        let mut events = Vec::new();
        let Some(last) = self.last.replace(reading) else {
            self.now = reading.wall;
            return events;
        };
        let slept = (reading.boot.saturating_sub(reading.awake)).saturating_sub(last.boot.saturating_sub(last.awake));
        let passed = reading.boot.saturating_sub(last.boot);
        let before = self.now;
        let mut gap = Duration::ZERO;
        if slept > SUSPEND {
            gap = slept.min(passed);
            events.push(ClockEvent::Suspended(slept));
        } else if let Some((due, interval)) = due {
            let late = reading.boot.saturating_sub(due);
            if late > interval * LATE_INTERVALS {
                gap = late.min(passed);
                events.push(ClockEvent::Stalled(late));
            }
        }
        // What the clock of the machine did, and what of it is seen in the time line.
        let moved = reading.wall.millis().saturating_sub(last.wall.millis()).saturating_sub(millis(passed));
        let step = moved.saturating_sub(millis(reading.carried)).saturating_add(millis(last.carried));
        if step.abs() > WALL_STEP {
            events.push(ClockEvent::WallSet(step));
        }
        self.jumped = if moved > WALL_STEP { moved } else { 0 };
        let unwatched = millis(gap).saturating_add(self.jumped);
        self.now = reading.wall.max(before);
        if unwatched > 0 {
            self.shift = self.shift.saturating_add(unwatched);
            self.gaps.push(Gap::between(before, self.now, unwatched));
        }
        let now = self.now;
        self.gaps.retain(|g| now.since(g.until) <= SHIFT_KEPT);
        if self.gaps.len() > MAX_GAPS {
            self.gaps.remove(0);
        }
        events
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How far the last look found the wall clock set forward: time that did not pass, so nothing was missed in it.
    pub fn jumped(&self) -> Duration {
        Duration::from_millis(self.jumped.unsigned_abs())
    }

    /// The moment of an evaluation at `at`.
    pub fn moment(&self, at: Timestamp) -> Moment {
        Moment { at, watched: at.millis() - self.shift }
    }

    /// The source as rules read it: itself, unless there was a gap within the last hour.
    pub fn view(&self, source: &Arc<dyn SeriesSource>) -> Arc<dyn SeriesSource> {
        if self.gaps.is_empty() { source.clone() } else { Arc::new(AcrossGaps { inner: source.clone(), gaps: self.gaps.clone() }) }
    }
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

/// Reads samples from before a gap as if the gap had not been. A series that has samples inside the gap was watched all along and is left alone.
struct AcrossGaps {
    inner: Arc<dyn SeriesSource>,
    gaps: Vec<Gap>,
}

impl AcrossGaps {
    fn total(&self) -> i64 {
        self.gaps.iter().map(|g| g.millis).sum()
    }

    fn widened(&self, range: TimeRange) -> TimeRange {
        TimeRange { start: Timestamp(range.start.millis().saturating_sub(self.total())), end: range.end }
    }
}

impl SeriesSource for AcrossGaps {
    fn select(&self, selector: &Selector, range: TimeRange, visit: &mut dyn FnMut(SeriesView<'_>)) -> Result<(), SourceError> {
        self.inner.select(selector, self.widened(range), &mut |view| {
            let mut times: Vec<i64> = view.times.iter().map(|t| t.millis()).collect();
            for gap in &self.gaps {
                // Earlier gaps have moved earlier samples already, to just before this one.
                let before = view.times.partition_point(|t| *t <= gap.from);
                let inside = view.times[before..].first().is_some_and(|t| *t < gap.until);
                if !inside {
                    times[..before].iter_mut().for_each(|t| *t += gap.millis);
                }
            }
            let times: Vec<Timestamp> = times.into_iter().map(Timestamp).collect();
            let from = times.partition_point(|t| *t <= range.start);
            let to = times.partition_point(|t| *t <= range.end);
            if from < to {
                let histograms = if view.histograms.is_empty() { view.histograms } else { &view.histograms[from..to] };
                visit(SeriesView { times: &times[from..to], values: &view.values[from..to], histograms, ..view });
            }
        })
    }

    fn metadata(&self) -> Vec<(String, Metadata)> {
        self.inner.metadata()
    }

    fn exemplars(&self, selector: &Selector, range: TimeRange) -> Vec<(Labels, Vec<Exemplar>)> {
        self.inner.exemplars(selector, range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::{Clock, HandClock, Value};
    use watchfire_testkit::MemorySource;

    const START: Timestamp = Timestamp(1_700_000_000_000);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn ordinary_time_has_no_events() {
        let clock = HandClock::at(START);
        let mut line = Timeline::new();
        for _ in 0..100 {
            let due = clock.read().boot;
            assert_eq!(line.observe(clock.read(), Some((due, seconds(15)))), []);
            assert_eq!(line.moment(line.now()).watched, line.now().millis());
            clock.advance(seconds(15));
        }
    }

    #[test]
    fn sleep_is_not_watched_and_samples_before_it_stay_fresh() {
        let clock = HandClock::at(START);
        let mut line = Timeline::new();
        line.observe(clock.read(), None);
        let mut source = MemorySource::new();
        let up = Labels::from_pairs([("__name__", "up")]);
        source.push(&up, START, Value::Float(1.0));
        clock.advance(seconds(10));
        line.observe(clock.read(), None);
        let watched = line.moment(line.now()).watched;
        clock.suspend(seconds(3600));
        assert_eq!(line.observe(clock.read(), None), [ClockEvent::Suspended(seconds(3600))]);
        assert_eq!(line.moment(line.now()).watched, watched, "no watched time has passed");

        let source: Arc<dyn SeriesSource> = Arc::new(source);
        let view = line.view(&source);
        let now = line.now();
        let mut seen = Vec::new();
        let lookback = TimeRange { start: now.saturating_sub(seconds(300)), end: now };
        view.select(&Selector::metric("up"), lookback, &mut |s| seen.extend_from_slice(s.times)).expect("selects");
        assert_eq!(seen, [now.saturating_sub(seconds(10))], "as old as when the machine fell asleep");

        clock.advance(seconds(3700));
        line.observe(clock.read(), None);
        let mut still = 0;
        let now = line.now();
        line.view(&source)
            .select(&Selector::metric("up"), TimeRange { start: now.saturating_sub(seconds(300)), end: now }, &mut |_| still += 1)
            .expect("selects");
        assert_eq!(still, 0);
    }

    #[test]
    fn a_series_with_samples_inside_the_gap_is_left_alone() {
        let mut source = MemorySource::new();
        let labels = Labels::from_pairs([("__name__", "pushed")]);
        for second in [0, 30, 60] {
            source.push(&labels, START.saturating_add(seconds(second)), Value::Float(1.0));
        }
        let gap = Gap::between(START.saturating_add(seconds(5)), START.saturating_add(seconds(55)), 50_000);
        let view = AcrossGaps { inner: Arc::new(source), gaps: vec![gap] };
        let mut seen = Vec::new();
        let all = TimeRange { start: Timestamp(0), end: START.saturating_add(seconds(60)) };
        view.select(&Selector::metric("pushed"), all, &mut |s| seen.extend_from_slice(s.times)).expect("selects");
        assert_eq!(seen, [0, 30, 60].map(|s| START.saturating_add(seconds(s))));
    }

    #[test]
    fn samples_between_the_last_look_and_the_gap_are_from_before_it() {
        let up = Labels::from_pairs([("__name__", "up")]);
        for asleep in [true, false] {
            let (clock, mut line, mut source) = (HandClock::at(START), Timeline::new(), MemorySource::new());
            line.observe(clock.read(), None);
            source.push(&up, clock.now(), Value::Float(1.0));
            // Ten seconds of the fifteen between two looks are over when it begins, and two are when the next scrape comes.
            clock.advance(seconds(10));
            source.push(&up, clock.now(), Value::Float(2.0));
            match asleep {
                true => clock.suspend(seconds(3600)),
                false => clock.step_wall(clock.now().saturating_add(seconds(3600))),
            }
            clock.advance(seconds(2));
            source.push(&up, clock.now(), Value::Float(3.0));
            clock.advance(seconds(3));
            line.observe(clock.read(), None);
            let (source, now): (Arc<dyn SeriesSource>, _) = (Arc::new(source), line.now());
            let mut seen = Vec::new();
            let minute = TimeRange { start: now.saturating_sub(seconds(60)), end: now };
            let view = line.view(&source);
            view.select(&Selector::metric("up"), minute, &mut |s| seen.extend_from_slice(s.times)).expect("selects");
            assert_eq!(seen, [15, 5, 3].map(|ago| now.saturating_sub(seconds(ago))), "asleep: {asleep}");
        }
    }

    #[test]
    fn a_set_clock_moves_neither_for_nor_time_backwards() {
        let clock = HandClock::at(START);
        let mut line = Timeline::new();
        line.observe(clock.read(), None);
        clock.step_wall(START.saturating_sub(seconds(3600)));
        clock.advance(seconds(15));
        assert_eq!(line.observe(clock.read(), None), [ClockEvent::WallSet(-3_600_000)]);
        assert_eq!(line.now(), START.saturating_add(seconds(15)));
        assert_eq!(line.moment(line.now()).watched, START.millis() + 15_000);
        // Set right again: what was carried is given back, not skipped.
        clock.step_wall(START.saturating_add(seconds(15)));
        clock.advance(seconds(15));
        line.observe(clock.read(), None);
        assert_eq!(line.now(), START.saturating_add(seconds(30)));
        assert_eq!(line.moment(line.now()).watched, START.millis() + 30_000);
        // Forward: seen at once, not counted as watched.
        clock.step_wall(START.saturating_add(seconds(36_000)));
        clock.advance(seconds(15));
        line.observe(clock.read(), None);
        assert_eq!(line.now(), START.saturating_add(seconds(36_015)));
        assert_eq!(line.moment(line.now()).watched, START.millis() + 45_000);
    }

    #[test]
    fn events_are_told_in_whole_seconds() {
        for (event, line) in [
            (ClockEvent::Suspended(Duration::from_millis(28_800_412)), "was asleep 8h: alerts go on where they stood"),
            (ClockEvent::Stalled(seconds(90)), "did not run for 1m30s: alerts go on where they stood"),
            (ClockEvent::WallSet(3_600_000), "the clock of this machine was set forward by 1h"),
            (ClockEvent::WallSet(-3_600_000), "the clock of this machine was set back by 1h; times here go on as before"),
        ] {
            assert_eq!(event.to_string(), line);
        }
    }

    #[test]
    fn a_late_look_is_a_stall() {
        let clock = HandClock::at(START);
        let mut line = Timeline::new();
        line.observe(clock.read(), None);
        let due = clock.read().boot + seconds(15);
        clock.advance(seconds(45));
        assert_eq!(line.observe(clock.read(), Some((due, seconds(15)))), []);
        let due = clock.read().boot + seconds(15);
        clock.advance(seconds(120));
        assert_eq!(line.observe(clock.read(), Some((due, seconds(15)))), [ClockEvent::Stalled(seconds(105))]);
        assert_eq!(line.moment(line.now()).watched, START.millis() + 60_000);
    }
}
