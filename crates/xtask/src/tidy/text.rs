//! Rules about every file: its size, and words that would tie the repository to one machine.

use std::io::Read;

use super::Finding;
use crate::shell;

/// Largest file.
const MAX_BYTES: u64 = 1 << 20;

/// The lock file names the registry in every line; cargo wrote it.
const GENERATED: &str = "Cargo.lock";

/// Checks every file.
pub fn check(files: &[String]) -> Result<Vec<Finding>, String> {
    let words = forbidden_words();
    let mut findings = Vec::new();
    for path in files {
        let place = shell::root().join(path);
        let failed = |error: std::io::Error| format!("{path}: {error}");
        let bytes = place.metadata().map_err(failed)?.len();
        if bytes > MAX_BYTES {
            findings.push(format!("{path}: {bytes} bytes, more than {MAX_BYTES}"));
            continue;
        }
        let mut contents = Vec::new();
        std::fs::File::open(&place).and_then(|mut file| file.read_to_end(&mut contents)).map_err(failed)?;
        if path != GENERATED
            && let Ok(text) = String::from_utf8(contents)
        {
            findings.extend(words_in(path, &text, &words));
        }
    }
    Ok(findings)
}

/// Machine paths and registry hosts, put together here so that this file does not contain them.
fn forbidden_words() -> Vec<String> {
    let path = |name: &str| format!("/{name}/");
    let host = |parts: &[&str]| parts.join(".");
    vec![
        path("work"),
        path("root"),
        path("home"),
        path("tmp"),
        host(&["crates", "io"]),
        host(&["docs", "rs"]),
        host(&["pypi", "org"]),
        host(&["npmjs", "org"]),
        host(&["debian", "org"]),
        host(&["golang", "org"]),
    ]
}

fn words_in(path: &str, text: &str, words: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let found = words.iter().filter(|word| contains(line, word));
        findings.extend(found.map(|word| format!("{path}:{}: contains {word}", number + 1)));
    }
    findings
}

/// What follows a machine path where Linux itself prescribes the place.
const PRESCRIBED: &str = "perf-";

/// Whether `line` holds `word`: a path only where it begins, a host anywhere.
fn contains(line: &str, word: &str) -> bool {
    let begins = |at: usize| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || matches!(before, '_' | '-' | '.' | '}'))
    };
    let prescribed = |at: usize| line[at + word.len()..].starts_with(PRESCRIBED);
    line.match_indices(word).any(|(at, _)| !word.starts_with('/') || begins(at) && !prescribed(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_machine_are_found() {
        let words = forbidden_words();
        for line in
            [&format!("open(\"{}x\")", words[0]), &format!("{}a", words[3]), &format!("see {}", words[4])]
        {
            assert_eq!(words_in("f", line, &words).len(), 1, "{line}");
        }
    }

    #[test]
    fn relative_paths_are_not() {
        let words = forbidden_words();
        let inside = format!("target{} and ${{x}}{} and {}perf-1.map", words[3], words[0], words[3]);
        assert!(words_in("f", &inside, &words).is_empty(), "{inside}");
    }
}
