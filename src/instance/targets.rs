//! What is scraped and probed: targets named by the configuration, collectors, and the documented ports of a platform.

use super::plan::Plan;
use std::path::Path;
use std::time::Duration;
use watchfire_config::files::{GENERATED, read_text};
use watchfire_config::{Probe, ProbeLimits, ScrapeJob, ScrapeLimits};
use watchfire_health::{CheckSettings, FormatHint};
use watchfire_scrape::{FileSdConfig, Job};

/// Scrape jobs and health checks of a run, the simulator's not included.
///
/// # Errors
/// When a URL cannot be what it is used for.
pub fn targets(plan: &Plan) -> anyhow::Result<(Vec<Job>, Vec<CheckSettings>)> {
    let config = &plan.config;
    let mut jobs = Vec::new();
    let mut checks = Vec::new();
    for job in &config.scrape {
        jobs.extend(scrape_job(job, config.limits.scrape.interval)?);
    }
    tell_apart(&mut jobs);
    for probe in &config.probe {
        checks.push(check(probe, &config.limits.probe)?);
    }
    for url in &config.collector {
        let collector = watchfire_scrape::collector::Collector::from_url(url).map_err(|e| anyhow::anyhow!("--collector {url}: {e}"))?;
        jobs.push(collector.job);
        let mut settings = CheckSettings::from_url(&collector.health_url).map_err(|e| anyhow::anyhow!("--collector {url}: {e}"))?;
        settings.service = crate::local::collector_service(&collector.instance);
        settings.check = "health_check".to_owned();
        checks.push(settings);
    }
    if plan.demo.is_none() {
        platform_targets(plan, &mut jobs, &mut checks)?;
    }
    for job in &mut jobs {
        limit(job, &config.limits.scrape);
    }
    let limits = &config.limits.probe;
    for check in &mut checks {
        check.failures_before_down = limits.failures;
        check.max_redirects = limits.redirects;
        check.body_limit = limits.body.bytes() as usize;
    }
    Ok((jobs, checks))
}

/// A job may set tighter limits than the configuration does, never wider ones.
fn limit(job: &mut Job, limits: &ScrapeLimits) {
    let tighter = |own: usize, all: usize| if own == 0 || all == 0 { own.max(all) } else { own.min(all) };
    job.sample_limit = tighter(job.sample_limit, limits.samples);
    job.label_limit = tighter(job.label_limit, limits.labels);
    job.label_name_length_limit = tighter(job.label_name_length_limit, limits.name.bytes() as usize);
    job.label_value_length_limit = tighter(job.label_value_length_limit, limits.value.bytes() as usize);
    job.body_size_limit.0 = tighter(job.body_size_limit.0, limits.body.bytes() as usize);
    job.max_redirects = limits.redirects;
    job.scrape_timeout = Some(job.scrape_timeout.unwrap_or(limits.timeout).min(job.scrape_interval));
}

fn scrape_job(settings: &ScrapeJob, interval: Duration) -> anyhow::Result<Vec<Job>> {
    let mut jobs = Vec::new();
    if let Some(path) = &settings.prometheus {
        jobs.extend(prometheus_jobs(path)?);
    }
    for url in &settings.urls {
        let mut job = Job::from_url(url).map_err(|e| anyhow::anyhow!("scrape {url}: {e}"))?;
        dress(&mut job, settings, interval);
        jobs.push(job);
    }
    if !settings.file_sd.is_empty() {
        let mut job = Job { job_name: settings.name.clone(), ..Job::default() };
        job.file_sd_configs =
            vec![FileSdConfig { files: settings.file_sd.iter().map(|p| p.display().to_string()).collect(), ..FileSdConfig::default() }];
        dress(&mut job, settings, interval);
        jobs.push(job);
    }
    Ok(jobs)
}

/// Two pages of one address would be one target with one `up`, in turn the one's and the other's: those beside the usual page bear their path, and if need
/// be their parameters.
fn tell_apart(jobs: &mut [Job]) {
    let targets = |job: &Job| (job.job_name.clone(), job.static_configs.iter().flat_map(|c| c.targets.clone()).collect::<Vec<_>>());
    let paths = |job: &Job| job.metrics_path.clone();
    let parameters = |job: &Job| {
        let pairs = job.params.iter().flat_map(|(name, values)| values.iter().map(move |value| format!("{name}={value}")));
        pairs.reduce(|all, pair| format!("{all}&{pair}")).map(|all| format!("?{all}")).unwrap_or_default()
    };
    for suffix in [&paths as &dyn Fn(&Job) -> String, &parameters] {
        let named: Vec<_> = jobs.iter().map(targets).collect();
        for (job, own) in jobs.iter_mut().zip(&named) {
            let alone = own.1.is_empty() || named.iter().filter(|other| *other == own).count() == 1;
            if !alone && suffix(job) != "/metrics" {
                job.job_name = format!("{}{}", job.job_name, suffix(job));
            }
        }
    }
}

