//! The evaluator on its thread: tick, journal, publish, in that order, for as long as the instance lives.

use super::evidence::StoreEvidence;
use super::notifications::Hearers;
use super::plan::Plan;
use crate::board::{Board, Conclusion};
use crate::topology::JoinedTopology;
use parking_lot::{Condvar, Mutex};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use watchfire_alerts::{AlertRecord, ClockEvent, DialectEngine, Evaluator, EvaluatorSettings, RuleGroup, RuleReport};
use watchfire_model::{Clock, Counter, Meter, Timestamp};
use watchfire_notifiers::{DispatcherHandle, Recovered, TickRecord};
use watchfire_promql::Engine;
use watchfire_store::Store;

/// Ticks at least this often even when nothing is due, so that a suspend is noticed within a second and breakers move on screen.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Breakers and queues are looked at this often: seldom enough to cost little, often enough to see a breaker open.
const DIALECT_INTERVAL: Duration = Duration::from_secs(5);

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
    let mut evaluator = Evaluator::new(settings, groups, store.clone(), store.clone(), topology, clock.clone(), meter.clone())
        .with_engine(engine)
        .with_evidence(evidence)
        .with_audience(Arc::new(Hearers(dispatcher.clone())))
        .with_dialects(dialects);
    let records: Vec<AlertRecord> = recovered.alert_states.iter().filter_map(|(_, bytes)| serde_json::from_slice(bytes).ok()).collect();
    let unreadable = recovered.alert_states.len() - records.len();
    if unreadable > 0 {
        tracing::warn!("{unreadable} alert states of an earlier version could not be read; those alerts begin anew");
    }
    evaluator.restore(records);
    board.publish(conclusion(&evaluator));

    let shared = Arc::new(Shared::default());
    let for_thread = shared.clone();
    let panics = meter.counter("watchfire_panics_total", &[("task", "evaluator")]);
    let thread = std::thread::Builder::new().name("evaluator".to_owned()).spawn(move || {
        let punctuality = Punctuality::new(&meter);
        let run = std::panic::AssertUnwindSafe(|| run(evaluator, &for_thread, &dispatcher, &board, &*clock, &punctuality));
        if std::panic::catch_unwind(run).is_err() {
            panics.add(1);
            tracing::error!("the evaluator stopped by a panic; no rule is evaluated any more");
            let mut conclusion = (*board.read()).clone();
            conclusion.broken_rules.push((
                "watchfire".to_owned(),
                "evaluator".to_owned(),
                "stopped by a panic; restart watchfire".to_owned(),
            ));
            board.publish(conclusion);
        }
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

fn run(
    mut evaluator: Evaluator,
    shared: &Shared,
    dispatcher: &DispatcherHandle,
    board: &Board,
    clock: &dyn Clock,
    punctuality: &Punctuality,
) {
    let mut due = None;
    loop {
        if let Some(due) = due {
            punctuality.begin(due, clock.now());
        }
        let outcome = evaluator.tick();
        for event in &outcome.clock_events {
            tracing::warn!("{event}");
            *shared.clock_event.lock() = Some((outcome.at, *event));
        }
        // Durable first, visible second.
        if !outcome.changed.is_empty() || !outcome.removed.is_empty() || !outcome.notices.is_empty() {
            let states_changed =
                outcome.changed.iter().filter_map(|record| Some((record.key(), serde_json::to_vec(record).ok()?))).collect();
            dispatcher.commit(TickRecord { states_changed, states_removed: outcome.removed, notices: outcome.notices });
        }
        dispatcher.refresh(&outcome.refreshed);
        if outcome.board_changed {
            board.publish(conclusion(&evaluator));
        }
        due = outcome.next_due;
        let wait = outcome.next_due.map_or(LONGEST_WAIT, |due| due.since(clock.now())).min(LONGEST_WAIT);
        let mut orders = shared.orders.lock();
        if orders.reload.is_none() && !orders.stop {
            shared.changed.wait_for(&mut orders, wait.max(Duration::from_millis(1)));
        }
        if orders.stop {
            return;
        }
        let reload = orders.reload.take();
        drop(orders);
        if let Some(groups) = reload {
            evaluator.reload(groups);
            board.publish(conclusion(&evaluator));
        }
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
