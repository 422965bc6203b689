//! The route tree, its receivers, and the decisions.

use super::calendar::{QuietHours, TimeInterval, Zone};
use super::inhibition::InhibitRule;
use super::own::BUILT_IN;
use crate::journal::{Destination, Turn};
use crate::message::raised_labels;
use crate::settings::ChannelSettings;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use watchfire_model::{Labels, Matcher, Notice, Severity, Timestamp};

/// When messages of a group go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the first alert of a group to its first message.
    pub group_wait: Duration,
    /// Between messages about a group.
    pub group_interval: Duration,
    /// Until a group that did not change is told again.
    pub repeat_interval: Duration,
}

impl Timing {
    /// From a message to its repetition: a group speaks once in its interval at most, so the wait is rounded up to whole ones, as in Alertmanager.
    pub fn until_repeat(&self) -> Duration {
        let interval = self.group_interval.as_nanos();
        if interval == 0 {
            return self.repeat_interval;
        }
        let whole = self.repeat_interval.as_nanos().div_ceil(interval).saturating_mul(interval);
        u64::try_from(whole).map_or(Duration::MAX, Duration::from_nanos)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            group_wait: Duration::from_secs(10),
            group_interval: Duration::from_secs(60),
            repeat_interval: Duration::from_secs(4 * 3600),
        }
    }
}

/// Which labels make a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// Alertmanager's `...`: every alert is its own group.
    All,
    Labels(Vec<String>),
}

/// One route.
#[derive(Clone, Debug)]
pub struct Node {
    /// Position in the tree in words, for group keys and explanations.
    pub name: String,
    pub severities: Vec<Severity>,
    pub matchers: Vec<Matcher>,
    pub receivers: Vec<String>,
    pub group_by: GroupBy,
    pub timing: Timing,
    pub goes_on: bool,
    /// Names of intervals during which the route is silent.
    pub mute: Vec<String>,
    /// Names of intervals outside of which it is silent.
    pub active: Vec<String>,
    /// Indexes of children.
    pub routes: Vec<usize>,
}

/// A named receiver with its channels.
#[derive(Clone, Debug)]
pub struct Receiver {
    pub name: String,
    pub channels: Vec<ReceiverChannel>,
    /// Quiet hours, where the receiver is a person.
    pub quiet: Option<Quiet>,
    /// Minutes since local midnight of the daily summary.
    pub summary: Option<u32>,
    /// Kinds of channels that exist in the file and that watchfire does not speak.
    pub ignored: Vec<String>,
}

/// A channel within a receiver.
#[derive(Clone, Debug)]
pub struct ReceiverChannel {
    /// Name of the delivery path.
    pub path: String,
    pub settings: ChannelSettings,
    pub at_least: Severity,
    pub send_resolved: bool,
    pub summary: bool,
}

/// When a person is left in peace.
#[derive(Clone, Debug)]
pub struct Quiet {
    pub zone: Zone,
    pub hours: Vec<QuietHours>,
    pub except: Severity,
}

impl Quiet {
    /// Whether the person is to be left in peace at that moment.
    pub fn covers(&self, at: Timestamp) -> bool {
        self.hours.iter().any(|hours| hours.covers(self.zone, at))
    }
}

/// One receiver that hears of a set of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    pub receiver: String,
    /// Index of the deciding route.
    pub route: usize,
    pub group_labels: Labels,
}

/// Why a set of labels goes where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub receivers: Vec<String>,
    /// By which labels each of them hears it together with others; what every alert goes to beside the routes is one group.
    pub groups: Vec<(String, Labels)>,
    /// One line per route that was looked at, indented by depth.
    pub lines: Vec<String>,
}

/// The routing table.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    /// The first is the root.
    pub(super) nodes: Vec<Node>,
    pub(super) receivers: Vec<Receiver>,
    pub(super) intervals: BTreeMap<String, Vec<TimeInterval>>,
    pub(super) inhibit: Vec<InhibitRule>,
    /// As in Alertmanager, each route that leads to a receiver tells it, in groups of its own.
    pub(super) by_route: bool,
    /// Receivers that hear everything, whatever the routes say.
    pub(super) always: Vec<String>,
    /// What the file says and has no effect.
    pub(super) unused: Vec<String>,
}

impl Node {
    fn matches(&self, labels: &Labels) -> bool {
        let severity = || Severity::from_label(labels.value("severity"));
        (self.severities.is_empty() || self.severities.contains(&severity())) && self.matchers.iter().all(|m| m.matches(labels))
    }

