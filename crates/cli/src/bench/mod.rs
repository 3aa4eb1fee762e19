//! `marq bench`: paired, interleaved runs of the guests, timed between their own markers.
//!
//! The guest `cold` is a curve: with k executions of each function the whole run is the measurement, and it cannot be
//! repeated inside one boot; a sample is the sum over as many boots as make it long enough.

mod bounds;
mod ratio;
mod subject;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use bounds::{Asked, Bound, Report};
use ratio::Ratio;
use subject::{Subject, Timing, Work};

use crate::args::{BenchArgs, Format};
use crate::guests::{self, Class, Guest};
use crate::out;
use crate::outcome::{Outcome, status};
use crate::progress::Progress;

/// Shortest sample that counts, in seconds.
const SHORTEST: f64 = 1.0;
/// How much more work a sample gets than it seems to need.
const SPARE: f64 = 1.1;
/// The guest that is measured as a curve, and its points: executions of each function.
const CURVE: (&str, [u32; 4]) = ("cold", [1, 10, 100, 1000]);
/// Most boots of a sample.
const BOOTS_MAX: u32 = 200;

/// One row of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Guest.
    pub guest: String,
    /// Its class.
    pub class: Class,
    /// Whether it ran with paging.
    pub paging: bool,
    /// Further words of its command line.
    pub args: String,
    /// QEMU's time over ours; processor time for guests that wait for timers.
    pub vs_qemu: Option<Ratio>,
    /// Our time over native's.
    pub vs_native: Option<Ratio>,
    /// The interpreter's time over ours.
    pub vs_interp: Option<Ratio>,
    /// What the lower end of `vs_qemu` must be.
    pub bound: Option<Bound>,
}

impl Row {
    fn of(case: &Case) -> Self {
        Self {
            guest: case.guest.name.to_owned(),
            class: case.guest.class,
            paging: case.paging,
            args: case.args(),
            vs_qemu: None,
            vs_native: None,
            vs_interp: None,
            bound: Bound::of(case),
        }
    }

    /// Guest, arguments, paging.
    fn name(&self) -> String {
        let space = if self.args.is_empty() { "" } else { " " };
        format!("{}{space}{}{}", self.guest, self.args, if self.paging { " (paging)" } else { "" })
    }
}

/// One guest to measure.
struct Case {
    guest: &'static Guest,
    paging: bool,
    /// A point of the curve: executions of each function.
    executions: Option<u32>,
    image: PathBuf,
    native: Option<PathBuf>,
}

impl Case {
    fn args(&self) -> String {
        self.executions.map(|k| format!("k={k}")).unwrap_or_default()
    }

    /// The work of one boot before anything has been measured.
    fn work(&self) -> Work {
        let words = [self.args(), if self.paging { "paging=1".to_owned() } else { String::new() }];
        Work {
            image: self.image.clone(),
            append: words.join(" ").trim().to_owned(),
            n: if self.executions.is_some() { 1 } else { self.guest.bench_n },
        }
    }

    /// Work and boots of a sample, when one boot of `work` takes `seconds`.
    fn sample(&self, work: Work, seconds: f64) -> (Work, u32) {
        let times = (SHORTEST * SPARE / seconds.max(1e-3)).max(1.0);
        match self.executions {
            Some(_) if seconds < SHORTEST => (work, (times.ceil() as u32).min(BOOTS_MAX)),
            None if seconds < SHORTEST => (Work { n: (work.n as f64 * times).ceil() as u64, ..work }, 1),
            Some(_) | None => (work, 1),
        }
    }

    /// The time that counts.
    fn seconds(&self, timing: Timing) -> f64 {
        if self.guest.waits { timing.cpu } else { timing.wall }
    }
}

/// Runs the benchmark.
///
/// # Errors
/// A sentence for people: no guest matches, an image cannot be written, or there is no QEMU.
pub fn run(args: &BenchArgs) -> Result<Outcome, String> {
    if args.vs_qemu() {
        subject::find_qemu()?;
    }
    let scratch = Scratch::new()?;
    let cases = cases(args, &scratch)?;
    if cases.is_empty() {
        return Err(format!(
            "no guest matches {:?}; `marq guests` lists them",
            args.filter.as_deref().unwrap_or("")
        ));
    }
    let bench = Bench { args, progress: Progress::start("bench:", Instant::now()) };
    let mut rows = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let row = bench.measure(case, &format!("row {} of {}", number + 1, cases.len()));
        if args.format == Format::Text {
            bench.progress.aside(|| print_row(&row));
        }
        rows.push(row);
    }
    drop(bench);
    let asked = Asked { qemu: args.vs_qemu(), native: args.natives.is_some(), all: args.filter.is_none() };
    let report = Report::judge(rows, asked);
    match args.format {
        Format::Json => {
            out::line(&serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?);
        }
        Format::Text => print_summary(&report),
    }
    Ok(Outcome::status(report.status()))
}

