//! From a sample that a rule does not like to the popup: the whole program, its OTLP receiver and a real notification service on a session bus of its own.
//!
//! `cargo run --release -p watchfire-bench --example fault_to_desktop [-- PATH-OF-WATCHFIRE]`. About a minute. Needs dbus-daemon and python3-dbusmock.
//! A fault is due for evaluation within one interval, which the figure contains.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use watchfire_testkit::DesktopSession;

const FAULTS: usize = 40;
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two faults, once more each time up to an interval, so that they fall on every part of one.
const PAUSE: Duration = Duration::from_millis(100);
/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(30);
const RULES: &str = "groups: [{name: bench, rules: [{alert: Fault, expr: 'fault > 0', labels: {severity: critical}}]}]";
/// So many faults in a minute would be one summary.
const CONFIGURATION: &str = "[delivery.limits]\npopups_per_minute = 1000\n";

/// Ends with the program that measures it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(mut session) = DesktopSession::start() else { return Ok(()) };
    if !session.serve() {
        return Ok(());
    }
    let binary = match std::env::args().nth(1) {
        Some(path) => path.into(),
        None => std::env::current_exe()?.ancestors().nth(2).ok_or("no directory of builds")?.join("watchfire"),
    };
    let directory = tempfile::tempdir()?;
    let rules = directory.path().join("rules.yaml");
    std::fs::write(&rules, RULES)?;
    let configuration = directory.path().join("config.toml");
    std::fs::write(&configuration, CONFIGURATION)?;
    let mut child = Command::new(&binary)
        .args(["run", "--headless", "--notify", "desktop", "--log-level", "error"])
        .args(["--evaluation-interval", &format!("{}s", INTERVAL.as_secs())])
        .args(["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--api", "127.0.0.1:0"])
        .arg("--config")
        .arg(&configuration)
        .arg("--rules")
        .arg(&rules)
        .arg("--state-dir")
        .arg(directory.path().join("state"))
        .env("HOME", directory.path())
        .env("DBUS_SESSION_BUS_ADDRESS", session.address())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{}: {e}; cargo build --release", binary.display()))?;
    let stdout = child.stdout.take().ok_or("stdout is piped")?;
    let _running = Running(child);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let ready: serde_json::Value = serde_json::from_str(&line)?;
    let receiver = ready["otlp_http"].as_str().ok_or("no OTLP address in the ready line")?;
    let mut took = Vec::new();
    for number in 0..FAULTS {
        let service = format!("service-{number}-of-{FAULTS}");
        let sent = session.elapsed();
        send(receiver, &service)?;
        let popups = session.popups_until(PATIENCE, |popups| popups.iter().any(|(_, call)| call.contains(&service)));
        let shown = popups.iter().find(|(_, call)| call.contains(&service)).ok_or_else(|| format!("no popup about {service}"))?.0;
        took.push(shown.saturating_sub(sent));
        std::thread::sleep(PAUSE * (number as u32 % 10));
    }
    took.sort();
    let [least, median, worst] = [took[0], took[took.len() / 2], took[took.len() - 1]].map(|t| t.as_millis());
    println!("from a sample to the popup, evaluated every {INTERVAL:?}, {FAULTS} faults: median {median} ms, {least} to {worst} ms");
    Ok(())
}

/// Sends one gauge over OTLP/HTTP, and sees that it is taken in.
fn send(receiver: &str, service: &str) -> Result<(), Box<dyn Error>> {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos().to_string();
    let body = serde_json::json!({"resourceMetrics": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
        "scopeMetrics": [{"metrics": [{"name": "fault", "gauge": {"dataPoints": [{"timeUnixNano": nanos, "asDouble": 1}]}}]}],
    }]})
    .to_string();
    let mut stream = TcpStream::connect(receiver)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "POST /v1/metrics HTTP/1.1\r\nHost: {receiver}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(answer.lines().next().unwrap_or("no answer").to_owned().into()) }
}