/// The jobs of a Prometheus configuration. What has no effect here is said and left aside.
fn prometheus_jobs(path: &Path) -> anyhow::Result<Vec<Job>> {
    let place = path.display();
    let text = read_text(path, GENERATED).map_err(|e| anyhow::anyhow!("cannot read {place}: {e}"))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let imported = Job::from_prometheus_yaml(&text, folder).map_err(|e| anyhow::anyhow!("{place}: {e}"))?;
    if !imported.ignored.is_empty() {
        tracing::warn!("{place}: without effect here: {}", watchfire_model::harmless_limited(&imported.ignored.join(", "), 1000));
    }
    Ok(imported.jobs)
}

fn dress(job: &mut Job, settings: &ScrapeJob, interval: Duration) {
    if !settings.name.is_empty() {
        job.job_name.clone_from(&settings.name);
    }
    job.scrape_interval = settings.interval.unwrap_or(interval);
    job.scrape_timeout = settings.timeout;
    job.honor_labels = settings.honor_labels;
    job.bearer_token_file.clone_from(&settings.bearer_token_file);
    job.labels.extend(settings.labels.clone());
}

fn check(probe: &Probe, limits: &ProbeLimits) -> anyhow::Result<CheckSettings> {
    let url = &probe.url;
    let mut settings = CheckSettings::from_url(url).map_err(|e| anyhow::anyhow!("{e}"))?;
    if !probe.service.is_empty() {
        settings.service.clone_from(&probe.service);
    }
    if !probe.check.is_empty() {
        settings.check.clone_from(&probe.check);
    }
    settings.interval = probe.interval.unwrap_or(limits.interval);
    settings.timeout = probe.timeout.unwrap_or(limits.timeout).min(settings.interval);
    if let Some(method) = &probe.method {
        settings.method.clone_from(method);
    }
    settings.expected_status.clone_from(&probe.expected_status);
    let wrong = |key: &str, what: &dyn std::fmt::Display| anyhow::anyhow!("probe {url}: {key}: {what}");
    if let Some(format) = &probe.format {
        settings.format = FormatHint::try_from(format.clone()).map_err(|e| wrong("format", &e))?;
    }
    if let Some(word) = &probe.unknown_as {
        let word = serde_json::Value::String(word.clone());
        settings.unknown_as = serde_json::from_value(word).map_err(|e| wrong("unknown_as", &e))?;
    }
    settings.bearer_token_file.clone_from(&probe.bearer_token_file);
    settings.tls.ca_file.clone_from(&probe.ca_file);
    settings.tls.insecure_skip_verify = probe.insecure_skip_verify;
    settings.validate().map_err(|e| anyhow::anyhow!("{e}"))?;
    Ok(settings)
}

/// Services of a preset are found at their documented ports on `platform_host`, or where `[services.NAME] url` says.
fn platform_targets(plan: &Plan, jobs: &mut Vec<Job>, checks: &mut Vec<CheckSettings>) -> anyhow::Result<()> {
    let Some(platform) = &plan.platform else { return Ok(()) };
    let found = platform.targets(&plan.config.platform_host, &plan.config.services);
    for target in found.scrapes {
        let mut job = Job::from_url(&target.url).map_err(|e| anyhow::anyhow!("scrape of {}: {e}", target.service))?;
        // Rules of presets ask for `up{job="<service>"}`.
        job.job_name = target.service;
        job.scrape_interval = platform.defaults.scrape_interval;
        jobs.push(job);
    }
    for target in found.probes {
        let mut settings = CheckSettings::from_url(&target.url).map_err(|e| anyhow::anyhow!("probe of {}: {e}", target.service))?;
        settings.service = target.service;
        settings.check = target.check;
        settings.interval = platform.defaults.probe_interval;
        settings.timeout = settings.timeout.min(settings.interval);
        checks.push(settings);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_one_address_are_targets_of_their_own() {
        let urls = [
            "127.0.0.1:15692",
            "http://127.0.0.1:15692/metrics/detailed?family=queue_metrics",
            "http://127.0.0.1:15692/metrics/detailed?family=queue_consumer_count",
            "http://127.0.0.1:9100/node",
            "http://mq.internal:15692/metrics/per-object",
            "http://mq.internal:15692",
        ];
        let mut jobs: Vec<Job> = urls.iter().map(|url| Job::from_url(url).expect("a URL")).collect();
        tell_apart(&mut jobs);
        let names: Vec<&str> = jobs.iter().map(|job| job.job_name.as_str()).collect();
        assert_eq!(
            names,
            [
                "127.0.0.1:15692",
                "127.0.0.1:15692/metrics/detailed?family=queue_metrics",
                "127.0.0.1:15692/metrics/detailed?family=queue_consumer_count",
                "127.0.0.1:9100",
                "mq/metrics/per-object",
                "mq"
            ]
        );
    }
}
