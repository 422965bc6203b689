//! `watchfire notify test`: one test notification over every path, and which of them arrived.

use crate::cli::NotifyCommand;
use crate::exit;
use crate::instance::Plan;
use std::process::ExitCode;

/// # Errors
/// When the configuration is wrong.
pub fn notify(command: &NotifyCommand, runtime: &tokio::runtime::Runtime) -> anyhow::Result<ExitCode> {
    let NotifyCommand::Test { run } = command;
    let plan = Plan::from_flags(run)?;
    let paths = crate::instance::test_notifications(&plan, runtime)?;
    let mut out = String::new();
    let width = paths.iter().map(|(path, _, _)| path.chars().count()).max().unwrap_or(0);
    let mut failed = 0;
    for (path, works, why) in &paths {
        failed += usize::from(!works);
        out.push_str(&format!(
            "{} {path:<width$}  {}\n",
            if *works { '●' } else { '✖' },
            if *works { format!("sent: {why}") } else { why.clone() }
        ));
    }
    if paths.is_empty() {
        out.push_str("no notification path is configured; see `notify` and [receivers] in `watchfire config init`\n");
    }
    exit::print(&out);
    Ok(if failed == 0 && !paths.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