/// A directory of our own that goes with us.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("marq-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let scratch = Self(path);
        scratch.remove_on_interrupt()?;
        Ok(scratch)
    }

    /// Ctrl-C ends the benchmark at once; what it wrote goes first.
    fn remove_on_interrupt(&self) -> Result<(), String> {
        let path = self.0.clone();
        ctrlc::set_handler(move || {
            let _removed = std::fs::remove_dir_all(&path);
            std::process::exit(status::INTERRUPTED);
        })
        .map_err(|error| format!("Ctrl-C cannot be caught: {error}"))
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
            cases.extend(points(guest).into_iter().map(|executions| Case {
                guest,
                paging,
                executions,
                image: image.clone(),
                native: native.clone(),
            }));
        }
    }
    Ok(cases)
}

/// The points of a guest's curve; of a guest without one, one.
fn points(guest: &Guest) -> Vec<Option<u32>> {
    if guest.name == CURVE.0 { CURVE.1.map(Some).to_vec() } else { vec![None] }
}

/// The native build of a guest, where there is one.
fn native_of(guest: &Guest, directory: Option<&Path>) -> Option<PathBuf> {
    let path = directory?.join(guest.name);
    path.is_file().then_some(path)
}

/// Paired samples of one case.
#[derive(Default)]
struct Samples {
    qemu: Vec<f64>,
    native: Vec<f64>,
    interp: Vec<f64>,
}

/// Who takes part in a case besides us.
struct Rivals {
    qemu: Option<Subject>,
    native: Option<Subject>,
}

/// A benchmark under way.
struct Bench<'a> {
    args: &'a BenchArgs,
    progress: Progress,
}

impl Bench<'_> {
    fn measure(&self, case: &Case, place: &str) -> Row {
        let mut row = Row::of(case);
        let name = row.name();
        self.progress.say(format!("bench: {place}: {name}, trial,"));
        let rivals = Rivals {
            qemu: (self.args.vs_qemu() && !case.guest.ours).then_some(Subject::Qemu),
            native: case.native.clone().map(Subject::Native),
        };
        let work = case.work();
        let Some(mut shortest) = self.time(case, &self.ours(), &work) else { return row };
        if let Some(qemu) = &rivals.qemu
            && let Some(theirs) = self.time(case, qemu, &work)
        {
            shortest = shortest.min(theirs);
        }
        let (work, boots) = case.sample(work, shortest);
        let mut samples = Samples::default();
        for round in 1..=self.args.rounds {
            self.progress.say(format!("bench: {place}: {name}, round {round} of {},", self.args.rounds));
            self.round(case, &rivals, (&work, boots), &mut samples);
        }
        row.vs_qemu = Ratio::of(&samples.qemu);
        row.vs_native = Ratio::of(&samples.native);
        row.vs_interp = Ratio::of(&samples.interp);
        row
    }

    fn ours(&self) -> Subject {
        Subject::Marq(self.args.jit.name())
    }

    /// One sample of each subject, boot by boot in turn.
    fn round(&self, case: &Case, rivals: &Rivals, (work, boots): (&Work, u32), samples: &mut Samples) {
        let (mut ours, mut qemu, mut native) = (Some(0.0), Some(0.0), Some(0.0));
        let add = |sum: &mut Option<f64>, subject: Option<&Subject>| {
            *sum = sum.zip(subject).and_then(|(sum, subject)| Some(sum + self.time(case, subject, work)?));
        };
        for _ in 0..boots {
            add(&mut ours, Some(&self.ours()));
            add(&mut qemu, rivals.qemu.as_ref());
            add(&mut native, rivals.native.as_ref());
        }
        let Some(ours) = ours else { return };
        samples.qemu.extend(qemu.map(|qemu| qemu / ours));
        samples.native.extend(native.map(|native| ours / native));
        if self.args.interp {
            // The interpreter gets a fraction of the work, and its time is scaled to the whole.
            let part = Work { n: (work.n / 20).max(1), ..work.clone() };
            let scale = work.n as f64 / part.n as f64 * f64::from(boots);
            samples
                .interp
                .extend(self.time(case, &Subject::Marq("off"), &part).map(|slow| slow * scale / ours));
        }
    }

    /// What one boot takes; a failure is said and gives nothing.
    fn time(&self, case: &Case, subject: &Subject, work: &Work) -> Option<f64> {
        let failed = |error: &String| {
            self.progress.aside(|| eprintln!("marq bench: {}: {error}", Row::of(case).name()));
        };
        subject.time(work).inspect_err(failed).ok().map(|timing| case.seconds(timing))
    }
}

