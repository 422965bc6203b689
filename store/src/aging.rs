//! How long ago something was, in time that passed for this process.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::time::Duration;
use watchfire_model::Timestamp;

/// The clock is looked at at least every thirty seconds. Longer than this between two looks, nobody watched: the machine slept, the process stood
/// still, or the clock was set forward. Nothing arrived meanwhile, so nothing that is held is the older for it.
const LONGEST_LOOK: Duration = Duration::from_secs(120);
/// Gaps remembered; what is older than the oldest of them is only let go a little early.
const GAPS: usize = 64;

/// Ages things by what it sees of the wall clock.
#[derive(Debug, Default)]
pub(crate) struct Aging(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    last: Option<Timestamp>,
    /// From the last look before it to the first after it, oldest first.
    gaps: VecDeque<(Timestamp, Timestamp)>,
}

impl Aging {
    /// The wall time since when `age` has passed by `now`, gaps not counted. Each call is a look at the clock.
    pub fn ago(&self, now: Timestamp, age: Duration) -> Timestamp {
        let mut seen = self.0.lock();
        if let Some(last) = seen.last
            && now.since(last) > LONGEST_LOOK
        {
            seen.gaps.push_back((last, now));
            if seen.gaps.len() > GAPS {
                seen.gaps.pop_front();
            }
        }
        seen.last = seen.last.max(Some(now));
        let mut ago = now.saturating_sub(age);
        for (from, until) in seen.gaps.iter().rev() {
            if *until <= ago {
                break;
            }
            ago = ago.saturating_sub(until.since(*from));
        }
        ago
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_000_000;

    fn second(aging: &Aging, now: i64, age: u64) -> i64 {
        (aging.ago(Timestamp(START + now * 1000), Duration::from_secs(age)).millis() - START) / 1000
    }

    #[test]
    fn time_in_which_nobody_looked_makes_nothing_older() {
        let aging = Aging::default();
        for now in (0..=600).step_by(30) {
            assert_eq!(second(&aging, now, 300), now - 300);
        }
        let years = 315_360_000;
        // Ten years ahead: what was taken up to 300 s before is held still, and ages from there.
        assert_eq!(second(&aging, years + 600, 300), 300);
        assert_eq!(second(&aging, years + 630, 300), 330);
        assert_eq!(second(&aging, years + 660, 30), years + 630, "what came in since is as old as it seems");
        for now in (660..=900).step_by(30) {
            second(&aging, years + now, 0);
        }
        assert_eq!(second(&aging, years + 930, 300), years + 630);
        // A second gap, with the first still within what is asked for.
        assert_eq!(second(&aging, 2 * years + 930, 360), 570);
        assert_eq!(second(&aging, 2 * years + 930, 300), years + 630);
    }

    #[test]
    fn a_look_that_comes_late_from_another_thread_is_no_gap() {
        let aging = Aging::default();
        assert_eq!(second(&aging, 100, 60), 40);
        assert_eq!(second(&aging, 99, 60), 39);
        assert_eq!(second(&aging, 130, 60), 70);
    }
}
