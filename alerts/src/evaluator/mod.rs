//! The evaluator: rule groups on their schedules, their alerts, and what is to be said about them.
//!
//! One call does everything that is due: [`Evaluator::tick`]. It performs no I/O beyond the series it reads and writes; what has to be
//! durable and what has to be sent come back in a [`TickOutcome`], for the caller to journal first and show or send afterwards.

mod announce;
mod board;
mod evaluate;
mod group;
mod notice;
mod paging;
mod record;
mod report;
mod restore;
mod settings;
mod survive;
mod written;

pub(crate) use evaluate::{ALERT_SERIES, Bench, alert_labels, alert_series, concerns, recorded, unwritten};
pub use group::{EvaluationNote, RuleHealth};
pub(crate) use group::{GroupRuntime, RuleRuntime};
pub use notice::{EvidenceRequest, EvidenceSource, graph_url, outward};
pub use paging::Audience;
pub use record::{AlertRecord, Paging, Standing};
pub use report::{AlertReport, GroupReport, RuleReport};
pub use settings::EvaluatorSettings;
pub(crate) use written::Written;

use crate::dialect::DialectEngine;
use crate::rule::RuleGroup;
use crate::state::{ActiveAlert, Change, Moment, Transition};
use crate::timeline::{ClockEvent, Timeline};
use record::record_key;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use survive::survived;
use watchfire_model::reading::AlertState;
use watchfire_model::{Appended, Cause, Clock, Labels, Meter, Notice, SeriesSink, SeriesSource, Timestamp, Topology};
use watchfire_promql::{Control, Engine, Interrupt};

/// What one tick did. Journal `changed`, `removed` and `notices` as one record before anything of it is shown or sent.
#[derive(Debug, Default)]
pub struct TickOutcome {
    /// Evaluation time.
    pub at: Timestamp,
    /// Transitions to tell of, in order per alert. Those with a `cause` are for the record: the alert stands under its cause, nobody is told.
    pub notices: Vec<Notice>,
    /// The last notice of an alert as it reads now: same revision, new value, texts and dependents, without looked-up evidence. For
    /// whoever is told later or again; nothing to tell by itself, and not durable.
    pub refreshed: Vec<Notice>,
    /// Alerts whose durable state changed.
    pub changed: Vec<AlertRecord>,
    /// Keys ([`AlertRecord::key`]) of alerts that are gone.
    pub removed: Vec<String>,
    /// When to call again, at the latest.
    pub next_due: Option<Timestamp>,
    pub clock_events: Vec<ClockEvent>,
    /// Rules evaluated.
    pub evaluated: usize,
    /// Whether [`Evaluator::board`] and [`Evaluator::groups`] may say something else than before.
    pub board_changed: bool,
}

/// Addresses an alert: group, rule, labels.
type Address = (usize, usize, Labels);

pub struct Evaluator {
    settings: EvaluatorSettings,
    engine: Arc<Engine>,
    groups: Vec<GroupRuntime>,
    source: Arc<dyn SeriesSource>,
    sink: Arc<dyn SeriesSink>,
    topology: Arc<dyn Topology>,
    clock: Arc<dyn Clock>,
    meter: Meter,
    evidence: Option<Arc<dyn EvidenceSource>>,
    audience: Option<Arc<dyn Audience>>,
    dialects: Option<DialectEngine>,
    timeline: Timeline,
    /// Boot time at which the next tick is wanted.
    due: Option<Duration>,
    /// Durable state as last handed out, by key.
    recorded: BTreeMap<String, AlertRecord>,
    /// Live explanations, for the board: by record key, cause and dependents.
    explained: HashMap<String, (Option<Cause>, Vec<String>)>,
    /// What rules that are gone have written; ended at the next tick.
    orphans: Vec<Written>,
    last_evaluation: Option<Timestamp>,
    /// Time awake until which this tick looks evidence up.
    evidence_until: Duration,
}

