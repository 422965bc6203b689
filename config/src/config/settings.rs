//! The list of every scalar and list setting: one table for variables, flags, `config init`, `config show` and the JSON schema.

use crate::listen::Listen;
use crate::size::ByteSize;
use watchfire_model::parse_duration;

/// What a setting holds, and so how a variable or flag is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    Text,
    Path,
    Bool,
    Count,
    Duration,
    Size,
    /// An address to listen on, or `off`.
    Address,
    /// Comma-separated in a variable, repeated as a flag.
    TextList,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Dotted key in the file.
    pub key: &'static str,
    pub kind: SettingKind,
    /// The flag's long name, without dashes; `None` where there is none.
    pub flag: Option<&'static str>,
    pub doc: &'static str,
}

impl Setting {
    /// `WATCHFIRE_OTLP_GRPC` for `otlp_grpc`, `WATCHFIRE_LIMITS_STORE_SERIES` for `limits.store.series`.
    pub fn variable(&self) -> String {
        format!("WATCHFIRE_{}", self.key.replace('.', "_").to_ascii_uppercase())
    }

    /// Reads the text of a variable or flag.
    pub(super) fn read(&self, texts: &[String]) -> Result<toml::Value, String> {
        let text = texts.last().map(String::as_str).unwrap_or_default();
        Ok(match self.kind {
            SettingKind::Text | SettingKind::Path => toml::Value::String(text.to_owned()),
            SettingKind::Bool => toml::Value::Boolean(read_bool(text)?),
            SettingKind::Count => {
                let count: u32 = text.trim().parse().map_err(|_| format!("{text:?} is not a whole number"))?;
                toml::Value::Integer(i64::from(count))
            }
            SettingKind::Duration => {
                let duration = parse_duration(text.trim())
                    .map_err(|_| format!("{text:?} is not a duration; write it like \"250ms\", \"30s\" or \"1h30m\""))?;
                toml::Value::String(watchfire_model::format_duration(duration))
            }
            SettingKind::Size => toml::Value::String(text.parse::<ByteSize>()?.to_string()),
            SettingKind::Address => toml::Value::String(text.parse::<Listen>()?.to_string()),
            SettingKind::TextList => {
                let items = texts.iter().flat_map(|t| t.split(',')).map(str::trim).filter(|t| !t.is_empty());
                toml::Value::Array(items.map(|t| toml::Value::String(t.to_owned())).collect())
            }
        })
    }
}

