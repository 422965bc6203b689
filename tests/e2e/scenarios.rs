//! Scenarios on simulated time, from the bytes of the simulated services to the people who are told. Every run checks that exactly the declared
//! alerts fire and resolve, that each is told to whom the document says, over that channel, with its severity, owner and impact, or held back for
//! a cause that fires, that exactly the declared objectives are missed and met again, and that breakers come back.
//!
//! One scenario of each platform runs always; all of them, and what no scenario touches, with
//! `WATCHFIRE_SCENARIOS=all cargo test --release --test e2e scenarios -- --nocapture`.

use crate::instance::command;
use std::process::Stdio;
use tempfile::TempDir;

fn rehearse(platform: &str, scenario: Option<&str>) {
    let state = TempDir::new().expect("a temporary directory");
    let mut command = command(state.path());
    command.args(["demo", platform, "--rehearse"]);
    command.args(scenario.iter().flat_map(|name| ["--scenario", *name]));
    let output = command.stdin(Stdio::null()).output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{platform}: {text}{}", String::from_utf8_lossy(&output.stderr));
}

fn one_or_all(platform: &str, scenario: &str) {
    let all = std::env::var("WATCHFIRE_SCENARIOS").is_ok_and(|v| v == "all" || v == platform);
    rehearse(platform, (!all).then_some(scenario));
}

#[test]
fn clientnest() {
    one_or_all("clientnest", "database_outage");
}

#[test]
fn mediacms() {
    one_or_all("mediacms", "replication_lag");
}

#[test]
fn commerce() {
    one_or_all("commerce", "cdc_lag");
}

#[test]
fn playnite() {
    one_or_all("playnite", "service_gone");
}

#[test]
fn sunday() {
    one_or_all("sunday", "kafka_silence");
}
