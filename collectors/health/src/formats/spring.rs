//! Spring Boot Actuator: `status`, and where it is allowed to show them, nested `components` (`details` in the older media type).

use super::{Body, Dependencies, Format, MAX_DEPTH, Verdict, field, join, text_of, unread};
use crate::words::{Word, classify};
use serde_json::{Map, Value};

pub(super) const FORMAT: Format = Format { name: "spring", sniff, decode };

fn sniff(body: &Body<'_>) -> bool {
    let Some(object) = body.object() else { return false };
    let Some(status) = object.get("status").and_then(Value::as_str) else { return false };
    // Upper case, custom states included.
    if status.is_empty() || !status.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') {
        return false;
    }
    object.keys().all(|key| matches!(key.as_str(), "status" | "components" | "groups" | "details" | "description"))
        && ["components", "details"].iter().all(|key| object.get(*key).is_none_or(Value::is_object))
}

fn decode(body: &Body<'_>) -> Verdict {
    let Some(object) = body.object() else { return Verdict::default() };
    let mut dependencies = Dependencies::default();
    components(object, "", 0, &mut dependencies);
    Verdict {
        overall: word(object),
        dependencies: dependencies.0,
        message: text_of(object, &["description"]),
        unread: unread(object, &["status"]),
        ..Verdict::default()
    }
}

fn word(object: &Map<String, Value>) -> Option<Word> {
    let status = field(object, "status")?.as_str()?;
    if status.eq_ignore_ascii_case("UNKNOWN") { Some(Word::Unknown) } else { classify(status) }
}

/// Leaves become dependencies; what groups them gives its name to them.
fn components(object: &Map<String, Value>, parent: &str, depth: usize, found: &mut Dependencies) {
    let children = ["components", "details"].iter().find_map(|key| object.get(*key)?.as_object());
    let Some(children) = children.filter(|_| depth < MAX_DEPTH) else { return };
    for (name, child) in children {
        let Some(child) = child.as_object() else { continue };
        let name = join(parent, name);
        let before = found.0.len();
        components(child, &name, depth + 1, found);
        if let Some(word) = word(child).filter(|_| found.0.len() == before) {
            let details = child.get("details").and_then(Value::as_object);
            let reason = details.map(|d| text_of(d, &["error", "message", "reason"])).unwrap_or_default();
            found.add(&name, word, reason, None);
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
        content_type: "application/vnd.spring-boot.actuator.v3+json",
        path: "/actuator/health",
        body: r#"{"status":"UP"}"#,
        state: Healthy,
        dependencies: &[],
    },
    Fixture {
        status: 200,
        content_type: "application/vnd.spring-boot.actuator.v3+json",
        path: "/actuator/health",
        body: r#"{"status":"UP","components":{"db":{"status":"UP","details":{"database":"PostgreSQL","validationQuery":"isValid()"}},"diskSpace":{"status":"UP","details":{"total":499963174912,"free":91300069376,"threshold":10485760,"exists":true}},"ping":{"status":"UP"}},"groups":["liveness","readiness"]}"#,
        state: Healthy,
        dependencies: &[("db", Healthy), ("diskSpace", Healthy), ("ping", Healthy)],
    },
    Fixture {
        status: 200,
        content_type: "application/vnd.spring-boot.actuator.v2+json;charset=UTF-8",
        path: "/actuator/health",
        body: r#"{"status":"UP","details":{"rabbit":{"status":"UP","details":{"version":"3.10.8"}},"db":{"status":"UP","details":{"first":{"status":"UP"},"second":{"status":"UP"}}}}}"#,
        state: Healthy,
        dependencies: &[("rabbit", Healthy), ("db/first", Healthy), ("db/second", Healthy)],
    },
    Fixture {
        status: 503,
        content_type: "application/vnd.spring-boot.actuator.v3+json",
        path: "/actuator/health",
        body: r#"{"status":"DOWN","components":{"db":{"status":"DOWN","components":{"orders":{"status":"UP"},"stock":{"status":"DOWN","details":{"error":"java.sql.SQLException: connection refused"}}}},"ping":{"status":"UP"}}}"#,
        state: Unhealthy,
        dependencies: &[("db/orders", Healthy), ("db/stock", Unhealthy), ("ping", Healthy)],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/actuator/health",
        body: r#"{"status":"UNKNOWN"}"#,
        state: Unknown,
        dependencies: &[],
    },
    Fixture {
        status: 200,
        content_type: "application/json",
        path: "/actuator/health",
        body: r#"{"status":"UP","components":{"mail":{"status":"OUT_OF_SERVICE"}}}"#,
        state: Degraded,
        dependencies: &[("mail", Unhealthy)],
    },
];
