//! `watchfire demo`: a simulated platform, watched as a real one.

use super::run;
use crate::cli::DemoArgs;
use crate::exit;
use crate::instance::{Plan, THRESHOLD_LABEL, platform};
use crate::rehearsal;
use std::process::ExitCode;
use watchfire_model::{format_duration, parse_duration};

/// # Errors
/// When the platform or the scenario is not known, or a port cannot be had.
pub fn demo(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    if args.list {
        exit::print(&list(args.platform())?);
        return Ok(ExitCode::SUCCESS);
    }
    let for_duration = match &args.for_duration {
        Some(text) => Some(parse_duration(text).map_err(|e| anyhow::anyhow!("--for: {e}; write 60s or 2m"))?),
        None => None,
    };
    let plan = Plan::demo(args)?;
    if args.rehearse {
        return rehearse(&plan, args);
    }
    let headless = plan.config.headless;
    run::start(plan, headless, &args.run.screen, for_duration)
}

/// Every scenario that was asked for on simulated time, and after all of them what none touches.
fn rehearse(plan: &Plan, args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let Some(platform) = &plan.platform else { unreachable!("a demo has a platform") };
    let mut accounts = Vec::new();
    let mut good = true;
    for scenario in platform.scenarios.iter().filter(|s| args.scenario.as_ref().is_none_or(|name| *name == s.name)) {
        let account = rehearsal::rehearse(plan, platform, scenario, args.seed)?;
        good &= account.faults().is_empty();
        exit::print(&rehearsal::text(&account));
        accounts.push(account);
    }
    if args.scenario.is_none() {
        let thresholds =
            plan.rule_groups()?.into_iter().flat_map(|g| g.rules).flat_map(|r| r.labels).filter(|(name, _)| name == THRESHOLD_LABEL);
        let gaps = rehearsal::gaps(platform, &thresholds.map(|(_, id)| id).collect(), &accounts);
        good &= gaps.is_empty();
        for gap in &gaps {
            exit::print(&format!("  !! {gap}\n"));
        }
        let faults = accounts.iter().filter(|a| !a.faults().is_empty()).count();
        exit::print(&format!("{}: {} scenarios, {faults} with faults, {} gaps\n", platform.title, accounts.len(), gaps.len()));
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
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
