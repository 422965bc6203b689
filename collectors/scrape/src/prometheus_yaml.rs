//! The `scrape_configs` of a `prometheus.yml`, as far as watchfire obeys them; everything left aside is named.

use crate::RelabelConfig;
use crate::job::{Job, JobError, StaticConfig};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Jobs of a Prometheus configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    pub jobs: Vec<Job>,
    /// Sections and keys that have no effect here, as paths: `alerting`, `scrape_configs[node].kubernetes_sd_configs`.
    pub ignored: Vec<String>,
}

/// A Prometheus configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    #[error("not YAML: {0}")]
    Yaml(String),
    #[error("{0} is not what Prometheus expects there")]
    Shape(String),
    #[error(transparent)]
    Job(#[from] JobError),
}

/// Keys that a job takes over from `global` where it has none of its own.
const INHERITED: [&str; 11] = [
    "scrape_interval",
    "scrape_timeout",
    "body_size_limit",
    "sample_limit",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
    "target_limit",
    "scrape_native_histograms",
    "always_scrape_classic_histograms",
    "convert_classic_histograms_to_nhcb",
];

/// Keys of [`Job`] that Prometheus's scrape_config does not have.
const OWN_KEYS: [&str; 3] = ["labels", "allow_local_redirects", "max_redirects"];

/// What is text in Prometheus, as it is written: `version: 1.10` is a label value `1.10`, and no number; `target_label: y` is no "yes".
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    scrape_configs: Vec<WrittenJob>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenJob {
    job_name: Option<String>,
    params: Option<BTreeMap<String, Vec<String>>>,
    static_configs: Option<Vec<StaticConfig>>,
    relabel_configs: Option<Vec<RelabelConfig>>,
    metric_relabel_configs: Option<Vec<RelabelConfig>>,
    basic_auth: BTreeMap<String, String>,
    authorization: BTreeMap<String, String>,
    bearer_token: Option<String>,
}

impl WrittenJob {
    /// Puts the texts in the place of what they look like.
    fn restore(self, config: &mut Map<String, Value>) {
        let lists = [
            ("job_name", self.job_name.map(Value::from)),
            ("bearer_token", self.bearer_token.map(Value::from)),
            ("params", self.params.and_then(|p| serde_json::to_value(p).ok())),
            ("static_configs", self.static_configs.and_then(|c| serde_json::to_value(c).ok())),
            ("relabel_configs", self.relabel_configs.and_then(|c| serde_json::to_value(c).ok())),
            ("metric_relabel_configs", self.metric_relabel_configs.and_then(|c| serde_json::to_value(c).ok())),
        ];
        for (key, text) in lists {
            if let Some(text) = text {
                config.insert(key.to_owned(), text);
            }
        }
        for (key, texts) in [("basic_auth", self.basic_auth), ("authorization", self.authorization)] {
            if let Some(Value::Object(inner)) = config.get_mut(key) {
                inner.extend(texts.into_iter().map(|(key, text)| (key, Value::from(text))));
            }
        }
    }
}

impl Job {
    /// Reads the text of a `prometheus.yml`. Paths in it that are not absolute start at `folder`, as they do in Prometheus.
    ///
    /// # Errors
    /// When the text is no YAML, has the wrong shape, or a job cannot run.
    pub fn from_prometheus_yaml(text: &str, folder: &Path) -> Result<Imported, ImportError> {
        let (text, further) = watchfire_model::first_yaml_document(text);
        let root: Value = serde_saphyr::from_str(text).map_err(|e| ImportError::Yaml(e.to_string()))?;
        // Where this does not fit, the reading of each job below says why, and of which.
        let mut written = serde_saphyr::from_str::<Written>(text).unwrap_or_default().scrape_configs.into_iter();
        let Value::Object(mut root) = root else { return Err(ImportError::Shape("the file".to_owned())) };
        let mut ignored: Vec<String> = further.map(|line| format!("the document that begins in line {line}")).into_iter().collect();
        let mut global = match root.remove("global") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(map)) => map,
            Some(_) => return Err(ImportError::Shape("global".to_owned())),
        };
        let configs = match root.remove("scrape_configs") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(ImportError::Shape("scrape_configs".to_owned())),
        };
        ignored.extend(root.keys().cloned());
        let mut defaults = Map::new();
        for key in INHERITED {
            if let Some(value) = global.remove(key) {
                defaults.insert(key.to_owned(), value);
            }
        }
        // Prometheus's own default, so that a file means here what it means there.
        defaults.entry("scrape_interval").or_insert_with(|| "1m".into());
        ignored.extend(global.keys().map(|k| format!("global.{k}")));

        let mut jobs = Vec::new();
        for (index, config) in configs.into_iter().enumerate() {
            let Value::Object(mut config) = config else { return Err(ImportError::Shape(format!("scrape_configs[{index}]"))) };
            if let Some(written) = written.next() {
                written.restore(&mut config);
            }
            let mut job = job(config, &defaults, index, &mut ignored)?;
            job.start_paths_at(folder);
            job.check()?;
            jobs.push(job);
        }
        Ok(Imported { jobs, ignored })
    }

    fn start_paths_at(&mut self, folder: &Path) {
        let mut files: Vec<&mut Option<PathBuf>> =
            vec![&mut self.bearer_token_file, &mut self.tls_config.ca_file, &mut self.tls_config.cert_file, &mut self.tls_config.key_file];
        if let Some(basic) = &mut self.basic_auth {
            files.extend([&mut basic.username_file, &mut basic.password_file]);
        }
        if let Some(authorization) = &mut self.authorization {
            files.push(&mut authorization.credentials_file);
        }
        for file in files.into_iter().flatten() {
            *file = folder.join(&*file);
        }
        for pattern in self.file_sd_configs.iter_mut().flat_map(|c| &mut c.files) {
            *pattern = folder.join(&*pattern).display().to_string();
        }
    }
}

