//! Numbers as Go's `strconv` reads and writes them.

use watchfire_model::ORDINARY_NAN;

/// Reads a float: decimal, `Inf` with optional sign, `NaN`, any case. Every NaN becomes the ordinary one: stale markers are only ours to set.
/// As in Go, a number that no float holds is none: it is not infinite.
pub fn parse_float(text: &[u8]) -> Option<f64> {
    // Shortest and most frequent first: up to fifteen digits are exact in a double.
    if let [digit] = text
        && digit.is_ascii_digit()
    {
        return Some(f64::from(digit - b'0'));
    }
    if text.len() <= 15 && !text.is_empty() {
        let mut number: u64 = 0;
        let mut plain = true;
        for byte in text {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                plain = false;
                break;
            }
            number = number * 10 + u64::from(digit);
        }
        if plain {
            return Some(number as f64);
        }
    }
    let value: f64 = fast_float2::parse(text).ok()?;
    if value.is_nan() {
        return text[0].is_ascii_alphabetic().then_some(ORDINARY_NAN);
    }
    (value.is_finite() || !text.iter().any(u8::is_ascii_digit)).then_some(value)
}

/// A time in milliseconds, which has no sign.
pub fn parse_millis(text: &[u8]) -> Option<i64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds with fraction to milliseconds; neither NaN nor infinite.
pub fn parse_seconds(text: &[u8]) -> Option<i64> {
    let seconds = parse_float(text)?;
    let millis = seconds * 1000.0;
    (millis.is_finite() && millis.abs() < i64::MAX as f64).then_some(millis as i64)
}

/// A float as OpenMetrics writes `le` and `quantile`: shortest form, `.0` when it would look like an integer.
pub fn openmetrics_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0.0" } else { "0.0" }.to_owned();
    }
    let shortest = format!("{value:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Go's %g with shortest precision writes an exponent below -4 and from 6 digits up... of integers, too: 1e+06.
    if (-4..6).contains(&exponent) {
        let plain = format!("{value}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_of_the_formats_are_read() {
        for (text, value) in [
            ("0", 0.0),
            ("7", 7.0),
            ("1.5", 1.5),
            ("-3e-2", -0.03),
            ("+4", 4.0),
            ("1.7976931348623157e+308", f64::MAX),
            ("+Inf", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("Inf", f64::INFINITY),
            ("999999999999999", 999_999_999_999_999.0),
            ("12345678901234567890", 12_345_678_901_234_567_890.0),
        ] {
            assert_eq!(parse_float(text.as_bytes()), Some(value), "{text}");
        }
        for text in ["NaN", "nan", "NAN"] {
            assert_eq!(parse_float(text.as_bytes()).map(f64::to_bits), Some(ORDINARY_NAN.to_bits()), "{text}");
        }
        for bad in ["", "abc", "1_000", "0x1p2", "1 2", "--1", "1e", ".", "+NaN", "-nan", "1e400", "-1e309"] {
            assert_eq!(parse_float(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(parse_float(b"1e-400"), Some(0.0));
        assert_eq!(parse_millis(b"1395066363000"), Some(1_395_066_363_000));
        for bad in ["", "-5", "+5", "1.5", "9223372036854775808"] {
            assert_eq!(parse_millis(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn bounds_are_written_as_go_writes_them() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (0.005, "0.005"),
            (2.5, "2.5"),
            (100_000.0, "100000.0"),
            (1_000_000.0, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-1.0, "-1.0"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
            (1e100, "1e+100"),
        ] {
            assert_eq!(openmetrics_float(value), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(value in any::<f64>().prop_filter("number", |v| !v.is_nan())) {
            prop_assert_eq!(parse_float(openmetrics_float(value).as_bytes()), Some(value));
        }

        #[test]
        fn whole_numbers_agree_with_the_standard_library(text in "[0-9]{1,17}") {
            prop_assert_eq!(parse_float(text.as_bytes()), text.parse::<f64>().ok());
        }
    }
}
