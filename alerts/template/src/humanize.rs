//! Numbers for people, as Prometheus `template/template.go` and `util/strutil` write them.

use super::float::float_general;

/// `1234` → `1.234k`, `0.5` → `500m`.
pub(super) fn humanize(v: f64) -> String {
    if v == 0.0 || !v.is_finite() {
        return float_general(v, 4);
    }
    let (scaled, prefix) = if v.abs() >= 1.0 { larger(v, 1000.0, &["k", "M", "G", "T", "P", "E", "Z", "Y"]) } else { smaller(v) };
    format!("{}{prefix}", float_general(scaled, 4))
}

/// `1048576` → `1Mi`.
pub(super) fn humanize_1024(v: f64) -> String {
    if v.abs() <= 1.0 || !v.is_finite() {
        return float_general(v, 4);
    }
    let (scaled, prefix) = larger(v, 1024.0, &["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"]);
    format!("{}{prefix}", float_general(scaled, 4))
}

/// `135` → `2m 15s`.
pub(super) fn humanize_duration(v: f64) -> String {
    if !v.is_finite() {
        return float_general(v, 4);
    }
    if v == 0.0 {
        return format!("{}s", float_general(v, 4));
    }
    if v.abs() < 1.0 {
        let (scaled, prefix) = smaller(v);
        return format!("{}{prefix}s", float_general(scaled, 4));
    }
    let sign = if v < 0.0 { "-" } else { "" };
    let total = v.abs() as i64;
    let (seconds, minutes, hours, days) = (total % 60, total / 60 % 60, total / 3600 % 24, total / 86_400);
    if days != 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours != 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes != 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", float_general(v.abs(), 4))
    }
}

/// `0.959` → `95.9%`.
pub(super) fn humanize_percentage(v: f64) -> String {
    format!("{}%", float_general(v * 100.0, 4))
}

fn larger(mut v: f64, base: f64, prefixes: &[&'static str]) -> (f64, &'static str) {
    let mut prefix = "";
    for p in prefixes {
        if v.abs() < base {
            break;
        }
        prefix = p;
        v /= base;
    }
    (v, prefix)
}

fn smaller(mut v: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for p in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if v.abs() >= 1.0 {
            break;
        }
        prefix = p;
        v *= 1000.0;
    }
    (v, prefix)
}
