//! The task of one delivery path: plan, journal, send, record; on failure wait, with growing patience.

use super::plan::{Due, plan};
use super::shared::{PathState, Shared};
use super::trial::PathReport;
use super::until;
use crate::channels::{Outcome, Retry};
use crate::journal::{Change, Composed, DeadLetter, State, fingerprint_of};
use crate::message::{Message, MessageAlert, Text, raised_labels, stable_key};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{Evidence, Labels, Notice, NoticeState, Severity, Timestamp, harmless_limited};

/// The clock is looked at this often: tokio's timers stand still while the machine sleeps, and tests move time by hand.
const LOOK: Duration = Duration::from_secs(1);
/// A path that could not work is looked at again after this long, and looking takes at most so long.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// Alert raised on the other paths when one has given up.
pub(super) const GAVE_UP: &str = "WatchfireNotificationsFail";

/// What is known about a path.
#[derive(Debug, Default)]
pub(super) struct PathStatus {
    /// Of the last attempt or probe.
    last: Option<Result<String, String>>,
    /// `last` is what looking found, not what sending did.
    looked: Option<Timestamp>,
    failures: u32,
    not_before: Option<Timestamp>,
    failed_group: Option<String>,
    /// Dead letters were written, and the others told.
    gave_up: bool,
    counted_silences: BTreeSet<(String, u64)>,
}

impl PathStatus {
    pub fn report(&self, path: &str) -> PathReport {
        let (works, detail) = match &self.last {
            Some(Ok(found)) => (true, found.clone()),
            Some(Err(reason)) => (false, reason.clone()),
            None => (false, "not tried yet".to_owned()),
        };
        PathReport { path: path.to_owned(), works, detail }
    }

    /// Something came that was missing: sends, or looks again whether it could.
    pub fn retry_now(&mut self) {
        self.not_before = None;
        if self.looked.take().is_some() {
            self.last = None;
        }
    }
}

pub(super) async fn run(shared: Arc<Shared>, path: Arc<PathState>) {
    while !path.retired.is_cancelled() {
        let changed = path.changed.notified();
        let now = shared.now();
        let table = shared.table();
        look(&path, now.steady);
        let (not_before, failed) = {
            let status = path.status.lock();
            (status.not_before, status.failed_group.clone())
        };
        let planned = plan(&shared.journal.state().read(), &path.traits, &table.routing, now, failed.as_deref(), false);
        settle(&shared, &path, planned.drops, planned.silenced).await;
        let waiting = not_before.filter(|at| *at > now.steady);
        if let (Some(due), None) = (&planned.due, waiting) {
            let too_long = async {
                shared.cancel.cancelled().await;
                tokio::time::sleep_until(shared.deadline()).await;
            };
            tokio::select! {
                _ = attempt(&shared, &path, due, table.limits.attempt_timeout) => {}
                // What was under way is in the journal and comes again with its key.
                () = too_long => return,
            }
        } else {
            let next = waiting.or(planned.next).map_or(LOOK, |at| until(at, now.steady).min(LOOK));
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(next.max(Duration::from_millis(1))) => {}
                () = shared.cancel.cancelled() => {}
                () = path.retired.cancelled() => {}
            }
        }
        if shared.cancel.is_cancelled() {
            // When the time is over, the journal keeps the rest.
            tokio::select! {
                () = drain(&shared, &path) => {}
                () = tokio::time::sleep_until(shared.deadline()) => {}
            }
            return;
        }
    }
}

/// Sends what is owed without waiting for groups; one failure ends it.
async fn drain(shared: &Shared, path: &PathState) {
    let table = shared.table();
    loop {
        let failed = path.status.lock().failed_group.clone();
        let planned = plan(&shared.journal.state().read(), &path.traits, &table.routing, shared.now(), failed.as_deref(), true);
        let Some(due) = planned.due else { return };
        if !attempt(shared, path, &due, table.limits.attempt_timeout).await {
            return;
        }
    }
}

/// Looks whether the path could work, at the start and every minute while looking says that it could not. What sending found is not overwritten.
fn look(path: &Arc<PathState>, now: Timestamp) {
    {
        let mut status = path.status.lock();
        let first = status.last.is_none() && status.looked.is_none();
        let again = matches!(status.last, Some(Err(_))) && status.looked.is_some_and(|at| now.since(at) >= LOOK_AGAIN);
        if !first && !again {
            return;
        }
        status.looked = Some(now);
    }
    let path = path.clone();
    tokio::spawn(async move {
        let found = tokio::time::timeout(LONGEST_LOOK, path.channel.clone().probe()).await;
        let mut status = path.status.lock();
        if status.looked.is_some() {
            status.last = Some(found.unwrap_or_else(|_| Err(format!("no answer within {} s", LONGEST_LOOK.as_secs()))));
        }
    });
}

