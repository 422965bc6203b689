//! A scrape job: the subset of Prometheus's `scrape_config` that watchfire obeys, with watchfire's limits as defaults.

use crate::byte_size::ByteSize;
use crate::exposition::Protocol;
use crate::relabel::{Relabel, RelabelConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use watchfire_fetch::TlsSettings;
use watchfire_model::Secret;

/// A job's settings. Keys are those of Prometheus; a limit of 0 means no limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Job {
    /// The `job` label.
    pub job_name: String,
    /// `http` (default) or `https`.
    pub scheme: String,
    /// Default `/metrics`.
    pub metrics_path: String,
    /// Default 15s.
    #[serde(with = "watchfire_config::duration_text")]
    pub scrape_interval: Duration,
    /// Default: 10s, or the interval where that is shorter.
    #[serde(with = "watchfire_config::duration_text::optional")]
    pub scrape_timeout: Option<Duration>,
    /// The target's own labels win over ours; else they are kept as `exported_<name>`.
    pub honor_labels: bool,
    /// Times in the exposition are believed (default true).
    pub honor_timestamps: bool,
    /// Series with times of their own go stale like others.
    pub track_timestamps_staleness: bool,
    /// Ask for gzip (default true).
    pub enable_compression: bool,
    /// Ask for protobuf first, which carries native histograms.
    pub scrape_native_histograms: bool,
    /// Keep the classic buckets of histograms that have native ones.
    pub always_scrape_classic_histograms: bool,
    /// Join classic histograms into native ones with custom buckets.
    pub convert_classic_histograms_to_nhcb: bool,
    /// Format to assume where the target names none or none we know (default `PrometheusText0.0.4`).
    pub fallback_scrape_protocol: Option<Protocol>,
    pub params: BTreeMap<String, Vec<String>>,
    pub http_headers: BTreeMap<String, Secret>,
    pub basic_auth: Option<BasicAuth>,
    pub authorization: Option<Authorization>,
    pub bearer_token: Option<Secret>,
    pub bearer_token_file: Option<PathBuf>,
    pub tls_config: TlsSettings,
    /// Follow redirects (default true), at most `max_redirects` of them.
    pub follow_redirects: bool,
    /// Default 5.
    pub max_redirects: usize,
    /// Let redirects lead to link-local addresses, and from other machines to this one.
    pub allow_local_redirects: bool,
    pub static_configs: Vec<StaticConfig>,
    pub file_sd_configs: Vec<FileSdConfig>,
    /// Labels given to every target of the job, such as `simulated="true"`.
    pub labels: BTreeMap<String, String>,
    pub relabel_configs: Vec<RelabelConfig>,
    pub metric_relabel_configs: Vec<RelabelConfig>,
    /// Decompressed bytes of one answer (default 16MiB).
    pub body_size_limit: ByteSize,
    /// Samples after relabelling (default 50000).
    pub sample_limit: usize,
    /// Labels of one sample (default 64).
    pub label_limit: usize,
    /// Bytes of a label name (default 256).
    pub label_name_length_limit: usize,
    /// Bytes of a label value (default 2048).
    pub label_value_length_limit: usize,
    /// Targets of the job (default 5000).
    pub target_limit: usize,
}

impl Default for Job {
    fn default() -> Self {
        Job {
            job_name: String::new(),
            scheme: "http".to_owned(),
            metrics_path: "/metrics".to_owned(),
            scrape_interval: Duration::from_secs(15),
            scrape_timeout: None,
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            enable_compression: true,
            scrape_native_histograms: false,
            always_scrape_classic_histograms: false,
            convert_classic_histograms_to_nhcb: false,
            fallback_scrape_protocol: Some(Protocol::PrometheusText0_0_4),
            params: BTreeMap::new(),
            http_headers: BTreeMap::new(),
            basic_auth: None,
            authorization: None,
            bearer_token: None,
            bearer_token_file: None,
            tls_config: TlsSettings::default(),
            follow_redirects: true,
            max_redirects: 5,
            allow_local_redirects: false,
            static_configs: Vec::new(),
            file_sd_configs: Vec::new(),
            labels: BTreeMap::new(),
            relabel_configs: Vec::new(),
            metric_relabel_configs: Vec::new(),
            body_size_limit: ByteSize(16 << 20),
            sample_limit: 50_000,
            label_limit: 64,
            label_name_length_limit: 256,
            label_value_length_limit: 2048,
            target_limit: 5000,
        }
    }
}

