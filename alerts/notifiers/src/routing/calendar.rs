//! Times of day, days and months in a time zone: quiet hours of people, and Alertmanager's `time_intervals`.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize};
use watchfire_model::Timestamp;

/// A daily span of a person's week; one that ends before it begins crosses midnight and belongs to the day it began on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    #[serde(deserialize_with = "clock_time")]
    pub from: u32,
    #[serde(deserialize_with = "clock_time")]
    pub to: u32,
    /// `mon`, `tue` ...; empty means every day.
    #[serde(default, deserialize_with = "weekdays")]
    pub days: Vec<Weekday>,
}

impl QuietHours {
    /// True at that moment in that zone.
    pub fn covers(&self, zone: Zone, at: Timestamp) -> bool {
        let Some(local) = zone.local(at) else { return false };
        let minute = local.hour() * 60 + local.minute();
        let on = |day: Weekday| self.days.is_empty() || self.days.contains(&day);
        let today = local.weekday();
        if self.from <= self.to {
            on(today) && (self.from..self.to).contains(&minute)
        } else {
            (on(today) && minute >= self.from) || (on(today.pred()) && minute < self.to)
        }
    }
}

/// Whose clock on the wall is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    Named(Tz),
    /// This machine's.
    Local,
}

impl Zone {
    /// An IANA name, or `Local` for the zone of this machine, as in Alertmanager.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn new(name: &str) -> Result<Self, String> {
        if name.eq_ignore_ascii_case("local") {
            return Ok(Zone::Local);
        }
        name.parse()
            .map(Zone::Named)
            .map_err(|_| format!("unknown time zone {name:?}; use an IANA name such as Europe/Berlin, or Local for this machine's"))
    }

    /// What the clock shows at that moment.
    pub fn local(self, at: Timestamp) -> Option<NaiveDateTime> {
        let utc = DateTime::from_timestamp_millis(at.millis())?;
        Some(match self {
            Zone::Named(zone) => utc.with_timezone(&zone).naive_local(),
            Zone::Local => utc.with_timezone(&chrono::Local).naive_local(),
        })
    }

    /// When the clock first shows this; what it leaves out for summer time comes an hour later.
    pub fn moment(self, shown: NaiveDateTime) -> Option<Timestamp> {
        fn first(zone: &impl TimeZone, shown: NaiveDateTime) -> Option<Timestamp> {
            let at = |shown: NaiveDateTime| zone.from_local_datetime(&shown).earliest();
            at(shown).or_else(|| at(shown + TimeDelta::hours(1))).map(|t| Timestamp(t.timestamp_millis()))
        }
        match self {
            Zone::Named(zone) => first(&zone, shown),
            Zone::Local => first(&chrono::Local, shown),
        }
    }
}

/// Minutes since midnight from `HH:MM`; `24:00` is the end of the day.
pub fn minutes(text: &str) -> Result<u32, String> {
    let bad = || format!("time {text:?} is not HH:MM");
    let (hours, minutes) = text.split_once(':').ok_or_else(bad)?;
    let (hours, minutes): (u32, u32) = (hours.parse().map_err(|_| bad())?, minutes.parse().map_err(|_| bad())?);
    if minutes > 59 || hours > 24 || (hours == 24 && minutes > 0) {
        return Err(bad());
    }
    Ok(hours * 60 + minutes)
}

fn clock_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    minutes(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn weekdays<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Weekday>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|day| day.parse().map_err(|_| serde::de::Error::custom(format!("{day:?} is not a day of the week"))))
        .collect()
}

/// One entry of Alertmanager's `time_intervals`: every field that is given must hold.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeInterval {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    times: Vec<TimeRange>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    weekdays: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    days_of_month: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    months: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    years: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TimeRange {
    start_time: String,
    end_time: String,
}

const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];
const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

impl TimeInterval {
    /// # Errors
    /// When a range is not understood.
    pub fn check(&self) -> Result<(), String> {
        self.zone()?;
        for range in &self.times {
            if minutes(&range.start_time)? >= minutes(&range.end_time)? {
                return Err(format!("start time {} must be before end time {}", range.start_time, range.end_time));
            }
        }
        for text in &self.weekdays {
            span(text, &|w| WEEKDAYS.iter().position(|d| *d == w).map(|p| p as i64))?;
        }
        for text in &self.days_of_month {
            let (from, to) = span(text, &number)?;
            if from == 0 || to == 0 || from.abs() > 31 || to.abs() > 31 {
                return Err(format!("day of month {text:?} is not between 1 and 31 or -31 and -1"));
            }
            if from < 0 && to > 0 {
                return Err(format!("days of month {text:?} count from the end and must end there: their end must be negative too"));
            }
        }
        for text in &self.months {
            span(text, &month)?;
        }
        for text in &self.years {
            span(text, &number)?;
        }
        Ok(())
    }

