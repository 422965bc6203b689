//! The evaluator on its thread: tick, journal, publish, in that order, for as long as the instance lives.

use super::evidence::StoreEvidence;
use super::notifications::Hearers;
use super::plan::Plan;
use crate::board::{Board, Conclusion};
use crate::topology::JoinedTopology;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use watchfire_alerts::{AlertRecord, ClockEvent, DialectEngine, Evaluator, EvaluatorSettings, RuleGroup, RuleReport};
use watchfire_model::{Clock, Counter, Meter, Timestamp};
use watchfire_notifiers::{DispatcherHandle, Recovered, TickRecord};
use watchfire_promql::Engine;
use watchfire_store::Store;

/// Ticks at least this often even when nothing is due, so that a suspend is noticed within a second and breakers move on screen.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Breakers and queues are looked at this often: seldom enough to cost little, often enough to see a breaker open.
const DIALECT_INTERVAL: Duration = Duration::from_secs(5);

/// How long the evaluator rests after a panic: twice as long after each, up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// So many panics within so long, and beginning anew does not help: the program ends, for whoever starts it to know.
const PANICS: usize = 5;
const WITHIN: Duration = Duration::from_secs(60);

/// How long it is said that the clocks did something.
const CLOCK_LINE: Duration = Duration::from_secs(900);

/// What the thread needs.
pub struct Parts<'a> {
    pub plan: &'a Plan,
    pub groups: Vec<RuleGroup>,
    pub store: Arc<Store>,
    pub engine: Arc<Engine>,
    pub topology: Arc<JoinedTopology>,
    pub clock: Arc<dyn Clock>,
    pub meter: Meter,
    pub dispatcher: DispatcherHandle,
    pub board: Board,
    pub recovered: Recovered,
    pub evidence: Arc<StoreEvidence>,
    /// For links in notices.
    pub external_url: String,
}

/// Talks to the evaluator's thread; clones talk to the same one.
#[derive(Clone)]
pub struct EvaluatorHandle {
    shared: Arc<Shared>,
    thread: Arc<Mutex<Option<std::thread::JoinHandle<()>>>>,
}

#[derive(Default)]
struct Shared {
    orders: Mutex<Orders>,
    changed: Condvar,
    given_up: CancellationToken,
    clock_event: Mutex<Option<(Timestamp, ClockEvent)>>,
}

#[derive(Default)]
struct Orders {
    stop: bool,
    reload: Option<Vec<RuleGroup>>,
}

impl EvaluatorHandle {
    /// Other rules from the next tick on. Groups and rules that are the same keep their states.
    pub fn reload(&self, groups: Vec<RuleGroup>) {
        self.shared.orders.lock().reload = Some(groups);
        self.shared.changed.notify_all();
    }

    /// What happened to the clocks within the last quarter of an hour, as a line.
    pub fn clock_line(&self, now: Timestamp) -> Option<String> {
        let event = *self.shared.clock_event.lock();
        event.filter(|(at, _)| now.since(*at) < CLOCK_LINE).map(|(_, event)| event.to_string())
    }

    /// Cancelled once the thread has panicked so often that it has given up.
    pub fn given_up(&self) -> CancellationToken {
        self.shared.given_up.clone()
    }

    /// Ends the thread after the tick it is in.
    pub fn stop(&self) {
        self.shared.orders.lock().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the evaluator had panicked");
        }
    }
}

/// What writes the unified series of breakers and queues, and reports what exporters say of their servers.
///
/// # Errors
/// When a dialect cannot be used.
pub fn dialect_engine(plan: &Plan, store: &Arc<Store>) -> anyhow::Result<DialectEngine> {
    Ok(DialectEngine::new(super::dialects::all(plan)?, DIALECT_INTERVAL).reporting_to(store.clone()))
}

