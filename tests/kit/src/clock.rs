//! A clock that runs, and can be said to have slept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use watchfire_model::{Clock, ClockReading, Timestamp};

/// The time of this machine; clones share their sleep.
#[derive(Clone, Debug)]
pub struct SleepyClock {
    started: Instant,
    slept: Arc<AtomicU64>,
}

impl SleepyClock {
    /// It was asleep for so long, as far as anybody can tell.
    pub fn suspend(&self, d: Duration) {
        self.slept.fetch_add(d.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Default for SleepyClock {
    fn default() -> Self {
        SleepyClock { started: Instant::now(), slept: Arc::default() }
    }
}

impl Clock for SleepyClock {
    fn read(&self) -> ClockReading {
        let slept = Duration::from_millis(self.slept.load(Ordering::SeqCst));
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + slept;
        let awake = self.started.elapsed();
        ClockReading { wall: Timestamp::from_millis(wall.as_millis() as i64), boot: awake + slept, awake, carried: Duration::ZERO }
    }
}
