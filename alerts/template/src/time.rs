//! Go's times and durations: methods, layouts and how they print.

use crate::value::TemplateValue;
use chrono::{DateTime, Datelike, Offset, Timelike, Utc};
use chrono_tz::{OffsetName, Tz};

/// A moment with the zone it is shown in.
pub(super) type Moment = DateTime<Tz>;

pub(super) fn moment(nanos: i64) -> Moment {
    DateTime::from_timestamp_nanos(nanos).with_timezone(&Tz::UTC)
}

/// The zero time of Go: the first of January of the year 1.
pub(super) fn zero() -> Moment {
    DateTime::<Utc>::from_timestamp(-62_135_596_800, 0).unwrap_or_default().with_timezone(&Tz::UTC)
}

/// In a zone by its IANA name.
pub(super) fn in_zone(name: &str, time: &Moment) -> Result<Moment, String> {
    let zone: Tz = match name {
        "" | "Local" => Tz::UTC,
        name => name.parse().map_err(|_| format!("unknown time zone {name}"))?,
    };
    Ok(time.with_timezone(&zone))
}

/// `a - b`, at most as long as Go's durations are.
pub(super) fn between(a: &Moment, b: &Moment) -> i64 {
    let difference = a.signed_duration_since(b);
    difference.num_nanoseconds().unwrap_or(if difference.num_seconds() < 0 { i64::MIN } else { i64::MAX })
}

/// A method without arguments.
pub(super) fn method(time: &Moment, name: &str) -> Option<TemplateValue> {
    Some(match name {
        "Unix" => TemplateValue::Int(time.timestamp()),
        "UnixMilli" => TemplateValue::Int(time.timestamp_millis()),
        "UnixNano" => TemplateValue::Int(time.timestamp_nanos_opt().unwrap_or(0)),
        "Year" => TemplateValue::Int(i64::from(time.year())),
        "Month" => TemplateValue::text(time.format("%B").to_string()),
        "Day" => TemplateValue::Int(i64::from(time.day())),
        "YearDay" => TemplateValue::Int(i64::from(time.ordinal())),
        "Weekday" => TemplateValue::text(time.format("%A").to_string()),
        "Hour" => TemplateValue::Int(i64::from(time.hour())),
        "Minute" => TemplateValue::Int(i64::from(time.minute())),
        "Second" => TemplateValue::Int(i64::from(time.second())),
        "IsZero" => TemplateValue::Bool(*time == zero()),
        // This program has no local time: what is sent is read elsewhere.
        "UTC" | "Local" => TemplateValue::Time(time.with_timezone(&Tz::UTC)),
        "String" => TemplateValue::text(text(time)),
        _ => return None,
    })
}

/// A method with arguments; `None` when there is none of that name.
pub(super) fn call(time: &Moment, name: &str, arguments: &[TemplateValue]) -> Option<Result<TemplateValue, String>> {
    Some(match (name, arguments) {
        ("Format", [TemplateValue::Str(pattern)]) => Ok(TemplateValue::text(layout(time, pattern))),
        ("Sub", [TemplateValue::Time(other)]) => Ok(TemplateValue::Duration(between(time, other))),
        ("Before", [TemplateValue::Time(other)]) => Ok(TemplateValue::Bool(time < other)),
        ("After", [TemplateValue::Time(other)]) => Ok(TemplateValue::Bool(time > other)),
        ("Equal", [TemplateValue::Time(other)]) => Ok(TemplateValue::Bool(time == other)),
        ("Add", [TemplateValue::Duration(nanos)]) => match time.checked_add_signed(chrono::TimeDelta::nanoseconds(*nanos)) {
            Some(later) => Ok(TemplateValue::Time(later)),
            None => Err("time is out of range".to_owned()),
        },
        ("Format", _) => Err("wrong arguments for Format: want a layout".to_owned()),
        ("Sub" | "Before" | "After" | "Equal" | "Add", _) => Err(format!("wrong arguments for {name}")),
        _ => return None,
    })
}

/// `+02:00` with the parts and the separator a layout asks for.
fn offset(time: &Moment, colon: bool, minutes: bool, seconds: bool) -> String {
    let total = time.offset().fix().local_minus_utc();
    let (sign, total) = (if total < 0 { '-' } else { '+' }, total.abs());
    let separator = if colon { ":" } else { "" };
    let mut out = format!("{sign}{:02}", total / 3600);
    if minutes {
        out.push_str(&format!("{separator}{:02}", total / 60 % 60));
    }
    if seconds {
        out.push_str(&format!("{separator}{:02}", total % 60));
    }
    out
}

/// The abbreviation of the zone, or its offset where there is none.
fn abbreviation(time: &Moment) -> String {
    time.offset().abbreviation().map_or_else(|| offset(time, false, false, false), str::to_owned)
}

