//! The interpreter against translated code: random programs and whole guests.
#![forbid(unsafe_code)]

use difftest::guests::{GuestFailure, GuestRun, compare};
use difftest::lockstep::{LockstepConfig, LockstepReport, run_seeds};
use engine::{EngineConfig, JitMode};
use tests::{guests, machine, translated};

/// Seeds of the random programs; `LOCKSTEP_PROGRAMS` asks for another number of them.
fn programs(default: u64) -> u64 {
    std::env::var("LOCKSTEP_PROGRAMS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn run(config: &LockstepConfig, from: u64, count: u64) -> LockstepReport {
    println!("seeds {from}..{}", from + count);
    let report = run_seeds(from..from + count, config, &|_| {}).expect("machines");
    println!("{report}");
    assert!(report.divergences.is_empty(), "{report}");
    assert_eq!(report.programs, count);
    report
}

#[test]
fn random_programs() {
    let count = programs(200_000);
    let report = run(&LockstepConfig::default(), 0, count);
    if count >= 200_000 {
        assert_eq!(report.thin(1000), [], "operations whose translated code hardly ran");
    }
}

#[test]
fn random_programs_with_code_memory_of_one_mebibyte() {
    let config = LockstepConfig { code_bytes: 1 << 20, verify: false, ..LockstepConfig::default() };
    run(&config, 1 << 32, programs(200_000));
}

#[test]
fn random_programs_compiled_in_the_background() {
    let config = LockstepConfig { verify: false, ..LockstepConfig::background() };
    let report = run(&config, 2 << 32, programs(200_000));
    let emitted: i64 = report.ops.emitted.iter().sum();
    assert!(emitted >= 100 * report.programs as i64, "translated code hardly ran");
}

fn all_guests(jit: JitMode, code_bytes: usize) {
    for guest in guests() {
        for line in guest.command_lines() {
            let mut make = |jit| {
                let config = EngineConfig { jit, code_bytes, ..translated() };
                Ok::<_, std::convert::Infallible>(machine(&guest, &line, config).0)
            };
            let mut run =
                GuestRun { name: &guest.name, make: &mut make, jit, interval: 1 << 20, limit: 30_000_000 };
            match compare(&mut run) {
                Ok(report) => {
                    println!("{} {line}: equal over {} instructions", guest.name, report.instructions)
                }
                Err(GuestFailure::Make(error)) => match error {},
                Err(GuestFailure::Differs(divergence)) => panic!("{line}: {divergence}"),
            }
        }
    }
}

#[test]
fn guests_compiled_before_the_first_execution() {
    all_guests(JitMode::Sync, EngineConfig::default().code_bytes);
}

#[test]
fn guests_with_code_memory_of_one_mebibyte() {
    all_guests(JitMode::Sync, 1 << 20);
}

#[test]
fn guests_compiled_in_the_background() {
    all_guests(JitMode::Background, EngineConfig::default().code_bytes);
}
