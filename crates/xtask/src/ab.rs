//! `ab`: the speed of this tree against another revision's, as a paired ratio with its spread.
//!
//! Both binaries run the same image in turns, the order changing with every pair, so that what slows the
//! host down slows both. The figure is the geometric mean of time here / time there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::stats::{self, Ratio};
use crate::{Outcome, shell};

/// What to compare.
#[derive(clap::Args)]
pub struct Args {
    /// Revision to compare with: anything that names a commit
    rev: String,
    /// Guest: an image, or the name of one below guests/
    guest: String,
    /// Pairs of runs
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(3..=1000))]
    pairs: u32,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// More arguments for `marq run`, on both sides
    #[arg(last = true)]
    more: Vec<String>,
}

/// Builds both sides, runs the pairs, prints the ratio.
pub fn run(args: &Args) -> Outcome {
    let image = image(&args.guest)?;
    let there = build_revision(&args.rev)?;
    let here = build_here()?;
    let sides = [Side { marq: here, args }, Side { marq: there, args }];
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
    println!("{}", report(args, ratio, &times));
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
    args: &'a Args,
}

impl Side<'_> {
    /// Runs the guest once: seconds, and the exit status.
    fn time(&self, image: &Path) -> Result<(f64, Option<i32>), String> {
        let mut command = Command::new(&self.marq);
        command.arg("run").arg(image).args(&self.args.more).current_dir(shell::root());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = Instant::now();
        let status = command.status().map_err(|error| format!("{}: {error}", self.marq.display()))?;
        Ok((started.elapsed().as_secs_f64(), status.code()))
    }
}

fn report(args: &Args, ratio: Ratio, times: &[(f64, f64)]) -> String {
    let (here, there): (Vec<f64>, Vec<f64>) = times.iter().copied().unzip();
    let verdict = match ratio {
        Ratio { high, .. } if high < 1.0 => "faster here",
        Ratio { low, .. } if low > 1.0 => "slower here",
        _ => "no difference shown",
    };
    format!(
        "{}: time here / time at {} = {:.3} (95%: {:.3} to {:.3}, {} pairs): {verdict}\n\
        medians: {:.3} s here, {:.3} s there",
        args.guest,
        args.rev,
        ratio.mean,
        ratio.low,
        ratio.high,
        times.len(),
        median(here),
        median(there)
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

fn build_here() -> Result<PathBuf, String> {
    let target = shell::root().join("target");
    build(shell::root(), &target)?;
    Ok(target.join("release/marq"))
}

/// Builds a revision in a worktree of its own; its binary is kept for the next time.
fn build_revision(rev: &str) -> Result<PathBuf, String> {
    let commit = format!("{rev}^{{commit}}");
    let hash = shell::output(&mut shell::command("git", &["rev-parse", "--verify", &commit]))?;
    let hash = hash.trim();
    let directory = shell::root().join("target/ab").join(hash);
    let marq = directory.join("marq");
    if marq.is_file() {
        return Ok(marq);
    }
    let tree = directory.join("tree");
    if !tree.join("Cargo.toml").is_file() {
        let path = tree.to_string_lossy().into_owned();
        shell::output(&mut shell::command("git", &["worktree", "add", "--force", "--detach", &path, hash]))?;
    }
    let target = shell::root().join("target/ab/build");
    build(&tree, &target)?;
    std::fs::copy(target.join("release/marq"), &marq)
        .map_err(|error| format!("{}: {error}", marq.display()))?;
    Ok(marq)
}

fn build(tree: &Path, target: &Path) -> Result<(), String> {
    let mut command = Command::new(shell::cargo());
    command
        .args(["build", "--release", "--package", "marquetry", "--bin", "marq", "--target-dir"])
        .arg(target);
    command.current_dir(tree);
    if shell::succeeds(&mut command)? {
        Ok(())
    } else {
        Err(format!("{} failed in {}", shell::line(&command), tree.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_the_whole_interval_on_one_side() {
        let args = Args { rev: "r".into(), guest: "g".into(), pairs: 3, seed: 1, more: Vec::new() };
        let verdict = |low, high| report(&args, Ratio { mean: 1.0, low, high }, &[(1.0, 1.0)]);
        assert!(verdict(0.9, 0.99).contains("faster here"));
        assert!(verdict(1.01, 1.1).contains("slower here"));
        assert!(verdict(0.99, 1.01).contains("no difference"));
    }

    #[test]
    fn a_guest_that_does_not_exist_is_named() {
        assert!(image("no such guest").unwrap_err().contains("no such guest"));
    }
}
