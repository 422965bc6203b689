//! Files written from what a running instance receives, as a start for one's own: a platform preset, and dialects.

use crate::attach::{Credentials, RemoteSource};
use std::collections::BTreeMap;
use std::fmt::Write;
use watchfire_alerts::{Dialect, ObservedSeries, propose};
use watchfire_model::Labels;
use watchfire_model::reading::{Map, NodeKind, Reading, Request, ServicePage, Source};

/// TOML of a platform with every service, store, provider, queue and call that is seen.
///
/// # Errors
/// When the instance cannot be reached, or has seen nothing yet.
pub fn from_telemetry(url: &str, runtime: &tokio::runtime::Runtime) -> anyhow::Result<String> {
    let remote = RemoteSource::new(url, Credentials::of_environment(), runtime.handle().clone())?;
    let Reading::Map(map) = remote.read(&Request::Map, None)? else { unreachable!("a map answers a map") };
    let services: Vec<&str> = map.nodes.iter().filter(|n| n.kind == NodeKind::Service && n.observed).map(|n| n.name.as_str()).collect();
    anyhow::ensure!(!services.is_empty(), "{url} has not seen any service yet; send telemetry first");
    let mut pages = BTreeMap::new();
    for name in services {
        if let Reading::Service(page) = remote.read(&Request::Service { name: name.to_owned() }, None)? {
            pages.insert(name.to_owned(), *page);
        }
    }
    Ok(text(&map, &pages))
}

/// Series whose names suggest a queue or a breaker.
const LOOKS_LIKE: &str = r#"{__name__=~".*(queue|backlog|lag|pending|enqueued|undelivered|unacked|waiting|breaker|circuit|fuse).*"}"#;

/// Dialect files for series that look like queues or breakers and that no `known` dialect reads, ready to be put beside the configuration.
///
/// # Errors
/// When the instance cannot be reached.
pub fn dialects(url: &str, known: &[Dialect], runtime: &tokio::runtime::Runtime) -> anyhow::Result<String> {
    let remote = RemoteSource::new(url, Credentials::of_environment(), runtime.handle().clone())?;
    let encoded: String = form_urlencoded::byte_serialize(LOOKS_LIKE.as_bytes()).collect();
    let answer: serde_json::Value = serde_json::from_slice(&remote.get(&format!("/api/v1/query?query={encoded}"))?)?;
    let metadata: serde_json::Value = serde_json::from_slice(&remote.get("/api/v1/metadata")?)?;
    let series: Vec<ObservedSeries> = answer["data"]["result"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| {
            let labels: Labels = serde_json::from_value(item["metric"].clone()).ok()?;
            let name = labels.metric_name().to_owned();
            let help = metadata["data"][&name][0]["help"].as_str().unwrap_or_default().to_owned();
            let ours = name.starts_with("watchfire_") || name.starts_with("otelcol_") || known.iter().any(|d| d.reads(&labels, &help));
            let value = item["value"][1].as_str()?.parse().ok()?;
            (!ours).then_some(ObservedSeries { labels, help, value })
        })
        .collect();
    let proposals = propose(&series);
    if proposals.is_empty() {
        return Ok("every series that looks like a queue or a breaker is known already\n".to_owned());
    }
    let mut out = String::new();
    for proposal in proposals {
        let _ = write!(
            out,
            "# {} looks like a {}: {}\n# put this into dialects/{}.toml beside config.toml\n{}\n",
            proposal.metric, proposal.kind, proposal.reason, proposal.metric, proposal.toml
        );
    }
    Ok(out)
}

fn text(map: &Map, pages: &BTreeMap<String, ServicePage>) -> String {
    let mut out = String::from(
        "# A platform as its telemetry shows it. Put this into DIRECTORY/platform.toml, add owners and thresholds, and watch it with\n\
         #   watchfire --platform DIRECTORY\n# A rules.yaml (Prometheus rule file) beside it is evaluated too.\nname = \"mine\"\ntitle = \"My platform\"\n",
    );
    for (name, page) in pages {
        let _ = write!(out, "\n[[service]]\nname = {name:?}\nowner = {:?}\n", page.service.owner.as_deref().unwrap_or(""));
        if let Some(version) = &page.service.version {
            let _ = writeln!(out, "version = {version:?}");
        }
    }
    for node in map.nodes.iter().filter(|n| n.observed) {
        let seconds = node.p95_seconds.unwrap_or(0.01).max(0.001);
        let latency = format!("p50 = \"{}ms\"\np95 = \"{}ms\"\n", milliseconds(seconds / 2.0), milliseconds(seconds));
        match node.kind {
            NodeKind::Database | NodeKind::Cache => {
                let kind = if node.kind == NodeKind::Cache { "cache" } else { "database" };
                let system = if node.kind == NodeKind::Cache { "redis" } else { "postgresql" };
                let _ = write!(out, "\n[[store]]\nname = {:?}\nkind = {kind:?}\nsystem = {system:?}\n{latency}assumed = true\n", node.name);
            }
            NodeKind::External => {
                let _ = write!(out, "\n[[provider]]\nname = {:?}\nhost = {:?}\n{latency}", node.name, node.name);
            }
            NodeKind::Service | NodeKind::Queue => {}
        }
    }
    for (name, page) in pages {
        let callees: Vec<String> = page
            .callees
            .iter()
            .filter(|e| {
                e.observed && map.nodes.iter().any(|n| n.name == e.server && !matches!(n.kind, NodeKind::Service | NodeKind::Queue))
            })
            .map(|e| format!("{{ to = {:?}, op = \"call\" }}", e.server))
            .collect();
        for (index, operation) in page.operations.iter().filter(|o| o.kind == "server" || o.kind == "consumer").enumerate() {
            let _ = write!(
                out,
                "\n[[operation]]\nservice = {name:?}\nname = {:?}\nrate = {:.2}\np50 = \"{}ms\"\np95 = \"{}ms\"\n",
                operation.name,
                operation.rate.unwrap_or(0.0),
                milliseconds(operation.p50_seconds.unwrap_or(0.01)),
                milliseconds(operation.p95_seconds.or(operation.p50_seconds).unwrap_or(0.02)),
            );
            if index == 0 && !callees.is_empty() {
                let _ = writeln!(out, "steps = [{}]", callees.join(", "));
            }
        }
    }
    out
}

fn milliseconds(seconds: f64) -> u64 {
    ((seconds * 1000.0).round() as u64).max(1)
}
