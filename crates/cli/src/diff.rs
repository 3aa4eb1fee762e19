//! `marq diff`: the executors against each other, and against the host's processor.

use std::io::IsTerminal;

use difftest::lockstep::{LockstepConfig, LockstepReport, run_seeds};
use difftest::native::Native;
use difftest::oracle::{OracleConfig, OracleReport, compare};
use difftest::subject::{InterpSubject, JitSubject};
use engine::{EngineConfig, JitMode};
use machine::{BoardConfig, Machine};

use crate::args::{DiffCommand, Jit, LockstepArgs, NativeArgs};
use crate::guests;
use crate::out;
use crate::outcome::Outcome;

/// Instructions between two comparisons of a guest.
const INTERVAL: u64 = 1 << 20;

/// Runs a comparison.
///
/// # Errors
/// A sentence for people: machines that cannot be made, images that cannot be loaded.
pub fn run(command: &DiffCommand) -> Result<Outcome, String> {
    match command {
        DiffCommand::Lockstep(args) => match args.seeds {
            Some((from, to)) => programs(args, from, to),
            None => guest(args),
        },
        DiffCommand::Native(args) => native(args),
    }
}

fn different(found: bool) -> Outcome {
    Outcome::status(i32::from(found))
}

fn programs(args: &LockstepArgs, from: u64, to: u64) -> Result<Outcome, String> {
    let defaults = match args.jit.mode() {
        JitMode::Background => LockstepConfig::background(),
        JitMode::Sync | JitMode::Off => LockstepConfig::default(),
    };
    let config = LockstepConfig {
        jit: args.jit.mode(),
        code_bytes: args.code_cache.map_or(defaults.code_bytes, |bytes| bytes as usize),
        threads: args.threads,
        ..defaults
    };
    let terminal = std::io::stderr().is_terminal();
    let progress = move |done: u64| {
        if terminal {
            eprint!("\r\x1b[K{done} of {} programs", to - from);
        }
    };
    let report: LockstepReport =
        run_seeds(from..to, &config, &progress).map_err(|error| error.to_string())?;
    if terminal {
        eprint!("\r\x1b[K");
    }
    out::print(&report.to_string());
    Ok(different(!report.divergences.is_empty()))
}

fn guest(args: &LockstepArgs) -> Result<Outcome, String> {
    let name = match (&args.guest, &args.image) {
        (Some(name), _) => name.clone(),
        (None, Some(path)) => path.display().to_string(),
        (None, None) => return Err("nothing to compare: give --seeds, --guest or an image".to_owned()),
    };
    let mut make = |jit| {
        let mut config = EngineConfig { jit, threshold: 0, counted: true, ..EngineConfig::default() };
        if let Some(bytes) = args.code_cache {
            config.code_bytes = bytes as usize;
        }
        let mut machine = Machine::new(BoardConfig::default(), config).map_err(|error| error.to_string())?;
        match (&args.guest, &args.image) {
            (Some(name), _) => machine.load_bytes(name, guests::find(name)?.image, &args.append),
            (None, Some(path)) => machine.load(path, &args.append),
            (None, None) => return Err("no guest".to_owned()),
        }
        .map_err(|error| error.to_string())?;
        Ok(machine)
    };
    let mut run = difftest::guests::GuestRun {
        name: &name,
        make: &mut make,
        jit: if args.jit == Jit::Off { Jit::Sync.mode() } else { args.jit.mode() },
        interval: INTERVAL,
        limit: u64::MAX,
    };
    match difftest::guests::compare(&mut run) {
        Ok(report) => {
            let sum = |counts: &[i64]| counts.iter().sum::<i64>();
            out::line(&format!(
                "{name}: equal over {} instructions ({} comparisons), ended with {:?}; emitted {}, delegated {}, interpreted {}",
                report.instructions,
                report.comparisons,
                report.stop,
                sum(&report.ops.emitted),
                sum(&report.ops.delegated),
                sum(&report.ops.interpreted)
            ));
            Ok(different(false))
        }
        Err(difftest::guests::GuestFailure::Make(error)) => Err(error),
        Err(difftest::guests::GuestFailure::Differs(divergence)) => {
            out::print(&divergence.to_string());
            Ok(different(true))
        }
    }
}

fn native(args: &NativeArgs) -> Result<Outcome, String> {
    let config = OracleConfig { seed: args.seed, states: args.states, ..OracleConfig::default() };
    let place = Native::new().map_err(|error| error.to_string())?.place();
    let mut interp = InterpSubject::new(place).map_err(|error| error.to_string())?;
    let interp = compare(config, &mut |form, before| interp.run(&form.insn, before))
        .map_err(|error| error.to_string())?;
    let mut jit = JitSubject::new(place).map_err(|error| error.to_string())?;
    let jit =
        compare(config, &mut |form, before| jit.run(form, before)).map_err(|error| error.to_string())?;
    show("interpreter", &interp);
    show("translated code", &jit);
    Ok(different(!interp.is_clean() || !jit.is_clean()))
}

fn show(name: &str, report: &OracleReport) {
    out::line(&format!("{name} against the host's processor, seed {}:\n{report}", report.seed));
}
