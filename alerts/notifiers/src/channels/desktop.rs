//! The desktop, through the freedesktop notification service on the session bus (specification 1.1).
//!
//! The service's owner is looked up without activating one, calls are bounded by two seconds, a popup is replaced when its alert changes or
//! resolves, and at most a few appear per minute: the rest is one summary popup. Without a service the terminal is told instead.

use super::terminal::{Terminal, TerminalChannel, TerminalSettings, urgency};
use super::{Channel, Delivery, Habits, Outcome, Probe, Retry};
use crate::message::{Message, MessageAlert, alert_text, stable_key};
use notify_rust::{Hint, Notification, Timeout, Urgency};
use parking_lot::Mutex;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use watchfire_model::{NoticeState, harmless_limited};

const SERVICE: &str = "org.freedesktop.Notifications";
/// No call to the bus takes longer.
const CALL: Duration = Duration::from_secs(2);
/// A missing service is looked for again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The summary popup changes at most this often.
const SUMMARY_PACE: Duration = Duration::from_secs(5);
/// Replacements disturb less than new popups, and are bounded too: this many per popup allowed.
const REPLACEMENTS: u32 = 4;
/// Characters of a body.
const BODY: usize = 512;

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DesktopSettings {
    /// Tell the attached terminal where there is no notification service.
    pub terminal_fallback: bool,
}

impl Default for DesktopSettings {
    fn default() -> Self {
        DesktopSettings { terminal_fallback: true }
    }
}

pub struct Desktop {
    popups_per_minute: u32,
    fallback: Option<TerminalChannel>,
    state: Mutex<PopupState>,
}

#[derive(Default)]
struct PopupState {
    /// The service that was asked last, and whether it reads markup.
    service: Option<(Service, bool)>,
    popups: Vec<Instant>,
    replacements: Vec<Instant>,
    summary: Option<u32>,
    /// Alerts that only the summary shows.
    summarised: BTreeSet<String>,
    summary_at: Option<Instant>,
}

impl Desktop {
    pub fn new(settings: &DesktopSettings, popups_per_minute: u32, terminal: Terminal) -> Self {
        let fallback = settings.terminal_fallback.then(|| TerminalChannel::new(&TerminalSettings::default(), terminal));
        Desktop { popups_per_minute: popups_per_minute.max(1), fallback, state: Mutex::new(PopupState::default()) }
    }

    async fn send(&self, message: &Message) -> Outcome {
        let service = match service_is_there().await {
            Ok(service) => service,
            Err(reason) => {
                if self.fallback.as_ref().is_some_and(|f| f.show(message)) {
                    return Outcome::all(message);
                }
                return Outcome { retry: Some(Retry { reason, after: Some(LOOK_AGAIN) }), ..Outcome::default() };
            }
        };
        let mut outcome = Outcome::default();
        let markup = match self.has_markup(service).await {
            Ok(markup) => markup,
            Err(reason) => return failed(outcome, reason),
        };
        if let Some(note) = &message.note {
            let popup = popup(&note.title, &note.body(), markup, 0, None);
            return match show(popup).await {
                Ok(_) => outcome,
                Err(reason) => failed(outcome, reason),
            };
        }
        let mut folded: Vec<&MessageAlert> = Vec::new();
        for alert in message.alerts.iter().filter(|a| a.changed) {
            // What another service called a popup, this one may call somebody else's.
            let replaces = alert.handle.and_then(|handle| service.popup(handle));
            if !self.may_show(alert, replaces.is_some()) {
                folded.push(alert);
                continue;
            }
            let text = alert_text(alert);
            let loud = if alert.notice.state == NoticeState::Resolved { 0 } else { urgency(alert.notice.severity) };
            match show(popup(&text.title, &text.body(), markup, loud, replaces)).await {
                Ok(id) => {
                    self.state.lock().summarised.remove(&alert.notice.fingerprint);
                    outcome.delivered.push((alert.notice.fingerprint.clone(), Some(service.handle(id))));
                }
                Err(reason) => return failed(outcome, reason),
            }
        }
        if !folded.is_empty() {
            if let Err(reason) = self.summarise(&folded, markup).await {
                return failed(outcome, reason);
            }
            outcome.delivered.extend(folded.iter().map(|a| (a.notice.fingerprint.clone(), None)));
        }
        let seen: BTreeSet<String> = outcome.delivered.iter().map(|(f, _)| f.clone()).collect();
        outcome
            .delivered
            .extend(message.alerts.iter().filter(|a| !seen.contains(&a.notice.fingerprint)).map(|a| (a.notice.fingerprint.clone(), None)));
        outcome
    }

    /// Counts a popup against this minute; false when it has to go into the summary.
    fn may_show(&self, alert: &MessageAlert, replaces: bool) -> bool {
        let mut state = self.state.lock();
        if state.summarised.contains(&alert.notice.fingerprint) && alert.notice.state == NoticeState::Resolved {
            return false;
        }
        let now = Instant::now();
        let limit = if replaces { self.popups_per_minute.saturating_mul(REPLACEMENTS) } else { self.popups_per_minute };
        let shown = if replaces { &mut state.replacements } else { &mut state.popups };
        shown.retain(|at| now.duration_since(*at) < Duration::from_secs(60));
        let room = shown.len() < limit as usize;
        if room {
            shown.push(now);
        }
        room
    }

