//! What a delivery path should do next: a pure function of the durable state, the routing table and the time.

use crate::channels::Habits;
use crate::journal::{Cell, Composed, Note, State};
use crate::routing::{Inhibition, Routing, Timing};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use watchfire_model::{Labels, NoticeState, Severity, Timestamp};

/// The group key of a message about more groups than a channel is told of one by one.
pub const STORM_KEY: &str = "storm";
/// The group key of a message without alerts.
const NOTE_KEY: &str = "summary";

/// The same moment twice: steady for schedules, wall clock for silences and calendars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Follows time since boot, so a corrected wall clock moves no schedule.
    pub steady: Timestamp,
    pub wall: Timestamp,
    /// How far `wall` is ahead of the machine's clock, which was set back.
    pub carried: Duration,
}

impl Now {
    /// On a machine whose clock was never set.
    pub fn plain(at: Timestamp) -> Self {
        Now { steady: at, wall: at, carried: Duration::ZERO }
    }
}

/// What the planner knows about a path.
#[derive(Clone, Debug)]
pub struct PathTraits {
    pub name: String,
    pub receiver: String,
    pub habits: Habits,
    /// Quieter alerts do not use this path.
    pub at_least: Severity,
    pub send_resolved: bool,
}

/// A message to send now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub group_key: String,
    pub group_labels: Labels,
    /// (entry, revision) of what is new, oldest first.
    pub members: Vec<(String, u64)>,
    /// Entries that still fire in the same group.
    pub context: Vec<String>,
    /// Alerts of the group for which one message has no room.
    pub left_out: usize,
    /// Instead of alerts.
    pub note: Option<Note>,
    /// The key of an earlier attempt at exactly this message.
    pub key: Option<String>,
    pub queued_at: Timestamp,
}

/// What to do now, and when to look again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub due: Option<Due>,
    /// Entries that nobody needs to hear any more.
    pub drops: Vec<String>,
    /// (entry, revision) of those that a silence holds back at present.
    pub silenced: Vec<(String, u64)>,
    pub next: Option<Timestamp>,
}

/// A cell with its name.
#[derive(Clone, Copy)]
struct Entry<'a> {
    name: &'a str,
    cell: &'a Cell,
}

#[derive(Default)]
struct Group<'a> {
    labels: Labels,
    pending: Vec<Entry<'a>>,
    firing: Vec<Entry<'a>>,
    first: Option<Timestamp>,
    flushed: Option<Timestamp>,
    told: Vec<Told<'a>>,
    repeat: Option<Timestamp>,
    timing: Timing,
    severity: Option<Severity>,
}

/// An alert that has been told as it stands, and may be told again.
struct Told<'a> {
    entry: Entry<'a>,
    route: usize,
    timing: Timing,
}

