//! Proposes a dialect for series that look like queues or breakers and that nobody knows.

use super::State;
use super::breaker::table_in;
use crate::nearest::nearest;
use std::collections::{BTreeMap, BTreeSet};
use watchfire_model::{Labels, METRIC_NAME, Matcher, WrittenName};

/// One series as it is: labels with the metric's name, its HELP text and its last value.
#[derive(Clone, Debug)]
pub struct ObservedSeries {
    pub labels: Labels,
    pub help: String,
    pub value: f64,
}

/// A dialect file to start from.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    pub metric: String,
    /// `queue` or `breaker`.
    pub kind: &'static str,
    /// Why it was taken for one.
    pub reason: String,
    /// The file's text; what could not be known is a comment in it.
    pub toml: String,
}

const QUEUE_LABELS: [&str; 12] = [
    "queue",
    "queue_name",
    "topic",
    "topic_name",
    "stream",
    "stream_name",
    "destination",
    "messaging_destination_name",
    "dimension_QueueName",
    "subscription_id",
    "key",
    "name",
];
const BREAKER_LABELS: [&str; 8] = ["breaker", "circuit", "circuit_breaker", "name", "target", "server", "dependency", "method"];
const SERVICE_LABELS: [&str; 6] = ["service", "service_name", "application", "app", "client", "job"];
const QUEUE_WORDS: [&str; 8] = ["queue", "backlog", "lag", "pending", "enqueued", "undelivered", "unacked", "waiting"];
const BREAKER_WORDS: [&str; 3] = ["breaker", "circuit", "fuse"];

/// Words of settings and of sizes, of what is done with and of who does it, which are no count of what waits.
const OTHER_MEASURES: [&str; 22] = [
    "max",
    "min",
    "limit",
    "capacity",
    "bytes",
    "settings",
    "variables",
    "ratio",
    "completed",
    "succeeded",
    "failed",
    "finished",
    "processed",
    "paused",
    "overflow",
    "rejected",
    "dropped",
    "errors",
    "consumers",
    "workers",
    "threads",
    "producers",
];
/// What speaks of waiting and is none of a platform's: kernels' and databases' innards, and connections that are kept open.
const OTHERS: [&str; 4] = ["node_", "mysql_global_", "nginx_connections_waiting", "nginxplus_connections_"];

/// One proposal per metric that looks like a queue or a breaker, in name order.
pub fn propose(series: &[ObservedSeries]) -> Vec<Proposal> {
    let mut metrics: BTreeMap<&str, Vec<&ObservedSeries>> = BTreeMap::new();
    for one in series {
        metrics.entry(one.labels.metric_name()).or_default().push(one);
    }
    metrics.into_iter().filter_map(|(metric, series)| breaker(metric, &series).or_else(|| queue(metric, &series))).collect()
}

