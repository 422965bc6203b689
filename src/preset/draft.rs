//! The text of a preset: everything that was seen, in the order in which people complete it.

use super::learn::{Lessons, Work};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use watchfire_model::reading::{Map, Node, NodeKind, OperationRow, Queue, ServicePage};

/// What an instance has received.
pub struct Seen {
    pub map: Map,
    pub pages: BTreeMap<String, ServicePage>,
    pub queues: Vec<Queue>,
    /// `postgresql`, `redis` ... by node, where callers say it.
    pub systems: BTreeMap<String, String>,
    pub lessons: Lessons,
}

/// A call that happens less often than this is left out: it may have been an accident.
const RARE: f64 = 0.005;
/// Calls of one kind that are written out one by one.
const MOST_CALLS: usize = 5;

/// TOML of the preset; it loads as it is.
pub fn text(seen: &Seen) -> String {
    let mut out = format!(
        "# A platform as its telemetry shows it. Put this into DIRECTORY/platform.toml, add owners and thresholds, and watch it with\n\
         #   watchfire --platform DIRECTORY\n# or simulate it with\n#   watchfire demo DIRECTORY\n\
         # A rules.yaml (Prometheus rule file) beside it is evaluated too.\n\
         # Calls, their shares and the services' own times were read off {} traces; `assumed` marks what telemetry does not say.\n\
         name = \"mine\"\ntitle = \"My platform\"\n\n[defaults]\nprobes = []        # none was seen; name them, or give each service its own\n",
        seen.lessons.traces
    );
    let names = Names::of(seen);
    for name in &names.left_out {
        let _ = writeln!(out, "# left out, its name has characters that a preset's names cannot have: {name:?}");
    }
    for (name, page) in seen.pages.iter().filter(|(name, _)| names.has(name)) {
        service(&mut out, name, page);
    }
    for node in seen.map.nodes.iter().filter(|n| n.observed && names.has(&n.name)) {
        peer(&mut out, node, seen);
    }
    for queue in seen.queues.iter().filter(|q| names.queues.contains(&q.queue)) {
        self::queue(&mut out, queue, seen, &names);
    }
    for (name, page) in seen.pages.iter().filter(|(name, _)| names.has(name)) {
        operations(&mut out, name, page, seen, &names);
    }
    for breaker in seen.pages.values().flat_map(|p| &p.breakers).filter(|b| !b.inferred && names.has(&b.service)) {
        let Some(protects) = breaker.protects.as_deref().filter(|p| names.has(p)) else { continue };
        let _ = write!(
            out,
            "\n[[breaker]]\nservice = {}\nname = {}\nprotects = {}\nfailures = 5\nreset = \"60s\"\nassumed = true\n",
            quoted(&breaker.service),
            quoted(&breaker.breaker),
            quoted(protects)
        );
    }
    out
}

/// What can be referred to. Services, stores, providers and queues share one list of names.
struct Names {
    nodes: BTreeSet<String>,
    queues: BTreeSet<String>,
    /// Operations of services, as they are written.
    operations: BTreeMap<String, BTreeSet<String>>,
    left_out: BTreeSet<String>,
}

impl Names {
    fn of(seen: &Seen) -> Self {
        let mut nodes: BTreeSet<String> = seen.pages.keys().cloned().collect();
        nodes.extend(seen.map.nodes.iter().filter(|n| n.observed && n.kind != NodeKind::Queue).map(|n| n.name.clone()));
        let consumed = seen.queues.iter().filter(|q| q.consumer_services.iter().any(|s| seen.pages.contains_key(s)));
        let queues: BTreeSet<String> = consumed.map(|q| q.queue.clone()).filter(|q| !nodes.contains(q)).collect();
        nodes.extend(queues.iter().cloned());
        let valid = |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        let left_out = nodes.iter().filter(|n| !valid(n)).cloned().collect();
        nodes.retain(valid);
        let mut names =
            Names { queues: queues.into_iter().filter(|q| nodes.contains(q)).collect(), nodes, operations: BTreeMap::new(), left_out };
        for (service, page) in &seen.pages {
            let served = page.operations.iter().filter(|o| o.kind == "server").map(|o| o.name.clone());
            names.operations.entry(service.clone()).or_default().extend(served);
        }
        for (service, operation) in seen.lessons.operations.keys() {
            names.operations.entry(service.clone()).or_default().insert(operation.clone());
        }
        names
    }

    fn has(&self, name: &str) -> bool {
        self.nodes.contains(name)
    }

    /// Whether a step may name this.
    fn callable(&self, to: &str, op: &str) -> bool {
        self.has(to) && self.operations.get(to).is_none_or(|operations| operations.contains(op))
    }
}

