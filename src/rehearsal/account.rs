//! What a rehearsal saw, and whether that is what the scenario declares.

use super::messages;
use crate::instance::THRESHOLD_LABEL as THRESHOLD;
use crate::local::lens::Lens;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use watchfire_alerts::AlertRecord;
use watchfire_config::platform::{Platform, Route, Scenario};
use watchfire_demo::Simulation;
use watchfire_model::reading::AlertState;
use watchfire_model::{Cause, Notice, NoticeState, Severity};
use watchfire_notifiers::Said;

const STATES: &str = r#"max by (service, breaker) (watchfire_breaker_state{inferred!="true"})"#;

/// Rules of presets are evaluated this often.
const TICK: Duration = Duration::from_secs(5);

/// One alert from its first evaluation to its end.
#[derive(Clone, Debug)]
pub struct Episode {
    pub threshold: String,
    pub name: String,
    /// What it is about: the labels that tell it from others of its rule.
    pub about: String,
    pub severity: Severity,
    pub owner: String,
    pub impact: String,
    pub runbook: String,
    /// Seconds of the scenario.
    pub pending: Duration,
    pub fired: Option<Duration>,
    pub resolved: Option<Duration>,
    pub cause: Option<Cause>,
    /// When the first message of it went out.
    pub first_told: Option<Duration>,
    /// Receivers of its beginning and of its end.
    pub told: Vec<String>,
    pub told_end: Vec<String>,
    pub fingerprint: String,
    /// As loud as people were told, which is louder than it is where it spoke for a louder one.
    pub loudest: Severity,
    /// What is wrong with a message about it.
    pub unsaid: Vec<String>,
}

/// One row of the SLO board over time.
#[derive(Clone, Debug, Default)]
pub struct Course {
    pub id: String,
    pub met: Option<Duration>,
    pub missed: Option<Duration>,
    pub met_again: Option<Duration>,
}

/// One breaker.
#[derive(Clone, Debug, Default)]
pub struct BreakerCourse {
    /// States it entered, in order, as it says itself: a trial that lasts milliseconds falls between two scrapes.
    pub entered: Vec<&'static str>,
    /// Its series showed it open.
    pub seen_open: bool,
    /// Its series shows it closed.
    pub closed: bool,
}

impl BreakerCourse {
    fn whole(&self) -> bool {
        self.closed && self.seen_open && self.entered.ends_with(&["half-open", "closed"])
    }

    fn opened(&self) -> bool {
        self.seen_open || self.entered.contains(&"open")
    }
}

/// Everything one rehearsal saw.
#[derive(Debug)]
pub struct Account {
    pub scenario: Scenario,
    pub lasted: Duration,
    pub episodes: Vec<Episode>,
    pub objectives: Vec<Course>,
    /// By service and breaker.
    pub breakers: BTreeMap<(String, String), BreakerCourse>,
    broken: Vec<(String, String, String)>,
    routes: Vec<Route>,
    /// How long an alert may wait for a suspected cause.
    hold: Duration,
}

/// Collects while the rehearsal runs.
pub struct Observer {
    account: Account,
    open: BTreeMap<String, usize>,
}

impl Observer {
    pub fn new(platform: &Platform, scenario: &Scenario, hold: Duration) -> Self {
        let objectives = platform.objectives.iter().map(|o| Course { id: o.id.clone(), ..Course::default() }).collect();
        let breakers = platform.breakers.iter().map(|b| ((b.service.clone(), b.name.clone()), BreakerCourse::default())).collect();
        Observer {
            account: Account {
                scenario: scenario.clone(),
                lasted: Duration::ZERO,
                episodes: Vec::new(),
                objectives,
                breakers,
                broken: Vec::new(),
                routes: platform.routes.clone(),
                hold,
            },
            open: BTreeMap::new(),
        }
    }

