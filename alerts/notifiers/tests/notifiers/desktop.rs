//! The desktop channel against a real notification service on a private session bus: python3-dbusmock's, started here.
//! Skipped, and said so, where dbus-daemon or python3-dbusmock is not installed.

use crate::{eventually, notice, settings, start};
use parking_lot::Mutex;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use watchfire_model::NoticeState::*;
use watchfire_model::{Labels, Severity};
use watchfire_notifiers::{Protocol, TerminalKind, TerminalSink, probe_paths};
use watchfire_testkit::DesktopSession;

/// Runs one of the client tests below in a process that has this session bus.
fn client(session: &DesktopSession, test: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([&format!("desktop::{test}"), "--exact", "--nocapture", "--test-threads=1"])
        .env("DBUS_SESSION_BUS_ADDRESS", session.address())
        .env("WATCHFIRE_DESKTOP_CLIENT", test)
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    text
}

fn is_client(test: &str) -> bool {
    std::env::var("WATCHFIRE_DESKTOP_CLIENT").is_ok_and(|t| t == test)
}

#[test]
fn a_popup_is_shown_replaced_and_quiet_when_resolved() {
    let Some(mut session) = DesktopSession::start() else { return };
    if !session.serve() {
        return;
    }
    client(&session, "client_fires_and_resolves");
    let popups = session.popups(2);
    assert_eq!(popups.len(), 2, "{popups:?}");
    assert!(popups[0].contains("\"watchfire\" 0 ") && popups[0].contains("[FIRING] A: social-service (critical)"), "{}", popups[0]);
    assert!(popups[0].contains("\"urgency\": 2") || popups[0].contains("'urgency': 2"), "{}", popups[0]);
    assert!(popups[0].trim_end().ends_with(" 0"), "critical does not expire: {}", popups[0]);
    assert!(popups[1].contains("\"watchfire\" 1 ") && popups[1].contains("[RESOLVED] A"), "replaced by its id: {}", popups[1]);
    assert!(popups[1].contains("\"urgency\": 0") || popups[1].contains("'urgency': 0"), "{}", popups[1]);
    let asked = session.calls().iter().filter(|(_, call)| call.contains(" GetCapabilities")).count();
    assert_eq!(asked, 1, "whether the service reads markup is asked once: {:?}", session.calls());
    // The service of the template declares body-markup.
    assert!(popups[0].contains("&lt;b&gt;calls&lt;/b&gt; &amp; fail"), "{}", popups[0]);
    assert!(popups[0].contains("runbook: https://runbooks.example/commerce.md#co-01"), "{}", popups[0]);
}

#[tokio::test]
async fn client_fires_and_resolves() {
    if !is_client("client_fires_and_resolves") {
        return;
    }
    let running = start(settings(""), None);
    let mut firing = notice("A", 1, Firing);
    let runbook = "https://runbooks.example/commerce.md#co-01";
    firing.annotations = Labels::from_pairs([("summary", "<b>calls</b> & fail"), ("runbook_url", runbook)]);
    let begun = Instant::now();
    running.commit(vec![firing]).await;
    eventually("shown", || !running.handle.delivery("fp-A").is_empty()).await;
    assert!(begun.elapsed() < Duration::from_millis(2000), "{:?}", begun.elapsed());
    println!("commit to popup: {:?}", begun.elapsed());
    running.commit(vec![notice("A", 2, Resolved)]).await;
    eventually("replaced", || running.handle.owed() == 0).await;
    let path = running.handle.paths().into_iter().find(|(p, _, _)| p == "desktop").unwrap();
    assert!(path.1, "{path:?}");
    running.stop().await;
}

