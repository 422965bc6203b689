//! `watchfire demo`: a simulated platform, watched as a real one.

use super::run;
use crate::cli::DemoArgs;
use crate::exit;
use crate::instance::{Plan, platform};
use std::process::ExitCode;
use watchfire_model::{format_duration, parse_duration};

/// # Errors
/// When the platform or the scenario is not known, or a port cannot be had.
pub fn demo(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    if args.list {
        exit::print(&list(&args.platform)?);
        return Ok(ExitCode::SUCCESS);
    }
    let for_duration = match &args.for_duration {
        Some(text) => Some(parse_duration(text).map_err(|e| anyhow::anyhow!("--for: {e}; write 60s or 2m"))?),
        None => None,
    };
    let mut plan = Plan::demo(args)?;
    // A demo leaves nothing behind and meets nobody: ports that are taken are not worth an error here.
    plan.prefer_free_ports(&args.run);
    let headless = plan.config.headless;
    run::start(plan, headless, &args.run.screen, for_duration)
}

/// Scenarios with what they trip and what to look for.
fn list(name: &str) -> anyhow::Result<String> {
    let platform = platform(name)?;
    let mut out = format!("{}: {} services, {} scenarios\n\n", platform.title, platform.services.len(), platform.scenarios.len());
    let width = platform.scenarios.iter().map(|s| s.name.len()).max().unwrap_or(0);
    for scenario in &platform.scenarios {
        out.push_str(&format!(
            "{:<width$}  {} ({}; trips {})\n{:width$}  look for: {}\n",
            scenario.name,
            scenario.title,
            format_duration(scenario.lasts),
            scenario.trips.join(", "),
            "",
            scenario.look_for,
        ));
    }
    out.push_str(&format!("\nwatchfire demo {name} --scenario NAME\n"));
    Ok(out)
}
