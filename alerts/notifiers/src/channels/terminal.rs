//! Notifications through the terminal itself: OSC 99 (kitty), OSC 777 (urxvt), OSC 9 (iTerm2), or the bell. The user interface owns the
//! terminal, so this file only makes the bytes and hands them to a [`TerminalSink`].

use super::{Channel, Delivery, Failure, Habits, Outcome, Probe};
use crate::message::{Message, MessageAlert, alert_text};
use base64::Engine;
use parking_lot::RwLock;
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{Notice, NoticeState, Severity, Timestamp};

/// Bytes of text in one sequence.
const TEXT_BYTES: usize = 256;
/// GNU screen passes strings of at most this length.
const SCREEN_BYTES: usize = 768;
/// Sequences come at least this far apart; more alerts become one line.
const APART: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TerminalSettings {
    /// Instead of what the environment suggests.
    pub protocol: Option<Protocol>,
}

/// What the terminal understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Osc99,
    Osc777,
    Osc9,
    Bell,
}

/// What stands between watchfire and the terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Multiplexer {
    #[default]
    None,
    Tmux,
    Screen,
}

/// A terminal, as far as notifications go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalKind {
    pub protocol: Protocol,
    pub multiplexer: Multiplexer,
}

impl TerminalKind {
    /// From the environment. `TERM_PROGRAM` does not cross SSH; then `TERM` decides, and what is not known gets the bell.
    pub fn detect(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).is_some_and(|v| !v.is_empty());
        let term = variable("TERM").unwrap_or_default();
        let program = variable("TERM_PROGRAM").unwrap_or_default();
        let multiplexer = if set("TMUX") {
            Multiplexer::Tmux
        } else if set("STY") {
            Multiplexer::Screen
        } else {
            Multiplexer::None
        };
        let protocol = if set("KITTY_WINDOW_ID") || term == "xterm-kitty" || program == "vscode" {
            Protocol::Osc99
        } else if term.starts_with("foot")
            || program == "ghostty"
            || program == "WezTerm"
            || set("KONSOLE_VERSION")
            || term.starts_with("rxvt")
        {
            Protocol::Osc777
        } else if program == "iTerm.app" || program == "zed" {
            Protocol::Osc9
        } else {
            Protocol::Bell
        };
        TerminalKind { protocol, multiplexer }
    }
}

/// Writes bytes to the terminal in one piece, outside of any frame. Returns false when there is no terminal any more.
pub trait TerminalSink: Send + Sync {
    fn write(&self, bytes: &[u8]) -> bool;
}

/// The attached terminal, if any; clones share it.
#[derive(Clone, Default)]
pub struct Terminal(Arc<RwLock<Option<Attached>>>);

type Attached = (Arc<dyn TerminalSink>, TerminalKind);

impl Terminal {
    pub fn attach(&self, sink: Arc<dyn TerminalSink>, kind: TerminalKind) {
        *self.0.write() = Some((sink, kind));
    }

    pub fn detach(&self) {
        *self.0.write() = None;
    }

    pub fn kind(&self) -> Option<TerminalKind> {
        self.0.read().as_ref().map(|(_, kind)| *kind)
    }

    fn write(&self, make: impl FnOnce(&TerminalKind) -> Vec<u8>) -> bool {
        let attached = self.0.read().clone();
        attached.is_some_and(|(sink, kind)| sink.write(&make(&kind)))
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Terminal({:?})", self.kind())
    }
}

/// The bytes that tell this terminal about this notice.
pub fn sequence(notice: &Notice, kind: &TerminalKind) -> Vec<u8> {
    let alert = MessageAlert {
        group_labels: watchfire_model::Labels::empty(),
        notice: Arc::new(notice.clone()),
        changed: true,
        told: Some(NoticeState::Firing),
        acknowledged_by: None,
        handle: None,
        queued_at: Timestamp::default(),
    };
    let text = alert_text(&alert);
    let urgency = if notice.state == NoticeState::Resolved { 0 } else { urgency(notice.severity) };
    bytes(&format!("wf-{}", notice.fingerprint), &text.title, &text.body(), urgency, kind)
}

/// 0 low, 1 normal, 2 critical: the same scale on D-Bus and in OSC 99.
pub(super) fn urgency(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 2,
        Severity::High | Severity::Security | Severity::Warning | Severity::Normal => 1,
        Severity::Low | Severity::Info => 0,
    }
}