fn service(out: &mut String, name: &str, page: &ServicePage) {
    let _ = write!(out, "\n[[service]]\nname = {}\nowner = {}\n", quoted(name), quoted(page.service.owner.as_deref().unwrap_or("")));
    if let Some(version) = &page.service.version {
        let _ = writeln!(out, "version = {}", quoted(version));
    }
    if page.operations.iter().any(|o| o.kind == "consumer") && page.operations.iter().all(|o| o.kind != "server") {
        out.push_str("kind = \"worker\"\n");
    }
    if let Some(ratio) = page.service.sampling_ratio {
        let _ = writeln!(out, "sampling = {ratio:.4}");
    }
    let mut probes: Vec<(u16, String, String)> = page
        .checks
        .iter()
        .filter_map(|c| {
            let url = reqwest::Url::parse(&c.url).ok().filter(|u| matches!(u.scheme(), "http" | "https"))?;
            Some((url.port_or_known_default()?, c.check.clone(), url.path().to_owned()))
        })
        .collect();
    probes.sort();
    probes.dedup();
    if let Some((port, ..)) = probes.first().cloned() {
        let own: Vec<String> = probes
            .iter()
            .filter(|(p, ..)| *p == port)
            .map(|(_, check, path)| format!("{{ name = {}, path = {} }}", quoted(check), quoted(path)))
            .collect();
        let _ = write!(out, "port = {port}\nprobes = [{}]\n", own.join(", "));
    }
}

fn peer(out: &mut String, node: &Node, seen: &Seen) {
    let seconds = node.p95_seconds.unwrap_or(0.01).max(0.001);
    let latency = format!("p50 = \"{}ms\"\np95 = \"{}ms\"\n", milliseconds(seconds / 2.0), milliseconds(seconds));
    match node.kind {
        NodeKind::Database | NodeKind::Cache => {
            let said = seen.systems.get(&node.name).map(String::as_str).filter(|s| !s.is_empty());
            let kind = if node.kind == NodeKind::Cache { "cache" } else { store_kind(said.unwrap_or("")) };
            let system = said.unwrap_or(if kind == "cache" { "redis" } else { "postgresql" });
            let _ = write!(out, "\n[[store]]\nname = {}\nkind = {kind:?}\nsystem = {}\n{latency}", quoted(&node.name), quoted(system));
            if said.is_none() {
                out.push_str("assumed = true\n");
            }
        }
        NodeKind::External => {
            let _ = write!(out, "\n[[provider]]\nname = {0}\nhost = {0}\n{latency}", quoted(&node.name));
        }
        NodeKind::Service | NodeKind::Queue => {}
    }
}

/// What a system is kept for, by its name.
fn store_kind(system: &str) -> &'static str {
    let parts = || system.split(['.', '-', '_']);
    if parts().any(|part| matches!(part, "elasticsearch" | "opensearch" | "solr" | "meilisearch")) {
        "search"
    } else if parts().any(|part| matches!(part, "s3" | "storage" | "blob" | "gcs" | "minio")) {
        "storage"
    } else {
        "database"
    }
}

fn queue(out: &mut String, queue: &Queue, seen: &Seen, names: &Names) {
    let Some(consumer) = queue.consumer_services.iter().find(|s| seen.pages.contains_key(*s) && names.has(s)) else { return };
    let idle = Work::default();
    let work = seen.lessons.queues.get(&queue.queue).unwrap_or(&idle);
    let system = queue.system.to_lowercase();
    let exporter = ["kafka", "rabbitmq", "bullmq", "celery"].into_iter().find(|known| system.contains(known));
    let exporter = exporter.unwrap_or(if system.contains("redis") { "redis-streams" } else { "celery" });
    let steps_to_it = |work: &Work| work.calls.keys().filter(|(to, _)| *to == queue.queue).map(|(_, op)| op.clone()).collect::<Vec<_>>();
    let jobs: BTreeSet<String> = seen.lessons.operations.values().chain(seen.lessons.queues.values()).flat_map(steps_to_it).collect();
    let _ = write!(
        out,
        "\n[[queue]]\nname = {}\nsystem = {}\nexporter = {exporter:?}\nexported_by = {consumer}\nconsumer = {consumer}\nworkers = 4\np50 = \"{}ms\"\np95 = \"{}ms\"\n",
        quoted(&queue.queue),
        quoted(if system.is_empty() { exporter } else { &system }),
        milliseconds(work.own_quantile(0.5).unwrap_or(0.01)),
        milliseconds(work.own_quantile(0.95).unwrap_or(0.02)),
        consumer = quoted(consumer),
    );
    if !jobs.is_empty() {
        let _ = writeln!(out, "jobs = [{}]", jobs.iter().map(|j| quoted(j)).collect::<Vec<_>>().join(", "));
    } else if let Some(rate) = queue.in_rate.or(queue.out_rate).filter(|r| *r > 0.0) {
        let _ = writeln!(out, "arrivals = {rate:.2}");
    }
    if work.in_sender_trace * 2 > work.times {
        out.push_str("same_trace = true\n");
    }
    if let Some(threshold) = queue.threshold {
        let _ = writeln!(out, "threshold = {threshold:.0}");
    }
    steps(out, work, None, names);
    out.push_str("assumed = true\n");
}

