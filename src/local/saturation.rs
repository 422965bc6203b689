//! How busy a service's processes and the machines under them are, as shares of one.

use super::lens::Lens;
use std::collections::BTreeMap;
use watchfire_model::reading::ReadError;
use watchfire_promql::quote;

/// Of the machine, which others may keep busy: a service is not to blame for it.
const HOST_CPU: &str = "host cpu";
const HOST_MEMORY: &str = "host mem";

/// What OpenTelemetry's gauges tell of: a process, and the machine it runs on.
const GAUGES: [(&str, &str); 6] = [
    ("cpu", "process_cpu_utilization_ratio"),
    ("memory", "process_memory_utilization_ratio"),
    ("disk", "process_disk_utilization_ratio"),
    (HOST_CPU, "system_cpu_utilization_ratio"),
    (HOST_MEMORY, "system_memory_utilization_ratio"),
    ("disk", "system_filesystem_utilization_ratio"),
];

/// Labels that name the service.
const OF: [&str; 3] = ["service_name", "service", "job"];

/// The states a gauge is split by, under the older and the present names of the conventions.
const STATES: [&str; 5] = ["state", "cpu_mode", "system_memory_state", "system_filesystem_state", "process_memory_state"];

/// What scraped pages tell under the name of their job: the node exporter's series, Micrometer's, and the file descriptors that nearly every client
/// library counts. `SERVICE` stands for the matcher of the job, `WINDOW` for that of rates. Idling is taken as a share of all
/// that was counted and not of the time, because a target that came a moment ago has not counted for the whole window. Systems of files that are full by nature are left out, and
/// numbers without a limit (Micrometer says -1).
const SCRAPED: [(&str, &str); 7] = [
    (
        HOST_CPU,
        r#"1 - sum by (job, instance) (rate(node_cpu_seconds_total{SERVICE,mode="idle"}[WINDOW])) / sum by (job, instance) (rate(node_cpu_seconds_total{SERVICE}[WINDOW]))"#,
    ),
    (HOST_CPU, "system_cpu_usage{SERVICE}"),
    ("cpu", "process_cpu_usage{SERVICE}"),
    (HOST_MEMORY, "1 - node_memory_MemAvailable_bytes{SERVICE} / node_memory_MemTotal_bytes{SERVICE}"),
    (
        "disk",
        r#"1 - node_filesystem_avail_bytes{SERVICE,fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660"} / (node_filesystem_size_bytes{SERVICE} > 0)"#,
    ),
    ("disk", "1 - disk_free_bytes{SERVICE} / (disk_total_bytes{SERVICE} > 0)"),
    ("fds", "process_open_fds{SERVICE} / (process_max_fds{SERVICE} > 0)"),
];

