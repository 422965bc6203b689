//! From transitions to notices: causes are looked for, paging decides, and what is to be said is put together.

use super::paging::{self, Audience, Hears, Patience, Verdict};
use super::record::{Paging, Standing};
use super::{Address, Evaluator, EvidenceRequest, RuleHealth, TickOutcome, notice};
use crate::cause::{self, Candidate, Explanation, Root};
use crate::identity::fingerprint;
use crate::rule::INDEPENDENT;
use crate::state::{ActiveAlert, Change, Moment};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::reading::AlertState;
use watchfire_model::{Cause, Evidence, Notice, Selector, SeriesSource, Severity, TimeRange, Timestamp};

impl Evaluator {
    /// Turns transitions and explanations into notices.
    pub(super) fn settle(
        &mut self,
        now: Moment,
        source: &dyn SeriesSource,
        transitions: Vec<(Address, Change)>,
        outcome: &mut TickOutcome,
    ) {
        self.evidence_until = self.clock.read().awake + self.settings.evidence_budget;
        for (address, change) in transitions {
            match change {
                Change::Resolved => self.resolve(&address, now, outcome),
                Change::Fired | Change::Lapsed => {
                    if let Some(alert) = self.alert_mut(&address) {
                        let told = alert.paging.standing == Standing::Notified || alert.paging.lapsed;
                        alert.paging =
                            Paging { revision: alert.paging.revision, lapsed: told && change == Change::Lapsed, ..Paging::default() };
                    }
                }
                Change::Pending | Change::Dropped => {}
            }
        }
        let addresses = self.active();
        let servers = self.dialects.as_ref().map(|dialects| dialects.rows().servers_by_exporter()).unwrap_or_default();
        let candidates: Vec<Candidate> = addresses.iter().filter_map(|a| self.alert(a)).map(|alert| candidate(alert, &servers)).collect();
        let reporting = self.reporting(source, now.at, &candidates);
        let can_alert = |service: &str| reporting.contains(service);
        let explanations = cause::explain(&candidates, &*self.topology, &self.settings.cause, &can_alert);
        let mut standings: Vec<Standing> = addresses.iter().filter_map(|a| self.alert(a)).map(|a| a.paging.standing).collect();
        let notified_as: Vec<_> = addresses.iter().filter_map(|a| self.alert(a)).map(|a| a.paging.severity).collect();
        let hears = |i: usize, severity: Severity| {
            let labels = &addresses[i].2;
            let outward = || notice::outward(labels, &self.settings.external_labels);
            let heard = |audience: &Arc<dyn Audience>| audience.hears(&fingerprint(labels), &outward(), severity);
            self.audience.as_ref().is_none_or(heard)
        };
        let unspoken = unspoken(&candidates, &explanations, &hears);
        let interval = self.groups.iter().map(|group| group.interval).max().unwrap_or(self.settings.interval);
        let rule = |address: &Address| &self.groups[address.0].rules[address.1].rule;
        let looks_back: Vec<Duration> = addresses.iter().map(|a| rule(a).query.shortest_range().unwrap_or_default()).collect();
        let patience = Patience { settings: &self.settings, interval, looks_back: &looks_back };
        let verdicts = paging::decide(&candidates, &explanations, &hears, &unspoken, &mut standings, &notified_as, patience, now);
        let dependents = paging::Dependents::new(&candidates, &explanations);
        let before = std::mem::take(&mut self.explained);
        for (i, address) in addresses.iter().enumerate() {
            let mut cause = explanations[i].as_ref().map(|e| cause::describe(e, &candidates));
            if let Some(cause) = cause.as_mut().filter(|_| unspoken.contains(&i)) {
                cause.reason.push_str(", of which nobody is told");
            }
            let dependents = dependents.of(i);
            let key = self.key(address);
            // Who is told later, or again, hears of everybody it explains by then.
            let known = before.get(&key).is_none_or(|(_, had)| *had == dependents);
            if !known && verdicts[i] == Verdict::Nothing && standings[i] == Standing::Notified {
                outcome.refreshed.extend(self.bare_notice(address, now, None, dependents.clone()));
            }
            self.explained.insert(key, (cause.clone(), dependents.clone()));
            self.apply(address, verdicts[i], standings[i], cause, dependents, &explanations[i], now, outcome);
        }
        outcome.board_changed |= before != self.explained;
    }

    #[allow(clippy::too_many_arguments)]
    fn apply(
        &mut self,
        address: &Address,
        verdict: Verdict,
        standing: Standing,
        cause: Option<Cause>,
        dependents: Vec<String>,
        explanation: &Option<Explanation>,
        now: Moment,
        outcome: &mut TickOutcome,
    ) {
        let Some(alert) = self.alert_mut(address) else { return };
        alert.paging.standing = standing;
        match standing {
            Standing::Explained { .. } => alert.paging.cause.clone_from(&cause),
            // What lingers keeps showing the cause it had.
            Standing::Held { lingering: true, .. } => {}
            _ => alert.paging.cause = None,
        }
        let shown = match verdict {
            Verdict::Nothing => return,
            Verdict::Notify(severity) => {
                alert.paging.severity = Some(severity);
                alert.paging.last_sent = Some(now);
                None
            }
            Verdict::Explain => cause.clone(),
        };
        bump(&mut alert.paging, now);
        let suspected = cause.filter(|_| explanation.is_some() && shown.is_none());
        if let Some(notice) = self.notice(address, now, shown, dependents, suspected) {
            outcome.notices.push(notice);
        }
    }