/// Plans for one path. `failed` is the group whose last attempt failed: others that are due go first. `draining` ignores all waiting.
pub fn plan(state: &State, path: &PathTraits, routing: &Routing, now: Now, failed: Option<&str>, draining: bool) -> Plan {
    let mut plan = Plan::default();
    let Some(cells) = state.cells.get(&path.name) else {
        plan.due = note(state, path);
        return plan;
    };
    let inhibitors = routing.inhibitors(state);
    let mut groups: BTreeMap<&str, Group<'_>> = BTreeMap::new();
    let mut wanted: BTreeMap<&str, u64> = BTreeMap::new();
    let mut later = |at: Timestamp| plan.next = Some(plan.next.map_or(at, |next: Timestamp| next.min(at)));
    for (name, cell) in cells {
        let entry = Entry { name, cell };
        let (key, labels, route) = routing.turn(&cell.destination, now.wall);
        let timing = timing(path, routing, route);
        let group = groups.entry(if path.habits.immediate { "" } else { key }).or_default();
        group.labels = if path.habits.immediate { Labels::empty() } else { labels.clone() };
        group.timing = timing;
        group.flushed = group.flushed.max(cell.sent_at);
        if cell.dead || cell.notice.severity < path.at_least {
            continue;
        }
        let firing = cell.notice.state == NoticeState::Firing;
        let acknowledged = state.acknowledged_by(&cell.notice.fingerprint, now.wall).is_some();
        let silenced = state.silenced_by(&cell.notice.labels, now.wall).is_some();
        let told = cell.sent_state == Some(NoticeState::Firing);
        if firing && told && !cell.is_owed() {
            group.firing.push(entry);
        }
        let muted = || routing.muted(route, &path.receiver, cell.notice.severity, now.wall);
        let since = if cell.is_owed() {
            let mut begun = cell.queued_at;
            if !firing && !path.send_resolved {
                plan.drops.push(name.clone());
                continue;
            }
            // As in Alertmanager, an end is as quiet as the alert is by then. What is open until it ends has to hear of it all the same.
            if firing || !told || !path.habits.keeps_open {
                if silenced {
                    plan.silenced.push((name.clone(), cell.notice.revision));
                    if !firing {
                        plan.drops.push(name.clone());
                    }
                    continue;
                }
                if firing && acknowledged {
                    continue;
                }
                match inhibitors.inhibition(&cell.notice) {
                    Inhibition::Now if firing => continue,
                    // It may end with what inhibited it, only a little later: it waits as if it had begun now.
                    Inhibition::Over { queued_at, .. } if firing => begun = begun.max(queued_at),
                    // What was kept quiet to its end ends as quietly. Whoever was told before that, or after it, is told.
                    Inhibition::Over { ends_at, .. } if told || ends_at < cell.notice.ends_at => {}
                    Inhibition::Now | Inhibition::Over { .. } => {
                        plan.drops.push(name.clone());
                        continue;
                    }
                    Inhibition::None => {}
                }
            }
            // Nobody is woken by an end either; it is told in the morning.
            if muted() {
                continue;
            }
            Some(begun)
        } else if firing && told && acknowledged && path.habits.acknowledgements && !cell.acknowledged {
            Some(Timestamp::MIN)
        } else {
            None
        };
        if let Some(since) = since {
            group.pending.push(entry);
            group.first = Some(group.first.map_or(since, |first| first.min(since)));
            group.severity = group.severity.max(Some(cell.notice.severity));
            wanted.insert(name, cell.notice.revision);
            continue;
        }
        // A receiver that forgets takes an alert it does not hear of for resolved.
        if path.habits.resend.is_some() || !(acknowledged || silenced) {
            group.told.push(Told { entry, route, timing });
        }
    }
    for group in groups.values_mut() {
        for Told { entry, route, timing } in std::mem::take(&mut group.told) {
            let cell = entry.cell;
            // A message tells of its whole group, so the next is counted from it for all of them.
            let since = if path.habits.immediate { cell.sent_at } else { group.flushed };
            let Some(at) = since.and_then(|since| repeat_at(path, cell, since, timing)) else { continue };
            let muted = || routing.muted(route, &path.receiver, cell.notice.severity, now.wall);
            if path.habits.resend.is_none() && at <= now.steady && (muted() || inhibitors.inhibited(&cell.notice)) {
                continue;
            }
            group.repeat = Some(group.repeat.map_or(at, |repeat| repeat.min(at)));
            if at <= now.steady {
                group.pending.push(entry);
                group.severity = group.severity.max(Some(cell.notice.severity));
                wanted.insert(entry.name, cell.notice.revision);
            }
        }
    }
    let quiet = |cell: &Cell| state.silenced_by(&cell.notice.labels, now.wall).is_some() || inhibitors.inhibited(&cell.notice);
    // What may be under way already is finished first, unchanged, as long as it still holds.
    let mut under_way: Vec<&Composed> = state
        .composed
        .values()
        .filter(|c| c.path == path.name && c.members.iter().all(|(f, revision)| wanted.get(f.as_str()) == Some(revision)))
        .collect();
    under_way.sort_by_key(|c| failed == Some(c.group_key.as_str()));
    let mut ready: Vec<(&str, &Group<'_>)> = Vec::new();
    let taken: BTreeSet<&str> = under_way.iter().flat_map(|c| c.members.iter().map(|(f, _)| f.as_str())).collect();
    for (key, group) in &groups {
        if group.pending.iter().all(|entry| taken.contains(entry.name)) {
            if let Some(at) = group.repeat {
                later(at);
            }
            continue;
        }
        let due = match group.first {
            Some(first) => {
                let waited = first.saturating_add(group.timing.group_wait);
                let paced = group.flushed.map_or(Timestamp::MIN, |at| at.saturating_add(group.timing.group_interval));
                waited.max(paced)
            }
            None => group.repeat.unwrap_or(now.steady),
        };
        if due <= now.steady || draining {
            ready.push((key, group));
        } else {
            later(due);
        }
    }
    let resumed = under_way.first().filter(|c| failed != Some(c.group_key.as_str()) || ready.is_empty());
    plan.due = match resumed {
        Some(composed) => Some(resume(composed, cells, &groups, path)),
        None => pick(ready, &taken, path, failed, &quiet).or_else(|| note(state, path)),
    };
    plan
}

/// The oldest text that is about no alert; alerts go first.
fn note(state: &State, path: &PathTraits) -> Option<Due> {
    let note = state.notes.values().filter(|n| n.path == path.name).min_by_key(|n| n.queued_at)?;
    Some(Due {
        group_key: NOTE_KEY.to_owned(),
        group_labels: Labels::empty(),
        members: Vec::new(),
        context: Vec::new(),
        left_out: 0,
        key: Some(note.key.clone()),
        queued_at: note.queued_at,
        note: Some(note.clone()),
    })
}

fn timing(path: &PathTraits, routing: &Routing, route: usize) -> Timing {
    let timing = routing.timing(route);
    if path.habits.immediate { Timing { group_wait: Duration::ZERO, group_interval: Duration::ZERO, ..timing } } else { timing }
}

/// When a message about this alert is due again although nothing changed since the one of `sent`.
fn repeat_at(path: &PathTraits, cell: &Cell, sent: Timestamp, timing: Timing) -> Option<Timestamp> {
    if cell.is_owed() || cell.sent_state != Some(cell.notice.state) {
        return None;
    }
    let firing = cell.notice.state == NoticeState::Firing;
    match path.habits.resend {
        Some((pace, _)) if firing && !cell.held => Some(sent.saturating_add(pace)),
        Some((pace, resolved_for)) if !firing => {
            let at = sent.saturating_add(pace);
            (at <= cell.queued_at.saturating_add(resolved_for)).then_some(at)
        }
        Some(_) => None,
        None => (firing && !cell.held).then(|| sent.saturating_add(timing.until_repeat())),
    }
}

fn resume(composed: &Composed, cells: &BTreeMap<String, Cell>, groups: &BTreeMap<&str, Group<'_>>, path: &PathTraits) -> Due {
    let queued_at = composed.members.iter().filter_map(|(f, _)| cells.get(f)).map(|c| c.queued_at).min().unwrap_or_default();
    let group = groups.get(if path.habits.immediate { "" } else { composed.group_key.as_str() });
    Due {
        group_key: composed.group_key.clone(),
        group_labels: group.map(|g| g.labels.clone()).unwrap_or_default(),
        members: composed.members.clone(),
        context: Vec::new(),
        left_out: group.map_or(0, |g| (g.pending.len() + g.firing.len()).saturating_sub(composed.members.len())),
        note: None,
        key: Some(composed.key.clone()),
        queued_at,
    }
}

/// Where an alert stands in a message, as in Alertmanager: by job, then by instance, those without one last, then by all labels.
fn in_a_list(cell: &Cell) -> impl Ord + use<> {
    let labels = &cell.notice.labels;
    let last = |name: &str| (labels.get(name).is_none(), labels.value(name).to_owned());
    (last("job"), last("instance"), labels.clone())
}

fn pick(
    mut ready: Vec<(&str, &Group<'_>)>,
    taken: &BTreeSet<&str>,
    path: &PathTraits,
    failed: Option<&str>,
    quiet: &dyn Fn(&Cell) -> bool,
) -> Option<Due> {
    if ready.is_empty() {
        return None;
    }
    ready.sort_by_key(|(key, group)| (failed == Some(*key), std::cmp::Reverse(group.severity), group.first.or(group.repeat)));
    let storm = ready.len() > path.habits.groups;
    let groups = if storm { &ready[..] } else { &ready[..1] };
    let mut members: Vec<Entry<'_>> =
        groups.iter().flat_map(|(_, group)| group.pending.iter().copied()).filter(|entry| !taken.contains(entry.name)).collect();
    members.sort_by_cached_key(|e| (e.cell.queued_at, std::cmp::Reverse(e.cell.notice.severity), in_a_list(e.cell)));
    let mut left_out = members.len().saturating_sub(path.habits.most);
    members.truncate(path.habits.most);
    let chosen: BTreeSet<&str> = members.iter().map(|entry| entry.name).collect();
    let context = if storm || path.habits.immediate {
        Vec::new()
    } else {
        let mut rest: Vec<Entry<'_>> =
            groups[0].1.firing.iter().copied().filter(|entry| !chosen.contains(entry.name) && !quiet(entry.cell)).collect();
        rest.sort_by_cached_key(|entry| in_a_list(entry.cell));
        // The whole group, as Alertmanager tells it, as far as one message goes.
        let mut context: Vec<String> = rest.iter().map(|entry| entry.name.to_owned()).collect();
        let room = path.habits.most.saturating_sub(members.len());
        left_out += context.len().saturating_sub(room);
        context.truncate(room);
        context
    };
    Some(Due {
        group_key: if storm { STORM_KEY.to_owned() } else { groups[0].0.to_owned() },
        group_labels: if storm { Labels::empty() } else { groups[0].1.labels.clone() },
        queued_at: members.first().map(|entry| entry.cell.queued_at).unwrap_or_default(),
        members: members.iter().map(|entry| (entry.name.to_owned(), entry.cell.notice.revision)).collect(),
        context,
        left_out,
        note: None,
        key: None,
    })
}