    fn group_labels(&self, labels: &Labels) -> Labels {
        match &self.group_by {
            GroupBy::All => labels.clone(),
            GroupBy::Labels(names) => Labels::from_pairs(names.iter().map(|n| (n.as_str(), labels.value(n)))),
        }
    }
}

impl Routing {
    /// The receivers of these labels, in order, each once.
    pub fn route(&self, labels: &Labels) -> Vec<String> {
        self.explain(labels).receivers
    }

    /// As [`route`](Self::route), with every route that was looked at.
    pub fn explain(&self, labels: &Labels) -> Explanation {
        let mut lines = Vec::new();
        let hops = self.decide(labels, &mut |depth, node, matched| {
            let shown: Vec<String> =
                node.severities.iter().map(|s| format!("severity {s}")).chain(node.matchers.iter().map(Matcher::to_string)).collect();
            let conditions = if shown.is_empty() { "always".to_owned() } else { shown.join(" and ") };
            let verdict = if matched { "matches" } else { "does not match" };
            let receivers = if matched { format!(" -> {}", node.receivers.join(", ")) } else { String::new() };
            let goes_on = if matched && node.goes_on { " (and continues)" } else { "" };
            lines.push(format!("{}{conditions}: {verdict}{receivers}{goes_on}", "  ".repeat(depth)));
        });
        let mut groups: Vec<(String, Labels)> = hops.into_iter().map(|hop| (hop.receiver, hop.group_labels)).collect();
        for always in &self.always {
            lines.push(format!("every alert -> {always}"));
            groups.push((always.clone(), Labels::empty()));
        }
        let mut receivers: Vec<String> = Vec::new();
        for (receiver, _) in &groups {
            if !receivers.contains(receiver) {
                receivers.push(receiver.clone());
            }
        }
        Explanation { receivers, groups, lines }
    }

    fn decide(&self, labels: &Labels, seen: &mut dyn FnMut(usize, &Node, bool)) -> Vec<Hop> {
        let mut hops = Vec::new();
        self.visit(0, 0, labels, seen, &mut hops);
        hops
    }

    /// Depth first; a node answers for itself only when none of its children does.
    fn visit(&self, index: usize, depth: usize, labels: &Labels, seen: &mut dyn FnMut(usize, &Node, bool), hops: &mut Vec<Hop>) -> bool {
        let Some(node) = self.nodes.get(index) else { return false };
        let matched = node.matches(labels);
        seen(depth, node, matched);
        if !matched {
            return false;
        }
        let before = hops.len();
        for child in &node.routes {
            let child_matched = self.visit(*child, depth + 1, labels, seen, hops);
            if child_matched && !self.nodes[*child].goes_on {
                break;
            }
        }
        if hops.len() == before {
            let group_labels = node.group_labels(labels);
            hops.extend(node.receivers.iter().map(|r| Hop { receiver: r.clone(), route: index, group_labels: group_labels.clone() }));
        }
        true
    }

    /// Every delivery path that is to hear of the notice. A path that several routes name hears it once, by the first that does not rest; with
    /// the routes of an `alertmanager.yml` by each of them, where what it says is grouped. A cause that speaks for a louder alert than itself is
    /// told to whoever hears of such alerts, and then to its own receivers.
    pub fn destinations(&self, notice: &Notice) -> Vec<Destination> {
        let mut destinations: Vec<Destination> = Vec::new();
        let mut add = |receiver: &str, turn: Turn, apart: bool| {
            let Some(receiver) = self.receivers.iter().find(|r| r.name == receiver) else { return };
            for channel in receiver.channels.iter().filter(|c| notice.severity >= c.at_least) {
                let mut known = destinations.iter_mut().filter(|d| d.path == channel.path).peekable();
                if known.peek().is_none() {
                    destinations.push(Destination::by(&channel.path, turn.clone()));
                } else if known.any(|d| d.route == turn.route || d.others.iter().any(|o| o.route == turn.route)) {
                } else if apart && channel.settings.groups() {
                    let name = self.nodes.get(turn.route).map(|n| n.name.clone()).unwrap_or_default();
                    destinations.push(Destination { apart: name, ..Destination::by(&channel.path, turn.clone()) });
                } else if let Some(first) = destinations.iter_mut().find(|d| d.path == channel.path) {
                    first.others.push(turn.clone());
                }
            }
        };
        for (labels, loudest) in self.hops(&notice.labels, notice.severity) {
            for hop in labels {
                let group_key = format!("{}:{}", self.nodes[hop.route].name, hop.group_labels);
                add(&hop.receiver, Turn { group_key, group_labels: hop.group_labels, route: hop.route }, self.by_route && loudest);
            }
        }
        for always in &self.always {
            add(always, Turn { group_key: String::new(), group_labels: Labels::empty(), route: usize::MAX }, false);
        }
        if destinations.is_empty() {
            destinations.push(Destination::unheard());
        }
        destinations
    }

