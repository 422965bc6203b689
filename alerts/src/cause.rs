//! Which alerts are consequences of others. Alerts are joined with the live call graph by the service they are about; what a service
//! depends on (directly or not) and fires since no later than it does explains it. Only explanation happens here: evaluation and
//! resolution are never touched, and who is told is decided in `paging`.

pub use candidate::{Candidate, subject, target};

use services::Services;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use watchfire_model::{Cause, Dependency, Relation, Severity, Timestamp, Topology, Unhealthy};

/// Services looked at on the way down from one service.
const MAX_REACHED: usize = 2_000;

/// How far explanations go.
#[derive(Clone, Debug)]
pub struct CauseSettings {
    /// A cause may have started this much later than its consequence: rules of different windows do not notice at the same time.
    pub tolerance: Duration,
    /// Two alerts on the same service within this time are one fault.
    pub same_service: Duration,
    /// Share of failing calls from which an edge is suspicious.
    pub failing_edge: f64,
    /// Share of failing calls to one dependency from which it may speak against a cause behind another one.
    pub other_edge: f64,
}

impl Default for CauseSettings {
    fn default() -> Self {
        CauseSettings { tolerance: Duration::from_secs(60), same_service: Duration::from_secs(300), failing_edge: 0.05, other_edge: 0.1 }
    }
}

/// What lies at the bottom of an alert.
#[derive(Clone, Debug, PartialEq)]
pub enum Root {
    /// The candidate at this index.
    Alert(usize),
    /// A service or node that checks find unhealthy, its own or those of services that need it.
    Probe { service: String, reason: String, expected: Expected },
    /// A service that calls fail to reach, without an alert of its own (yet).
    Edge { service: String, error_ratio: f64 },
}

/// Whether an alert about what checks find unhealthy may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It reports telemetry, or has an alert that is not firing yet.
    Alert,
    /// Nothing but checks and scrapes know of it: a rule on them sees it as soon as it is evaluated, or there is none.
    Soon,
    /// Others say so, which no rule can alert on.
    Nothing,
}

/// Why one alert is a consequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub root: Root,
    /// Calls between the alert's service and the service at fault.
    pub hops: usize,
}

