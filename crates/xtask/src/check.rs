//! `check`: the gate that every change passes.

use crate::{Outcome, shell, tidy};

/// The command of `README.md` that runs all tests, without `cargo`.
pub const TESTS: [&str; 4] = ["test", "--workspace", "--profile", "ci"];

const FORMAT: &[&str] = &["fmt", "--all", "--check"];
const LINTS: &[&str] =
    &["clippy", "--workspace", "--all-targets", "--profile", "ci", "--offline", "--", "-D", "warnings"];

/// Runs every step, also after one failed, and says at the end which did.
pub fn run() -> Outcome {
    let mut failed = Vec::new();
    for (name, args) in [("format", FORMAT), ("lints", LINTS), ("tests", &TESTS[..])] {
        let mut command = shell::command(&shell::cargo(), args);
        eprintln!("== {name}: {}", shell::line(&command));
        if !shell::succeeds(&mut command)? {
            failed.push(name);
        }
    }
    eprintln!("== tidy");
    if !tidy::run()? {
        failed.push("tidy");
    }
    match failed.as_slice() {
        [] => eprintln!("check: all in order"),
        steps => eprintln!("check: failed: {}", steps.join(", ")),
    }
    Ok(failed.is_empty())
}
