//! Floats as Go and the Prometheus API write them.

/// As the Prometheus HTTP API writes sample values: shortest decimal, exponent only below 1e-6 and from 1e21 on.
pub fn format_float(value: f64) -> String {
    let abs = value.abs();
    if value.is_nan() || value.is_infinite() || abs == 0.0 || (1e-6..1e21).contains(&abs) {
        return format_decimal(value);
    }
    exponent(value)
}

/// Go's `strconv.FormatFloat(v, 'f', -1, 64)`.
pub fn format_decimal(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        format!("{value}")
    }
}

/// Go's `%g`: shortest, exponent form below 1e-4 and from 1e6 on.
pub fn format_general(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return format_decimal(value);
    }
    let text = format!("{value:e}");
    let power: i32 = text.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    if (-4..6).contains(&power) { format_decimal(value) } else { exponent(value) }
}

/// The form of OpenMetrics label values: always with a point or an exponent.
pub fn format_open_metrics(value: f64) -> String {
    let text = format_general(value);
    if value.is_finite() && !text.contains(['.', 'e']) { text + ".0" } else { text }
}

fn exponent(value: f64) -> String {
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((mantissa, power)) => {
            let (sign, digits) = match power.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', power),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}

/// Kahan summation in Neumaier's form: returns the new sum and the new compensation.
#[inline]
pub(crate) fn kahan(increment: f64, sum: f64, compensation: f64) -> (f64, f64) {
    let t = sum + increment;
    let compensation = if t.is_infinite() {
        0.0
    } else if sum.abs() >= increment.abs() {
        compensation + ((sum - t) + increment)
    } else {
        compensation + ((increment - t) + sum)
    };
    (t, compensation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_the_api_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (1.5, "1.5"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1e-6, "0.000001"),
            (9e-7, "9e-07"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (-2.0, "-2"),
        ] {
            assert_eq!(format_float(value), text);
        }
        assert_eq!(format_open_metrics(1.0), "1.0");
    }
}
