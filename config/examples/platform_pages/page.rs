//! The page of a platform: its parts as tables, then a section for each threshold, where `runbook_url` of its rules leads.

use super::keys::Keys;
use super::rules::{Rule, rules};
use super::table::Table;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;
use watchfire_config::Platform;
use watchfire_config::platform::{Objective, Requirement, Route};
use watchfire_model::format_duration;

/// Markdown.
///
/// # Errors
/// When the rule file or the keymap cannot be read.
pub fn page(platform: &Platform) -> Result<String, Box<dyn std::error::Error>> {
    let name = &platform.name;
    let mut out = format!("# {}\n\n{}.\n\n", platform.title, platform.description.trim_end_matches('.'));
    let _ = write!(
        out,
        "<!-- Generated from config/platforms/{name}/: cargo run -p watchfire-config --example platform_pages -- docs/platforms -->\n\n\
         `watchfire demo {name}` simulates it, `watchfire --platform {name}` watches a real one. Everything here is read from \
         [`config/platforms/{name}/`](../../config/platforms/{name}/platform.toml).\n\n\
         *assumed*: the platform's document leaves it open, and the preset fills it in. Rates and latencies of ordinary operation are what the \
         simulation produces, not promises.\n"
    );
    let _ = write!(
        out,
        "\n![Map of {}](maps/{name}.svg)\n\nThe map as the simulation draws it: `watchfire demo {name}`, {}, `:export svg`.\n",
        platform.title,
        Keys::read()?.press("map"),
    );
    out += &services(platform).section("Services");
    out += &calls(platform).section("Who calls whom");
    out += &stores(platform).section("Stores");
    out += &providers(platform).section("External providers");
    out += &queues(platform).section("Queues");
    out += &breakers(platform).section("Circuit breakers");
    out += &sagas(platform).section("Sagas");
    out += &objectives(platform).section("Objectives");
    out += &routes(platform).section("Who is told");
    thresholds(platform, &mut out)?;
    Ok(out)
}

/// The word by which a file writes a value.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

