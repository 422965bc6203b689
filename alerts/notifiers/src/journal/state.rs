//! Everything that survives a restart, and the changes it is made of. [`State::apply`] is the only way it changes, at run time and at recovery alike.

use super::entries::{Acknowledgement, Cell, Composed, DeadLetter, Destination, Note, Transition, entries_of, entry};
use super::silence::ActiveSilence;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use watchfire_model::reading::Silence;
use watchfire_model::{Evidence, Labels, Notice, NoticeState, Timestamp};

/// Dead letters kept for reading; each is also counted.
const DEAD_LETTERS: usize = 1000;
/// Transitions remembered for daily summaries.
const HISTORY: usize = 10_000;

/// One step of the durable state. The order in the journal is the order of application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Forget everything: a snapshot follows.
    Reset {
        counter: u64,
    },
    /// A transition and every path that is to hear it.
    Notice {
        notice: Arc<Notice>,
        destinations: Vec<Destination>,
        at: Timestamp,
    },
    Cell(Box<Cell>),
    /// Routing changed: who is to hear of an alert that fires, from now on.
    Readdress {
        notice: Arc<Notice>,
        held: bool,
        destinations: Vec<Destination>,
        at: Timestamp,
    },
    /// The path is no longer configured.
    Forget {
        path: String,
    },
    Note(Note),
    NoteSent {
        path: String,
        key: String,
    },
    Compose(Composed),
    /// The receiver confirmed these.
    Sent {
        path: String,
        group_key: String,
        at: Timestamp,
        /// (entry, revision, handle)
        alerts: Vec<(String, u64, Option<u64>)>,
    },
    Acknowledged {
        path: String,
        #[serde(alias = "fingerprints")]
        entries: Vec<String>,
    },
    /// Over, while a silence or an inhibition kept it quiet: nobody will be told.
    Dropped {
        path: String,
        #[serde(alias = "fingerprints")]
        entries: Vec<String>,
    },
    Dead(DeadLetter),
    Silence(Silence),
    Acknowledge(Acknowledgement),
    Unacknowledge {
        fingerprint: String,
    },
    Summary {
        person: String,
        at: Timestamp,
    },
    History(Transition),
    /// Time passed: resolved and delivered alerts older than `before`, ended silences and acknowledgements are dropped.
    Expire {
        before: Timestamp,
        now: Timestamp,
    },
}

/// The durable state, in memory.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The evaluator's own records by its own keys; opaque here.
    pub alert_states: HashMap<String, Vec<u8>>,
    /// Path, then entry.
    pub cells: BTreeMap<String, BTreeMap<String, Cell>>,
    /// (path, group key).
    pub composed: BTreeMap<(String, String), Composed>,
    pub silences: BTreeMap<String, ActiveSilence>,
    pub acknowledgements: BTreeMap<String, Acknowledgement>,
    pub dead: VecDeque<DeadLetter>,
    pub history: VecDeque<Transition>,
    pub summaries: BTreeMap<String, Timestamp>,
    /// Path, then key.
    pub notes: BTreeMap<(String, String), Note>,
    /// Number of the last composed message; keys are made of it and never repeat.
    pub counter: u64,
}