/// User and password; each may be in a file, read again at every scrape.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BasicAuth {
    pub username: String,
    pub username_file: Option<PathBuf>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
}

/// The `Authorization` header in two parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Authorization {
    /// Default `Bearer`.
    #[serde(rename = "type")]
    pub kind: String,
    pub credentials: Option<Secret>,
    pub credentials_file: Option<PathBuf>,
}

impl Default for Authorization {
    fn default() -> Self {
        Authorization { kind: "Bearer".to_owned(), credentials: None, credentials_file: None }
    }
}

/// Targets (`host:port`) that share labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StaticConfig {
    pub targets: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

/// Files of target groups, re-read when they change.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileSdConfig {
    /// Paths ending in `.json`, `.yml` or `.yaml`; `*` and `?` may stand in the file name.
    pub files: Vec<String>,
    /// How often files are looked at (default and at most 5s; kept so that Prometheus files load).
    #[serde(with = "watchfire_config::duration_text")]
    pub refresh_interval: Duration,
}

impl Default for FileSdConfig {
    fn default() -> Self {
        FileSdConfig { files: Vec::new(), refresh_interval: Duration::from_secs(5) }
    }
}

/// A job that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scrape job {job:?}: {what}")]
pub struct JobError {
    pub job: String,
    pub what: String,
}