/// Starts evaluating.
///
/// # Errors
/// When a dialect cannot be used, or the thread cannot be started.
pub fn start(parts: Parts<'_>) -> anyhow::Result<EvaluatorHandle> {
    let Parts { plan, groups, store, engine, topology, clock, meter, dispatcher, board, recovered, evidence, external_url } = parts;
    let limits = &plan.config.limits.rules;
    let settings = EvaluatorSettings {
        interval: plan.config.evaluation_interval,
        resend_delay: limits.resend_delay,
        outage_tolerance: limits.outage_tolerance,
        hold: limits.cause_wait,
        hold_critical: limits.cause_wait_critical,
        alerts_per_rule: limits.alerts_per_rule,
        alerts: limits.alerts,
        external_labels: plan.external_labels(),
        external_url,
        // A restart loses at most one evaluation of what was watched.
        record_refresh: plan.config.evaluation_interval,
        ..EvaluatorSettings::default()
    };
    let dialects = dialect_engine(plan, &store)?;
    let mut evaluator = Evaluator::new(settings, groups.clone(), store.clone(), store.clone(), topology, clock.clone(), meter.clone())
        .with_engine(engine)
        .with_evidence(evidence)
        .with_audience(Arc::new(Hearers(dispatcher.clone())))
        .with_dialects(dialects);
    let records = records(&recovered.alert_states);
    let unreadable = recovered.alert_states.len() - records.len();
    if unreadable > 0 {
        tracing::warn!("{unreadable} alert states of an earlier version could not be read; those alerts begin anew");
    }
    evaluator.restore(records);
    board.publish(conclusion(&evaluator));

    let shared = Arc::new(Shared::default());
    let for_thread = shared.clone();
    let thread = std::thread::Builder::new().name("evaluator".to_owned()).spawn(move || {
        let punctuality = Punctuality::new(&meter);
        let panics = meter.counter("watchfire_panics_total", &[("task", "evaluator")]);
        let panicked = VecDeque::new();
        Watch { evaluator, groups, shared: for_thread, dispatcher, board, clock, punctuality, panics, panicked }.run();
    })?;
    Ok(EvaluatorHandle { shared, thread: Arc::new(Mutex::new(Some(thread))) })
}

/// Beginning later than this after it was due, an evaluation is late.
const LATE: Duration = Duration::from_millis(50);

/// Whether evaluations begin when they are due, whatever else this process does.
struct Punctuality {
    begun: Counter,
    late: Counter,
}

impl Punctuality {
    fn new(meter: &Meter) -> Self {
        Punctuality {
            begun: meter.counter("watchfire_evaluations_begun_total", &[]),
            late: meter.counter("watchfire_evaluations_late_total", &[]),
        }
    }

    fn begin(&self, due: Timestamp, now: Timestamp) {
        if due <= now {
            self.begun.add(1);
            self.late.add(u64::from(now.since(due) > LATE));
        }
    }
}

/// What was journalled of alerts, as far as it can be read.
fn records(states: &[(String, Vec<u8>)]) -> Vec<AlertRecord> {
    states.iter().filter_map(|(_, bytes)| serde_json::from_slice(bytes).ok()).collect()
}

/// Between two turns.
#[derive(Clone, Copy, Default)]
struct Turns {
    /// When the next one is due.
    due: Option<Timestamp>,
    panics_in_a_row: u32,
}

/// What the thread owns.
struct Watch {
    evaluator: Evaluator,
    /// The rules in force.
    groups: Vec<RuleGroup>,
    shared: Arc<Shared>,
    dispatcher: DispatcherHandle,
    board: Board,
    clock: Arc<dyn Clock>,
    punctuality: Punctuality,
    panics: Counter,
    /// When it panicked lately, by time since boot.
    panicked: VecDeque<Duration>,
}

impl Watch {
    /// Until it is told to stop.
    fn run(mut self) {
        let mut turns = Turns::default();
        loop {
            let wait = self.survive(&mut turns);
            if self.shared.given_up.is_cancelled() {
                return;
            }
            let mut orders = self.shared.orders.lock();
            if orders.reload.is_none() && !orders.stop {
                self.shared.changed.wait_for(&mut orders, wait.max(Duration::from_millis(1)));
            }
            if orders.stop {
                return;
            }
        }
    }