fn print_row(row: &Row) {
    let show = |ratio: Option<Ratio>| match ratio {
        Some(ratio) => format!("{:6.2} [{:5.2}, {:5.2}]", ratio.ratio, ratio.low, ratio.high),
        None => format!("{:>22}", "-"),
    };
    out::line(&format!(
        "{:<12} {:<6} {:<8} {:<6} {}  {}  {}",
        row.guest,
        row.args,
        row.class.name(),
        if row.paging { "paging" } else { "" },
        show(row.vs_qemu),
        show(row.vs_native),
        show(row.vs_interp)
    ));
}

fn print_summary(report: &Report) {
    out::line(
        "columns: QEMU's time over ours, ours over native's, the interpreter's over ours; median [95% interval]",
    );
    for mean in &report.means {
        let show = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        out::line(&format!(
            "compute guests, {}: {} times as fast as QEMU, {} times native's time (geometric means)",
            if mean.paging { "paging" } else { "paging off" },
            show(mean.vs_qemu),
            show(mean.vs_native)
        ));
    }
    for missed in &report.missed {
        out::line(&format!("missed: {missed}"));
    }
    for absent in &report.absent {
        out::line(&format!("absent: {absent}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, executions: Option<u32>, paging: bool) -> Case {
        let guest = guests::find(name).unwrap();
        Case { guest, paging, executions, image: "image".into(), native: None }
    }

    #[test]
    fn cold_is_a_curve_of_whole_runs() {
        assert_eq!(points(guests::find("sieve").unwrap()), [None]);
        assert_eq!(points(guests::find("cold").unwrap()), [Some(1), Some(10), Some(100), Some(1000)]);
        let cold = case("cold", Some(100), true);
        let (work, boots) = cold.sample(cold.work(), 0.25);
        assert_eq!((work.append.as_str(), work.n, boots), ("k=100 paging=1", 1, 5));
        assert_eq!(cold.sample(cold.work(), 1.5).1, 1);
        assert_eq!(cold.sample(cold.work(), 0.0).1, BOOTS_MAX);
        assert_eq!(Row::of(&cold).name(), "cold k=100 (paging)");
    }

    #[test]
    fn other_guests_get_more_work_until_it_takes_a_second() {
        let sieve = case("sieve", None, false);
        let (work, boots) = sieve.sample(sieve.work(), 0.5);
        assert_eq!((work.append.as_str(), work.n, boots), ("", sieve.guest.bench_n * 22 / 10, 1));
        assert_eq!(sieve.sample(sieve.work(), 1.0).0.n, sieve.guest.bench_n);
        assert_eq!(Row::of(&sieve).name(), "sieve");
    }

    #[test]
    fn a_row_in_json_has_its_arguments_and_its_bound() {
        let row = serde_json::to_value(Row::of(&case("cold", Some(1), false))).unwrap();
        let expected = serde_json::json!({
            "guest": "cold", "class": "system", "paging": false, "args": "k=1", "vs_qemu": null, "vs_native": null,
            "vs_interp": null, "bound": {"at_least": 0.667},
        });
        assert_eq!(row, expected);
    }

    #[test]
    fn a_guest_that_waits_is_timed_by_processor_time() {
        let timing = Timing { wall: 4.0, cpu: 1.0 };
        assert_eq!(case("timer_storm", None, false).seconds(timing), 1.0);
        assert_eq!(case("smc", None, false).seconds(timing), 4.0);
    }
}
