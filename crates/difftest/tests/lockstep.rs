//! A small sample of random programs; `marq diff lockstep` runs as many as one likes.

use engine::JitMode;
use marquetry_difftest::lockstep::{LockstepConfig, run_seeds};

#[test]
fn the_interpreter_agrees_with_itself() {
    let config = LockstepConfig { jit: JitMode::Off, ..LockstepConfig::default() };
    let report = run_seeds(0..1000, &config, &|_| ()).expect("the host gives memory");
    assert_eq!(report.divergences, []);
    assert_eq!(report.programs, 1000);
    // Programs do something, and most of them come to their end.
    assert!(report.instructions > 50_000 && report.exceptions > 500 && report.interrupts > 100, "{report}");
    assert!(report.endings.halted > 500, "{report}");
}

#[test]
fn translated_code_agrees_with_the_interpreter() {
    let report = run_seeds(1000..1400, &LockstepConfig::default(), &|_| ()).expect("the host gives memory");
    println!("{report}");
    assert_eq!(report.divergences.len(), 0, "{report}");
    let emitted: i64 = report.ops.emitted.iter().sum();
    assert!(emitted > 10_000, "translated code ran: {emitted}");
}