fn operations(out: &mut String, service: &str, page: &ServicePage, seen: &Seen, names: &Names) {
    let Some(served) = names.operations.get(service) else { return };
    // Peers that no trace showed a call to still are called: by the busiest operation, as far as we know.
    let placed: BTreeSet<&str> = seen
        .lessons
        .operations
        .iter()
        .filter(|((s, _), _)| s == service)
        .flat_map(|(_, work)| work.calls.keys())
        .map(|(to, _)| to.as_str())
        .collect();
    let mut unplaced: Vec<&str> = page
        .callees
        .iter()
        .filter(|e| e.observed && !placed.contains(e.server.as_str()) && names.has(&e.server) && !names.operations.contains_key(&e.server))
        .filter(|e| !names.queues.contains(&e.server))
        .map(|e| e.server.as_str())
        .collect();
    let row = |name: &str| page.operations.iter().find(|o| matches!(o.kind.as_str(), "server" | "internal") && o.name == name);
    let rate = |name: &str| row(name).and_then(|o| o.rate).unwrap_or(0.0);
    let mut served: Vec<&String> = served.iter().collect();
    served.sort_by(|a, b| rate(b).total_cmp(&rate(a)));
    let unknown = OperationRow::default();
    for name in served {
        let row = row(name).unwrap_or(&unknown);
        let _ = write!(out, "\n[[operation]]\nservice = {}\nname = {}\n", quoted(service), quoted(name));
        let work = seen.lessons.operations.get(&(service.to_owned(), name.clone()));
        // Without a trace of it, it comes from outside if nobody is seen calling the service.
        let outside = work.map_or(if page.callers.is_empty() { 1.0 } else { 0.0 }, |w| w.share(w.from_outside));
        if let Some(rate) = row.rate.map(|r| r * outside).filter(|r| *r >= 0.005) {
            let _ = writeln!(out, "rate = {rate:.2}");
        }
        let p50 = milliseconds(work.and_then(|w| w.own_quantile(0.5)).or(row.p50_seconds).unwrap_or(0.01));
        let p95 = milliseconds(work.and_then(|w| w.own_quantile(0.95)).or(row.p95_seconds).unwrap_or(0.02)).max(p50);
        let _ = write!(out, "p50 = \"{p50}ms\"\np95 = \"{p95}ms\"\n");
        let Some(work) = work else { continue };
        if work.grpc {
            out.push_str("protocol = \"grpc\"\n");
        }
        if work.own_failures > 0 {
            let _ = writeln!(out, "errors = {:.3}", work.share(work.own_failures));
        }
        steps(out, work, Some(&mut unplaced), names);
    }
}

fn steps(out: &mut String, work: &Work, unplaced: Option<&mut Vec<&str>>, names: &Names) {
    let mut lines = Vec::new();
    for (to, op, mean) in work.steps().into_iter().filter(|(to, op, mean)| *mean >= RARE && names.callable(to, op)) {
        let step = |share: f64| {
            let share = if share < 0.995 { format!(", share = {share:.2}") } else { String::new() };
            format!("  {{ to = {}, op = {}{share} }},\n", quoted(to), quoted(op))
        };
        let whole = (mean as usize).min(MOST_CALLS);
        lines.extend((0..whole).map(|_| step(1.0)));
        let rest = mean - whole as f64;
        if whole < MOST_CALLS && rest >= RARE {
            lines.push(step(rest.max(0.01)));
        }
    }
    lines.extend(unplaced.into_iter().flat_map(std::mem::take).map(|to| format!("  {{ to = {}, op = \"call\" }},\n", quoted(to))));
    if !lines.is_empty() {
        let _ = write!(out, "steps = [\n{}]\n", lines.concat());
    }
}

/// A TOML string; names come from outside.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn milliseconds(seconds: f64) -> u64 {
    ((seconds * 1000.0).round() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_says_what_kind_of_store_it_is() {
        for (system, kind) in [
            ("postgresql", "database"),
            ("aws.s3", "storage"),
            ("firebase.storage", "storage"),
            ("azure_blob", "storage"),
            ("opensearch", "search"),
            ("", "database"),
        ] {
            assert_eq!(store_kind(system), kind, "{system}");
        }
    }

    #[test]
    fn names_from_outside_stay_inside_their_strings() {
        for name in ["GET /a\"b", "x\ny = 1", "\u{1b}[31m", "\u{202e}abc", "''''\"\"\"", "\\"] {
            let text = format!("name = {}\n", quoted(name));
            let read: toml::Table = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(read["name"].as_str(), Some(name));
        }
    }
}
