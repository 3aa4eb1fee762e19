//! `mutate`: breaks the code in places drawn by a seed and counts which breaks the tests notice.
//!
//! `cargo-mutants` lists the possible breaks. They are made one at a time in a copy of the tree below `target/`
//! (or `CARGO_TARGET_DIR`): the tree itself is never touched. Breaks that do not compile are passed over. Every
//! other break is shown to the suites of its row of [`PARTS`], in order, until one fails: few tests, chosen so that
//! building and running them takes less than three minutes.
//! (Its own filter by name does not hold back every kind of break, so the breaks are made here.)

use std::num::ParseIntError;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::Deserialize;

use crate::rng::Rng;
use crate::{Outcome, shell};

/// A part of the code that is broken, and the tests that its breaks are shown to.
struct Part {
    /// Beginning of its files' names.
    files: &'static str,
    suites: &'static [Suite],
}

/// Every part: tests of the crate itself first, then what sees it from outside.
const PARTS: [Part; 4] = [
    Part { files: "crates/interp/src/", suites: &[INTERP, LOCKSTEP] },
    Part { files: "crates/jit/src/emit/", suites: &[FILETESTS, LOCKSTEP] },
    Part { files: "crates/engine/src/cache.rs", suites: &[INVALIDATION, SMALL_CACHE, SMALL_CACHE_GUESTS] },
    Part { files: "crates/memory/src/", suites: &[MEMORY] },
];

const INTERP: Suite = Suite { name: "interp", args: &["--package", "marquetry-interp"], programs: 0 };
const MEMORY: Suite = Suite { name: "memory", args: &["--package", "marquetry-memory"], programs: 0 };
const FILETESTS: Suite = Suite {
    name: "filetests",
    args: &["--package", "marquetry-difftest", "--test", "filetests"],
    programs: 0,
};
const LOCKSTEP: Suite = Suite {
    name: "lockstep",
    args: &["--package", "tests", "--test", "lockstep", "--", "--exact", "random_programs"],
    programs: 2000,
};
const INVALIDATION: Suite = Suite {
    name: "invalidation",
    args: &["--package", "tests", "--test", "invalidation", "--test", "helper_calls"],
    programs: 0,
};
const SMALL_CACHE: Suite = Suite {
    name: "evictions",
    args: &[
        "--package",
        "tests",
        "--test",
        "lockstep",
        "--",
        "--exact",
        "random_programs_with_code_memory_of_one_mebibyte",
    ],
    programs: 2000,
};
const SMALL_CACHE_GUESTS: Suite = Suite {
    name: "guests",
    args: &["--package", "tests", "--test", "guests", "--", "--exact", "with_code_memory_of_one_mebibyte"],
    programs: 0,
};

/// Seconds that a build or a suite may take.
const TIMEOUT: &str = "180";

/// Status of `timeout` when time ran out.
const TIMED_OUT: i32 = 124;

/// Where the copy and its build lie, below the directory of cargo's builds.
const PLACE: &str = "mutate";

/// One `cargo test` invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Suite {
    name: &'static str,
    args: &'static [&'static str],
    /// Random programs, for the suites that run some.
    programs: u32,
}

/// How many breaks, and which.
#[derive(clap::Args)]
pub struct Args {
    /// Seed of the draw: a number, or 0x and hexadecimal digits, of which the first 16 count (so a commit will do)
    #[arg(long, value_parser = seed)]
    seed: u64,
    /// Number of breaks that compile
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
        Rng::new(args.seed).draw(all.len(), all.len()).into_iter().map(|place| &all[place]).collect();
    println!("{} of {} possible breaks, seed {:#x}", args.count.min(all.len()), all.len(), args.seed);
    if args.list {
        drawn.iter().take(args.count).for_each(|mutant| println!("{}", mutant.name));
        return Ok(true);
    }
    baseline(&tree)?;
    let mut fates = Vec::new();
    for mutant in drawn {
        if fates.iter().filter(|fate| **fate != Fate::Unviable).count() == args.count {
            break;
        }
        let started = Instant::now();
        let fate = fate(&tree, mutant)?;
        println!("{:10} {:10} {:4} s  {}", word(fate), suite(fate), started.elapsed().as_secs(), mutant.name);
        fates.push(fate);
    }
    println!("{}", summary(&fates));
    Ok(!fates.contains(&Fate::Survived))
}

/// The seed that `text` names.
fn seed(text: &str) -> Result<u64, ParseIntError> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits.get(..16).unwrap_or(digits), 16),
        None => text.parse(),
    }
}

/// Where the copy and its build lie.
fn place() -> PathBuf {
    let builds = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    shell::root().join(builds).join(PLACE)
}