fn bytes(id: &str, title: &str, body: &str, urgency: u8, kind: &TerminalKind) -> Vec<u8> {
    let title = plain(title, TEXT_BYTES / 2);
    let body = plain(body, TEXT_BYTES - title.len());
    let unsplit = |text: &str| text.replace(';', ",");
    let out = match kind.protocol {
        Protocol::Bell => return b"\x07".to_vec(),
        Protocol::Osc9 => format!("\x1b]9;{}\x1b\\", unsplit(&format!("{title} {body}"))),
        Protocol::Osc777 => format!("\x1b]777;notify;{};{}\x1b\\", unsplit(&title), unsplit(&body)),
        Protocol::Osc99 => {
            let id: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '.' | '-')).take(64).collect();
            let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
            let expiry = if urgency == 2 { 0 } else { -1 };
            // One string per pass of a multiplexer: each chunk is wrapped by itself.
            let first = format!("\x1b]99;i={id}:d=0:e=1:u={urgency}:w={expiry}:p=title;{}\x1b\\", encode(&title));
            let second = format!("\x1b]99;i={id}:d=1:e=1:p=body;{}\x1b\\", encode(&body));
            let mut out = wrap(&first, kind.multiplexer);
            out.extend(wrap(&second, kind.multiplexer));
            return with_bell(out, kind.multiplexer);
        }
    };
    with_bell(wrap(&out, kind.multiplexer), kind.multiplexer)
}

/// A multiplexer that does not pass sequences on still marks the window on a bell.
fn with_bell(mut out: Vec<u8>, multiplexer: Multiplexer) -> Vec<u8> {
    if multiplexer != Multiplexer::None {
        out.push(7);
    }
    out
}

fn wrap(sequence: &str, multiplexer: Multiplexer) -> Vec<u8> {
    match multiplexer {
        Multiplexer::None => sequence.as_bytes().to_vec(),
        Multiplexer::Tmux => format!("\x1bPtmux;{}\x1b\\", sequence.replace('\x1b', "\x1b\x1b")).into_bytes(),
        // The terminator of the inner string would end the outer one; the old BEL terminator does not.
        Multiplexer::Screen => {
            let inner = sequence.strip_suffix("\x1b\\").unwrap_or(sequence);
            let wrapped = format!("\x1bP{inner}\x07\x1b\\").into_bytes();
            if wrapped.len() <= SCREEN_BYTES { wrapped } else { Vec::new() }
        }
    }
}

/// One line without control characters, cut to a number of bytes.
fn plain(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for c in text.chars().map(|c| if c == '\n' { ' ' } else { c }).filter(|c| !c.is_control()) {
        if out.len() + c.len_utf8() > limit {
            break;
        }
        out.push(c);
    }
    out
}

/// The channel over an attached terminal.
pub struct TerminalChannel {
    protocol: Option<Protocol>,
    terminal: Terminal,
}

impl TerminalChannel {
    pub fn new(settings: &TerminalSettings, terminal: Terminal) -> Self {
        TerminalChannel { protocol: settings.protocol, terminal }
    }

    pub(super) fn attached(&self) -> bool {
        self.terminal.kind().is_some()
    }

    /// One sequence per message: a page names its alert, several are counted.
    pub(super) fn show(&self, message: &Message) -> bool {
        let text = brief(message);
        let title = message.title();
        let id = message.alerts.first().map_or_else(|| "wf-note".to_owned(), |a| format!("wf-{}", a.notice.fingerprint));
        let urgency = if message.state() == NoticeState::Resolved { 0 } else { urgency(message.severity()) };
        self.terminal.write(|kind| {
            let kind = TerminalKind { protocol: self.protocol.unwrap_or(kind.protocol), ..*kind };
            bytes(&id, &title, &text, urgency, &kind)
        })
    }
}

/// All of one alert, the titles of several.
fn brief(message: &Message) -> String {
    match message.alerts.as_slice() {
        [only] => alert_text(only).body(),
        _ => message.texts().iter().map(|t| t.title.clone()).collect::<Vec<_>>().join(", "),
    }
}

impl Channel for TerminalChannel {
    fn habits(&self) -> Habits {
        Habits { immediate: true, ..Habits::default() }
    }

    fn deliver(self: Arc<Self>, message: Arc<Message>) -> Delivery {
        Box::pin(async move {
            if !self.show(&message) {
                return Outcome::of(&message, Err(Failure::retry("no terminal is attached")));
            }
            // Ghostty and others drop what follows within a second.
            tokio::time::sleep(APART).await;
            Outcome::all(&message)
        })
    }

