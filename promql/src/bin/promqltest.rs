//! Runs test scripts of Prometheus and counts evaluations: `promqltest FILE...`. The last line is `N passed, M failed`.

use std::process::ExitCode;
use watchfire_model::harmless;
use watchfire_promql::script;

fn main() -> ExitCode {
    let files: Vec<std::path::PathBuf> = std::env::args_os().skip(1).map(Into::into).collect();
    if files.is_empty() {
        eprintln!("usage: promqltest FILE...");
        return ExitCode::from(64);
    }
    let (mut passed, mut failed, mut problems) = (0, 0, 0);
    for file in &files {
        let name = file.display().to_string();
        let name = harmless(&name);
        let text = match std::fs::read(file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                println!("{name}: cannot be read: {error}");
                problems += 1;
                continue;
            }
        };
        // A defect met by one script must not cost the others their run.
        let Ok(report) = std::panic::catch_unwind(|| script::run(&text)) else {
            println!("{name}: the runner failed");
            problems += 1;
            continue;
        };
        for failure in &report.problems {
            println!("{name}:{}: {}: {}", failure.line, harmless(&failure.subject), harmless(&failure.message));
        }
        for failure in &report.failures {
            println!("{name}:{}: {}", failure.line, harmless(&failure.subject));
            failure.message.lines().for_each(|line| println!("    {}", harmless(line.trim_start())));
        }
        passed += report.passed;
        failed += report.failed;
        problems += report.problems.len();
    }
    println!("{passed} passed, {failed} failed");
    if failed + problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
