//! Prometheus durations: `1h30m`, `15s`, `250ms`, `0`. Units strictly descending: y w d h m s ms.

use std::fmt;
use std::time::Duration;

const UNITS: [(&str, u64); 7] =
    [("y", 365 * 86_400_000), ("w", 7 * 86_400_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationError(pub String);

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a valid duration string: {:?}", self.0)
    }
}

impl std::error::Error for DurationError {}

/// Parses a Prometheus duration.
///
/// # Errors
/// When the text is empty, has an unknown unit, units out of order, or overflows.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let fail = || DurationError(text.to_owned());
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err(fail());
    }
    let mut rest = text;
    let mut next_unit = 0;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| fail())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = &rest[..letters];
        let position = UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(fail)?;
        if position < next_unit {
            return Err(fail());
        }
        next_unit = position + 1;
        total = number.checked_mul(UNITS[position].1).and_then(|ms| total.checked_add(ms)).ok_or_else(fail)?;
        rest = &rest[letters..];
    }
    // Prometheus holds nanoseconds in 64 bits.
    if total > i64::MAX as u64 / 1_000_000 {
        return Err(fail());
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration as Prometheus does (`1h30m`, `0s`); years and weeks only when they divide evenly.
pub fn format_duration(duration: Duration) -> String {
    let mut ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (name, size) in UNITS {
        let exact_only = matches!(name, "y" | "w" | "d") && name != "d";
        if exact_only && ms % size != 0 {
            continue;
        }
        let count = ms / size;
        if count > 0 {
            out.push_str(&format!("{count}{name}"));
            ms %= size;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_prometheus_reads() {
        for (text, ms) in [("0", 0), ("15s", 15_000), ("1h30m", 5_400_000), ("1d", 86_400_000), ("250ms", 250), ("1m500ms", 60_500)] {
            assert_eq!(parse_duration(text).map(|d| d.as_millis()), Ok(ms), "{text}");
        }
        for bad in ["", "1", "s", "1s1h", "1x", "-1s", "1.5h", "99999999999999999999s", "1h1h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn writes_what_prometheus_writes() {
        for (ms, text) in [(0, "0s"), (15_000, "15s"), (5_400_000, "1h30m"), (604_800_000, "1w"), (691_200_000, "8d"), (250, "250ms")] {
            assert_eq!(format_duration(Duration::from_millis(ms)), text);
        }
    }
}