/// Explains each alert that has a cause: one entry per candidate, `None` where it stands for itself.
/// `can_alert` says whether a service reports telemetry of its own, so that an alert on it is to be expected.
pub fn explain(
    alerts: &[Candidate],
    topology: &dyn Topology,
    settings: &CauseSettings,
    can_alert: &dyn Fn(&str) -> bool,
) -> Vec<Option<Explanation>> {
    let mut unhealthy: BTreeMap<String, Unhealthy> = BTreeMap::new();
    for found in topology.unhealthy() {
        unhealthy.entry(found.name.clone()).or_insert(found);
    }
    let mut graph = Graph { topology, names: HashSet::new(), edges: HashMap::new(), reached: HashMap::new() };
    let by_service = Services::new(alerts);
    let mut parents: Vec<Option<usize>> = vec![None; alerts.len()];
    let mut outside: Vec<Option<Explanation>> = vec![None; alerts.len()];
    for (i, victim) in alerts.iter().enumerate() {
        let Some(service) = victim.service.as_deref().filter(|_| !victim.independent) else { continue };
        let callee = victim.callee().and_then(|callee| graph.callee(service, callee));
        let callee = callee.as_deref();
        let said = if callee.is_none() { graph.said_by(victim, &unhealthy, settings) } else { Vec::new() };
        let below = match callee {
            Some(callee) => graph.reached_through(service, callee),
            // What it says itself is wrong with what it needs.
            None if !said.is_empty() => graph.reached_through_any(service, &said),
            None => graph.reached_by(victim),
        };
        let mut best: Option<(Rank, usize)> = None;
        for (reached, hops) in below.iter() {
            let acceptable = |c: usize| c != i && may_cause(alerts, c, i, &mut graph, settings);
            if let Some(candidate) = by_service.first(reached, victim, acceptable) {
                let c = &alerts[candidate];
                // What stands beside an alert on calls to another says less of them than what lies beyond.
                let rank = (!c.firing, callee.is_some() && *hops == 0, *hops, c.active_at, std::cmp::Reverse(c.severity), candidate);
                let better = best.as_ref().is_none_or(|(have, _)| rank < *have);
                if better && !(callee.is_none() && *hops > 0 && fails_elsewhere(&mut graph, service, reached, settings)) {
                    best = Some((rank, candidate));
                }
            }
        }
        let firing_parent = best.as_ref().is_some_and(|(_, c)| alerts[*c].firing);
        let fits = |name: &str| callee.is_some() || !fails_elsewhere(&mut graph, service, name, settings);
        if !firing_parent && let Some(explanation) = probe(&below, victim, &unhealthy, can_alert, fits) {
            outside[i] = Some(explanation);
        } else if let Some((_, parent)) = best {
            parents[i] = Some(parent);
        } else if victim.firing {
            // A service that alerts by itself was considered above, with the times that say what came first.
            let suspect = |name: &str| can_alert(name) && !by_service.of(name).iter().any(|&c| speaks(&alerts[c]));
            outside[i] = failing_edge(&mut graph, service, callee, settings, &suspect);
        }
    }
    break_cycles(alerts, &mut parents);
    // An alert beside a breaker's that has its cause elsewhere says nothing of whom the breaker protects from.
    let elsewhere = |i: usize, graph: &mut Graph<'_>| {
        let (service, callee) = (alerts[i].service.as_deref()?, alerts[i].callee()?);
        let beside = parents[i].filter(|p| alerts[*p].service.as_deref() == Some(service) && alerts[*p].callee().is_none())?;
        let root = root_of(beside, &parents, &outside).unwrap_or(Root::Alert(beside));
        let fault = fault(&root, alerts)?;
        let callee = graph.callee(service, callee);
        Some(fault != service && callee.is_none_or(|callee| !graph.reached_through(service, &callee).contains_key(fault)))
    };
    let apart: Vec<usize> = (0..alerts.len()).filter(|i| elsewhere(*i, &mut graph) == Some(true)).collect();
    for i in apart {
        parents[i] = None;
    }
    (0..alerts.len())
        .map(|i| {
            let root = root_of(i, &parents, &outside)?;
            let hops = match (alerts[i].service.as_deref(), fault(&root, alerts)) {
                (Some(from), Some(to)) => graph.reached(from).get(to).copied().unwrap_or(0),
                _ => 0,
            };
            Some(Explanation { root, hops })
        })
        .collect()
}

/// What lies at the end of the chain of parents; nothing for what stands for itself.
fn root_of(alert: usize, parents: &[Option<usize>], outside: &[Option<Explanation>]) -> Option<Root> {
    let mut at = alert;
    while let Some(parent) = parents[at] {
        at = parent;
    }
    match &outside[at] {
        Some(explanation) => Some(explanation.root.clone()),
        None => (at != alert).then_some(Root::Alert(at)),
    }
}

/// The service at fault.
fn fault<'a>(root: &'a Root, alerts: &'a [Candidate]) -> Option<&'a str> {
    match root {
        Root::Alert(index) => alerts[*index].service.as_deref(),
        Root::Probe { service, .. } | Root::Edge { service, .. } => Some(service),
    }
}

/// Whether calls of a service fail at least twice as often somewhere else than on the way to what might be its cause: a dependency that always fails a
/// little does not explain that all calls fail since the database is gone.
fn fails_elsewhere(graph: &mut Graph<'_>, service: &str, cause: &str, settings: &CauseSettings) -> bool {
    let edges = graph.edges(service);
    let awaited = || edges.iter().filter(|edge| edge.relation != Relation::Sends);
    if !awaited().any(|edge| edge.error_ratio.is_some_and(|r| r >= settings.other_edge)) {
        return false;
    }
    let (mut towards, mut elsewhere) = (Some(0.0_f64), 0.0_f64);
    for Edge { to, error_ratio: ratio, .. } in awaited() {
        let reached = graph.reached(to);
        if reached.contains_key(cause) {
            // Where it is not known how calls end, nothing speaks against it.
            towards = towards.zip(*ratio).map(|(most, ratio)| most.max(ratio));
        } else if !reached.contains_key(service) {
            elsewhere = elsewhere.max(ratio.unwrap_or(0.0));
        }
    }
    elsewhere >= settings.other_edge && towards.is_some_and(|towards| elsewhere >= 2.0 * towards)
}

