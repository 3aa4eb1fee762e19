//! `marq bench`: paired, interleaved runs of the guests, timed between their own markers.

mod ratio;
mod subject;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use ratio::{Ratio, geomean};
use subject::{Subject, Timing, Work};

use crate::args::{BenchArgs, Format};
use crate::guests::{self, Class, Guest};
use crate::outcome::Outcome;

/// Shortest run that counts, in seconds.
const SHORTEST: f64 = 1.0;

/// One row of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Guest.
    pub guest: String,
    /// Its class.
    pub class: Class,
    /// Whether it ran with paging.
    pub paging: bool,
    /// QEMU's time over ours; processor time for guests that wait for timers.
    pub vs_qemu: Option<Ratio>,
    /// Our time over native's.
    pub vs_native: Option<Ratio>,
    /// The interpreter's time over ours.
    pub vs_interp: Option<Ratio>,
}

/// The whole report.
#[derive(Debug, Serialize)]
struct Report {
    rows: Vec<Row>,
    /// Geometric means over the compute guests: paging, vs_qemu, vs_native.
    means: Vec<Mean>,
    missed: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Mean {
    paging: bool,
    vs_qemu: Option<f64>,
    vs_native: Option<f64>,
}

/// One guest to measure.
struct Case {
    guest: &'static Guest,
    paging: bool,
    image: PathBuf,
    native: Option<PathBuf>,
}

/// Runs the benchmark.
///
/// # Errors
/// A sentence for people: no guest matches, or an image cannot be written.
pub fn run(args: &BenchArgs) -> Result<Outcome, String> {
    let scratch = Scratch::new()?;
    let cases = cases(args, &scratch)?;
    if cases.is_empty() {
        return Err(format!(
            "no guest matches {:?}; `marq guests` lists them",
            args.filter.as_deref().unwrap_or("")
        ));
    }
    let mut rows = Vec::new();
    for case in &cases {
        rows.push(measure(case, args));
        if args.format == Format::Text {
            print_row(&rows[rows.len() - 1]);
        }
    }
    let report = judge(rows);
    match args.format {
        Format::Json => {
            println!("{}", serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?)
        }
        Format::Text => print_summary(&report),
    }
    let absent = args.vs_qemu()
        && report.rows.iter().any(|row| row.vs_qemu.is_none() && !guests::is_ours_only(&row.guest));
    Ok(Outcome::status(if absent { 2 } else { i32::from(!report.missed.is_empty()) }))
}

/// A directory of our own that goes with us.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("marq-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that cannot be removed is left to the system's own cleaning.
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}

fn cases(args: &BenchArgs, scratch: &Scratch) -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    let wanted =
        |guest: &&Guest| args.filter.as_ref().is_none_or(|filter| guest.name.contains(filter.as_str()));
    for guest in guests::ALL.iter().filter(|guest| guest.bench_n > 0).filter(wanted) {
        let image = scratch.0.join(format!("{}.elf", guest.name));
        std::fs::write(&image, guest.image).map_err(|error| format!("{}: {error}", image.display()))?;
        let native = native_of(guest, args.natives.as_deref());
        for paging in [false, true].into_iter().filter(|paging| !paging || guest.paging) {
            cases.push(Case { guest, paging, image: image.clone(), native: native.clone() });
        }
    }
    Ok(cases)
}

/// The native build of a guest, where there is one.
fn native_of(guest: &Guest, directory: Option<&Path>) -> Option<PathBuf> {
    let path = directory?.join(guest.name);
    path.is_file().then_some(path)
}

fn measure(case: &Case, args: &BenchArgs) -> Row {
    let append = if case.paging { "paging=1" } else { "" };
    let mut work = Work { image: case.image.clone(), append: append.to_owned(), n: case.guest.bench_n };
    let jit = Subject::Marq(args.jit.name());
    let mut row = Row {
        guest: case.guest.name.to_owned(),
        class: case.guest.class,
        paging: case.paging,
        vs_qemu: None,
        vs_native: None,
        vs_interp: None,
    };
    let Some(first) = note(jit.time(&work)) else { return row };
    if first.wall < SHORTEST {
        work.n = (work.n as f64 * SHORTEST * 1.1 / first.wall.max(1e-3)).ceil() as u64;
    }
    let mut samples = Samples::default();
    for _ in 0..args.rounds {
        round(case, args, &work, &mut samples);
    }
    row.vs_qemu = Ratio::of(&samples.qemu);
    row.vs_native = Ratio::of(&samples.native);
    row.vs_interp = Ratio::of(&samples.interp);
    row
}

