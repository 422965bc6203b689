//! Parts of dates, in UTC.

use chrono::{DateTime, Datelike, Timelike};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Minute,
    Hour,
    DayOfWeek,
    DayOfMonth,
    DayOfYear,
    DaysInMonth,
    Month,
    Year,
}

/// The part of the date at Unix time `seconds`; NaN outside the calendar.
pub fn part(part: Part, seconds: f64) -> f64 {
    // The cast would make NaN the epoch.
    let Some(date) = Some(seconds).filter(|s| !s.is_nan()).and_then(|s| DateTime::from_timestamp(s as i64, 0)) else { return f64::NAN };
    let value = match part {
        Part::Minute => date.minute(),
        Part::Hour => date.hour(),
        Part::DayOfWeek => date.weekday().num_days_from_sunday(),
        Part::DayOfMonth => date.day(),
        Part::DayOfYear => date.ordinal(),
        Part::DaysInMonth => u32::from(date.num_days_in_month()),
        Part::Month => date.month(),
        Part::Year => return f64::from(date.year()),
    };
    f64::from(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_has_no_date() {
        for seconds in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            assert!(super::part(Part::DayOfWeek, seconds).is_nan(), "{seconds}");
        }
        assert_eq!(super::part(Part::DayOfWeek, 0.0), 4.0);
    }
}
