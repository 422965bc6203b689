//! Floats as Go writes them.

/// `%v` of a float: the shortest text that reads back, with an exponent below 1e-04 and from one million (`1e+06`).
pub(super) fn float_shortest(v: f64) -> String {
    general(v, None, false)
}

/// `%.Ng` of a float.
pub(super) fn float_general(v: f64, precision: usize) -> String {
    general(v, Some(precision), false)
}

pub(super) fn special(v: f64) -> Option<&'static str> {
    if v.is_nan() {
        Some("NaN")
    } else if v == f64::INFINITY {
        Some("+Inf")
    } else if v == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

/// Significant digits without trailing zeros, and the decimal exponent of the first one.
fn digits(v: f64, precision: Option<usize>) -> (String, i32) {
    let text = match precision {
        Some(p) => format!("{:.*e}", p.max(1) - 1, v.abs()),
        None => format!("{:e}", v.abs()),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = mantissa.replace('.', "");
    let trimmed = digits.trim_end_matches('0');
    (if trimmed.is_empty() { "0".to_owned() } else { trimmed.to_owned() }, exponent.parse().unwrap_or(0))
}

pub(super) fn general(v: f64, precision: Option<usize>, keep_zeros: bool) -> String {
    if let Some(text) = special(v) {
        return text.to_owned();
    }
    let sign = if v.is_sign_negative() { "-" } else { "" };
    let (mut digits, exponent) = digits(v, precision);
    let count = digits.len() as i32;
    let limit = match precision {
        None => 6,
        Some(p) => {
            let p = p.max(1) as i32;
            if p > count && count > exponent { count } else { p }
        }
    };
    if keep_zeros {
        digits.push_str(&"0".repeat(precision.unwrap_or(6).saturating_sub(digits.len())));
    }
    if exponent < -4 || exponent >= limit {
        let (head, tail) = digits.split_at(1);
        let point = if tail.is_empty() && !keep_zeros { "" } else { "." };
        return format!("{sign}{head}{point}{tail}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    }
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        let point = if keep_zeros { "." } else { "" };
        return format!("{sign}{digits}{}{point}", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

pub(super) fn exponential(v: f64, precision: usize) -> String {
    if let Some(text) = special(v) {
        return text.to_owned();
    }
    let text = format!("{v:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}