#[derive(Default)]
struct Samples {
    qemu: Vec<f64>,
    native: Vec<f64>,
    interp: Vec<f64>,
}

/// One run of each subject, one after the other.
fn round(case: &Case, args: &BenchArgs, work: &Work, samples: &mut Samples) {
    let Some(ours) = note(Subject::Marq(args.jit.name()).time(work)) else { return };
    if args.vs_qemu()
        && !guests::is_ours_only(case.guest.name)
        && let Some(theirs) = note(Subject::Qemu.time(work))
    {
        let by_cpu = case.guest.waits;
        samples.qemu.push(if by_cpu { theirs.cpu / ours.cpu } else { theirs.wall / ours.wall });
    }
    if let Some(native) = &case.native
        && let Some(native) = note(Subject::Native(native.clone()).time(work))
    {
        samples.native.push(ours.wall / native.wall);
    }
    if args.interp {
        // The interpreter gets a fraction of the work, and its time is scaled to the whole.
        let part = Work { n: (work.n / 20).max(1), ..work.clone() };
        if let Some(slow) = note(Subject::Marq("off").time(&part)) {
            samples.interp.push(slow.wall / part.n as f64 * work.n as f64 / ours.wall);
        }
    }
}

fn note(timing: Result<Timing, String>) -> Option<Timing> {
    timing.inspect_err(|error| eprintln!("marq bench: {error}")).ok()
}

/// The bounds that the project sets itself.
fn judge(rows: Vec<Row>) -> Report {
    let mut missed = Vec::new();
    for row in &rows {
        let name = format!("{}{}", row.guest, if row.paging { " (paging)" } else { "" });
        if let Some(ratio) = row.vs_qemu
            && ratio.low < 0.95
        {
            missed.push(format!("{name}: vs_qemu.low {:.2} is below 0.95", ratio.low));
        }
    }
    let means: Vec<Mean> = [false, true].into_iter().map(|paging| mean(&rows, paging)).collect();
    for (mean, qemu, native) in [(&means[0], 3.0, 2.0), (&means[1], 2.5, 2.8)] {
        let label = if mean.paging { "with paging" } else { "paging off" };
        if mean.vs_qemu.is_some_and(|mean| mean < qemu) {
            missed.push(format!("compute guests, {label}: geometric mean against QEMU is below {qemu}"));
        }
        if mean.vs_native.is_some_and(|mean| mean > native) {
            missed.push(format!("compute guests, {label}: geometric mean against native is above {native}"));
        }
    }
    Report { rows, means, missed }
}

fn mean(rows: &[Row], paging: bool) -> Mean {
    let compute = || rows.iter().filter(move |row| row.class == Class::Compute && row.paging == paging);
    Mean {
        paging,
        vs_qemu: geomean(compute().filter_map(|row| row.vs_qemu).map(|ratio| ratio.ratio)),
        vs_native: geomean(compute().filter_map(|row| row.vs_native).map(|ratio| ratio.ratio)),
    }
}

fn print_row(row: &Row) {
    let show = |ratio: Option<Ratio>| match ratio {
        Some(ratio) => format!("{:6.2} [{:5.2}, {:5.2}]", ratio.ratio, ratio.low, ratio.high),
        None => format!("{:>22}", "-"),
    };
    println!(
        "{:<14} {:<8} {:<6} {}  {}  {}",
        row.guest,
        row.class.name(),
        if row.paging { "paging" } else { "" },
        show(row.vs_qemu),
        show(row.vs_native),
        show(row.vs_interp)
    );
}

fn print_summary(report: &Report) {
    println!(
        "columns: QEMU's time over ours, ours over native's, the interpreter's over ours; median [95% interval]"
    );
    for mean in &report.means {
        let show = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        let label = if mean.paging { "paging" } else { "paging off" };
        println!(
            "compute guests, {label}: {} times as fast as QEMU, {} times native's time (geometric means)",
            show(mean.vs_qemu),
            show(mean.vs_native)
        );
    }
    for missed in &report.missed {
        println!("missed: {missed}");
    }
}
