//! `application/health+json` (draft-inadarei-api-health-check): pass, warn or fail, and lists of checks by component and measurement.

use super::{Body, Dependencies, Format, Verdict, bounded, service_of, text_of, unread};
use crate::words::{Word, classify};
use serde_json::Value;

pub(super) const FORMAT: Format = Format { name: "health+json", sniff, decode };

fn sniff(body: &Body<'_>) -> bool {
    let Some(object) = body.object() else { return false };
    if body.content_type.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("application/health+json")) {
        return true;
    }
    let status = object.get("status").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let lists = object.get("checks").and_then(Value::as_object).is_some_and(|c| !c.is_empty() && c.values().all(Value::is_array));
    let draft_keys = ["releaseId", "serviceId", "notes", "output"].iter().any(|k| object.contains_key(*k));
    matches!(status.as_str(), "pass" | "warn" | "fail") && (lists || (draft_keys && !object.contains_key("dependencies")))
}

fn decode(body: &Body<'_>) -> Verdict {
    let Some(object) = body.object() else { return Verdict::default() };
    let mut dependencies = Dependencies::default();
    for (key, list) in object.get("checks").and_then(Value::as_object).into_iter().flatten() {
        let entries: Vec<&Value> = match list {
            Value::Array(entries) => entries.iter().collect(),
            single => vec![single],
        };
        for entry in &entries {
            let Some(entry) = entry.as_object() else { continue };
            // A measurement without a state is a number and no dependency.
            let Some(word) = entry.get("status").and_then(Value::as_str).and_then(classify) else { continue };
            let id = entry.get("componentId").and_then(Value::as_str).filter(|_| entries.len() > 1);
            let name = id.map_or_else(|| key.clone(), |id| format!("{key}/{id}"));
            dependencies.add(&name, word, text_of(entry, &["output"]), None);
        }
    }
    let overall: Option<Word> = object.get("status").and_then(Value::as_str).and_then(classify);
    let notes = object.get("notes").and_then(|n| n.get(0)).and_then(Value::as_str).map(bounded).unwrap_or_default();
    let output = text_of(object, &["output"]);
    let message = if output.is_empty() { notes } else { output };
    // `serviceId` is an identity, often a UUID; a name is better when there is one.
    let service = service_of(object).filter(|name| name.len() != 36 || name.bytes().filter(|b| *b == b'-').count() != 4);
    Verdict { overall, dependencies: dependencies.0, message, service, unread: unread(object, &["status"]), ..Verdict::default() }
}

#[cfg(test)]
use super::tests::Fixture;
#[cfg(test)]
use watchfire_model::HealthState::{Degraded, Healthy, Unhealthy};
#[cfg(test)]
pub(super) const FIXTURES: &[Fixture] = &[
    Fixture {
        status: 200,
        content_type: "application/health+json",
        path: "/health",
        body: r#"{"status":"pass"}"#,
        state: Healthy,
        dependencies: &[],
    },
    Fixture {
        status: 200,
        content_type: "application/health+json; charset=utf-8",
        path: "/health",
        body: r#"{"status":"pass","version":"1","releaseId":"1.2.2","serviceId":"f03e522f-1f44-4062-9b55-9587f91c9c41","checks":{"cassandra:responseTime":[{"componentId":"dfd6cf2b","componentType":"datastore","observedValue":250,"observedUnit":"ms","status":"pass","time":"2018-01-17T03:36:48Z","output":""}],"uptime":[{"componentType":"system","observedValue":1209600.245,"observedUnit":"s","status":"pass"}]}}"#,
        state: Healthy,
        dependencies: &[("cassandra:responseTime", Healthy), ("uptime", Healthy)],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/status",
        body: r#"{"status":"pass","releaseId":"abc","notes":[""],"output":""}"#,
        state: Healthy,
        dependencies: &[],
    },
    Fixture {
        status: 200,
        content_type: "application/health+json",
        path: "/health",
        body: r#"{"status":"warn","checks":{"cpu:utilization":[{"componentId":"node-1","status":"warn","observedValue":85,"output":"busy"},{"componentId":"node-2","status":"pass","observedValue":20}]}}"#,
        state: Degraded,
        dependencies: &[("cpu:utilization/node-1", Degraded), ("cpu:utilization/node-2", Healthy)],
    },
    Fixture {
        status: 503,
        content_type: "application/health+json",
        path: "/health",
        body: r#"{"status":"fail","output":"database unreachable","checks":{"db:connections":[{"status":"fail","output":"timeout"}]}}"#,
        state: Unhealthy,
        dependencies: &[("db:connections", Unhealthy)],
    },
];