/// Whether an alert says of its service that it fails, and not only that it is busy.
fn speaks(alert: &Candidate) -> bool {
    alert.severity >= Severity::Warning && alert.severity != Severity::Security
}

/// Lower is a better cause: firing, about what is called, near, early, severe.
type Rank = (bool, bool, usize, Timestamp, std::cmp::Reverse<Severity>, usize);

fn may_cause(alerts: &[Candidate], cause: usize, victim: usize, graph: &mut Graph<'_>, settings: &CauseSettings) -> bool {
    let (c, v) = (&alerts[cause], &alerts[victim]);
    if c.severity == Severity::Security || (c.severity < Severity::Warning && c.severity < v.severity) {
        return false;
    }
    if c.active_at > v.active_at.saturating_add(settings.tolerance) || !c.same_deployment(v) {
        return false;
    }
    if c.shares_subject(v) {
        let apart = c.active_at.since(v.active_at).max(v.active_at.since(c.active_at));
        // A breaker says that another service fails. What its own service suffers from is that only where both begin together.
        let other_fault = v.callee().is_some() && c.callee().is_none() && apart > settings.tolerance;
        // Of two that are as loud, the one that fired first has been told.
        let order = |a: &Candidate, i| (std::cmp::Reverse(a.severity), a.fired_at, a.active_at, i);
        return c.firing
            && v.firing
            && c.same_place(v)
            && !other_fault
            && apart <= settings.same_service
            && order(c, cause) < order(v, victim);
    }
    // Where each can reach the other, the earlier one is the cause.
    let back = graph.reached_by(c);
    let mutual = v.subjects().any(|to| back.contains_key(to));
    !mutual || (c.active_at, &c.service, cause) < (v.active_at, &v.service, victim)
}

/// The deepest service or node that checks find unhealthy and that `fits`.
fn probe(
    below: &Reached,
    victim: &Candidate,
    unhealthy: &BTreeMap<String, Unhealthy>,
    can_alert: &dyn Fn(&str) -> bool,
    mut fits: impl FnMut(&str) -> bool,
) -> Option<Explanation> {
    below
        .iter()
        .filter(|(name, _)| victim.subjects().all(|own| own != &***name))
        .filter_map(|(name, hops)| Some((*hops, unhealthy.get(&**name).filter(|found| !found.doubted || says(victim, found))?)))
        .filter(|(_, found)| fits(&found.name))
        .max_by_key(|(hops, found)| (*hops, &found.name))
        .map(|(hops, found)| {
            let expected = match (can_alert(&found.name), found.checked) {
                (true, _) => Expected::Alert,
                (false, true) => Expected::Soon,
                (false, false) => Expected::Nothing,
            };
            Explanation { root: Root::Probe { service: found.name.clone(), reason: found.reason.clone(), expected }, hops }
        })
}

/// Whether the service that an alert is about says itself that this is unhealthy.
fn says(alert: &Candidate, found: &Unhealthy) -> bool {
    alert.service.as_ref().is_some_and(|service| found.said_by.contains(service))
}

