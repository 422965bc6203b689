//! From a fault to a popup and to its end, in real time: the real program against a real notification service (python3-dbusmock's) on a session
//! bus of its own. Skipped, and said so, where dbus-daemon or python3-dbusmock is not installed.

use crate::instance::Watchfire;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One row of each document: platform, scenario, and what the popup says.
const ROWS: [(&str, &str, &str); 5] = [
    ("clientnest", "queue_backlog", "QueueBacklog: queue-service"),
    ("mediacms", "replication_lag", "HighReplicationLag: content-service"),
    ("commerce", "resource_pressure", "ResourceEfficiencyMissed"),
    ("playnite", "database_check_fails", "DependencyUnhealthy"),
    ("sunday", "kafka_silence", "ConsumerGroupSilent: collaboration-service"),
];
/// Scenarios last some 75 s; the rest is for loaded machines.
const PATIENCE: Duration = Duration::from_secs(240);

struct Session {
    bus: Child,
    daemon: Option<Child>,
    address: String,
    /// What the service printed, each line with the time since the start.
    said: Arc<Mutex<Vec<(Duration, String)>>>,
    begun: Instant,
}

impl Session {
    fn start() -> Option<Session> {
        let bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut bus = match bus {
            Ok(bus) => bus,
            Err(e) => {
                println!("skipped: dbus-daemon: {e} (Debian package dbus)");
                return None;
            }
        };
        let mut address = String::new();
        let stdout = bus.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut address).expect("an address");
        let address = address.trim().to_owned();
        let mut session = Session { bus, daemon: None, address, said: Arc::default(), begun: Instant::now() };
        session.serve().then_some(session)
    }

    /// Starts the notification service; false, and said so, where it is not installed.
    fn serve(&mut self) -> bool {
        let mut daemon = Command::new("/usr/bin/python3")
            .args(["-u", "-m", "dbusmock", "--session", "--template", "notification_daemon"])
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python starts");
        let stdout = BufReader::new(daemon.stdout.take().expect("stdout is piped"));
        let (said, begun) = (self.said.clone(), self.begun);
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                said.lock().unwrap_or_else(PoisonError::into_inner).push((begun.elapsed(), line));
            }
        });
        while !self.has_service() {
            if daemon.try_wait().is_ok_and(|ended| ended.is_some()) || self.begun.elapsed() > Duration::from_secs(20) {
                println!("skipped: python3-dbusmock does not start (Debian package python3-dbusmock)");
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.daemon = Some(daemon);
        true
    }

    fn has_service(&self) -> bool {
        let output = Command::new("dbus-send")
            .args(["--session", "--print-reply", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus"])
            .args(["org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.Notifications"])
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .output();
        output.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("boolean true"))
    }

    /// When a popup with this text was first shown.
    fn shown(&self, text: &str) -> Option<Duration> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.iter().find(|(_, line)| line.contains(" Notify ") && line.contains(text)).map(|(at, _)| *at)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for child in self.daemon.iter_mut().chain([&mut self.bus]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn a_fault_on_each_platform_pops_up_and_its_end_too() {
    let Some(session) = Session::start() else { return };
    let running: Vec<Watchfire> = ROWS.map(|(platform, scenario, _)| Watchfire::demo(platform, scenario, &session.address)).into();
    let mut waiting: Vec<String> =
        ROWS.iter().flat_map(|(_, _, what)| [format!("[FIRING] {what}"), format!("[RESOLVED] {what}")]).collect();
    while !waiting.is_empty() {
        waiting.retain(|text| match session.shown(text) {
            Some(at) => {
                println!("{text} after {:.1} s", at.as_secs_f64());
                false
            }
            None => true,
        });
        assert!(session.begun.elapsed() < PATIENCE, "never shown: {waiting:?}; said: {:#?}", session.said);
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(running);
}
