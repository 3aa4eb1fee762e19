//! Links and paths in the documents lead somewhere.

use std::path::Path;

use super::{Finding, table};
use crate::{check, shell};

/// Directories whose files the documents name.
const PATHS: [&str; 7] = ["crates/", "docs/", "tests/", "guests/", "benches/", ".ci/", ".cargo/"];

/// Broken links and paths in every Markdown file, and a README without the test command.
pub fn check(files: &[String]) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for path in files.iter().filter(|path| path.ends_with(".md")) {
        let text = shell::read(path)?;
        let outside = outside_fences(&text);
        for (number, line) in &outside {
            let place = format!("{path}:{number}");
            findings.extend(
                links(line).filter_map(|link| broken_link(path, link)).map(|what| format!("{place}: {what}")),
            );
            findings.extend(missing_paths(line).map(|what| format!("{place}: {what} does not exist")));
        }
    }
    let tests = format!("cargo {}", check::TESTS.join(" "));
    if !shell::read("README.md")?.contains(&tests) {
        findings.push(format!("README.md: does not name the test command: {tests}"));
    }
    Ok(findings)
}

/// The lines outside code fences, with their numbers.
fn outside_fences(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut outside = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            outside.push((number + 1, line));
        }
    }
    outside
}

/// Targets of the links of a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

/// What is wrong with a link from `document`; links out of the repository are not followed.
fn broken_link(document: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let directory = Path::new(document).parent().unwrap_or(Path::new(""));
    let target =
        if file.is_empty() { document.into() } else { directory.join(file).to_string_lossy().into_owned() };
    if !shell::root().join(&target).exists() {
        return Some(format!("the link {link} leads nowhere"));
    }
    if anchor.is_empty() {
        return None;
    }
    let known = shell::read(&target).is_ok_and(|text| anchors(&text).any(|known| known == anchor));
    (!known).then(|| format!("the link {link} names no heading"))
}

/// Anchors of the headings of a document, as hosts of Markdown make them.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let headings =
        outside_fences(text).into_iter().map(|(_, line)| line).filter(|line| line.starts_with('#'));
    headings.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept =
            title.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
    })
}

/// Paths of the repository in backquotes that name nothing; patterns are skipped.
fn missing_paths(line: &str) -> impl Iterator<Item = &str> {
    let path = |word: &&str| {
        PATHS.iter().any(|start| word.starts_with(start)) && !word.contains(['*', '<', '{', ' ', '…'])
    };
    let exists = |word: &&str| shell::root().join(word.split(':').next().unwrap_or(word)).exists();
    table::quoted(line).into_iter().filter(path).filter(move |word| !exists(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_a_file_that_is_there_is_fine() {
        assert_eq!(broken_link("crates/xtask/x.md", "Cargo.toml"), None);
        assert_eq!(broken_link("crates/xtask/x.md", "../../Cargo.toml"), None);
        assert_eq!(broken_link("README.md", "https://example.com/nothing"), None);
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        assert!(broken_link("crates/xtask/x.md", "nothing.md").is_some());
        assert!(broken_link("README.md", "crates/xtask/Cargo.toml#no-heading").is_some());
    }

    #[test]
    fn anchors_are_those_of_headings() {
        let made: Vec<String> = anchors("# One, two!\n```\n# code\n```\n## Exit statuses\n").collect();
        assert_eq!(made, ["one-two", "exit-statuses"]);
    }

    #[test]
    fn paths_in_backquotes_must_exist() {
        let missing: Vec<&str> = missing_paths(
            "`crates/xtask/Cargo.toml` `crates/none.rs` `crates/*/src` `other/x` `docs/nowhere.md`",
        )
        .collect();
        assert_eq!(missing, ["crates/none.rs", "docs/nowhere.md"]);
    }

    #[test]
    fn links_are_cut_out_of_a_line() {
        assert_eq!(links("see [a](b.md) and [c](d.md#e).").collect::<Vec<_>>(), ["b.md", "d.md#e"]);
    }
}
