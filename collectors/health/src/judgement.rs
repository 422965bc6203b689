//! From status code and body to a state: the one table of this crate.

use crate::formats::Verdict;
use crate::words::Word;
use watchfire_model::HealthState;

/// What one attempt comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub state: HealthState,
    /// Whether this attempt counts towards "down". An answer that says degraded is an answer.
    pub failed: bool,
    /// The value of a `reason` label; empty when nothing failed.
    pub reason: &'static str,
    /// Why, in words; text of the service is quoted.
    pub detail: String,
}

impl Outcome {
    pub fn healthy(detail: impl Into<String>) -> Self {
        Outcome { state: HealthState::Healthy, failed: false, reason: "", detail: detail.into() }
    }

    pub fn degraded(detail: impl Into<String>) -> Self {
        Outcome { state: HealthState::Degraded, failed: false, reason: "", detail: detail.into() }
    }

    /// No answer, or an answer that says so.
    pub fn unhealthy(reason: &'static str, detail: impl Into<String>) -> Self {
        Outcome { state: HealthState::Unhealthy, failed: true, reason, detail: detail.into() }
    }

    /// The probe asks for something that is not there: nothing is known about the service.
    pub fn misconfigured(detail: impl std::fmt::Display) -> Self {
        Outcome { state: HealthState::Unknown, failed: true, reason: "misconfigured", detail: format!("probe misconfigured: {detail}") }
    }

    /// The service says that it does not know; `unknown_as` decides what that means.
    pub fn unknown(unknown_as: HealthState, detail: impl Into<String>) -> Self {
        let failed = unknown_as == HealthState::Unhealthy;
        Outcome { state: unknown_as, failed, reason: if failed { "unknown" } else { "" }, detail: detail.into() }
    }
}

/// The state for an HTTP answer. `expected` lists status codes that count as good; empty means 200 to 299.
pub fn judge(status: u16, verdict: Option<&Verdict>, expected: &[u16], unknown_as: HealthState) -> Outcome {
    let good = if expected.is_empty() { (200..300).contains(&status) } else { expected.contains(&status) };
    let said = verdict.map(describe).unwrap_or_default();
    let http = |text: &str| if said.is_empty() { format!("HTTP {status}{text}") } else { format!("HTTP {status}{text}: {said}") };
    if good {
        return judge_body(status, verdict, unknown_as, &said);
    }
    let overall = verdict.and_then(|v| v.overall);
    match status {
        401 | 403 => Outcome::misconfigured(format!("HTTP {status}, credentials are needed")),
        404 => Outcome::misconfigured("HTTP 404, no such path"),
        405 => Outcome::misconfigured("HTTP 405, another method is needed"),
        300..=399 => Outcome::misconfigured(format!("HTTP {status}, a redirect that is not followed")),
        429 => Outcome::degraded(http(", too many requests")),
        500..=599 => Outcome::unhealthy("status", http("")),
        // The health+json draft lets a failing service answer 4xx.
        400..=499 if overall == Some(Word::Bad) => Outcome::unhealthy("status", http("")),
        400..=499 => Outcome::misconfigured(format!("HTTP {status}")),
        _ => Outcome::unhealthy("status", http(", which is not expected")),
    }
}

fn judge_body(status: u16, verdict: Option<&Verdict>, unknown_as: HealthState, said: &str) -> Outcome {
    let Some(verdict) = verdict else { return Outcome::healthy(format!("HTTP {status}")) };
    let troubled = verdict.dependencies.iter().any(|d| matches!(d.state, HealthState::Degraded | HealthState::Unhealthy));
    match verdict.overall {
        Some(Word::Bad) => Outcome::unhealthy("body", format!("HTTP {status}: {said}")),
        Some(Word::Middle) => Outcome::degraded(format!("HTTP {status}: {said}")),
        Some(Word::Unknown) => Outcome::unknown(unknown_as, format!("HTTP {status}: the service says unknown")),
        Some(Word::Good | Word::Absent) | None if troubled => Outcome::degraded(format!("HTTP {status}: {said}")),
        None if !verdict.unread.is_empty() => {
            Outcome::healthy(format!("HTTP {status}; it says {}, which is no known state", quoted(&verdict.unread)))
        }
        Some(Word::Good | Word::Absent) | None => Outcome::healthy(format!("HTTP {status}")),
    }
}

