//! Rules about single Rust files.

use super::Finding;
use super::lex::{code_only, is_word};
use crate::shell;

/// Lines of a file without its tests at which it has to be split by family.
const MAX_LINES: usize = 800;
/// A root file of fewer lines needs no header.
const SMALL_ROOT: usize = 10;

/// Code that must not stand anywhere, with what to do instead.
const FORBIDDEN: [(&str, &str); 5] = [
    ("todo!", "finish it"),
    ("unimplemented!", "finish it"),
    ("dbg!", "use tracing"),
    ("#[ignore", "no test is ignored"),
    ("process::abort", "a guest must not end the host"),
];

/// Checks every Rust file.
pub fn check(files: &[String]) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for path in files.iter().filter(|path| path.ends_with(".rs")) {
        findings.extend(file(path, &shell::read(path)?));
    }
    Ok(findings)
}

fn file(path: &str, text: &str) -> Vec<Finding> {
    let code = code_only(text);
    let mut findings = Vec::new();
    if !has_header(path, text) {
        findings.push(format!("{path}:1: no header: begin with a //! comment that says what the file is"));
    }
    let lines = lines_without_tests(&code);
    if lines > MAX_LINES {
        findings.push(format!(
            "{path}:1: {lines} lines without tests, more than {MAX_LINES}: split it by family"
        ));
    }
    for (number, line) in code.lines().enumerate() {
        findings.extend(forbidden(line).map(|what| format!("{path}:{}: {what}", number + 1)));
    }
    findings
}

/// Whether a file begins with its documentation; small roots need none.
fn has_header(path: &str, text: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let small = matches!(name, "lib.rs" | "main.rs") && text.lines().count() < SMALL_ROOT;
    // Attributes of the crate or module may stand before it.
    let first = text.lines().find(|line| !line.is_empty() && !line.starts_with("#!["));
    small || first.is_some_and(|line| line.starts_with("//!"))
}

fn lines_without_tests(code: &str) -> usize {
    code.lines().take_while(|line| line.trim_end() != "mod tests {").count()
}

fn forbidden(line: &str) -> Option<String> {
    for (pattern, instead) in FORBIDDEN {
        let mut places = line.match_indices(pattern);
        let whole = |at: usize| at.checked_sub(1).is_none_or(|before| !is_word(line.as_bytes()[before]));
        if places.any(|(at, _)| pattern.starts_with('#') || whole(at)) {
            return Some(format!("{pattern}: {instead}"));
        }
    }
    let allow = line.contains("#[allow(") || line.contains("#![allow(");
    (allow && !line.contains("reason =")).then(|| "#[allow]: use #[expect(lint, reason = \"...\")]".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_file_passes() {
        assert!(
            file("crates/a/src/b.rs", "//! What it is.\n\nfn f() { let unimplemented_feature = 1; }\n")
                .is_empty()
        );
    }

    #[test]
    fn each_rule_finds_its_line() {
        let text =
            "fn f() {\n    todo!()\n}\n#[ignore = \"slow\"]\n#[allow(dead_code)]\nstd::process::abort();\n";
        let found = file("crates/a/src/b.rs", text);
        let places: Vec<&str> = found.iter().map(|finding| finding.split(' ').next().unwrap()).collect();
        assert_eq!(
            places,
            [
                "crates/a/src/b.rs:1:",
                "crates/a/src/b.rs:2:",
                "crates/a/src/b.rs:4:",
                "crates/a/src/b.rs:5:",
                "crates/a/src/b.rs:6:"
            ]
        );
    }

    #[test]
    fn a_reason_excuses_an_allow() {
        assert_eq!(forbidden("#[allow(dead_code, reason =   )]"), None);
    }

    #[test]
    fn small_roots_need_no_header() {
        assert!(file("crates/a/src/main.rs", "#![forbid(unsafe_code)]\nfn main() {}\n").is_empty());
        assert_eq!(file("crates/a/src/other.rs", "fn main() {}\n").len(), 1);
        assert!(file("crates/a/src/other.rs", "#![forbid(unsafe_code)]\n//! What it is.\n").is_empty());
    }

    #[test]
    fn length_is_counted_without_tests() {
        let long = |lines: usize| format!("//! X.\n{}", "fn f() {}\n".repeat(lines));
        assert_eq!(file("a.rs", &long(800)).len(), 1);
        assert!(file("a.rs", &long(799)).is_empty());
        assert!(file("a.rs", &format!("{}mod tests {{\n{}}}\n", long(700), "x();\n".repeat(300))).is_empty());
    }
}
