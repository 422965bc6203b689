//! Dapr's sidecar: no body when healthy, an error code when not ready. An empty body from anybody else says the same: ask the status code.

use super::{Body, Format, Verdict, text_of};
use crate::words::Word;
use serde_json::Value;

pub(super) const FORMAT: Format = Format { name: "dapr", sniff, decode };

fn sniff(body: &Body<'_>) -> bool {
    body.text.trim().is_empty() || not_ready(body).is_some()
}

fn not_ready<'a>(body: &Body<'a>) -> Option<&'a serde_json::Map<String, Value>> {
    let object = body.object()?;
    let code = object.get("errorCode")?.as_str()?;
    matches!(code, "ERR_HEALTH_NOT_READY" | "ERR_OUTBOUND_HEALTH_NOT_READY" | "ERR_HEALTH_APPID_NOT_MATCH").then_some(object)
}

fn decode(body: &Body<'_>) -> Verdict {
    match not_ready(body) {
        Some(object) => Verdict { overall: Some(Word::Bad), message: text_of(object, &["message", "errorCode"]), ..Verdict::default() },
        None => Verdict::default(),
    }
}

#[cfg(test)]
use super::tests::Fixture;
#[cfg(test)]
use watchfire_model::HealthState::{Healthy, Unhealthy};
#[cfg(test)]
pub(super) const FIXTURES: &[Fixture] = &[
    Fixture { status: 204, content_type: "", path: "/v1.0/healthz", body: "", state: Healthy, dependencies: &[] },
    Fixture { status: 204, content_type: "", path: "/v1.0/healthz/outbound", body: "", state: Healthy, dependencies: &[] },
    Fixture { status: 200, content_type: "text/plain", path: "/ping", body: "\n", state: Healthy, dependencies: &[] },
    Fixture {
        status: 500,
        content_type: "application/json",
        path: "/v1.0/healthz",
        body: r#"{"errorCode":"ERR_HEALTH_NOT_READY","message":"dapr is not ready"}"#,
        state: Unhealthy,
        dependencies: &[],
    },
];
