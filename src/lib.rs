//! The program: command line, run modes, HTTP API and wiring. The only place that knows every other folder, the real clock, the
//! real terminal and signals.
//!
//! Types to know
//! - [`cli::Cli`]: what can be asked on the command line; `modes/` has one file per answer.
//! - `instance::Instance`: everything that runs in one process, started and stopped as one.
//! - `local::LocalSource`: readings of this process; `attach::RemoteSource`: those of another;
//!   `prometheus::PrometheusSource`: those of a Prometheus. Views cannot tell them apart.
//! - `api::Api`: the HTTP API, which is readings serialised, plus Prometheus's own.
//!
//! Invariants
//! - Nothing below this folder reads the wall clock (but the simulator, which stands for other machines), prints, or ends the process.
//! - Everything that prints goes through `exit`, which makes text harmless; the ready line of a headless run is JSON of addresses and goes
//!   out by itself, because a run that cannot say where it listens does not begin.
//! - The terminal is given back on every way out.
//!
//! To add a run mode: one file in `modes/`, one variant in `cli::Command`, one arm in `modes::run`.

mod api;
mod appearance;
mod attach;
mod board;
mod chart;
pub mod cli;
mod clock;
mod door;
mod exit;
mod instance;
mod local;
mod logging;
mod memory;
mod modes;
mod preset;
mod prometheus;
mod rehearsal;
mod samples_file;
mod screen_backend;
mod terminal;
mod tls;
mod topology;
mod wire;

/// For the benchmark of the time cursor, which needs a run that is held.
pub use rehearsal::{CursorSteps, cursor_steps};

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::process::ExitCode;

/// Parses the command line and runs what it asks.
pub fn start() -> ExitCode {
    terminal::tame_panics();
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let judging = arguments.get(1).is_some_and(|a| a == "check");
    let cli = match cli::Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let usage = error.use_stderr();
            // clap styles its own text; what it quotes from the command line is the caller's own.
            let _ = error.print();
            if let (ErrorKind::ArgumentConflict, Some(ContextValue::String(command))) =
                (error.kind(), error.get(ContextKind::InvalidSubcommand))
            {
                exit::advise(&format!("write flags behind the subcommand they are for: watchfire {command} [OPTIONS]"));
            }
            return match (usage, judging) {
                (false, _) => ExitCode::SUCCESS,
                (true, true) => ExitCode::from(exit::USAGE),
                (true, false) => ExitCode::from(exit::FAILED),
            };
        }
    };
    // Errors mean that the ring provider is installed already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match modes::run(cli) {
        Ok(code) => code,
        Err(error) => {
            exit::complain(&error);
            ExitCode::from(exit::code(&error))
        }
    }
}
