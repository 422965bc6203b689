//! What is scraped and probed: targets named by the configuration, collectors, and the documented ports of a platform.

use super::plan::Plan;
use watchfire_config::{Probe, ScrapeJob};
use watchfire_health::CheckSettings;
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
        jobs.extend(scrape_job(job)?);
    }
    for probe in &config.probe {
        checks.push(check(probe)?);
    }
    for url in &config.collector {
        let collector = watchfire_scrape::collector::Collector::from_url(url).map_err(|e| anyhow::anyhow!("--collector {url}: {e}"))?;
        jobs.push(collector.job);
        let mut settings = CheckSettings::from_url(&collector.health_url).map_err(|e| anyhow::anyhow!("--collector {url}: {e}"))?;
        settings.service = format!("otelcol {}", collector.instance);
        settings.check = "health_check".to_owned();
        checks.push(settings);
    }
    if plan.demo.is_none() {
        platform_targets(plan, &mut jobs, &mut checks)?;
    }
    let limits = &config.limits;
    for job in &mut jobs {
        job.sample_limit = limits.scrape.samples;
        job.label_limit = limits.scrape.labels;
        job.label_name_length_limit = limits.scrape.name.bytes() as usize;
        job.label_value_length_limit = limits.scrape.value.bytes() as usize;
    }
    for check in &mut checks {
        check.failures_before_down = limits.probe.failures;
    }
    Ok((jobs, checks))
}

fn scrape_job(settings: &ScrapeJob) -> anyhow::Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for url in &settings.urls {
        let mut job = Job::from_url(url).map_err(|e| anyhow::anyhow!("scrape {url}: {e}"))?;
        dress(&mut job, settings);
        jobs.push(job);
    }
    if !settings.file_sd.is_empty() {
        let mut job = Job { job_name: settings.name.clone(), ..Job::default() };
        job.file_sd_configs =
            vec![FileSdConfig { files: settings.file_sd.iter().map(|p| p.display().to_string()).collect(), ..FileSdConfig::default() }];
        dress(&mut job, settings);
        jobs.push(job);
    }
    Ok(jobs)
}

fn dress(job: &mut Job, settings: &ScrapeJob) {
    if !settings.name.is_empty() {
        job.job_name.clone_from(&settings.name);
    }
    if let Some(interval) = settings.interval {
        job.scrape_interval = interval;
    }
    job.scrape_timeout = settings.timeout;
    job.honor_labels = settings.honor_labels;
    job.bearer_token_file.clone_from(&settings.bearer_token_file);
    job.labels.extend(settings.labels.clone());
}

fn check(probe: &Probe) -> anyhow::Result<CheckSettings> {
    let url = &probe.url;
    let mut settings = CheckSettings::from_url(url).map_err(|e| anyhow::anyhow!("probe {url}: {e}"))?;
    if !probe.service.is_empty() {
        settings.service.clone_from(&probe.service);
    }
    if !probe.check.is_empty() {
        settings.check.clone_from(&probe.check);
    }
    if let Some(interval) = probe.interval {
        settings.interval = interval;
    }
    settings.timeout = probe.timeout.unwrap_or(settings.timeout.min(settings.interval));
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