    fn says(&self, message: &Message) -> Vec<String> {
        vec![format!("{}\n{}", message.title(), brief(message))]
    }

    fn probe(self: Arc<Self>) -> Probe {
        Box::pin(async move {
            let kind = self.terminal.kind().ok_or("no terminal is attached")?;
            let how = match self.protocol.unwrap_or(kind.protocol) {
                Protocol::Osc99 => "popups (OSC 99)",
                Protocol::Osc777 => "popups (OSC 777)",
                Protocol::Osc9 => "popups (OSC 9)",
                Protocol::Bell => "the bell",
            };
            Ok(match kind.multiplexer {
                Multiplexer::None => how.to_owned(),
                Multiplexer::Tmux => format!("{how}, through tmux"),
                Multiplexer::Screen => format!("{how}, through screen"),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::notice;

    fn kind(protocol: Protocol, multiplexer: Multiplexer) -> TerminalKind {
        TerminalKind { protocol, multiplexer }
    }

    #[test]
    fn the_environment_decides_which_sequence_is_used() {
        for (environment, protocol, multiplexer) in [
            (&[("TERM", "xterm-kitty")][..], Protocol::Osc99, Multiplexer::None),
            (&[("TERM", "foot-extra")], Protocol::Osc777, Multiplexer::None),
            (&[("TERM_PROGRAM", "ghostty")], Protocol::Osc777, Multiplexer::None),
            (&[("TERM_PROGRAM", "iTerm.app")], Protocol::Osc9, Multiplexer::None),
            (&[("TERM", "xterm-256color"), ("VTE_VERSION", "7600")], Protocol::Bell, Multiplexer::None),
            (&[("TMUX", "/tmp/tmux"), ("KITTY_WINDOW_ID", "1")], Protocol::Osc99, Multiplexer::Tmux),
            (&[("STY", "1.x"), ("TERM", "screen")], Protocol::Bell, Multiplexer::Screen),
        ] {
            let found = TerminalKind::detect(&|name| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()));
            assert_eq!(found, kind(protocol, multiplexer), "{environment:?}");
        }
    }

    #[test]
    fn only_our_own_escape_characters_reach_the_terminal() {
        let mut hostile = notice("A;B\u{1b}\\\u{7}\u{9c}", NoticeState::Firing);
        hostile.annotations = watchfire_model::Labels::from_pairs([("summary", "x\u{1b}]52;c;AAAA\u{7};".repeat(50))]);
        for (protocol, separators) in [(Protocol::Osc9, 1), (Protocol::Osc777, 3)] {
            let text = String::from_utf8(sequence(&hostile, &kind(protocol, Multiplexer::None))).unwrap();
            assert_eq!(text.matches('\x1b').count(), 2, "{text:?}");
            assert!(text.ends_with("\x1b\\") && !text.contains('\x07'));
            assert_eq!(text.matches(';').count(), separators, "{text:?}");
            assert!(text.len() <= TEXT_BYTES + 32);
        }
    }

    #[test]
    fn osc_99_carries_id_urgency_and_encoded_text() {
        let text = String::from_utf8(sequence(&notice("Down", NoticeState::Firing), &kind(Protocol::Osc99, Multiplexer::None))).unwrap();
        let title = base64::engine::general_purpose::STANDARD.encode("[FIRING] Down: social-service (critical)");
        assert!(text.contains(":u=2:w=0:p=title;") && text.contains(&title), "{text:?}");
        let resolved =
            String::from_utf8(sequence(&notice("Down", NoticeState::Resolved), &kind(Protocol::Osc99, Multiplexer::None))).unwrap();
        let id = |t: &str| t[5..].split(':').next().map(str::to_owned);
        assert_eq!(id(&text), id(&resolved));
        assert!(resolved.contains(":u=0:"));
    }

    #[test]
    fn tmux_gets_doubled_escapes_and_a_bell() {
        let text = String::from_utf8(sequence(&notice("Down", NoticeState::Firing), &kind(Protocol::Osc9, Multiplexer::Tmux))).unwrap();
        assert!(text.starts_with("\x1bPtmux;\x1b\x1b]9;") && text.ends_with("\x1b\x1b\\\x1b\\\x07"), "{text:?}");
    }
}
