//! ASP.NET Core's default writer: one word, and 200 even when degraded.

use super::{Body, Format, Verdict};
use crate::words::Word;

pub(super) const FORMAT: Format = Format { name: "aspnet", sniff, decode };

fn sniff(body: &Body<'_>) -> bool {
    word(body.text).is_some()
}

fn decode(body: &Body<'_>) -> Verdict {
    Verdict { overall: word(body.text), ..Verdict::default() }
}

fn word(text: &str) -> Option<Word> {
    match text.trim() {
        "Healthy" => Some(Word::Good),
        "Degraded" => Some(Word::Middle),
        "Unhealthy" => Some(Word::Bad),
        _ => None,
    }
}

#[cfg(test)]
use super::tests::Fixture;
#[cfg(test)]
use watchfire_model::HealthState::{Degraded, Healthy, Unhealthy};
#[cfg(test)]
pub(super) const FIXTURES: &[Fixture] = &[
    Fixture { status: 200, content_type: "text/plain", path: "/health", body: "Healthy", state: Healthy, dependencies: &[] },
    Fixture { status: 200, content_type: "text/plain", path: "/healthz", body: "Healthy\r\n", state: Healthy, dependencies: &[] },
    Fixture { status: 200, content_type: "", path: "/", body: " Healthy ", state: Healthy, dependencies: &[] },
    Fixture { status: 200, content_type: "text/plain", path: "/health", body: "Degraded", state: Degraded, dependencies: &[] },
    Fixture { status: 503, content_type: "text/plain", path: "/health", body: "Unhealthy", state: Unhealthy, dependencies: &[] },
];
