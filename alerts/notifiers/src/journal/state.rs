//! Everything that survives a restart, and the changes it is made of. [`State::apply`] is the only way it changes, at run time and at recovery alike.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use watchfire_model::reading::Silence;
use watchfire_model::{Labels, MatchOp, Matcher, Notice, NoticeState, Severity, Timestamp};

/// Dead letters kept for reading; each is also counted.
const DEAD_LETTERS: usize = 1000;
/// Transitions remembered for daily summaries.
const HISTORY: usize = 10_000;

/// Where a notice goes: one channel of one receiver, and the group it belongs to there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Name of the delivery path: `receiver/channel`, with a number where a receiver has several of a kind.
    pub path: String,
    /// Names the group within the path.
    pub group_key: String,
    pub group_labels: Labels,
    /// Index of the timing of the deciding route, in the routing table's list; out of range means the default.
    pub route: usize,
}

/// What one delivery path owes, and has delivered, about one alert: outbox entry and notification log in one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    pub destination: Destination,
    /// The newest transition; what has not been sent of an older one never will be.
    pub notice: Arc<Notice>,
    /// Explained by a cause: not to be sent while it fires.
    pub held: bool,
    /// When the newest transition was queued.
    pub queued_at: Timestamp,
    pub sent_revision: Option<u64>,
    pub sent_state: Option<NoticeState>,
    pub sent_at: Option<Timestamp>,
    /// What the receiver called the message, where it did: the id of a desktop popup.
    pub handle: Option<u32>,
    /// The receiver knows of the acknowledgement.
    pub acknowledged: bool,
    /// Given up: refused by the receiver, or too old.
    pub dead: bool,
}

impl Cell {
    /// Bytes of text in the notice, about.
    pub fn size(&self) -> u64 {
        let notice = &*self.notice;
        let evidence = &notice.evidence;
        let texts = evidence.surroundings.iter().chain(&evidence.dependents).chain(&evidence.trace_ids).map(String::len).sum::<usize>();
        (notice.labels.text_bytes() + notice.annotations.text_bytes() + evidence.expression.len() + texts + 200) as u64
    }

    /// True while the receiver has not heard the newest transition and should.
    pub fn is_owed(&self) -> bool {
        if self.dead || self.sent_revision.is_some_and(|sent| sent >= self.notice.revision) {
            return false;
        }
        match self.notice.state {
            NoticeState::Firing => !self.held,
            // An incident nobody was told about because of its cause ends as quietly.
            NoticeState::Resolved => !self.held || self.sent_state == Some(NoticeState::Firing),
        }
    }
}

/// A message that may be under way: until it is known to have arrived, it is repeated with the same key and the same members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Composed {
    pub path: String,
    pub group_key: String,
    pub key: String,
    /// (fingerprint, revision) of each alert in it.
    pub members: Vec<(String, u64)>,
}

/// Somebody looks after an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    pub fingerprint: String,
    pub by: String,
    pub at: Timestamp,
    /// `None`: until the alert resolves.
    pub until: Option<Timestamp>,
}

/// A message that will not be tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub path: String,
    pub alert: String,
    pub fingerprint: String,
    pub reason: String,
    pub at: Timestamp,
}