/// Words of the service, as it wrote them: what is not to be shown as it is becomes a visible mark where it is shown.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// What the body says, in one line: the worst dependencies first, at most three.
fn describe(verdict: &Verdict) -> String {
    let mut parts = Vec::new();
    match verdict.overall {
        Some(Word::Bad) => parts.push("says unhealthy".to_owned()),
        Some(Word::Middle) => parts.push("says degraded".to_owned()),
        _ => {}
    }
    if !verdict.message.is_empty() {
        parts.push(quoted(&verdict.message));
    }
    let mut troubled: Vec<_> =
        verdict.dependencies.iter().filter(|d| matches!(d.state, HealthState::Degraded | HealthState::Unhealthy)).collect();
    troubled.sort_by_key(|d| std::cmp::Reverse(d.state));
    for dependency in troubled.iter().take(3) {
        let detail = if dependency.detail.is_empty() { String::new() } else { format!(" {}", quoted(&dependency.detail)) };
        parts.push(format!("{} {}{detail}", dependency.name, dependency.state.word()));
    }
    if troubled.len() > 3 {
        parts.push(format!("{} more", troubled.len() - 3));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::DependencyReport;

    fn verdict(overall: Option<Word>, dependencies: &[HealthState]) -> Verdict {
        let dependencies = dependencies
            .iter()
            .map(|state| DependencyReport { name: "d".to_owned(), state: *state, detail: String::new(), latency: None })
            .collect();
        Verdict { overall, dependencies, ..Verdict::default() }
    }

    #[test]
    fn status_and_body_come_to_one_state() {
        use HealthState::{Degraded, Healthy, Unhealthy, Unknown};
        let cases = [
            (401, None, Unknown),
            (403, None, Unknown),
            (404, Some(verdict(Some(Word::Bad), &[])), Unknown),
            (405, None, Unknown),
            (301, None, Unknown),
            (429, None, Degraded),
            (500, Some(verdict(Some(Word::Good), &[])), Unhealthy),
            (503, None, Unhealthy),
            (422, None, Unknown),
            (422, Some(verdict(Some(Word::Bad), &[])), Unhealthy),
            (200, None, Healthy),
            (204, None, Healthy),
            (200, Some(verdict(Some(Word::Good), &[Healthy, Healthy])), Healthy),
            (200, Some(verdict(Some(Word::Good), &[Healthy, Unhealthy])), Degraded),
            (200, Some(verdict(Some(Word::Good), &[Degraded])), Degraded),
            (200, Some(verdict(None, &[Unhealthy])), Degraded),
            (200, Some(verdict(None, &[Healthy])), Healthy),
            (200, Some(verdict(Some(Word::Middle), &[])), Degraded),
            (200, Some(verdict(Some(Word::Bad), &[Healthy])), Unhealthy),
            (200, Some(verdict(Some(Word::Unknown), &[])), Unknown),
        ];
        for (status, verdict, state) in cases {
            assert_eq!(judge(status, verdict.as_ref(), &[], Unknown).state, state, "{status} {verdict:?}");
        }
        assert_eq!(judge(200, Some(&verdict(Some(Word::Unknown), &[])), &[], Degraded).state, Degraded);
    }

    #[test]
    fn expected_codes_replace_the_usual_ones() {
        assert_eq!(judge(401, None, &[401], HealthState::Unknown).state, HealthState::Healthy);
        assert_eq!(judge(200, None, &[204], HealthState::Unknown).state, HealthState::Unhealthy);
    }

    #[test]
    fn the_detail_names_the_worst_and_quotes_the_service() {
        let mut verdict = verdict(Some(Word::Bad), &[HealthState::Degraded, HealthState::Unhealthy]);
        verdict.message = "line\nfeed \u{1b}[31m".to_owned();
        assert_eq!(
            judge(503, Some(&verdict), &[], HealthState::Unknown).detail,
            "HTTP 503: says unhealthy, \"line\nfeed \u{1b}[31m\", d unhealthy, d degraded"
        );
    }
}
