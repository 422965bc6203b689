//! What is scraped and probed: a plain text where a URL says it all, a table where it does not.

use super::file::text_or_table;
use crate::duration_text;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A Prometheus scrape job. A plain URL stands for a job with that one target, a plain path that ends in `.yml` or `.yaml` for `prometheus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ScrapeJob {
    /// Value of the `job` label; empty: the target's host.
    pub name: String,
    pub urls: Vec<String>,
    /// Files of targets in Prometheus `file_sd` format; globs allowed in the last part.
    pub file_sd: Vec<PathBuf>,
    /// A Prometheus configuration file: each of its `scrape_configs` is a job here too, with relabelling and all. Other keys leave it alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PathBuf>,
    #[serde(with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    #[serde(with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    pub labels: BTreeMap<String, String>,
    pub honor_labels: bool,
    pub bearer_token_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ScrapeJobTable {
    name: String,
    urls: Vec<String>,
    file_sd: Vec<PathBuf>,
    prometheus: Option<PathBuf>,
    #[serde(with = "duration_text::optional")]
    interval: Option<Duration>,
    #[serde(with = "duration_text::optional")]
    timeout: Option<Duration>,
    labels: BTreeMap<String, String>,
    honor_labels: bool,
    bearer_token_file: Option<PathBuf>,
}

impl<'de> Deserialize<'de> for ScrapeJob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_table(deserializer, "a URL or a scrape job", ScrapeJob::of_text, |t: ScrapeJobTable| ScrapeJob {
            name: t.name,
            urls: t.urls,
            file_sd: t.file_sd,
            prometheus: t.prometheus,
            interval: t.interval,
            timeout: t.timeout,
            labels: t.labels,
            honor_labels: t.honor_labels,
            bearer_token_file: t.bearer_token_file,
        })
    }
}

impl ScrapeJob {
    fn of_text(text: String) -> Self {
        if !text.contains("://") && (text.ends_with(".yml") || text.ends_with(".yaml")) {
            return ScrapeJob { prometheus: Some(text.into()), ..ScrapeJob::default() };
        }
        ScrapeJob { urls: vec![text], ..ScrapeJob::default() }
    }
}

/// A health check. A plain URL stands for a check named after its path on a service named after its host.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Probe {
    /// `http://`, `https://`, `tcp://`, `grpc://` or `grpcs://`.
    pub url: String,
    /// Empty: the URL's host.
    pub service: String,
    /// Empty: the URL's path.
    pub check: String,
    #[serde(with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    #[serde(with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// `GET`, `HEAD`, `POST` or `OPTIONS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Status codes that are good; empty: 200 to 299.
    pub expected_status: Vec<u16>,
    /// How to read the body where its looks do not tell; the prober knows the names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// What it means when a service says that it does not know: `unknown`, `degraded`, `unhealthy` or `healthy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_as: Option<String>,
    pub bearer_token_file: Option<PathBuf>,
    /// PEM file of authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    pub insecure_skip_verify: bool,
    pub owner: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ProbeTable {
    url: String,
    service: String,
    check: String,
    #[serde(with = "duration_text::optional")]
    interval: Option<Duration>,
    #[serde(with = "duration_text::optional")]
    timeout: Option<Duration>,
    method: Option<String>,
    expected_status: Vec<u16>,
    format: Option<String>,
    unknown_as: Option<String>,
    bearer_token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    insecure_skip_verify: bool,
    owner: String,
}

impl<'de> Deserialize<'de> for Probe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_table(deserializer, "a URL or a probe", Probe::of_url, |t: ProbeTable| Probe {
            url: t.url,
            service: t.service,
            check: t.check,
            interval: t.interval,
            timeout: t.timeout,
            method: t.method,
            expected_status: t.expected_status,
            format: t.format,
            unknown_as: t.unknown_as,
            bearer_token_file: t.bearer_token_file,
            ca_file: t.ca_file,
            insecure_skip_verify: t.insecure_skip_verify,
            owner: t.owner,
        })
    }
}

impl Probe {
    /// A URL, or `name=URL`, which names the service.
    pub fn of_url(text: String) -> Self {
        let (service, url) = match text.split_once('=') {
            Some((name, url)) if !name.is_empty() && !name.contains([':', '/', '?']) && url.contains("://") => {
                (name.to_owned(), url.to_owned())
            }
            _ => (String::new(), text),
        };
        Probe { url, service, ..Probe::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Both {
        #[serde(default)]
        scrape: Vec<ScrapeJob>,
        #[serde(default)]
        probe: Vec<Probe>,
    }

    #[test]
    fn a_text_is_a_url_or_a_prometheus_file() {
        let read: Both = toml::from_str(
            "scrape = ['http://a/metrics.yml', '/etc/prometheus/prometheus.yml', 'node:9100']\nprobe = ['pay=http://a/health?x=1']",
        )
        .expect("reads");
        let scrapes: Vec<_> = read.scrape.iter().map(|j| (j.urls.len(), j.prometheus.is_some())).collect();
        assert_eq!(scrapes, [(1, false), (0, true), (1, false)]);
        assert_eq!((read.probe[0].service.as_str(), read.probe[0].url.as_str()), ("pay", "http://a/health?x=1"));
    }

    #[test]
    fn a_table_may_not_misspell_its_keys() {
        assert!(toml::from_str::<Both>("[[scrape]]\nurls = []\ninterval = '5s'").is_ok());
        assert!(toml::from_str::<Both>("[[scrape]]\nurl = ''").is_err());
        assert!(toml::from_str::<Both>("[[probe]]\nurl = 'http://x'\nexpected_statuses = [200]").is_err());
    }
}
