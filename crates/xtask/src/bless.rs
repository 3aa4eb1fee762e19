//! `bless`: the generated documents, and whether the stored ones are those.

use crate::tidy::Finding;
use crate::{Outcome, devices_doc, isa_doc, shell};

/// A document and how it is made.
type Generated = (&'static str, fn() -> Result<String, String>);

const DOCUMENTS: [Generated; 2] = [("docs/ISA.md", isa_doc::text), ("docs/DEVICES.md", devices_doc::text)];

/// Writes every generated document that differs from what would be written.
pub fn run() -> Outcome {
    for (path, text) in DOCUMENTS {
        let text = text()?;
        let same = shell::read(path).is_ok_and(|stored| stored == text);
        if !same {
            shell::write(path, &text)?;
        }
        println!("{path}: {}", if same { "unchanged" } else { "written" });
    }
    Ok(true)
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
