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
pub struct HandClock(Arc<Mutex<ClockReading>>);

impl HandClock {
    pub fn at(wall: Timestamp) -> Self {
        let hour = Duration::from_secs(3600);
        HandClock(Arc::new(Mutex::new(ClockReading { wall, boot: hour, awake: hour })))
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
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Clock for HandClock {
    fn read(&self) -> ClockReading {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
