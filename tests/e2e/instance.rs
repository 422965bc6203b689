//! One running watchfire per test.

use serde_json::Value as Json;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than anything here should take on a loaded machine of two cores.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks until there is an answer, for as long as patience lasts; a refusal says what was there instead. What is asked is another process, which does
/// not tell by itself: this is the one place that sleeps in between.
pub async fn eventually<T>(what: &str, patience: Duration, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + patience;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(instead) => assert!(Instant::now() < end, "never happened: {what}; {instead}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// As [`eventually`], for what holds or does not.
pub async fn until_true(what: &str, patience: Duration, mut holds: impl AsyncFnMut() -> bool) {
    eventually(what, patience, async || if holds().await { Ok(()) } else { Err(String::new()) }).await;
}

/// The program under test, running headless.
pub struct Watchfire {
    child: Child,
    pub otlp_grpc: String,
    pub otlp_http: String,
    pub api: String,
    /// Kept until the end: dropping it removes the directory.
    _state: Option<TempDir>,
    client: reqwest::Client,
}

/// The command with a state directory and notifications off.
pub fn command(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchfire"));
    command
        .env_clear()
        .env("HOME", state)
        .env("XDG_RUNTIME_DIR", state.join("run"))
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

impl Watchfire {
    /// Starts with these further arguments and waits for the ready line.
    pub fn start(arguments: &[&str]) -> Self {
        Self::launch(&["run", "--notify", "none"], arguments, &[])
    }

    /// As [`start`](Self::start), with these environment variables.
    pub fn start_with(variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        Self::launch(&["run", "--notify", "none"], arguments, variables)
    }

    /// A demo of a platform with one of its scenarios, notifying the desktop of the given session bus.
    pub fn demo(platform: &str, scenario: &str, bus: &str) -> Self {
        Self::launch(&["demo", platform, "--scenario", scenario, "--notify", "desktop"], &[], &[("DBUS_SESSION_BUS_ADDRESS", bus)])
    }

    /// A demo of a platform in which nothing goes wrong.
    pub fn calm_demo(platform: &str) -> Self {
        Self::launch(&["demo", platform, "--notify", "none"], &[], &[])
    }

    /// As [`calm_demo`](Self::calm_demo) of the first platform, with these further arguments and a state directory that outlives it.
    pub fn demo_in(state: &Path, arguments: &[&str]) -> Self {
        Self::launch_in(state, &["demo", "--notify", "none"], arguments, &[])
    }

    fn launch(mode: &[&str], arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let state = TempDir::new().expect("a temporary directory");
        let mut watchfire = Self::launch_in(state.path(), mode, arguments, variables);
        watchfire._state = Some(state);
        watchfire
    }

    /// As [`start`](Self::start), with a state directory that outlives the program.
    pub fn start_in(state: &Path, arguments: &[&str]) -> Self {
        Self::launch_in(state, &["run", "--notify", "none"], arguments, &[])
    }

    /// As [`start`](Self::start), with its log in a file.
    pub fn start_logging(log: &Path, arguments: &[&str]) -> Self {
        let state = TempDir::new().expect("a temporary directory");
        let log = std::fs::File::create(log).expect("a log").into();
        let mut watchfire = Self::launch_logging(log, state.path(), &["run", "--notify", "none"], arguments, &[]);
        watchfire._state = Some(state);
        watchfire
    }

    fn launch_in(state: &Path, mode: &[&str], arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::launch_logging(Stdio::piped(), state, mode, arguments, variables)
    }

    fn launch_logging(log: Stdio, state: &Path, mode: &[&str], arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = command(state);
        command
            .args(mode)
            .args(["--headless", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--log-level", "warn"])
            .arg("--state-dir")
            .arg(state.join("state"))
            .args(if arguments.contains(&"--api") { &[][..] } else { &["--api", "127.0.0.1:0"][..] })
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut line).expect("a line on stdout");
        if line.is_empty() {
            let mut why = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                let _ = stderr.read_to_string(&mut why);
            }
            panic!("no ready line; stderr: {why}");
        }
        let ready: Json = serde_json::from_str(&line).unwrap_or_else(|e| panic!("ready line {line:?}: {e}"));
        assert_eq!(ready["ready"], true);
        let address = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        // The client needs the provider installed once per process; a second time is no error worth hearing of.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Watchfire {
            otlp_grpc: address("otlp_grpc"),
            otlp_http: address("otlp_http"),
            api: address("api"),
            child,
            _state: None,
            client: reqwest::Client::builder().timeout(Duration::from_secs(10)).build().expect("an HTTP client"),
        }
    }

    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.api)
    }

    /// Status and body of any path of the API.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = self.client.get(self.url(path)).send().await.expect("the API answers");
        (response.status().as_u16(), response.text().await.expect("a body"))
    }

    pub async fn json(&self, path: &str) -> Json {
        let (status, body) = self.get(path).await;
        assert!(status < 300, "{path}: {status} {body}");
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"))
    }

    /// Asks again until the answer is as wanted.
    pub async fn until(&self, path: &str, what: &str, wanted: impl Fn(&Json) -> bool) -> Json {
        eventually(what, PATIENCE, async || {
            let answer = self.json(path).await;
            if wanted(&answer) { Ok(answer) } else { Err(format!("{path} answers {answer:#}")) }
        })
        .await
    }

    /// The value of one own metric, 0 where it is not there yet.
    pub async fn metric(&self, name_and_labels: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        text.lines().find_map(|line| line.strip_prefix(name_and_labels).and_then(|rest| rest.trim().parse().ok())).unwrap_or(0.0)
    }

    /// What the process holds in memory.
    pub fn resident_kib(&self) -> i64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal and goes on.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|s| s.success()));
    }

    /// Sends a signal and waits for the end; the exit code, or `None` if a signal ended it.
    pub fn stop(mut self, signal: &str) -> Option<i32> {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|s| s.success()));
        self.child.wait().expect("the program ends").code()
    }
}

impl Drop for Watchfire {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
