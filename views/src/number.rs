//! Figures as people read them: three significant digits, a unit, `–` for what is not known.

use std::time::Duration;
use watchfire_model::Timestamp;
use watchfire_model::reading::ServiceRow;

pub(crate) const UNKNOWN: &str = "–";

pub(crate) fn spans(count: usize) -> String {
    format!("{count} span{}", if count == 1 { "" } else { "s" })
}

/// Three significant digits of a number of at least zero, with k, M, G above a thousand.
pub(crate) fn digits(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "NaN".to_owned() } else { (if value > 0.0 { "+Inf" } else { "-Inf" }).to_owned() };
    }
    let magnitude = value.abs();
    let (scaled, unit) = match magnitude {
        m if m < 999.5 => (value, ""),
        m if m < 999_500.0 => (value / 1e3, "k"),
        m if m < 999_500_000.0 => (value / 1e6, "M"),
        m if m < 999_500_000_000.0 => (value / 1e9, "G"),
        m if m < 1e15 => (value / 1e12, "T"),
        _ => return format!("{value:.2e}"),
    };
    let size = scaled.abs();
    if size >= 99.95 {
        format!("{scaled:.0}{unit}")
    } else if size >= 9.995 {
        format!("{scaled:.1}{unit}")
    } else if magnitude > 0.0 && magnitude < 0.005 {
        format!("{value:.1e}")
    } else {
        format!("{scaled:.2}{unit}")
    }
}

/// Three significant digits also below one, where [`digits`] has two decimals: seconds and shares of an expression are mostly small.
pub(crate) fn significant(value: f64) -> String {
    let magnitude = value.abs();
    if !(1e-4..0.9995).contains(&magnitude) {
        return digits(value);
    }
    let decimals = (2 - magnitude.log10().floor() as i32).max(0) as usize;
    format!("{value:.decimals$}")
}

/// A value beside the threshold it is compared with: shares of 0.9994 and 0.001 are written out, where three digits would make them 1 and 1e-3.
pub(crate) fn measured(value: f64) -> String {
    let magnitude = value.abs();
    if !(1e-4..999.5).contains(&magnitude) {
        return digits(value);
    }
    // Four significant digits, no zeros at the end.
    let decimals = (3 - magnitude.log10().floor() as i32).max(0) as usize;
    let shown = format!("{value:.decimals$}");
    if shown.contains('.') { shown.trim_end_matches('0').trim_end_matches('.').to_owned() } else { shown }
}

/// A whole count: `11`, `1.40k`.
pub(crate) fn count(value: f64) -> String {
    // The sum of nothing is -0.0.
    let value = value + 0.0;
    if value.is_finite() && value.abs() < 1000.0 && value.fract() == 0.0 { format!("{value:.0}") } else { digits(value) }
}

/// A number of things that were counted; sampling makes fractions of them.
pub(crate) fn whole(value: Option<f64>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |v| count(v.round()))
}

/// The spans behind a service's figures. What others made of spans came as figures, and how many spans those were of is an estimate.
pub(crate) fn seen(row: &ServiceRow) -> String {
    let sign = if row.sample_count.is_some() && row.source.as_deref() != Some("spans") { "~" } else { "" };
    format!("{sign}{} spans", whole(row.sample_count))
}

pub(crate) fn counted(value: Option<f64>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), count)
}

/// Calls per second.
pub(crate) fn rate(value: Option<f64>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |v| format!("{}/s", if v == 0.0 { "0".to_owned() } else { digits(v) }))
}

/// A ratio as a percentage without its sign, for columns that say `%` in their heading.
pub(crate) fn percent(ratio: Option<f64>) -> String {
    match ratio {
        None => UNKNOWN.to_owned(),
        Some(r) if r > 0.0 && r < 0.000_05 => "<0.01".to_owned(),
        Some(r) => digits(r * 100.0),
    }
}

pub(crate) fn percent_sign(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| UNKNOWN.to_owned(), |_| format!("{}%", percent(ratio)))
}

/// A latency: `812µs`, `4.1ms`, `38ms`, `1.92s`, `3m12s`.
pub(crate) fn latency(seconds: f64) -> String {
    if !seconds.is_finite() {
        return digits(seconds);
    }
    let s = seconds.abs();
    let sign = if seconds < 0.0 { "-" } else { "" };
    if s == 0.0 {
        "0ms".to_owned()
    } else if s < 0.000_999_5 {
        format!("{sign}{:.0}µs", (s * 1e6).max(1.0))
    } else if s < 0.009_95 {
        let shown = format!("{:.1}", s * 1e3);
        format!("{sign}{}ms", shown.strip_suffix(".0").unwrap_or(&shown))
    } else if s < 0.999_5 {
        format!("{sign}{:.0}ms", s * 1e3)
    } else if s < 9.995 {
        format!("{sign}{s:.2}s")
    } else if s < 99.95 {
        format!("{sign}{s:.1}s")
    } else {
        format!("{sign}{}", span(Duration::from_secs_f64(s.min(1e12))))
    }
}