    async fn summarise(&self, folded: &[&MessageAlert], markup: bool) -> Result<(), String> {
        let (wait, replaces) = {
            let mut state = self.state.lock();
            for alert in folded {
                let fingerprint = alert.notice.fingerprint.clone();
                match alert.notice.state {
                    NoticeState::Firing => state.summarised.insert(fingerprint),
                    NoticeState::Resolved => state.summarised.remove(&fingerprint),
                };
            }
            (state.summary_at.map(|at| SUMMARY_PACE.saturating_sub(at.elapsed())).unwrap_or_default(), state.summary)
        };
        tokio::time::sleep(wait).await;
        let firing = self.state.lock().summarised.len();
        let resolved = folded.iter().filter(|a| a.notice.state == NoticeState::Resolved).count();
        let (title, loud) = match (firing, resolved) {
            (0, resolved) => (format!("{resolved} more resolved"), 0),
            (firing, 0) => (format!("{firing} more firing"), 2),
            (firing, resolved) => (format!("{firing} more firing, {resolved} resolved"), 2),
        };
        let mut names: Vec<String> = folded.iter().map(|a| alert_text(a).title).take(5).collect();
        if folded.len() > names.len() {
            names.push(format!("... and {} more", folded.len() - names.len()));
        }
        let id = show(popup(&title, &names.join("\n"), markup, loud, replaces)).await?;
        let mut state = self.state.lock();
        state.summary = Some(id);
        state.summary_at = Some(Instant::now());
        Ok(())
    }

    /// Asked once per service.
    async fn has_markup(&self, service: Service) -> Result<bool, String> {
        if let Some((_, markup)) = self.state.lock().service.filter(|(known, _)| *known == service) {
            return Ok(markup);
        }
        let capabilities: Vec<String> = bounded(async {
            let connection = zbus::Connection::session().await?;
            let answer =
                connection.call_method(Some(SERVICE), "/org/freedesktop/Notifications", Some(SERVICE), "GetCapabilities", &()).await?;
            answer.body().deserialize()
        })
        .await?;
        let markup = capabilities.iter().any(|c| c == "body-markup");
        let mut state = self.state.lock();
        // The summary of a service before this one went with it.
        state.summary = state.summary.filter(|_| state.service.is_none_or(|(known, _)| known == service));
        state.service = Some((service, markup));
        Ok(markup)
    }
}

/// One notification service on one bus, in a number: it comes again with another one, and so does the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Service(u32);

impl Service {
    fn new(bus: &str, owner: &str) -> Self {
        let digits = stable_key(&["notification service", bus, owner]);
        // The last digits: what ends a name does not reach the first ones.
        Service(digits.get(24..).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or_default().max(1))
    }

    /// A popup of this service, as it is remembered.
    fn handle(self, popup: u32) -> u64 {
        u64::from(self.0) << 32 | u64::from(popup)
    }

    /// What this service calls the popup, where it is its own.
    fn popup(self, handle: u64) -> Option<u32> {
        (handle >> 32 == u64::from(self.0)).then_some(handle as u32)
    }
}

impl Channel for Desktop {
    fn habits(&self) -> Habits {
        Habits { immediate: true, keeps_open: true, ..Habits::default() }
    }

    fn deliver(self: Arc<Self>, message: Arc<Message>) -> Delivery {
        Box::pin(async move { self.send(&message).await })
    }

    fn says(&self, message: &Message) -> Vec<String> {
        let texts = message.alerts.iter().filter(|a| a.changed).map(alert_text);
        texts
            .chain(message.note.clone())
            .map(|text| popup(&text.title, &text.body(), false, 0, None))
            .map(|p| format!("{}\n{}", p.summary, p.body))
            .collect()
    }

    fn probe(self: Arc<Self>) -> Probe {
        Box::pin(async move {
            match service_is_there().await {
                Ok(_) => Ok(format!("notification service {SERVICE}")),
                Err(reason) => match self.fallback.as_ref().map(|f| f.attached()) {
                    Some(true) => Ok(format!("through the terminal, because {reason}")),
                    _ => Err(reason),
                },
            }
        })
    }
}

fn failed(outcome: Outcome, reason: String) -> Outcome {
    Outcome { retry: Some(Retry { reason, after: None }), ..outcome }
}

