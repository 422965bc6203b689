//! The real clocks of the machine.

use parking_lot::Mutex;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use watchfire_model::{Clock, ClockReading, SteadyWall, Timestamp};

/// One time line for the whole process: two of them would disagree about what came first.
static WALL: LazyLock<Mutex<SteadyWall>> = LazyLock::new(Mutex::default);

/// Wall clock, boot time and awake time of this machine; the wall clock never goes backwards.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn read(&self) -> ClockReading {
        // Locked before looking, so that looks are taken in the order in which they are counted.
        let mut steady = WALL.lock();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX));
        steady.steady(ClockReading { wall, boot: boot_time(), awake: awake_time(), carried: Duration::ZERO })
    }
}

#[cfg(target_os = "linux")]
fn boot_time() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}

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
