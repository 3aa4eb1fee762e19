//! `tidy`: the rules of `docs/STYLE.md` and `docs/ARCHITECTURE.md` that no compiler checks.

mod documents;
mod edges;
mod lex;
mod source;
mod table;
mod text;
mod unsafe_files;

use crate::{Outcome, bless, shell};

/// One broken rule: where, and what to do about it.
pub type Finding = String;

/// Runs all rules and prints what they find.
pub fn run() -> Outcome {
    let files = shell::files("")?;
    let architecture = shell::read(table::ARCHITECTURE)?;
    let mut findings = edges::check(&architecture)?;
    findings.extend(unsafe_files::check(&architecture, &files)?);
    findings.extend(source::check(&files)?);
    findings.extend(text::check(&files)?);
    findings.extend(documents::check(&files)?);
    findings.extend(bless::stale()?);
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => eprintln!("tidy: {} files in order", files.len()),
        count => eprintln!("tidy: {count} findings"),
    }
    Ok(findings.is_empty())
}
