//! Text that is not JSON: its first word may be a state, the rest is for people.

use super::{Body, Format, Verdict, aspnet, bounded, home_grown, kubernetes};
use crate::words::{Word, classify};

pub(super) const FORMAT: Format = Format { name: "text", sniff, decode };

fn sniff(body: &Body<'_>) -> bool {
    let special = (kubernetes::FORMAT.sniff)(body) || (aspnet::FORMAT.sniff)(body);
    !special && !body.text.trim().is_empty() && !body.json.is_some_and(serde_json::Value::is_object) && home_grown::list(body).is_none()
}

fn decode(body: &Body<'_>) -> Verdict {
    // A page for browsers is not a sentence about health.
    let page = body.content_type.starts_with("text/html") || body.text.trim_start().starts_with('<');
    let text = body.text.trim().trim_matches('"');
    let overall = if page { None } else { classify(text) };
    let message = if matches!(overall, Some(Word::Bad | Word::Middle)) { bounded(text) } else { String::new() };
    // One word that is no known state may be meant as one. A sentence is for people.
    let one_word = !page && overall.is_none() && !text.contains(char::is_whitespace) && text.len() <= 24 && text != "pong";
    let unread = if one_word { bounded(text) } else { String::new() };
    Verdict { overall, message, unread, ..Verdict::default() }
}

#[cfg(test)]
use super::tests::Fixture;
#[cfg(test)]
use watchfire_model::HealthState::{Degraded, Healthy, Unhealthy};
#[cfg(test)]
pub(super) const FIXTURES: &[Fixture] = &[
    Fixture { status: 200, content_type: "text/plain", path: "/healthz", body: "ok", state: Healthy, dependencies: &[] },
    Fixture {
        status: 200,
        content_type: "text/plain; charset=utf-8",
        path: "/-/healthy",
        body: "Prometheus Server is Healthy.\n",
        state: Healthy,
        dependencies: &[],
    },
    Fixture {
        status: 200,
        content_type: "text/html",
        path: "/",
        body: "<html><body>Failed to load?</body></html>",
        state: Healthy,
        dependencies: &[],
    },
    Fixture { status: 200, content_type: "application/json", path: "/ping", body: "\"pong\"", state: Healthy, dependencies: &[] },
    Fixture { status: 200, content_type: "text/plain", path: "/health", body: "unhealthy: disk full", state: Unhealthy, dependencies: &[] },
    Fixture { status: 200, content_type: "text/plain", path: "/health", body: "DEGRADED", state: Degraded, dependencies: &[] },
    Fixture { status: 503, content_type: "text/plain", path: "/-/ready", body: "Service Unavailable", state: Unhealthy, dependencies: &[] },
];