pub(crate) fn latency_known(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| UNKNOWN.to_owned(), latency)
}

/// A percentile says how sure it is, as an [`estimate`] does.
pub(crate) fn percentile(seconds: Option<f64>, samples: Option<f64>, sampling: Option<f64>) -> String {
    estimate(latency_known(seconds), samples, sampling)
}

/// A figure says how sure it is: `~` from fewer than 30 spans, `≈` when computed from sampled traces.
pub(crate) fn estimate(figure: String, samples: Option<f64>, sampling: Option<f64>) -> String {
    if figure == UNKNOWN {
        return figure;
    }
    let mark = if samples.is_some_and(|n| n < 30.0) {
        "~"
    } else if sampling.is_some_and(|ratio| ratio < 0.999) {
        "≈"
    } else {
        ""
    };
    format!("{mark}{figure}")
}

/// How long: `44s`, `3m12s`, `1h04m`, `2d3h`.
pub(crate) fn span(duration: Duration) -> String {
    let s = duration.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d{}h", s / 86_400, s / 3600 % 24),
    }
}

/// How long, in at most four columns: `44s`, `3m`, `1h`, `12d`.
pub(crate) fn span_short(duration: Duration) -> String {
    let s = duration.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m", s / 60),
        3600..86_400 => format!("{}h", s / 3600),
        _ => format!("{}d", s / 86_400),
    }
}

pub(crate) fn since(from: Option<Timestamp>, now: Timestamp) -> String {
    from.map_or_else(|| UNKNOWN.to_owned(), |from| span(now.since(from)))
}

/// Memory: `512 MiB`.
pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = value as f64;
    let mut unit = 0;
    while scaled >= 1023.5 && unit < UNITS.len() - 1 {
        scaled /= 1024.0;
        unit += 1;
    }
    if unit == 0 || scaled >= 99.95 { format!("{scaled:.0} {}", UNITS[unit]) } else { format!("{scaled:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        for (value, shown) in [
            (0.0, "0.00"),
            (0.41, "0.41"),
            (3.1, "3.10"),
            (42.11, "42.1"),
            (118.2, "118"),
            (999.9, "1.00k"),
            (1400.0, "1.40k"),
            (2_500_000.0, "2.50M"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(digits(value), shown);
        }
        assert_eq!(rate(Some(42.1)), "42.1/s");
        assert_eq!(rate(None), "–");
        assert_eq!(percent(Some(0.184)), "18.4");
        assert_eq!(count(11.0), "11");
    }

    #[test]
    fn small_figures_have_three_digits_too() {
        let shown = [0.0, 0.614, 0.0234, 0.00381, 0.000_123, 0.999_6, -0.05, 42.11, 0.000_01].map(significant);
        assert_eq!(shown, ["0.00", "0.614", "0.0234", "0.00381", "0.000123", "1.00", "-0.0500", "42.1", "1.0e-5"]);
    }

    #[test]
    fn what_is_compared_is_written_out() {
        for (value, shown) in [
            (0.001, "0.001"),
            (0.0001, "0.0001"),
            (0.154_13, "0.1541"),
            (0.9994, "0.9994"),
            (0.05, "0.05"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (42.0, "42"),
            (120.0, "120"),
            (987.65, "987.6"),
            (1400.0, "1.40k"),
            (0.000_05, "5.0e-5"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(measured(value), shown);
        }
    }

    #[test]
    fn latencies_read_like_latencies() {
        for (seconds, shown) in [
            (0.000_812, "812µs"),
            (0.0041, "4.1ms"),
            (0.004, "4ms"),
            (0.038, "38ms"),
            (0.9996, "1.00s"),
            (1.92, "1.92s"),
            (31.4, "31.4s"),
            (192.0, "3m12s"),
        ] {
            assert_eq!(latency(seconds), shown);
        }
        assert_eq!(percentile(Some(2.4), Some(12.0), None), "~2.40s");
        assert_eq!(percentile(Some(2.4), Some(120.0), Some(0.1)), "≈2.40s");
        assert_eq!(percentile(None, None, None), "–");
    }

    #[test]
    fn spans_of_time_are_short() {
        for (seconds, shown) in [(44, "44s"), (192, "3m12s"), (3840, "1h04m"), (180_000, "2d2h")] {
            assert_eq!(span(Duration::from_secs(seconds)), shown);
        }
        assert_eq!(bytes(512 << 20), "512 MiB");
    }
}
