//! The real clocks of the machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use watchfire_model::{Clock, ClockReading, Timestamp};

/// Wall clock, boot time and awake time of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn read(&self) -> ClockReading {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        ClockReading { wall: Timestamp(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)), boot: boot_time(), awake: awake_time() }
    }
}

#[cfg(target_os = "linux")]
fn boot_time() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}

#[cfg(unix)]
fn awake_time() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}

/// Elsewhere the monotonic clock has to serve for both, and suspends go unseen.
#[cfg(not(target_os = "linux"))]
fn boot_time() -> Duration {
    awake_time()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_includes_awake_time() {
        let reading = SystemClock.read();
        assert!(reading.boot + Duration::from_millis(50) >= reading.awake);
        assert!(reading.wall.millis() > 1_700_000_000_000);
    }
}