fn read_bool(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

const fn run(key: &'static str, kind: SettingKind, flag: &'static str, doc: &'static str) -> Setting {
    Setting { key, kind, flag: Some(flag), doc }
}

const fn file(key: &'static str, kind: SettingKind, doc: &'static str) -> Setting {
    Setting { key, kind, flag: None, doc }
}

use SettingKind::{Address, Bool, Count, Duration, Path, Size, Text, TextList};

/// Keys whose tables are read by their owners: (key, whether it is a list of tables, meaning).
pub const OPEN_TABLES: [(&str, bool, &str); 6] = [
    (
        "external_labels",
        false,
        "What tells this instance from others, by label; added to alerts that are sent and to series that are federated",
    ),
    ("receivers", false, "How each receiver is reached, by name"),
    ("route", true, "Who hears which severity"),
    ("person", true, "People with channels, quiet hours and a daily summary"),
    ("team", true, "Teams of people and receivers"),
    ("delivery", false, "How notices are delivered"),
];

/// Every setting, in the order in which `config init` writes them. What is in [`OPEN_TABLES`] and `services` is not here.
pub const SETTINGS: &[Setting] = &[
    run("platform", Text, "platform", "Platform to watch: the name of a built-in one, or a directory with a platform.toml"),
    file("platform_host", Text, "Host on which the platform's documented ports are probed and scraped; empty: wait for its telemetry only"),
    run("headless", Bool, "headless", "Collect and evaluate without a terminal"),
    run("otlp_grpc", Address, "otlp-grpc", "Where OTLP over gRPC is received; \"off\" to not listen, port 0 to pick one"),
    run("otlp_http", Address, "otlp-http", "Where OTLP over HTTP is received"),
    run("api", Address, "api", "Where the HTTP API answers"),
    run("collector", TextList, "collector", "OpenTelemetry collectors to watch themselves (URL of their metrics)"),
    run(
        "scrape",
        TextList,
        "scrape",
        "Prometheus targets (URLs), or a prometheus.yml whose scrape_configs run here; as [[scrape]] tables with more detail",
    ),
    run("probe", TextList, "probe", "Health endpoints (http, https, tcp or grpc URLs); as [[probe]] tables with more detail"),
    run("rules", TextList, "rules", "Prometheus rule files"),
    file("runbook_base", Text, "URL under which runbooks stand whose runbook_url is a path; empty: messages name the path"),
    run("alertmanager", Text, "alertmanager", "URL of an Alertmanager that gets every alert"),
    run("state_dir", Path, "state-dir", "Alert states, silences and the outbox live here"),
    run("memory_limit", Size, "memory-limit", "Telemetry kept in memory"),
    run("evaluation_interval", Duration, "evaluation-interval", "How often rule groups without an interval of their own are evaluated"),
    run(
        "notify",
        TextList,
        "notify",
        "Who hears what no [[route]] matches: desktop, terminal, receivers, people and teams by name, or none; routes and Alertmanagers stay",
    ),
    run("remote_write_receiver", Bool, "remote-write-receiver", "Accept Prometheus remote write at /api/v1/write"),
    run("log_level", Text, "log-level", "error, warn, info, debug or trace"),
    run("strict", Bool, "strict", "Refuse what would otherwise only be warned about"),
    file("ui.theme", Text, "auto, dark, light, or a theme file"),
    file("ui.keymap", Text, "A keymap file; empty: the documented keys"),
    file("ui.mouse", Bool, "Take mouse events from the terminal"),
    file("ui.timezone", Text, "local, utc, or an IANA name"),
    file("security.token", Text, "Bearer token for ports beyond loopback; better in a file of its own"),
    file("security.token_file", Path, "File that holds the token"),
    file("security.tls_certificate", Path, "Certificate chain (PEM)"),
    file("security.tls_key", Path, "Private key (PEM)"),
    file("security.tls_client_ca", Path, "Certificates that clients must present (PEM)"),
    file(
        "security.tls_client_crl",
        Path,
        "Revocation lists of their authorities: who is in one, or whose authority has none, is refused (PEM)",
    ),
    file("security.allow_unauthenticated", Bool, "Listen beyond loopback without token or certificates"),
    file("security.allowed_hosts", TextList, "Host names under which the ports may be addressed"),
    file("limits.otlp.message", Size, "One message, before and after decompression"),
    file("limits.otlp.in_flight", Size, "All requests being worked on; a quarter of memory_limit at most"),
    file("limits.otlp.items_per_request", Count, "Spans, points or records in one request"),
    file("limits.otlp.attributes", Count, "Attributes of one item"),
    file("limits.otlp.events", Count, "Events of one span"),
    file("limits.otlp.links", Count, "Links of one span"),
    file("limits.otlp.value", Size, "One attribute value"),
    file("limits.otlp.key", Size, "One attribute key"),
    file("limits.otlp.name", Size, "One span or metric name"),
    file("limits.otlp.log_body", Size, "One log body"),
    file("limits.otlp.depth", Count, "Nesting of attribute values"),
    file("limits.otlp.buckets", Count, "Buckets or quantiles of one point; each becomes a series"),
    file("limits.otlp.streams", Count, "Delta streams, histograms and summaries remembered between points"),
    file("limits.store.logs", Count, "Log records kept"),
    file("limits.store.series", Count, "Series kept from outside; known ones go on when it is reached"),
    file("limits.store.exemplars", Count, "Exemplars kept"),
    file("limits.store.retention", Duration, "Age at which samples go"),
    file("limits.store.spans_per_trace", Count, "Spans of one trace that are shown"),
    file("limits.store.trace_text", Size, "Attributes and events of one trace that are shown, as they were sent"),
    file("limits.signals.services", Count, "Services told apart; those beyond are one, `__overflow__`, and so for the next four"),
    file("limits.signals.operations", Count, "Operations told apart"),
    file("limits.signals.operations_per_service", Count, "Operations of one service told apart"),
    file("limits.signals.edges", Count, "Edges told apart"),
    file("limits.signals.peers", Count, "Databases, queues and other peers without spans told apart"),
    file(
        "limits.signals.classic_histograms",
        Count,
        "Histograms published as classic buckets too, 25 series each; the others are native only",
    ),
    file("limits.scrape.interval", Duration, "Between two scrapes of a target"),
    file("limits.scrape.timeout", Duration, "For one scrape"),
    file("limits.scrape.body", Size, "One exposition"),
    file("limits.scrape.samples", Count, "Samples of one scrape"),
    file("limits.scrape.labels", Count, "Labels of one sample"),
    file("limits.scrape.name", Size, "One label name"),
    file("limits.scrape.value", Size, "One label value"),
    file("limits.scrape.redirects", Count, "Redirects followed"),
    file("limits.probe.interval", Duration, "Between two probes of a check"),
    file("limits.probe.timeout", Duration, "For one probe"),
    file("limits.probe.body", Size, "One health body"),
    file("limits.probe.redirects", Count, "Redirects followed"),
    file("limits.probe.parallel", Count, "Probes at the same time"),
    file("limits.probe.failures", Count, "Failures in a row before a check counts as down"),
    file("limits.rules.alerts_per_rule", Count, "Alerts of one rule"),
    file("limits.rules.alerts", Count, "Alerts of all rules"),
    file("limits.rules.resend_delay", Duration, "Between two sends of a firing alert to an Alertmanager"),
    file("limits.rules.outage_tolerance", Duration, "Absence after which pending alerts begin anew"),
    file("limits.rules.cause_wait", Duration, "How long an alert waits for its suspected cause before it notifies"),
    file("limits.rules.cause_wait_critical", Duration, "The same for a critical alert"),
    file("limits.query.timeout", Duration, "For one query"),
    file("limits.query.samples", Count, "Samples one query may hold at once"),
    file("limits.query.lookback", Duration, "How far an instant query looks back"),
    file("limits.query.text", Size, "One expression"),
    file("limits.query.depth", Count, "Nesting of one expression"),
    file("limits.query.label", Size, "One label value that a function makes"),
    file("limits.query.points", Count, "Points per series of a range query"),
    file("limits.query.parallel", Count, "Queries at the same time"),
    file("limits.api.connections", Count, "Connections at the same time"),
    file("limits.api.header_timeout", Duration, "For the head of a request"),
    file("limits.api.body_timeout", Duration, "For the body of a request"),
    file("limits.api.idle_timeout", Duration, "For the next request on a connection"),
    file("limits.api.headers", Size, "All headers of a request"),
];
