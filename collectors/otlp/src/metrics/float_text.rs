//! Numbers inside labels, in the one form that a scrape gives them too: OpenMetrics floats (`1.0`, `0.005`, `1e+06`, `+Inf`).

/// As Go's `strconv.FormatFloat(value, 'g', -1, 64)`, with `.0` where neither a point nor an exponent is in it.
pub(crate) fn openmetrics_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&exponent) && value != 0.0 {
        // A plain integer of up to 21 digits is still written with an exponent by 'g': the precision counts as 6 there.
        return format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    }
    let plain = format!("{value}");
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_look_as_a_scraper_writes_them() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (-1.0, "-1.0"),
            (0.005, "0.005"),
            (2.5, "2.5"),
            (100_000.0, "100000.0"),
            (1_000_000.0, "1e+06"),
            (2_500_000.0, "2.5e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e100, "1e+100"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(openmetrics_float(value), text);
        }
    }
}
