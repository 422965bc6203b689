//! Time as an input. Nothing below `src/` asks the operating system what time it is; it asks a [`Clock`].

use crate::Timestamp;
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
