//! `marq diff`.

use crate::args::DiffCommand;
use crate::outcome::Outcome;

/// Runs a comparison.
///
/// # Errors
/// A sentence for people.
pub fn run(command: &DiffCommand) -> Result<Outcome, String> {
    Err(format!("{command:?}: not wired up"))
}
