//! Names: OTLP metric and attribute names as Prometheus names (prometheus/otlptranslator, strategy UnderscoreEscapingWithSuffixes).

/// What a metric is, as far as its name is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameKind {
    Gauge,
    MonotonicSum,
    /// Non-monotonic sums, histograms, summaries: units, but no suffix of their own.
    Other,
}

const UNITS: [(&str, &str); 28] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("kBy", "kilobytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
    ("", ""),
];
const PER_UNITS: [(&str, &str); 7] =
    [("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

/// The Prometheus name of a metric; empty when nothing of the name is usable.
pub(super) fn metric_name(name: &str, unit: &str, kind: NameKind) -> String {
    let mut tokens: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').filter(|t| !t.is_empty()).collect();
    let (main, per) = unit_suffixes(unit);
    let (main, per) = (clean(&main), clean(&per));
    if !main.is_empty() && !tokens.contains(&main.as_str()) {
        tokens.push(&main);
    }
    if !per.is_empty() && !tokens.contains(&per.as_str()) {
        tokens.push(&per);
    }
    match kind {
        NameKind::MonotonicSum => {
            tokens.retain(|t| *t != "total");
            tokens.push("total");
        }
        NameKind::Gauge if unit == "1" => {
            tokens.retain(|t| *t != "ratio");
            tokens.push("ratio");
        }
        _ => {}
    }
    let mut joined = tokens.join("_");
    if joined.starts_with(|c: char| c.is_ascii_digit()) {
        joined.insert(0, '_');
    }
    joined
}

/// `By/s` as (`bytes`, `per_second`); units in braces are remarks, not units.
fn unit_suffixes(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let known = |table: &[(&str, &str)], unit: &str| {
        let unit = unit.trim();
        if unit.contains(['{', '}']) {
            return String::new();
        }
        table.iter().find(|(short, _)| *short == unit).map_or(unit, |(_, long)| long).to_owned()
    };
    let per = known(&PER_UNITS, per);
    (known(&UNITS, main), if per.is_empty() { per } else { format!("per_{per}") })
}

/// Only what a name may hold, without doubled or outer underscores.
fn clean(unit: &str) -> String {
    let tokens: Vec<&str> = unit.split(|c: char| !c.is_ascii_alphanumeric()).filter(|t| !t.is_empty()).collect();
    // "per" alone says nothing.
    if tokens == ["per"] { String::new() } else { tokens.join("_") }
}

/// The label name of an attribute key; empty for an empty key.
pub(super) fn label_name(key: &str) -> String {
    let mut name: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert_str(0, "key_");
    } else if name.starts_with('_') && !name.starts_with("__") {
        name.insert_str(0, "key");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_prometheus_translator() {
        for (name, unit, kind, expected) in [
            ("system.filesystem.usage", "By", NameKind::Other, "system_filesystem_usage_bytes"),
            (
                "active_directory.ds.replication.network.io",
                "By",
                NameKind::MonotonicSum,
                "active_directory_ds_replication_network_io_bytes_total",
            ),
            ("http.server.request.duration", "s", NameKind::Other, "http_server_request_duration_seconds"),
            ("network.io", "By/s", NameKind::Gauge, "network_io_bytes_per_second"),
            ("kafka.consumer_group.lag", "1", NameKind::Gauge, "kafka_consumer_group_lag_ratio"),
            ("requests", "{request}", NameKind::MonotonicSum, "requests_total"),
            ("requests.total.count", "", NameKind::MonotonicSum, "requests_count_total"),
            ("queue.size", "{messages}/s", NameKind::Gauge, "queue_size_per_second"),
            ("process.uptime_seconds", "s", NameKind::Gauge, "process_uptime_seconds"),
            ("a..b--c", "", NameKind::Other, "a_b_c"),
            ("2xx", "", NameKind::Other, "_2xx"),
            ("job:rate", "", NameKind::Gauge, "job:rate"),
            ("cpu", "%", NameKind::Gauge, "cpu_percent"),
            ("x", "1", NameKind::MonotonicSum, "x_total"),
            ("x", "foo/bar", NameKind::Gauge, "x_foo_per_bar"),
            ("größe", "", NameKind::Gauge, "gr_e"),
            ("日本", "", NameKind::Gauge, ""),
            ("speed", "km/h", NameKind::Gauge, "speed_km_per_hour"),
        ] {
            assert_eq!(metric_name(name, unit, kind), expected, "{name} [{unit}]");
        }
    }

    #[test]
    fn labels_are_sanitised() {
        for (key, label) in [
            ("http.request.method", "http_request_method"),
            ("1st", "key_1st"),
            ("a-b.c", "a_b_c"),
            ("ä", "key_"),
            ("_private", "key_private"),
            ("__reserved", "__reserved"),
            ("", ""),
        ] {
            assert_eq!(label_name(key), label);
        }
    }
}