/// Counts what a silence holds back, once, and forgets what nobody needs to hear.
async fn settle(shared: &Shared, path: &PathState, drops: Vec<String>, silenced: Vec<(String, u64)>) {
    let counter = shared.meter.counter("watchfire_notifications_dropped_total", &[("path", &path.traits.name), ("reason", "silenced")]);
    {
        let counted = &mut path.status.lock().counted_silences;
        let silenced: BTreeSet<_> = silenced.into_iter().collect();
        counter.add(silenced.difference(counted).count() as u64);
        *counted = silenced;
    }
    if !drops.is_empty() {
        shared.journal.commit_async(vec![Change::Dropped { path: path.traits.name.clone(), entries: drops }]).await;
    }
}

/// One attempt; true when everything in it is settled.
async fn attempt(shared: &Shared, path: &PathState, due: &Due, limit: Duration) -> bool {
    let name = &path.traits.name;
    let key = match &due.key {
        Some(key) => key.clone(),
        None => {
            let composed = composed(name, due, &shared.journal.state().read());
            let key = composed.key.clone();
            shared.journal.commit_async(vec![Change::Compose(composed)]).await;
            key
        }
    };
    let now = shared.now();
    let message = message(&shared.journal.state().read(), path, due, key, &shared.table().external_url, now);
    // What was planned is out of date: nothing has been sent, and the next plan knows better.
    let Some(message) = message.map(Arc::new) else { return true };
    let calls = if path.traits.habits.call_per_alert { u32::try_from(message.alerts.len()).unwrap_or(u32::MAX).max(1) } else { 1 };
    let sent = message.clone();
    let outcome = match shared.journal.faults().at("send") {
        Err(error) => Outcome { retry: Some(Retry { reason: error.to_string(), after: None }), ..Outcome::default() },
        Ok(()) => {
            // In a task of its own a panic of a channel is a failed attempt.
            let task = tokio::spawn(path.channel.clone().deliver(sent));
            let abort = task.abort_handle();
            let failed = |reason: String| Outcome { retry: Some(Retry { reason, after: None }), ..Outcome::default() };
            match tokio::time::timeout(limit.saturating_mul(calls) + Duration::from_millis(500), task).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => failed("the channel panicked".to_owned()),
                Err(_) => {
                    abort.abort();
                    failed(format!("no answer within {} s", limit.as_secs_f64()))
                }
            }
        }
    };
    record(shared, path, due, &message, outcome).await
}

/// What is written down before anything is sent. The key is a hash of receiver, group and a number that is never used twice.
pub(super) fn composed(path: &str, due: &Due, state: &State) -> Composed {
    let number = (state.counter + 1).to_string();
    let key = stable_key(&[path, &due.group_key, &number, &format!("{:?}", due.members)]);
    Composed { path: path.to_owned(), group_key: due.group_key.clone(), key, members: due.members.clone() }
}

/// `None` when an alert has moved on since it was planned: the newer transition must not go out as if it were the older one, for then it
/// would go out again.
pub(super) fn message(state: &State, path: &PathState, due: &Due, key: String, external_url: &str, now: super::Now) -> Option<Message> {
    let cells = state.cells.get(&path.traits.name);
    let current = |(entry, revision): &(String, u64)| cells.and_then(|c| c.get(entry)).is_some_and(|c| c.notice.revision == *revision);
    if !due.members.iter().all(current) {
        return None;
    }
    // An alert that two routes tell has two entries, and one place in a message about both groups.
    let mut listed = BTreeSet::new();
    let mut alert = |entry: &str, changed: bool| {
        let cell = cells?.get(entry)?;
        let fingerprint = &cell.notice.fingerprint;
        listed.insert(fingerprint.clone()).then(|| MessageAlert {
            notice: match raised_labels(&cell.notice.labels, cell.notice.severity) {
                Some(labels) => Arc::new(Notice { labels, ..(*cell.notice).clone() }),
                None => cell.notice.clone(),
            },
            group_labels: cell.destination.group_labels.clone(),
            changed,
            told: cell.sent_state,
            acknowledged_by: state.acknowledged_by(fingerprint, now.wall).map(|a| a.by.clone()),
            handle: cell.handle,
            queued_at: cell.queued_at,
        })
    };
    let mut alerts: Vec<MessageAlert> = due.members.iter().filter_map(|(entry, _)| alert(entry, true)).collect();
    alerts.extend(due.context.iter().filter_map(|entry| alert(entry, false)));
    Some(Message {
        key,
        path: path.traits.name.clone(),
        receiver: path.traits.receiver.clone(),
        group_key: due.group_key.clone(),
        group_labels: due.group_labels.clone(),
        alerts,
        left_out: due.left_out,
        note: due.note.as_ref().map(|n| Text { title: n.title.clone(), summary: n.body.clone(), facts: Vec::new() }),
        external_url: external_url.to_owned(),
        at: now.wall.saturating_sub(now.carried),
        carried: now.carried,
    })
}

