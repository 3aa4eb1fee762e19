//! `bless`: the generated documents, and whether the stored ones are those; what the instruction tests expect.

use crate::tidy::Finding;
use crate::{Outcome, devices_doc, isa_doc, shell};

/// A document and how it is made.
type Generated = (&'static str, fn() -> Result<String, String>);

const DOCUMENTS: [Generated; 2] = [("docs/ISA.md", isa_doc::text), ("docs/DEVICES.md", devices_doc::text)];

/// The program that rewrites what `tests/filetests` expects. It needs both executors, which this tool does without.
const FILETESTS: [&str; 8] =
    ["run", "--quiet", "--profile", "ci", "--package", "marquetry-difftest", "--bin", "bless"];

/// Writes every generated document that differs from what would be written, and has the instruction tests rewritten.
pub fn run() -> Outcome {
    for (path, text) in DOCUMENTS {
        let text = text()?;
        let same = shell::read(path).is_ok_and(|stored| stored == text);
        if !same {
            shell::write(path, &text)?;
        }
        println!("{path}: {}", if same { "unchanged" } else { "written" });
    }
    shell::succeeds(&mut shell::command(&shell::cargo(), &FILETESTS))
}

/// A finding for every generated document that is not what `bless` would write.
pub fn stale() -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for (path, text) in DOCUMENTS {
        let text = text()?;
        if shell::read(path).ok().as_ref() != Some(&text) {
            findings.push(format!("{path}: out of date: run cargo xtask bless"));
        }
    }
    Ok(findings)
}