fn job(mut config: Map<String, Value>, defaults: &Map<String, Value>, index: usize, ignored: &mut Vec<String>) -> Result<Job, ImportError> {
    let name = config.get("job_name").and_then(Value::as_str).map_or_else(|| index.to_string(), str::to_owned);
    let place = format!("scrape_configs[{name}]");
    for (key, value) in defaults {
        if !config.contains_key(key) {
            config.insert(key.clone(), value.clone());
        }
    }
    // A short interval bounds an inherited timeout, as in Prometheus.
    let known = keys_of(&Job::default());
    config.retain(|key, value| keep(key, value, &known, &place, ignored));
    for (key, sample) in [
        ("tls_config", serde_json::to_value(watchfire_fetch::TlsSettings::default())),
        ("basic_auth", serde_json::to_value(crate::BasicAuth::default())),
        ("authorization", serde_json::to_value(crate::Authorization::default())),
    ] {
        if let (Some(Value::Object(inner)), Ok(Value::Object(sample))) = (config.get_mut(key), sample) {
            inner.retain(|k, v| keep(k, v, &sample, &format!("{place}.{key}"), ignored));
        }
    }
    if let Some(Value::Object(headers)) = config.remove("http_headers") {
        config.insert("http_headers".to_owned(), flatten_headers(headers, &place, ignored));
    }
    let mut job: Job = serde_json::from_value(Value::Object(config)).map_err(|e| JobError { job: name.clone(), what: e.to_string() })?;
    if job.scrape_timeout.is_some_and(|t| t > job.scrape_interval) && defaults.contains_key("scrape_timeout") {
        job.scrape_timeout = None;
    }
    Ok(job)
}