async fn record(shared: &Shared, path: &PathState, due: &Due, message: &Message, outcome: Outcome) -> bool {
    let name = &path.traits.name;
    let count = |what: &str, labels: &[(&str, &str)], n: usize| {
        let all: Vec<(&str, &str)> = labels.iter().copied().chain([("path", name.as_str())]).collect();
        shared.meter.counter(what, &all).add(n as u64);
    };
    let now = shared.now();
    let limits = shared.table().limits.clone();
    let mut members: BTreeMap<&str, Vec<&(String, u64)>> = BTreeMap::new();
    for member in &due.members {
        members.entry(fingerprint_of(&member.0)).or_default().push(member);
    }
    let entries = |fingerprint: &str| members.get(fingerprint).into_iter().flatten().copied();
    let mut changes = Vec::new();
    let delivered: Vec<(String, u64, Option<u64>)> =
        outcome.delivered.iter().flat_map(|(f, handle)| entries(f).map(|(entry, revision)| (entry.clone(), *revision, *handle))).collect();
    if !delivered.is_empty() {
        count("watchfire_notifications_total", &[], delivered.len());
        let acknowledged = message.alerts.iter().filter(|a| a.acknowledged_by.is_some());
        let acknowledged: Vec<String> = acknowledged.flat_map(|a| entries(&a.notice.fingerprint).map(|(entry, _)| entry.clone())).collect();
        changes.push(Change::Sent { path: name.clone(), group_key: due.group_key.clone(), at: now.steady, alerts: delivered.clone() });
        if !acknowledged.is_empty() {
            changes.push(Change::Acknowledged { path: name.clone(), entries: acknowledged });
        }
    }
    // A note has no entries; its key stands for itself.
    let refused = |f: &String| entries(f).map(|(entry, _)| entry.clone()).chain(due.note.iter().map(|n| n.key.clone())).collect::<Vec<_>>();
    let mut dead: Vec<(String, String)> =
        outcome.refused.iter().flat_map(|(f, reason)| refused(f).into_iter().map(|entry| (entry, reason.clone()))).collect();
    if let Some(note) = due.note.as_ref().filter(|_| outcome.retry.is_none() && dead.is_empty()) {
        count("watchfire_notifications_total", &[], 1);
        changes.push(Change::NoteSent { path: name.clone(), key: note.key.clone() });
    }
    let too_old = due.queued_at.saturating_add(limits.give_up_after) <= now.steady;
    if let Some(retry) = outcome.retry.as_ref().filter(|_| too_old) {
        let done: BTreeSet<&str> = outcome.delivered.iter().map(|(f, _)| f.as_str()).collect();
        let left = due.members.iter().map(|(f, _)| f).chain(due.note.iter().map(|n| &n.key)).filter(|f| !done.contains(fingerprint_of(f)));
        dead.extend(
            left.map(|f| {
                (f.clone(), format!("given up after {}: {}", watchfire_model::format_duration(limits.give_up_after), retry.reason))
            }),
        );
    }
    for (entry, reason) in &dead {
        let fingerprint = fingerprint_of(entry);
        let alert = message.alerts.iter().find(|a| a.notice.fingerprint == fingerprint).map(|a| a.notice.name());
        let alert = alert.or(due.note.as_ref().map(|n| n.title.as_str())).unwrap_or_default();
        let alert = harmless_limited(alert, 200).into_owned();
        tracing::error!(path = name, alert, reason, "notification given up");
        changes.push(Change::Dead(DeadLetter {
            path: name.clone(),
            alert,
            fingerprint: fingerprint.to_owned(),
            apart: entry.get(fingerprint.len() + 1..).unwrap_or_default().to_owned(),
            reason: reason.clone(),
            at: now.wall,
        }));
    }
    count("watchfire_notifications_dropped_total", &[("reason", "dead_letter")], dead.len());
    if !changes.is_empty() {
        if let Err(error) = shared.journal.faults().at("mark-sent") {
            tracing::warn!(%error, "mark sent");
        }
        shared.journal.commit_async(changes).await;
    }
    let told_as = warned_of(&shared.journal.state().read(), name);
    let (tell, over) = {
        let mut status = path.status.lock();
        status.looked = None;
        match (&outcome.retry, dead.first()) {
            (Some(retry), _) => {
                status.failures += 1;
                status.failed_group = Some(due.group_key.clone());
                let wait = retry.after.unwrap_or_else(|| backoff(status.failures, limits.backoff_min, limits.backoff_max));
                status.not_before = Some(now.steady.saturating_add(wait));
                status.last = Some(Err(retry.reason.clone()));
                count("watchfire_notification_failures_total", &[], 1);
                tracing::warn!(path = name, reason = retry.reason, wait = wait.as_secs_f64(), "notification not delivered");
            }
            (None, first) => {
                status.failures = 0;
                status.failed_group = None;
                status.not_before = None;
                status.last = Some(match first {
                    Some((_, reason)) => Err(reason.clone()),
                    None => Ok("delivered".to_owned()),
                });
            }
        }
        let warned = status.gave_up || told_as.is_some();
        let tell = !dead.is_empty() && !warned;
        let over = dead.is_empty() && outcome.retry.is_none() && warned;
        status.gave_up = (warned || tell) && !over;
        (tell, over)
    };
    if tell || over {
        let reason = dead.first().map(|(_, reason)| reason.clone()).unwrap_or_default();
        let notice = gave_up(name, &reason, if tell { NoticeState::Firing } else { NoticeState::Resolved }, told_as, now.wall);
        shared.journal.commit_async(vec![shared.addressed(notice, now.steady, Some(name))]).await;
    }
    outcome.retry.is_none()
}

