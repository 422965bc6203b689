//! From a committed tick to messages that arrived: one task per delivery path, so nobody waits for anybody else.
//!
//! Invariants
//! - Nothing is sent before its record is on disk, unless the disk has failed, which is said aloud.
//! - A path has one message under way at a time; what it owes about an alert is always the newest transition.
//! - A message is journaled with its key before it is sent and until it is confirmed, so a repeat after a crash carries the same key.

mod handle;
mod path;
mod plan;
mod rehearsal;
mod shared;
mod summary;
mod survive;
mod trial;

pub use handle::{Dispatcher, DispatcherHandle, StartError, TickRecord};
pub use plan::{Due, Now, PathTraits, Plan, STORM_KEY, plan};
pub use rehearsal::{Rehearsal, Said};
pub use shared::Undecided;
pub use trial::{PathReport, check, probe_paths, test_paths};

use std::time::Duration;
use watchfire_model::{Clock, ClockReading, Timestamp};

/// Steady time: the wall clock at the start, carried on by time since boot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor(ClockReading);

impl Anchor {
    pub fn new(clock: &dyn Clock) -> Self {
        Anchor(clock.read())
    }

    pub fn now(&self, clock: &dyn Clock) -> Now {
        let reading = clock.read();
        let passed = reading.boot.saturating_sub(self.0.boot);
        Now { steady: self.0.wall.saturating_add(passed), wall: reading.wall, carried: reading.carried }
    }
}

/// How long until `at`, zero when it has passed.
pub(crate) fn until(at: Timestamp, now: Timestamp) -> Duration {
    at.since(now)
}