fn keys_of(job: &Job) -> Map<String, Value> {
    match serde_json::to_value(job) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn keep(key: &str, value: &Value, known: &Map<String, Value>, place: &str, ignored: &mut Vec<String>) -> bool {
    let ours = known.contains_key(key) && !OWN_KEYS.contains(&key);
    if !ours {
        ignored.push(format!("{place}.{key}"));
    }
    ours && !value.is_null()
}

/// Prometheus writes `name: {values: [..], secrets: [..], files: [..]}`; the first value or secret is sent.
fn flatten_headers(headers: Map<String, Value>, place: &str, ignored: &mut Vec<String>) -> Value {
    let mut flat = Map::new();
    for (name, value) in headers {
        let first = |key: &str| value.get(key).and_then(|l| l.get(0)).and_then(Value::as_str).map(str::to_owned);
        match first("values").or_else(|| first("secrets")).or_else(|| value.as_str().map(str::to_owned)) {
            Some(text) => {
                flat.insert(name, text.into());
            }
            None => ignored.push(format!("{place}.http_headers.{name}")),
        }
    }
    Value::Object(flat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn of_two_documents_the_first_is_read_as_prometheus_does() {
        let text = "scrape_configs:\n- job_name: a\n  static_configs: [{targets: ['a:1']}]\n---\nscrape_configs:\n- job_name: b\n";
        let imported = Job::from_prometheus_yaml(text, Path::new("/")).unwrap();
        assert_eq!((imported.jobs.len(), &imported.ignored[..]), (1, &["the document that begins in line 4".to_owned()][..]));
    }

    #[test]
    fn a_prometheus_file_becomes_jobs_and_names_what_is_left_aside() {
        let imported = Job::from_prometheus_yaml(
            r#"
global:
  scrape_interval: 30s
  evaluation_interval: 1m
  external_labels: {region: eu}
  scrape_native_histograms: true
rule_files: [a.yml]
scrape_configs:
  - job_name: node
    scrape_interval: 5s
    static_configs:
      - targets: ['localhost:9100', 'localhost:9101']
        labels: {env: dev}
    relabel_configs:
      - source_labels: [__address__]
        regex: '(.*):\d+'
        target_label: host
    tls_config: {insecure_skip_verify: true, server_name: x}
  - job_name: pods
    kubernetes_sd_configs: [{role: pod}]
    file_sd_configs: [{files: ['targets/*.json']}]
    body_size_limit: 10MB
    scrape_native_histograms: false
    http_headers: {X-Scope: {values: [team-a]}}
"#,
            Path::new("/etc/prometheus"),
        )
        .unwrap();
        assert_eq!(imported.jobs.len(), 2);
        assert_eq!(imported.jobs[0].scrape_interval, Duration::from_secs(5));
        assert_eq!(imported.jobs[0].static_configs[0].targets.len(), 2);
        assert_eq!(imported.jobs[1].scrape_interval, Duration::from_secs(30));
        assert_eq!(imported.jobs[1].body_size_limit.0, 10 << 20);
        assert_eq!([0, 1].map(|job: usize| imported.jobs[job].scrape_native_histograms), [true, false]);
        assert_eq!(imported.jobs[1].file_sd_configs[0].files, ["/etc/prometheus/targets/*.json"]);
        assert_eq!(imported.jobs[1].http_headers["X-Scope"].expose(), "team-a");
        let mut ignored = imported.ignored;
        ignored.sort();
        assert_eq!(
            ignored,
            [
                "global.evaluation_interval",
                "global.external_labels",
                "rule_files",
                "scrape_configs[node].tls_config.server_name",
                "scrape_configs[pods].kubernetes_sd_configs"
            ]
        );
    }

    #[test]
    fn texts_are_what_is_written_and_not_what_they_look_like() {
        let text = r"
scrape_configs:
  - job_name: 7
    params: {limit: [10, 1.50], verbose: [yes]}
    basic_auth: {username: 0042, password: 1e3}
    static_configs:
      - targets: ['localhost:9100']
        labels: {version: 1.10, shard: 07, canary: no, y: y}
    relabel_configs:
      - {source_labels: [y], target_label: n, replacement: 1}
    metric_relabel_configs:
      - {source_labels: [code], regex: 500, action: drop}
  - job_name: next
    sample_limit: 10
";
        let jobs = Job::from_prometheus_yaml(text, Path::new("")).unwrap().jobs;
        assert_eq!((jobs[0].job_name.as_str(), jobs[1].job_name.as_str()), ("7", "next"));
        assert_eq!(
            (&jobs[0].params["limit"], &jobs[0].params["verbose"]),
            (&vec!["10".to_owned(), "1.50".to_owned()], &vec!["yes".to_owned()])
        );
        let basic = jobs[0].basic_auth.as_ref().unwrap();
        assert_eq!((basic.username.as_str(), basic.password.as_ref().unwrap().expose()), ("0042", "1e3"));
        let labels: Vec<(&str, &str)> = jobs[0].static_configs[0].labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(labels, [("canary", "no"), ("shard", "07"), ("version", "1.10"), ("y", "y")]);
        assert_eq!((jobs[0].relabel_configs[0].source_labels[0].as_str(), jobs[0].relabel_configs[0].target_label.as_str()), ("y", "n"));
        assert_eq!((jobs[0].relabel_configs[0].replacement.as_str(), jobs[0].metric_relabel_configs[0].regex.as_str()), ("1", "500"));
        assert_eq!(jobs[1].sample_limit, 10);
    }

    #[test]
    fn files_that_are_not_prometheus_files_are_refused() {
        for text in [
            "[]",
            "scrape_configs: 3",
            "global: x",
            "scrape_configs: [{job_name: a, scrape_interval: often}]",
            "a: [",
            "scrape_configs: [{scheme: http}]",
        ] {
            assert!(Job::from_prometheus_yaml(text, Path::new("")).is_err(), "{text}");
        }
        assert_eq!(Job::from_prometheus_yaml("global: {}", Path::new("")).unwrap().jobs, []);
    }
}
