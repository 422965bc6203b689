//! The life of an alert: pending, firing, resolved. Pure: results and time come in, transitions come out, and the live evaluator,
//! rule tests and backtests run this same code. The rules are those of Prometheus `rules/alerting.go`.

use crate::evaluator::Paging;
use crate::rule::Alerting;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use watchfire_model::reading::AlertState;
use watchfire_model::{Labels, Timestamp};

/// How long a resolved alert is remembered, so that receivers are told again.
pub const RESOLVED_RETENTION: Duration = Duration::from_secs(15 * 60);

/// A point in time as an evaluation sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The time people and samples see.
    pub at: Timestamp,
    /// Milliseconds of time that was watched: `at` without the gaps (suspend, stall, stepped clock). `for` is measured on it.
    pub watched: i64,
}

impl Moment {
    /// A moment on a time line without gaps.
    pub fn plain(at: Timestamp) -> Self {
        Moment { at, watched: at.millis() }
    }

    /// Watched time since `earlier`.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_millis(u64::try_from(self.watched.saturating_sub(earlier.watched)).unwrap_or(0))
    }
}

/// What an evaluation did to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// New, waiting for `for` to pass.
    Pending,
    Fired,
    Resolved,
    /// Was pending and its condition is gone; nobody hears of it.
    Dropped,
    /// Was firing, and a reload made `for` longer than it has been active: pending again.
    Lapsed,
}

/// Where an alert stands and since when.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Life {
    pub state: AlertState,
    pub active: Moment,
    pub fired: Option<Moment>,
    pub resolved: Option<Moment>,
    pub keep_firing_since: Option<Moment>,
}

impl Life {
    /// A new alert, pending from now on.
    pub fn begin(now: Moment) -> Self {
        Life { state: AlertState::Pending, active: now, fired: None, resolved: None, keep_firing_since: None }
    }

    /// The condition holds at `now`. A resolved alert has to [`begin`](Self::begin) again instead.
    pub fn present(&mut self, hold: Duration, now: Moment) -> Option<Change> {
        self.keep_firing_since = None;
        let due = now.since(self.active) >= hold;
        match self.state {
            AlertState::Pending if due => {
                self.state = AlertState::Firing;
                self.fired = Some(now);
                Some(Change::Fired)
            }
            AlertState::Firing if !due => {
                self.state = AlertState::Pending;
                self.fired = None;
                Some(Change::Lapsed)
            }
            _ => None,
        }
    }

    /// The condition does not hold at `now`. `recovered` is asked last, before a firing alert resolves.
    pub fn absent(&mut self, keep_firing_for: Duration, now: Moment, recovered: impl FnOnce() -> bool) -> Option<Change> {
        match self.state {
            AlertState::Pending => {
                self.state = AlertState::Resolved;
                Some(Change::Dropped)
            }
            AlertState::Firing => {
                if !keep_firing_for.is_zero() {
                    let since = *self.keep_firing_since.get_or_insert(now);
                    if now.since(since) < keep_firing_for {
                        return None;
                    }
                }
                if !recovered() {
                    return None;
                }
                self.state = AlertState::Resolved;
                self.resolved = Some(now);
                Some(Change::Resolved)
            }
            AlertState::Resolved => None,
        }
    }
}

/// One element of a rule's result, with the rule's labels and annotations applied.
#[derive(Clone, Debug)]
pub struct Instance {
    pub labels: Labels,
    pub annotations: Labels,
    pub value: f64,
}

/// One alert of one rule.
#[derive(Clone, Debug)]
pub struct ActiveAlert {
    pub labels: Labels,
    pub annotations: Labels,
    pub value: f64,
    pub life: Life,
    pub paging: Paging,
    /// When it was taken over from before a restart, until data confirm it.
    pub restored: Option<Moment>,
}

/// The alerts of one rule, by their labels: pending, firing, and resolved less than [`RESOLVED_RETENTION`] ago.
pub type RuleState = BTreeMap<Labels, ActiveAlert>;

/// A change of one alert, in label order.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    pub labels: Labels,
    pub change: Change,
}

/// Whether an alert whose condition no longer holds may leave its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// The condition is known not to hold.
    Known,
    /// There is no saying (the data are not back after a restart): the alert stays as it is.
    Unknown,
    /// It does not hold, and neither does the condition of recovery: a firing alert keeps firing.
    NotRecovered,
}

