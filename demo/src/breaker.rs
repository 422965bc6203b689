//! A circuit breaker that really counts. Pure: time comes in, decisions and transitions go out.

use std::collections::VecDeque;
use std::time::Duration;
use watchfire_config::platform::Breaker as Parameters;

/// What the caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    HalfOpen,
    Open,
}

impl BreakerState {
    /// Value of `circuit_breaker_state`.
    pub fn number(self) -> f64 {
        match self {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::HalfOpen => "half-open",
            BreakerState::Open => "open",
        }
    }
}

/// One breaker at work. A number of failures in a row opens it, or a share of failures over a window, whichever its parameters name; after the
/// reset time it lets one call through on trial, whose outcome closes or opens it again.
#[derive(Clone, Debug)]
pub struct CircuitBreaker {
    parameters: Parameters,
    state: BreakerState,
    since: Duration,
    in_a_row: u32,
    /// (time, failed) of the window.
    outcomes: VecDeque<(Duration, bool)>,
    trial: bool,
    /// (time, state entered), oldest first.
    transitions: Vec<(Duration, BreakerState)>,
}

impl CircuitBreaker {
    pub fn new(parameters: Parameters) -> Self {
        CircuitBreaker {
            parameters,
            state: BreakerState::Closed,
            since: Duration::ZERO,
            in_a_row: 0,
            outcomes: VecDeque::new(),
            trial: false,
            transitions: Vec::new(),
        }
    }

    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    pub fn state(&self) -> BreakerState {
        self.state
    }

    pub fn transitions(&self) -> &[(Duration, BreakerState)] {
        &self.transitions
    }

    /// Whether a call may go out now. Granting one in half-open makes it the trial.
    pub fn allow(&mut self, now: Duration) -> bool {
        match self.state {
            BreakerState::Closed => true,
            BreakerState::Open if now.saturating_sub(self.since) >= self.parameters.reset => {
                self.enter(BreakerState::HalfOpen, now);
                self.trial = true;
                true
            }
            BreakerState::Open => false,
            BreakerState::HalfOpen => !std::mem::replace(&mut self.trial, true),
        }
    }

    /// The outcome of a call that was allowed.
    pub fn record(&mut self, now: Duration, failed: bool) {
        match self.state {
            // Calls that were under way when it opened change nothing.
            BreakerState::Open => {}
            BreakerState::HalfOpen => self.enter(if failed { BreakerState::Open } else { BreakerState::Closed }, now),
            BreakerState::Closed => {
                self.in_a_row = if failed { self.in_a_row + 1 } else { 0 };
                self.outcomes.push_back((now, failed));
                while self.outcomes.front().is_some_and(|(at, _)| now.saturating_sub(*at) > self.parameters.window) {
                    self.outcomes.pop_front();
                }
                if self.should_open() {
                    self.enter(BreakerState::Open, now);
                }
            }
        }
    }

    fn should_open(&self) -> bool {
        let by_count = self.parameters.failures.is_some_and(|limit| self.in_a_row >= limit);
        let by_share = self.parameters.failure_share.is_some_and(|limit| {
            let failed = self.outcomes.iter().filter(|(_, failed)| *failed).count();
            self.outcomes.len() >= self.parameters.minimum as usize && failed as f64 / self.outcomes.len() as f64 >= limit
        });
        by_count || by_share
    }

    fn enter(&mut self, state: BreakerState, now: Duration) {
        self.state = state;
        self.since = now;
        self.in_a_row = 0;
        self.trial = false;
        self.outcomes.clear();
        self.transitions.push((now, state));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(failures: Option<u32>, failure_share: Option<f64>, reset: u64) -> Parameters {
        Parameters {
            service: "a".into(),
            name: "b".into(),
            protects: "b".into(),
            failures,
            failure_share,
            window: Duration::from_secs(10),
            minimum: 10,
            reset: Duration::from_secs(reset),
            timeout: None,
            fallback: String::new(),
            assumed: false,
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn five_failures_open_it_and_sixty_seconds_later_a_trial_decides() {
        let mut breaker = CircuitBreaker::new(parameters(Some(5), None, 60));
        for second in 1..=4 {
            breaker.record(at(second), true);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        breaker.record(at(5), true);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(!breaker.allow(at(64)));
        assert!(breaker.allow(at(65)), "the trial");
        assert!(!breaker.allow(at(65)), "only one trial at a time");
        breaker.record(at(66), true);
        assert!(!breaker.allow(at(100)));
        assert!(breaker.allow(at(126)));
        breaker.record(at(127), false);
        assert!(breaker.allow(at(127)));
        let states: Vec<_> = breaker.transitions().iter().map(|(at, state)| (at.as_secs(), state.word())).collect();
        assert_eq!(states, [(5, "open"), (65, "half-open"), (66, "open"), (126, "half-open"), (127, "closed")]);
    }

    #[test]
    fn a_success_between_failures_starts_the_count_again() {
        let mut breaker = CircuitBreaker::new(parameters(Some(5), None, 60));
        for second in 0..40 {
            breaker.record(at(second), second % 5 != 0);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn half_of_the_calls_failing_opens_it_once_there_are_enough_of_them() {
        let mut breaker = CircuitBreaker::new(parameters(None, Some(0.5), 30));
        for n in 0..9 {
            breaker.record(Duration::from_millis(n * 100), n % 2 == 0);
        }
        assert_eq!(breaker.state(), BreakerState::Closed, "nine calls are too few");
        breaker.record(Duration::from_secs(1), true);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(!breaker.allow(at(30)) && breaker.allow(at(31)));
    }
}