impl State {
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Reset { counter } => *self = State { counter: *counter, ..State::default() },
            Change::Notice { notice, destinations, at } => self.notice(notice, destinations, *at),
            Change::Cell(cell) => {
                let path = cell.destination.path.clone();
                self.cells.entry(path).or_default().insert(cell.entry(), (**cell).clone());
            }
            Change::Readdress { notice, held, destinations, at } => self.readdress(notice, *held, destinations, *at),
            Change::Forget { path } => {
                self.cells.remove(path);
                self.composed.retain(|(of, _), _| of != path);
                self.notes.retain(|(of, _), _| of != path);
            }
            Change::Note(note) => {
                self.notes.insert((note.path.clone(), note.key.clone()), note.clone());
            }
            Change::NoteSent { path, key } => {
                self.notes.remove(&(path.clone(), key.clone()));
            }
            Change::Compose(composed) => {
                self.counter += 1;
                let taken: BTreeSet<&str> = composed.members.iter().map(|(f, _)| f.as_str()).collect();
                self.composed.retain(|(path, _), c| *path != composed.path || c.members.iter().all(|(f, _)| !taken.contains(f.as_str())));
                self.composed.insert((composed.path.clone(), composed.group_key.clone()), composed.clone());
            }
            Change::Sent { path, group_key, at, alerts } => self.sent(path, group_key, *at, alerts),
            Change::Acknowledged { path, entries } => {
                for entry in entries {
                    if let Some(cell) = self.cells.get_mut(path).and_then(|cells| cells.get_mut(entry)) {
                        cell.acknowledged = true;
                    }
                }
            }
            Change::Dropped { path, entries } => {
                for entry in entries {
                    if let Some(cell) = self.cells.get_mut(path).and_then(|cells| cells.get_mut(entry)) {
                        cell.sent_revision = Some(cell.notice.revision);
                    }
                }
            }
            Change::Dead(letter) => {
                let entry = entry(&letter.fingerprint, &letter.apart);
                if let Some(cell) = self.cells.get_mut(&letter.path).and_then(|cells| cells.get_mut(&entry)) {
                    cell.dead = true;
                }
                self.composed.retain(|(path, _), c| *path != letter.path || c.members.iter().all(|(member, _)| *member != entry));
                self.notes.remove(&(letter.path.clone(), letter.fingerprint.clone()));
                push_bounded(&mut self.dead, letter.clone(), DEAD_LETTERS);
            }
            Change::Silence(silence) => {
                if let Ok(active) = ActiveSilence::new(silence.clone()) {
                    self.silences.insert(silence.id.clone(), active);
                }
            }
            Change::Acknowledge(acknowledgement) => {
                for (_, cell) in self.cells.values_mut().flat_map(|cells| cells.range_mut(entries_of(&acknowledgement.fingerprint))) {
                    cell.acknowledged = false;
                }
                self.acknowledgements.insert(acknowledgement.fingerprint.clone(), acknowledgement.clone());
            }
            Change::Unacknowledge { fingerprint } => {
                self.acknowledgements.remove(fingerprint);
            }
            Change::Summary { person, at } => {
                self.summaries.insert(person.clone(), *at);
            }
            Change::History(transition) => push_bounded(&mut self.history, transition.clone(), HISTORY),
            Change::Expire { before, now } => self.expire(*before, *now),
        }
    }

    fn notice(&mut self, notice: &Arc<Notice>, destinations: &[Destination], at: Timestamp) {
        let held = notice.cause.is_some();
        // Who looks after it does so as loud as it was: louder it is told again.
        let known = self.cells.values().filter_map(|cells| cells.get(&notice.fingerprint)).map(|c| &c.notice);
        if notice.state == NoticeState::Firing && known.max_by_key(|n| n.revision).is_some_and(|n| n.severity < notice.severity) {
            self.acknowledgements.remove(&notice.fingerprint);
        }
        let addressed: BTreeSet<(&str, &str)> = destinations.iter().map(|d| (d.path.as_str(), d.apart.as_str())).collect();
        for destination in destinations {
            let cells = self.cells.entry(destination.path.clone()).or_default();
            let entry = entry(&notice.fingerprint, &destination.apart);
            match cells.get_mut(&entry) {
                Some(cell) if cell.notice.revision >= notice.revision => {}
                Some(cell) => {
                    let begins = notice.state == NoticeState::Firing && cell.notice.state == NoticeState::Resolved;
                    if begins {
                        cell.handle = None;
                        cell.acknowledged = false;
                    }
                    cell.dead = false;
                    // A resolve keeps the hold of the firing it ends: whether somebody was told decides, not the cause of the end.
                    cell.held = if notice.state == NoticeState::Firing { held } else { cell.held };
                    cell.destination = destination.clone();
                    cell.notice = notice.clone();
                    cell.queued_at = at;
                }
                // Nobody there was told of it, so nobody is told that it is over.
                None if notice.state == NoticeState::Resolved => {}
                None => {
                    cells.insert(entry, Cell::unsent(destination, notice, held, at));
                }
            }
        }
        // Paths that heard of it once and that routing no longer names still learn how it ends.
        if notice.state == NoticeState::Resolved {
            for (path, cells) in &mut self.cells {
                let known = cells.range_mut(entries_of(&notice.fingerprint)).map(|(_, cell)| cell);
                let left = |c: &&mut Cell| !addressed.contains(&(path.as_str(), c.destination.apart.as_str()));
                for cell in known.filter(left).filter(|c| c.notice.revision < notice.revision) {
                    cell.notice = notice.clone();
                    cell.queued_at = at;
                    cell.dead = false;
                }
            }
            self.acknowledgements.remove(&notice.fingerprint);
        }
        let transition = Transition {
            at: match notice.state {
                NoticeState::Firing => notice.starts_at,
                NoticeState::Resolved => notice.ends_at,
            },
            fingerprint: notice.fingerprint.clone(),
            alert: notice.name().to_owned(),
            severity: notice.severity,
            state: notice.state,
            labels: notice.labels.clone(),
            starts_at: notice.starts_at,
            held,
        };
        push_bounded(&mut self.history, transition, HISTORY);
    }

    /// Takes over how a notice reads by now. A message that is under way stays as it was composed: its repeats say the same.
    pub fn refresh(&mut self, notice: &Notice) {
        let cells =
            self.cells.iter_mut().flat_map(|(path, cells)| cells.range_mut(entries_of(&notice.fingerprint)).map(move |of| (path, of)));
        for (path, (entry, cell)) in cells.filter(|(_, (_, cell))| cell.notice.revision == notice.revision) {
            let member = |c: &Composed| c.path == *path && c.members.iter().any(|(member, _)| member == entry);
            if self.composed.values().any(member) {
                continue;
            }
            let known = &*cell.notice;
            let evidence =
                Evidence { value: notice.evidence.value, dependents: notice.evidence.dependents.clone(), ..known.evidence.clone() };
            // How long it holds is counted from when it was queued, so its end stays.
            let refreshed = Notice { annotations: notice.annotations.clone(), evidence, ..known.clone() };
            cell.notice = Arc::new(refreshed);
        }
    }

    fn readdress(&mut self, notice: &Arc<Notice>, held: bool, destinations: &[Destination], at: Timestamp) {
        for destination in destinations {
            let cells = self.cells.entry(destination.path.clone()).or_default();
            let entry = entry(&notice.fingerprint, &destination.apart);
            match cells.get_mut(&entry) {
                Some(cell) if cell.notice.revision == notice.revision => cell.destination = destination.clone(),
                Some(_) => {}
                None => {
                    cells.insert(entry, Cell::unsent(destination, notice, held, at));
                }
            }
        }
        // Whoever was told and is no longer addressed still learns how it ends; who was not told will not be.
        for (path, cells) in &mut self.cells {
            let untold = |c: &Cell| {
                c.notice.revision == notice.revision
                    && c.sent_state != Some(NoticeState::Firing)
                    && destinations.iter().all(|d| (&d.path, &d.apart) != (path, &c.destination.apart))
            };
            let gone = cells.range(entries_of(&notice.fingerprint)).filter(|(_, cell)| untold(cell)).map(|(entry, _)| entry.clone());
            for entry in gone.collect::<Vec<_>>() {
                cells.remove(&entry);
                self.composed.retain(|(of, _), c| of != path || c.members.iter().all(|(member, _)| *member != entry));
            }
        }
    }

    fn sent(&mut self, path: &str, group_key: &str, at: Timestamp, alerts: &[(String, u64, Option<u64>)]) {
        let key = (path.to_owned(), group_key.to_owned());
        if let Some(composed) = self.composed.get_mut(&key) {
            composed.members.retain(|(member, _)| alerts.iter().all(|(sent, _, _)| sent != member));
            if composed.members.is_empty() {
                self.composed.remove(&key);
            }
        }
        let Some(cells) = self.cells.get_mut(path) else { return };
        for (entry, revision, handle) in alerts {
            let Some(cell) = cells.get_mut(entry) else { continue };
            if cell.sent_revision.is_some_and(|sent| sent > *revision) {
                continue;
            }
            cell.sent_revision = Some(*revision);
            cell.sent_at = Some(at);
            cell.handle = handle.or(cell.handle);
            // Revisions alternate with the state; an older revision than the newest was the other state unless it was the same incident.
            cell.sent_state = Some(if *revision == cell.notice.revision { cell.notice.state } else { NoticeState::Firing });
        }
    }

    fn expire(&mut self, before: Timestamp, now: Timestamp) {
        for cells in self.cells.values_mut() {
            cells.retain(|_, cell| {
                let over = cell.notice.state == NoticeState::Resolved && !cell.is_owed();
                !(over && cell.sent_at.unwrap_or(cell.queued_at).max(cell.queued_at) < before)
            });
        }
        self.cells.retain(|_, cells| !cells.is_empty());
        self.silences.retain(|_, s| s.silence.ends_at > before);
        self.acknowledgements.retain(|_, a| a.until.is_none_or(|until| until > now));
        while self.history.front().is_some_and(|t| t.at < before) {
            self.history.pop_front();
        }
    }

    /// Brings to `now` what lies ahead of it. A run before this one believed a clock that was wrong; by its times every group would have been
    /// told a moment ago, and nothing would be sent until the clock is as far as it was.
    pub fn not_ahead_of(&mut self, now: Timestamp) {
        for cell in self.cells.values_mut().flat_map(BTreeMap::values_mut) {
            cell.sent_at = cell.sent_at.map(|at| at.min(now));
            if cell.queued_at > now {
                let by = cell.queued_at.since(now);
                let known = &*cell.notice;
                let ends_at = if known.ends_at > now { known.ends_at.saturating_sub(by) } else { known.ends_at };
                let (active_at, starts_at) = (known.active_at.min(now), known.starts_at.min(now));
                cell.notice = Arc::new(Notice { active_at, starts_at, ends_at, ..known.clone() });
                cell.queued_at = now;
            }
        }
        self.notes.values_mut().for_each(|note| note.queued_at = note.queued_at.min(now));
        self.summaries.values_mut().for_each(|at| *at = (*at).min(now));
        self.history.iter_mut().for_each(|transition| transition.at = transition.at.min(now));
    }

    /// The silence that covers these labels now, if any.
    pub fn silenced_by(&self, labels: &Labels, now: Timestamp) -> Option<&Silence> {
        self.silences.values().find(|s| s.covers(labels, now)).map(|s| &s.silence)
    }

    pub fn acknowledged_by(&self, fingerprint: &str, now: Timestamp) -> Option<&Acknowledgement> {
        self.acknowledgements.get(fingerprint).filter(|a| a.until.is_none_or(|until| until > now))
    }

    /// Entries that wait to be sent, over all paths.
    pub fn owed(&self) -> usize {
        self.cells.values().flat_map(BTreeMap::values).filter(|c| c.is_owed()).count() + self.notes.len()
    }

    /// The whole state as changes that rebuild it from nothing, except for [`alert_states`](Self::alert_states).
    pub fn snapshot(&self) -> impl Iterator<Item = Change> + '_ {
        // Dead letters and acknowledgements change cells; before the cells they change nothing.
        std::iter::once(Change::Reset { counter: self.counter - self.composed.len() as u64 })
            .chain(self.dead.iter().map(|d| Change::Dead(d.clone())))
            .chain(self.acknowledgements.values().map(|a| Change::Acknowledge(a.clone())))
            .chain(self.silences.values().map(|s| Change::Silence(s.silence.clone())))
            .chain(self.cells.values().flat_map(BTreeMap::values).map(|c| Change::Cell(Box::new(c.clone()))))
            .chain(self.composed.values().map(|c| Change::Compose(c.clone())))
            .chain(self.notes.values().map(|n| Change::Note(n.clone())))
            .chain(self.history.iter().map(|t| Change::History(t.clone())))
            .chain(self.summaries.iter().map(|(person, at)| Change::Summary { person: person.clone(), at: *at }))
    }
}

fn push_bounded<T>(queue: &mut VecDeque<T>, item: T, limit: usize) {
    if queue.len() >= limit {
        queue.pop_front();
    }
    queue.push_back(item);
}
