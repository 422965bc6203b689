//! JSON that somebody made up. The keys and words are those seen in public code: an overall word, and dependencies in a container or at top level.

use super::{Body, Dependencies, FORMATS, Format, MAX_DEPTH, Verdict, field, join, service_of, status_of, text_of, uptime_of};
use crate::words::{Word, classify_scalar, duration};
use serde_json::{Map, Value};

pub(super) const FORMAT: Format = Format { name: "json", sniff, decode };

const OVERALL: [&str; 9] = ["status", "overall", "overall_status", "health", "state", "app", "ok", "healthy", "success"];
const CONTAINERS: [&str; 8] = ["dependencies", "checks", "services", "components", "details", "entries", "info", "error"];
const MESSAGES: [&str; 6] = ["error", "message", "output", "reason", "detail", "description"];
const LATENCIES: [&str; 8] =
    ["latency_ms", "latencyMs", "response_time_ms", "responseTimeMs", "response_time", "responseTime", "latency", "duration"];
/// Names that are dependencies even when all they hold is a truth value.
const KNOWN_PARTS: [&str; 30] = [
    "database",
    "db",
    "redis",
    "kafka",
    "rabbitmq",
    "postgres",
    "postgresql",
    "mysql",
    "mariadb",
    "mongo",
    "mongodb",
    "cache",
    "queue",
    "broker",
    "nats",
    "elasticsearch",
    "opensearch",
    "storage",
    "s3",
    "minio",
    "smtp",
    "celery",
    "memcached",
    "cassandra",
    "clickhouse",
    "etcd",
    "vault",
    "zookeeper",
    "consul",
    "sqlite",
];
/// Keys of the top level that describe the service and are no dependency.
const ABOUT: [&str; 16] = [
    "service",
    "name",
    "version",
    "timestamp",
    "time",
    "uptime",
    "message",
    "env",
    "environment",
    "hostname",
    "host",
    "pid",
    "release",
    "commit",
    "mode",
    "title",
];

fn sniff(body: &Body<'_>) -> bool {
    body.object().is_some() && !FORMATS.iter().any(|f| f.name != FORMAT.name && (f.sniff)(body))
}

fn decode(body: &Body<'_>) -> Verdict {
    let Some(object) = body.object() else { return Verdict::default() };
    let overall = status_of(object, &OVERALL).map(|(word, _)| word).filter(|w| *w != Word::Absent);
    let mut dependencies = Dependencies::default();
    containers(object, "", 0, &mut dependencies);
    for (name, value) in object {
        let lower = name.to_ascii_lowercase();
        if OVERALL.contains(&lower.as_str()) || CONTAINERS.contains(&lower.as_str()) || ABOUT.contains(&lower.as_str()) {
            continue;
        }
        let worth_it = match value {
            Value::Object(inner) => status_of(inner, &OVERALL).is_some(),
            Value::String(_) => classify_scalar(value).is_some(),
            Value::Bool(_) => KNOWN_PARTS.contains(&lower.as_str()),
            _ => false,
        };
        if worth_it {
            dependency(name, value, 0, &mut dependencies);
        }
    }
    let message = if matches!(overall, Some(Word::Bad | Word::Middle)) { text_of(object, &MESSAGES) } else { String::new() };
    Verdict { overall, dependencies: dependencies.0, message, service: service_of(object), uptime_seconds: uptime_of(object) }
}

fn containers(object: &Map<String, Value>, parent: &str, depth: usize, found: &mut Dependencies) {
    for key in CONTAINERS {
        match field(object, key) {
            Some(Value::Object(children)) => {
                for (name, child) in children {
                    // `details` and `error` of a leaf hold plain facts, not dependencies.
                    let facts = matches!(key, "details" | "info" | "error") && !child.is_object();
                    if !facts {
                        dependency(&join(parent, name), child, depth, found);
                    }
                }
            }
            Some(Value::Array(children)) => {
                for child in children.iter().filter_map(Value::as_object) {
                    let name = ["name", "service", "id", "component"].iter().find_map(|n| field(child, n)?.as_str());
                    if let Some(name) = name {
                        entry(&join(parent, name), child, depth, found);
                    }
                }
            }
            _ => {}
        }
    }
}

fn dependency(name: &str, value: &Value, depth: usize, found: &mut Dependencies) {
    match value {
        Value::Object(object) => entry(name, object, depth, found),
        scalar => {
            if let Some(word) = classify_scalar(scalar) {
                let detail = scalar.as_str().map(super::bounded).filter(|text| says_more(text, word)).unwrap_or_default();
                found.add(name, word, detail, None);
            }
        }
    }
}

/// Whether a text tells why, beyond the state itself.
fn says_more(text: &str, word: Word) -> bool {
    word != Word::Good && text.trim().contains(char::is_whitespace)
}

/// An object: its own state, or that of its children where it has any.
fn entry(name: &str, object: &Map<String, Value>, depth: usize, found: &mut Dependencies) {
    let before = found.0.len();
    if depth < MAX_DEPTH {
        containers(object, name, depth + 1, found);
    }
    if let Some((word, text)) = status_of(object, &OVERALL).filter(|_| found.0.len() == before) {
        let mut detail = text_of(object, &MESSAGES);
        if detail.is_empty() && says_more(&text, word) {
            detail = text;
        }
        found.add(name, word, detail, LATENCIES.iter().find_map(|key| duration(field(object, key)?)));
    }
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
        path: "/health",
        body: r#"{"service":"auth-service","status":"healthy","timestamp":"2025-01-01T00:00:00Z","dependencies":{"database":"healthy","redis":"healthy"},"uptime":3600.5}"#,
        state: Healthy,
        dependencies: &[("database", Healthy), ("redis", Healthy)],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/health",
        body: r#"{"status":"ok","version":"1.4.2"}"#,
        state: Healthy,
        dependencies: &[],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/health",
        body: r#"{"ok":true,"db":true,"redis":{"healthy":true,"latency_ms":2.5},"smtp":null}"#,
        state: Healthy,
        dependencies: &[("db", Healthy), ("redis", Healthy)],
    },
    Fixture { status: 200, content_type: "application/json", path: "/hc", body: "{}", state: Healthy, dependencies: &[] },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/health",
        body: r#"{"service":"client-service","status":"healthy","timestamp":"2025-01-01T00:00:00Z","dependencies":{"database":"healthy","redis":"unhealthy"},"uptime":12}"#,
        state: Degraded,
        dependencies: &[("database", Healthy), ("redis", Unhealthy)],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/api/health",
        body: r#"{"overall":"unhealthy","checks":{"database":{"status":"unhealthy","error":"connection refused","response_time":"5s"},"disk":{"status":"healthy"},"mail":{"status":"disabled"}},"timestamp":1735689600,"version":"2.0"}"#,
        state: Unhealthy,
        dependencies: &[("database", Unhealthy), ("disk", Healthy)],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/health",
        body: r#"{"status":"degraded","services":[{"name":"catalog","status":"up"},{"name":"search","status":"down: timeout"}]}"#,
        state: Degraded,
        dependencies: &[("catalog", Healthy), ("search", Unhealthy)],
    },
    Fixture {
        status: 503,
        content_type: "application/json",
        path: "/health",
        body: r#"{"healthy":false,"components":{"storage":{"components":{"s3":{"state":"available"},"nfs":{"state":"unavailable","message":"stale handle"}}}}}"#,
        state: Unhealthy,
        dependencies: &[("storage/s3", Healthy), ("storage/nfs", Unhealthy)],
    },
];
