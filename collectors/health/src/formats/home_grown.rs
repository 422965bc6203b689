//! JSON that somebody made up. The keys and words are those seen in public code: an overall word, and dependencies in a container or at top level.

use super::{
    Body, Dependencies, FORMATS, Format, MAX_DEPTH, Verdict, field, join, same_key, service_of, status_of, text_of, unread, uptime_of,
};
use crate::words::{Word, classify, classify_scalar, duration};
use serde_json::{Map, Value};

pub(super) const FORMAT: Format = Format { name: "json", sniff, decode };

const OVERALL: [&str; 14] = [
    "status",
    "overall",
    "overall_status",
    "health",
    "health_status",
    "overall_health",
    "state",
    "app",
    "ok",
    "healthy",
    "is_healthy",
    "success",
    "passed",
    "ready",
];
/// Where the state of an overall key is that holds an object.
const INNER: [&str; 6] = ["status", "state", "overall", "code", "indicator", "value"];
const CONTAINERS: [&str; 13] = [
    "dependencies",
    "checks",
    "services",
    "components",
    "details",
    "entries",
    "info",
    "error",
    "results",
    "checkResults",
    "health_checks",
    "indicators",
    "subsystems",
];
const MESSAGES: [&str; 6] = ["error", "message", "output", "reason", "detail", "description"];
const LATENCIES: [&str; 5] = ["latency_ms", "response_time_ms", "response_time", "latency", "duration"];
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
const ABOUT: [&str; 20] = [
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
    "level",
    "log_level",
    "loglevel",
    "severity",
];

fn sniff(body: &Body<'_>) -> bool {
    (body.object().is_some() || list(body).is_some()) && !FORMATS.iter().any(|f| f.name != FORMAT.name && (f.sniff)(body))
}

/// A list of checks without anything around it, as Consul answers.
pub(super) fn list<'a>(body: &Body<'a>) -> Option<&'a Vec<Value>> {
    let says = |check: &Value| check.as_object().is_some_and(|check| status_of(check, &OVERALL).is_some());
    body.json?.as_array().filter(|list| list.iter().any(says))
}

fn decode(body: &Body<'_>) -> Verdict {
    let mut dependencies = Dependencies::default();
    if let Some(list) = list(body) {
        entries(list, "", 0, &mut dependencies);
        return Verdict { dependencies: dependencies.0, ..Verdict::default() };
    }
    let Some(object) = body.object() else { return Verdict::default() };
    let inner = |name: &&str| field(object, name)?.as_object();
    let overall = status_of(object, &OVERALL)
        .or_else(|| OVERALL.iter().filter_map(inner).find_map(|inner| status_of(inner, &INNER)))
        .map(|(word, _)| word)
        .or_else(|| http_code(field(object, "status")?));
    containers(object, "", 0, &mut dependencies);
    for inner in OVERALL.iter().filter_map(inner).filter(|inner| status_of(inner, &INNER).is_none()) {
        parts(inner, &mut dependencies);
    }
    parts(object, &mut dependencies);
    if body.status >= 500 && overall.is_none() {
        errors(object, &mut dependencies);
    }
    let message = if matches!(overall, Some(Word::Bad | Word::Middle)) { text_of(object, &MESSAGES) } else { String::new() };
    Verdict {
        overall: overall.filter(|w| *w != Word::Absent),
        dependencies: dependencies.0,
        message,
        service: service_of(object),
        uptime_seconds: uptime_of(object),
        unread: unread(object, &OVERALL),
    }
}

/// A status that is the code which the answer should have had.
fn http_code(status: &Value) -> Option<Word> {
    match status.as_u64()? {
        200..=399 => Some(Word::Good),
        400..=599 => Some(Word::Bad),
        _ => None,
    }
}

/// Dependencies beside what describes the service.
fn parts(object: &Map<String, Value>, found: &mut Dependencies) {
    let about = |name: &str| [&OVERALL[..], &CONTAINERS, &ABOUT].iter().any(|keys| keys.iter().any(|key| same_key(key, name)));
    for (name, value) in object.iter().filter(|(name, _)| !about(name)) {
        let known = KNOWN_PARTS.iter().any(|part| same_key(part, name));
        let worth_it = match value {
            Value::Object(inner) => status_of(inner, &OVERALL).is_some(),
            // A switch that happens to be written as text is no more a state than one that is not.
            Value::String(text) if matches!(text.trim(), "true" | "false" | "True" | "False") => known,
            Value::String(_) => classify_scalar(value).is_some(),
            Value::Bool(_) => known,
            _ => false,
        };
        if worth_it {
            dependency(name, value, 0, found);
        }
    }
}

