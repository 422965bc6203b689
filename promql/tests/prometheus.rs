//! The same samples and the same generated queries, here and in a real Prometheus: results must be the same to nine digits, and what one
//! refuses the other must refuse. Skipped, with a printed reason, where `prometheus` and `promtool` are not installed.
//!
//! Samples lie three milliseconds beside full seconds and queries half a second, because Prometheus 2 counts a sample on the left edge of a
//! window and Prometheus 3 does not. Counters never come near zero: 2 and 3 disagree on where extrapolation stops there.

use serde_json::{Value as Json, json};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use watchfire_model::{Labels, METRIC_NAME, Timestamp, Value};
use watchfire_promql::{Engine, Query, QueryValue, format_float};
use watchfire_testkit::MemorySource;

const START: i64 = 1_700_000_000_000;
const STEP: i64 = 15_000;
const SAMPLES: i64 = 120;
const QUERIES: usize = 600;

/// A small generator of numbers: the same run everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

/// Counters with resets and gaps, gauges with infinities and NaN, a classic histogram, sparse series.
fn samples(dice: &mut Dice) -> Vec<(Labels, Vec<(i64, f64)>)> {
    let mut all: Vec<(Labels, Vec<(i64, f64)>)> = Vec::new();
    let at = |i: i64| START + i * STEP + 3;
    // No two counters are ever equal.
    let mut base = 1e6;
    let mut add = |pairs: &[(&str, &str)], values: Vec<(i64, f64)>| all.push((Labels::from_pairs(pairs.iter().copied()), values));
    for (job, instance) in [("api", "a:1"), ("api", "b:2"), ("web", "a:1"), ("web", "c:3")] {
        for code in ["200", "404", "500"] {
            base += 1.0 / 64.0;
            let mut value = base;
            let mut values = Vec::new();
            for i in 0..SAMPLES {
                value = if dice.roll(40) == 0 { base } else { value + dice.roll(20) as f64 };
                if dice.roll(15) != 0 {
                    values.push((at(i), value));
                }
            }
            add(&[(METRIC_NAME, "requests_total"), ("job", job), ("instance", instance), ("code", code)], values);
        }
        let mut values = Vec::new();
        for i in 0..SAMPLES {
            match dice.roll(60) {
                0 => values.push((at(i), f64::NAN)),
                1 => values.push((at(i), f64::INFINITY)),
                2..8 => {}
                n => values.push((at(i), n as f64 * 0.7 - 20.0)),
            }
        }
        add(&[(METRIC_NAME, "temperature"), ("job", job), ("instance", instance)], values);
        let mut counts = [1e6; 4];
        let mut buckets: [Vec<(i64, f64)>; 4] = Default::default();
        for i in 0..SAMPLES {
            let mut below = 0.0;
            for (count, bucket) in counts.iter_mut().zip(&mut buckets) {
                below += dice.roll(5) as f64;
                *count += below;
                bucket.push((at(i), *count));
            }
        }
        for (le, values) in ["0.1", "1.0", "10.0", "+Inf"].iter().zip(buckets) {
            add(&[(METRIC_NAME, "latency_bucket"), ("job", job), ("instance", instance), ("le", le)], values);
        }
        let version = if instance == "a:1" { "1" } else { "2" };
        let ones = (0..SAMPLES).map(|i| (at(i), 1.0)).collect();
        add(&[(METRIC_NAME, "build_info"), ("job", job), ("instance", instance), ("version", version)], ones);
    }
    add(&[(METRIC_NAME, "sparse"), ("k", "x")], (0..SAMPLES).step_by(31).map(|i| (at(i), i as f64)).collect());
    all
}

fn open_metrics(samples: &[(Labels, Vec<(i64, f64)>)]) -> String {
    let mut sorted: Vec<_> = samples.iter().collect();
    sorted.sort_by(|a, b| a.0.metric_name().cmp(b.0.metric_name()));
    let mut out = String::new();
    let mut family = "";
    for (labels, values) in sorted {
        let name = labels.metric_name();
        if name != family {
            family = name;
            let _ = writeln!(out, "# TYPE {name} unknown");
        }
        let inside: Vec<String> =
            labels.iter().filter(|l| &*l.name != METRIC_NAME).map(|l| format!("{}=\"{}\"", l.name, l.value)).collect();
        for (at, value) in values {
            let _ = writeln!(out, "{name}{{{}}} {} {}.{:03}", inside.join(","), format_float(*value), at / 1000, at % 1000);
        }
    }
    out + "# EOF\n"
}

