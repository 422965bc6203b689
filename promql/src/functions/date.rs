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
    let Some(date) = DateTime::from_timestamp(seconds as i64, 0) else { return f64::NAN };
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