/// The deepest suspect along failing edges (from that to `callee` on, where the alert names one). Of two services that call each other the share
/// of failures does not say which fails by the other's fault, so neither is suspected for the other.
fn failing_edge(
    graph: &mut Graph<'_>,
    service: &str,
    callee: Option<&str>,
    settings: &CauseSettings,
    suspect: &dyn Fn(&str) -> bool,
) -> Option<Explanation> {
    let mut at = graph.name(service);
    let mut seen = HashSet::from([at.clone()]);
    let mut found = None;
    for hops in 1.. {
        let mut failing: Vec<(Rc<str>, Option<f64>)> = graph
            .edges(&at)
            .iter()
            .filter(|edge| match callee.filter(|_| hops == 1) {
                Some(callee) => *edge.to == *callee,
                None => edge.relation != Relation::Sends,
            })
            .map(|edge| (edge.to.clone(), edge.error_ratio))
            .filter(|(to, ratio)| ratio.is_some_and(|r| r >= settings.failing_edge) && !seen.contains(to) && suspect(to))
            .collect();
        failing.retain(|(to, _)| !graph.reached(to).contains_key(&at));
        let worst = failing.into_iter().max_by(|a, b| a.1.unwrap_or(0.0).total_cmp(&b.1.unwrap_or(0.0)));
        let Some((next, Some(error_ratio))) = worst else { break };
        seen.insert(next.clone());
        found = Some(Explanation { root: Root::Edge { service: next.to_string(), error_ratio }, hops });
        at = next;
    }
    found
}

/// In each ring of parents the earliest alert becomes the root.
fn break_cycles(alerts: &[Candidate], parents: &mut [Option<usize>]) {
    let mut settled = vec![false; parents.len()];
    for start in 0..parents.len() {
        let mut path = Vec::new();
        let mut at = start;
        while !settled[at] && !path.contains(&at) {
            path.push(at);
            match parents[at] {
                Some(parent) => at = parent,
                None => break,
            }
        }
        if let Some(ring) = path.iter().position(|i| *i == at).filter(|_| parents[at].is_some() && !settled[at]) {
            let earliest = path[ring..].iter().copied().min_by_key(|i| (alerts[*i].active_at, *i));
            if let Some(earliest) = earliest {
                parents[earliest] = None;
            }
        }
        for i in path {
            settled[i] = true;
        }
    }
}

/// Services that one depends on, with the number of calls to each.
type Reached = hashbrown::HashMap<Rc<str>, usize, foldhash::fast::RandomState>;

/// A direct dependency.
struct Edge {
    to: Rc<str>,
    /// Share of calls that fail.
    error_ratio: Option<f64>,
    relation: Relation,
}

/// The call graph, asked for once per service. Names are shared: a cascade reaches each of them many times.
struct Graph<'a> {
    topology: &'a dyn Topology,
    names: HashSet<Rc<str>>,
    edges: HashMap<Rc<str>, Rc<[Edge]>>,
    reached: HashMap<Rc<str>, Rc<Reached>>,
}

