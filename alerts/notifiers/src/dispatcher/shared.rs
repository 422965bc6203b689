//! What the tasks of the dispatcher share.

use super::path::PathStatus;
use super::plan::PathTraits;
use super::{Anchor, Now};
use crate::channels::Channel;
use crate::journal::{AlertStates, Cell, Change, DeadLetter, Journal};
use crate::routing::Routing;
use crate::settings::Limits;
use parking_lot::{Mutex, RwLock};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use watchfire_model::{Clock, Meter, Notice, Timestamp, harmless_limited};

pub(super) struct Shared {
    pub journal: Journal,
    pub current: Current,
    pub clock: Arc<dyn Clock>,
    pub anchor: Anchor,
    pub meter: Meter,
    pub cancel: CancellationToken,
    pub recovered: Vec<String>,
    /// There is a state directory.
    pub persistent: bool,
    pub silences: AtomicU64,
    pub drain_until: OnceLock<tokio::time::Instant>,
}

/// What settings were made into. A reload replaces it whole.
pub(super) struct Table {
    pub routing: Routing,
    pub limits: Limits,
    pub external_url: String,
    pub paths: Vec<Arc<PathState>>,
}

/// The table in force.
pub(super) type Current = Arc<RwLock<Arc<Table>>>;

/// One delivery path at run time.
pub(super) struct PathState {
    pub traits: PathTraits,
    pub channel: Arc<dyn Channel>,
    pub status: Mutex<PathStatus>,
    /// Something changed that this path may want to send.
    pub changed: Notify,
    /// Other settings have taken its place: it ends after what it is doing.
    pub retired: CancellationToken,
}

impl Shared {
    pub fn table(&self) -> Arc<Table> {
        self.current.read().clone()
    }

    pub fn now(&self) -> Now {
        self.anchor.now(&*self.clock)
    }

    /// A notice with everybody who is to hear it; `except` leaves a path out.
    pub fn addressed(&self, notice: Notice, at: Timestamp, except: Option<&str>) -> Change {
        let mut destinations = self.table().routing.destinations(&notice);
        destinations.retain(|d| Some(d.path.as_str()) != except);
        Change::Notice { notice: Arc::new(notice), destinations, at }
    }

    /// The oldest entries become dead letters while more is owed than the limits allow. Receivers that are dead for long get there.
    pub fn overflow(&self) -> Vec<Change> {
        let limits = self.table().limits.clone();
        let state = self.journal.state().read();
        let mut owed: Vec<&Cell> = state.cells.values().flat_map(|cells| cells.values()).filter(|c| c.is_owed()).collect();
        let mut bytes: u64 = owed.iter().map(|c| c.size()).sum();
        let mut entries = owed.len();
        if entries <= limits.outbox_entries && bytes <= limits.outbox_bytes {
            return Vec::new();
        }
        owed.sort_by_key(|c| c.queued_at);
        let at = self.clock.now();
        let mut dead = Vec::new();
        for cell in owed {
            if entries <= limits.outbox_entries && bytes <= limits.outbox_bytes {
                break;
            }
            entries -= 1;
            bytes -= cell.size();
            let path = cell.destination.path.clone();
            self.meter.counter("watchfire_notifications_dropped_total", &[("path", &path), ("reason", "outbox_full")]).add(1);
            dead.push(Change::Dead(DeadLetter {
                path,
                alert: harmless_limited(cell.notice.name(), 200).into_owned(),
                fingerprint: cell.notice.fingerprint.clone(),
                apart: cell.destination.apart.clone(),
                reason: format!("the outbox is full ({} entries, {} bytes)", limits.outbox_entries, limits.outbox_bytes),
                at,
            }));
        }
        tracing::error!(entries = dead.len(), "the outbox is full; the oldest unsent notifications are dead letters now");
        dead
    }

    /// When draining must be over; the first to ask starts the time.
    pub fn deadline(&self) -> tokio::time::Instant {
        *self.drain_until.get_or_init(|| tokio::time::Instant::now() + self.table().limits.drain)
    }

    /// Commits a person's decision; success means it is on disk, or that there is no disk to be on.
    pub fn decided(&self, change: Change, what: &str) -> Result<(), Undecided> {
        if self.journal.commit(AlertStates::default(), vec![change]) {
            return Ok(());
        }
        if !self.persistent {
            return Ok(());
        }
        let trouble = self.journal.trouble().unwrap_or_default();
        Err(Undecided::NotDurable(format!("{what} holds for now and would be lost in a crash: {trouble}")))
    }
}

/// Why a person's decision was not made, or may not last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecided {
    Refused(String),
    /// It is made, and not on disk.
    NotDurable(String),
}

impl From<String> for Undecided {
    fn from(why: String) -> Self {
        Undecided::Refused(why)
    }
}
