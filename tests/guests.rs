//! Every guest gives its expected result in every way of running it.
#![forbid(unsafe_code)]

use engine::{EngineConfig, JitMode, Stop};
use tests::{guests, machine, translated};

/// Instructions after which a guest has gone wrong.
const LIMIT: u64 = 2_000_000_000;

fn all(config: &EngineConfig) {
    let mut wrong = Vec::new();
    for guest in guests() {
        for line in guest.command_lines() {
            let (mut machine, output) = machine(&guest, &line, config.clone());
            let stop = machine.run(Some(LIMIT));
            let text = output.text();
            if stop != Stop::Exit(1) || !text.ends_with(&format!("result {}\n", guest.result)) {
                wrong.push(format!(
                    "{} {line}: {stop:?}, wanted result {}, got {text:?}",
                    guest.name, guest.result
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn interpreted() {
    all(&EngineConfig { jit: JitMode::Off, ..EngineConfig::default() });
}

#[test]
fn compiled_before_the_first_execution() {
    all(&translated());
}

#[test]
fn compiled_in_the_background() {
    all(&EngineConfig { jit: JitMode::Background, ..EngineConfig::default() });
}

#[test]
fn with_code_memory_of_one_mebibyte() {
    all(&EngineConfig { code_bytes: 1 << 20, ..translated() });
}

#[test]
fn most_executed_instructions_are_translated() {
    let (mut total, mut emitted) = (0, 0);
    for guest in guests() {
        for line in guest.command_lines() {
            let (mut machine, _output) =
                machine(&guest, &line, EngineConfig { counted: true, ..translated() });
            machine.run(Some(LIMIT));
            total += machine.engine().cpu().instructions();
            emitted += machine.engine().op_counts().emitted.iter().sum::<i64>() as u64;
        }
    }
    println!("{emitted} of {total} executed instructions are translated");
    assert!(emitted * 100 >= total * 95, "{emitted} of {total}");
}

#[test]
fn memory_is_reached_inline_once_warm() {
    let by_name =
        |name: &str| guests().into_iter().find(|guest| guest.name == name).expect("the guest exists");
    for name in ["sieve", "crc32", "quicksort", "chase", "lz", "matmul"] {
        let guest = by_name(name);
        for paging in ["", " paging=1"] {
            let calls = |n: u64| {
                let (mut machine, _output) = machine(&guest, &format!("n={n}{paging}"), translated());
                machine.run(Some(LIMIT));
                machine.engine().helper_calls()[jit_helper::ACCESS]
            };
            assert_eq!(calls(6), calls(3), "{name}{paging}: accesses through the helper grow with the work");
        }
    }
}

/// Rows of the helper table that tests look at.
mod jit_helper {
    /// An access over the bus.
    pub const ACCESS: usize = 1;
}
