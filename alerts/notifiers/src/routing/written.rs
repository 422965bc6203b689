//! The table as an `alertmanager.yml` that says the same: for `amtool config routes`, which asks a running instance for its file. It is made from
//! what is in force, so it holds no secret, whatever the receivers are given, and our own routes read like any others.

use super::inhibition::InhibitRule;
use super::matchers::condition;
use super::tree::{GroupBy, Node, Routing};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use watchfire_model::{Matcher, Severity, format_duration};

impl Routing {
    /// Routes, names of receivers, inhibition and time intervals. Who is told together by one route is one receiver there, its names joined by
    /// commas, as `amtool` shows several.
    pub fn to_alertmanager_yml(&self) -> String {
        let mut route = self.nodes.first().map_or_else(|| json!({"receiver": together(&[])}), |root| self.route_of(root));
        if !self.always.is_empty() {
            let receiver = route["receiver"].clone();
            route["continue"] = Value::Bool(true);
            route = json!({"receiver": receiver, "routes": [route, {"receiver": together(&self.always)}]});
        }
        let mut names: BTreeSet<String> = self.receivers.iter().map(|r| r.name.clone()).collect();
        names.extend(self.nodes.iter().map(|node| together(&node.receivers)));
        names.insert(route["receiver"].as_str().unwrap_or_default().to_owned());
        names.extend((!self.always.is_empty()).then(|| together(&self.always)));
        let mut file = Map::new();
        file.insert("route".to_owned(), route);
        file.insert("receivers".to_owned(), names.iter().map(|name| json!({"name": name})).collect());
        if !self.inhibit.is_empty() {
            file.insert("inhibit_rules".to_owned(), self.inhibit.iter().map(inhibition).collect());
        }
        if !self.intervals.is_empty() {
            let intervals = self.intervals.iter().map(|(name, times)| json!({"name": name, "time_intervals": times}));
            file.insert("time_intervals".to_owned(), intervals.collect());
        }
        // Readers differ in which bare words they take for something else. Plain data always has a text.
        let quoted = serde_saphyr::ser_options! { quote_all: true };
        serde_saphyr::to_string_with_options(&file, quoted).unwrap_or_default()
    }

    fn route_of(&self, node: &Node) -> Value {
        let timing = node.timing;
        let mut route = json!({
            "receiver": together(&node.receivers),
            "group_by": match &node.group_by {
                GroupBy::All => vec!["..."],
                GroupBy::Labels(names) => names.iter().map(String::as_str).collect(),
            },
            "group_wait": duration(timing.group_wait),
            "group_interval": duration(timing.group_interval),
            "repeat_interval": duration(timing.repeat_interval),
        });
        let mut put = |key: &str, value: Value| route[key] = value;
        let conditions: Vec<String> = severities(&node.severities).into_iter().chain(node.matchers.iter().map(condition)).collect();
        if !conditions.is_empty() {
            put("matchers", json!(conditions));
        }
        if node.goes_on {
            put("continue", Value::Bool(true));
        }
        if !node.mute.is_empty() {
            put("mute_time_intervals", json!(node.mute));
        }
        if !node.active.is_empty() {
            put("active_time_intervals", json!(node.active));
        }
        if !node.routes.is_empty() {
            put("routes", node.routes.iter().filter_map(|child| self.nodes.get(*child)).map(|child| self.route_of(child)).collect());
        }
        route
    }
}

/// A route may tell nobody; there it needs a receiver all the same.
fn together(receivers: &[String]) -> String {
    if receivers.is_empty() { "none".to_owned() } else { receivers.join(",") }
}

/// Alertmanager refuses an interval of nothing, which ours may have.
fn duration(time: Duration) -> String {
    format_duration(time.max(Duration::from_millis(1)))
}

fn inhibition(rule: &InhibitRule) -> Value {
    let side = |matchers: &[Matcher]| matchers.iter().map(condition).collect::<Vec<_>>();
    json!({"source_matchers": side(&rule.source), "target_matchers": side(&rule.target), "equal": rule.equal})
}

/// What every label is a warning that is nothing else.
fn severities(wanted: &[Severity]) -> Option<String> {
    if wanted.is_empty() {
        return None;
    }
    let by_default = wanted.contains(&Severity::Warning);
    let named = Severity::ALL.iter().filter(|s| **s != Severity::Warning && wanted.contains(s) != by_default);
    let words: Vec<&str> = named.flat_map(|s| s.labels()).copied().collect();
    let sign = if by_default { "!~" } else { "=~" };
    Some(format!("severity{sign}\"(?i:{})\"", words.join("|")))
}