/// Expressions of all shapes; what Prometheus 2 and 3 are known to treat differently is not among them.
struct Queries(Dice);

impl Queries {
    fn selector(&mut self) -> String {
        let name = self.0.pick(&["requests_total", "temperature", "latency_bucket", "build_info", "sparse", "absent_metric"]);
        let matcher = self.0.pick(&[
            "",
            "",
            "{job=\"api\"}",
            "{job!=\"api\"}",
            "{instance=~\"[ab]:.\"}",
            "{instance!~\"a.*\"}",
            "{code=\"\"}",
            "{k=~\".+\"}",
        ]);
        format!("{name}{matcher}{}", self.modifier())
    }

    fn modifier(&mut self) -> String {
        let second = START / 1000 + self.0.roll(1800) as i64;
        match self.0.roll(12) {
            0 => " offset 5m".to_owned(),
            1 => " offset -90s".to_owned(),
            2 => format!(" @ {second}.5"),
            3 => self.0.pick(&[" @ start()", " @ end()"]).to_owned(),
            _ => String::new(),
        }
    }

    fn window(&mut self, depth: usize) -> String {
        let range = self.0.pick(&["45s", "2m", "5m", "17m"]);
        if depth > 0 && self.0.roll(4) == 0 {
            let step = self.0.pick(&["1m", "30s", "7s"]);
            return format!("({})[{range}:{step}]{}", self.vector(depth - 1), self.modifier());
        }
        let name = self.0.pick(&["requests_total", "temperature", "latency_bucket{le=\"1.0\"}", "build_info"]);
        format!("{name}[{range}]{}", self.modifier())
    }

    fn number(&mut self) -> &'static str {
        self.0.pick(&["0", "1", "-2.5", "1e3", "0.1", "+Inf", "NaN", "scalar(sparse)", "time()", "pi()"])
    }

    fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.selector();
        }
        let depth = depth - 1;
        match self.0.roll(16) {
            0..4 => {
                let names = [
                    "rate",
                    "increase",
                    "delta",
                    "irate",
                    "idelta",
                    "changes",
                    "resets",
                    "deriv",
                    "avg_over_time",
                    "min_over_time",
                    "max_over_time",
                    "sum_over_time",
                    "count_over_time",
                    "stddev_over_time",
                    "stdvar_over_time",
                    "present_over_time",
                    "absent_over_time",
                ];
                format!("{}({})", self.0.pick(&names), self.window(depth))
            }
            4 => format!("quantile_over_time({}, {})", self.0.pick(&["0.5", "0.9", "0", "2"]), self.window(depth)),
            // Prometheus 2 loses steps of this one where it is pinned to a time.
            5 => format!("predict_linear(temperature[{}], 600)", self.0.pick(&["2m", "17m"])),
            6..9 => {
                let op = self.0.pick(&["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]);
                let by = self.0.pick(&["", " by (job)", " without (instance)", " by (job, le)", " without ()"]);
                format!("{op}{by} ({})", self.vector(depth))
            }
            9 => {
                // Which of equals comes first is nobody's promise.
                if self.0.roll(2) == 0 {
                    return format!("{}requests_total{{code=\"200\"}})", self.0.pick(&["topk(2, ", "bottomk(1, ", "topk by (job) (1, "]));
                }
                format!("{}{})", self.0.pick(&["quantile(0.5, ", "count_values(\"v\", "]), self.vector(depth))
            }
            10 => {
                let names = ["abs", "ceil", "floor", "sqrt", "exp", "sgn", "deg", "sort", "timestamp", "absent", "round"];
                format!("{}({})", self.0.pick(&names), self.vector(depth))
            }
            11 => format!("histogram_quantile({}, {})", self.0.pick(&["0.5", "0.99", "0", "-1"]), self.histogram(depth)),
            12 => {
                format!("{} {} {}", self.vector(depth), self.0.pick(&["+", "-", "*", "/", "%", "==", "!=", ">", "<= bool"]), self.number())
            }
            13 => format!(
                "{} {} {}",
                self.vector(depth),
                self.0.pick(&["and", "or", "unless", "and on (job)", "unless ignoring (code)"]),
                self.vector(depth)
            ),
            14 => {
                let matching = [
                    "+",
                    "/ on (job, instance)",
                    "* on (job, instance) group_left (version)",
                    "> bool ignoring (code)",
                    "- on (instance) group_right ()",
                ];
                format!("{} {} {}", self.vector(depth), self.0.pick(&matching), self.vector(depth))
            }
            _ => format!("label_replace({}, \"dst\", \"${{1}}-x\", \"instance\", \"(.):.*\")", self.vector(depth)),
        }
    }

    fn histogram(&mut self, depth: usize) -> String {
        match self.0.roll(4) {
            0 => "rate(latency_bucket[5m])".to_owned(),
            1 => "sum by (le, job) (rate(latency_bucket[2m]))".to_owned(),
            2 => "latency_bucket".to_owned(),
            _ => self.vector(depth),
        }
    }
}

