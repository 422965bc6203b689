//! `watchfire config`: write, check and show the configuration.

use crate::cli::{ConfigCommand, RunFlags, ScreenFlags};
use crate::exit;
use crate::instance::{Plan, environment};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use watchfire_config::Ui;
use watchfire_views::App;

/// # Errors
/// When the configuration is wrong; every mistake is named.
pub fn config(command: &ConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Init { file, from_telemetry: true, instance } => {
            let runtime = super::runtime()?;
            let text = crate::preset::from_telemetry(&instance.url, &runtime)?;
            write(file.as_deref(), &text)
        }
        ConfigCommand::Init { file, .. } => write(file.as_deref(), &watchfire_config::init_text()),
        ConfigCommand::Dialects { instance } => {
            let runtime = super::runtime()?;
            let known = crate::instance::dialects_beside(&watchfire_config::paths(&environment()).config_file)?;
            exit::print(&crate::preset::dialects(&instance.url, &known, &runtime)?);
            Ok(ExitCode::SUCCESS)
        }
        ConfigCommand::Check { run } => check(run),
        ConfigCommand::Show { origin, run } => {
            let plan = Plan::from_flags(run)?;
            exit::print(&if *origin { plan.loaded.show_with_origin() } else { plan.loaded.show() });
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Never writes over a file that is there.
fn write(file: Option<&Path>, text: &str) -> anyhow::Result<ExitCode> {
    match file {
        None => exit::print(text),
        Some(path) => {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(path)
                .map_err(|e| anyhow::anyhow!("cannot write {}: {e}", path.display()))?;
            file.write_all(text.as_bytes())?;
            exit::print(&format!("wrote {}\n", path.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Theme, keymap and time zone are read as the screens would, without asking the terminal anything.
fn looks(ui: &Ui) -> anyhow::Result<()> {
    let theme = matches!(ui.theme.as_str(), "" | "auto").then(|| "dark".to_owned());
    let flags = ScreenFlags { theme, ..ScreenFlags::default() };
    App::new(crate::appearance::options(&flags, ui)?)?;
    Ok(())
}

fn check(flags: &RunFlags) -> anyhow::Result<ExitCode> {
    let plan = match Plan::from_flags(flags) {
        Ok(plan) => plan,
        Err(error) => {
            exit::complain(&error);
            return Ok(ExitCode::from(1));
        }
    };
    let mut wrong = Vec::new();
    let rules = match plan.rule_groups() {
        Ok(groups) => groups.iter().map(|g| g.rules.len()).sum(),
        Err(e) => {
            wrong.push(e);
            0
        }
    };
    if let Err(e) = crate::instance::targets(&plan) {
        wrong.push(e);
    }
    if let Err(e) = looks(&plan.config.ui) {
        wrong.push(e);
    }
    let delivery = crate::instance::notify_settings(&plan, "");
    match delivery.and_then(|s| watchfire_notifiers::check(&s).map_err(|e| anyhow::anyhow!("notify: {e}"))) {
        Ok(unused) => unused.iter().for_each(|line| exit::warn(line)),
        Err(e) => wrong.push(e),
    }
    for warning in &plan.loaded.warnings {
        exit::warn(&warning.to_string());
    }
    plan.unmatched_rules().iter().for_each(|line| exit::warn(line));
    if !wrong.is_empty() {
        for error in &wrong {
            exit::complain(error);
        }
        return Ok(ExitCode::from(1));
    }
    let file = plan.loaded.file.as_ref().map_or("defaults only, no file".to_owned(), |f| f.display().to_string());
    let platform = plan.platform.as_ref().map_or(String::new(), |p| {
        let [services, queues, breakers] = [p.services.len(), p.queues.len(), p.breakers.len()];
        format!("; platform {}: {services} services, {queues} queues, {breakers} breakers, {} scenarios", p.name, p.scenarios.len())
    });
    exit::print(&format!("good: {file}{platform}; {rules} rules\n"));
    Ok(ExitCode::SUCCESS)
}
