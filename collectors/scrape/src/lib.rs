//! The Prometheus scraper: reads targets on time, in every exposition format, and tells the store what came, what went and what failed.
//! It judges nothing: whether a value is good is for rules to say.
//!
//! Types to know
//! - [`Scraper::start`] gives a [`ScraperHandle`]: targets, their details, problems, and new jobs while running.
//! - [`Job`]: the settings, a subset of Prometheus's `scrape_config`; [`Job::from_url`] for one URL, [`Job::from_prometheus_yaml`] for a whole file.
//! - [`exposition`]: the formats; each walker calls a [`Recipient`](exposition::Recipient). [`Session`] is the one that stores.
//! - [`SeriesCache`]: the memory of one target, which makes a steady scrape one comparison and one number per line.
//! - [`collector`]: what is known about scraping an OpenTelemetry collector.
//!
//! Invariants
//! - A target's loop shares nothing that waits with another's: a hanging target delays nobody.
//! - A body is stored whole or not at all; a failed scrape ends every series of the one before with a stale marker, and `up` is 0.
//! - Text of a target reaches no log before `harmless`; details hold it raw and bounded, as the API serves it.
//! - No service discovery but static targets and files: watchfire runs beside the engineer, not in the cluster.
//!
//! To add a format: see [`exposition`]. To add a job setting: one field in `job.rs`, its use, and a line in `Job::check` if it can be wrong.

mod byte_size;
pub mod collector;
pub mod exposition;
mod file_sd;
mod job;
mod md5;
mod prometheus_yaml;
mod relabel;
mod request;
mod sample_labels;
mod scraper;
mod series_cache;
mod session;
#[cfg(test)]
mod session_tests;
mod status;
mod target;
mod target_loop;

pub use byte_size::ByteSize;
pub use job::{Authorization, BasicAuth, FileSdConfig, Job, JobError, StaticConfig};
pub use prometheus_yaml::{ImportError, Imported};
pub use relabel::{Action, LabelMap, Relabel, RelabelConfig};
pub use request::ScrapeError;
pub use sample_labels::LabelRules;
pub use scraper::{Scraper, ScraperHandle};
pub use series_cache::SeriesCache;
pub use session::{Counts, Session, SessionRules};
pub use status::{DroppedTarget, TargetDetail, TargetHealth};