/// Another service calls other popups by the same numbers, and reads markup as it likes.
#[test]
fn another_service_is_asked_anew_and_nobody_elses_popup_is_replaced() {
    let Some(mut session) = DesktopSession::start() else { return };
    if !session.serve_with(r#"{"capabilities": "body"}"#) {
        return;
    }
    let state = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["desktop::client_meets_two_services", "--exact", "--nocapture", "--test-threads=1"])
        .env("DBUS_SESSION_BUS_ADDRESS", session.address())
        .env("WATCHFIRE_DESKTOP_CLIENT", "client_meets_two_services")
        .env("WATCHFIRE_DESKTOP_STATE", state.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.ends_with("told the first")), "the client has heard of its popup");
    let plain = session.popups(1);
    assert!(plain[0].contains("<b>calls</b> & fail"), "{plain:?}");
    assert!(session.serve_with(r#"{"capabilities": "body body-markup"}"#));
    writeln!(child.stdin.take().unwrap()).unwrap();
    assert!(child.wait().unwrap().success());
    let marked = session.popups(2).pop().unwrap();
    assert!(marked.contains("\"watchfire\" 0 ") && marked.contains("[RESOLVED] A"), "a popup of its own: {marked}");
    assert!(marked.contains("&lt;b&gt;calls&lt;/b&gt; &amp; fail"), "{marked}");
}

/// The journal knows the popup over a restart, as long as the service is the same.
#[test]
fn a_popup_is_replaced_by_whoever_comes_after_a_restart() {
    let Some(mut session) = DesktopSession::start() else { return };
    if !session.serve() {
        return;
    }
    let state = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let mut client = Command::new(std::env::current_exe().unwrap());
        client
            .args(["desktop::client_tells_one_transition", "--exact", "--test-threads=1"])
            .env("DBUS_SESSION_BUS_ADDRESS", session.address())
            .env("WATCHFIRE_DESKTOP_CLIENT", "client_tells_one_transition")
            .env("WATCHFIRE_DESKTOP_STATE", state.path())
            .stdout(Stdio::null());
        assert!(client.status().unwrap().success());
    }
    let popups = session.popups(2);
    assert!(popups[0].contains("\"watchfire\" 0 ") && popups[1].contains("\"watchfire\" 1 "), "{popups:?}");
}

fn state_directory() -> Option<std::path::PathBuf> {
    std::env::var_os("WATCHFIRE_DESKTOP_STATE").map(Into::into)
}

#[tokio::test]
async fn client_tells_one_transition() {
    if !is_client("client_tells_one_transition") {
        return;
    }
    let running = start(settings(""), state_directory().as_deref());
    let known = running.recovered.alert_states.len();
    let next = if known == 0 { notice("A", 1, Firing) } else { notice("A", 2, Resolved) };
    let (handle, state) = (running.handle.clone(), ("A".to_owned(), b"1".to_vec()));
    let tick = watchfire_notifiers::TickRecord { states_changed: vec![state], notices: vec![next], ..Default::default() };
    assert!(tokio::task::spawn_blocking(move || handle.commit(tick)).await.unwrap());
    eventually("shown", || running.handle.owed() == 0).await;
    running.stop().await;
}

#[tokio::test]
async fn client_meets_two_services() {
    if !is_client("client_meets_two_services") {
        return;
    }
    let running = start(settings(""), state_directory().as_deref());
    let words = |mut notice: watchfire_model::Notice| {
        notice.annotations = Labels::from_pairs([("summary", "<b>calls</b> & fail")]);
        notice
    };
    running.commit(vec![words(notice("A", 1, Firing))]).await;
    eventually("shown", || running.handle.owed() == 0).await;
    println!("told the first");
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await.unwrap().unwrap();
    running.commit(vec![words(notice("A", 2, Resolved))]).await;
    eventually("shown by the other", || running.handle.owed() == 0).await;
    running.stop().await;
}

#[test]
fn five_thousand_alerts_are_five_popups_and_one_summary() {
    let Some(mut session) = DesktopSession::start() else { return };
    if !session.serve() {
        return;
    }
    client(&session, "client_storms");
    let popups = session.popups(6);
    let (summaries, single): (Vec<_>, Vec<_>) = popups.iter().partition(|p| p.contains("more firing"));
    assert_eq!(single.len(), 5, "{single:?}");
    assert!(summaries.last().unwrap().contains("4995 more firing"), "{summaries:?}");
    assert!(summaries.len() <= 10 && summaries[1..].iter().all(|s| !s.contains("\"watchfire\" 0 ")), "one popup, replaced: {summaries:?}");
}