    fn zone(&self) -> Result<Zone, String> {
        match self.location.as_deref() {
            None | Some("UTC" | "") => Ok(Zone::Named(Tz::UTC)),
            Some(name) => Zone::new(name),
        }
    }

    pub fn covers(&self, at: Timestamp) -> bool {
        let Some(local) = self.zone().ok().and_then(|zone| zone.local(at)) else { return false };
        let minute = local.hour() * 60 + local.minute();
        let within = |texts: &[String], value: i64, word: &dyn Fn(&str) -> Option<i64>| {
            texts.is_empty() || texts.iter().any(|t| span(t, word).is_ok_and(|(from, to)| (from..=to).contains(&value)))
        };
        let in_time = self.times.is_empty()
            || self.times.iter().any(|r| match (minutes(&r.start_time), minutes(&r.end_time)) {
                (Ok(start), Ok(end)) => (start..end).contains(&minute),
                _ => false,
            });
        let weekday = i64::from(local.weekday().num_days_from_sunday());
        in_time
            && within(&self.weekdays, weekday, &|w| WEEKDAYS.iter().position(|d| *d == w).map(|p| p as i64))
            && self.day_matches(local.year(), local.month(), local.day())
            && within(&self.months, i64::from(local.month()), &month)
            && within(&self.years, i64::from(local.year()), &number)
    }

    /// Negative days count from the end of the month.
    fn day_matches(&self, year: i32, month: u32, day: u32) -> bool {
        let length = days_in(year, month);
        let place = |d: i64| if d < 0 { length + d + 1 } else { d };
        self.days_of_month.is_empty()
            || self.days_of_month.iter().any(|text| {
                span(text, &number).is_ok_and(|(from, to)| (place(from).max(1)..=place(to).min(length)).contains(&i64::from(day)))
            })
    }
}

fn days_in(year: i32, month: u32) -> i64 {
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    NaiveDate::from_ymd_opt(next_year, next_month, 1).and_then(|d| d.pred_opt()).map_or(31, |d| i64::from(d.day()))
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn month(text: &str) -> Option<i64> {
    MONTHS.iter().position(|m| *m == text).map(|p| p as i64 + 1).or_else(|| number(text).filter(|n| (1..=12).contains(n)))
}

/// `a` or `a:b`, both ends included.
fn span(text: &str, word: &dyn Fn(&str) -> Option<i64>) -> Result<(i64, i64), String> {
    let lower = text.trim().to_ascii_lowercase();
    let (from, to) = lower.split_once(':').unwrap_or((&lower, &lower));
    match (word(from.trim()), word(to.trim())) {
        (Some(from), Some(to)) if from <= to || (from > 0) != (to > 0) => Ok((from, to)),
        _ => Err(format!("{text:?} is not a valid range")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis())
    }

    #[test]
    fn quiet_hours_cross_midnight_and_follow_the_zone_through_summer_time() {
        let quiet: QuietHours = toml::from_str("from = \"22:00\"\nto = \"07:00\"\ndays = [\"fri\"]").unwrap();
        let berlin = Zone::new("Europe/Berlin").unwrap();
        for (moment, expected) in [
            ("2026-03-27T21:30:00Z", true),  // Friday 22:30
            ("2026-03-28T05:30:00Z", true),  // Saturday 06:30, the night of Friday
            ("2026-03-28T06:30:00Z", false), // 07:30
            ("2026-03-28T21:30:00Z", false), // Saturday evening
            ("2026-04-03T20:30:00Z", true),  // Friday 22:30, summer time
            ("2026-04-03T19:30:00Z", false),
        ] {
            assert_eq!(quiet.covers(berlin, at(moment)), expected, "{moment}");
        }
    }

    #[test]
    fn time_intervals_hold_when_every_given_field_holds() {
        let interval: TimeInterval = serde_saphyr::from_str(
            "times: [{start_time: '09:00', end_time: '17:00'}]\nweekdays: ['monday:friday']\ndays_of_month: ['-3:-1']\nmonths: ['march']\nlocation: Europe/Berlin",
        )
        .unwrap();
        interval.check().unwrap();
        for (moment, expected) in [
            ("2026-03-31T08:00:00Z", true), // Tuesday 10:00, the last day
            ("2026-03-30T08:00:00Z", true),
            ("2026-03-29T08:00:00Z", false), // Sunday
            ("2026-03-26T08:00:00Z", false), // not among the last three days
            ("2026-03-31T15:00:00Z", false), // 17:00 is outside
            ("2026-04-30T08:00:00Z", false),
        ] {
            assert_eq!(interval.covers(at(moment)), expected, "{moment}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for yaml in [
            "times: [{start_time: '17:00', end_time: '09:00'}]",
            "weekdays: [funday]",
            "days_of_month: ['0']",
            "days_of_month: ['-3:3']",
            "months: ['13']",
            "location: Mars",
        ] {
            let interval: TimeInterval = serde_saphyr::from_str(yaml).unwrap();
            assert!(interval.check().is_err(), "{yaml}");
        }
    }
}
