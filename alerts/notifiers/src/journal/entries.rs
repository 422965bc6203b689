//! What the durable state consists of, entry by entry.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use watchfire_model::{Labels, Notice, NoticeState, Severity, Timestamp};

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
    /// The route, where it tells the path of the alert beside another one that does: each has a group, a pace and an entry of its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub apart: String,
    /// Further routes that lead there: the first of all that does not rest decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Turn>,
}

/// One more route to a path, and the group of the alert by that route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    pub group_key: String,
    pub group_labels: Labels,
    pub route: usize,
}

/// The path of what nobody hears: it inhibits other alerts all the same, and is told to whoever is addressed later.
pub const UNHEARD: &str = "(nobody)";

impl Destination {
    /// By one route.
    pub fn by(path: &str, turn: Turn) -> Self {
        let Turn { group_key, group_labels, route } = turn;
        Destination { path: path.to_owned(), group_key, group_labels, route, apart: String::new(), others: Vec::new() }
    }

    pub fn unheard() -> Self {
        Destination {
            path: UNHEARD.to_owned(),
            group_key: String::new(),
            group_labels: Labels::empty(),
            route: usize::MAX,
            apart: String::new(),
            others: Vec::new(),
        }
    }
}

/// Between the fingerprint and the route in the name of an entry; fingerprints do not hold it.
const APART: char = '\u{1f}';

/// The name of an alert's entry within a path: its fingerprint, and the route where that tells it beside another one.
pub fn entry(fingerprint: &str, apart: &str) -> String {
    if apart.is_empty() { fingerprint.to_owned() } else { format!("{fingerprint}{APART}{apart}") }
}

/// The fingerprint in the name of an entry.
pub fn fingerprint_of(entry: &str) -> &str {
    entry.split_once(APART).map_or(entry, |(fingerprint, _)| fingerprint)
}

/// The range of the names of all entries of an alert.
pub(crate) fn entries_of(fingerprint: &str) -> std::ops::RangeInclusive<String> {
    fingerprint.to_owned()..=format!("{fingerprint}{APART}{}", char::MAX)
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
    /// What the receiver called the message, where it did: the popup of a desktop.
    pub handle: Option<u64>,
    /// The receiver knows of the acknowledgement.
    pub acknowledged: bool,
    /// Given up: refused by the receiver, or too old.
    pub dead: bool,
}

impl Cell {
    /// The name of this entry within its path.
    pub fn entry(&self) -> String {
        entry(&self.notice.fingerprint, &self.destination.apart)
    }

    /// Bytes of text in the notice, about.
    pub fn size(&self) -> u64 {
        let notice = &*self.notice;
        let evidence = &notice.evidence;
        let texts = evidence.surroundings.iter().chain(&evidence.dependents).chain(&evidence.trace_ids).map(String::len).sum::<usize>();
        (notice.labels.text_bytes() + notice.annotations.text_bytes() + evidence.expression.len() + texts + 200) as u64
    }

    /// What a path owes about an alert it has not heard of.
    pub(super) fn unsent(destination: &Destination, notice: &Arc<Notice>, held: bool, at: Timestamp) -> Cell {
        Cell {
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
        }
    }

    /// True while the receiver has not heard the newest transition and should.
    pub fn is_owed(&self) -> bool {
        if self.dead || self.destination.path == UNHEARD || self.sent_revision.is_some_and(|sent| sent >= self.notice.revision) {
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
    /// (entry, revision) of each alert in it.
    pub members: Vec<(String, u64)>,
}

/// A text that is about no alert, the daily summary, and one path that still has to deliver it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub path: String,
    /// The same for every attempt.
    pub key: String,
    pub title: String,
    pub body: String,
    /// Steady time.
    pub queued_at: Timestamp,
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
    /// As in [`Destination`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub apart: String,
    pub reason: String,
    pub at: Timestamp,
}

/// One transition, for summaries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// When it began or ended, by the wall clock: summaries are asked for by it. The same for every telling of one beginning.
    pub at: Timestamp,
    pub fingerprint: String,
    pub alert: String,
    pub severity: Severity,
    pub state: NoticeState,
    pub labels: Labels,
    pub starts_at: Timestamp,
    pub held: bool,
}