    /// The state of all alerts after a tick, and those that changed in it (which holds the ends of those that are gone).
    pub fn alerts(&mut self, current: &[AlertRecord], changed: &[AlertRecord], at: Duration) {
        for record in changed.iter().chain(current) {
            let key = record.key();
            let resolved = record.life.state == AlertState::Resolved;
            let index = match self.open.get(&key) {
                Some(index) => *index,
                None if resolved => continue,
                None => {
                    self.account.episodes.push(begin(record, at));
                    self.open.insert(key.clone(), self.account.episodes.len() - 1);
                    self.account.episodes.len() - 1
                }
            };
            let episode = &mut self.account.episodes[index];
            if record.life.state == AlertState::Firing && episode.fired.is_none() {
                episode.fired = Some(at);
            }
            if record.paging.cause.is_some() {
                episode.cause.clone_from(&record.paging.cause);
            }
            if resolved {
                episode.resolved = Some(at);
                self.open.remove(&key);
            }
        }
        // What pended and never fired leaves without a word.
        let alive: BTreeSet<String> = current.iter().map(AlertRecord::key).collect();
        let episodes = &mut self.account.episodes;
        self.open.retain(|key, index| {
            let goes = !alive.contains(key);
            if goes && episodes[*index].fired.is_some() {
                episodes[*index].resolved = Some(at);
            }
            !goes
        });
    }

    /// What the evaluator has to tell. Of one with a cause nobody hears.
    pub fn notice(&mut self, notice: &Notice) {
        let episode = self.account.episodes.iter_mut().rev().find(|e| e.fingerprint == notice.fingerprint);
        let Some(episode) = episode else { return };
        if let Some(cause) = &notice.cause {
            episode.cause = Some(cause.clone());
        }
    }

    /// A message on its way to a receiver.
    pub fn said(&mut self, said: &Said, at: Duration) {
        for (fingerprint, state, severity) in &said.news {
            let over = *state == NoticeState::Resolved;
            let about = |e: &&mut Episode| e.fingerprint == *fingerprint && e.fired.is_some() && (!over || e.resolved.is_some());
            let Some(episode) = self.account.episodes.iter_mut().rev().find(about) else { continue };
            episode.unsaid.extend(messages::missing(said, episode));
            episode.first_told.get_or_insert(at);
            let heard = |list: &mut Vec<String>| {
                if !list.contains(&said.receiver) {
                    list.push(said.receiver.clone());
                }
            };
            heard(&mut episode.told);
            episode.loudest = episode.loudest.max(*severity);
            if over {
                heard(&mut episode.told_end);
            }
        }
    }

    pub fn objective(&mut self, index: usize, met: Option<bool>, at: Duration) {
        let course = &mut self.account.objectives[index];
        match met {
            Some(true) if course.missed.is_some() => course.met_again = course.met_again.or(Some(at)),
            Some(true) => course.met = course.met.or(Some(at)),
            Some(false) => {
                course.missed = course.missed.or(Some(at));
                course.met_again = None;
            }
            None => {}
        }
    }

    /// # Errors
    /// When the store cannot be asked.
    pub fn breakers(&mut self, lens: &Lens<'_>, simulation: &Simulation) -> anyhow::Result<()> {
        for (labels, state) in lens.vector(STATES)? {
            let key = (labels.value("service").to_owned(), labels.value("breaker").to_owned());
            let course = self.account.breakers.entry(key).or_default();
            course.closed = state == 0.0;
            course.seen_open |= state == 2.0;
        }
        for ((service, breaker), course) in &mut self.account.breakers {
            let transitions = simulation.breaker(service, breaker).map(|(_, transitions)| transitions).unwrap_or_default();
            course.entered = transitions.iter().map(|(_, state)| state.word()).collect();
        }
        Ok(())
    }

    /// Everything is as before.
    pub fn calm(&self) -> bool {
        let account = &self.account;
        account.episodes.iter().all(|e| e.fired.is_none() || e.resolved.is_some())
            && self.open.is_empty()
            && account.objectives.iter().all(|o| o.missed.is_none() || o.met_again.is_some())
            && account.breakers.values().all(|b| !b.opened() || b.whole())
    }

    pub fn account(mut self, lasted: Duration, broken: Vec<(String, String, String)>) -> Account {
        // Who was told that it fires, and heard of no end when it fired again, needs not be told again.
        for index in 1..self.account.episodes.len() {
            let (before, rest) = self.account.episodes.split_at_mut(index);
            let Some(before) = before.iter().rev().find(|e| e.fingerprint == rest[0].fingerprint && e.fired.is_some()) else { continue };
            let still = before.told.iter().filter(|r| !before.told_end.contains(r));
            let new: Vec<String> = still.filter(|r| !rest[0].told.contains(r)).cloned().collect();
            rest[0].told.extend(new);
        }
        self.account.lasted = lasted;
        self.account.broken = broken;
        self.account
    }
}