fn words(metric: &str) -> BTreeSet<String> {
    let mut spaced = String::new();
    for c in metric.chars() {
        if c.is_uppercase() {
            spaced.push('_');
        }
        spaced.push(c.to_ascii_lowercase());
    }
    spaced.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

fn labels_of(series: &[&ObservedSeries]) -> BTreeSet<String> {
    series.iter().flat_map(|s| s.labels.iter()).map(|l| l.name.to_string()).filter(|n| n != METRIC_NAME).collect()
}

/// The first known label name that is there, or the one nearest to a known one.
fn pick(candidates: &[&'static str], have: &BTreeSet<String>) -> Option<String> {
    candidates
        .iter()
        .find(|c| have.contains(**c))
        .map(|c| (*c).to_owned())
        .or_else(|| have.iter().find(|h| nearest(h, candidates.iter().copied()).is_some_and(|n| h.contains(n))).cloned())
}

fn format_list(label: Option<String>, fallback: &str) -> String {
    // Braces would begin and end a label.
    let fallback = || fallback.replace(['{', '}'], "");
    format!("[{}]", quoted(&label.filter(|l| !l.contains('}')).map_or_else(fallback, |l| format!("{{{l}}}"))))
}

/// A string of TOML, whatever is in it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// The metric as an expression: names from OpenTelemetry have dots.
fn selector(metric: &str) -> String {
    if is_plain(metric) { metric.to_owned() } else { format!("{{{}}}", Matcher::equal(METRIC_NAME, metric)) }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

fn breaker(metric: &str, series: &[&ObservedSeries]) -> Option<Proposal> {
    let words = words(metric);
    let have = labels_of(series);
    let state_label = have.iter().find(|name| {
        let states: BTreeSet<Option<State>> = series.iter().map(|s| State::from_word(s.labels.value(name))).collect();
        !states.contains(&None) && states.len() > 1
    });
    let named = BREAKER_WORDS.iter().any(|w| words.iter().any(|have| have.contains(w)));
    if !named && state_label.is_none() {
        return None;
    }
    let one_hot = series.iter().all(|s| s.value == 0.0 || s.value == 1.0);
    let help = series.iter().map(|s| s.help.as_str()).find(|h| !h.is_empty()).unwrap_or("");
    let table = table_in(help);
    let (encoding, reason) = match state_label {
        Some(label) if one_hot => {
            (format!("{{ kind = \"one_hot\", label = {} }}", quoted(label)), format!("label {label} names states, and values are 0 or 1"))
        }
        Some(label) => {
            let states: BTreeSet<&str> = series.iter().map(|s| s.labels.value(label)).collect();
            let mapped: Vec<String> =
                states.iter().filter_map(|word| State::from_word(word).map(|state| format!("\"{word}\" = \"{}\"", state.word()))).collect();
            let kind = if metric.contains("second") || metric.contains("time") { "growing" } else { "last_event" };
            let text = format!("{{ kind = \"{kind}\", label = {}, states = {{ {} }} }}", quoted(label), mapped.join(", "));
            (text, format!("label {label} names states, and values count"))
        }
        None if !table.is_empty() => ("{ kind = \"number_from_help\" }".to_owned(), "its HELP text says what the numbers mean".to_owned()),
        None if words.contains("state") || words.contains("status") || words.contains("open") => {
            let binary = words.contains("open");
            let text = if binary {
                "{ kind = \"number\", table = { 0 = \"closed\", 1 = \"open\" } }".to_owned()
            } else {
                // Encodings in the wild contradict each other; a guess would show open breakers as half-open.
                "{ kind = \"number\", table = { } } # fill in: 0 = \"closed\", 1 = \"open\" or \"half-open\", ...".to_owned()
            };
            (text, "its name speaks of a breaker".to_owned())
        }
        None => return None,
    };
    let service = format_list(pick(&SERVICE_LABELS, &have), "unknown");
    let name = format_list(pick(&BREAKER_LABELS, &have), metric);
    Some(Proposal {
        metric: metric.to_owned(),
        kind: "breaker",
        reason,
        toml: format!(
            "title = {}\n\n[[breaker]]\nseries = {}\nservice = {service}\nbreaker = {name}\nencoding = {encoding}\n",
            quoted(metric),
            quoted(&selector(metric))
        ),
    })
}

fn queue(metric: &str, series: &[&ObservedSeries]) -> Option<Proposal> {
    let words = words(metric);
    let named = QUEUE_WORDS.iter().any(|w| words.contains(*w) || words.contains(&format!("{w}s")));
    if !named || metric.ends_with("_total") || metric.ends_with("_bucket") || metric.ends_with("_sum") || metric.ends_with("_count") {
        return None;
    }
    // How far the slowest partition is behind is a depth.
    let other = |word: &&str| words.contains(*word) && !(words.contains("lag") && ["max", "min"].contains(word));
    if OTHER_MEASURES.iter().any(other) || OTHERS.iter().any(|known| metric.starts_with(known)) {
        return None;
    }
    let have = labels_of(series);
    let label = pick(&QUEUE_LABELS, &have);
    let age = ["seconds", "age", "latency", "milliseconds"].iter().any(|w| words.contains(*w));
    let measure = if age { "oldest" } else { "depth" };
    let series = selector(metric);
    let by = label.as_ref().map_or_else(|| format!("sum({series})"), |l| format!("sum by ({}) ({series} >= 0)", WrittenName(l)));
    let depth = if age { "depth = [] # the series that counts what waits\n" } else { "" };
    let expression = if age { by.replacen("sum", "max", 1) } else { by };
    Some(Proposal {
        metric: metric.to_owned(),
        kind: "queue",
        reason: match &label {
            Some(label) => format!("its name speaks of a queue, and label {label} names one"),
            None => "its name speaks of a queue".to_owned(),
        },
        toml: format!(
            "title = {}\nsystem = \"custom\"\n\n[[queue]]\nqueue = {}\n{depth}{measure} = [{}]\n",
            quoted(metric),
            format_list(label, metric),
            quoted(&expression)
        ),
    })
}
