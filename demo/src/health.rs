//! Health bodies in the shapes that the platforms' documents give them.

use crate::world::World;
use serde_json::json;
use std::time::Duration;
use watchfire_config::platform::HealthFormat;

/// An answer of a health endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthAnswer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
}

impl World {
    /// What a service says about itself at `path`; `None` while it is down and answers nothing.
    pub(crate) fn health(&self, service: usize, path: &str, now: Duration) -> Option<HealthAnswer> {
        let description = &self.platform.services[service];
        let influence = self.influence(&description.name, "", now);
        if influence.down {
            return None;
        }
        let dependencies = self.dependencies(service, now);
        let word = match influence.health.as_str() {
            "" if dependencies.iter().all(|(_, healthy)| *healthy) => "healthy",
            "" => "degraded",
            told => told,
        };
        let unhealthy = word == "unhealthy";
        let status = if unhealthy { 503 } else { 200 };
        let at = self.timeline.nanos(now, now);
        let timestamp = chrono::DateTime::from_timestamp_nanos(at as i64).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let answer = |status: u16, content_type: &'static str, body: serde_json::Value| {
            Some(HealthAnswer { status, content_type, body: body.to_string() })
        };
        if path.ends_with("/live") || path.ends_with("liveness") || path.ends_with("livez") {
            return answer(200, "application/json", json!({"status": "alive", "service": description.name}));
        }
        if path.ends_with("/ready") || path.ends_with("readiness") || path.ends_with("readyz") {
            let body = json!({"status": if unhealthy { "not_ready" } else { "ready" }, "service": description.name});
            return answer(status, "application/json", body);
        }
        let words = |up: &'static str, down: &'static str| -> serde_json::Map<String, serde_json::Value> {
            dependencies.iter().map(|(name, healthy)| (name.clone(), json!(if *healthy { up } else { down }))).collect()
        };
        let objects = |key: &'static str, up: &'static str, down: &'static str| -> serde_json::Map<String, serde_json::Value> {
            dependencies.iter().map(|(name, healthy)| (name.clone(), json!({key: if *healthy { up } else { down }}))).collect()
        };
        let uptime = now.as_secs_f64();
        match description.health_format.unwrap_or(self.platform.defaults.health_format) {
            HealthFormat::Dependencies if path.ends_with("/detailed") => {
                let breakers: serde_json::Map<_, _> = self
                    .breakers
                    .iter()
                    .filter(|b| b.parameters().service == description.name)
                    .map(|b| (b.parameters().name.clone(), json!(b.state().word())))
                    .collect();
                let body = json!({
                    "service": description.name, "status": word, "timestamp": timestamp, "uptime": uptime, "version": description.version,
                    "dependencies": objects("status", "healthy", "unhealthy"), "circuit_breakers": breakers,
                });
                answer(status, "application/json", body)
            }
            HealthFormat::Dependencies => {
                let body = json!({
                    "service": description.name, "status": word, "timestamp": timestamp,
                    "dependencies": words("healthy", "unhealthy"), "uptime": uptime,
                });
                answer(status, "application/json", body)
            }
            HealthFormat::Checks => {
                let checks: serde_json::Map<_, _> = self
                    .assessment(service, now)
                    .into_iter()
                    .map(|(name, healthy)| (name.to_owned(), json!({"status": if healthy { "healthy" } else { "degraded" }})))
                    .collect();
                let all = checks.values().all(|check| check["status"] == "healthy");
                let overall = if word == "healthy" && !all { "degraded" } else { word };
                let body = json!({"overall": overall, "checks": checks, "timestamp": timestamp, "version": description.version});
                answer(status, "application/json", body)
            }
            HealthFormat::Actuator => {
                let down = unhealthy || word == "degraded";
                let body = json!({"status": if down { "DOWN" } else { "UP" }, "components": objects("status", "UP", "DOWN")});
                answer(if down { 503 } else { 200 }, "application/vnd.spring-boot.actuator.v3+json", body)
            }
            HealthFormat::HealthJson => {
                let checks: serde_json::Map<_, _> = dependencies
                    .iter()
                    .map(|(name, healthy)| {
                        (format!("{name}:connections"), json!([{"componentId": name, "status": if *healthy { "pass" } else { "fail" }}]))
                    })
                    .collect();
                let overall = match word {
                    "healthy" => "pass",
                    "unhealthy" => "fail",
                    _ => "warn",
                };
                answer(status, "application/health+json", json!({"status": overall, "version": description.version, "checks": checks}))
            }
            HealthFormat::Terminus => {
                let (up, down): (Vec<_>, Vec<_>) = dependencies.iter().partition(|(_, healthy)| *healthy);
                let part = |list: &[&(String, bool)], word: &str| -> serde_json::Map<_, _> {
                    list.iter().map(|(name, _)| (name.clone(), json!({"status": word}))).collect()
                };
                let failed = unhealthy || !down.is_empty();
                let body = json!({
                    "status": if failed { "error" } else { "ok" }, "info": part(&up, "up"), "error": part(&down, "down"), "details": objects("status", "up", "down"),
                });
                answer(if failed { 503 } else { 200 }, "application/json", body)
            }
            HealthFormat::Plain => {
                Some(HealthAnswer { status, content_type: "text/plain", body: if unhealthy { "unhealthy" } else { "ok" }.to_owned() })
            }
        }
    }
}
