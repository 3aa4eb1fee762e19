//! What the benches share: machines for a few bytes of code and for the guests of `guests/`, and the time of one
//! executed guest instruction.
#![forbid(unsafe_code)]

pub mod plot;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use engine::{EngineConfig, JitMode, Stop};
use machine::{BoardConfig, Machine};

/// Where the code of [`machine`] stands.
pub const CODE: u32 = 0x10_0000;
/// Top of its stack.
const STACK: u32 = 0x18_0000;

/// An engine that compiles everything before its first execution, on the processor's thread.
#[must_use]
pub fn translated() -> EngineConfig {
    EngineConfig { jit: JitMode::Sync, threshold: 0, ..EngineConfig::default() }
}

/// An engine that compiles nothing.
#[must_use]
pub fn interpreted() -> EngineConfig {
    EngineConfig { jit: JitMode::Off, ..EngineConfig::default() }
}

/// A machine that is about to run `code` at [`CODE`].
///
/// # Panics
/// When the host gives no memory.
#[must_use]
pub fn machine(code: &[u8], config: EngineConfig) -> Machine {
    let mut machine = Machine::new(BoardConfig::default(), config).expect("a machine");
    let skipped = machine.memory().write_rom(u64::from(CODE), code);
    assert!(skipped.is_empty(), "the code lies in RAM");
    let cpu = machine.engine_mut().cpu_mut();
    cpu.set_flat_protected(CODE);
    cpu.state.gpr[4] = STACK.into();
    machine
}

fn guests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests")
}

/// Names of the guests that compute.
///
/// # Panics
/// When the manifest cannot be read.
#[must_use]
pub fn compute_guests() -> Vec<String> {
    let manifest = std::fs::read_to_string(guests_dir().join("guests.toml")).expect("the manifest");
    let guests = manifest.split("[[guest]]").skip(1).filter(|guest| guest.contains("class = \"compute\""));
    guests.filter_map(|guest| guest.split('"').nth(1)).map(str::to_owned).collect()
}

/// A machine with the guest `name` loaded, with more work than any measurement takes.
///
/// # Panics
/// When there is no such guest, or the host gives no memory.
#[must_use]
pub fn guest(name: &str, config: EngineConfig) -> Machine {
    let image = std::fs::read(guests_dir().join("bin").join(format!("{name}.elf"))).expect("the image");
    let mut machine = Machine::new(BoardConfig::default(), config).expect("a machine");
    machine.load_bytes(name, &image, "n=1000000000").expect("the guest loads");
    machine
}

/// Runs `count` further instructions; how long it took.
///
/// # Panics
/// When the guest ends before.
pub fn run(machine: &mut Machine, count: u64) -> Duration {
    let limit = machine.engine().cpu().instructions() + count;
    let started = Instant::now();
    let stop = machine.run(Some(limit));
    let elapsed = started.elapsed();
    assert_eq!(stop, Stop::Limit, "the guest does not end");
    elapsed
}
