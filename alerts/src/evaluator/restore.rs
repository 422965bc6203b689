//! Alerts across runs: what is handed out to be kept, and how it is taken up again.

use super::{ActiveAlert, AlertRecord, Evaluator, GroupRuntime, RuleRuntime};
use crate::rule::RuleGroup;
use std::sync::OnceLock;
use std::time::Duration;
use watchfire_model::Labels;
use watchfire_model::reading::AlertState;

impl Evaluator {
    /// Takes alerts up where a former run left them. Call once, before the first tick. Alerts of rules that no longer exist are forgotten
    /// (the next outcome lists them as removed); firing ones are kept however long the outage was.
    pub fn restore(&mut self, records: Vec<AlertRecord>) {
        self.timeline.observe(self.clock.read(), None);
        self.take_up(records, self.settings.outage_grace);
    }

    /// Begins anew from what the journal holds, as after a restart but with nothing unwatched in between: for whoever caught a panic of
    /// [`tick`](Self::tick), after which what is held here may be half of a change.
    pub fn begin_anew(&mut self, groups: Vec<RuleGroup>, records: Vec<AlertRecord>) {
        self.reload(groups);
        self.groups.iter_mut().flat_map(|g| &mut g.rules).for_each(|rule| rule.state.clear());
        self.recorded.clear();
        self.explained.clear();
        self.take_up(records, Duration::ZERO);
    }

    fn take_up(&mut self, records: Vec<AlertRecord>, grace: Duration) {
        let now = self.timeline.moment(self.timeline.now());
        self.groups.iter_mut().for_each(|group| group.told = OnceLock::new());
        for record in records {
            let key = record.key();
            let at_home = |g: &GroupRuntime| g.file == record.file && g.name == record.group;
            let makes =
                |r: &RuleRuntime| r.rule.name == record.rule && r.rule.alerting().is_some() && could_make(&r.rule.labels, &record.labels);
            // Where its rule was, or else where it is by now.
            let makers = self.groups.iter_mut().flat_map(|g| {
                let home = at_home(g);
                g.rules.iter_mut().filter(|r| makes(r)).map(move |r| (home, r))
            });
            let target = makers.filter(|(home, r)| *home || !r.state.contains_key(&record.labels)).min_by_key(|(home, _)| !home);
            let too_old = record.life.state == AlertState::Pending && record.down_for(now.at) > self.settings.outage_tolerance;
            self.recorded.insert(key, record.clone());
            if let Some((_, rule)) = target.filter(|_| !too_old) {
                let waits = rule.rule.alerting().map_or(Duration::ZERO, |alerting| alerting.hold);
                rule.state.insert(record.labels.clone(), record.resume(now, waits, grace));
            }
        }
    }

    /// The state of every alert, as of the last tick. What ticks report in `changed` may lag behind it by
    /// [`record_refresh`](EvaluatorSettings::record_refresh) in how long an alert was watched; an orderly stop writes these.
    pub fn records(&self) -> Vec<AlertRecord> {
        self.aging().map(|(record, _)| record).collect()
    }

    /// Each alert, and how long it may wait unrecorded: a crash costs it that much of what it has waited for, and no more than a tenth.
    pub(super) fn aging(&self) -> impl Iterator<Item = (AlertRecord, Duration)> {
        let now = self.timeline.moment(self.timeline.now());
        let rules = self.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule)));
        rules.flat_map(move |(group, rule)| {
            let waits = |alert: &ActiveAlert| {
                let alerting = rule.rule.alerting()?;
                Some(if alert.life.state == AlertState::Pending { alerting.hold } else { alerting.keep_firing_for })
            };
            rule.state.values().map(move |alert| {
                let record = AlertRecord {
                    file: group.file.clone(),
                    group: group.name.clone(),
                    rule: rule.rule.name.clone(),
                    labels: alert.labels.clone(),
                    annotations: alert.annotations.clone(),
                    value: Some(alert.value).filter(|v| v.is_finite()),
                    life: alert.life,
                    seen: now,
                    paging: alert.paging.clone(),
                };
                (record, (waits(alert).unwrap_or_default() / 10).min(self.settings.record_refresh))
            })
        })
    }
}

/// Whether a rule's plain labels agree with an alert's: among rules of one name it tells them apart.
fn could_make(rule: &[(String, String)], alert: &Labels) -> bool {
    rule.iter().all(|(name, value)| value.contains("{{") || name == "alertname" || alert.value(name) == value)
}
