//! Files written from what a running instance receives, as a start for one's own: a platform preset, and dialects.

mod draft;
mod learn;

use crate::attach::RemoteSource;
use learn::Lessons;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use watchfire_alerts::{Dialect, ObservedSeries, propose};
use watchfire_model::reading::{Map, NodeKind, ReadError, Reading, Request, ServicePage, Source, TraceQuery};
use watchfire_model::{Labels, harmless};

/// Traces looked at for each operation, and in all.
const TRACES_EACH: usize = 12;
const TRACES: usize = 600;

/// TOML of a platform with every service, store, provider, queue, breaker and call that is seen.
///
/// # Errors
/// When the instance cannot be reached, or has seen nothing yet.
pub fn from_telemetry(url: &str, runtime: &tokio::runtime::Runtime) -> anyhow::Result<String> {
    let remote = RemoteSource::of_environment(url, runtime)?;
    let Reading::Map(map) = remote.read(&Request::Map, None)? else { unreachable!("a map answers a map") };
    let services: Vec<&str> = map.nodes.iter().filter(|n| n.kind == NodeKind::Service && n.observed).map(|n| n.name.as_str()).collect();
    anyhow::ensure!(!services.is_empty(), "{url} has not seen any service yet; send telemetry first");
    let mut pages = BTreeMap::new();
    for name in services {
        if let Reading::Service(page) = remote.read(&Request::Service { name: name.to_owned() }, None)? {
            pages.insert(name.to_owned(), *page);
        }
    }
    let Reading::Queues(queues) = remote.read(&Request::Queues, None)? else { unreachable!("queues answer queues") };
    let mut systems = BTreeMap::new();
    if let Reading::Query(found) = remote.read(&Request::Query { expression: "watchfire_node_info".to_owned() }, None)? {
        systems.extend(found.series.iter().map(|s| (s.labels.value("node").to_owned(), s.labels.value("system").to_owned())));
    }
    let lessons = lessons(&remote, &map, &pages)?;
    Ok(draft::text(&draft::Seen { map, pages, queues: queues.queues, systems, lessons }))
}

/// Some traces of every operation, the newest.
fn lessons(remote: &RemoteSource, map: &Map, pages: &BTreeMap<String, ServicePage>) -> anyhow::Result<Lessons> {
    let mut ids = BTreeSet::new();
    for (service, page) in pages {
        for operation in &page.operations {
            let query = TraceQuery {
                service: Some(service.clone()),
                operation: Some(operation.name.clone()),
                limit: Some(TRACES_EACH),
                ..TraceQuery::default()
            };
            if let Reading::Traces(found) = remote.read(&Request::Traces(query), None)? {
                ids.extend(found.traces.into_iter().map(|t| t.trace_id));
            }
        }
    }
    let mut peers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for edge in map.edges.iter().filter(|e| e.observed) {
        peers.entry(edge.client.clone()).or_default().insert(edge.server.clone());
    }
    let mut lessons = Lessons::default();
    for id in ids.into_iter().take(TRACES) {
        match remote.read(&Request::Trace { id }, None) {
            Ok(Reading::Trace(trace)) => lessons.learn(&trace, &peers),
            // It had to make room meanwhile.
            Ok(_) | Err(ReadError::NotFound(_)) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(lessons)
}

/// Series whose names suggest a queue or a breaker.
const LOOKS_LIKE: &str = r#"{__name__=~".*(queue|backlog|lag|pending|enqueued|undelivered|unacked|waiting|breaker|circuit|fuse).*"}"#;

/// Dialect files for series that look like queues or breakers and that no `known` dialect reads, ready to be put beside the configuration.
///
/// # Errors
/// When the instance cannot be reached.
pub fn dialects(url: &str, known: &[Dialect], runtime: &tokio::runtime::Runtime) -> anyhow::Result<String> {
    let remote = RemoteSource::of_environment(url, runtime)?;
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
            harmless(&proposal.metric),
            proposal.kind,
            harmless(&proposal.reason),
            proposal.metric.replace(|c: char| !(c.is_ascii_alphanumeric() || c == '_'), "_"),
            proposal.toml
        );
    }
    Ok(out)
}
