//! Time as an input. Nothing below `src/` asks the operating system what time it is; it asks a [`Clock`].

use crate::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One look at the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// Wall clock, for humans and for samples.
    pub wall: Timestamp,
    /// Time since boot, suspend included; schedules and `for` are measured on it.
    pub boot: Duration,
    /// Time since boot without suspend; `boot - awake` growing is a suspend.
    pub awake: Duration,
    /// How far the wall clock of the machine is behind `wall`, because somebody set it back while this process ran: samples, alerts and
    /// schedules never go back in time.
    pub carried: Duration,
}

/// `boot - awake` growing by more is a suspend.
const SUSPEND: Duration = Duration::from_secs(2);
/// A time-out that comes later than this was not noticed in time.
const LATE: Duration = Duration::from_secs(1);

impl ClockReading {
    /// Whether what was begun at `before` and given `limit` was interrupted: the machine slept, this process did not get to run, or what timers
    /// count with jumped (by them it took `took`). A failure then says nothing of the other side.
    pub fn interrupted_since(&self, before: &ClockReading, took: Duration, limit: Duration) -> bool {
        let passed = self.boot.saturating_sub(before.boot);
        passed.saturating_sub(self.awake.saturating_sub(before.awake)) > SUSPEND || passed.max(took) > limit.saturating_add(LATE)
    }
}

/// What is set by less is an adjustment, and waited for.
const STEP: i64 = 5_000;

/// Makes of what the machine says a wall clock that never goes backwards. It stands still for a small adjustment; set back by more, it goes on
/// from where it was, and a clock that is set forward later gives back first what was carried.
#[derive(Clone, Copy, Debug, Default)]
pub struct SteadyWall {
    last: Option<(Timestamp, Duration)>,
    carried: i64,
}

impl SteadyWall {
    /// The reading that follows those before it; `raw` is what the machine says.
    pub fn steady(&mut self, raw: ClockReading) -> ClockReading {
        let Some((last, boot)) = self.last else {
            self.last = Some((raw.wall, raw.boot));
            return raw;
        };
        let expected = last.saturating_add(raw.boot.saturating_sub(boot));
        let step = raw.wall.millis().saturating_add(self.carried).saturating_sub(expected.millis());
        if step < -STEP {
            self.carried = self.carried.saturating_sub(step);
        } else if step > STEP {
            self.carried -= step.min(self.carried);
        }
        let wall = Timestamp(raw.wall.millis().saturating_add(self.carried)).max(last);
        self.last = Some((wall, raw.boot));
        ClockReading { wall, carried: Duration::from_millis(self.carried.unsigned_abs()), ..raw }
    }
}

/// Where time comes from: the machine in production, a hand-moved value in tests.
pub trait Clock: Send + Sync {
    fn read(&self) -> ClockReading;

    fn now(&self) -> Timestamp {
        self.read().wall
    }
}

/// A clock moved by hand, for simulated time; clones share the hands.
#[derive(Clone, Debug)]
pub struct HandClock(Arc<Mutex<Hands>>);

#[derive(Debug)]
struct Hands {
    raw: ClockReading,
    steady: SteadyWall,
    shown: ClockReading,
}

impl HandClock {
    pub fn at(wall: Timestamp) -> Self {
        let hour = Duration::from_secs(3600);
        let raw = ClockReading { wall, boot: hour, awake: hour, carried: Duration::ZERO };
        let mut steady = SteadyWall::default();
        let shown = steady.steady(raw);
        HandClock(Arc::new(Mutex::new(Hands { raw, steady, shown })))
    }

    /// Ordinary passing of time.
    pub fn advance(&self, d: Duration) {
        self.change(|reading| {
            reading.wall = reading.wall.saturating_add(d);
            reading.boot += d;
            reading.awake += d;
        });
    }

    /// The machine slept: wall and boot time moved, awake time did not.
    pub fn suspend(&self, d: Duration) {
        self.change(|reading| {
            reading.wall = reading.wall.saturating_add(d);
            reading.boot += d;
        });
    }

    /// Somebody set the wall clock.
    pub fn step_wall(&self, to: Timestamp) {
        self.change(|reading| reading.wall = to);
    }

    fn change(&self, change: impl FnOnce(&mut ClockReading)) {
        let hands = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut hands.raw);
        hands.shown = hands.steady.steady(hands.raw);
    }
}

impl Clock for HandClock {
    fn read(&self) -> ClockReading {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_700_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn second(clock: &HandClock) -> i64 {
        clock.now().since(START).as_secs() as i64
    }

    #[test]
    fn a_clock_that_is_set_back_goes_on_and_gives_back_when_it_is_set_right() {
        let clock = HandClock::at(START);
        clock.advance(Duration::from_secs(10));
        clock.step_wall(START.saturating_sub(HOUR));
        assert_eq!((second(&clock), clock.read().carried), (10, HOUR + Duration::from_secs(10)));
        clock.advance(Duration::from_secs(5));
        assert_eq!(second(&clock), 15);
        clock.step_wall(START.saturating_add(Duration::from_secs(15)));
        assert_eq!((second(&clock), clock.read().carried), (15, Duration::ZERO));
        clock.step_wall(START.saturating_add(HOUR * 10));
        assert_eq!((second(&clock), clock.read().carried), (36_000, Duration::ZERO), "what is set forward is believed");
    }

    #[test]
    fn what_took_longer_than_it_was_given_or_was_slept_through_was_interrupted() {
        let limit = Duration::from_secs(10);
        for (passed, slept, took, interrupted) in [
            (10, 0, 10, false),
            (11, 0, 11, false),
            (12, 0, 12, true),
            (1, 2, 1, false),
            (1, 3, 1, true),
            (0, 3600, 0, true),
            (1, 0, 3600, true),
        ] {
            let clock = HandClock::at(START);
            let before = clock.read();
            clock.advance(Duration::from_secs(passed));
            clock.suspend(Duration::from_secs(slept));
            let found = clock.read().interrupted_since(&before, Duration::from_secs(took), limit);
            assert_eq!(found, interrupted, "{passed} s awake, {slept} s asleep, {took} s by the timers");
        }
    }

    #[test]
    fn a_small_adjustment_is_waited_for() {
        let clock = HandClock::at(START);
        clock.advance(Duration::from_secs(10));
        clock.step_wall(START.saturating_add(Duration::from_secs(8)));
        assert_eq!((second(&clock), clock.read().carried), (10, Duration::ZERO));
        clock.advance(Duration::from_secs(1));
        assert_eq!(second(&clock), 10);
        clock.advance(Duration::from_secs(2));
        assert_eq!(second(&clock), 11);
    }
}
