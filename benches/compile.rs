//! What it costs to get guest code ready to run, by tier, on code of real guests: nanoseconds for each guest
//! instruction.
//!
//! The units are those that an engine makes of the guest's first instructions. `decode` is what an interpreted block
//! costs before its first run; `translate` is our part of a compilation and `compile` all of it, without a place in
//! code memory; `engine` is what an engine that compiles on the processor's thread says of all it does for that.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::{Duration, Instant};

use benches::{guest, run, translated};
use criterion::{Criterion, criterion_group, criterion_main};
use interp::Packed;
use isa::{DecodeMode, Insn, decode_run};
use jit::{CodeBytes, Compiler, OptLevel, RamRange, UnitMode, UnitRequest};
use machine::Machine;

/// The guests: straight-line arithmetic, a big switch, loops over bytes, many small functions.
const GUESTS: [&str; 4] = ["sha256", "bytecode", "lz", "cold"];
/// Instructions after which a guest's units are taken.
const FIRST: u64 = 300_000;
/// Most units of a guest.
const UNITS: usize = 20;
/// Pages before and after a unit's entry that the translator sees, as the engine has it.
const REACH: u32 = 8;
/// First address of the range that loads are checked against, as the engine has it.
const RANGE_START: u32 = 1 << 20;
/// Most bytes of an interpreted block, as the engine has it.
const BLOCK: usize = 64;

/// A guest's units: requests for the translator, and the bytes that went into them.
struct Units {
    requests: Vec<UnitRequest>,
    code: Vec<(u32, Vec<u8>)>,
}

impl Units {
    fn of(name: &str) -> Self {
        let mut machine = guest(name, translated());
        run(&mut machine, FIRST);
        let mut units = Self { requests: Vec::new(), code: Vec::new() };
        for unit in machine.engine().translations().iter().take(UNITS) {
            units.requests.push(request(&machine, unit.eip));
            // Paging is off: physical addresses are EIPs.
            units.code.extend(unit.covers.iter().map(|(from, to)| {
                let mut bytes = vec![0; (to - from) as usize];
                read(&machine, *from, &mut bytes);
                (*from as u32, bytes)
            }));
        }
        assert!(!units.requests.is_empty(), "{name} has units");
        units
    }
}

fn request(machine: &Machine, entry: u32) -> UnitRequest {
    let page = entry >> 12;
    let first = page.saturating_sub(REACH).max(RANGE_START >> 12);
    let mut bytes = vec![0; ((page + REACH + 1 - first) << 12) as usize];
    read(machine, u64::from(first << 12), &mut bytes);
    let len = machine.board().ram_bytes() as u32 - RANGE_START;
    UnitRequest {
        entry,
        mode: UnitMode { paging: false, flat: true },
        code: CodeBytes { start: first << 12, bytes },
        site_base: 0,
        range: Some(RamRange { start: RANGE_START, len }),
        windowed: BTreeSet::new(),
        slow: BTreeSet::new(),
        ungrouped: BTreeSet::new(),
        likely: std::collections::BTreeMap::new(),
        limit: translated().unit_limit,
        counted: false,
    }
}

fn read(machine: &Machine, at: u64, bytes: &mut [u8]) {
    let outcome = machine.memory().read(at, bytes, &mut memory::AccessCx::cpu());
    assert!(outcome.is_ok(), "the code lies in RAM");
}

/// Decodes everything in blocks of the interpreter's size; how many instructions.
fn decode_all(units: &Units, decoded: &mut Vec<Insn>, packed: &mut Vec<Packed>) -> u64 {
    packed.clear();
    for (eip, bytes) in &units.code {
        let mut done = 0;
        while done < bytes.len() {
            decoded.clear();
            let block = &bytes[done..bytes.len().min(done + BLOCK)];
            let len = decode_run(block, *eip + done as u32, DecodeMode { code32: true }, decoded, |_| true);
            packed.extend(decoded.iter().map(Packed::new));
            done += len.max(1);
        }
    }
    packed.len() as u64
}

/// Times passes over all units, and gives the time of one instruction for each pass.
fn per_insn(passes: u64, mut pass: impl FnMut() -> u64) -> Duration {
    let (mut insns, started) = (0, Instant::now());
    for _ in 0..passes {
        insns += black_box(pass());
    }
    scaled(started.elapsed().as_nanos() as u64, passes, insns)
}

fn scaled(ns: u64, passes: u64, insns: u64) -> Duration {
    Duration::from_secs_f64(ns as f64 / 1e9 * passes as f64 / insns as f64)
}

/// Compiles a guest's first instructions in new engines, and gives the time of one instruction for each.
fn engine(name: &str, passes: u64) -> Duration {
    let (mut ns, mut insns) = (0, 0);
    for _ in 0..passes {
        let mut machine = guest(name, translated());
        run(&mut machine, FIRST);
        let times = machine.engine().times();
        (ns, insns) = (ns + times.compiling_ns, insns + machine.engine().stats().unit_insns);
    }
    scaled(ns, passes, insns)
}

fn compile(c: &mut Criterion) {
    for name in GUESTS {
        let units = Units::of(name);
        let mut compiler = Compiler::for_host(OptLevel::None, translated().verify);
        let mut group = c.benchmark_group(format!("compile {name}"));
        group.sample_size(10);
        let (mut decoded, mut packed) = (Vec::new(), Vec::new());
        group.bench_function("decode", |b| {
            b.iter_custom(|passes| per_insn(passes, || decode_all(&units, &mut decoded, &mut packed)));
        });
        group.bench_function("translate", |b| {
            b.iter_custom(|passes| {
                per_insn(passes, || {
                    let insns =
                        |request| u64::from(compiler.translate(request).expect("it translates").insns);
                    units.requests.iter().map(insns).sum()
                })
            });
        });
        group.bench_function("compile", |b| {
            b.iter_custom(|passes| {
                per_insn(passes, || {
                    let insns =
                        |request| u64::from(compiler.compile(request).expect("it compiles").counts.insns);
                    units.requests.iter().map(insns).sum()
                })
            });
        });
        group.bench_function("engine", |b| b.iter_custom(|passes| engine(name, passes)));
        group.finish();
    }
}

criterion_group!(benches, compile);
criterion_main!(benches);