/// One transition, for summaries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    pub at: Timestamp,
    pub fingerprint: String,
    pub alert: String,
    pub severity: Severity,
    pub state: NoticeState,
    pub labels: Labels,
    pub starts_at: Timestamp,
    pub held: bool,
}

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
    Compose(Composed),
    /// The receiver confirmed these.
    Sent {
        path: String,
        group_key: String,
        at: Timestamp,
        /// (fingerprint, revision, handle)
        alerts: Vec<(String, u64, Option<u32>)>,
    },
    Acknowledged {
        path: String,
        fingerprints: Vec<String>,
    },
    /// Resolved before anybody could be told, while a silence covered it: nobody will be.
    Dropped {
        path: String,
        fingerprints: Vec<String>,
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

/// A silence with its conditions compiled.
#[derive(Clone, Debug)]
pub struct ActiveSilence {
    pub silence: Silence,
    matchers: Vec<Matcher>,
}

impl ActiveSilence {
    /// # Errors
    /// When an operator is unknown, a regular expression is refused, no condition is given, or it ends before it starts.
    pub fn new(silence: Silence) -> Result<Self, String> {
        if silence.matchers.is_empty() {
            return Err("a silence needs at least one matcher".to_owned());
        }
        if silence.ends_at <= silence.starts_at {
            return Err("a silence must end after it starts".to_owned());
        }
        let mut matchers = Vec::new();
        for (name, op, value) in &silence.matchers {
            let op = match op.as_str() {
                "=" => MatchOp::Equal,
                "!=" => MatchOp::NotEqual,
                "=~" => MatchOp::Regex,
                "!~" => MatchOp::NotRegex,
                other => return Err(format!("unknown operator {other:?} in a silence; use =, !=, =~ or !~")),
            };
            matchers.push(Matcher::new(name, op, value).map_err(|e| format!("silence matcher {name}: {e}"))?);
        }
        if matchers.iter().all(|m| m.matches_value("")) {
            return Err("at least one matcher of a silence must not match the empty value".to_owned());
        }
        Ok(ActiveSilence { silence, matchers })
    }

    pub fn covers(&self, labels: &Labels, now: Timestamp) -> bool {
        self.silence.starts_at <= now && now < self.silence.ends_at && self.matchers.iter().all(|m| m.matches(labels))
    }
}

/// The durable state, in memory.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The evaluator's own records by its own keys; opaque here.
    pub alert_states: HashMap<String, Vec<u8>>,
    /// Path, then fingerprint.
    pub cells: BTreeMap<String, BTreeMap<String, Cell>>,
    /// (path, group key).
    pub composed: BTreeMap<(String, String), Composed>,
    pub silences: BTreeMap<String, ActiveSilence>,
    pub acknowledgements: BTreeMap<String, Acknowledgement>,
    pub dead: VecDeque<DeadLetter>,
    pub history: VecDeque<Transition>,
    pub summaries: BTreeMap<String, Timestamp>,
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
                self.cells.entry(path).or_default().insert(cell.notice.fingerprint.clone(), (**cell).clone());
            }
            Change::Compose(composed) => {
                self.counter += 1;
                let taken: BTreeSet<&str> = composed.members.iter().map(|(f, _)| f.as_str()).collect();
                self.composed.retain(|(path, _), c| *path != composed.path || c.members.iter().all(|(f, _)| !taken.contains(f.as_str())));
                self.composed.insert((composed.path.clone(), composed.group_key.clone()), composed.clone());
            }
            Change::Sent { path, group_key, at, alerts } => self.sent(path, group_key, *at, alerts),
            Change::Acknowledged { path, fingerprints } => {
                for fingerprint in fingerprints {
                    if let Some(cell) = self.cells.get_mut(path).and_then(|cells| cells.get_mut(fingerprint)) {
                        cell.acknowledged = true;
                    }
                }
            }
            Change::Dropped { path, fingerprints } => {
                for fingerprint in fingerprints {
                    if let Some(cell) = self.cells.get_mut(path).and_then(|cells| cells.get_mut(fingerprint)) {
                        cell.sent_revision = Some(cell.notice.revision);
                    }
                }
            }
            Change::Dead(letter) => {
                if let Some(cell) = self.cells.get_mut(&letter.path).and_then(|cells| cells.get_mut(&letter.fingerprint)) {
                    cell.dead = true;
                }
                self.composed.retain(|(path, _), c| *path != letter.path || c.members.iter().all(|(f, _)| *f != letter.fingerprint));
                push_bounded(&mut self.dead, letter.clone(), DEAD_LETTERS);
            }
            Change::Silence(silence) => {
                if let Ok(active) = ActiveSilence::new(silence.clone()) {
                    self.silences.insert(silence.id.clone(), active);
                }
            }
            Change::Acknowledge(acknowledgement) => {
                for cells in self.cells.values_mut() {
                    if let Some(cell) = cells.get_mut(&acknowledgement.fingerprint) {
                        cell.acknowledged = false;
                    }
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
        let addressed: BTreeSet<&str> = destinations.iter().map(|d| d.path.as_str()).collect();
        for destination in destinations {
            let cells = self.cells.entry(destination.path.clone()).or_default();
            match cells.get_mut(&notice.fingerprint) {
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
                    let cell = Cell {
                        destination: destination.clone(),
                        notice: notice.clone(),
                        held,
                        queued_at: at,
                        sent_revision: None,
                        sent_state: None,
                        sent_at: None,
                        handle: None,
                        acknowledged: false,
                        dead: false,
                    };
                    cells.insert(notice.fingerprint.clone(), cell);
                }
            }
        }
        // Paths that heard of it once and that routing no longer names still learn how it ends.
        if notice.state == NoticeState::Resolved {
            for (_, cells) in self.cells.iter_mut().filter(|(path, _)| !addressed.contains(path.as_str())) {
                if let Some(cell) = cells.get_mut(&notice.fingerprint).filter(|c| c.notice.revision < notice.revision) {
                    cell.notice = notice.clone();
                    cell.queued_at = at;
                    cell.dead = false;
                }
            }
            self.acknowledgements.remove(&notice.fingerprint);
        }
        let transition = Transition {
            at,
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

    fn sent(&mut self, path: &str, group_key: &str, at: Timestamp, alerts: &[(String, u64, Option<u32>)]) {
        let key = (path.to_owned(), group_key.to_owned());
        if let Some(composed) = self.composed.get_mut(&key) {
            composed.members.retain(|(member, _)| alerts.iter().all(|(sent, _, _)| sent != member));
            if composed.members.is_empty() {
                self.composed.remove(&key);
            }
        }
        let Some(cells) = self.cells.get_mut(path) else { return };
        for (fingerprint, revision, handle) in alerts {
            let Some(cell) = cells.get_mut(fingerprint) else { continue };
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

    /// The silence that covers these labels now, if any.
    pub fn silenced_by(&self, labels: &Labels, now: Timestamp) -> Option<&Silence> {
        self.silences.values().find(|s| s.covers(labels, now)).map(|s| &s.silence)
    }

    pub fn acknowledged_by(&self, fingerprint: &str, now: Timestamp) -> Option<&Acknowledgement> {
        self.acknowledgements.get(fingerprint).filter(|a| a.until.is_none_or(|until| until > now))
    }

    /// Entries that wait to be sent, over all paths.
    pub fn owed(&self) -> usize {
        self.cells.values().flat_map(BTreeMap::values).filter(|c| c.is_owed()).count()
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
