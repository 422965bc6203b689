//! NestJS Terminus: `status`, and the same indicators under `info`, `error` and `details`.

use super::{Body, Dependencies, Format, Verdict, text_of};
use crate::words::{classify, duration};
use serde_json::Value;

pub(super) const FORMAT: Format = Format { name: "terminus", sniff, decode };

fn sniff(body: &Body<'_>) -> bool {
    let Some(object) = body.object() else { return false };
    let status = matches!(object.get("status").and_then(Value::as_str), Some("ok" | "error" | "shutting_down"));
    let parts = ["info", "error"].iter().any(|k| object.contains_key(*k));
    status && parts && object.get("details").is_some_and(Value::is_object)
}

fn decode(body: &Body<'_>) -> Verdict {
    let Some(object) = body.object() else { return Verdict::default() };
    let mut dependencies = Dependencies::default();
    for (name, indicator) in object.get("details").and_then(Value::as_object).into_iter().flatten() {
        let Some(indicator) = indicator.as_object() else { continue };
        if let Some(word) = indicator.get("status").and_then(Value::as_str).and_then(classify) {
            let latency = indicator.get("responseTime").and_then(duration);
            dependencies.add(name, word, text_of(indicator, &["message", "error"]), latency);
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
        content_type: "application/json; charset=utf-8",
        path: "/health",
        body: r#"{"status":"ok","info":{"database":{"status":"up"}},"error":{},"details":{"database":{"status":"up"}}}"#,
        state: Healthy,
        dependencies: &[("database", Healthy)],
    },
    Fixture {
        status: 200,
        content_type: "application/json; charset=utf-8",
        path: "/health",
        body: r#"{"status":"ok","info":{},"error":{},"details":{}}"#,
        state: Healthy,
        dependencies: &[],
    },
    Fixture {
        status: 200,
        content_type: "application/json; charset=utf-8",
        path: "/health",
        body: r#"{"status":"ok","info":{"redis":{"status":"up","responseTime":3},"docs":{"status":"up"}},"error":{},"details":{"redis":{"status":"up","responseTime":3},"docs":{"status":"up"}}}"#,
        state: Healthy,
        dependencies: &[("redis", Healthy), ("docs", Healthy)],
    },
    Fixture {
        status: 503,
        content_type: "application/json; charset=utf-8",
        path: "/health",
        body: r#"{"status":"error","info":{"dog":{"status":"up"}},"error":{"redis":{"status":"down","message":"Could not connect"}},"details":{"dog":{"status":"up"},"redis":{"status":"down","message":"Could not connect"}}}"#,
        state: Unhealthy,
        dependencies: &[("dog", Healthy), ("redis", Unhealthy)],
    },
];