/// What a layout may hold and how it is written, longest first where one begins another.
type Part = (&'static str, fn(&Moment) -> String);
const PARTS: [Part; 34] = [
    ("January", |t| t.format("%B").to_string()),
    ("Jan", |t| t.format("%b").to_string()),
    ("Monday", |t| t.format("%A").to_string()),
    ("Mon", |t| t.format("%a").to_string()),
    ("MST", abbreviation),
    ("2006", |t| format!("{:04}", t.year())),
    ("Z07:00:00", |t| zulu(t, true, true, true)),
    ("Z07:00", |t| zulu(t, true, true, false)),
    ("Z070000", |t| zulu(t, false, true, true)),
    ("Z0700", |t| zulu(t, false, true, false)),
    ("Z07", |t| zulu(t, false, false, false)),
    ("-07:00:00", |t| offset(t, true, true, true)),
    ("-07:00", |t| offset(t, true, true, false)),
    ("-070000", |t| offset(t, false, true, true)),
    ("-0700", |t| offset(t, false, true, false)),
    ("-07", |t| offset(t, false, false, false)),
    ("002", |t| t.format("%j").to_string()),
    ("01", |t| t.format("%m").to_string()),
    ("02", |t| t.format("%d").to_string()),
    ("03", |t| t.format("%I").to_string()),
    ("04", |t| t.format("%M").to_string()),
    ("05", |t| t.format("%S").to_string()),
    ("06", |t| format!("{:02}", t.year().rem_euclid(100))),
    ("15", |t| t.format("%H").to_string()),
    ("PM", |t| t.format("%p").to_string()),
    ("pm", |t| t.format("%P").to_string()),
    ("_2006", |t| format!("_{:04}", t.year())),
    ("__2", |t| format!("{:>3}", t.ordinal())),
    ("_2", |t| t.format("%e").to_string()),
    ("1", |t| t.format("%-m").to_string()),
    ("2", |t| t.format("%-d").to_string()),
    ("3", |t| t.format("%-I").to_string()),
    ("4", |t| t.format("%-M").to_string()),
    ("5", |t| t.format("%-S").to_string()),
];

fn zulu(time: &Moment, colon: bool, minutes: bool, seconds: bool) -> String {
    if time.offset().fix().local_minus_utc() == 0 { "Z".to_owned() } else { offset(time, colon, minutes, seconds) }
}

/// Go's `Time.Format`: the layout shows how a certain moment of 2006 would look.
pub(super) fn layout(time: &Moment, layout: &str) -> String {
    let mut out = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        if let Some((text, used)) = fraction(time, rest) {
            out.push_str(&text);
            rest = &rest[used..];
            continue;
        }
        // `Januaryish` holds no short month.
        let word = |part: &str| matches!(part, "Jan" | "Mon") && rest[3..].starts_with(|c: char| c.is_ascii_lowercase());
        match PARTS.iter().find(|(part, _)| rest.starts_with(part) && !word(part)) {
            Some((part, form)) => {
                out.push_str(&form(time));
                rest = &rest[part.len()..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// `.000` or `,999`: digits of the second, with or without trailing zeros.
fn fraction(time: &Moment, rest: &str) -> Option<(String, usize)> {
    let separator = rest.chars().next().filter(|c| matches!(c, '.' | ','))?;
    let digit = rest[1..].chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let count = rest[1..].chars().take_while(|c| *c == digit).count();
    if rest[1 + count..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits = format!("{:09}", time.nanosecond() % 1_000_000_000);
    let shown = &digits[..count.min(9)];
    if digit == '0' {
        return Some((format!("{separator}{shown}"), 1 + count));
    }
    let shown = shown.trim_end_matches('0');
    Some((if shown.is_empty() { String::new() } else { format!("{separator}{shown}") }, 1 + count))
}

/// Go's default form of a time: `2006-01-02 15:04:05.999 +0000 UTC`.
pub(super) fn text(time: &Moment) -> String {
    layout(time, "2006-01-02 15:04:05.999999999 -0700 MST")
}

/// Go's form of a duration: `1h2m3.5s`, `250ms`, `0s`.
pub(super) fn duration_text(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".to_owned();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let total = nanos.unsigned_abs();
    let trimmed = |value: u64, digits: usize, unit: u64| {
        let (whole, part) = (value / unit, value % unit);
        if part == 0 { whole.to_string() } else { format!("{whole}.{part:0digits$}").trim_end_matches('0').to_owned() }
    };
    if total < 1_000 {
        return format!("{sign}{total}ns");
    }
    if total < 1_000_000 {
        return format!("{sign}{}µs", trimmed(total, 3, 1_000));
    }
    if total < 1_000_000_000 {
        return format!("{sign}{}ms", trimmed(total, 6, 1_000_000));
    }
    let (minutes, rest) = (total / 60_000_000_000, total % 60_000_000_000);
    let seconds = trimmed(rest, 9, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, m) => format!("{sign}{m}m{seconds}s"),
        (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
    }
}
