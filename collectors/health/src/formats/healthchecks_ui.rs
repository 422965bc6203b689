//! The writer of AspNetCore.Diagnostics.HealthChecks (HealthChecks UI): `status`, `totalDuration` and named `entries`.

use super::{Body, Dependencies, Format, Verdict, field, text_of};
use crate::words::{classify, duration};
use serde_json::Value;

pub(super) const FORMAT: Format = Format { name: "healthchecks-ui", sniff, decode };

fn sniff(body: &Body<'_>) -> bool {
    let Some(object) = body.object() else { return false };
    let status = matches!(object.get("status").and_then(Value::as_str), Some("Healthy" | "Degraded" | "Unhealthy"));
    status && (object.get("entries").is_some_and(Value::is_object) || object.contains_key("totalDuration"))
}

fn decode(body: &Body<'_>) -> Verdict {
    let Some(object) = body.object() else { return Verdict::default() };
    let mut dependencies = Dependencies::default();
    for (name, entry) in object.get("entries").and_then(Value::as_object).into_iter().flatten() {
        let Some(entry) = entry.as_object() else { continue };
        if let Some(word) = field(entry, "status").and_then(Value::as_str).and_then(classify) {
            let detail = text_of(entry, &["exception", "description"]);
            dependencies.add(name, word, detail, field(entry, "duration").and_then(duration));
        }
    }
    let overall = object.get("status").and_then(Value::as_str).and_then(classify);
    Verdict { overall, dependencies: dependencies.0, ..Verdict::default() }
}

#[cfg(test)]
use super::tests::Fixture;
#[cfg(test)]
use watchfire_model::HealthState::{Degraded, Healthy, Unhealthy};
#[cfg(test)]
pub(super) const FIXTURES: &[Fixture] = &[
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/hc",
        body: r#"{"status":"Healthy","totalDuration":"00:00:00.0123456","entries":{}}"#,
        state: Healthy,
        dependencies: &[],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/hc",
        body: r#"{"status":"Healthy","totalDuration":"00:00:00.0123456","entries":{"self":{"data":{},"duration":"00:00:00.0003420","status":"Healthy","tags":[]},"catalogdb-check":{"data":{},"duration":"00:00:00.0119770","status":"Healthy","tags":["catalogdb"]}}}"#,
        state: Healthy,
        dependencies: &[("self", Healthy), ("catalogdb-check", Healthy)],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/health",
        body: r#"{"status":"Healthy","entries":{"redis":{"status":"Healthy","description":null}}}"#,
        state: Healthy,
        dependencies: &[("redis", Healthy)],
    },
    Fixture {
        status: 503,
        content_type: "application/json",
        path: "/hc",
        body: r#"{"status":"Unhealthy","totalDuration":"00:00:05.01","entries":{"rabbitmq":{"data":{},"description":"None of the specified endpoints were reachable","duration":"00:00:05.0","exception":"None of the specified endpoints were reachable","status":"Unhealthy","tags":["mq"]},"cache":{"status":"Degraded","description":"slow"}}}"#,
        state: Unhealthy,
        dependencies: &[("rabbitmq", Unhealthy), ("cache", Degraded)],
    },
];
