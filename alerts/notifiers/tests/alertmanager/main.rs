//! Verdicts and routes compared with Alertmanager's own tool, where it is installed (`apt-get install prometheus-alertmanager`).

mod files;
mod names;
mod random;
mod routes;

use std::process::Command;

fn amtool() -> bool {
    let present = Command::new("amtool").arg("--version").output().is_ok();
    if !present {
        println!("skipped: amtool is not installed (apt-get install --no-install-recommends prometheus-alertmanager)");
    }
    present
}

/// How many random cases: enough for every landing, more where `WATCHFIRE_CASES` asks for more.
fn cases(usual: usize) -> usize {
    std::env::var("WATCHFIRE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}
