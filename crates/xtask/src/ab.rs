//! `ab`: the speed of this tree against another revision's, as a paired ratio with its spread.
//!
//! Both binaries run the same image in turns, the order changing with every pair, so that what slows the
//! host down slows both. The figure is the geometric mean of time here / time there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::stats::{self, Ratio};
use crate::{Outcome, shell};

/// Seconds below which the start of the process is much of a run.
const SHORT: f64 = 0.1;

/// What to compare.
#[derive(clap::Args)]
pub struct Args {
    /// Revision to compare with: anything that names a commit
    rev: String,
    /// Guest: an image, or the name of one below guests/, which gets its work for benchmarks
    guest: String,
    /// Pairs of runs
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(3..=1000))]
    pairs: u32,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// More arguments for `marq run`, on both sides; with `--append` among them the work is theirs
    #[arg(last = true)]
    more: Vec<String>,
}

/// Builds both sides, runs the pairs, prints the ratio.
pub fn run(args: &Args) -> Outcome {
    let image = image(&args.guest)?;
    let more = more(args, &shell::read("guests/guests.toml")?);
    let there = build_revision(&args.rev)?;
    let here = build_here()?;
    let sides = [Side { marq: here, more: &more }, Side { marq: there, more: &more }];
    let (_, expected) = sides[0].time(&image)?;
    // A guest's own status is odd (isa-debug-exit); the others are errors of the run.
    if expected.is_none_or(|status| status != 0 && status % 2 == 0) {
        return Err(format!("{} does not end by itself: status {expected:?}", image.display()));
    }
    // Both images of the binary are in the host's caches before time counts.
    sides[1].time(&image)?;
    let mut times = Vec::new();
    for pair in 0..args.pairs {
        times.push(time_pair(&sides, &image, pair % 2 == 1, expected)?);
    }
    let ratios: Vec<f64> = times.iter().map(|(here, there)| here / there).collect();
    let ratio = stats::bootstrap(&ratios, args.seed).ok_or("no pairs")?;
    println!("{}", report(args, &more, ratio, &times));
    Ok(true)
}

/// One pair of runs in the order asked for: seconds here and there.
fn time_pair(
    sides: &[Side<'_>; 2],
    image: &Path,
    reversed: bool,
    expected: Option<i32>,
) -> Result<(f64, f64), String> {
    let mut seconds = [0.0; 2];
    for turn in 0..2 {
        let side = if reversed { 1 - turn } else { turn };
        let (time, status) = sides[side].time(image)?;
        if status != expected {
            return Err(format!(
                "{} ended with {status:?}, others with {expected:?}",
                sides[side].marq.display()
            ));
        }
        seconds[side] = time;
    }
    Ok((seconds[0], seconds[1]))
}

/// One of the two binaries.
struct Side<'a> {
    marq: PathBuf,
    more: &'a [String],
}

impl Side<'_> {
    /// Runs the guest once: seconds, and the exit status.
    fn time(&self, image: &Path) -> Result<(f64, Option<i32>), String> {
        let mut command = Command::new(&self.marq);
        command.arg("run").arg(image).args(self.more).current_dir(shell::root());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = Instant::now();
        let status = command.status().map_err(|error| format!("{}: {error}", self.marq.display()))?;
        Ok((started.elapsed().as_secs_f64(), status.code()))
    }
}