    /// Where an alert goes that speaks as loud as this: by how loud it speaks, and by its own labels where they are quieter.
    fn hops(&self, labels: &Labels, severity: Severity) -> Vec<(Vec<Hop>, bool)> {
        let raised = raised_labels(labels, severity);
        let decided = |labels: &Labels| self.decide(labels, &mut |_, _, _| {});
        raised.iter().chain([labels]).enumerate().map(|(n, labels)| (decided(labels), n == 0)).collect()
    }

    /// Whether a route that does not rest leads these labels to somebody awake.
    pub fn is_awake(&self, labels: &Labels, severity: Severity, now: Timestamp) -> bool {
        let reached = |name: &str| {
            let channels = self.receivers.iter().filter(|r| r.name == name).flat_map(|r| &r.channels);
            channels.into_iter().any(|c| severity >= c.at_least)
        };
        let awake = |hop: &Hop| reached(&hop.receiver) && !self.muted(hop.route, &hop.receiver, severity, now);
        self.always.iter().any(|name| reached(name)) || self.hops(labels, severity).iter().flat_map(|(hops, _)| hops).any(awake)
    }

    /// The destination as the first of its routes that does not rest says it now; the first, where all of them rest.
    pub fn turn<'a>(&self, destination: &'a Destination, now: Timestamp) -> (&'a str, &'a Labels, usize) {
        let first = (destination.group_key.as_str(), &destination.group_labels, destination.route);
        let others = destination.others.iter().map(|o| (o.group_key.as_str(), &o.group_labels, o.route));
        std::iter::once(first).chain(others).find(|(_, _, route)| !self.rests(*route, now)).unwrap_or(first)
    }

    pub fn timing(&self, route: usize) -> Timing {
        self.nodes.get(route).map(|n| n.timing).unwrap_or_default()
    }

    fn rests(&self, route: usize, now: Timestamp) -> bool {
        let within = |name: &String| self.intervals.get(name).is_some_and(|i| i.iter().any(|i| i.covers(now)));
        let rests = |node: &Node| node.mute.iter().any(within) || (!node.active.is_empty() && !node.active.iter().any(within));
        self.nodes.get(route).is_some_and(rests)
    }

    /// True while the route rests or the person sleeps.
    pub fn muted(&self, route: usize, receiver: &str, severity: Severity, now: Timestamp) -> bool {
        let asleep = || {
            self.receivers
                .iter()
                .find(|r| r.name == receiver)
                .and_then(|r| r.quiet.as_ref())
                .is_some_and(|quiet| severity < quiet.except && quiet.covers(now))
        };
        self.rests(route, now) || asleep()
    }

    /// Settings of an `alertmanager.yml` that have no effect here: one sentence each, with file and line.
    pub fn unused(&self) -> &[String] {
        &self.unused
    }

    /// Whether somebody asked for the delivery path of that name. Desktop and terminal stand in for each other and exist without being declared, so a
    /// route must name one of them.
    pub fn asks_for(&self, path: &str) -> bool {
        let built_in = |name: &str| BUILT_IN.contains(&name);
        !built_in(path) || self.nodes.iter().any(|n| n.receivers.iter().any(|r| built_in(r)))
    }

    pub fn receivers(&self) -> &[Receiver] {
        &self.receivers
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let known: BTreeSet<&str> = self.receivers.iter().map(|r| r.name.as_str()).collect();
        for node in &self.nodes {
            if let Some(unknown) = node.receivers.iter().find(|r| !known.contains(r.as_str())) {
                let names: Vec<&str> = known.iter().copied().collect();
                return Err(format!(
                    "route {} names {unknown:?}, which is no receiver, person or team; known are {}",
                    node.name,
                    names.join(", ")
                ));
            }
            if let Some(unknown) = node.mute.iter().chain(&node.active).find(|n| !self.intervals.contains_key(*n)) {
                return Err(format!("route {} names the time interval {unknown:?}, which is not defined", node.name));
            }
        }
        Ok(())
    }
}
