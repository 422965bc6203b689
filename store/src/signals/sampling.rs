//! How many spans one received span stands for.

/// Probabilities below one in 2^20 are taken for mistakes: a single span must not be able to claim a million calls.
const LEAST: u64 = 1 << 36;
const WHOLE: u64 = 1 << 56;

/// The weight that a `tracestate` states by its OpenTelemetry sampling threshold (`ot=th:...`): a span with threshold T is kept with probability
/// (2^56 - T) / 2^56. `None` when there is none, or none that can be believed. Up to 14 hexadecimal digits, trailing zeros omitted.
pub fn weight(trace_state: &str) -> Option<f64> {
    if trace_state.is_empty() {
        return None;
    }
    let members = trace_state.split(',').map(str::trim);
    let ot = members.filter_map(|member| member.strip_prefix("ot=")).next()?;
    let threshold = ot.split(';').filter_map(|pair| pair.trim().strip_prefix("th:")).next()?;
    if threshold.is_empty() || threshold.len() > 14 || !threshold.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let digits = u64::from_str_radix(threshold, 16).ok()?;
    let threshold = digits << (4 * (14 - threshold.len()));
    let kept = WHOLE - threshold;
    (kept >= LEAST).then(|| WHOLE as f64 / kept as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_read_as_opentelemetry_writes_them() {
        for (state, expected) in [
            ("", None),
            ("ot=th:0", Some(1.0)),
            ("ot=th:8", Some(2.0)),
            ("ot=th:c", Some(4.0)),
            ("ot=th:80000000000000", Some(2.0)),
            ("vendor=x, ot=rv:ab;th:c;x:y", Some(4.0)),
            ("ot=th:", None),
            ("ot=th:800000000000000", None),
            ("ot=th:zz", None),
            ("ot=th:ffffffffffffff", None),
            ("other=th:8", None),
        ] {
            assert_eq!(weight(state), expected, "{state}");
        }
        let tenth = weight("ot=th:e6666666666666").expect("a threshold");
        assert!((tenth - 10.0).abs() < 1e-9);
    }
}