fn lasted(episode: &Episode) -> Option<Duration> {
    Some(episode.resolved?.saturating_sub(episode.fired?))
}

fn begin(record: &AlertRecord, at: Duration) -> Episode {
    let known = ["alertname", "severity", THRESHOLD];
    let about = record.labels.iter().filter(|l| !known.contains(&&*l.name)).map(|l| format!("{}={}", l.name, l.value));
    Episode {
        threshold: record.labels.value(THRESHOLD).to_owned(),
        name: record.rule.clone(),
        about: about.collect::<Vec<_>>().join(" "),
        severity: Severity::from_label(record.labels.value("severity")),
        loudest: Severity::from_label(record.labels.value("severity")),
        owner: record.annotations.value("owner").to_owned(),
        impact: record.annotations.value("impact").to_owned(),
        runbook: record.annotations.value("runbook_url").to_owned(),
        pending: at,
        fired: None,
        resolved: None,
        cause: None,
        first_told: None,
        told: Vec::new(),
        told_end: Vec::new(),
        fingerprint: watchfire_alerts::fingerprint(&record.labels),
        unsaid: Vec::new(),
    }
}

impl Account {
    fn fired(&self) -> impl Iterator<Item = &Episode> {
        self.episodes.iter().filter(|e| e.fired.is_some())
    }

    /// Whom the document's routes name for an alert of this kind, told this loud.
    fn expected(&self, episode: &Episode, severity: Severity) -> Vec<String> {
        let matching = self.routes.iter().filter(|r| {
            r.severities.iter().any(|s| Severity::from_label(s) == severity)
                && r.labels.iter().all(|(name, value)| name == THRESHOLD && *value == episode.threshold)
        });
        // Digests collect everything; of the others the first decides.
        let (digests, at_once): (Vec<&Route>, Vec<&Route>) = matching.partition(|r| r.digest.is_some());
        digests.into_iter().chain(at_once.into_iter().take(1)).flat_map(|r| r.receivers.iter().chain(&r.teams)).cloned().collect()
    }

