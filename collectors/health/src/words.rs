//! The words services use for their state.

use serde_json::Value;
use watchfire_model::HealthState;

/// What a word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Good,
    Middle,
    Bad,
    /// The service itself does not know.
    Unknown,
    /// Switched off or not configured: left out of every conclusion.
    Absent,
}

impl Word {
    pub fn state(self) -> HealthState {
        match self {
            Word::Good => HealthState::Healthy,
            Word::Middle => HealthState::Degraded,
            Word::Bad => HealthState::Unhealthy,
            Word::Unknown | Word::Absent => HealthState::Unknown,
        }
    }
}

/// The meaning of a text by its first word: `"unhealthy: connection refused"` is `unhealthy`. `None` for words that are no state.
pub fn classify(text: &str) -> Option<Word> {
    let end = text
        .trim_start()
        .find(|c: char| c.is_whitespace() || matches!(c, ':' | ',' | ';' | '(' | '!' | '.'))
        .unwrap_or(text.trim_start().len());
    let first = text.trim_start()[..end].trim_end_matches('-');
    if first.len() > 24 {
        return None;
    }
    let word = first.to_ascii_lowercase().replace('-', "_");
    Some(match word.as_str() {
        "ok" | "okay" | "healthy" | "up" | "pass" | "passed" | "passing" | "connected" | "available" | "running" | "serving" | "alive"
        | "ready" | "green" | "true" | "operational" | "success" | "online" | "working" => Word::Good,
        "degraded"
        | "warn"
        | "warning"
        | "yellow"
        | "partial"
        | "impaired"
        | "starting"
        | "unknown"
        | "initializing"
        | "recovering"
        | "maintenance"
        | "under_maintenance"
        | "minor"
        | "partial_outage"
        | "degraded_performance" => Word::Middle,
        "error" | "unhealthy" | "down" | "fail" | "failed" | "failing" | "failure" | "critical" | "disconnected" | "unavailable"
        | "out_of_service" | "not_serving" | "red" | "false" | "timeout" | "shutting_down" | "unreachable" | "offline" | "not_ready"
        | "fatal" | "dead" | "crashed" | "stopped" | "major" | "major_outage" => Word::Bad,
        "disabled" | "skipped" | "n/a" | "null" | "none" | "not_configured" => Word::Absent,
        // Two words that only together are a state.
        "not" => match text.trim_start()[end..].split_whitespace().next().map(str::to_ascii_lowercase).as_deref() {
            Some("configured") => Word::Absent,
            Some("ready" | "serving" | "available" | "connected" | "ok" | "healthy") => Word::Bad,
            _ => return None,
        },
        _ => return None,
    })
}

/// The meaning of a scalar: a word, a truth value, or `null` for not configured.
pub fn classify_scalar(value: &Value) -> Option<Word> {
    match value {
        Value::String(text) => classify(text),
        Value::Bool(true) => Some(Word::Good),
        Value::Bool(false) => Some(Word::Bad),
        Value::Null => Some(Word::Absent),
        _ => None,
    }
}

/// A duration as health bodies write it: a number of milliseconds, `"12ms"`, `"0.5s"`, `"150µs"`, `"00:00:01.5"`.
pub fn duration(value: &Value) -> Option<std::time::Duration> {
    let seconds = match value {
        Value::Number(n) => n.as_f64()? / 1000.0,
        Value::String(text) => {
            let text = text.trim();
            if let [hours, minutes, seconds] = text.split(':').collect::<Vec<_>>()[..] {
                hours.parse::<f64>().ok()? * 3600.0 + minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?
            } else {
                let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
                let number: f64 = text[..digits].parse().ok()?;
                match text[digits..].trim() {
                    "ms" | "" => number / 1e3,
                    "s" => number,
                    "us" | "µs" | "μs" => number / 1e6,
                    "ns" => number / 1e9,
                    _ => return None,
                }
            }
        }
        _ => return None,
    };
    std::time::Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn words_of_the_field_are_understood() {
        for (text, word) in [
            ("UP", Some(Word::Good)),
            (" ok\n", Some(Word::Good)),
            ("Healthy", Some(Word::Good)),
            ("degraded", Some(Word::Middle)),
            ("unknown", Some(Word::Middle)),
            ("OUT_OF_SERVICE", Some(Word::Bad)),
            ("out-of-service", Some(Word::Bad)),
            ("unhealthy: connection refused", Some(Word::Bad)),
            ("error - no route", Some(Word::Bad)),
            ("not ready", Some(Word::Bad)),
            ("Not Configured", Some(Word::Absent)),
            ("n/a", Some(Word::Absent)),
            ("hello", None),
            ("", None),
            ("upstream", None),
        ] {
            assert_eq!(classify(text), word, "{text:?}");
        }
    }

    #[test]
    fn durations_are_read_in_their_units() {
        for (value, millis) in [
            (json!(12), Some(12.0)),
            (json!("12ms"), Some(12.0)),
            (json!("0.5s"), Some(500.0)),
            (json!("00:00:01.5"), Some(1500.0)),
            (json!("150µs"), Some(0.15)),
            (json!("soon"), None),
            (json!(-1), None),
            (json!(true), None),
        ] {
            assert_eq!(duration(&value), millis.map(|m: f64| Duration::from_secs_f64(m / 1000.0)), "{value}");
        }
    }
}