impl Evaluator {
    pub fn new(
        settings: EvaluatorSettings,
        groups: Vec<RuleGroup>,
        source: Arc<dyn SeriesSource>,
        sink: Arc<dyn SeriesSink>,
        topology: Arc<dyn Topology>,
        clock: Arc<dyn Clock>,
        meter: Meter,
    ) -> Self {
        let mut evaluator = Evaluator {
            settings,
            engine: Arc::new(Engine::default()),
            groups: Vec::new(),
            source,
            sink,
            topology,
            clock,
            meter,
            evidence: None,
            audience: None,
            dialects: None,
            timeline: Timeline::new(),
            due: None,
            recorded: BTreeMap::new(),
            explained: HashMap::new(),
            orphans: Vec::new(),
            last_evaluation: None,
            evidence_until: Duration::ZERO,
        };
        evaluator.timeline.observe(evaluator.clock.read(), None);
        evaluator.reload(groups);
        evaluator
    }

    /// Evaluates with this engine instead of one of its own.
    #[must_use]
    pub fn with_engine(mut self, engine: Arc<Engine>) -> Self {
        self.engine = engine;
        self
    }

    #[must_use]
    pub fn with_evidence(mut self, evidence: Arc<dyn EvidenceSource>) -> Self {
        self.evidence = Some(evidence);
        self
    }

    /// Asks who is told, so that a cause of which nobody hears keeps nobody else quiet. Without it somebody always does.
    #[must_use]
    pub fn with_audience(mut self, audience: Arc<dyn Audience>) -> Self {
        self.audience = Some(audience);
        self
    }

    /// Writes the unified breaker and queue series before the rules run.
    #[must_use]
    pub fn with_dialects(mut self, dialects: DialectEngine) -> Self {
        self.dialects = Some(dialects);
        self
    }

    pub fn dialects(&self) -> Option<&DialectEngine> {
        self.dialects.as_ref()
    }

    /// Replaces all rules. Groups keep their schedule by file and name; rules with the same name and labels keep their alerts, in another group or
    /// file too. Series of rules that are gone end.
    pub fn reload(&mut self, groups: Vec<RuleGroup>) {
        let now = self.timeline.now();
        let mut known: HashSet<String> = self.groups.iter().map(|g| g.name.clone()).collect();
        let (mut left, mut unmatched): (Vec<RuleRuntime>, Vec<(usize, usize)>) = Default::default();
        let mut before: HashMap<(String, String), GroupRuntime> =
            self.groups.drain(..).map(|g| ((g.file.clone(), g.name.clone()), g)).collect();
        for group in groups {
            let mut old = before.remove(&(group.file.clone(), group.name.clone()));
            let mut runtime = GroupRuntime::new(&group, &self.settings);
            // A new group waits for its first slot.
            runtime.slot = runtime.latest_slot(Timestamp(now.millis() - 1));
            if let Some(old) = &old {
                runtime.missed = old.missed;
                runtime.took = old.took;
                runtime.slot = if old.interval == runtime.interval { old.slot } else { runtime.latest_slot(now) };
            }
            for (index, rule) in group.rules.into_iter().enumerate() {
                let origin = format!("rules/{};{};{index}", group.file, group.name);
                let mut fresh = RuleRuntime::new(rule, &origin, &*self.sink);
                let same = |r: &RuleRuntime| r.rule.identity() == fresh.rule.identity();
                if let Some(old) = &mut old
                    && let Some(position) = old.rules.iter().position(same)
                {
                    let kept = old.rules.remove(position);
                    fresh = RuleRuntime { rule: fresh.rule, ..kept };
                } else {
                    unmatched.push((self.groups.len(), runtime.rules.len()));
                }
                runtime.rules.push(fresh);
            }
            left.extend(old.into_iter().flat_map(|g| g.rules));
            self.groups.push(runtime);
        }
        left.extend(before.into_values().flat_map(|g| g.rules));
        // Whoever tidies their files up resolves nothing by that, and waits for no `for` anew.
        for (group, index) in unmatched {
            let moved = &mut self.groups[group].rules[index];
            if let Some(position) = left.iter().position(|old| old.rule.identity() == moved.rule.identity()) {
                let fresh = std::mem::replace(moved, left.remove(position));
                moved.rule = fresh.rule;
            }
        }
        self.orphans.extend(left.into_iter().map(|r| r.written));
        known.extend(self.groups.iter().map(|g| g.name.clone()));
        known.iter().for_each(|name| self.count_broken(name));
    }