/// Checks that answer `OK` or with their error and nothing else, as those of Go's healthcheck packages do.
fn errors(object: &Map<String, Value>, found: &mut Dependencies) {
    if object.is_empty() || !object.values().all(Value::is_string) {
        return;
    }
    for (name, text) in object.iter().filter_map(|(name, value)| Some((name, value.as_str()?))) {
        let about = [&CONTAINERS[..], &ABOUT, &MESSAGES].iter().any(|keys| keys.iter().any(|key| same_key(key, name)));
        if !about && classify(text).is_none() && !text.trim().is_empty() {
            found.add(name, Word::Bad, super::bounded(text), None);
        }
    }
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
            Some(Value::Array(children)) => entries(children, parent, depth, found),
            _ => {}
        }
    }
}

fn entries(children: &[Value], parent: &str, depth: usize, found: &mut Dependencies) {
    for child in children.iter().filter_map(Value::as_object) {
        let name = ["name", "service", "id", "component", "checkId", "checker"].iter().find_map(|n| field(child, n)?.as_str());
        if let Some(name) = name {
            entry(&join(parent, name), child, depth, found);
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
            } else if let Some(text) = scalar.as_str().filter(|text| one_word(text)) {
                found.add(name, Word::Unknown, no_known_state(text), None);
            }
        }
    }
}

/// Whether a text may be meant as a state: an address, a version or a sentence is not.
fn one_word(text: &str) -> bool {
    let text = text.trim();
    text.len() <= 24 && text.starts_with(char::is_alphabetic) && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}

fn no_known_state(text: &str) -> String {
    format!("says \"{}\", which is no known state", super::bounded(text))
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
    } else if found.0.len() == before {
        let text = unread(object, &OVERALL);
        if one_word(&text) {
            found.add(name, Word::Unknown, no_known_state(&text), None);
        }
    }
}

#[cfg(test)]
use super::tests::Fixture;
#[cfg(test)]
use watchfire_model::HealthState::{Degraded, Healthy, Unhealthy, Unknown};
#[cfg(test)]
pub(super) const FIXTURES: &[Fixture] = &[
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/health",
        body: r#"{"overallStatus":"DOWN","healthChecks":{"orders-db":"up"}}"#,
        state: Unhealthy,
        dependencies: &[("orders-db", Healthy)],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/health",
        body: r#"{"isHealthy":false,"Elastic-Search":true}"#,
        state: Unhealthy,
        dependencies: &[("Elastic-Search", Healthy)],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/ready",
        body: r#"{"ready":false}"#,
        state: Unhealthy,
        dependencies: &[],
    },
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
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/health",
        body: r#"[{"Node":"n1","CheckID":"serfHealth","Name":"Serf Health Status","Status":"passing"},{"Node":"n1","CheckID":"service:web","Name":"web","Status":"critical"}]"#,
        state: Degraded,
        dependencies: &[("Serf Health Status", Healthy), ("web", Unhealthy)],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/health",
        body: r#"{"finishedAt":1756030000,"checkResults":[{"name":"Database","status":"ok"},{"name":"Queue","status":"crashed"}]}"#,
        state: Degraded,
        dependencies: &[("Database", Healthy), ("Queue", Unhealthy)],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/health",
        body: r#"{"page":{"id":"x","name":"Pay"},"status":{"indicator":"major","description":"Partial System Outage"}}"#,
        state: Unhealthy,
        dependencies: &[],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/health",
        body: r#"{"status":{"database":"up","redis":"down"},"version":"1"}"#,
        state: Degraded,
        dependencies: &[("database", Healthy), ("redis", Unhealthy)],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/health",
        body: r#"{"status":503,"error":"Service Unavailable"}"#,
        state: Unhealthy,
        dependencies: &[],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/health",
        body: r#"{"status":"ok","dependencies":{"db":"flabbergasted","redis":"ok","api":"https://api.example.com","version":"1.2"},"checks":[{"name":"queue","status":"purple"},{"name":"disk","status":"ok"}]}"#,
        state: Healthy,
        dependencies: &[("db", Unknown), ("redis", Healthy), ("queue", Unknown), ("disk", Healthy)],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/health",
        body: r#"{"status":"ok","log_level":"warning","debug":"false","read_only":"False","cache":"true"}"#,
        state: Healthy,
        dependencies: &[("cache", Healthy)],
    },
    Fixture {
        status: 503,
        content_type: "application/json",
        path: "/ready",
        body: r#"{"goroutine-threshold":"OK","upstream-dep-tcp":"dial tcp 10.0.0.1:80: connect: connection refused"}"#,
        state: Unhealthy,
        dependencies: &[("goroutine-threshold", Healthy), ("upstream-dep-tcp", Unhealthy)],
    },
    Fixture {
        status: 500,
        content_type: "application/json",
        path: "/healthcheck",
        body: r#"{"hostname":"h","status":"failure","results":[{"checker":"redis","output":"no","passed":false},{"checker":"db","output":"ok","passed":true}]}"#,
        state: Unhealthy,
        dependencies: &[("redis", Unhealthy), ("db", Healthy)],
    },
    Fixture {
        status: 502,
        content_type: "application/json",
        path: "/health",
        body: r#"{"error":"Bad Gateway","host":"edge-1"}"#,
        state: Unhealthy,
        dependencies: &[],
    },
];
