//! The tree from our own settings: routes by severity and matchers to receivers, people and teams.

use super::calendar;
use super::matchers::parse_matchers;
use super::tree::{GroupBy, Node, Quiet, Receiver, ReceiverChannel, Routing, Timing};
use crate::channels::alertmanager::AlertmanagerSettings;
use crate::settings::{ChannelSettings, RouteSettings, Settings};
use std::collections::BTreeMap;
use watchfire_model::Severity;

/// Names that exist without being declared.
pub(super) const BUILT_IN: [&str; 2] = ["desktop", "terminal"];

pub fn load(settings: &Settings) -> Result<Routing, String> {
    let mut receivers: Vec<Receiver> = Vec::new();
    for declared in &settings.receivers {
        let channels = declared.channels.iter().map(|c| (c.clone(), Severity::Info, false)).collect();
        receivers.push(Receiver { quiet: None, summary: None, ..receiver(&declared.name, channels) });
    }
    for person in &settings.people {
        let channels = person.channels.iter().filter(|c| c.enabled).map(|c| (c.channel.clone(), c.at_least, c.summary)).collect();
        let zone = calendar::Zone::new(&person.timezone).map_err(|e| format!("person {:?}: {e}", person.name))?;
        let summary =
            person.daily_summary.as_deref().map(calendar::minutes).transpose().map_err(|e| format!("person {:?}: {e}", person.name))?;
        let quiet = Quiet { zone, hours: person.quiet_hours.clone(), except: person.quiet_except };
        let mut made = receiver(&person.name, channels);
        // Without a preference every channel carries the summary.
        if !made.channels.iter().any(|c| c.summary) {
            made.channels.iter_mut().for_each(|c| c.summary = true);
        }
        receivers.push(Receiver { quiet: Some(quiet), summary, ..made });
    }
    for name in BUILT_IN {
        if !receivers.iter().any(|r| r.name == name) {
            let channel = match name {
                "terminal" => ChannelSettings::Terminal(Default::default()),
                _ => ChannelSettings::Desktop(Default::default()),
            };
            receivers.push(receiver(name, vec![(channel, Severity::Info, false)]));
        }
    }
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    for name in receivers.iter().map(|r| r.name.as_str()).chain(settings.teams.iter().map(|t| t.name.as_str())) {
        *taken.entry(name).or_default() += 1;
    }
    if let Some((twice, _)) = taken.iter().find(|(_, count)| **count > 1) {
        return Err(format!("the name {twice:?} is given to more than one receiver, person or team"));
    }
    let mut nodes = vec![Node {
        name: "{}".to_owned(),
        severities: Vec::new(),
        matchers: Vec::new(),
        receivers: expand(&settings.default_to, settings),
        group_by: GroupBy::Labels(vec!["alertname".to_owned()]),
        timing: Timing::default(),
        goes_on: false,
        mute: Vec::new(),
        active: Vec::new(),
        routes: (1..=settings.routes.len()).collect(),
    }];
    for (index, route) in settings.routes.iter().enumerate() {
        nodes.push(node(route, index, settings).map_err(|e| format!("route {}: {e}", index + 1))?);
    }
    Ok(Routing { nodes, receivers, ..Routing::default() })
}

/// Alertmanagers hear everything and route it themselves.
pub fn add_alertmanagers(routing: &mut Routing, settings: &Settings) {
    if settings.alertmanagers.is_empty() {
        return;
    }
    let name = "alertmanager".to_owned();
    let channels = settings
        .alertmanagers
        .iter()
        .map(|url| (ChannelSettings::Alertmanager(AlertmanagerSettings { url: url.clone(), ..Default::default() }), Severity::Info, false))
        .collect();
    let mut made = receiver(&name, channels);
    if routing.receivers.iter().any(|r| r.name == name) {
        made.name = "alertmanagers".to_owned();
        for channel in &mut made.channels {
            channel.path = format!("alertmanagers{}", channel.path.trim_start_matches("alertmanager"));
        }
    }
    routing.always.push(made.name.clone());
    routing.receivers.push(made);
}

fn node(route: &RouteSettings, index: usize, settings: &Settings) -> Result<Node, String> {
    if route.to.is_empty() {
        return Err("`to` names nobody".to_owned());
    }
    let mut matchers = Vec::new();
    for text in &route.matchers {
        matchers.extend(parse_matchers(text)?);
    }
    let normal = Timing::default();
    let batch = route.batch;
    let timing = Timing {
        group_wait: batch.or(route.group_wait).unwrap_or(normal.group_wait),
        group_interval: batch.or(route.group_interval).unwrap_or(normal.group_interval),
        repeat_interval: route.repeat_interval.unwrap_or(normal.repeat_interval).max(batch.unwrap_or_default()),
    };
    let group_by = match (&route.group_by, batch) {
        (Some(names), _) if names.iter().any(|n| n == "...") => GroupBy::All,
        (Some(names), _) => GroupBy::Labels(names.clone()),
        // A batch is one message about everything.
        (None, Some(_)) => GroupBy::Labels(Vec::new()),
        (None, None) => GroupBy::Labels(vec!["alertname".to_owned()]),
    };
    Ok(Node {
        name: format!("{{}}/{}", index + 1),
        severities: route.severity.clone(),
        matchers,
        receivers: expand(&route.to, settings),
        group_by,
        timing,
        goes_on: route.r#continue,
        mute: Vec::new(),
        active: Vec::new(),
        routes: Vec::new(),
    })
}

/// Teams become their members and receivers; everybody once.
fn expand(names: &[String], settings: &Settings) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut add = |name: &String| {
        if !out.contains(name) {
            out.push(name.clone());
        }
    };
    for name in names {
        match settings.teams.iter().find(|t| t.name == *name) {
            Some(team) => team.members.iter().chain(&team.receivers).for_each(&mut add),
            None => add(name),
        }
    }
    out
}

/// Paths are `receiver/channel`, numbered where a receiver has several of a kind; the built-in ones are just their name.
pub fn receiver(name: &str, channels: Vec<(ChannelSettings, Severity, bool)>) -> Receiver {
    let mut count: BTreeMap<&'static str, usize> = BTreeMap::new();
    let channels = channels
        .into_iter()
        .map(|(settings, at_least, summary)| {
            let word = settings.word();
            let number = count.entry(word).or_default();
            *number += 1;
            let base = if name == word { word.to_owned() } else { format!("{name}/{word}") };
            let path = if *number == 1 { base } else { format!("{base}-{number}") };
            ReceiverChannel { path, settings, at_least, send_resolved: true, summary }
        })
        .collect();
    Receiver { name: name.to_owned(), channels, quiet: None, summary: None, ignored: Vec::new() }
}
