//! The simulated platform of a demo, seen through the same scrapes, probes and receivers as a real one.

use super::plan::DemoPlan;
use super::receivers::Receivers;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watchfire_config::Platform;
use watchfire_demo::{DemoOptions, Simulator};
use watchfire_health::CheckSettings;
use watchfire_scrape::Job;

/// Starts the simulator and adds its endpoints to what is scraped and probed.
///
/// # Errors
/// When a port cannot be had.
pub async fn start(
    platform: &Platform,
    demo: &DemoPlan,
    receivers: &Receivers,
    jobs: &mut Vec<Job>,
    checks: &mut Vec<CheckSettings>,
    cancel: &CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let options = DemoOptions {
        seed: demo.seed,
        speed: demo.speed,
        scenario: demo.scenario.as_ref().and_then(|name| platform.scenario(name)).cloned(),
        receivers: watchfire_demo::Receivers { otlp_grpc: receivers.grpc, otlp_http: receivers.http },
        ..DemoOptions::default()
    };
    let running = Simulator::start(platform, options).await.map_err(|e| anyhow::anyhow!("cannot simulate {}: {e}", platform.title))?;
    for target in &running.scrape_targets {
        let mut job = Job::from_url(&target.url).map_err(|e| anyhow::anyhow!("{e}"))?;
        job.job_name.clone_from(&target.service);
        job.scrape_interval = scaled(platform.defaults.scrape_interval);
        jobs.push(job);
    }
    for target in &running.probe_targets {
        let mut check = CheckSettings::from_url(&target.url).map_err(|e| anyhow::anyhow!("{e}"))?;
        check.service.clone_from(&target.service);
        check.check.clone_from(&target.check);
        check.interval = scaled(platform.defaults.probe_interval);
        check.timeout = check.timeout.min(check.interval);
        checks.push(check);
    }
    let cancel = cancel.clone();
    Ok(tokio::spawn(async move {
        cancel.cancelled().await;
        running.stop().await;
    }))
}

/// A demo is looked at closely: never slower than every five seconds.
fn scaled(interval: Duration) -> Duration {
    interval.min(Duration::from_secs(5))
}
