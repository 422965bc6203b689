//! The wall clock on screen: which zone times of day are written in and read from.

use crate::number::UNKNOWN;
use chrono::{DateTime, Datelike, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;
use watchfire_model::Timestamp;

/// A time zone of the IANA database. The program finds out what "local" means; a view only writes times in the zone it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(Tz);

impl Default for Zone {
    fn default() -> Self {
        Zone(Tz::UTC)
    }
}

impl Zone {
    /// A zone by its IANA name; `utc` in any case is UTC.
    pub fn named(name: &str) -> Option<Zone> {
        if name.eq_ignore_ascii_case("utc") { Some(Zone::default()) } else { name.parse().ok().map(Zone) }
    }

    fn at(self, at: Timestamp) -> Option<DateTime<Tz>> {
        DateTime::from_timestamp_millis(at.millis()).map(|t| t.with_timezone(&self.0))
    }

    fn format(self, at: Timestamp, format: &str) -> String {
        self.at(at).map_or_else(|| UNKNOWN.to_owned(), |t| t.format(format).to_string())
    }

    /// What the zone is called at that time: `UTC`, `CEST`, `+03`.
    pub(crate) fn name(self, at: Timestamp) -> String {
        self.format(at, "%Z")
    }

    /// Time of day: `03:12:44`.
    pub(crate) fn clock(self, at: Timestamp) -> String {
        self.format(at, "%H:%M:%S")
    }

    /// Time of day with milliseconds, from Unix seconds.
    pub(crate) fn clock_millis(self, seconds: f64) -> String {
        self.format(Timestamp::from_seconds(seconds), "%H:%M:%S%.3f")
    }

    /// Time of day, with the date when it is not the day of `now`.
    pub(crate) fn moment(self, at: Timestamp, now: Timestamp) -> String {
        let day = |t: Timestamp| self.at(t).map(|t| t.num_days_from_ce());
        if day(at) == day(now) { self.clock(at) } else { self.format(at, "%d %b %H:%M") }
    }

    /// A moment with its date, as pages, logs and chats write it: RFC 3339, or date and time of day of the clock on the wall.
    pub(crate) fn dated(self, text: &str) -> Option<Timestamp> {
        let millis = match DateTime::parse_from_rfc3339(text) {
            Ok(at) => at.timestamp_millis(),
            Err(_) => {
                let text = text.replacen('T', " ", 1);
                let at = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"].iter().find_map(|f| NaiveDateTime::parse_from_str(&text, f).ok())?;
                self.0.from_local_datetime(&at).latest()?.timestamp_millis()
            }
        };
        Some(Timestamp::from_millis(millis))
    }

    /// The newest moment up to `now` at which a clock on the wall showed this.
    pub(crate) fn last_time_of_day(self, time: NaiveTime, now: Timestamp) -> Option<Timestamp> {
        let today = self.at(now)?.date_naive();
        [Some(today), today.pred_opt()].into_iter().flatten().find_map(|day| {
            let at = self.0.from_local_datetime(&day.and_time(time)).latest()?;
            let at = Timestamp::from_millis(at.timestamp_millis());
            (at <= now).then_some(at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000); // 2023-11-14 22:13:20 UTC

    #[test]
    fn times_are_written_in_the_zone() {
        let berlin = Zone::named("Europe/Berlin").expect("a zone");
        assert_eq!((berlin.clock(NOW), berlin.name(NOW)), ("23:13:20".to_owned(), "CET".to_owned()));
        assert_eq!(Zone::named("Utc").expect("a zone").clock(NOW), "22:13:20");
        assert_eq!(Zone::named("Mars/Base"), None);
        // Two hours later it is the next day there, and another one here.
        let later = Timestamp::from_millis(NOW.millis() + 3_600_000);
        assert_eq!(Zone::default().moment(NOW, later), "22:13:20");
        assert_eq!(berlin.moment(NOW, later), "14 Nov 23:13");
    }

    #[test]
    fn a_time_of_day_is_the_last_one_in_the_zone() {
        let time = |h, m| NaiveTime::from_hms_opt(h, m, 0).expect("a time");
        let berlin = Zone::named("Europe/Berlin").expect("a zone");
        let back = |zone: Zone, h, m| zone.last_time_of_day(time(h, m), NOW).map(|t| (NOW.millis() - t.millis()) / 1000);
        assert_eq!(back(berlin, 23, 0), Some(800));
        assert_eq!(back(berlin, 23, 30), Some(86_400 - 1000), "yesterday");
        assert_eq!(back(Zone::default(), 22, 0), Some(800));
    }
}
