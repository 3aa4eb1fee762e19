//! `guests`: the guest programs' own build script.

use crate::{Outcome, shell};

/// The build script.
const SCRIPT: &str = "guests/build.sh";

/// Builds the guest programs, or with `check` compares the stored images with fresh ones.
pub fn run(check: bool) -> Outcome {
    if !shell::root().join(SCRIPT).is_file() {
        return Err(format!("{SCRIPT} does not exist"));
    }
    let args: &[&str] = if check { &[SCRIPT, "--check"] } else { &[SCRIPT] };
    shell::succeeds(&mut shell::command("bash", args))
}