/// A Prometheus over a directory; killed when dropped.
struct Prometheus {
    process: Child,
    port: u16,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    /// `None` where it is not installed.
    fn start(directory: &Path, samples: &[(Labels, Vec<(i64, f64)>)]) -> Option<Self> {
        let installed = |name: &str| Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
        if !installed("prometheus") || !installed("promtool") {
            return None;
        }
        let (text, data, config) = (directory.join("samples.txt"), directory.join("data"), directory.join("prometheus.yml"));
        std::fs::write(&text, open_metrics(samples)).expect("room for the samples");
        std::fs::write(&config, "global: {}\n").expect("room for a configuration");
        let blocks = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&text, &data])
            .output()
            .expect("promtool runs");
        assert!(blocks.status.success(), "{}", String::from_utf8_lossy(&blocks.stderr));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--storage.tsdb.retention.time=100y", "--log.level=error"])
            .spawn()
            .expect("prometheus starts");
        let mut prometheus = Prometheus { process, port };
        let until = Instant::now() + Duration::from_secs(60);
        while !prometheus.get("/-/ready", "").is_some_and(|answer| answer.contains("Ready")) {
            assert!(prometheus.process.try_wait().is_ok_and(|ended| ended.is_none()), "prometheus ended");
            assert!(Instant::now() < until, "prometheus is not ready after a minute");
            std::thread::yield_now();
        }
        Some(prometheus)
    }

    /// The body of an answer; HTTP/1.0, so that it ends with the connection.
    fn get(&self, path: &str, form: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let method = if form.is_empty() { "GET" } else { "POST" };
        let head = format!(
            "{method} {path} HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    }

    fn ask(&self, query: &str, asked: &Asked) -> Json {
        let encoded: String =
            query.bytes().map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") }).collect();
        let body = match asked {
            Asked::Instant(at) => self.get("/api/v1/query", &format!("query={encoded}&time={}", seconds(*at))),
            Asked::Range(start, end, step) => self.get(
                "/api/v1/query_range",
                &format!("query={encoded}&start={}&end={}&step={}", seconds(*start), seconds(*end), step / 1000),
            ),
        };
        serde_json::from_str(&body.expect("an answer")).expect("JSON")
    }
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

enum Asked {
    Instant(i64),
    Range(i64, i64, i64),
}

/// The answer of our engine in the API's shape.
fn ours(engine: &Engine, source: &MemorySource, text: &str, asked: &Asked) -> Json {
    let outcome = Query::parse(text).map_err(|e| e.to_string()).and_then(|query| {
        let outcome = match asked {
            Asked::Instant(at) => engine.instant(&query, source, Timestamp(*at)),
            Asked::Range(start, end, step) => {
                engine.range(&query, source, Timestamp(*start), Timestamp(*end), Duration::from_millis(*step as u64))
            }
        };
        outcome.map_err(|e| e.to_string())
    });
    let point = |t: Timestamp, v: &Value| json!([t.millis() as f64 / 1000.0, v.as_float().map(format_float)]);
    match outcome {
        Err(error) => json!({"status": "error", "error": error}),
        Ok(outcome) => {
            let result = match &outcome.value {
                QueryValue::Scalar { at, value } => point(*at, &Value::Float(*value)),
                QueryValue::String { at, value } => json!([at.millis() / 1000, value]),
                QueryValue::Vector(samples) => samples.iter().map(|s| json!({"metric": s.labels, "values": [point(s.at, &s.value)]})).collect(),
                QueryValue::Matrix(series) => series
                    .iter()
                    .map(|s| json!({"metric": s.labels, "values": s.times.iter().zip(&s.values).map(|(t, v)| point(*t, v)).collect::<Vec<_>>()}))
                    .collect(),
            };
            json!({"status": "success", "data": {"resultType": outcome.value.type_name(), "result": result}})
        }
    }
}

/// Series by labels, points as (time, number).
fn series(answer: &Json) -> Vec<(String, Vec<(f64, f64)>)> {
    let point = |p: &Json| (p[0].as_f64().unwrap_or(f64::NAN), p[1].as_str().unwrap_or("").parse().unwrap_or(f64::NAN));
    let data = &answer["data"];
    let mut out: Vec<_> = match data["resultType"].as_str() {
        Some("vector" | "matrix") => data["result"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| {
                let values = item["values"].as_array().cloned().unwrap_or_else(|| vec![item["value"].clone()]);
                let labels: std::collections::BTreeMap<String, String> = serde_json::from_value(item["metric"].clone()).unwrap_or_default();
                (format!("{labels:?}"), values.iter().map(point).collect())
            })
            .collect(),
        _ => vec![(String::new(), vec![point(&data["result"])])],
    };
    out.sort_by(|a, b| a.0.cmp(&b.0));
    out
}

fn same(a: f64, b: f64) -> bool {
    // Deviations of equal values come out as rounding noise, which nobody's digits agree on.
    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()) || (a - b).abs() < 1e-9
}

fn difference(theirs: &Json, ours: &Json) -> Option<String> {
    if theirs["status"] != ours["status"] {
        return Some(format!("they say {} {}, we say {} {}", theirs["status"], theirs["error"], ours["status"], ours["error"]));
    }
    if theirs["status"] == "error" {
        return None;
    }
    if theirs["data"]["resultType"] != ours["data"]["resultType"] {
        return Some(format!("their type is {}, ours {}", theirs["data"]["resultType"], ours["data"]["resultType"]));
    }
    let (a, b) = (series(theirs), series(ours));
    if a.iter().map(|s| &s.0).ne(b.iter().map(|s| &s.0)) {
        return Some(format!("they have {} series, we have {}: {:?} / {:?}", a.len(), b.len(), a.first(), b.first()));
    }
    for ((labels, theirs), (_, ours)) in a.iter().zip(&b) {
        let equal = theirs.len() == ours.len() && theirs.iter().zip(ours).all(|(x, y)| x.0 == y.0 && same(x.1, y.1));
        if !equal {
            let first = theirs.iter().zip(ours).find(|(x, y)| x.0 != y.0 || !same(x.1, y.1));
            return Some(format!("{labels}: {} points and {}, first difference {first:?}", theirs.len(), ours.len()));
        }
    }
    None
}

#[test]
fn generated_queries_give_what_prometheus_gives() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let samples = samples(&mut Dice(0x5eed));
    let Some(prometheus) = Prometheus::start(directory.path(), &samples) else {
        eprintln!("skipped: prometheus and promtool are not installed");
        return;
    };
    let mut source = MemorySource::new();
    for (labels, values) in &samples {
        values.iter().for_each(|(at, value)| source.push(labels, Timestamp(*at), Value::Float(*value)));
    }
    let engine = Engine::default();
    let mut queries = Queries(Dice(0xca11));
    let (mut different, mut refused, mut empty) = (Vec::new(), 0, 0);
    for number in 0..QUERIES {
        let depth = 1 + queries.0.roll(3);
        let text = queries.vector(depth);
        let from = START + queries.0.roll(1500) as i64 * 1000 + 500;
        let asked = match number % 2 {
            0 => Asked::Instant(from),
            _ => Asked::Range(from, from + queries.0.roll(900) as i64 * 1000, [15_000, 60_000, 7_000][queries.0.roll(3)]),
        };
        let (theirs, ours) = (prometheus.ask(&text, &asked), ours(&engine, &source, &text, &asked));
        refused += usize::from(theirs["status"] == "error");
        empty += usize::from(theirs["status"] == "success" && series(&theirs).is_empty());
        if let Some(why) = difference(&theirs, &ours) {
            different.push(format!("{number}: {text}\n    {why}"));
        }
    }
    assert!(different.is_empty(), "{} of {QUERIES} differ:\n{}", different.len(), different.join("\n"));
    assert!(refused + empty < QUERIES / 2, "the generator makes too little sense: {refused} refused, {empty} empty");
}