/// Brings the copy up to date; unchanged files keep their time, so that little is built again.
fn copy_tree() -> Result<PathBuf, String> {
    let tree = place().join("tree");
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
    for path in shell::files(&tree.to_string_lossy())? {
        let copy = shell::root().join(path);
        let inside = copy.strip_prefix(tree).expect("it was found there").to_string_lossy();
        if files.binary_search_by(|file| file.as_str().cmp(&inside)).is_err() {
            std::fs::remove_file(&copy).map_err(|error| format!("{}: {error}", copy.display()))?;
        }
    }
    Ok(())
}

/// Every possible break in [`PARTS`], sorted by name.
fn list(tree: &Path) -> Result<Vec<Mutant>, String> {
    let mut command = Command::new(shell::cargo());
    command.args(["mutants", "--workspace", "--list", "--json"]).current_dir(tree);
    for part in &PARTS {
        let glob =
            if part.files.ends_with('/') { format!("{}**", part.files) } else { part.files.to_owned() };
        command.args(["--file", &glob]);
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

/// The suites of the part that a file belongs to.
fn suites(file: &str) -> &'static [Suite] {
    PARTS.iter().find(|part| file.starts_with(part.files)).map_or(&[], |part| part.suites)
}

/// The suites must pass before anything is broken, or every break would look noticed.
fn baseline(tree: &Path) -> Result<(), String> {
    let mut passed: Vec<Suite> = Vec::new();
    for suite in PARTS.iter().flat_map(|part| part.suites) {
        if passed.contains(suite) {
            continue;
        }
        let failed = |error: String| format!("without any break: {error}");
        shell::output(&mut build(tree, suite)).map_err(failed)?;
        let started = Instant::now();
        shell::output(&mut test(tree, suite)).map_err(failed)?;
        println!("{:10} {:10} {:4} s", "unbroken", suite.name, started.elapsed().as_secs());
        passed.push(*suite);
    }
    Ok(())
}

/// The build of a suite.
fn build(tree: &Path, suite: &Suite) -> Command {
    in_copy(tree, shell::cargo().as_str(), &[&["test", "--no-run", "--profile", "ci"], suite.args].concat())
}

/// The `cargo test` of a suite.
fn test(tree: &Path, suite: &Suite) -> Command {
    let args = [&["test", "--profile", "ci"], suite.args].concat();
    let mut command = in_copy(tree, shell::cargo().as_str(), &args);
    if suite.programs > 0 {
        command.env("LOCKSTEP_PROGRAMS", suite.programs.to_string());
    }
    command
}

fn in_copy(tree: &Path, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(tree).env("CARGO_TARGET_DIR", place().join("build"));
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
    for suite in suites(&mutant.file) {
        match timed(tree, &build(tree, suite))? {
            Some(0) => {}
            Some(TIMED_OUT) => {
                return Err(format!("{}: the build takes longer than {TIMEOUT} s", mutant.name));
            }
            _ => return Ok(Fate::Unviable),
        }
        match timed(tree, &test(tree, suite))? {
            Some(0) => {}
            Some(TIMED_OUT) => return Ok(Fate::TimedOut(suite.name)),
            _ => return Ok(Fate::Killed(suite.name)),
        }
    }
    Ok(Fate::Survived)
}

/// Runs a command under `timeout`, which also ends what it started, and gives its exit status.
fn timed(tree: &Path, command: &Command) -> Result<Option<i32>, String> {
    let mut timed = in_copy(tree, "timeout", &["--kill-after=10", TIMEOUT]);
    timed.arg(command.get_program()).args(command.get_args());
    timed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
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
    fn every_part_and_every_test_of_its_suites_exists() {
        for part in &PARTS {
            assert!(shell::root().join(part.files).exists(), "{}", part.files);
            assert_eq!(suites(&format!("{}x.rs", part.files)), part.suites);
            for suite in part.suites {
                let name = |option: &str| {
                    let at = suite.args.iter().position(|arg| *arg == option)?;
                    suite.args.get(at + 1).copied()
                };
                let package = name("--package").unwrap();
                let directory = package.strip_prefix("marquetry-").map(|name| format!("crates/{name}/tests"));
                let directory = directory.unwrap_or(package.to_owned());
                let file = name("--test").map(|test| format!("{directory}/{test}.rs"));
                let text = file.map(|file| shell::read(&file).unwrap());
                if let Some(function) = name("--exact") {
                    assert!(text.unwrap().contains(&format!("fn {function}()")), "{function}");
                }
            }
        }
        assert_eq!(suites("crates/cpu/src/lib.rs"), []);
    }

    #[test]
    fn a_seed_is_a_number_or_the_first_digits_of_a_commit() {
        assert_eq!(seed("30"), Ok(30));
        assert_eq!(seed("0x30"), Ok(48));
        assert_eq!(seed("0x0123456789abcdef0123456789abcdef01234567"), Ok(0x0123_4567_89ab_cdef));
        assert!(seed("0123456789abcdef").is_err());
        assert!(seed("0x").is_err());
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