    /// Everything that is not as the scenario declares; empty when all is well.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let declared: BTreeSet<&str> = self.scenario.trips.iter().map(String::as_str).collect();
        let fired: BTreeSet<&str> = self.fired().map(|e| e.threshold.as_str()).collect();
        faults.extend(declared.difference(&fired).map(|id| format!("{id} is declared and did not fire")));
        for episode in self.fired() {
            let who = format!("{} {} ({})", episode.threshold, episode.name, episode.about);
            if !declared.contains(episode.threshold.as_str()) {
                faults.push(format!("{who} fired and is not declared"));
            }
            if episode.resolved.is_none() {
                faults.push(format!("{who} did not resolve"));
            }
            if episode.owner.is_empty() || episode.impact.is_empty() {
                faults.push(format!("{who} says nobody who owns it, or not what it means"));
            }
            self.check_told(episode, &who, &mut faults);
            self.check_cause(episode, &who, &mut faults);
        }
        let heard = |id: &str| self.fired().any(|e| e.threshold == id && (!e.told.is_empty() || e.cause.is_some()));
        faults.extend(declared.iter().filter(|id| fired.contains(*id) && !heard(id)).map(|id| format!("nobody heard of {id}")));
        self.check_objectives(&mut faults);
        for ((service, breaker), course) in self.breakers.iter().filter(|(_, c)| c.opened() && !c.whole()) {
            faults.push(format!("breaker {service} / {breaker} opened and did not come back: {:?}", course.entered));
        }
        faults.extend(self.broken.iter().map(|(group, rule, error)| format!("rule {group} / {rule}: {error}")));
        faults
    }

    /// Told to whom the document says, or held back under a cause that fires itself.
    fn check_told(&self, episode: &Episode, who: &str, faults: &mut Vec<String>) {
        let mut told = episode.told.clone();
        told.sort();
        faults.extend(episode.unsaid.iter().map(|what| format!("{who}: {what}")));
        let again = self.fired().any(|e| e.fingerprint == episode.fingerprint && e.fired > episode.fired);
        match &episode.cause {
            _ if !told.is_empty() => {
                let mut expected = self.expected(episode, episode.severity);
                expected.extend(self.expected(episode, episode.loudest));
                expected.sort();
                expected.dedup();
                // Of an alert that fires again a digest tells once, as it is then.
                if again {
                    let digests = || self.routes.iter().filter(|r| r.digest.is_some()).flat_map(|r| r.receivers.iter().chain(&r.teams));
                    expected.retain(|r| told.contains(r) || !digests().any(|d| d == r));
                }
                // A cause that is found late stops what has not been sent.
                if told != expected && (episode.cause.is_none() || told.iter().any(|r| !expected.contains(r))) {
                    faults.push(format!("{who} was told to {told:?}, the document says {expected:?}"));
                }
                let unaware: Vec<&String> = told.iter().filter(|r| !episode.told_end.contains(r)).collect();
                if episode.resolved.is_some() && !again && !unaware.is_empty() {
                    faults.push(format!("{who}: {unaware:?} never heard of its end"));
                }
            }
            Some(cause) if cause.alert.is_empty() || self.fired().any(|e| e.name == cause.alert) => {}
            Some(cause) => faults.push(format!("{who} is held back for {}, which never fired", cause.alert)),
            // It waited for a suspected cause to show itself, and ended before that time was over.
            None if lasted(episode).is_some_and(|d| d <= self.hold + TICK) => {}
            None => faults.push(format!("{who} fired and nobody was told")),
        }
    }

    /// Who is to be told of an alert this loud is told of its cause at least.
    fn check_cause(&self, episode: &Episode, who: &str, faults: &mut Vec<String>) {
        let Some(cause) = &episode.cause else { return };
        let root = self.fired().find(|e| e.name == cause.alert && e.about.split(' ').any(|l| l.ends_with(&format!("={}", cause.service))));
        let Some(root) = root.filter(|root| !root.told.is_empty() && root.severity < episode.severity) else { return };
        let deaf: Vec<String> = self.expected(episode, episode.severity).into_iter().filter(|r| !root.told.contains(r)).collect();
        if !deaf.is_empty() {
            faults.push(format!("{who} is held back for {}, of which {deaf:?} never heard", cause.alert));
        }
    }

    fn check_objectives(&self, faults: &mut Vec<String>) {
        for course in &self.objectives {
            let declared = self.scenario.misses.contains(&course.id);
            match (declared, course.missed) {
                (true, None) => faults.push(format!("objective {} is declared and was not missed", course.id)),
                (false, Some(at)) => faults.push(format!("objective {} was missed at {} s and is not declared", course.id, at.as_secs())),
                (true, Some(missed)) if course.met.is_none_or(|met| met >= missed) => {
                    faults.push(format!("objective {} was never met before it was missed", course.id));
                }
                (true, Some(_)) if course.met_again.is_none() => faults.push(format!("objective {} stayed missed", course.id)),
                _ => {}
            }
        }
    }
}

/// What no scenario of a platform touches: thresholds without one, objectives that none moves, breakers that none drives through a whole cycle.
pub fn gaps(platform: &Platform, thresholds: &BTreeSet<String>, accounts: &[Account]) -> Vec<String> {
    let mut gaps = Vec::new();
    // Objectives that are missed together are one page; the board shows each.
    let objective = |id: &str| platform.objectives.iter().any(|o| o.id == id);
    for id in thresholds {
        if !accounts.iter().any(|a| a.fired().any(|e| e.threshold == *id && e.resolved.is_some())) {
            gaps.push(format!("{id}: no scenario makes its rule fire and resolve"));
        } else if !objective(id) && !accounts.iter().any(|a| a.fired().any(|e| e.threshold == *id && !e.told.is_empty())) {
            gaps.push(format!("{id}: in every scenario its alert is held back for a cause, and nobody is told"));
        }
    }
    for objective in platform.objectives.iter().filter(|o| o.value.is_some()) {
        let moved = |a: &Account| a.objectives.iter().any(|c| c.id == objective.id && c.missed.is_some() && c.met_again.is_some());
        if !accounts.iter().any(moved) {
            gaps.push(format!("{}: no scenario moves the objective from met to missed and back", objective.id));
        }
    }
    for breaker in &platform.breakers {
        let key = (breaker.service.clone(), breaker.name.clone());
        if !accounts.iter().any(|a| a.breakers.get(&key).is_some_and(BreakerCourse::whole)) {
            gaps.push(format!("breaker {} / {}: no scenario drives it through open and half-open", breaker.service, breaker.name));
        }
    }
    gaps
}
