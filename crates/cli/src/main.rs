//! `marq`: the command line of marquetry. The outer edge: arguments, files, terminal.
#![forbid(unsafe_code)]

mod args;
mod bench;
mod diff;
mod dump;
mod explain;
mod guests;
mod looks;
mod mtree;
mod out;
mod outcome;
mod progress;
mod report;
mod run;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use outcome::{Outcome, status};

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::WARN)
        .without_time()
        .init();
    let cli = Cli::parse_from(args::legacy(std::env::args_os()));
    let outcome = match &cli.command {
        Command::Run(args) => run::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Diff(command) => diff::run(command),
        Command::Explain(args) => explain::run(args),
        Command::Mtree(args) => mtree::run(args),
        Command::Guests => Ok(guests::list()),
    };
    match outcome {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(message) => {
            eprintln!("marq: {message}");
            ExitCode::from(Outcome::status(status::USAGE).code())
        }
    }
}
