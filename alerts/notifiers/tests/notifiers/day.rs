//! What an `alertmanager.yml` makes of alerts, on a clock moved by hand.

use crate::notice;
use std::time::Duration;
use watchfire_model::{Labels, Notice, NoticeState, Severity, Timestamp};
use watchfire_notifiers::{Rehearsal, Settings};

pub struct Day {
    pub delivery: Rehearsal,
    _file: tempfile::NamedTempFile,
}

impl Day {
    /// With these routes.
    pub fn of(alertmanager_yml: &str) -> Day {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), alertmanager_yml).unwrap();
        let settings = Settings { alertmanager_config: Some(file.path().to_owned()), ..Settings::default() };
        Day { delivery: Rehearsal::new(&settings).unwrap(), _file: file }
    }

    /// The alert changes at that second.
    pub fn change(&mut self, name: &str, severity: &str, state: NoticeState, second: u64) {
        let at = moment(second);
        let labels = Labels::from_pairs([("alertname", name), ("severity", severity), ("service", "a")]);
        let starts_at = if state == NoticeState::Firing { at } else { moment(0) };
        self.delivery.take(
            Notice { labels, severity: Severity::from_label(severity), starts_at, ends_at: at, ..notice(name, second + 1, state) },
            at,
        );
    }
}

pub fn moment(second: u64) -> Timestamp {
    Timestamp(1_772_334_661_000).saturating_add(Duration::from_secs(second))
}