impl Graph<'_> {
    fn name(&mut self, text: &str) -> Rc<str> {
        match self.names.get(text) {
            Some(name) => name.clone(),
            None => {
                let name: Rc<str> = Rc::from(text);
                self.names.insert(name.clone());
                name
            }
        }
    }

    fn edges(&mut self, service: &str) -> Rc<[Edge]> {
        if let Some(edges) = self.edges.get(service) {
            return edges.clone();
        }
        let found = self.topology.dependencies(service);
        let edge = |d: Dependency| Edge { to: self.name(&d.server), error_ratio: d.error_ratio, relation: d.relation };
        let edges: Rc<[Edge]> = found.into_iter().map(edge).collect();
        let name = self.name(service);
        self.edges.insert(name, edges.clone());
        edges
    }

    /// Whom a service calls by this name.
    fn callee(&mut self, service: &str, name: &str) -> Option<Rc<str>> {
        let edges = self.edges(service);
        let called = |name: &str| edges.iter().find(|edge| *edge.to == *name).map(|edge| edge.to.clone());
        called(name).or_else(|| called(&self.topology.meant(service, name)?))
    }

    /// Everything that what an alert is about depends on.
    fn reached_by(&mut self, alert: &Candidate) -> Rc<Reached> {
        let mut all: Vec<Rc<Reached>> = alert.subjects().map(|subject| self.reached(subject)).collect();
        if all.len() == 1 {
            return all.remove(0);
        }
        let mut merged = Reached::default();
        for (name, hops) in all.iter().flat_map(|reached| reached.iter()) {
            let known = merged.entry(name.clone()).or_insert(*hops);
            *known = (*known).min(*hops);
        }
        Rc::new(merged)
    }

    /// What the service that an alert is about says itself is unhealthy of all that it needs, where its calls do not fail elsewhere.
    fn said_by(&mut self, alert: &Candidate, unhealthy: &BTreeMap<String, Unhealthy>, settings: &CauseSettings) -> Vec<Rc<str>> {
        let Some(service) = alert.service.as_deref() else { return Vec::new() };
        let said: Vec<&Unhealthy> = unhealthy.values().filter(|found| says(alert, found)).collect();
        let fitting =
            said.into_iter().filter(|found| !fails_elsewhere(self, service, &found.name, settings)).map(|found| found.name.clone());
        fitting.collect::<Vec<_>>().into_iter().filter_map(|name| self.callee(service, &name)).collect()
    }

    /// A service, and what it depends on by its calls to any of some others.
    fn reached_through_any(&mut self, service: &str, callees: &[Rc<str>]) -> Rc<Reached> {
        let mut merged = Reached::default();
        for callee in callees {
            for (name, hops) in self.reached_through(service, callee).iter() {
                let known = merged.entry(name.clone()).or_insert(*hops);
                *known = (*known).min(*hops);
            }
        }
        Rc::new(merged)
    }

    /// A service, and what it depends on by its calls to `callee`.
    fn reached_through(&mut self, service: &str, callee: &str) -> Rc<Reached> {
        let below = self.reached(callee);
        let mut reached: Reached = below.iter().map(|(name, hops)| (name.clone(), hops + 1)).collect();
        reached.insert(self.name(service), 0);
        Rc::new(reached)
    }

    /// Everything a service depends on, directly or not; the service itself at zero. A queue depends on who works it off, and who fills it does not.
    fn reached(&mut self, service: &str) -> Rc<Reached> {
        if let Some(reached) = self.reached.get(service) {
            return reached.clone();
        }
        let start = self.name(service);
        let mut reached = Reached::default();
        reached.insert(start.clone(), 0);
        let mut queue = VecDeque::from([(start.clone(), 0)]);
        for consumer in self.topology.consumers(service) {
            let consumer = self.name(&consumer);
            reached.insert(consumer.clone(), 1);
            queue.push_back((consumer, 1));
        }
        while let Some((at, hops)) = queue.pop_front() {
            for Edge { to, relation, .. } in self.edges(&at).iter().filter(|edge| edge.relation != Relation::Sends) {
                if reached.len() < MAX_REACHED && !reached.contains_key(to) {
                    let hops = if *relation == Relation::Is { hops } else { hops + 1 };
                    reached.insert(to.clone(), hops);
                    queue.push_back((to.clone(), hops));
                }
            }
        }
        let reached = Rc::new(reached);
        self.reached.insert(start, reached.clone());
        reached
    }
}

/// The explanation in the words that the alert, its notice and the API show.
pub fn describe(explanation: &Explanation, alerts: &[Candidate]) -> Cause {
    let distance = match explanation.hops {
        0 => String::new(),
        1 => "1 call away, ".to_owned(),
        n => format!("{n} calls away, "),
    };
    match &explanation.root {
        Root::Alert(index) => {
            let cause = &alerts[*index];
            let service = cause.service.clone().unwrap_or_default();
            let verb = if cause.firing { "fires" } else { "is pending" };
            let since = chrono::DateTime::from_timestamp_millis(cause.active_at.millis()).unwrap_or_default();
            let reason = format!("{service}, {distance}{verb} since {}", since.format("%H:%M:%S"));
            Cause { alert: cause.name.clone(), service, reason }
        }
        Root::Probe { service, reason, .. } => {
            Cause { alert: String::new(), service: service.clone(), reason: format!("{service}, {distance}is unhealthy, {reason}") }
        }
        Root::Edge { service, error_ratio } => Cause {
            alert: String::new(),
            service: service.clone(),
            reason: format!("{service}, {distance}fails {:.0} % of the calls to it", error_ratio * 100.0),
        },
    }
}

mod candidate;
mod services;
#[cfg(test)]
mod tests;
