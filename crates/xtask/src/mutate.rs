//! `mutate`: breaks the code in places drawn by a seed and counts which breaks the tests notice.
//!
//! `cargo-mutants` lists the possible breaks. They are made one at a time in a copy of the tree below `target/`:
//! the tree itself is never touched. Every break is shown to the suites of [`SUITES`], in order, until one fails.
//! (Its own filter by name does not hold back every kind of break, so the breaks are made here.)

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::Deserialize;

use crate::rng::Rng;
use crate::{Outcome, shell};

/// Where breaks are made.
const FILES: [&str; 4] =
    ["crates/interp/src/**", "crates/jit/src/emit/**", "crates/engine/src/cache.rs", "crates/memory/src/**"];

/// The tests that a break is shown to: those of its own crate first, then what sees it from outside.
const SUITES: [Suite; 2] = [
    Suite { name: "own crate", package: None, args: &[] },
    Suite { name: "tests", package: Some("tests"), args: &[] },
];

/// Seconds that a build or a suite may take.
const TIMEOUT: &str = "180";

/// Status of `timeout` when time ran out.
const TIMED_OUT: i32 = 124;

/// Where the copy and its build lie.
const PLACE: &str = "target/mutate";

/// One `cargo test` invocation.
struct Suite {
    name: &'static str,
    /// Its package; `None` for that of the broken file.
    package: Option<&'static str>,
    args: &'static [&'static str],
}

/// How many breaks, and which.
#[derive(clap::Args)]
pub struct Args {
    /// Seed of the draw
    #[arg(long)]
    seed: u64,
    /// Number of breaks
    #[arg(long, default_value_t = 30)]
    count: usize,
    /// Only prints what would be broken
    #[arg(long)]
    list: bool,
}

/// A possible break, as `cargo mutants --list --json` describes it.
#[derive(Clone, Debug, Deserialize)]
struct Mutant {
    name: String,
    package: String,
    file: String,
    span: Span,
    replacement: String,
}

/// The text that a break replaces, end excluded.
#[derive(Clone, Debug, Deserialize)]
struct Span {
    start: Position,
    end: Position,
}

/// Line and column in characters, both from 1.
#[derive(Clone, Debug, Deserialize)]
struct Position {
    line: usize,
    column: usize,
}

