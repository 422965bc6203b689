//! One file per thing the command line can ask for.

mod attach;
mod check;
mod config;
mod demo;
mod doctor;
mod exports;
mod leaving;
mod notify;
pub mod query;
mod rules;
mod run;
mod screen;
mod status;
mod typed;

pub use screen::Wake;

use crate::cli::{Cli, Command};
use crate::exit;
use clap::CommandFactory;
use std::process::ExitCode;

/// Runs what was asked.
///
/// # Errors
/// Whatever kept it from being done, for the person at the command line.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Some(command) = cli.command else { return run::run(&cli.run) };
    match command {
        Command::Run(flags) => run::run(&flags),
        Command::Demo(args) => demo::demo(&args),
        Command::Attach(args) => attach::attach(&args),
        Command::Status(args) => status::status(&args, &runtime()?),
        Command::Check(args) => check::check(&args, &runtime()?),
        Command::Query(args) => query::query(&args, &runtime()?),
        Command::Rules(args) => rules::rules(&args),
        Command::Config(args) => config::config(&args),
        Command::Notify(args) => notify::notify(&args, &runtime()?),
        Command::Doctor(args) => doctor::doctor(&args, &runtime()?),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "watchfire", &mut script);
            exit::print(&String::from_utf8_lossy(&script));
            Ok(ExitCode::SUCCESS)
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            exit::print(&String::from_utf8_lossy(&page));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Two workers carry sockets and timers; queries and files run on blocking threads of their own.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(32)
        .thread_name("watchfire-io")
        .enable_all()
        .build()?)
}