fn report(args: &Args, more: &[String], ratio: Ratio, times: &[(f64, f64)]) -> String {
    let (here, there): (Vec<f64>, Vec<f64>) = times.iter().copied().unzip();
    let verdict = match ratio {
        Ratio { high, .. } if high < 1.0 => "faster here",
        Ratio { low, .. } if low > 1.0 => "slower here",
        _ => "no difference shown",
    };
    let (here, there) = (median(here), median(there));
    let short = if here.min(there) < SHORT { "; short runs are mostly starts, give more work" } else { "" };
    format!(
        "{}: time here / time at {} = {:.3} (95%: {:.3} to {:.3}, {} pairs): {verdict}\n\
        medians: {here:.3} s here, {there:.3} s there{short}",
        [std::slice::from_ref(&args.guest), more].concat().join(" "),
        args.rev,
        ratio.mean,
        ratio.low,
        ratio.high,
        times.len(),
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// The image that `guest` names.
fn image(guest: &str) -> Result<PathBuf, String> {
    if Path::new(guest).is_file() {
        return std::fs::canonicalize(guest).map_err(|error| format!("{guest}: {error}"));
    }
    let name = format!("{guest}.elf");
    let found = shell::files("guests")?.into_iter().find(|path| path.rsplit('/').next() == Some(&name));
    found
        .map(|path| shell::root().join(path))
        .ok_or_else(|| format!("{guest} is no file, and no {name} lies below guests/"))
}

/// The further arguments of a run: a guest of the manifest gets its work for benchmarks if it is given none.
fn more(args: &Args, manifest: &str) -> Vec<String> {
    let given = args.more.iter().any(|word| word == "--append" || word.starts_with("--append="));
    let work = if given { None } else { bench_work(manifest, &args.guest) };
    work.map(|work| format!("--append={work}")).into_iter().chain(args.more.iter().cloned()).collect()
}

/// The command line with which `guest` is measured, from the manifest of the guests.
fn bench_work(manifest: &str, guest: &str) -> Option<String> {
    let value = |section: &str, key: &str| {
        let lines = section.lines().filter_map(|line| line.split_once(" = "));
        let mut found = lines
            .filter(|(name, _)| name.trim() == key)
            .map(|(_, value)| value.trim().trim_matches('"').to_owned());
        found.next_back()
    };
    let section =
        manifest.split("[[guest]]").find(|section| value(section, "name").as_deref() == Some(guest))?;
    let n = value(section, "bench_n")?;
    Some(match value(section, "args") {
        Some(args) => format!("n={n} {args}"),
        None => format!("n={n}"),
    })
}

/// Where cargo builds.
fn target() -> PathBuf {
    shell::root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Builds this tree; the binary is put aside, so that a build that goes on meanwhile does not change it.
fn build_here() -> Result<PathBuf, String> {
    let marq = target().join("ab/here/marq");
    build(shell::root(), &target(), &marq)?;
    Ok(marq)
}

/// Builds a revision in a worktree that exists until it is built; the binary is kept for the next time.
fn build_revision(rev: &str) -> Result<PathBuf, String> {
    let commit = format!("{rev}^{{commit}}");
    let hash = shell::output(&mut shell::command("git", &["rev-parse", "--verify", &commit]))?;
    let hash = hash.trim();
    let directory = target().join("ab").join(hash);
    let marq = directory.join("marq");
    if marq.is_file() {
        return Ok(marq);
    }
    let tree = directory.join("tree");
    let path = tree.to_string_lossy().into_owned();
    // What an earlier failure left is no obstacle: it is the same revision.
    if !tree.join("Cargo.toml").is_file() {
        shell::output(&mut shell::command("git", &["worktree", "add", "--force", "--detach", &path, hash]))?;
    }
    build(&tree, &target().join("ab/build"), &marq)?;
    shell::output(&mut shell::command("git", &["worktree", "remove", "--force", &path]))?;
    Ok(marq)
}

/// Builds `tree` in the directory `target` and copies its binary to `marq`. Revisions have a directory of their own: cargo
/// takes the crates of two trees for the same ones, so that in one directory each build would undo the other.
fn build(tree: &Path, target: &Path, marq: &Path) -> Result<(), String> {
    let mut command = Command::new(shell::cargo());
    command
        .args(["build", "--release", "--locked", "--package", "marquetry", "--bin", "marq", "--target-dir"])
        .arg(target)
        .current_dir(tree);
    if !shell::succeeds(&mut command)? {
        return Err(format!("{} failed in {}", shell::line(&command), tree.display()));
    }
    let failed = |error: std::io::Error| format!("{}: {error}", marq.display());
    std::fs::create_dir_all(marq.parent().unwrap_or(marq)).map_err(failed)?;
    std::fs::copy(target.join("release/marq"), marq).map(drop).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_the_whole_interval_on_one_side() {
        let args = Args { rev: "r".into(), guest: "g".into(), pairs: 3, seed: 1, more: Vec::new() };
        let verdict = |low, high| report(&args, &[], Ratio { mean: 1.0, low, high }, &[(1.0, 1.0)]);
        assert!(verdict(0.9, 0.99).contains("faster here"));
        assert!(verdict(1.01, 1.1).contains("slower here"));
        assert!(verdict(0.99, 1.01).contains("no difference"));
    }

    #[test]
    fn runs_that_are_too_short_are_named() {
        let args = Args { rev: "r".into(), guest: "g".into(), pairs: 3, seed: 1, more: Vec::new() };
        let ratio = Ratio { mean: 1.0, low: 1.0, high: 1.0 };
        assert!(report(&args, &[], ratio, &[(0.02, 1.0)]).ends_with("give more work"));
        assert!(!report(&args, &[], ratio, &[(0.2, 1.0)]).contains("short"));
    }

    #[test]
    fn a_guest_gets_its_work_unless_it_is_given_some() {
        let manifest = "[[guest]]\nname = \"a\"\nn = 1\nbench_n = 20\n[[guest]]\nname = \"b\"\nbench_n = 3\nargs = \"k=1\"\n";
        let words = |guest: &str, given: &[&str]| {
            let given = given.iter().map(|word| (*word).to_owned()).collect();
            let args = Args { rev: "r".into(), guest: guest.into(), pairs: 3, seed: 1, more: given };
            more(&args, manifest)
        };
        assert_eq!(words("a", &["--jit=off"]), ["--append=n=20", "--jit=off"]);
        assert_eq!(words("b", &[]), ["--append=n=3 k=1"]);
        assert_eq!(words("b", &["--append", "n=7"]), ["--append", "n=7"]);
        assert_eq!(words("an/image.elf", &[]), [] as [&str; 0]);
        let real = shell::read("guests/guests.toml").unwrap();
        assert_eq!(bench_work(&real, "sieve").as_deref(), Some("n=1200"));
    }

    #[test]
    fn a_guest_that_does_not_exist_is_named() {
        assert!(image("no such guest").unwrap_err().contains("no such guest"));
    }
}