/// What became of a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// A suite failed.
    Killed(&'static str),
    /// A suite did not end in time.
    TimedOut(&'static str),
    /// No suite noticed.
    Survived,
    /// It does not compile.
    Unviable,
}

/// Draws, breaks, tests, and prints the table; whether no break survived.
pub fn run(args: &Args) -> Outcome {
    let tree = copy_tree()?;
    let all = list(&tree)?;
    let drawn: Vec<&Mutant> =
        Rng::new(args.seed).draw(args.count, all.len()).into_iter().map(|place| &all[place]).collect();
    println!("{} of {} possible breaks, seed {}", drawn.len(), all.len(), args.seed);
    if args.list {
        drawn.iter().for_each(|mutant| println!("{}", mutant.name));
        return Ok(true);
    }
    baseline(&tree, &drawn)?;
    let mut fates = Vec::new();
    for mutant in drawn {
        let started = Instant::now();
        let fate = fate(&tree, mutant)?;
        println!("{:10} {:10} {:4} s  {}", word(fate), suite(fate), started.elapsed().as_secs(), mutant.name);
        fates.push(fate);
    }
    println!("{}", summary(&fates));
    Ok(!fates.contains(&Fate::Survived))
}

/// Brings the copy up to date; unchanged files keep their time, so that little is built again.
fn copy_tree() -> Result<PathBuf, String> {
    let tree = shell::root().join(PLACE).join("tree");
    let files = shell::files("")?;
    for path in &files {
        let (from, to) = (shell::root().join(path), tree.join(path));
        let failed = |error: std::io::Error| format!("{}: {error}", to.display());
        let contents = std::fs::read(&from).map_err(|error| format!("{path}: {error}"))?;
        if std::fs::read(&to).is_ok_and(|copy| copy == contents) {
            continue;
        }
        std::fs::create_dir_all(to.parent().unwrap_or(&tree)).map_err(failed)?;
        std::fs::copy(&from, &to).map_err(failed)?;
    }
    remove_others(&tree, &files)?;
    Ok(tree)
}

/// Removes from the copy what the tree no longer has.
fn remove_others(tree: &Path, files: &[String]) -> Result<(), String> {
    let prefix = format!("{PLACE}/tree/");
    for path in shell::files(&prefix)? {
        let inside = path.strip_prefix(&prefix).unwrap_or(&path);
        if files.binary_search_by(|file| file.as_str().cmp(inside)).is_err() {
            let place = tree.join(inside);
            std::fs::remove_file(&place).map_err(|error| format!("{}: {error}", place.display()))?;
        }
    }
    Ok(())
}

/// Every possible break in [`FILES`], sorted by name.
fn list(tree: &Path) -> Result<Vec<Mutant>, String> {
    let mut command = Command::new(shell::cargo());
    command.args(["mutants", "--workspace", "--list", "--json"]).current_dir(tree);
    for file in FILES {
        command.args(["--file", file]);
    }
    let text = shell::output(&mut command).map_err(|error| {
        let missing = error.contains("no such command");
        if missing { "cargo-mutants is not installed: run cargo install cargo-mutants".into() } else { error }
    })?;
    let mut all: Vec<Mutant> =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", shell::line(&command)))?;
    all.sort_by(|one, other| one.name.cmp(&other.name));
    if all.is_empty() { Err("cargo mutants lists nothing to break".into()) } else { Ok(all) }
}

/// The suites must pass before anything is broken, or every break would look noticed.
fn baseline(tree: &Path, drawn: &[&Mutant]) -> Result<(), String> {
    let mut packages: Vec<&str> = drawn.iter().map(|mutant| mutant.package.as_str()).collect();
    packages.sort_unstable();
    packages.dedup();
    for suite in &SUITES {
        for package in suite.package.map_or(packages.clone(), |package| vec![package]) {
            shell::output(&mut test(tree, suite, package))
                .map_err(|error| format!("without any break: {error}"))?;
        }
    }
    Ok(())
}

/// The `cargo test` of a suite.
fn test(tree: &Path, suite: &Suite, package: &str) -> Command {
    in_copy(
        tree,
        shell::cargo().as_str(),
        &[&["test", "--profile", "ci", "--package", package], suite.args].concat(),
    )
}

fn in_copy(tree: &Path, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(tree).env("CARGO_TARGET_DIR", shell::root().join(PLACE).join("build"));
    command
}

/// Makes a break, runs the suites, and takes the break back.
fn fate(tree: &Path, mutant: &Mutant) -> Result<Fate, String> {
    let place = tree.join(&mutant.file);
    let failed = |error: std::io::Error| format!("{}: {error}", place.display());
    let text = std::fs::read_to_string(&place).map_err(failed)?;
    let broken = replaced(&text, &mutant.span, &mutant.replacement)
        .ok_or_else(|| format!("{}: the place does not exist", mutant.name))?;
    std::fs::write(&place, broken).map_err(failed)?;
    let fate = run_suites(tree, mutant);
    std::fs::write(&place, text).map_err(failed)?;
    fate
}

fn run_suites(tree: &Path, mutant: &Mutant) -> Result<Fate, String> {
    for suite in &SUITES {
        let package = suite.package.unwrap_or(&mutant.package);
        let test = test(tree, suite, package);
        if timed(tree, &test, &["--no-run"])? != Some(0) {
            return Ok(Fate::Unviable);
        }
        match timed(tree, &test, &[])? {
            Some(0) => {}
            Some(TIMED_OUT) => return Ok(Fate::TimedOut(suite.name)),
            _ => return Ok(Fate::Killed(suite.name)),
        }
    }
    Ok(Fate::Survived)
}

/// Runs a command under `timeout`, which also ends what it started, and gives its exit status.
fn timed(tree: &Path, command: &Command, more: &[&str]) -> Result<Option<i32>, String> {
    let mut timed = in_copy(tree, "timeout", &["--kill-after=10", TIMEOUT]);
    timed.arg(command.get_program()).args(command.get_args()).args(more);
    timed.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = timed.status().map_err(|error| format!("{}: {error}", shell::line(&timed)))?;
    Ok(status.code())
}

/// `text` with the span replaced; `None` when the span lies outside.
fn replaced(text: &str, span: &Span, replacement: &str) -> Option<String> {
    let (start, end) = (offset(text, &span.start)?, offset(text, &span.end)?);
    Some(format!("{}{replacement}{}", text.get(..start)?, text.get(end..)?))
}

/// Byte offset of a position.
fn offset(text: &str, position: &Position) -> Option<usize> {
    let before: usize = text.split_inclusive('\n').take(position.line - 1).map(str::len).sum();
    let line = text.get(before..)?.lines().next()?;
    let column = line.char_indices().map(|(at, _)| at).chain([line.len()]).nth(position.column - 1)?;
    Some(before + column)
}

fn word(fate: Fate) -> &'static str {
    match fate {
        Fate::Killed(_) => "killed",
        Fate::TimedOut(_) => "timed out",
        Fate::Survived => "SURVIVED",
        Fate::Unviable => "unviable",
    }
}

