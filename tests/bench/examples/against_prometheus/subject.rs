//! A process under measurement: what it says over HTTP, and what it takes of the processor.

use serde_json::Value as Json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub type Failure = Box<dyn std::error::Error>;

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Subject {
    pub name: &'static str,
    child: Child,
    api: SocketAddr,
}

impl Subject {
    /// Starts Prometheus in a directory of its own.
    pub fn prometheus(name: &'static str, directory: &Path, configuration: &Path) -> Result<Self, Failure> {
        // Taken and given back: nobody else asks for a port at the same moment.
        let api = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("tsdb").display()))
            .arg(format!("--web.listen-address={api}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .spawn()?;
        let subject = Subject { name, child, api };
        let end = Instant::now() + PATIENCE;
        while subject.get("/-/ready").is_err() {
            if Instant::now() > end {
                return Err(format!("{name} does not become ready").into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(subject)
    }

    /// Starts a watchfire in a directory of its own.
    pub fn watchfire(
        name: &'static str,
        binary: &Path,
        directory: &Path,
        configuration: &Path,
        rules: Option<&Path>,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(binary);
        command
            .args(["run", "--headless", "--notify", "none", "--evaluation-interval", "5s", "--log-level", "error"])
            .args(["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--api", "127.0.0.1:0"])
            .arg("--state-dir")
            .arg(directory.join("state"))
            .arg("--scrape")
            .arg(configuration);
        if let Some(rules) = rules {
            command.arg("--rules").arg(rules);
        }
        let mut child = command.env("HOME", directory).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("stdout is piped")?).read_line(&mut line)?;
        let ready: Json = serde_json::from_str(&line)?;
        let api = ready["api"].as_str().ok_or("no API address in the ready line")?.parse()?;
        Ok(Subject { name, child, api })
    }

    /// The body of a successful answer.
    pub fn get(&self, path: &str) -> Result<String, Failure> {
        let mut stream = TcpStream::connect(self.api)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.api)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
        if !head.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
            return Err(format!("{}: {path}: {}", self.name, head.lines().next().unwrap_or_default()).into());
        }
        Ok(body.to_owned())
    }

    /// The sum of the samples of one of its own metrics whose labels contain `part`.
    pub fn metric(&self, name: &str, part: &str) -> Result<f64, Failure> {
        let body = self.get("/metrics")?;
        let sample = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            (labels.is_empty() || labels.starts_with('{')).then_some(())?;
            labels.contains(part).then(|| value.parse::<f64>().ok())?
        };
        Ok(body.lines().filter_map(sample).sum())
    }

    /// The vector of an instant query: labels as text, and the value.
    pub fn query(&self, expression: &str, at: f64) -> Result<Vec<(String, f64)>, Failure> {
        let encode = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        let expression: String = expression.bytes().map(encode).collect();
        let answer: Json = serde_json::from_str(&self.get(&format!("/api/v1/query?query={expression}&time={at}"))?)?;
        let result = answer["data"]["result"].as_array().ok_or("not a vector")?;
        let element = |element: &Json| Some((element["metric"].to_string(), element["value"][1].as_str()?.parse().ok()?));
        let mut vector: Vec<(String, f64)> = result.iter().map(|e| element(e).ok_or("not a sample")).collect::<Result<_, _>>()?;
        vector.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(vector)
    }

    /// Processor seconds so far, user and system, of the whole process.
    pub fn cpu(&self) -> Result<f64, Failure> {
        // The name of the process may contain blanks; it ends with the last parenthesis. Then come the fields from the third on.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3).and_then(|f| f.parse::<f64>().ok()).ok_or("not a stat line");
        Ok((ticks(14)? + ticks(15)?) / 100.0)
    }

    pub fn resident_megabytes(&self) -> Result<f64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.split_whitespace().next().ok_or("no VmRSS")?.parse::<f64>()? / 1024.0)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
