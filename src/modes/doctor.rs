//! `watchfire doctor`: what this machine lets watchfire do, and what to change where it does not.

use crate::cli::DoctorArgs;
use crate::clock::SystemClock;
use crate::exit;
use crate::instance::Plan;
use std::io::IsTerminal;
use std::process::ExitCode;
use watchfire_model::Clock;

/// One line of findings: a word, what was looked at, and what was found.
struct Finding {
    good: bool,
    what: String,
    found: String,
}

/// # Errors
/// Never for what is found wrong: that is the answer.
pub fn doctor(args: &DoctorArgs, runtime: &tokio::runtime::Runtime) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    match Plan::from_flags(&args.run) {
        Ok(plan) => {
            let file = plan.loaded.file.as_ref().map_or("none; the defaults apply".to_owned(), |f| f.display().to_string());
            findings.push(Finding { good: true, what: "configuration".to_owned(), found: file });
            match plan.rule_groups() {
                Ok(groups) => {
                    let rules: usize = groups.iter().map(|g| g.rules.len()).sum();
                    findings.push(Finding { good: true, what: "rules".to_owned(), found: format!("{rules} in {} groups", groups.len()) });
                }
                Err(e) => findings.push(Finding { good: false, what: "rules".to_owned(), found: e.to_string() }),
            }
            for (name, listen) in [("otlp_grpc", plan.config.otlp_grpc), ("otlp_http", plan.config.otlp_http), ("api", plan.config.api)] {
                if let Some(address) = listen.address() {
                    findings.push(port(name, address));
                }
            }
            findings.push(state_directory(&plan.config.state_dir));
            for (path, works, why) in crate::instance::notification_paths(&plan, runtime) {
                findings.push(Finding { good: works, what: format!("notify {path}"), found: if works { "works".to_owned() } else { why } });
            }
        }
        Err(e) => findings.push(Finding { good: false, what: "configuration".to_owned(), found: e.to_string() }),
    }
    findings.push(terminal());
    findings.push(clock());
    if rustix::process::geteuid().is_root() {
        findings.push(Finding { good: false, what: "user".to_owned(), found: "root; watchfire needs no privileges".to_owned() });
    }
    let bad = findings.iter().filter(|f| !f.good).count();
    let width = findings.iter().map(|f| f.what.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for finding in &findings {
        let found = finding.found.replace('\n', &format!("\n{:1$}", "", width + 4));
        out.push_str(&format!("{} {:<width$}  {found}\n", if finding.good { '●' } else { '▲' }, finding.what));
    }
    exit::print(&out);
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn port(name: &str, address: std::net::SocketAddr) -> Finding {
    let (good, found) = match std::net::TcpListener::bind(address) {
        Ok(_) => (true, format!("{address} is free")),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => (
            false,
            format!(
                "{address} is in use{}; if that is watchfire, `watchfire attach` shows it; or choose another with --{}",
                crate::instance::owner(address).map(|o| format!(" by {o}")).unwrap_or_default(),
                name.replace('_', "-")
            ),
        ),
        Err(e) => (false, format!("{address}: {e}")),
    };
    Finding { good, what: name.to_owned(), found }
}

fn state_directory(path: &std::path::Path) -> Finding {
    let what = "state directory".to_owned();
    let probe = std::fs::create_dir_all(path).and_then(|()| {
        let file = path.join(".doctor");
        std::fs::OpenOptions::new().write(true).create_new(true).open(&file)?;
        std::fs::remove_file(file)
    });
    match probe {
        Ok(()) => Finding { good: true, what, found: path.display().to_string() },
        Err(e) => Finding { good: false, what, found: format!("{}: {e}; choose another with --state-dir", path.display()) },
    }
}

fn terminal() -> Finding {
    let term = std::env::var("TERM").unwrap_or_default();
    let size = crossterm::terminal::size().map_or("size unknown".to_owned(), |(w, h)| format!("{w}x{h}"));
    let is = std::io::stdout().is_terminal();
    Finding {
        good: is && term != "dumb",
        what: "terminal".to_owned(),
        found: if is { format!("{term}, {size}") } else { "none here; use --headless or --plain".to_owned() },
    }
}

fn clock() -> Finding {
    let reading = SystemClock.read();
    let asleep = reading.boot.saturating_sub(reading.awake);
    let found =
        format!("{} UTC; this machine slept {} since it booted", crate::api::rfc3339(reading.wall), crate::local::short_duration(asleep));
    Finding { good: reading.wall.millis() > 1_700_000_000_000, what: "clock".to_owned(), found }
}