fn suite(fate: Fate) -> &'static str {
    match fate {
        Fate::Killed(suite) | Fate::TimedOut(suite) => suite,
        Fate::Survived | Fate::Unviable => "",
    }
}

fn summary(fates: &[Fate]) -> String {
    let count = |wanted: &str| fates.iter().filter(|fate| word(**fate) == wanted).count();
    let noticed = count("killed") + count("timed out");
    let viable = noticed + count("SURVIVED");
    format!(
        "{noticed} of {viable} noticed ({} killed, {} timed out, {} survived), {} unviable",
        count("killed"),
        count("timed out"),
        count("SURVIVED"),
        count("unviable")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, column: usize) -> Position {
        Position { line, column }
    }

    #[test]
    fn a_break_replaces_its_span() {
        let text = "fn f() -> u32 {\n    // \u{e9} a + b\n    a + b\n}\n";
        let plus = Span { start: at(3, 7), end: at(3, 8) };
        assert_eq!(replaced(text, &plus, "-").unwrap(), text.replace("    a + b", "    a - b"));
        let behind = Span { start: at(2, 12), end: at(2, 13) };
        assert_eq!(replaced(text, &behind, "*").unwrap(), text.replace("a + b\n    a", "a * b\n    a"));
        let lines = Span { start: at(1, 15), end: at(4, 2) };
        assert_eq!(replaced(text, &lines, "{ 0 }").unwrap(), "fn f() -> u32 { 0 }\n");
        assert_eq!(replaced(text, &Span { start: at(3, 1), end: at(9, 1) }, ""), None);
    }

    #[test]
    fn the_list_is_read() {
        let text = r#"[{"name":"a.rs:1:2: replace + with -","package":"p","file":"a.rs","genre":"x",
            "span":{"start":{"line":1,"column":2},"end":{"line":1,"column":3}},"replacement":"-"}]"#;
        let all: Vec<Mutant> = serde_json::from_str(text).unwrap();
        assert_eq!((all[0].span.start.column, all[0].replacement.as_str()), (2, "-"));
    }

    #[test]
    fn a_time_out_counts_as_noticed() {
        let fates = [Fate::Killed("x"), Fate::TimedOut("x"), Fate::Survived, Fate::Unviable];
        assert_eq!(summary(&fates), "2 of 3 noticed (1 killed, 1 timed out, 1 survived), 1 unviable");
    }
}
