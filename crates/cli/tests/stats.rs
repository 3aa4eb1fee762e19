//! What `marq run --stats` says of where the time went.
#![forbid(unsafe_code)]

use std::process::{Command, Stdio};

use serde_json::Value;

/// The parts of a run.
const PARTS: [&str; 5] = ["interpreting", "translated", "compiling", "bus", "run_loop"];

/// Runs a built-in guest, and gives what it says on standard error.
fn stats(args: &[&str]) -> String {
    // Enough for code to become hot, and for what the worker of a busy host has compiled to find something to run.
    let work = if args.contains(&"off") { "n=20" } else { "n=1000" };
    let mut command = Command::new(env!("CARGO_BIN_EXE_marq"));
    command.args(["run", "--guest", "sha256", "--append", work, "--stats"]).args(args);
    let output = command.stdin(Stdio::null()).output().expect("marq starts");
    assert_eq!(output.status.code(), Some(1), "the guest succeeds");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The run and its parts in the order of [`PARTS`], in seconds, and the compiling in the background.
fn times(jit: &str) -> (f64, [f64; 5], f64) {
    let text = stats(&["--format", "json", "--jit", jit]);
    let value: Value = serde_json::from_str(&text).expect("standard error is the report alone");
    let time = |name: &str| {
        let time = value["times"][format!("{name}_seconds")].as_f64();
        time.unwrap_or_else(|| panic!("{name} is missing in {text}"))
    };
    let (run, parts, background) = (time("run"), PARTS.map(time), time("background_compiling"));
    assert!(value["times"]["looks"].as_u64().is_some_and(|looks| looks > 0), "{text}");
    assert!(parts.iter().all(|part| *part >= 0.0), "{parts:?}");
    let sum: f64 = parts.iter().sum();
    assert!((sum - run).abs() < run / 1000.0, "{jit}: the parts {parts:?} are the run, {run}");
    // The process measures around the engine, which measures itself.
    let whole = value["instructions"]["seconds"].as_f64().expect("the time of the run");
    assert!(run <= whole && run > whole / 2.0, "{jit}: {run} of {whole} seconds");
    (run, parts, background)
}

#[test]
fn an_interpreted_run_is_the_interpreters() {
    let (run, [interpreting, translated, compiling, ..], background) = times("off");
    assert_eq!((translated, compiling, background), (0.0, 0.0, 0.0));
    assert!(interpreting > run / 2.0, "{interpreting} of {run}");
}

#[test]
fn a_run_that_compiles_at_once_does_all_on_one_thread() {
    let (_, [interpreting, translated, compiling, ..], background) = times("sync");
    assert!(translated > interpreting && compiling > 0.0, "{translated} {interpreting} {compiling}");
    assert_eq!(background, 0.0);
}

#[test]
fn a_run_that_compiles_in_the_background_says_so() {
    let (_, [_, translated, compiling, ..], background) = times("background");
    assert!(translated > 0.0 && compiling > 0.0 && background > 0.0, "{translated} {compiling} {background}");
}

#[test]
fn the_times_are_in_the_text_too() {
    let text = stats(&[]);
    let line = text.lines().find(|line| line.starts_with("times: ")).expect("a line of times");
    for name in PARTS.iter().chain(&["run", "background_compiling"]) {
        assert!(line.contains(&format!(" {name}_seconds ")), "{line}");
    }
}

#[test]
fn without_it_nothing_is_said() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_marq"));
    command.args(["run", "--guest", "sha256", "--append", "n=1"]);
    let output = command.stdin(Stdio::null()).output().expect("marq starts");
    assert_eq!((output.status.code(), output.stderr), (Some(1), Vec::new()));
}
