//! A desktop without a screen: a session bus of its own and a real notification service on it, python3-dbusmock's.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The bus and, once [`serve`](Self::serve) was called, the service. Both end with it.
pub struct DesktopSession {
    bus: Child,
    service: Option<Child>,
    address: String,
    said: Arc<Said>,
    begun: Instant,
}

/// What the service printed, each line with the time since the start.
#[derive(Default)]
struct Said {
    lines: Mutex<Vec<(Duration, String)>>,
    more: Condvar,
}

impl Said {
    fn lines(&self) -> MutexGuard<'_, Vec<(Duration, String)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DesktopSession {
    /// Starts the bus alone. `None`, and said so, where it is not installed.
    pub fn start() -> Option<DesktopSession> {
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
        Some(DesktopSession { bus, service: None, address, said: Arc::default(), begun: Instant::now() })
    }

    /// Starts the notification service and waits until it has its name; false, and said so, where it is not installed.
    pub fn serve(&mut self) -> bool {
        self.serve_with("{}")
    }

    /// As [`serve`](Self::serve), with parameters of dbusmock's template as JSON. A service that runs is ended first.
    pub fn serve_with(&mut self, parameters: &str) -> bool {
        if let Some(mut before) = self.service.take() {
            let _ = before.kill();
            let _ = before.wait();
            while self.has_service() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let mut service = Command::new("/usr/bin/python3")
            .args(["-u", "-m", "dbusmock", "--session", "--template", "notification_daemon", "-p", parameters])
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python starts");
        let stdout = BufReader::new(service.stdout.take().expect("stdout is piped"));
        let (said, begun) = (self.said.clone(), self.begun);
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                said.lines().push((begun.elapsed(), line));
                said.more.notify_all();
            }
        });
        let waiting = Instant::now();
        while !self.has_service() {
            if service.try_wait().is_ok_and(|ended| ended.is_some()) || waiting.elapsed() > Duration::from_secs(20) {
                println!("skipped: python3-dbusmock does not start (Debian package python3-dbusmock)");
                return false;
            }
            // The bus is asked again: what tells of names is a client library, which the tests' subject brings and this does not.
            std::thread::sleep(Duration::from_millis(50));
        }
        self.service = Some(service);
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

    /// What `DBUS_SESSION_BUS_ADDRESS` is for clients.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Sends the service a signal, such as `-STOP`.
    ///
    /// # Panics
    /// Without a service.
    pub fn signal(&self, name: &str) {
        let pid = self.service.as_ref().expect("a service").id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().is_ok_and(|s| s.success()));
    }

    /// The calls that the service saw, each with the time since the start. A call begins with a time, and the bodies of popups have lines.
    pub fn calls(&self) -> Vec<(Duration, String)> {
        Self::calls_in(&self.said.lines())
    }

    fn calls_in(lines: &[(Duration, String)]) -> Vec<(Duration, String)> {
        let mut calls: Vec<(Duration, String)> = Vec::new();
        for (at, line) in lines {
            let starts = line.split_once(' ').is_some_and(|(time, _)| time.parse::<f64>().is_ok());
            match calls.last_mut() {
                Some((_, last)) if !starts => last.push_str(line),
                _ => calls.push((*at, line.clone())),
            }
        }
        calls
    }

    /// The `Notify` calls, waiting up to ten seconds for so many.
    pub fn popups(&self, at_least: usize) -> Vec<String> {
        let popups = self.popups_until(Duration::from_secs(10), |popups| popups.len() >= at_least);
        popups.into_iter().map(|(_, call)| call).collect()
    }

    /// The `Notify` calls, each with the time since the start, as soon as they are what is waited for, or after so long.
    pub fn popups_until(&self, patience: Duration, mut enough: impl FnMut(&[(Duration, String)]) -> bool) -> Vec<(Duration, String)> {
        let popups = |lines: &[(Duration, String)]| -> Vec<_> {
            Self::calls_in(lines).into_iter().filter(|(_, call)| call.contains(" Notify ")).collect()
        };
        let waited = self.said.more.wait_timeout_while(self.said.lines(), patience, |lines| !enough(&popups(lines)));
        popups(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl Drop for DesktopSession {
    fn drop(&mut self) {
        for child in self.service.iter_mut().chain([&mut self.bus]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