#[tokio::test]
async fn client_storms() {
    if !is_client("client_storms") {
        return;
    }
    let running = start(settings(""), None);
    running.commit((0..5000).map(|n| notice(&format!("A{n}"), 1, Firing)).collect()).await;
    let begun = Instant::now();
    while running.handle.owed() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} left", running.handle.owed());
        // What is owed is counted; nobody is told when it is nothing.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.stop().await;
}

#[test]
fn a_service_that_hangs_or_is_absent_falls_back_to_the_terminal_within_its_time() {
    let Some(mut session) = DesktopSession::start() else { return };
    // A bus without a service: looked up, not activated.
    let text = client(&session, "client_without_service");
    assert!(text.contains("fell back in"), "{text}");
    if !session.serve() {
        return;
    }
    session.signal("-STOP");
    let text = client(&session, "client_with_hanging_service");
    session.signal("-CONT");
    assert!(text.contains("no answer within 2 s"), "{text}");
}

#[derive(Default)]
struct Recorded(Mutex<Vec<u8>>);

impl TerminalSink for Recorded {
    fn write(&self, bytes: &[u8]) -> bool {
        self.0.lock().extend_from_slice(bytes);
        true
    }
}

#[tokio::test]
async fn client_without_service() {
    if !is_client("client_without_service") {
        return;
    }
    let running = start(settings(""), None);
    let sink = Arc::new(Recorded::default());
    let terminal = || running.handle.paths().into_iter().find(|(path, ..)| path == "terminal");
    eventually("looked for a terminal", || terminal().is_some_and(|(_, works, why)| !works && why.contains("no terminal"))).await;
    running.handle.attach_terminal(sink.clone(), TerminalKind { protocol: Protocol::Osc777, multiplexer: Default::default() });
    // The first minute must not say that nothing would be heard.
    eventually("saw the terminal", || terminal().is_some_and(|(_, works, _)| works)).await;
    let begun = Instant::now();
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("told the terminal", || running.handle.owed() == 0).await;
    println!("fell back in {:?}", begun.elapsed());
    let bytes = sink.0.lock().clone();
    assert!(bytes.starts_with(b"\x1b]777;notify;[FIRING] A"), "{:?}", String::from_utf8_lossy(&bytes));
    running.stop().await;
}

#[tokio::test]
async fn client_with_hanging_service() {
    if !is_client("client_with_hanging_service") {
        return;
    }
    let running = start(settings(""), None);
    let begun = Instant::now();
    assert!(running.commit(vec![]).await || begun.elapsed() < Duration::from_millis(100));
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("said why", || running.handle.paths().iter().any(|(p, works, why)| p == "desktop" && !works && why.contains("no answer")))
        .await;
    println!("{:?}", running.handle.paths());
    running.cancel.cancel();
}

#[tokio::test]
async fn without_a_bus_the_reason_is_said() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["desktop::client_without_bus", "--exact", "--nocapture"])
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env_remove("XDG_RUNTIME_DIR")
        .env("WATCHFIRE_DESKTOP_CLIENT", "client_without_bus")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn client_without_bus() {
    if !is_client("client_without_bus") {
        return;
    }
    let reports = probe_paths(&settings("")).await.unwrap();
    let desktop = reports.iter().find(|r| r.path == "desktop").unwrap();
    assert!(!desktop.works && desktop.detail.contains("no D-Bus session bus"), "{desktop:?}");
    // A severity that nobody routes elsewhere must not be lost while nothing works.
    let running = start(settings(""), None);
    let mut quiet = notice("A", 1, Firing);
    quiet.severity = Severity::Info;
    running.commit(vec![quiet]).await;
    assert_eq!(running.handle.owed(), 1);
    running.cancel.cancel();
}
