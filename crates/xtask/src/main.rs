//! The project's own tool: `cargo xtask check`, `tidy`, `bless`, `isa`, `ab`, `guests`, `checklist`, `mutate`.
//!
//! Each subcommand is one file. Nothing here needs the network.
#![forbid(unsafe_code)]

mod ab;
mod bless;
mod check;
mod checklist;
mod devices_doc;
mod guests;
mod isa_doc;
mod mutate;
mod places;
mod rng;
mod shell;
mod stats;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a subcommand gives: whether it found everything in order, or why it could not run.
type Outcome = Result<bool, String>;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Checks, generated documents and measurements of this repository")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The gate: format, lints, tests, tidy
    Check,
    /// Rules that no compiler checks: edges between crates, unsafe, file headers, links, generated documents
    Tidy,
    /// Writes the generated documents and what the instruction tests expect anew
    Bless,
    /// Prints the places of an instruction and which of them exist
    Isa {
        /// Name of the operation, as in `Op` (any case): adc, movzx, jcc
        mnemonic: String,
    },
    /// Compares the speed of this tree with that of another revision, in interleaved pairs of runs
    Ab(ab::Args),
    /// Builds the guest programs
    Guests {
        /// Only compares the images beside the sources with fresh ones
        #[arg(long)]
        check: bool,
    },
    /// Runs the tests of the memory model's checklist and lists its items
    Checklist,
    /// Breaks the code in random places and counts which breaks the tests notice
    Mutate(mutate::Args),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Check => check::run(),
        Command::Tidy => tidy::run(),
        Command::Bless => bless::run(),
        Command::Isa { mnemonic } => places::run(&mnemonic),
        Command::Ab(args) => ab::run(&args),
        Command::Guests { check } => guests::run(check),
        Command::Checklist => checklist::run(),
        Command::Mutate(args) => mutate::run(&args),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::from(2)
        }
    }
}
