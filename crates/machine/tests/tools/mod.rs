//! Programs that tests compare with and that a host may lack.

use std::io::Write;
use std::process::{Command, Stdio};

/// Set where the tests must not pass for want of a program, as on the project's own checks.
const DEMAND: &str = "MARQ_DEMAND_TOOLS";

/// The program, if it is here. If not, the test that asks says so past the harness, which keeps what tests print.
///
/// # Panics
/// When it is missing and demanded.
pub fn find(program: &str, version: &str) -> Option<Command> {
    let mut asked = Command::new(program);
    asked.arg(version).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if asked.status().is_ok_and(|status| status.success()) {
        return Some(Command::new(program));
    }
    assert!(std::env::var_os(DEMAND).is_none(), "{DEMAND} is set, and {program} is missing");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _written = writeln!(std::io::stderr(), "SKIPPED {test}: {program} is not installed");
    None
}