impl Job {
    /// A job for one URL, as `--scrape` takes it. The path defaults to `/metrics`, a query becomes `params`, user and password become basic auth,
    /// and a fragment names the job: `http://10.0.0.7:9100/metrics#node`. Without one the job is the host's name, or, where that is an address, the target: two of them
    /// share nothing, and it is what a breaker is shown under whose exporter names no service.
    ///
    /// # Errors
    /// When the text is not an http or https URL with a host.
    pub fn from_url(text: &str) -> Result<Job, JobError> {
        let fail = |what: &str| JobError { job: text.to_owned(), what: what.to_owned() };
        let written = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = reqwest::Url::parse(&written).map_err(|e| fail(&format!("not a URL: {e}; write http://host:port/metrics")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(fail("only http and https can be scraped"));
        }
        let host = url.host_str().ok_or_else(|| fail("the URL has no host"))?;
        let named = host.parse::<std::net::IpAddr>().is_err() && !host.starts_with('[') && host != "localhost";
        let mut params: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in url.query_pairs() {
            params.entry(name.into_owned()).or_default().push(value.into_owned());
        }
        let basic_auth = (!url.username().is_empty()).then(|| BasicAuth {
            username: url.username().to_owned(),
            password: url.password().map(Secret::new),
            ..BasicAuth::default()
        });
        let target = match url.port_or_known_default() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let job_name = match url.fragment() {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ if named => host.split('.').next().unwrap_or(host).to_owned(),
            _ => target.clone(),
        };
        Ok(Job {
            job_name,
            scheme: url.scheme().to_owned(),
            metrics_path: if url.path() == "/" { "/metrics".to_owned() } else { url.path().to_owned() },
            params,
            basic_auth,
            static_configs: vec![StaticConfig { targets: vec![target], labels: BTreeMap::new() }],
            ..Job::default()
        })
    }

    /// The time one scrape may take.
    pub fn timeout(&self) -> Duration {
        self.scrape_timeout.unwrap_or(Duration::from_secs(10)).min(self.scrape_interval)
    }

    /// Finds what makes the job impossible, without touching files other than those of TLS.
    ///
    /// # Errors
    /// On the first impossible setting, naming it.
    pub fn check(&self) -> Result<(), JobError> {
        let fail = |what: String| Err(JobError { job: self.job_name.clone(), what });
        if self.job_name.is_empty() {
            return fail("job_name is missing".to_owned());
        }
        if !matches!(self.scheme.as_str(), "http" | "https") {
            return fail(format!("scheme {:?}: use http or https", self.scheme));
        }
        if self.scrape_interval < Duration::from_millis(10) {
            return fail("scrape_interval must be at least 10ms".to_owned());
        }
        if self.scrape_timeout.is_some_and(|t| t.is_zero() || t > self.scrape_interval) {
            return fail("scrape_timeout must be above 0 and at most scrape_interval".to_owned());
        }
        let ways =
            [self.basic_auth.is_some(), self.authorization.is_some(), self.bearer_token.is_some() || self.bearer_token_file.is_some()];
        if ways.iter().filter(|w| **w).count() > 1 {
            return fail("give one of basic_auth, authorization and bearer_token".to_owned());
        }
        for (name, value) in &self.http_headers {
            if http::HeaderName::try_from(name.as_str()).is_err() || http::HeaderValue::try_from(value.expose()).is_err() {
                return fail(format!("http_headers: {name:?} cannot be sent as a header"));
            }
        }
        for rule in self.relabel_configs.iter().chain(&self.metric_relabel_configs) {
            if let Err(what) = Relabel::new(rule) {
                return fail(format!("relabelling: {what}"));
            }
        }
        for file in self.file_sd_configs.iter().flat_map(|c| &c.files) {
            if !file.ends_with(".json") && !file.ends_with(".yml") && !file.ends_with(".yaml") {
                return fail(format!("file_sd_configs: {file:?} must end in .json, .yml or .yaml"));
            }
        }
        match watchfire_fetch::client_config(&self.tls_config) {
            Ok(_) => Ok(()),
            Err(e) => fail(format!("tls_config: {e}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_job() {
        for (url, job, target, path) in [
            ("http://127.0.0.1:8001/metrics", "127.0.0.1:8001", "127.0.0.1:8001", "/metrics"),
            ("http://orders:8080", "orders", "orders:8080", "/metrics"),
            ("https://orders.example.org/internal/prometheus", "orders", "orders.example.org:443", "/internal/prometheus"),
            ("http://[::1]:9100/metrics#node", "node", "[::1]:9100", "/metrics"),
            ("localhost:9100", "localhost:9100", "localhost:9100", "/metrics"),
        ] {
            let made = Job::from_url(url).unwrap();
            assert_eq!(
                (made.job_name.as_str(), made.static_configs[0].targets[0].as_str(), made.metrics_path.as_str()),
                (job, target, path)
            );
            assert_eq!(made.check(), Ok(()));
        }
        let made = Job::from_url("http://user:pass@h:1/m?collect[]=cpu&collect[]=mem").unwrap();
        assert_eq!(made.params["collect[]"], ["cpu", "mem"]);
        assert_eq!(made.basic_auth.as_ref().unwrap().password, Some(Secret::new("pass")));
        assert!(!format!("{made:?}").contains("pass\""));
        for bad in ["", "ftp://x", "http://", "file:///etc/passwd"] {
            assert!(Job::from_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn impossible_settings_are_named() {
        let good = || Job::from_url("http://h:1").unwrap();
        for (job, word) in [
            (Job { job_name: String::new(), ..good() }, "job_name"),
            (Job { scheme: "ftp".to_owned(), ..good() }, "scheme"),
            (Job { scrape_interval: Duration::ZERO, ..good() }, "scrape_interval"),
            (Job { scrape_timeout: Some(Duration::from_secs(60)), ..good() }, "scrape_timeout"),
            (Job { bearer_token: Some(Secret::new("x")), authorization: Some(Authorization::default()), ..good() }, "one of"),
            (Job { http_headers: BTreeMap::from([("a".to_owned(), Secret::new("b\r\nc: d"))]), ..good() }, "http_headers"),
            (Job { tls_config: TlsSettings { ca_file: Some("/does/not/exist".into()), ..TlsSettings::default() }, ..good() }, "tls_config"),
        ] {
            assert!(job.check().unwrap_err().to_string().contains(word), "{word}");
        }
    }

    #[test]
    fn settings_survive_writing_and_reading() {
        let job = Job { scrape_timeout: Some(Duration::from_secs(3)), ..Job::from_url("http://h:1/m").unwrap() };
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
        assert!(serde_json::from_str::<Job>(r#"{"job_name":"a","scrape_intervall":"5s"}"#).is_err());
    }
}
