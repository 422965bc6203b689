//! From attempts to a state: failures are counted before they are believed, and restarts and flapping are noticed.

use crate::judgement::Outcome;
use std::collections::VecDeque;
use std::time::Duration;
use watchfire_model::{HealthState, Timestamp, format_duration};

/// Changes and restarts are counted over this time.
const WINDOW: Duration = Duration::from_secs(600);
/// So many changes of state within the window are flapping.
const FLAPPING: usize = 4;
/// So many restarts within the window are a restart loop.
const RESTART_LOOP: usize = 3;
/// Uptimes are rounded and answers take time: an earlier start than this after the last one is the same start.
const START_TOLERANCE: i64 = 5000;

/// The memory of one check.
#[derive(Debug)]
pub(crate) struct Tracker {
    state: HealthState,
    since: Timestamp,
    failures: u32,
    changes: VecDeque<Timestamp>,
    told: Option<Told>,
    restarts: VecDeque<Timestamp>,
}

/// What the last answer that told an uptime said.
#[derive(Clone, Copy, Debug)]
struct Told {
    at: Timestamp,
    uptime_seconds: f64,
    /// The latest start that an answer told of.
    started: Timestamp,
}

/// The state after an attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    pub(crate) state: HealthState,
    pub(crate) since: Timestamp,
    pub(crate) detail: String,
}

impl Tracker {
    pub(crate) fn new(at: Timestamp) -> Self {
        Tracker { state: HealthState::Unknown, since: at, failures: 0, changes: VecDeque::new(), told: None, restarts: VecDeque::new() }
    }

    /// Takes an attempt in. `threshold` failures in a row change the state; anything else changes it at once.
    pub(crate) fn observe(&mut self, outcome: &Outcome, uptime_seconds: Option<f64>, threshold: u32, at: Timestamp) -> Standing {
        let mut detail = outcome.detail.clone();
        let restarting = self.restarts(uptime_seconds, at);
        let mut state = outcome.state;
        if outcome.failed {
            self.failures = self.failures.saturating_add(1);
            if self.failures < threshold.max(1) {
                state = self.state;
                let noun = if self.failures == 1 { "failure" } else { "failures" };
                detail = format!("{} {noun}: {detail}", self.failures);
            }
        } else {
            self.failures = 0;
            if restarting >= RESTART_LOOP && state == HealthState::Healthy {
                state = HealthState::Degraded;
            }
        }
        if restarting >= RESTART_LOOP {
            detail = format!("{detail}; {restarting} restarts in {}", format_duration(WINDOW));
        } else if let Some(restart) = self.restarts.back().filter(|r| at.since(**r) < Duration::from_secs(60)) {
            detail = format!("{detail}; restarted {} s ago", at.since(*restart).as_secs());
        }
        if state != self.state {
            self.changes.push_back(at);
            (self.state, self.since) = (state, at);
        }
        forget_old(&mut self.changes, at);
        if self.changes.len() >= FLAPPING {
            detail = format!("{detail}; flapping: {} changes in {}", self.changes.len(), format_duration(WINDOW));
        }
        Standing { state: self.state, since: self.since, detail }
    }

    /// Restarts in the window, from the uptime the service tells. Who was up already when it was asked before has not restarted since: another instance
    /// answers, or the number stands still, as one that was written once or that counts something else.
    fn restarts(&mut self, uptime_seconds: Option<f64>, at: Timestamp) -> usize {
        if let Some(uptime) = uptime_seconds.filter(|u| u.is_finite() && *u >= 0.0) {
            let started = Timestamp::from_millis(at.millis().saturating_sub((uptime * 1000.0) as i64));
            let mut latest = started;
            if let Some(told) = self.told {
                let later = |than: Timestamp, tolerance: i64| started.millis() > than.millis().saturating_add(tolerance);
                if later(told.started, START_TOLERANCE) && later(told.at, -START_TOLERANCE) && uptime != told.uptime_seconds {
                    self.restarts.push_back(started);
                } else {
                    latest = told.started;
                }
            }
            self.told = Some(Told { at, uptime_seconds: uptime, started: latest });
        }
        forget_old(&mut self.restarts, at);
        self.restarts.len()
    }
}

