//! `checklist`: the items of the memory model's checklist, each with the tests that carry its number.
//!
//! A test of item 42 has a name that begins with `item_042_`. The tests are run with that prefix as their filter, so that
//! what is reported is what has just been run.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use crate::Outcome;

/// Items of the checklist.
const ITEMS: u32 = 125;

/// Tests of an item, and whether each passed.
type Found = BTreeMap<u32, Vec<(String, bool)>>;

/// Runs the tests and prints a line for each item.
pub fn run() -> Outcome {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["test", "--workspace", "--profile", "ci", "--no-fail-fast", "item_"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo test: {error}"))?;
    let found = parse(&String::from_utf8_lossy(&output.stdout));
    if found.is_empty() {
        return Err("cargo test ran no test of an item; what it printed stands above".to_owned());
    }
    print!("{}", report(&found));
    Ok((1..=ITEMS).all(|item| holds(&found, item)))
}

/// The items' tests in what `cargo test` prints: lines such as `test part::item_042_name ... ok`.
fn parse(text: &str) -> Found {
    let mut found = Found::new();
    for line in text.lines() {
        let Some((path, result)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "))
        else {
            continue;
        };
        let name = path.rsplit("::").next().unwrap_or(path).trim_end_matches(" - should panic");
        let number = name.strip_prefix("item_").and_then(|rest| rest.get(..3));
        let Some(item) = number.and_then(|digits| digits.parse().ok()) else { continue };
        // Whatever is printed after the result, an ignored test has not passed.
        let passed = result.split_whitespace().next() == Some("ok");
        found.entry(item).or_default().push((name.to_owned(), passed));
    }
    found
}

/// Whether an item has tests, all of which passed.
fn holds(found: &Found, item: u32) -> bool {
    found.get(&item).is_some_and(|tests| tests.iter().all(|(_, passed)| *passed))
}

/// A line for each test, one for each item that has none, and how many items hold.
fn report(found: &Found) -> String {
    let mut text = String::new();
    for item in 1..=ITEMS {
        match found.get(&item) {
            Some(tests) => {
                for (name, passed) in tests {
                    let result = if *passed { "ok" } else { "FAILED" };
                    text += &format!("{item:3} {result:7} {name}\n");
                }
            }
            None => text += &format!("{item:3} missing\n"),
        }
    }
    let holding = (1..=ITEMS).filter(|item| holds(found, *item)).count();
    text + &format!("{holding} of {ITEMS}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 4 tests
test flatten::item_009_example_with_a_pure_container ... ok
test item_009_again ... ok
test other::item_010_fails ... FAILED
test item_011_left_out ... ignored, needs more
test item_of_nothing ... ok
test result: FAILED. 3 passed; 1 failed
";

    #[test]
    fn an_item_holds_if_it_has_tests_and_all_pass() {
        let found = parse(OUTPUT);
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [9, 10, 11]);
        assert_eq!(found[&9].len(), 2);
        assert!(holds(&found, 9) && !holds(&found, 10) && !holds(&found, 11) && !holds(&found, 12));
        let report = report(&found);
        assert!(report.ends_with("\n1 of 125\n"), "{report}");
        assert!(
            report.contains("  9 ok      item_009_again\n")
                && report.contains(" 10 FAILED  item_010_fails\n")
        );
        assert!(report.contains(" 12 missing\n"));
    }
}