/// Why an evaluation changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    #[error("vector contains metrics with the same labelset after applying alert labels")]
    DuplicateLabels,
    /// All alerts of the rule are dropped.
    #[error("exceeded limit of {limit} with {alerts} alerts")]
    Limit { limit: usize, alerts: usize },
}

/// Carries a rule's alerts from one evaluation to the next. `absence` is asked about each active alert that has no result.
///
/// # Errors
/// Two results with the same labels leave the states as they were; too many alerts drop them all.
pub fn step(
    rule: &Alerting,
    limit: usize,
    state: &mut RuleState,
    results: Vec<Instance>,
    now: Moment,
    absence: &mut dyn FnMut(&ActiveAlert) -> Absence,
) -> Result<Vec<Transition>, StepError> {
    let mut incoming: BTreeMap<Labels, Instance> = BTreeMap::new();
    for instance in results {
        if incoming.insert(instance.labels.clone(), instance).is_some() {
            return Err(StepError::DuplicateLabels);
        }
    }
    let mut transitions = Vec::new();
    let mut active = 0;
    state.retain(|labels, alert| {
        let change = match incoming.remove(labels) {
            Some(instance) => {
                if alert.life.state == AlertState::Resolved {
                    alert.life = Life::begin(now);
                    transitions.push(Transition { labels: labels.clone(), change: Change::Pending });
                }
                alert.value = instance.value;
                alert.annotations = instance.annotations;
                alert.restored = None;
                alert.life.present(rule.hold, now)
            }
            None if alert.life.state == AlertState::Resolved => {
                return alert.life.resolved.is_some_and(|r| now.since(r) <= RESOLVED_RETENTION);
            }
            None => match absence(alert) {
                Absence::Unknown => None,
                verdict => alert.life.absent(rule.keep_firing_for, now, || verdict == Absence::Known),
            },
        };
        active += usize::from(alert.life.state != AlertState::Resolved);
        transitions.extend(change.map(|change| Transition { labels: labels.clone(), change }));
        change != Some(Change::Dropped)
    });
    for (labels, instance) in incoming {
        let mut life = Life::begin(now);
        transitions.push(Transition { labels: labels.clone(), change: Change::Pending });
        transitions.extend(life.present(rule.hold, now).map(|change| Transition { labels: labels.clone(), change }));
        active += 1;
        let Instance { labels: _, annotations, value } = instance;
        let alert = ActiveAlert { labels: labels.clone(), annotations, value, life, paging: Paging::default(), restored: None };
        state.insert(labels, alert);
    }
    if limit > 0 && active > limit {
        state.clear();
        return Err(StepError::Limit { limit, alerts: active });
    }
    Ok(transitions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("alertname", "A"), ("i", name)])
    }

    fn present(names: &[&str]) -> Vec<Instance> {
        names.iter().map(|n| Instance { labels: labels(n), annotations: Labels::empty(), value: 1.0 }).collect()
    }

    fn rule(hold: u64, keep: u64) -> Alerting {
        Alerting { hold: Duration::from_secs(hold), keep_firing_for: Duration::from_secs(keep), annotations: Vec::new() }
    }

    fn at(seconds: i64) -> Moment {
        Moment::plain(Timestamp(seconds * 1000))
    }

    /// Runs a script: P and - per evaluation (15 s apart), and gives the state after each.
    fn run(rule: &Alerting, script: &str) -> String {
        let mut state = RuleState::new();
        script
            .chars()
            .enumerate()
            .map(|(i, c)| {
                let results = present(if c == 'P' { &["x"] } else { &[] });
                step(rule, 0, &mut state, results, at(i as i64 * 15), &mut |_| Absence::Known).expect("steps");
                match state.values().next().map(|a| a.life.state) {
                    None => '.',
                    Some(AlertState::Pending) => 'p',
                    Some(AlertState::Firing) => 'F',
                    Some(AlertState::Resolved) => 'r',
                }
            })
            .collect()
    }

    #[test]
    fn alerts_live_as_in_prometheus() {
        for (hold, keep, script, states) in [
            (0, 0, "-PP--", ".FFrr"),
            (30, 0, "PPPP-", "ppFFr"),
            (30, 0, "PP-PPP", "pp.ppF"),
            (0, 30, "P---P---", "FFFrFFFr"),
            (15, 30, "PP--P---", "pFFFFFFr"),
            (0, 0, "P-P", "FrF"),
        ] {
            assert_eq!(run(&rule(hold, keep), script), states, "for {hold} keep {keep} {script}");
        }
    }

    #[test]
    fn resolved_alerts_are_remembered_for_fifteen_minutes() {
        let mut state = RuleState::new();
        let rule = rule(0, 0);
        for (second, results, kept) in [(0, present(&["x"]), 1), (15, Vec::new(), 1), (915, Vec::new(), 1), (930, Vec::new(), 0)] {
            step(&rule, 0, &mut state, results, at(second), &mut |_| Absence::Known).expect("steps");
            assert_eq!(state.len(), kept, "at {second}");
        }
    }

    #[test]
    fn a_longer_for_takes_a_firing_alert_back_to_pending() {
        let mut state = RuleState::new();
        for second in [0, 15, 30] {
            step(&rule(15, 0), 0, &mut state, present(&["x"]), at(second), &mut |_| Absence::Known).expect("steps");
        }
        let changes = step(&rule(60, 0), 0, &mut state, present(&["x"]), at(45), &mut |_| Absence::Known).expect("steps");
        assert_eq!(changes[0].change, Change::Lapsed);
        let changes = step(&rule(60, 0), 0, &mut state, present(&["x"]), at(60), &mut |_| Absence::Known).expect("steps");
        assert_eq!(changes[0].change, Change::Fired);
    }

    #[test]
    fn equal_labels_change_nothing_and_the_limit_drops_all() {
        let mut state = RuleState::new();
        let rule = rule(0, 0);
        step(&rule, 2, &mut state, present(&["a", "b"]), at(0), &mut |_| Absence::Known).expect("steps");
        let error = step(&rule, 2, &mut state, present(&["a", "a"]), at(15), &mut |_| Absence::Known);
        assert_eq!(error, Err(StepError::DuplicateLabels));
        assert_eq!(state.len(), 2);
        let error = step(&rule, 2, &mut state, present(&["a", "b", "c"]), at(30), &mut |_| Absence::Known);
        assert_eq!(error.expect_err("limit").to_string(), "exceeded limit of 2 with 3 alerts");
        assert!(state.is_empty());
    }

    #[test]
    fn gaps_do_not_count_towards_for() {
        let mut state = RuleState::new();
        let rule = rule(60, 0);
        let after_gap = |second: i64, gap: i64| Moment { at: Timestamp(second * 1000), watched: (second - gap) * 1000 };
        step(&rule, 0, &mut state, present(&["x"]), at(0), &mut |_| Absence::Known).expect("steps");
        let changes = step(&rule, 0, &mut state, present(&["x"]), after_gap(3600, 3585), &mut |_| Absence::Known).expect("steps");
        assert!(changes.is_empty(), "an hour asleep is not an hour of errors");
        let changes = step(&rule, 0, &mut state, present(&["x"]), after_gap(3645, 3585), &mut |_| Absence::Known).expect("steps");
        assert_eq!(changes[0].change, Change::Fired);
    }

    #[test]
    fn hysteresis_and_unknown_data_hold_an_alert() {
        let mut state = RuleState::new();
        let rule = rule(0, 0);
        step(&rule, 0, &mut state, present(&["x"]), at(0), &mut |_| Absence::Known).expect("steps");
        for verdict in [Absence::NotRecovered, Absence::Unknown] {
            let changes = step(&rule, 0, &mut state, Vec::new(), at(15), &mut |_| verdict).expect("steps");
            assert!(changes.is_empty());
        }
        let changes = step(&rule, 0, &mut state, Vec::new(), at(30), &mut |_| Absence::Known).expect("steps");
        assert_eq!(changes[0].change, Change::Resolved);
    }

    proptest! {
        /// Whatever happens, an alert fires only after `for`, and firing and resolved alternate.
        #[test]
        fn firing_needs_for_and_alternates_with_resolved(script in "[P-]{1,60}", hold in 0_u64..4, keep in 0_u64..4) {
            let rule = rule(hold * 15, keep * 15);
            let mut state = RuleState::new();
            let mut firing = false;
            let mut run_length = 0;
            for (i, c) in script.chars().enumerate() {
                run_length = if c == 'P' { run_length + 1 } else { 0 };
                let results = present(if c == 'P' { &["x"] } else { &[] });
                let changes = step(&rule, 0, &mut state, results, at(i as i64 * 15), &mut |_| Absence::Known).expect("steps");
                for t in changes {
                    match t.change {
                        Change::Fired => {
                            prop_assert!(!firing && run_length > hold);
                            firing = true;
                        }
                        Change::Resolved => {
                            prop_assert!(firing && c == '-');
                            firing = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}
