//! A rule group at run time: its schedule, the states of its rules, and what their last evaluations were like.

use super::report::GroupReport;
use super::settings::EvaluatorSettings;
use super::written::Written;
use crate::identity::spread;
use crate::rule::{Rule, RuleGroup, RuleKind};
use crate::state::{Moment, RuleState};
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use watchfire_model::reading::AlertState;
use watchfire_model::{SeriesSink, Timestamp};

/// Evaluations remembered per rule.
const REMEMBERED: usize = 20;

/// Whether a rule can be evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleHealth {
    /// Not evaluated yet.
    #[default]
    Unknown,
    Ok,
    Err,
}

/// One evaluation of one rule, as the rule page shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationNote {
    pub at: Timestamp,
    pub took: Duration,
    /// Series or alerts it gave.
    pub results: usize,
    pub error: Option<String>,
}

pub(crate) struct RuleRuntime {
    pub rule: Rule,
    pub state: RuleState,
    pub written: Written,
    pub health: RuleHealth,
    pub last_error: Option<String>,
    /// What the last evaluation could not write. Its alerts are as good as any.
    pub unwritten: Option<String>,
    pub warnings: Vec<String>,
    /// New alerts that were not taken up in the last evaluation.
    pub refused: usize,
    pub took: Duration,
    pub last_evaluation: Option<Timestamp>,
    pub notes: VecDeque<EvaluationNote>,
}

impl RuleRuntime {
    pub fn new(rule: Rule, origin: &str, sink: &dyn SeriesSink) -> Self {
        let written = match rule.kind {
            RuleKind::Recording => Written::recorded(sink, origin),
            RuleKind::Alerting(_) => Written::alerts(sink, origin),
        };
        RuleRuntime {
            rule,
            state: RuleState::new(),
            written,
            health: RuleHealth::Unknown,
            last_error: None,
            unwritten: None,
            warnings: Vec::new(),
            refused: 0,
            took: Duration::ZERO,
            last_evaluation: None,
            notes: VecDeque::new(),
        }
    }

    /// What is wrong with the rule, if anything is.
    pub fn trouble(&self) -> Option<&String> {
        self.last_error.as_ref().or(self.unwritten.as_ref())
    }

    /// Alerts that are pending or firing.
    pub fn active(&self) -> usize {
        self.state.values().filter(|a| a.life.state != AlertState::Resolved).count()
    }

    pub fn note(&mut self, at: Timestamp, took: Duration, outcome: Result<usize, String>) {
        self.took = took;
        self.last_evaluation = Some(at);
        let (results, error) = match outcome {
            Ok(results) => (results, None),
            Err(error) => (0, Some(error)),
        };
        self.health = if error.is_some() { RuleHealth::Err } else { RuleHealth::Ok };
        self.last_error.clone_from(&error);
        if self.notes.len() == REMEMBERED {
            self.notes.pop_front();
        }
        self.notes.push_back(EvaluationNote { at, took, results, error });
    }
}

pub(crate) struct GroupRuntime {
    pub name: String,
    pub file: String,
    pub interval: Duration,
    pub query_offset: Duration,
    pub limit: usize,
    pub rules: Vec<RuleRuntime>,
    /// Where in its interval the group runs, in milliseconds.
    offset: i64,
    /// The last slot that was evaluated or skipped.
    pub slot: Timestamp,
    pub took: Duration,
    pub missed: u64,
    /// What was told of it since it was evaluated last: thousands of rules are not described anew for the few that are due.
    pub told: OnceLock<Arc<GroupReport>>,
}

impl GroupRuntime {
    pub fn new(group: &RuleGroup, settings: &EvaluatorSettings) -> Self {
        let interval = group.interval.unwrap_or(settings.interval).max(Duration::from_millis(1));
        let millis = interval.as_millis().min(u128::from(u32::MAX)) as u64;
        GroupRuntime {
            name: group.name.clone(),
            file: group.file.clone(),
            interval,
            query_offset: group.query_offset.unwrap_or(settings.query_offset),
            limit: group.limit,
            rules: Vec::new(),
            offset: (spread(&[&group.file, &group.name]) % millis) as i64,
            slot: Timestamp::MIN,
            took: Duration::ZERO,
            missed: 0,
            told: OnceLock::new(),
        }
    }

    pub fn millis(&self) -> i64 {
        i64::try_from(self.interval.as_millis()).unwrap_or(i64::MAX)
    }

    /// The latest point of the group's grid that is not after `now`.
    pub fn latest_slot(&self, now: Timestamp) -> Timestamp {
        let millis = self.millis();
        Timestamp((now.millis() - self.offset).div_euclid(millis) * millis + self.offset)
    }

    /// The slot to evaluate at `now`, if one is due, with the number of slots that were missed before it.
    pub fn due(&self, now: Timestamp) -> Option<(Timestamp, u64)> {
        let slot = self.latest_slot(now);
        (slot > self.slot).then(|| {
            let passed = (slot.millis() - self.slot.millis()) / self.millis();
            (slot, u64::try_from(passed - 1).unwrap_or(0))
        })
    }

    /// Goes along with a wall clock that was set forward: slots in time that did not pass were not missed.
    pub fn move_schedule(&mut self, by: Duration) {
        if !by.is_zero() {
            self.slot = self.latest_slot(self.slot.saturating_add(by));
        }
    }

    pub fn next_slot(&self) -> Timestamp {
        Timestamp(self.slot.millis() + self.millis())
    }

    /// The end of the life of alerts that are sent now: four intervals (or resend delays) ahead.
    pub fn valid_until(&self, now: Moment, settings: &EvaluatorSettings) -> Timestamp {
        now.at.saturating_add(self.interval.max(settings.resend_delay) * 4)
    }
}