/// The busiest value of a gauge by service. Where it is split by state, what is idle, free or cached is not busy: an idle machine would be the most
/// saturated one.
fn busiest(metric: &str, of: &str, service: Option<&str>) -> String {
    let service = matcher(of, service);
    let all = |matcher: &str| STATES.map(|label| format!("{label}{matcher}")).join(",");
    let whole = format!("{metric}{{{service},{}}}", all(r#"="""#));
    let split = |matcher: &str| STATES.map(|label| format!("{metric}{{{service},{label}{matcher}}}")).join(" or ");
    let busy = match metric {
        "system_cpu_utilization_ratio" => format!("1 - avg by ({of}, instance) ({})", split(r#"="idle""#)),
        "process_cpu_utilization_ratio" => format!("sum by ({of}, instance) ({})", split(r#"!="""#)),
        _ => split(r#"="used""#),
    };
    format!("max by ({of}) ({whole} or ({busy}))")
}

/// One service, or all that have a name.
fn matcher(of: &str, service: Option<&str>) -> String {
    service.map_or_else(|| format!(r#"{of}!="""#), |name| format!("{of}={}", quote(name)))
}

/// Every share there may be with the label that names its service and the expression for it.
fn shares(lens: &Lens<'_>, service: Option<&str>) -> impl Iterator<Item = (&'static str, &'static str, String)> {
    let (matcher, window) = (matcher("job", service), lens.scrape_window_text());
    let gauges = GAUGES.iter().flat_map(move |(what, metric)| OF.map(|of| (*what, of, busiest(metric, of, service))));
    let scraped = SCRAPED.iter().map(move |(what, expression)| {
        (*what, "job", format!("max by (job) ({})", expression.replace("WINDOW", &window).replace("SERVICE", &matcher)))
    });
    gauges.chain(scraped)
}

/// The busiest of CPU, memory, disk and file descriptors per service, from what instrumented processes and exporters usually tell.
///
/// # Errors
/// When the store cannot be queried.
pub fn saturation(lens: &Lens<'_>) -> Result<BTreeMap<String, (f64, String)>, ReadError> {
    let mut out: BTreeMap<String, (f64, String)> = BTreeMap::new();
    for (what, of, expression) in shares(lens, None) {
        for (name, value) in lens.by(of, &expression)? {
            let entry = out.entry(name).or_insert((0.0, what.to_owned()));
            if value > entry.0 {
                *entry = (value, what.to_owned());
            }
        }
    }
    Ok(out)
}

/// Named resource shares of one service, for its page.
///
/// # Errors
/// When the store cannot be queried.
pub fn resources(lens: &Lens<'_>, service: &str) -> Result<Vec<(String, f64)>, ReadError> {
    let mut out: Vec<(String, f64)> = Vec::new();
    for (what, _, expression) in shares(lens, Some(service)) {
        let Some(value) = lens.number(&expression)? else { continue };
        match out.iter_mut().find(|(name, _)| name == what) {
            Some((_, known)) => *known = known.max(value),
            None => out.push((what.to_owned(), value)),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
    use super::*;
    use watchfire_model::{Labels, Timestamp, Value};
    use watchfire_promql::Engine;
    use watchfire_testkit::MemorySource;

    /// What opentelemetry-instrumentation-system-metrics sends, which every Python service has by default, and the same under the present names.
    #[test]
    fn what_is_idle_free_or_cached_is_not_busy() {
        let at = Timestamp(1_772_334_000_000);
        let mut source = MemorySource::new();
        let mut put = |metric: &str, job: &str, pairs: &[(&str, &str)], value: f64| {
            let common = [("__name__", metric), ("job", job), ("instance", "i")];
            source.push(&Labels::from_pairs(common.into_iter().chain(pairs.iter().copied())), at, Value::Float(value));
        };
        for (job, state, number) in [("old", "state", "cpu"), ("new", "cpu_mode", "cpu_logical_number")] {
            for (cpu, idle) in [("1", 0.9), ("2", 0.7)] {
                for (mode, value) in [("idle", idle), ("user", 0.95 - idle), ("system", 0.05), ("irq", 0.0)] {
                    put("system_cpu_utilization_ratio", job, &[(number, cpu), (state, mode)], value);
                }
            }
        }
        for (state, value) in [("used", 0.1), ("free", 0.3), ("cached", 0.6)] {
            put("system_memory_utilization_ratio", "old", &[("state", state)], value);
        }
        put("process_cpu_utilization_ratio", "old", &[], 0.02);
        put("process_cpu_utilization_ratio", "new", &[("cpu_mode", "user")], 0.5);
        put("process_cpu_utilization_ratio", "new", &[("cpu_mode", "system")], 0.25);
        let (engine, cache) = (Engine::default(), QueryCache::default());
        let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
        let round = |v: f64| (v * 100.0).round() / 100.0;
        let found: BTreeMap<_, _> = saturation(&lens).expect("readable").into_iter().map(|(s, (v, what))| (s, (round(v), what))).collect();
        let expected = [("new".to_owned(), (0.75, "cpu".to_owned())), ("old".to_owned(), (0.2, "host cpu".to_owned()))];
        assert_eq!(found, BTreeMap::from(expected));
        let page: Vec<_> = resources(&lens, "old").expect("readable").into_iter().map(|(what, v)| (what, round(v))).collect();
        let figures = [("cpu", 0.02), ("host cpu", 0.2), ("host mem", 0.1)].map(|(what, v)| (what.to_owned(), v));
        assert_eq!(page, figures);
    }

    /// What the node exporter, Micrometer and a client library write.
    #[test]
    fn scraped_pages_tell_of_disks_memory_and_descriptors() {
        let at = Timestamp(1_772_334_000_000);
        let mut source = MemorySource::new();
        let mut put = |at: Timestamp, metric: &str, job: &str, pairs: &[(&str, &str)], value: f64| {
            let common = [("__name__", metric), ("job", job), ("instance", "i")];
            source.push(&Labels::from_pairs(common.into_iter().chain(pairs.iter().copied())), at, Value::Float(value));
        };
        for (mount, fstype, size, avail) in [("/", "ext4", 100.0, 6.0), ("/run", "tmpfs", 10.0, 0.0), ("/proc", "proc", 0.0, 0.0)] {
            let of = [("mountpoint", mount), ("fstype", fstype)];
            put(at, "node_filesystem_size_bytes", "file", &of, size);
            put(at, "node_filesystem_avail_bytes", "file", &of, avail);
        }
        put(at, "node_memory_MemTotal_bytes", "file", &[], 100.0);
        put(at, "node_memory_MemAvailable_bytes", "file", &[], 70.0);
        for (ago, idle) in [(60, 100.0), (0, 154.0)] {
            let at = Timestamp(at.0 - ago * 1000);
            put(at, "node_cpu_seconds_total", "file", &[("cpu", "0"), ("mode", "idle")], idle);
            put(at, "node_cpu_seconds_total", "file", &[("cpu", "0"), ("mode", "user")], 7.0 + (idle - 100.0) / 9.0);
        }
        put(at, "process_open_fds", "gate", &[], 90.0);
        put(at, "process_max_fds", "gate", &[], 100.0);
        put(at, "system_cpu_usage", "gate", &[], 0.4);
        put(at, "disk_free_bytes", "gate", &[("path", "/.")], 50.0);
        put(at, "disk_total_bytes", "gate", &[("path", "/.")], 200.0);
        let (engine, cache) = (Engine::default(), QueryCache::default());
        let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
        let round = |v: f64| (v * 100.0).round() / 100.0;
        let found: BTreeMap<_, _> = saturation(&lens).expect("readable").into_iter().map(|(s, (v, what))| (s, (round(v), what))).collect();
        assert_eq!(found, BTreeMap::from([("file".to_owned(), (0.94, "disk".to_owned())), ("gate".to_owned(), (0.9, "fds".to_owned()))]));
        let page = |service| -> Vec<_> {
            resources(&lens, service).expect("readable").into_iter().map(|(what, v)| format!("{what} {}", round(v))).collect()
        };
        assert_eq!(page("file"), ["host cpu 0.1", "host mem 0.3", "disk 0.94"]);
        assert_eq!(page("gate"), ["host cpu 0.4", "disk 0.75", "fds 0.9"]);
    }
}
