//! MicroProfile Health: `status` UP or DOWN and a list of named `checks` (specification, protocol and wire format).

use super::{Body, Dependencies, Format, Verdict, text_of};
use crate::words::classify;
use serde_json::Value;

pub(super) const FORMAT: Format = Format { name: "microprofile", sniff, decode };

fn sniff(body: &Body<'_>) -> bool {
    let Some(object) = body.object() else { return false };
    let up_or_down = matches!(object.get("status").and_then(Value::as_str), Some("UP" | "DOWN"));
    let Some(checks) = object.get("checks").and_then(Value::as_array) else { return false };
    up_or_down && checks.iter().all(|c| c.get("name").is_some_and(Value::is_string) && c.get("status").is_some_and(Value::is_string))
}

fn decode(body: &Body<'_>) -> Verdict {
    let Some(object) = body.object() else { return Verdict::default() };
    let mut dependencies = Dependencies::default();
    for check in object.get("checks").and_then(Value::as_array).into_iter().flatten() {
        let name = check.get("name").and_then(Value::as_str).unwrap_or_default();
        if let Some(word) = check.get("status").and_then(Value::as_str).and_then(classify) {
            let reason = check.get("data").and_then(Value::as_object).map(|d| text_of(d, &["error", "message", "reason", "rootCause"]));
            dependencies.add(name, word, reason.unwrap_or_default(), None);
        }
    }
    let overall = object.get("status").and_then(Value::as_str).and_then(classify);
    Verdict { overall, dependencies: dependencies.0, ..Verdict::default() }
}

#[cfg(test)]
use super::tests::Fixture;
#[cfg(test)]
use watchfire_model::HealthState::{Healthy, Unhealthy};
#[cfg(test)]
pub(super) const FIXTURES: &[Fixture] = &[
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/health",
        body: r#"{"status":"UP","checks":[]}"#,
        state: Healthy,
        dependencies: &[],
    },
    Fixture {
        status: 200,
        content_type: "application/json; charset=UTF-8",
        path: "/health/ready",
        body: "{\n    \"status\": \"UP\",\n    \"checks\": [\n        {\n            \"name\": \"Database connections health check\",\n            \"status\": \"UP\",\n            \"data\": {\n                \"<default>\": \"UP\"\n            }\n        }\n    ]\n}",
        state: Healthy,
        dependencies: &[("Database connections health check", Healthy)],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/health/live",
        body: r#"{"checks":[{"name":"heap","status":"UP"},{"name":"threads","status":"UP"}],"status":"UP"}"#,
        state: Healthy,
        dependencies: &[("heap", Healthy), ("threads", Healthy)],
    },
    Fixture {
        status: 503,
        content_type: "application/json",
        path: "/health/ready",
        body: r#"{"status":"DOWN","checks":[{"name":"broker","status":"DOWN","data":{"error":"no route to host"}},{"name":"db","status":"UP"}]}"#,
        state: Unhealthy,
        dependencies: &[("broker", Unhealthy), ("db", Healthy)],
    },
];