    fn resolve(&mut self, address: &Address, now: Moment, outcome: &mut TickOutcome) {
        let Some(alert) = self.alert_mut(address) else { return };
        let explained = matches!(alert.paging.standing, Standing::Explained { .. } | Standing::Held { lingering: true, .. });
        let cause = alert.paging.cause.clone().filter(|_| explained);
        if cause.is_none() {
            alert.paging.last_sent = Some(now);
        }
        bump(&mut alert.paging, now);
        if let Some(notice) = self.notice(address, now, cause, Vec::new(), None) {
            outcome.notices.push(notice);
        }
    }

    fn notice(
        &self,
        address: &Address,
        now: Moment,
        cause: Option<Cause>,
        dependents: Vec<String>,
        suspected: Option<Cause>,
    ) -> Option<Notice> {
        let rule = &self.groups[address.0].rules[address.1].rule;
        let alert = self.alert(address)?;
        let mut notice = self.bare_notice(address, now, cause, dependents)?;
        if let Some(source) = &self.evidence {
            let request = EvidenceRequest {
                labels: &alert.labels,
                service: cause::subject(&alert.labels),
                expression: &rule.expression,
                active_at: alert.life.active.at,
                now: now.at,
                brief: self.clock.read().awake > self.evidence_until,
            };
            let found = source.evidence(&request);
            let Evidence { value, expression, dependents, .. } = notice.evidence;
            notice.evidence = Evidence { value, expression, dependents, ..found };
        }
        if let Some(suspected) = suspected {
            notice.evidence.surroundings.insert(0, format!("suspected cause: {}", suspected.reason));
        }
        Some(notice)
    }

    /// Without what has to be looked up.
    fn bare_notice(&self, address: &Address, now: Moment, cause: Option<Cause>, dependents: Vec<String>) -> Option<Notice> {
        let group = &self.groups[address.0];
        let valid_until = group.valid_until(now, &self.settings);
        let mut notice = notice::notice(self.alert(address)?, &group.rules[address.1].rule, &self.settings, now, valid_until, cause);
        notice.evidence.dependents = dependents;
        Some(notice)
    }

    /// Repeats what was sent, every `resend_delay`: firing alerts while they fire, resolved ones for fifteen minutes.
    pub(super) fn resend(&mut self, now: Moment, outcome: &mut TickOutcome) {
        let mut due = Vec::new();
        for (g, group) in self.groups.iter_mut().enumerate() {
            for (r, rule) in group.rules.iter_mut().enumerate() {
                // Nothing is sent for a rule that could not be evaluated: receivers then see it end, as with Prometheus.
                if rule.health != RuleHealth::Ok {
                    continue;
                }
                for (labels, alert) in &mut rule.state {
                    let sent = alert.paging.last_sent.filter(|_| alert.life.state != AlertState::Pending);
                    if sent.is_some_and(|sent| now.since(sent) >= self.settings.resend_delay) {
                        alert.paging.last_sent = Some(now);
                        due.push((g, r, labels.clone()));
                    }
                }
            }
        }
        for address in due {
            let dependents = self.explained.get(&self.key(&address)).map(|(_, d)| d.clone()).unwrap_or_default();
            outcome.refreshed.extend(self.bare_notice(&address, now, None, dependents));
        }
    }

    /// Services that report telemetry or have alerts: where a fault can be expected to show as an alert.
    fn reporting(&self, source: &dyn SeriesSource, now: Timestamp, candidates: &[Candidate]) -> BTreeSet<String> {
        if !candidates.iter().any(|c| c.firing) {
            return BTreeSet::new();
        }
        let range = TimeRange { start: now.saturating_sub(self.engine.options().lookback), end: now };
        let selector = Selector::metric("traces_span_metrics_calls_total");
        let names = source.label_values("service_name", &[selector], range).unwrap_or_default();
        names.into_iter().chain(candidates.iter().flat_map(Candidate::subjects).map(str::to_owned)).collect()
    }
}

fn candidate(alert: &ActiveAlert, servers: &BTreeMap<&str, &str>) -> Candidate {
    let firing = alert.life.state == AlertState::Firing;
    let beside = cause::target(&alert.labels).and_then(|target| servers.get(target)).map(|server| (*server).to_owned());
    let fired_at = alert.life.fired.unwrap_or(alert.life.active).at;
    let candidate = Candidate::of(&alert.labels, notice::severity(&alert.labels), alert.life.active.at, firing);
    let stated = alert.annotations.get(INDEPENDENT).is_some_and(|text| text == "true");
    Candidate { independent: candidate.independent || stated, beside, fired_at, ..candidate }
}

/// Gives the alert's next notice its place in the order. Starts at the time, so that an alert that was forgotten does not start over.
fn bump(paging: &mut Paging, now: Moment) {
    paging.revision = (paging.revision + 1).max(u64::try_from(now.at.millis()).unwrap_or(0));
}

/// Alerts of whose cause nobody hears, while somebody would hear of them.
fn unspoken(candidates: &[Candidate], explanations: &[Option<Explanation>], hears: &Hears<'_>) -> BTreeSet<usize> {
    // With how loud it speaks: see `paging::raise`.
    let mut roots: BTreeMap<usize, (Severity, Vec<usize>)> = BTreeMap::new();
    for (i, explanation) in explanations.iter().enumerate().filter(|(i, _)| candidates[*i].firing) {
        if let Some(Explanation { root: Root::Alert(root), .. }) = explanation {
            let (loudest, victims) = roots.entry(*root).or_insert((candidates[*root].severity, Vec::new()));
            *loudest = (*loudest).max(candidates[i].severity);
            victims.push(i);
        }
    }
    let mute = roots.into_iter().filter(|(root, (loudest, _))| candidates[*root].firing && !hears(*root, *loudest));
    mute.flat_map(|(_, (_, victims))| victims).filter(|i| hears(*i, candidates[*i].severity)).collect()
}