/// Looks the owner of the service up without making the bus start one: that would block for 25 seconds where none is installed.
async fn service_is_there() -> Result<Service, String> {
    let bus_is_named = std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some_and(|v| !v.is_empty());
    let bus_is_there = std::env::var_os("XDG_RUNTIME_DIR").is_some_and(|d| std::path::Path::new(&d).join("bus").exists());
    if !bus_is_named && !bus_is_there {
        return Err("there is no D-Bus session bus (DBUS_SESSION_BUS_ADDRESS is not set)".to_owned());
    }
    let lookup = async {
        let connection = zbus::Connection::session().await?;
        let bus = zbus::fdo::DBusProxy::new(&connection).await?;
        let name = zbus::names::BusName::try_from(SERVICE)?;
        match bus.get_name_owner(name).await {
            Ok(owner) => Ok::<_, zbus::Error>(Some(Service::new(bus.get_id().await?.as_str(), owner.as_str()))),
            Err(zbus::fdo::Error::NameHasNoOwner(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    };
    match bounded(lookup).await {
        Ok(Some(service)) => Ok(service),
        Ok(None) => Err(format!("no notification daemon owns {SERVICE} on the session bus")),
        Err(reason) => Err(reason),
    }
}

/// Runs a call with a limit; a panic inside it is its failure, not ours.
async fn bounded<T: Send + 'static, E: std::fmt::Display + Send + 'static>(
    call: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, String> {
    let task = tokio::spawn(call);
    let abort = task.abort_handle();
    match tokio::time::timeout(CALL, task).await {
        Ok(Ok(Ok(value))) => Ok(value),
        Ok(Ok(Err(error))) => Err(format!("D-Bus: {}", harmless_limited(&error.to_string(), 200))),
        Ok(Err(_)) => Err("D-Bus: the client library panicked".to_owned()),
        Err(_) => {
            abort.abort();
            Err(format!("D-Bus: no answer within {} s", CALL.as_secs()))
        }
    }
}

async fn show(popup: Notification) -> Result<u32, String> {
    bounded(async move { popup.show_async().await.map(|handle| handle.id()) }).await
}

/// The specification's mapping: critical stays until dismissed, what is over may vanish.
fn popup(title: &str, body: &str, markup: bool, loud: u8, replaces: Option<u32>) -> Notification {
    let body = on_the_bus(body, markup);
    let mut popup = Notification::new();
    popup
        .appname("watchfire")
        .summary(title)
        .body(&body)
        .hint(Hint::Category("x-watchfire.alert".to_owned()))
        .urgency(match loud {
            2 => Urgency::Critical,
            1 => Urgency::Normal,
            _ => Urgency::Low,
        })
        .timeout(if loud == 2 { Timeout::Never } else { Timeout::Default });
    if let Some(id) = replaces {
        popup.id(id);
    }
    popup
}

/// A body as the service gets it: without markup of its own, and bounded as it is sent. Its lines were made harmless one by one.
fn on_the_bus(body: &str, markup: bool) -> String {
    let sent = |c: char| match c {
        '&' if markup => "&amp;".to_owned(),
        '<' if markup => "&lt;".to_owned(),
        '>' if markup => "&gt;".to_owned(),
        c => c.to_string(),
    };
    // What is escaped has one character for each of its bytes.
    let length = |c: char| if c.is_ascii() { sent(c).len() } else { 1 };
    if body.chars().map(length).sum::<usize>() <= BODY {
        return body.chars().map(sent).collect();
    }
    let mut room = BODY - 1;
    let fits = |c: &char| {
        let left = room.checked_sub(length(*c));
        room = left.unwrap_or(room);
        left.is_some()
    };
    body.chars().take_while(fits).map(sent).chain(["…".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_whose_names_differ_in_their_last_digit_are_two() {
        let known: std::collections::BTreeSet<u32> = (0..100).map(|n| Service::new("bus", &format!(":1.{n}")).0).collect();
        assert_eq!(known.len(), 100);
    }

    #[test]
    fn markup_is_escaped_only_where_the_service_reads_markup() {
        let text = "<b>bold</b> & <a href=x";
        assert_eq!(popup("<i>", text, true, 2, None).body, "&lt;b&gt;bold&lt;/b&gt; &amp; &lt;a href=x");
        assert_eq!(popup("<i>", text, false, 2, None).body, text);
        assert_eq!(popup("<i>", text, true, 2, None).summary, "<i>");
    }

    #[test]
    fn a_long_body_is_cut() {
        for text in ["x", "é", "<", "&", "a<b>&c"] {
            for markup in [true, false] {
                let body = popup("t", &text.repeat(2000), markup, 0, None).body;
                let count = body.chars().count();
                assert!(count <= BODY && count > BODY - 6, "{text}: {count}");
                let whole = body.trim_end_matches('…');
                assert!(
                    !markup || whole.replace("&lt;", "").replace("&gt;", "").replace("&amp;", "").find(['&', '<', '>']).is_none(),
                    "{whole}"
                );
            }
        }
        assert_eq!(popup("t", &"<".repeat(128), true, 0, None).body, "&lt;".repeat(128), "what just fits is whole");
    }

    #[test]
    fn loudness_decides_how_long_a_popup_stays() {
        assert_eq!(popup("t", "", false, 2, None).timeout, Timeout::Never);
        assert_eq!(popup("t", "", false, 0, None).timeout, Timeout::Default);
    }
}
