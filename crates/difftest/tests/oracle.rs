//! Both executors against the host's processor, on a sample of the forms; `marq diff native` takes all.

use std::sync::{Mutex, MutexGuard, PoisonError};

use isa::Op;
use marquetry_difftest::native::{Native, NativeState, Unavailable};
use marquetry_difftest::oracle::{OracleConfig, OracleReport, compare};
use marquetry_difftest::subject::{InterpSubject, JitSubject};

/// The native oracle has one place in the address space: the tests take turns.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The native oracle; `None`, and a line that says so, where the host has none.
fn native() -> Option<Native> {
    match Native::new() {
        Ok(native) => Some(native),
        Err(reason @ (Unavailable::Host | Unavailable::Segments(_))) => {
            println!("SKIPPED: no native oracle: {reason}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn check(report: &OracleReport) {
    println!("{report}");
    assert!(
        report.is_clean(),
        "{} differences, {} forms not run",
        report.total().differences,
        report.unfit.len()
    );
}

#[test]
fn the_interpreter_agrees_with_the_processor() {
    let _turn = turn();
    let Some(place) = native().map(|native| native.place()) else { return };
    let mut subject = InterpSubject::new(place).expect("the host gives memory");
    let config = OracleConfig { seed: 11, states: 50, every: 3 };
    check(&compare(config, &mut |form, before| subject.run(&form.insn, before)).expect("it was available"));
}

#[test]
fn translated_code_agrees_with_the_processor() {
    let _turn = turn();
    let Some(place) = native().map(|native| native.place()) else { return };
    let mut subject = JitSubject::new(place).expect("the host gives memory");
    let config = OracleConfig { seed: 12, states: 100, every: 16 };
    check(&compare(config, &mut |form, before| subject.run(form, before)).expect("it was available"));
    assert!(subject.stats().units > 500, "forms are translated: {:?}", subject.stats());
}

/// A wrong flag, register, byte, EIP or exception of one operation is found, and only there.
#[test]
fn mistakes_are_found() {
    let _turn = turn();
    let Some(place) = native().map(|native| native.place()) else { return };
    let mut subject = InterpSubject::new(place).expect("the host gives memory");
    let mistakes: [fn(&mut NativeState); 5] = [
        |after| after.eflags ^= 1,
        |after| after.gpr[5] ^= 0x100,
        |after| after.memory[0] ^= 1,
        |after| after.eip += 1,
        |after| after.fault = Some(13),
    ];
    for mistake in mistakes {
        let config = OracleConfig { seed: 1, states: 4, every: 40 };
        let report = compare(config, &mut |form, before| {
            let mut after = subject.run(&form.insn, before);
            if form.insn.op == Op::Xor {
                mistake(&mut after);
            }
            after
        });
        let report = report.expect("it was available");
        let xor = report.ops["Xor"];
        assert!(xor.states > 0 && xor.differences == xor.states, "{xor:?}");
        assert_eq!(report.total().differences, xor.differences);
    }
}