/// The revision as which others were told that a path has given up, while they were not told that it works again. The state knows it, because it
/// holds over restarts and other settings.
fn warned_of(state: &State, path: &str) -> Option<u64> {
    let fingerprint = stable_key(&[GAVE_UP, path]);
    let cells = state.cells.values().filter_map(|cells| cells.get(&fingerprint));
    cells.filter(|c| c.notice.state == NoticeState::Firing).map(|c| c.notice.revision).max()
}

/// What the other paths hear when this one fails for good, and when it works again or is no longer there. `after` is the revision before this one.
pub(super) fn gave_up(path: &str, reason: &str, state: NoticeState, after: Option<u64>, now: Timestamp) -> Notice {
    Notice {
        fingerprint: stable_key(&[GAVE_UP, path]),
        // Grows with time, over restarts too.
        revision: u64::try_from(now.millis()).unwrap_or(0).max(after.map_or(0, |revision| revision + 1)),
        state,
        severity: Severity::High,
        labels: Labels::from_pairs([("alertname", GAVE_UP), ("severity", "high"), ("path", path)]),
        annotations: Labels::from_pairs([
            ("summary", format!("Notifications over {path} were given up; they are in the list of dead letters").as_str()),
            ("description", reason),
        ]),
        active_at: now,
        starts_at: now,
        ends_at: now,
        generator_url: String::new(),
        cause: None,
        evidence: Evidence { surroundings: vec![reason.to_owned()], command: "watchfire notify test".to_owned(), ..Evidence::default() },
    }
}

/// Doubles from the shortest to the longest wait, a fifth more or less.
pub(super) fn backoff(failures: u32, shortest: Duration, longest: Duration) -> Duration {
    let doubled = shortest.saturating_mul(1u32.checked_shl(failures.saturating_sub(1).min(30)).unwrap_or(u32::MAX)).min(longest);
    // The standard library seeds every such hasher from the system's randomness.
    let random = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
    doubled.mul_f64(0.8 + 0.4 * random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_doubles_from_one_second_to_five_minutes_and_varies_by_a_fifth() {
        for (failures, seconds) in [(1, 1.0), (2, 2.0), (3, 4.0), (9, 256.0), (10, 300.0), (60, 300.0), (u32::MAX, 300.0)] {
            for _ in 0..100 {
                let wait = backoff(failures, Duration::from_secs(1), Duration::from_secs(300)).as_secs_f64();
                assert!((seconds * 0.8..=seconds * 1.2 + 0.001).contains(&wait), "{failures}: {wait}");
            }
        }
    }
}
