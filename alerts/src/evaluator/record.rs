//! What must survive a restart about one alert.

use crate::state::{ActiveAlert, Life, Moment};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use watchfire_model::reading::AlertState;
use watchfire_model::{Cause, Labels, Severity, Timestamp};

/// Where an alert stands with the people it may be told to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Not firing, or not looked at yet.
    #[default]
    Unsettled,
    /// Fires, and waits a bounded time for a suspected cause to show itself.
    Held {
        since: Moment,
        /// Its cause has recovered, and so may it.
        lingering: bool,
    },
    /// Shown under its cause, not notified. `firm`: the cause is a firing alert.
    Explained {
        firm: bool,
    },
    Notified,
}

/// What is known about telling people of an alert.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Paging {
    pub standing: Standing,
    pub cause: Option<Cause>,
    /// Orders the notices of one alert, over restarts too.
    pub revision: u64,
    /// The loudest severity it was notified with.
    pub severity: Option<Severity>,
    /// People were told that it fires, and then its rule was made to wait longer: it is pending again.
    #[serde(default)]
    pub lapsed: bool,
    pub last_sent: Option<Moment>,
}

/// One alert as it is written to the journal. Enough to go on exactly where it stood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRecord {
    pub file: String,
    pub group: String,
    pub rule: String,
    pub labels: Labels,
    pub annotations: Labels,
    /// `None` when it is not a finite number.
    pub value: Option<f64>,
    pub life: Life,
    /// The evaluation this record describes.
    pub seen: Moment,
    pub paging: Paging,
}

impl AlertRecord {
    /// Identifies the alert among all records: the same for every state of the same alert.
    pub fn key(&self) -> String {
        record_key(&self.file, &self.group, &self.labels)
    }

    /// The alert as it goes on at `now`: time between `seen` and `now` was not watched and does not count. A pending alert of a rule that
    /// `waits` at least `grace` waits so long once more, unless it had waited enough. What lies ahead of `now` was told by a clock that was wrong.
    pub(super) fn resume(self, now: Moment, waits: Duration, grace: Duration) -> ActiveAlert {
        let delta = now.watched - self.seen.watched;
        let moved = |m: Moment| Moment { at: m.at.min(now.at), watched: m.watched + delta };
        let mut paging = self.paging;
        paging.last_sent = paging.last_sent.map(moved);
        if let Standing::Held { since, lingering } = paging.standing {
            paging.standing = Standing::Held { since: moved(since), lingering };
        }
        let mut active = moved(self.life.active);
        let left = millis(waits) - (now.watched - active.watched);
        if self.life.state == AlertState::Pending && waits >= grace && left > 0 && left < millis(grace) {
            active.watched = now.watched - millis(waits) + millis(grace);
        }
        ActiveAlert {
            labels: self.labels,
            annotations: self.annotations,
            value: self.value.unwrap_or(f64::NAN),
            life: Life {
                state: self.life.state,
                active,
                fired: self.life.fired.map(moved),
                resolved: self.life.resolved.map(|m| Moment { at: m.at.min(now.at), watched: m.watched.min(now.watched) }),
                keep_firing_since: self.life.keep_firing_since.map(moved),
            },
            paging,
            restored: Some(now),
        }
    }

    pub(super) fn down_for(&self, now: Timestamp) -> Duration {
        now.since(self.seen.at)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn record_key(file: &str, group: &str, labels: &Labels) -> String {
    format!("{}@{:016x}", crate::identity::fingerprint(labels), crate::identity::spread(&[file, group]))
}
