//! Where `unsafe` may stand: the files in the table of `docs/ARCHITECTURE.md`, and no others.

use std::collections::BTreeSet;

use super::lex::{code_only, lines_with_word};
use super::{Finding, table};
use crate::shell;

/// `unsafe` outside the listed files, rows without a file, and crates without a row that do not forbid it.
pub fn check(architecture: &str, files: &[String]) -> Result<Vec<Finding>, String> {
    let rows = table::rows(architecture, "Unsafe")?;
    let listed: Vec<&str> =
        rows.iter().filter_map(|cells| table::quoted(cells[0]).first().copied()).collect();
    let mut findings = Vec::new();
    let mut used = BTreeSet::new();
    for path in files.iter().filter(|path| path.ends_with(".rs")) {
        let code = code_only(&shell::read(path)?);
        let row = listed.iter().find(|pattern| matches(pattern, path));
        for line in lines_with_word(&code, "unsafe") {
            match row {
                Some(pattern) => drop(used.insert(*pattern)),
                None => findings.push(format!(
                    "{path}:{line}: unsafe in a file that {} does not list",
                    table::ARCHITECTURE
                )),
            }
        }
    }
    let stale = listed.iter().filter(|pattern| !used.contains(**pattern));
    findings.extend(
        stale.map(|pattern| format!("{}: no unsafe code in {pattern}: remove the row", table::ARCHITECTURE)),
    );
    findings.extend(forbidding(&listed, files)?);
    Ok(findings)
}

/// Crates without a listed file must forbid unsafe code at their root.
fn forbidding(listed: &[&str], files: &[String]) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for path in files.iter().filter(|path| is_crate_root(path)) {
        let source = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        if listed.iter().any(|pattern| pattern.starts_with(&format!("{source}/"))) {
            continue;
        }
        if !code_only(&shell::read(path)?).contains("#![forbid(unsafe_code)]") {
            findings
                .push(format!("{path}:1: the crate has no row for unsafe code: add #![forbid(unsafe_code)]"));
        }
    }
    Ok(findings)
}

fn is_crate_root(path: &str) -> bool {
    path.starts_with("crates/") && (path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs"))
}

/// Whether `path` is the file of a row; one `*` stands for any part of a file's name.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((start, end)) => {
            let middle = path.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
            middle.is_some_and(|middle| !middle.contains('/'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_inside_the_file_name() {
        assert!(matches("crates/a/src/native*.rs", "crates/a/src/native.rs"));
        assert!(matches("crates/a/src/native*.rs", "crates/a/src/native_runner.rs"));
        assert!(!matches("crates/a/src/native*.rs", "crates/a/src/native/run.rs"));
        assert!(!matches("crates/a/src/ram.rs", "crates/a/src/ram2.rs"));
    }

    #[test]
    fn roots_of_crates_are_known() {
        assert!(is_crate_root("crates/base/src/lib.rs"));
        assert!(!is_crate_root("crates/base/src/mmu/lib_test.rs"));
        assert!(!is_crate_root("tests/src/lib.rs"));
    }
}
