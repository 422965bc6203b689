//! Trying the paths without the outbox: what could work, and what does when a test message is sent.

use super::handle::table;
use super::plan::PathTraits;
use crate::channels::terminal::Terminal;
use crate::channels::{self, Channel};
use crate::message::{Message, MessageAlert, stable_key};
use crate::routing::Routing;
use crate::settings::{Limits, Settings};
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{Evidence, Labels, Notice, NoticeState, Severity, Timestamp};

/// How a delivery path is doing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PathReport {
    pub path: String,
    pub works: bool,
    /// What was found, or what is missing.
    pub detail: String,
}

/// For `watchfire config check`: every mistake that would keep delivery from starting, and what has no effect, in sentences.
///
/// # Errors
/// What is wrong with the settings.
pub fn check(settings: &Settings) -> Result<Vec<String>, String> {
    let made = table(settings, &Terminal::default())?;
    Ok(made.routing.unused().to_vec())
}

/// For `watchfire notify test` without a running instance: builds every path of the settings and sends a test message over it.
///
/// # Errors
/// When the settings do not make a routing table.
pub async fn test_paths(settings: &Settings, now: Timestamp) -> Result<Vec<PathReport>, String> {
    let (paths, mut reports) = built(settings)?;
    reports.extend(test_all(paths, &settings.limits, &settings.external_url, now).await);
    Ok(reports)
}

/// For `watchfire doctor`: which paths could work, without sending anything.
///
/// # Errors
/// When the settings do not make a routing table.
pub async fn probe_paths(settings: &Settings) -> Result<Vec<PathReport>, String> {
    let (paths, mut reports) = built(settings)?;
    let limit = settings.limits.attempt_timeout;
    let probes: Vec<_> = paths
        .into_iter()
        .map(|(traits, channel)| (traits.name, tokio::spawn(async move { tokio::time::timeout(limit, channel.probe()).await })))
        .collect();
    for (path, probe) in probes {
        let found = match probe.await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(format!("no answer within {} s", limit.as_secs())),
            Err(_) => Err("the channel panicked".to_owned()),
        };
        let works = found.is_ok();
        reports.push(PathReport { path, works, detail: found.unwrap_or_else(|reason| reason) });
    }
    Ok(reports)
}

type Built = Vec<(PathTraits, Arc<dyn Channel>)>;

/// The paths that can be built, and why the others cannot.
fn built(settings: &Settings) -> Result<(Built, Vec<PathReport>), String> {
    let routing = Routing::new(settings)?;
    let terminal = Terminal::default();
    let mut paths = Vec::new();
    let mut broken = Vec::new();
    for receiver in routing.receivers() {
        for kind in &receiver.ignored {
            let detail = format!("{kind} is not supported; this receiver is routed to, and nothing is sent there");
            broken.push(PathReport { path: format!("{}/{kind}", receiver.name), works: false, detail });
        }
        for channel in &receiver.channels {
            match channels::build(&channel.settings, settings, &terminal) {
                Ok(made) => {
                    let traits = PathTraits {
                        name: channel.path.clone(),
                        receiver: receiver.name.clone(),
                        habits: made.habits(),
                        at_least: channel.at_least,
                        send_resolved: channel.send_resolved,
                    };
                    paths.push((traits, made));
                }
                Err(detail) => broken.push(PathReport { path: channel.path.clone(), works: false, detail }),
            }
        }
    }
    Ok((paths, broken))
}

/// All paths at once: a hanging one costs its own time only.
pub(super) async fn test_all(
    paths: Vec<(PathTraits, Arc<dyn Channel>)>,
    limits: &Limits,
    external_url: &str,
    now: Timestamp,
) -> Vec<PathReport> {
    let tasks: Vec<_> = paths
        .into_iter()
        .map(|(traits, channel)| {
            let limit = limits.attempt_timeout;
            let external_url = external_url.to_owned();
            let name = traits.name.clone();
            (name, tokio::spawn(async move { test_one(&traits, channel, limit, &external_url, now).await }))
        })
        .collect();
    let mut reports = Vec::new();
    for (path, task) in tasks {
        let (works, detail) = task.await.unwrap_or_else(|_| (false, "the channel panicked".to_owned()));
        reports.push(PathReport { path, works, detail });
    }
    reports
}

async fn test_one(traits: &PathTraits, channel: Arc<dyn Channel>, limit: Duration, external_url: &str, now: Timestamp) -> (bool, String) {
    let found = match tokio::time::timeout(limit, channel.clone().probe()).await {
        Ok(Ok(found)) => found,
        Ok(Err(reason)) => return (false, reason),
        Err(_) => return (false, format!("no answer within {} s", limit.as_secs())),
    };
    let mut handle = None;
    // Begin and end: a test leaves nothing firing behind.
    for state in [NoticeState::Firing, NoticeState::Resolved] {
        let notice = Notice { state, ..test_notice(now) };
        let alert = MessageAlert {
            group_labels: Labels::empty(),
            notice: Arc::new(notice),
            changed: true,
            told: Some(NoticeState::Firing),
            acknowledged_by: None,
            handle,
            queued_at: now,
        };
        let message = Message {
            key: stable_key(&["test", &traits.name, &now.millis().to_string(), if state == NoticeState::Firing { "1" } else { "2" }]),
            path: traits.name.clone(),
            receiver: traits.receiver.clone(),
            group_key: "test".to_owned(),
            group_labels: Labels::empty(),
            alerts: vec![alert],
            left_out: 0,
            note: None,
            external_url: external_url.to_owned(),
            at: now,
            carried: Duration::ZERO,
        };
        match tokio::time::timeout(limit, channel.clone().deliver(Arc::new(message))).await {
            Err(_) => return (false, format!("no answer within {} s", limit.as_secs())),
            Ok(outcome) => match (outcome.retry, outcome.refused.first(), outcome.delivered.first()) {
                (Some(retry), _, _) => return (false, retry.reason),
                (None, Some((_, reason)), _) => return (false, reason.clone()),
                (None, None, Some((_, id))) => handle = *id,
                (None, None, None) => return (false, "nothing was delivered".to_owned()),
            },
        }
    }
    (true, found)
}

fn test_notice(now: Timestamp) -> Notice {
    Notice {
        fingerprint: stable_key(&["watchfire test notice"]),
        revision: 1,
        state: NoticeState::Firing,
        severity: Severity::Info,
        labels: Labels::from_pairs([("alertname", "WatchfireTest"), ("severity", "info"), ("service", "watchfire")]),
        annotations: Labels::from_pairs([("summary", "This is a test of the notification path; nothing is wrong")]),
        active_at: now,
        starts_at: now,
        ends_at: now.saturating_add(Duration::from_secs(240)),
        generator_url: String::new(),
        cause: None,
        evidence: Evidence { command: "watchfire notify test".to_owned(), ..Evidence::default() },
    }
}
