//! Time that moves only when told to.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{Clock, ClockReading, Timestamp};

/// A clock moved by hand; clones share the hands.
#[derive(Clone, Debug)]
pub struct SimClock(Arc<Mutex<ClockReading>>);

impl SimClock {
    pub fn at(wall: Timestamp) -> Self {
        let hour = Duration::from_secs(3600);
        SimClock(Arc::new(Mutex::new(ClockReading { wall, boot: hour, awake: hour })))
    }

    /// Ordinary passing of time.
    pub fn advance(&self, d: Duration) {
        let mut reading = self.0.lock();
        reading.wall = reading.wall.saturating_add(d);
        reading.boot += d;
        reading.awake += d;
    }

    /// The machine slept: wall and boot time moved, awake time did not.
    pub fn suspend(&self, d: Duration) {
        let mut reading = self.0.lock();
        reading.wall = reading.wall.saturating_add(d);
        reading.boot += d;
    }

    /// Somebody set the wall clock.
    pub fn step_wall(&self, to: Timestamp) {
        self.0.lock().wall = to;
    }
}

impl Clock for SimClock {
    fn read(&self) -> ClockReading {
        *self.0.lock()
    }
}
