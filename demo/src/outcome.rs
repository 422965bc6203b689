//! How a call ended, and what follows from it for the caller: another try, an error on its span, an answer of its own.

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answer(u16),
    Timeout,
    Refused,
    /// The caller's own breaker did not let it out.
    Rejected,
}

impl Outcome {
    pub(crate) fn failed(&self) -> bool {
        !matches!(self, Outcome::Answer(status) if *status < 500)
    }

    pub(crate) fn is_error_for_client(&self) -> bool {
        !matches!(self, Outcome::Answer(status) if *status < 400)
    }

    pub(crate) fn retryable(&self, provider: bool) -> bool {
        match self {
            Outcome::Timeout | Outcome::Refused => true,
            // A sister service that answered has done its own retries.
            Outcome::Answer(status) => provider && (*status >= 500 || *status == 429),
            Outcome::Rejected => false,
        }
    }

    pub(crate) fn label(&self) -> &'static str {
        match self {
            Outcome::Answer(status) if *status < 400 => "success",
            Outcome::Answer(_) | Outcome::Refused => "error",
            Outcome::Timeout => "timeout",
            Outcome::Rejected => "rejected",
        }
    }

    pub(crate) fn error(&self, target: &str) -> Option<(String, String)> {
        match self {
            Outcome::Answer(status) if *status < 400 => None,
            Outcome::Answer(status) => Some((status.to_string(), format!("{target} answered {status}"))),
            Outcome::Timeout => Some(("TimeoutError".into(), format!("{target} did not answer in time"))),
            Outcome::Refused => Some(("ConnectionRefusedError".into(), format!("connection to {target} refused"))),
            Outcome::Rejected => Some(("CircuitBreakerOpenError".into(), format!("circuit breaker for {target} is open"))),
        }
    }

    /// What a service answers when something it needs ended so.
    pub(crate) fn passed_on(&self, gateway: bool, store: bool) -> u16 {
        match self {
            _ if store => 500,
            Outcome::Answer(status) if *status < 500 && gateway => *status,
            Outcome::Answer(_) if gateway => 502,
            Outcome::Answer(_) => 500,
            Outcome::Timeout => 504,
            Outcome::Refused | Outcome::Rejected => 503,
        }
    }
}