fn assumed(assumed: bool) -> String {
    if assumed { "assumed".to_owned() } else { String::new() }
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

fn codes(texts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    texts.into_iter().map(|t| code(t.as_ref())).collect::<Vec<_>>().join(", ")
}

fn time(duration: Option<Duration>) -> String {
    duration.map(format_duration).unwrap_or_default()
}

fn number<T: Copy + Default + PartialEq + ToString>(value: T) -> String {
    if value == T::default() { String::new() } else { value.to_string() }
}

fn percent(share: f64) -> String {
    format!("{} %", (share * 10_000.0).round() / 100.0)
}

fn services(platform: &Platform) -> Table {
    let mut table = Table::new(&["Service", "Port", "Kind", "Owner", "Does", "Probes", "Metrics", "OTLP", "Traces kept", ""]);
    for service in &platform.services {
        let mut owners = vec![service.owner.as_str()];
        owners.extend(service.with.iter().map(String::as_str));
        table.row(vec![
            code(&service.name),
            number(service.port),
            word(&service.kind),
            owners.join(", "),
            service.responsibilities.clone(),
            codes(platform.probes(service).iter().map(|c| &c.path)),
            code(service.metrics_path.as_ref().unwrap_or(&platform.defaults.metrics_path)),
            word(&service.otlp.unwrap_or(platform.defaults.otlp)),
            percent(platform.sampling(service)),
            assumed(service.assumed),
        ]);
    }
    table
}

fn calls(platform: &Platform) -> Table {
    let mut callees: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for edge in platform.declared_edges() {
        callees.entry(edge.client).or_default().push(edge.server);
    }
    let mut table = Table::new(&["From", "To"]);
    for (client, servers) in callees {
        table.row(vec![code(&client), codes(servers)]);
    }
    table
}

fn stores(platform: &Platform) -> Table {
    let mut table = Table::new(&["Store", "Kind", "System", "p50", "p95", "Pool", "Replication lag", "Hit ratio", ""]);
    for store in &platform.stores {
        table.row(vec![
            code(&store.name),
            word(&store.kind),
            store.system.clone(),
            format_duration(store.p50),
            format_duration(store.p95),
            number(store.pool),
            time(store.replication_lag),
            store.hit_ratio.map(percent).unwrap_or_default(),
            assumed(store.assumed),
        ]);
    }
    table
}

fn providers(platform: &Platform) -> Table {
    let mut table = Table::new(&["Provider", "Host", "p50", "p95", "Time-out", "Rate limit", ""]);
    for provider in &platform.providers {
        let limit = match (provider.rate_limit, provider.window) {
            (0, _) => String::new(),
            (limit, Some(window)) => format!("{limit} per {}", format_duration(window)),
            (limit, None) => limit.to_string(),
        };
        table.row(vec![
            code(&provider.name),
            code(&provider.host),
            format_duration(provider.p50),
            format_duration(provider.p95),
            time(provider.timeout),
            limit,
            assumed(provider.assumed),
        ]);
    }
    table
}

fn queues(platform: &Platform) -> Table {
    let mut table =
        Table::new(&["Queue", "System", "Exporter", "On the metrics of", "Consumer", "Jobs", "Workers", "Threshold", "Dead letters", ""]);
    for queue in &platform.queues {
        table.row(vec![
            code(&queue.name),
            queue.system.clone(),
            word(&queue.exporter),
            code(&queue.exported_by),
            code(&queue.consumer),
            codes(&queue.jobs),
            number(queue.workers),
            queue.threshold.map(|t| format!("{t} messages")).unwrap_or_default(),
            code(&queue.dead_letter),
            assumed(queue.assumed),
        ]);
    }
    table
}

fn breakers(platform: &Platform) -> Table {
    let mut table = Table::new(&["In", "Around calls to", "Opens at", "Half-open after", "Call time-out", "Fallback", ""]);
    for breaker in &platform.breakers {
        let opens = match (breaker.failures, breaker.failure_share) {
            (Some(failures), _) => format!("{failures} failures in a row"),
            (None, Some(share)) => {
                format!("{} failures in {}, of at least {} calls", percent(share), format_duration(breaker.window), breaker.minimum)
            }
            (None, None) => String::new(),
        };
        table.row(vec![
            code(&breaker.service),
            code(&breaker.protects),
            opens,
            format_duration(breaker.reset),
            time(breaker.timeout),
            breaker.fallback.clone(),
            assumed(breaker.assumed),
        ]);
    }
    table
}

fn sagas(platform: &Platform) -> Table {
    let mut table = Table::new(&["Saga", "Orchestrated by", "Step", "Calls", "Time-out", "Undone by", ""]);
    for saga in &platform.sagas {
        for step in &saga.steps {
            table.row(vec![
                code(&saga.name),
                code(&saga.service),
                step.name.clone(),
                code(&format!("{} {}", step.to, step.op)),
                format_duration(step.timeout),
                code(&step.compensation),
                assumed(saga.assumed),
            ]);
        }
    }
    table
}

/// The target in the document's words, or as the file has it.
fn target(objective: &Objective) -> String {
    match (objective.comparison, objective.value) {
        _ if !objective.target.is_empty() => objective.target.clone(),
        (Some(comparison), Some(value)) => format!("{} {}", comparison.sign(), objective.display(value)),
        _ => "shown, no target".to_owned(),
    }
}

fn objectives(platform: &Platform) -> Table {
    let mut table = Table::new(&["Id", "Table", "Objective", "Target", "Impact", "Current is", ""]);
    for objective in &platform.objectives {
        table.row(vec![
            format!("[{}](#{})", objective.id, objective.id.to_lowercase()),
            objective.group.clone(),
            objective.name.clone(),
            target(objective),
            objective.impact.clone(),
            code(&objective.expression),
            assumed(objective.assumed),
        ]);
    }
    table
}

fn routes(platform: &Platform) -> Table {
    let mut table = Table::new(&["Severity", "Only", "Over", "Teams", "How", "Collected for", ""]);
    for Route { severities, receivers, teams, handling, digest, labels, assumed: open } in &platform.routes {
        table.row(vec![
            severities.join(", "),
            codes(labels.iter().map(|(name, value)| format!("{name}={value:?}"))),
            codes(receivers),
            teams.join(", "),
            handling.clone(),
            time(*digest),
            assumed(*open),
        ]);
    }
    table
}

fn thresholds(platform: &Platform, out: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let keys = Keys::read()?;
    let rules = rules(&platform.rules)?;
    let mut ids: BTreeSet<&str> = rules.iter().map(|r| r.id.as_str()).collect();
    ids.extend(platform.objectives.iter().map(|o| o.id.as_str()));
    ids.extend(platform.baselines.iter().map(|b| b.threshold.as_str()));
    ids.extend(platform.requirements.iter().map(|r| r.id.as_str()));

    let mut table = Table::new(&["Id", "Alert", "What it says", "For", "Severity", "Tripped by"]);
    for id in &ids {
        let of_id: Vec<&Rule> = rules.iter().filter(|r| r.id == *id && r.alerts).collect();
        let join = |field: &dyn Fn(&Rule) -> String| {
            let mut seen: Vec<String> = of_id.iter().map(|r| field(r)).filter(|t| !t.is_empty()).collect();
            seen.dedup();
            seen.join("; ")
        };
        let tripped = platform.scenarios.iter().filter(|s| s.trips.iter().any(|t| t == id)).map(|s| &s.name);
        if !of_id.is_empty() {
            table.row(vec![
                format!("[{id}](#{})", id.to_lowercase()),
                join(&|r| code(&r.name)),
                join(&|r| r.meaning.clone()),
                join(&|r| r.hold.clone()),
                join(&|r| r.severity.clone()),
                codes(tripped),
            ]);
        }
    }
    *out += &table.section("Alerts");
    *out += "\n## Thresholds, and where to look first\n";
    for id in ids {
        threshold(platform, &keys, id, &rules, out);
    }
    Ok(())
}

fn threshold(platform: &Platform, keys: &Keys, id: &str, rules: &[Rule], out: &mut String) {
    let of_id: Vec<&Rule> = rules.iter().filter(|r| r.id == id).collect();
    let objectives: Vec<&Objective> = platform.objectives.iter().filter(|o| o.id == id).collect();
    let mut names: Vec<&str> = of_id.iter().map(|r| r.name.as_str()).collect();
    if names.is_empty() {
        names.extend(objectives.iter().map(|o| o.name.as_str()));
    }
    let requirements: Vec<&Requirement> = platform.requirements.iter().filter(|r| r.id == id).collect();
    if names.is_empty() {
        names.extend(requirements.iter().map(|r| r.title.as_str()));
    }
    names.dedup();
    let _ = write!(out, "\n<a id=\"{}\"></a>\n\n### {id}: {}\n", id.to_lowercase(), names.join(", "));
    for rule in &of_id {
        let _ = write!(out, "\n{}\n\n```promql\n{}\n```\n\n", rule.meaning, rule.expression);
        if rule.alerts {
            let hold = if rule.hold.is_empty() { "at once".to_owned() } else { format!("after {}", rule.hold) };
            let _ = write!(out, "Alert `{}`, {hold}, severity {}.", rule.name, rule.severity);
            if !rule.impact.is_empty() {
                let _ = write!(out, " Impact: {}", rule.impact);
            }
            out.push('\n');
        } else {
            let _ = writeln!(out, "Recorded as `{}`; shown, no alert of its own.", rule.name);
        }
    }
    if !objectives.is_empty() {
        out.push('\n');
    }
    for objective in &objectives {
        let impact =
            if objective.impact.is_empty() { String::new() } else { format!(" Impact: {}.", objective.impact.trim_end_matches('.')) };
        let _ = writeln!(out, "- Objective \"{}\" ({}): {}.{impact}", objective.name, objective.group, target(objective));
    }
    for baseline in platform.baselines.iter().filter(|b| b.threshold == id) {
        let _ = write!(out, "\nWhere the figure comes from: {}\n", baseline.explanation);
    }

    for requirement in &requirements {
        let _ = write!(out, "\n{}\n", requirement.look_for);
    }

    let scenarios: Vec<_> = platform.scenarios.iter().filter(|s| s.trips.iter().chain(&s.misses).any(|t| t == id)).collect();
    let mut views: Vec<&str> = Vec::new();
    if of_id.iter().any(|r| r.alerts) {
        views.push("alerts");
    }
    let named = scenarios.iter().map(|s| &s.look_for).chain(requirements.iter().map(|r| &r.look_for)).flat_map(|t| keys.views_of(t));
    let boards = (!objectives.is_empty()).then_some("slo");
    for view in named.chain(boards) {
        if !views.contains(&view) {
            views.push(view);
        }
    }
    if views.is_empty() {
        views.push("explore");
    }
    let presses: Vec<String> = views.iter().map(|v| keys.press(v)).collect();
    let _ = write!(out, "\n**Look first:** press {}", presses[0]);
    if of_id.iter().any(|r| r.alerts) {
        out.push_str(": the alert stands there with its cause, its owner and whom it hurts");
    }
    out.push('.');
    if presses.len() > 1 {
        let _ = write!(out, " Then {}.", presses[1..].join(", "));
    }
    out.push('\n');
    if !scenarios.is_empty() {
        out.push_str("\nTo see it happen:\n\n");
    }
    for scenario in scenarios {
        let _ =
            writeln!(out, "- `watchfire demo {} --scenario {}`: {}. {}", platform.name, scenario.name, scenario.title, scenario.look_for);
    }
}
