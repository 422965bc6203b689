//! What is known about each target: for the health view and for `/api/v1/targets`.

use crate::target::TargetPlan;
use serde::{Serialize, Serializer};
use std::time::Duration;
use watchfire_model::reading::Target;
use watchfire_model::{Labels, Timestamp, format_duration, is_secret_name, without_secrets};

/// `unknown` until the first scrape ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetHealth {
    Up,
    Down,
    #[default]
    Unknown,
}

/// A target in the shape of Prometheus's `/api/v1/targets`, and what watchfire adds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetDetail {
    pub discovered_labels: Labels,
    pub labels: Labels,
    pub scrape_pool: String,
    pub scrape_url: String,
    pub global_url: String,
    pub last_error: String,
    #[serde(serialize_with = "rfc3339")]
    pub last_scrape: Option<Timestamp>,
    /// Seconds.
    pub last_scrape_duration: f64,
    pub health: TargetHealth,
    pub scrape_interval: String,
    pub scrape_timeout: String,
    /// Samples of the last good scrape.
    #[serde(skip)]
    pub samples: Option<u64>,
    /// What was tolerated in the last scrape, in words; empty when nothing was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A target that relabelling dropped.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DroppedTarget {
    pub discovered_labels: Labels,
    pub scrape_pool: String,
}

/// Labels before relabelling, without the secrets among the parameters of the address.
pub(crate) fn shown(discovered: &Labels) -> Labels {
    let is_secret = |name: &str| name.strip_prefix("__param_").is_some_and(is_secret_name);
    Labels::from_pairs(discovered.iter().map(|l| (&*l.name, if is_secret(&l.name) { "<secret>" } else { &*l.value })))
}

impl TargetDetail {
    pub(crate) fn new(plan: &TargetPlan, pool: &str) -> Self {
        TargetDetail {
            discovered_labels: shown(&plan.discovered),
            labels: plan.labels.clone(),
            scrape_pool: pool.to_owned(),
            scrape_url: without_secrets(plan.url.as_str()).into_owned(),
            global_url: without_secrets(plan.url.as_str()).into_owned(),
            last_error: String::new(),
            last_scrape: None,
            last_scrape_duration: 0.0,
            health: TargetHealth::Unknown,
            scrape_interval: format_duration(plan.interval),
            scrape_timeout: format_duration(plan.timeout),
            samples: None,
            warnings: Vec::new(),
        }
    }

    pub(crate) fn scraped(&mut self, at: Timestamp, took: Duration, outcome: Result<(u64, Vec<String>), String>) {
        self.last_scrape = Some(at);
        self.last_scrape_duration = took.as_secs_f64();
        match outcome {
            Ok((samples, warnings)) => {
                self.health = TargetHealth::Up;
                self.samples = Some(samples);
                self.warnings = warnings;
                self.last_error.clear();
            }
            Err(why) => {
                self.health = TargetHealth::Down;
                self.warnings.clear();
                self.last_error = why;
            }
        }
    }

    /// The row of the health view.
    pub fn reading(&self) -> Target {
        Target {
            job: self.labels.value("job").to_owned(),
            instance: self.labels.value("instance").to_owned(),
            url: self.scrape_url.clone(),
            up: match self.health {
                TargetHealth::Up => Some(true),
                TargetHealth::Down => Some(false),
                TargetHealth::Unknown => None,
            },
            last_error: self.last_error.clone(),
            last_scrape: self.last_scrape,
            duration_seconds: self.last_scrape.map(|_| self.last_scrape_duration),
            samples: self.samples,
        }
    }
}

/// As Prometheus writes it; its zero time for never.
fn rfc3339<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = at
        .and_then(|at| chrono::DateTime::from_timestamp_millis(at.millis()))
        .map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |t| t.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
    serializer.serialize_str(&text)
}
