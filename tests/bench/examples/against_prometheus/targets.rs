//! Scrape targets whose values change each second: five of 10,000 series each, on loopback.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub const TARGETS: usize = 5;
const SERVICES: usize = 20;
const PODS: usize = 10;
/// What is added to the time of a sample, in milliseconds: beside full seconds, so that no sample lies on the edge of a window that is asked for at half
/// a second. Prometheus 2 counts a sample on the left edge and Prometheus 3 does not.
const BESIDE: i64 = 3;

/// One family of a pod: name, the label that tells its series apart with its values, and how they move.
type Family = (&'static str, &'static str, &'static [&'static str], Motion);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Motion {
    Counter,
    /// Cumulative over the values of the label.
    Buckets,
    Gauge,
    Constant,
}

use Motion::{Buckets, Constant, Counter, Gauge};

const FAMILIES: [Family; 21] = [
    ("http_requests_total", "code", &["200", "201", "400", "404", "500", "503"], Counter),
    (
        "http_request_duration_seconds_bucket",
        "le",
        &["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf"],
        Buckets,
    ),
    ("http_request_duration_seconds_sum", "", &[""], Counter),
    ("http_request_duration_seconds_count", "", &[""], Counter),
    ("queue_depth", "queue", QUEUES, Gauge),
    ("queue_oldest_seconds", "queue", QUEUES, Gauge),
    ("queue_published_total", "queue", QUEUES, Counter),
    ("queue_consumed_total", "queue", QUEUES, Counter),
    ("db_queries_total", "operation", &["select", "insert", "update"], Counter),
    ("db_errors_total", "", &[""], Counter),
    ("db_pool_in_use", "", &[""], Gauge),
    ("db_pool_size", "", &[""], Constant),
    ("cache_hits_total", "", &[""], Counter),
    ("cache_misses_total", "", &[""], Counter),
    ("process_resident_memory_bytes", "", &[""], Gauge),
    ("process_memory_limit_bytes", "", &[""], Constant),
    ("process_cpu_seconds_total", "", &[""], Counter),
    ("process_open_fds", "", &[""], Gauge),
    ("disk_free_bytes", "mount", &["/", "/data"], Gauge),
    ("disk_size_bytes", "mount", &["/", "/data"], Constant),
    ("breaker_state", "breaker", &["payments", "mail"], Gauge),
];
const QUEUES: &[&str] = &["mail", "media", "push"];

pub const SERIES: usize = 10_000;

struct Series {
    /// Name, labels and the blank before the value.
    text: String,
    motion: Motion,
    seed: u64,
}

fn series(target: usize) -> Vec<Series> {
    let mut all = Vec::with_capacity(SERIES);
    for (name, label, values, motion) in FAMILIES {
        for pod in 0..SERVICES * PODS {
            for value in values {
                let mut text = format!("{name}{{service=\"service-{}\",pod=\"service-{}-{pod}\"", pod / PODS, pod / PODS);
                if !label.is_empty() {
                    let _ = write!(text, ",{label}=\"{value}\"");
                }
                text.push_str("} ");
                let seed = mix(all.len() as u64 ^ (target as u64) << 32);
                all.push(Series { text, motion, seed });
            }
        }
    }
    assert_eq!(all.len(), SERIES);
    all
}

fn mix(seed: u64) -> u64 {
    let wide = u128::from(seed ^ 0x9e37_79b9_7f4a_7c15) * 0xa076_1d64_78bd_642f_u128;
    (wide >> 64) as u64 ^ wide as u64
}

/// The value of a counter after so many seconds: never near zero, where versions of Prometheus disagree on how far to extrapolate; one in 64 starts anew
/// every few minutes.
fn counted(seed: u64, second: u64) -> u64 {
    let rate = 1 + seed % 50;
    let since = if seed % 64 == 7 { (second + seed % 211) % 211 } else { second % 100_000 };
    1_000_000 + rate * since + mix(seed ^ second) % rate
}

fn body(series: &[Series], second: i64, stamped: bool) -> String {
    let mut out = String::with_capacity(series.len() * 120);
    let mut cumulated = 0;
    let at = second * 1000 + BESIDE;
    let second = second as u64;
    for Series { text, motion, seed } in series {
        out.push_str(text);
        let noise = mix(seed ^ second);
        let _ = match motion {
            Counter => write!(out, "{}", counted(*seed, second)),
            Buckets => {
                // Starts over with each pod; the buckets of one histogram would have to be reset together, so they never are.
                cumulated = if text.contains("le=\"0.005\"") { 0 } else { cumulated } + counted(*seed & !63, second);
                write!(out, "{cumulated}")
            }
            Gauge => write!(out, "{}.{}", 20 + seed % 100 + noise % 40, noise >> 8 & 7),
            Constant => write!(out, "{}", 200),
        };
        if stamped {
            let _ = write!(out, " {at}");
        }
        out.push('\n');
    }
    out
}

struct Target {
    series: Vec<Series>,
    /// The newest body, and the second it is of.
    newest: Mutex<(i64, bool, Arc<str>)>,
}

impl Target {
    fn body(&self, stamped: bool) -> Arc<str> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = (now - Duration::from_millis(BESIDE as u64)).as_secs() as i64;
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if (newest.0, newest.1) != (second, stamped) {
            *newest = (second, stamped, body(&self.series, second, stamped).into());
        }
        newest.2.clone()
    }
}

/// The targets while they serve. Threads end with the process.
pub struct Targets {
    pub addresses: Vec<SocketAddr>,
    stamped: Arc<AtomicBool>,
}

impl Targets {
    pub fn serve() -> std::io::Result<Self> {
        let stamped = Arc::new(AtomicBool::new(true));
        let mut addresses = Vec::new();
        for index in 0..TARGETS {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            addresses.push(listener.local_addr()?);
            let target = Arc::new(Target { series: series(index), newest: Mutex::new((0, false, "".into())) });
            let stamped = stamped.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (target, stamped) = (target.clone(), stamped.clone());
                    std::thread::spawn(move || answer(stream, &target, &stamped));
                }
            });
        }
        Ok(Targets { addresses, stamped })
    }

    /// Whether samples carry their time: then everybody who reads them has the same ones.
    pub fn stamp(&self, stamped: bool) {
        self.stamped.store(stamped, Ordering::Relaxed);
    }
}

/// Answers every request of a connection with the newest values.
fn answer(mut stream: TcpStream, target: &Target, stamped: &AtomicBool) -> Option<()> {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        while !request.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
            request.extend_from_slice(&chunk[..read]);
        }
        request.clear();
        let body = target.body(stamped.load(Ordering::Relaxed));
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok()?;
    }
}