fn forget_old(times: &mut VecDeque<Timestamp>, at: Timestamp) {
    while times.front().is_some_and(|t| at.since(*t) > WINDOW) || times.len() > 1000 {
        times.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HealthState::{Degraded, Healthy, Unhealthy, Unknown};

    struct Check(Tracker, i64);

    impl Check {
        fn new() -> Self {
            Check(Tracker::new(Timestamp(0)), 0)
        }

        fn sees(&mut self, outcome: &Outcome, uptime: Option<f64>) -> Standing {
            self.1 += 10_000;
            self.0.observe(outcome, uptime, 2, Timestamp(self.1))
        }
    }

    fn down() -> Outcome {
        Outcome::unhealthy("connect", "connection refused")
    }

    #[test]
    fn two_failures_are_down_and_one_success_is_up() {
        let mut check = Check::new();
        assert_eq!(check.sees(&Outcome::healthy("HTTP 200"), None).state, Healthy);
        let first = check.sees(&down(), None);
        assert_eq!((first.state, first.detail.as_str()), (Healthy, "1 failure: connection refused"));
        let second = check.sees(&down(), None);
        assert_eq!((second.state, second.since, second.detail.as_str()), (Unhealthy, Timestamp(30_000), "connection refused"));
        let third = check.sees(&down(), None);
        assert_eq!(third.since, Timestamp(30_000));
        assert_eq!(check.sees(&Outcome::healthy("HTTP 200"), None).state, Healthy);
    }

    #[test]
    fn a_first_failure_leaves_an_unknown_check_unknown() {
        let mut check = Check::new();
        assert_eq!(check.sees(&down(), None).state, Unknown);
        assert_eq!(check.sees(&down(), None).state, Unhealthy);
    }

    #[test]
    fn degraded_and_misconfigured_are_not_down() {
        let mut check = Check::new();
        assert_eq!(check.sees(&Outcome::degraded("slow"), None).state, Degraded);
        check.sees(&Outcome::misconfigured("HTTP 404"), None);
        assert_eq!(check.sees(&Outcome::misconfigured("HTTP 404"), None).state, Unknown);
    }

    #[test]
    fn flapping_is_said() {
        let mut check = Check::new();
        let mut last = check.sees(&Outcome::healthy(""), None);
        for _ in 0..3 {
            check.sees(&down(), None);
            check.sees(&down(), None);
            last = check.sees(&Outcome::healthy(""), None);
        }
        assert!(last.detail.contains("flapping"), "{}", last.detail);
    }

    #[test]
    fn a_service_that_restarts_again_and_again_is_degraded() {
        let mut check = Check::new();
        assert_eq!(check.sees(&Outcome::healthy("up"), Some(500.0)).state, Healthy);
        assert_eq!(check.sees(&Outcome::healthy("up"), Some(510.2)).detail, "up");
        assert!(check.sees(&Outcome::healthy("up"), Some(2.0)).detail.contains("restarted 2 s ago"));
        check.sees(&Outcome::healthy("up"), Some(1.0));
        let third = check.sees(&Outcome::healthy("up"), Some(1.5));
        assert_eq!(third.state, Degraded);
        assert!(third.detail.contains("3 restarts in 10m"), "{}", third.detail);
    }

    #[test]
    fn an_uptime_that_stands_still_or_is_that_of_another_instance_is_no_restart() {
        for uptimes in [[123.0; 6], [3.0; 6], [0.0; 6], [5000.0, 900.0, 5020.0, 920.0, 5040.0, 940.0]] {
            let mut check = Check::new();
            for uptime in uptimes {
                let seen = check.sees(&Outcome::healthy("up"), Some(uptime));
                assert_eq!((seen.state, seen.detail.as_str()), (Healthy, "up"), "{uptimes:?}");
            }
        }
    }
}