    /// One turn, and how long to wait after it. One that panics is not the end: the next begins from what the journal holds, later each time.
    fn survive(&mut self, turns: &mut Turns) -> Duration {
        let before = *turns;
        let turn = std::panic::AssertUnwindSafe(|| self.turn(before.due, before.panics_in_a_row > 0));
        if let Ok(due) = std::panic::catch_unwind(turn) {
            *turns = Turns { due, panics_in_a_row: 0 };
            return due.map_or(LONGEST_WAIT, |due| due.since(self.clock.now())).min(LONGEST_WAIT);
        }
        *turns = Turns { due: None, panics_in_a_row: before.panics_in_a_row.saturating_add(1) };
        let wait = SHORTEST_PAUSE.saturating_mul(2_u32.saturating_pow(before.panics_in_a_row)).min(LONGEST_PAUSE);
        self.say_panic(wait);
        wait
    }

    /// Takes over rules that were ordered, evaluates what is due, and makes it durable first and visible second. Returns when the next is due.
    fn turn(&mut self, due: Option<Timestamp>, anew: bool) -> Option<Timestamp> {
        let ordered = self.shared.orders.lock().reload.take();
        let reload = ordered.is_some();
        if let Some(groups) = ordered {
            self.groups = groups;
        }
        if anew {
            self.evaluator.begin_anew(self.groups.clone(), records(&self.dispatcher.alert_states()));
        } else if reload {
            self.evaluator.reload(self.groups.clone());
        }
        if reload {
            self.board.publish(conclusion(&self.evaluator));
        }
        if let Some(due) = due {
            self.punctuality.begin(due, self.clock.now());
        }
        let outcome = self.evaluator.tick();
        for event in &outcome.clock_events {
            tracing::warn!("{event}");
            *self.shared.clock_event.lock() = Some((outcome.at, *event));
        }
        if !outcome.changed.is_empty() || !outcome.removed.is_empty() || !outcome.notices.is_empty() {
            let states_changed =
                outcome.changed.iter().filter_map(|record| Some((record.key(), serde_json::to_vec(record).ok()?))).collect();
            self.dispatcher.commit(TickRecord { states_changed, states_removed: outcome.removed, notices: outcome.notices });
        }
        self.dispatcher.refresh(&outcome.refreshed);
        if outcome.board_changed || anew {
            self.board.publish(conclusion(&self.evaluator));
        }
        outcome.next_due
    }

    fn say_panic(&mut self, wait: Duration) {
        self.panics.add(1);
        let now = self.clock.read().boot;
        self.panicked.push_back(now);
        self.panicked.retain(|at| now.saturating_sub(*at) < WITHIN);
        if self.panicked.len() >= PANICS {
            tracing::error!("the evaluator panicked {PANICS} times within a minute; watchfire ends, and what is in its journal is kept");
            self.shared.given_up.cancel();
        } else {
            tracing::error!("the evaluator panicked; it begins anew in {} s from what the journal holds", wait.as_secs());
        }
        let mut conclusion = (*self.board.read()).clone();
        let (group, rule) = ("watchfire".to_owned(), "evaluator".to_owned());
        conclusion.broken_rules.retain(|(g, r, _)| (g, r) != (&group, &rule));
        conclusion.broken_rules.push((group, rule, "panicked; no rule is evaluated until it has begun anew".to_owned()));
        self.board.publish(conclusion);
    }
}

/// What is on the board after a tick.
pub fn conclusion(evaluator: &Evaluator) -> Conclusion {
    let groups = evaluator.groups();
    // A rule that shows only some of its alerts is as little to be relied on as one that shows none.
    let trouble = |r: &RuleReport| r.last_error.clone().or_else(|| r.warnings.last().filter(|_| r.refused > 0).cloned());
    let broken_rules =
        groups.iter().flat_map(|g| g.rules.iter().filter_map(|r| Some((g.name.clone(), r.name.clone(), trouble(r)?)))).collect();
    Conclusion {
        alerts: evaluator.board(),
        broken_rules,
        rules: groups.iter().map(|g| g.rules.len()).sum(),
        last_evaluation: evaluator.last_evaluation(),
        groups,
        json: OnceLock::new(),
    }
}

#[cfg(test)]
mod tests;