    /// When the next rule is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.groups.iter().map(GroupRuntime::next_slot).min()
    }

    /// Runs what is due. Call it at [`TickOutcome::next_due`] or earlier.
    pub fn tick(&mut self) -> TickOutcome {
        let reading = self.clock.read();
        let shortest = self.groups.iter().map(|g| g.interval).min().unwrap_or(self.settings.interval);
        let events = self.timeline.observe(reading, self.due.map(|due| (due, shortest)));
        for event in &events {
            self.meter.counter("watchfire_clock_events_total", &[("kind", event.kind())]).add(1);
        }
        let now = self.timeline.now();
        self.groups.iter_mut().for_each(|group| group.move_schedule(self.timeline.jumped()));
        let mut outcome = TickOutcome { at: now, clock_events: events, ..TickOutcome::default() };
        let source = self.timeline.view(&self.source);
        if let Some(dialects) = &mut self.dialects {
            let limit = self.engine.options().timeout;
            let interrupt = || (self.clock.read().awake.saturating_sub(reading.awake) > limit).then_some(Interrupt::Timeout);
            let control = Control { interrupt: Some(&interrupt), ..Control::default() };
            let look = || dialects.tick(&self.engine, &*source, &*self.sink, now, reading.wall, &self.meter, control);
            if let Err(error) = survived("dialects", &self.meter, look) {
                tracing::error!(%error, "breakers and queues not unified");
            }
        }
        for written in self.orphans.drain(..) {
            written.end(&*self.sink, now, reading.wall);
        }
        let mut due: Vec<(Timestamp, usize, u64)> =
            self.groups.iter().enumerate().filter_map(|(i, g)| g.due(now).map(|(slot, missed)| (slot, i, missed))).collect();
        due.sort_unstable();
        let mut ended = Vec::new();
        let mut active: usize = self.groups.iter().flat_map(|g| &g.rules).map(RuleRuntime::active).sum();
        for (slot, index, missed) in due {
            self.evaluate_group(index, slot, missed, &*source, reading.wall, &mut active, &mut ended);
            outcome.evaluated += self.groups[index].rules.len();
            self.last_evaluation = Some(slot);
        }
        let moment = self.timeline.moment(now);
        self.settle(moment, &*source, ended, &mut outcome);
        self.resend(moment, &mut outcome);
        self.record(moment, &mut outcome);
        outcome.board_changed |= outcome.evaluated > 0 || !outcome.changed.is_empty() || !outcome.removed.is_empty();
        outcome.next_due = self.next_due();
        self.due = outcome.next_due.map(|due| reading.boot + due.since(now));
        outcome
    }

    /// Runs the rules of one group in order; each sees the series of those before it. `active` counts the alerts of all rules.
    #[allow(clippy::too_many_arguments)]
    fn evaluate_group(
        &mut self,
        index: usize,
        slot: Timestamp,
        missed: u64,
        source: &dyn SeriesSource,
        wall: Timestamp,
        active: &mut usize,
        ended: &mut Vec<(Address, Change)>,
    ) {
        let now = self.timeline.moment(slot);
        let clock = self.clock.clone();
        let started = clock.read().awake;
        let topology = self.topology.clone();
        let owner = |service: &str| topology.owner(service);
        let mut bench = Bench {
            settings: &self.settings,
            engine: &self.engine,
            source,
            sink: &*self.sink,
            clock: &*clock,
            wall,
            room: 0,
            owner: &owner,
        };
        let group = &mut self.groups[index];
        group.slot = slot;
        group.missed += missed;
        let mut rules = std::mem::take(&mut group.rules);
        for (position, rule) in rules.iter_mut().enumerate() {
            let rule_started = clock.read().awake;
            *active -= rule.active();
            bench.room = self.settings.alerts.saturating_sub(*active);
            let outcome = survived("rule", &self.meter, || bench.evaluate(group, rule, now)).flatten();
            *active += rule.active();
            let took = evaluate::took(&*clock, rule_started);
            match outcome {
                Ok(done) => {
                    count_refused(&self.meter, &done.appended);
                    rule.warnings = done.warnings;
                    rule.unwritten = evaluate::unwritten(&done.appended);
                    rule.refused = done.refused;
                    if done.refused > 0 {
                        let (reason, limit) = match self.settings.alerts_per_rule <= bench.room {
                            true => ("alerts_per_rule", self.settings.alerts_per_rule),
                            false => ("alerts", self.settings.alerts),
                        };
                        self.meter.counter("watchfire_alerts_refused_total", &[("reason", reason)]).add(done.refused as u64);
                        rule.warnings.push(format!("{} new alerts refused: limits.rules.{reason} is {limit}", done.refused));
                    }
                    rule.note(slot, took, Ok(done.results));
                    ended.extend(done.transitions.into_iter().map(|Transition { labels, change }| ((index, position, labels), change)));
                }
                Err(error) => {
                    rule.unwritten = None;
                    self.meter.counter("watchfire_rule_evaluation_failures_total", &[("rule_group", &group.name)]).add(1);
                    if rule.last_error.as_ref() != Some(&error) {
                        tracing::warn!(group = %group.name, rule = %rule.rule.name, %error, "rule not evaluated");
                    }
                    rule.note(slot, took, Err(error));
                }
            }
        }
        group.rules = rules;
        group.took = evaluate::took(&*clock, started);
        group.told = OnceLock::new();
        let labels = [("rule_group", group.name.as_str())];
        self.meter.counter("watchfire_rule_group_iterations_total", &labels).add(1);
        self.meter.counter("watchfire_rule_group_iterations_missed_total", &labels).add(missed);
        self.meter.gauge("watchfire_rule_group_last_duration_seconds", &labels).set(group.took.as_secs_f64());
        let name = group.name.clone();
        self.count_broken(&name);
    }

    fn alert(&self, address: &Address) -> Option<&ActiveAlert> {
        self.groups[address.0].rules[address.1].state.get(&address.2)
    }

    fn alert_mut(&mut self, address: &Address) -> Option<&mut ActiveAlert> {
        self.groups[address.0].rules[address.1].state.get_mut(&address.2)
    }

    /// All pending and firing alerts, in a fixed order.
    fn active(&self) -> Vec<Address> {
        let mut addresses = Vec::new();
        for (g, group) in self.groups.iter().enumerate() {
            for (r, rule) in group.rules.iter().enumerate() {
                let active = rule.state.iter().filter(|(_, a)| a.life.state != AlertState::Resolved);
                addresses.extend(active.map(|(labels, _)| (g, r, labels.clone())));
            }
        }
        addresses
    }

    fn key(&self, address: &Address) -> String {
        let group = &self.groups[address.0];
        record_key(&group.file, &group.name, &address.2)
    }

    /// Finds what changed in the durable state since the last tick.
    fn record(&mut self, now: Moment, outcome: &mut TickOutcome) {
        let mut keys = BTreeSet::new();
        let records: Vec<(AlertRecord, Duration)> = self.aging().collect();
        for (record, refresh) in records {
            let key = record.key();
            if self.recorded.get(&key).is_none_or(|last| differs(last, &record, refresh)) {
                outcome.changed.push(record.clone());
                self.recorded.insert(key.clone(), record);
            }
            keys.insert(key);
        }
        let gone: Vec<String> = self.recorded.keys().filter(|key| !keys.contains(*key)).cloned().collect();
        for key in gone {
            // Whoever was told that it fires is told that it ended: its rule was removed, gave more alerts than its limit, or waits longer now and
            // has not fired again. Another rule may go on with the same alert.
            if let Some(record) = self.recorded.remove(&key)
                && (record.paging.lapsed || (record.life.state == AlertState::Firing && record.paging.standing == Standing::Notified))
                && !self.groups.iter().flat_map(|g| &g.rules).any(|r| r.state.contains_key(&record.labels))
            {
                outcome.notices.push(notice::farewell(record, &self.settings, now));
            }
            outcome.removed.push(key);
        }
    }
}

/// Whether a record has to be written again: anything but values and texts changed, or the time watched is out of date.
fn differs(last: &AlertRecord, new: &AlertRecord, refresh: Duration) -> bool {
    let lasting = |r: &AlertRecord| Paging { last_sent: None, ..r.paging.clone() };
    let waits = new.life.state == AlertState::Pending || new.life.keep_firing_since.is_some();
    last.life != new.life || lasting(last) != lasting(new) || (waits && new.seen.since(last.seen) >= refresh)
}

fn count_refused(meter: &Meter, appended: &Appended) {
    for (reason, count) in [
        ("out of order", appended.out_of_order),
        ("duplicate", appended.duplicate),
        ("future", appended.future),
        ("old", appended.old),
        ("series limit", appended.series_limit),
    ] {
        if count > 0 {
            meter.counter("watchfire_rule_samples_refused_total", &[("reason", reason)]).add(count as u64);
        }
    }
}

#[cfg(test)]
mod tests;
